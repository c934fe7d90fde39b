# SPDX-License-Identifier: Apache-2.0
import os
import subprocess
import sys
from collections import namedtuple
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

import pytest
import torch
import torch.nn.functional as F

from modaltrack.models.parts import blocked_scan
from modaltrack.models.parts.blocked_scan import BLOCK
from modaltrack.models.parts.cores import on_cores, scripted
from modaltrack.models.parts.selective_scan import selective_scan

NAMES = ("u", "delta", "A", "B", "C", "D", "z", "delta_bias")


def by_definition(u, delta, A, B, C, D=None, z=None, delta_bias=None, delta_softplus=False):
    """The recurrence in float64, written down once more: no code in common with what is tested. (B, D, L) layout."""
    u, delta, A, B, C = (x.double() for x in (u, delta, A, B, C))
    if delta_bias is not None:
        delta = delta + delta_bias.double()[..., None]
    if delta_softplus:
        delta = F.softplus(delta)
    if B.ndim == 4:
        B, C = (x.repeat_interleave(u.shape[1] // x.shape[1], 1) for x in (B, C))  # (B, D, N, L)
    else:
        B, C = B[:, None], C[:, None]
    h, y = 0, []
    for t in range(u.shape[2]):
        step = delta[:, :, t, None]
        h = torch.exp(step * A) * h + step * B[..., t] * u[:, :, t, None]
        y.append((h * C[..., t]).sum(-1))
    y = torch.stack(y, 2)
    y = y if D is None else y + D.double()[..., None] * u
    return y if z is None else y * F.silu(z.double())


def draw(batch=2, channels=6, length=37, states=4, groups=None, stacked=False, dtype=torch.float32, seed=0):
    g = torch.Generator().manual_seed(seed)
    lead = (batch,) if stacked else ()
    matrix = (batch, states, length) if groups is None else (batch, groups, states, length)
    shapes = dict.fromkeys(("u", "delta", "z"), (batch, channels, length)) | {
        "A": (*lead, channels, states), "B": matrix, "C": matrix, "D": (*lead, channels),
        "delta_bias": (*lead, channels),
    }  # fmt: skip
    inputs = {name: torch.randn(shapes[name], generator=g, dtype=dtype) for name in NAMES}
    return inputs | {"A": -inputs["A"].abs() - 0.1, "delta_softplus": True}


def channels_to_the_end(inputs):
    return {k: v.movedim(-1, 1).contiguous() if k in ("u", "delta", "z", "B", "C") else v for k, v in inputs.items()}


def error(ours, exact):
    return ((ours.double() - exact).abs().max() / exact.abs().max()).item()


@pytest.mark.parametrize("backend", ["blocked", "loop"])
@pytest.mark.parametrize(
    "shape",
    [
        {"length": 1},
        {"length": 8},
        {"length": 37, "groups": 2},
        {"length": 20, "groups": 3, "stacked": True},
        {"batch": 5, "channels": 3000, "length": 17},  # more than one row of them goes beyond a tile
        {"states": 1, "channels": 1, "stacked": True},
    ],
)
def test_every_form_follows_the_definition(backend, shape):
    inputs = draw(**shape)
    exact = by_definition(**inputs)
    assert error(selective_scan(**inputs, backend=backend), exact) < 1e-6
    last = channels_to_the_end(inputs)
    assert error(selective_scan(**last, backend=backend, channels_last=True).transpose(1, 2), exact) < 1e-6


@pytest.mark.parametrize("absent", ["D", "z", "delta_bias", "delta_softplus"])
def test_every_optional_part_can_be_left_out(absent):
    inputs = {k: v for k, v in draw().items() if k != absent}
    inputs["delta"] = inputs["delta"].abs() + 3  # a step below zero makes states grow
    assert error(selective_scan(**inputs), by_definition(**inputs)) < 1e-6


@pytest.mark.parametrize("scale", [1, 60])
@pytest.mark.parametrize("backend", ["blocked", "loop"])
def test_exact_where_dividing_by_the_running_decay_overflows(scale, backend):
    """Steps of softplus(0) and 60 times that, with decays of exp(-1 .. -16) per unit (docs/selective_scan.md 4)."""
    inputs = draw(batch=1, channels=32, length=400, states=16)
    inputs = {k: inputs[k] for k in ("u", "B", "C")} | {
        "delta": torch.full((1, 32, 400), F.softplus(torch.zeros(())).item() * scale),
        "A": -torch.arange(1, 17.0).expand(32, -1),
    }
    leaves = {k: v.clone().requires_grad_() for k, v in inputs.items()}
    exact_leaves = {k: v.double().requires_grad_() for k, v in inputs.items()}
    ours, exact = selective_scan(**leaves, backend=backend), by_definition(**exact_leaves)
    assert error(ours, exact) < 5e-6
    weights = torch.randn(ours.shape, generator=torch.Generator().manual_seed(1))
    (ours * weights).sum().backward()
    (exact * weights.double()).sum().backward()
    for name, leaf in leaves.items():
        assert leaf.grad.isfinite().all(), name
        assert error(leaf.grad, exact_leaves[name].grad) < 5e-6, name


@pytest.mark.parametrize("shape", [{}, {"groups": 2, "stacked": True}])
@pytest.mark.parametrize("channels_last", [False, True])
def test_gradients_in_float64(shape, channels_last):
    inputs = draw(batch=2, channels=4, length=19, states=3, dtype=torch.float64, **shape)
    if channels_last:
        inputs = channels_to_the_end(inputs)
    tensors = [inputs[name].requires_grad_() for name in NAMES]

    def run(*tensors):
        return selective_scan(*tensors, True, channels_last=channels_last, backend="blocked")

    assert torch.autograd.gradcheck(run, tensors, fast_mode=True)


def test_with_and_without_a_gradient_are_one_result():
    inputs = draw(batch=3, length=50)
    plain = selective_scan(**inputs, backend="blocked")
    inputs["u"].requires_grad_()
    taped = selective_scan(**inputs, backend="blocked")
    assert taped.requires_grad
    torch.testing.assert_close(plain, taped, rtol=0, atol=1e-5)
    with torch.no_grad():
        assert not selective_scan(**inputs).requires_grad


@pytest.mark.parametrize("shape", [{"batch": 1, "channels": 1500}, {"batch": 3, "channels": 1500}, {"channels": 9}])
def test_cores_share_the_work_and_not_the_numbers(shape, monkeypatch):
    """Channels are split between cores, in both directions; what torch was told about threads is as it was."""
    monkeypatch.setattr(blocked_scan, "_TASK_FLOATS", 2**16)
    inputs = draw(length=100, states=16, **shape)
    results = []
    before = torch.get_num_threads()
    try:
        for threads in (1, 3):
            torch.set_num_threads(threads)
            with torch.inference_mode():
                plain = selective_scan(**inputs, backend="blocked")
            leaves = {k: inputs[k].clone().requires_grad_() for k in NAMES}
            selective_scan(**leaves, delta_softplus=True, backend="blocked").square().sum().backward()
            results.append([plain, *(leaf.grad for leaf in leaves.values())])
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    for one, three in zip(*results):
        # sums over 100 steps in another order: a few dozen roundings of float32 at the largest value
        assert error(three, one.double()) < 32 * torch.finfo(torch.float32).eps


@pytest.mark.parametrize("shape", [{"batch": 1, "channels": 300}, {"batch": 3}, {"length": 1}])
def test_without_torchscript_the_same_numbers(shape, monkeypatch):
    """The compiled loops and the same functions in Python; one row and several, in both directions."""
    inputs = draw(states=16, **shape)
    results = []
    for compiled in (True, False):
        if not compiled:
            monkeypatch.setattr(blocked_scan, "scripted", lambda function: function)
        leaves = {k: inputs[k].clone().requires_grad_() for k in NAMES}
        selective_scan(**leaves, delta_softplus=True, backend="blocked").square().sum().backward()
        with torch.inference_mode():
            results.append([selective_scan(**inputs, backend="blocked"), *(leaf.grad for leaf in leaves.values())])
    for ours, plain in zip(*results):
        assert torch.equal(ours, plain)


def test_the_loops_are_torchscript_where_torch_has_it():
    for function in (blocked_scan._forward_tile, blocked_scan._backward_tile):
        assert isinstance(scripted(function), torch.jit.ScriptFunction), "else two cores are slower than one"
    sourceless = namedtuple("Point", "x").__repr__  # as in an application without source files
    assert scripted(sourceless) is sourceless


def test_a_task_that_fails_is_told_and_threads_are_as_they_were():
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        for tasks in ([lambda: 1 / 0], [lambda: None, lambda: 1 / 0, lambda: None]):
            with pytest.raises(ZeroDivisionError):
                on_cores(tasks)
            assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_a_batch_is_a_loop():
    inputs = draw(batch=3, stacked=True, groups=2)
    whole = selective_scan(**inputs)
    for b in range(3):
        alone = {k: v[[b]] if isinstance(v, torch.Tensor) else v for k, v in inputs.items()}
        torch.testing.assert_close(selective_scan(**alone), whole[[b]], rtol=0, atol=1e-5)


def test_half_precision_goes_in_and_out_but_not_into_the_state():
    inputs = draw(length=200)
    half = {k: v.to(torch.bfloat16) if k in ("u", "delta", "B", "C", "z") else v for k, v in inputs.items()}
    with torch.autocast("cpu", torch.bfloat16):
        ours = selective_scan(**half)
    assert ours.dtype == torch.bfloat16
    exact = by_definition(**half)
    assert error(ours, exact) < 2**-8  # one rounding, at the end


def test_one_state_per_block_is_kept():
    """What the backward pass holds on to grows with L / T, not with L times the number of states."""
    inputs = {k: v for k, v in draw(batch=1, channels=8, length=400, states=16).items() if k in NAMES[:5]}
    inputs["delta"] = inputs["delta"].abs()
    saved = []
    leaves = [inputs[k].requires_grad_() for k in NAMES[:5]]
    with torch.autograd.graph.saved_tensors_hooks(lambda x: saved.append(x.numel()) or x, lambda x: x):
        selective_scan(*leaves, backend="blocked")
    assert sum(saved) <= 2 * sum(x.numel() for x in leaves) + 400 // BLOCK * 8 * 16


SHAPES_OF_THE_KERNEL = ({"length": 19, "groups": 2}, {"channels": 18, "length": 33, "states": 5, "batch": 1})


@pytest.mark.parametrize("number", range(len(SHAPES_OF_THE_KERNEL)))
def test_the_triton_kernel_in_its_interpreter(number):
    """In a process of its own: triton decides when it is imported, which torch.compile may have done by now."""
    if find_spec("triton") is None:
        pytest.skip("triton cannot be imported here")
    root = Path(__file__).parents[2]
    code = f"from tests.models.test_selective_scan import check_the_kernel; check_the_kernel({number})"
    environment = {**os.environ, "TRITON_INTERPRET": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=root, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.strip() == "checked"


def check_the_kernel(number):
    from modaltrack.models.parts.selective_scan_triton import INTERPRETED

    assert INTERPRETED
    inputs = draw(**SHAPES_OF_THE_KERNEL[number])
    exact_inputs = {k: v.double() if k in NAMES else v for k, v in inputs.items()}
    assert error(selective_scan(**inputs, backend="triton"), by_definition(**inputs)) < 5e-6
    results = []
    for values, backend in ((inputs, "triton"), (exact_inputs, "blocked")):
        leaves = {k: values[k].clone().requires_grad_() for k in NAMES}
        y = selective_scan(**leaves, delta_softplus=True, backend=backend)
        (y * y).sum().backward()
        results.append((y, leaves))
    assert error(results[0][0], results[1][0].detach()) < 5e-6
    for name in NAMES:
        assert error(results[0][1][name].grad, results[1][1][name].grad) < 5e-6, name
    print("checked")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_the_triton_kernel_on_a_gpu():
    inputs = {k: v.cuda() if k in NAMES else v for k, v in draw(channels=100, length=333, states=16, groups=2).items()}
    leaves = {k: inputs[k].clone().requires_grad_() for k in NAMES}
    exact = {k: inputs[k].double().requires_grad_() for k in NAMES}
    for values, backend in ((leaves, "triton"), (exact, "blocked")):
        (selective_scan(**values, delta_softplus=True, backend=backend) ** 2).sum().backward()
    for name in NAMES:
        assert error(leaves[name].grad, exact[name].grad) < 5e-6, name


def test_mamba_ssm_is_used_on_request_only(monkeypatch):
    inputs = draw(groups=2, stacked=True)
    calls = []

    def kernel(u, delta, A, B, C):
        calls.append(u.shape)
        return by_definition(u, delta, A, B, C).float()

    package, ops, module = (ModuleType(n) for n in ("mamba_ssm", "mamba_ssm.ops", "mamba_ssm.ops.interface"))
    module.selective_scan_fn = kernel
    monkeypatch.setitem(sys.modules, "mamba_ssm", package)
    monkeypatch.setitem(sys.modules, "mamba_ssm.ops", ops)
    monkeypatch.setitem(sys.modules, "mamba_ssm.ops.selective_scan_interface", module)
    ours = selective_scan(**inputs)
    assert not calls
    theirs = selective_scan(**inputs, backend="mamba_ssm")
    assert calls == [(1, 12, 37)]
    torch.testing.assert_close(theirs, ours, rtol=0, atol=1e-5)


def test_what_is_not_there_or_does_not_fit_is_told():
    inputs = draw()
    with pytest.raises(ValueError, match="expected one of auto, blocked"):
        selective_scan(**inputs, backend="fast")
    if find_spec("mamba_ssm") is None:
        with pytest.raises(ValueError, match="not installed"):
            selective_scan(**inputs, backend="mamba_ssm")
    if find_spec("triton") is not None:
        with pytest.raises(ValueError, match="on cpu"):
            selective_scan(**inputs, backend="triton")
    with pytest.raises(ValueError, match="delta has the shape"):
        selective_scan(**inputs | {"delta": inputs["delta"][:, :, :5]})
    with pytest.raises(ValueError, match="A has the shape"):
        selective_scan(**inputs | {"A": inputs["A"][:3]})
    with pytest.raises(ValueError, match="5 groups"):
        selective_scan(**inputs | {k: torch.zeros(2, 5, 4, 37) for k in "BC"})
    with pytest.raises(ValueError, match="u has the shape"):
        selective_scan(**inputs | {"u": inputs["u"][0]})
