# SPDX-License-Identifier: Apache-2.0
"""The page: one HTML file that needs nothing else, for screens of every width and for paper."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from modaltrack.printable import markup as escape
from modaltrack.report.entries import Entry, Strip
from modaltrack.report.figures import overlap_figure, shared_attributes
from modaltrack.report.film import strip_html
from modaltrack.report.svg import Drawing, colour
from modaltrack.report.tables import attribute_table, comparison_table, heat_table, score_table, small_print
from modaltrack.scoring.intervals import Comparison

ELSEWHERE = ("scores", "comparison", "attributes")  # figures that have a section of their own
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
thead th:first-child { font-weight: 600; }
.mark { display: inline-block; width: .7em; height: .7em; border-radius: 50%; margin-right: .45em; }
.heat { font-size: .78rem; } .heat td, .heat th { padding: .08rem .45rem; }
.heat td { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
.mark, svg { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
.film { display: grid; gap: .4rem; grid-template-columns: repeat(auto-fill, minmax(150px, 1fr)); }
.film figure { margin: 0; break-inside: avoid; } .film img { width: 100%; display: block; margin-bottom: 2px; }
.key span { margin-right: 1em; white-space: nowrap; display: inline-block; }
.failure { break-inside: avoid; }
@media screen and (max-width: 480px) {
  body { padding: .8rem; font-size: 14px; } th, td { padding: .2rem .4rem; } .wide svg { min-width: 560px; }
}
@media print {
  body { max-width: none; padding: 0; font-size: 10pt; } h2 { margin-top: 1.2rem; }
  .figures { grid-template-columns: 1fr 1fr; } .scroll { overflow: visible; }
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
        _plots([drawing for name, drawing in drawings.items() if name not in ELSEWHERE]),
    ]
    parts.append(_section("How sure", ""))
    if comparisons:
        parts.append(comparison_table(entries, metric, comparisons))
    parts.append(_plots([drawings[n] for n in ("scores", "comparison") if n in drawings]))
    parts.append(
        "<p class='fine'>Intervals: bootstrap over sequences. p: two-sided permutation test in which the two trackers "
        "change places in random sequences. Both speak of this benchmark's kind of sequences and of nothing else.</p>"
    )
    if shared_attributes(entries):
        table, radar = attribute_table(entries, metric), drawings.get("attributes")
        beside = f'<div class="figures"><div>{table}</div><div>{radar or ""}</div></div>'
        parts.append(_section(f"Attributes ({metric})", beside))
    if strips:
        parts.append(_section("Worst failures", _failures(entries, strips)))
    parts.append(_section(f"Sequences ({metric}, the hardest first)", heat_table(entries, metric)))
    parts.append(f'<h2 id="rules">Small print</h2>{small_print(entries)}')
    parts.append(f'<p class="fine">{escape(made)}</p>')
    title = escape(f"{names} on {benchmark}")
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{title}</title><style>{STYLE}</style></head><body>\n" + "\n".join(parts) + "\n</body></html>\n"
    )


def _section(title: str, content: str) -> str:
    return f"<h2>{escape(title)}</h2>{content}"


def _plots(drawings: Sequence[Drawing]) -> str:
    return f'<div class="figures">{"".join(f"<div>{d}</div>" for d in drawings)}</div>' if drawings else ""


def _failures(entries: Sequence[Entry], strips: Sequence[Strip]) -> str:
    styles = {e.name: e.style for e in entries}
    key = "".join(
        f'<span><i class="mark" style="background:{colour(e.style)}"></i>{escape(e.name)}</span>' for e in entries
    )
    truth = "<span>white on black: the truth</span>" if any(strip.pictures for strip in strips) else ""
    parts = [f'<p class="key">{key}{truth}</p>']
    for strip in strips:
        parts.append(
            f'<div class="failure"><h3>{escape(strip.sequence)}</h3><p class="fine">{escape(strip.why)}. '
            f"Overlap with the truth (plain IoU), gaps where the target is absent:</p>"
            f'<div class="wide">{overlap_figure(strip, entries)}</div>'
            + (strip_html(strip, styles) if strip.pictures else "")
            + "</div>"
        )
    return "".join(parts)
