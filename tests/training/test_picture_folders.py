# SPDX-License-Identifier: Apache-2.0
"""Folders of labelled pictures and clips in every layout, read as plain records, and what is wrong with them."""

import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from modaltrack.frame import Modality
from modaltrack.training.pictures.check import check
from modaltrack.training.pictures.image_files import image_size, read_encoded
from modaltrack.training.pictures.masks import label_boxes, masks_of, read_labels
from modaltrack.training.pictures.readers import FolderReading, read_folder

HEIGHT, WIDTH = 48, 64
BOX = [10.0, 12.0, 20.0, 16.0]


def paint(file: Path, value: int = 90, size: tuple[int, int] = (HEIGHT, WIDTH), dtype: type = np.uint8) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(file), np.full((*size, 3) if dtype is np.uint8 else size, value, dtype))
    return file


def write(file: Path, text: str) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return file


def voc(folder: Path) -> None:
    paint(folder / "JPEGImages/a.jpg")
    item = "<object><name>cat</name><difficult>{}</difficult><bndbox>{}</bndbox></object>"
    corners = "<xmin>11</xmin><ymin>13</ymin><xmax>30</xmax><ymax>28</ymax>"  # counted from 1, last pixel included
    write(folder / "Annotations/a.xml", f"<annotation>{item.format(0, corners)}{item.format(1, corners)}</annotation>")


def coco(folder: Path) -> None:
    paint(folder / "images/a.jpg")
    rows = [
        {"id": 1, "image_id": 7, "category_id": 3, "bbox": BOX},
        {"id": 2, "image_id": 7, "category_id": 3, "bbox": BOX, "iscrowd": 1},
    ]
    content = {
        "images": [{"id": 7, "file_name": "a.jpg"}],
        "annotations": rows,
        "categories": [{"id": 3, "name": "cat"}],
    }
    write(folder / "annotations/instances.json", json.dumps(content))


def yolo(folder: Path) -> None:
    paint(folder / "images/train/a.jpg")
    write(folder / "labels/train/a.txt", f"1 {20 / WIDTH} {20 / HEIGHT} {20 / WIDTH} {16 / HEIGHT}\n")
    write(folder / "data.yaml", "path: x\nnames:\n  0: dog\n  1: cat\n")


def yolo_polygon(folder: Path) -> None:
    yolo(folder)
    corners = [10 / WIDTH, 12 / HEIGHT, 30 / WIDTH, 12 / HEIGHT, 30 / WIDTH, 28 / HEIGHT, 15 / WIDTH, 20 / HEIGHT]
    write(folder / "labels/train/a.txt", "1 " + " ".join(map(str, corners)))


def boxes_text(folder: Path) -> None:
    paint(folder / "images/a.jpg")
    write(folder / "boxes.txt", "# file x y w h class truncated (0-based)\na.jpg 10 12 20 16 cat 0\n")


def boxes_with_commas(folder: Path) -> None:
    paint(folder / "images/a.jpg")
    write(folder / "boxes.txt", "# class, file, x, y, w, h\ncat, a, 10, 12, 20, 16\n")


@pytest.mark.parametrize("layout", [voc, coco, yolo, yolo_polygon, boxes_text, boxes_with_commas])
def test_every_annotation_gives_the_same_box(tmp_path: Path, layout) -> None:
    layout(tmp_path)
    contents = read_folder(tmp_path)
    (picture,) = contents.pictures
    np.testing.assert_allclose(picture.boxes, [BOX], atol=1e-9)
    assert picture.classes == ("cat",)
    assert picture.files == {Modality.RGB: next(tmp_path.rglob("a.jpg"))}
    assert not contents.problems
    assert check(contents, deep=True)[1] == []


def test_masks_alone_give_boxes_and_know_their_objects(tmp_path: Path) -> None:
    paint(tmp_path / "images/a.jpg")
    labels = np.zeros((HEIGHT, WIDTH), np.uint8)
    labels[12:28, 10:30], labels[2:8, 40:50], labels[40:44] = 1, 2, 255  # 255: void
    (tmp_path / "masks").mkdir()
    cv2.imwrite(str(tmp_path / "masks/a.png"), labels)
    (picture,) = read_folder(tmp_path).pictures
    np.testing.assert_array_equal(picture.boxes, [BOX, [40, 2, 10, 6]])
    assert picture.mask is not None
    second, first, none = masks_of(
        read_labels(picture.mask), np.array([[41.0, 2, 10, 6], [10, 12, 20, 17], [0, 0, 8, 8]])
    )
    assert second is not None
    assert first is not None
    assert none is None
    assert (second == (labels == 2)).all()
    assert (first == (labels == 1)).all()


def test_a_mask_of_two_values_is_one_object_and_colours_are_objects(tmp_path: Path) -> None:
    white = np.zeros((HEIGHT, WIDTH), np.uint8)
    white[12:28, 10:30] = 255
    cv2.imwrite(str(tmp_path / "white.png"), white)
    assert (read_labels(tmp_path / "white.png") == (white > 0)).all()
    colour = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    colour[:5], colour[5:9], colour[9:12] = (0, 0, 128), (0, 128, 0), (192, 224, 224)  # BGR; the last is VOC's void
    cv2.imwrite(str(tmp_path / "colour.png"), colour)
    labels = read_labels(tmp_path / "colour.png")
    assert sorted(np.unique(labels)) == [0, 1, 2]
    assert (labels[9:] == 0).all()
    soft = cv2.GaussianBlur(white, (0, 0), 4)
    cv2.imwrite(str(tmp_path / "soft.png"), soft)
    assert (read_labels(tmp_path / "soft.png") == (soft > 127)).all()


def test_aligned_pairs_name_their_second_sensor_by_folder_note_or_option(tmp_path: Path) -> None:
    def pairs(folder: Path) -> Path:
        paint(folder / "rgb/a.jpg")
        paint(folder / "aux/a.png", 3000, dtype=np.uint16)
        write(folder / "boxes.txt", "a 10 12 20 16 mug 4\n")
        return folder

    noted = pairs(tmp_path / "one")
    with pytest.raises(ValueError, match=r"nothing says which sensor it is.*--aux"):
        read_folder(noted)
    write(noted / "SOURCE.md", "# kitchen (RGB + depth video)\n")
    (picture,) = read_folder(noted).pictures
    assert list(picture.files) == [Modality.RGB, Modality.DEPTH]
    assert picture.identities == ("4",)
    (picture,) = read_folder(noted, FolderReading(aux=Modality.THERMAL)).pictures
    assert list(picture.files) == [Modality.RGB, Modality.THERMAL]
    (picture,) = read_folder(pairs(tmp_path / "my_rgbt_set")).pictures
    assert list(picture.files) == [Modality.RGB, Modality.THERMAL]


def test_images_alone_are_what_the_note_says(tmp_path: Path) -> None:
    boxes_text(tmp_path)
    write(tmp_path / "SOURCE.md", "long-wave infrared stills\n")
    assert list(read_folder(tmp_path).pictures[0].files) == [Modality.THERMAL]
    assert list(read_folder(tmp_path, FolderReading(images=Modality.EVENT)).pictures[0].files) == [Modality.EVENT]


def test_clips_one_record_a_target_with_nan_where_absent(tmp_path: Path) -> None:
    for n in range(3):
        paint(tmp_path / f"zoo/walk/rgb/{n}.jpg")
        paint(tmp_path / f"zoo/walk/thermal/{n}.jpg")
        paint(tmp_path / f"zoo/run/rgb/{n:03d}.png")
    write(tmp_path / "zoo/walk/groundtruth.txt", "1,2,3,4\nnan,nan,nan,nan\n5,6,7,8\n")
    write(tmp_path / "zoo/run/boxes_dog.txt", "1,2,3,4\n1,2,3,4\n1,2,3,4\n")
    write(tmp_path / "zoo/run/pseudo_cat.txt", "1,2,3,4\n1,2,3,4\n")
    contents = read_folder(tmp_path)
    run_cat, run_dog, walk = sorted(contents.clips, key=lambda c: (c.name, c.target))
    assert (run_dog.target, run_cat.target, walk.target) == ("dog", "cat", "")
    assert [len(files) for files in walk.files.values()] == [3, 3]
    assert np.isnan(walk.boxes[1]).all()
    np.testing.assert_array_equal(walk.boxes[2], [5, 6, 7, 8])
    assert len(run_cat.boxes) == len(run_cat.files[Modality.RGB]) == 2
    assert [p.sentence for p in contents.problems] == ["it holds 2 boxes for 3 frames."]


def test_objects_with_identities_are_clips_too(tmp_path: Path) -> None:
    rows = []
    for n in (9, 10, 11):
        paint(tmp_path / f"rgb/{n}.jpg")
        paint(tmp_path / f"depth/{n}.png", 3000, dtype=np.uint16)
        rows += [f"{n} {n} 12 20 16 mug 4", f"{n} 30 12 20 16 mug"]
    write(tmp_path / "boxes.txt", "\n".join([*rows, "11 5 5 9 9 cup 7"]))
    contents = read_folder(tmp_path)
    (clip,) = contents.clips
    assert (clip.target, len(contents.pictures)) == ("4", 3)
    np.testing.assert_array_equal(clip.boxes[:, 0], [9, 10, 11])  # by number, not by name
    assert [f.name for f in clip.files[Modality.DEPTH]] == ["9.png", "10.png", "11.png"]


def test_the_check_leaves_what_it_checks_alone(tmp_path: Path) -> None:
    paint(tmp_path / "rgb/0.jpg")
    paint(tmp_path / "rgb/1.jpg")
    write(tmp_path / "groundtruth.txt", "1,2,9,9\n500,500,9,9\n")
    contents = read_folder(tmp_path)
    kept, problems = check(contents)
    assert len(problems) == 1
    assert np.isnan(kept.clips[0].boxes[1]).all()
    assert contents.clips[0].boxes[1, 0] == 500


def test_a_clip_of_this_house_is_no_folder_of_pictures(tmp_path: Path) -> None:
    for n in range(2):
        paint(tmp_path / f"rgb/{n}.jpg")
    write(tmp_path / "boxes.txt", "1 2 3 4\n5 6 7 8\n")
    contents = read_folder(tmp_path)
    assert len(contents.clips) == 1
    assert not contents.pictures


def test_the_check_says_one_sentence_for_each_fault_and_keeps_the_rest(tmp_path: Path) -> None:
    for name in "abc":
        paint(tmp_path / f"images/{name}.jpg")
    (tmp_path / "images/broken.jpg").write_bytes(b"\xff\xd8 nothing")
    paint(tmp_path / "masks/c.png", size=(10, 10))
    lines = [
        "a 10 12 20 16 cat",
        "a 60 40 20 16 cat",  # mostly outside
        "a 10 12 2 16 cat",  # a sliver
        "a 10 12 0 16 cat",  # nothing
        "b 10 12 20 16",  # no class
        "b 10 12 20 16 cat",
        "b ten 12 20 16 cat",
        "c 10 12 20 16 cat",  # its mask has another size
        "broken 10 12 20 16 cat",
        "lost 10 12 20 16 cat",
    ]
    write(tmp_path / "boxes.txt", "\n".join(lines))
    kept, problems = check(read_folder(tmp_path))
    said = {p.where.replace(str(tmp_path), "").lstrip("/"): p.sentence for p in problems}
    name = tmp_path.name
    assert said == {
        "boxes.txt, line 4": "the box is 0 wide and 16 high; more than 0 is expected.",
        "boxes.txt, line 7": "'b ten 12 20 16 cat' is not 'file x y w h class'.",
        name: "lost is annotated and there is no picture of that name.",
        f"{name}/a, box 2": "90% of the box (60, 40, 20, 16) lies outside its picture of 64x48.",
        f"{name}/a, box 3": "the box (10, 12, 2, 16) is narrower or lower than 3 pixels.",
        f"{name}/b": "1 of its 2 objects have no class.",
        "masks/c.png": "the mask is not of its picture's size 64x48.",
        "images/broken.jpg": "the picture cannot be decoded.",
    }
    assert {p.name.split("/")[1]: len(p.boxes) for p in kept.pictures} == {"a": 1, "b": 2}


def test_only_the_deep_check_decodes(tmp_path: Path) -> None:
    boxes_text(tmp_path)
    whole = (tmp_path / "images/a.jpg").read_bytes()
    (tmp_path / "images/a.jpg").write_bytes(whole[:-40])  # the size is there, the end is not
    contents = read_folder(tmp_path)
    assert check(contents)[1] == []
    assert [p.sentence for p in check(contents, deep=True)[1]] == ["the picture cannot be decoded."]


def test_sensors_of_other_sizes_are_named(tmp_path: Path) -> None:
    paint(tmp_path / "rgb/a.jpg")
    paint(tmp_path / "thermal/a.png", size=(24, 32))
    write(tmp_path / "boxes.txt", "a 10 12 20 16 cat")
    kept, problems = check(read_folder(tmp_path))
    assert not kept.pictures
    assert "rgb 64x48, thermal 32x24" in problems[0].sentence


@pytest.mark.parametrize(
    ("text", "says"),
    [(None, "There is no folder"), ("", "holds no labelled pictures or clips"), ("{", "holds no labelled pictures")],
)
def test_a_folder_without_anything_is_an_error(tmp_path: Path, text: str | None, says: str) -> None:
    if text is not None:
        write(tmp_path / "x/annotations.json", text)
    with pytest.raises(ValueError, match=says):
        read_folder(tmp_path / "x")


def test_a_broken_coco_file_is_named(tmp_path: Path) -> None:
    coco(tmp_path)
    write(tmp_path / "annotations/instances.json", '{"images": [], "annotations": [{"id": 1}]}')
    with pytest.raises(ValueError, match=r"instances\.json is not COCO's JSON of boxes"):
        read_folder(tmp_path)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp"])
def test_sizes_are_read_from_headers(tmp_path: Path, suffix: str) -> None:
    assert image_size(paint(tmp_path / f"a{suffix}", size=(30, 50))) == (30, 50)


def test_depth_is_encoded_as_the_trackers_see_it(tmp_path: Path) -> None:
    from modaltrack.sources.encodings import depth_jet_bgr

    ramp = np.tile(np.arange(WIDTH, dtype=np.uint16) * 50 + 100, (HEIGHT, 1))
    cv2.imwrite(str(tmp_path / "d.png"), ramp)
    assert (read_encoded(tmp_path / "d.png", Modality.DEPTH, 0.2) == depth_jet_bgr(ramp, 0.2)).all()
    with pytest.raises(ValueError, match="cannot be decoded"):
        read_encoded(tmp_path / "none.png", Modality.RGB)


def test_reading_needs_no_torch() -> None:
    code = "import sys; from modaltrack.training.pictures import check, readers; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_the_command_says_what_a_folder_holds_and_what_is_wrong(tmp_path: Path, capsys) -> None:
    from modaltrack.cli import main

    boxes_text(tmp_path / "one")
    assert main(["pictures", "check", str(tmp_path), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["sets"]["one"] == {
        "format": "boxes.txt",
        "pictures": 1,
        "clips": 0,
        "boxes": 1,
        "masks": 0,
        "sensors": ["rgb"],
        "classes": ["cat"],
    }
    write(tmp_path / "one/boxes.txt", "a 10 12 20 16 cat\nb 1 2 3 4 cat\n")
    assert main(["pictures", "check", str(tmp_path)]) == 1
    shown = capsys.readouterr().out
    assert "Usable: 1 pictures, 0 targets in clips, 1 boxes." in shown
    assert "one: b is annotated and there is no picture of that name." in shown
    assert main(["pictures", "check", str(tmp_path / "none")]) == 1
    assert main(["pictures", "check", str(tmp_path), "--depth-scale", "0"]) == 1
    assert "--depth-scale is 0.0" in capsys.readouterr().err


@pytest.mark.parametrize("kind", ["open", "deep", "number", "infinite", "object", "nothing"])
def test_damaged_coco_is_named_and_never_a_traceback(tmp_path: Path, kind: str) -> None:
    annotations = {
        "open": "[" * 10**5,
        "deep": "[" * 10**5 + "]" * 10**5,
        "number": "1" + "0" * 400,
        "infinite": "[[1e999, 0, 1, 1]]",
        "object": '{"id": 1}',
        "nothing": "null",
    }
    paint(tmp_path / "images/a.png")
    write(tmp_path / "a.json", f'{{"images": [{{"id": 1, "file_name": "a"}}], "annotations": {annotations[kind]}}}')
    with pytest.raises(ValueError, match=r"a\.json"):
        read_folder(tmp_path)


@pytest.mark.parametrize("encoding", ["nothing", "hex", "utf-16", ""])
def test_voc_that_cannot_be_decoded_is_a_problem_of_that_file(tmp_path: Path, encoding: str) -> None:
    voc(tmp_path)
    start = f'<?xml version="1.0" encoding="{encoding}"?><annotation/>' if encoding else "<a>" * 200_000
    write(tmp_path / "Annotations/zz.xml", start)
    assert [p.where.endswith("zz.xml") for p in read_folder(tmp_path).problems] == [True]


@pytest.mark.parametrize("kind", ["nan", "1e999", "1.5", "-inf"])
def test_a_yolo_class_that_is_no_number_is_a_problem_of_its_line(tmp_path: Path, kind: str) -> None:
    yolo(tmp_path)
    file = next(f for f in (tmp_path / "labels").rglob("*.txt") if f.name != "classes.txt")
    file.write_text(file.read_text() + f"{kind} 0.5 0.5 0.2 0.2\n")
    assert len(read_folder(tmp_path).problems) == 1


def test_a_photograph_is_no_mask_and_many_objects_cost_one_pass(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (200, 300, 3)).astype(np.uint8)
    cv2.imwrite(str(tmp_path / "a.png"), noise)
    with pytest.raises(ValueError, match="saved as JPEG"):
        read_labels(tmp_path / "a.png")
    tiles = (np.arange(40)[:, None] // 4 * 20 + np.arange(60)[None] // 3 + 1).astype(np.uint16)  # 200 objects of 4 x 3
    cv2.imwrite(str(tmp_path / "b.png"), tiles)
    labels = read_labels(tmp_path / "b.png")
    assert np.array_equal(labels, tiles)
    boxes = label_boxes(labels)
    assert boxes.tolist() == [[3 * (k % 20), 4 * (k // 20), 3, 4] for k in range(200)]
    labels[labels == 7] = 0
    assert np.isnan(label_boxes(labels)[6]).all()
    assert label_boxes(np.zeros((4, 4), np.int32)).shape == (0, 4)
