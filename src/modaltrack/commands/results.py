# SPDX-License-Identifier: Apache-2.0
"""``modaltrack results check|import|zip|labels PATH``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

if TYPE_CHECKING:
    from tyro.conf import Positional, arg  # bound by commands.arguments where they are needed


@dataclass
class Options:
    """Check a tracker's result files, rewrite them in the community's layout, or pack them.

    'results check PATH' says what it recognises, verifies checksums and, with --benchmark, finds missing and short
    sequences. 'results import PATH --out DIR' reads any layout and writes one file x,y,w,h per sequence with a
    manifest. 'results zip DIR --out FILE.zip' packs a folder, the same bytes every time. 'results labels RUN --to cvat
    --out FILE.xml' writes what track has found as labels for other programs.
    """

    action: Positional[Literal["check", "import", "zip", "labels"]]
    """What to do."""
    path: Positional[Path]
    """A folder, a zip or a file of results; with labels: the folder that track wrote."""
    out: Annotated[Path | None, arg(metavar="PATH")] = None
    """With import: the folder to write; with zip: the file; with labels: the file (cvat, coco) or folder (mot)."""
    layout: Literal["community", "tab", "corners", "got10k"] = "community"
    """With import: commas, tabs, 8 corners (RGBT234's program), or a folder per sequence."""
    rows: Literal["", "xywh", "x1y1x2y2", "cxcywh"] = ""
    """How the four numbers of a row are read, where that is not x y w h."""
    benchmark: Annotated[str, arg(metavar="NAME")] = ""
    """With check: compare names and lengths with this benchmark."""
    data: Annotated[Path | None, arg(metavar="ROOT")] = None
    """With check: the benchmark as downloaded."""
    truth: Annotated[Path | None, arg(metavar="DIR")] = None
    """With check: a folder of truth files."""
    json: bool = False
    """With check: print one JSON object."""
    to: Literal["cvat", "coco", "mot"] = "cvat"
    """With labels: CVAT's XML for video, COCO-video JSON, or MOTChallenge's folder."""
    category: str = "target"
    """With labels: what the targets are."""
    size: Annotated[str | None, arg(metavar="WIDTHxHEIGHT")] = None
    """With labels: pixels of the images, where result.json does not say them."""
    lost: bool = False
    """With labels: keep the boxes of frames in which a target was lost."""


def run(options: Options) -> int:
    """Do it; -> 0, or 1 where check finds a problem."""
    if options.action == "check":
        return _check(options)
    if options.benchmark or options.data or options.truth:
        raise ValueError("--benchmark, --data and --truth belong to: modaltrack results check PATH.")
    if options.out is None:
        what = {"import": "--out DIR", "zip": "--out FILE.zip", "labels": "--out PATH"}[options.action]
        raise ValueError(f"'results {options.action}' needs a place to write: {what}.")
    return {"import": _import, "zip": _zip, "labels": _labels}[options.action](options, options.out)


def _check(options: Options) -> int:
    from modaltrack.commands.terminal import out
    from modaltrack.results import check_manifest, match_names, read_results

    named = (options.benchmark,) if options.benchmark else ()
    results = read_results(options.path, keep_going=True, benchmark=named, rows=options.rows)
    problems = [] if options.benchmark else list(results.problems)
    sums = check_manifest(options.path) if options.path.is_dir() else None
    problems += sums or []
    if options.benchmark:
        from modaltrack.scoring.plausibility import check_rows
        from modaltrack.truth.source import find_protocol, read_truths

        protocol = find_protocol(options.benchmark)
        truths = read_truths(protocol, options.data, options.truth, results=[options.path])
        rows = {t.name: t.result_rows for t in truths}
        results = match_names(results, rows, rows)
        problems[:0] = results.problems
        for truth in truths:
            found = results.sequences.get(truth.name)
            if found is None:
                problems.append(f"{truth.name} has no result.")
            elif not found.runs and (gap := len(found.boxes) - truth.result_rows):
                how = "more" if gap > 0 else "fewer"
                problems.append(f"{truth.name} has {len(found.boxes)} rows, {abs(gap)} {how} than the truth.")
        names = {t.name for t in truths}
        plausible = check_rows(truths, results.sequences)
        problems += [*([plausible.misread] if plausible.misread else []), *plausible.notes]
        problems += [f"{n} is no sequence of {options.benchmark}." for n in results.sequences if n not in names]
    frames = sum(len(r.boxes) for r in results.sequences.values())
    facts = {
        "tracker": results.tracker,
        "recognised": results.recognised,
        "num_sequences": len(results.sequences),
        "frames": frames,
        "checksums": None if sums is None else not sums,
        "problems": problems,
    }
    if options.json:
        import json

        print(json.dumps(facts, indent=1, ensure_ascii=False))
        return 1 if problems else 0
    console = out()
    console.print(f"{results.tracker}: {results.recognised}", markup=False)
    console.print(f"{len(results.sequences)} sequences, {frames} rows.")
    console.print("No manifest, so no checksums." if sums is None else f"Manifest: {len(sums)} files differ.")
    for problem in problems:
        console.print(f"problem: {problem}", markup=False)
    console.print(f"{len(problems)} problems." if problems else "No problems.")
    return 1 if problems else 0


def _import(options: Options, folder: Path) -> int:
    from modaltrack.commands.terminal import out
    from modaltrack.results import read_results, write_results

    if folder.is_file():
        raise ValueError(f"{folder} is a file; give a folder to write the results into.")
    if folder.exists() and folder.resolve() == options.path.resolve():
        raise ValueError(f"{folder} is where the results are read from; give another folder.")
    results = read_results(options.path, rows=options.rows)
    manifest = write_results(folder, results.sequences, options.layout, results.tracker)
    console = out()
    console.print(f"{results.tracker}: {results.recognised}", markup=False)
    for problem in results.problems:
        console.print(f"note: {problem}", markup=False)
    console.print(f"Wrote {len(results.sequences)} sequences and {manifest}", markup=False)
    return 0


def _zip(options: Options, file: Path) -> int:
    from modaltrack.commands.terminal import out
    from modaltrack.results import check_manifest, read_results, zip_results

    if options.path.is_dir():
        read_results(options.path)  # nothing unreadable is packed
        if broken := check_manifest(options.path):
            raise ValueError(f"{broken[0]} Nothing was packed; import the results again or correct them.")
    if file.is_dir():
        raise ValueError(f"{file} is a folder; give the name of the zip to write.")
    count, left = zip_results(options.path, file)
    out().print(f"Packed {count} files into {file}", markup=False)
    if left:
        more = f" and {len(left) - 3} more" if len(left) > 3 else ""
        out().print(f"note: left out {', '.join(left[:3])}{more}: hidden, archives, links, or not in the manifest")
    return 0


def _labels(options: Options, place: Path) -> int:
    from modaltrack.commands.terminal import out
    from modaltrack.commands.track_options import parse_size
    from modaltrack.labels import read_run, write_coco, write_cvat, write_mot

    if options.to != "mot" and place.is_dir():
        raise ValueError(f"{place} is a folder; give the name of the file to write.")
    if options.to == "mot" and place.exists():
        raise ValueError(f"{place} is there already; give the name of a new folder.")
    size = parse_size(options.size, "--size")
    clip = read_run(options.path, size=size and (size[1], size[0]), category=options.category, lost=options.lost)
    write = {"cvat": write_cvat, "coco": lambda file, one: write_coco(file, [one]), "mot": write_mot}[options.to]
    write(place, clip)
    boxes = sum(int(target.present.sum()) for target in clip.targets)
    out().print(f"Wrote {boxes} boxes of {len(clip.targets)} targets in {clip.length} frames to {place}", markup=False)
    return 0
