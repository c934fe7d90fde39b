# SPDX-License-Identifier: Apache-2.0
"""One loop over frames, one record, one clock: read from the tree, with the checks tried on what they must find."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[2] / "src" / "modaltrack"
STEPS = {"step", "start"}


@cache
def trees() -> list[tuple[str, ast.Module]]:
    files = sorted(PACKAGE.rglob("*.py"))
    return [(str(file.relative_to(PACKAGE)), ast.parse(file.read_text(encoding="utf-8"))) for file in files]


@cache
def classes() -> dict[str, set[str]]:
    """``file:class`` -> the fields that it declares."""
    return {
        f"{name}:{node.name}": {ast.unparse(n.target) for n in node.body if isinstance(n, ast.AnnAssign)}
        for name, tree in trees()
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef)
    }


def stepped(tree: ast.Module) -> list[ast.Call]:
    """Calls that step a tracker: ``step`` and ``start`` of modaltrack.tracking by name, and an engine's methods."""
    named = {
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("modaltrack.tracking")
        for alias in node.names
        if alias.name in STEPS
    }
    found = []
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        if isinstance(node.func, ast.Name) and node.func.id in named:
            found.append(node)
        if isinstance(node.func, ast.Attribute) and node.func.attr in STEPS and "engine" in ast.unparse(node.func):
            found.append(node)
    return found


def in_a_loop(tree: ast.Module, calls: list[ast.Call]) -> bool:
    loops = (ast.For, ast.While, ast.ListComp, ast.GeneratorExp, ast.SetComp, ast.DictComp)
    return any(call in list(ast.walk(loop)) for loop in ast.walk(tree) if isinstance(loop, loops) for call in calls)


def classes_with(*fields: str) -> set[str]:
    """``file:class`` of classes that declare all of these fields."""
    return {name for name, declared in classes().items() if {*fields} <= declared}


def test_one_loop_steps_trackers_through_frames() -> None:
    """The engine of models, ``Tracker`` and the steered engine pass one step on; ``bench`` times one many times."""
    calls = {name: (tree, found) for name, tree in trees() if (found := stepped(tree))}
    calls.pop("commands/bench_measures.py", None)  # takes the time of the step alone
    assert set(calls) == {"session/loop.py", "session/steering.py", "tracking/engine.py", "tracking/run.py"}
    for name in ("session/steering.py", "tracking/engine.py", "tracking/run.py"):  # hand one step on
        assert not in_a_loop(*calls[name])


def test_the_check_sees_another_loop() -> None:
    tree = ast.parse(
        "from modaltrack.tracking import start, step\n"
        "def follow(model, frames, box):\n"
        "    state = None\n"
        "    for frame in frames:\n"
        "        state = start(model, frame, box) if state is None else step(model, state, frame)\n"
    )
    assert len(stepped(tree)) == 2
    assert in_a_loop(tree, stepped(tree))
    assert len(stepped(ast.parse("while True: state = self.engine.step(state, frames)"))) == 1


def test_one_record_and_one_row() -> None:
    assert classes_with("boxes", "scores") == {"frame.py:Result", "frame.py:Row"}
    assert classes_with("boxes", "seconds") == {"frame.py:Result", "frame.py:Row"}
    assert classes_with("boxes", "confidence") == set()


def test_one_clock() -> None:
    assert classes_with("tracker", "waiting") == {"session/clock.py:Clock"}
