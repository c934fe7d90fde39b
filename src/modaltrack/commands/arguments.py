# SPDX-License-Identifier: Apache-2.0
"""From the words of a command line to a command's ``Options``: at once where they are plain, else through tyro.

Importing tyro and building its parser takes a quarter of a whole ``score PRED TRUTH``: 0.39 s of processor time with it
and 0.30 s without (best of three each, alternating, on a busy machine). A command that is called in loops
names tyro's markers for type checkers only; its words are read here when every one of them is understood, and anything
else (help, a mistake, an unusual spelling) goes to tyro, whose answers are the same and whose messages are better.
"""

from __future__ import annotations

import sys
import types
from collections.abc import Sequence
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

MARKERS = ("Positional", "UseAppendAction", "arg")


class _Marked:
    """Stands for one of tyro's markers: ``Positional[T]`` notes its own name beside T."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __getitem__(self, kind: object) -> object:
        return Annotated[kind, self.name]


def parse(module: types.ModuleType, prog: str, words: Sequence[str]) -> object:
    """``module.Options`` made from the words; SystemExit after help or a command line that cannot be understood."""
    names = vars(sys.modules[module.Options.__module__])  # of the module whose names the annotations use
    if "arg" not in names:
        options = plainly(module, words)
        if options is not None:
            return options
    import tyro

    # here the annotations are evaluated, and tyro looks for their names in the module
    names.update({name: getattr(tyro.conf, name) for name in MARKERS if name not in names})
    return tyro.cli(module.Options, prog=prog, args=list(words))


def plainly(module: types.ModuleType, words: Sequence[str]) -> object:
    """``module.Options``, or None where a word or an annotation is not one of the plain kinds."""
    stand_ins = {name: _Marked(name) for name in MARKERS[:2]} | {"arg": dict}
    names = vars(sys.modules[module.Options.__module__])
    hints = get_type_hints(module.Options, {**names, **stand_ins}, include_extras=True)
    places, flags = [], {}
    for field in fields(module.Options):
        marks = get_args(hints[field.name])[1:] if get_origin(hints[field.name]) is Annotated else ()
        if "Positional" in marks:
            places.append(field.name)
        else:
            flags["--" + field.name.replace("_", "-")] = field.name
    values: dict[str, Any] = {}
    left = list(words)
    while left:
        word = left.pop(0)
        if not word.startswith("-"):
            if not places:
                return None
            name, text = places.pop(0), word
        else:
            flag, equals, text = word.partition("=")
            found = flags.get(flag.replace("_", "-"))
            if found is None:
                return None
            name = found
            if _plain(hints[name]) is bool:
                if equals or name in values:
                    return None
                values[name] = True
                continue
            if not equals:
                if not left:
                    return None
                text = left.pop(0)
        value = _value(_plain(hints[name]), text)
        if value is None:
            return None
        if isinstance(value, list):
            value = [*values.get(name, []), *value]
        elif name in values:
            return None
        values[name] = value
    if any(
        f.name not in values and f.default is MISSING and f.default_factory is MISSING for f in fields(module.Options)
    ):
        return None
    return module.Options(**values)


def _plain(hint: object) -> object:
    return get_args(hint)[0] if get_origin(hint) is Annotated else hint


def _value(kind: object, text: str) -> object:
    """The value of one word, None where it takes tyro to tell."""
    if not text or text.startswith("-") or text == "None":
        return None
    if get_origin(kind) in (Union, types.UnionType):
        kind = next((k for k in get_args(kind) if k is not type(None)), None)
    if kind is str or kind is Path:
        return kind(text)
    if get_origin(kind) is Literal:
        return text if text in get_args(kind) else None
    return [text] if kind == list[str] else None
