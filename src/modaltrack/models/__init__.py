# SPDX-License-Identifier: Apache-2.0
"""Trackers' networks: one method per file, built by name. ``list_models()`` says which."""

from modaltrack.models.authors import Coverage, from_authors, start_from
from modaltrack.models.model import Model, ModelConfig, TorchModel
from modaltrack.models.prediction import Prediction
from modaltrack.models.registry import config_of, create, list_models, register
from modaltrack.models.weights_io import load_model, load_torch_model, pick_device, read_weights, save_model

__all__ = [
    "Coverage",
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
