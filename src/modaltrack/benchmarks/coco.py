# SPDX-License-Identifier: Apache-2.0
"""COCO as a set of one-frame clips: one per annotated object, crowds dropped."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from modaltrack.benchmarks.entries import SequenceEntry
from modaltrack.benchmarks.layout import Reading
from modaltrack.benchmarks.table import Row
from modaltrack.computed import ComputedSequence
from modaltrack.files import parse_json
from modaltrack.frame import Modality


class CocoObjects(ComputedSequence[SequenceEntry]):
    """Made one by one when asked for: train2017 has 860,000 objects. Each entry is named image_annotation."""

    def __init__(self, images: Path, files: dict[int, str], objects: list[dict[str, Any]], row: Row) -> None:
        self._images, self._files, self._objects, self._row = images, files, objects, row

    def __len__(self) -> int:
        return len(self._objects)

    def item(self, index: int) -> SequenceEntry:
        found = self._objects[index]
        entry = SequenceEntry(f"{found['image_id']}_{found['id']}", self._images, self._row)
        file = self._images / self._files[found["image_id"]]
        entry.__dict__["reading"] = Reading({Modality.RGB: [file]}, np.array([found["bbox"]], np.float64))
        return entry


def open_coco(root: Path, split: str, row: Row) -> CocoObjects:
    """Read ``annotations/instances_<split>.json``; images stand in ``images/<split>`` or ``<split>``.

    The whole file is parsed at once (about 3 GiB of memory for train2017).

    Raises:
        ValueError: for what is missing.
    """
    file = root / "annotations" / f"instances_{split}.json"
    images = next((root / f for f in (f"images/{split}", split) if (root / f).is_dir()), None)
    if not file.is_file() or images is None:
        lost = f"images/{split}/" if file.is_file() else f"annotations/instances_{split}.json"
        raise ValueError(f"{root} has no {lost}, where COCO keeps its {split}; check the path or the split.")
    try:
        content = parse_json(file.read_text(encoding="utf-8"))
        files = {image["id"]: image["file_name"] for image in content["images"]}
        kept = [a for a in content["annotations"] if not a.get("iscrowd") and a["bbox"][2] > 0 and a["bbox"][3] > 0]
        strange = next((a for a in kept if a["image_id"] not in files), None)
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise ValueError(f"{file} is not COCO's instances file ({error!r}); load it down again.") from error
    if strange is not None:
        raise ValueError(f"{file}: object {strange['id']} belongs to image {strange['image_id']}, which is not listed.")
    return CocoObjects(images, files, kept, row)
