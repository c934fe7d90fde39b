# SPDX-License-Identifier: Apache-2.0
"""A graph in a runtime: named images in, maps out."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from modaltrack.export import CARD_KEY, Declaration
from modaltrack.extras import need
from modaltrack.files import parse_json
from modaltrack.models.parts.cores import on_cores
from modaltrack.runtime.split import (
    FIXED,
    Arrays,
    Remembered,
    depends_on,
    onnx_of_pixels,
    openvino_of_pixels,
    split_onnx,
    split_openvino,
)

if TYPE_CHECKING:
    import onnx
    import onnxruntime
    import openvino


class GraphSession(Protocol):
    """One graph, ready to run."""

    card: dict[str, Any]
    declaration: Declaration

    def run(self, parts: Sequence[Arrays]) -> list[list[NDArray[np.float32]]]:
        """The graph's outputs, in its order, for each part: so many rows as the graph takes.

        Search images are normalised, or uint8 pixels (B, h, w, 3). Parts share the threads where there are enough.
        """

    def prepare(self, parts: int) -> None:
        """Compile what ``run`` of so many parts with search images as pixels needs."""


FramePart = Callable[[Arrays, Arrays], list[NDArray[np.float32]]]  # search images, results of the templates -> outputs


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


def checked(path: Path, text: str | None, shapes: dict[str, tuple[int, ...]], outputs: int) -> dict[str, Any]:
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


class _TwoParts:
    """A session whose templates are computed once, and whose search images are float32 or pixels.

    A runtime gives ``_templates`` (None where the graph cannot be divided) and ``_frame_parts``. As many rows as
    threads, or more, share them, one thread a row: with two that takes half of the time of both in one row.
    """

    def __init__(self, declaration: Declaration) -> None:
        self.declaration = declaration
        self._lock = threading.Lock()  # the parts keep what they were given last
        self._templates: Remembered | None = None
        self._frames: dict[tuple[bool, int], list[FramePart]] = {}

    def _frame_parts(self, pixels: bool, lanes: int) -> list[FramePart]:
        """``lanes`` functions that may run at the same time: one with all threads, or more with one thread each."""
        raise NotImplementedError

    def run(self, parts: Sequence[Arrays]) -> list[list[NDArray[np.float32]]]:
        with self._lock:
            rows = [self._divided(inputs) for inputs in parts]
            pixels = next(iter(rows[0][0].values())).dtype == np.uint8
            functions = self._functions(pixels, len(rows))
            free = deque(functions)
            made: dict[int, list[NDArray[np.float32]]] = {}

            def row(number: int) -> None:
                function = free.popleft()
                made[number] = function(*rows[number])
                free.append(function)

            tasks = [partial(row, number) for number in range(len(rows))]
            if len(functions) > 1:
                on_cores(tasks)
            else:
                for task in tasks:
                    task()
            return [made[number] for number in range(len(rows))]

    def prepare(self, parts: int) -> None:
        with self._lock:
            self._functions(True, parts)

    def _functions(self, pixels: bool, rows: int) -> list[FramePart]:
        """As many as may run at the same time; compiled when they are first asked for."""
        threads = torch.get_num_threads()
        lanes = threads if rows >= threads else 1  # fewer rows would leave threads idle
        if (pixels, lanes) not in self._frames:
            self._frames[pixels, lanes] = self._frame_parts(pixels, lanes)
        return self._frames[pixels, lanes]

    def _divided(self, inputs: Arrays) -> tuple[Arrays, Arrays]:
        """Search images, and what follows from the templates."""
        fixed = {name: array for name, array in inputs.items() if depends_on(name) == FIXED}
        moving = {name: array for name, array in inputs.items() if name not in fixed}
        return moving, fixed if self._templates is None else self._templates(fixed)


class OnnxSession(_TwoParts):
    """A graph in ONNX Runtime, on the CPU."""

    def __init__(self, path: Path) -> None:
        need(["onnx", "onnxruntime"], "Running .onnx files")
        import onnx

        try:
            graph = onnx.load(str(path))
            assert graph.graph.output  # an empty file is a graph to onnx
        except Exception as error:  # onnx's own errors are of no common class, nor are ONNX Runtime's
            raise ValueError(f"{path} is not a whole ONNX file; export the model again.") from error
        shapes = {one.name: tuple(d.dim_value for d in one.type.tensor_type.shape.dim) for one in graph.graph.input}
        text = next((one.value for one in graph.metadata_props if one.key == CARD_KEY), None)
        self.card = checked(path, text, shapes, len(graph.graph.output))
        super().__init__(Declaration.read(self.card, str(path)))
        try:
            fixed, self._frame = split_onnx(graph)
            if fixed is not None:
                part = self._opened(fixed)
                names = [output.name for output in part.get_outputs()]
                self._templates = Remembered(lambda arrays: dict(zip(names, part.run(None, dict(arrays)))))
            self._frames[True, 1] = self._frame_parts(True, 1)
        except Exception as error:
            raise ValueError(f"{path} is not a whole ONNX file; export the model again.") from error

    @staticmethod
    def _opened(graph: onnx.ModelProto, threads: int | None = None) -> onnxruntime.InferenceSession:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.log_severity_level = threads or torch.get_num_threads(), 3
        return onnxruntime.InferenceSession(graph.SerializeToString(), options, providers=["CPUExecutionProvider"])

    def _frame_parts(self, pixels: bool, lanes: int) -> list[FramePart]:
        import onnx

        graph = onnx.ModelProto()
        graph.CopyFrom(self._frame)
        session = self._opened(onnx_of_pixels(graph) if pixels else graph, 1 if lanes > 1 else None)
        return [lambda moving, fixed: list(session.run(None, {**moving, **fixed}))] * lanes


class OpenVinoSession(_TwoParts):
    """A graph in OpenVINO, on the CPU. The precision is always said: by itself it takes bf16 where the CPU has it."""

    def __init__(self, path: Path, precision: str = "") -> None:
        need(["openvino"], "Running OpenVINO's graphs")
        import openvino

        try:
            graph = openvino.Core().read_model(str(path))
        except RuntimeError as error:
            raise ValueError(f"{path} is not a whole graph that OpenVINO can read; export the model again.") from error
        shapes = {one.get_any_name(): _shape(one) for one in graph.inputs}
        self.card = checked(path, _card(graph, path), shapes, len(graph.outputs))
        super().__init__(Declaration.read(self.card, str(path)))
        self._path, self._hint = path, _hint(precision or self.declaration.precision)
        fixed, self._frame = split_openvino(graph)
        if fixed is not None:
            part = self._compiled(fixed)
            names = [output.get_any_name() for output in part.outputs]
            self._templates = Remembered(
                lambda arrays: dict(zip(names, [np.array(made) for made in part(dict(arrays)).values()]))
            )
        self._frames[True, 1] = self._frame_parts(True, 1)

    def _compiled(self, graph: openvino.Model, streams: int = 1) -> openvino.CompiledModel:
        import openvino

        settings = {
            "INFERENCE_PRECISION_HINT": self._hint,
            "INFERENCE_NUM_THREADS": torch.get_num_threads(),
            "NUM_STREAMS": streams,
            "ENABLE_CPU_PINNING": False,  # pinned, two processes would share the first core and leave the second idle
        }
        try:
            return openvino.Core().compile_model(graph, "CPU", settings)
        except RuntimeError as error:
            reason = str(error).strip().splitlines()[-1]
            raise ValueError(f"OpenVINO cannot run {self._path} here ({reason}); export the model again.") from error

    def _frame_parts(self, pixels: bool, lanes: int) -> list[FramePart]:
        graph = self._frame.clone()
        compiled = self._compiled(openvino_of_pixels(graph) if pixels else graph, lanes)
        return [_of_request(compiled.create_infer_request()) for _ in range(lanes)]


def _of_request(request: openvino.InferRequest) -> FramePart:
    import openvino

    names = [one.get_any_name() for one in request.model_inputs]
    numbers = range(len(request.model_outputs))
    given: dict[str, NDArray[np.float32]] = {}  # kept: the request reads their memory

    def run(moving: Arrays, fixed: Arrays) -> list[NDArray[np.float32]]:
        for number, name in enumerate(names):
            array = moving[name] if name in moving else fixed[name]
            if given.get(name) is not array:
                given[name] = array
                request.set_input_tensor(number, openvino.Tensor(array, shared_memory=True))
        request.infer()
        return [request.get_output_tensor(number).data.copy() for number in numbers]

    return run


def _hint(precision: str) -> str:
    """What is not int8 in an int8 graph is bf16 where the processor has it."""
    import openvino

    able = precision == "int8" and "BF16" in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    return "bf16" if precision == "bf16" or able else "f32"


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
