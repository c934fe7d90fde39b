# SPDX-License-Identifier: Apache-2.0
"""``modaltrack models [list|results|show NAME|import FILE]``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from tyro.conf import Positional, UseAppendAction, arg

from modaltrack.printable import one_line

if TYPE_CHECKING:
    from modaltrack.models import ModelConfig


@dataclass
class Options:
    """List the models that can be loaded or created, print the card of one, or import an authors' checkpoint.

    'models results' prints what the shipped weights reach, sensor by sensor. 'models show NAME' prints recipe, seed,
    hours and what it reached. 'models import FILE --method sdstrack --out NAME.safetensors' reads a .pth or .pth.tar
    file without running anything in it and says what became of its tensors; for NanoTrack, FILE is the .onnx file of
    its backbone.
    """

    action: Positional[Literal["list", "results", "show", "import"]] = "list"
    """list, results, show NAME, or import FILE."""
    target: Positional[Annotated[str, arg(metavar="NAME|PATH")]] = ""
    """With show: a name from the list or a weights file. With import: the authors' checkpoint."""
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
    """Print the table or the card, or write the imported weights; -> 0."""
    if options.action == "import":
        return _import(options)
    if options.method or options.out:
        raise ValueError("--method and --out belong to: modaltrack models import FILE --method NAME --out FILE.")
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
    from modaltrack.models import load_model

    if not name:
        raise ValueError("'models show' needs a name; 'modaltrack models' lists them.")
    model = load_model(name, device="cpu")
    out().print(json.dumps(model.card, indent=2, ensure_ascii=False), markup=False)
    return 0


def _results(as_markdown: bool) -> int:
    from modaltrack.commands.terminal import out, table
    from modaltrack.models.measured import markdown, on_real_clips, on_scenes, on_status

    cards = {name: card for name, (_, card) in _shipped().items()}
    clips, columns, rows = on_scenes(cards)
    parts = [(f"Success on {clips}", columns, rows)]
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
    from modaltrack.models import config_of, list_models
    from modaltrack.models.measured import picture_licences
    from modaltrack.models.skeleton import skeleton

    shipped: dict[str, tuple[Path | None, dict[str, Any]]] = {**_shipped()}
    rows = table(
        "models", "name", ">params", ">search", "sensors", ">weights", ">success", "licence", "pictures", keep=1
    )
    for name in list_models():
        count = sum(p.numel() for p in skeleton(name).parameters())
        config = config_of(name)
        file, card = shipped.get(name, (None, {}))
        rows.add_row(
            name,
            f"{count / 1e6:.1f} M",
            f"{config.search_size} px",
            _sensors(config),
            f"{file.stat().st_size / 2**20:.1f} MiB" if file else "-",
            _measured(card.get("measured")),
            str(card.get("licence", "")),
            picture_licences(card),
        )
    console = out()
    console.print(rows)
    console.print("X: one of thermal, depth, event. success: on scenes.benchmark, RGB with X where it takes both.")
    console.print("pictures: what the licences of the pictures that the weights have seen allow; the card lists them.")
    console.print(
        "'modaltrack models results': sensor by sensor, and on real clips; 'modaltrack models show NAME': a card."
    )
    return 0


def _sensors(config: ModelConfig) -> str:
    others = [m for m in config.modalities if m != "rgb"]
    return "rgb" if not others else f"rgb, {others[0] if len(others) == 1 else 'X'}"


def _measured(measured: object) -> str:
    """The success on the rendered test clips that a card's measurements name; "-" where there is none."""
    found = measured.items() if isinstance(measured, dict) else ()
    numbers = (value for key, value in found if "success" in key and "scenes-" in key and isinstance(value, float))
    return next((f"{value:.3f}" for value in numbers), "-")


def _shipped() -> dict[str, tuple[Path, dict[str, Any]]]:
    """Name -> (file, card) of the weights inside the package."""
    from modaltrack.models.weights_io import read_weights
    from modaltrack.models.zoo import SHIPPED

    return {row.name: (row.path, read_weights(row.path, row.sha256)[1]) for row in SHIPPED}
