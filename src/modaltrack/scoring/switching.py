# SPDX-License-Identifier: Apache-2.0
"""A protocol with some switches changed by hand, and said so in its version."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any, Literal, get_args, get_origin, get_type_hints

from modaltrack.scoring.records import Protocol, Switches


def with_switches(protocol: Protocol, changes: Sequence[str]) -> Protocol:
    """The protocol with ``name=value`` applied, e.g. ``rounding=all``; its version then says what was changed.

    Raises:
        ValueError: on a switch or a value that does not exist, and for protocols with an engine of their own.
    """
    if not changes:
        return protocol
    if protocol.compute is not None:
        raise ValueError(f"{protocol.name} is scored by the VOT rules, which have no switches; leave --switch out.")
    values: dict[str, Any] = {}
    hints = get_type_hints(Switches)
    for change in changes:
        name, equals, text = change.partition("=")
        name = name.strip().replace(" ", "_").replace("-", "_")
        if not equals or name not in hints:
            known = ", ".join(f.name for f in fields(Switches))
            raise ValueError(f"{change!r} changes no switch; write NAME=VALUE with one of {known}.")
        values[name] = _value(name, text.strip(), hints[name])
    said = ", ".join(f"{n} = {v}" for n, v in values.items())
    return replace(
        protocol,
        switches=replace(protocol.switches, **values),
        version=f"{protocol.version}, changed: {said}",
        verified=protocol.verified,
    )


def _value(name: str, text: str, kind: object) -> object:
    if get_origin(kind) is Literal:
        if text in get_args(kind):
            return text
        raise ValueError(f"The switch {name} cannot be {text!r}; it is one of {', '.join(map(repr, get_args(kind)))}.")
    if kind is bool:
        if text.lower() in ("true", "false"):
            return text.lower() == "true"
        raise ValueError(f"The switch {name} is true or false, not {text!r}.")
    try:
        number = float(text)
    except ValueError:
        raise ValueError(f"The switch {name} is a number, not {text!r}.") from None
    if not 0 < number < 1e6 and not (name == "error_decimals" and 0 <= number < 20):
        raise ValueError(f"The switch {name} must be above 0, not {text}.")
    if name in ("success_points", "error_decimals"):
        if number != int(number) or (name == "success_points" and number < 2):
            raise ValueError(f"The switch {name} is a whole number (success_points: at least 2), not {text!r}.")
        return int(number)
    return number
