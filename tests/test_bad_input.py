# SPDX-License-Identifier: Apache-2.0
"""What users get wrong: one clear sentence on stderr, exit code 1 or 2, no traceback, nothing half-written."""

import json
import pickle
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from modaltrack import cli
from modaltrack.sinks import VideoWriter

BOX = "20,20,16,12"


class Site:
    """A temporary folder with good input in it, to be spoiled."""

    def __init__(self, folder: Path, cameras: Path, weights: Path) -> None:
        self.folder = folder
        self.out = folder / "out"
        self.weights = folder / "weights.safetensors"
        shutil.copytree(cameras, folder / "in")
        shutil.copy(weights, self.weights)
        self.rgb, self.thermal, self.truth = (folder / "in" / n for n in ("rgb", "thermal", "truth.txt"))

    def file(self, name: str, content: bytes | str) -> Path:
        path = self.folder / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    def video(self, name: str, frames: int = 40) -> Path:
        rng = np.random.default_rng(1)
        with VideoWriter(self.folder / name, fps=25) as video:
            for _ in range(frames):
                video.write(rng.integers(0, 255, (64, 96, 3), dtype=np.uint8))
        return self.folder / name

    def words(self, *extra: object, rgb: object = None, box: str | None = BOX, model: object = None) -> list[str]:
        words = ["track", "--rgb", str(rgb or self.rgb), "--model", str(model or self.weights), "--out", str(self.out)]
        return [*words, *(["--box", box] if box else []), *map(str, extra)]


@pytest.fixture
def site(tmp_path: Path, cameras: Path, random_weights: Path) -> Site:
    return Site(tmp_path, cameras, random_weights)


def folder_of(site: Site, *files: tuple[str, bytes]) -> Path:
    folder = site.folder / "made"
    folder.mkdir()
    for name, content in files:
        (folder / name).write_bytes(content)
    return folder


def cut(path: Path, share: float) -> Path:
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    return path


class Harmful:
    """Unpickling an instance would create the file ``path``."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[..., object], tuple[str, str]]:
        return open, (str(self.path), "w")


def harmful_pickle(site: Site) -> Path:
    return site.file("evil.pth", pickle.dumps(Harmful(site.folder / "ran-code")))


def without_card(site: Site) -> Path:
    import torch
    from safetensors.torch import save_file

    save_file({"a": torch.zeros(2)}, site.folder / "nocard.safetensors")
    return site.folder / "nocard.safetensors"


Case = tuple[str, Callable[[Site], list[str]], str]

ERRORS: list[Case] = [
    # sources
    ("missing folder", lambda s: s.words(rgb=s.folder / "nowhere"), "does not exist"),
    ("empty folder", lambda s: s.words(rgb=folder_of(s)), "is empty"),
    ("folder without images", lambda s: s.words(rgb=folder_of(s, ("notes.txt", b"x"))), "no images"),
    ("folder of folders", lambda s: s.words(rgb=s.folder / "in"), "folders rgb, thermal"),
    ("only a 0-byte png", lambda s: s.words(rgb=folder_of(s, ("1.png", b""))), "damaged"),
    ("pngs that are text", lambda s: s.words(rgb=folder_of(s, ("1.png", b"hi"), ("2.png", b"ho"))), "damaged"),
    ("a single image", lambda s: s.words(rgb=s.rgb / "000.png"), "single image"),
    ("video cut to its first bytes", lambda s: s.words(rgb=cut(s.video("v.mp4"), 0.01)), "truncated or damaged"),
    ("text called .mp4", lambda s: s.words(rgb=s.file("v.mp4", "hello")), "cannot be opened"),
    ("0-byte video", lambda s: s.words(rgb=s.file("v.mp4", b"")), "cannot be opened"),
    ("no modality given", lambda s: ["track", "--box", BOX, "--out", str(s.out)], "No source was given"),
    ("a recording as rgb", lambda s: s.words(rgb=s.file("e.aedat4", b"#!AER-DAT4.0\r\n")), "give it as event"),
    ("a damaged recording", lambda s: s.words("--event", s.file("e.aedat4", b"#!AER-DAT4.0\r\nxx")), "e.aedat4"),
    ("an unknown encoding", lambda s: s.words("--encoding", "rgb=bgr"), "no encoding 'bgr'"),
    ("an encoding without a name", lambda s: s.words("--encoding", "thermal"), "MODALITY=NAME"),
    ("an encoding of a stranger", lambda s: s.words("--encoding", "sonar=x"), "MODALITY=NAME"),
    ("an encoding of an absent sensor", lambda s: s.words("--encoding", "depth=as-stored"), "depth"),
    ("a negative depth scale", lambda s: s.words("--depth-scale", "-1"), "depth_scale"),
    ("a frame rate of zero", lambda s: s.words("--fps", "0"), "positive number"),
    # boxes
    ("a NaN box", lambda s: s.words(box="nan,1,2,3"), "NaN"),
    ("an infinite box", lambda s: s.words(box="1,1,inf,3"), "infinite"),
    ("a box without area", lambda s: s.words(box="10,10,0,5"), "larger than 0"),
    ("a negative box", lambda s: s.words(box="10,10,-5,5"), "larger than 0"),
    ("a box outside", lambda s: s.words(box="500,10,5,5"), "outside the image"),
    ("a box of another image", lambda s: s.words(box="-9000,-9000,18000,18000"), "pixels of this image"),
    ("a box of three numbers", lambda s: s.words(box="1,2,3"), "3 numbers"),
    ("a box of words", lambda s: s.words(box="left,top,1,1"), "not four numbers"),
    ("an empty box", lambda s: s.words(box=" "), "0 numbers"),
    ("the second of two boxes", lambda s: s.words("--box", "1,2,3"), "3 numbers"),
    ("no box and no window", lambda s: s.words(box=None), "pass --box x,y,w,h"),
    # models
    ("an unknown model", lambda s: s.words(model="sdstrack-tyni"), "sdstrack-tiny"),
    ("a weights file that is not there", lambda s: s.words(model=s.folder / "w.safetensors"), "no weight file"),
    ("text as weights", lambda s: s.words(model=s.file("w.safetensors", "these are no weights")), "not a safetensors"),
    ("an empty weights file", lambda s: s.words(model=s.file("w.safetensors", b"")), "not a safetensors"),
    ("weights cut short", lambda s: s.words(model=cut(s.weights, 0.7)), "cut short"),
    ("weights with a cut header", lambda s: s.words(model=cut(s.weights, 0.001)), "cut short"),
    ("weights without a card", lambda s: s.words(model=without_card(s)), "no readable card"),
    ("a pickle that runs code", lambda s: s.words(model=harmful_pickle(s)), "pickle"),
    ("an unknown device", lambda s: s.words("--device", "gpu7"), "gpu7"),
    ("a device that is not there", lambda s: s.words("--device", "mps"), "Apple GPU"),
    # the rest
    ("alignment that is no JSON", lambda s: s.words("--align", s.file("a.json", "{oops")), "not valid JSON"),
    ("alignment that is not there", lambda s: s.words("--align", s.folder / "a.json"), "does not exist"),
    ("alignment of the wrong shape", lambda s: s.words(
        "--thermal", s.thermal, "--align", s.file("a.json", '{"thermal": [[1, 0], [0, 1]]}')), "3 rows of 3"),
    ("alignment of an absent sensor", lambda s: s.words(
        "--align", s.file("a.json", json.dumps({"depth": np.eye(3).tolist()}))), "no source of this clip"),
    ("the output is a file", lambda s: [*s.words()[:-3], str(s.truth), "--box", BOX], "is a file"),
    ("truth that is not there", lambda s: s.words("--truth", s.folder / "t.txt"), "t.txt"),
    ("truth that is an image", lambda s: s.words("--truth", s.rgb / "000.png"), "text file"),
    ("truth with a bad line", lambda s: s.words("--truth", s.file("t.txt", "1,2,3,4\n1,2,x,4\n")), "line 2"),
    ("truth for two targets", lambda s: s.words("--box", "1,2,3,4", "--truth", s.truth), "one target"),
    ("no frames wanted", lambda s: s.words("--max-frames", "0"), "at least 1"),
    ("demo into a file", lambda s: ["demo", "--out", str(s.truth)], "is a file"),
    ("demo of one frame", lambda s: ["demo", "--length", "1", "--out", str(s.out)], "at least 2 frames"),
    ("scores of different lengths", lambda s: ["score", str(s.file("p.txt", "1,2,3,4")), str(s.truth)], "1 predicted"),
    ("scores of a folder", lambda s: ["score", str(s.rgb), str(s.truth)], "cannot be read"),
    ("the card of nothing", lambda s: ["models", "show"], "needs a name"),
    ("the card of a stranger", lambda s: ["models", "show", "nope"], "no model 'nope'"),
]  # fmt: skip


@pytest.mark.parametrize(("make", "words"), [c[1:] for c in ERRORS], ids=[c[0] for c in ERRORS])
def test_it_says_what_is_wrong_in_one_sentence(
    site: Site, capsys: pytest.CaptureFixture[str], make: Callable[[Site], list[str]], words: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.delenv("DISPLAY", raising=False)
    assert cli.main(make(site)) == 1
    printed = capsys.readouterr()
    errors = [line for line in printed.err.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    assert all(line.startswith(("error: ", "warning: ")) for line in printed.err.splitlines())
    assert re.search(re.escape(words), errors[0]), errors[0]
    assert len(errors[0]) < 420
    assert "Traceback" not in printed.err
    assert not (site.folder / "ran-code").exists()
    left = [p.name for p in site.out.iterdir()] if site.out.exists() else []
    assert left in ([], ["first-frame.png"])


USAGE: list[Case] = [
    ("an unknown flag", lambda s: s.words("--rbg", "x"), "--rgb"),
    ("an unknown modality", lambda s: s.words("--sonar", "x"), "--sonar"),
    ("two RGB sources", lambda s: s.words("--rgb", s.thermal), "--rgb is given more than once"),
    ("a word where a number belongs", lambda s: s.words("--max-frames", "many"), "--max-frames"),
    ("a flag without its value", lambda s: ["track", "--rgb"], "--rgb"),
    ("an unknown command", lambda s: ["trak"], "did you mean 'track'"),
    ("a flag instead of a command", lambda s: ["--rgb", "x"], "no command"),
    ("score of one file", lambda s: ["score", str(s.truth)], "PATH"),
]


@pytest.mark.parametrize(("make", "words"), [c[1:] for c in USAGE], ids=[c[0] for c in USAGE])
def test_a_command_line_that_cannot_be_understood_exits_with_2(
    site: Site, capfd: pytest.CaptureFixture[str], make: Callable[[Site], list[str]], words: str
) -> None:
    assert cli.main(make(site)) == 2
    printed = capfd.readouterr().err
    assert words in printed
    assert "Traceback" not in printed
    assert not site.out.exists()


def corrupt_middle(site: Site) -> list[str]:
    cut(site.rgb / "003.png", 0.5)
    return site.words("--thermal", site.thermal)


def empty_middle(site: Site) -> list[str]:
    (site.rgb / "003.png").write_bytes(b"")
    return site.words()


def shorter(site: Site) -> list[str]:
    for index in (4, 5):
        (site.thermal / f"{index:03d}.png").unlink()
    return site.words("--thermal", site.thermal)


def longer(site: Site) -> list[str]:
    for index in (4, 5):
        (site.rgb / f"{index:03d}.png").unlink()
    return site.words("--thermal", site.thermal)


def smaller(site: Site) -> list[str]:
    for file in site.thermal.iterdir():
        cv2.imwrite(str(file), cv2.resize(cv2.imread(str(file), cv2.IMREAD_UNCHANGED), (50, 40)))
    return site.words("--thermal", site.thermal)


def sixteen_bit(site: Site) -> list[str]:
    for file in site.thermal.iterdir():
        cv2.imwrite(str(file), cv2.imread(str(file), cv2.IMREAD_UNCHANGED).astype(np.uint16) * 50 + 7000)
    return site.words("--thermal", site.thermal)


CONTINUES: list[tuple[str, Callable[[Site], list[str]], str, int]] = [
    ("one corrupt frame in the middle", corrupt_middle, "003.png cannot be decoded", 6),
    ("one 0-byte png in the middle", empty_middle, "003.png cannot be decoded", 6),
    ("the other sensor is shorter", shorter, "by frame 4", 6),
    ("the other sensor is longer", longer, "longer than rgb", 4),
    ("the other sensor has other pixels", smaller, "thermal is 50x40", 6),
    ("16-bit thermal", sixteen_bit, "uint16 thermal", 6),
    ("another encoding than the model's", lambda s: s.words(
        "--thermal", s.thermal, "--encoding", "thermal=thermal-8bit"), "the model was trained with 'thermal'", 6),
    ("a video cut in the middle", lambda s: s.words(rgb=cut(s.video("v.mp4"), 0.5)), "v.mp4", 0),
]  # fmt: skip


@pytest.mark.parametrize(("make", "words", "frames"), [c[1:] for c in CONTINUES], ids=[c[0] for c in CONTINUES])
def test_it_goes_on_and_says_what_it_did(
    site: Site, capsys: pytest.CaptureFixture[str], make: Callable[[Site], list[str]], words: str, frames: int
) -> None:
    assert cli.main([*make(site), "--no-video"]) == 0
    lines = capsys.readouterr().err.splitlines()
    assert all(line.startswith("warning: ") for line in lines)
    assert sum(words in line for line in lines) == 1, lines
    rows = len((site.out / "boxes.txt").read_text().splitlines())
    assert rows == frames if frames else 3 < rows < 40


def test_libraries_print_no_lines_of_their_own_and_a_header_asks_for_no_gigabytes(site: Site) -> None:
    """In a process of its own: OpenCV writes to the terminal itself, and reads its limits when it is loaded."""
    (site.rgb / "001.png").unlink()
    (site.rgb / "001.pgm").write_bytes(b"P5 -5 5 255\n" + bytes(99))
    (site.rgb / "002.png").unlink()
    (site.rgb / "002.ppm").write_bytes(b"P6 30000 30000 255\n" + bytes(99))
    limit = "import resource; resource.setrlimit(resource.RLIMIT_AS, (6 * 2**30,) * 2); "
    code = limit + f"import sys; from modaltrack import cli; sys.exit(cli.main({site.words('--no-video')!r}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    lines = done.stderr.splitlines()
    assert all(line.startswith("warning: ") for line in lines), lines
    assert sum("cannot be decoded" in line for line in lines) == 2
