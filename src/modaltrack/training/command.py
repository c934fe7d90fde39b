# SPDX-License-Identifier: Apache-2.0
"""The command line of training: a recipe's name, where to write, and any field of the recipe as an option."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from modaltrack.training.recipe import Recipe
from modaltrack.training.recipes import RECIPES, get_recipe


@dataclass(frozen=True)
class Options:
    """What a training command says."""

    out: Path
    recipe: Recipe
    device: str = "auto"
    resume: Literal["auto", "never", "must"] = "auto"
    threads: int | None = None
    export: bool = True
    batch_cache: Path | None = None
    batch_cache_gb: float = 50.0


def _usage() -> str:
    lines = ["usage: python -m modaltrack.training RECIPE --out DIR [--field value ...]", "", "recipes:"]
    for name in sorted(RECIPES):
        lines.append(f"  {name:28s} {(RECIPES[name].__doc__ or '').strip().splitlines()[0]}")
    return "\n".join([*lines, "", "RECIPE --help lists the fields of a recipe."])


def parse(argv: Sequence[str], program: str = "modaltrack train") -> Options:
    """Options from the words after the command. ValueError for an unknown recipe; tyro exits (2) on unknown fields."""
    import tyro

    given = get_recipe(argv[0])

    def options(
        out: Path,
        recipe: Annotated[Recipe, tyro.conf.arg(name="")] = given,
        device: str = "auto",
        resume: Literal["auto", "never", "must"] = "auto",
        threads: int | None = None,
        export: bool = True,
        batch_cache: Path | None = None,
        batch_cache_gb: float = 50.0,
    ) -> Options:
        """Collect the options.

        Args:
            out: Folder of the run: checkpoint, log.jsonl, card.json, weights.
            recipe: The fields of the recipe.
            device: auto, cpu, cuda, cuda:1 ...
            resume: Go on where a checkpoint is / begin anew over it / insist on one.
            threads: Torch threads.
            export: Write the weights file when the run has finished.
            batch_cache: Folder that keeps rendered batches for other runs with the same samples.
            batch_cache_gb: Size in GB (1e9 bytes) that this folder may reach.
        """
        return Options(out, recipe, device, resume, threads, export, batch_cache, batch_cache_gb)

    # Annotations are resolved by hand: they name tyro, which is imported only here.
    options.__annotations__.update(recipe=Annotated[Recipe, tyro.conf.arg(name="")])
    return tyro.cli(options, args=list(argv[1:]), prog=f"{program} {argv[0]}", description=RECIPES[argv[0]].__doc__)


def cli_main(argv: Sequence[str]) -> int:
    """Run the command; returns the exit status: 0 finished, 2 wrong usage, 3 stopped before the end."""
    if not argv or argv[0] in ("-h", "--help", "list"):
        print(_usage())
        return 0 if argv else 2
    try:
        options = parse(argv)
        from modaltrack.training.loop import train

        card = train(
            options.recipe,
            options.out,
            options.device,
            options.resume,
            options.threads,
            batch_cache=options.batch_cache,
            batch_cache_gb=options.batch_cache_gb,
        )
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
