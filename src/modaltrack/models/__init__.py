# SPDX-License-Identifier: Apache-2.0
"""Trackers' networks: one method per file, built by name. ``list_models()`` says which.

Looked up on first use: what only lists or fetches weights does not wait for torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from modaltrack.lazy import on_demand

if TYPE_CHECKING:
    from modaltrack.models.authors import from_authors
    from modaltrack.models.copies import Coverage, start_from
    from modaltrack.models.model import Model, ModelConfig, TorchModel
    from modaltrack.models.prediction import Prediction
    from modaltrack.models.registry import DataclassConfig, config_of, create, list_models, register
    from modaltrack.models.weights_io import load_model, load_torch_model, pick_device, read_weights, save_model

__all__ = [
    "Coverage",
    "DataclassConfig",
    "Model",
    "ModelConfig",
    "Prediction",
    "TorchModel",
    "config_of",
    "create",
    "from_authors",
    "list_models",
    "load_model",
    "load_torch_model",
    "pick_device",
    "read_weights",
    "register",
    "save_model",
    "start_from",
]

if not TYPE_CHECKING:
    __getattr__ = on_demand(
        __name__,
        {
            "authors": ("from_authors",),
            "copies": ("Coverage", "start_from"),
            "model": ("Model", "ModelConfig", "TorchModel"),
            "prediction": ("Prediction",),
            "registry": ("DataclassConfig", "config_of", "create", "list_models", "register"),
            "weights_io": ("load_model", "load_torch_model", "pick_device", "read_weights", "save_model"),
        },
    )
