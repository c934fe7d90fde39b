# SPDX-License-Identifier: Apache-2.0
"""Graphs in two parts: the templates' is computed once for each template, and nothing changes but the time."""

import numpy as np
import pytest
import torch
from tests.models.test_contract import close, images, small

from modaltrack.export import export_graph
from modaltrack.export.parity import pixels_of
from modaltrack.frame import Modality
from modaltrack.runtime import read_exported
from modaltrack.runtime.split import MOST_TEMPLATES, Remembered, split_onnx
from modaltrack.vision import normalise

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")
for package in ("onnxscript", "openvino"):
    pytest.importorskip(package)
RGB, THERMAL = Modality.RGB, Modality.THERMAL


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """A model whose templates pass through a stem and both correlations, and its graph."""
    model = small("modaltrack-laptop", depth=1)
    path = tmp_path_factory.mktemp("split") / "drawn.onnx"
    export_graph(model, (RGB, THERMAL), path)
    return model, path


def counting(model, monkeypatch):
    """How often the template's part of its only graph is computed, as a list that grows."""
    (session,) = model.graphs.values()
    asked, compute = [], session._templates._compute
    monkeypatch.setattr(session._templates, "_compute", lambda arrays: asked.append(1) or compute(arrays))
    return asked


@pytest.mark.parametrize("runtime", ["onnx", "openvino"])
def test_a_template_is_computed_once_and_another_again(runtime, exported, monkeypatch):
    model, other = exported[0], read_exported(exported[1], runtime)
    asked = counting(other, monkeypatch)
    one, first = images(model, 1, [RGB, THERMAL])
    two, second = images(model, 1, [RGB, THERMAL], seed=1)
    for template, search, count in ((one, first, 1), (one, second, 1), (two, second, 2), (one, first, 2)):
        with torch.no_grad():
            close(other(template, search), model(template, search), 1e-5)
        assert len(asked) == count
    one[RGB][0, 1, 3, 5] += 4  # in place, where no coarse look would see it
    with torch.no_grad():
        close(other(one, first), model(one, first), 1e-5)
    assert len(asked) == 3


@pytest.mark.parametrize("runtime", ["onnx", "openvino"])
def test_pixels_are_normalised_by_the_graph(runtime, exported):
    other = read_exported(exported[1], runtime)
    generator = torch.Generator().manual_seed(0)
    sizes = (other.config.template_size, other.config.search_size)
    drawn = [{m: torch.randint(0, 256, (1, 3, s, s), generator=generator) for m in (RGB, THERMAL)} for s in sizes]
    template, search = ({m: normalise(image / 255) for m, image in found.items()} for found in drawn)
    pixels = pixels_of(search)
    assert all((pixels[m] == drawn[1][m].permute(0, 2, 3, 1)).all() for m in (RGB, THERMAL))
    close(other(template, pixels), other(template, search), 1e-5)
    with pytest.raises(ValueError, match="give one kind"):
        other(template, {RGB: search[RGB], THERMAL: pixels[THERMAL]})


def test_results_are_the_callers_own(exported):
    """Not a view of memory that the next call writes into."""
    model, other = exported[0], read_exported(exported[1], "openvino")
    template, first = images(model, 1, [RGB, THERMAL])
    found = other(template, first).score_map
    kept = found.clone()
    other(template, images(model, 1, [RGB, THERMAL], seed=2)[1])
    assert (found == kept).all()


def test_remembered_keeps_a_number_of_templates():
    asked = []
    remembered = Remembered(lambda arrays: asked.append(1) or {"sum": arrays["a"].sum(keepdims=True)})
    some = [{"a": np.full((1, 3, 16, 16), value, np.float32)} for value in range(MOST_TEMPLATES + 1)]
    for arrays in [*some, some[-1], some[1], some[0]]:  # the first had to go
        assert remembered(arrays)["sum"].item() == arrays["a"].sum()
    assert len(asked) == MOST_TEMPLATES + 2


def test_the_body_of_a_loop_reads_from_outside():
    """Its values are on the right side of the cut, though they are no inputs of the loop's node."""
    model = onnx.parser.parse_model(
        """<ir_version: 9, opset_import: ["" : 18]>
        loop (float[1] template_rgb, float[1] search_rgb) => (float[1] score_map)
        <int64 three = {3}, bool yes = {1}> {
            doubled = Add(template_rgb, template_rgb)
            alone = Exp(doubled)
            score_map = Loop(three, yes, search_rgb) <body = step (int64 i, bool go, float[1] x)
                => (bool on, float[1] y) { on = Identity(go)  y = Add(x, alone) }>
        }"""
    )
    fixed, frame = split_onnx(model)
    assert [put.name for put in fixed.graph.input] == ["template_rgb"]
    assert [put.name for put in frame.graph.input] == ["search_rgb", "alone"]
    given = {"template_rgb": np.float32([0.5]), "search_rgb": np.float32([2.0])}
    run = [onnxruntime.InferenceSession(part.SerializeToString()) for part in (fixed, frame)]
    (alone,) = run[0].run(None, {"template_rgb": given["template_rgb"]})
    (found,) = run[1].run(None, {"search_rgb": given["search_rgb"], "alone": alone})
    np.testing.assert_allclose(found, 2 + 3 * np.e, rtol=1e-6)


def test_a_graph_without_a_part_of_its_own_for_templates_stays_whole():
    model = onnx.parser.parse_model(
        """<ir_version: 9, opset_import: ["" : 18]>
        sum (float[1] template_rgb, float[1] search_rgb) => (float[1] score_map, float[1] size_map) {
            score_map = Add(template_rgb, search_rgb)
            size_map = Identity(template_rgb)
        }"""
    )
    assert split_onnx(model) == (None, model)
