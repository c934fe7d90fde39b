# SPDX-License-Identifier: Apache-2.0
"""The command line of training: a recipe's name, where to write, and any field of the recipe as an option."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Literal

from modaltrack.printable import one_line
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
    memory: float | None = None
    sheet: Path | None = None


def _usage() -> str:
    """What the command does and every recipe in a line."""
    on_scenes = [name for name in sorted(RECIPES) if name.endswith("-scenes")]
    on_data = [name for name in sorted(RECIPES) if name not in on_scenes]
    width = max(map(len, RECIPES))
    lines = [
        "usage: modaltrack train RECIPE --out DIR [--field value ...]",
        "       modaltrack train RECIPE --sheet FILE [--data FOLDER]       look at its pairs before training",
        "       modaltrack train list [--markdown]",
    ]
    for title, names in (
        ("on rendered scenes: nothing to download, two CPU cores", on_scenes),
        ("on data sets as downloaded (modaltrack data list), with the authors' numbers", on_data),
    ):
        lines += ["", f"Recipes {title}:"]
        lines += [f"  {name:{width}s}  {_first_line(name)}" for name in names]
    return "\n".join(
        [
            *lines,
            "",
            "RECIPE --help says what to expect of a recipe and lists its fields; each is an option. Often used:",
            "  --steps N --batch N --seed N --device cuda --threads N     how long, how much, where",
            "  --data FOLDER                                              your own pictures and clips",
            "  --data-root DIR --start-from FILE                          where data sets and start weights are",
            "  --memory GB                                                cut steps so that they fit into this memory",
            "  --adaptation full|head|lora|adapters                       train other parts, to compare with",
            "The same command again goes on where a run was stopped. On several GPUs: torchrun -m modaltrack.training.",
        ]
    )


def markdown() -> str:
    """The table of recipes of docs/training.md, from their fields and docstrings."""
    rows = ["| recipe | what | starts from | steps x batch | to expect |", "| --- | --- | --- | --- | --- |"]
    for name in sorted(RECIPES):
        recipe, doc = get_recipe(name), RECIPES[name].__doc__ or ""
        stated = re.search(r"(?:^|\n)\s*Expect: (.*?)\n\s*Hardware", doc, re.DOTALL)
        expect = " ".join(stated[1].split()) if stated else "its card, or below"
        start = f"`{recipe.start_from}`" if recipe.start_from else "random weights"
        rows.append(f"| `{name}` | {_first_line(name)} | {start} | {recipe.steps:,} x {recipe.batch} | {expect} |")
    return "\n".join(rows)


def _first_line(name: str) -> str:
    return (RECIPES[name].__doc__ or "").strip().splitlines()[0]


def parse(argv: Sequence[str], program: str = "modaltrack train") -> Options:
    """Options from the words after the command.

    Raises:
        ValueError: for an unknown recipe; tyro exits (2) on unknown fields.
    """
    import tyro

    given = get_recipe(argv[0])
    if "--data" in argv:  # else tyro would know the recipe's own sets alone, as --data.NAME
        given = replace(given, data={})

    def options(
        out: Path | None = None,
        recipe: Annotated[Recipe, tyro.conf.arg(name="")] = given,
        device: str = "auto",
        resume: Literal["auto", "never", "must"] = "auto",
        threads: int | None = None,
        export: bool = True,
        batch_cache: Path | None = None,
        batch_cache_gb: float = 50.0,
        memory: float | None = None,
        sheet: Path | None = None,
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
            memory: GB (1e9 bytes) that a step may take on each device; sets accumulation and activation_checkpointing.
            sheet: Draw the first pairs of the recipe into this JPEG or PNG instead of training on them.
        """
        if out is None and sheet is None:
            raise ValueError("A run needs a folder to write into: give --out DIR (or --sheet FILE).")
        where = out or Path()
        return Options(where, recipe, device, resume, threads, export, batch_cache, batch_cache_gb, memory, sheet)

    # Annotations are resolved by hand: they name tyro, which is imported only here.
    options.__annotations__.update(recipe=Annotated[Recipe, tyro.conf.arg(name="")])
    return tyro.cli(
        options, args=_with_weights(argv[1:]), prog=f"{program} {argv[0]}", description=RECIPES[argv[0]].__doc__
    )


def _with_weights(words: Sequence[str]) -> list[str]:
    """``--data FOLDER`` as ``--data FOLDER 1``: what follows without a number has the weight 1."""
    whole, inside = [], False
    for word, following in zip(words, [*words[1:], "--"]):
        whole.append(word)
        if word.startswith("--"):
            inside = word == "--data"
        elif inside and not _is_number(word) and not _is_number(following):
            whole.append("1")
    return whole


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def _fitted(options: Options, gigabytes: float) -> Recipe:
    """The recipe cut to fit into memory, which is said once."""
    import torch

    from modaltrack.models.weights_io import pick_device
    from modaltrack.training.memory import fit

    if options.threads is not None:
        torch.set_num_threads(options.threads)
    recipe, message = fit(
        options.recipe, gigabytes, pick_device(options.device).type, int(os.environ.get("WORLD_SIZE", 1))
    )
    if os.environ.get("RANK", "0") == "0":
        print(message, file=sys.stderr)
    return recipe


def cli_main(argv: Sequence[str]) -> int:
    """Run the command; returns the exit status: 0 finished, 2 an error of the input, 3 stopped before the end."""
    if not argv or argv[0] in ("-h", "--help", "list"):
        print(markdown() if "--markdown" in argv else _usage())
        return 0 if argv else 2
    try:
        options = parse(argv)
        if options.sheet is not None:
            from modaltrack.training.sheet import write_sheet

            print(f"Wrote {options.sheet} with {write_sheet(options.recipe, options.sheet)} pairs")
            return 0
        recipe = options.recipe if options.memory is None else _fitted(options, options.memory)
        from modaltrack.training.loop import train

        card = train(
            recipe,
            options.out,
            options.device,
            options.resume,
            options.threads,
            batch_cache=options.batch_cache,
            batch_cache_gb=options.batch_cache_gb,
        )
    except OSError as error:  # a full disk, a folder without permission
        where = f"{error.filename}: " if error.filename else ""
        print(f"error: {one_line(f'{where}{error.strerror or error}')}", file=sys.stderr)
        return 2
    except ValueError as error:
        print(f"error: {one_line(str(error))}", file=sys.stderr)
        return 2
    if not card["finished"]:
        return 3
    if options.export and os.environ.get("RANK", "0") == "0":
        from modaltrack.training.start import export

        print(f"Wrote {export(options.out)}")
        if not recipe.data:
            from modaltrack.training.held_out import held_out_losses

            before, after = held_out_losses(recipe, options.out)
            print(f"On the same held-out pairs, the loss was {before:.3f} at the start and is {after:.3f} now.")
    return 0
