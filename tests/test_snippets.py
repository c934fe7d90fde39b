# SPDX-License-Identifier: Apache-2.0
"""Every Python snippet of README and documentation runs, and every ``modaltrack`` command is understood.

A snippet that needs what no test has (a data set, a package) stands behind ``<!-- not run: why -->``; it is compiled.
Commands are parsed by the real command line, with each command's work taken out.
"""

import re
import shlex
from importlib import import_module
from pathlib import Path

import cv2
import numpy as np
import pytest

from modaltrack import cli

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
PYTHON = re.compile(r"(?:<!-- not run: (?P<why>[^>]+) -->\n)?```python\n(?P<code>.*?)```", re.DOTALL)
SHELL = re.compile(r"```(?:sh|bash|console)\n(.*?)```|((?:^ {4}\S.*\n)+)", re.DOTALL | re.MULTILINE)


def python_of(page: Path) -> list[tuple[str, bool]]:
    """The page's snippets, and whether each is to be run."""
    text = page.read_text(encoding="utf-8")
    return [(m["code"], m["why"] is None) for m in PYTHON.finditer(text)]


def commands_of(page: Path) -> list[list[str]]:
    """The words behind ``modaltrack`` of every command in a page's code blocks, but those with an ellipsis in them."""
    found = []
    for fenced, indented in SHELL.findall(
        re.sub(r"```(?:python|toml|text)\n.*?```", "", page.read_text("utf-8"), flags=re.S)
    ):
        for line in (fenced or indented).replace("\\\n", " ").splitlines():
            for part in re.split(r"&&|\||;", line.split(" #")[0].split(" > ")[0]):
                if re.match(r"\s*(\$ )?modaltrack ", part) and "…" not in part and "..." not in part:
                    found.append(shlex.split(part.strip().removeprefix("$ "))[1:])
    return found


SNIPPETS = [
    pytest.param(code, is_run, id=f"{page.relative_to(ROOT)}-{i}")
    for page in PAGES
    for i, (code, is_run) in enumerate(python_of(page))
]
COMMANDS = sorted({tuple(words) for page in PAGES for words in commands_of(page)})


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what the snippets name: ``visible/`` and ``infrared/``, 4 images of 160 x 120 each."""
    folder = tmp_path_factory.mktemp("snippets")
    rng = np.random.default_rng(0)
    for name in ("visible", "infrared"):
        (folder / name).mkdir()
        for index in range(4):
            image = rng.integers(60, 90, (120, 160, 3), dtype=np.uint8)
            image[80:112, 120 + index : 152 + index] = (40, 200, 220)
            cv2.imwrite(str(folder / name / f"{index:03d}.png"), image)
    return folder


@pytest.mark.parametrize(("code", "is_run"), SNIPPETS)
def test_snippets_run(code: str, is_run: bool, recordings: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compiled = compile(code, "snippet", "exec")
    if is_run:
        from modaltrack.models import registry

        registry.list_models()
        monkeypatch.setattr(registry, "_ENTRIES", dict(registry._ENTRIES))  # a snippet may register a method
        monkeypatch.chdir(recordings)
        exec(compiled, {"__name__": "snippet"})


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_commands_are_understood(words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    verb, *rest = words
    if verb == "train":
        from modaltrack.training.command import parse

        assert rest[0] == "list" or parse(rest).out
        return
    if not verb.startswith("-"):
        module = import_module(f"modaltrack.commands.{verb}")
        monkeypatch.setattr(module, "run", lambda options: 0)
    assert cli.main([verb, *rest]) == 0


def test_there_are_snippets_and_commands() -> None:
    assert len(SNIPPETS) > 8
    assert len(COMMANDS) > 30
    assert sum(not param.values[1] for param in SNIPPETS) < len(SNIPPETS) / 2
