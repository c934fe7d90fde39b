# SPDX-License-Identifier: Apache-2.0
"""Labels written for other programs are read back, by this package's readers and by the formats' own rules."""

from __future__ import annotations

import configparser
import json
import warnings
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
import pytest

from modaltrack.frame import Frame, Modality
from modaltrack.labels import TargetLabels, VideoLabels, read_run, write_clip, write_coco, write_cvat, write_mot
from modaltrack.sources import open_folder

NAN = [np.nan] * 4
ONE = np.array([NAN, [10.25, 5, 20, 8], [11, 5.5, 20, 8], NAN, NAN, [14, 6, 19.5, 8]])
TWO = np.array([[40.0, 20, 8, 8], [41, 20, 8, 8], [42, 20, 8, 8], [43, 20, 8, 8], [44, 20, 8, 8], NAN])


def labels(*targets: TargetLabels, name: str = "walk") -> VideoLabels:
    return VideoLabels(name, (64, 48), targets or (TargetLabels(ONE, "person"), TargetLabels(TWO, "dog")), 25.0)


def interpolated(track: ElementTree.Element, length: int) -> np.ndarray:
    """What CVAT shows of a track: straight lines between keyframes, nothing where outside or before the first."""
    found, keys = np.full((length, 4), np.nan), [box for box in track if box.get("keyframe") == "1"]
    for k, box in enumerate(keys):
        begin = int(box.get("frame", ""))
        end = int(keys[k + 1].get("frame", "")) if k + 1 < len(keys) else length
        if box.get("outside") == "1":
            continue
        corners = [
            np.array([float(b.get(n, "")) for n in ("xtl", "ytl", "xbr", "ybr")]) for b in (box, *keys[k + 1 : k + 2])
        ]
        for frame in range(begin, end):
            share = (frame - begin) / (end - begin)
            x1, y1, x2, y2 = corners[0] + share * (corners[-1] - corners[0])
            found[frame] = [x1, y1, x2 - x1, y2 - y1]
    return found


def test_cvat_shows_exactly_the_boxes_that_were_given(tmp_path: Path) -> None:
    root = ElementTree.parse(write_cvat(tmp_path / "a.xml", labels())).getroot()
    assert root.findtext("version") == "1.1"
    assert root.findtext("meta/task/original_size/width") == "64"
    assert root.findtext("meta/task/size") == "6"
    assert [t.get("label") for t in root.iter("track")] == ["person", "dog"]
    for track, boxes in zip(root.iter("track"), (ONE, TWO), strict=True):
        np.testing.assert_allclose(interpolated(track, 6), boxes, atol=0.01)


def test_coco_is_consistent_and_read_by_the_pictures_of_training(tmp_path: Path) -> None:
    from modaltrack.training.pictures.annotation import read_coco

    file = write_coco(tmp_path / "a.json", [labels(), labels(TargetLabels(TWO, "dog"), name="run")])
    made = json.loads(file.read_text())
    assert [v["name"] for v in made["videos"]] == ["walk", "run"]
    assert [c["name"] for c in made["categories"]] == ["person", "dog"]
    for part in ("videos", "images", "tracks", "annotations", "categories"):
        assert [entry["id"] for entry in made[part]] == list(range(1, len(made[part]) + 1))
    images, tracks = ({entry["id"]: entry for entry in made[part]} for part in ("images", "tracks"))
    for one in made["annotations"]:
        assert images[one["image_id"]]["video_id"] == tracks[one["track_id"]]["video_id"] == one["video_id"]
        assert tracks[one["track_id"]]["category_id"] == one["category_id"]
        assert one["instance_id"] == one["track_id"]
    again = np.full((6, 4), np.nan)
    for one in made["annotations"]:
        if one["track_id"] == 1:
            again[images[one["image_id"]]["frame_index"]] = one["bbox"]
    np.testing.assert_array_equal(again, ONE)
    objects = read_coco(file)
    assert objects.problems == []
    assert [o.identity for o in objects.of["walk/000001.jpg"]] == ["1", "2"]
    assert objects.of["walk/000000.jpg"][0].box == (40, 20, 8, 8)


def test_mot_rows_are_sorted_and_read_by_the_readers_of_results(tmp_path: Path) -> None:
    from modaltrack.results import read_results

    folder = write_mot(tmp_path / "walk", labels())
    rows = [[float(v) for v in line.split(",")] for line in (folder / "gt" / "gt.txt").read_text().splitlines()]
    assert [row[:2] for row in rows] == sorted(row[:2] for row in rows)
    assert {row[0] for row in rows} == {1, 2, 3, 4, 5, 6}
    assert {(row[1], row[7]) for row in rows} == {(1, 1), (2, 2)}
    info = configparser.ConfigParser()
    info.optionxform = str  # type: ignore[method-assign,assignment]
    info.read(folder / "seqinfo.ini")
    assert dict(info["Sequence"])["seqLength"] == "6"
    assert (folder / "gt" / "labels.txt").read_text() == "person\ndog\n"

    alone = write_mot(tmp_path / "alone", labels(TargetLabels(TWO)), first_pixel=1)
    assert (alone / "gt" / "gt.txt").read_text().startswith("1,1,41.0,21.0,8.0,8.0,1,1,1\n")
    (found,) = read_results(alone / "gt" / "gt.txt").sequences.values()
    np.testing.assert_array_equal(found.boxes, TWO[:5] + np.array([1, 1, 0, 0]))


def frames(count: int = 6, thermal_from: int = 2) -> list[Frame]:
    rng = np.random.default_rng(0)
    made = []
    for index in range(count):
        images = {Modality.RGB: rng.integers(0, 255, (48, 64, 3), np.uint8)}
        if index >= thermal_from and index != 4:
            images[Modality.THERMAL] = rng.integers(0, 255, (48, 64, 3), np.uint8)
        made.append(Frame(images, index / 25, index))
    return made


def test_a_clip_folder_is_read_back_with_its_gaps(tmp_path: Path) -> None:
    given = frames()
    folder = write_clip(tmp_path / "walk", labels(TargetLabels(ONE)), given)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        reader, boxes = open_folder(folder)
        again = list(reader)
    np.testing.assert_array_equal(boxes, ONE)
    assert [set(f.images) for f in again] == [set(f.images) for f in given]
    for one, other in zip(again, given, strict=True):
        assert one.time == pytest.approx(other.time)
        for modality, image in other.images.items():
            np.testing.assert_array_equal(one.images[modality], image)


def test_several_targets_are_a_file_each_for_training(tmp_path: Path) -> None:
    from modaltrack.training.pictures.readers import read_folder

    write_clip(tmp_path / "walk", labels(), [dict(f.images) for f in frames()])
    assert sorted(f.name for f in (tmp_path / "walk").glob("*.txt")) == ["boxes_1.txt", "boxes_2.txt"]
    assert len(read_folder(tmp_path).clips) == 2


@pytest.mark.parametrize("count", [5, 7])
def test_rows_and_frames_must_fit_and_nothing_half_is_left(tmp_path: Path, count: int) -> None:
    with pytest.raises(ValueError, match="rows of boxes"):
        write_clip(tmp_path / "walk", labels(), frames(count))
    assert list(tmp_path.iterdir()) == []


def test_coloured_depth_is_said(tmp_path: Path) -> None:
    image = {Modality.DEPTH: np.zeros((48, 64, 3), np.uint8)}
    with pytest.warns(UserWarning, match="as-stored"):
        write_clip(tmp_path / "walk", labels(TargetLabels(ONE)), [image] * 6)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: TargetLabels(np.zeros(4)), "shape"),
        (lambda: TargetLabels(np.array([[1.0, 2, 0, 4]])), "no extent"),
        (lambda: VideoLabels("a", (64, 48), ()), "no target"),
        (lambda: VideoLabels("a", (64, 0), (TargetLabels(ONE),)), "64x0"),
        (lambda: VideoLabels("a", (64, 48), (TargetLabels(ONE), TargetLabels(TWO[:3]))), r"\[3, 6\]"),
        (lambda: VideoLabels("a", (64, 48), (TargetLabels(ONE),), files=("a",)), "1 picture names"),
    ],
)
def test_what_does_not_fit_together_is_refused(make: object, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        make()  # type: ignore[operator]


def test_a_hostile_name_stays_text(tmp_path: Path) -> None:
    name = 'a"<b>&\x1b[2J'
    root = ElementTree.parse(write_cvat(tmp_path / "a.xml", labels(TargetLabels(ONE, name)))).getroot()
    assert root.findtext("meta/task/labels/label/name") == 'a"<b>&?[2J'


def run_file(folder: Path, **more: object) -> Path:
    frames = [
        {"index": 0, "time": 0.0, "targets": [{"box": [1, 2, 3, 4], "score": 1, "status": "tracking"}]},
        {"index": 1, "time": 0.04, "targets": [{"box": [1, 2, 3, 4], "score": 0.1, "status": "lost"}]},
        {"index": 2, "time": 0.08, "targets": [{"box": None, "score": None, "status": "uncertain"}]},
    ]
    (folder / "result.json").write_text(json.dumps({"format": "modaltrack-result/1", "frames": frames, **more}))
    return folder


def test_a_run_becomes_labels_without_the_frames_in_which_it_was_lost(tmp_path: Path) -> None:
    found = read_run(run_file(tmp_path, size=[64, 48]))
    assert (found.size, found.fps, found.length) == ((64, 48), 25.0, 3)
    np.testing.assert_array_equal(found.targets[0].present, [True, False, False])
    assert read_run(tmp_path, lost=True).targets[0].present.tolist() == [True, True, False]


def test_a_file_that_is_no_run(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="There is no"):
        read_run(tmp_path)
    with pytest.raises(ValueError, match="--size"):
        read_run(run_file(tmp_path))
    (tmp_path / "result.json").write_text("{}")
    with pytest.raises(ValueError, match="no frames of a run"):
        read_run(tmp_path, size=(1, 1))


@pytest.mark.parametrize("name", ["\x1b[2Jx", "a\nfrom = elsewhere", "</label><x>", "a\0b", "\udcff", '"&', "../x"])
def test_names_from_anywhere_forge_no_lines_and_leave_files_that_open(tmp_path: Path, name: str) -> None:
    clip = VideoLabels(name, (64, 48), [TargetLabels(TWO, name)], 10.0)
    folder = write_mot(tmp_path / "mot", clip)
    lines = (folder / "gt" / "labels.txt").read_text().splitlines() + (folder / "seqinfo.ini").read_text().splitlines()
    assert len(lines) == 1 + 8
    assert all(line.isprintable() for line in lines)
    assert json.loads(write_coco(tmp_path / "a.json", [clip]).read_text())["categories"]
    assert ElementTree.parse(write_cvat(tmp_path / "a.xml", clip)).getroot().tag == "annotations"
