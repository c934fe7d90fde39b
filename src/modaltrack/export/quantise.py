# SPDX-License-Identifier: Apache-2.0
"""8-bit graphs by ONNX Runtime's static quantisation, calibrated with crops of rendered scenes.

Only large matrix products of constant weights, where eight bits save time: with all convolutions in int8 too, the
laptop model took longer than in bf16 (docs/speed.md).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import onnx


LARGE = 1 << 15  # numbers of a weight


def quantise(path: Path, out: Path, crops: Sequence[dict[str, Any]]) -> Path:
    """Quantise the large matrix products of a graph, but for the layers that are nearest to its outputs.

    Args:
        crops: what the graph's inputs hold, by name, in some frames.
    """
    import onnx
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    if not crops:
        raise ValueError("int8 needs crops to calibrate with; there are none for these sensors.")

    class Reader(CalibrationDataReader):
        def __init__(self) -> None:
            self.left = iter(crops)

        def get_next(self) -> dict[str, Any] | None:
            return next(self.left, None)

    kinds = ["MatMul", "Gemm"]
    quantize_static(
        str(path),
        str(out),
        Reader(),
        quant_format=QuantFormat.QDQ,
        op_types_to_quantize=kinds,
        nodes_to_quantize=_large_products(onnx.load(str(path)).graph),
        per_channel=True,
        weight_type=QuantType.QInt8,
        activation_type=QuantType.QInt8,
        # an offset costs a term for each product; what is added to a product, or reads it, stays as it is
        extra_options={"ActivationSymmetric": True, "OpTypesToExcludeOutputQuantization": kinds},
    )
    return out


def _large_products(graph: onnx.GraphProto) -> list[str]:
    """Names of matrix products with a large constant weight, without those nearest to the outputs (they lose most).

    Raises:
        ValueError: where there is none, so that int8 would change nothing.
    """
    sizes = {weight.name: math.prod(weight.dims) for weight in graph.initializer}
    layers = ("Conv", "MatMul", "Gemm")
    made_by = {name: node for node in graph.node for name in node.output}
    last = set()
    for output in graph.output:
        left, seen = [output.name], set()
        while left:
            node = made_by.get(left.pop())
            if node is None or node.name in seen:
                continue
            seen.add(node.name)
            if node.op_type in layers:
                last.add(node.name)
            else:
                left += node.input
    products = [node for node in graph.node if node.op_type in layers[1:] and node.name not in last]
    large = [node.name for node in products if sizes.get(node.input[1], 0) >= LARGE]
    if not large:
        raise ValueError("This model has no large matrix product, which is what int8 makes faster; use fp16 or bf16.")
    return large
