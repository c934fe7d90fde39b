# SPDX-License-Identifier: Apache-2.0
"""Messages name options that exist, in the words of the command line."""

import ast
import re
from collections.abc import Iterator
from dataclasses import fields
from importlib import import_module
from pathlib import Path

from modaltrack import cli

PACKAGE = Path(cli.__file__).parent
ELSEWHERE = {
    "--threads", "--debug", "--help", "--version",  # with every command
    "--field",  # stands for any, in the help of train
    "--workspace",  # of the VOT toolkit
    "--from", "--model-options", "--objective-options",  # spelled so by tyro: a name, mappings
}  # fmt: skip
OPTION = re.compile(r"(?<![\w-])--[a-z][a-z0-9-]+")


def known_options() -> set[str]:
    kinds = [import_module(f"modaltrack.commands.{verb}") for verb in cli.COMMANDS]
    told = [kind.Options for kind in kinds if hasattr(kind, "Options")]
    told += [import_module("modaltrack.training.command").Options, import_module("modaltrack.training.recipe").Recipe]
    names = {field.name.replace("_", "-") for kind in told for field in fields(kind)}
    return {f"--{name}" for name in names} | {f"--no-{name}" for name in names} | ELSEWHERE


def texts(file: Path) -> Iterator[tuple[int, str]]:
    """Text of a source file that may be shown: all but docstrings, whose readers have Python at hand."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    holders = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    first = [node.body[0] for node in ast.walk(tree) if isinstance(node, holders) and node.body]
    documentation = {id(node.value) for node in first if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if not isinstance(node, ast.Constant) or not isinstance(node.value, str) or id(node) in documentation:
            continue
        if not node.value.startswith(
            "python benchmarks/"
        ):  # what reproduces numbers: scripts with options of their own
            yield node.lineno, node.value


def strangers(file: Path, known: set[str]) -> list[str]:
    return [f"{file}:{line} {o}" for line, text in texts(file) for o in OPTION.findall(text) if o not in known]


def test_every_option_that_a_message_names_exists(tmp_path: Path) -> None:
    known = known_options()
    assert [s for file in sorted(PACKAGE.rglob("*.py")) for s in strangers(file, known)] == []
    (tmp_path / "a.py").write_text('raise ValueError("give --event-sise or --fps")')
    assert [s.split()[-1] for s in strangers(tmp_path / "a.py", known)] == ["--event-sise"]


def test_advice_in_python_is_marked_as_such() -> None:
    """A user of the command line cannot follow "give event_size=(height, width)"."""
    advice = re.compile(r"\b(encoding|event_size|event_unit|resume|depth_scale|align|model)=[\'(]")
    rooms = ("sources", "models", "training", "commands", "tracking", "session", "runtime")
    found = [
        f"{file.name}:{line}"
        for room in rooms
        for file in sorted((PACKAGE / room).rglob("*.py"))
        for line, text in texts(file)
        if advice.search(text) and "in Python" not in text
    ]
    assert found == []
