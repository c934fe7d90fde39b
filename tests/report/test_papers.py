# SPDX-License-Identifier: Apache-2.0
import csv
import io
from dataclasses import replace

import numpy as np
import pytest

from modaltrack.frame import Result
from modaltrack.report import Entry, figures, main_metric
from modaltrack.report.figures import wide
from modaltrack.report.papers import across, chosen_attributes, escape_latex, paper_tables
from modaltrack.scoring.engine import find_protocol, score
from modaltrack.scoring.records import Truth

TRUTHS = [
    Truth(n, np.tile([20.0, 30, 40, 50], (12, 1)), attributes=frozenset({"NO", "SV"} if n == "a" else {"NO"}))
    for n in "abcde"
]


def entry(name: str, shift: float, style: int = 0) -> Entry:
    results = {t.name: Result(t.name, np.add(t.boxes, [shift, 0, 0, 0])) for t in TRUTHS}
    return Entry(name, score("LasHeR", TRUTHS, results, attributes=True), style=style)


ENTRIES = [entry("far_off", 25), entry("near & dear", 6), entry("exact", 0)]


def test_tables_hold_the_scores_and_mark_the_best() -> None:
    tables = paper_tables(ENTRIES, "SR")
    rows = list(csv.reader(io.StringIO(tables["scores"].csv())))
    assert [r[0] for r in rows] == ["Tracker", "exact", "near & dear", "far_off"]
    assert float(rows[1][rows[0].index("SR")]) == ENTRIES[2].report.scores["SR"]
    latex = tables["scores"].latex()
    assert r"near \& dear" in latex
    assert r"far\_off" in latex
    line = next(line for line in latex.splitlines() if line.startswith("exact"))
    assert r"\textbf{95.2}" in line
    assert set(tables) == {"scores", "attributes", "sequences"}
    assert len(tables["sequences"].rows) == 5


def test_an_order_comes_first_and_attributes_are_chosen() -> None:
    chosen = chosen_attributes(ENTRIES, ["SV"])
    tables = paper_tables([replace(e, place=0 if e.name == "far_off" else None) for e in chosen], "SR")
    assert [name for name, _ in tables["attributes"].rows] == ["far_off", "exact", "near & dear"]
    assert tables["attributes"].columns == (("", "SV"),)
    with pytest.raises(ValueError, match="no attribute 'XX'"):
        chosen_attributes(ENTRIES, ["XX"])


def test_every_sign_of_latex_is_escaped() -> None:
    assert escape_latex(r"a_b%c\d") == r"a\_b\%c\textbackslash{}d"


@pytest.mark.parametrize("low", [0.0, 20 / 21, 1.0, 1e9, float("nan"), -3.0])
@pytest.mark.parametrize("gap", [0.0, 1e-16, 1e-9, 0.3])
def test_limits_of_values_that_are_alike(low: float, gap: float) -> None:
    first, last = wide([low, low + gap])
    assert last > first
    assert np.isfinite([first, last]).all()


def test_five_perfect_sequences_are_drawn() -> None:
    perfect = [entry("exact", 0), entry("too", 0, 1)]
    metric = main_metric(perfect[0].report)
    drawings = figures(perfect, metric, find_protocol("LasHeR").metrics, {})
    assert "scores" in drawings
    for drawing in drawings.values():
        assert "nan" not in drawing.svg().lower()


def test_across_benchmarks_whoever_has_all_comes_first() -> None:
    both = {
        "easy": [entry("exact", 0), entry("near", 6), entry("far", 25)],
        "hard": [entry("near", 6), entry("far", 25)],
    }
    table = across(both, {"easy": "SR", "hard": "SR"})
    assert [name for name, _ in table.rows] == ["near", "far", "exact"]
    assert table.groups == (("easy", 3), ("hard", 3))
    assert table.columns[:3] == (("easy", "PR"), ("easy", "NPR"), ("easy", "SR"))
    assert table.rows[2][1][3:] == (None, None, None)
    told = both | {"easy": [replace(both["easy"][0], place=0), *both["easy"][1:]]}
    assert across(told, {"easy": "SR", "hard": "SR"}).rows[0][0] == "exact"
    text = table.latex()
    assert r" & \multicolumn{3}{c}{easy} & \multicolumn{3}{c}{hard} \\" in text
    assert r"\cmidrule(lr){2-4} \cmidrule(lr){5-7}" in text
    assert "exact & " in text
    assert text.count("--") == 3
