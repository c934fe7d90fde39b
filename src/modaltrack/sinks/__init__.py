# SPDX-License-Identifier: Apache-2.0
"""The world out: annotated video, box files, result files. No torch in here, and no file is ever half there."""

from modaltrack.sinks.annotated import AnnotatedVideo
from modaltrack.sinks.behind import Behind
from modaltrack.sinks.box_file import write_boxes
from modaltrack.sinks.mjpeg import MjpegStream
from modaltrack.sinks.phases import Phases
from modaltrack.sinks.picture import Canvas, DrawnTarget, draw
from modaltrack.sinks.push import JsonLines, UdpPush
from modaltrack.sinks.result_file import result_document, write_json
from modaltrack.sinks.row_message import RowMessage, offset_from_centre
from modaltrack.sinks.video import VideoWriter
from modaltrack.sinks.websocket import WebSocketPush

__all__ = [
    "AnnotatedVideo",
    "Behind",
    "JsonLines",
    "Canvas",
    "DrawnTarget",
    "MjpegStream",
    "Phases",
    "RowMessage",
    "UdpPush",
    "VideoWriter",
    "WebSocketPush",
    "draw",
    "offset_from_centre",
    "result_document",
    "write_boxes",
    "write_json",
]
