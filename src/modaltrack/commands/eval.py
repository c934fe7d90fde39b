# SPDX-License-Identifier: Apache-2.0
"""``modaltrack eval``: a tracker through a whole benchmark."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from tyro.conf import arg

if TYPE_CHECKING:
    from modaltrack.evaluation import Outcome, TrackerSpec


@dataclass
class Options:
    """Run a tracker on every sequence of a benchmark and write its boxes in the community's layout.

    Sequences that are finished are skipped, so that the same command again goes on where it was stopped. A sequence
    that breaks is recorded in run.json and the rest is finished; the exit code is then 1. Two benchmarks need no
    download: 'scenes' (rendered) and 'folder' (--data ROOT, one folder per sequence with rgb/, thermal/ ... boxes.txt).
    """

    benchmark: Annotated[str, arg(metavar="NAME")]
    """A name from 'modaltrack data list', scenes, or folder."""
    model: Annotated[str, arg(metavar="NAME|PATH")] = ""
    """A name from 'modaltrack models' or a weights file."""
    tracker: Annotated[str, arg(metavar="MODULE:CLASS")] = ""
    """Any other tracker with init(image, box) and update(image), e.g. modaltrack.evaluation.adapters:MIL."""
    images: Literal["", "mapping", "rgb", "bgr", "stacked"] = ""
    """With --tracker: how it wants its images; by default what its class says, else a mapping."""
    data: Annotated[str, arg(metavar="PATH")] = ""
    """Where the benchmark lies."""
    out: Path = Path("modaltrack-results")
    """Results go to OUT/<tracker>/<benchmark>/."""
    name: str = ""
    """The tracker's name in results and reports; by default the model's or the class's."""
    batch: int = 8
    """Sequences that run through one network in lock-step."""
    workers: int = 0
    """Sequences whose images are decoded at one time, ahead of the network; 0: as many as the machine has cores."""
    sensors: Annotated[str, arg(metavar="A,B")] = ""
    """Show these sensors only, e.g. rgb,thermal."""
    only: Annotated[str, arg(metavar="A,B")] = ""
    """Run these sequences only."""
    clips: int = 40
    """With scenes: how many clips."""
    length: int = 60
    """With scenes: frames of each."""
    device: str = "auto"
    """auto, cpu, cuda, cuda:1, mps."""
    runtime: Literal["", "torch", "onnx", "openvino", "auto"] = ""
    """auto: the fastest that is installed and exact; by default torch, and for an exported file that of its kind."""
    precision: Literal["", "fp32", "fp16", "bf16", "int8"] = ""
    """Of the arithmetic; by default fp32, and for an exported file its own."""
    missing: Annotated[str, arg(metavar="FILE|PATTERN:RATE")] = ""
    """Take one sensor of two away by plan: a published file of masks, or random, switched, prolonged, rgb or thermal
    with a rate, e.g. random:0.3."""
    streaming: Literal["", "e-lae", "vot-realtime"] = ""
    """Latency counts: frames arrive by the clock, and those that the tracker is too slow for it never sees."""
    step_times: Annotated[str, arg(metavar="SECONDS|FOLDER")] = ""
    """With --streaming: step times instead of measured ones: a number, or an earlier run's folder with its times."""
    executor: Literal["local", "ray"] = "local"
    """ray spreads groups of sequences over a cluster (pip install 'modaltrack[ray]')."""
    ray_address: str = ""
    """Address of a running Ray cluster; by default one is started on this machine."""
    ray_workers: int = 0
    """Workers on the cluster; 0: one per GPU, or per core."""


def run(options: Options) -> int:
    """Evaluate; -> 0, or 1 when a sequence broke."""
    from modaltrack.commands.outputs import versions
    from modaltrack.commands.terminal import out, progress
    from modaltrack.evaluation import BenchmarkSpec, Streaming, evaluate, load_engine, load_tasks

    tracker = _tracker(options)
    if options.step_times and not options.streaming:
        raise ValueError("--step-times belongs to --streaming; pass --streaming e-lae or vot-realtime.")
    streaming = Streaming(options.streaming, options.step_times) if options.streaming else None
    sensors = tuple(s.strip() for s in options.sensors.split(",") if s.strip())
    if options.clips < 2 or options.length < 2:
        raise ValueError(f"--clips is {options.clips} and --length {options.length}; give at least 2 of each.")
    engine = load_engine(tracker) if options.executor == "local" or options.model else None
    card = getattr(engine, "card", {})
    spec = BenchmarkSpec(
        options.benchmark,
        options.data,
        sensors,
        tuple(sorted((str(m), str(name)) for m, name in (card.get("encodings") or {}).items())),
        options.clips,
        options.length,
        options.missing,
    )
    tasks = load_tasks(spec)
    if options.only:
        wanted = [name.strip() for name in options.only.split(",")]
        if unknown := [name for name in wanted if name not in {task.name for task in tasks}]:
            raise ValueError(f"The benchmark {options.benchmark} has no sequence {unknown[0]!r}; check --only.")
        tasks = [task for task in tasks if task.name in wanted]
    with progress() as bar:
        line = bar.add_task(
            f"{tracker.name} on {spec.name}", total=sum(t.length for t in tasks) or None, facts="frames"
        )
        outcome = evaluate(
            tracker,
            spec,
            tasks,
            options.out,
            batch=options.batch,
            workers=options.workers or os.cpu_count() or 1,
            executor=options.executor,
            address=options.ray_address,
            ray_workers=options.ray_workers,
            versions=versions(),
            engine=engine if options.executor == "local" else None,
            progress=lambda frames: bar.advance(line, frames),
            streaming=streaming,
        )
    console = out()
    console.print(summary(outcome), markup=False)
    if not outcome.failures:
        for step in next_steps(options, outcome.folder):
            console.print(step, markup=False)
    return 1 if outcome.failures else 0


def next_steps(options: Options, folder: Path) -> list[str]:
    """The first score of a finished run, and the commands that say more."""
    words = ["--benchmark", options.benchmark, *(["--data", options.data] if options.data else [])]
    if options.only:
        return [f"Some sequences only: 'modaltrack score {folder} {' '.join(words)} --missing skip' scores them."]
    try:
        score = _score(options, folder)
    except ValueError as error:  # a protocol without a truth here, or none at all: the boxes are written all the same
        score = f"no score yet: {error}"
    said = f"modaltrack score {folder} {' '.join(words)}"
    return [score, f"Next: '{said}' with intervals; 'modaltrack report {folder} {' '.join(words)}' makes a page."]


def _score(options: Options, folder: Path) -> str:
    from modaltrack.commands.result_source import matched, read_named
    from modaltrack.scoring.engine import score
    from modaltrack.truth.source import find_protocol, read_truths

    protocol = find_protocol(options.benchmark)
    truths = read_truths(protocol, Path(options.data) if options.data else None, None, None, None, [folder])
    report = score(protocol, truths, matched(read_named(folder, protocol), truths).sequences, False)
    scores = ", ".join(f"{name} {value:.4f}" for name, value in report.scores.items())
    return f"{scores} on {report.num_sequences} sequences by {report.protocol}, {report.version}"


def _tracker(options: Options) -> TrackerSpec:
    from modaltrack.evaluation import TrackerSpec

    if bool(options.model) == bool(options.tracker):
        raise ValueError("Give one of --model NAME and --tracker module:Class; 'modaltrack models' lists the models.")
    if options.images and not options.tracker:
        raise ValueError("--images belongs to --tracker; models of this package take every sensor by name.")
    name = options.name or (_stem(options.model) or options.tracker.partition(":")[2])
    return TrackerSpec(
        name, options.model, options.tracker, options.images, options.device, options.runtime, options.precision
    )


def _stem(model: str) -> str:
    """A folder's name for a model: late:folder/x.safetensors -> late-x."""
    late, colon, rest = model.rpartition(":") if model.startswith("late:") else ("", "", model)
    return late + colon.replace(":", "-") + (Path(rest).stem if rest.endswith(".safetensors") else rest)


def summary(outcome: Outcome) -> str:
    """What happened, in a few lines."""
    lines = [
        f"{len(outcome.done)} sequences done, {len(outcome.skipped)} were finished before, "
        f"{len(outcome.failures)} broke"
    ]
    lines += [f"  {f.name}, {'opening' if f.frame < 0 else f'frame {f.frame}'}: {f.error}" for f in outcome.failures]
    tracker, whole = (outcome.speed.get(f"frames_per_second_{what}") for what in ("tracker", "end_to_end"))
    if tracker and whole:
        lines.append(f"{tracker:.1f} frames/s in the tracker alone, {whole:.1f} from files to files")
    if outcome.streaming:
        means = outcome.streaming
        lines.append(
            f"with latency: success {means['success']:.3f}, precision at 20 px {means['precision']:.3f}; "
            f"{means['seen']:.0%} of the frames were seen"
        )
    if outcome.presence:
        lines.append(presence_words(outcome.presence))
    lines.append(f"Wrote {outcome.folder}")
    return "\n".join(lines)


def presence_words(found: Mapping[str, float | None]) -> str:
    """The measures of absence that are known, in one line."""
    names = {
        "absent": "absent frames",
        "auroc": "AUROC of the score",
        "calibration_error": "calibration error",
        "median_frames_to_lost": "frames to lost",
        "false_lost": "false lost",
        "missed_lost": "missed lost",
    }
    return "lost and found: " + ", ".join(
        f"{words} {v:g}" for k, words in names.items() if (v := found.get(k)) is not None
    )
