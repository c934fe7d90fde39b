# SPDX-License-Identifier: Apache-2.0
"""Rows on their way to other programs: what the message says, and that nobody who listens can hold the run up."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modaltrack.frame import Frame, Modality, Row, Status
from modaltrack.sinks import JsonLines, RowMessage, UdpPush, offset_from_centre

RGB, THERMAL = Modality.RGB, Modality.THERMAL
IMAGE = np.zeros((120, 160, 3), np.uint8)
BOXES = np.array([[70.0, 50, 20, 20], [np.nan] * 4])


def row(index: int = 3, images: bool = True, status: Status = Status.TRACKING, live: bool = True) -> Row:
    frame = Frame(
        {RGB: IMAGE} if images else {},
        0.5,
        index,
        frozenset({THERMAL}),
        {RGB: 9.98, THERMAL: 9.5} if live else {},
    )
    statuses = np.array([status, Status.LOST])
    return Row("walk", index, frame, BOXES, np.array([0.75, np.nan]), statuses, 0.01, 10.0)


def test_every_field_of_the_message() -> None:
    assert RowMessage().document(row()) == {
        "format": "modaltrack-row/1",
        "clip": "walk",
        "frame": 3,
        "time": 0.5,
        "present": ["rgb"],
        "missing": ["thermal"],
        "size": (160, 120),
        "latency": 0.02,
        "age": {"rgb": 0.02, "thermal": 0.5},
        "targets": [
            {
                "box": [70, 50, 20, 20],
                "score": 0.75,
                "status": "tracking",
                "phase": "tracking",
                "event": None,
                "offset": [0, 0],
            },
            {"box": None, "score": None, "status": "lost", "phase": "lost", "event": "lost", "offset": None},
        ],
    }


def test_the_documented_example_has_the_fields_of_the_message() -> None:
    page = (Path(__file__).parents[2] / "docs" / "messages.md").read_text(encoding="utf-8")
    example = json.loads(page.split("```json\n")[1].split("```")[0])
    made = RowMessage().document(row())
    assert list(example) == list(made)
    assert list(example["targets"][0]) == list(made["targets"][0])
    for name in (*made, *made["targets"][0]):
        assert f"| `{name}`" in page or f", `{name}` |" in page


def test_rows_without_an_image_keep_the_size_and_recordings_have_no_latency() -> None:
    message = RowMessage()
    assert message.document(row(images=False))["size"] is None
    assert message.document(row(images=False))["targets"][0]["offset"] is None
    message.document(row())
    later = message.document(row(images=False, live=False))
    assert later["size"] == (160, 120)
    assert later["targets"][0]["offset"] == [0, 0]
    assert later["latency"] is None
    assert later["age"] == {}


def test_nothing_turns_towards_a_lost_target() -> None:
    made = RowMessage().document(row(status=Status.LOST))
    assert made["targets"][0]["box"] == [70, 50, 20, 20]
    assert made["targets"][0]["offset"] is None


def test_lost_and_found_are_said_once() -> None:
    message, plan = RowMessage(), "TUULLLULUTUT"
    status = {"T": Status.TRACKING, "U": Status.UNCERTAIN, "L": Status.LOST}
    said = [message.document(row(i, status=status[s]))["targets"][0] for i, s in enumerate(plan)]
    assert [(i, one["event"]) for i, one in enumerate(said) if one["event"]] == [(3, "lost"), (9, "found")]
    assert [one["phase"] for one in said[2:]] == [
        "uncertain",
        "lost",
        *["searching"] * 5,
        "found",
        "uncertain",
        "tracking",
    ]


def test_offsets_at_known_places() -> None:
    def at(x: float, y: float, band: float = 0.0) -> list[float]:
        return offset_from_centre(np.array([x - 5, y - 5, 10, 10]), (160, 120), band)

    assert at(80, 60) == [0, 0]
    assert at(160, 0) == [1, -1]
    assert at(120, 45) == [0.5, -0.25]
    assert at(84, 66, 0.1) == [0, 0]  # 0.05 and 0.1
    assert at(120, 60, 0.2) == [pytest.approx((0.5 - 0.2) / 0.8), 0]
    assert at(160, 120, 0.2) == [1, 1]


@given(x=st.floats(-50, 250), band=st.floats(0, 0.9))
def test_offsets_are_odd_bounded_and_without_a_jump(x: float, band: float) -> None:
    def at(where: float) -> float:
        return offset_from_centre(np.array([where - 5, 0, 10, 10]), (160, 120), band)[0]

    assert -1 <= at(x) <= 1
    assert at(x) == pytest.approx(-at(160 - x), abs=2e-6)
    assert abs(at(x + 0.01) - at(x)) <= 0.01 / 80 / (1 - band) + 2e-6


@pytest.mark.parametrize("band", [-0.1, 1.0, float("nan")])
def test_a_dead_band_that_is_none(band: float) -> None:
    with pytest.raises(ValueError, match="The dead band is"):
        RowMessage(band)


def test_a_file_gets_a_line_at_every_row(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    with JsonLines(str(file), RowMessage()) as sink:
        for index in range(3):
            sink.row(row(index))
            lines = file.read_text(encoding="utf-8").splitlines()
            assert [json.loads(line)["frame"] for line in lines] == list(range(index + 1))


def test_a_file_that_is_there_is_kept(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text("{}\n")
    with pytest.raises(ValueError, match="is there already"):
        JsonLines(str(file), RowMessage())
    assert file.read_text() == "{}\n"
    with pytest.raises(ValueError, match="cannot be written to"):
        JsonLines(str(tmp_path / "no" / "rows.jsonl"), RowMessage())


def test_a_reader_that_goes_away_stops_the_run_and_breaks_nothing(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    stop = threading.Event()
    with JsonLines(f"/dev/fd/{writing}", RowMessage(), stop) as sink:
        sink.row(row())
        assert not stop.is_set()
        os.close(reading)
        sink.row(row())
        assert stop.is_set()
        sink.row(row())
    os.close(writing)


def test_datagrams_arrive_and_nobody_listening_is_no_matter() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind(("127.0.0.1", 0))
        receiver.settimeout(5)
        port = receiver.getsockname()[1]
        with UdpPush(f"127.0.0.1:{port}", RowMessage()) as sink:
            for index in range(2):
                sink.row(row(index))
            assert [json.loads(receiver.recv(65536))["frame"] for _ in range(2)] == [0, 1]
            receiver.close()
            for index in range(5):
                sink.row(row(index))


def test_what_cannot_be_sent_is_said_once() -> None:
    many = Row("", 0, Frame({RGB: IMAGE}), np.ones((2000, 4)), np.ones(2000), np.zeros(2000, np.int64), 0.0, 0.0)
    with UdpPush("127.0.0.1:5005", RowMessage()) as sink:
        with pytest.warns(UserWarning, match="cannot be sent"):
            sink.row(many)  # 100 kB: more than a datagram holds
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            sink.row(many)


@pytest.mark.parametrize("address", ["5005", "localhost", "localhost:", ":5005", "a:b", "a:0", "a:70000", "a..b:5005"])
def test_addresses_that_are_none(address: str) -> None:
    with pytest.raises(ValueError, match=r"is not HOST:PORT|cannot be found"):
        UdpPush(address, RowMessage())


def test_track_writes_messages_alone_to_standard_output(cameras: Path, random_weights: Path, tmp_path: Path) -> None:
    words = [sys.executable, "-m", "modaltrack", "track", "--rgb", str(cameras / "rgb"), "--box", "20,20,16,12"]
    words += ["--model", str(random_weights), "--out", str(tmp_path), "--no-video", "--jsonl", "-"]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert [r["frame"] for r in rows] == list(range(6))
    assert rows[0]["targets"][0]["box"] == [20, 20, 16, 12]
    assert "6 frames" in done.stderr
