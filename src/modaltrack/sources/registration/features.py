# SPDX-License-Identifier: Apache-2.0
"""Matched key points, for sensors that see alike: several hundred SIFT matches, where there are any."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from modaltrack.sources.registration.planes import Matrix, moved, normalised, shrunk

_SIDE = 1600  # larger pictures are shrunk to this
_KEY_POINTS = 3000
_RATIO = 0.8  # Lowe's: the best match is so much nearer than the second
_NEAR = 2.0  # pixels
ENOUGH = 40  # inliers; between RGB and thermal there are fewer than 15 by chance


class Matched(NamedTuple):
    """A homography of key points and the distances of its inliers in the reference's pixels."""

    homography: Matrix
    distances: NDArray[np.float64]


def match(references: Sequence[NDArray[np.uint8]], others: Sequence[NDArray[np.uint8]]) -> Matched | None:
    """The homography (other -> reference) of the matches of all frames; None where too few agree on one."""
    finder = cv2.SIFT.create(nfeatures=_KEY_POINTS)
    pairs = [_pairs(finder, reference, other) for reference, other in zip(references, others, strict=True)]
    here, there = (np.concatenate([pair[side] for pair in pairs]) for side in (0, 1))
    if len(here) < ENOUGH:
        return None
    homography, inliers = cv2.findHomography(there, here, cv2.USAC_MAGSAC, _NEAR, maxIters=10_000, confidence=0.9999)
    if homography is None or int(inliers.sum()) < max(ENOUGH, 0.1 * len(here)):
        return None
    kept = inliers.ravel() > 0
    distances = np.hypot(*(moved(homography, there[kept]) - here[kept]).T)
    return Matched(normalised(homography), distances)


def _pairs(
    finder: cv2.SIFT, reference: NDArray[np.uint8], other: NDArray[np.uint8]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Matched points (N, 2) in both pictures, in full pixels."""
    points, descriptors = [], []
    for image in (reference, other):
        small, to_small = shrunk(image, _SIDE / max(image.shape))
        found, described = finder.detectAndCompute(small, None)
        if described is None or len(found) < 4:
            return np.empty((0, 2)), np.empty((0, 2))
        points.append(moved(np.linalg.inv(to_small), np.array([point.pt for point in found], np.float64)))
        descriptors.append(described)
    best = [m for m in cv2.BFMatcher().knnMatch(descriptors[0], descriptors[1], k=2) if len(m) == 2]
    good = [first for first, second in best if first.distance < _RATIO * second.distance]
    return points[0][[m.queryIdx for m in good]], points[1][[m.trainIdx for m in good]]
