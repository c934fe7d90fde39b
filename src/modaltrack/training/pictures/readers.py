# SPDX-License-Identifier: Apache-2.0
"""Read a user's folder of labelled pictures or clips as plain records; no torch, nothing decoded but masks.

A folder may hold, and these are looked for in this order:

* clips: ``rgb/ thermal/ depth/ event/`` (any of them, or ``aux/``) with ``groundtruth.txt``, ``boxes.txt`` or one
  ``boxes_TARGET.txt`` or ``pseudo_TARGET.txt`` a target, one ``x,y,w,h`` a frame;
* pictures with ``boxes.txt`` (``file x y w h class [id]``), in ``images/`` or, aligned, in the folders above;
* COCO JSON, VOC XML, YOLO text;
* pictures with ``masks/`` only;
* or folders of such folders.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from modaltrack.frame import Modality
from modaltrack.sources.folder import list_images
from modaltrack.sources.layout import read_boxes
from modaltrack.training.pictures import annotation
from modaltrack.training.pictures.annotation import Objects
from modaltrack.training.pictures.image_files import images_by_stem
from modaltrack.training.pictures.masks import label_boxes, read_labels
from modaltrack.training.pictures.records import Contents, LabelledClip, LabelledPicture, Problem, box_array
from modaltrack.training.pictures.sensors import only_sensor, second_sensor

PICTURE_FOLDERS = ("images", "JPEGImages", "img", "pictures")
MASK_FOLDERS = ("masks", "SegmentationObject")
CLIP_BOXES = ("groundtruth.txt", "boxes.txt")
TARGET_BOXES = ("boxes_*.txt", "pseudo_*.txt")
DEPTH = 4  # levels of folders of folders that are looked into


@dataclass(frozen=True, slots=True)
class FolderReading:
    """What a folder cannot say of itself.

    Attributes:
        aux: Modality of ``aux/``; None = from the folder's or its parent's name or ``SOURCE.md``.
        images: Modality of ``images/``; None = from ``SOURCE.md``, else RGB.
        depth_scale: Value of a depth image times this = millimetres.
    """

    aux: Modality | None = None
    images: Modality | None = None
    depth_scale: float = 1.0


def read_folder(folder: str | os.PathLike[str], reading: FolderReading | None = None) -> Contents:
    """All labelled pictures and clips of a folder.

    Args:
        folder: A folder of one of the layouts above, or of folders of them.
        reading: What the folder cannot say of itself.

    Returns:
        Records, with what could not be used as ``problems``.

    Raises:
        ValueError: The folder is not there or holds nothing of these kinds.
    """
    root = Path(folder).expanduser()
    if not root.is_dir():
        raise ValueError(f"There is no folder {root}; give the folder of your pictures or clips.")
    contents = Contents(root)
    for place in _places(root, DEPTH):
        contents.add(_read_one(place, root, reading or FolderReading()))
    if not contents.pictures and not contents.clips:
        why = f" The first of {len(contents.problems)} problems: {contents.problems[0]}" if contents.problems else ""
        raise ValueError(
            f"{root} holds no labelled pictures or clips; expected are boxes.txt, COCO JSON, VOC XML, YOLO labels/, "
            f"masks/ or clips with groundtruth.txt (docs/training.md shows the layouts).{why}"
        )
    return contents


def _places(folder: Path, levels: int) -> Iterable[Path]:
    """The folders at or below this one that hold annotation themselves."""
    if _kind(folder) is not None:
        yield folder
    elif levels:
        for inner in sorted(f for f in folder.iterdir() if f.is_dir() and not f.name.startswith(".")):
            yield from _places(inner, levels - 1)


def _kind(folder: Path) -> str | None:
    """Which layout a folder has, by the names in it."""
    boxes = folder / "boxes.txt"
    of_pictures = boxes.is_file() and annotation.is_text_of_pictures(boxes)
    if _sensor_folders(folder) and not of_pictures and _clip_annotation(folder):
        return "clip"
    if of_pictures:
        return "boxes.txt"
    if _coco_files(folder):
        return "COCO JSON"
    if _voc_files(folder):
        return "VOC XML"
    if (folder / "labels").is_dir() and _picture_folder(folder):
        return "YOLO text"
    if any((folder / name).is_dir() for name in MASK_FOLDERS) and (_picture_folder(folder) or _sensor_folders(folder)):
        return "masks"
    return None


def _read_one(folder: Path, root: Path, reading: FolderReading) -> Contents:
    name = folder.relative_to(root).as_posix() if folder != root else root.name
    kind = _kind(folder)
    contents = Contents(folder, formats={name: kind or ""})
    readers: dict[str, Callable[[], Contents]] = {
        "clip": lambda: _read_clip(folder, name, reading),
        "boxes.txt": lambda: _pictures(folder, name, reading, annotation.read_text(folder / "boxes.txt")),
        "COCO JSON": lambda: _read_coco(folder, name, reading),
        "VOC XML": lambda: _pictures(folder, name, reading, annotation.read_voc(iter(_voc_files(folder)))),
        "YOLO text": lambda: _read_yolo(folder, name, reading),
        "masks": lambda: _pictures(folder, name, reading, None),
    }
    try:
        contents.add(readers[kind or ""]())
    except (ValueError, OSError) as error:
        contents.problems.append(Problem(name, str(error)))
    return contents


def _sensor_folders(folder: Path) -> list[str]:
    return [m.value for m in Modality if (folder / m.value).is_dir()] + ["aux"] * (folder / "aux").is_dir()


def _picture_folder(folder: Path) -> Path | None:
    return next((folder / name for name in PICTURE_FOLDERS if (folder / name).is_dir()), None)


def _sensors(folder: Path, reading: FolderReading) -> dict[Modality, Path]:
    """Modality -> folder of its images; ``images/`` alone, or the sensors' own folders."""
    sensors = {m: folder / m.value for m in Modality if (folder / m.value).is_dir()}
    if (folder / "aux").is_dir():
        kind = second_sensor(folder, reading.aux)
        if kind in sensors:
            raise ValueError(f"{folder} has both {kind}/ and aux/, which is {kind} too; keep one of them.")
        sensors[kind] = folder / "aux"
    if not sensors:
        sensors[only_sensor(folder, reading.images)] = _picture_folder(folder) or folder
    return dict(sorted(sensors.items(), key=lambda item: list(Modality).index(item[0])))


# -- clips ---------------------------------------------------------------------------------------------------------


def _clip_annotation(folder: Path) -> dict[str, Path]:
    """Target -> its box file; "" for the only one."""
    several = {f.stem.split("_", 1)[1]: f for pattern in TARGET_BOXES for f in sorted(folder.glob(pattern))}
    alone = next((folder / name for name in CLIP_BOXES if (folder / name).is_file()), None)
    return several or ({"": alone} if alone else {})


def _read_clip(folder: Path, name: str, reading: FolderReading) -> Contents:
    contents = Contents(folder)
    frames = {m: tuple(list_images(place)) for m, place in _sensors(folder, reading).items()}
    length = min(len(files) for files in frames.values())
    for modality, files in frames.items():
        if not files:
            raise ValueError(f"{folder} has no images of {modality}.")
        if len(files) != length:
            contents.problems.append(Problem(name, f"{modality} has {len(files)} frames and the shortest {length}."))
    for target, file in _clip_annotation(folder).items():
        boxes = read_boxes(file)
        if len(boxes) != length:
            contents.problems.append(Problem(str(file), f"it holds {len(boxes)} boxes for {length} frames."))
        count = min(length, len(boxes))
        if not np.isfinite(boxes[:count]).any():
            contents.problems.append(Problem(str(file), "the target is in none of the frames."))
            continue
        cut = {m: paths[:count] for m, paths in frames.items()}
        contents.clips.append(LabelledClip(name, target, cut, boxes[:count], reading.depth_scale))
    return contents


# -- pictures ------------------------------------------------------------------------------------------------------


def _coco_files(folder: Path) -> list[Path]:
    files = [*sorted(folder.glob("*.json")), *sorted((folder / "annotations").glob("*.json"))]
    return [file for file in files if annotation.is_coco(file)]


def _voc_files(folder: Path) -> list[Path]:
    inside = folder / "Annotations"
    return sorted((inside if inside.is_dir() else folder).glob("*.xml"))


def _read_coco(folder: Path, name: str, reading: FolderReading) -> Contents:
    contents = Contents(folder)
    for file in _coco_files(folder):
        contents.add(_pictures(folder, name, reading, annotation.read_coco(file)))
    return contents


def _read_yolo(folder: Path, name: str, reading: FolderReading) -> Contents:
    place = _picture_folder(folder)
    assert place is not None, "_kind has seen it"
    kinds = annotation.yolo_classes(folder, folder / "labels", folder.parent)
    return _pictures(folder, name, reading, annotation.read_yolo(folder / "labels", images_by_stem(place), kinds))


def _pictures(folder: Path, name: str, reading: FolderReading, objects: Objects | None) -> Contents:
    """Join annotation, images of all sensors and masks by their names; objects None = boxes from the masks."""
    contents = Contents(folder)
    images = {m: images_by_stem(place) for m, place in _sensors(folder, reading).items()}
    first = next(iter(images))
    masks = next((images_by_stem(folder / m) for m in MASK_FOLDERS if (folder / m).is_dir()), {})
    if objects is None:
        objects = _objects_of_masks(masks)
    contents.problems += objects.problems
    short = _by_last_name(images[first])
    for picture, found in objects.of.items():
        stem = _stem(picture, images[first], short)
        if stem is None:
            contents.problems.append(Problem(name, f"{picture} is annotated and there is no picture of that name."))
            continue
        files = {m: stems[stem] for m, stems in images.items() if stem in stems}
        lost = [m.value for m in images if m not in files]
        if lost:
            contents.problems.append(Problem(name, f"{picture} has no image of {', '.join(lost)}."))
        if found:
            record = LabelledPicture(
                name=f"{name}/{stem}",
                files=files,
                boxes=box_array([one.box for one in found]),
                classes=tuple(one.kind for one in found),
                mask=masks.get(stem),
                identities=tuple(one.identity for one in found),
                depth_scale=reading.depth_scale,
            )
            contents.pictures.append(record)
    contents.clips += _sequences(contents.pictures)
    return contents


def _sequences(pictures: Sequence[LabelledPicture]) -> list[LabelledClip]:
    """Clips of pictures whose objects have identities: one for each that is met twice in one folder of pictures."""
    frames: dict[tuple[str, str], list[tuple[LabelledPicture, int]]] = {}
    for picture in pictures:
        for k, identity in enumerate(picture.identities):
            if identity:
                frames.setdefault((picture.name.rpartition("/")[0], identity), []).append((picture, k))
    clips = []
    for (folder, identity), found in frames.items():
        found.sort(key=lambda one: [int(n) for n in re.findall(r"\d+", one[0].name)[-1:]])  # as frames are numbered
        sensors = set.intersection(*(set(picture.files) for picture, _ in found))
        files = {m: tuple(picture.files[m] for picture, _ in found) for m in Modality if m in sensors}
        if len(found) > 1 and files:
            boxes = np.stack([picture.boxes[k] for picture, k in found])
            clips.append(LabelledClip(folder, identity, files, boxes, found[0][0].depth_scale))
    return clips


def _objects_of_masks(masks: Mapping[str, Path]) -> Objects:
    found = Objects()
    for stem, file in masks.items():
        try:
            boxes = label_boxes(read_labels(file))
        except ValueError as error:
            found.problems.append(Problem(str(file), str(error)))
            continue
        if not len(boxes):
            found.problems.append(Problem(str(file), "the mask is empty."))
        for x, y, w, h in boxes:
            found.add(stem, annotation.Object((float(x), float(y), float(w), float(h))), str(file))
    return found


def _by_last_name(stems: Mapping[str, Path]) -> dict[str, str]:
    """Last part of a stem -> the stem, where it is the only one of that name."""
    found: dict[str, list[str]] = {}
    for stem in stems:
        found.setdefault(stem.rsplit("/", 1)[-1], []).append(stem)
    return {last: same[0] for last, same in found.items() if len(same) == 1}


def _stem(picture: str, stems: Mapping[str, Path], short: Mapping[str, str]) -> str | None:
    """The stem of an annotated picture, named with or without suffix and folder."""
    named = picture.replace("\\", "/")
    bare = Path(named).with_suffix("").as_posix()
    for candidate in (named, bare):
        if candidate in stems:
            return candidate
    last = bare.rsplit("/", 1)[-1]
    return short.get(named.rsplit("/", 1)[-1]) or short.get(last)
