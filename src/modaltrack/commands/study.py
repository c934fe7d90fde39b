# SPDX-License-Identifier: Apache-2.0
"""``modaltrack study [run|evaluate|table] --out DIR``."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from tyro.conf import Positional

if TYPE_CHECKING:
    from modaltrack.frame import Clip
    from modaltrack.study.plan import Run


@dataclass
class Options:
    """Train the study's runs, measure them, and write its tables: which claims of the five papers hold here.

    'study run' trains what is missing, 'study evaluate' tracks the test clips with every finished run once, and
    'study table' makes study.md, study.html and the figures from the run cards and those measurements alone, in
    seconds. Without a verb: all three. Each goes on where it was stopped, and several processes may work on one folder.
    """

    verb: Positional[Literal["run", "evaluate", "table", "all"]] = "all"
    """What to do."""
    out: Path = Path("modaltrack-study")
    """Folder of the study."""
    only: str = ""
    """Ids of runs, with commas between; 'list' prints them."""
    seeds: str = "0,1,2"
    """Seeds, with commas between."""
    steps: int | None = None
    """Steps of each run, kept in the folder; default 1500."""
    batch: int | None = None
    """Samples of a step, kept in the folder; default 32."""
    clips: int | None = None
    """Clips of the test half to measure on, kept in the folder; default 12."""
    frames: int | None = None
    """Frames of each, kept in the folder; default 40."""
    size: Literal["tiny", "laptop"] | None = None
    """Size of all models, kept in the folder; default tiny."""
    rate: float | None = None
    """Factor on every recipe's learning rate, kept in the folder; default 1. A few hundred steps want about 1/2."""
    batch_cache: Path | None = None
    """Keep rendered training batches here for the other runs of the same seed: about 4 MB a step."""
    device: str = "auto"
    """auto, cpu, cuda ..."""
    threads: int = 1
    """Torch threads."""
    workers: int = 1
    """Processes that render ahead; 0 where the cache is full or cores are short."""
    minutes: float | None = None
    """Stop after so long; the same command goes on. A measurement that has begun is finished."""


def run(options: Options) -> int:
    """Do it; -> 0, 1 where a run failed, 3 where it was stopped or runs are in work elsewhere."""
    from modaltrack.commands.terminal import out
    from modaltrack.study.folder import open_folder
    from modaltrack.study.plan import RUNS

    if options.only == "list":
        for row in RUNS.values():
            out().print(f"{row.id:<22}{row.shows}")
        return 0
    runs = _runs(options.only)
    try:
        seeds = tuple(int(word) for word in options.seeds.split(","))
    except ValueError:
        raise ValueError(f"--seeds is {options.seeds!r}; give whole numbers with commas, as in 0,1,2.") from None
    if options.minutes is not None and not options.minutes > 0:
        raise ValueError(f"--minutes is {options.minutes:g}; give more than 0.")
    budget = {name: getattr(options, name) for name in ("steps", "batch", "clips", "frames", "rate", "size")}
    place, settings = open_folder(options.out, **budget)
    until = None if options.minutes is None else time.monotonic() + 60 * options.minutes
    states: dict[str, str] = {}
    if options.verb in ("run", "all"):
        from modaltrack.study.running import Machine, train_missing

        machine = Machine(options.device, options.threads, options.workers, options.batch_cache)
        states = train_missing(place, settings, runs, seeds, machine, out().print, until=until)
        if "stopped" in states.values():
            return _stopped()
    if options.verb in ("evaluate", "all"):
        from modaltrack.study.clip_store import study_clips
        from modaltrack.study.measuring import evaluate_missing

        def clips() -> list[Clip]:
            return study_clips(options.out / "clips", settings, out().print)

        device, threads = options.device, options.threads
        found = evaluate_missing(place, settings, runs, seeds, clips, device, threads, out().print, until)
        if "stopped" in found.values():
            return _stopped()
    if options.verb in ("table", "all"):
        from modaltrack.study.pages import write_study

        for path in write_study(place, settings):
            out().print(f"Wrote {path}")
    for name, state in states.items():
        if not state.startswith("finished"):
            out().print(f"{name}: {state}")
    left = sum(state == "in work elsewhere" or state.startswith("waits for") for state in states.values())
    if left:
        out().print(f"{left} of {len(states)} runs are not finished here; once others have, the same command goes on.")
    return 1 if "failed" in states.values() else 3 if left else 0


def _stopped() -> int:
    from modaltrack.commands.terminal import out

    out().print("Stopped before the end; the same command goes on.")
    return 3


def _runs(only: str) -> list[Run]:
    """The runs of that list, with the first stages that they start from."""
    from modaltrack.study.plan import RUNS, run_of

    if not only:
        return list(RUNS.values())
    wanted = [run_of(word.strip()) for word in only.split(",")]
    names = {row.id for row in wanted} | {row.start for row in wanted}
    return [row for row in RUNS.values() if row.id in names]
