# SPDX-License-Identifier: Apache-2.0
"""What several sensors really saw is trained on as it is, from stills and from clips."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from modaltrack.frame import Modality
from modaltrack.training.pictures.many_sensors import ManySensorPairs
from modaltrack.training.pictures.readers import read_folder
from modaltrack.training.pictures.sampler import PicturePairs, Shares

LEVEL = 200  # of the target in the thermal images


def _frame(folder: Path, name: str, x: int, y: int) -> str:
    """RGB noise with a red disc, and the disc at one level in a black thermal image."""
    rgb = np.random.default_rng(x).integers(0, 90, (120, 160, 3), dtype=np.uint8)
    thermal = np.full((120, 160), 10, np.uint8)
    cv2.circle(rgb, (x, y), 16, (30, 30, 250), -1)
    cv2.circle(thermal, (x, y), 16, LEVEL, -1)
    for sensor, image in (("rgb", rgb), ("thermal", thermal)):
        (folder / sensor).mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(folder / sensor / f"{name}.png"), image)
    return f"{x - 16},{y - 16},33,33"


@pytest.fixture
def stills(tmp_path: Path) -> Path:
    rows = [f"{i},{_frame(tmp_path / 'stills', str(i), 40 + 6 * i, 50)},ball" for i in range(6)]
    (tmp_path / "stills/boxes.txt").write_text("\n".join(rows))
    return tmp_path / "stills"


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    rows = [_frame(tmp_path / "clip", f"{i:03d}", 40 + 6 * i, 50) for i in range(8)]
    (tmp_path / "clip/groundtruth.txt").write_text("\n".join(rows))
    return tmp_path / "clip"


@pytest.mark.parametrize("kind", ["stills", "clip"])
def test_real_pairs_are_aligned_and_lack_what_was_not_there(kind: str, request) -> None:
    contents = read_folder(request.getfixturevalue(kind))
    sampler = ManySensorPairs(
        contents=contents, template_size=32, search_size=64, shares=Shares(0, 0, 0, 1, rendered=0)
    )
    pairs = sampler.sample(24, 0, ("rgb", "thermal", "depth"))
    assert pairs.present[Modality.RGB].all()
    assert pairs.present[Modality.THERMAL].all()
    assert not pairs.present[Modality.DEPTH].any()
    hits = []
    for thermal, box in zip(pairs.search[Modality.THERMAL], pairs.box):
        x, y = (int(v * 64) for v in (box[:2] + box[2:] / 2).tolist())
        if 2 <= x < 62 and 2 <= y < 62:
            hits.append(float(thermal[:, y - 1 : y + 2, x - 1 : x + 2].mean()) > 0.6)
    assert len(hits) > 15
    assert np.mean(hits) > 0.9
    assert all(float(t[:, 14:18, 14:18].mean()) > 0.6 for t in pairs.template[Modality.THERMAL])


def test_a_pair_of_other_sensors_than_were_asked_for_is_seen_by_simulated_ones(stills: Path) -> None:
    sampler = ManySensorPairs(contents=read_folder(stills), template_size=32, search_size=64, shares=Shares(rendered=0))
    pairs = sampler.sample(6, 1, ("rgb", "depth"))
    assert pairs.present[Modality.DEPTH].all()


def test_clips_alone_are_enough(clip: Path) -> None:
    pairs = PicturePairs(read_folder(clip), 32, 64).sample(8, 0)
    assert pairs.search[Modality.RGB].std() > 0.05
    many = ManySensorPairs(contents=read_folder(clip), template_size=32, search_size=64, shares=Shares(rendered=0))
    assert len(many.sample(4, 0, ("rgb", "thermal")).box) == 4
