# SPDX-License-Identifier: Apache-2.0
"""``modaltrack bench``: how fast this machine is, part by part, with the conditions printed beside the numbers."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from tyro.conf import arg

from modaltrack.commands.terminal import out, table

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

    from modaltrack.frame import Clip, Frame, Modality
    from modaltrack.models.model import Model
    from modaltrack.session import Engine

SIZE = (480, 640)  # height, width of the rendered images: what cameras deliver


@dataclass
class Options:
    """Measure frames per second: the model alone; crop, model and box; end to end from files; other trackers beside it.

    Medians of the model alone, means of the others, after a warm-up, printed as they are found. RGB and thermal (RGB
    alone for models of one sensor) as H.264 files of 640x480 rendered pixels.
    """

    device: str = "auto"
    """auto, cpu, cuda, cuda:1, mps."""
    threads: int = 0
    """Threads of every runtime; 0 leaves torch's choice."""
    frames: int = 60
    """Frames of the clip and repetitions of the small parts."""
    model: str = "modaltrack-laptop"
    """The model measured end to end: a name, a weights file or an exported file."""
    runtime: Literal["", "torch", "onnx", "openvino", "auto"] = ""
    """As in 'track'."""
    precision: Literal["", "fp32", "fp16", "bf16", "int8"] = ""
    """As in 'track'."""
    against: Literal["", "opencv"] = ""
    """opencv: CSRT and KCF on the RGB images of the same clip, where this OpenCV has them."""
    nanotrack: Annotated[Path | None, arg(metavar="FILE")] = None
    """NanoTrack's imported weights, to be measured beside it on the RGB images."""
    base: bool = True
    """Also measure SDSTrack base (random weights; a minute on two cores)."""
    json: Annotated[Path | None, arg(metavar="FILE")] = None
    """Write the numbers here, too."""


def run(options: Options) -> int:
    """Measure and print; -> 0."""
    import torch

    from modaltrack import scenes
    from modaltrack.frame import Modality
    from modaltrack.models.model import placed
    from modaltrack.runtime import load_model
    from modaltrack.sinks import write_json
    from modaltrack.tracking import ModelEngine

    if options.frames < 4 or options.threads < 0:
        raise ValueError("--frames must be at least 4 and --threads at least 0.")
    if options.threads:
        torch.set_num_threads(options.threads)
    model = load_model(options.model, options.device, options.runtime, options.precision)
    device, kind = placed(model)
    single = model.one_sensor or Modality.THERMAL not in model.config.modalities
    pair = (Modality.RGB,) if single else (Modality.RGB, Modality.THERMAL)
    facts: dict[str, Any] = {
        "device": str(device),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "runtime": options.runtime or "torch, or the file's",
        "precision": options.precision or str(kind).removeprefix("torch."),
        "batch": 1,
        "image": f"{SIZE[1]}x{SIZE[0]}",
        "search": model.config.search_size,
        "sensors": "+".join(pair),
        "other load": other_load(),
    }
    console = out()
    console.print(", ".join(f"{name} {value}" for name, value in facts.items()), markup=False)
    rows: list[dict[str, Any]] = []

    def found(name: str, part: str, seconds: float, batch: int = 1) -> None:
        rows.append({"tracker": name, "part": part, "ms": 1000 * seconds / batch, "fps": batch / seconds})
        console.print(f"{name}: {part} {rows[-1]['ms']:.2f} ms, {rows[-1]['fps']:.1f} frames/s", markup=False)

    with tempfile.TemporaryDirectory() as folder:
        clip = scenes.clip(0, length=options.frames, size=SIZE, hard=False)
        files = _write_clip(clip, pair, Path(folder))
        found(" + ".join(pair), "decode", _decoding(files))
        for part, seconds in _parts(model, clip, pair, options.frames, device).items():
            found(options.model, part, seconds)
        rgb = {Modality.RGB: files[Modality.RGB]}
        engines = [(options.model, lambda: ModelEngine(model), files), *_others(options, rgb)]
        for name, make, seen in engines:
            try:
                step, whole = _end_to_end(make(), clip, seen)
            except ValueError as error:  # an OpenCV without it
                console.print(f"{name}: {error}", markup=False)
                continue
            found(name, "crop + model + box", step)
            found(name, "end to end", whole)
    for batch, repeats in ((1, 7), (8, 3)) if options.base else ():
        seconds = _base(batch, repeats, device, (Modality.RGB, Modality.THERMAL))
        found("sdstrack-base, random weights", f"model, batch {batch}", seconds, batch)
    facts["other load at the end"] = other_load()
    shown = table("frames per second", "tracker", "part", ">ms per frame", ">frames/s")
    for row in rows:
        shown.add_row(row["tracker"], row["part"], f"{row['ms']:.2f}", f"{row['fps']:.1f}")
    console.print(shown)
    console.print("Decoding runs in threads beside the model, so end to end is less than the sum of the parts.")
    console.print(f"other load: {facts['other load']} at the start, {facts['other load at the end']} at the end")
    if options.json:
        write_json(options.json, {"conditions": facts, "rows": rows})
    return 0


def other_load() -> str:
    """What the machine had to do in the last minute, as processes that want a core, of how many cores."""
    import os

    return f"{os.getloadavg()[0]:.1f} of {os.cpu_count()} cores" if hasattr(os, "getloadavg") else "unknown"


def _others(options: Options, rgb: dict[Any, str]) -> list[tuple[str, Callable[[], Any], dict[Any, str]]]:
    """Trackers to measure beside the model: name, what makes its engine, and its files."""
    from modaltrack.evaluation.adapters import CSRT, KCF, ForeignEngine
    from modaltrack.runtime import load_model
    from modaltrack.tracking import ModelEngine

    found: list[tuple[str, Callable[[], Any], dict[Any, str]]] = []
    if options.against == "opencv":
        found += [("OpenCV CSRT", lambda: ForeignEngine(CSRT), rgb), ("OpenCV KCF", lambda: ForeignEngine(KCF), rgb)]
    if options.nanotrack:
        nano = load_model(options.nanotrack, options.device)
        found.append((options.nanotrack.stem, lambda: ModelEngine(nano), rgb))
    return found


def _write_clip(clip: Clip, pair: tuple[Any, ...], folder: Path) -> dict[Any, str]:
    from modaltrack.sinks import VideoWriter

    files = {m: folder / f"{m}.mp4" for m in pair}
    writers = {m: VideoWriter(path, clip.fps) for m, path in files.items()}
    for frame in clip.frames:
        for modality, writer in writers.items():
            writer.write(frame.images[modality], frame.time)
    for writer in writers.values():
        writer.close()
    return {m: str(path) for m, path in files.items()}


def _end_to_end(engine: Engine, clip: Clip, files: dict[Any, str]) -> tuple[float, float]:
    """Seconds per frame of the tracker alone, and from the files to the box, without drawing."""
    from modaltrack.session import Job, Opened, Session
    from modaltrack.sources import open_clip

    assert clip.boxes is not None
    opened = Opened(open_clip(files), clip.boxes[0])
    session = Session(engine, [Job("bench", lambda: opened)])
    began, before = time.perf_counter(), 0.0
    for row in session:
        if row.index == 2:  # the first frames warm caches and kernels up
            began, before = time.perf_counter(), session.clock.tracker
    count = session.clock.frames - 3
    return (session.clock.tracker - before) / count, (time.perf_counter() - began) / count


def _decoding(files: dict[Any, str]) -> float:
    """Seconds per frame of reading both files and nothing else."""
    from modaltrack.sources import open_clip

    began = time.perf_counter()
    count = sum(1 for _ in open_clip(files))
    return (time.perf_counter() - began) / count


def _parts(model: Model, clip: Clip, pair: tuple[Any, ...], repeats: int, device: torch.device) -> dict[str, float]:
    """Median seconds of crop, model and decoding of the box."""
    import torch

    from modaltrack import vision

    config, frame = model.config, clip.frames[0]
    assert clip.boxes is not None
    box = clip.boxes[0]
    around = vision.with_context(box, model.crop_context)

    def crops(size: int, factor: float) -> dict[Any, Any]:
        return {m: _crop(frame, m, around, factor, size).to(device) for m in pair}

    template, search = (
        crops(config.template_size, config.template_factor),
        crops(config.search_size, config.search_factor),
    )
    with torch.inference_mode():
        prediction = model(template, search)
        window = vision.hann_window(prediction.score_map.shape[-1], device)
        resize = config.search_size / vision.crop_side(around, config.search_factor)

        def to_box() -> object:
            boxes, _ = vision.decode(prediction.score_map * window, prediction.size_map, prediction.offset_map)
            return vision.box_from_crop(boxes[0].cpu().numpy(), around, resize, config.search_size)

        return {
            "crop and normalise": median(lambda: crops(config.search_size, config.search_factor), repeats, device),
            "model": median(lambda: model(template, search), repeats, device),
            "decode box": median(to_box, repeats, device),
        }


def _crop(frame: Frame, modality: Modality, box: NDArray[np.float64], factor: float, size: int) -> torch.Tensor:
    from modaltrack import vision

    return vision.normalise(vision.to_tensor(vision.crop(frame.images[modality], box, factor, size)[0][None]))


def _base(batch: int, repeats: int, device: torch.device, pair: tuple[Any, ...]) -> float:
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
