# SPDX-License-Identifier: Apache-2.0
"""``modaltrack doctor``."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

from modaltrack.commands import threads

NEEDED = ("torch", "numpy", "opencv-python-headless", "av", "safetensors", "huggingface_hub", "tyro", "rich")
OPTIONAL = {  # distribution -> what it is for, how to get it
    "websockets": ("boxes to WebSocket clients: track --ws", "pip install 'modaltrack[live]'"),
    "aedat": ("raw AEDAT4 event recordings", "pip install 'modaltrack[events]'"),
    "fastapi": ("the page, modaltrack app", "pip install 'modaltrack[app]'"),
}


@dataclass
class Options:
    """Print versions, devices, threads and optional parts: what to paste into a bug report."""


def run(options: Options) -> int:
    """Print the tables; exit code 1 when a needed part is missing."""
    import modaltrack
    from modaltrack.commands.terminal import out, table

    console = out()
    rows = table("versions", "part", "version")
    rows.add_row("modaltrack", modaltrack.__version__)
    rows.add_row("python", f"{platform.python_version()} on {platform.system()} {platform.machine()}")
    missing = []
    for name in NEEDED:
        found = _version(name)
        if found is None and name == "opencv-python-headless":  # any of OpenCV's four wheels will do
            found = next((f"{v} ({n})" for n in _OTHER_OPENCV if (v := _version(n))), None)
        missing += [name] if found is None else []
        rows.add_row(name, found or f"MISSING: pip install {name}")
    console.print(rows)

    rows = table("devices", "device", "what")
    for device, what in _devices():
        rows.add_row(device, what)
    console.print(rows)

    rows = table("optional parts", "part", "state", "for")
    for name, (purpose, how) in OPTIONAL.items():
        rows.add_row(name, _version(name) or how, purpose)
    rows.add_row("H.264 encoder", *_encoder())
    rows.add_row("window", *_window())
    console.print(rows)
    if _version("opencv-python-headless") and any(_version(n) for n in _OTHER_OPENCV):
        console.print("warning: more than one OpenCV wheel is installed; they overwrite each other's files.")
    return 1 if missing else 0


_OTHER_OPENCV = ("opencv-python", "opencv-contrib-python", "opencv-contrib-python-headless")


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _devices() -> list[tuple[str, str]]:
    try:
        import torch
    except ImportError as error:  # the doctor is for broken installations too
        return [("none", f"torch cannot be imported: {error}")]
    rows = [("cpu", f"{torch.get_num_threads()} threads {threads.in_words()}")]
    for index in range(torch.cuda.device_count()):
        memory = torch.cuda.get_device_properties(index).total_memory / 2**30
        rows.append((f"cuda:{index}", f"{torch.cuda.get_device_name(index)}, {memory:.0f} GiB"))
    if torch.backends.mps.is_available():
        rows.append(("mps", "Apple GPU"))
    return rows


def _encoder() -> tuple[str, str]:
    try:
        from modaltrack.sinks.video import available_encoder

        name = available_encoder()
    except (ImportError, ValueError) as error:
        return str(error), "result videos"
    return (name if "264" in name else f"{name} (no H.264: browsers will not play the videos)"), "result videos"


def _window() -> tuple[str, str]:
    from modaltrack.commands.box_input import why_no_window

    return why_no_window() or "ready", "drawing the box when --box is not given"
