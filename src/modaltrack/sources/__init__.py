# SPDX-License-Identifier: Apache-2.0
"""The world in: folders, videos, cameras, streams and event recordings become frames.

``open_source`` opens one sensor, ``open_clip`` several together, ``open_folder`` a folder in this package's own layout.
"""

from modaltrack.sources.clip import ClipReader
from modaltrack.sources.encodings import DEFAULT_ENCODING, ENCODINGS, encode
from modaltrack.sources.layout import open_folder, read_boxes
from modaltrack.sources.live import LivePolicy
from modaltrack.sources.notices import SourceWarning
from modaltrack.sources.opening import open_clip
from modaltrack.sources.recording import Recording
from modaltrack.sources.replay import RecordedClip, open_recording
from modaltrack.sources.source import Source, open_source

__all__ = [
    "DEFAULT_ENCODING",
    "ENCODINGS",
    "ClipReader",
    "LivePolicy",
    "RecordedClip",
    "Recording",
    "Source",
    "SourceWarning",
    "encode",
    "open_clip",
    "open_folder",
    "open_recording",
    "open_source",
    "read_boxes",
]
