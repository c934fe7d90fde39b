# SPDX-License-Identifier: Apache-2.0
"""A first guess without any start: every zoom, turn and shift that a rig of two cameras may have, at 96 pixels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from modaltrack.sources.registration.channels import edge_channels
from modaltrack.sources.registration.planes import Matrix, corners, moved, shrunk

_SIDE = 96  # at 64 the right guess is often not among the best ten between visible and thermal
_BLUR = 0.7
_ZOOMS = 1.1 ** np.arange(-7, 8)  # of the other picture's width over the reference's: 0.51 to 1.95
_TURNS = np.arange(-12, 13, 4)  # degrees
_LEAST_OVERLAP = 0.35
_ALIKE = 0.08  # of the longer side: guesses whose corners are nearer than this lead to the same place

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
    """Up to ``count`` different similarities by masked normalised cross-correlation of edges, best first."""
    factor = _SIDE / max(references[0].shape)
    small = [shrunk(image, factor)[0] for image in references]
    to_small = shrunk(references[0], factor)[1]
    mask = (shrunk(255 * reference_mask, factor)[0] > 250).astype(np.float32)
    own_height, own_width = others[0].shape
    found = []
    for zoom in _ZOOMS * mask.shape[1] / own_width:
        canvas = _turned_size(zoom * own_height, zoom * own_width)
        search = _Search(small, mask, canvas)
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
    return different(sorted(found, key=lambda guess: -guess.score), (own_height, own_width), references[0].shape, count)


def different(found: Sequence[Guess], own: tuple[int, ...], reference: tuple[int, ...], count: int) -> list[Guess]:
    """The first ``count`` guesses that put a picture of size ``own`` (height, width) elsewhere than those before."""
    kept: list[Guess] = []
    places: list[NDArray[np.float64]] = []
    for guess in found:
        place = moved(guess.homography, corners((own[0], own[1])))
        if all(np.linalg.norm(place - other, axis=1).max() > _ALIKE * max(reference) for other in places):
            kept.append(guess)
            places.append(place)
        if len(kept) == count:
            break
    return kept


def _turned_size(height: float, width: float) -> tuple[int, int]:
    """Height and width that hold a picture turned as far as turns go."""
    turn = np.deg2rad(_TURNS.max())
    return (
        int(np.ceil(height * np.cos(turn) + width * np.sin(turn))) + 2,
        int(np.ceil(width * np.cos(turn) + height * np.sin(turn))) + 2,
    )


class _Search:
    """The reference's spectra, against which placed pictures are correlated at every shift."""

    def __init__(self, images: Sequence[NDArray[np.uint8]], mask: NDArray[np.float32], canvas: tuple[int, int]) -> None:
        self._size, self._canvas = mask.shape, canvas
        self._shape = tuple(cv2.getOptimalDFTSize(c + s) for c, s in zip(canvas, mask.shape, strict=True))
        self._area = float(mask.sum())
        channels = [edge_channels(image, mask, _BLUR) for image in images]
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
        product: Spectrum = np.zeros(1, np.complex64)
        energy = np.zeros(self._canvas, np.float32)
        for image, reference in zip(images, self._channels, strict=True):
            placed = cv2.warpPerspective(image, to_canvas, size, borderMode=cv2.BORDER_REPLICATE)
            own = edge_channels(np.asarray(placed, np.uint8), shown, _BLUR)
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

    def _back(self, spectrum: Spectrum) -> NDArray[np.floating]:
        return np.asarray(np.fft.irfft2(spectrum, self._shape))
