# SPDX-License-Identifier: Apache-2.0
"""``modaltrack reproduce [NAME]``: the tables of README and documentation, made again and compared."""

from __future__ import annotations

import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

if TYPE_CHECKING:
    from tyro.conf import Positional, arg  # bound by commands.arguments where they are needed

    from modaltrack.commands.claims import Claim


@dataclass
class Options:
    """Make the numbers of a table in README or documentation again, and say whether they agree.

    Without NAME: every table, what makes it and how long that takes. The commands are those of a clone of the
    repository, and are run in it. Exit code 1: a number differs by more than the tolerance.
    """

    name: Positional[Annotated[str, arg(metavar="[NAME]")]] = ""
    """A name from the list."""
    quick: bool = False
    """A part of it that takes minutes."""
    data: Annotated[Path | None, arg(metavar="FOLDER")] = None
    """Where the real clips lie, for tables of real clips."""
    clone: Annotated[Path, arg(metavar="FOLDER")] = Path(".")
    """The clone of the repository to run in."""
    dry_run: bool = False
    """Print the command and do not run it."""


def run(options: Options) -> int:
    """List, or run and compare; -> 0, or 1 where numbers disagree or the command fails."""
    from modaltrack.commands.claims import CLAIMS

    if not options.name:
        return _list()
    claim = next((c for c in CLAIMS if c.name == options.name), None)
    if claim is None:
        raise ValueError(f"There is no table {options.name!r}; there are {', '.join(c.name for c in CLAIMS)}.")
    return _reproduce(claim, options)


def _list() -> int:
    from modaltrack.commands.claims import CLAIMS
    from modaltrack.commands.terminal import out, table

    rows = table("tables of numbers in README and documentation", "name", "numbers", "takes", "what", keep=1)
    for claim in CLAIMS:
        rows.add_row(claim.name, claim.kind, claim.takes or "-", f"{claim.what} ({', '.join(claim.tables)})")
    console = out()
    console.print(rows)
    console.print(
        "measured: 'modaltrack reproduce NAME [--quick]' in a clone; quoted: from the papers; rule: constants."
    )
    return 0


def _reproduce(claim: Claim, options: Options) -> int:
    from modaltrack.commands.terminal import out

    console = out()
    if claim.kind != "measured":
        console.print(f"{claim.name}: nothing to run. These tables hold {claim.what}.", markup=False)
        return 0
    command = claim.quick if options.quick else claim.command
    if "{data}" in command and options.data is None and not options.dry_run:
        raise ValueError(
            f"{claim.name} is measured on real clips; add --data FOLDER (rgb/, rgbt/, rgbd/, rgbe/ in it)."
        )
    if not options.dry_run and not (options.clone / "benchmarks" / "real_clips.py").is_file():
        raise ValueError(
            f"{options.clone.resolve()} is no clone of modaltrack, whose benchmarks/ holds what makes the tables; run "
            "this in one, or add --clone FOLDER."
        )
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "out.json"
        words = list(_words(command, claim, place, options.data))
        console.print(f"{claim.name}: {claim.what}\ntakes {claim.takes}\n$ {shlex.join(words)}", markup=False)
        if options.dry_run:
            return 0
        if code := subprocess.run(_here(words), cwd=options.clone).returncode:
            console.print(f"{claim.name}: the command failed with exit code {code}.", markup=False)
            return 1
        if claim.agree != "cards":
            last = "agrees" if claim.agree == "tests" else "compare by eye: times are this machine's"
            console.print(f"{claim.name}: {last}.", markup=False)
            return 0
        return _compare(claim, measured(place))


def _words(command: str, claim: Claim, place: Path, data: Path | None) -> Iterator[str]:
    """The words of a command, its placeholders filled in."""
    from modaltrack.models.catalogue import listed_weights

    weights = listed_weights().items()
    names = [name for name, one in weights if any("real clips" in k for k in one.card.get("measured") or {})]
    for word in shlex.split(command):
        if word == "{names}":
            yield from names
        else:
            yield word.replace("{out}", str(place)).replace("{data}", "DATA" if data is None else str(data.resolve()))


def _here(words: list[str]) -> list[str]:
    """The same command by this interpreter."""
    known = {"python": [sys.executable], "modaltrack": [sys.executable, "-m", "modaltrack"]}
    return [*known.get(words[0], words[:1]), *words[1:]]


def measured(file: Path) -> dict[tuple[str, str], float]:
    """(model, what as its card names it) -> success, from the JSON file of one of the benchmark scripts."""
    from modaltrack.files import read_json

    document = read_json(file, "a file of benchmarks/scenes_benchmark.py or benchmarks/real_clips.py was expected.")
    if "tables" in document:
        tables: Mapping[str, Mapping[str, Mapping[str, Any]]] = document["tables"]
        return {(name, s): float(row["success"]) for name, table in tables.items() for s, row in table.items()}
    return {(r["tracker"], f"{r['clip']} {r['sensors']}"): float(r["auc"]) for r in document["rows"]}


def stated(name: str, what: str) -> float | None:
    """What a card says; None where it says nothing of it."""
    from modaltrack.models.catalogue import listed_weights

    known = listed_weights().get(name)
    for value in (known.card.get("measured") or {}).values() if known else ():
        found = value.get(what) if isinstance(value, Mapping) else None
        if isinstance(found, Mapping):
            found = found.get("success")
        if isinstance(found, int | float):
            return float(found)
    return None


def _compare(claim: Claim, found: Mapping[tuple[str, str], float]) -> int:
    from modaltrack.commands.terminal import out, table

    rows = table(claim.name, "model", "of", ">stated", ">here", ">difference", keep=2)
    worst, count = 0.0, 0
    for (name, what), here in found.items():
        said = stated(name, what)
        if said is not None:
            worst, count = max(worst, abs(here - said)), count + 1
            rows.add_row(name, what, f"{said:.3f}", f"{here:.3f}", f"{here - said:+.4f}")
    console = out()
    console.print(rows)
    if not count:
        console.print("Nothing that the cards state was measured: no verdict.", markup=False)
        return 1
    verdict = "agree" if worst <= claim.tolerance else "DIFFER"
    console.print(
        f"{count} numbers {verdict}: largest difference {worst:.4f}, tolerance {claim.tolerance}", markup=False
    )
    return int(worst > claim.tolerance)
