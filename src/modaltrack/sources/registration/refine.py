# SPDX-License-Identifier: Apache-2.0
"""From a rough homography to a fine one: cells of the reference vote for small shifts, one homography obeys them all.

At each size of picture the other one is warped by the homography so far, the agreement of every cell with every small
shift is measured and summed over the frames, and the eight numbers that maximise the total agreement are found by
damped Newton steps. A whole surface of votes a cell, not one best shift, lets straight edges say what they know only.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from modaltrack.sources.registration.channels import agreement, edge_channels, eroded
from modaltrack.sources.registration.planes import (
    SIMILARITY,
    Matrix,
    beyond_similarity,
    centred,
    exponential,
    motion,
    moved,
    normalised,
    shrunk,
)

CELL = 8.0  # pixels of the shrunk picture
_STEADY = 3.0  # how strongly the shape is held near a similarity where edges say little
_STILL = 0.05  # pixels: steps below this are the end


class Pictures(NamedTuple):
    """Grey pictures of both sensors at the same instants, and where they show the scene (1) or a border (0)."""

    references: Sequence[NDArray[np.uint8]]
    others: Sequence[NDArray[np.uint8]]
    reference_mask: NDArray[np.uint8]
    other_mask: NDArray[np.uint8]


class Level:
    """Both sensors' pictures at one size.

    Args:
        homography: the guess, other -> reference in full pixels; tells how much the other must shrink, too.
        side: of the reference's longer side, in pixels.
    """

    def __init__(self, pictures: Pictures, homography: Matrix, side: int) -> None:
        first = pictures.references[0]
        factor = min(1.0, side / max(first.shape))
        back = np.linalg.inv(homography)
        middle = np.array([[first.shape[1] / 2, first.shape[0] / 2]])
        ends = moved(back, np.concatenate([middle, middle + np.array([[1, 0]])]))
        own = min(1.0, factor / max(float(np.hypot(*(ends[1] - ends[0]))), 1e-6))
        self.factor, self.to_small = factor, shrunk(first, factor)[1]
        self._own_to_small = shrunk(pictures.others[0], own)[1]
        mask = eroded((shrunk(255 * pictures.reference_mask, factor)[0] > 250).astype(np.uint8)).astype(np.float32)
        self._references = [edge_channels(shrunk(image, factor)[0], mask) for image in pictures.references]
        self._others = [shrunk(image, own)[0] for image in pictures.others]
        self._mask = eroded((shrunk(255 * pictures.other_mask, own)[0] > 250).astype(np.uint8))
        self.size: tuple[int, int] = (mask.shape[0], mask.shape[1])
        self._back = self._own_to_small @ back @ np.linalg.inv(self.to_small)  # reference small -> other small

    @property
    def homography(self) -> Matrix:
        """Other -> reference in full pixels, as refined so far."""
        return normalised(np.linalg.inv(np.linalg.inv(self._own_to_small) @ self._back @ self.to_small))

    def votes(self, reach: int, cell: float) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """The mean agreement over the frames (see ``channels.agreement``) with the other warped as known so far."""
        size, flags = self.size[::-1], cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        mask = eroded(np.asarray(cv2.warpPerspective(self._mask, self._back, size, flags=flags), np.uint8))
        total: NDArray[np.float64] = np.zeros(1)
        for reference, other in zip(self._references, self._others, strict=True):
            seen = cv2.warpPerspective(other, self._back, size, flags=flags, borderMode=cv2.BORDER_REPLICATE)
            channels = edge_channels(np.asarray(seen, np.uint8), mask.astype(np.float32))
            found, y, x = agreement(reference, channels, reach, cell)
            total = total + found
        return total / len(self._references), y, x

    def refine(self, reach: int, count: int, rounds: int = 3) -> float:
        """Improve the homography by its first ``count`` numbers; -> the mean agreement of the cells."""
        unit, half = centred(self.size), max(self.size) / 2
        score = 0.0
        for _ in range(rounds):
            votes, y, x = self.votes(reach, CELL)
            cells = votes.shape[2] * votes.shape[3]
            rows, columns = np.meshgrid(y, x, indexing="ij")
            u, v = (columns.ravel() - self.size[1] / 2 + 0.5) / half, (rows.ravel() - self.size[0] / 2 + 0.5) / half
            held, shape = np.zeros(count), np.zeros(count)
            if count > SIMILARITY:
                held[SIMILARITY:] = _STEADY * cells
                own = centred((self._others[0].shape[0], self._others[0].shape[1]))
                ends = self.size[1] / (2 * half), self.size[0] / (2 * half)
                shape = -beyond_similarity(unit @ np.linalg.inv(self._back) @ np.linalg.inv(own), ends)[:count]
            step, best = _climb(votes.reshape(*votes.shape[:2], -1), half * motion(count, u, v), held, shape)
            self._back = normalised(self._back @ np.linalg.inv(unit) @ exponential(step) @ unit)
            score = best / cells
            if np.abs(step).max() * half < _STILL:
                break
        return score


def _climb(
    votes: NDArray[np.float64], fields: NDArray[np.float64], held: NDArray[np.float64], shape: NDArray[np.float64]
) -> tuple[NDArray[np.float64], float]:
    """The numbers with the largest sum of votes (side, side, N), less ``held * (numbers + shape) ** 2``.

    Args:
        fields: (N, 2, count), how each cell moves in pixels with each number.
    """
    numbers = np.zeros(fields.shape[2])

    def value(at: NDArray[np.float64]) -> float:
        shift = fields @ at
        return float(_sampled(votes, shift[:, 0], shift[:, 1]).sum() - (held * (at + shape) ** 2).sum())

    best, damping = value(numbers), 1e-3
    for _ in range(30):
        slope, bend = _slopes(votes, fields @ numbers)
        gradient = np.einsum("nij,ni->j", fields, slope) - 2 * held * (numbers + shape)
        curvature = 2 * np.diag(held) - np.einsum("nia,nij,njb->ab", fields, bend, fields)
        diagonal = np.diag(np.diag(curvature) + 1e-9)
        gain = 0.0
        for _ in range(6):
            step = np.linalg.solve(curvature + damping * diagonal, gradient)
            if (gain := value(numbers + step) - best) > 0:
                break
            damping *= 8
        if gain <= 0:
            break
        numbers, best, damping = numbers + step, best + gain, max(damping / 5, 1e-6)
        if gain < 1e-6 * abs(best):
            break
    return numbers, best


def _slopes(votes: NDArray[np.float64], shift: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """First (N, 2) and second (N, 2, 2) derivatives of the votes at shifts (N, 2); only bends downwards count."""
    at = {(i, j): _sampled(votes, shift[:, 0] + i, shift[:, 1] + j) for i in (-1.0, 0.0, 1.0) for j in (-1.0, 0.0, 1.0)}
    here = at[0, 0]
    slope = np.stack([at[1, 0] - at[-1, 0], at[0, 1] - at[0, -1]], -1) / 2
    across = (at[1, 1] + at[-1, -1] - at[1, -1] - at[-1, 1]) / 4
    bend = np.empty((len(here), 2, 2))
    bend[:, 0, 0], bend[:, 1, 1] = at[1, 0] + at[-1, 0] - 2 * here, at[0, 1] + at[0, -1] - 2 * here
    bend[:, 0, 1] = bend[:, 1, 0] = across
    values, vectors = np.linalg.eigh(bend)
    return slope, np.einsum("nij,nj,nkj->nik", vectors, np.minimum(values, 0), vectors)


def _sampled(votes: NDArray[np.float64], x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    """Votes (side, side, N) at one shift (x, y) per cell, bilinear, held at the ends."""
    reach = votes.shape[0] // 2
    x, y = np.clip(x + reach, 0, 2 * reach - 1e-3), np.clip(y + reach, 0, 2 * reach - 1e-3)
    left, top = x.astype(np.int64), y.astype(np.int64)
    right_share, low_share, cell = x - left, y - top, np.arange(votes.shape[2])
    upper = votes[top, left, cell] * (1 - right_share) + votes[top, left + 1, cell] * right_share
    lower = votes[top + 1, left, cell] * (1 - right_share) + votes[top + 1, left + 1, cell] * right_share
    return np.asarray(upper * (1 - low_share) + lower * low_share)
