# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest

from modaltrack.scoring.presence import auroc, calibration_error, presence_report, times_to_lost


def flags(text: str) -> np.ndarray:
    return np.array([c == "x" for c in text])


def test_auroc_of_known_orders() -> None:
    label = flags("..xx")
    assert auroc(np.array([0.1, 0.2, 0.8, 0.9]), label) == 1
    assert auroc(np.array([0.9, 0.8, 0.2, 0.1]), label) == 0
    assert auroc(np.array([0.5, 0.5, 0.5, 0.5]), label) == 0.5
    assert auroc(np.array([0.1, 0.6, 0.5, 0.9]), label) == 0.75
    assert np.isnan(auroc(np.ones(3), flags("xxx")))


def test_calibration_error_of_known_shares() -> None:
    score = np.full(10, 0.75)
    assert calibration_error(score, flags("xxxxxxx...")) == pytest.approx(0.05)
    assert calibration_error(np.array([1.0, 0.0]), flags("x.")) == 0


@pytest.mark.parametrize(
    ("lost", "absent", "waits"),
    [
        (".....", ".....", []),
        ("...x.", ".xxx.", [2]),
        (".....", ".xxx.", [np.inf]),
        ("xx...", ".xx..", [0]),
        ("...x...x", ".xxx..xx", [2, 1]),
        ("....x", ".xx..", [np.inf]),
    ],
)
def test_times_to_lost(lost: str, absent: str, waits: list[float]) -> None:
    assert times_to_lost(flags(lost), flags(absent)).tolist() == waits


def test_report_leaves_the_given_box_out_and_counts_each_kind() -> None:
    score = np.array([0.0, 0.9, 0.9, 0.1, 0.1, 0.9])
    report = presence_report([(score, flags("x...xx"), flags("...xx."))])
    assert report["frames"] == 5
    assert report["absent"] == pytest.approx(0.4)
    assert report["auroc"] == 1
    assert report["calibration_error"] == pytest.approx(0.1)
    assert report["median_frames_to_lost"] == 1
    assert report["lost_in_time"] == 1
    assert report["false_lost"] == pytest.approx(1 / 3, abs=1e-4)
    assert report["missed_lost"] == pytest.approx(0.5)


def test_report_without_status_or_without_absence() -> None:
    report = presence_report([(np.array([1.0, 0.5, 0.6]), None, flags("..."))])
    assert report["auroc"] is None
    assert "false_lost" not in report
    assert presence_report([])["absent"] is None
