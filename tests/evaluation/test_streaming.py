# SPDX-License-Identifier: Apache-2.0
"""Latency in the score. All step times are recorded ones: no clock is read."""

import json
from pathlib import Path

import numpy as np
import pytest
from tests.evaluation.toy import make_clips

from modaltrack import cli
from modaltrack.evaluation.streaming import RULES, Rule, Stream, Streaming, parse_times, scores
from modaltrack.frame import Frame, Row
from modaltrack.sources import read_boxes

LAE, REALTIME = RULES["e-lae"], RULES["vot-realtime"]


def streamed(rule: Rule, seconds: float, length: int) -> Stream:
    """A stream that has run through ``length`` frames with steps of so many seconds."""
    stream = Stream(rule, lambda step, measured: seconds)
    for frame in stream.frames(Frame({}, index=i) for i in range(length)):
        stream.row(Row("", 0, frame, np.zeros((1, 4)), np.zeros(1), np.zeros(1, int), 99.0, 0.0))
    return stream


def test_the_published_etas() -> None:
    assert len(LAE.etas) == 51
    assert (LAE.etas[0], LAE.etas[1], LAE.etas[-1]) == (0, 0.02, 1)
    assert (LAE.rate, REALTIME.rate, REALTIME.grace) == (30, 20, 3)


@pytest.mark.parametrize(
    ("intervals", "seen"),
    [
        (0.0, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]),
        (0.9, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]),
        (1.0, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]),
        (1.5, [0, 1, 2, 4, 5, 7, 8]),  # 1 is done at 2.5: 2 is newest, done at 4: 4 has just come
        (2.0, [0, 1, 3, 5, 7, 9]),
        (4.5, [0, 1, 5]),
        (100.0, [0, 1]),
    ],
)
def test_which_frames_are_seen(intervals: float, seen: list[int]) -> None:
    stream = streamed(LAE, intervals / 30, 10)
    assert stream.seen == seen
    assert stream.length == 10
    assert stream.finished[0] == 0  # the first box costs no time


def test_which_box_counts_when() -> None:
    stream = streamed(LAE, 1.5 / 30, 6)  # seen 0, 1, 2, 4, 5; finished at 0, 2.5, 4, 5.5, 7 frame intervals
    assert stream.newest(0).tolist() == [0, 0, 0, 1, 2, 2]
    assert stream.newest(0.48).tolist() == [0, 0, 0, 1, 2, 2]
    assert stream.newest(0.5).tolist() == [0, 0, 1, 1, 2, 3]
    assert stream.newest(1).tolist() == [0, 0, 1, 2, 2, 3]


def test_grace_makes_the_first_frames_be_in_time() -> None:
    stream = streamed(REALTIME, 0.5, 30)  # ten frame intervals a step
    assert stream.seen[:5] == [0, 1, 2, 3, 4]
    assert stream.newest(1)[:5].tolist() == [0, 1, 2, 3, 3]
    assert streamed(Rule("", 20.0, (1.0,)), 0.5, 30).seen[:3] == [0, 1, 11]


def test_a_tracker_that_is_in_time_scores_as_without_a_clock_at_the_end_of_the_interval_only() -> None:
    truth = np.column_stack([10.0 * np.arange(20), np.zeros(20), np.full(20, 10.0), np.full(20, 10.0)])
    stream = streamed(LAE, 1 / 30, 20)
    stream.boxes = truth[stream.seen]
    found = scores(stream, truth)
    assert found["seen"] == 1
    # a box that moves by its own width is right at eta 1 alone, and in the first frame
    perfect = 20 / 21
    assert found["success"] == pytest.approx((perfect * (50 / 20 + 1)) / 51)
    stream = streamed(LAE, 0.0, 20)
    stream.boxes = truth[stream.seen]
    assert scores(stream, truth)["success"] == pytest.approx(perfect)


def words(clips: Path, out: Path, *more: str) -> list[str]:
    start = ["eval", "--benchmark", "folder", "--data", str(clips), "--out", str(out)]
    return [*start, "--tracker", "tests.evaluation.toy:Steady", *more]


def test_the_command_writes_boxes_for_every_frame_and_its_scores(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    clips = make_clips(tmp_path / "clips", {"a": 9, "b": 5})
    late = ["--streaming", "e-lae", "--step-times", "0.05"]
    assert cli.main(words(clips, tmp_path / "out", *late)) == 0
    assert "with latency: success" in capsys.readouterr().out
    folder = tmp_path / "out" / "Steady" / "folder"
    boxes = read_boxes(folder / "a.txt")
    # one pixel a step; at eta 0 the steps of 1.5 frames are finished at 2.5, 4, 5.5, 7, 8.5
    assert (boxes[:, 0] - boxes[0, 0]).tolist() == [0, 0, 0, 1, 2, 2, 3, 4, 4]
    found = json.loads((folder / "streaming.json").read_text())
    assert set(found["sequences"]) == {"a", "b"}
    assert found["sequences"]["a"]["seen"] == pytest.approx(7 / 9)
    assert found["rule"] == "e-lae"
    again = (folder / "streaming.json").read_text()
    assert cli.main(words(clips, tmp_path / "again", *late)) == 0
    assert (tmp_path / "again" / "Steady" / "folder" / "streaming.json").read_text() == again
    # results with and without the clock do not mix
    assert cli.main(words(clips, tmp_path / "out")) == 1
    assert "streaming" in capsys.readouterr().err


def test_recorded_times_are_those_of_an_earlier_run(tmp_path: Path) -> None:
    (tmp_path / "a_time.txt").write_text("9\n0.1\n0.2\n")
    cost = parse_times(str(tmp_path))("a")
    assert [cost(step, 99.0) for step in (1, 2, 3)] == [0.1, 0.2, 0.1]
    with pytest.raises(ValueError, match="no recorded times of b"):
        parse_times(str(tmp_path))("b")
    assert parse_times("")("a")(1, 0.25) == 0.25


@pytest.mark.parametrize("text", ["-1", "nan", "no/such/folder"])
def test_absurd_times_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="--step-times"):
        parse_times(text)


def test_step_times_alone_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    clips = make_clips(tmp_path / "clips", {"a": 3})
    assert cli.main(words(clips, tmp_path / "out", "--step-times", "0.1")) == 1
    assert "belongs to --streaming" in capsys.readouterr().err


def test_runs_with_other_step_times_do_not_mix(tmp_path: Path) -> None:
    facts = {text: Streaming("e-lae", text).facts["times"] for text in ("", "0.05", "0.050", "5e-2", str(tmp_path))}
    assert list(facts.values()) == ["measured", "0.05", "0.05", "0.05", "recorded"]
