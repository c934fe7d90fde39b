# SPDX-License-Identifier: Apache-2.0
"""Models by name or file, in the runtime that is asked for."""

from __future__ import annotations

import importlib.util
import tempfile
import warnings
from pathlib import Path

import torch

from modaltrack.export import Declaration, check_form, export_graph
from modaltrack.export.graph import FORMATS
from modaltrack.export.parity import BOUNDS, crops_of, rendered
from modaltrack.frame import Modality
from modaltrack.models.late_fusion import PREFIX
from modaltrack.models.model import Model, TorchModel
from modaltrack.models.weights_io import load_torch_model
from modaltrack.runtime.exported import ExportedModel, Sensors, read_exported
from modaltrack.runtime.sessions import Session, open_session

RUNTIMES = ("torch", "onnx", "openvino", "auto")


def load_model(
    name_or_path: str | Path, device: str | torch.device = "auto", runtime: str = "", precision: str = ""
) -> Model:
    """The model of a shipped name, a weight file, or an exported file or folder, ready to track with.

    Args:
        name_or_path: "late:NAME" is that model run on each sensor and fused late.
        device: of torch; the other runtimes compute on the CPU. "auto" takes a GPU if there is one.
        runtime: "torch", "onnx", "openvino", or "auto": the fastest installed one whose maps agree with torch's to
            float32's rounding. By default torch, and for an exported file that of its kind.
        precision: "fp32" (default, and all that torch has here), "bf16", "fp16" (OpenVINO) or "int8".

    Raises:
        ValueError: in one sentence, for anything wrong with the file, and for what is not installed.
    """
    if runtime not in ("", *RUNTIMES):
        raise ValueError(f"There is no runtime {runtime!r}; use one of {', '.join(RUNTIMES)}.")
    if precision not in ("", *BOUNDS):
        raise ValueError(f"There is no precision {precision!r}; use one of {', '.join(BOUNDS)}.")
    path = Path(name_or_path)
    if path.suffix in FORMATS.values() or (path.is_dir() and not str(name_or_path).startswith(PREFIX)):
        if runtime == "torch":
            raise ValueError(f"{path} is an exported graph, which torch does not run; use --runtime onnx or openvino.")
        if str(name_or_path).startswith(PREFIX):
            raise ValueError("Late fusion is exported as a whole: modaltrack export late:NAME --sensors rgb+thermal.")
        return read_exported(path, "" if runtime == "auto" else runtime, precision)
    if runtime in ("", "torch"):
        if precision not in ("", "fp32"):
            raise ValueError(f"Torch runs in fp32 here and {precision} was asked for; use --runtime openvino.")
        return load_torch_model(name_or_path, device)
    model = load_torch_model(name_or_path, "cpu")
    if runtime == "auto":
        return fastest(model, precision)
    return exported_on_demand(model, runtime, precision or "fp32")


def fastest(model: TorchModel, precision: str = "") -> Model:
    """``model`` in the first of OpenVINO and ONNX Runtime that is installed and agrees, else in torch."""
    if precision not in ("", "fp32"):
        raise ValueError(f"--runtime auto is exact and {precision} is not; ask for a runtime by its name.")
    sensors = (Modality.RGB,) if Modality.RGB in model.config.modalities else model.config.modalities[:1]
    crops = crops_of(model, rendered(sensors, 1, 2), sensors, 2)
    for runtime in ("openvino", "onnx"):
        if any(importlib.util.find_spec(name) is None for name in ("onnx", "onnxscript", _package(runtime))):
            continue
        made = exported_on_demand(model, runtime, "fp32")
        if all(_difference(model, made, one, sensors) <= BOUNDS["fp32"][0] for one in crops):
            return made
        warnings.warn(f"{runtime} differs from torch by more than float32's rounding and is not taken.", stacklevel=3)
    return model


def _package(runtime: str) -> str:
    return "openvino" if runtime == "openvino" else "onnxruntime"


@torch.inference_mode()
def _difference(model: Model, other: Model, one: dict[str, object], sensors: Sensors) -> float:
    images = [{m: torch.as_tensor(one[f"{role}_{m}"]) for m in sensors} for role in ("template", "search")]
    return max(float((a - b).abs().max()) for a, b in zip(model(*images)[:3], other(*images)[:3]))


def exported_on_demand(model: TorchModel, runtime: str, precision: str) -> ExportedModel:
    """``model`` by graphs that are exported when a set of sensors is first seen, which takes some seconds each."""
    check_form(runtime, precision)

    def make(sensors: Sensors) -> Session:
        crops = crops_of(model, rendered(sensors), sensors, 16) if precision == "int8" else ()
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / f"graph{FORMATS[runtime]}"
            export_graph(model, sensors, path, form=runtime, precision=precision, crops=crops)
            return open_session(path)

    declared = Declaration.of(model, model.config.modalities, 1, precision, False)
    card = {**model.card, "runtime": runtime, "precision": precision}
    return ExportedModel(declared, card, {}, make)
