# SPDX-License-Identifier: Apache-2.0
"""The homography between two sensors of a rig from pictures of the same instants, and how far it can be believed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from modaltrack.frame import Modality
from modaltrack.sources.align import ABOUT
from modaltrack.sources.registration.channels import scene_mask
from modaltrack.sources.registration.coarse import Guess, different, guesses
from modaltrack.sources.registration.features import match
from modaltrack.sources.registration.planes import AFFINE, HOMOGRAPHY, SIMILARITY, Matrix, normalised
from modaltrack.sources.registration.refine import Level, Pictures

_GUESSES, _GUESS_FRAMES = 8, 2
_CLOSE = 0.8  # of the best score: what comes so near is looked at in all frames
_LEVELS = ((192, 5, AFFINE), (384, 4, HOMOGRAPHY), (768, 3, HOMOGRAPHY))  # longer side, reach in pixels, numbers
_STRENGTH_SHARE = 1.5  # on those levels
_CHECK_SIDE, _CHECK_REACH, _CHECK_CELL = 256, 8, 24.0
_NEAR = 2.0  # pixels of the check's picture: a block whose best shift is within this agrees
_CHANCE = (2 * _NEAR + 1) ** 2 / (2 * _CHECK_REACH + 1) ** 2  # agreeing blocks where nothing is in common: 9 %
_LEAST_AGREEING = 0.4  # in all; between RGB and thermal stills, right ones have .57 and more, wrong ones up to .34
_LEAST_QUARTER = 0.2  # in each quarter of the picture
_CLEAR, _OFF_SHARE = 0.2, 0.15  # a block is off when its best shift agrees by so much more; so many are too many

_AMBIGUOUS = 0.9  # of the score of the best
_UNSURE = 0.01  # of the longer side, for the standard error of a corner

METHODS = Literal["auto", "features", "edges"]


@dataclass(frozen=True, slots=True)
class Alignment:
    """A homography between two sensors, with what is known of its quality.

    Attributes:
        homography: (3, 3) float64, the other sensor's pixels -> the reference's.
        method: ``points``, ``features`` (of the same kind of sensor) or ``edges``.
        residual: median distance in the reference's pixels: of the points, or of the blocks of the picture that agree
            with it; nan for exactly four points.
        residual_95: the 95th percentile of the same.
        agreeing: share of the blocks (or points) that confirm it.
        frames: pictures that were used of each sensor; 0 for points alone.
        remarks: sentences for the user: a scene that is not flat, corners that are not sure, a point that does not fit.
        spread: standard error of the least sure corner in the reference's pixels, from how the parts of the picture
            differ; nan where it is not known (only ``edges`` gives it).
    """

    homography: Matrix
    method: str
    residual: float
    residual_95: float
    agreeing: float
    frames: int
    remarks: tuple[str, ...] = ()
    spread: float = float("nan")

    def facts(self) -> dict[str, Any]:
        """All but the homography, for a JSON file."""
        return {
            "method": self.method,
            "residual_pixels": _rounded(self.residual),
            "residual_pixels_95": _rounded(self.residual_95),
            "agreeing": _rounded(self.agreeing),
            "corner_spread_pixels": _rounded(self.spread),
            "frames": self.frames,
            "remarks": list(self.remarks),
        }


def alignment_document(reference: Modality, found: Mapping[Modality, Alignment]) -> dict[str, Any]:
    """What ``sources.align.load_alignment`` reads, ready for JSON: the homographies, and what is known of them."""
    about = {m.value: {"onto": reference.value, **one.facts()} for m, one in found.items()}
    return {**{m.value: one.homography.tolist() for m, one in found.items()}, ABOUT: about}


def estimate_alignment(
    references: Sequence[NDArray[np.uint8]], others: Sequence[NDArray[np.uint8]], method: METHODS = "auto"
) -> Alignment:
    """Find the homography that moves another sensor's pixels onto the reference's.

    Args:
        references: pictures of the reference sensor, uint8 (H, W, 3) or (H, W), of one size.
        others: of the other sensor at the same instants, of one size of their own.
        method: ``features`` matches key points (the same kind of sensor); ``edges`` compares the directions of edges
            (any two sensors); ``auto`` takes features where enough agree.

    Raises:
        ValueError: where the pictures have too little in common.
    """
    if not references or len(references) != len(others):
        raise ValueError(
            f"There are {len(references)} pictures of one sensor and {len(others)} of the other; give as many of each, "
            "at least one."
        )
    pictures = _pictures(references, others)
    if method != "edges" and (found := match(pictures.references, pictures.others)) is not None:
        quality = _check(pictures, found.homography)
        return Alignment(
            found.homography,
            "features",
            float(np.median(found.distances)),
            float(np.quantile(found.distances, 0.95)),
            quality.agreeing,
            len(references),
            quality.remarks,
        )
    if method == "features":
        raise ValueError("Too few key points of the two pictures match; use the method 'edges', or give points.")
    by_edges = _by_edges(pictures)
    homography, quality = by_edges.homography, _check(pictures, by_edges.homography)
    if quality.agreeing < _LEAST_AGREEING:
        raise ValueError(
            f"The two sensors' pictures have too little in common: {quality.agreeing:.0%} of the blocks agree with the "
            f"best homography, and {_CHANCE:.0%} do by chance; give frames with more structure, or matched points."
        )
    return Alignment(
        homography,
        "edges",
        quality.residual,
        quality.residual_95,
        quality.agreeing,
        len(references),
        quality.remarks + _doubts(by_edges, max(pictures.references[0].shape)),
        by_edges.spread,
    )


def _doubts(found: _Found, side: int) -> tuple[str, ...]:
    """Sentences on a homography that could be another one, or whose corners are not sure."""
    remarks: tuple[str, ...] = ()
    if found.rival > _AMBIGUOUS:
        remarks += (
            f"A quite different homography fits nearly as well ({found.rival:.0%}): look at the picture, and give more "
            "frames or matched points where it is wrong.",
        )
    if found.spread > _UNSURE * side:
        remarks += (
            f"The corners are sure to about {2 * found.spread:.0f} pixels only, as parts of the picture have few edges "
            "that both sensors see or disagree; give more frames, a scene with more structure, or matched points.",
        )
    return remarks


def _pictures(references: Sequence[NDArray[np.uint8]], others: Sequence[NDArray[np.uint8]]) -> Pictures:
    grey = []
    for name, images in (("reference", references), ("other", others)):
        sizes = {image.shape[:2] for image in images}
        if len(sizes) > 1:
            raise ValueError(f"The {name} sensor's pictures have {len(sizes)} sizes; give pictures of one size.")
        if min(sizes.pop()) < 32:
            raise ValueError(f"The {name} sensor's pictures are smaller than 32 pixels; give larger ones.")
        grey.append([image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) for image in images])
    ours, theirs = (np.minimum.reduce([scene_mask(image) for image in images[:3]]) for images in grey)
    return Pictures(grey[0], grey[1], ours, theirs)


class _Found(NamedTuple):
    """A homography by edges, the score of the best different one as a share of its own, the error of its corners."""

    homography: Matrix
    rival: float
    spread: float


def _by_edges(pictures: Pictures) -> _Found:
    """From all similarities at 96 pixels over the best few at 128 to a homography at up to 768."""
    few = pictures._replace(references=pictures.references[:_GUESS_FRAMES], others=pictures.others[:_GUESS_FRAMES])
    own, reference = pictures.others[0].shape, pictures.references[0].shape
    begun = []
    for guess in guesses(*few, count=_GUESSES):
        level = Level(few, guess.homography, 128)
        begun.append(Guess(level.refine(5, SIMILARITY, rounds=2), level.homography))
    begun = different(sorted(begun, key=lambda guess: -guess.score), own, reference, _GUESSES)
    begun = begun[:1] + [guess for guess in begun[1:] if guess.score > _CLOSE * begun[0].score]
    begun = [_refined(pictures, guess.homography, *_LEVELS[0])[0] for guess in begun]
    best, *rivals = different(sorted(begun, key=lambda guess: -guess.score), own, reference, 2)
    rival = rivals[0].score / max(best.score, 1e-9) if rivals else 0.0
    for side, reach, count in _LEVELS[1:]:
        if side > _LEVELS[1][0] and side > max(reference) * 1.2:
            break
        best, level = _refined(pictures, best.homography, side, reach, count)
        spread = level.spread(reach, count)
    return _Found(best.homography, rival, spread)


def _refined(pictures: Pictures, homography: Matrix, side: int, reach: int, count: int) -> tuple[Guess, Level]:
    level = Level(pictures, homography, side, _STRENGTH_SHARE)
    score = level.refine(reach, count)
    return Guess(score, level.homography), level


@dataclass(frozen=True, slots=True)
class _Quality:
    residual: float
    residual_95: float
    agreeing: float
    remarks: tuple[str, ...]


def _check(pictures: Pictures, homography: Matrix) -> _Quality:
    """Where each block of the picture would rather be: near nothing at all where the homography fits."""
    level = Level(pictures, normalised(homography), _CHECK_SIDE)
    votes, _, _ = level.votes(_CHECK_REACH, _CHECK_CELL)
    side = votes.shape[0]
    blocks = votes.reshape(side * side, -1)
    best = blocks.argmax(0)
    peak, here = blocks.max(0), blocks[side * side // 2]
    strong = peak > 0.5 * np.median(peak[peak > 0]) if (peak > 0).any() else peak > 0
    if not strong.any():
        return _Quality(float("nan"), float("nan"), 0.0, ())
    y, x = np.divmod(best, side)
    shift = np.hypot(x - _CHECK_REACH + _finer(votes, y, x, 1), y - _CHECK_REACH + _finer(votes, y, x, 0))
    near = strong & (shift <= _NEAR * np.sqrt(2))
    off = strong & ~near & (here < (1 - _CLEAR) * peak) & ~_at_the_rim(y, x, side)
    off &= _like_neighbours(y.reshape(votes.shape[2:]), x.reshape(votes.shape[2:])).ravel()
    distances = shift[near] / level.factor
    remarks: tuple[str, ...] = ()
    if off.sum() > _OFF_SHARE * strong.sum():
        remarks = (
            f"{off.sum() / strong.sum():.0%} of the picture would rather be moved by "
            f"{np.median(shift[off]) / level.factor:.0f} pixels more: the scene is not flat enough for one homography "
            "(near things shift against far ones), and it holds for the distance that most of the picture has.",
        )
    remarks += _unconfirmed(near.reshape(votes.shape[2:]))
    if not near.any():
        return _Quality(float("nan"), float("nan"), 0.0, remarks)
    return _Quality(
        float(np.median(distances)),
        float(np.quantile(distances, 0.95)),
        float(near.sum() / strong.sum()),
        remarks,
    )


def _unconfirmed(near: NDArray[np.bool_]) -> tuple[str, ...]:
    """A sentence on the quarters of the picture in which hardly any of the blocks (rows, columns) agree."""
    (rows, columns), names = near.shape, []
    for upper, vertical in ((True, "upper"), (False, "lower")):
        for left, side in ((True, "left"), (False, "right")):
            part = near[: (rows + 1) // 2] if upper else near[rows // 2 :]
            part = part[:, : (columns + 1) // 2] if left else part[:, columns // 2 :]
            if part.mean() < _LEAST_QUARTER:
                names.append(f"{vertical} {side}")
    if not names:
        return ()
    return (
        f"Hardly anything in the {', '.join(names)} of the picture confirms the homography, so it is a guess there: "
        "give more frames, a scene with more structure, or matched points.",
    )


def _finer(votes: NDArray[np.float64], y: NDArray[np.int64], x: NDArray[np.int64], axis: int) -> NDArray[np.float64]:
    """Where between whole pixels the best shift lies along an axis: the top of a parabola."""
    cells = votes.reshape(votes.shape[0], votes.shape[1], -1)
    last, which = votes.shape[0] - 1, np.arange(cells.shape[2])
    place = [y, x]
    values = []
    for by in (-1, 0, 1):
        moved_place = list(place)
        moved_place[axis] = np.clip(place[axis] + by, 0, last)
        values.append(cells[moved_place[0], moved_place[1], which])
    bend = values[0] + values[2] - 2 * values[1]
    return np.asarray(np.clip((values[0] - values[2]) / (2 * np.minimum(bend, -1e-9)), -0.5, 0.5))


def _like_neighbours(y: NDArray[np.int64], x: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Blocks (rows, columns) at least two of whose four neighbours want the same shift: noise has no such blocks."""
    alike = np.zeros(y.shape, np.int64)
    for axis in (0, 1):
        same = np.maximum(abs(np.diff(y, axis=axis)), abs(np.diff(x, axis=axis))) <= 1
        ahead, behind = [(0, 0), (0, 0)], [(0, 0), (0, 0)]
        ahead[axis], behind[axis] = (0, 1), (1, 0)
        alike += np.pad(same, ahead).astype(np.int64) + np.pad(same, behind)
    return np.asarray(alike >= 2)


def _at_the_rim(y: NDArray[np.int64], x: NDArray[np.int64], side: int) -> NDArray[np.bool_]:
    """Best shifts at the end of the reach are no maxima."""
    return np.asarray((np.minimum(y, x) == 0) | (np.maximum(y, x) == side - 1))


def _rounded(value: float) -> float | None:
    return round(value, 3) if np.isfinite(value) else None
