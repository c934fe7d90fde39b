# SPDX-License-Identifier: Apache-2.0
"""Miniature copies of every benchmark's layout, with the irregularities that real downloads have.

``build("lasher", tmp_path)`` writes a few tiny sequences as that data set lies on a disk and returns its root. Names
are the first ones of the official list where that ships. ``box(k)`` is the true box of frame k in all of them.
"""

import json
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from modaltrack.benchmarks import info, official_list

HEIGHT, WIDTH = 36, 48
LENGTH = 6


def box(k: int) -> tuple[int, int, int, int]:
    """x, y, w, h of the target in frame k."""
    return 8 + 2 * k, 10 + k, 12, 9


def picture(k: int, kind: str = "colour", height: int = HEIGHT, width: int = WIDTH) -> NDArray[np.generic]:
    """A grey ramp with the target as a bright block; BGR, grey (thermal) or 16 bit (depth, millimetres)."""
    image = np.tile(np.linspace(20, 90, width), (height, 1))
    x, y, w, h = box(k)
    image[y : y + h, x : x + w] = 200
    if kind == "depth":
        return (image * 20).astype(np.uint16)
    if kind == "grey":
        return image.astype(np.uint8)
    return np.stack([image * 0.5, image, image * 0.8], axis=2).astype(np.uint8)


def write(file: Path, image: NDArray[np.generic]) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(file), image)
    return file


def images(folder: Path, names: list[str], kind: str = "colour", first: int = 0, **size: int) -> None:
    """Write pictures; the one at place ``first`` shows frame 0."""
    for k, name in enumerate(names):
        write(folder / name, picture(max(k - first, 0), kind, **size))


def text(file: Path, lines: list[str] | str) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(lines if isinstance(lines, str) else "\n".join(lines) + "\n")
    return file


def rows(length: int = LENGTH, separator: str = ",", every: int = 1) -> list[str]:
    return [separator.join(map(str, box(k))) for k in range(0, length, every)]


def names_of(name: str, count: int = 2, split: str | None = None) -> list[str]:
    """The first names of the official list, invented ones where none ships."""
    row = info(name)
    listed = official_list(row, split or next(iter(row.splits)))
    return listed[:count] if listed else [f"sequence_{k:02d}" for k in range(1, count + 1)]


def _gtot(root: Path, names: list[str], length: int) -> None:
    for number, name in enumerate(names):
        suffix = "bmp" if number % 2 else "png"  # both are about
        images(root / name / "v", [f"{k + 1:05d}v.{suffix}" for k in range(length)], "grey")
        images(root / name / "i", [f"{k + 1:05d}i.{suffix}" for k in range(length)], "grey")
        corners = [f"{x} {y} {x + w} {y + h}" for x, y, w, h in map(box, range(length))]
        text(root / name / "groundTruth_v.txt", corners)
        shifted = [f"{x + 1} {y} {x + w + 1} {y + h}" for x, y, w, h in map(box, range(length))]
        text(root / name / "groundTruth_i.txt", shifted)
        text(root / name / "init.txt", rows(length, "\t"))


def _rgbt210(root: Path, names: list[str], length: int) -> None:
    for name in names:
        images(root / name / "visible", [f"{k + 1:05d}v.jpg" for k in range(length)])
        images(root / name / "infrared", [f"{k + 1:05d}i.jpg" for k in range(length)], "grey")
        text(root / name / "init.txt", rows(length))


def _rgbt234(root: Path, names: list[str], length: int) -> None:
    _rgbt210(root, names, length)
    for name in names:
        text(root / name / "visible.txt", rows(length))
        text(root / name / "visible-o.txt", rows(length))
        text(root / name / "infrared.txt", [f"{x + 1},{y},{w},{h}" for x, y, w, h in map(box, range(length))])


def _lasher(root: Path, names: list[str], length: int) -> None:
    for number, name in enumerate(names):
        place = root / "TestingSet" / "testingset" / name
        # numbers start anywhere and have any number of digits; the two sensors need not agree
        images(place / "visible", [f"v{k + 1 + 8 * number:0{3 + number}d}.jpg" for k in range(length)])
        images(place / "infrared", [f"i{k + number:06d}.jpg" for k in range(length)], "grey")
        for file in ("visible.txt", "infrared.txt", "init.txt"):
            text(place / file, rows(length))
    if len(names) > 1:
        (root / "TestingSet" / "testingset" / names[1] / "visible.txt").unlink()  # cameraman_1202 has none


def _vtuav(root: Path, names: list[str], length: int) -> None:
    length = max(length, 21)
    for number, name in enumerate(names):
        place = root / "test_ST_001" / name
        images(place / "rgb", [f"{k:06d}.jpg" for k in range(length)])
        images(place / ("ir_gray" if number % 2 else "ir"), [f"{k:06d}.jpg" for k in range(length)], "grey")
        for file in ("rgb.txt", "ir.txt"):
            text(place / file, rows(length, " ", every=10))


def _mv_rgbt(root: Path, names: list[str], length: int) -> None:
    for number, name in enumerate(names):
        place = root / name
        numbers = [f"{k:06d}.jpg" for k in range(length)]
        if number % 3 == 0:
            images(place / "visible", numbers)
            images(place / "infrared", numbers, "grey")
            text(place / "visible.txt", rows(length))
            text(place / "infrared.txt", rows(length))
            continue
        text(place / "flag.txt", "rgb" if number % 3 == 1 else "tir")
        images(place / "color", numbers)
        images(place / "infrared", numbers, "grey")
        images(place / ("rgb_ref" if number % 3 == 1 else "tir_ref"), numbers, "grey")
        text(place / f"{name}_1.txt", rows(length))


def _depth(root: Path, names: list[str], length: int, truth: str = "groundtruth.txt") -> None:
    for name in names:
        images(root / name / "color", [f"{k + 1:08d}.jpg" for k in range(length)])
        images(root / name / "depth", [f"{k + 1:08d}.png" for k in range(length)], "depth")
        text(root / name / truth, rows(length))


def _depthtrack(root: Path, names: list[str], length: int) -> None:
    _depth(root, names, length)
    boxes = rows(length)
    boxes[2], boxes[3], boxes[4] = "nan,nan,nan,nan", "8,9,-1,-1", "8,9,0,0"
    text(root / names[0] / "groundtruth.txt", boxes)
    text(root / names[0] / "full-occlusion.tag", ["0", "0", "1", "1"])


def _vot(root: Path, names: list[str], length: int) -> None:
    _depth(root / "sequences", names, length)
    for name in names:
        place = root / "sequences" / name
        facts = ["channels.color=color/%08d.jpg", "channels.depth=depth/%08d.png", f"width={WIDTH}", f"height={HEIGHT}"]
        text(place / "sequence", [*facts, "fps=30", f"length={length}"])
        text(place / "anchor.value", ["1", *["0"] * (length - 2), "-1"])
        text(place / "occlusion.tag", ["0", "1"])
    text(root / "sequences" / "list.txt", names)


def _rgbd1k(root: Path, names: list[str], length: int) -> None:
    _depth(root / "test", names, length, "groundtruth_rect.txt")
    _depth(root / "train" / "Adapter", ["adapter1"], length, "groundtruth_rect.txt")
    text(root / "test" / "list.txt", names)
    text(root / "rgbd1k_train_split.txt", ["Adapter/adapter1"])


def _arkittrack(root: Path, names: list[str], length: int) -> None:
    for name in names:
        images(root / name / "color", [f"{k + 1:08d}.jpg" for k in range(length)])
        images(root / name / "depth", [f"{k + 1:08d}.png" for k in range(length)], "depth", height=18 * 2, width=24 * 2)
        text(root / name / "timestamp.txt", [f"{k / 30:.3f}" for k in range(length)])
        text(root / name / "groundtruth.txt", rows(length))
    polygon = [f"{x},{y},{x + w},{y},{x + w},{y + h},{x},{y + h}" for x, y, w, h in map(box, range(length))]
    text(root / names[0] / "groundtruth.txt", [*polygon[:2], "-1,-1,1,1", *polygon[3:]])


def _vot_rgbt(root: Path, names: list[str], length: int) -> None:
    for name in names:
        images(root / "sequences" / name / "color", [f"{k + 1:08d}.jpg" for k in range(length)])
        images(root / "sequences" / name / "ir", [f"{k + 1:08d}.jpg" for k in range(length)], "grey")
        text(root / "sequences" / name / "groundtruth.txt", rows(length))
        text(root / "sequences" / name / "anchor.value", ["1", *["0"] * (length - 1)])
    text(root / "sequences" / "list.txt", names)


def _visevent(root: Path, names: list[str], length: int) -> None:
    for number, name in enumerate(names):
        place = root / "test" / name
        start = 17 * number
        for folder in ("vis_imgs", "event_imgs"):
            images(place / folder, [f"frame{start + k:04d}.bmp" for k in range(length)])
        text(place / "groundtruth.txt", rows(length))
        text(place / "absent_label.txt", ["1"] * length)  # 1 = present
    # one begins without the target
    late = root / "test" / names[-1]
    text(late / "groundtruth.txt", ["0,0,0,0", "0,0,0,0", *rows(length)[2:]])
    text(late / "absent_label.txt", ["0", "0", *["1"] * (length - 2)])


def _fe108(root: Path, names: list[str], length: int) -> None:
    for number, name in enumerate(names):
        place = root / "test" / name
        images(place / "img", [f"{k + 1:04d}.jpg" for k in range(length)], "grey")
        text(place / "events.aedat4", "#!AER-DAT4.0")
        text(place / "groundtruth_rect.txt", rows(length))
        if number:
            images(place / "inter1_stack_3008", [f"{k:04d}.png" for k in range(length)])


def _coesot(root: Path, names: list[str], length: int) -> None:
    train = "dvSave-train"
    for number, name in enumerate([*names, train]):
        place = root / name
        total = length + 3 * (number == 0)  # more images than annotated frames
        for kind in ("aps", "dvs"):
            images(place / f"{name}_{kind}", [f"frame{k:04d}.png" for k in range(total)], first=2 * (number == 0))
        text(place / "groundtruth.txt", rows(length))
        text(place / "absent.txt", ["1"] * length)  # 1 = present
        text(place / "start_end_index.txt", f"{3 if number == 0 else 1},{length + 2 if number == 0 else length}")
    text(root / "list.txt", [train, *names])
    text(root / "train.txt", ["0"])
    if len(names) > 1:
        text(root / names[1] / "groundtruth.txt", ["0,0,0,0", *rows(length)[1:]])
        text(root / names[1] / "absent.txt", ["0", *["1"] * (length - 1)])


def _eventvot(root: Path, names: list[str], length: int) -> None:
    for name in names:
        images(root / "test" / name / "img", [f"{k:04d}.png" for k in range(length)])
        text(root / "test" / name / "groundtruth.txt", rows(length))
        text(root / "test" / name / "absent.txt", ["1"] * length)
    images(root / "train" / "elsewhere" / "img", ["0000.png"])
    text(root / "train" / "elsewhere" / "groundtruth.txt", rows(1))


def _otb(root: Path, names: list[str], length: int) -> None:
    for name in [*names, "Jogging"]:
        images(root / name / "img", [f"{k + 1:04d}.jpg" for k in range(length)])
    for name in names:
        text(root / name / "groundtruth_rect.txt", rows(length, "\t"))
    for target in (1, 2):
        text(root / "Jogging" / f"groundtruth_rect.{target}.txt", rows(length))


def _lasot(root: Path, names: list[str], length: int) -> None:
    for number, name in enumerate(names):
        place = root / "airplane" / name
        images(place / "img", [f"{k + 1:08d}.jpg" for k in range(length)])
        text(place / "groundtruth.txt", rows(length))
        hidden = ["0"] * length
        hidden[3] = str(1 - number % 2)
        text(place / "full_occlusion.txt", ",".join(hidden))
        text(place / "out_of_view.txt", ",".join(["0"] * length))
        text(place / "nlp.txt", "a white airplane")


def _got10k(root: Path, names: list[str], length: int) -> None:
    for split in ("val", "test"):
        listed = [f"GOT-10k_{split.capitalize()}_{k + 1:06d}" for k in range(len(names))]
        for name in listed:
            place = root / split / name
            images(place, [f"{k + 1:08d}.jpg" for k in range(length)])
            text(place / "groundtruth.txt", rows(1 if split == "test" else length))
            if split == "val":
                text(place / "absence.label", ["0"] * length)
                text(place / "cover.label", ["8", "0", *["8"] * (length - 2)])
        text(root / split / "list.txt", listed)


def _trackingnet(root: Path, names: list[str], length: int) -> None:
    for part, rows_there in (("TRAIN_0", length), ("TRAIN_1", length), ("TEST", 1)):
        for name in names:
            own = f"{name}_{part}"
            images(root / part / "frames" / own, [f"{k}.jpg" for k in range(length)])
            text(root / part / "anno" / f"{own}.txt", rows(rows_there))


def _coco(root: Path, names: list[str], length: int) -> None:
    images(root / "images" / "train2017", [f"{k:012d}.jpg" for k in range(length)])
    found = [{"id": 100 + k, "image_id": k, "bbox": list(map(float, box(k))), "iscrowd": 0} for k in range(length)]
    found.append({"id": 999, "image_id": 0, "bbox": [0.0, 0.0, 9.0, 9.0], "iscrowd": 1})
    listed = [{"id": k, "file_name": f"{k:012d}.jpg"} for k in range(length)]
    text(root / "annotations" / "instances_train2017.json", json.dumps({"images": listed, "annotations": found}))


BUILDERS: dict[str, Callable[[Path, list[str], int], None]] = {
    "gtot": _gtot,
    "rgbt210": _rgbt210,
    "rgbt234": _rgbt234,
    "lasher": _lasher,
    "vtuav": _vtuav,
    "mv-rgbt": _mv_rgbt,
    "depthtrack": _depthtrack,
    "cdtb": _vot,
    "vot-rgbd2022": _vot,
    "rgbd1k": _rgbd1k,
    "arkittrack": _arkittrack,
    "vot-rgbt2020": _vot_rgbt,
    "visevent": _visevent,
    "fe108": _fe108,
    "fe240hz": _fe108,
    "coesot": _coesot,
    "eventvot": _eventvot,
    "otb": _otb,
    "lasot": _lasot,
    "got-10k": _got10k,
    "trackingnet": _trackingnet,
    "coco": _coco,
}


def build(name: str, root: Path, count: int = 2, length: int = LENGTH) -> Path:
    """Write a miniature of the benchmark's default split (and a little of others) under ``root``; returns ``root``."""
    root.mkdir(parents=True, exist_ok=True)
    BUILDERS[name](root, names_of(name, count), length)
    return root
