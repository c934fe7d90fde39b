# SPDX-License-Identifier: Apache-2.0
"""Trackers of somebody else, and small folders of clips for them."""

from __future__ import annotations

import os
import time
from pathlib import Path

import cv2
import numpy as np


def make_clips(root: Path, lengths: dict[str, int], sensors: tuple[str, ...] = ("rgb", "thermal")) -> Path:
    """One folder per sequence: a block that moves 3 and 1 pixels a frame over 96 x 64 of grey."""
    for name, length in lengths.items():
        rows = []
        for sensor in sensors:
            (root / name / sensor).mkdir(parents=True)
        for index in range(length):
            x, y = 10 + 3 * index % 60, 10 + index % 40
            image = np.full((64, 96, 3), 70, np.uint8)
            image[y : y + 12, x : x + 16] = (40, 200, 220)
            for sensor in sensors:
                picture = image if sensor == "rgb" else image[:, :, 2]
                cv2.imwrite(str(root / name / sensor / f"{index:03d}.png"), picture)
            rows.append(f"{x},{y},16,12")
        (root / name / "boxes.txt").write_text("\n".join(rows) + "\n")
    return root


def note(text: str) -> None:
    """A line in the file that the test named, written at once: lines of several processes do not mix."""
    if "TOY_LOG" in os.environ:
        with open(os.environ["TOY_LOG"], "a") as file:
            file.write(text + "\n")


class Steady:
    """Moves its box by 1 pixel a frame; takes ``TOY_SECONDS`` for it."""

    images = "rgb"

    def init(self, image, box) -> None:
        assert image.shape == (64, 96, 3)
        self.box = list(box)
        note(f"init {os.getpid()}")

    def update(self, image):
        time.sleep(float(os.environ.get("TOY_SECONDS", "0")))
        self.box[0] += 1
        return self.box, 0.5


class Stumbling(Steady):
    """Breaks on a frame whose block is at the place that ``TOY_BREAK`` names (x in pixels)."""

    def update(self, image):
        if (image[:, int(os.environ["TOY_BREAK"])] != 70).any():
            raise RuntimeError("the tracker has lost its nerve")
        return super().update(image)


class Deadly(Steady):
    """Takes its process down at the fifth frame of a clip."""

    def update(self, image):
        if (image[14, 22:38] != 70).all() and os.environ.get("TOY_DEADLY"):
            os._exit(9)
        return super().update(image)


class Dictionary:
    """The other common interface."""

    def initialize(self, image, info) -> None:
        assert set(image) == {"rgb", "thermal"}
        self.box = info["init_bbox"]

    def track(self, image):
        return {"target_bbox": self.box, "best_score": 0.25}


class Nonsense(Steady):
    def update(self, image):
        return "over there"
