# SPDX-License-Identifier: Apache-2.0
"""What ``track`` can be asked for: its options, their texts as values, and what is wrong with them."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from tyro.conf import UseAppendAction, arg

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from modaltrack.frame import Modality

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
    model: Annotated[str, arg(metavar="NAME|PATH")] = "modaltrack-laptop"
    """A name from 'modaltrack models' or a weights file."""
    out: Path = Path("modaltrack-track")
    """Folder for the results."""
    device: str = "auto"
    """auto, cpu, cuda, cuda:1, mps."""
    runtime: Literal["", "torch", "onnx", "openvino", "auto"] = ""
    """auto: the fastest that is installed and exact; by default torch, and for an exported file that of its kind."""
    precision: Literal["", "fp32", "fp16", "bf16", "int8"] = ""  # by default fp32, and for an exported file its own
    align: Annotated[Path | None, arg(metavar="JSON")] = None
    """Homographies from each sensor to RGB: {"thermal": [[...], [...], [...]]}."""
    depth_scale: float = 1.0
    """Millimetres per unit of the depth images (TUM's Kinect files: 0.2)."""
    event_size: Annotated[str | None, arg(metavar="WIDTHxHEIGHT")] = None
    """Pixels of an event sensor whose file does not say them."""
    event_unit: Literal["s", "ms", "us", "ns"] | None = None
    """Unit of the times in event tables (text, npy, npz, hdf5); guessed, with a line that says so, by default."""
    encoding: UseAppendAction[Annotated[list[str], arg(metavar="MODALITY=NAME")]] = field(default_factory=list)
    """Another encoding than the one in the model's card, e.g. thermal=thermal-16bit-minmax; repeatable."""
    fps: Annotated[float | None, arg(metavar="FLOAT")] = None
    """Frame rate of sources without time stamps."""
    late: Literal["drop", "wait"] = "drop"
    """Live sources: drop = the newest image wins; wait = every image is tracked, and a slow model falls behind."""
    stall: Annotated[float, arg(metavar="SECONDS")] = 0.2
    """Live sources: silence after which a sensor is missing and the others go on."""
    reconnect: Annotated[float, arg(metavar="SECONDS")] = 60.0
    """Live sources are opened again when they break; the run ends when all are down for so long (0: never reopened)."""
    offset: UseAppendAction[Annotated[list[str], arg(metavar="MODALITY=SECONDS")]] = field(default_factory=list)
    """Added to a sensor's times, e.g. thermal=-0.3 where its pictures take 0.3 s longer to arrive; repeatable."""
    tolerance: Annotated[float | None, arg(metavar="SECONDS")] = None
    """Two images within so many seconds are one instant (files: half a frame interval; live: until a sensor stalls)."""
    truth: Annotated[Path | None, arg(metavar="FILE")] = None
    """True boxes, one row per frame: drawn into the video and scored."""
    video: bool = True
    """Write the annotated video."""
    show: Literal["fused"] | None = None
    """fused: also write fused.mp4, what a model that fuses images (tpf) sees of its search region."""
    jsonl: Annotated[str | None, arg(metavar="FILE|-")] = None
    """One JSON object per frame as it comes, to a file or (-) to standard output: see docs/messages.md."""
    udp: Annotated[str | None, arg(metavar="HOST:PORT")] = None
    """The same objects as UDP datagrams."""
    ws: Annotated[str | None, arg(metavar="PORT|HOST:PORT")] = None
    """The same objects to every WebSocket client; 127.0.0.1 unless a host is given."""
    mjpeg: Annotated[str | None, arg(metavar="PORT|HOST:PORT")] = None
    """The annotated pictures live, as a page and as MJPEG over HTTP; 127.0.0.1 unless a host is given."""
    dead_band: Annotated[float, arg(metavar="SHARE")] = 0.0
    """Offsets from the image's centre below this share of the half image are sent as 0."""
    mavlink: Annotated[str | None, arg(metavar="HOST:PORT")] = None
    """Be a MAVLink tracking camera for a ground station: it chooses the target, and --box may be left out."""
    mavlink_id: Annotated[str, arg(metavar="SYSTEM:COMPONENT")] = "1:100"
    """Who this camera is: the vehicle's system number, and a camera's component number."""
    record: Annotated[Path | None, arg(metavar="FOLDER")] = None
    """Keep every image of the live sources, lossless and with its time, in a new folder."""
    replay: Annotated[Path | None, arg(metavar="FOLDER")] = None
    """Track what --record has kept, in the place of sources: the same instants as live."""
    max_frames: Annotated[int | None, arg(metavar="INT")] = None
    """Stop after so many frames."""


@dataclass(frozen=True)
class Asked:
    """The options of a run, read and checked.

    Attributes:
        boxes: none where the user is asked for one.
    """

    specs: dict[Modality, str]
    boxes: list[NDArray[np.float64]]
    encodings: dict[Modality, str]
    truth: NDArray[np.float64] | None


def check(options: Options) -> Asked:
    """What can be known to be wrong before anything is opened is a ValueError here."""
    from modaltrack.commands.box_input import parse_box
    from modaltrack.sources import read_boxes

    specs = sources_of(options)
    if options.max_frames is not None and options.max_frames < 1:
        raise ValueError(f"--max-frames is {options.max_frames}; give a number of at least 1.")
    boxes = [parse_box(text) for text in options.box]
    encodings = parse_encodings(options.encoding)
    truth = read_boxes(options.truth) if options.truth else None
    if options.mavlink is not None and (len(boxes) > 1 or options.show):
        raise ValueError("--mavlink follows one target and shows no fused view; give one --box at most and no --show.")
    if truth is not None and len(boxes) > 1:
        raise ValueError(f"--truth is of one target and {len(boxes)} boxes were given; pass one --box with it.")
    return Asked(specs, boxes, encodings, truth)


def sources_of(options: Options) -> dict[Modality, str]:
    """Modality -> what the user named, or the videos of the recording that is replayed."""
    from modaltrack.frame import Modality
    from modaltrack.sources.camera import is_live
    from modaltrack.sources.recording import check_recording_folder
    from modaltrack.sources.replay import recorded_sensors

    given = {m: getattr(options, m.value) for m in Modality}
    specs: dict[Modality, str] = {m: spec for m, spec in given.items() if spec is not None}
    if options.replay is not None:
        settled = ("fps", "late", "stall", "reconnect", "offset", "tolerance", "record")
        changed = [f"--{name}" for name in settled if getattr(options, name) not in (getattr(Options, name, None), [])]
        if refused := [*(f"--{m.value}" for m in specs), *changed]:
            raise ValueError(f"{refused[0]} and --replay exclude one another: it holds the sensors and the instants.")
        return recorded_sensors(options.replay)
    if not specs:
        raise ValueError("No source was given; pass at least one of --rgb, --thermal, --depth, --event.")
    if options.record is not None:
        if files := [spec for spec in specs.values() if not is_live(spec) or Path(spec).is_dir()]:
            raise ValueError(f"--record keeps cameras and streams, and {files[0]} is a file; leave it out.")
        if options.record.resolve() == options.out.resolve():
            raise ValueError(f"--record and --out are both {options.out}; give the recording a folder of its own.")
        check_recording_folder(options.record)
    return specs


def parse_size(text: str | None, flag: str = "--event-size") -> tuple[int, int] | None:
    """``"640x480"`` (width, height) -> (height, width)."""
    if text is None:
        return None
    found = re.fullmatch(r"\s*(\d+)\s*[xX×, ]\s*(\d+)\s*", text)
    if not found or not int(found[1]) or not int(found[2]):
        raise ValueError(f"{flag} {text!r} is not WIDTHxHEIGHT in pixels, for example 640x480.")
    return int(found[2]), int(found[1])


def parse_offsets(texts: list[str]) -> dict[Modality, float]:
    """``["thermal=-0.3"]`` -> mapping, in seconds."""
    from modaltrack.frame import Modality

    found: dict[Modality, float] = {}
    for text in texts:
        key, _, seconds = text.partition("=")
        try:
            found[Modality(key)] = float(seconds)
        except ValueError:
            raise ValueError(
                f"--offset {text!r} is not MODALITY=SECONDS; MODALITY is one of {', '.join(Modality)}."
            ) from None
    return found


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
