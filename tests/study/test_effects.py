# SPDX-License-Identifier: Apache-2.0
"""From measurements written by hand to verdicts, tables and files."""

import json
import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from toy_study import SETTINGS, put

from modaltrack.study.effects import NOT, OPPOSITE, SHOWS, TOO_FEW, effect, interval, load
from modaltrack.study.folder import StudyFolder, write_json
from modaltrack.study.pages import write_study
from modaltrack.study.plan import CLAIMS
from modaltrack.study.tables import cell, claims_table, main_table

CLAIM = {claim.id: claim for claim in CLAIMS}


def measured(path: Path):
    return load(StudyFolder(path), SETTINGS)[0]


def test_verdicts(tmp_path: Path) -> None:
    for seed, extra in enumerate((0.0, 0.01, 0.02)):
        put(tmp_path, "sdstrack-adapters", seed, {"both": 0.6 + extra})
        put(tmp_path, "sdstrack-full", seed, {"both": 0.5})
        put(tmp_path, "sdstrack-frozen", seed, {"both": 0.7})
        put(tmp_path, "sdstrack-masked", seed, {"both": 0.5 + 0.04 * (seed - 1)})
        put(tmp_path, "sdstrack-plain", seed, {"both": 0.5})
    found = measured(tmp_path)
    e = effect(CLAIM["adapters-over-full"], found)
    assert e.verdict == SHOWS
    assert e.differences == pytest.approx((0.1, 0.11, 0.12))
    assert (e.mean, e.sd) == pytest.approx((0.11, 0.01))
    assert (e.first, e.second, e.reason) == (pytest.approx(0.61), pytest.approx(0.5), "")
    assert e.interval == pytest.approx((0.1, 0.12))
    worse = effect(CLAIM["adapters-over-frozen"], found)
    assert worse.verdict == OPPOSITE
    assert worse.reason == CLAIM["adapters-over-frozen"].reason
    neither = effect(CLAIM["masked-clean"], found, {"masked-clean": "because"})
    assert (neither.verdict, neither.reason) == (NOT, "because")
    assert effect(CLAIM["three-paths"], found).verdict == TOO_FEW


def test_only_seeds_that_both_runs_have_are_compared(tmp_path: Path) -> None:
    for seed in (0, 1):
        put(tmp_path, "sdstrack-adapters", seed, {"both": 0.6})
    put(tmp_path, "sdstrack-full", 1, {"both": 0.5})
    put(tmp_path, "sdstrack-full", 2, {"both": 0.1})
    e = effect(CLAIM["adapters-over-full"], measured(tmp_path))
    assert e.differences == pytest.approx((0.1,))
    assert np.isnan(e.sd)


def test_measures_read_the_right_conditions(tmp_path: Path) -> None:
    put(tmp_path, "sdstrack-masked", 0, {"both": 0.5, "rgb dropped": 0.7, "x in bursts": 0.9})
    put(tmp_path, "sdstrack-plain", 0, {"both": 0.5})
    found = measured(tmp_path)
    assert effect(CLAIM["masked-clean"], found).mean == pytest.approx(0)
    assert effect(CLAIM["masked-failure"], found).mean == pytest.approx((0.2 + 0.4) / 4)
    put(tmp_path, "tpf-two", 0, {"both": 0.6, "first template": 0.5})
    assert effect(CLAIM["dynamic-template"], measured(tmp_path)).mean == pytest.approx(0.1)


def test_the_base_stands_beside_every_seed(tmp_path: Path) -> None:
    put(tmp_path, "ostrack", 0, {"rgb": 0.4})
    for seed in (0, 1):
        put(tmp_path, "tpf", seed, {"both": 0.5})
    assert effect(CLAIM["tpf-over-base"], measured(tmp_path)).differences == pytest.approx((0.1, 0.1))


def test_the_gap_is_the_last_depth_minus_the_embedding(tmp_path: Path) -> None:
    depths = {"pixel": [0.9, 0.9], "embedding": [0.2, 0.3], "block 1": [0.0, 0.0], "block 2": [0.4, 0.6]}
    gap = {x: {"alone": depths, "together": {"pixel": [7.0]}} for x in ("thermal", "depth")}
    put(tmp_path, "ostrack", 0, {}, gap=gap)
    e = effect(CLAIM["gap-by-depth"], measured(tmp_path))
    assert (e.mean, e.first, e.second) == pytest.approx((0.25, 0.5, 0.25))
    assert e.verdict == SHOWS
    assert {path.name for path in write_study(StudyFolder(tmp_path), SETTINGS)} >= {"gap.svg", "study.md"}


def test_one_seed_is_judged_by_its_clips_and_three_by_both() -> None:
    clips = np.array([[0.0, 0.2, 0.0, 0.2]])
    low, high = interval(clips)
    assert low == pytest.approx(0.0, abs=0.051)
    assert high == pytest.approx(0.2, abs=0.051)
    seeds = np.repeat([[-0.1], [0.1], [0.3]], 4, 1)
    low, high = interval(seeds)
    assert low < 0 < 0.2 < high  # clips agree, seeds do not
    assert interval(np.full((1, 4), 0.1)) == pytest.approx((0.1, 0.1))


def test_cells_say_what_is_not_there(tmp_path: Path) -> None:
    put(tmp_path, "sdstrack", 0, {"both": 0.6})
    put(tmp_path, "sdstrack", 1, {"both": 0.8})
    put(tmp_path, "tpf", 0, {"both": 0.6})
    found = measured(tmp_path)
    assert cell(found, "sdstrack", ["rgb+depth"]) == "0.700 ± 0.141"
    assert cell(found, "tpf", ["rgb+depth"]) == "0.600"
    assert cell(found, "tpf", ["radar"]) == "–"
    assert cell(found, "ainet", ["rgb+depth"]) == "not run"
    rows = {row[0]: row for row in main_table(found).rows}
    assert rows["ainet"][1:3] == ("0", "not run")
    assert rows["sdstrack"][1] == "2"
    text = claims_table([effect(claim, found) for claim in CLAIMS]).markdown()
    assert text.count(TOO_FEW) == len(CLAIMS)


def test_measurements_on_other_clips_are_left_out_and_named(tmp_path: Path) -> None:
    put(tmp_path, "sdstrack", 0, {})
    put(tmp_path, "tpf", 0, {}, clips=40)
    assert list(measured(tmp_path)) == [("sdstrack", 0)]
    write_study(StudyFolder(tmp_path), SETTINGS)
    assert "measured on other clips: tpf-seed0" in (tmp_path / "study.md").read_text()


def test_the_study_of_nothing_says_so(tmp_path: Path) -> None:
    written = write_study(StudyFolder(tmp_path), SETTINGS)
    assert [path.name for path in written] == ["study.md", "study.html"]
    assert "not run" in (tmp_path / "study.md").read_text()


def test_files_are_whole_and_reasons_can_be_given(tmp_path: Path) -> None:
    put(tmp_path, "ostrack", 0, {"rgb": 0.6})
    for seed in (0, 1):
        put(tmp_path, "tpf", seed, {"both": 0.5})
    write_json(tmp_path / "reasons.json", {"tpf-over-base": "too <short> a run"})
    written = write_study(StudyFolder(tmp_path), SETTINGS)
    for path in written:
        if path.suffix == ".svg":
            ElementTree.parse(path)
    page = (tmp_path / "study.html").read_text()
    assert "too &lt;short&gt; a run" in page
    assert page.count("<svg") == len(written) - 2
    assert "src=" not in page
    assert "http" not in re.sub(r'xmlns(:xlink)?="[^"]*"', "", page)
    assert not list(tmp_path.glob(".*"))
    write_json(tmp_path / "reasons.json", {"no-such-claim": ""})
    with pytest.raises(ValueError, match="no-such-claim"):
        write_study(StudyFolder(tmp_path), SETTINGS)


def test_the_table_is_made_without_torch(tmp_path: Path) -> None:
    put(tmp_path, "tpf", 0, {})
    write_json(tmp_path / "study.json", {"steps": 10, "batch": 4, "clips": 4, "frames": 5})
    code = (
        "import sys; from modaltrack import cli; "
        f"code = cli.main(['study', 'table', '--out', {json.dumps(str(tmp_path))}]); "
        "sys.exit(code or 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "study.md" in done.stdout
