# SPDX-License-Identifier: Apache-2.0
"""The study as files: study.md, study.html (needs nothing else) and one SVG per figure, from cards and measurements."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from modaltrack.files import write_file
from modaltrack.printable import markup as escape
from modaltrack.report.page import STYLE
from modaltrack.study.effects import effect, load
from modaltrack.study.figures import figures
from modaltrack.study.folder import Settings, StudyFolder, read_json
from modaltrack.study.plan import CLAIMS
from modaltrack.study.tables import (
    claims_table,
    failure_by_sensor_table,
    main_table,
    reasons_table,
    robustness_table,
    runs_table,
    seeds_in,
)

WRAP = (
    "body { max-width: 1200px; } svg { max-width: 620px; } "
    ".words { white-space: normal; text-align: left; } td.words { min-width: 8.5em; }"
)


def write_study(place: StudyFolder, settings: Settings) -> list[Path]:
    """Write the tables and figures of what is in the folder; -> the files.

    ``reasons.json`` in the folder, claim id -> text, overrules the plan's.

    Raises:
        ValueError: for ids that no claim has.
    """
    measured, other = load(place, settings)
    reasons: dict[str, Any] = read_json(place.path / "reasons.json") or {}
    if strange := sorted(set(reasons) - {claim.id for claim in CLAIMS}):
        known = ", ".join(claim.id for claim in CLAIMS)
        raise ValueError(f"{place.path / 'reasons.json'} speaks of {strange[0]!r}; the claims are {known}.")
    effects = [effect(claim, measured, reasons) for claim in CLAIMS]
    tables = [
        main_table(measured),
        claims_table(effects),
        reasons_table(effects),
        robustness_table(measured),
        failure_by_sensor_table(measured),
        runs_table(place, measured, seeds_in(place)),
    ]
    drawings = figures(measured, effects)
    intro = _intro(settings, other)
    text = f"# Study\n\n{intro}\n\n" + "\n".join(table.markdown() for table in tables)
    text += "".join(f"\n![{drawing.title}]({name}.svg)\n" for name, drawing in drawings.items())
    plots = "".join(f"<div>{drawing.svg(name)}</div>" for name, drawing in drawings.items())
    page = (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>Study</title><style>{STYLE}{WRAP}</style></head><body><h1>Study</h1><p>{escape(intro)}</p>"
        f'<div class="figures">{plots}</div>' + "\n".join(table.html() for table in tables) + "</body></html>\n"
    )
    files = {"study.md": text, "study.html": page, **{f"{name}.svg": f"{d.svg()}\n" for name, d in drawings.items()}}
    return [write_file(place.path / name, content) for name, content in files.items()]


def _intro(settings: Settings, other: list[str]) -> str:
    rate = "" if settings.rate == 1 else f", at {settings.rate:g} of the recipe's learning rate"
    intro = (
        f"Every run had {settings.steps:,} steps of {settings.batch} samples of rendered scenes{rate}, from the same "
        f"base (ostrack-{settings.size}), and was tracked on {settings.clips} clips of {settings.frames} frames of the "
        "test half of scenes.benchmark, half easy, half hard. The tracker believes every peak (the authors' rule), so "
        f"that no threshold has to be fitted. These are {settings.size} models and rendered clips: what shows here may "
        "fail at full size, and the other way round."
    )
    if other:
        intro += f" Left out, measured on other clips: {', '.join(other)}."
    return intro
