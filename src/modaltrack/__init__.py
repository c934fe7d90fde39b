# SPDX-License-Identifier: Apache-2.0
"""Follow a target, given once as a box, through any mix of visible, thermal, depth and event cameras.

This is the index of the manual: the names below are the whole public face. They are looked up on first use, so that
``import modaltrack`` (and with it ``modaltrack --help``) takes milliseconds and never imports torch by itself.

>>> from modaltrack import Modality
>>> Modality("thermal")
<Modality.THERMAL: 'thermal'>
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from modaltrack.lazy import on_demand

__version__ = "0.2.0"

if TYPE_CHECKING:
    from modaltrack import (
        benchmarks,
        boxes,
        evaluation,
        export,
        integrations,
        labels,
        models,
        report,
        results,
        runtime,
        scenes,
        scoring,
        session,
        sinks,
        sources,
        tracking,
        training,
        truth,
        vision,
    )
    from modaltrack.frame import Clip, Frame, Modality, Result, State, Status
    from modaltrack.models import Model, list_models
    from modaltrack.runtime import load_model
    from modaltrack.scoring import mean_iou, precision_at, success_auc
    from modaltrack.sources import ClipReader, Source, open_clip, open_source
    from modaltrack.tracking import Policy, TrackedBox, Tracker, track

__all__ = [
    "Modality",
    "Status",
    "Frame",
    "Clip",
    "State",
    "Result",
    "Model",
    "load_model",
    "list_models",
    "ClipReader",
    "Source",
    "open_clip",
    "open_source",
    "Policy",
    "TrackedBox",
    "Tracker",
    "track",
    "success_auc",
    "precision_at",
    "mean_iou",
    "benchmarks",
    "boxes",
    "evaluation",
    "export",
    "integrations",
    "labels",
    "models",
    "report",
    "results",
    "runtime",
    "scenes",
    "scoring",
    "session",
    "sinks",
    "sources",
    "tracking",
    "training",
    "truth",
    "vision",
    "__version__",
]

if not TYPE_CHECKING:
    __getattr__ = on_demand(
        __name__,
        {
            "frame": ("Clip", "Frame", "Modality", "Result", "State", "Status"),
            "models": ("Model", "list_models"),
            "runtime": ("load_model",),
            "scoring": ("mean_iou", "precision_at", "success_auc"),
            "sources": ("ClipReader", "Source", "open_clip", "open_source"),
            "tracking": ("Policy", "TrackedBox", "Tracker", "track"),
        },
        rooms=__all__,
    )


def __dir__() -> list[str]:
    return sorted(__all__)
