# SPDX-License-Identifier: Apache-2.0
"""Follow a target, given once as a box, through any mix of visible, thermal, depth and event cameras.

This is the index of the manual: the names below are the whole public face. They are looked up on first use, so that
``import modaltrack`` (and with it ``modaltrack --help``) takes milliseconds and never imports torch by itself.

>>> from modaltrack import Modality
>>> Modality("thermal")
<Modality.THERMAL: 'thermal'>
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from modaltrack import scenes
    from modaltrack.frame import Clip, Frame, Modality, Result, State, Status
    from modaltrack.models import list_models
    from modaltrack.runtime import load_model
    from modaltrack.scoring import mean_iou, precision_at, success_auc
    from modaltrack.sources import open_clip, open_source
    from modaltrack.tracking import Tracker, track

# name -> (module, attribute); an empty attribute stands for the module itself
_HOME = {
    "Modality": ("modaltrack.frame", "Modality"),
    "Status": ("modaltrack.frame", "Status"),
    "Frame": ("modaltrack.frame", "Frame"),
    "Clip": ("modaltrack.frame", "Clip"),
    "State": ("modaltrack.frame", "State"),
    "Result": ("modaltrack.frame", "Result"),
    "load_model": ("modaltrack.runtime", "load_model"),
    "list_models": ("modaltrack.models", "list_models"),
    "open_clip": ("modaltrack.sources", "open_clip"),
    "open_source": ("modaltrack.sources", "open_source"),
    "Tracker": ("modaltrack.tracking", "Tracker"),
    "track": ("modaltrack.tracking", "track"),
    "success_auc": ("modaltrack.scoring", "success_auc"),
    "precision_at": ("modaltrack.scoring", "precision_at"),
    "mean_iou": ("modaltrack.scoring", "mean_iou"),
    "scenes": ("modaltrack.scenes", ""),
}

# packages that are there after a plain ``import modaltrack``
_ROOMS = {
    "benchmarks",
    "boxes",
    "export",
    "models",
    "runtime",
    "results",
    "scoring",
    "session",
    "sinks",
    "sources",
    "tracking",
    "vision",
}

__all__ = [
    "Modality",
    "Status",
    "Frame",
    "Clip",
    "State",
    "Result",
    "load_model",
    "list_models",
    "open_clip",
    "open_source",
    "Tracker",
    "track",
    "success_auc",
    "precision_at",
    "mean_iou",
    "scenes",
    "__version__",
]


def __getattr__(name: str) -> Any:
    if name in _ROOMS:
        return import_module(f"modaltrack.{name}")
    try:
        module, attribute = _HOME[name]
    except KeyError:
        raise AttributeError(f"module 'modaltrack' has no attribute '{name}'") from None
    home = import_module(module)
    return getattr(home, attribute) if attribute else home


def __dir__() -> list[str]:
    return sorted(__all__)
