# SPDX-License-Identifier: Apache-2.0
"""Command lines that are read without tyro mean what tyro makes of them; the others are left to it."""

import subprocess
import sys
from importlib import import_module

import pytest

from modaltrack.commands.arguments import parse, plainly

PLAIN = [
    ("score", "pred"),
    ("score", "pred truth.txt"),
    ("score", "pred --benchmark LasHeR --json"),
    ("score", "--benchmark=RGBT234 pred --truth dir --attributes --per-sequence --missing zero"),
    ("score", "pred --benchmark X --switch a=b --switch c=d --boc_reward f.json --allow-short"),
    ("results", "check pred --benchmark LasHeR --json"),
    ("results", "import pred --out there --layout corners"),
    ("results", "labels run --to coco --out there.json --size 64x48 --category dog --lost"),
]
ELSE = [
    ("score", ""),
    ("score", "--help"),
    ("score", "pred -h"),
    ("score", "a b c"),
    ("score", "pred --bench LasHeR"),
    ("score", "pred --benchmark"),
    ("score", "pred --json=1"),
    ("score", "pred --no-json"),
    ("score", "pred --missing never"),
    ("score", "pred --truth None"),
    ("score", "pred --benchmark --json"),
    ("score", "pred --benchmark A --benchmark B"),
    ("results", "chek pred"),
]


@pytest.mark.parametrize(("verb", "line"), PLAIN, ids=[line for _, line in PLAIN])
def test_the_same_as_tyro(verb: str, line: str) -> None:
    import tyro

    module = import_module(f"modaltrack.commands.{verb}")
    quick = plainly(module, line.split())
    assert quick is not None
    vars(module).update({n: getattr(tyro.conf, n) for n in ("Positional", "UseAppendAction", "arg")})
    try:
        assert quick == tyro.cli(module.Options, args=line.split())
    finally:
        for name in ("Positional", "UseAppendAction", "arg"):
            delattr(module, name)


@pytest.mark.parametrize(("verb", "line"), ELSE, ids=[line or "nothing" for _, line in ELSE])
def test_what_is_not_plain_is_left_to_tyro(verb: str, line: str) -> None:
    assert plainly(import_module(f"modaltrack.commands.{verb}"), line.split()) is None


def test_a_mistake_is_answered_by_tyro(capsys: pytest.CaptureFixture[str]) -> None:
    module = import_module("modaltrack.commands.results")
    with pytest.raises(SystemExit):
        parse(module, "modaltrack results", ["chek", "pred"])
    assert "check" in capsys.readouterr().err


def test_a_plain_line_loads_neither_tyro_nor_rich_nor_masked_arrays() -> None:
    code = (
        "import sys; from modaltrack import cli; "
        "cli.main(['score', 'nowhere', '--benchmark', 'LasHeR', '--json']); "
        "import modaltrack.scoring.engine, modaltrack.truth.source; "
        "print([m for m in ('tyro', 'rich', 'torch', 'cv2', 'numpy.ma') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "[]", done.stderr


def test_offsets_and_sizes_of_track() -> None:
    track_options = import_module("modaltrack.commands.track_options")
    assert track_options.parse_offsets(["thermal=-0.3", "depth=2"]) == {"thermal": -0.3, "depth": 2.0}
    assert track_options.parse_size("640x480") == (480, 640)
    assert track_options.parse_size(None) is None
    for text in ("thermal", "thermal=", "infrared=1", "thermal=soon"):
        with pytest.raises(ValueError, match="MODALITY=SECONDS"):
            track_options.parse_offsets([text])
    for text in ("640", "x480", "0x0", "640x480x3", "-1x5"):
        with pytest.raises(ValueError, match="WIDTHxHEIGHT"):
            track_options.parse_size(text)
