# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import random
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modaltrack.sources import SourceWarning, open_clip, open_source
from modaltrack.sources.order import order_names, times_in_names


def dated(k: int) -> datetime:
    return datetime.fromtimestamp(1_560_000_058.5 + k / 10, UTC)


SERIES = {
    "seconds.micros": [
        f"{1560000083 + (700000 + 33000 * k) // 10**6}.{(700000 + 33000 * k) % 10**6:06d}" for k in range(40)
    ],
    "short seconds": [f"{12 + k * 0.0333:.6f}" for k in range(40)],
    "prefix and seconds": [f"rgb_{12.9 + k * 0.1:.3f}" for k in range(20)],
    "sec_nsec": [f"{1560000083 + (k + 27) // 30}_{(k + 27) % 30 * 33_000_000 + 1_000_000:09d}" for k in range(40)],
    "sec-nsec unpadded": [f"{1560000083 + (k + 27) // 30}-{(k + 27) % 30 * 33_000_000 + 1_000_000}" for k in range(40)],
    "nanoseconds": [str(1560000083_700000000 + 33_000_000 * k) for k in range(40)],
    "milliseconds": [f"cam0_{1560000083_700 + 33 * k}" for k in range(40)],
    "dates": [f"{dated(k):%Y-%m-%d_%H-%M-%S}-{dated(k).microsecond // 1000:03d}" for k in range(40)],
    "dense dates": [f"{dated(k):%Y%m%d_%H%M%S%f}" for k in range(40)],
    "drone": [f"DJI_{dated(10 * k):%Y%m%d%H%M%S}_{k:04d}_T" for k in range(40)],
    "constant size": [f"frame_{k}_160x120" for k in range(12)],
    "constant camera": [f"{k:04d}-rgb8" for k in range(12)],
    "counter and time": [f"frame_{k:05d}_{1560000083 + k}.{123 * k % 1000:03d}" for k in range(12)],
    "score behind": [f"img_{k}_0.{(37 * k) % 100:02d}" for k in range(30)],
    "parts that restart": [f"part{p}_{k:04d}" for p in (1, 2, 10) for k in range(9)],
    "lettered parts": [f"part{p}_{k}" for p in "abc" for k in range(9)],
    "gaps": [f"v{k:03d}" for k in (1, 2, 3, 9, 40, 41)],
    "steps of five": [f"x{k}" for k in range(0, 60, 5)],
    "other number falls": [f"{100 - k}_of_take_{k:03d}" for k in range(12)],
}


@pytest.mark.parametrize("name", SERIES)
def test_the_order_of_real_habits(name: str) -> None:
    stems = SERIES[name]
    shuffled = stems.copy()
    random.Random(3).shuffle(shuffled)
    assert [shuffled[i] for i in order_names(shuffled).places] == stems


@pytest.mark.parametrize(
    ("name", "step"),
    [
        ("seconds.micros", 0.033),
        ("short seconds", 0.0333),
        ("sec_nsec", None),
        ("sec-nsec unpadded", None),
        ("nanoseconds", 0.033),
        ("milliseconds", 0.033),
        ("dates", 0.1),
        ("dense dates", 0.1),
    ],
)
def test_time_stamps_in_names_are_times(name: str, step: float | None) -> None:
    times = order_names(SERIES[name]).times
    assert times is not None
    assert (np.diff(times) > 0).all()
    if step is not None:
        assert np.diff(times) == pytest.approx(step, abs=1e-4)
    assert times_in_names(SERIES["sec_nsec"]) == pytest.approx(times_in_names(SERIES["sec-nsec unpadded"]))


@pytest.mark.parametrize(
    "stems",
    [
        SERIES["constant size"],
        SERIES["gaps"],
        [f"{k:010d}" for k in range(5)],
        [f"scene{s}.{k:04d}" for s in (1, 2) for k in range(9)],
        [f"20190608_120000_{k:03d}" for k in range(9)],
        [f"{20190608 + k}_999999" for k in range(9)],
    ],
)
def test_counters_are_no_times(stems: list[str]) -> None:
    assert times_in_names(stems) is None


def test_disagreement_is_said_and_agreement_is_not() -> None:
    assert not order_names([f"v{k:04d}" for k in range(20)]).remark
    assert not order_names(SERIES["nanoseconds"]).remark
    assert "time stamps" in order_names(SERIES["seconds.micros"]).remark
    assert "natural order" in order_names(SERIES["other number falls"]).remark
    assert "number 1" in order_names(SERIES["other number falls"]).remark


@given(st.lists(st.integers(0, 10**6), min_size=1, max_size=40, unique=True), st.booleans())
def test_one_number_is_ordered_by_its_value(numbers: list[int], padded: bool) -> None:
    stems = [f"f{n:07d}" if padded else f"f{n}" for n in numbers]
    assert [numbers[i] for i in order_names(stems).places] == sorted(numbers)


@given(st.lists(st.text(max_size=12), max_size=12, unique=True))
def test_any_names_give_a_permutation(stems: list[str]) -> None:
    assert sorted(order_names(stems).places) == list(range(len(stems)))


def test_names_that_are_times_pair_two_folders(write_folder, colours) -> None:  # type: ignore[no-untyped-def]
    folders: dict[str, Path] = {}
    for sensor, start in (("rgb", 83.700), ("thermal", 83.690)):
        folders[sensor] = write_folder(sensor, colours(12))
        for k in range(12):
            (folders[sensor] / f"{k:06d}.png").rename(folders[sensor] / f"15600000{start + 0.033 * k:.6f}.png")
    (folders["thermal"] / f"15600000{83.690 + 0.033 * 5:.6f}.png").unlink()
    with pytest.warns(SourceWarning, match="time stamps"):
        frames = list(open_clip(folders))
    assert [int(f.images["rgb"][0, 0, 0]) for f in frames] == [10 * k for k in range(12)]
    assert [k for k, f in enumerate(frames) if f.missing] == [5]
    assert frames[1].time == pytest.approx(0.033, abs=1e-6)


def test_the_clip_says_which_order_it_took(write_folder, colours) -> None:  # type: ignore[no-untyped-def]
    folder = write_folder("rgb", colours(12))
    for k in range(12):
        (folder / f"{k:06d}.png").rename(folder / f"{12 - k}_of_{k}.png")
    with pytest.warns(SourceWarning, match="would order them otherwise"):
        images = [image for _, image in open_source(folder, "rgb")]
    assert [int(i[0, 0, 0]) for i in images if i is not None] == [10 * k for k in range(12)]
