# SPDX-License-Identifier: Apache-2.0
"""Damaged inputs of two dozen kinds for the command line, made from honest ones by seeds.

``python -m tests.fuzz [--kinds checkpoint-zip,card] [--inputs 220] [--first 0]`` runs them all, each in a process of
its own with a limit of 20 s of computing and 2 GB, and exits with 1 if one ends in a traceback, hangs or takes
more. The suite runs a few of each kind in its own process (``test_fuzz.py``).
"""

from __future__ import annotations

import argparse
import io
import json
import os
import random
import resource
import struct
import sys
import tempfile
import time
import traceback
import zipfile
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

SECONDS, BYTES = 20, 2 * 2**30
Case = tuple[str, bytes, Callable[[Path, Path], list[str]]]  # name of the file, honest content, the command line


def damaged(data: bytes, seed: int) -> bytes:
    """``data`` with bytes changed, cut out, repeated or added; the same for the same seed."""
    dice = random.Random(seed)
    broken = bytearray(data)
    for _ in range(dice.choice((1, 1, 2, 5, 20))):
        at = dice.randrange(len(broken) + 1) if dice.random() < 0.5 else dice.randrange(min(len(broken), 600) + 1)
        kind = dice.randrange(6)
        if kind == 0 and at < len(broken):
            broken[at] = dice.randrange(256)
        elif kind == 1 and at < len(broken):
            broken[at] ^= 1 << dice.randrange(8)
        elif kind == 2:
            del broken[at : at + dice.choice((1, 4, 100, len(broken) // 2))]
        elif kind == 3:
            broken[at:at] = broken[at : at + dice.choice((1, 10, 1000))] * dice.choice((1, 2, 50))
        elif kind == 4:
            broken[at:at] = dice.choice(
                (b"\xff" * 8, b"\0" * 9, b"[" * 5000, b"1e999", b"-1", b"nan", b"\x1b[2J", b'"', b"{}")
            )
        else:
            broken[at : at + 8] = struct.pack("<q", dice.choice((2**62, -1, 2**31, 0, 10**7)))
    return bytes(broken)


def _png(seed: int = 0) -> bytes:
    import cv2
    import numpy as np

    picture = np.random.default_rng(seed).integers(0, 255, (48, 64, 3), dtype=np.uint8)
    return bytes(cv2.imencode(".png", picture)[1].tobytes())


def _zip(members: dict[str, bytes], method: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def _checkpoint(zipped: bool) -> bytes:
    import torch

    buffer = io.BytesIO()
    net = {"backbone.norm.weight": torch.ones(8), "backbone.blocks.0.norm1.bias": torch.zeros(3, 2)}
    torch.save({"net": net, "epoch": 3, "stats": [1.0, {"a": (1, 2)}]}, buffer, _use_new_zipfile_serialization=zipped)
    return buffer.getvalue()


def _weights() -> bytes:
    from modaltrack import models

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "w.safetensors"
        small = {"dim": 32, "depth": 1, "heads": 1, "head_channels": 8}
        models.save_model(models.create("ostrack-tiny", **small), path, {"licence": "Apache-2.0"})
        return path.read_bytes()


def _card(data: bytes) -> tuple[bytes, bytes]:
    """The card of a weight file as text, and the rest with a hole for it."""
    length = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8 : 8 + length])
    card = header["__metadata__"]["card"]
    header["__metadata__"]["card"] = "HOLE"
    return card.encode(), json.dumps(header).encode() + b"\n" + data[8 + length :]


def _with_card(card: bytes, rest: bytes) -> bytes:
    header, body = rest.split(b"\n", 1)
    text = json.dumps(card.decode("utf-8", "replace")).encode()
    header = header.replace(b'"HOLE"', text)
    return struct.pack("<Q", len(header)) + header + body


def _npy() -> bytes:
    import numpy as np

    buffer = io.BytesIO()
    np.save(buffer, np.arange(48 * 64, dtype=np.uint16).reshape(48, 64))
    return buffer.getvalue()


def _npz() -> bytes:
    import numpy as np

    buffer = io.BytesIO()
    np.savez(buffer, x=np.arange(20), y=np.arange(20), t=np.arange(20) * 1000, p=np.arange(20) % 2)
    return buffer.getvalue()


BOXES = b"".join(b"%d,%d,30,20\n" % (10 + i, 12 + i) for i in range(20))


COCO = {
    "images": [{"id": 1, "file_name": "a.png", "width": 64, "height": 48}],
    "annotations": [{"id": 1, "image_id": 1, "category_id": 2, "bbox": [5, 6, 20, 20], "track_id": 3}],
    "categories": [{"id": 2, "name": "car"}],
}
VOC = (
    b"<annotation><object><name>car</name><bndbox><xmin>6</xmin><ymin>7</ymin><xmax>25</xmax><ymax>26</ymax></bndbox>"
    b"</object></annotation>"
)


def _mask() -> bytes:
    import cv2
    import numpy as np

    mask = np.zeros((48, 64), np.uint8)
    mask[6:26, 5:25], mask[30:40, 30:50] = 1, 2
    return bytes(cv2.imencode(".png", mask)[1].tobytes())


def _recorded(folder: Path) -> None:
    """A recording of two instants as ``track --record`` keeps it."""
    import numpy as np

    from modaltrack.frame import Modality
    from modaltrack.sources.notices import Notices
    from modaltrack.sources.recording import Recording

    class Shot:
        def __init__(self, number: int) -> None:
            self.number, self.arrived = number, 0.0
            self.raw = np.random.default_rng(number).integers(0, 255, (48, 64, 3), dtype=np.uint8)

    kept = Recording(folder, Modality.RGB, {Modality.RGB: "camera 0"}, {}, {}, 1.0, Notices())
    for number in (1, 2):
        shot = Shot(number)
        kept.picture(Modality.RGB, shot)
        kept.instant(number / 10, {Modality.RGB: shot})
    kept.close()


def _parts_of_recording() -> dict[str, bytes]:
    with tempfile.TemporaryDirectory() as folder:
        _recorded(Path(folder) / "r")
        return {path.name: path.read_bytes() for path in (Path(folder) / "r").iterdir()}


def of_pictures(place: str, beside: dict[str, bytes]) -> Callable[[Path, Path], list[str]]:
    """Move the damaged file to its place in a folder of labelled pictures; -> the check of that folder."""

    def words(path: Path, out: Path) -> list[str]:
        folder = out.parent / "pictures"
        for name, content in {"images/a.png": _png(), **beside, place: path.read_bytes()}.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(content)
        return ["pictures", "check", str(folder), "--deep"]

    return words


def of_recording(name: str, parts: dict[str, bytes]) -> Callable[[Path, Path], list[str]]:
    """Put the damaged file among the parts of a recording; -> its replay."""

    def words(path: Path, out: Path) -> list[str]:
        folder = out.parent / "recording"
        folder.mkdir(exist_ok=True)
        for other, content in {**parts, name: path.read_bytes()}.items():
            (folder / other).write_bytes(content)
        return ["track", "--replay", str(folder), "--box", "5,5,20,20", "--out", str(out / "o"), "--max-frames", "2"]

    return words


def cases() -> dict[str, Case]:
    """Kind -> the file's name, its honest content and what is done with it."""

    def imports(path: Path, out: Path) -> list[str]:
        return [
            "models",
            "import",
            str(path),
            "--method",
            "ostrack",
            "--size",
            "tiny",
            "--out",
            str(out / "o.safetensors"),
        ]

    def shows(path: Path, out: Path) -> list[str]:
        return ["models", "show", str(path)]

    def checks(path: Path, out: Path) -> list[str]:
        return ["results", "check", str(path)]

    def scores(path: Path, out: Path) -> list[str]:
        truth = out / "truth.txt"
        truth.write_bytes(BOXES)
        return ["score", str(path), "--truth", str(truth)]

    def tracks(sensor: str) -> Callable[[Path, Path], list[str]]:
        def words(path: Path, out: Path) -> list[str]:
            return [
                "track",
                f"--{sensor}",
                str(path),
                "--box",
                "5,5,20,20",
                "--out",
                str(out / "o"),
                "--max-frames",
                "2",
            ]

        return words

    def reads_align(path: Path, out: Path) -> list[str]:
        return [
            *tracks("rgb")(path.parent / "a.png", out),
            "--thermal",
            str(path.parent / "a.png"),
            "--align",
            str(path),
        ]

    weights = _weights()
    card, rest = _card(weights)
    align = json.dumps({"thermal": [[1, 0, 2], [0, 1, 3], [0, 0, 1]]}).encode()
    events = b"".join(b"%d,%d,%d,%d\n" % (i * 1000, i % 64, i % 48, i % 2) for i in range(200))
    manifest = json.dumps({"tracker": "t", "benchmark": "GTOT", "sequences": {"a": {"frames": 20}}}).encode()
    parts = _parts_of_recording()
    return {
        "checkpoint-zip": ("a.pth", _checkpoint(True), imports),
        "checkpoint-legacy": ("a.pth", _checkpoint(False), imports),
        "checkpoint-safetensors": ("a.safetensors", weights, imports),
        "weights": ("a.safetensors", weights, shows),
        "card": ("a.safetensors", card + b"\0CARD\0" + rest, shows),
        "results-zip": ("a.zip", _zip({"t/a.txt": BOXES, "t/b.txt": BOXES}), checks),
        "results-zip-deflated": ("a.zip", _zip({"t/a.txt": BOXES, "t/b.txt": BOXES}, zipfile.ZIP_DEFLATED), checks),
        "boxes": ("a.txt", BOXES, scores),
        "boxes-tabs": ("a.txt", BOXES.replace(b",", b"\t"), scores),
        "manifest": ("manifest.json", manifest, lambda path, out: ["results", "check", str(path.parent)]),
        "picture": ("a.png", _png(), tracks("rgb")),
        "thermal-picture": ("a.png", _png(1), tracks("thermal")),
        "depth-npy": ("a.npy", _npy(), tracks("depth")),
        "event-text": ("a.txt", events, tracks("event")),
        "event-npz": ("a.npz", _npz(), tracks("event")),
        "align": ("align.json", align, reads_align),
        "pictures-coco": ("a.json", json.dumps(COCO).encode(), of_pictures("annotations.json", {})),
        "pictures-voc": ("a.xml", VOC, of_pictures("Annotations/a.xml", {})),
        "pictures-yolo": ("a.txt", b"1 0.3 0.4 0.3 0.4\n0 0.1 0.1 0.5 0.1 0.5 0.5\n", of_pictures("labels/a.txt", {})),
        "pictures-boxes": (
            "boxes.txt",
            b"# file x y w h class id\na.png 5 6 20 20 car 1\n",
            of_pictures("boxes.txt", {}),
        ),
        "pictures-mask": ("a.png", _mask(), of_pictures("masks/a.png", {})),
        "recording": ("a.json", parts["recording.json"], of_recording("recording.json", parts)),
        "recording-instants": ("a.jsonl", parts["instants.jsonl"], of_recording("instants.jsonl", parts)),
        "recording-video": ("a.mkv", parts["rgb.mkv"], of_recording("rgb.mkv", parts)),
        "config": ("config.json", b'{"gtot": "somewhere"}', lambda path, out: ["data", "check", str(path)]),
    }


def write(folder: Path, kind: str, case: Case, seed: int) -> list[str]:
    """Put a damaged input into a folder; -> the command line for it."""
    name, honest, words = case
    out = folder / "out"
    out.mkdir(parents=True, exist_ok=True)
    path = folder / "in" / name
    path.parent.mkdir(exist_ok=True)
    if kind == "card":
        card, rest = honest.split(b"\0CARD\0", 1)
        path.write_bytes(_with_card(damaged(card, seed), rest))
    else:
        path.write_bytes(damaged(honest, seed))
    if kind == "align":
        (path.parent / "a.png").write_bytes(_png())
    return words(path, out)


def run_here(words: list[str]) -> str:
    """Run a command line in this process; -> "" or what is wrong with how it ended."""
    from modaltrack import cli

    text = io.StringIO()
    try:
        with redirect_stdout(text), redirect_stderr(text):
            cli.main(words)
    except BaseException:  # noqa: BLE001 - a traceback of any kind is what this looks for
        return traceback.format_exc()
    return "an escape sequence reached the terminal" if "\x1b" in text.getvalue() else ""


def run_apart(words: list[str]) -> str:
    """The same in a process of its own, with limits on time and memory."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
        os.write(writer, run_here(words).encode("utf-8", "replace")[-4000:])
        os._exit(0)
    os.close(writer)
    began = time.monotonic()
    with os.fdopen(reader, "rb") as pipe:
        said = pipe.read().decode("utf-8", "replace")
    _, status, used = os.wait4(child, 0)
    if status:
        return f"ended by signal or status {status} after {time.monotonic() - began:.0f} s"
    if used.ru_maxrss * 1024 > BYTES:
        return f"took {used.ru_maxrss / 2**20:.1f} GB"
    return said


def main() -> int:
    """Run what the command line asks for; 1 if anything is wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kinds", default="")
    parser.add_argument("--inputs", type=int, default=220)
    parser.add_argument("--first", type=int, default=0)
    options = parser.parse_args()
    import torch

    import modaltrack.models
    import modaltrack.tracking  # noqa: F401 - once, before the forks

    torch.set_num_threads(1)
    known = cases()
    wrong = 0
    for kind in options.kinds.split(",") if options.kinds else known:
        before = wrong
        for seed in range(options.first, options.first + options.inputs):
            with tempfile.TemporaryDirectory() as folder:
                words = write(Path(folder), kind, known[kind], seed)
                if what := run_apart(words):
                    wrong += 1
                    print(f"{kind} {seed}: {what.strip().splitlines()[-1][:200]}", flush=True)
        print(f"{kind}: {options.inputs} inputs, {wrong - before} wrong", flush=True)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
