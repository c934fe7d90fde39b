# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modaltrack.frame import Modality
from modaltrack.sources import encodings
from modaltrack.sources.encodings import DEFAULT_ENCODING, ENCODINGS, ENCODINGS_OF, Events, encode


def test_table_is_complete() -> None:
    assert set(DEFAULT_ENCODING) == set(Modality)
    assert {name for names in ENCODINGS_OF.values() for name in names} == set(ENCODINGS)


def test_rgb_leaves_8bit_alone_and_scales_16bit() -> None:
    image = np.arange(60, dtype=np.uint8).reshape(4, 5, 3)
    assert np.array_equal(encode("rgb", image), image)
    wide = np.array([[0, 257, 65535, 128, 129]], np.uint16)
    assert encode("rgb", wide)[0, :, 0].tolist() == [0, 1, 255, 0, 1]


@pytest.mark.parametrize("name", ["rgb", "thermal", "thermal-8bit", "event-image"])
def test_grey_becomes_three_equal_channels(name: str) -> None:
    grey = np.arange(12, dtype=np.uint8).reshape(3, 4)
    out = encode(name, grey)
    assert out.shape == (3, 4, 3)
    assert all(np.array_equal(out[..., c], grey) for c in range(3))


def test_alpha_is_dropped() -> None:
    image = np.random.default_rng(0).integers(0, 255, (3, 4, 4), np.uint8)
    assert np.array_equal(encode("rgb", image), image[..., :3])


def test_thermal_chooses_by_dtype() -> None:
    counts = np.array([[7000, 7100], [7050, 7200]], np.uint16)
    assert encode("thermal", counts)[..., 0].tolist() == [[0, 128], [64, 255]]
    assert encode("thermal", np.full((2, 2), 9, np.uint8)).max() == 9
    assert encode("thermal", np.full((2, 2), 9, np.uint16)).max() == 0  # constant: black, not a division by zero


def test_thermal_tail_ignores_dead_pixels() -> None:
    counts = np.tile(np.arange(100, dtype=np.uint16), (100, 1))
    counts[0, 0] = 65535
    plain, robust = (encode("thermal-16bit-minmax", counts, tail=t)[50, :, 0] for t in (0.0, 0.01))
    assert plain.max() == 0
    assert robust.max() == 255


def published_depth(millimetres: np.ndarray) -> np.ndarray:
    """The rule of docs/data.md, "Depth encoding", written down a second time, pixel by pixel in plain arithmetic."""
    limit = min(3 * float(np.median(millimetres)), 10000)
    clipped = np.where(millimetres > limit, int(limit), millimetres).astype(np.float64)
    low, high = clipped.min(), clipped.max()
    grey = np.rint((clipped - low) * 255 / (high - low)).astype(np.uint8)
    return cv2.applyColorMap(grey, cv2.COLORMAP_JET)


def test_depth_is_the_published_rule_in_bgr() -> None:
    depth = np.random.default_rng(1).integers(400, 4000, (40, 50)).astype(np.uint16)
    depth[:8] = 0
    depth[20, 20] = 40000
    assert np.array_equal(encode("depth-jet-bgr", depth), published_depth(depth))
    ramp = np.arange(1000, 3000, dtype=np.uint16).reshape(40, 50)
    out = encode("depth-jet-bgr", ramp)
    assert out[0, 0].tolist() == [128, 0, 0]  # nearest: blue, and blue comes first in BGR
    assert out[-1, -1].tolist() == [0, 0, 128]


def test_depth_median_counts_the_zeros() -> None:
    depth = np.full((10, 10), 1000, np.uint16)
    depth.ravel()[:45] = 0
    depth.ravel()[99] = 9000
    with_zeros = encode("depth-jet-bgr", depth)  # median 1000 either way: 9000 is clipped to 3000
    assert np.array_equal(with_zeros, published_depth(depth))
    depth.ravel()[45:50] = 0  # now 50 zeros: the median is (0 + 1000) / 2
    assert np.array_equal(encode("depth-jet-bgr", depth), published_depth(depth))


def test_depth_clips_at_ten_metres() -> None:
    depth = np.full((10, 10), 9000, np.uint16)
    depth[0, 0], depth[0, 1], depth[0, 2] = 0, 20000, 11000
    out = encode("depth-jet-bgr", depth)
    assert out[0, 1].tolist() == out[0, 2].tolist() == [0, 0, 128]
    assert out[5, 5].tolist() != [0, 0, 128]


def test_depth_scale_makes_millimetres() -> None:
    millimetres = np.random.default_rng(2).integers(500, 9000, (30, 30)).astype(np.uint16)
    expected = encode("depth-jet-bgr", millimetres)
    assert np.array_equal(encode("depth-jet-bgr", (millimetres * 5).astype(np.uint16), depth_scale=0.2), expected)
    metres = millimetres.astype(np.float32) / 1000
    metres[3, 3] = np.nan  # no reading
    millimetres[3, 3] = 0
    assert np.array_equal(encode("depth-jet-bgr", metres, depth_scale=1000.0), encode("depth-jet-bgr", millimetres))


def test_depth_with_few_readings_is_not_blank() -> None:
    depth = np.zeros((10, 10), np.uint16)
    depth[:2] = np.arange(20).reshape(2, 10) * 100 + 1000
    assert encodings.mostly_without_reading(depth)
    out = encode("depth-jet-bgr", depth)
    assert len(np.unique(out.reshape(-1, 3), axis=0)) > 10
    assert not encodings.mostly_without_reading(np.zeros((4, 4), np.uint16))
    assert not encodings.mostly_without_reading(np.ones((4, 4), np.uint16))


@pytest.mark.parametrize("value", [0, 700])
def test_constant_depth_is_the_lowest_colour(value: int) -> None:
    out = encode("depth-jet-bgr", np.full((4, 4), value, np.uint16))
    assert (out == [128, 0, 0]).all()


def test_as_stored_undoes_the_readers_rgb() -> None:
    depth = np.arange(1000, 3000, dtype=np.uint16).reshape(40, 50)
    bgr = encode("depth-jet-bgr", depth)
    read_back = cv2.cvtColor(cv2.imdecode(cv2.imencode(".png", bgr)[1], cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
    assert np.array_equal(encode("as-stored", read_back), bgr)


def test_events_on_white_with_off_over_on() -> None:
    events = Events(np.arange(4), np.array([0, 0, 2, 1]), np.array([0, 0, 1, 1]), np.array([0, 1, 1, -1]))
    out = encode("event-accumulate", events, height=2, width=3)
    assert out[0, 0].tolist() == [30, 30, 200]  # ON came later, OFF wins all the same
    assert out[1, 2].tolist() == [220, 30, 30]
    assert out[1, 1].tolist() == [30, 30, 200]
    assert out[0, 1].tolist() == [255, 255, 255]


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 12), st.integers(1, 12), st.sampled_from([np.uint8, np.uint16]), st.integers(0, 2**31))
def test_every_image_encoding_gives_uint8_of_three_channels(h: int, w: int, dtype: type, seed: int) -> None:
    rng = np.random.default_rng(seed)
    image = rng.integers(0, np.iinfo(dtype).max, (h, w), endpoint=True).astype(dtype)
    for name in ("rgb", "thermal", "depth-jet-bgr", "event-image"):
        out = encode(name, image)
        assert out.dtype == np.uint8
        assert out.shape == (h, w, 3)


@pytest.mark.parametrize(
    ("name", "image", "options", "words"),
    [
        ("thermal-16bit", np.zeros((2, 2), np.uint16), {}, "did you mean .*'thermal-16bit-"),
        ("depth-jet", np.zeros((2, 2), np.uint16), {}, "did you mean 'depth-jet-bgr'"),
        ("zzz", np.zeros((2, 2), np.uint16), {}, "use one of"),
        ("depth-jet-bgr", np.arange(12, dtype=np.uint8).reshape(2, 2, 3), {}, "as-stored"),
        ("depth-jet-bgr", np.zeros((2, 2), np.uint16), {"depth_scale": -1.0}, "positive"),
        ("depth-jet-bgr", np.zeros((2, 2), np.uint16), {"depth_scale": float("nan")}, "positive"),
        ("as-stored", np.zeros((2, 2), np.uint16), {}, "8-bit image of 3 channels"),
        ("thermal-8bit", np.zeros((2, 2), np.uint16), {}, "thermal-16bit-minmax"),
        ("thermal-16bit-minmax", np.zeros((2, 2), np.uint16), {"tail": 0.5}, "tail"),
        ("thermal-16bit-minmax", np.arange(12, dtype=np.uint16).reshape(2, 2, 3), {}, "one channel"),
        ("rgb", np.zeros((2, 2), np.float32), {}, "float32"),
        ("rgb", np.zeros((2, 2, 2), np.uint8), {}, "shape"),
        (
            "event-accumulate",
            (np.zeros(1), np.array([9]), np.array([0]), np.array([1])),
            {"height": 2, "width": 3},
            "3x2",
        ),
    ],
)
def test_unfit_images_are_refused(name: str, image: object, options: dict[str, float], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        encode(name, image, **options)


def test_thermal_pixels_without_a_reading_do_not_stretch_the_others() -> None:
    counts = np.arange(64, dtype=np.float32).reshape(8, 8)
    holed = counts.copy()
    holed[3, 3], holed[3, 4], holed[3, 5] = np.nan, np.inf, -np.inf
    expected = encode("thermal", counts)
    expected[3, 3:6] = 0
    assert np.array_equal(encode("thermal", holed), expected)
    assert not encode("thermal", np.full((4, 4), np.nan, np.float32)).any()


def test_robust_stretch_ignores_dead_and_hot_pixels() -> None:
    counts = (7500 + np.arange(4800) % 60).astype(np.uint16).reshape(60, 80)
    plain = encode("thermal-16bit-minmax", counts)
    defect = counts.copy()
    defect[5, 5], defect[40, 7] = 0, 65535
    assert np.unique(encode("thermal-16bit-minmax", defect)).size <= 4
    robust = encode("thermal-16bit-robust", defect)
    assert np.abs(robust.astype(int) - plain)[10:30].max() <= 5
    assert robust[5, 5, 0] == 0
    assert robust[40, 7, 0] == 255


def test_depth_with_three_equal_channels_is_depth() -> None:
    depth = np.arange(500, 740, dtype=np.uint16).reshape(12, 20)
    assert np.array_equal(encode("depth-jet-bgr", np.stack([depth] * 3, axis=2)), encode("depth-jet-bgr", depth))
