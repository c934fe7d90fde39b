# SPDX-License-Identifier: Apache-2.0
"""``modaltrack export``: a model as a file of another runtime, compared with torch before it is kept."""

from __future__ import annotations

import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from tyro.conf import Positional, arg

if TYPE_CHECKING:
    from modaltrack.export import Parity
    from modaltrack.frame import Modality


@dataclass
class Options:
    """Write a model as ONNX or OpenVINO graphs, with its card inside, and say how far they agree with torch.

    'track', 'eval' and 'bench' take the file, or the folder, wherever they take a model's name. A file has one graph,
    for exactly the sensors given; a folder gets one for every set of them that is seen when some are missing.
    """

    model: Positional[Annotated[str, arg(metavar="NAME|PATH")]]
    """A name from 'modaltrack models', a weights file, or late:NAME."""
    out: Annotated[Path, arg(metavar="FILE|FOLDER")]
    """FILE.onnx, FILE.xml (OpenVINO, with FILE.bin), or a folder."""
    format: Literal["onnx", "openvino"] = "onnx"
    """onnx or openvino."""
    precision: Literal["fp32", "fp16", "bf16", "int8"] = "fp32"
    """fp16 and bf16 are OpenVINO's; int8 is calibrated with rendered scenes."""
    batch: int = 1
    """Samples of one pass; other numbers of targets are cut and filled up to it."""
    sensors: Annotated[str, arg(metavar="A+B")] = ""
    """e.g. rgb+thermal; by default RGB and the first other sensor that the model reads."""
    allow_difference: bool = False
    """Keep the file even where it differs from torch by more than its precision explains."""


def run(options: Options) -> int:
    """Export, compare, keep; -> 0. ValueError where the graphs differ too much."""
    from modaltrack.commands.terminal import out
    from modaltrack.export import check_form, export_graph, subsets
    from modaltrack.export.graph import FORMATS
    from modaltrack.export.parity import compare, crops_of, rendered
    from modaltrack.files import prepare_folder
    from modaltrack.models.weights_io import load_torch_model
    from modaltrack.runtime import read_exported

    check_form(options.format, options.precision)
    end, single = FORMATS[options.format], options.out.suffix != ""
    if single and options.out.suffix != end:
        raise ValueError(f"--out is {options.out} and --format {options.format}; end the file's name in {end}.")
    if not 1 <= options.batch <= 256:
        raise ValueError(f"--batch is {options.batch}; give a number from 1 to 256.")
    model = load_torch_model(options.model, "cpu")
    sensors = chosen(options.sensors, model.config.modalities, model.one_sensor)
    sets = [sensors] if single else subsets(model, sensors)
    console = out()
    with tempfile.TemporaryDirectory() as place:
        made: dict[Path, dict[str, Any]] = {}
        for one in sets:
            path = Path(place) / f"{'+'.join(one)}{end}"
            clips = rendered(one)
            crops = crops_of(model, clips, one, 32) if options.precision == "int8" and options.batch == 1 else []
            if options.precision == "int8" and options.batch > 1:
                raise ValueError("int8 is calibrated sample by sample; export it with --batch 1.")
            export_graph(
                model, one, path, form=options.format, precision=options.precision, batch=options.batch, crops=crops
            )
            parity = compare(model, read_exported(path), one, clips)
            console.print(f"{'+'.join(one)}: {describe(parity)}", markup=False)
            wrong = parity.out_of_bounds(options.precision)
            if wrong and not options.allow_difference:
                raise ValueError(f"The graph of {'+'.join(one)} is not kept: {wrong}; --allow-difference keeps it.")
            made[path] = {**asdict(parity), "allowed": bool(wrong)}
        target = options.out.parent if single else prepare_folder(options.out)
        target.mkdir(parents=True, exist_ok=True)
        for path, facts in made.items():
            keep(path, options.out if single else target / path.name, facts, options)
    console.print(f"Wrote {options.out}; licence: {model.card.get('licence', 'unknown')}", markup=False)
    return 0


def keep(path: Path, target: Path, facts: dict[str, Any], options: Options) -> None:
    """Write a graph to its place, with what was measured in its card."""
    from modaltrack.export.graph import write_graph
    from modaltrack.runtime.sessions import open_session

    card = {**open_session(path).card, "parity": facts}
    write_graph(path, target, card, options.format, options.precision)


def describe(parity: Parity) -> str:
    """One line."""
    before, after = parity.success
    return (
        f"maps differ by at most {parity.largest:.1e}, the peak is in the same cell in {parity.same_cells:.0%} of the "
        f"crops; on {parity.clips} rendered clips boxes differ by at most {parity.pixels:.2g} px, "
        f"success {before:.3f} -> {after:.3f}"
    )


def chosen(text: str, known: tuple[Modality, ...], one_sensor: bool) -> tuple[Modality, ...]:
    """The sensors of ``rgb+thermal``, in the order of the model's; ValueError for others."""
    from modaltrack.frame import Modality

    names = [name.strip() for name in text.replace(",", "+").split("+") if name.strip()]
    if strange := [name for name in names if name not in known]:
        raise ValueError(f"--sensors names {strange[0]!r}; this model reads {', '.join(known)}.")
    if not names:
        return tuple(known[:1] if one_sensor or Modality.RGB not in known else known[:2])
    if one_sensor and len(names) > 1:
        raise ValueError(
            f"--sensors is {text} and this model reads one sensor at a time; export late:NAME for several."
        )
    return tuple(m for m in known if m in names)
