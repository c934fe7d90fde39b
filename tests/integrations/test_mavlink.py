# SPDX-License-Identifier: Apache-2.0
"""A tracking camera on the loopback: packets as the protocol has them, and with pymavlink where it is installed.

pymavlink is LGPL and no dependency: it is only the other side here.
"""

from __future__ import annotations

import math
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from modaltrack.cli import main
from modaltrack.frame import Frame, Modality, Row, Status
from modaltrack.integrations import mavlink_wire as wire
from modaltrack.integrations.mavlink import MavlinkCamera, box_of_point, box_of_rectangle, tracking_status
from modaltrack.session import Steering

# name of a message -> its fields in common.xml's order, without extensions: what the seed of its checksum stands for
XML = {
    "HEARTBEAT": "uint8_t type uint8_t autopilot uint8_t base_mode uint32_t custom_mode uint8_t system_status "
    "uint8_t_mavlink_version mavlink_version",
    "COMMAND_LONG": "uint8_t target_system uint8_t target_component uint16_t command uint8_t confirmation float param1 "
    "float param2 float param3 float param4 float param5 float param6 float param7",
    "COMMAND_ACK": "uint16_t command uint8_t result",
    "CAMERA_INFORMATION": "uint32_t time_boot_ms uint8_t[32] vendor_name uint8_t[32] model_name uint32_t "
    "firmware_version float focal_length float sensor_size_h float sensor_size_v uint16_t resolution_h uint16_t "
    "resolution_v uint8_t lens_id uint32_t flags uint16_t cam_definition_version char[140] cam_definition_uri",
    "CAMERA_TRACKING_IMAGE_STATUS": "uint8_t tracking_status uint8_t tracking_mode uint8_t target_data float point_x "
    "float point_y float radius float rec_top_x float rec_top_y float rec_bottom_x float rec_bottom_y",
}
BYTES = {"uint8_t": 1, "char": 1, "uint16_t": 2, "uint32_t": 4, "float": 4}


@pytest.mark.parametrize("message", wire.MESSAGES.values(), ids=lambda m: m.name)
def test_seeds_and_layouts_follow_from_the_definitions(message: wire.Message) -> None:
    """The rule of the protocol: fields by size of their type, stable; the seed is the checksum of names and types."""
    words = XML[message.name].replace("uint8_t_mavlink_version", "uint8_t").split()
    fields = [(kind.partition("["), name) for kind, name in zip(words[::2], words[1::2], strict=True)]
    fields.sort(key=lambda field: -BYTES[field[0][0]])
    crc = wire.crc16(message.name.encode() + b" ")
    for (kind, _, length), name in fields:
        crc = wire.crc16(f"{kind} {name} ".encode(), crc)
        if length:
            crc = wire.crc16(bytes([int(length.rstrip("]"))]), crc)
    assert message.crc_extra == (crc & 0xFF) ^ (crc >> 8)
    assert message.fields[: len(fields)] == tuple(name for _, name in fields)


def command(number: int, *params: float, to: tuple[int, int] = (1, 100)) -> bytes:
    values = {f"param{k}": v for k, v in enumerate(params, start=1)}
    return wire.packed(
        wire.COMMAND_LONG, 7, 255, 190, command=number, target_system=to[0], target_component=to[1], **values
    )


def test_packets_survive_the_way_and_garbage_is_passed_over() -> None:
    data = command(2004, 0.5, 0.25, 0.125)
    (found,) = wire.packets(b"\x00\xfd" + data + b"\xfe\x01")
    assert (found.message, found.system, found.component) == (wire.COMMAND_LONG, 255, 190)
    assert [found.values[f"param{k}"] for k in (1, 2, 3, 4)] == [0.5, 0.25, 0.125, 0]
    for place in range(len(data)):
        spoiled = bytearray(data)
        spoiled[place] ^= 0x55
        assert [p for p in wire.packets(bytes(spoiled)) if p.values == found.values and p.system == 255] == []
    assert [p.values["command"] for p in wire.packets(data + command(2010) + data[:-1])] == [2004, 2010]


def test_version_1_and_signed_packets_are_read() -> None:
    payload = wire.struct.pack(wire.COMMAND_LONG.form, *[0.0] * 7, 2010, 1, 100, 0)
    body = bytes([len(payload), 0, 255, 190, 76]) + payload
    first = bytes([wire.V1]) + body + wire.struct.pack("<H", wire.crc16(body + bytes([152])))
    body = bytes([len(payload), wire.SIGNED, 0, 0, 255, 190]) + (76).to_bytes(3, "little") + payload
    second = bytes([wire.V2]) + body + wire.struct.pack("<H", wire.crc16(body + bytes([152]))) + bytes(13)
    assert [p.values["command"] for p in wire.packets(first + second + first)] == [2010] * 3


def test_boxes_of_points_and_rectangles() -> None:
    point, rectangle = box_of_point(0.5, 0.25, 0.1), box_of_rectangle(0.25, 0.5, 0.75, 1.0)
    assert point is not None
    assert rectangle is not None
    np.testing.assert_allclose(point(100, 200), [80, 5, 40, 40])
    np.testing.assert_allclose(rectangle(100, 200), [50, 50, 100, 50])
    for radius in (0.0, math.nan):
        small = box_of_point(0.5, 0.5, radius)
        assert small is not None
        np.testing.assert_allclose(small(100, 200)[2:], [20, 20])
    assert box_of_point(1.1, 0.5, 0.1) is box_of_point(math.nan, 0.5, 0.1) is None
    assert box_of_rectangle(0.5, 0.5, 0.5, 0.9) is box_of_rectangle(0.1, math.nan, 0.5, 0.9) is None


def test_the_status_says_idle_active_and_lost() -> None:
    box, size = np.array([20.0, 10, 40, 20]), (200, 100)
    active = tracking_status(box, Status.TRACKING, size)
    assert [active[k] for k in ("rec_top_x", "rec_top_y", "rec_bottom_x", "rec_bottom_y")] == [0.1, 0.1, 0.3, 0.3]
    assert (active["tracking_status"], active["tracking_mode"]) == (1, 2)
    lost, idle = tracking_status(box, Status.LOST, size), tracking_status(np.full(4, np.nan), Status.UNCERTAIN, size)
    assert (lost["tracking_status"], idle["tracking_status"], idle["tracking_mode"]) == (2, 0, 0)
    assert math.isnan(lost["rec_top_x"])
    assert math.isnan(idle["point_x"])


class Station:
    """A ground station on the loopback."""

    def __init__(self) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.socket.settimeout(60)
        self.address = f"127.0.0.1:{self.socket.getsockname()[1]}"
        self.camera: Any = None

    def next(self, message: wire.Message, wanted: Callable[[dict[str, Any]], bool] = lambda _: True) -> dict[str, Any]:
        while True:
            data, self.camera = self.socket.recvfrom(65536)
            for packet in wire.packets(data):
                if packet.message is message and wanted(packet.values):
                    return packet.values

    def send(self, data: bytes) -> None:
        if self.camera is None:
            self.next(wire.HEARTBEAT)
        self.socket.sendto(data, self.camera)

    def ask(self, number: int, *params: float, to: tuple[int, int] = (1, 100)) -> int:
        self.send(command(number, *params, to=to))
        return int(self.next(wire.COMMAND_ACK, lambda values: values["command"] == number)["result"])


@pytest.fixture
def station() -> Iterator[Station]:
    made = Station()
    yield made
    made.socket.close()


def row(index: int, box: list[float], status: Status = Status.TRACKING) -> Row:
    frame = Frame({Modality.RGB: np.zeros((100, 200, 3), np.uint8)}, index / 10, index)
    return Row("", index, frame, np.array([box]), np.ones(1), np.array([status]), 0.0, index / 10)


def test_a_station_chooses_and_is_told(station: Station) -> None:
    steering = Steering()
    frame = row(0, [0, 0, 1, 1]).frame
    with MavlinkCamera(station.address, steering) as camera:
        beat = station.next(wire.HEARTBEAT)
        assert (beat["type"], beat["mavlink_version"]) == (30, 3)
        camera.row(row(0, [np.nan] * 4, Status.UNCERTAIN))
        assert station.next(wire.TRACKING_STATUS)["tracking_status"] == 0

        assert station.ask(2005, 0.25, 0.5, 0.75, 1.0) == 0
        chosen = steering.take(frame)
        assert chosen is not None
        np.testing.assert_allclose(chosen, [50, 50, 100, 50])
        camera.row(row(1, [50, 50, 100, 50]))
        told = station.next(wire.TRACKING_STATUS)
        assert [told[k] for k in ("rec_top_x", "rec_top_y", "rec_bottom_x", "rec_bottom_y")] == [0.25, 0.5, 0.75, 1]

        assert station.ask(2005, 0.75, 0.5, 0.25, 1.0) == 2  # denied
        assert steering.take(frame) is None
        assert station.ask(2004, 0.5, 0.5, 0.1) == 0
        assert station.ask(2010) == 0  # stop: the wish before it is gone
        stopped = steering.take(frame)
        assert stopped is not None
        assert np.isnan(stopped).all()

        assert station.ask(512, 259) == 0
        about = station.next(wire.CAMERA_INFORMATION)
        assert about["flags"] & 3072 == 3072
        assert (about["resolution_h"], about["resolution_v"]) == (200, 100)
        assert about["vendor_name"].rstrip(b"\0") == b"modaltrack"
        assert station.ask(2000) == 3  # taking pictures is not supported
        assert station.ask(2004, 0.5, 0.5, 0.1, to=(1, 0)) == 0  # to every component of the system


def test_commands_for_others_are_not_obeyed(station: Station) -> None:
    steering = Steering()
    with MavlinkCamera(station.address, steering, "3:101"):
        for to in ((1, 101), (3, 100)):
            station.send(command(2004, 0.5, 0.5, 0.1, to=to))
        assert station.ask(2010, to=(3, 101)) == 0  # the only one that is answered, and it comes last
        taken = steering.take(row(0, [0, 0, 1, 1]).frame)
        assert taken is not None
        assert np.isnan(taken).all()


def test_the_station_sets_how_often_it_is_told(station: Station) -> None:
    with MavlinkCamera(station.address, Steering()) as camera:
        assert station.ask(511, 275, 300_000) == 0  # every 0.3 s; rows come every 0.1 s
        for index in range(10):
            camera.row(row(index, [index, 0, 10, 10]))
        told = [round(station.next(wire.TRACKING_STATUS)["rec_top_x"] * 200) for _ in range(4)]
        assert told == [0, 3, 6, 9]
        assert station.ask(511, 275, -1) == 0
        camera.row(row(20, [20, 0, 10, 10]))
        assert station.ask(511, 275, 0) == 0
        camera.row(row(21, [21, 0, 10, 10]))
        assert round(station.next(wire.TRACKING_STATUS)["rec_top_x"] * 200) == 21


def test_track_lets_a_station_choose(
    station: Station, cameras: Path, random_weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first rows are slowed down until the station has chosen: what is asserted does not depend on the clock."""
    from modaltrack.session import steering as room

    chosen = threading.Event()
    take = room.Steering.take

    def patient(self: room.Steering, frame: Frame) -> Any:
        assert chosen.wait(60)
        return take(self, frame)

    monkeypatch.setattr(room.Steering, "take", patient)

    def choose() -> None:
        assert station.ask(2005, 20 / 96, 20 / 64, 36 / 96, 32 / 64) == 0
        chosen.set()

    thread = threading.Thread(target=choose)
    thread.start()
    words = ["track", "--rgb", str(cameras / "rgb"), "--model", str(random_weights), "--out", str(tmp_path)]
    assert main([*words, "--mavlink", station.address]) == 0
    thread.join()
    rows = (tmp_path / "boxes.txt").read_text().splitlines()
    assert rows[0] == "nan,nan,nan,nan"
    np.testing.assert_allclose([float(v) for v in rows[1].split(",")], [20, 20, 16, 12], atol=1e-4)
    assert len(rows) == 6


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--mavlink", "14550"], "is not HOST:PORT"),
        (["--mavlink", "a..b:14550"], "cannot be reached"),
        (["--mavlink", "127.0.0.1:14550", "--mavlink-id", "0:100"], "is not SYSTEM:COMPONENT"),
        (["--mavlink", "127.0.0.1:14550", "--box", "1,1,9,9", "--box", "1,1,9,9"], "one --box at most"),
    ],
)
def test_options_that_are_none(
    words: list[str], said: str, cameras: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["track", "--rgb", str(cameras / "rgb"), "--out", str(tmp_path), *words]) == 1
    assert said in capsys.readouterr().err


def test_pymavlink_understands_and_is_understood(station: Station, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAVLINK20", "1")
    mavutil = pytest.importorskip(
        "pymavlink.mavutil", reason="pymavlink (LGPL) is not installed; it is only a peer here"
    )
    port = station.address.rpartition(":")[2]
    station.socket.close()
    link = mavutil.mavlink_connection(f"udpin:127.0.0.1:{port}", source_system=255, dialect="common")
    steering = Steering()
    with MavlinkCamera(f"127.0.0.1:{port}", steering) as camera:
        beat = link.recv_match(type="HEARTBEAT", blocking=True, timeout=60)
        assert (beat.get_srcSystem(), beat.get_srcComponent(), beat.type) == (1, 100, 30)
        link.mav.command_long_send(1, 100, 2005, 0, 0.25, 0.5, 0.75, 1.0, 0, 0, 0)
        ack = link.recv_match(type="COMMAND_ACK", blocking=True, timeout=60)
        assert (ack.command, ack.result, ack.target_system) == (2005, 0, 255)
        chosen = steering.take(row(0, [0, 0, 1, 1]).frame)
        assert chosen is not None
        np.testing.assert_allclose(chosen, [50, 50, 100, 50])
        camera.row(row(1, [50, 50, 100, 50]))
        told = link.recv_match(type="CAMERA_TRACKING_IMAGE_STATUS", blocking=True, timeout=60)
        assert (told.tracking_status, told.tracking_mode, told.target_data) == (1, 2, 4)
        assert (told.rec_top_x, told.rec_top_y, told.rec_bottom_x, told.rec_bottom_y) == (0.25, 0.5, 0.75, 1.0)
        link.mav.command_long_send(1, 100, 512, 0, 259, 0, 0, 0, 0, 0, 0)
        about = link.recv_match(type="CAMERA_INFORMATION", blocking=True, timeout=60)
        assert bytes(about.vendor_name).rstrip(b"\0") == b"modaltrack"
        assert about.flags & 3072 == 3072
    link.close()
