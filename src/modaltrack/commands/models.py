# SPDX-License-Identifier: Apache-2.0
"""``modaltrack models [list|results|show NAME|get NAME|import FILE]``: all but import without torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from modaltrack.printable import one_line

if TYPE_CHECKING:
    from tyro.conf import Positional, UseAppendAction, arg  # bound by commands.arguments where they are needed


@dataclass
class Options:
    """List the models that can be loaded or created, print the card of one, fetch or import weights.

    'models results' prints what the shipped weights reach, sensor by sensor. 'models show NAME' prints recipe, seed,
    hours and what it reached. 'models get NAME' (or --all) puts weights that are not installed into the user's cache,
    checked. 'models import FILE --method sdstrack --out NAME.safetensors' reads a .pth or .pth.tar file without running
    anything in it and says what became of its tensors; for NanoTrack, FILE is the .onnx file of its backbone.
    """

    action: Positional[Literal["list", "results", "show", "get", "import"]] = "list"
    """list, results, show NAME, get NAME, or import FILE."""
    target: Positional[Annotated[str, arg(metavar="NAME|PATH")]] = ""
    """With show: a name from the list or a weights file. With get: a name. With import: the authors' checkpoint."""
    all: bool = False
    """With get: all weights of this version."""
    source: Annotated[str, arg(name="from", metavar="FOLDER|ADDRESS|OWNER/REPOSITORY")] = ""
    """With get: where they are; by default what MODALTRACK_WEIGHTS says, else the hub's modaltrack/weights."""
    mirror: Annotated[str, arg(metavar="ADDRESS")] = ""
    """With get, from a hub: its address; by default what HF_ENDPOINT says, else the public one."""
    method: str = ""
    """With import: whose checkpoint it is, e.g. sdstrack."""
    head: Annotated[Path | None, arg(metavar="FILE.onnx")] = None
    """With import --method nanotrack: the head's graph; by default the file beside the backbone's with 'head' in it."""
    out: Annotated[Path | None, arg(metavar="FILE.safetensors")] = None
    """With import: the file to write."""
    name: str = ""
    """With import: the model's name in its card; the file's name by default."""
    size: str = "base"
    """With import: the size of the method."""
    modality: UseAppendAction[Annotated[list[str], arg(metavar="MODALITY")]] = field(default_factory=list)
    """With import: what these weights were trained on, e.g. --modality rgb --modality thermal; repeatable."""
    half: bool = False
    """With import: store 16-bit floats; the file is half as large and no longer exact."""
    allow_partial: bool = False
    """With import: accept a file that does not cover the whole model; the rest keeps random values."""
    entry: str = ""
    """With import: which entry of the file holds the weights, e.g. ema; the likeliest one by default."""
    report: bool = False
    """With import: print every tensor, not only the summary."""
    markdown: bool = False
    """With results: print Markdown."""


def run(options: Options) -> int:
    """Print the table or the card, fetch or write weights; -> 0."""
    if options.action == "import":
        return _import(options)
    if options.method or options.out:
        raise ValueError("--method and --out belong to: modaltrack models import FILE --method NAME --out FILE.")
    if options.action == "get":
        return _get(options)
    if options.all or options.source or options.mirror:
        raise ValueError("--all, --from and --mirror belong to: modaltrack models get NAME|--all.")
    if options.action == "show":
        return _show(options.target)
    if options.action == "results":
        return _results(options.markdown)
    if options.target:
        raise ValueError(f"'models list' takes no name; did you mean: modaltrack models show {options.target}?")
    return _list()


def _show(name: str) -> int:
    import json

    from modaltrack.commands.terminal import out
    from modaltrack.models.catalogue import listed_weights

    if not name:
        raise ValueError("'models show' needs a name; 'modaltrack models' lists them.")
    known = listed_weights()
    if name in known:
        card = known[name].card
    else:
        from modaltrack.models import load_model

        card = load_model(name, device="cpu").card
    out().print(json.dumps(card, indent=2, ensure_ascii=False), markup=False)
    return 0


def _get(options: Options) -> int:
    from modaltrack.commands.terminal import out
    from modaltrack.models.catalogue import listed_weights
    from modaltrack.models.weights_store import configured, fetch, local, shipped

    known = listed_weights()
    if bool(options.target) == options.all:
        raise ValueError(f"Give one name or --all: modaltrack models get {'|'.join(known)}.")
    names = [*known] if options.all else [name for name in _with_base(options.target) if name]
    console = out()
    for name in names:
        row = shipped(name)
        found = local(row)
        console.print(f"{name}: {found or fetch(row, configured(options.source, options.mirror))}", markup=False)
    return 0


def _with_base(name: str) -> tuple[str, str]:
    """A model and the weights that its file leans on, which go together; "" for none."""
    from modaltrack.models.catalogue import listed_weights
    from modaltrack.models.weights_store import shipped

    return shipped(name).name, listed_weights()[name].base


def _results(as_markdown: bool) -> int:
    from modaltrack.commands.terminal import out, table
    from modaltrack.models.catalogue import listed_weights
    from modaltrack.models.measured import markdown, on_real_clips, on_scenes, on_status

    cards = {name: weights.card for name, weights in listed_weights().items()}
    parts = [(f"Success on {clips}", columns, rows) for clips, columns, rows in on_scenes(cards)]
    parts.append(("Success on real clips", *on_real_clips(cards)))
    status = on_status(cards)
    if len(status[0]) > 1:
        parts.append(("Score and status on real clips that none was trained on", *status))
    console = out()
    for title, names, lines in parts:
        if as_markdown:
            console.print(f"{title}:\n\n{markdown(names, lines)}", markup=False)
        else:
            shown = table(title, names[0], *(f">{name.replace('-', chr(10))}" for name in names[1:]), keep=1)
            for line in lines:
                shown.add_row(*line)
            console.print(shown)
    return 0


def _import(options: Options) -> int:
    import warnings

    from modaltrack.commands.terminal import out, table
    from modaltrack.frame import Modality
    from modaltrack.models.authors import KEY_MAPS
    from modaltrack.models.importing import import_checkpoint

    if not (options.target and options.method and options.out):
        raise ValueError(
            "'models import' needs a file, --method and --out: modaltrack models import FILE --method "
            f"{'|'.join(sorted([*KEY_MAPS, 'nanotrack']))} --out FILE.safetensors."
        )
    if options.method == "nanotrack":
        return _import_graphs(options, Path(options.target), options.out)
    if strange := [m for m in options.modality if m not in list(Modality)]:
        raise ValueError(f"--modality {strange[0]} is not known; use {', '.join(Modality)}.")
    done = import_checkpoint(
        options.target,
        options.method,
        options.out,
        name=options.name or None,
        size=options.size,
        modalities=tuple(Modality(m) for m in options.modality),
        half=options.half,
        allow_partial=options.allow_partial,
        entry=options.entry,
    )
    console = out()
    for note in done.notes:
        console.print(one_line(note), markup=False)
    if options.report:
        rows = table("tensors", "in the file", "here", ">shape", "what became of it")
        for row in done.rows:
            rows.add_row(*row)
        console.print(rows, markup=False)
    console.print(str(done.coverage), markup=False)
    if done.ignored:
        console.print(f"Left out, and never called: {_some(done.ignored)}", markup=False)
    if done.hostile:
        warnings.warn(
            f"{options.target} asks for {_some(done.hostile)}, which no checkpoint needs: nothing of it was run, "
            "and opening the file with torch.load would run it.",
            stacklevel=2,
        )
    if not done.coverage.complete:
        warnings.warn("The file does not cover the model: what is missing keeps random values.", stacklevel=2)
    console.print(f"Wrote {options.out}; licence: {done.card['licence']}", markup=False)
    return 0


def _import_graphs(options: Options, backbone: Path, target: Path) -> int:
    from modaltrack.commands.terminal import out
    from modaltrack.models.nanotrack_graphs import head_beside, import_nanotrack

    if options.modality or options.half or options.allow_partial or options.report:
        raise ValueError(
            "NanoTrack's graphs are taken whole: --modality, --half, --allow-partial, --report do not apply."
        )
    card = import_nanotrack(backbone, options.head or head_beside(backbone), target, name=options.name or None)
    out().print(f"Coverage: {card['coverage']}\nWrote {target}; licence: {card['licence']}", markup=False)
    return 0


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - 20} more" if len(names) > 20 else ""
    return one_line(f"{', '.join(names[:20])}{more}")


def _list() -> int:
    from modaltrack.commands.terminal import out, table
    from modaltrack.models.catalogue import listed_models, listed_weights
    from modaltrack.models.measured import picture_licences
    from modaltrack.models.weights_store import local, shipped

    known = listed_weights()
    missing = {name for name in known if local(shipped(name)) is None}
    rows = table(
        "models", "name", ">params", ">search", "sensors", ">weights", ">success", "licence", "pictures", keep=1
    )
    for model in listed_models():
        weights = known.get(model.name)
        card = weights.card if weights else {}
        rows.add_row(
            model.name,
            f"{model.parameters / 1e6:.1f} M",
            f"{model.search_size} px",
            _sensors(model.modalities),
            f"{weights.bytes / 2**20:.1f} MiB{'*' if model.name in missing else ''}" if weights else "-",
            _measured(card.get("measured")),
            str(card.get("licence", "")),
            picture_licences(card),
        )
    console = out()
    console.print(rows)
    if missing:
        console.print("*: not on this machine; fetched when first used, or now by 'modaltrack models get NAME'.")
    console.print("X: one of thermal, depth, event. success: on scenes.benchmark, RGB with X where it takes both.")
    console.print("pictures: what the licences of the pictures that the weights have seen allow; the card lists them.")
    console.print(
        "'modaltrack models results': sensor by sensor, and on real clips; 'modaltrack models show NAME': a card."
    )
    return 0


def _sensors(modalities: Sequence[str]) -> str:
    others = [m for m in modalities if m != "rgb"]
    return "rgb" if not others else f"rgb, {others[0] if len(others) == 1 else 'X'}"


def _measured(measured: object) -> str:
    """The success on the rendered test clips that a card's measurements name; "-" where there is none."""
    found = measured.items() if isinstance(measured, dict) else ()
    numbers = (value for key, value in found if "success" in key and "scenes-" in key and isinstance(value, float))
    return next((f"{value:.3f}" for value in numbers), "-")
