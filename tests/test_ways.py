# SPDX-License-Identifier: Apache-2.0
"""The ways that docs/architecture.md writes down: their functions exist, and the returns are as many as it says."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
WAYS = dict(re.findall(r"^### (.+?)\n(.+?)(?=^### |\Z)", PAGE, re.MULTILINE | re.DOTALL))


def stops(way: str) -> list[tuple[str, str]]:
    return re.findall(r"^\d+\. `(\S+\.py)` `(\S+)`", way, re.MULTILINE)


def defined(file: Path) -> set[str]:
    """Functions of a file, methods as ``Class.method``."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    names = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
    for holder in tree.body:
        if isinstance(holder, ast.ClassDef):
            names |= {f"{holder.name}.{node.name}" for node in holder.body if isinstance(node, ast.FunctionDef)}
    return names


def returns(files: list[str]) -> int:
    """How often a value comes into a room that it had left; files of the ground floor are in no room."""
    rooms = [file.split("/")[0] for file in files if "/" in file]
    entered = [room for room, before in zip(rooms, [None, *rooms], strict=False) if room != before]
    return len(entered) - len(set(entered))


def test_returns_are_counted() -> None:
    assert returns(["a/x.py", "boxes.py", "a/y.py", "b/x.py", "a/x.py", "b/y.py"]) == 2


@pytest.mark.parametrize("name", WAYS)
def test_a_way(name: str) -> None:
    way = WAYS[name]
    passed = stops(way)
    assert len(passed) == len(re.findall(r"^\d+\. ", way, re.MULTILINE)) > 8
    for file, function in passed:
        assert function in defined(ROOT / "src" / "modaltrack" / file), f"{file} has no {function}"
    stated = re.search(r"Returns: (\d+)\.", way)
    assert stated is not None
    assert returns([file for file, _ in passed]) == int(stated[1])


def test_there_are_four() -> None:
    assert len(WAYS) == 4
