# SPDX-License-Identifier: Apache-2.0
"""Every registered model as one graph: torch.export, torch.compile without a break, ONNX; at tiny width, two blocks."""

import pytest
import torch
from tests.models.test_contract import images, of_new_parts, small

from modaltrack import models
from modaltrack.frame import Modality

X = Modality.THERMAL
NAMES = models.list_models()
PRESENT = {"rgb": torch.tensor([True, True, False]), "thermal": torch.tensor([True, False, True])}


def shallow(name):
    """A model of two blocks whose every part is used: what happens after some blocks happens after the last."""
    config = models.config_of(name)
    blocks = {f: (1,) for f in ("fusion_blocks", "elimination_blocks") if getattr(config, f, ())}
    return small(name, depth=2, **blocks)


def given(model):
    """Images of RGB and of thermal where the model reads it, three samples."""
    return images(model, keys=["rgb", "thermal"] if X in model.config.modalities else ["rgb"])


def agree(made, expected, tolerance=1e-5):
    for name, value in zip(models.Prediction._fields, expected):
        torch.testing.assert_close(getattr(made, name), value, rtol=0, atol=tolerance)


class Counting:
    """A compiler's backend that runs graphs as they are and counts them."""

    def __init__(self):
        self.graphs = 0

    def __call__(self, graph, inputs):
        self.graphs += 1
        return graph.forward


def scans(name):
    """Whether a model has state-space scans, whose export takes seconds."""
    return name.startswith(("ainet", "smstracker", "tpf"))


@pytest.mark.parametrize("name", [n for n in NAMES if not scans(n) or n in of_new_parts(NAMES)])
def test_export(name):
    model, inputs = (m := shallow(name)), given(m)
    with torch.no_grad():
        expected = model(*inputs)
    program = torch.export.export(model, tuple(inputs), strict=False)  # its weights want gradients, as fresh ones do
    agree(program.module()(*inputs), expected)


@pytest.mark.parametrize("name", of_new_parts(NAMES))
@torch.no_grad()
def test_compile_without_a_break(name):
    torch.compiler.reset()
    model, inputs, count = (m := shallow(name)), given(m), Counting()
    agree(torch.compile(model, fullgraph=True, backend=count)(*inputs), model(*inputs))
    assert count.graphs == 1


@pytest.mark.parametrize("name", [n for n in NAMES if n.endswith("-tiny") and X in models.config_of(n).modalities])
@torch.no_grad()
def test_a_mask_of_present_sensors_is_an_input_of_the_graph(name):
    """One graph whatever the mask holds: it is traced with all sensors there."""
    model, inputs = (m := shallow(name)), given(m)
    everywhere = {sensor: torch.ones(3, dtype=torch.bool) for sensor in PRESENT}
    program = torch.export.export(model, (*inputs, everywhere), strict=False)
    agree(program.module()(*inputs, PRESENT), model(*inputs, PRESENT))
