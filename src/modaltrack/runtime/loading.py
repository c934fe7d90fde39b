# SPDX-License-Identifier: Apache-2.0
"""Models by name or file, in the runtime that is asked for."""

from __future__ import annotations

import time
import warnings
from pathlib import Path

import torch

from modaltrack.export import FORMATS, Declaration, check_form, export_graph
from modaltrack.export.parity import BOUNDS, crops_of, pixels_of, rendered
from modaltrack.extras import RUNTIME_PACKAGES, missing, need
from modaltrack.frame import Modality
from modaltrack.models.late_fusion import PREFIX
from modaltrack.models.model import Model, TorchModel
from modaltrack.models.weights_io import load_torch_model, pick_device
from modaltrack.runtime.exported import ExportedModel, Sensors, read_exported
from modaltrack.runtime.kept import kept_graph, key_of
from modaltrack.runtime.sessions import GraphSession, open_session
from modaltrack.vision import normalise

RUNTIMES = ("torch", "onnx", "openvino", "auto")
TRIALS = 4  # passes of each runtime, of which the shortest counts: the first of them is slow everywhere


def load_model(
    name_or_path: str | Path, device: str | torch.device = "auto", runtime: str = "", precision: str = ""
) -> Model:
    """The model of a shipped name, a weight file, or an exported file or folder, ready to track with.

    Args:
        name_or_path: "late:NAME" is that model run on each sensor and fused late.
        device: of torch; the other runtimes compute on the CPU. "auto" takes a GPU if there is one.
        runtime: "torch", "onnx", "openvino", or "auto": the fastest installed one whose maps agree with torch's to
            float32's rounding (torch where there is a GPU). By default torch, and for an exported file that of its
            kind. Graphs of a model that is not exported yet are made when they are first needed, and kept in the user's
            cache folder.
        precision: "fp32" (default, and all that torch has here), "fp16" (weights stored so), "bf16" (OpenVINO), "int8".

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
        _only_cpu(device, f"The exported graph {path}")
        return read_exported(path, "" if runtime == "auto" else runtime, precision)
    if runtime in ("", "torch"):
        if precision not in ("", "fp32"):
            raise ValueError(f"Torch runs in fp32 here and {precision} was asked for; use --runtime openvino.")
        return load_torch_model(name_or_path, device)
    if runtime == "auto":
        if precision not in ("", "fp32"):
            raise ValueError(f"--runtime auto is exact and {precision} is not; ask for a runtime by its name.")
        if pick_device(device).type != "cpu":
            return load_torch_model(name_or_path, device)
        return fastest(load_torch_model(name_or_path, "cpu"))
    _only_cpu(device, f"--runtime {runtime}")
    check_form(runtime, precision or "fp32")  # before weights are read: what is not installed is said at once
    return exported_on_demand(load_torch_model(name_or_path, "cpu"), runtime, precision or "fp32")


def _only_cpu(device: str | torch.device, what: str) -> None:
    if str(device) not in ("auto", "cpu"):
        raise ValueError(f"{what} computes on the CPU and --device {device} was asked for; leave one of them out.")


def fastest(model: TorchModel) -> Model:
    """``model`` in the fastest of torch and the installed runtimes whose maps agree with torch's.

    The fastest is the one with the shortest of a few passes in turns, with RGB and the first other sensor.
    """
    known = model.config.modalities
    sensors = tuple(known[:1] if model.one_sensor or Modality.RGB not in known else known[:2])
    samples = [_noise(model, sensors, seed) for seed in range(2)]
    candidates: dict[str, Model] = {"torch": model}
    for runtime in ("openvino", "onnx"):
        if missing(RUNTIME_PACKAGES[runtime]):
            continue
        made = exported_on_demand(model, runtime, "fp32")
        if all(_difference(model, made, one) <= BOUNDS["fp32"][0] for one in samples):
            candidates[runtime] = made
        else:
            warnings.warn(
                f"{runtime} differs from torch by more than float32's rounding and is not taken.", stacklevel=3
            )
    if len(candidates) == 1:
        return model
    shortest = dict.fromkeys(candidates, float("inf"))
    for _ in range(TRIALS):
        for name, one in candidates.items():
            began = time.perf_counter()
            _maps(one, samples[0])
            shortest[name] = min(shortest[name], time.perf_counter() - began)
    return candidates[min(shortest, key=lambda name: shortest[name])]


Sample = list[dict[Modality, torch.Tensor]]  # template and search


def _noise(model: Model, sensors: Sensors, seed: int) -> Sample:
    """Crops that have every frequency."""
    generator = torch.Generator().manual_seed(seed)
    sizes = (model.config.template_size, model.config.search_size)
    drawn = [{m: torch.randint(0, 256, (1, 3, s, s), generator=generator) for m in sensors} for s in sizes]
    return [{m: normalise(image.float() / 255) for m, image in images.items()} for images in drawn]


@torch.inference_mode()
def _maps(model: Model, sample: Sample) -> tuple[torch.Tensor, ...]:
    """Score, size and offset maps, of pixels where the tracker would give them."""
    template, search = sample
    return tuple(model(template, pixels_of(search) if model.takes_pixels else search)[:3])


def _difference(model: Model, other: Model, sample: Sample) -> float:
    return max(float((a - b).abs().max()) for a, b in zip(_maps(model, sample), _maps(other, sample)))


def exported_on_demand(model: TorchModel, runtime: str, precision: str) -> ExportedModel:
    """``model`` by graphs that are exported when a set of sensors is first seen, which takes some seconds each.

    They are kept in the user's cache folder, as ONNX for every runtime (OpenVINO reads it), by what they are made of.
    """
    check_form(runtime, precision)
    need(RUNTIME_PACKAGES["onnx"][:2], "Exporting a graph")
    stored = "fp32" if precision == "bf16" else precision  # bf16 is a way to compute, not to store

    def make(sensors: Sensors) -> GraphSession:
        def write(path: Path) -> None:
            crops = crops_of(model, rendered(sensors), sensors, 16) if precision == "int8" else ()
            export_graph(model, sensors, path, form="onnx", precision=stored, crops=crops)

        def usable(path: Path) -> bool:
            try:
                return opened(path).declaration.sensors == sensors
            except ValueError:
                return False

        def opened(path: Path) -> GraphSession:
            return open_session(path, runtime, "bf16" if precision == "bf16" else "")

        return opened(kept_graph(key_of(model, stored, *sensors), write, usable))

    declared = Declaration.of(model, model.config.modalities, 1, precision, False)
    card = {**model.card, "runtime": runtime, "precision": precision}
    return ExportedModel(declared, card, {}, make)
