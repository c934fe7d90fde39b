# SPDX-License-Identifier: Apache-2.0
"""``modaltrack bench``: how fast this machine is, part by part, with the conditions printed beside the numbers."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modaltrack.commands.terminal import out, progress, table

if TYPE_CHECKING:
    from modaltrack.frame import Clip, Frame
    from modaltrack.models.model import Model

SIZE = (480, 640)  # height, width of the rendered images: what cameras deliver


@dataclass
class Options:
    """Measure frames per second: the tiny model end to end and split by part, SDSTrack base at batch 1 and 8.

    Medians after a warm-up. Two sensors (RGB and thermal), H.264 files, 640x480.
    """

    device: str = "auto"
    """auto, cpu, cuda, cuda:1, mps."""
    threads: int = 0
    """Torch threads; 0 leaves torch's choice."""
    frames: int = 60
    """Frames of the clip and repetitions of the small parts."""
    model: str = "modaltrack-laptop"
    """The model measured end to end: a name or a weights file."""
    base: bool = True
    """Also measure SDSTrack base (random weights; a minute on two cores)."""


def run(options: Options) -> int:
    """Measure and print; -> 0."""
    import torch

    from modaltrack import models, scenes
    from modaltrack.frame import Modality
    from modaltrack.models.model import placed

    if options.frames < 4 or options.threads < 0:
        raise ValueError("--frames must be at least 4 and --threads at least 0.")
    if options.threads:
        torch.set_num_threads(options.threads)
    console = out()
    with progress() as bar, tempfile.TemporaryDirectory() as folder:
        task = bar.add_task("rendering", total=None, facts="")
        model = models.load_model(options.model, device=options.device)
        device, kind = placed(model)
        clip = scenes.clip(0, length=options.frames, size=SIZE, hard=False)
        pair = (Modality.RGB, Modality.THERMAL)
        files = _write_clip(clip, pair, Path(folder))
        bar.update(task, description="measuring end to end")
        whole, decode = _end_to_end(model, clip, files), _decoding(files)
        bar.update(task, description="measuring the parts")
        parts = _parts(model, clip, pair, options.frames, device)
        base = []
        if options.base:
            for batch, repeats in ((1, 7), (8, 3)):
                bar.update(task, description=f"measuring SDSTrack base, batch {batch}")
                base.append((batch, _base(batch, repeats, device, pair)))

    console.print(
        f"device {device}, {torch.get_num_threads()} threads, torch {torch.__version__}, "
        f"precision {kind}, images {SIZE[1]}x{SIZE[0]}, sensors {' + '.join(pair)}".replace("torch.", "")
    )
    rows = table(
        f"{options.model}, batch 1, search {model.config.search_size} px", "part", ">ms per frame", ">frames/s"
    )
    for name, seconds in [("decode both files", decode), *parts.items(), ("end to end", whole)]:
        rows.add_row(name, f"{1000 * seconds:.2f}", f"{1 / seconds:.1f}")
    console.print(rows)
    console.print(
        "Decoding runs in threads beside the model, so the end-to-end time is less than the sum of the parts."
    )
    if base:
        rows = table("sdstrack-base, random weights, model only, search 256 px", "batch", ">ms per frame", ">frames/s")
        for batch, seconds in base:
            rows.add_row(str(batch), f"{1000 * seconds / batch:.1f}", f"{batch / seconds:.2f}")
        console.print(rows)
    return 0


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


def _end_to_end(model: Model, clip: Clip, files: dict[Any, str]) -> float:
    """Seconds per frame from the files to the box, without drawing."""
    from modaltrack.session import Job, Opened, Session
    from modaltrack.sources import open_clip
    from modaltrack.tracking import ModelEngine

    assert clip.boxes is not None
    opened = Opened(open_clip(files), clip.boxes[0])
    session = Session(ModelEngine(model), [Job("bench", lambda: opened)])
    began = time.perf_counter()
    for row in session:
        if row.index == 2:  # the first frames warm caches and kernels up
            began = time.perf_counter()
    return (time.perf_counter() - began) / (session.clock.frames - 3)


def _decoding(files: dict[Any, str]) -> float:
    """Seconds per frame of reading both files and nothing else."""
    from modaltrack.sources import open_clip

    began = time.perf_counter()
    count = sum(1 for _ in open_clip(files))
    return (time.perf_counter() - began) / count


def _parts(model: Model, clip: Clip, pair: tuple[Any, ...], repeats: int, device: Any) -> dict[str, float]:
    """Median seconds of crop, model and decoding of the box."""
    import torch

    from modaltrack import vision

    config, frame = model.config, clip.frames[0]
    assert clip.boxes is not None
    box = clip.boxes[0]

    def crops(size: int, factor: float) -> dict[Any, Any]:
        return {m: _crop(frame, m, box, factor, size).to(device) for m in pair}

    template, search = (
        crops(config.template_size, config.template_factor),
        crops(config.search_size, config.search_factor),
    )
    with torch.inference_mode():
        prediction = model(template, search)
        window = vision.hann_window(prediction.score_map.shape[-1], device)
        resize = config.search_size / vision.crop_side(box, config.search_factor)

        def to_box() -> Any:
            boxes, _ = vision.decode(prediction.score_map * window, prediction.size_map, prediction.offset_map)
            return vision.box_from_crop(boxes[0].cpu().numpy(), box, resize, config.search_size)

        return {
            "crop both, normalise": median(lambda: crops(config.search_size, config.search_factor), repeats, device),
            "model": median(lambda: model(template, search), repeats, device),
            "decode box": median(to_box, repeats, device),
        }


def _crop(frame: Frame, modality: Any, box: Any, factor: float, size: int) -> Any:
    from modaltrack import vision

    return vision.normalise(vision.to_tensor(vision.crop(frame.images[modality], box, factor, size)[0][None]))


def _base(batch: int, repeats: int, device: Any, pair: tuple[Any, ...]) -> float:
    """Median seconds of one forward pass of SDSTrack base with ``batch`` targets."""
    import torch

    from modaltrack import models

    model = models.create("sdstrack-base").eval().to(device)
    config = model.config
    template = {m: torch.randn(batch, 3, config.template_size, config.template_size, device=device) for m in pair}
    search = {m: torch.randn(batch, 3, config.search_size, config.search_size, device=device) for m in pair}
    with torch.inference_mode():
        return median(lambda: model(template, search), repeats, device)


def median(work: Callable[[], Any], repeats: int, device: Any) -> float:
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
