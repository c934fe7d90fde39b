# SPDX-License-Identifier: Apache-2.0
"""Pairs composed from pictures: the geometry is right, a pair is a function of (seed, step), boxes lie on targets."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modaltrack.frame import Modality
from modaltrack.training.pictures.compose import Composition, Thing, cutting, place_beside
from modaltrack.training.pictures.degrade import Degradation, degrade, draw_light, low_resolution, motion_blur, relight
from modaltrack.training.pictures.geometry import covered, map_box, overlap_share, view, warp
from modaltrack.training.pictures.readers import read_folder
from modaltrack.training.pictures.sampler import PicturePairs, Shares, target_box

QUIET = Degradation(0, 0, 0, 0, 0, 0, 0)
PLAIN = Composition(
    far=0, zoom=0, turn=0, far_turn_share=0, stretch=0, jitter=0, fill_search=0, fill_template=0, transplant=0,
    neighbours=0, twin=0, occluder=0, absent=0, degradation=QUIET,
)  # fmt: skip


@pytest.fixture
def folder(tmp_path):
    """Ten pictures with one red ellipse each on noise, and a clip of it moving."""
    random = np.random.default_rng(0)
    (tmp_path / "stills/images").mkdir(parents=True)
    rows = []
    for i in range(10):
        image = random.integers(0, 90, (120, 160, 3), dtype=np.uint8)
        x, y, w, h = 40 + 4 * i, 30 + 2 * i, 36, 24
        cv2.ellipse(image, (x + w // 2, y + h // 2), (w // 2, h // 2), 0, 0, 360, (30, 30, 250), -1)
        cv2.imwrite(str(tmp_path / f"stills/images/{i}.png"), image)
        rows.append(f"{i}.png {x} {y} {w} {h} ball")
    (tmp_path / "stills/boxes.txt").write_text("\n".join(rows) + "\n")
    (tmp_path / "clip/rgb").mkdir(parents=True)
    for i in range(6):
        image = random.integers(0, 90, (120, 160, 3), dtype=np.uint8)
        cv2.circle(image, (50 + 8 * i, 60), 15, (30, 30, 250), -1)
        cv2.imwrite(str(tmp_path / f"clip/rgb/{i:04d}.png"), image)
    (tmp_path / "clip/groundtruth.txt").write_text("".join(f"{35 + 8 * i},45,30,30\n" for i in range(6)))
    return tmp_path


def red(image):
    return (image[..., 0] > 150) & (image[..., 1] < 110) & (image[..., 2] < 110)


def box_of(mask):
    rows, columns = np.nonzero(mask)
    return np.array([columns.min(), rows.min(), np.ptp(columns) + 1, np.ptp(rows) + 1], float)


def test_view_and_warp_agree_with_boxes():
    image = np.zeros((100, 140, 3), np.uint8)
    image[30:50, 60:90] = 255
    box = np.array([60, 30, 30, 20], float)
    for flip in (False, True):
        way = view((70, 45), 60, 120, flip=flip)
        found = box_of(warp(image, way, 120)[..., 0] > 127)
        np.testing.assert_allclose(found, map_box(box, way, round_target=False), atol=1.0)


def test_shrinking_does_not_alias():
    stripes = np.tile(np.array([0, 255], np.uint8), (512, 256))[..., None].repeat(3, 2)
    small = warp(stripes, view((256, 256), 512, 64), 64)
    assert np.ptp(small[8:-8, 8:-8]) < 60


@given(angle=st.floats(-3, 3), stretch=st.floats(0.8, 1.25))
@settings(max_examples=30, deadline=None)
def test_box_of_a_turned_ellipse(angle, stretch):
    image = np.zeros((200, 200), np.uint8)
    cv2.ellipse(image, (100, 90), (40, 20), 0, 0, 360, 255, -1)
    way = view((100, 100), 160, 256, angle, stretch)
    found = box_of(warp(image, way, 256) > 127)
    expected = map_box(np.array([59.5, 69.5, 81, 41]), way)
    np.testing.assert_allclose(found, expected, atol=3.0)


def test_covered_is_where_the_picture_is():
    way = view((10, 10), 80, 64)
    inside = covered((60, 60), way, 64)
    ones = warp(np.full((60, 60), 255, np.uint8), way, 64) > 127
    assert (inside == ones).mean() > 0.98
    assert covered((60, 60), view((30, 30), 20, 64), 64) is None


def test_a_pair_is_a_function_of_seed_and_step(folder):
    a, b = (PicturePairs(read_folder(folder), 64, 128, seed=3).sample(4, 7) for _ in range(2))
    assert (a.search[Modality.RGB] == b.search[Modality.RGB]).all()
    assert (a.box == b.box).all()
    c = PicturePairs(read_folder(folder), 64, 128, seed=4).sample(4, 7)
    assert not (a.box == c.box).all()


@pytest.mark.parametrize("shares", [Shares(1, 0, 0, 0), Shares(0, 1, 0, 0)])
def test_plain_pairs_have_the_target_in_the_box(folder, shares):
    pairs = PicturePairs(read_folder(folder), 64, 128, how=PLAIN, shares=shares)
    for i in range(12):
        pair = pairs.one(np.random.default_rng(i))
        found = box_of(red(pair.search[Modality.RGB]))
        box = pair.box * 128
        if min(box[:2]) > 0 and max(box[:2] + box[2:]) < 128:
            np.testing.assert_allclose(found, box, atol=3.5)
        assert red(pair.template[Modality.RGB])[32, 32]


def test_beyond_the_edge_another_picture_goes_on(folder):
    filled = PicturePairs(
        read_folder(folder), 64, 128, how=Composition(fill_search=1, fill_template=1, absent=0, degradation=QUIET)
    )
    black = PicturePairs(read_folder(folder), 64, 128, how=PLAIN)
    share = [
        np.mean([(p.one(np.random.default_rng(i)).search[Modality.RGB] == 0).all(2).mean() for i in range(20)])
        for p in (filled, black)
    ]
    assert share[0] < 0.05 < share[1]


def test_an_absent_target_is_marked(folder):
    pairs = PicturePairs(read_folder(folder), 64, 128, how=Composition(absent=1))
    assert pairs.sample(3, 0).visible.tolist() == [0, 0, 0]


def test_neighbours_stand_beside_the_target():
    thing = Thing({Modality.RGB: np.full((60, 60, 3), 200, np.uint8)}, np.array([10.0, 10, 30, 30]))
    target = np.array([50.0, 50, 30, 30])
    random = np.random.default_rng(0)
    placed = [place_beside(target, 128, thing, random) for _ in range(30)]
    assert sum(p is not None for p in placed) > 20
    assert all(overlap_share(target, p[1]) < 0.2 for p in placed if p is not None)


def test_a_box_is_cut_out_with_soft_round_edges():
    alpha = cutting(Thing({Modality.RGB: np.zeros((60, 80, 3), np.uint8)}, np.array([20.0, 10, 40, 30])))
    assert alpha[25, 40] == 255
    assert alpha[11, 21] < 128
    assert alpha[5].max() == 0


def test_target_box_of_a_turned_mask():
    mask = np.zeros((100, 100), np.uint8)
    mask[45:55, 20:80] = 255
    thing = Thing({Modality.RGB: np.zeros((100, 100, 3), np.uint8)}, np.array([20.0, 45, 60, 10]), mask)
    way = view((50, 50), 100, 100, np.pi / 4)
    np.testing.assert_allclose(target_box(thing, way), box_of(warp(mask, way, 100) > 127), atol=2.5)


def test_degradations_do_what_they_say():
    random = np.random.default_rng(0)
    image = random.integers(0, 255, (64, 64, 3), dtype=np.uint8)
    assert low_resolution(image, 4).std() < 0.6 * image.std()
    assert motion_blur(image, 9, 0.0).astype(float).std() < image.std()
    assert (degrade(image, random, QUIET) == image).all()
    light = draw_light(np.random.default_rng(1), Degradation(grey=1.0, colour=0.0))
    assert light.saturation == 0
    assert np.ptp(relight(image, light).astype(int), axis=2).max() <= 1


def test_nothing_usable_is_an_error(tmp_path, folder):
    contents = read_folder(folder)
    contents.pictures, contents.clips = [], []
    with pytest.raises(ValueError, match="no RGB picture"):
        PicturePairs(contents)
