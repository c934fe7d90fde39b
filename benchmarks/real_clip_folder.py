# SPDX-License-Identifier: Apache-2.0
"""Reads a folder of real clips: DATA/{rgb,rgbt,rgbd,rgbe}/CLIP/{rgb,aux,groundtruth.txt}, and scores boxes on them.

Needs numpy and OpenCV only (no torch), so that other people's trackers can be run on the same images with the same
scores from an environment of their own.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from modaltrack.frame import Modality
from modaltrack.scoring import mean_iou, success_auc
from modaltrack.sources.encodings import encode

AUX = {"rgb": None, "rgbt": Modality.THERMAL, "rgbd": Modality.DEPTH, "rgbe": Modality.EVENT}
ENCODING = {Modality.THERMAL: "thermal", Modality.DEPTH: "depth-jet-bgr", Modality.EVENT: "event-image"}
DEPTH_SCALE = {"tum_": 0.2}  # start of a clip's name -> millimetres for one step of the depth image; others: 1
EVENT_FRAME_RATE = 30.0  # of clips that bring events.npz


@dataclass(frozen=True)
class RealClip:
    """One clip on disk; aux: its other sensor, None for RGB alone; boxes (N, 4) xywh, nan where unknown."""

    name: str
    folder: Path
    aux: Modality | None
    boxes: NDArray[np.float64]

    @property
    def sides(self) -> tuple[Modality, ...]:
        """Its sensors."""
        return (Modality.RGB,) if self.aux is None else (Modality.RGB, self.aux)

    def images(self, modality: Modality) -> Iterator[NDArray[np.uint8]]:
        """Encoded uint8 (H, W, 3) in RGB order, one for each row of ``boxes``.

        Events come from events.npz where there is one (red on, blue off, over the time from each frame to the next),
        because a picture of the events before the first frame is empty and nothing can be started from it.
        """
        events = self.folder / "events.npz"
        colour = sorted((self.folder / "rgb").iterdir())
        if modality is Modality.EVENT and events.is_file():
            with np.load(events) as stored:
                t, x, y, p = (stored[key] for key in "txyp")
            height, width = cv2.imread(str(colour[0])).shape[:2]
            cuts = np.searchsorted(t, np.arange(len(self.boxes) + 1) * 1e6 / EVENT_FRAME_RATE)
            for a, b in pairwise(cuts):
                yield encode("event-accumulate", (t[a:b], x[a:b], y[a:b], p[a:b]), height=height, width=width)
            return
        files = colour if modality is Modality.RGB else sorted((self.folder / "aux").iterdir())
        if len(files) != len(self.boxes):
            raise ValueError(f"{self.folder} has {len(files)} {modality} images and {len(self.boxes)} boxes.")
        scale = next((s for start, s in DEPTH_SCALE.items() if self.name.startswith(start)), 1.0)
        for file in files:
            image = cv2.imread(str(file), cv2.IMREAD_UNCHANGED)
            image = image[..., 2::-1] if image.ndim == 3 else image  # OpenCV reads BGR(A)
            if modality is Modality.DEPTH:
                yield encode(ENCODING[modality], image, depth_scale=scale)
            else:
                yield encode("rgb" if modality is Modality.RGB else ENCODING[modality], np.ascontiguousarray(image))

    def score(self, boxes: NDArray[np.float64]) -> dict[str, float]:
        """Success AUC and mean IoU over the frames after the first that have a known box."""
        return {
            "auc": round(success_auc(boxes[1:], self.boxes[1:]), 4),
            "iou": round(mean_iou(boxes[1:], self.boxes[1:]), 4),
        }


def read_clips(data: Path) -> list[RealClip]:
    """Every clip below ``data``; starts at row 0, which therefore needs a box."""
    clips = []
    for kind, aux in AUX.items():
        for file in sorted(data.glob(f"{kind}/*/groundtruth.txt")):
            boxes = np.loadtxt(file, delimiter=",", ndmin=2)
            if not np.isfinite(boxes[0]).all():
                raise ValueError(f"{file} has no box for its first frame; cut the clip to begin with one.")
            clips.append(RealClip(file.parent.name, file.parent, aux, boxes))
    if not clips:
        raise ValueError(f"There is no {'|'.join(AUX)}/*/groundtruth.txt below {data}; give the folder of the clips.")
    return clips


class Rows:
    """Rows of results in a JSON file that is written after each one, so that a run that was stopped goes on.

    facts: what else the file says (versions). A file of None keeps nothing.
    """

    def __init__(self, file: Path | None, **facts: str) -> None:
        self.file, self.facts = file, facts
        self.rows = json.loads(file.read_text())["rows"] if file is not None and file.is_file() else []

    def has(self, **key: str) -> bool:
        """Whether a row with these entries is there."""
        return any(all(row.get(name) == value for name, value in key.items()) for row in self.rows)

    def add(self, row: dict[str, Any]) -> None:
        """Keep a row and print it."""
        self.rows.append(row)
        print(json.dumps(row), flush=True)
        if self.file is not None:
            part = self.file.with_name(f".{self.file.name}.part")
            part.write_text(json.dumps({**self.facts, "rows": self.rows}, indent=1) + "\n")
            part.replace(self.file)
