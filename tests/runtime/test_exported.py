# SPDX-License-Identifier: Apache-2.0
"""Export, and the same model by another runtime: equal maps, equal boxes, and one sentence for every bad file."""

import json
import shutil

import numpy as np
import pytest
import torch
from tests.models.test_contract import close, images, part, small

from modaltrack import cli, models
from modaltrack.export import CARD_KEY, Parity, compare, export_graph, subsets
from modaltrack.export.graph import write_graph
from modaltrack.frame import Clip, Frame, Modality
from modaltrack.models.late_fusion import LateFusion
from modaltrack.runtime import load_model, read_exported
from modaltrack.runtime.sessions import open_session
from modaltrack.tracking import Policy, start, step, track

onnx = pytest.importorskip("onnx")
for package in ("onnxscript", "onnxruntime", "openvino"):
    pytest.importorskip(package)
RGB, THERMAL = Modality.RGB, Modality.THERMAL


@pytest.fixture(scope="session")
def drawn(tmp_path_factory):
    """A small two-sensor model's weight file, and its graph of RGB and thermal for both runtimes."""
    folder = tmp_path_factory.mktemp("exported")
    models.save_model(small("sdstrack-tiny", depth=2, fusion_blocks=(1,)), folder / "drawn.safetensors", {})
    model = models.load_model(folder / "drawn.safetensors", device="cpu")
    export_graph(model, (RGB, THERMAL), folder / "drawn.onnx", batch=2)
    card = open_session(folder / "drawn.onnx").card
    write_graph(folder / "drawn.onnx", folder / "drawn.xml", card, "openvino", "fp32")
    return folder


def moving(length=6):
    rng = np.random.default_rng(0)
    frames = [
        Frame({m: rng.integers(0, 256, (90, 120, 3), dtype=np.uint8) for m in (RGB, THERMAL)}, i / 30, i)
        for i in range(length)
    ]
    return Clip("drawn", frames, np.tile((40.0, 30.0, 20.0, 16.0), (length, 1)))


@pytest.mark.parametrize("name", ["drawn.onnx", "drawn.xml"])
def test_equal_maps_and_equal_boxes(name, drawn):
    """Three samples by a graph of two: cut and filled up."""
    model, other = models.load_model(drawn / "drawn.safetensors", device="cpu"), load_model(drawn / name)
    template, search = images(model, batch=3, keys=[RGB, THERMAL])
    with torch.no_grad():
        close(other(template, search), model(template, search), 1e-5)
    policy = Policy(tracking_threshold=0.0, lost_threshold=0.0, second_look=1.0)
    ours, theirs = (track(one, moving(), policy=policy) for one in (model, other))
    np.testing.assert_allclose(theirs.boxes, ours.boxes, rtol=0, atol=0.05)
    np.testing.assert_array_equal(theirs.status, ours.status)
    assert np.abs(ours.boxes[1:] - ours.boxes[0]).max() > 1, "the boxes have to move for this to say much"


@pytest.mark.parametrize("name", ["drawn.onnx", "drawn.xml"])
def test_rows_that_share_the_threads_keep_their_order(name, drawn):
    """Seven rows in parts of two, on two threads and on one."""
    template, search = images(models.load_model(drawn / "drawn.safetensors", device="cpu"), 7, [RGB, THERMAL])
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        two = load_model(drawn / name)
        at_once = two(template, search)
        assert len(two.graphs[RGB, THERMAL]._frames[False, 2]) == 2
        torch.set_num_threads(8)  # more than there are parts: one after the other
        many = load_model(drawn / name)
        close(many(template, search), at_once, 1e-5)
        assert set(many.graphs[RGB, THERMAL]._frames) == {(True, 1), (False, 1)}
        torch.set_num_threads(1)
        close(load_model(drawn / name)(template, search), at_once, 1e-5)
    finally:
        torch.set_num_threads(before)


def test_a_start_makes_ready_what_the_first_step_needs(drawn):
    """For one target and for as many as share the threads by rows; nothing is compiled after it."""
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        model, frames = load_model(drawn / "drawn.xml"), moving(2).frames
        graph = model.graphs[RGB, THERMAL]
        graph._frames.clear()
        start(model, frames[0], [(40.0, 30.0, 20.0, 16.0)])
        assert set(graph._frames) == {(True, 1)}
        state = start(model, frames[0], [(40.0, 30.0, 20.0, 16.0)] * 4)  # two parts of two rows
        assert set(graph._frames) == {(True, 1), (True, 2)}
        step(model, state, frames[1], Policy(tracking_threshold=0.0, lost_threshold=0.0, second_look=1.0))
        assert set(graph._frames) == {(True, 1), (True, 2)}
    finally:
        torch.set_num_threads(before)


def test_one_file_runs_in_both_runtimes(drawn):
    template, search = images(models.load_model(drawn / "drawn.safetensors", device="cpu"), 1, [RGB, THERMAL])
    a, b = (load_model(drawn / "drawn.onnx", runtime=runtime)(template, search) for runtime in ("onnx", "openvino"))
    close(a, b, 1e-5)


def test_bf16_is_asked_for_by_name(drawn):
    template, search = images(models.load_model(drawn / "drawn.safetensors", device="cpu"), 1, [RGB, THERMAL])
    exact, rough = (load_model(drawn / "drawn.xml", precision=p)(template, search) for p in ("fp32", "bf16"))
    close(exact, rough, 0.1)
    for precision, hint in (("bf16", "bfloat16"), ("", "'float32'")):
        session = open_session(drawn / "drawn.xml", precision=precision)
        assert hint in str(session._compiled(session._frame).get_property("INFERENCE_PRECISION_HINT"))


def test_what_the_tracker_asks_of_a_model_is_in_the_card(drawn):
    model, other = models.load_model(drawn / "drawn.safetensors", device="cpu"), load_model(drawn / "drawn.onnx")
    for name in ("template_size", "search_size", "template_factor", "search_factor", "modalities"):
        assert getattr(other.config, name) == getattr(model.config, name)
    for name in ("sensors_together", "one_sensor", "judges", "num_templates", "crop_context", "missing_policy"):
        assert getattr(other, name) == getattr(model, name)
    assert other.card["method"] == "sdstrack"


def sentence(call, *arguments, **named):
    with pytest.raises(ValueError, match=r".") as caught:
        call(*arguments, **named)
    text = str(caught.value)
    assert "\n" not in text
    return text


def test_a_sensor_set_that_it_was_not_exported_for(drawn):
    other = load_model(drawn / "drawn.onnx")
    template, search = images(models.load_model(drawn / "drawn.safetensors", device="cpu"), 1, [RGB, THERMAL])
    text = sentence(other, part(template, [0], [RGB]), part(search, [0], [RGB]))
    assert "was exported for rgb+thermal and is asked for rgb; export it with --sensors rgb" in text


def test_files_that_are_no_exported_model(drawn, tmp_path):
    bad = tmp_path / "bad.onnx"
    assert "There is no file" in sentence(load_model, bad)
    bad.write_bytes((drawn / "drawn.onnx").read_bytes()[:-5000])
    assert "is not a whole ONNX file" in sentence(load_model, bad)
    graph = onnx.load(str(drawn / "drawn.onnx"))
    del graph.metadata_props[:]
    onnx.save(graph, str(bad))
    assert "has no card" in sentence(load_model, bad)
    assert "has no card" in sentence(load_model, bad, runtime="openvino")
    (tmp_path / "bad.xml").write_text((drawn / "drawn.xml").read_text()[:3000])
    shutil.copy(drawn / "drawn.bin", tmp_path / "bad.bin")
    assert "is not a whole graph that OpenVINO can read" in sentence(load_model, tmp_path / "bad.xml")
    assert "has no .onnx or .xml" in sentence(load_model, _empty(tmp_path))
    for content in (b"", b"<!DOCTYPE html><html>Not found</html>", b"version https://git-lfs.github.com/spec/v1\n"):
        bad.write_bytes(content)
        assert "is not a whole ONNX file" in sentence(load_model, bad)
        assert "is not a whole graph" in sentence(load_model, bad, runtime="openvino")


@pytest.mark.parametrize("kept", [None, 0, 1000])
def test_openvino_without_all_of_its_weights(kept, drawn, tmp_path):
    """No .bin beside the .xml, an empty one, one that was cut."""
    shutil.copy(drawn / "drawn.xml", tmp_path / "cut.xml")
    if kept is not None:
        (tmp_path / "cut.bin").write_bytes((drawn / "drawn.bin").read_bytes()[:kept])
    assert "cut.xml" in sentence(load_model, tmp_path / "cut.xml")


def _empty(folder):
    (folder / "empty").mkdir()
    return folder / "empty"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"search_size": 256}, "search_rgb should be (2, 3, 256, 256) and is (2, 3, 128, 128)"),
        ({"sensors": ["rgb", "depth"]}, "template_depth"),
        ({"batch": 0}, "impossible sizes"),
        ({"confidence": False}, "its number of outputs"),
        ({"sensors": ["sonar"]}, "damaged"),
        ({"weights": 1}, "does not say how it was exported"),
        ({"search_factor": "4"}, "search_factor is '4'"),
        ({"template_factor": float("nan")}, "template_factor is nan"),
        ({"num_templates": 3}, "num_templates is 3"),
        ({"judges": "no"}, "judges is 'no'"),
        ({"modalities": ["rgb"]}, "modalities is"),
        ({"policy": [1]}, "policy is [1]"),
    ],
)
def test_a_card_that_lies(change, said, drawn, tmp_path):
    card = open_session(drawn / "drawn.onnx").card
    graph = onnx.load(str(drawn / "drawn.onnx"))
    onnx.helper.set_model_props(graph, {CARD_KEY: json.dumps({**card, "export": {**card["export"], **change}})})
    onnx.save(graph, str(tmp_path / "lies.onnx"))
    assert said in sentence(load_model, tmp_path / "lies.onnx")


def test_runtimes_and_precisions_that_do_not_go_together(drawn, monkeypatch):
    assert "torch does not run" in sentence(load_model, drawn / "drawn.onnx", runtime="torch")
    assert "no runtime 'tensorrt'" in sentence(load_model, "ostrack-tiny", runtime="tensorrt")
    assert "Torch runs in fp32" in sentence(load_model, "ostrack-tiny", precision="bf16")
    assert "auto is exact" in sentence(load_model, "ostrack-tiny", runtime="auto", precision="bf16")
    assert "no precision 'bf16'" in sentence(load_model, "ostrack-tiny", runtime="onnx", precision="bf16")
    assert "ONNX Runtime has no precision" in sentence(load_model, drawn / "drawn.onnx", precision="bf16")
    assert "ONNX Runtime reads .onnx" in sentence(load_model, drawn / "drawn.xml", runtime="onnx")
    assert "an int8 graph is exported" in sentence(load_model, drawn / "drawn.onnx", precision="int8")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    for name, package in (("drawn.onnx", "onnxruntime"), ("drawn.xml", "openvino")):
        assert f"{package}: pip install 'modaltrack[export]'" in sentence(load_model, drawn / name)


def test_track_with_a_file_and_without_what_it_lacks(drawn, cameras, tmp_path, capsys):
    words = ["track", "--model", str(drawn / "drawn.onnx"), "--box", "20,20,16,12", "--max-frames", "3", "--no-video"]
    words += ["--rgb", str(cameras / "rgb"), "--out", str(tmp_path / "out")]
    assert cli.main([*words, "--thermal", str(cameras / "thermal")]) == 0, capsys.readouterr().err
    assert cli.main([*words[:-1], str(tmp_path / "other")]) == 1
    error = capsys.readouterr().err
    assert "is asked for rgb" in error
    assert error.strip().count("\n") == 0


def test_sets_of_sensors_that_a_tracker_may_ask_for():
    two, one = small("sdstrack-tiny", depth=2, fusion_blocks=(1,)), small("ostrack-tiny", depth=2)
    assert subsets(two, (RGB, THERMAL)) == [(RGB,), (THERMAL,), (RGB, THERMAL)]
    assert subsets(two, (RGB, THERMAL, Modality.DEPTH))[3:] == [(RGB, THERMAL), (RGB, Modality.DEPTH)]
    assert len(subsets(LateFusion(one), (RGB, THERMAL, Modality.DEPTH))) == 7
    assert subsets(small("nanotrack-v3"), (RGB, THERMAL)) == [(RGB,), (THERMAL,)]


@pytest.mark.usefixtures("short_clips")
def test_differences_are_found_and_out_of_bounds(drawn):
    """A model whose maps are a little off, and one whose success falls."""
    model = models.load_model(drawn / "drawn.safetensors", device="cpu")
    other = models.load_model(drawn / "drawn.safetensors", device="cpu")
    with torch.no_grad():
        other.head.ctr[4].bias += 0.1
    found = compare(model, other, (RGB, THERMAL))
    assert 1e-5 < found.largest < 0.05
    assert "the maps differ by" in found.out_of_bounds("fp32")
    assert not found.out_of_bounds("bf16")
    assert "success falls" in Parity(0.0, 1.0, 0.0, (0.6, 0.5), 2).out_of_bounds("int8")
    assert Parity(float("nan"), 1.0, 0.0, (0.6, 0.6), 2).out_of_bounds("int8")


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--out", "x.xml"], "end the file's name in .onnx"),
        (["--out", "x.onnx", "--precision", "bf16"], "no precision 'bf16'"),
        (["--out", "x.onnx", "--batch", "0"], "--batch is 0"),
        (["--out", "x.onnx", "--sensors", "rgb+sonar"], "--sensors names 'sonar'"),
    ],
)
def test_export_says_what_is_wrong(more, said, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["export", "ostrack-tiny", *more]) == 1
    assert said in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.usefixtures("short_clips")
def test_a_graph_that_differs_is_not_kept(tmp_path, monkeypatch, capsys):
    """The verb itself: once refused, once kept with what was measured in the card."""
    monkeypatch.setattr("modaltrack.export.parity.compare", lambda *_: Parity(0.3, 0.5, 9.0, (0.5, 0.5), 2))
    models.save_model(small("ostrack-tiny", depth=1), tmp_path / "drawn.safetensors", {})
    words = ["export", str(tmp_path / "drawn.safetensors"), "--out", str(tmp_path / "x.onnx")]
    assert cli.main(words) == 1
    assert "is not kept: the maps differ by 3.0e-01" in capsys.readouterr().err
    assert not (tmp_path / "x.onnx").exists()
    assert cli.main([*words, "--allow-difference"]) == 0
    assert read_exported(tmp_path / "x.onnx").card["parity"]["largest"] == 0.3
