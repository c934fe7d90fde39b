# SPDX-License-Identifier: Apache-2.0
"""NanoTrack from its authors' graphs, by its published rule; and what is said of files that are something else."""

import math
import shutil

import numpy as np
import pytest
import torch

from modaltrack import cli, models
from modaltrack.frame import Modality
from modaltrack.models.nanotrack import NanoTrack
from modaltrack.scoring import mean_iou
from modaltrack.sources import open_clip
from modaltrack.tracking import Policy, track

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")


@pytest.fixture(scope="session")
def graphs(shared):
    """The two published files, where somebody has put them beside the repository."""
    folder = shared.parent / "pretrained"
    files = [folder / f"nanotrack_v3_{part}.onnx" for part in ("backbone", "head")]
    if not all(file.is_file() for file in files):
        pytest.skip("the published files of NanoTrack v3 are not here")
    return files


@pytest.fixture(scope="session")
def weights(graphs, tmp_path_factory):
    path = tmp_path_factory.mktemp("nano") / "nano.safetensors"
    assert cli.main(["models", "import", str(graphs[0]), "--method", "nanotrack", "--out", str(path)]) == 0
    return path


def test_the_rebuilt_network_is_the_graphs(weights):
    card = models.read_weights(weights)[1]
    assert float(card["coverage"].split(" by ")[1].split()[0]) < 1e-5
    assert [len(one["sha256"]) for one in card["origin"]] == [64, 64]


@pytest.mark.parametrize(("name", "figure"), [("rgb/davis_car-shadow", 0.88), ("rgbt/tno_nato_camp_1", 0.6)])
def test_real_clips_reach_what_is_published(name, figure, weights, shared):
    """0.91 on the first, by others' programs; the second is seen by the thermal camera alone, as if it were RGB."""
    folder = shared / name
    sensor, images = ("thermal", "aux") if name.startswith("rgbt") else ("rgb", "rgb")
    truth = np.loadtxt(folder / "groundtruth.txt", delimiter=",")
    result = track(models.load_model(weights, device="cpu"), open_clip({sensor: str(folder / images)}), truth[0])
    assert mean_iou(result.boxes[1:], truth[1:]) > figure


def test_a_model_says_by_which_rule_it_follows():
    model = NanoTrack(models.config_of("nanotrack-v3"))
    policy = Policy.of(model)
    assert (policy.window_influence, policy.size_penalty, policy.size_rate) == (0.455, 0.138, 0.348)
    model.card = {"thresholds": {"tracking": 0.5, "lost": 0.25}}
    assert Policy.of(model, margin=7).tracking_threshold == 0.5
    assert Policy.of(model, margin=7).margin == 7


def test_the_maps_say_where_a_box_is():
    """A box 100 wide and 40 high around the crop's middle, seen from the cell two to the right of the middle one."""
    model = NanoTrack(models.config_of("nanotrack-v3"))
    logits, edges = torch.zeros(1, 2, 15, 15), torch.ones(1, 4, 15, 15)
    logits[0, 1, 7, 9] = 5
    edges[0, :, 7, 9] = torch.tensor([50 + 32, 20, 50 - 32, 20.0])
    box = model.predict(logits, edges).boxes[0]
    torch.testing.assert_close(box, torch.tensor([0.5, 0.5, 100 / 255, 40 / 255]))


def test_one_sensor_at_a_time_is_said():
    torch.manual_seed(0)
    model = models.create("nanotrack-v3").eval()
    image = np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)
    frames = [{"rgb": image, "thermal": image[::-1]}] * 3
    with pytest.warns(UserWarning, match="one sensor at a time, the first of rgb, thermal"):
        both = track(model, frames, (20, 20, 16, 12))
    alone = track(model, [{"rgb": image}] * 3, (20, 20, 16, 12))
    np.testing.assert_array_equal(both.boxes, alone.boxes)


def small_graph(path, channels=3):
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    weight = numpy_helper.from_array(np.ones((2, channels, 1, 1), np.float32), "w")
    bias = numpy_helper.from_array(np.ones(2, np.float32), "b")
    node = helper.make_node("Conv", ["x", "w", "b"], ["y"])
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in "xy"]
    onnx.save(helper.make_model(helper.make_graph([node], "g", ends[:1], ends[1:], [weight, bias])), path)


def complaint(words, tmp_path, capsys):
    words = ["models", "import", *map(str, words), "--method", "nanotrack", "--out", str(tmp_path / "out.safetensors")]
    assert cli.main(words) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert not (tmp_path / "out.safetensors").exists()
    return error


def test_files_that_are_something_else(tmp_path, capsys):
    backbone = tmp_path / "my_backbone.onnx"
    assert "There is no file" in complaint([backbone], tmp_path, capsys)
    backbone.write_bytes(b"\x08\x07 no graph")
    assert "not a whole ONNX file" in complaint([backbone], tmp_path, capsys)
    small_graph(backbone)
    assert "has 1 convolutions where 41 were expected" in complaint([backbone], tmp_path, capsys)


def test_published_files_cut_short_or_in_each_others_place(graphs, tmp_path, capsys):
    backbone, head = graphs
    cut = tmp_path / "cut_backbone.onnx"
    cut.write_bytes(backbone.read_bytes()[:-1000])
    assert "not a whole ONNX file" in complaint([cut, "--head", head], tmp_path, capsys)
    assert "convolutions where" in complaint([head, "--head", backbone], tmp_path, capsys)
    shutil.copy(backbone, tmp_path / "alone.onnx")
    assert "convolutions where" in complaint([tmp_path / "alone.onnx"], tmp_path, capsys), "its own head"


def test_a_graph_with_the_same_layers_that_computes_something_else(graphs, tmp_path, capsys):
    import onnx

    other = onnx.load(str(graphs[0]))
    for node in other.graph.node:
        if node.op_type == "HardSwish":
            node.op_type = "Relu"
    onnx.save(other, str(tmp_path / "other.onnx"))
    assert "differs from what ONNX Runtime computes" in complaint(
        [tmp_path / "other.onnx", "--head", graphs[1]], tmp_path, capsys
    )


def test_the_rule_of_penalty_and_window():
    """By hand: a cell whose box is twice as large and as square as before, its score halved by the window's share."""
    policy = Policy(window_influence=0.4, size_penalty=0.1)
    score, window = torch.tensor([[[[0.8, 0.6]]]]), torch.tensor([[[[0.25, 1.0]]]])
    size = torch.tensor([[[[0.4, 0.2]], [[0.4, 0.2]]]])
    response, penalised = policy.response(score, size, window, torch.tensor([[0.2, 0.2]]))
    assert float(penalised[0, 0, 0, 0]) == pytest.approx(0.8 * math.exp(-0.1 * (2 - 1)))
    assert float(penalised[0, 0, 0, 1]) == pytest.approx(0.6)
    assert float(response[0, 0, 0, 0]) == pytest.approx(0.6 * float(penalised[0, 0, 0, 0]) + 0.4 * 0.25)
    size[0, :, 0, 1] = torch.tensor([0.4, 0.2])  # wider: scale sqrt(.7 * .5) / .4, aspect 2
    expected = 0.6 * math.exp(-0.1 * (2 * math.sqrt(0.7 * 0.5) / 0.4 - 1))
    assert float(policy.response(score, size, window, torch.tensor([[0.2, 0.2]]))[1][0, 0, 0, 1]) == pytest.approx(
        expected
    )


def test_the_rate_of_the_size():
    policy = Policy(size_rate=0.5, max_size_change=9)
    box = policy.next_box(np.array([10.0, 10, 20, 20]), np.array([10.0, 10, 40, 20]), 0.8, np.array([20.0, 20]), 99, 99)
    np.testing.assert_allclose(box[2:], [20 + 0.5 * 0.8 * 20, 20])


@pytest.mark.parametrize("field", [{"window_influence": 1.0}, {"size_penalty": -1.0}, {"size_rate": 0.0}])
def test_rules_that_make_no_sense(field):
    with pytest.raises(ValueError, match=next(iter(field))):
        Policy(**field)


def test_peaks_are_believed_where_the_rule_says_so():
    low = {"lost_threshold": 0.3, "hold_size": False, "size_smoothing": 0.0}
    was, new, first = np.array([10.0, 10, 20, 20]), np.array([15.0, 10, 20, 20]), np.array([20.0, 20])
    np.testing.assert_array_equal(Policy(**low).next_box(was, new, 0.1, first, 99, 99), was)
    np.testing.assert_array_equal(Policy(**low, hold_box=False).next_box(was, new, 0.1, first, 99, 99), new)


def test_the_modalities_of_a_name():
    assert models.create("nanotrack-v3").config.modalities == tuple(Modality)
