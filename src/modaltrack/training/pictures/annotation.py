# SPDX-License-Identifier: Apache-2.0
"""The boxes of pictures in their common formats: text lines, COCO JSON, VOC XML, YOLO text.

Every function reads one annotation and returns ``Objects``: picture -> its boxes. None decodes an image.
"""

from __future__ import annotations

import math
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from modaltrack.files import parse_json
from modaltrack.training.pictures.image_files import image_size
from modaltrack.training.pictures.records import Problem

COLUMNS = ("file", "x", "y", "w", "h", "class", "id")  # of boxes.txt without a header
CLASS_NAMES = ("class", "coco_class_index", "category", "label", "name")
IDENTITY_NAMES = ("id", "object_id", "identity", "track_id")


@dataclass(slots=True)
class Object:
    """One box of a picture: xywh in pixels, its class and identity, "" where the annotation names none."""

    box: tuple[float, float, float, float]
    kind: str = ""
    identity: str = ""


@dataclass(slots=True)
class Objects:
    """Picture, by file name or path inside the folder of pictures, -> its objects; and what could not be read."""

    of: dict[str, list[Object]] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def add(self, picture: str, found: Object, where: str) -> None:
        """Keep one object, or say why not."""
        self.of.setdefault(picture, [])
        x, y, w, h = found.box
        if not all(math.isfinite(v) for v in found.box):
            self.problems.append(Problem(where, f"the box is ({x:g}, {y:g}, {w:g}, {h:g}); four numbers are expected."))
        elif w <= 0 or h <= 0:
            self.problems.append(Problem(where, f"the box is {w:g} wide and {h:g} high; more than 0 is expected."))
        else:
            self.of[picture].append(found)


def read_text(file: Path) -> Objects:
    """``boxes.txt``: one line a box, ``file x y w h class [id]``, separated by blanks, tabs or commas.

    A first line ``# file x y w h class ...`` may name the columns in another order. Where tabs or commas separate,
    class names may hold blanks. Lines that do not fit are problems.
    """
    found = Objects()
    columns: tuple[str, ...] = COLUMNS
    lines = file.read_text(encoding="utf-8-sig", errors="replace").splitlines()
    for number, line in enumerate(lines, 1):
        text, where = line.strip(), f"{file}, line {number}"
        if text.startswith("#"):
            named = [word.lower() for word in re.split(r"[,\s]+", text.lstrip("# ").split("(")[0]) if word]
            columns = tuple(named) if set(COLUMNS[:5]) <= set(named) else columns
            continue
        if not text:
            continue
        words = [word.strip() for word in re.split(r"[,\t]" if re.search(r"[,\t]", text) else r"\s+", text)]
        row = dict(zip(columns, words))
        try:
            x, y, w, h = (float(row[name]) for name in "xywh")
        except (KeyError, ValueError):
            found.problems.append(Problem(where, f"{text[:60]!r} is not 'file x y w h class'."))
            continue
        kind = next((row[name] for name in CLASS_NAMES if name in row), "")
        identity = next((row[name] for name in IDENTITY_NAMES if name in row), "")
        found.add(row["file"], Object((x, y, w, h), kind, identity), where)
    return found


def is_text_of_pictures(file: Path) -> bool:
    """Whether a ``boxes.txt`` names pictures; else it is a clip's, one box a frame and nothing else."""
    for line in file.read_text(encoding="utf-8-sig", errors="replace").splitlines():
        words = [word for word in re.split(r"[,;\s]+", line.strip()) if word]
        if words and not words[0].startswith("#"):
            return len(words) not in (4, 8) or not _number(words[0])
    return False


def _number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def is_coco(file: Path) -> bool:
    """Whether a JSON file starts as COCO's instances do; the whole is not read."""
    with file.open(encoding="utf-8", errors="replace") as stream:
        head = stream.read(1 << 16)
        whole = head if len(head) < 1 << 16 else ""
    return ('"images"' in head or '"annotations"' in head) and (not whole or '"annotations"' in whole)


def read_coco(file: Path) -> Objects:
    """COCO JSON: bounding boxes of all objects but crowds, classes by their names.

    Raises:
        ValueError: The file is no JSON of that form.
    """
    found = Objects()
    try:
        content = parse_json(file.read_text(encoding="utf-8-sig"))
        names = {image["id"]: str(image["file_name"]) for image in content["images"]}
        kinds = {kind["id"]: str(kind["name"]) for kind in content.get("categories", [])}
        for row in content["annotations"]:
            where = f"{file}, object {row.get('id', '?')}"
            if row.get("iscrowd"):
                continue
            if row["image_id"] not in names:
                found.problems.append(Problem(where, f"its image {row['image_id']} is not listed in the file."))
                continue
            x, y, w, h = (float(value) for value in row["bbox"])
            kind, identity = kinds.get(row.get("category_id"), ""), str(row.get("track_id", ""))
            found.add(names[row["image_id"]], Object((x, y, w, h), kind, identity), where)
    except (KeyError, TypeError, ValueError, OverflowError, AttributeError) as error:
        raise ValueError(f"{file} is not COCO's JSON of boxes ({error!r}); export it again.") from error
    return found


def read_voc(files: Iterator[Path]) -> Objects:
    """PASCAL VOC XML, one file a picture; objects marked *difficult* are left out.

    VOC counts pixels from 1 and names the last pixel of a box, so x = xmin - 1 and w = xmax - xmin + 1.
    """
    found = Objects()
    for file in files:
        try:
            root = ElementTree.parse(file).getroot()
        except (ElementTree.ParseError, OSError, LookupError, ValueError) as error:  # LookupError: its encoding
            found.problems.append(Problem(str(file), f"the XML cannot be read ({error})."))
            continue
        picture = file.stem
        found.of.setdefault(picture, [])
        for number, item in enumerate(root.iter("object"), 1):
            where = f"{file}, object {number}"
            if (item.findtext("difficult") or "0").strip() == "1":
                continue
            try:
                left, top, right, bottom = (
                    float(item.findtext(f"bndbox/{name}") or "") for name in ("xmin", "ymin", "xmax", "ymax")
                )
            except ValueError:
                found.problems.append(Problem(where, "it has no bndbox of xmin, ymin, xmax, ymax."))
                continue
            box = (left - 1, top - 1, right - left + 1, bottom - top + 1)
            found.add(picture, Object(box, (item.findtext("name") or "").strip()), where)
    return found


def read_yolo(labels: Path, pictures: Mapping[str, Path], kinds: Mapping[int, str]) -> Objects:
    """YOLO text, one file a picture: ``class cx cy w h`` or ``class x1 y1 x2 y2 ...`` (a polygon), in shares.

    Args:
        labels: Folder of the text files.
        pictures: Stem -> picture; its size is needed.
        kinds: Class number -> name.
    """
    found = Objects()
    for file in sorted(labels.rglob("*.txt")):
        stem = file.relative_to(labels).with_suffix("").as_posix()
        if stem not in pictures:
            if file.name != "classes.txt":
                found.problems.append(Problem(str(file), "there is no picture of that name."))
            continue
        size = image_size(pictures[stem])
        if size is None:
            found.problems.append(Problem(str(pictures[stem]), "the picture cannot be decoded."))
            continue
        found.of.setdefault(stem, [])
        for number, line in enumerate(file.read_text(encoding="utf-8-sig", errors="replace").splitlines(), 1):
            where = f"{file}, line {number}"
            if line.strip():
                box = _yolo_box(line.split(), *size)
                if box is None:
                    found.problems.append(Problem(where, f"{line.strip()[:60]!r} is not 'class cx cy w h' in shares."))
                else:
                    kind = int(float(line.split()[0]))
                    found.add(stem, Object(box, kinds.get(kind, str(kind))), where)
    return found


def _yolo_box(words: list[str], height: int, width: int) -> tuple[float, float, float, float] | None:
    """xywh in pixels of one line; None where it does not fit (a sixth number is a confidence and not looked at)."""
    if not all(_number(word) for word in words) or len(words) < 5:
        return None
    values = [float(word) for word in words[1:]]
    if not float(words[0]).is_integer() or not all(-1 <= value <= 2 for value in values):
        return None
    if len(values) in (4, 5):
        cx, cy, w, h = values[:4]
        return (cx - w / 2) * width, (cy - h / 2) * height, w * width, h * height
    if len(values) % 2:
        return None
    xs, ys = values[0::2], values[1::2]
    return min(xs) * width, min(ys) * height, (max(xs) - min(xs)) * width, (max(ys) - min(ys)) * height


def yolo_classes(*folders: Path) -> dict[int, str]:
    """Class number -> name, from ``classes.txt`` or the ``names`` of ``data.yaml``; empty where neither is there."""
    for folder in folders:
        file = folder / "classes.txt"
        if file.is_file():
            return dict(enumerate(line.strip() for line in file.read_text(encoding="utf-8").splitlines()))
        for file in sorted((*folder.glob("*.yaml"), *folder.glob("*.yml"))):
            names = _yaml_names(file.read_text(encoding="utf-8"))
            if names:
                return names
    return {}


def _yaml_names(text: str) -> dict[int, str]:
    """The ``names`` of a ``data.yaml``: ``[a, b]``, or ``- a`` or ``0: a`` in lines of their own."""
    inline = re.search(r"^names:\s*\[(.*?)\]", text, re.MULTILINE | re.DOTALL)
    if inline:
        return dict(enumerate(word.strip().strip("'\"") for word in inline[1].split(",")))
    block = re.search(r"^names:\s*\n((?:[ \t]*(?:-|\d+:).*\n?)+)", text, re.MULTILINE)
    if not block:
        return {}
    names: dict[int, str] = {}
    for row in block[1].splitlines():
        numbered = re.match(r"\s*(?:(\d+):|-)\s*(.*?)\s*$", row)
        if numbered:
            names[int(numbered[1]) if numbered[1] else len(names)] = numbered[2].strip("'\"")
    return names
