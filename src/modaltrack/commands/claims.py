# SPDX-License-Identifier: Apache-2.0
"""Every table of numbers in README and documentation: where its numbers are from, and what makes them again.

A test finds the tables in the pages and asks for a row here.
"""

from __future__ import annotations

import fnmatch
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Claim:
    """Tables of one origin.

    Attributes:
        name: what ``modaltrack reproduce NAME`` calls it.
        tables: pages, or PAGE#HEADING | FIRST ROW |, with * and ?; of several that fit the longest counts.
        kind: measured (a command makes the numbers again), quoted (from a paper), rule (constants of a method, which
            tests compare with the code).
        what: in a few words.
        command: what makes the numbers, run in a clone; {data} is a folder of clips, {out} a new file.
        quick: a part of it that takes minutes.
        takes: how long, on two cores; "" where nothing is run.
        agree: how the outcome is compared: "cards" (with the weights' cards), "tests" (the command's exit code), "eye"
            (printed beside the page: times depend on the machine).
        tolerance: largest difference of a success that counts as agreeing; 0 where it does not apply.
    """

    name: str
    tables: tuple[str, ...]
    kind: Literal["measured", "quoted", "rule"]
    what: str
    command: str = ""
    quick: str = ""
    takes: str = ""
    agree: Literal["cards", "tests", "eye", ""] = ""
    tolerance: float = 0.0


_TINY = "python benchmarks/scenes_benchmark.py ostrack-tiny sdstrack-tiny tpf-tiny --json {out}"
_LAPTOP = (
    "python benchmarks/scenes_benchmark.py ostrack-laptop modaltrack-laptop sdstrack-laptop srtrack-laptop "
    "smstracker-laptop ainet-laptop tpf-laptop --clips 20 --length 30 --json {out} "
    "--sensors rgb rgb+thermal rgb+depth rgb+event"
)
_CLIPS = "python benchmarks/real_clips.py {names} --data {data} --json {out}"

CLAIMS: tuple[Claim, ...] = (
    Claim(
        "scenes",
        ("docs/models.md#*| sensors | ostrack-tiny*",),
        "measured",
        "success of the tiny weights on rendered clips, sensor by sensor",
        _TINY,
        "python benchmarks/scenes_benchmark.py tpf-tiny --sensors rgb+depth --json {out}",
        "2 hours; quick: 3 minutes",
        "cards",
        0.01,
    ),
    Claim(
        "scenes-laptop",
        ("docs/models.md#*| sensors | modaltrack-laptop*",),
        "measured",
        "success of the laptop weights on rendered clips, alone and with RGB",
        _LAPTOP,
        "python benchmarks/scenes_benchmark.py ostrack-laptop --clips 20 --length 30 --sensors rgb --json {out}",
        "30 minutes; quick: 2 minutes",
        "cards",
        0.01,
    ),
    Claim(
        "real-clips",
        ("README.md#How good, how fast*", "docs/models.md#*| clip and sensors |*", "docs/methods/modaltrack.md"),
        "measured",
        "success on real clips, each sensor alone and both (--data: a folder with rgb/, rgbt/, rgbd/, rgbe/ in it)",
        _CLIPS,
        "python benchmarks/real_clips.py modaltrack-laptop --data {data} --json {out}",
        "1 hour; quick: 5 minutes",
        "cards",
        0.03,
    ),
    Claim(
        "status",
        ("docs/models.md", "docs/limits.md"),
        "measured",
        "how far score and status can be believed, on real clips that no weights were trained on",
        "python benchmarks/status_on_clips.py modaltrack-laptop --data {data} --json {out}",
        "python benchmarks/status_on_clips.py tpf-tiny --data {data} --json {out}",
        "30 minutes; quick: 10 minutes",
        "eye",
    ),
    Claim(
        "costs",
        ("docs/methods.md", "docs/methods/smstracker.md#1.7*", "docs/methods/srtrack.md#1.1*"),
        "measured",
        "parameters, GMACs, time, memory and reference error of every model; published results beside them are quoted",
        "python benchmarks/method_table.py",
        "python -m pytest -q tests/models/test_parity.py",
        "20 minutes; quick: 2 minutes",
        "eye",
    ),
    Claim(
        "scoring",
        ("docs/scoring.md", "docs/evaluation.md"),
        "measured",
        "scores here beside those of the official programs and of the package rgbt",
        "python -m pytest -q tests/scoring",
        "python -m pytest -q tests/scoring/test_official.py tests/scoring/test_rgbt_oracle.py",
        "2 minutes",
        "tests",
    ),
    Claim(
        "export",
        ("docs/export.md",),
        "measured",
        "how far exported graphs are from torch",
        "python benchmarks/precision_loss.py --json {out}",
        "python -m pytest -q tests/models/test_export.py",
        "1 hour; quick: 5 minutes",
        "eye",
    ),
    Claim(
        "speed",
        ("docs/speed.md", "docs/guides/small_machine.md", "docs/index.md", "docs/zh/*"),
        "measured",
        "milliseconds and frames per second: of this machine, so compare the ratios",
        "bash benchmarks/quiet_window.sh {out}",
        "modaltrack bench --json {out}",
        "8 minutes; quick: 2 minutes",
        "eye",
    ),
    Claim(
        "selective-scan",
        ("docs/selective_scan.md",),
        "measured",
        "time of the selective scans: compare the ratios",
        "python benchmarks/bench_scan.py --backward",
        "python benchmarks/bench_scan.py --lengths 320 --rounds 2",
        "3 minutes; quick: 1 minute",
        "eye",
    ),
    Claim(
        "training-speed",
        ("docs/training.md#Speed*",),
        "measured",
        "samples per second of the recipes: compare the ratios",
        "python benchmarks/bench_training.py",
        "python benchmarks/bench_training.py --steps 2 --threads 1 --amp none --workers 0",
        "15 minutes; quick: 2 minutes",
        "eye",
    ),
    Claim(
        "study",
        ("docs/study/*", "docs/study.md", "docs/tpf_training.md"),
        "measured",
        "the study of the papers' claims, and TPF's experts and gap, from its recorded runs",
        "modaltrack study --help",
        "python -m pytest -q tests/study/test_effects.py tests/study/test_published.py",
        "70 hours of training (docs/study.md); quick: the page from the recorded runs, 1 minute",
        "tests",
    ),
    Claim(
        "papers",
        ("docs/methods/*",),
        "quoted",
        "results and settings that the papers print; the method's constants among them are compared by tests/models",
    ),
    Claim(
        "recipes",
        (
            "docs/training.md",
            "docs/training_data.md",
            "docs/data.md",
            "docs/scenes.md",
            "docs/eval.md",
            "docs/track.md",
        ),
        "rule",
        "settings of recipes and options, which the code holds: modaltrack train RECIPE --help, tests/training",
    ),
    Claim("guides", ("docs/guides/*", "docs/*.md", "README.md"), "rule", "examples of options and their defaults"),
)


def claim_of(page: str, heading: str) -> Claim | None:
    """The row that a table belongs to, by its page and "the heading above it | its | first | row |"."""
    fits = [
        (len(pattern), -number)
        for number, claim in enumerate(CLAIMS)
        for pattern in claim.tables
        if fnmatch.fnmatchcase(f"{page}#{heading}" if "#" in pattern else page, pattern)
    ]
    return CLAIMS[-max(fits)[1]] if fits else None
