# SPDX-License-Identifier: Apache-2.0
"""Photographs seen by simulated sensors: consistent over pictures, encoded like real files, with their failures."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from modaltrack.frame import Modality
from modaltrack.scenes.photo_fields import fields_of
from modaltrack.scenes.photo_objects import PhotoObject, cutouts, kind_of, soft_alpha
from modaltrack.scenes.photo_world import World
from modaltrack.scenes.photographs import (
    depth_millimetres,
    draw_events,
    event_counts,
    simulate,
    thermal_grey,
    visible,
)
from modaltrack.sources.encodings import depth_jet_bgr, event_accumulate

HEIGHT, WIDTH = 120, 160
BOX = np.array([60.0, 40.0, 30.0, 60.0])
QUIET = World(seed=3, event_noise=0.0, misalignment=0.0, thermal_noise=0.0, holes=0.0, baseline=0.0, depth_noise=0.0)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def ellipse(box: np.ndarray = BOX) -> np.ndarray:
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    x, y, w, h = (int(v) for v in box)
    cv2.ellipse(mask, (x + w // 2, y + h // 2), (w // 2 - 1, h // 2 - 1), 0, 0, 360, 1, -1)
    return mask > 0


def photograph(colour=(200, 40, 40), box: np.ndarray = BOX, seed: int = 0) -> np.ndarray:
    """A ground with texture and an elliptic object of one colour."""
    ground = cv2.resize(rng(seed).integers(60, 160, (12, 16, 3), np.uint8), (WIDTH, HEIGHT))
    ground[ellipse(box)] = colour
    return ground


def person(box: np.ndarray = BOX, number: int = 0, mask: bool = True, **more) -> PhotoObject:
    return PhotoObject(box, "person", ellipse(box) if mask else None, number, **more)


def heat(rgb: np.ndarray, objects: list[PhotoObject], world: World) -> np.ndarray:
    return fields_of(rgb, cutouts(rgb, objects), world).heat


def test_the_same_numbers_give_the_same_pictures() -> None:
    rgb, objects = photograph(), [person()]
    first, again = simulate(rgb, objects, rng(5)), simulate(rgb, objects, rng(5))
    assert first.keys() == again.keys() == set(Modality)
    for modality, picture in first.items():
        assert picture.dtype == np.uint8
        assert picture.shape == (HEIGHT, WIDTH, 3)
        assert (picture == again[modality]).all()
    other = simulate(rgb, objects, rng(6))
    assert any((other[m] != first[m]).any() for m in first)


def test_pictures_are_encoded_as_files_are() -> None:
    rgb = photograph()
    fields = fields_of(rgb, cutouts(rgb, [person()]), QUIET)
    seen = simulate(rgb, [person()], rng(1), ("thermal", "depth"), QUIET)
    assert (seen[Modality.DEPTH] == depth_jet_bgr(depth_millimetres(fields.inverse_depth, QUIET, rng(9)))).mean() > 0.98
    grey = seen[Modality.THERMAL]
    assert (grey[..., 0] == grey[..., 1]).all()
    assert (grey[..., 0] == grey[..., 2]).all()
    assert (grey[..., 0] == thermal_grey(fields.heat, QUIET, rng(2))).all()
    on, off = rng(3).integers(0, 2, (2, HEIGHT, WIDTH)).astype(np.int16)
    rows, columns = np.nonzero(on)
    rows_off, columns_off = np.nonzero(off)
    x, y = np.concatenate([columns, columns_off]), np.concatenate([rows, rows_off])
    p = np.concatenate([np.ones(len(rows)), np.zeros(len(rows_off))])
    assert (draw_events(on, off) == event_accumulate((np.zeros(len(x)), x, y, p), HEIGHT, WIDTH)).all()


def test_an_object_keeps_its_temperature_and_its_parts_wherever_it_is_seen() -> None:
    here, there = BOX, np.array([20.0, 20.0, 45.0, 90.0])
    worlds = [replace(QUIET, seed=seed) for seed in range(8)]
    a = [heat(photograph(box=here), [person(here)], w)[ellipse(here)].mean() for w in worlds]
    b = [heat(photograph(box=there), [person(there)], w)[ellipse(there)].mean() for w in worlds]
    c = [heat(photograph(box=here), [person(here, number=1)], w)[ellipse(here)].mean() for w in worlds]
    assert np.abs(np.subtract(a, b)).max() < 0.02
    assert np.abs(np.subtract(a, c)).max() > 0.05
    assert np.std(a) > 0.03


def test_a_mirrored_object_has_its_parts_mirrored() -> None:
    rgb = photograph()
    straight = heat(rgb, [PhotoObject(BOX, "car", ellipse())], QUIET)
    turned = heat(rgb[:, ::-1].copy(), [PhotoObject(_mirror(BOX), "car", ellipse()[:, ::-1], mirrored=True)], QUIET)
    inside = ellipse()
    assert np.abs(straight - turned[:, ::-1])[inside].max() < 0.03
    wrong = heat(rgb[:, ::-1].copy(), [PhotoObject(_mirror(BOX), "car", ellipse()[:, ::-1])], QUIET)
    assert np.abs(straight - wrong[:, ::-1])[inside].max() > 0.1


def _mirror(box: np.ndarray) -> np.ndarray:
    return np.array([WIDTH - box[0] - box[2], *box[1:]])


def test_a_body_is_warm_and_its_colour_does_not_decide() -> None:
    ring = ellipse(BOX + np.array([-12, -12, 24, 24])) & ~ellipse(BOX)
    rises, black, white = [], [], []
    for seed in range(40):
        world = replace(QUIET, seed=seed)
        fields = heat(photograph((200, 40, 40)), [person()], world)
        rises.append(fields[ellipse()].mean() - fields[ring].mean())
        black.append(heat(photograph((10, 10, 10)), [person()], world)[ellipse()].mean())
        white.append(heat(photograph((240, 240, 240)), [person()], world)[ellipse()].mean())
    assert np.mean(np.array(rises) > 0) > 0.9
    warmer = np.mean(np.array(black) > np.array(white))
    assert 0.25 < warmer < 0.75


def test_classes_are_bodies_of_a_kind() -> None:
    kinds = {"person": "warm", "Person": "warm", "0": "warm", "15": "warm", "2": "vehicle", "OtherVehicle": "vehicle",
             "right_car": "vehicle", "tvmonitor": "device", "pottedplant": "plant", "45": "thing", "": "thing",
             "cup_mid": "thing", "traffic light": "device"}  # fmt: skip
    assert {name: kind_of(name) for name in kinds} == kinds


def test_crossover_hides_the_target_from_thermal_and_flatness_from_depth() -> None:
    rgb, inside = photograph(), ellipse()
    ring = ellipse(BOX + np.array([-10, -10, 20, 20])) & ~inside

    def contrast(world: World, field: str) -> float:
        values = getattr(fields_of(rgb, cutouts(rgb, [person()]), world), field)
        return abs(float(values[inside].mean() - values[ring].mean())) / float(values.mean())

    assert contrast(replace(QUIET, crossover=1.0), "heat") < 0.3 * contrast(QUIET, "heat")
    near = replace(QUIET, horizon=-0.3, wall=3.0)
    assert contrast(replace(near, flatness=1.0), "inverse_depth") < 0.3 * contrast(near, "inverse_depth")
    second = [person(number=1)]
    for_others = fields_of(rgb, cutouts(rgb, second), replace(QUIET, crossover=1.0)).heat
    assert (for_others == fields_of(rgb, cutouts(rgb, second), QUIET).heat).all()


def test_an_object_is_nearer_than_what_it_hides_and_than_what_stands_farther() -> None:
    rgb = photograph()
    low, high = np.array([60.0, 50.0, 30.0, 60.0]), np.array([75.0, 20.0, 30.0, 50.0])
    for seed in range(6):
        world = replace(QUIET, seed=seed)
        empty = fields_of(rgb, [], world).inverse_depth
        near = fields_of(rgb, cutouts(rgb, [person(low)]), world).inverse_depth
        assert np.median((near - empty)[ellipse(low)]) > 0
        both = fields_of(rgb, cutouts(rgb, [person(low, 0), person(high, 1)]), world).inverse_depth
        over = ellipse(low) & ellipse(high)
        assert (both[over] == near[over]).all()  # the lower foot is in front, whatever the order of the list


def test_holes_shadows_and_range_have_no_reading() -> None:
    rgb = photograph()
    inverse = fields_of(rgb, cutouts(rgb, [person()]), QUIET).inverse_depth

    def lost(**change: float) -> float:
        return float((depth_millimetres(inverse, replace(QUIET, **change), rng(0)) == 0).mean())

    assert lost() < 0.01
    assert lost(holes=0.9) > 0.02
    assert lost(baseline=30.0) > 0.01
    assert lost(patches=0.4) > 0.1
    assert (depth_millimetres(np.full((20, 20), 1 / 30, np.float32), QUIET, rng(0)) == 0).all()


def test_night_and_fog_change_rgb_and_not_the_others() -> None:
    rgb, objects = photograph(), [person()]
    clear = simulate(rgb, objects, rng(4), world=QUIET)
    night = simulate(rgb, objects, rng(4), world=replace(QUIET, light=0.05, noise=0.02))
    fog = simulate(rgb, objects, rng(4), ("rgb",), replace(QUIET, fog=0.5))
    assert clear[Modality.RGB] is rgb
    assert night[Modality.RGB].mean() < 0.6 * rgb.mean()
    assert fog[Modality.RGB].std() < 0.8 * rgb.std()
    for modality in (Modality.THERMAL, Modality.DEPTH):
        assert (night[modality] == clear[modality]).mean() > 0.97  # noise of another draw apart


def test_fog_hides_what_is_far() -> None:
    rgb = np.full((HEIGHT, WIDTH, 3), 30, np.uint8)
    inverse = np.full((HEIGHT, WIDTH), 1.0, np.float32)
    inverse[:, :80] = 0.1
    seen = visible(rgb, inverse, replace(QUIET, fog=0.3), rng())
    assert seen[:, :80].mean() > seen[:, 80:].mean() + 40


def test_events_are_the_change_between_two_real_frames() -> None:
    before, after = (np.full((HEIGHT, WIDTH, 3), 60, np.uint8) for _ in range(2))
    before[40:80, 40:80], after[40:80, 46:86] = 200, 200
    on, off = event_counts(before, after, QUIET, rng())
    rows = slice(45, 75)
    assert (on[rows, 81:85] > 0).all()
    assert (off[rows, 41:45] > 0).all()
    assert not on[rows, 50:76].any()
    assert not off[rows, 50:76].any()
    nothing = simulate(after, [], rng(), ("event",), QUIET, before=after)[Modality.EVENT]
    assert (nothing == 255).all()
    drawn = simulate(after, [], rng(), ("event",), QUIET, before=before)[Modality.EVENT]
    assert (drawn == draw_events(on, off)).mean() > 0.99


def test_a_still_object_fires_no_events_and_a_moving_one_does() -> None:
    rgb, objects = photograph(), [person(mask=False)]
    still = simulate(rgb, objects, rng(2), ("event",), replace(QUIET, camera=0.0, motion=0.0))[Modality.EVENT]
    moving = simulate(rgb, objects, rng(2), ("event",), replace(QUIET, camera=0.0, motion=3.0))[Modality.EVENT]
    assert (still != 255).any(2).mean() < 0.005
    fired = (moving != 255).any(2)
    near = np.zeros_like(fired)
    near[25:115, 45:105] = True
    assert fired[near].sum() > 30
    assert fired[~near].sum() == 0


@pytest.mark.parametrize("modality", list(Modality))
def test_a_blind_sensor_shows_nothing(modality: Modality) -> None:
    world = replace(QUIET, failures={modality: "blind"})
    picture = simulate(photograph(), [person()], rng(1), world=world)[modality]
    assert len(np.unique(picture.reshape(-1, 3), axis=0)) == 1


@pytest.mark.parametrize("modality", [Modality.THERMAL, Modality.DEPTH, Modality.RGB])
def test_a_frozen_sensor_shows_the_target_elsewhere_and_a_shifted_one_all(modality: Modality) -> None:
    rgb, objects = photograph(), [person()]
    whole = simulate(rgb, objects, rng(1), (modality,), QUIET)[modality].astype(int)
    frozen = simulate(rgb, objects, rng(1), (modality,), replace(QUIET, failures={modality: "frozen"}))[modality]
    changed = np.abs(frozen - whole).sum(2) > 30
    assert changed[ellipse()].mean() > 0.15
    shifted = simulate(rgb, objects, rng(1), (modality,), replace(QUIET, failures={modality: "shifted"}))[modality]
    shifts = [
        (np.roll(whole, (dy, dx), (0, 1))[45:75, 60:100] == shifted[45:75, 60:100]).all()
        for dx in range(-45, 46)
        for dy in range(-45, 46)
    ]
    assert sum(shifts) >= 1
    assert (shifted != whole).any()


def test_second_sensors_look_a_little_past_rgb() -> None:
    world = replace(QUIET, misalignment=3.0)
    moved = [simulate(photograph(), [person()], rng(s), world=world) for s in range(4)]
    straight = simulate(photograph(), [person()], rng(0), world=QUIET)
    assert all((one[Modality.RGB] == straight[Modality.RGB]).all() for one in moved)
    assert sum((one[Modality.THERMAL] != straight[Modality.THERMAL]).any() for one in moved) >= 3


@pytest.mark.parametrize("colour", [(220, 30, 30), (20, 20, 220), (250, 250, 250)])
def test_soft_edges_follow_the_object_better_than_its_box(colour) -> None:
    rgb, truth = photograph(colour), ellipse()[40:100, 60:90]
    found = soft_alpha(rgb, BOX) > 0.5
    assert (found & truth).sum() / (found | truth).sum() > max(0.9, truth.mean())


@pytest.mark.parametrize(
    "box",
    [[-20, -30, 60, 80], [150, 110, 40, 40], [70, 50, 2, 3], [500, 500, 10, 10], [0, 0, WIDTH, HEIGHT], [3, 3, 0, 5]],
)
def test_objects_at_and_beyond_the_edges(box) -> None:
    seen = simulate(photograph(), [PhotoObject(box, "dog"), PhotoObject(box, "dog", number=1)], rng(3))
    assert all(picture.shape == (HEIGHT, WIDTH, 3) for picture in seen.values())


def test_drawn_worlds_hide_a_target_from_one_sensor_at_most() -> None:
    worlds = [World.draw(rng(seed), hard=1.0) for seed in range(300)]
    assert not any(w.crossover > 0.7 and w.flatness > 0.8 for w in worlds)
    assert max(len(w.failures) for w in worlds) == 1
    assert 0.1 < np.mean([w.light < 1 for w in worlds]) < 0.4
    assert {f for w in worlds for f in w.failures.values()} == {"blind", "frozen", "shifted"}
