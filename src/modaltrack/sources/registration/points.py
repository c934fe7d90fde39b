# SPDX-License-Identifier: Apache-2.0
"""Homographies from matched points, as a user clicks or types them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from modaltrack.box_text import parse_table
from modaltrack.sources.registration.estimate import Alignment
from modaltrack.sources.registration.planes import moved, normalised

_FEW = 6  # pairs below which a wrong one cannot be told from the others
_FAR = 3.0  # times the median distance, and at least so many pixels


def parse_pairs(texts: Sequence[str]) -> NDArray[np.float64]:
    """``["12,40:31.5,66", ...]``, the other sensor's x,y and the reference's -> (N, 4).

    Raises:
        ValueError: for anything else.
    """
    rows = []
    for text in texts:
        numbers = text.replace(":", ",").split(",")
        try:
            if text.count(":") != 1 or len(numbers) != 4:
                raise ValueError
            rows.append([float(number) for number in numbers])
        except ValueError:
            raise ValueError(
                f"The pair {text!r} is not x,y:x,y, a point in the sensor's own picture and in the reference's."
            ) from None
    return np.array(rows, np.float64).reshape(-1, 4)


def read_pairs(file: Path) -> NDArray[np.float64]:
    """A text file with rows of x, y in the other sensor's picture and x, y in the reference's -> (N, 4).

    Raises:
        ValueError: for other files.
    """
    if not file.is_file():
        raise ValueError(f"The file of points {file} does not exist; check the path.")
    rows = parse_table(file.read_bytes(), str(file)).numbers
    if rows.ndim != 2 or rows.shape[1:] != (4,):
        raise ValueError(
            f"{file} holds rows of {rows.shape[-1]} numbers and 4 were expected: x, y in the sensor's own picture and "
            "x, y in the reference's."
        )
    return np.asarray(rows, np.float64)


def alignment_from_points(pairs: NDArray[np.float64]) -> Alignment:
    """The homography of at least four pairs of points; one that does not fit the others is left out and named.

    Args:
        pairs: (N, 4), x and y in the other sensor's picture, x and y in the reference's.

    Raises:
        ValueError: for fewer than four pairs, pairs that are not finite, and points on a line.
    """
    if len(pairs) < 4:
        raise ValueError(f"There are {len(pairs)} pairs of points; a homography needs at least 4, and 8 are better.")
    if not np.isfinite(pairs).all():
        raise ValueError("The points hold NaN or infinity; give finite pixels.")
    here, there = pairs[:, :2], pairs[:, 2:]
    kept = np.ones(len(pairs), bool)
    if len(pairs) >= _FEW:
        first, _ = cv2.findHomography(here, there, cv2.LMEDS)
        if first is not None:
            distances = np.hypot(*(moved(first, here) - there).T)
            kept = distances <= max(_FAR * float(np.median(distances)), _FAR)
    homography = cv2.findHomography(here[kept], there[kept], 0)[0] if kept.sum() >= 4 else None
    if homography is None or _flat(here[kept]) or _flat(there[kept]) or abs(np.linalg.det(homography)) < 1e-9:
        raise ValueError("The points lie on a line, or nearly so; give points that are spread over the picture.")
    homography = normalised(homography)
    distances = np.hypot(*(moved(homography, here) - there).T)
    remarks = tuple(
        f"Pair {i + 1} is {distances[i]:.0f} pixels from where the others put it and was left out; check it."
        for i in np.flatnonzero(~kept)
    )
    exact = kept.sum() == 4
    if exact:
        remarks += ("Four pairs fit exactly, whatever they are; give more to see a residual.",)
    known = distances[kept]
    residual, high = (float("nan"),) * 2 if exact else (float(np.median(known)), float(np.quantile(known, 0.95)))
    return Alignment(homography, "points", residual, high, float(kept.mean()), 0, remarks)


def _flat(points: NDArray[np.float64]) -> bool:
    spread = np.linalg.svd(points - points.mean(0), compute_uv=False)
    return bool(spread[1] < 0.01 * spread[0] or spread[0] == 0)
