# SPDX-License-Identifier: Apache-2.0
"""A MAVLink camera that tracks: takes a point or a rectangle from a ground station, tells where the target is.

Source: mavlink.io, "Camera Protocol v2", section on camera tracking. Spoken are HEARTBEAT, CAMERA_INFORMATION,
CAMERA_TRACKING_IMAGE_STATUS, and the commands CAMERA_TRACK_POINT, CAMERA_TRACK_RECTANGLE, CAMERA_STOP_TRACKING,
REQUEST_MESSAGE and SET_MESSAGE_INTERVAL.
"""

from __future__ import annotations

import math
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from modaltrack.frame import Row, Status
from modaltrack.integrations.mavlink_wire import (
    CAMERA_INFORMATION,
    COMMAND_ACK,
    COMMAND_LONG,
    HEARTBEAT,
    TRACKING_STATUS,
    Message,
    Packet,
    packed,
    packets,
)
from modaltrack.session.steering import Steering

TRACK_POINT, TRACK_RECTANGLE, STOP_TRACKING = 2004, 2005, 2010
REQUEST_MESSAGE, SET_MESSAGE_INTERVAL, REQUEST_CAMERA_INFORMATION = 512, 511, 521
ACCEPTED, DENIED, UNSUPPORTED = 0, 2, 3  # MAV_RESULT
IDLE, ACTIVE, ERROR = 0, 1, 2  # CAMERA_TRACKING_STATUS_FLAGS
NO_MODE, RECTANGLE = 0, 2  # CAMERA_TRACKING_MODE
IN_STATUS = 4  # CAMERA_TRACKING_TARGET_DATA: the place stands in the status message
CAN_TRACK = 1024 | 2048  # CAMERA_CAP_FLAGS: point and rectangle
TYPE_CAMERA, NO_AUTOPILOT, STATE_ACTIVE, VERSION = 30, 8, 4, 3
POINT_RADIUS = 0.05  # of the image's width, where a point comes without a radius
BEAT_SECONDS, WAIT_SECONDS = 1.0, 0.1


class MavlinkCamera:
    """Speaks for a running session over UDP; an observer and a context. It never waits.

    Only datagrams of ``address`` are heard: whoever can send from there can choose the target.

    Args:
        address: ``HOST:PORT`` of the ground station or router (QGroundControl listens on 14550).
        steering: gets the targets that are asked for.
        identity: ``SYSTEM:COMPONENT``; 100 to 105 are cameras, the system is the vehicle's.

    Raises:
        ValueError: an address or identity that cannot be understood or found.
    """

    def __init__(self, address: str, steering: Steering, identity: str = "1:100") -> None:
        self._steering = steering
        self._system, self._component = _identity(identity)
        self._socket = _connected(address)
        self._sequence, self._lock = 0, threading.Lock()
        self._size = (0, 0)  # width, height
        self._interval, self._sent = 0.0, -math.inf  # seconds between status messages; inf: none
        self._began = time.monotonic()
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._listen, name="modaltrack-mavlink", daemon=True)
        self._thread.start()

    def row(self, row: Row) -> None:
        """Tell where the first target is, as often as was asked for."""
        image = next(iter(row.frame.images.values()), None)
        if image is not None:
            self._size = (int(image.shape[1]), int(image.shape[0]))
        if not all(self._size) or row.finished - self._sent < self._interval * 0.999:
            return
        self._sent = row.finished
        self._send(TRACKING_STATUS, **tracking_status(row.boxes[0], Status(int(row.status[0])), self._size))

    def _listen(self) -> None:
        beat = -math.inf
        while not self._closed.is_set():
            if time.monotonic() - beat >= BEAT_SECONDS:
                beat = time.monotonic()
                about = {"type": TYPE_CAMERA, "autopilot": NO_AUTOPILOT, "system_status": STATE_ACTIVE}
                self._send(HEARTBEAT, **about, mavlink_version=VERSION)
            try:
                data = self._socket.recv(65536)
            except OSError:  # nothing came, or nobody listens there yet
                self._closed.wait(WAIT_SECONDS / 10)
                continue
            for packet in packets(data):
                if packet.message is COMMAND_LONG and self._is_meant(packet):
                    self._obey(packet)

    def _is_meant(self, packet: Packet) -> bool:
        of = packet.values
        return of["target_system"] in (0, self._system) and of["target_component"] in (0, self._component)

    def _obey(self, packet: Packet) -> None:
        """Do what a command says, and answer it; unknown commands to everybody are not this camera's to refuse."""
        command, values = int(packet.values["command"]), packet.values
        first, second, third, fourth = (float(values[f"param{k}"]) for k in (1, 2, 3, 4))
        result, then = ACCEPTED, None
        if command == TRACK_POINT:
            result = self._choose(box_of_point(first, second, third))
        elif command == TRACK_RECTANGLE:
            result = self._choose(box_of_rectangle(first, second, third, fourth))
        elif command == STOP_TRACKING:
            self._steering.stop()
        elif command == REQUEST_CAMERA_INFORMATION or (command, first) == (REQUEST_MESSAGE, CAMERA_INFORMATION.number):
            then = self._describe
        elif (command, first) == (SET_MESSAGE_INTERVAL, TRACKING_STATUS.number):
            self._interval = math.inf if second < 0 else max(second, 0) / 1e6
        elif values["target_component"] == 0:
            return
        else:
            result = UNSUPPORTED
        back = {"target_system": packet.system, "target_component": packet.component}
        self._send(COMMAND_ACK, command=command, result=result, **back)
        if then is not None:
            then()

    def _choose(self, box: Callable[[int, int], NDArray[np.float64]] | None) -> int:
        if box is None:
            return DENIED
        self._steering.choose(box)
        return ACCEPTED

    def _describe(self) -> None:
        width, height = self._size
        self._send(
            CAMERA_INFORMATION,
            time_boot_ms=int(1000 * (time.monotonic() - self._began)) & 0xFFFFFFFF,
            focal_length=math.nan,
            sensor_size_h=math.nan,
            sensor_size_v=math.nan,
            flags=CAN_TRACK,
            resolution_h=width,
            resolution_v=height,
            vendor_name=b"modaltrack",
            model_name=b"tracker",
        )

    def _send(self, message: Message, **values: float | bytes) -> None:
        with self._lock:
            data = packed(message, self._sequence, self._system, self._component, **values)
            self._sequence += 1
        with suppress(OSError):  # nobody listens there yet, or the buffer is full: the next one counts
            self._socket.send(data)

    def __enter__(self) -> MavlinkCamera:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closed.set()
        self._thread.join()
        self._socket.close()


def box_of_point(x: float, y: float, radius: float) -> Callable[[int, int], NDArray[np.float64]] | None:
    """Height and width -> (4,) xywh of a square around a point; None where it lies outside the image.

    Args:
        x, y: shares of width and height, 0 left and top.
        radius: share of the width; 0 or nan: ``POINT_RADIUS``.
    """
    if not (0 <= x <= 1 and 0 <= y <= 1):
        return None
    half = radius if 0 < radius <= 1 else POINT_RADIUS
    return lambda height, width: np.array(
        [x * width - half * width, y * height - half * width, 2 * half * width, 2 * half * width]
    )


def box_of_rectangle(
    left: float, top: float, right: float, bottom: float
) -> Callable[[int, int], NDArray[np.float64]] | None:
    """Height and width -> (4,) xywh of a rectangle given by its corners as shares; None where it is none."""
    if not (0 <= left < right <= 1 and 0 <= top < bottom <= 1):
        return None
    return lambda height, width: np.array([left * width, top * height, (right - left) * width, (bottom - top) * height])


def tracking_status(box: NDArray[np.float64], status: Status, size: tuple[int, int]) -> dict[str, float]:
    """The fields of CAMERA_TRACKING_IMAGE_STATUS: shares of the image; nan where nothing is tracked or known.

    Args:
        box: (4,) xywh pixels, nan while idle.
        status: LOST is told as an error, with no place: the box stands where the target was last seen.
        size: width and height of the image in pixels.
    """
    nowhere = dict.fromkeys(("point_x", "point_y", "radius", *_CORNERS), math.nan)
    if not np.isfinite(box).all():
        return {**nowhere, "tracking_status": IDLE, "tracking_mode": NO_MODE, "target_data": IN_STATUS}
    facts = {"tracking_mode": RECTANGLE, "target_data": IN_STATUS}
    if status is Status.LOST:
        return {**nowhere, "tracking_status": ERROR, **facts}
    corners = np.concatenate([box[:2], box[:2] + box[2:]]) / np.array(size * 2)
    places = dict(zip(_CORNERS, (float(v) for v in np.clip(corners, 0, 1)), strict=True))
    return {**nowhere, **places, "tracking_status": ACTIVE, **facts}


_CORNERS = ("rec_top_x", "rec_top_y", "rec_bottom_x", "rec_bottom_y")


def _identity(text: str) -> tuple[int, int]:
    system, _, component = text.partition(":")
    if not (system.isdecimal() and component.isdecimal() and 0 < int(system) < 256 and 0 < int(component) < 256):
        raise ValueError(
            f"The MAVLink identity {text!r} is not SYSTEM:COMPONENT; give two numbers from 1 to 255, 1:100."
        )
    return int(system), int(component)


def _connected(address: str) -> socket.socket:
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise ValueError(f"The MAVLink address {address!r} is not HOST:PORT; give for example 127.0.0.1:14550.")
    try:
        family, kind, protocol, _, place = socket.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_DGRAM)[0]
        made = socket.socket(family, kind, protocol)
        made.settimeout(WAIT_SECONDS)
        made.connect(place)
    except (OSError, UnicodeError) as error:
        raise ValueError(
            f"The MAVLink address {address!r} cannot be reached ({error}); check the host's name."
        ) from None
    return made
