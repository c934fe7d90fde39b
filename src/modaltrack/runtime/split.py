# SPDX-License-Identifier: Apache-2.0
"""An exported graph in two: what depends on the templates alone, and the rest, which every frame computes.

The rest also takes its search images as uint8 pixels (B, h, w, 3): it normalises them itself.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from modaltrack.vision.image import IMAGENET_MEAN, IMAGENET_STD

if TYPE_CHECKING:
    import onnx
    import openvino

Arrays = Mapping[str, NDArray[np.float32]]
FIXED, MOVING = 1, 2  # what a value depends on: the templates, or search images as well; 0 is a constant
MOST_TEMPLATES = 256  # some 100 kB each


def depends_on(name: str) -> int:
    """``FIXED`` or ``MOVING`` by the name of a graph's input (``Declaration.inputs``)."""
    return MOVING if name.startswith("search_") else FIXED


class Remembered:
    """A function of named arrays with its last results, which are found again by what the arrays hold."""

    def __init__(self, compute: Callable[[Arrays], Arrays]) -> None:
        self._compute = compute
        self._kept: OrderedDict[bytes, tuple[Arrays, Arrays]] = OrderedDict()

    def __call__(self, arrays: Arrays) -> Arrays:
        """What the function gives; the same object where it is remembered."""
        key = b"".join(array[..., ::16, ::16].tobytes() for array in arrays.values())
        known = self._kept.get(key)
        if known is not None and all(np.array_equal(array, known[0][name]) for name, array in arrays.items()):
            self._kept.move_to_end(key)
            return known[1]
        made = self._compute(arrays)
        self._kept[key] = ({name: array.copy() for name, array in arrays.items()}, made)
        if len(self._kept) > MOST_TEMPLATES:
            self._kept.popitem(last=False)
        return made


def split_openvino(graph: openvino.Model) -> tuple[openvino.Model | None, openvino.Model]:
    """A graph's part of the templates, whose results are inputs of the same names in the part of a frame.

    The first is None where nothing depends on the templates alone. ``graph`` is used up.
    """
    import openvino
    import openvino.opset13 as ops

    kind: dict[str, int] = {}
    for op in graph.get_ordered_ops():
        sources = [kind[put.get_source_output().get_node().get_name()] for put in op.inputs()]
        is_input = op.get_type_name() == "Parameter"
        kind[op.get_name()] = depends_on(op.output(0).get_any_name()) if is_input else max(sources, default=0)
    if any(kind[result.get_name()] != MOVING for result in graph.get_results()):
        return None, graph
    cuts = []
    for op in graph.get_ordered_ops():
        for value in op.outputs() if kind[op.get_name()] == FIXED else ():
            readers = [put for put in value.get_target_inputs() if kind[put.get_node().get_name()] == MOVING]
            if readers:
                cuts.append((value, readers))
    if not cuts:
        return None, graph
    of_inputs = {level: [p for p in graph.get_parameters() if kind[p.get_name()] == level] for level in (FIXED, MOVING)}
    names = [f"fixed_{number}" for number in range(len(cuts))]
    fixed = openvino.Model([ops.result(value) for value, _ in cuts], of_inputs[FIXED], "templates").clone()
    for name, output in zip(names, fixed.outputs):
        output.get_tensor().set_names({name})
    inputs = []
    for name, (value, readers) in zip(names, cuts):
        made = ops.parameter(value.get_shape(), value.get_element_type())
        made.output(0).get_tensor().set_names({name})
        for put in readers:
            put.replace_source_output(made.output(0))
        inputs.append(made)
    return fixed, openvino.Model(graph.get_results(), of_inputs[MOVING] + inputs, "frame")


def openvino_of_pixels(graph: openvino.Model) -> openvino.Model:
    """The same graph with search images as pixels; ``graph`` is used up."""
    from openvino import Layout, Type
    from openvino.preprocess import PrePostProcessor

    steps = PrePostProcessor(graph)
    for put in graph.inputs:
        name = put.get_any_name()
        if depends_on(name) == MOVING:
            steps.input(name).tensor().set_element_type(Type.u8).set_layout(Layout("NHWC"))
            steps.input(name).model().set_layout(Layout("NCHW"))
            made = steps.input(name).preprocess().convert_element_type(Type.f32).scale(255.0)
            made.mean(list(IMAGENET_MEAN)).scale(list(IMAGENET_STD))
    return steps.build()


def split_onnx(model: onnx.ModelProto) -> tuple[onnx.ModelProto | None, onnx.ModelProto]:
    """As ``split_openvino``; the values at the cut keep the graph's own names."""
    graph = model.graph
    kind = {put.name: depends_on(put.name) for put in graph.input}
    nodes = [(node, _read_by(node)) for node in graph.node]
    for node, read in nodes:
        kind |= dict.fromkeys(node.output, max((kind.get(name, 0) for name in read), default=0))
    if any(kind[output.name] != MOVING for output in graph.output):
        return None, model
    of_frame = [name for node, read in nodes if kind[node.output[0]] == MOVING for name in read]
    cuts = list(dict.fromkeys(name for name in of_frame if kind.get(name, 0) == FIXED))
    if not cuts:
        return None, model
    typed = _types(model)
    values = [typed[name] for name in cuts]
    of_inputs = {level: [put for put in graph.input if kind[put.name] == level] for level in (FIXED, MOVING)}
    return (
        _part(model, nodes, of_inputs[FIXED], values),
        _part(model, nodes, of_inputs[MOVING] + values, list(graph.output)),
    )


def onnx_of_pixels(model: onnx.ModelProto) -> onnx.ModelProto:
    """The same graph with search images as pixels; ``model`` is changed."""
    from onnx import TensorProto, helper, numpy_helper

    graph, nodes = model.graph, []
    constants = {"whole": 255.0, "mean": IMAGENET_MEAN, "std": IMAGENET_STD}
    for name, value in constants.items():
        shaped = np.asarray(value, np.float32).reshape(-1, 1, 1)
        graph.initializer.append(numpy_helper.from_array(shaped, f"pixels_{name}"))
    for put in [put for put in graph.input if depends_on(put.name) == MOVING]:
        name = put.name
        batch, channels, height, width = (d.dim_value for d in put.type.tensor_type.shape.dim)
        put.CopyFrom(helper.make_tensor_value_info(name, TensorProto.UINT8, (batch, height, width, channels)))
        for node in graph.node:
            node.input[:] = [f"{name}_normalised" if read == name else read for read in node.input]
        nodes += [
            helper.make_node("Transpose", [name], [f"{name}_planes"], perm=(0, 3, 1, 2)),
            helper.make_node("Cast", [f"{name}_planes"], [f"{name}_float"], to=TensorProto.FLOAT),
            helper.make_node("Div", [f"{name}_float", "pixels_whole"], [f"{name}_unit"]),
            helper.make_node("Sub", [f"{name}_unit", "pixels_mean"], [f"{name}_centred"]),
            helper.make_node("Div", [f"{name}_centred", "pixels_std"], [f"{name}_normalised"]),
        ]
    for place, node in enumerate(nodes):
        graph.node.insert(place, node)
    return model


def _read_by(node: onnx.NodeProto) -> list[str]:
    """Values that a node reads, those that the bodies of loops take from outside included."""
    found = list(node.input)
    for attribute in node.attribute:
        if attribute.HasField("g"):
            own = {name for inner in attribute.g.node for name in inner.output} | {p.name for p in attribute.g.input}
            own |= {constant.name for constant in attribute.g.initializer}
            found += [name for inner in attribute.g.node for name in _read_by(inner) if name not in own]
            found += [output.name for output in attribute.g.output if output.name not in own]
    return found


def _types(model: onnx.ModelProto) -> dict[str, onnx.ValueInfoProto]:
    import onnx

    whole = onnx.shape_inference.infer_shapes(model).graph
    return {value.name: value for value in (*whole.input, *whole.value_info)}


def _part(
    model: onnx.ModelProto,
    nodes: Sequence[tuple[onnx.NodeProto, Sequence[str]]],
    inputs: Sequence[onnx.ValueInfoProto],
    outputs: Sequence[onnx.ValueInfoProto],
) -> onnx.ModelProto:
    """The nodes (with what they read) between these inputs and outputs, and the constants that they need."""
    import onnx

    given, needed, kept = {put.name for put in inputs}, {output.name for output in outputs}, []
    for node, read in reversed(nodes):
        if needed & set(node.output) - given:
            kept.append(node)
            needed |= set(read)
    constants = [one for one in model.graph.initializer if one.name in needed]
    graph = onnx.helper.make_graph(kept[::-1], "part", inputs, outputs, constants)
    return onnx.helper.make_model(graph, opset_imports=model.opset_import, ir_version=model.ir_version)
