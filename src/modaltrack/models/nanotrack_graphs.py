# SPDX-License-Identifier: Apache-2.0
"""Reads NanoTrack's two ONNX graphs (backbone and head) into ``NanoTrack`` and checks the network against them.

The tensors are taken in the graphs' order of execution, which is trusted only as far as ONNX Runtime's answers agree.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from modaltrack.extras import need
from modaltrack.files import checksum
from modaltrack.models.nanotrack import NanoTrack, NanoTrackConfig
from modaltrack.models.weights_io import save_model
from modaltrack.sources.encodings import DEFAULT_ENCODING

TOLERANCE = 1e-4  # relative to the largest value of a map; the third version reaches 2e-6
_WHAT = "expected the backbone and the head of NanoTrack v3, two .onnx files"


Layer = tuple[NDArray[np.float32], NDArray[np.float32]]  # weight (out, in / groups, k, k) and bias (out,)


def read_nanotrack(backbone: Path, head: Path) -> tuple[NanoTrack, float]:
    """The model of two published files, and the largest difference of its maps from ONNX Runtime's, relative to each
    map's largest value.

    Raises:
        ValueError: for files that are something else, or where the difference is above ``TOLERANCE``.
    """
    need(("onnx", "onnxruntime"), "Reading .onnx files")
    model = NanoTrack(NanoTrackConfig()).eval()
    _fill([model.backbone], _layers(backbone), backbone)
    kind, box = model.head.classes, model.head.box
    parts = [box.pixels, kind.pixels, box.channels, kind.channels, box.join, kind.join]
    _fill([*parts, kind.tower, kind.read, box.tower, box.read], _layers(head), head)
    difference = compare(model, backbone, head)
    if not difference <= TOLERANCE:
        raise ValueError(
            f"The network rebuilt from {backbone.name} and {head.name} differs from what ONNX Runtime computes "
            f"with them by {difference:.1e} of the largest value; they are of a version that is not known here."
        )
    return model, difference


def import_nanotrack(backbone: Path, head: Path, out: Path, *, name: str | None = None) -> dict[str, Any]:
    """Write the model of two published files as the weight file ``out``; -> its card. Raises as ``read_nanotrack``."""
    if out.suffix != ".safetensors":
        raise ValueError(f"The weights go into a .safetensors file and {out} was given; change the end of its name.")
    model, difference = read_nanotrack(backbone, head)
    card: dict[str, Any] = {
        "name": name or out.stem,
        "method": "nanotrack",
        "size": "v3",
        "encodings": {str(m): DEFAULT_ENCODING[m] for m in model.config.modalities},
        "thresholds": None,
        "recipe": "the authors'",
        "origin": [{"file": f.name, "sha256": checksum(f)} for f in (backbone, head)],
        "coverage": f"all layers; the maps differ from ONNX Runtime's by {difference:.1e} of their largest value",
        "measured": {},
        "licence": "Apache-2.0 (the authors')",
    }
    save_model(model, out, card, dtype=torch.float32)
    return card


def head_beside(backbone: Path) -> Path:
    """The head that lies beside a backbone under the authors' names."""
    return backbone.with_name(backbone.name.replace("backbone", "head"))


def _layers(path: Path) -> list[Layer]:
    """Convolutions and linear layers that have weights, in order of execution."""
    import onnx
    from onnx import numpy_helper

    if not path.is_file():
        raise ValueError(f"There is no file {path}; {_WHAT}.")
    try:
        graph = onnx.load(str(path), load_external_data=False).graph
    except Exception as error:  # protobuf's own errors, which are of no common class
        raise ValueError(f"{path} is not a whole ONNX file; {_WHAT}.") from error
    values = {one.name: one for one in graph.initializer}
    layers = []
    for node in graph.node:
        if node.op_type not in ("Conv", "Gemm") or len(node.input) < 3 or node.input[1] not in values:
            continue
        weight, bias = (np.array(numpy_helper.to_array(values[name]), np.float32) for name in node.input[1:3])
        if node.op_type == "Gemm" and not any(a.name == "transB" and a.i for a in node.attribute):
            weight = weight.T
        layers.append((weight, bias))
    if not layers:
        raise ValueError(f"{path} has no convolutions; {_WHAT}.")
    return layers


def _fill(parts: Sequence[nn.Module], layers: Sequence[Layer], path: Path) -> None:
    """Give the parts' convolutions and linear layers, in order of definition, the graph's tensors."""
    own = [m for part in parts for m in part.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    if len(own) != len(layers):
        raise ValueError(f"{path} has {len(layers)} convolutions where {len(own)} were expected; {_WHAT}.")
    for number, (module, (weight, bias)) in enumerate(zip(own, layers)):
        assert module.bias is not None
        if tuple(module.weight.shape) != weight.shape or tuple(module.bias.shape) != bias.shape:
            shape = tuple(module.weight.shape)
            raise ValueError(f"{path}: convolution {number} is {weight.shape} instead of {shape}; {_WHAT}.")
        module.weight.data.copy_(torch.from_numpy(weight))
        module.bias.data.copy_(torch.from_numpy(bias))


@torch.inference_mode()
def compare(model: NanoTrack, backbone: Path, head: Path) -> float:
    """Largest difference of features, class logits and box distances from ONNX Runtime's on drawn pictures."""
    c, generator = model.config, torch.Generator().manual_seed(0)
    images = [torch.rand(1, 3, size, size, generator=generator) * 255 for size in (c.template_size, c.search_size)]
    # pictures, not noise: noise has no edges, and all of its features are alike
    images = [nn.functional.avg_pool2d(image, 9, 1, 4) * 3 - 255 for image in images]
    z, x = (model.backbone(image) for image in images)
    features = _run(backbone, [images[1]])[0]
    found = model.head(z, x)
    pairs = [(x, features), *zip((found.classes, found.log_distances.exp()), _run(head, [z, x]))]
    return max(float((a - b).abs().max() / b.abs().max()) if a.shape == b.shape else np.inf for a, b in pairs)


def _run(path: Path, inputs: Sequence[Tensor]) -> list[Tensor]:
    """What ONNX Runtime answers, in order of the graph's outputs."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 3
    try:
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        feed: Mapping[str, Any] = {one.name: tensor.numpy() for one, tensor in zip(session.get_inputs(), inputs)}
        return [torch.from_numpy(np.asarray(answer)) for answer in session.run(None, feed)]
    except Exception as error:  # ONNX Runtime's own errors, which are of no common class
        reason = " ".join(str(error).split())
        raise ValueError(f"ONNX Runtime cannot run {path} ({reason:.160}); {_WHAT}.") from error
