# SPDX-License-Identifier: Apache-2.0
"""Every benchmark in miniature: sequences, frames, truth; and the traps of docs/data.md one by one."""

import warnings
from pathlib import Path

import cv2
import numpy as np
import pytest
from tests.benchmarks import mini

from modaltrack.benchmarks import TABLE, BenchmarkWarning, list_benchmarks, official_list, open_benchmark
from modaltrack.benchmarks.layout import list_images, read_sequence
from modaltrack.frame import Modality
from modaltrack.sources.folder import list_images as listed_by_sources

RGB, THERMAL, DEPTH, EVENT = Modality.RGB, Modality.THERMAL, Modality.DEPTH, Modality.EVENT


def opened(name: str, root: Path, split: str | None = None, **more: int):
    return open_benchmark(name, mini.build(name, root, **more), split, quiet=True)


@pytest.mark.parametrize("name", list_benchmarks())
def test_every_benchmark_opens_reads_and_decodes(name: str, tmp_path: Path) -> None:
    benchmark = opened(name, tmp_path)
    assert len(benchmark) >= 2
    for entry in benchmark.sequences[:3]:
        clip = entry.clip()
        assert entry.problems == []
        assert len(clip.frames) == len(entry) == len(clip.boxes) == len(entry.annotated)
        frame = clip.frames[entry.start]
        optional = TABLE[name].layout.optional
        assert set(frame.images) >= set(benchmark.modalities) - optional
        assert frame.missing == frozenset()
        assert {i.shape for i in frame.images.values()} == {(mini.HEIGHT, mini.WIDTH, 3)}
        assert all(i.dtype == np.uint8 for i in frame.images.values())
        x, y, w, h = clip.boxes[entry.start].astype(int)
        if RGB in frame.images:  # the box lies on the bright block: frames and rows belong together
            grey = frame.images[RGB].mean(axis=2)
            assert grey[y : y + h, x : x + w].mean() > 100 > grey[: y - 2].mean()


@pytest.mark.parametrize("name", [n for n in list_benchmarks() if n != "coco"])
def test_every_truth_has_the_rows_as_written(name: str, tmp_path: Path) -> None:
    for entry in opened(name, tmp_path).sequences[:2]:
        truth = entry.truth()
        assert truth.boxes.shape == truth.written.shape == (len(truth.boxes), 4)
        assert set(truth.boxes_by_modality) in (set(), {"visible", "infrared"})
        kept = ~np.isnan(truth.boxes).any(axis=1)
        assert np.array_equal(truth.boxes[kept], truth.written[kept])


def test_official_lists_have_the_official_numbers() -> None:
    for row in TABLE.values():
        for split, count in row.splits.items():
            names = official_list(row, split)
            assert names is None or len(names) == len(set(names)) == count, (row.name, split)
    lasher = TABLE["lasher"]
    assert set(official_list(lasher, "train") or []).isdisjoint(official_list(lasher, "test") or [])
    visevent = TABLE["visevent"]
    assert set(official_list(visevent, "test-172") or []) <= set(official_list(visevent, "test") or [])


def test_gtot_corners_become_sizes_without_a_pixel_more(tmp_path: Path) -> None:
    truth = opened("gtot", tmp_path)[0].truth()
    assert truth.written[1].tolist() == list(mini.box(1))
    assert truth.boxes_by_modality["infrared"][1].tolist() == [11, 11, 12, 9]


def test_lasher_is_sorted_by_number_and_paired_by_position(tmp_path: Path) -> None:
    first = opened("lasher", tmp_path, length=12)[0]
    assert [f.name for f in first.frames[RGB]][8:11] == ["v009.jpg", "v010.jpg", "v011.jpg"]
    assert first.frames[THERMAL][10].name == "i000010.jpg"  # glob("*1.jpg") would have taken another one


def test_lasher_without_visible_txt_reads_init_and_says_so(tmp_path: Path) -> None:
    second = opened("lasher", tmp_path)[1]
    assert second.truth().written[0].tolist() == list(mini.box(0))
    assert second.notes == ["visible.txt is missing; init.txt is read."]


def test_lasher_train_and_test_are_told_apart_by_the_list(tmp_path: Path) -> None:
    mini.build("lasher", tmp_path)
    train = mini.names_of("lasher", 1, "train")
    mini.BUILDERS["lasher"](tmp_path / "TrainingSet", train, 4)
    assert [e.name for e in open_benchmark("LasHeR", tmp_path, "train", quiet=True)] == train
    assert len(open_benchmark("lasher-1224", tmp_path, quiet=True)) == 3


def test_vtuav_rows_belong_to_every_tenth_file_number(tmp_path: Path) -> None:
    entry = opened("vtuav", tmp_path, length=31)[0]
    truth = entry.truth()
    assert truth.rows.tolist() == [0, 10, 20, 30]
    assert np.flatnonzero(entry.annotated).tolist() == [0, 10, 20, 30]
    assert entry.clip().boxes[20].tolist() == list(mini.box(20))


@pytest.mark.parametrize("form", ["npy", "txt"])
def test_vtuav_offset_moves_the_clip_to_the_first_annotated_image(tmp_path: Path, form: str) -> None:
    root = mini.build("vtuav", tmp_path, length=31)
    if form == "npy":  # as the authors ship it: a pickled dictionary, which is never unpickled here
        np.save(root / "init_frame.npy", np.array({"sequence_01": 7, "sequence_02": 0}, dtype=object), allow_pickle=1)
    else:
        mini.text(root / "init_frame.txt", ["sequence_01 7"])
    mini.text(root / "test_ST_001" / "sequence_01" / "rgb.txt", mini.rows(21, " ", 10))
    mini.text(root / "test_ST_001" / "sequence_01" / "ir.txt", mini.rows(21, " ", 10))
    entry = open_benchmark("vtuav", root)["sequence_01"]
    assert entry.frames[RGB][0].name == "000007.jpg"
    assert entry.truth().rows.tolist() == [0, 10, 20]
    assert entry.problems == []


def test_vtuav_rows_that_do_not_fit_are_a_problem(tmp_path: Path) -> None:
    root = mini.build("vtuav", tmp_path, length=21)
    mini.text(root / "test_ST_001" / "sequence_01" / "rgb.txt", mini.rows(61, " ", 10))
    mini.text(root / "test_ST_001" / "sequence_01" / "ir.txt", mini.rows(61, " ", 10))
    entry = open_benchmark("vtuav", root)["sequence_01"]
    assert "7 boxes, one in 10 images" in entry.problems[0]
    assert len(entry.reading.rows) == 3


def test_mv_rgbt_flag_decides_on_the_folders(tmp_path: Path) -> None:
    plain, colour, thermal = opened("mv-rgbt", tmp_path, count=3)
    folders = [{m.value: files[0].parent.name for m, files in e.frames.items()} for e in (plain, colour, thermal)]
    assert folders[0] == {"rgb": "visible", "thermal": "infrared"}
    assert folders[1] == {"rgb": "color", "thermal": "rgb_ref"}
    assert folders[2] == {"rgb": "tir_ref", "thermal": "infrared"}


def test_depthtrack_absent_rows_in_all_three_spellings(tmp_path: Path) -> None:
    truth = opened("depthtrack", tmp_path)[0].truth()
    assert np.isnan(truth.boxes[2:5]).all()
    assert truth.written[3].tolist() == [8, 9, -1, -1]
    assert not np.isnan(truth.boxes[[0, 1, 5]]).any()
    assert truth.frame_attributes["full-occlusion"].tolist() == [False, False, True, True, False, False]
    assert truth.image_size == (mini.WIDTH, mini.HEIGHT)


def test_vot_files_are_read(tmp_path: Path) -> None:
    truth = opened("vot-rgbd2022", tmp_path)[0].truth()
    assert truth.anchors.tolist() == [1, 0, 0, 0, 0, -1]
    assert truth.image_size == (mini.WIDTH, mini.HEIGHT)
    assert truth.frame_attributes["occlusion"].tolist() == [False, True, False, False, False, False]


def test_rgbd1k_category_folders(tmp_path: Path) -> None:
    assert [e.name for e in opened("rgbd1k", tmp_path, "train")] == ["adapter1"]
    assert len(open_benchmark("rgbd1k", tmp_path, "test")) == 2


def test_arkittrack_absent_row_polygons_and_small_depth(tmp_path: Path) -> None:
    root = mini.build("arkittrack", tmp_path)
    place = root / "sequence_01" / "depth"
    for file in place.iterdir():
        mini.write(file, mini.picture(0, "depth", 18, 24))
    entry = open_benchmark("arkittrack", root)[0]
    truth = entry.truth()
    assert truth.written[2].tolist() == [-1, -1, 1, 1]
    assert np.isnan(truth.boxes[2]).all()
    assert truth.boxes[3].tolist() == list(mini.box(3))
    assert entry.clip().frames[0].images[DEPTH].shape == (mini.HEIGHT, mini.WIDTH, 3)


def test_visevent_begins_with_the_first_present_frame(tmp_path: Path) -> None:
    late = opened("visevent", tmp_path)[1]
    assert late.frames[RGB][0].name == late.frames[EVENT][0].name == "frame0019.bmp"
    truth = late.truth()
    assert len(truth.boxes) == mini.LENGTH - 2
    assert not truth.absent.any()


@pytest.mark.parametrize("name", ["visevent", "coesot", "eventvot"])
def test_a_label_of_the_other_polarity_is_turned_and_told(name: str, tmp_path: Path) -> None:
    root = mini.build(name, tmp_path)
    label = next(root.rglob(TABLE[name].layout.labels[0][0]))
    straight = open_benchmark(name, root, quiet=True)[label.parent.name].reading.absent
    mini.text(label, ["10"[int(word)] for word in label.read_text().split()])
    entry = open_benchmark(name, root, quiet=True)[label.parent.name]
    assert np.array_equal(entry.reading.absent, straight)
    assert "turned round" in entry.problems[0]
    with pytest.warns(BenchmarkWarning, match="turned round"):
        entry.truth()


def test_coesot_window_positions_and_late_start(tmp_path: Path) -> None:
    benchmark = opened("coesot", tmp_path)
    first, second = benchmark
    assert first.frames[RGB][0].name == "frame0002.png"  # start_end_index.txt counts from 1
    assert len(first) == mini.LENGTH
    assert second.start == 1
    assert second.truth().absent.tolist() == [True] + [False] * 5
    train = open_benchmark("coesot", tmp_path, "train")
    assert [e.name for e in train] == ["dvSave-train"]  # train.txt holds a position in list.txt
    assert train.listed == "train.txt of the download"


def test_fe108_without_event_images_is_colour_only(tmp_path: Path) -> None:
    raw, rendered = opened("fe108", tmp_path)
    assert set(raw.frames) == {RGB}
    assert set(rendered.frames) == {RGB, EVENT}


def test_folders_called_like_the_split_where_no_list_ships(tmp_path: Path) -> None:
    assert [e.name for e in opened("eventvot", tmp_path)] == mini.names_of("eventvot")
    assert [e.name for e in open_benchmark("eventvot", tmp_path, "train")] == ["elsewhere"]
    assert len(opened("trackingnet", tmp_path / "tn")) == 4


def test_otb_folders_of_two_targets_and_parts_of_sequences(tmp_path: Path) -> None:
    root = mini.build("otb", tmp_path)
    mini.images(root / "David" / "img", [f"{k:04d}.jpg" for k in range(298, 306)], first=2)
    mini.text(root / "David" / "groundtruth_rect.txt", mini.rows(6))
    benchmark = open_benchmark("OTB", root)
    assert {"Jogging-1", "Jogging-2"} < {e.name for e in benchmark}
    assert benchmark["Jogging-2"].truth().boxes.shape == (mini.LENGTH, 4)
    david = benchmark["David"]
    assert (david.frames[RGB][0].name, len(david), david.problems) == ("0300.jpg", 6, [])


def test_lasot_labels_stand_in_one_line(tmp_path: Path) -> None:
    truth = opened("lasot", tmp_path)[0].truth()
    assert truth.absent.tolist() == [False, False, False, True, False, False]


def test_sets_with_a_server_have_a_first_box_and_no_truth(tmp_path: Path) -> None:
    entry = opened("got-10k", tmp_path, "test")[0]
    assert entry.clip().boxes[0].tolist() == list(mini.box(0))
    assert entry.annotated.tolist() == [True] + [False] * 5
    with pytest.raises(ValueError, match="server"):
        entry.truth()


def test_coco_objects_are_clips_of_one_frame(tmp_path: Path) -> None:
    benchmark = opened("coco", tmp_path)
    assert len(benchmark) == mini.LENGTH  # the crowd is dropped
    assert benchmark[3].name == "3_103"
    assert benchmark[3].clip().boxes.tolist() == [list(mini.box(3))]


def test_a_hole_in_one_sensor_is_a_missing_frame_and_shifts_nothing(tmp_path: Path) -> None:
    root = mini.build("depthtrack", tmp_path)
    entry = open_benchmark("depthtrack", root, quiet=True)[1]
    (entry.folder / "depth" / "00000003.png").unlink()
    with pytest.warns(BenchmarkWarning, match="paired by file number"):
        frames = entry.clip().frames
    assert [sorted(f.missing) for f in frames][1:4] == [[], [DEPTH], []]
    assert entry.frames[DEPTH][3].name == "00000004.png"


def test_numbers_that_do_not_agree_are_paired_by_position_and_cut(tmp_path: Path) -> None:
    root = mini.build("lasher", tmp_path)
    entry = open_benchmark("lasher", root, quiet=True)[1]
    entry.frames[THERMAL][-1].unlink()
    again = read_sequence(entry.folder, entry.name, TABLE["lasher"].layout)
    assert {len(f) for f in again.frames.values()} == {mini.LENGTH - 1}
    assert "cut to 5" in again.problems[0]
    assert len(again.rows) == mini.LENGTH - 1


def test_more_boxes_than_images_are_cut_with_a_warning(tmp_path: Path) -> None:
    root = mini.build("depthtrack", tmp_path)  # toy07_indoor_320: 1406 boxes, 1367 images
    entry = open_benchmark("depthtrack", root, quiet=True)[1]
    mini.text(entry.folder / "groundtruth.txt", mini.rows(mini.LENGTH + 4))
    with pytest.warns(BenchmarkWarning, match="6 images and 10 boxes"):
        assert len(entry.truth().boxes) == mini.LENGTH


def test_the_gap_that_explains_a_length_is_named(tmp_path: Path) -> None:
    root = mini.build("rgbt210", tmp_path)
    entry = open_benchmark("rgbt210", root, quiet=True)[0]
    for folder, letter in (("visible", "v"), ("infrared", "i")):
        (entry.folder / folder / f"00003{letter}.jpg").unlink()
    assert "no image has the number 3" in entry.problems[0]


def test_a_damaged_image_is_missing_in_its_frame(tmp_path: Path) -> None:
    entry = opened("lasher", tmp_path)[0]
    entry.frames[RGB][2].write_bytes(b"not a picture")
    frame = entry.clip().frames[2]
    assert frame.missing == {RGB}
    assert set(frame.images) == {THERMAL}


def test_other_sensors_and_encodings_can_be_asked_for(tmp_path: Path) -> None:
    entry = opened("depthtrack", tmp_path)[1]
    assert entry.clip(modalities=["depth"]).frames[0].images.keys() == {DEPTH}
    mini.write(entry.frames[DEPTH][0], cv2.applyColorMap(mini.picture(0, "grey"), cv2.COLORMAP_JET))
    frame = entry.clip(encodings={DEPTH: "as-stored"}).frames[0]
    assert frame.images[DEPTH].shape == (mini.HEIGHT, mini.WIDTH, 3)
    with pytest.raises(ValueError, match="00000001"):
        entry.clip().frames[0]


def test_images_are_listed_as_the_sources_list_them(tmp_path: Path) -> None:
    for name in ("v10.jpg", "v9.JPG", "a_1_2.png", ".hidden1.jpg", "Thumbs.db", "b.bmp", "00002v.jpeg"):
        mini.text(tmp_path / name, "")
    (tmp_path / "3.png").mkdir()
    assert list_images(tmp_path) == listed_by_sources(tmp_path)
    assert [f.name for f in list_images(tmp_path)] == ["b.bmp", "00002v.jpeg", "a_1_2.png", "v9.JPG", "v10.jpg"]


def test_frames_are_a_sequence(tmp_path: Path) -> None:
    frames = opened("rgbt234", tmp_path)[0].clip().frames
    assert frames[-1].index == mini.LENGTH - 1
    assert [f.index for f in frames[1:3]] == [1, 2]
    with pytest.raises(IndexError):
        frames[mini.LENGTH]


def test_a_sequence_that_lies_there_twice_counts_once(tmp_path: Path) -> None:
    root = mini.build("rgbt210", tmp_path)
    names = mini.names_of("rgbt210")
    mini.BUILDERS["rgbt210"](root / "copy", names[:1], 3)
    benchmark = open_benchmark("rgbt210", root, quiet=True)
    assert list(benchmark.doubled) == names[:1]
    assert len(benchmark[names[0]]) == mini.LENGTH


def test_missing_sequences_are_warned_of(tmp_path: Path) -> None:
    mini.build("rgbt210", tmp_path)
    with pytest.warns(BenchmarkWarning, match="208 of 210 sequences"):
        open_benchmark("rgbt210", tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(open_benchmark("rgbt210", tmp_path, quiet=True).missing) == 208
