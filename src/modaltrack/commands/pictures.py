# SPDX-License-Identifier: Apache-2.0
"""``modaltrack pictures check FOLDER``: are your own labelled pictures and clips fit to train on?"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from tyro.conf import Positional, arg

if TYPE_CHECKING:
    from modaltrack.training.pictures.readers import FolderReading
    from modaltrack.training.pictures.records import Contents, Problem

SHOWN = 40


@dataclass
class Options:
    """Look into a folder of labelled pictures, aligned pairs or clips before training on it.

    Read are boxes.txt (file x y w h class), COCO JSON, VOC XML, YOLO labels, masks, and clips of numbered frames with
    groundtruth.txt or boxes_TARGET.txt; docs/training.md shows the layouts. 'check' says in one sentence what is wrong
    with each picture, box or clip that training would leave out.
    """

    action: Positional[Literal["check"]]
    """check FOLDER."""
    folder: Positional[Annotated[Path, arg(metavar="FOLDER")]]
    """The folder, or a folder of such folders."""
    aux: str | None = None
    """Sensor of the images in aux/ (thermal, depth, event); by default what the folder's name or SOURCE.md says."""
    images: str | None = None
    """Sensor of the images in images/ (rgb, thermal ...); by default what SOURCE.md says, else rgb."""
    depth_scale: float = 1.0
    """Value of a depth image times this = millimetres."""
    deep: bool = False
    """Decode every image; else only headers are read."""
    json: bool = False
    """Print one JSON object instead of tables."""


def run(options: Options) -> int:
    """Print what was found; -> 0, or 1 where something cannot be trained on."""
    from modaltrack.training.pictures.check import check
    from modaltrack.training.pictures.readers import read_folder

    contents = read_folder(options.folder, reading(options))
    usable, problems = check(contents, options.deep)
    if options.json:
        from modaltrack.commands.terminal import out

        out().print(json.dumps(_facts(usable, problems), indent=2, ensure_ascii=False), markup=False)
    else:
        _show(usable, problems, options.deep)
    return 1 if problems else 0


def reading(options: Options) -> FolderReading:
    """What the options say about the folder.

    Raises:
        ValueError: for an impossible depth scale.
    """
    from modaltrack.sources.source import check_modality
    from modaltrack.training.pictures.readers import FolderReading

    if not 0 < options.depth_scale < float("inf"):
        raise ValueError(f"--depth-scale is {options.depth_scale} and a positive number was expected.")
    aux = check_modality(options.aux) if options.aux else None
    return FolderReading(aux, check_modality(options.images) if options.images else None, options.depth_scale)


def _facts(usable: Contents, problems: list[Problem]) -> dict[str, Any]:
    """What the folder holds, by subfolder, as plain data."""
    from modaltrack.frame import Modality

    sets: dict[str, dict[str, Any]] = {
        name: {"format": form, "pictures": 0, "clips": 0, "boxes": 0, "masks": 0, "sensors": [], "classes": []}
        for name, form in usable.formats.items()
    }

    def enter(name: str, boxes: int, sensors: list[str], what: str) -> dict[str, Any]:
        row = sets[name]
        row[what] += 1
        row["boxes"] += boxes
        row["sensors"] = sorted({*row["sensors"], *sensors}, key=list(Modality).index)
        return row

    for picture in usable.pictures:
        home = next(name for name in _parents(picture.name) if name in sets)
        row = enter(home, len(picture.boxes), [m.value for m in picture.files], "pictures")
        row["masks"] += picture.mask is not None
        row["classes"] = sorted({*row["classes"], *filter(None, picture.classes)})
    for clip in usable.clips:
        visible = int((clip.boxes[:, 2] > 0).sum())
        home = next(name for name in _parents(clip.name) if name in sets)
        enter(home, visible, [m.value for m in clip.files], "clips")
    return {"folder": str(usable.folder), "sets": sets, "problems": [str(problem) for problem in problems]}


def _parents(name: str) -> list[str]:
    parts = name.split("/")
    return ["/".join(parts[:n]) for n in range(len(parts), 0, -1)]


def _show(usable: Contents, problems: list[Problem], deep: bool) -> None:
    from modaltrack.commands.terminal import out, table

    facts = _facts(usable, problems)
    rows = table(
        str(usable.folder),
        "set",
        "read as",
        "sensors",
        ">pictures",
        ">targets in clips",
        ">boxes",
        ">masks",
        ">classes",
    )
    for name, row in list(facts["sets"].items())[:SHOWN]:
        counts = (row["pictures"], row["clips"], row["boxes"], row["masks"], len(row["classes"]))
        rows.add_row(name, row["format"], ", ".join(row["sensors"]), *(f"{n:,}" if n else "-" for n in counts))
    console = out()
    console.print(rows, markup=False)
    if len(facts["sets"]) > SHOWN:
        console.print(f"... and {len(facts['sets']) - SHOWN} more sets (--json lists all).")
    boxes = sum(row["boxes"] for row in facts["sets"].values())
    console.print(
        f"Usable: {len(usable.pictures):,} pictures, {len(usable.clips):,} targets in clips, {boxes:,} boxes."
    )
    for problem in problems[:SHOWN]:
        console.print(f"  {problem}", markup=False)
    if len(problems) > SHOWN:
        console.print(f"... and {len(problems) - SHOWN} more problems (--json lists all).")
    if not problems:
        console.print(
            "Nothing is wrong; " + ("every image decodes." if deep else "images were not decoded (--deep does).")
        )
