# SPDX-License-Identifier: Apache-2.0
"""The table of sensors: a new one begins with a line here. Without numpy, so that listing options is instant."""

from __future__ import annotations

from enum import StrEnum


class Modality(StrEnum):
    """A kind of sensor. A modality is a key of a mapping, never a range of channels."""

    RGB = "rgb"
    THERMAL = "thermal"
    DEPTH = "depth"
    EVENT = "event"
