# SPDX-License-Identifier: Apache-2.0
"""The public names: they are found, typed, public all the way down, and take what people hand them."""

import dataclasses
import inspect
import subprocess
import sys
import types
import typing
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing
import pytest

import modaltrack
from modaltrack import open_clip, track
from modaltrack.tracking import Tracker

ROOMS = sorted(name for name in modaltrack.__all__ if inspect.ismodule(getattr(modaltrack, name)))
BOX = [20, 20, 16, 12]


def public_names() -> Iterator[tuple[str, str, Any]]:
    """(room, name, value) of every public name."""
    for room in ("", *ROOMS):
        module = import_module(f"modaltrack.{room}".rstrip("."))
        for name in getattr(module, "__all__", ()):
            value = getattr(module, name)
            if not inspect.ismodule(value) and name != "__version__":
                yield room, name, value


NAMES = list(public_names())
PUBLIC = {id(value) for _, _, value in NAMES}


def functions_of(value: Any) -> Iterator[Any]:
    """A function, or the public methods and properties of a class."""
    if inspect.isfunction(value):
        yield value
    elif inspect.isclass(value):
        for name, member in vars(value).items():
            member = member.fget if isinstance(member, property) else getattr(member, "__func__", member)
            if inspect.isfunction(member) and not name.startswith("_"):
                yield member


def classes_in(hint: Any) -> Iterator[type]:
    """The classes that a type names, whatever it wraps around them."""
    if inspect.isclass(hint) and not isinstance(hint, types.GenericAlias):
        yield hint
    for inner in typing.get_args(hint):
        yield from classes_in(inner)


def hints_of(value: Any) -> dict[str, Any]:
    """Annotations, with names that only type checkers import looked up in the whole package."""
    own = vars(sys.modules[value.__module__])
    everywhere = {
        name: found
        for key, module in list(sys.modules.items())
        if key.startswith("modaltrack")
        for name, found in vars(module).items()
        if inspect.isclass(found) or name.endswith("Like")
    }
    import torch

    names = {"NDArray": np.typing.NDArray, "torch": torch, **everywhere, **own}
    while True:
        try:
            return typing.get_type_hints(value, names)
        except NameError as error:  # of an optional package that only type checkers import
            names[error.name] = object


def test_importing_the_package_costs_nothing_and_finds_every_room() -> None:
    code = (
        "import sys, modaltrack; heavy = {'torch', 'numpy', 'cv2'} & set(sys.modules); "
        f"print(heavy or 'light', *(getattr(modaltrack, room).__name__ for room in {ROOMS}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["light", *(f"modaltrack.{room}" for room in ROOMS)]
    packages = {p.parent.name for p in Path(modaltrack.__file__).parent.glob("*/__init__.py")}
    assert packages - {"app", "commands", "study"} <= set(ROOMS), "name the room in modaltrack/__init__.py"
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = modaltrack.nothing  # type: ignore[attr-defined]


def test_what_public_functions_return_is_public() -> None:
    hidden = set()
    for room, name, value in NAMES:
        for function in functions_of(value):
            for kind in classes_in(hints_of(function).get("return")):
                own = kind.__module__.startswith("modaltrack") and not kind.__name__.startswith("_")  # _: opaque
                if own and id(kind) not in PUBLIC:
                    hidden.add(
                        f"{room or 'modaltrack'}.{name}: {function.__name__} returns {kind.__module__}.{kind.__name__}"
                    )
    assert sorted(hidden) == []


def test_what_public_data_holds_is_public() -> None:
    hidden = set()
    for room, name, value in NAMES:
        if dataclasses.is_dataclass(value) and inspect.isclass(value) and value.__module__.startswith("modaltrack"):
            for field, hint in hints_of(value).items():
                for kind in classes_in(hint):
                    if (
                        kind.__module__.startswith("modaltrack")
                        and id(kind) not in PUBLIC
                        and not field.startswith("_")
                    ):
                        hidden.add(f"{room or 'modaltrack'}.{name}.{field}: {kind.__module__}.{kind.__name__}")
    assert sorted(hidden) == []


def test_nothing_at_the_front_door_is_untyped() -> None:
    untyped = []
    for room, name, value in NAMES:
        if room:
            continue
        for function in functions_of(value):
            hint = hints_of(function).get("return", "lacking")
            if hint is Any or hint == "lacking":
                untyped.append(f"{name}.{function.__name__}")
    assert untyped == []


def test_a_tracker_and_track_take_names_and_folders(random_weights: Path, cameras: Path) -> None:
    model = modaltrack.load_model(random_weights, "cpu")
    specs = {"rgb": cameras / "rgb", "thermal": str(cameras / "thermal")}
    expected = track(model, list(open_clip(specs)), BOX)
    for given in (specs, cameras, str(cameras)):
        np.testing.assert_array_equal(track(str(random_weights), given, BOX).boxes, expected.boxes)
    tracker = Tracker(random_weights)
    assert "without a target" in repr(tracker)
    first = next(iter(open_clip(cameras)))
    assert tracker.init(first, BOX).score == 1
    assert repr(tracker).startswith("Tracker(sdstrack-tiny, at State(frame 0, [20.0, 20.0, 16.0, 12.0]")


def test_what_cannot_be_meant_says_what_to_pass(random_weights: Path, cameras: Path, tmp_path: Path) -> None:
    model = modaltrack.load_model(random_weights, "cpu")
    with pytest.raises(ValueError, match=r'open_clip\(\{"rgb": '):
        open_clip(cameras / "rgb")
    with pytest.raises(ValueError, match=r"holds rgb/, thermal/, depth/, event/"):
        open_clip(3)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="no box to start from"):
        track(model, cameras)
    with pytest.raises(ValueError, match="no model 'nothing'"):
        Tracker("nothing")
    with pytest.raises(ValueError, match=r"modaltrack.load_model\('x.onnx'\)"):
        Tracker("x.onnx")


def test_lines_of_public_objects_are_short(cameras: Path) -> None:
    from modaltrack.models import create

    reader = open_clip(cameras)
    assert repr(reader).startswith("ClipReader(rgb '")
    assert repr(next(iter(reader.sources.values()))).startswith("Source(rgb '")
    assert repr(create("ostrack-tiny")) == "OSTrack(ostrack-tiny, 3.3 M parameters, rgb, search 128 px, cpu)"
    assert repr(modaltrack.scenes.benchmark(clips=4, length=20)) == "Benchmark(test, 4 clips of 20 frames)"
    data = {"", "benchmarks", "evaluation", "models", "results", "runtime", "scenes", "scoring", "sources", "tracking"}
    for room, name, value in NAMES:
        if room not in data or not inspect.isclass(value) or typing_protocol(value):
            continue
        if value.__module__.startswith("modaltrack"):
            assert value.__repr__ is not object.__repr__, f"{room}.{name} shows itself as <object at 0x...>"


def typing_protocol(value: type) -> bool:
    return bool(getattr(value, "_is_protocol", False))
