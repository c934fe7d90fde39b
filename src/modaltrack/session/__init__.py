# SPDX-License-Identifier: Apache-2.0
"""The one loop over frames, with its clock and its records; what steps is an ``Engine``, here without torch."""

from modaltrack.session.clock import Clock
from modaltrack.session.inputs import FrameLike, as_frame
from modaltrack.session.latency import Latency
from modaltrack.session.loop import Answer, Engine, Failure, Job, Opened, Session
from modaltrack.session.steering import SteeredEngine, Steering

__all__ = [
    "Answer",
    "Clock",
    "Engine",
    "Failure",
    "FrameLike",
    "Job",
    "Latency",
    "Opened",
    "Session",
    "SteeredEngine",
    "Steering",
    "as_frame",
]
