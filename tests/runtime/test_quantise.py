# SPDX-License-Identifier: Apache-2.0
"""Which layers become 8-bit: large matrix products of constant weights, but for those nearest to the outputs."""

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")
from modaltrack.export.quantise import quantise  # noqa: E402

GRAPH = """<ir_version: 9, opset_import: ["" : 18]>
products (float[1, 8, 256] search_rgb) => (float[1, 8, 256] score_map) {
    large = MatMul(search_rgb, weight_large)
    small = MatMul(large, weight_small)
    back = MatMul(small, weight_back)
    score_map = MatMul(back, weight_last)
}"""


@pytest.fixture
def products(tmp_path):
    rng = np.random.default_rng(0)
    model = onnx.parser.parse_model(GRAPH)
    shapes = {"large": (256, 256), "small": (256, 16), "back": (16, 256), "last": (256, 256)}
    for name, shape in shapes.items():
        weight = rng.normal(size=shape).astype(np.float32) / 16
        model.graph.initializer.append(onnx.numpy_helper.from_array(weight, f"weight_{name}"))
    for number, node in enumerate(model.graph.node):
        node.name = f"product_{number}"
    onnx.save(model, str(tmp_path / "products.onnx"))
    return tmp_path / "products.onnx"


def test_large_products_only(products, tmp_path):
    given = {"search_rgb": np.random.default_rng(1).normal(size=(1, 8, 256)).astype(np.float32)}
    made = quantise(products, tmp_path / "int8.onnx", [given])
    graph = onnx.load(str(made)).graph
    kinds = {weight.name: weight.data_type for weight in graph.initializer if weight.name.endswith("quantized")}
    in_int8 = {name for name, kind in kinds.items() if kind == onnx.TensorProto.INT8}
    assert in_int8 == {"weight_large_quantized"}
    before, after = (onnxruntime.InferenceSession(str(path)).run(None, given)[0] for path in (products, made))
    assert 0 < np.abs(after - before).max() < 0.02 * np.abs(before).max()


def test_nothing_to_quantise(products, tmp_path):
    model = onnx.load(str(products))
    del model.graph.node[:3]
    model.graph.node[0].input[0] = "search_rgb"
    onnx.save(model, str(products))
    given = {"search_rgb": np.zeros((1, 8, 256), np.float32)}
    with pytest.raises(ValueError, match="no large matrix product"):
        quantise(products, tmp_path / "int8.onnx", [given])
    with pytest.raises(ValueError, match="needs crops"):
        quantise(products, tmp_path / "int8.onnx", [])
