# SPDX-License-Identifier: Apache-2.0
"""``modaltrack demo``: a clip that no single sensor solves, and what each one adds."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from modaltrack.commands.terminal import out, progress, table

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from modaltrack.commands.outputs import RunFolder
    from modaltrack.frame import Clip, Modality

SIZE = (240, 320)  # height, width of the rendered images


@dataclass
class Options:
    """Render a hard clip with four sensors, track it with the shipped weights and show what each sensor adds.

    Writes an annotated video (white: truth), boxes.txt and result.json. Needs no data and no network.
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

        from modaltrack import scenes
        from modaltrack.commands.outputs import versions
        from modaltrack.frame import Modality
        from modaltrack.models import load_model
        from modaltrack.models.model import placed
        from modaltrack.session import Job, Opened, Session
        from modaltrack.sinks import AnnotatedVideo
        from modaltrack.tracking import ModelEngine, track_many

        if "OMP_NUM_THREADS" not in os.environ:
            torch.set_num_threads(1)  # operators this small wait for one another on busy cores
        model = load_model(options.model, device=options.device)
        bar.update(task, description="rendering the clip", total=options.length)
        made = scenes.clip(options.seed, length=options.length, size=SIZE, hard=True)
        frames = []
        for frame in made.frames:
            frames.append(frame)
            bar.advance(task)
        clip = replace(made, frames=frames)
        assert clip.boxes is not None, "a rendered clip has ground truth"

        sets = sensor_sets(tuple(m for m in Modality if m in model.config.modalities))
        everything = sets[-1]
        bar.update(task, description="tracking with every sensor", completed=0, total=len(frames))
        opened = Opened(with_sensors(clip, everything).frames, clip.boxes[0])
        engine, note = ModelEngine(model), " + ".join(everything)
        with AnnotatedVideo(folder.place("video.mp4"), everything, clip.fps, clip.boxes, note) as video:
            observers = [video.row, lambda row: bar.advance(task)]
            session = Session(engine, [Job(clip.name, lambda: opened)], observers, info=engine.info)
            ((result,),) = session.run()
        bar.update(task, description="and with fewer", completed=0, total=len(frames) * (len(sets) - 1))
        others = track_many(
            model, [with_sensors(clip, s) for s in sets[:-1]], progress=lambda done: bar.update(task, completed=done)
        )
    scored = [(s, score(r.boxes, clip)) for s, r in zip(sets, [*others, result], strict=True)]
    facts = {
        "model": model.card.get("name", options.model),
        "card": model.card,
        "clip": {"name": clip.name, "seed": options.seed, "attributes": sorted(clip.attributes)},
        "scores": [{"sensors": s, "success": auc, "precision_20px": precision} for s, (auc, precision) in scored],
        "speed": session.clock.facts(),
        "versions": versions(),
    }
    files = folder.publish([result], facts)
    rate = f"{session.clock.rate or 0:.1f} frames/s in the tracker with {len(everything)} sensors on {placed(model)[0]}"
    _show(clip, scored, f"{rate}; {time.perf_counter() - began:.0f} s in all, rendering and first imports included")
    out().print("Wrote " + ", ".join(str(f) for f in files))
    return 0


def _show(clip: Clip, scored: list[tuple[tuple[Modality, ...], tuple[float, float]]], speed: str) -> None:
    console = out()
    rows = table(
        f"{clip.name}: {', '.join(sorted(clip.attributes)) or 'no attributes'}", "sensors", ">success", ">precision"
    )
    for sensors, (auc, precision) in scored:
        rows.add_row(" + ".join(sensors), f"{auc:.3f}", f"{precision:.3f}")
    console.print(rows)
    console.print(speed)
    console.print(
        "success: mean over overlaps 0:0.05:1; precision: within 20 px. One clip says little: see 'modaltrack models'."
    )


def sensor_sets(available: Sequence[Modality]) -> list[tuple[Modality, ...]]:
    """Each sensor alone, RGB with each other, and all: the rows of the table."""
    from modaltrack.frame import Modality

    alone = [(m,) for m in available]
    pairs = [(Modality.RGB, m) for m in available if m is not Modality.RGB and Modality.RGB in available]
    whole = [tuple(available)] if len(available) > 2 else []
    return [*alone, *pairs, *whole]


def with_sensors(clip: Clip, sensors: Sequence[Modality]) -> Clip:
    """The same clip as seen with these sensors only."""
    frames = [replace(f, images={m: i for m, i in f.images.items() if m in sensors}) for f in clip.frames]
    return replace(clip, frames=frames)


def score(boxes: NDArray[np.float64], clip: Clip) -> tuple[float, float]:
    """Success and precision at 20 px; the first frame counts, like everywhere in the field."""
    from modaltrack.scoring import precision_at, success_auc

    assert clip.boxes is not None
    return success_auc(boxes, clip.boxes), precision_at(boxes, clip.boxes, 20)
