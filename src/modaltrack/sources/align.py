# SPDX-License-Identifier: Apache-2.0
"""Alignment in space: one 3x3 homography per sensor, from its pixels to the pixels of the RGB image.

As JSON: ``{"thermal": [[1.02, 0.0, -3.5], [0.0, 1.02, 4.0], [0.0, 0.0, 1.0]]}``. Pixel centres have whole coordinates.
The key ``about`` (where the file came from, its residuals) is for people and is not read.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from modaltrack.files import parse_json
from modaltrack.frame import Modality

Homographies = Mapping[str, Any]
ABOUT = "about"


def load_alignment(
    align: Homographies | str | Path | None, modalities: tuple[Modality, ...], reference: Modality
) -> dict[Modality, NDArray[np.float64]]:
    """Check homographies given as a mapping or as a JSON file: modality -> (3, 3) float64, empty for None.

    Raises:
        ValueError: for unreadable JSON, keys that are no modality of the clip, the reference itself (it defines the
            pixels), and matrices that are not 3x3, not finite or singular.
    """
    if align is None:
        return {}
    where = "the alignment"
    if isinstance(align, str | Path):
        where = f"the alignment file {align}"
        align = _read_json(Path(align))
    matrices: dict[Modality, NDArray[np.float64]] = {}
    for key, rows in align.items():
        if key == ABOUT:
            continue
        if key not in set(Modality):
            raise ValueError(
                f"{_upper(where)} has the key {key!r} and one of {', '.join(Modality)} was expected; rename it."
            )
        modality = Modality(key)
        if modality == reference:
            raise ValueError(f"{_upper(where)} moves {key}, which all others are moved onto; leave it out.")
        if modality not in modalities:
            raise ValueError(
                f"{_upper(where)} has a homography for {key}, which is no source of this clip "
                f"({', '.join(modalities)}); add that source or leave the key out."
            )
        matrices[modality] = _check_matrix(rows, f"{_upper(where)}: the homography of {key}")
    return matrices


def _upper(text: str) -> str:
    return text[0].upper() + text[1:]


def _read_json(file: Path) -> Mapping[str, Any]:
    if not file.is_file():
        raise ValueError(f"The alignment file {file} does not exist; check the path.")
    try:
        content = parse_json(file.read_text(encoding="utf-8-sig"))
    except ValueError as error:
        raise ValueError(
            f'The alignment file {file} is not valid JSON ({error}); {{"thermal": [[...], [...], [...]]}} is expected.'
        ) from error
    if not isinstance(content, dict):
        raise ValueError(
            f'The alignment file {file} holds a {type(content).__name__}; {{"thermal": [[...], [...], [...]]}} '
            "is expected."
        )
    return content


def _check_matrix(rows: object, what: str) -> NDArray[np.float64]:
    try:
        matrix = np.array(rows, np.float64)
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f"{what} is no matrix of numbers; 3 rows of 3 numbers are expected.") from None
    if matrix.shape != (3, 3):
        raise ValueError(f"{what} has the shape {matrix.shape}; 3 rows of 3 numbers are expected.")
    if not np.isfinite(matrix).all():
        raise ValueError(f"{what} holds NaN or infinity; 9 finite numbers are expected.")
    if np.linalg.matrix_rank(matrix) < 3:
        raise ValueError(f"{what} is singular, so it maps the image onto a line; estimate it again.")
    return matrix


def warp(
    image: NDArray[Any], homography: NDArray[np.float64], size: tuple[int, int], nearest: bool, border: float
) -> NDArray[Any]:
    """Move an image (H, W) or (H, W, 3) onto the reference (size: height, width); ``border`` fills the rest."""
    return cv2.warpPerspective(
        image,
        homography,
        size[::-1],
        flags=cv2.INTER_NEAREST if nearest else cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=(border, border, border),
    )


def rescale(image: NDArray[Any], size: tuple[int, int], nearest: bool) -> NDArray[Any]:
    """Scale an image to (height, width); the same image where it has that size."""
    if image.shape[:2] == size:
        return image
    return cv2.resize(image, size[::-1], interpolation=cv2.INTER_NEAREST if nearest else cv2.INTER_LINEAR)
