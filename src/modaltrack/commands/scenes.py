# SPDX-License-Identifier: Apache-2.0
"""``modaltrack scenes``: look at the world the weights were trained on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from modaltrack.frame import Clip, Frame, Modality

SIZE = (240, 320)  # height, width of the rendered images


@dataclass
class Options:
    """Render clips of the synthetic world: a contact sheet (one clip a row, its sensors side by side) and a video."""

    seed: int = 0
    """The first clip's seed; the next rows count on from it."""
    clips: int = 4
    """Rows of the sheet, alternately easy and hard."""
    length: int = 60
    """Frames of each clip."""
    out: Path = Path("modaltrack-scenes")
    """Folder for sheet.png and video.mp4."""


def run(options: Options) -> int:
    """Write the sheet and the video; -> 0."""
    import cv2
    import numpy as np

    from modaltrack.commands.terminal import out, progress
    from modaltrack.files import prepare_folder, write_file
    from modaltrack.frame import Status
    from modaltrack.scenes import clip as render
    from modaltrack.scenes.sensors import RENDERED
    from modaltrack.sinks import AnnotatedVideo, DrawnTarget

    if options.clips < 1 or options.length < 2:
        raise ValueError("--clips must be at least 1 and --length at least 2.")
    folder = prepare_folder(options.out)
    console, rows = out(), []
    with progress() as bar, AnnotatedVideo(folder / "video.mp4", RENDERED) as video:
        task = bar.add_task("rendering", total=options.clips * options.length, facts="")
        for number in range(options.clips):
            clip = render(options.seed + number, length=options.length, size=SIZE, hard=number % 2 == 1)
            assert clip.boxes is not None, "a rendered clip has ground truth"
            for frame in clip.frames:
                nothing = DrawnTarget(np.full(4, np.nan), float("nan"), Status.TRACKING, clip.boxes[frame.index])
                # the clips follow one another in one film: each frame at the next free time
                video.write(_without_time(frame), [nothing], clip.name)
                bar.advance(task)
                if frame.index == options.length // 2:
                    rows.append(_row(frame.images, RENDERED, clip, frame.index))
            console.print(f"{clip.name}: {', '.join(sorted(clip.attributes)) or 'no attributes'}")
    sheet = np.concatenate(rows, axis=0)
    _, data = cv2.imencode(".png", cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR))
    write_file(folder / "sheet.png", data.tobytes())  # imwrite says nothing of a full disk
    console.print(f"Wrote {folder / 'sheet.png'}, {folder / 'video.mp4'}")
    return 0


def _without_time(frame: Frame) -> Frame:
    from dataclasses import replace

    return replace(frame, time=float("nan"))


def _row(
    images: Mapping[Modality, NDArray[np.uint8]], order: tuple[Modality, ...], clip: Clip, index: int
) -> NDArray[np.uint8]:
    """One line of the sheet: the sensors side by side with the target's box."""
    import numpy as np

    from modaltrack.sinks.picture import TRUTH_COLOUR, rectangle

    panels = []
    for modality in order:
        image = images.get(modality)
        panel = np.zeros((*SIZE, 3), np.uint8) if image is None else image.copy()
        assert clip.boxes is not None
        if np.isfinite(clip.boxes[index]).all():
            rectangle(panel, clip.boxes[index], TRUTH_COLOUR, 1)
        panels.append(panel)
    return np.concatenate(panels, axis=1)
