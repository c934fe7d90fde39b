# SPDX-License-Identifier: Apache-2.0
"""What people type at ``track`` before they have read its help: put right where it is clear, else answered."""

from __future__ import annotations

import re
from collections.abc import Sequence

_SENSORS = {
    "--rgb": ("visible", "color", "colour", "source", "input", "i", "images", "frames", "camera", "v"),
    "--thermal": ("ir", "t", "tir", "lwir", "infrared", "thermal-infrared", "x"),
    "--depth": ("d", "depths"),
    "--event": ("e", "events", "dvs"),
    "--box": ("bbox", "b", "init", "init-box", "init-bbox", "roi", "rect"),
    "--out": ("output", "o", "save", "save-dir"),
    "--model": ("weights", "checkpoint", "m", "tracker"),
    "--max-frames": ("frames-max", "n", "limit"),
}
_SWITCHES = {"--video", "--no-video", "--help", "-h"}
MEANT = {f"{'-' if len(name) == 1 else '--'}{name}": flag for flag, names in _SENSORS.items() for name in names}
_NUMBER = re.compile(r"[\[(]?[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?[\])]?,?", re.IGNORECASE)


def with_whole_boxes(words: Sequence[str]) -> list[str]:
    """The words with every box in one: ``--box 10 20 30 40`` and ``--box -3,5,9,9`` become ``--box=...``.

    >>> with_whole_boxes(["--box", "10", "20", "30", "40", "--no-video"])
    ['--box=10,20,30,40', '--no-video']
    """
    left, whole = list(words), []
    while left:
        word = left.pop(0)
        if word == "--box" and left and not left[0].startswith("--"):
            box = [left.pop(0)]
            while len(box) < 4 and left and _NUMBER.fullmatch(box[0]) and _NUMBER.fullmatch(left[0]):
                box.append(left.pop(0))
            word = "--box=" + ",".join(part.strip(",") for part in box)
        whole.append(word)
    return whole


def complaint(words: Sequence[str]) -> str:
    """One sentence about a word that is none of this command's and has a plain meaning; empty where there is none."""
    left, switch = list(words), ""
    while left:
        word = left.pop(0)
        flag, _, value = word.partition("=")
        flag = flag.replace("_", "-")
        if flag in MEANT:
            return f"{flag} is no option of track; the option is {MEANT[flag]}"
        if flag == "--video" and value:
            return _about_video(value)
        if not word.startswith("-"):
            if switch == "--video":
                return _about_video(word)
            return f"{word!r} stands alone; say which sensor it is: --rgb {word} (or --thermal, --depth, --event)"
        switch = flag if flag in _SWITCHES else ""
        if not switch and not value and left and not left[0].startswith("--"):
            left.pop(0)
    return ""


def _about_video(path: str) -> str:
    return (
        f"--video takes no path (it says whether the annotated video is written); give {path!r} to its sensor: "
        f"--rgb {path}"
    )
