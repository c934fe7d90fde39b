# SPDX-License-Identifier: Apache-2.0
"""Late fusion: what the others say counts for nothing where they see nothing, and one sensor alone is the tracker."""

import json

import pytest
import torch
from tests.models.test_contract import close, images, part, small

from modaltrack import cli, models
from modaltrack.frame import Modality
from modaltrack.models.late_fusion import LateFusion, fuse, reliability

SENSORS = list(Modality)


@pytest.fixture(params=["ostrack-tiny", "nanotrack-v3", "sdstrack-tiny"])
def late(request):
    return LateFusion(small(request.param))


def test_one_sensor_alone_is_the_tracker(late):
    template, search = images(late, keys=["thermal"])
    name = "thermal" if "thermal" in late.base.config.modalities else "rgb"
    close(late(template, search), late.base({name: template["thermal"]}, {name: search["thermal"]}), 1e-6)


def test_sets_of_sensors_in_one_batch_equal_single_runs(late):
    template, search = images(late, keys=SENSORS)
    has = torch.tensor([[1, 1, 1, 1], [0, 1, 0, 1], [0, 0, 1, 0]]).bool()
    mixed = late(template, search, {m: has[:, i] for i, m in enumerate(SENSORS)})
    for row in range(3):
        keys = [m for i, m in enumerate(SENSORS) if has[row, i]]
        alone = late(part(template, [row], keys), part(search, [row], keys))
        close(alone, models.Prediction(*(None if field is None else field[[row]] for field in mixed)))


def test_the_clearer_map_has_the_say():
    sharp, flat = torch.full((1, 1, 8, 8), 1e-3), torch.full((1, 1, 8, 8), 0.3)
    sharp[0, 0, 2, 3] = flat[0, 0, 6, 6] = 0.5
    assert float(reliability(sharp)) == pytest.approx(0.25 * 0.25 / ((0.25 + 63e-6) / 64), rel=1e-5)
    weight = torch.stack([reliability(sharp), reliability(flat)], 1)
    weight = weight / weight.sum()
    assert weight[0, 0] > 0.95
    ones = torch.ones(1, 2, 8, 8)
    joined = fuse(
        [models.Prediction(m, k * ones, 0 * ones, torch.zeros(1, 4)) for m, k in ((sharp, 0.2), (flat, 0.8))], weight
    )
    assert int(joined.score_map.argmax()) == 2 * 8 + 3
    assert float(joined.size_map[0, 0, 2, 3]) == pytest.approx(0.2, abs=0.03)
    assert float(joined.size_map[0, 0, 6, 6]) > 0.7, "where only the other sensor sees something, its size counts"


def test_by_name_through_track_and_eval(tmp_path, cameras, capsys):
    models.save_model(small("ostrack-tiny"), tmp_path / "drawn.safetensors", {"licence": "Apache-2.0"})
    name = f"late:{tmp_path / 'drawn.safetensors'}"
    words = ["track", "--model", name, "--box", "20,20,16,12", "--max-frames", "3", "--device", "cpu", "--no-video"]
    words += ["--rgb", str(cameras / "rgb"), "--thermal", str(cameras / "thermal"), "--out", str(tmp_path / "out")]
    assert cli.main(words) == 0, capsys.readouterr().err
    written = json.loads((tmp_path / "out" / "result.json").read_text())
    assert written["model"] == "late:drawn"
    words = [
        "eval",
        "--benchmark",
        "scenes",
        "--clips",
        "2",
        "--length",
        "3",
        "--model",
        name,
        "--out",
        str(tmp_path / "results"),
    ]
    assert cli.main([*words, "--device", "cpu"]) == 0, capsys.readouterr().err
    (facts,) = (tmp_path / "results" / "late-drawn").rglob("run.json")
    assert facts.is_file()


def test_a_name_that_does_not_exist():
    with pytest.raises(ValueError, match="no model 'ostrack-tin'"):
        models.load_model("late:ostrack-tin")


def test_no_image_at_all():
    with pytest.raises(ValueError, match="no images"):
        LateFusion(small("ostrack-tiny"))({}, {})


def test_what_is_fused_is_every_sensor(late):
    template, search = images(late, keys=["rgb", "depth"])
    both = late(template, search)
    for key in ("rgb", "depth"):
        alone = late(part(template, [0, 1, 2], [key]), part(search, [0, 1, 2], [key]))
        assert not torch.equal(both.score_map, alone.score_map)
