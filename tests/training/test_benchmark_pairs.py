# SPDX-License-Identifier: Apache-2.0
"""Pairs from data sets as downloaded: the box is where the target is, and every draw can be repeated."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from tests.benchmarks import mini
from tests.training import painted
from tests.training.painted import SECOND, box, build, folder, pairs_of, target

from modaltrack.training import get_recipe, train
from modaltrack.training.benchmark_pairs import GAP, DataSet, causal, later_template, open_data
from modaltrack.training.command import cli_main
from modaltrack.training.data import BatchSource
from modaltrack.training.fingerprint import fingerprint
from modaltrack.training.recipe import Recipe

SMALL = {"dim": 16, "depth": 2, "heads": 2, "head_channels": 8, "template_size": 32, "search_size": 64}


@pytest.fixture(scope="module")
def lasher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        return build("lasher", tmp_path_factory.mktemp("data"), patch, count=3)


def recipe_of(root: Path, **changes) -> Recipe:
    return replace(
        Recipe("r", "m", modalities=("thermal",), data={"lasher": 1.0}, data_root=str(root), batch=4), **changes
    )


@pytest.mark.parametrize("name", SECOND)
def test_the_box_is_where_the_target_is(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = build(name, tmp_path, monkeypatch)
    pairs = pairs_of(root, name, centre_jitter=1.5, scale_jitter=0.25, brightness=0.1, flip=0.5, crop_flip=0.5)
    drawn = pairs.sample(12, 0, ("rgb", SECOND[name]))
    assert drawn.box.std(0)[:2].min() > 0.03
    for sensor in ("rgb", SECOND[name]):
        assert drawn.search[sensor].shape == (12, 3, 64, 64)
        for image, expected in zip(drawn.search[sensor].numpy(), drawn.box.numpy(), strict=True):
            if (expected[:2] >= 0).all() and (expected[:2] + expected[2:] <= 1).all():
                assert target(image) == pytest.approx(expected, abs=2.5 / 64)
        for image in drawn.template[sensor].numpy():  # in the middle, half as long as the crop
            x, y, w, h = target(image)
            assert (x + w / 2, y + h / 2) == pytest.approx((0.5, 0.5), abs=2 / 32)
            assert np.sqrt(w * h) == pytest.approx(0.5, abs=2 / 32)


def test_a_sample_does_not_depend_on_what_was_drawn_before(lasher: Path) -> None:
    first, second = pairs_of(lasher, "lasher", centre_jitter=3), pairs_of(lasher, "lasher", centre_jitter=3)
    second.sample(3, 9, ("rgb", "thermal"))
    a, b = first.sample(6, 5, ("rgb", "thermal")), second.sample(6, 5, ("rgb", "thermal"))
    part, other = second.sample(2, 5, ("rgb", "thermal")), pairs_of(lasher, "lasher", seed=1, centre_jitter=3)
    for m in ("rgb", "thermal"):
        assert torch.equal(a.search[m], b.search[m])
        assert torch.equal(a.search[m][:2], part.search[m])
    assert torch.equal(a.box, b.box)
    assert not torch.equal(a.box, first.sample(6, 6, ("rgb", "thermal")).box)
    assert not torch.equal(a.box, other.sample(6, 5, ("rgb", "thermal")).box)
    alone = first.sample(6, 5, ("rgb",))  # one sensor is read, the same frame at the same place
    assert set(alone.search) == {"rgb"}


def test_the_search_frame_comes_soon_after_the_template() -> None:
    visible, random = np.array([0, 3, 5, 150, 190, 480, 1000]), np.random.default_rng(0)
    drawn = {causal(visible, random) for _ in range(400)}
    assert all(first < now and {first, now} <= set(visible) for first, now in drawn)
    assert {now - first for first, now in drawn if now < 300} == {3, 2, 5, 150, 147, 145, 190, 187, 185, 40}
    assert {pair for pair in drawn if pair[1] - pair[0] > GAP} == {(190, 480), (480, 1000)}  # nothing nearer
    between = {later_template(visible, 0, 190, random) for _ in range(300)}
    assert between == {0, 3, 5, 150}
    same = np.mean([later_template(visible, 0, 190, random) == 0 for _ in range(2000)])
    assert same == pytest.approx(0.1, abs=0.03)
    assert later_template(visible, 480, 1000, random) == 480


def test_second_templates_lie_between(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Brightness tells the number of a frame here."""

    def numbered(k: int, kind: str = "colour", **size: int) -> np.ndarray:
        value = np.full((painted.HEIGHT, painted.WIDTH), 10 * k + 5, np.uint8)
        return value if kind == "grey" else np.stack([value] * 3, 2)

    monkeypatch.setattr(painted, "picture", numbered)
    root = build("lasher", tmp_path, monkeypatch)
    pairs = pairs_of(root, "lasher", templates=2).sample(40, 0, ("rgb", "thermal"))
    for m in ("rgb", "thermal"):
        first, between, now = (
            (images[m][:, 0, 12:20, 12:20].mean((1, 2)) * 25.5 - 0.5).round()
            for images in (pairs.template, pairs.memory, pairs.search)
        )
        assert (first <= between).all()
        assert (between < now).all()
        assert (first < between).float().mean() > 0.5
    assert pairs_of(root, "lasher").sample(2, 0, ("rgb", "thermal")).memory is None


def visible(root: Path, name: str, sequence: str) -> list[int]:
    (data,) = open_data(recipe_of(root, data={name: 1.0}, modalities=(SECOND[name],)))
    number = next(k for k, entry in enumerate(data.benchmark) if entry.name == sequence)
    found = data.footage(number)
    assert found is not None
    return found.visible.tolist()


def test_visible_is_what_the_papers_say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """LasHeR: an area; DepthTrack: sides above 10 pixels; VisEvent: the label and sides above 5 pixels."""
    rows = [",".join(map(str, box(k))) for k in range(painted.LENGTH)]
    special = {2: "5,5,0,0", 3: "5,5,5,9", 4: "5,5,6,6", 5: "5,5,10,30", 6: "5,5,11,11"}
    rows = [special.get(k, row) for k, row in enumerate(rows)]
    everyone = set(range(painted.LENGTH))
    for name, hidden in (("lasher", {2}), ("depthtrack", {2, 3, 4, 5}), ("visevent", {2, 3, 8})):
        root = build(name, tmp_path / name, monkeypatch, count=1)
        sequence = painted.names(name, 1)[0]
        place = folder(root, sequence)
        for file in ("groundtruth.txt",) if name != "lasher" else ("visible.txt", "infrared.txt", "init.txt"):
            mini.text(place / file, rows)
        if name == "visevent":
            mini.text(place / "absent_label.txt", ["0" if k in (2, 8) else "1" for k in range(painted.LENGTH)])
        assert set(visible(root, name, sequence)) == everyone - hidden


def test_a_sample_that_cannot_be_read_is_replaced_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lasher: Path
) -> None:
    root = build("lasher", tmp_path, monkeypatch, count=3)
    whole = pairs_of(lasher, "lasher").sample(16, 0, ("rgb", "thermal"))
    assert whole.failed == ()
    place = folder(root, painted.names("lasher", 3)[2])
    for file in sorted((place / "infrared").iterdir())[5:12]:
        file.write_bytes(file.read_bytes()[:40])
    some = pairs_of(root, "lasher").sample(16, 0, ("rgb", "thermal"))
    assert 0 < len(some.failed) < 16
    assert all("infrared" in message and "cannot be decoded" in message for message in some.failed)
    same = [torch.equal(a, b) for a, b in zip(whole.search["thermal"], some.search["thermal"], strict=True)]
    assert same.count(False) <= len(some.failed)
    batch = BatchSource(recipe_of(root, batch=16), 32, 64)(0)[0]
    assert len(batch.replaced) > 0
    assert batch.failed == []


def test_a_data_set_of_broken_images_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = build("lasher", tmp_path, monkeypatch, count=1)
    for file in folder(root, "visible").iterdir():
        file.write_bytes(b"")
    with pytest.raises(ValueError, match="None of 200 samples could be read"):
        pairs_of(root, "lasher").sample(1, 0, ("rgb", "thermal"))


def test_short_sequences_are_left_out_and_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    root = build("lasher", tmp_path, monkeypatch, count=1, length=19)
    with caplog.at_level(logging.WARNING), pytest.raises(ValueError, match="has 20 frames and 5 visible ones"):
        pairs_of(root, "lasher").sample(1, 0, ("rgb", "thermal"))
    assert caplog.text.count("19 frames") == 1
    assert "has 1 of the 979 sequences of LasHeR" in caplog.text


def test_weights_share_out_the_samples_among_sets_with_the_sensors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("lasher", "visevent"):
        build(name, tmp_path / mini.info(name).title, monkeypatch, count=1)
    recipe = recipe_of(tmp_path, data={"lasher": 3.0, "visevent": 1.0}, modalities=("thermal", "event"))
    pairs = pairs_of(tmp_path, "lasher", "visevent")
    pairs.sets = open_data(recipe)
    drawn: list[str] = []
    original = DataSet.draw
    monkeypatch.setattr(DataSet, "draw", lambda d, *rest: (drawn.append(d.benchmark.name), original(d, *rest))[1])
    pairs.sample(200, 0, ("rgb",))
    assert drawn.count("lasher") == pytest.approx(150, abs=25)
    drawn.clear()
    pairs.sample(8, 0, ("rgb", "event"))
    assert set(drawn) == {"visevent"}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"data": {"lasher": 0.0}}, "has the weight 0"),
        ({"data": {"gtot": 1.0}}, "GTOT has no training split"),
        ({"modalities": ("depth",)}, "trains with depth and none of lasher has it"),
        ({"augment": {"grayscale": 0.1}}, "no augmentation 'grayscale'"),
        ({"augment": {"flip": 2.0}}, "flip is 2.0: give a probability"),
        ({"data": {}, "augment": {"centre_jitter": 1.0}}, "Rendered scenes take no centre_jitter"),
    ],
)
def test_data_that_make_no_sense_are_errors(change: dict, said: str, lasher: Path) -> None:
    with pytest.raises(ValueError, match=said):
        assert BatchSource(recipe_of(lasher, **change), 32, 64).sampler


def test_clips_are_frames_in_a_row(lasher: Path) -> None:
    sampler = pairs_of(lasher, "lasher")
    clip = sampler.sample_clip(6, 0, 0, ("rgb", "thermal"))
    assert len(clip.frames) == 6
    first = next(k for k in range(painted.LENGTH) if box(k) == tuple(clip.boxes[0]))
    assert clip.boxes.tolist() == [list(box(first + k)) for k in range(6)]
    expected = painted.picture(first + 3)[..., ::-1].astype(int)
    assert np.abs(clip.frames[3].images["rgb"].astype(int) - expected).mean() < 2  # JPEG
    assert sampler.sample_clip(6, 0, 0, ("rgb",)).name == clip.name
    with pytest.raises(ValueError, match="ask for shorter clips"):
        sampler.sample_clip(40, 0, 0, ("rgb",))


def test_the_fingerprint_tells_data_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lasher: Path) -> None:
    root = build("lasher", tmp_path, monkeypatch, count=2)
    two, three = fingerprint(recipe_of(root))["lasher"], fingerprint(recipe_of(lasher))["lasher"]
    assert (two["sequences"], three["sequences"], two["split"]) == (2, 3, "train")
    assert two["names"] != three["names"]
    assert two["missing"] == 979 - 2
    scenes = fingerprint(recipe_of(root, data={}))
    assert scenes["scenes"] == "scenes-1"
    assert scenes != fingerprint(recipe_of(root))


def test_other_sizes_of_the_second_sensor_are_brought_to_those_of_rgb(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = build("lasher", tmp_path, monkeypatch, count=1)
    for file in folder(root, "infrared").iterdir():
        cv2.imwrite(str(file), cv2.resize(cv2.imread(str(file)), None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA))
    drawn = pairs_of(root, "lasher").sample(4, 0, ("rgb", "thermal"))
    for image, expected in zip(drawn.search["thermal"].numpy(), drawn.box.numpy(), strict=True):
        assert target(image) == pytest.approx(expected, abs=4 / 64)


def test_training_on_a_data_set(lasher: Path, tmp_path: Path) -> None:
    recipe = replace(
        get_recipe("sdstrack-tiny-scenes"), model_options={**SMALL, "fusion_blocks": (1,)}, start_from=None,
        modalities=("thermal",), data={"lasher": 1.0}, data_root=str(lasher), steps=3, batch=4, log_every=1,
        workers=0, amp="none", time_budget_s=None,
    )  # fmt: skip
    card = train(recipe, tmp_path / "run", "cpu", threads=1)
    assert card["finished"]
    assert card["data"]["lasher"]["sequences"] == 3
    assert card["totals"]["bad_samples"] == 0


def test_training_on_a_data_set_from_the_command_line(
    lasher: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = f"ostrack-tiny-scenes --out {tmp_path / 'run'} --data lasher 1 --data-root {lasher} --steps 2 --batch 2 "
    words += "--input-mix.rgb 1 --input-mix.thermal 1 --input-mix.depth 0 --input-mix.event 0 --workers 0 --amp none "
    words += "--log-every 1 --threads 1 --device cpu --no-export --model-options "
    assert cli_main([*words.split(), *(str(x) for pair in SMALL.items() for x in pair)]) == 0
    assert "Finished at step 2 of 2" in capsys.readouterr().err
    capsys.readouterr()
    empty = [
        "ostrack-tiny-scenes",
        "--out",
        str(tmp_path / "other"),
        "--data",
        "lasher",
        "1",
        "--data-root",
        str(tmp_path),
    ]
    assert cli_main([*empty, "--workers", "0", "--device", "cpu"]) == 2
    assert "LasHeR" in capsys.readouterr().err
