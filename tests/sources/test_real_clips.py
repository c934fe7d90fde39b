# SPDX-License-Identifier: Apache-2.0
"""The real clips, read in place where this machine has them; none of them may enter the repository."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from modaltrack.frame import Modality
from modaltrack.sources import SourceWarning, open_clip, open_folder, open_source
from modaltrack.sources.events import load_events


@pytest.mark.parametrize(
    ("name", "aux", "count", "size"),
    [
        ("rgbt/tno_duine", "thermal", 22, (270, 360)),
        ("rgbt/tno_nato_camp_1", "thermal", 8, (270, 360)),
        ("rgbe/faery_plane_synthetic", "event", 30, (240, 320)),
        ("rgbd/tum_fr1_rpy_monitor", "depth", 160, (480, 640)),
    ],
)
def test_clip_opens_whole(shared: Path, name: str, aux: str, count: int, size: tuple[int, int]) -> None:
    reader, boxes = open_folder(shared / name, aux=aux, depth_scale=0.2)
    assert boxes is not None
    assert boxes.shape == (count, 4)
    assert len(reader) == count
    assert reader.size == size
    seen = 0
    for frame in reader:
        assert set(frame.images) == {Modality.RGB, Modality(aux)}
        assert all(image.shape == (*size, 3) for image in frame.images.values())
        seen += 1
        if seen == 40:  # a quarter of the long one says as much
            break
    assert seen == min(count, 40)


def test_tum_depth_scale_matters(shared: Path) -> None:
    folder = shared / "rgbd/tum_fr1_rpy_monitor/aux"
    metric, raw = (next(iter(open_source(folder, "depth", depth_scale=s)))[1] for s in (0.2, 1.0))
    assert metric is not None
    assert raw is not None
    assert not np.array_equal(metric, raw)  # read as millimetres, 1/5000 m would be clipped at 2 m


def test_aedat4_has_all_its_events(shared: Path) -> None:
    pytest.importorskip("aedat")
    source = open_source(shared / "raw_events/tonic_sample.aedat4", "event")
    assert len(source.reader.events.t) == 111_954  # type: ignore[attr-defined]
    assert source.size == (240, 320)
    assert len(list(source)) == len(source) == 18


def test_cut_aedat4_is_refused(shared: Path, tmp_path: Path) -> None:
    pytest.importorskip("aedat")
    content = (shared / "raw_events/tonic_sample.aedat4").read_bytes()
    (tmp_path / "cut.aedat4").write_bytes(content[:200_000])
    with pytest.raises(ValueError, match="damaged or cut"):
        open_source(tmp_path / "cut.aedat4", "event")


def test_npz_windows_match_the_rendered_pictures(shared: Path) -> None:
    folder = shared / "rgbe/faery_plane_synthetic"
    with pytest.warns(SourceWarning, match="320x240"):
        reader = open_clip({"rgb": folder / "rgb", "event": folder / "events.npz"})
    assert len(reader.sources[Modality.EVENT].reader.events.t) == 473_225  # type: ignore[attr-defined]
    rendered = [image for _, image in open_source(folder / "aux", "event")]
    for frame in reader:
        if frame.index == 0:
            continue  # the first rendered picture is empty, because nothing came before it
        ours, theirs = frame.images[Modality.EVENT], rendered[frame.index]
        assert theirs is not None
        touched = (ours != 255).any(axis=-1) != (theirs != 255).any(axis=-1)
        assert touched.mean() < 0.005  # the windows' borders were rounded differently


def test_event_stream_agrees_with_another_decoder(shared: Path) -> None:
    """faery's decoding of the same file is in the clip rendered from it."""
    other = np.load(shared / "rgbe/faery_plane_synthetic/events.npz")
    events, size, _ = load_events(shared / "raw_events/faery_dvs.es")
    assert size == (240, 320)
    assert all(np.array_equal(other[key], column) for key, column in zip("txyp", events, strict=True))


def test_evt2_has_all_its_events(shared: Path) -> None:
    events, size, _ = load_events(shared / "raw_events/faery_evt2.raw")
    assert size == (480, 640)
    assert len(events.t) == 521_252  # faery 0.7's count
    assert (events.x.max(), events.y.max()) == (639, 479)
    assert events.t[-1] - events.t[0] == 95_871
