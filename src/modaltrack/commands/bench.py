# SPDX-License-Identifier: Apache-2.0
"""``modaltrack bench``: how fast this machine is, part by part, with the conditions printed beside the numbers."""

from __future__ import annotations

import statistics
import tempfile
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from tyro.conf import arg

from modaltrack.commands.terminal import out, table

if TYPE_CHECKING:
    from modaltrack.frame import Clip
    from modaltrack.models.model import Model

Contender = tuple[str, Callable[[], Any], dict[Any, str]]  # name, what makes its engine, its files


MOST_FRAMES = 10_000  # of the rendered clip, which is held in memory


@dataclass
class Options:
    """Measure frames per second: the model alone; crop, model and box; end to end from files; other trackers beside it.

    All of them in turns, round after round; medians over the rounds. RGB and thermal (RGB alone for models of one
    sensor) as H.264 files of rendered pixels. The load of the machine is printed beside the numbers.
    """

    device: str = "auto"
    """auto, cpu, cuda, cuda:1, mps."""
    threads: int = 0
    """Threads of every runtime; 0 leaves torch's choice."""
    frames: int = 60
    """Frames of the clip and repetitions of the small parts."""
    rounds: int = 3
    """How often everything is measured, in turns."""
    size: Annotated[str, arg(metavar="WIDTHxHEIGHT")] = "640x480"
    """Pixels of the images."""
    model: str = "modaltrack-laptop"
    """The model measured end to end: a name, a weights file or an exported file."""
    runtime: Literal["", "torch", "onnx", "openvino", "auto"] = ""
    """As in 'track'."""
    precision: Literal["", "fp32", "fp16", "bf16", "int8"] = ""
    """As in 'track'."""
    targets: int = 0
    """Also measure so many targets in one frame, against one."""
    against: Literal["", "opencv"] = ""
    """opencv: CSRT and KCF on the RGB images of the same clip, where this OpenCV has them."""
    nanotrack: Annotated[Path | None, arg(metavar="FILE")] = None
    """NanoTrack on the RGB images: imported weights, or for OpenCV version 2's backbone.onnx beside its head.onnx."""
    base: bool = True
    """Also measure SDSTrack base (random weights; a minute on two cores)."""
    json: Annotated[Path | None, arg(metavar="FILE")] = None
    """Write the numbers here, too."""


def run(options: Options) -> int:
    """Measure and print; -> 0."""
    import torch

    from modaltrack.commands import bench_measures as measures
    from modaltrack.frame import Modality
    from modaltrack.models.model import placed
    from modaltrack.runtime import load_model
    from modaltrack.sinks import write_json

    height, width = checked(options)
    if options.threads:
        torch.set_num_threads(options.threads)
    others = contenders(options)
    model = load_model(options.model, options.device, options.runtime, options.precision)
    device = placed(model)[0]
    single = model.one_sensor or Modality.THERMAL not in model.config.modalities
    pair = (Modality.RGB,) if single else (Modality.RGB, Modality.THERMAL)
    facts = conditions(options, model, pair)
    console = out()
    console.print(", ".join(f"{name} {value}" for name, value in facts.items()), markup=False)
    found: dict[tuple[str, str], list[float]] = defaultdict(list)
    with tempfile.TemporaryDirectory() as folder:
        clip = measures.rendered_clip(options.frames, height, width)
        measure(options, model, clip, pair, Path(folder), others, found)
    if options.targets:
        one, many = measures.many_targets(model, clip, pair, options.targets, 2 * options.rounds)
        found[options.model, "step, one target"].append(one)
        found[options.model, f"step, {options.targets} targets, each"].append(many)
    for batch, repeats in ((1, 7), (8, 3)) if options.base else ():
        seconds = measures.base(batch, repeats, device, (Modality.RGB, Modality.THERMAL)) / batch
        found["sdstrack-base, random weights", f"model, batch {batch}"].append(seconds)
    facts["other load at the end"] = other_load()
    rows: list[dict[str, Any]] = [
        {"tracker": tracker, "part": part, "ms": 1000 * s, "fps": 1 / s, "rounds": len(seconds)}
        for (tracker, part), seconds in found.items()
        if (s := statistics.median(seconds))
    ]
    shown = table("frames per second", "tracker", "part", ">ms per frame", ">frames/s")
    for row in rows:
        shown.add_row(row["tracker"], row["part"], f"{row['ms']:.2f}", f"{row['fps']:.1f}")
    console.print(shown)
    for line in remarks(rows, facts, options.model):
        console.print(line, markup=False)
    if options.json:
        write_json(options.json, {"conditions": facts, "rows": rows})
    return 0


def checked(options: Options) -> tuple[int, int]:
    """(height, width) of the images; ValueError for options that cannot be measured."""
    from modaltrack.commands.track_options import parse_size

    if not 6 <= options.frames <= MOST_FRAMES or options.threads < 0 or options.rounds < 1 or options.targets < 0:
        raise ValueError(
            f"--frames is {options.frames}, --threads {options.threads}, --rounds {options.rounds} and --targets "
            f"{options.targets}; give 6 to {MOST_FRAMES:,} frames, at least 1 round, and no negative number."
        )
    try:
        size = parse_size(options.size)
    except ValueError:
        size = None
    if size is None or not (min(size) >= 128 and max(size) <= 8192):
        raise ValueError(f"--size is {options.size!r}; give WIDTHxHEIGHT of 128 to 8192 pixels, for example 1280x720.")
    return size[0] // 2 * 2, size[1] // 2 * 2  # video files have even sides


def conditions(options: Options, model: Model, sensors: tuple[Any, ...]) -> dict[str, Any]:
    """What a number means nothing without."""
    import platform

    import torch

    from modaltrack.models.model import placed

    device, kind = placed(model)
    return {
        "device": str(device),
        "machine": platform.machine(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "runtime": model.card.get("runtime") or options.runtime or "torch, or the file's",
        "precision": options.precision or str(kind).removeprefix("torch."),
        "batch": 1,
        "image": options.size,
        "search": model.config.search_size,
        "sensors": "+".join(sensors),
        "other load": other_load(),
    }


def measure(
    options: Options,
    model: Model,
    clip: Clip,
    sensors: tuple[Any, ...],
    folder: Path,
    others: list[tuple[str, Callable[[], Any]]],
    found: dict[tuple[str, str], list[float]],
) -> None:
    """Fill ``found``, (tracker, part) -> seconds of each round: every part of every tracker once a round."""
    from modaltrack.commands import bench_measures as measures
    from modaltrack.frame import Modality
    from modaltrack.models.model import placed
    from modaltrack.tracking import ModelEngine

    files = measures.write_clip(clip, sensors, folder)
    rgb = {Modality.RGB: files[Modality.RGB]}
    racing: list[Contender] = [(options.model, lambda: ModelEngine(model), files)]
    racing += [(name, make, rgb) for name, make in others]
    for number in range(options.rounds):
        found[" + ".join(sensors), "decode"].append(measures.decoding(files))
        for part, seconds in measures.parts(model, clip, sensors, options.frames, placed(model)[0]).items():
            found[options.model, part].append(seconds)
        for name, make, seen in racing:
            step, whole = measures.end_to_end(make(), clip, seen)
            found[name, "crop + model + box"].append(step)
            found[name, "end to end"].append(whole)
        out().print(f"round {number + 1} of {options.rounds} done", markup=False)


def contenders(options: Options) -> list[tuple[str, Callable[[], Any]]]:
    """Trackers to measure beside the model: name, what makes its engine. What OpenCV lacks is said and left out."""
    from modaltrack.evaluation.adapters import CSRT, KCF, ForeignEngine, opencv_nanotrack
    from modaltrack.runtime import load_model
    from modaltrack.tracking import ModelEngine

    found: list[tuple[str, Callable[[], Any]]] = []
    for kind in (CSRT, KCF) if options.against == "opencv" else ():
        try:
            kind.check()
        except ValueError as error:  # an OpenCV without it
            out().print(f"OpenCV {kind.kind} is left out: {error}", markup=False)
            continue
        found.append((f"OpenCV {kind.kind}", lambda kind=kind: ForeignEngine(kind)))  # type: ignore[misc]
    if options.nanotrack and options.nanotrack.suffix == ".onnx":
        factory = opencv_nanotrack(options.nanotrack)
        ForeignEngine(factory)  # checks it on a blank image: what OpenCV cannot run is said before anything is measured
        found.append(("OpenCV NanoTrack", lambda: ForeignEngine(factory)))
    elif options.nanotrack:
        precision = options.precision
        if precision == "int8":
            precision = "bf16" if options.runtime == "openvino" else "fp32"
            out().print(f"NanoTrack has no large matrix product, which int8 makes faster; it runs in {precision}.")
        nano = load_model(options.nanotrack, options.device, options.runtime, precision)
        found.append((options.nanotrack.stem, lambda: ModelEngine(nano)))
    return found


def other_load() -> str:
    """What the machine had to do in the last minute, as processes that want a core, of how many cores."""
    import os

    return f"{os.getloadavg()[0]:.1f} of {os.cpu_count()} cores" if hasattr(os, "getloadavg") else "unknown"


def remarks(rows: list[dict[str, Any]], facts: dict[str, Any], model: str) -> list[str]:
    """How the numbers stand to one another."""
    fps = {(row["tracker"], row["part"]): row["fps"] for row in rows}
    share = fps[model, "end to end"] / fps[model, "model"]
    lines = [f"end to end: {share:.2f} of the rate of the model alone; decoding runs in threads beside the model"]
    many = next((row for row in rows if row["part"].endswith("targets, each")), None)
    if many is not None:
        share = fps[model, "step, one target"] / many["fps"]
        lines.append(f"{many['part'].removeprefix('step, ')}: {share:.2f} of the time of one alone")
    if any(row["tracker"].startswith("OpenCV") for row in rows):
        lines.append("OpenCV's trackers see RGB alone; a tracker that has lost its target may be fast for that reason")
    lines.append(f"other load: {facts['other load']} at the start, {facts['other load at the end']} at the end")
    return lines
