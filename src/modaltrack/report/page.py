# SPDX-License-Identifier: Apache-2.0
"""The page: one HTML file that needs nothing else, for screens of every width and for paper."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from modaltrack.printable import markup as escape
from modaltrack.report.drawing import Drawing
from modaltrack.report.entries import Entry, Strip, shared_attributes
from modaltrack.report.figures import overlap_figure
from modaltrack.report.film import strip_html
from modaltrack.report.tables import (
    across_table,
    attribute_table,
    comparison_table,
    heat_table,
    presence_table,
    score_table,
    small_print,
)
from modaltrack.scoring.intervals import Comparison

ELSEWHERE = ("scores", "comparison", "attributes")  # figures that have a section of their own
PRESENCE_WORDS = (
    "<p class='fine'>Against the labels of absence, the first frame left out. AUROC: the chance that the score of a "
    "frame with the target is above that of one without it; 0.5 is chance. Calibration error: mean distance of it "
    "from the share of frames with the target, in ten bins. Of trackers that say <i>lost</i>: in how many absences and "
    "after how many frames they do; false lost: the share of frames with the target in which they do; missed lost: the "
    "share of those without it in which they do not.</p>"
)
STYLE = """
:root { color-scheme: light; }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1.2rem; max-width: 1080px; color: #222; background: #fff;
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif;
  -webkit-text-size-adjust: 100%; }
h1 { font-size: 1.6rem; line-height: 1.2; margin: .2rem 0; overflow-wrap: anywhere; }
h2 { font-size: 1.15rem; margin: 2rem 0 .6rem; padding-bottom: .2rem; border-bottom: 1px solid #ddd;
  break-after: avoid; }
h3 { font-size: 1rem; margin: 1.2rem 0 .3rem; break-after: avoid; }
p, ul { margin: .4rem 0; } p.fine, figcaption { color: #666; font-size: .85rem; }
.figures { display: grid; gap: 1rem; margin-top: .8rem;
  grid-template-columns: repeat(auto-fit, minmax(min(100%, 400px), 1fr)); }
.figures > div { break-inside: avoid; }
svg { width: 100%; height: auto; max-width: 560px; display: block; margin: 0 auto; }
.wide { overflow-x: auto; } .wide svg { max-width: 760px; margin: 0; }
.scroll { overflow-x: auto; -webkit-overflow-scrolling: touch; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .88rem; }
th, td { padding: .22rem .55rem; text-align: right; white-space: nowrap; }
thead th { border-bottom: 1px solid #888; vertical-align: bottom; } tbody tr + tr > * { border-top: 1px solid #eee; }
th:first-child, .plain th, .plain td { text-align: left; font-weight: 500; } thead th { font-weight: 600; }
thead th:first-child { font-weight: 600; } thead th { white-space: normal; }
.name { display: inline-block; max-width: 17em; overflow: hidden; text-overflow: ellipsis; vertical-align: bottom; }
.scroll + .scroll { margin-top: 1rem; }
.mark { display: inline-block; width: .7em; height: .7em; border-radius: 50%; margin-right: .45em; }
.tall { vertical-align: bottom; } .tall span { writing-mode: vertical-rl; transform: rotate(180deg); max-height: 16em;
  text-align: left; }
th[colspan] { text-align: center; border-bottom: 1px solid #ccc; }
.attributes { display: flex; flex-wrap: wrap; gap: 1rem 2rem; align-items: flex-start; }
.attributes > div { max-width: 100%; } .attributes > .radar { flex: 1 1 360px; max-width: 520px; }
.heat { font-size: .78rem; } .heat td, .heat th { padding: .08rem .45rem; }
.heat td { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
.mark, svg { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
.film { display: grid; gap: .4rem; grid-template-columns: repeat(auto-fill, minmax(150px, 1fr)); }
.film figure { margin: 0; break-inside: avoid; } .film img { width: 100%; display: block; margin-bottom: 2px; }
.key span { margin-right: 1em; white-space: nowrap; display: inline-block; }
.failure { break-inside: avoid; }
@media screen and (max-width: 480px) {
  body { padding: .8rem; font-size: 14px; } th, td { padding: .2rem .4rem; } .wide svg { min-width: 560px; }
  .name { max-width: 10em; }
}
@media print {
  body { max-width: none; padding: 0; font-size: 10pt; } h2 { margin-top: 1.2rem; }
  .figures { grid-template-columns: 1fr 1fr; } .scroll { overflow: visible; margin-bottom: .6rem; }
  .attributes table { break-inside: avoid; }
  table { font-size: 8.5pt; } th, td { padding: .15rem .35rem; } .heat { font-size: 7.5pt; }
  .attributes { display: block; } .attributes > .radar { max-width: 380px; margin: .6rem auto; break-inside: avoid; }
  .film { grid-template-columns: repeat(6, 1fr); }
  thead { display: table-header-group; } tr { break-inside: avoid; }
}
@page { margin: 14mm; }
"""


def page(
    entries: Sequence[Entry],
    metric: str,
    drawings: Mapping[str, Drawing],
    comparisons: Mapping[str, Comparison],
    strips: Sequence[Strip] = (),
    made: str = "",
) -> str:
    """The whole document.

    Args:
        made: one sentence on when and by what it was made.
    """
    report = entries[0].report
    benchmark = report.benchmark or report.protocol
    names = " · ".join(e.name for e in entries) if len(entries) <= 4 else f"{len(entries)} trackers"
    parts = [
        f"<h1>{escape(names)} on {escape(benchmark)}</h1>",
        f"<p>Protocol <b>{escape(report.protocol)}</b>, {escape(report.version)}; {report.num_sequences} sequences. "
        f"Scores are fractions, 0 to 1; trackers are ranked by {escape(metric)}. How every case was decided stands in "
        '<a href="#rules">the small print</a>.</p>',
        _section("Scores", score_table(entries, metric)),
        _plots({name: drawing for name, drawing in drawings.items() if name not in ELSEWHERE}),
    ]
    parts.append(_section("How sure", ""))
    if comparisons:
        parts.append(comparison_table(entries, metric, comparisons))
    parts.append(_plots({n: drawings[n] for n in ("scores", "comparison") if n in drawings}))
    parts.append(
        "<p class='fine'>Intervals: bootstrap over sequences. p: two-sided permutation test in which the two trackers "
        "change places in random sequences. Both speak of this benchmark's kind of sequences and of nothing else.</p>"
    )
    if shared_attributes(entries):
        table = attribute_table(entries, metric)
        radar = drawings["attributes"].svg("attributes") if "attributes" in drawings else ""
        radar = f'<div class="radar">{radar}</div>' if radar else ""
        parts.append(_section(f"Attributes ({metric})", f'<div class="attributes"><div>{table}</div>{radar}</div>'))
    if believed := presence_table(entries, metric):
        parts.append(_section("Lost and found", believed) + PRESENCE_WORDS)
    if strips:
        parts.append(_section("Worst failures", _failures(entries, strips)))
    parts.append(_section(f"Sequences ({metric}, the hardest first)", heat_table(entries, metric)))
    parts.append(f'<h2 id="rules">Small print</h2>{small_print(entries)}')
    parts.append(f'<p class="fine">{escape(made)}</p>')
    return document(f"{names} on {benchmark}", "\n".join(parts))


def overview(
    benchmarks: Mapping[str, Sequence[Entry]], metrics: Mapping[str, str], links: Mapping[str, str], made: str = ""
) -> str:
    """The page in front of several benchmarks: one table, and links to their pages.

    Args:
        benchmarks: benchmark -> the trackers that have results of it.
        metrics: benchmark -> the score that ranks there.
        links: benchmark -> address of its page.
        made: one sentence on when and by what it was made.
    """
    trackers = {e.name for entries in benchmarks.values() for e in entries}
    title = f"{len(trackers)} trackers on {len(benchmarks)} benchmarks"
    rows = "".join(
        f'<li><a href="{escape(links[name])}">{escape(name)}</a>: {escape(entries[0].report.protocol)}, '
        f"{escape(entries[0].report.version)}; {entries[0].report.num_sequences} sequences, {len(entries)} trackers, "
        f"ranked by {escape(metrics[name])}</li>"
        for name, entries in benchmarks.items()
    )
    table = across_table(benchmarks, metrics)
    fine = f'<p class="fine">Scores are fractions, 0 to 1, each by its benchmark\'s own protocol. {escape(made)}</p>'
    return document(title, f"<h1>{escape(title)}</h1>{table}<h2>Benchmarks</h2><ul>{rows}</ul>{fine}")


def document(title: str, body: str) -> str:
    """A whole HTML file that loads nothing."""
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{STYLE}</style></head><body>\n{body}\n</body></html>\n"
    )


def _section(title: str, content: str) -> str:
    return f"<h2>{escape(title)}</h2>{content}"


def _plots(drawings: Mapping[str, Drawing]) -> str:
    parts = "".join(f"<div>{drawing.svg(name)}</div>" for name, drawing in drawings.items())
    return f'<div class="figures">{parts}</div>' if drawings else ""


def _failures(entries: Sequence[Entry], strips: Sequence[Strip]) -> str:
    inks = {e.name: e.ink for e in entries}
    key = "".join(f'<span><i class="mark" style="background:{e.ink}"></i>{escape(e.name)}</span>' for e in entries)
    truth = "<span>white on black: the truth</span>" if any(strip.pictures for strip in strips) else ""
    parts = [f'<p class="key">{key}{truth}</p>']
    for number, strip in enumerate(strips):
        parts.append(
            f'<div class="failure"><h3>{escape(strip.sequence)}</h3><p class="fine">{escape(strip.why)}. '
            f"Overlap with the truth (plain IoU), gaps where the target is absent:</p>"
            f'<div class="wide">{overlap_figure(strip, entries).svg(f"overlap-{number}")}</div>'
            + (strip_html(strip, inks) if strip.pictures else "")
            + "</div>"
        )
    return "".join(parts)
