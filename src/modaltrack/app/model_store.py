# SPDX-License-Identifier: Apache-2.0
"""Models by name, loaded once; what there is to choose from."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import TYPE_CHECKING

from modaltrack.extras import RUNTIME_PACKAGES, missing

if TYPE_CHECKING:
    from modaltrack.models import Model

KEPT = 4


class ModelStore:
    """Loads models and keeps the newest few. Thread-safe.

    Args:
        device: of torch.
    """

    def __init__(self, device: str = "auto") -> None:
        self._device = device
        self._lock = threading.Lock()
        self._models: OrderedDict[tuple[str, str, str], Model] = OrderedDict()

    def load(self, name: str, runtime: str = "", precision: str = "") -> Model:
        """The model, as ``modaltrack.load_model`` gives it."""
        from modaltrack.runtime import load_model

        key = (name, runtime, precision)
        with self._lock:
            if key not in self._models:
                self._models[key] = load_model(name, self._device, runtime, precision)
                while len(self._models) > KEPT:
                    self._models.popitem(last=False)
            self._models.move_to_end(key)
            return self._models[key]


def choices() -> dict[str, list[str]]:
    """Names of models that come with the package, and runtimes that are installed."""
    from modaltrack.models.zoo import SHIPPED

    names = [shipped.name for shipped in SHIPPED]
    runtimes = [runtime for runtime, packages in RUNTIME_PACKAGES.items() if not missing(packages)]
    return {"models": names, "runtimes": ["torch", *runtimes]}
