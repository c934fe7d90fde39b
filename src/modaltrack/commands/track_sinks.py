# SPDX-License-Identifier: Apache-2.0
"""Where the rows of ``track`` go while they come."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import ExitStack
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from modaltrack.commands.track_options import Asked, Options
    from modaltrack.frame import Row
    from modaltrack.session import Steering


def opened_sinks(
    options: Options, asked: Asked, stop: threading.Event, stack: ExitStack
) -> tuple[list[Callable[[Row], None]], Steering | None]:
    """The observers that the options ask for, opened and entered into ``stack``, and who may choose the target.

    Args:
        stop: set when the reader of a pipe has gone.

    Raises:
        ValueError: a place that cannot be written to, sent to or listened on.
    """
    from modaltrack.commands.terminal import err
    from modaltrack.sinks import JsonLines, MjpegStream, RowMessage, UdpPush, WebSocketPush

    if options.dead_band and options.jsonl is None and options.udp is None and options.ws is None:
        raise ValueError("--dead-band belongs to the messages of --jsonl, --udp and --ws; pass one of them.")
    observers: list[Callable[[Row], None]] = []
    listening = []
    if options.jsonl is not None:
        observers.append(stack.enter_context(JsonLines(options.jsonl, RowMessage(options.dead_band), stop)).row)
    if options.udp is not None:
        observers.append(stack.enter_context(UdpPush(options.udp, RowMessage(options.dead_band))).row)
    if options.ws is not None:
        push = stack.enter_context(WebSocketPush(options.ws, RowMessage(options.dead_band)))
        observers.append(push.row)
        listening.append(f"boxes at {push.url}")
    if options.mjpeg is not None:
        stream = stack.enter_context(MjpegStream(options.mjpeg, tuple(asked.specs)))
        observers.append(stream.row)
        listening.append(f"pictures at {stream.url}")
    steering = None
    if options.mavlink is not None:
        from modaltrack.integrations import MavlinkCamera
        from modaltrack.session import Steering

        steering = Steering()
        camera = stack.enter_context(MavlinkCamera(options.mavlink, steering, options.mavlink_id))
        observers.append(camera.row)
    for where in listening:
        err().print(where, markup=False, highlight=False)
    return observers, steering
