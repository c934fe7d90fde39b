# SPDX-License-Identifier: Apache-2.0
"""``modaltrack align``: the homographies of a rig, for ``track --align``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from tyro.conf import UseAppendAction, arg

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from modaltrack.frame import Modality
    from modaltrack.sources.registration import Alignment

Source = Annotated[str | None, arg(metavar="PATH|URL|INDEX")]


@dataclass
class Options:
    """Find how each sensor's pixels lie on the RGB image's (on the first sensor's where there is no RGB).

    From pictures, clips or running cameras by themselves, or from matched points. Writes align.json, which
    'modaltrack track --align' reads, and per sensor a picture to judge it by: a checkerboard of both sensors above,
    below their edges in magenta and green, white where they lie on each other.
    """

    rgb: Source = None
    """Visible images: a picture, a folder, a video file, a camera index, a URL."""
    thermal: Source = None
    """Thermal images, 8 or 16 bit."""
    depth: Source = None
    """Depth images, 16 bit."""
    event: Source = None
    """Event images."""
    points: Annotated[Path | None, arg(metavar="FILE")] = None
    """Matched points instead of a search: rows of x,y in the sensor's own picture and x,y in the RGB image."""
    pairs: UseAppendAction[Annotated[list[str], arg(metavar="X,Y:X,Y")]] = field(default_factory=list)
    """The same on the command line: the sensor's point, a colon, the RGB image's point; repeat it at least 4 times."""
    method: Literal["auto", "features", "edges"] = "auto"
    """features: key points, for two sensors of one kind; edges: any two; auto: features where enough agree."""
    frames: int = 8
    """Instants to use of clips and cameras: more are better where edges are few or noisy."""
    out: Path = Path("modaltrack-align")
    """Folder for align.json and the pictures."""


def run(options: Options) -> int:
    """Align and write; -> 0."""
    import json
    import warnings

    from modaltrack.commands.terminal import out
    from modaltrack.files import prepare_folder, write_file
    from modaltrack.frame import Modality
    from modaltrack.sources.registration import alignment_document, blended, rig_pictures

    specs = {m: spec for m in Modality if (spec := getattr(options, m.value)) is not None}
    if len(specs) < 2:
        raise ValueError(f"{len(specs)} source was given; give two or more of --rgb, --thermal, --depth, --event.")
    if options.frames < 1:
        raise ValueError(f"--frames is {options.frames}; give a number of at least 1.")
    folder = prepare_folder(options.out)
    reference, images = rig_pictures(specs, options.frames)
    found = _aligned(options, reference, images)
    for modality, alignment in found.items():
        picture = blended(images[reference][0], images[modality][0], alignment.homography)
        _write_picture(folder / f"align-{modality.value}.png", picture)
    write_file(folder / "align.json", json.dumps(alignment_document(reference, found), indent=1) + "\n")
    for modality, alignment in found.items():
        out().print(sentence(modality, reference, alignment), markup=False)
        for remark in alignment.remarks:
            warnings.warn(f"{modality}: {remark}", stacklevel=2)
    pictures = ", ".join(str(folder / f"align-{m.value}.png") for m in found)
    out().print(f"Wrote {folder / 'align.json'}, {pictures}", markup=False)
    return 0


def _aligned(
    options: Options, reference: Modality, images: Mapping[Modality, list[NDArray[np.uint8]]]
) -> dict[Modality, Alignment]:
    """An alignment for each sensor but the reference."""
    import numpy as np

    from modaltrack.sources.registration import alignment_from_points, estimate_alignment, parse_pairs, read_pairs

    others = [m for m in images if m != reference]
    if options.points is None and not options.pairs:
        return {m: estimate_alignment(images[reference], images[m], options.method) for m in others}
    if len(others) > 1:
        raise ValueError(f"Points are of one sensor and {len(others)} are to be aligned; align one after the other.")
    typed = parse_pairs(options.pairs)
    pairs = typed if options.points is None else np.concatenate([read_pairs(options.points), typed])
    return {others[0]: alignment_from_points(pairs)}


def sentence(modality: Modality, reference: Modality, alignment: Alignment) -> str:
    """What was found, for the terminal."""
    import math

    what = "points" if alignment.method == "points" else "blocks of the picture"
    residual = (
        "no residual"
        if math.isnan(alignment.residual)
        else (f"residual {alignment.residual:.1f} px (95 %: {alignment.residual_95:.1f} px)")
    )
    frames = f", {alignment.frames} frames" if alignment.frames else ""
    return (
        f"{modality} onto {reference} by {alignment.method}{frames}: {residual}, "
        f"{alignment.agreeing:.0%} of the {what} agree"
    )


def _write_picture(file: Path, image: NDArray[np.uint8]) -> None:
    import cv2

    from modaltrack.files import replacing

    with replacing(file) as partial:
        cv2.imwrite(str(partial), cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
