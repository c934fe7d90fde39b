# SPDX-License-Identifier: Apache-2.0
"""The few MAVLink messages that a tracking camera needs, as bytes. [ours]

Written after the public protocol description (mavlink.io, "Packet Serialization" and ``common.xml``): the reference
implementation, pymavlink, is LGPL. Packets are sent in MAVLink 2; both versions are read, signatures are not checked.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

V1, V2 = 0xFE, 0xFD
SIGNED = 0x01  # of the incompatibility flags: 13 more bytes follow
_SIGNATURE_BYTES = 13


@dataclass(frozen=True, slots=True)
class Message:
    """A kind of message.

    Attributes:
        number, name: in ``common.xml``.
        crc_extra: seed of the checksum, which stands for the fields' names and types.
        form: ``struct`` format of the payload; fields are ordered by size, extensions last.
        fields: their names in that order.
    """

    number: int
    name: str
    crc_extra: int
    form: str
    fields: tuple[str, ...]


_PARAMS = tuple(f"param{k}" for k in range(1, 8))
_CAMERA = "time_boot_ms firmware_version focal_length sensor_size_h sensor_size_v flags resolution_h resolution_v "
_CAMERA += "cam_definition_version vendor_name model_name lens_id cam_definition_uri"
_STATUS = (
    "point_x point_y radius rec_top_x rec_top_y rec_bottom_x rec_bottom_y tracking_status tracking_mode target_data"
)
HEARTBEAT = Message(
    0,
    "HEARTBEAT",
    50,
    "<IBBBBB",
    ("custom_mode", "type", "autopilot", "base_mode", "system_status", "mavlink_version"),
)
COMMAND_LONG = Message(
    76, "COMMAND_LONG", 152, "<7fHBBB", (*_PARAMS, "command", "target_system", "target_component", "confirmation")
)
COMMAND_ACK = Message(
    77,
    "COMMAND_ACK",
    143,
    "<HBBiBB",
    ("command", "result", "progress", "result_param2", "target_system", "target_component"),
)
CAMERA_INFORMATION = Message(259, "CAMERA_INFORMATION", 92, "<IIfffIHHH32s32sB140s", tuple(_CAMERA.split()))
TRACKING_STATUS = Message(275, "CAMERA_TRACKING_IMAGE_STATUS", 126, "<7fBBB", tuple(_STATUS.split()))
MESSAGES = {m.number: m for m in (HEARTBEAT, COMMAND_LONG, COMMAND_ACK, CAMERA_INFORMATION, TRACKING_STATUS)}


@dataclass(frozen=True, slots=True)
class Packet:
    """A message that came in: who sent it, and its fields by name."""

    message: Message
    system: int
    component: int
    values: dict[str, Any]


def crc16(data: bytes, crc: int = 0xFFFF) -> int:
    """The checksum of MAVLink, CRC-16/MCRF4XX.

    >>> hex(crc16(b"123456789"))
    '0x6f91'
    """
    for byte in data:
        byte ^= crc & 0xFF
        byte ^= (byte << 4) & 0xFF
        crc = (crc >> 8) ^ (byte << 8) ^ (byte << 3) ^ (byte >> 4)
    return crc & 0xFFFF


def packed(message: Message, sequence: int, system: int, component: int, **values: float | bytes) -> bytes:
    """One packet of MAVLink 2; fields that are not given are 0."""
    empty = [b"" if kind.endswith("s") else 0 for kind in _kinds(message.form)]
    rows = zip(message.fields, empty, strict=True)
    payload = struct.pack(message.form, *(values.pop(name, nothing) for name, nothing in rows))
    assert not values, f"{message.name} has no {next(iter(values))}"
    payload = payload.rstrip(b"\0") or payload[:1]
    head = struct.pack("<BBBBBB", len(payload), 0, 0, sequence & 0xFF, system, component)
    body = head + message.number.to_bytes(3, "little") + payload
    return bytes([V2]) + body + struct.pack("<H", crc16(body + bytes([message.crc_extra])))


def packets(data: bytes) -> Iterator[Packet]:
    """The packets of a datagram that are of a known kind and whole; everything else is passed over."""
    place = 0
    while place < len(data):
        found, place = _packet(data, place)
        if found is not None:
            yield found


def _packet(data: bytes, place: int) -> tuple[Packet | None, int]:
    """The packet that begins at ``place``, if one does, and where to look for the next."""
    head = {V1: 6, V2: 10}.get(data[place])
    if head is None or len(data) < place + head:
        return None, place + 1
    size = data[place + 1]
    if head == 6:
        system, component, number = data[place + 3 : place + 6]
        tail = 0
    else:
        system, component = data[place + 5 : place + 7]
        number = int.from_bytes(data[place + 7 : place + 10], "little")
        tail = _SIGNATURE_BYTES if data[place + 2] & SIGNED else 0
    end = place + head + size
    message = MESSAGES.get(number)
    if len(data) < end + 2 + tail:
        return None, place + 1
    if message is None:
        return None, end + 2 + tail
    (crc,) = struct.unpack_from("<H", data, end)
    if crc != crc16(data[place + 1 : end] + bytes([message.crc_extra])):
        return None, place + 1
    whole = struct.calcsize(message.form)
    payload = data[place + head : end][:whole].ljust(whole, b"\0")  # MAVLink 2 cuts zeros at the end
    values = dict(zip(message.fields, struct.unpack(message.form, payload), strict=True))
    return Packet(message, system, component, values), end + 2 + tail


def _kinds(form: str) -> list[str]:
    """The letters of a ``struct`` format, one per value: ``<2fH3s`` -> f, f, H, 3s."""
    found, count = [], ""
    for letter in form.lstrip("<"):
        if letter.isdigit():
            count += letter
            continue
        found += [count + letter] if letter == "s" else [letter] * int(count or 1)
        count = ""
    return found
