# SPDX-License-Identifier: Apache-2.0
"""The study's tables, as plain cells that Markdown and HTML are made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from modaltrack.printable import markup as escape
from modaltrack.study.effects import TOO_FEW, Effect, Measured, seeds_of
from modaltrack.study.folder import StudyFolder
from modaltrack.study.plan import CORRUPTIONS, MAIN, MEASURES, RUNS, SENSORS, Run
from modaltrack.study.running import state_of

NOT_RUN = "not run"


@dataclass(frozen=True)
class StudyTable:
    """A title, what has to be known to read it, names of columns, rows of cells.

    Attributes:
        words: which columns are text.
    """

    title: str
    note: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    words: tuple[int, ...] = (0,)

    def markdown(self) -> str:
        """As a Markdown section."""
        rule = ["---" if i in self.words else "--:" for i in range(len(self.columns))]
        lines = [" | ".join(c.replace("|", "\\|") for c in row) for row in (self.columns, tuple(rule), *self.rows)]
        return f"## {self.title}\n\n{self.note}\n\n" + "\n".join(f"| {line} |" for line in lines) + "\n"

    def html(self) -> str:
        """As an HTML section."""
        kinds = ["words" if i in self.words else "number" for i in range(len(self.columns))]
        head = "".join(
            f'<th class="{kind}">{escape(name)}</th>' for kind, name in zip(kinds, self.columns, strict=True)
        )
        rows = []
        for row in self.rows:
            cells = [f'<td class="{kind}">{escape(cell)}</td>' for kind, cell in zip(kinds, row, strict=True)]
            rows.append(f"<tr>{''.join(cells)}</tr>")
        table = f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"
        return f"<h2>{escape(self.title)}</h2><p>{escape(self.note)}</p><div class='scroll'>{table}</div>"


def per_seed(measured: Measured, run: str, conditions: Sequence[str]) -> list[float]:
    """Mean success over clips and conditions, one number for each seed that was measured under all of them."""
    found = []
    for seed in seeds_of(measured, run):
        rows = measured[run, seed]["conditions"]
        assert isinstance(rows, Mapping)
        if all(name in rows for name in conditions):
            found.append(float(np.mean([rows[name]["success"] for name in conditions])))
    return found


def cell(measured: Measured, run: str, conditions: Sequence[str]) -> str:
    """``mean ± sd`` over seeds; a dash where the model cannot be given that, "not run" where nothing was measured."""
    found = per_seed(measured, run, conditions)
    if not found:
        return "–" if seeds_of(measured, run) else NOT_RUN
    return spread(found)


def spread(found: Sequence[float], sign: bool = False) -> str:
    """Numbers as mean ± sd; the mean alone where there is one."""
    mean = f"{np.mean(found):+.3f}" if sign else f"{np.mean(found):.3f}"
    return mean if len(found) < 2 else f"{mean} ± {np.std(found, ddof=1):.3f}"


def main_table(measured: Measured) -> StudyTable:
    """Every method with RGB only, X only and both."""
    columns = ["run", "seeds", "RGB only"]
    for x in SENSORS:
        columns += [f"{x} only", f"rgb+{x}"]
    rows = []
    for run in MAIN:
        sets = [["rgb"], *([name] for x in SENSORS for name in (x, f"rgb+{x}")), list(MEASURES["both"])]
        rows.append((run, str(len(seeds_of(measured, run))), *(cell(measured, run, names) for names in sets)))
    note = (
        "Success AUC, 0 to 1, mean over clips; ± is the standard deviation over seeds. The base sees one sensor at a "
        "time, others as if they were RGB; ostrack-longer is the base after as many further steps as the others had."
    )
    return StudyTable("Sensors", note, (*columns, "both, mean"), tuple(rows))


def robustness_table(measured: Measured) -> StudyTable:
    """Both sensors, one of them failing, mean over the second sensors."""
    runs = [run for run in MAIN if not run.startswith("ostrack")]
    columns = ("run", "clean", *CORRUPTIONS)
    rows = [(run, *(cell(measured, run, MEASURES[m]) for m in ("both", *CORRUPTIONS))) for run in runs]
    note = (
        "Success with both sensors, mean over thermal, depth and event. Dropped: half of a sensor's frames, at random "
        "or in bursts of 10; blocks black: 30 % of 32-pixel blocks, in each sensor by itself; moved: X is out of place."
    )
    return StudyTable("A sensor failing", note, columns, tuple(rows))


def failure_by_sensor_table(measured: Measured) -> StudyTable:
    """The same, each second sensor by itself, means over what fails."""
    runs = [run for run in MAIN if not run.startswith("ostrack")]
    groups = {
        "rgb missing": ("rgb dropped", "rgb in bursts"),
        "x missing": ("x dropped", "x in bursts"),
        "black": ("blocks black",),
        "20 px": ("x moved 20 px",),
    }
    columns = ("run", *(f"{x}: {name}" for x in SENSORS for name in groups))
    rows = [
        (run, *(cell(measured, run, [f"rgb+{x} | {w}" for w in what]) for x in SENSORS for what in groups.values()))
        for run in runs
    ]
    return StudyTable(
        "A sensor failing, by second sensor", "As above; missing is the mean of both ways.", columns, tuple(rows)
    )


def claims_table(effects: Sequence[Effect]) -> StudyTable:
    """One row per claim: what was measured."""
    rows = []
    for e in effects:
        numbers: tuple[str, ...] = ("",) * 5
        if e.verdict != TOO_FEW:
            change = f"{e.mean:+.3f}" + ("" if len(e.differences) < 2 else f" ± {e.sd:.3f}")
            between = f"{e.interval[0]:+.3f} to {e.interval[1]:+.3f}"
            numbers = (change, between, str(len(e.differences)), f"{e.first:.3f}", f"{e.second:.3f}")
        rows.append((e.claim.paper, e.claim.text, e.verdict, *numbers))
    note = (
        "Effect: first minus second, mean ± standard deviation over seeds, and its 95 % interval from draws of seeds "
        "and clips (one seed: of clips alone, which says nothing about another seed). A claim shows where the interval "
        "is above zero, is opposite where it is below. Effects are differences in success, but for the modality gap "
        "(last block minus embedding, MMD²; its spread is over sensors and draws)."
    )
    columns = ("paper", "claim", "verdict", "effect", "95 % interval", "seeds", "first", "second")
    return StudyTable("Claims", note, columns, tuple(rows), words=(0, 1, 2))


def reasons_table(effects: Sequence[Effect]) -> StudyTable:
    """One row per claim: what was compared, what the paper found, and why it may not show here."""
    rows = []
    for e in effects:
        (first, measure), (second, other) = e.claim.first, e.claim.second
        what = f"{first} − {second}, {measure}" if measure == other else f"{first} {measure} − {second} {other}"
        rows.append((e.claim.paper, e.claim.text, what, e.claim.published, e.reason))
    columns = ("paper", "claim", "first − second, measure", "published effect", "likely reason")
    note = "For the claims that do not show, the most likely reason: a conjecture."
    return StudyTable(
        "What was compared, and why a claim may not show", note, columns, tuple(rows), words=(0, 1, 2, 3, 4)
    )


def runs_table(place: StudyFolder, measured: Measured, seeds: Sequence[int]) -> StudyTable:
    """What was trained, how long, and what is missing."""
    rows = []
    for run in RUNS.values():
        shown = seeds[:1] if run.weights else seeds
        cards = [card for seed in shown if (card := place.card(run, seed)) is not None]
        states = [_state(place, measured, run, seed) for seed in shown]
        state = states[0] if len(set(states)) == 1 else "; ".join(f"seed {n}: {s}" for n, s in zip(shown, states))
        rows.append(
            (
                run.id,
                run.shows,
                state,
                _range([card["steps"] for card in cards]),
                _range([card["hours"] for card in cards], "{:.2f}"),
                _range([card["trained_parameters"] / 1e6 for card in cards], "{:.2f}"),
                _range([card["parameters"] / 1e6 for card in cards], "{:.2f}"),
            )
        )
    columns = ("run", "what it is", "state", "steps", "hours", "trained, M", "parameters, M")
    return StudyTable("Runs", "Hours are of the machine in the run's card.", columns, tuple(rows), words=(0, 1, 2))


def _state(place: StudyFolder, measured: Measured, run: Run, seed: int) -> str:
    state = state_of(place, run, seed)
    if state == "finished" and run.measured:
        return "measured" if (run.id, seed) in measured else "trained, not measured"
    return state


def _range(numbers: Sequence[float], form: str = "{:,.0f}") -> str:
    if not numbers:
        return ""
    low, high = form.format(min(numbers)), form.format(max(numbers))
    return low if low == high else f"{low} to {high}"


def seeds_in(place: StudyFolder) -> list[int]:
    """Seeds that any run in the folder has."""
    found = {path.name.rpartition("-seed")[2] for path in (place.path / "runs").glob("*-seed*")}
    return sorted(int(word) for word in found if word.isdigit()) or [0]
