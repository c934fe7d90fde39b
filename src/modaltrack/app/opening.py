# SPDX-License-Identifier: Apache-2.0
"""From what the page asks for to a clip: files and addresses, a clip folder, uploaded files, a rendered scene."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from modaltrack.app.footage import Footage, LiveFootage, StoredFootage, size_of
from modaltrack.frame import Frame, Modality
from modaltrack.models.card import choose_encodings
from modaltrack.sources import ClipReader, LivePolicy, open_clip, open_folder, open_recording
from modaltrack.sources.clip import FALLBACK_FPS
from modaltrack.sources.notices import shown
from modaltrack.sources.recording import ABOUT
from modaltrack.sources.replay import recorded_sensors
from modaltrack.sources.source import check_modality

MAX_PIXELS = 7680 * 4320  # of a frame: above it browsers and memories give up
SCENE_FRAMES = 2000
FIRST_LIVE_SECONDS = 25.0  # a live source has its own, shorter, limits; this one is the last
POLICY = LivePolicy()
Card = Mapping[str, Any]


@dataclass(frozen=True)
class OpenedClip:
    """An open clip.

    Attributes:
        size: (height, width) of its images.
        truth: (N, 4) xywh, nan where absent; None where unknown.
        sources: sensor -> where it comes from, in words.
        reader: what reads it; None for a rendered scene.
    """

    name: str
    footage: Footage
    size: tuple[int, int]
    truth: NDArray[np.float64] | None
    sources: Mapping[str, str]
    reader: ClipReader | None = None


def open_request(request: Mapping[str, Any], card: Card, uploads: Path) -> OpenedClip:
    """Open what the page asks for.

    Args:
        request: one of ``scene`` {seed, length, hard, modalities}, ``folder`` with ``aux``, ``sources`` {sensor: path,
            camera or address}, ``upload`` {sensor: folder below ``uploads``}; and options of ``open_clip``. A folder
            may be a recording.
        card: of the model, which says how images are encoded.

    Raises:
        ValueError: in one sentence, for whatever cannot be opened.
    """
    kinds = [kind for kind in ("scene", "folder", "sources", "upload") if request.get(kind)]
    if len(kinds) != 1:
        raise ValueError("Nothing to open was given; name files, cameras or a folder, or choose a scene.")
    if kinds == ["scene"]:
        return _scene(_mapping(request["scene"], "scene"))
    if kinds == ["folder"]:
        folder = Path(os.path.expanduser(_text(request["folder"], "folder").strip()))
        aux = _text(request.get("aux") or "", "aux") or None
        if (folder / ABOUT).is_file():
            return _recording(folder, request, card)
        there = [m for m in Modality if (folder / m.value).is_dir()] + ([check_modality(aux)] if aux else [])
        reader, truth = open_folder(folder, aux, **_options(request, card, there))
        return _clip(reader, folder.name or str(folder), truth)
    if kinds == ["upload"]:
        uploaded = {m: _text(p, "upload") for m, p in _mapping(request["upload"], "upload").items()}
        specs = {m: str(_uploaded(uploads, path)) for m, path in uploaded.items()}
    else:
        specs = {
            m: os.path.expanduser(_text(s, "source").strip())
            for m, s in _mapping(request["sources"], "sources").items()
            if s
        }
    sensors = [m for m in Modality if m in specs]
    if len(sensors) < len(specs) or not sensors:
        raise ValueError(f"The sensors are {', '.join(map(str, specs)) or 'none'}; give some of {', '.join(Modality)}.")
    reader = open_clip(specs, policy=POLICY, **_options(request, card, sensors))
    return _clip(reader, _name(specs[sensors[0]]), None)


def _recording(folder: Path, request: Mapping[str, Any], card: Card) -> OpenedClip:
    options = _options(request, card, list(recorded_sensors(folder)))
    known = {name: options[name] for name in ("encodings", "align", "depth_scale") if name in options}
    return _clip(open_recording(folder, **known), folder.name, None)


def _name(spec: str) -> str:
    """What a clip is called after its first source: the file, or the folder above one that is named after a sensor."""
    path = Path(spec)
    if path.name in (*Modality, "aux", "visible", "infrared", "color", "img1") and path.parent.name:
        path = path.parent
    return shown(path.name or spec)


def _scene(asked: Mapping[str, Any]) -> OpenedClip:
    from modaltrack import scenes

    seed, length = (_whole(asked, name, low, high, default) for name, low, high, default in _SCENE)
    made = scenes.clip(seed, length=length, hard=bool(asked.get("hard")))
    modalities = tuple(made.frames[0].images)
    footage = StoredFootage(lambda: iter(made.frames), modalities, made.fps, length)
    return OpenedClip(made.name, footage, size_of(made.frames[0]), made.boxes, dict.fromkeys(modalities, "rendered"))


_SCENE = (("seed", 0, 2**31, 0), ("length", 2, SCENE_FRAMES, 75))


def _clip(reader: ClipReader, name: str, truth: NDArray[np.float64] | None) -> OpenedClip:
    modalities = tuple(reader.modalities)
    sources = {str(m): shown(source.name) for m, source in reader.sources.items()}
    if any(source.live for source in reader.sources.values()):
        feed = LiveFootage(reader.frames, modalities, FALLBACK_FPS)
        try:
            return OpenedClip("live", feed, _checked(_first_live(feed)), None, sources, reader)
        except BaseException:
            feed.close()
            raise
    height, width = reader.size
    if height * width > MAX_PIXELS:
        raise ValueError(_too_large(height, width))
    footage = StoredFootage(reader.frames, modalities, reader.fps, reader.length)
    first = footage.frame(0)
    if first is None:
        raise ValueError(f"{shown(name)} has no frames; check that its files are not empty.")
    return OpenedClip(name, footage, _checked(first), truth, sources, reader)


def _first_live(feed: LiveFootage) -> Frame:
    if feed.wait(-1, FIRST_LIVE_SECONDS) < 0:
        if feed.error is not None:
            raise feed.error
        raise ValueError("The live source sends no image; check the camera or the address.")
    frame = feed.frame(feed.length - 1)
    assert frame is not None
    return frame


def _checked(frame: Frame) -> tuple[int, int]:
    height, width = size_of(frame)
    if height * width > MAX_PIXELS:
        raise ValueError(_too_large(height, width))
    return height, width


def _too_large(height: int, width: int) -> str:
    return (
        f"The images are {width}x{height}, {height * width / 1e6:.0f} megapixels, and at most {MAX_PIXELS / 1e6:.0f} "
        "are shown here; make them smaller."
    )


def _options(request: Mapping[str, Any], card: Card, sensors: list[Modality]) -> dict[str, Any]:
    """Options of ``open_clip`` in a request."""
    options: dict[str, Any] = {"encodings": choose_encodings(card, sensors, {})}
    for name in ("depth_scale", "fps", "tolerance"):
        if request.get(name) not in (None, ""):
            options[name] = _number(request[name], name)
    if request.get("align"):
        options["align"] = _text(request["align"], "align")
    if request.get("event_unit"):
        options["event_unit"] = _text(request["event_unit"], "event_unit")
    if request.get("event_size"):
        width, _, height = _text(request["event_size"], "event_size").lower().partition("x")
        if not (width.strip().isdecimal() and height.strip().isdecimal()):
            raise ValueError(f"The event size {request['event_size']!r} is not WIDTHxHEIGHT, for example 640x480.")
        options["event_size"] = int(height), int(width)
    return options


def _uploaded(uploads: Path, name: str) -> Path:
    """What was uploaded into a folder: its only file, or the folder where there are several or pictures."""
    from modaltrack.sources.images import IMAGE_SUFFIXES

    folder = uploads / name
    if Path(name).is_absolute() or ".." in Path(name).parts or not folder.is_dir():
        raise ValueError("The uploaded files are no longer there; upload them again.")
    files = sorted(folder.iterdir())
    if len(files) == 1 and files[0].suffix.lower() not in IMAGE_SUFFIXES:
        return files[0]
    return folder


def _mapping(value: object, name: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise ValueError(f"The request's {name} is a {type(value).__name__}; an object was expected.")
    return value


def _text(value: object, name: str) -> str:
    if not isinstance(value, str) or "\0" in value:
        raise ValueError(f"The request's {name} is no text.")
    return value


def _number(value: object, name: str) -> float:
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        raise ValueError(f"{name} is {value!r}; a number was expected.")
    return number


def _whole(asked: Mapping[str, Any], name: str, low: int, high: int, default: int) -> int:
    number = _number(asked.get(name, default), name)
    if not (low <= number <= high and number == int(number)):
        raise ValueError(f"The scene's {name} is {number:g}; give a whole number from {low} to {high}.")
    return int(number)
