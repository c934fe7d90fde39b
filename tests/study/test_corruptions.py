# SPDX-License-Identifier: Apache-2.0
"""Failures are the same for everybody, and are what they are called."""

import numpy as np
import pytest

from modaltrack.frame import Frame, Modality
from modaltrack.study.corruptions import BLACK, BURST, Failing, direction, is_missing, shifted
from modaltrack.study.plan import CORRUPTIONS, FAILURES

RGB, X = Modality.RGB, Modality.DEPTH


def frames(count: int = 30) -> list[Frame]:
    random = np.random.default_rng(0)
    return [
        Frame({m: random.integers(1, 256, (96, 128, 3), dtype=np.uint8) for m in (RGB, X)}, index=i)
        for i in range(count)
    ]


CLEAN = frames()


@pytest.mark.parametrize("what", CORRUPTIONS)
def test_the_same_twice_and_another_for_another_clip(what: str) -> None:
    once, twice, other = (Failing(CLEAN, name, what) for name in ("a", "a", "b"))
    assert len(once) == len(CLEAN)

    def seen(view: Failing) -> list[tuple]:
        return [(sorted(f.images), f.missing, *(f.images[m].tobytes() for m in sorted(f.images))) for f in view]

    assert seen(once) == seen(twice)
    assert seen(once) != seen(other)
    assert [f.index for f in once[3:6]] == [3, 4, 5]
    assert seen(once)[4] == seen(once)[4 - len(CLEAN)]


@pytest.mark.parametrize("what", FAILURES)
def test_half_of_the_frames_of_one_sensor_are_missing(what: str) -> None:
    gone, stays = (RGB, X) if what.startswith("rgb") else (X, RGB)
    view = Failing(CLEAN, "clip", what)
    assert set(view[0].images) == {RGB, X}
    assert all(stays in f.images for f in view)
    assert any(gone not in f.images for f in view)
    assert all(f.missing == ({gone} if gone not in f.images else set()) for f in view)
    who, _, how = what.partition(" ")
    missing = [is_missing(f"clip {c}", i, who, how) for c in range(20) for i in range(100)]
    assert 0.45 < np.mean(missing) < 0.55


def test_bursts_are_long_and_drops_are_not() -> None:
    def lengths(how: str) -> list[int]:
        line = "".join("x" if is_missing("clip", i, "rgb", how) else " " for i in range(200))
        return [len(run) for run in line.split()]

    assert set(lengths("in bursts")[1:-1]) == {BURST}
    assert np.mean(lengths("dropped")) < 3
    with pytest.raises(ValueError, match="no corruption"):
        is_missing("clip", 1, "rgb", "sold")


def test_a_moved_sensor_moves_alone_and_from_the_first_frame_on() -> None:
    view = Failing(CLEAN, "clip", "x moved 10 px")
    dx, dy = direction("clip", 10)
    assert abs(np.hypot(dx, dy) - 10) < 1
    for before, after in zip(CLEAN[:2], view[:2]):
        assert after.images[RGB] is before.images[RGB]
        a, b = before.images[X], after.images[X]
        assert np.array_equal(a[40, 60], b[40 + dy, 60 + dx])
    assert np.array_equal(shifted(CLEAN[0].images[X], 0, 0), CLEAN[0].images[X])
    assert np.array_equal(shifted(CLEAN[0].images[X], 5, 0)[:, 0], CLEAN[0].images[X][:, 0])


def test_black_blocks_fall_on_both_sensors_each_by_itself() -> None:
    view = Failing(CLEAN, "clip", "blocks black")
    black = {m: np.array([(f.images[m] == 0).all(2) for f in view]) for m in (RGB, X)}
    assert not black[RGB][0].any()
    for found in black.values():
        assert abs(found[1:].mean() - BLACK) < 0.06
        assert np.array_equal(
            found[5], found[5].reshape(3, 32, 4, 32)[:, :1, :, :1].repeat(32, 1).repeat(32, 3).reshape(96, 128)
        )
    assert (black[RGB] != black[X]).any()
