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

from modaltrack.sources.registration.channels import Channels, agreement, edge_channels, eroded
from modaltrack.sources.registration.planes import (
    SIMILARITY,
    Matrix,
    beyond_similarity,
    centred,
    corners,
    exponential,
    motion,
    moved,
    normalised,
    shrunk,
)

CELL = 8.0  # pixels of the shrunk picture
_STEADY = 60.0  # how strongly the shape is held near a similarity where edges say little
_PARTS = 4  # of the picture's height and width, each left out once to see how sure the numbers are
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
        strength_share: see ``channels.edge_channels``.
    """

    def __init__(self, pictures: Pictures, homography: Matrix, side: int, strength_share: float = 0.0) -> None:
        self._strength_share = strength_share
        first = pictures.references[0]
        factor = min(1.0, side / max(first.shape))
        back = np.linalg.inv(homography)
        middle = np.array([[first.shape[1] / 2, first.shape[0] / 2]])
        ends = moved(back, np.concatenate([middle, middle + np.array([[1, 0]])]))
        own = min(1.0, factor / max(float(np.hypot(*(ends[1] - ends[0]))), 1e-6))
        self.factor, self.to_small = factor, shrunk(first, factor)[1]
        self._own_to_small = shrunk(pictures.others[0], own)[1]
        mask = eroded((shrunk(255 * pictures.reference_mask, factor)[0] > 250).astype(np.uint8)).astype(np.float32)
        self._references = [self._channels(shrunk(image, factor)[0], mask) for image in pictures.references]
        self._others = [shrunk(image, own)[0] for image in pictures.others]
        self._mask = eroded((shrunk(255 * pictures.other_mask, own)[0] > 250).astype(np.uint8))
        self.size: tuple[int, int] = (mask.shape[0], mask.shape[1])
        self._back = self._own_to_small @ back @ np.linalg.inv(self.to_small)  # reference small -> other small

    @property
    def homography(self) -> Matrix:
        """Other -> reference in full pixels, as refined so far."""
        return normalised(np.linalg.inv(np.linalg.inv(self._own_to_small) @ self._back @ self.to_small))

    def _channels(self, image: NDArray[np.uint8], mask: NDArray[np.float32]) -> Channels:
        return edge_channels(image, mask, strength_share=self._strength_share)

    def votes(self, reach: int, cell: float) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """The mean agreement over the frames (see ``channels.agreement``) with the other warped as known so far."""
        size, flags = self.size[::-1], cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        mask = eroded(np.asarray(cv2.warpPerspective(self._mask, self._back, size, flags=flags), np.uint8))
        total: NDArray[np.float64] = np.zeros(1)
        for reference, other in zip(self._references, self._others, strict=True):
            seen = cv2.warpPerspective(other, self._back, size, flags=flags, borderMode=cv2.BORDER_REPLICATE)
            channels = self._channels(np.asarray(seen, np.uint8), mask.astype(np.float32))
            found, y, x = agreement(reference, channels, reach, cell)
            total = total + found
        return total / len(self._references), y, x

    def refine(self, reach: int, count: int, rounds: int = 3) -> float:
        """Improve the homography by its first ``count`` numbers; -> the mean agreement of the cells."""
        unit, half = centred(self.size), max(self.size) / 2
        score = 0.0
        for _ in range(rounds):
            votes, fields, _ = self._ballot(reach, count)
            held, shape = self._prior(count, votes)
            step, best = _climb(votes, fields, held, shape)
            self._back = normalised(self._back @ np.linalg.inv(unit) @ exponential(step) @ unit)
            score = best / votes.shape[2]
            if np.abs(step).max() * half < _STILL:
                break
        return score

    def spread(self, reach: int, count: int) -> float:
        """How surely the votes say where the corners lie: the standard error of the least sure corner, in full pixels.

        Source: the jackknife over the parts of a grid; each is left out once, and the numbers are found without it.
        """
        votes, fields, grid = self._ballot(reach, count)
        unit, half = centred(self.size), max(self.size) / 2
        rows, columns = (np.arange(n) * _PARTS // n for n in grid)
        part = (rows[:, None] * _PARTS + columns).ravel()
        at = moved(unit, corners(self.size))
        found = []
        for i in range(_PARTS**2):
            kept = part != i
            held, shape = self._prior(count, votes[:, :, kept])
            step, _ = _climb(votes[:, :, kept], fields[kept], held, shape)
            found.append(half * moved(exponential(step), at))
        away = np.stack(found) - np.mean(found, axis=0)
        variance = (len(found) - 1) / len(found) * (away**2).sum((0, 2))
        return float(np.sqrt(variance.max())) / self.factor

    def _ballot(self, reach: int, count: int) -> tuple[NDArray[np.float64], NDArray[np.float64], tuple[int, int]]:
        """The cells' votes (side, side, N), how each moves in pixels with each number (N, 2, count), their grid."""
        votes, y, x = self.votes(reach, CELL)
        half = max(self.size) / 2
        rows, columns = np.meshgrid(y, x, indexing="ij")
        u, v = (columns.ravel() - self.size[1] / 2 + 0.5) / half, (rows.ravel() - self.size[0] / 2 + 0.5) / half
        return votes.reshape(*votes.shape[:2], -1), half * motion(count, u, v), (len(y), len(x))

    def _prior(self, count: int, votes: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """How strongly each number is held (count,), and how far the homography so far is from a similarity in it."""
        held, shape = np.zeros(count), np.zeros(count)
        if count > SIMILARITY:
            unit, half = centred(self.size), max(self.size) / 2
            held[SIMILARITY:] = _STEADY * float(votes.max((0, 1)).sum())
            own = centred((self._others[0].shape[0], self._others[0].shape[1]))
            ends = self.size[1] / (2 * half), self.size[0] / (2 * half)
            shape = -beyond_similarity(unit @ np.linalg.inv(self._back) @ np.linalg.inv(own), ends)[:count]
        return held, shape


def _climb(
    votes: NDArray[np.float64], fields: NDArray[np.float64], held: NDArray[np.float64], shape: NDArray[np.float64]
) -> tuple[NDArray[np.float64], float]:
    """The numbers with the largest sum of votes (side, side, N), less ``held * (numbers + shape) ** 2``.

    Args:
        fields: (N, 2, count), how each cell moves in pixels with each number.
    """
    numbers = np.zeros(fields.shape[2])

    def value(at: NDArray[np.float64]) -> float:
        return float(_sampled(votes, fields @ at).sum() - (held * (at + shape) ** 2).sum())

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


# The three weights of a quadratic B-spline, 0.5 (0.5 - t)^2, 0.75 - t^2 and 0.5 (0.5 + t)^2, as numbers of 1, t, t^2.
# Between bilinear votes the best shift sticks to whole pixels; these have a slope everywhere.
_SPLINE = np.array([[0.125, -0.5, 0.5], [0.75, 0.0, -1.0], [0.125, 0.5, 0.5]])


def _sampled(votes: NDArray[np.float64], shift: NDArray[np.float64]) -> NDArray[np.float64]:
    """Votes (side, side, N) at one shift (x, y) per cell (N, 2), held at the ends."""
    near, weights, _ = _around(votes, shift)
    return np.asarray(np.einsum("ijn,ni,nj->n", near, weights[:, 1, :, 0], weights[:, 0, :, 0]))


def _slopes(votes: NDArray[np.float64], shift: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """First (N, 2) and second (N, 2, 2) derivatives of the votes at shifts (N, 2); only bends downwards count."""
    near, weights, inside = _around(votes, shift)

    def derived(x: int, y: int) -> NDArray[np.float64]:
        return np.asarray(np.einsum("ijn,ni,nj->n", near, weights[:, 1, :, y], weights[:, 0, :, x]))

    slope = np.stack([derived(1, 0), derived(0, 1)], -1) * inside
    across = derived(1, 1)
    bend = np.stack([derived(2, 0), across, across, derived(0, 2)], -1).reshape(-1, 2, 2)
    bend *= inside[:, :, None] * inside[:, None, :]
    values, vectors = np.linalg.eigh(bend)
    return slope, np.einsum("nij,nj,nkj->nik", vectors, np.minimum(values, 0), vectors)


def _around(
    votes: NDArray[np.float64], shift: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]]:
    """What surrounds a shift per cell: votes (3, 3, N), weights (N, xy, 3, derivative), and not held (N, xy)."""
    reach = votes.shape[0] // 2
    inside = np.abs(shift) < reach - 1
    place = np.clip(shift, 1 - reach, reach - 1)
    whole = np.rint(place)
    t, one = place - whole, np.ones_like(place)
    powers = np.stack([np.stack([one, t, t * t]), np.stack([0 * t, one, 2 * t]), np.stack([0 * t, 0 * t, 2 * one])])
    weights = np.einsum("kp,dpnx->nxkd", _SPLINE, powers)
    x, y = (whole + reach).astype(np.int64).T
    by = np.arange(-1, 2)
    near = votes[(y + by[:, None])[:, None], (x + by[:, None])[None], np.arange(len(shift))]
    return near, weights, inside
