# SPDX-License-Identifier: Apache-2.0
"""``modaltrack demo``: four sensors that fail one after the other, and what each one adds."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from modaltrack.commands.terminal import out, progress, table

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from modaltrack.commands.outputs import RunFolder
    from modaltrack.frame import Clip, Modality, Result

SIZE = (240, 320)  # height, width of the rendered images
RIVAL = (70, 150, 255)  # RGB of the best single sensor's box


@dataclass
class Options:
    """Render a hard clip with four sensors that fail in turn, track it and show what each sensor adds.

    Writes an annotated video (white: truth; blue: the best single sensor), boxes.txt and result.json. Needs no data and
    no network.
    """

    seed: int = 0
    """Another number is another clip."""
    length: int = 75
    """Frames of the clip."""
    out: Path = Path("modaltrack-demo")
    """Folder for the results."""
    model: str = "modaltrack-laptop"
    """A name from 'modaltrack models' or a weights file."""
    device: str = "auto"
    """auto, cpu, cuda, cuda:1, mps."""
    outages: bool = True
    """Each camera goes dark for a part of the clip, as cables and fog do; --no-outages leaves all on."""
    show: bool = False
    """Show the video in a window while it is written."""


def run(options: Options) -> int:
    """Render, track, write, print the table; -> 0."""
    from modaltrack.commands.outputs import RunFolder

    if options.length < 2:
        raise ValueError(f"--length is {options.length}; give at least 2 frames.")
    with RunFolder(options.out) as folder:
        return _demo(options, folder)


def _demo(options: Options, folder: RunFolder) -> int:
    began = time.perf_counter()
    with progress() as bar:
        task = bar.add_task("loading the model", total=None, facts="")
        import torch

        from modaltrack.commands.outputs import versions
        from modaltrack.frame import Modality
        from modaltrack.models.model import placed
        from modaltrack.runtime import load_model
        from modaltrack.session import Job, Opened, Session
        from modaltrack.tracking import ModelEngine, track_many

        if "OMP_NUM_THREADS" not in os.environ:
            torch.set_num_threads(1)  # operators this small wait for one another on busy cores
        model = load_model(options.model, device=options.device)
        bar.update(task, description="rendering the clip", total=options.length)
        available = tuple(m for m in Modality if m in model.config.modalities)
        clip = _rendered(options, available, lambda: bar.advance(task))
        assert clip.boxes is not None, "a rendered clip has ground truth"
        frames = clip.frames
        sets = sensor_sets(available)
        everything = sets[-1]
        bar.update(task, description="tracking with every sensor", completed=0, total=len(frames))
        opened = Opened(with_sensors(clip, everything).frames, clip.boxes[0])
        engine = ModelEngine(model)
        session = Session(engine, [Job(clip.name, lambda: opened)], [lambda row: bar.advance(task)], info=engine.info)
        ((result,),) = session.run()
        bar.update(task, description="and with fewer", completed=0, total=len(frames) * (len(sets) - 1))
        others = track_many(
            model, [with_sensors(clip, s) for s in sets[:-1]], progress=lambda done: bar.update(task, completed=done)
        )
        scored = [(s, score(r.boxes, clip)) for s, r in zip(sets, [*others, result], strict=True)]
        best = best_alone(scored)
        bar.update(task, description="drawing", completed=0, total=len(frames))
        rival = others[best] if best is not None else None
        seen = "" if best is None else f"blue: {sets[best][0]} alone"
        film(folder.place("video.mp4"), clip, everything, result, rival, seen, options.show, lambda: bar.advance(task))
    facts = {
        "model": model.card.get("name", options.model),
        "card": model.card,
        "clip": {"name": clip.name, "seed": options.seed, "attributes": sorted(clip.attributes)},
        "outages": options.outages,
        "scores": [{"sensors": s, "success": auc, "precision_20px": precision} for s, (auc, precision) in scored],
        "speed": session.clock.facts(),
        "versions": versions(),
    }
    files = folder.publish([result], facts)
    rate = f"{session.clock.rate or 0:.1f} frames/s in the tracker with {len(everything)} sensors on {placed(model)[0]}"
    look = what_to_look_at(clip, result, rival, "" if best is None else str(sets[best][0]), options.outages)
    _show(clip, scored, look, f"{rate}; {time.perf_counter() - began:.0f} s in all, with rendering and first imports")
    out().print("Wrote " + ", ".join(str(f) for f in files))
    return 0


def _rendered(options: Options, available: Sequence[Modality], done: Callable[[], None]) -> Clip:
    """The demo's clip, held in memory because it is tracked several times."""
    from modaltrack import scenes

    made = scenes.clip(options.seed, length=options.length, size=SIZE, hard=True)
    frames = []
    for frame in made.frames:
        frames.append(frame)
        done()
    clip = replace(made, frames=frames)
    return with_outages(clip, available) if options.outages and len(available) > 1 else clip


def _show(clip: Clip, scored: list[tuple[tuple[Modality, ...], tuple[float, float]]], look: str, speed: str) -> None:
    console = out()
    rows = table(
        f"{clip.name}: {', '.join(sorted(clip.attributes)) or 'no attributes'}", "sensors", ">success", ">precision"
    )
    for sensors, (auc, precision) in scored:
        rows.add_row(" + ".join(sensors), f"{auc:.3f}", f"{precision:.3f}")
    console.print(rows)
    console.print(look)
    console.print(speed)
    console.print(
        "success: mean over overlaps 0:0.05:1; precision: within 20 px. One clip says little: see 'modaltrack models'."
    )


def with_outages(clip: Clip, sensors: Sequence[Modality]) -> Clip:
    """The clip with each sensor dark for an equal part of it, one after the other; the first part has them all."""
    length, parts = len(clip.frames), len(sensors) + 1
    frames = []
    for index, frame in enumerate(clip.frames):
        part = index * parts // length
        dark = {sensors[part - 1]} if part else set()
        images = {m: image for m, image in frame.images.items() if m not in dark}
        frames.append(replace(frame, images=images, missing=frozenset(dark)))
    return replace(clip, frames=frames)


def best_alone(scored: Sequence[tuple[Sequence[Modality], tuple[float, float]]]) -> int | None:
    """Which row of the table is the best single sensor; None where there is one sensor only."""
    alone = [(auc, row) for row, (sensors, (auc, _)) in enumerate(scored) if len(sensors) == 1]
    return max(alone)[1] if len(alone) > 1 else None


def film(
    path: Path,
    clip: Clip,
    sensors: Sequence[Modality],
    result: Result,
    rival: Result | None,
    note: str,
    is_shown: bool,
    done: Callable[[], None],
) -> None:
    """Draw the tracked box, the true one and the rival's in blue into every sensor's picture; show them on the way."""
    import numpy as np

    from modaltrack.commands.preview import Preview
    from modaltrack.sinks import Canvas, VideoWriter, draw
    from modaltrack.sinks.drawn_result import mark_of
    from modaltrack.sinks.picture import BAR, rectangle, thickness

    assert clip.boxes is not None, "a rendered clip has ground truth"
    canvas = Canvas(tuple(sensors), *SIZE)
    height, width = canvas.panel
    with VideoWriter(path, clip.fps) as video, Preview(is_shown) as preview:
        for index, frame in enumerate(clip.frames):
            picture = draw(canvas, frame, [mark_of(result, index, clip.boxes[index])], note)
            for column, sensor in enumerate(sensors):
                if rival is not None and sensor in frame.images:
                    panel = picture[BAR : BAR + height, column * width : (column + 1) * width]
                    drawn = np.ascontiguousarray(panel)
                    rectangle(drawn, rival.boxes[index] * canvas.scale, RIVAL, max(1, thickness(height) - 1))
                    panel[:] = drawn
            video.write(picture, frame.time)
            preview.show(picture)
            done()


def what_to_look_at(clip: Clip, result: Result, rival: Result | None, sensor: str, outages: bool) -> str:
    """In one line where the sensors together are on the target and the best of them alone is off it."""
    import numpy as np

    from modaltrack.boxes import iou

    why = "Each camera goes dark for a while (grey panel). " if outages else ""
    if rival is None or clip.boxes is None:
        return f"{why}Look at the box: its colour is the status (green tracking, orange uncertain, red lost)."
    together, alone = (np.nan_to_num(iou(r.boxes, clip.boxes)) for r in (result, rival))
    rows = np.flatnonzero((together > 0.5) & (alone < 0.1))
    if len(rows):
        return (
            f"{why}Look at frame {rows[0]}: {sensor} alone (blue) has left the target, all sensors together (green) "
            f"are on it, as in {len(rows)} of {len(together)} frames."
        )
    return f"{why}Look at how close {sensor} alone (blue) stays to all sensors together (green); white is the truth."


def sensor_sets(available: Sequence[Modality]) -> list[tuple[Modality, ...]]:
    """Each sensor alone, RGB with each other, and all: the rows of the table."""
    from modaltrack.frame import Modality

    alone = [(m,) for m in available]
    pairs = [(Modality.RGB, m) for m in available if m is not Modality.RGB and Modality.RGB in available]
    whole = [tuple(available)] if len(available) > 2 else []
    return [*alone, *pairs, *whole]


def with_sensors(clip: Clip, sensors: Sequence[Modality]) -> Clip:
    """The same clip as seen with these sensors only."""
    frames = [
        replace(
            f,
            images={m: i for m, i in f.images.items() if m in sensors},
            missing=frozenset(m for m in f.missing if m in sensors),
        )
        for f in clip.frames
    ]
    return replace(clip, frames=frames)


def score(boxes: NDArray[np.float64], clip: Clip) -> tuple[float, float]:
    """Success and precision at 20 px; the first frame counts, like everywhere in the field."""
    from modaltrack.scoring import precision_at, success_auc

    assert clip.boxes is not None
    return success_auc(boxes, clip.boxes), precision_at(boxes, clip.boxes, 20)
