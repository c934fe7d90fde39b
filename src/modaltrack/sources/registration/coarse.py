# SPDX-License-Identifier: Apache-2.0
"""A first guess without any start: every zoom, turn and shift that a rig of two cameras may have, at 64 pixels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from modaltrack.sources.registration.channels import edge_channels
from modaltrack.sources.registration.planes import Matrix, shrunk

_SIDE = 64
_ZOOMS = 1.1 ** np.arange(-7, 8)  # of the other picture's width over the reference's: 0.51 to 1.95
_TURNS = np.arange(-12, 13, 4)  # degrees
_LEAST_OVERLAP = 0.35

Spectrum = NDArray[np.complexfloating]


class Guess(NamedTuple):
    """A similarity, the other picture's pixels -> the reference's, and the correlation of the edges there."""

    score: float
    homography: Matrix


def guesses(
    references: Sequence[NDArray[np.uint8]],
    others: Sequence[NDArray[np.uint8]],
    reference_mask: NDArray[np.uint8],
    other_mask: NDArray[np.uint8],
    count: int,
) -> list[Guess]:
    """The ``count`` best similarities by masked normalised cross-correlation of edge channels, best first."""
    factor = _SIDE / max(references[0].shape)
    small = [shrunk(image, factor)[0] for image in references]
    to_small = shrunk(references[0], factor)[1]
    height, width = small[0].shape
    mask = shrunk(255 * reference_mask, factor)[0] > 250
    canvas = 2 * height, 2 * width
    search = _Search(small, mask.astype(np.float32), canvas)
    own_height, own_width = others[0].shape
    found = []
    for zoom in _ZOOMS * width / own_width:
        images, to_image = [shrunk(image, zoom)[0] for image in others], shrunk(others[0], zoom)[1]
        other_small = (shrunk(255 * other_mask, zoom)[0] > 250).astype(np.uint8)
        for turn in np.deg2rad(_TURNS):
            placed = np.eye(3)
            placed[:2, :2] = zoom * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
            middle = np.array([own_width / 2 - 0.5, own_height / 2 - 0.5])
            placed[:2, 2] = [canvas[1] / 2 - 0.5, canvas[0] / 2 - 0.5] - placed[:2, :2] @ middle
            score, shift = search.best(images, other_small, placed @ np.linalg.inv(to_image))
            back = np.array([[1, 0, -shift[0]], [0, 1, -shift[1]], [0, 0, 1]], np.float64)
            found.append(Guess(score, np.linalg.inv(to_small) @ back @ placed))
    return sorted(found, key=lambda guess: -guess.score)[:count]


class _Search:
    """The reference's spectra, against which placed pictures are correlated at every shift."""

    def __init__(self, images: Sequence[NDArray[np.uint8]], mask: NDArray[np.float32], canvas: tuple[int, int]) -> None:
        self._size, self._canvas = mask.shape, canvas
        self._shape = tuple(cv2.getOptimalDFTSize(c + s) for c, s in zip(canvas, mask.shape, strict=True))
        self._area = float(mask.sum())
        channels = [edge_channels(image, mask) for image in images]
        self._channels = [[np.conj(self._spectrum(c)) for c in own] for own in channels]
        self._energy = np.conj(self._spectrum(np.sum([c * c for own in channels for c in own], axis=0)))
        self._mask = np.conj(self._spectrum(mask))

    def best(
        self, images: Sequence[NDArray[np.uint8]], mask: NDArray[np.uint8], to_canvas: Matrix
    ) -> tuple[float, tuple[int, int]]:
        """The best correlation and its shift (x, y) of pictures put onto the canvas."""
        size = self._canvas[::-1]
        shown = cv2.warpPerspective(mask, to_canvas, size, flags=cv2.INTER_NEAREST)
        shown = np.asarray(cv2.erode(shown, np.ones((3, 3), np.uint8)), np.float32)
        product: Spectrum = np.zeros(1, np.complex128)
        energy = np.zeros(self._canvas, np.float32)
        for image, reference in zip(images, self._channels, strict=True):
            placed = cv2.warpPerspective(image, to_canvas, size, borderMode=cv2.BORDER_REPLICATE)
            own = edge_channels(np.asarray(placed, np.uint8), shown)
            product = product + sum(self._spectrum(c) * r for c, r in zip(own, reference, strict=True))
            energy += sum(c * c for c in own)
        spectrum = self._spectrum(shown)
        overlap = self._back(spectrum * self._mask)
        both = self._back(spectrum * self._energy) * self._back(self._spectrum(energy) * self._mask)
        score = self._back(product) / np.sqrt(np.maximum(both, 1.0))
        score *= np.clip(overlap / (self._size[0] * self._size[1]), 0, 1) ** 0.25
        score[overlap < _LEAST_OVERLAP * min(float(shown.sum()), self._area)] = -1
        row, column = (int(i) for i in np.unravel_index(int(score.argmax()), score.shape))
        best = float(score[row, column])
        row -= self._shape[0] * (row > self._canvas[0])
        column -= self._shape[1] * (column > self._canvas[1])
        return best, (column, row)

    def _spectrum(self, image: NDArray[np.float32]) -> Spectrum:
        return np.asarray(np.fft.rfft2(image, self._shape))

    def _back(self, spectrum: Spectrum) -> NDArray[np.float64]:
        return np.asarray(np.fft.irfft2(spectrum, self._shape))
