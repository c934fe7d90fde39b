# SPDX-License-Identifier: Apache-2.0
"""The official VOT toolkit (GPL, never imported by the package) in an interpreter of its own, as an oracle.

uv venv oracle && uv pip install --python oracle/bin/python vot-toolkit==0.7.3 attributee==0.1.9
export MODALTRACK_VOT_PYTHON=oracle/bin/python
"""

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray


@cache
def interpreter() -> str | None:
    """A Python that has the toolkit, None where there is none."""
    named = os.environ.get("MODALTRACK_VOT_PYTHON")
    if named:
        return named
    return sys.executable if importlib.util.find_spec("vot") else None


needs_toolkit = pytest.mark.skipif(
    interpreter() is None,
    reason="vot-toolkit 0.7.3 is not importable and MODALTRACK_VOT_PYTHON names no interpreter that has it",
)


def run(*arguments: str, text: str | None = None, timeout: float = 300) -> str:
    """Run the toolkit's interpreter; its output, or an error with all that it said."""
    python = interpreter()
    assert python is not None
    done = subprocess.run(
        [python, *arguments], input=text, capture_output=True, text=True, timeout=timeout, check=False
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    return done.stdout


def rows(boxes: NDArray[np.float64]) -> str:
    """Boxes as the toolkit reads them; a row of nan is written as such, a first row of nan in a run as the code 1."""
    return "".join(",".join("nan" if np.isnan(v) else repr(float(v)) for v in row) + "\n" for row in boxes)


def make_workspace(
    folder: Path,
    stack: str,
    truths: Mapping[str, NDArray[np.float64]],
    size: tuple[int, int],
    anchors: Mapping[str, NDArray[np.float64]] | None = None,
    channels: Mapping[str, str] | None = None,
) -> None:
    """Sequences without images (their folders must exist) and a config.yaml."""
    channels = channels or {"color": "color/%08d.jpg"}
    for name, boxes in truths.items():
        place = folder / "sequences" / name
        for pattern in channels.values():
            (place / pattern).parent.mkdir(parents=True, exist_ok=True)
        (place / "groundtruth.txt").write_text(rows(boxes))
        lines = [f"channels.{c}={p}" for c, p in channels.items()]
        lines += ["fps=30", "format=default", f"name={name}", f"width={size[0]}", f"height={size[1]}"]
        (place / "sequence").write_text("\n".join([*lines, f"length={len(boxes)}"]) + "\n")
        if anchors is not None:
            (place / "anchor.value").write_text("".join(f"{int(a)}\n" for a in anchors[name]))
    (folder / "sequences" / "list.txt").write_text("".join(f"{n}\n" for n in truths))
    (folder / "config.yaml").write_text(f"registry:\n- ./trackers.ini\nstack: {stack}\n")


def analyse(folder: Path, trackers: list[str]) -> dict[str, Any]:
    """Run ``vot analysis``; -> type of analysis -> its answers, in the order of the trackers."""
    if not (folder / "trackers.ini").exists():
        (folder / "trackers.ini").write_text(
            "".join(f"[{t}]\nlabel={t}\nprotocol=trax\ncommand=none\n" for t in trackers)
        )
    run("-m", "vot", "analysis", "--workspace", str(folder), *trackers)
    found = json.loads(max((folder / "analysis").glob("*.json")).read_text())
    (experiment,) = found["results"].values()
    assert list(found["trackers"]) == trackers
    kinds = [a["type"].rsplit(".", 1)[1] for a in experiment["parameters"]["analyses"]]
    return dict(zip(kinds, experiment["results"]))


def write_run(path: Path, boxes: NDArray[np.float64], confidence: NDArray[np.float64] | None = None) -> None:
    """One run in the toolkit's text layout: the first row is the code 1 and its confidence is blank."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("1\n" + rows(boxes[1:]))
    path.with_name(path.stem + "_time.value").write_text("0.01\n" * len(boxes))
    if confidence is not None:
        values = "".join(f"{float(c)!r}\n" for c in confidence[1:])
        path.with_name(path.stem + "_confidence.value").write_text("\n" + values)
