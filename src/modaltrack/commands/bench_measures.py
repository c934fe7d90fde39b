# SPDX-License-Identifier: Apache-2.0
"""What ``modaltrack bench`` measures: parts of a step, a tracker from files to boxes, many targets in one frame."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

    from modaltrack.frame import Clip
    from modaltrack.models.model import Model
    from modaltrack.session import Engine

WIDEST = 640  # pixels that scenes are rendered at; larger images are these enlarged
WARM_UP = 3  # frames that no rate counts


def rendered_clip(length: int, height: int, width: int) -> Clip:
    """A rendered clip in a size of one's choice."""
    import cv2

    from modaltrack import scenes

    scale = max(1, -(-width // WIDEST))
    made = scenes.clip(0, length=length, size=(height // scale, width // scale), hard=False)
    if scale == 1:
        return made
    assert made.boxes is not None
    frames = [
        replace(
            f, images={m: cv2.resize(i, (width, height), interpolation=cv2.INTER_LINEAR) for m, i in f.images.items()}
        )
        for f in made.frames
    ]
    return replace(made, frames=frames, boxes=made.boxes * scale)


def write_clip(clip: Clip, pair: tuple[Any, ...], folder: Path) -> dict[Any, str]:
    from modaltrack.sinks import VideoWriter

    files = {m: folder / f"{m}.mp4" for m in pair}
    writers = {m: VideoWriter(path, clip.fps) for m, path in files.items()}
    for frame in clip.frames:
        for modality, writer in writers.items():
            writer.write(frame.images[modality], frame.time)
    for writer in writers.values():
        writer.close()
    return {m: str(path) for m, path in files.items()}


def end_to_end(engine: Engine, clip: Clip, files: Mapping[Any, str]) -> tuple[float, float]:
    """Seconds per frame of the tracker alone, and from the files to the box, without drawing."""
    from modaltrack.session import Job, Opened, Session
    from modaltrack.sources import open_clip

    assert clip.boxes is not None
    opened = Opened(open_clip(files), clip.boxes[0])
    session = Session(engine, [Job("bench", lambda: opened)])
    began, before = time.perf_counter(), 0.0
    for row in session:
        if row.index == WARM_UP - 1:  # the first frames warm caches and kernels up
            began, before = time.perf_counter(), session.clock.tracker
    count = session.clock.frames - WARM_UP
    return (session.clock.tracker - before) / count, (time.perf_counter() - began) / count


def many_targets(model: Model, clip: Clip, sensors: tuple[Any, ...], count: int, repeats: int) -> tuple[float, float]:
    """Median seconds of a step for each target, with one in the frame and with ``count``, in turns.

    Without second looks, which depend on what is seen.
    """
    import numpy as np

    from modaltrack.frame import Frame
    from modaltrack.tracking import Policy, start, step

    assert clip.boxes is not None
    frame = Frame({m: clip.frames[0].images[m] for m in sensors})
    policy = Policy.of(model, second_look=1.0, redetect=0)
    shift = np.random.default_rng(0).uniform(-0.5, 0.5, (count, 2)) * clip.boxes[0][2:]
    boxes = np.concatenate([clip.boxes[0][:2] + shift, np.tile(clip.boxes[0][2:], (count, 1))], 1)
    states = [start(model, frame, boxes[:1]), start(model, frame, boxes)]
    seconds: list[list[float]] = [[], []]
    for _ in range(repeats + 1):
        for state, found in zip(states, seconds):
            began = time.perf_counter()
            step(model, state, frame, policy)
            found.append((time.perf_counter() - began) / len(state.box))
    return statistics.median(seconds[0][1:]), statistics.median(seconds[1][1:])


def decoding(files: dict[Any, str]) -> float:
    """Seconds per frame of reading both files and nothing else."""
    from modaltrack.sources import open_clip

    began = time.perf_counter()
    count = sum(1 for _ in open_clip(files))
    return (time.perf_counter() - began) / count


def parts(model: Model, clip: Clip, pair: tuple[Any, ...], repeats: int, device: torch.device) -> dict[str, float]:
    """Median seconds of crop, model and decoding of the box."""
    import torch

    from modaltrack import vision
    from modaltrack.tracking.look import cut_crops

    config, frame = model.config, clip.frames[0]
    assert clip.boxes is not None
    around = vision.with_context(clip.boxes[0], model.crop_context)

    def crops(size: int, factor: float, pixels: bool = False) -> dict[Any, Any]:
        return {m: cut_crops([frame.images[m]], around[None], factor, size, device, pixels=pixels) for m in pair}

    def searched() -> dict[Any, Any]:
        return crops(config.search_size, config.search_factor, model.takes_pixels)

    template, search = crops(config.template_size, config.template_factor), searched()
    with torch.inference_mode():
        prediction = model(template, search)
        window = vision.hann_window(prediction.score_map.shape[-1], device)
        resize = config.search_size / vision.crop_side(around, config.search_factor)

        def to_box() -> object:
            boxes, _ = vision.decode(prediction.score_map * window, prediction.size_map, prediction.offset_map)
            return vision.box_from_crop(boxes[0].cpu().numpy(), around, resize, config.search_size)

        return {
            "crop and normalise": median(searched, repeats, device),
            "model": median(lambda: model(template, search), repeats, device),
            "decode box": median(to_box, repeats, device),
        }


def base(batch: int, repeats: int, device: torch.device, pair: tuple[Any, ...]) -> float:
    """Median seconds of one forward pass of SDSTrack base with ``batch`` targets."""
    import torch

    from modaltrack import models

    model = models.create("sdstrack-base").eval().to(device)
    config = model.config
    template = {m: torch.randn(batch, 3, config.template_size, config.template_size, device=device) for m in pair}
    search = {m: torch.randn(batch, 3, config.search_size, config.search_size, device=device) for m in pair}
    with torch.inference_mode():
        return median(lambda: model(template, search), repeats, device)


def median(work: Callable[[], object], repeats: int, device: torch.device) -> float:
    """Median seconds of ``work`` after one warm-up, waiting for the device each time."""
    import torch

    seconds = []
    for _ in range(repeats + 1):
        began = time.perf_counter()
        work()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        elif device.type == "mps":
            torch.mps.synchronize()
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds[1:])
