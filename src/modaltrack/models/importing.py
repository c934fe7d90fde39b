# SPDX-License-Identifier: Apache-2.0
"""From an authors' checkpoint to this package's weight file: read, never run; every tensor matched; a card written."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from modaltrack.frame import Modality
from modaltrack.models.authors import build, match, our_name
from modaltrack.models.copies import Coverage
from modaltrack.models.weights_found import open_weights
from modaltrack.models.weights_io import save_model
from modaltrack.printable import one_line
from modaltrack.sources.encodings import DEFAULT_ENCODING, check_encoding

LICENCE = "unknown: the authors'"
# What a checkpoint has no business to name. Nothing is called whatever it is; these are worth a warning.
_SYSTEM = {"os", "posix", "nt", "subprocess", "sys", "socket", "ctypes", "runpy", "importlib", "shutil", "pty"}
_POWERFUL = {"eval", "exec", "compile", "open", "__import__"}


@dataclass(frozen=True)
class Imported:
    """What became of a checkpoint: the report, one row (their name, our name, shape, fate) per tensor, the card.

    Attributes:
        ignored: what it names beside tensors.
        hostile: what of this no checkpoint needs.
        notes: see ``Weights``.
    """

    coverage: Coverage
    rows: tuple[tuple[str, str, str, str], ...]
    card: dict[str, Any]
    ignored: tuple[str, ...]
    hostile: tuple[str, ...]
    notes: tuple[str, ...]


def import_checkpoint(
    path: str | Path,
    method: str,
    out: str | Path,
    *,
    name: str | None = None,
    size: str = "base",
    modalities: tuple[Modality, ...] = (),
    encodings: dict[Modality, str] | None = None,
    half: bool = False,
    allow_partial: bool = False,
    entry: str = "",
) -> Imported:
    """Read a file of ``torch.save``, or safetensors, and write it as the safetensors file ``out``: what was matched.

    Args:
        name: of the model in its card, default that of ``out``.
        modalities: what these weights were trained on, default all that the method reads; the model ignores the others.
        encodings: modality -> how its images are made, default the published ones.
        half: store 16-bit floats.
        entry: of the file that holds the weights, the likeliest by default. Names, shapes and types are compared before
            values are read or a model is built.

    Raises:
        ValueError: if the file cannot be read, or does not cover the model and ``allow_partial`` is not set.
    """
    out = Path(out)
    if out.suffix != ".safetensors":
        raise ValueError(f"The weights go into a .safetensors file and {out} was given; change the end of its name.")
    with open_weights(path, entry) as weights:
        found = match(method, weights.shapes, size, weights.net_type)
        if not (found.coverage.complete or allow_partial):
            raise ValueError(found.complaint)
        model: Any = build(found, weights.load())
    coverage, checkpoint = found.coverage, weights.checkpoint
    known = model.config.modalities
    if strange := [m for m in modalities if m not in known]:
        raise ValueError(f"{method} reads {', '.join(known)}; it has no {', '.join(strange)}.")
    if modalities:  # sensors that these weights have never seen are ignored from now on, with a warning
        model.config = replace(model.config, modalities=tuple(m for m in known if m in modalities))
    chosen = {m: (encodings or {}).get(m, DEFAULT_ENCODING[m]) for m in model.config.modalities}
    for modality, encoding in chosen.items():
        check_encoding(encoding, modality)
    card: dict[str, Any] = {
        "name": name or out.stem,
        "method": method,
        "size": size,
        "encodings": {str(m): encoding for m, encoding in chosen.items()},
        "thresholds": None,
        "recipe": "the authors'",
        "origin": {"file": Path(path).name, "sha256": checkpoint.sha256},
        "coverage": str(coverage),
        "measured": {},
        "licence": LICENCE,
    }
    save_model(model, out, card, dtype=torch.float16 if half else torch.float32)
    hostile = tuple(n for n in checkpoint.ignored if n.split(".")[0] in _SYSTEM or n.rsplit(".", 1)[-1] in _POWERFUL)
    return Imported(coverage, _rows(method, weights.shapes, coverage), card, checkpoint.ignored, hostile, weights.notes)


def _rows(method: str, state: dict[str, torch.Tensor], coverage: Coverage) -> tuple[tuple[str, str, str, str], ...]:
    """One row per tensor of the file, then one per tensor of the model that the file lacks."""
    matched, unexpected = set(coverage.matched), set(coverage.unexpected)
    rows = []
    for theirs, tensor in state.items():
        ours = our_name(method, theirs) or ""
        if theirs in matched:
            fate = "matched"
        elif theirs in coverage.unused:
            fate, ours = f"not used: {coverage.unused[theirs]}", ""
        else:
            fate = "unexpected" if theirs in unexpected else "wrong shape"
        rows.append((theirs, ours, "x".join(map(str, tensor.shape)) or "scalar", fate))
    rows += [("", ours, "", "missing") for ours in coverage.missing]
    return tuple((one_line(a), one_line(b), shape, one_line(fate)) for a, b, shape, fate in rows)
