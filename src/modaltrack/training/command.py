# SPDX-License-Identifier: Apache-2.0
"""The command line of training: a recipe's name, where to write, and any field of the recipe as an option."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from modaltrack.training.recipes import RECIPES, Recipe, get_recipe


@dataclass(frozen=True)
class Options:
    """Train a recipe; every field of it can be set."""

    out: Path
    """Folder of the run: checkpoint, log.jsonl, card.json, weights."""
    recipe: Recipe
    """The recipe."""
    device: str = "auto"
    """auto, cpu, cuda, cuda:1 ..."""
    resume: Literal["auto", "never", "must"] = "auto"
    """Go on where a checkpoint is / begin anew over it / insist on one."""
    threads: int | None = None
    """Torch threads."""
    export: bool = True
    """Write the weights file when the run has finished."""


def _usage() -> str:
    lines = ["usage: python -m modaltrack.training RECIPE --out DIR [--field value ...]", "", "recipes:"]
    for name in sorted(RECIPES):
        lines.append(f"  {name:28s} {(RECIPES[name].__doc__ or '').strip().splitlines()[0]}")
    return "\n".join([*lines, "", "RECIPE --help lists the fields of a recipe."])


def parse(argv: Sequence[str], program: str = "modaltrack train") -> Options:
    """Options from the words after the command. Raises ValueError for an unknown recipe; tyro exits on unknown fields."""
    import tyro

    recipe = get_recipe(argv[0])
    flat = tyro.conf.OmitArgPrefixes
    made = tyro.cli(
        Annotated[Options, flat],
        args=list(argv[1:]),
        prog=f"{program} {argv[0]}",
        default=Options(out=tyro.MISSING, recipe=recipe),
        description=RECIPES[argv[0]].__doc__,
    )
    assert isinstance(made, Options)
    return made


def cli_main(argv: Sequence[str]) -> int:
    """Run the command; returns the exit status: 0 finished, 2 wrong usage, 3 stopped before the end."""
    if not argv or argv[0] in ("-h", "--help", "list"):
        print(_usage())
        return 0 if argv else 2
    try:
        options = parse(argv)
        from modaltrack.training.loop import train

        card = train(options.recipe, options.out, options.device, options.resume, options.threads)
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    if not card["finished"]:
        return 3
    if options.export:
        import os

        if os.environ.get("RANK", "0") == "0":
            from modaltrack.training.start import export

            print(f"Wrote {export(options.out)}")
    return 0
