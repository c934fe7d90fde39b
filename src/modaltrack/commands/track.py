# SPDX-License-Identifier: Apache-2.0
"""``modaltrack track``: somebody's own files, cameras or streams."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from tyro.conf import UseAppendAction, arg

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from modaltrack.commands.following import Speed
    from modaltrack.frame import Frame, Modality, Result

Source = Annotated[str | None, arg(metavar="PATH|URL|INDEX")]


@dataclass
class Options:
    """Follow a target through image folders, video files, cameras, streams or event recordings.

    Give at least one source and a box in pixels of the RGB image (of the only source where there is no RGB).
    Writes video.mp4, boxes.txt (x,y,w,h per frame) and result.json. Live sources run until Ctrl-C.
    """

    rgb: Source = None
    """Visible images: a folder, a video file, a camera index, a URL."""
    thermal: Source = None
    """Thermal images, 8 or 16 bit."""
    depth: Source = None
    """Depth images, 16 bit."""
    event: Source = None
    """Event images, or a raw AEDAT4 recording."""
    box: UseAppendAction[Annotated[list[str], arg(metavar="X,Y,W,H")]] = field(default_factory=list)
    """Left, top, width, height in the first frame; repeat it for several targets."""
    model: Annotated[str, arg(metavar="NAME|PATH")] = "sdstrack-tiny"
    """A name from 'modaltrack models' or a weights file."""
    out: Path = Path("modaltrack-track")
    """Folder for the results."""
    device: str = "auto"
    """auto, cpu, cuda, cuda:1, mps."""
    align: Annotated[Path | None, arg(metavar="JSON")] = None
    """Homographies from each sensor to RGB: {"thermal": [[...], [...], [...]]}."""
    depth_scale: float = 1.0
    """Millimetres per unit of the depth images (TUM's Kinect files: 0.2)."""
    encoding: UseAppendAction[Annotated[list[str], arg(metavar="MODALITY=NAME")]] = field(default_factory=list)
    """Another encoding than the one in the model's card, e.g. thermal=thermal-16bit-minmax; repeatable."""
    fps: Annotated[float | None, arg(metavar="FLOAT")] = None
    """Frame rate of sources without time stamps."""
    truth: Annotated[Path | None, arg(metavar="FILE")] = None
    """True boxes, one row per frame: drawn into the video and scored."""
    video: bool = True
    """Write the annotated video."""
    show: Literal["fused"] | None = None
    """fused: also write fused.mp4, what a model that fuses images (tpf) sees of its search region."""
    max_frames: Annotated[int | None, arg(metavar="INT")] = None
    """Stop after so many frames."""


def run(options: Options) -> int:
    """Track and write the files; -> 0."""
    import numpy as np

    from modaltrack.boxes import check_box
    from modaltrack.commands.box_input import parse_box
    from modaltrack.commands.following import Follower, follow_frames, versions, write_outputs
    from modaltrack.commands.terminal import out, progress
    from modaltrack.files import prepare_folder
    from modaltrack.frame import Modality
    from modaltrack.sources import open_clip, read_boxes

    given = {m: getattr(options, m.value) for m in Modality}
    specs: dict[Modality, str] = {m: spec for m, spec in given.items() if spec is not None}
    if not specs:
        raise ValueError("No source was given; pass at least one of --rgb, --thermal, --depth, --event.")
    if options.max_frames is not None and options.max_frames < 1:
        raise ValueError(f"--max-frames is {options.max_frames}; give a number of at least 1.")
    boxes = [parse_box(text) for text in options.box]
    encodings = parse_encodings(options.encoding)
    truth = read_boxes(options.truth) if options.truth else None
    if truth is not None and len(boxes) > 1:
        raise ValueError(f"--truth is of one target and {len(boxes)} boxes were given; pass one --box with it.")
    folder = prepare_folder(options.out)

    from modaltrack.models import load_model

    model = load_model(options.model, device=options.device)
    clip = open_clip(
        specs,
        align=options.align,
        depth_scale=options.depth_scale,
        encodings=choose_encodings(model.card, specs, encodings),
        fps=options.fps,
    )
    first, frames = peek(iter(clip))
    if not boxes:
        boxes = [ask(first, folder)]
    height, width = next(iter(first.images.values())).shape[:2]
    start = np.stack([check_box(box, height, width) for box in boxes])
    follower = Follower(model, start)
    lengths = [n for n in (clip.length, options.max_frames) if n]
    total = min(lengths) if lengths else None
    live = any(source.live for source in clip.sources.values())
    with progress() as bar:
        task = bar.add_task("tracking (Ctrl-C ends)" if live else "tracking", total=total, facts="")

        def report(speed: Speed) -> None:
            rate = speed.frames / speed.total
            bar.update(task, completed=speed.frames, facts=f"{rate:.1f} frames/s")

        results = follow_frames(
            follower,
            frames,
            modalities=tuple(specs),
            video=folder / "video.mp4" if options.video else None,
            fused=folder / "fused.mp4" if options.show == "fused" else None,
            fps=clip.fps,
            truth=truth,
            live=live,
            max_frames=options.max_frames,
            report=report,
        )
    facts = {
        "model": model.card.get("name", options.model),
        "card": model.card,
        "device": str(next(model.parameters()).device),
        "sources": {m: without_password(spec) for m, spec in specs.items()},
        "speed": follower.speed.facts(),
        "versions": versions(),
    }
    files = write_outputs(folder, results, facts)
    if options.video:
        files.insert(0, folder / "video.mp4")
    if options.show == "fused":
        files.insert(0, folder / "fused.mp4")
    console = out()
    console.print(summary(results, follower.speed))
    if truth is not None:
        console.print(scores(results[0], truth))
    console.print("Wrote " + ", ".join(str(f) for f in files))
    return 0


def parse_encodings(texts: list[str]) -> dict[Modality, str]:
    """``["thermal=name"]`` -> mapping; the names themselves are checked by the sources."""
    from modaltrack.frame import Modality

    found: dict[Modality, str] = {}
    for text in texts:
        key, _, name = text.partition("=")
        if key not in set(Modality) or not name:
            raise ValueError(f"--encoding {text!r} is not MODALITY=NAME; MODALITY is one of {', '.join(Modality)}.")
        if Modality(key) in found:
            raise ValueError(f"--encoding names {key} twice; give each modality one encoding.")
        found[Modality(key)] = name
    return found


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


def without_password(spec: str) -> str:
    """A URL without the user and password in it: results are passed around, cameras' passwords should not be."""
    return re.sub(r"(://)[^/@]*@", r"\1", spec)


def summary(results: list[Result], speed: Speed) -> str:
    """What happened, in two lines."""
    from modaltrack.frame import Status

    lines = []
    for number, result in enumerate(results, start=1):
        counts = ", ".join(f"{int((result.status == s).sum())} {s.name.lower()}" for s in Status)
        lines.append((f"target {number}: " if len(results) > 1 else "") + f"{len(result.status)} frames: {counts}")
    facts = speed.facts()
    rate, whole = facts["frames_per_second_tracker"], facts["frames_per_second_end_to_end"]
    lines.append(f"{rate or 0:.1f} frames/s in the tracker, {whole or 0:.1f} with reading, drawing and encoding")
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


def choose_encodings(
    card: dict[str, Any], specs: dict[Modality, str], asked: dict[Modality, str]
) -> dict[Modality, str]:
    """What the user asked for, and what the model was trained with for the rest. Events are encoded as they come."""
    from modaltrack.frame import Modality

    trained = {Modality(m): name for m, name in (card.get("encodings") or {}).items() if m in specs}
    for modality, name in asked.items():
        if modality in trained and trained[modality] != name:
            warnings.warn(
                f"{modality} is encoded as {name!r} and the model was trained with {trained[modality]!r}.", stacklevel=2
            )
    return {m: name for m, name in trained.items() if m != Modality.EVENT} | asked
