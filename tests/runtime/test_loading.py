# SPDX-License-Identifier: Apache-2.0
"""Models by name in other runtimes: graphs are exported once and kept, and ``auto`` takes the fastest exact one."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.models.test_contract import close, images, small

from modaltrack import models
from modaltrack.models.prediction import Prediction
from modaltrack.runtime import kept, load_model, loading

onnx = pytest.importorskip("onnx")
for package in ("onnxscript", "onnxruntime", "openvino"):
    pytest.importorskip(package)


@pytest.fixture
def weights(tmp_path, monkeypatch):
    """A small model's file, and a cache folder that is empty."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    models.save_model(small("ostrack-tiny", depth=1), tmp_path / "drawn.safetensors", {})
    return tmp_path / "drawn.safetensors"


@pytest.fixture
def exports(monkeypatch):
    """Counts the exports."""
    counted, real = [], loading.export_graph

    def counting(*arguments, **named):
        counted.append(named["precision"])
        return real(*arguments, **named)

    monkeypatch.setattr(loading, "export_graph", counting)
    return counted


def test_a_graph_is_exported_once_for_all_runtimes_and_found_again(weights, exports, tmp_path):
    model = models.load_model(weights, device="cpu")
    given = images(model, 1)
    with torch.no_grad():
        wanted = model(*given)
    for runtime, precision, tolerance in (("onnx", "", 1e-5), ("openvino", "", 1e-5), ("openvino", "bf16", 0.1)):
        close(load_model(weights, runtime=runtime, precision=precision)(*given), wanted, tolerance)
    assert exports == ["fp32"]
    (place,) = (tmp_path / "cache/modaltrack/graphs").iterdir()
    whole = (place / "graph.onnx").read_bytes()
    (place / "graph.onnx").write_bytes(whole[: len(whole) // 2])  # a damaged file is made again
    close(load_model(weights, runtime="onnx")(*given), wanted)
    assert exports == ["fp32", "fp32"]
    assert len((place / "graph.onnx").read_bytes()) == len(whole)


def test_fp16_halves_the_file_and_changes_little(weights, exports, tmp_path):
    model = models.load_model(weights, device="cpu")
    given = images(model, 1)
    with torch.no_grad():
        wanted = model(*given)
    for runtime in ("onnx", "openvino"):
        close(load_model(weights, runtime=runtime, precision="fp16")(*given), wanted, 5e-3)
    assert exports == ["fp16"]
    (place,) = (tmp_path / "cache/modaltrack/graphs").iterdir()
    numbers = sum(p.numel() for p in model.parameters())
    graph = onnx.load(str(place / "graph.onnx")).graph
    assert 2 * numbers <= sum(len(weight.raw_data) for weight in graph.initializer) < 2.5 * numbers
    assert not any(node.metadata_props or node.doc_string for node in graph.node), "the exporter's paths and lines"


def test_what_a_graph_is_made_of_is_in_its_key(weights):
    model, other = (models.load_model(weights, device="cpu") for _ in range(2))
    assert kept.key_of(model, "fp32", "rgb") == kept.key_of(other, "fp32", "rgb")
    assert kept.key_of(model, "fp32", "rgb") != kept.key_of(model, "fp32", "thermal")
    with torch.no_grad():
        other.head.ctr[4].bias += 1e-6
    assert kept.key_of(model, "fp32", "rgb") != kept.key_of(other, "fp32", "rgb")
    other = models.load_model(weights, device="cpu")
    other.card = {**other.card, "thresholds": {"tracking": 0.5}}
    assert kept.key_of(model, "fp32", "rgb") != kept.key_of(other, "fp32", "rgb")


def write(path: Path) -> None:
    path.write_bytes(b"graph" * 100)


def test_a_cache_that_cannot_be_written_to_costs_time_and_nothing_else(tmp_path, monkeypatch):
    (tmp_path / "cache").write_text("a file")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert kept.kept_graph("key", write, lambda path: True).read_bytes().startswith(b"graph")


def test_a_graph_that_could_not_be_made_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))

    def half(path: Path) -> None:
        write(path)
        raise ValueError("no such operator")

    with pytest.raises(ValueError, match="no such operator"):
        kept.kept_graph("key", half, lambda path: True)
    assert not list((tmp_path / "modaltrack" / "graphs").iterdir())


def test_the_longest_unused_graphs_go_first(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(kept, "MOST", 1100)
    for number, key in enumerate("abc"):
        folder = kept.kept_graph(key, write, lambda path: True).parent
        os.utime(folder, (number, number))
    assert {folder.name for folder in folder.parent.iterdir()} == {"b", "c"}
    kept.kept_graph("b", write, lambda path: True)  # used again: now c is the oldest
    kept.kept_graph("d", write, lambda path: True)
    assert {folder.name for folder in folder.parent.iterdir()} == {"b", "d"}


class Twin:
    """``model``, a little off, and so much slower on the clock of the test."""

    def __init__(self, model, clock, seconds, off=0.0):
        self.model, self.clock, self.seconds, self.off = model, clock, seconds, off

    def __getattr__(self, name):
        return getattr(self.model, name)

    def __call__(self, template, search):
        self.clock[0] += self.seconds
        made = self.model(template, search)
        return Prediction(made.score_map + self.off, *made[1:])


@pytest.mark.parametrize(
    ("seconds", "off", "taken"),
    [
        ({"torch": 3, "onnx": 2, "openvino": 1}, {}, "openvino"),
        ({"torch": 3, "onnx": 1, "openvino": 2}, {}, "onnx"),
        ({"torch": 1, "onnx": 2, "openvino": 3}, {}, "torch"),
        ({"torch": 3, "onnx": 2, "openvino": 1}, {"openvino": 1e-3}, "onnx"),
        ({"torch": 3, "onnx": 2, "openvino": 1}, {"openvino": 1e-3, "onnx": float("nan")}, "torch"),
    ],
)
def test_auto_takes_the_fastest_that_agrees(seconds, off, taken, weights, monkeypatch):
    clock, model = [0.0], models.load_model(weights, device="cpu")
    monkeypatch.setattr(loading.time, "perf_counter", lambda: clock[0])
    twins = {name: Twin(model, clock, seconds[name], off.get(name, 0.0)) for name in ("torch", "onnx", "openvino")}
    monkeypatch.setattr(loading, "exported_on_demand", lambda _, runtime, precision: twins[runtime])
    for name in off:
        with pytest.warns(UserWarning, match="differs from torch"):
            assert loading.fastest(twins["torch"]) is twins[taken], name
    assert off or loading.fastest(twins["torch"]) is twins[taken]


def test_auto_is_torch_where_nothing_else_is_installed(weights, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert isinstance(load_model(weights, runtime="auto", device="cpu"), torch.nn.Module)


@pytest.mark.parametrize("runtime", ["onnx", "openvino"])
def test_another_device_than_the_cpu_is_refused(runtime, weights):
    with pytest.raises(ValueError, match=f"--runtime {runtime} computes on the CPU and --device cuda was asked for"):
        load_model(weights, device="cuda", runtime=runtime)


def test_what_is_not_installed_is_said_before_weights_are_read(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ValueError, match="onnxruntime: pip install 'modaltrack\\[export\\]'"):
        load_model("no-such-file.safetensors", runtime="onnx")


def test_drawn_maps_differ_between_models(weights):
    """So that agreement above says something."""
    other = small("ostrack-tiny", depth=1)
    with torch.no_grad():
        other.head.ctr[4].bias += 1
    given = images(other, 1)
    with torch.no_grad():
        a, b = (model(*given).score_map.numpy() for model in (models.load_model(weights, "cpu"), other))
    assert np.abs(a - b).max() > 1e-3
