# SPDX-License-Identifier: Apache-2.0
"""One of our trackers behind the VOT toolkit: images come as file names over TraX, boxes and confidences go back."""

from __future__ import annotations

import re
import sys
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from modaltrack.evaluation.trax import Server
from modaltrack.frame import Frame, Modality

if TYPE_CHECKING:
    from modaltrack.models.model import Model

CHANNELS = {"color": Modality.RGB, "ir": Modality.THERMAL, "depth": Modality.DEPTH}
"""The names of channels in the toolkit's ``sequence`` files -> our modalities."""


def channel_names(text: str) -> tuple[str, ...]:
    """``color,depth`` -> names that the toolkit knows.

    Raises:
        ValueError: for others, none, or the same twice.
    """
    names = tuple(name for name in re.split(r"[,\s;]+", text) if name)
    unknown = [name for name in names if name not in CHANNELS]
    if unknown or not names:
        found = repr(unknown[0]) if unknown else "empty"
        raise ValueError(f"A channel is {found}; expected one or two of {', '.join(CHANNELS)}, e.g. color,depth.")
    if len(set(names)) != len(names):
        raise ValueError(f"The channels {text!r} name one twice; give each once.")
    return names


def read_frame(
    files: Sequence[Path], channels: Sequence[str], encodings: Mapping[Modality, str], index: int = 0
) -> Frame:
    """The frame of one image file per channel, encoded as the model was trained; all of the first channel's size.

    A damaged image makes its modality missing in this frame, with a warning.

    Raises:
        ValueError: where none can be read.
    """
    import cv2

    from modaltrack.sources.encodings import DEFAULT_ENCODING, encode
    from modaltrack.sources.folder import read_image

    images: dict[Modality, NDArray[np.uint8]] = {}
    missing: set[Modality] = set()
    for file, channel in zip(files, channels, strict=True):
        modality = CHANNELS[channel]
        raw = read_image(file)
        if raw is None:
            warnings.warn(f"{file} cannot be read; {modality} is missing in this frame.", stacklevel=2)
            missing.add(modality)
            continue
        size = next((image.shape[1::-1] for image in images.values()), raw.shape[1::-1])
        if raw.shape[1::-1] != size:
            warnings.warn(f"The {channel} images are scaled to the size of the others.", stacklevel=2)
            nearest = modality is Modality.DEPTH  # a mean of near and far is a place where nothing is
            raw = cv2.resize(raw, size, interpolation=cv2.INTER_NEAREST if nearest else cv2.INTER_LINEAR)
        images[modality] = encode(encodings.get(modality, DEFAULT_ENCODING[modality]), raw)
    if not images:
        raise ValueError(f"None of the images {', '.join(map(str, files))} can be read; check the data set.")
    return Frame(images, index=index, missing=frozenset(missing))


def serve(model: Model, server: Server, encodings: Mapping[Modality, str]) -> int:
    """Answer the toolkit until it quits; -> frames tracked. The state of an initialisation carries no confidence.

    A ValueError is reported to the toolkit as the reason of a ``quit`` before it is raised.
    """
    from modaltrack.tracking import Tracker

    tracker, frames = Tracker(model), 0
    server.hello()
    try:
        for request in server.requests():
            frame = read_frame(request.images, server.channels, encodings)
            if request.box is not None:
                server.state(tracker.init(frame, request.box).box)
            else:
                found = tracker.update(frame)
                server.state(found.box, confidence=f"{found.score:.6f}")
                frames += 1
    except ValueError as error:
        server.quit(" ".join(str(error).split()))
        raise
    return frames


def trackers_ini(model: str, channels: Sequence[str], device: str = "auto", identifier: str = "") -> str:
    """A section of ``trackers.ini`` that starts this Python with this model."""
    kind = "".join({"color": "RGB", "depth": "D", "ir": "T"}[c] for c in channels)
    identifier = identifier or re.sub(r"\W", "_", f"{Path(model).stem}_{kind}".replace("-", "_"))
    if not re.fullmatch(r"\w+", identifier):
        raise ValueError(f"The identifier {identifier!r} has other characters than letters, digits and _.")
    target = str(Path(model).resolve()) if Path(model).suffix or Path(model).exists() else model
    words = [sys.executable, "-m", "modaltrack", "vot", "--model", target, "--channels", ",".join(channels)]
    words += ["--device", device] if device != "auto" else []
    command = " ".join(f'"{w}"' if re.search(r"\s", w) else w for w in words)
    return (
        f"# vot evaluate --workspace . {identifier}\n"
        f"[{identifier}]\n"
        f"label = modaltrack {Path(model).stem} ({kind})\n"
        "protocol = trax\n"
        f"command = {command}\n"
        "# seconds for loading, and for one frame on a slow CPU\n"
        "timeout = 300\n"
    )
