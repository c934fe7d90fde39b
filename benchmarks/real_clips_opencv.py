# SPDX-License-Identifier: Apache-2.0
"""OpenCV's CSRT and KCF on each side (RGB, other sensor) of real clips, with our scores.

They live in another OpenCV package than ours, so run this in an environment of its own, from the repository root:

    uv venv /tmp/cv && uv pip install --python /tmp/cv opencv-contrib-python-headless numpy av
    PYTHONPATH=src /tmp/cv/bin/python benchmarks/real_clips_opencv.py --data CLIPS --json opencv.json
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from real_clip_folder import RealClip, Rows, read_clips

from modaltrack.frame import Modality

TRACKERS: dict[str, Callable[[], Any]] = {
    "CSRT": lambda: cv2.TrackerCSRT_create(),
    "KCF": lambda: cv2.TrackerKCF_create(),
}


def run(make: Callable[[], Any], clip: RealClip, modality: Modality) -> dict[str, Any]:
    """Scores of one tracker on one side of a clip; where it reports a failure the last box is kept."""
    tracker, boxes, failures, seconds = make(), [clip.boxes[0]], 0, 0.0
    for index, image in enumerate(clip.images(modality)):
        bgr = np.ascontiguousarray(image[..., ::-1])
        began = time.perf_counter()
        if index == 0:
            tracker.init(bgr, tuple(round(v) for v in clip.boxes[0]))
        else:
            found, box = tracker.update(bgr)
            failures += not found
            boxes.append(np.array(box, np.float64) if found else boxes[-1])
        seconds += time.perf_counter() - began
    return {**clip.score(np.array(boxes)), "failures": failures, "fps": round(len(boxes) / seconds, 1)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with rgb/, rgbt/, rgbd/, rgbe/")
    parser.add_argument("--json", type=Path, help="keep the rows here, and go on from there")
    given = parser.parse_args()
    rows = Rows(given.json, opencv=cv2.__version__)
    for clip in read_clips(given.data):
        for modality in clip.sides:
            for name, make in TRACKERS.items():
                key = {"clip": clip.name, "tracker": name, "sensors": modality.value}
                if not rows.has(**key):
                    rows.add({**key, **run(make, clip, modality)})


if __name__ == "__main__":
    main()
