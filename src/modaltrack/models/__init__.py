# SPDX-License-Identifier: Apache-2.0
"""Trackers' networks: one method per file, built by name. ``list_models()`` says which."""

from modaltrack.models.prediction import Prediction
from modaltrack.models.registry import config_of, create, list_models, register

__all__ = ["Prediction", "config_of", "create", "list_models", "register"]
