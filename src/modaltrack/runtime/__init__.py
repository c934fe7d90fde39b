# SPDX-License-Identifier: Apache-2.0
"""One ``Model`` over every runtime: torch, ONNX Runtime, OpenVINO."""

from modaltrack.runtime.exported import ExportedConfig, ExportedModel, read_exported
from modaltrack.runtime.loading import RUNTIMES, load_model

__all__ = ["RUNTIMES", "ExportedConfig", "ExportedModel", "load_model", "read_exported"]
