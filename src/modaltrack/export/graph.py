# SPDX-License-Identifier: Apache-2.0
"""Writes one graph of a model, for one set of sensors and one batch size: images in, maps out."""

from __future__ import annotations

import json
import logging
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from modaltrack.export.declaration import CARD_KEY, Declaration
from modaltrack.extras import RUNTIME_PACKAGES, need
from modaltrack.files import replacing, write_file
from modaltrack.frame import Modality
from modaltrack.models.model import TorchModel

if TYPE_CHECKING:
    import onnx

FORMATS = {"onnx": ".onnx", "openvino": ".xml"}
PRECISIONS = {"onnx": ("fp32", "fp16", "int8"), "openvino": ("fp32", "fp16", "bf16", "int8")}
LARGEST_HALF = 65504.0
SMALL = 256  # numbers of a weight below which 16 bits save nothing: scales, biases


def check_form(form: str, precision: str) -> None:
    """ValueError for an unknown format, a precision that it has not, or packages that are not installed."""
    if form not in FORMATS:
        raise ValueError(f"There is no format {form!r}; use {' or '.join(FORMATS)}.")
    if precision not in PRECISIONS[form]:
        raise ValueError(f"{form} has no precision {precision!r} here; use one of {', '.join(PRECISIONS[form])}.")
    need(RUNTIME_PACKAGES[form], f"Exporting to {form}")


class Maps(nn.Module):
    """A model as a function of images, in the order of ``Declaration.inputs``, to its maps."""

    def __init__(self, model: TorchModel, sensors: Sequence[Modality]) -> None:
        super().__init__()
        self.model, self.sensors = model, tuple(sensors)

    def forward(self, *images: Tensor) -> tuple[Tensor, ...]:
        count = len(self.sensors)
        roles = [dict(zip(self.sensors, images[i : i + count])) for i in range(0, len(images), count)]
        made = self.model(*roles[:2], **({"memory": roles[2]} if len(roles) > 2 else {}))
        confidence = () if made.confidence_map is None else (made.confidence_map,)
        return (*made[:3], *confidence)


@torch.no_grad()
def export_graph(
    model: TorchModel,
    sensors: Sequence[Modality],
    out: Path,
    *,
    form: str = "onnx",
    precision: str = "fp32",
    batch: int = 1,
    crops: Sequence[dict[str, Any]] = (),
) -> Declaration:
    """Write the graph of one set of sensors with the card inside.

    Args:
        out: file.onnx, or file.xml (with file.bin beside it); it appears whole or not at all.
        crops: for int8, what the graph's inputs hold in some frames, to calibrate with.

    Raises:
        ValueError: for a set of sensors that the model cannot read, or a format that cannot be written here.
    """
    check_form(form, precision)
    module = Maps(model, sensors).eval()
    wants = [(p, p.requires_grad) for p in model.parameters()]
    declared = Declaration.of(model, sensors, batch, precision, False)
    generator = torch.Generator().manual_seed(0)
    inputs = tuple(torch.randn(shape, generator=generator) for shape in declared.inputs().values())
    for parameter, _ in wants:
        parameter.requires_grad_(False)
    try:
        made = module(*inputs)  # a set that the model cannot read is said here, in its own words
        declared = Declaration.of(model, sensors, batch, precision, len(made) > 3)
        with tempfile.TemporaryDirectory() as folder, _quiet():
            path = Path(folder) / "graph.onnx"
            names: dict[str, Any] = {"input_names": list(declared.inputs()), "output_names": declared.outputs()}
            torch.onnx.export(module, inputs, str(path), dynamo=True, external_data=False, verbose=False, **names)
            if precision == "int8":
                from modaltrack.export.quantise import quantise

                path = quantise(path, Path(folder) / "int8.onnx", crops)
            write_graph(path, out, {**model.card, "export": declared.as_json()}, form, precision)
    finally:
        for parameter, wanted in wants:
            parameter.requires_grad_(wanted)
    return declared


def write_graph(path: Path, out: Path, card: dict[str, Any], form: str, precision: str) -> None:
    """An ONNX file as the file ``out`` of a format, with a card."""
    text = json.dumps(card)
    if form == "onnx":
        import onnx

        graph = onnx.load(str(path))
        if precision == "fp16":
            halve(graph)
        del graph.metadata_props[:]
        without_traces(graph.graph)
        onnx.helper.set_model_props(graph, {CARD_KEY: text})
        write_file(out, graph.SerializeToString())
        return
    import openvino

    graph = openvino.Core().read_model(str(path))
    graph.set_rt_info(text, CARD_KEY)
    with replacing(out) as partial, replacing(out.with_suffix(".bin")) as weights:
        stem = partial.with_name(f"{partial.stem}.export.xml")
        openvino.save_model(graph, str(stem), compress_to_fp16=precision == "fp16")
        stem.with_suffix(".bin").replace(weights)
        stem.replace(partial)


def without_traces(graph: onnx.GraphProto) -> None:
    """Take out what the exporter notes at every node: files and lines of the machine that it ran on."""
    for node in graph.node:
        node.doc_string = ""
        del node.metadata_props[:]
        for attribute in node.attribute:
            if attribute.HasField("g"):  # the body of a loop
                without_traces(attribute.g)
    for value in (*graph.value_info, *graph.input, *graph.output, *graph.initializer):
        value.doc_string = ""
        del value.metadata_props[:]


def halve(model: onnx.ModelProto) -> None:
    """Store the large weights of an ONNX model in 16 bits, with a cast to float32 behind each: half the file.

    What OpenVINO's ``compress_to_fp16`` does. Runtimes fold the casts away when they load the file.
    """
    import onnx
    from onnx import numpy_helper

    casts = []
    for weight in model.graph.initializer:
        if weight.data_type != onnx.TensorProto.FLOAT or prod(weight.dims) < SMALL:
            continue
        name, exact = weight.name, numpy_helper.to_array(weight)
        if abs(exact).max() > LARGEST_HALF:
            continue
        half = exact.astype("float16")
        weight.CopyFrom(numpy_helper.from_array(half, f"{name}_16"))
        casts.append(onnx.helper.make_node("Cast", [weight.name], [name], to=onnx.TensorProto.FLOAT))
    for place, node in enumerate(casts):
        model.graph.node.insert(place, node)


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the exporter's notes on packages that it does not need here, and ONNX Runtime's on its own tools."""
    loggers = [logging.getLogger("torch.onnx"), logging.getLogger()]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, before):
            logger.setLevel(level)
