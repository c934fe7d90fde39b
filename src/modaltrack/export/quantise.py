# SPDX-License-Identifier: Apache-2.0
"""8-bit graphs by ONNX Runtime's static quantisation, calibrated with crops of rendered scenes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import onnx


def quantise(path: Path, out: Path, crops: Sequence[dict[str, Any]]) -> Path:
    """Quantise the convolutions and matrix products of a graph, but for the first layers and the outputs'.

    Args:
        crops: what the graph's inputs hold, by name, in some frames.
    """
    import onnx
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    if not crops:
        raise ValueError("int8 needs crops to calibrate with; there are none for these sensors.")

    class Reader(CalibrationDataReader):
        def __init__(self) -> None:
            self.left = iter(crops)

        def get_next(self) -> dict[str, Any] | None:
            return next(self.left, None)

    prepared = out.with_name("prepared.onnx")
    quant_pre_process(str(path), str(prepared), skip_symbolic_shape=True)
    graph = onnx.load(str(prepared)).graph
    quantize_static(
        str(prepared),
        str(out),
        Reader(),
        quant_format=QuantFormat.QDQ,
        op_types_to_quantize=["Conv", "MatMul", "Gemm"],
        per_channel=True,
        weight_type=QuantType.QInt8,
        nodes_to_exclude=_ends(graph),
    )
    return out


def _ends(graph: onnx.GraphProto) -> list[str]:
    """Names of the layers that read the images and of those nearest to the outputs: they lose most by 8 bits."""
    layers = ("Conv", "MatMul", "Gemm")
    made_by = {name: node for node in graph.node for name in node.output}
    first = [n for n in graph.node if n.op_type in layers and n.input[0] in {i.name for i in graph.input}]
    last = []
    for output in graph.output:
        left, seen = [output.name], set()
        while left:
            node = made_by.get(left.pop())
            if node is None or node.name in seen:
                continue
            seen.add(node.name)
            if node.op_type in layers:
                last.append(node)
            else:
                left += node.input
    return sorted({node.name for node in (*first, *last)})
