# SPDX-License-Identifier: Apache-2.0
"""The synthetic world: reproducible, consistent between its sensors, and true to its own boxes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from modaltrack import scenes
from modaltrack.frame import Clip, Modality
from modaltrack.scenes import sensors
from modaltrack.scenes.actors import KINDS, NUM_PARTS, NUM_TRAITS, Troupe
from modaltrack.scenes.compose import Layer, compose
from modaltrack.scenes.conditions import random_weather
from modaltrack.scenes.texture import canvases
from modaltrack.sources.encodings import depth_jet_bgr, event_accumulate

SMALL = {"num_actors": 16, "num_canvases": 2}


@pytest.fixture(scope="module")
def sampler() -> scenes.PairSampler:
    return scenes.PairSampler(seed=5, **SMALL)


@pytest.fixture(scope="module")
def made() -> Clip:
    return scenes.clip(3, length=18, size=(128, 160), hard=True)


def plain_weather(n: int = 1) -> sensors.Weather:
    """Noon, clear air, perfect sensors."""
    weather = random_weather(n, torch.Generator().manual_seed(0), hard=0.0)
    zero, one = torch.zeros(n), torch.ones(n)
    exact = {"light": one, "slope": torch.zeros(n, 2), "cast": torch.ones(n, 3), "gamma": one, "thermal_gain": one}
    exact |= dict.fromkeys(("fog", "noise", "monochrome", "thermal_noise", "thermal_invert"), zero)
    exact |= dict.fromkeys(("depth_noise", "holes", "event_noise"), zero)
    return replace(weather, blur=one * 0.05, thermal_blur=one * 0.05, event_threshold=one * 0.2, **exact)


def layer(**changes: object) -> Layer:
    """One actor in the middle of a 96-pixel frame."""
    zero, one = torch.zeros(1), torch.ones(1)
    values = {
        "actor": torch.tensor([0]), "phase": zero, "centre": torch.tensor([[48.0, 48.0]]), "scale": one * 20,
        "angle": zero, "bend": zero, "ripple": zero, "gain": torch.ones(1, 3), "mix": zero, "heat": zero,
        "thermal_mix": zero, "inverse_depth": one, "opacity": one, "window": "medium",
    }  # fmt: skip
    return Layer(**(values | changes))


def test_a_batch_is_a_function_of_seed_and_step(sampler: scenes.PairSampler) -> None:
    again = scenes.PairSampler(seed=5, **SMALL)
    sampler.sample(8, 3)  # what was drawn before must not matter
    first, second, other = sampler.sample(8, 7), again.sample(8, 7), again.sample(8, 8)
    for modality in Modality:
        assert torch.equal(first.search[modality], second.search[modality])
        assert not torch.equal(first.search[modality], other.search[modality])
    assert torch.equal(first.box, second.box)


def test_pairs_have_the_promised_form(sampler: scenes.PairSampler) -> None:
    pairs = sampler.sample(11, 0, ["rgb", "depth"])
    assert set(pairs.search) == {"rgb", "depth"}
    for images, size in ((pairs.template, 64), (pairs.search, 128)):
        for image in images.values():
            assert image.shape == (11, 3, size, size)
            assert float(image.min()) >= 0
            assert float(image.max()) <= 1 + 1e-6
    assert pairs.box.shape == (11, 4)
    seen = pairs.visible > 0
    assert seen.sum() >= 6
    centre = pairs.box[seen, :2] + pairs.box[seen, 2:] / 2
    assert ((centre > -0.1) & (centre < 1.1)).float().mean() > 0.9  # the target is in its search crop
    assert (pairs.box[seen, 2:] > 0.02).all()


def test_the_box_of_an_actor_is_its_extent() -> None:
    troupe = Troupe(8, 1)
    fields = compose(torch.zeros(1, 5, 96, 96), [layer()], troupe)
    rows, columns = (fields.owner[0] == 0).nonzero().unbind(1)
    extent = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
    assert fields.boxes[0, 0].tolist() == [float(v) for v in extent]
    assert fields.seen[0, 0] == (fields.owner == 0).sum()
    expected = (troupe.extent[0, 0] * 20 + 48).tolist()  # sprite coordinates -1..1, half side 20 around (48, 48)
    assert np.abs(np.array(expected) - fields.boxes[0, 0].numpy()).max() < 2


def test_a_near_actor_hides_a_far_one_and_the_border_hides_the_rest() -> None:
    troupe = Troupe(8, 1)
    alone = compose(torch.zeros(1, 5, 96, 96), [layer()], troupe)
    both = compose(torch.zeros(1, 5, 96, 96), [layer(), layer(actor=torch.tensor([1]))], troupe)
    assert both.seen[0, 0] < alone.seen[0, 0]
    assert torch.equal(both.boxes[0, 0], alone.boxes[0, 0])  # the box does not care what hides the actor
    outside = compose(torch.zeros(1, 5, 96, 96), [layer(centre=torch.tensor([[-2.0, 48.0]]))], troupe)
    assert 0.2 < outside.seen[0, 0] / outside.area[0, 0] < 0.75
    assert outside.boxes[0, 0, 0] == 0


def test_camouflage_and_crossover_blind_one_sensor_each() -> None:
    ground = torch.full((1, 5, 96, 96), 0.4)
    troupe = Troupe(8, 1)

    def contrast(channels: slice, **changes: object) -> float:
        made = compose(ground, [layer(**changes)], troupe)
        mask = made.owner[0] == 0
        return float((made.values[0, channels][:, mask].mean(1) - 0.4).abs().mean())

    one = torch.ones(1)
    assert contrast(slice(0, 3), mix=one) < 0.35 * contrast(slice(0, 3))
    assert contrast(slice(3, 4), mix=one) == pytest.approx(contrast(slice(3, 4)))
    assert contrast(slice(3, 4), thermal_mix=one) < 0.35 * contrast(slice(3, 4))
    assert contrast(slice(0, 3), thermal_mix=one) == pytest.approx(contrast(slice(0, 3)))


def test_depth_and_events_are_encoded_as_the_readers_encode_files() -> None:
    generator = torch.Generator().manual_seed(0)
    millimetres = (torch.rand(2, 1, 40, 50, generator=generator) * 9000).round()
    millimetres[1, 0, :30] = 0  # more holes than readings
    ours = (sensors.encode_depth(millimetres) * 255).round()
    for picture, raw in zip(ours, millimetres):
        theirs = depth_jet_bgr(raw[0].numpy().astype(np.uint16)).astype(np.int16)
        difference = np.abs(picture.permute(1, 2, 0).numpy() - theirs)
        assert difference.max() <= 5  # one step of the colour map, where rounding to 8 bit differs
    fired = torch.rand(1, 2, 20, 30, generator=generator) < 0.2
    polarity, rows, columns = fired[0].nonzero().unbind(1)
    events = (np.zeros(len(rows)), columns.numpy(), rows.numpy(), (polarity == 0).numpy().astype(int))
    picture = (sensors.encode_events(fired)[0] * 255).round().permute(1, 2, 0).numpy().astype(np.uint8)
    assert np.array_equal(picture, event_accumulate(events, 20, 30))


def test_events_fire_where_light_changes_and_only_there() -> None:
    before = torch.full((1, 3, 20, 20), 0.3)
    after = before.clone()
    after[..., 5:8], after[..., 12:15] = 0.6, 0.1
    fired = sensors.event_counts(before, after, plain_weather(), torch.Generator().manual_seed(0))[0]
    assert fired[0, :, 5:8].all()
    assert fired[1, :, 12:15].all()
    assert fired.sum() == 2 * 20 * 3


def test_fog_hides_what_is_far_and_night_what_is_dark() -> None:
    light = torch.zeros(1, 3, 32, 32)
    light[..., 16:] = 0.8
    generator = torch.Generator().manual_seed(0)
    clear = plain_weather()
    fog = replace(clear, fog=torch.tensor([0.5]))

    def contrast(weather: sensors.Weather, metres: float) -> float:
        image = sensors.visible(light, torch.full((1, 1, 32, 32), 1 / metres), weather, generator)
        return float(image[..., 24:].mean() - image[..., :8].mean())

    assert contrast(clear, 8) == pytest.approx(0.8, abs=0.01)
    assert contrast(fog, 8) < 0.1 < contrast(fog, 1)


def test_the_depth_camera_has_holes_beyond_its_range() -> None:
    inverse = torch.full((1, 1, 16, 16), 0.5)
    inverse[..., 8:] = 0.05  # 20 m
    millimetres = sensors.depth_millimetres(inverse, plain_weather(), torch.Generator().manual_seed(0))
    assert (millimetres[..., 9:] == 0).all()
    assert millimetres[..., :7].median() == pytest.approx(2000)


def test_a_clip_is_reproducible_and_random_access_agrees(made: Clip) -> None:
    again = scenes.clip(3, length=18, size=(128, 160), hard=True)
    assert made.boxes is not None
    assert np.array_equal(made.boxes, again.boxes, equal_nan=True)
    late = again.frames[17]
    for modality, image in made.frames[0].images.items():
        assert image.shape == (128, 160, 3)
        assert image.dtype == np.uint8
        assert np.array_equal(image, again.frames[0].images[modality])
        assert not np.array_equal(image, late.images[modality])
    assert late.index == 17
    assert late.time == pytest.approx(17 / 30)
    assert len(list(made.frames)) == 18


def test_a_clip_starts_with_a_target_to_follow(made: Clip) -> None:
    assert made.boxes is not None
    assert made.visible is not None
    assert made.visible[0] >= 0.7
    x, y, w, h = made.boxes[0]
    assert w >= 5
    assert h >= 5
    assert x >= 0
    assert y >= 0
    assert x + w <= 160
    assert y + h <= 128
    assert np.isnan(made.boxes[made.visible < 0.05]).all()
    step = np.linalg.norm(np.diff(made.boxes[:, :2], axis=0), axis=1)
    assert np.nanmax(step) < 40  # it moves, it does not jump
    assert {"no occlusion", "partial occlusion", "total occlusion"} & made.attributes


def test_benchmark_halves_and_splits_do_not_overlap() -> None:
    test, validation = scenes.benchmark(clips=6, length=2), scenes.benchmark(split="validation", clips=6, length=2)
    assert len(test) == 6
    assert {test[0].name, validation[0].name} == {"easy-10000000", "easy-10050000"}
    assert test[5].name.startswith("hard")
    assert len(test[5].frames) == 2
    assert len(test[:2]) == 2


def test_bad_requests_say_what_is_wrong() -> None:
    with pytest.raises(ValueError, match="at least 1 frame"):
        scenes.clip(0, length=0)
    with pytest.raises(ValueError, match="128 pixels"):
        scenes.clip(0, size=(64, 64))
    with pytest.raises(ValueError, match="'test' and 'validation'"):
        scenes.benchmark(split="train")
    with pytest.raises(IndexError, match="18 frames"):
        _ = scenes.clip(3, length=18, size=(128, 160), hard=True).frames[18]


def test_every_kind_of_actor_draws_something() -> None:
    rng = np.random.default_rng(0)
    for make, _ in KINDS.values():
        assert make(rng, 3).shape[2:] == (NUM_PARTS, NUM_TRAITS)
    troupe = Troupe(64, 2)
    assert len(torch.unique(troupe.kind)) == len(KINDS)
    assert (troupe.solid > 0.05).all()


def test_backgrounds_look_like_photographs_to_a_spectrum() -> None:
    """Power falls with frequency about as in photographs, f^-1.2 to f^-3.2; white noise has slope 0."""
    canvas = canvases(4, torch.Generator().manual_seed(1), 192)[:, :3].mean(1)
    power = torch.fft.rfft2(canvas - canvas.mean((1, 2), keepdim=True)).abs() ** 2
    ky, kx = torch.fft.fftfreq(192).abs()[:, None] * 192, torch.arange(97)[None]
    radius = (kx**2 + ky**2).sqrt()
    bands = [(radius >= low) & (radius < 2 * low) for low in (4, 8, 16, 32)]
    level = torch.stack([power[:, band].mean(1) for band in bands], 1).log2()  # (4, bands), one octave apart
    slope = (level[:, -1] - level[:, 0]) / 3
    assert ((slope > -3.2) & (slope < -1.2)).all(), slope
