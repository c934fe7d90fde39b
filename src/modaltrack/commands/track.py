# SPDX-License-Identifier: Apache-2.0
"""``modaltrack track``: the user's own files, cameras or streams."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from itertools import chain
from typing import TYPE_CHECKING, Any

from modaltrack.commands.track_options import Asked, Options, check, parse_offsets, parse_size

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from modaltrack.commands.outputs import RunFolder
    from modaltrack.frame import Frame, Result, Row
    from modaltrack.models.model import Model
    from modaltrack.session import Clock, Latency, Session, Steering
    from modaltrack.sources.clip import ClipReader


def run(options: Options) -> int:
    """Track and write the files; -> 0, or 130 where a recording was stopped before its end."""
    from modaltrack.commands.outputs import RunFolder
    from modaltrack.commands.terminal import err, out
    from modaltrack.commands.track_sinks import opened_sinks
    from modaltrack.runtime import ExportedModel, load_model
    from modaltrack.session import Latency

    asked, latency, stop = check(options), Latency(), threading.Event()
    with ExitStack() as stack:
        observers, steering = opened_sinks(options, asked, stop, stack)
        folder = stack.enter_context(RunFolder(options.out))
        model = load_model(options.model, options.device, options.runtime, options.precision)
        if isinstance(model, ExportedModel) and model.makes_graphs:
            err().print(f"{options.runtime}: graphs are made for sensors that are new to it (some seconds), and kept.")
        clip = opened_clip(options, asked, model)
        results, session = follow(options, asked, model, clip, folder, [latency.row, *observers], stop, steering)
        complete = is_live(clip) or not session.stopped
        facts = facts_of(options, asked, model, clip, session, latency, complete)
        files = folder.publish(results, {"size": results[0].info["size"], **facts})
    console = err() if options.jsonl == "-" else out()
    console.print(summary(results, session.clock, latency))
    if asked.truth is not None:
        console.print(scores(results[0], asked.truth))
    console.print("Wrote " + ", ".join(str(f) for f in files))
    if not complete:
        of = f" of {clip.length}" if clip.length else ""
        warnings.warn(
            f"Stopped after {session.clock.frames}{of} frames; what was done is kept, and result.json says that it is "
            "not complete.",
            stacklevel=2,
        )
    return 0 if complete else 130


def facts_of(
    options: Options,
    asked: Asked,
    model: Model,
    clip: ClipReader,
    session: Session,
    latency: Latency,
    complete: bool,
) -> dict[str, Any]:
    """What ``result.json`` says of the run."""
    from modaltrack.commands.outputs import versions
    from modaltrack.models.model import placed
    from modaltrack.sources.notices import without_login

    live = {"latency_seconds": latency.facts(), "live": clip.live_facts()}
    return {
        "model": model.card.get("name", options.model),
        "card": model.card,
        "device": str(placed(model)[0]),
        "sources": {m: without_login(spec) for m, spec in asked.specs.items()},
        "complete": complete,
        "speed": session.clock.facts(),
        **{name: known for name, known in live.items() if known is not None},
        "versions": versions(),
    }


def opened_clip(options: Options, asked: Asked, model: Model) -> ClipReader:
    """The clip, encoded as the model was trained unless the user says otherwise."""
    from modaltrack.models.card import choose_encodings
    from modaltrack.sources import LivePolicy, open_clip, open_recording

    encodings = choose_encodings(model.card, asked.specs, asked.encodings)
    if options.replay is not None:
        scale = None if options.depth_scale == Options.depth_scale else options.depth_scale
        return open_recording(options.replay, options.align, encodings, scale)
    return open_clip(
        asked.specs,
        align=options.align,
        depth_scale=options.depth_scale,
        encodings=encodings,
        fps=options.fps,
        event_size=parse_size(options.event_size),
        event_unit=options.event_unit,
        offsets=parse_offsets(options.offset),
        tolerance=options.tolerance,
        policy=LivePolicy(options.late, options.stall, options.tolerance, options.reconnect),
        record=options.record,
    )


def follow(
    options: Options,
    asked: Asked,
    model: Model,
    clip: ClipReader,
    folder: RunFolder,
    pushed: Sequence[Callable[[Row], None]],
    stop: threading.Event,
    steering: Steering | None = None,
) -> tuple[list[Result], Session]:
    """Run the session with its observers: progress, and the videos that were asked for."""
    import numpy as np

    from modaltrack.boxes import check_box
    from modaltrack.commands.fused_view import FusedVideo
    from modaltrack.commands.stopping import stop_signal
    from modaltrack.commands.terminal import progress
    from modaltrack.session import Job, Opened, Session, SteeredEngine
    from modaltrack.session.steering import NOTHING
    from modaltrack.sinks import AnnotatedVideo, Behind
    from modaltrack.tracking import ModelEngine

    with ExitStack() as stack:
        first, frames = peek(stack.enter_context(closing(clip.frames(stop))))
        height, width = next(iter(first.images.values())).shape[:2]
        if steering is not None and not asked.boxes:
            boxes = NOTHING
        else:
            boxes = np.stack([check_box(box, height, width) for box in asked.boxes or [ask(first, folder.folder)]])
        stack.enter_context(stop_signal(stop))
        bar = stack.enter_context(progress())
        lengths = [n for n in (clip.length, options.max_frames) if n]
        title = "tracking (Ctrl-C ends)" if is_live(clip) else "tracking"
        task = bar.add_task(title, total=min(lengths, default=None), facts="")
        observers = [*pushed]
        if options.video:
            video = AnnotatedVideo(folder.place("video.mp4"), tuple(asked.specs), clip.fps, asked.truth)
            observers.append(stack.enter_context(Behind(video)).row)
        if options.show == "fused":
            observers.append(stack.enter_context(FusedVideo(folder.place("fused.mp4"), model, clip.fps)).row)

        def report(row: Row) -> None:
            clock = session.clock
            rate = f"{clock.frames / clock.total:.1f} frames/s" if clock.total else ""
            rate += f", {1000 * row.latency:.0f} ms from image to box" if row.frame.captured else ""
            bar.update(task, completed=clock.frames, facts=rate)

        engine, opened = ModelEngine(model), Opened(frames, boxes)
        info = {**engine.info, "size": [width, height]}
        job = Job("", lambda: opened)
        driven = engine if steering is None else SteeredEngine(engine, steering)
        session = Session(driven, [job], [*observers, report], stop=stop, max_frames=options.max_frames, info=info)
        found = session.run()
        if not found:  # stopped before the first row
            raise KeyboardInterrupt
        (results,) = found
    return results, session


def is_live(clip: ClipReader) -> bool:
    """Whether a source of the clip is a camera or a stream, which ends when the user says so."""
    return any(source.live for source in clip.sources.values())


def peek(frames: Iterator[Frame]) -> tuple[Frame, Iterator[Frame]]:
    """The first frame, and all of them."""
    first = next(frames, None)
    if first is None or not first.images:
        raise ValueError("The source has no readable first frame; check the path, or that the camera sends a picture.")
    return first, chain([first], frames)


def ask(first: Frame, folder: Path) -> NDArray[np.float64]:
    """The box from the user: drawn in a window where there is one, otherwise a ValueError that says what to pass."""
    import cv2

    from modaltrack.commands.box_input import ask_box, why_no_window
    from modaltrack.files import replacing

    image = next(iter(first.images.values()))
    reason = why_no_window()
    if not reason:
        return ask_box(image)
    picture = folder / "first-frame.png"
    with replacing(picture) as partial:
        cv2.imwrite(str(partial), cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    raise ValueError(
        f"No --box was given and no window can be opened ({reason}); pass --box x,y,w,h in pixels of the first frame, "
        f"which was written to {picture}."
    )


def summary(results: list[Result], clock: Clock, latency: Latency) -> str:
    """What happened, in a few lines."""
    from modaltrack.frame import Status

    lines = []
    for number, result in enumerate(results, start=1):
        counts = ", ".join(f"{int((result.status == s).sum())} {s.name.lower()}" for s in Status)
        lines.append((f"target {number}: " if len(results) > 1 else "") + f"{len(result.status)} frames: {counts}")
    whole = clock.frames / clock.total if clock.total else 0.0
    lines.append(f"{clock.rate or 0:.1f} frames/s in the tracker, {whole:.1f} with reading, drawing and encoding")
    if (seen := latency.facts()) is not None:
        times = ", ".join(f"{name} {1000 * seen[name]:.0f} ms" for name in ("median", "95%", "worst"))
        lines.append(f"from the arrival of an image to its boxes: {times}")
    return "\n".join(lines)


def scores(result: Result, truth: NDArray[np.float64]) -> str:
    """Success and precision of the frames that have a true box."""
    from modaltrack.scoring import mean_iou, precision_at, success_auc

    count = min(len(result.boxes), len(truth))
    short = "" if len(result.boxes) == len(truth) else f" of the first {count} frames ({len(truth)} true boxes)"
    pred, true = result.boxes[:count], truth[:count]
    return (
        f"success {success_auc(pred, true):.3f}, precision at 20 px {precision_at(pred, true):.3f}, "
        f"mean IoU {mean_iou(pred, true):.3f}{short}"
    )
