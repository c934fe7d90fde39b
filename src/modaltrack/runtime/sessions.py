# SPDX-License-Identifier: Apache-2.0
"""A graph in a runtime: named images in, maps out."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from modaltrack.export import CARD_KEY, Declaration
from modaltrack.extras import need
from modaltrack.files import parse_json

if TYPE_CHECKING:
    import openvino

Arrays = Mapping[str, NDArray[np.float32]]


class GraphSession(Protocol):
    """One graph, ready to run."""

    card: dict[str, Any]
    declaration: Declaration

    def run(self, inputs: Arrays) -> list[NDArray[np.float32]]:
        """The graph's outputs, in its order."""


def open_session(path: Path, runtime: str = "", precision: str = "") -> GraphSession:
    """A graph's file in a runtime.

    Args:
        runtime: "onnx" or "openvino"; by default that of the file's kind.
        precision: of the arithmetic, by default the file's. OpenVINO alone can be asked for another ("fp32", "bf16").

    Raises:
        ValueError: for a file that is no graph of this package, is cut short, or whose card speaks of another graph.
    """
    runtime = runtime or ("openvino" if path.suffix == ".xml" else "onnx")
    if not path.is_file():
        raise ValueError(f"There is no file {path}; export a model with: modaltrack export MODEL --out {path.name}.")
    if runtime == "onnx":
        if path.suffix != ".onnx":
            raise ValueError(f"ONNX Runtime reads .onnx files and {path} is none; use --runtime openvino.")
        if precision not in ("", "fp32", "int8"):
            raise ValueError(f"ONNX Runtime has no precision {precision!r} here; use --runtime openvino for it.")
    opened: GraphSession = OnnxSession(path) if runtime == "onnx" else OpenVinoSession(path, precision)
    if precision == "int8" and opened.declaration.precision != "int8":
        raise ValueError(f"{path} is {opened.declaration.precision}; an int8 graph is exported: --precision int8.")
    return opened


def checked(path: Path, text: str | None, shapes: Mapping[str, tuple[int, ...]], outputs: int) -> dict[str, Any]:
    """The card in a graph's metadata; ValueError where it is missing or does not describe the graph."""
    if not text:
        raise ValueError(f"{path} has no card: it is not a graph that modaltrack export wrote.")
    try:
        card = parse_json(text)
        assert isinstance(card, dict)
    except (ValueError, AssertionError):
        raise ValueError(f"The card in {path} is damaged; export the model again.") from None
    declared = Declaration.read(card, str(path))
    if outputs != len(declared.outputs()):
        raise ValueError(f"The card in {path} does not describe its graph: its number of outputs; export it again.")
    if dict(shapes) != declared.inputs():
        wrong = next((n for n, shape in declared.inputs().items() if shapes.get(n) != shape), "its inputs")
        raise ValueError(
            f"The card in {path} does not describe its graph: {wrong} should be {declared.inputs().get(wrong)} and is "
            f"{shapes.get(wrong)}; export the model again."
        )
    return card


class OnnxSession:
    """A graph in ONNX Runtime, on the CPU."""

    def __init__(self, path: Path) -> None:
        need(["onnxruntime"], "Running .onnx files")
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.log_severity_level = torch.get_num_threads(), 3
        try:
            self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # ONNX Runtime's own errors are of no common class
            raise ValueError(f"{path} is not a whole ONNX file; export the model again.") from error
        shapes = {one.name: tuple(one.shape) for one in self._session.get_inputs()}
        outputs = len(self._session.get_outputs())
        self.card = checked(path, self._session.get_modelmeta().custom_metadata_map.get(CARD_KEY), shapes, outputs)
        self.declaration = Declaration.read(self.card, str(path))

    def run(self, inputs: Arrays) -> list[NDArray[np.float32]]:
        return list(self._session.run(None, dict(inputs)))


class OpenVinoSession:
    """A graph in OpenVINO, on the CPU. The precision is always said: by itself it takes bf16 where the CPU has it."""

    def __init__(self, path: Path, precision: str = "") -> None:
        need(["openvino"], "Running OpenVINO's graphs")
        import openvino

        core = openvino.Core()
        try:
            graph = core.read_model(str(path))
        except RuntimeError as error:
            raise ValueError(f"{path} is not a whole graph that OpenVINO can read; export the model again.") from error
        shapes = {one.get_any_name(): _shape(one) for one in graph.inputs}
        self.card = checked(path, _card(graph, path), shapes, len(graph.outputs))
        self.declaration = Declaration.read(self.card, str(path))
        hint = "bf16" if (precision or self.declaration.precision) == "bf16" else "f32"
        settings = {"INFERENCE_PRECISION_HINT": hint, "INFERENCE_NUM_THREADS": torch.get_num_threads()}
        self._names = list(shapes)
        try:
            self._compiled = core.compile_model(graph, "CPU", settings)
        except RuntimeError as error:
            reason = str(error).strip().splitlines()[-1]
            raise ValueError(f"OpenVINO cannot run {path} here ({reason}); export the model again.") from error

    def run(self, inputs: Arrays) -> list[NDArray[np.float32]]:
        made = self._compiled([inputs[name] for name in self._names])
        return [np.array(made[i]) for i in range(len(self._compiled.outputs))]


def _shape(port: openvino.Output) -> tuple[int, ...]:
    return tuple(port.shape) if port.partial_shape.is_static else ()


def _card(graph: openvino.Model, path: Path) -> str | None:
    """OpenVINO's own files carry it in their runtime information; of an .onnx file it is read from the file."""
    if path.suffix == ".onnx":
        need(["onnx"], "Reading an .onnx file's card for OpenVINO")
        import onnx

        found = onnx.load(str(path), load_external_data=False).metadata_props
        return next((one.value for one in found if one.key == CARD_KEY), None)
    return str(graph.get_rt_info(CARD_KEY).value) if graph.has_rt_info(CARD_KEY) else None
