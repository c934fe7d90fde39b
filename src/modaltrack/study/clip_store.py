# SPDX-License-Identifier: Apache-2.0
"""The clips that every run is measured on: rendered once, kept as bytes, mapped into memory by every reader."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from modaltrack.computed import ComputedSequence
from modaltrack.files import locked, replacing
from modaltrack.frame import Clip, Frame, Modality
from modaltrack.study.folder import Settings, read_json, write_json


@dataclass(frozen=True, slots=True)
class Stored(ComputedSequence[Frame]):
    """The frames of a clip, from one array (T, H, W, 3) per sensor."""

    images: dict[Modality, NDArray[np.uint8]]

    def __len__(self) -> int:
        return len(self.images[Modality.RGB])

    def item(self, index: int) -> Frame:
        return Frame({m: np.asarray(images[index]) for m, images in self.images.items()}, index=index)


def chosen(count: int, of: int = 40) -> list[int]:
    """Which clips of the benchmark's test half: evenly spread, half of them easy and half hard."""
    if count % 2 or count > of:
        raise ValueError(f"The study was given {count} clips; give an even number of at most {of}: half are hard.")
    half = of // 2
    spread = [int(i) for i in np.linspace(0, half, count // 2, endpoint=False)]
    return [*spread, *(half + i for i in spread)]


def study_clips(folder: Path, settings: Settings, say: Callable[[str], None] = print) -> list[Clip]:
    """The clips, each cut to the settings' frames; what is not in the folder yet is rendered into it."""
    from modaltrack import scenes

    bench = scenes.benchmark(split="test", length=max(60, settings.frames))
    home = folder / f"{bench.version}-{settings.frames}-frames"
    clips = []
    for number in chosen(settings.clips, len(bench)):
        place = home / f"clip-{number:02d}"
        facts = read_json(place / "clip.json")
        if facts is None:
            with locked(home / "lock", wait=True):
                facts = read_json(place / "clip.json")  # another process may have rendered it meanwhile
                if facts is None:
                    say(f"Rendering clip {number} of the benchmark, once for all runs")
                    facts = _render(bench[number], settings.frames, place)
        images = {m: np.load(place / f"{m}.npy", mmap_mode="r") for m in Modality}
        boxes = np.array([[np.nan if v is None else v for v in row] for row in facts["boxes"]], np.float64)
        clips.append(Clip(facts["name"], Stored(images), boxes))
    return clips


def _render(clip: Clip, frames: int, place: Path) -> dict[str, Any]:
    place.mkdir(parents=True, exist_ok=True)
    shown = [clip.frames[i] for i in range(frames)]
    for sensor in Modality:
        with replacing(place / f"{sensor}.npy") as partial:
            np.save(partial, np.stack([frame.images[sensor] for frame in shown]))
    assert clip.boxes is not None
    boxes = [[None if np.isnan(v) else float(v) for v in row] for row in clip.boxes[:frames]]
    facts = {"name": clip.name, "attributes": sorted(clip.attributes), "boxes": boxes}
    write_json(place / "clip.json", facts)  # last: where it is, the images are
    return facts
