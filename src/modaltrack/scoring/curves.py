# SPDX-License-Identifier: Apache-2.0
"""Success and precision of one clip, as the OTB / LaSOT / LasHeR family defines them.

What is fixed here, because these choices move published numbers (docs/evaluation.md 0):

* boxes are continuous xywh; the "inclusive pixel" +1/-1 of the older programs cancels and is left out;
* success compares ``overlap > threshold`` at the 21 thresholds 0, 0.05 .. 1 and takes the plain mean; no overlap is
  above 1, so a perfect tracker gets 20/21 = 0.952. ``inclusive=True`` compares with ``>=`` instead (perfect = 1);
* precision compares ``error <= threshold`` (``inclusive=False``: ``<``, GTOT's way);
* frames whose ground truth is absent (nan, or a width or height <= 0) are left out, numerator and denominator alike.
  The published programs differ exactly here; this rule is [ours], and their variants belong to named protocols;
* a prediction that is nan or has no area is a miss in every score, never skipped and never repaired;
* the first frame counts like any other.

A frame index is a row. Lengths must agree: nothing is cut or padded in silence.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from modaltrack.boxes import iou

SUCCESS_THRESHOLDS: NDArray[np.float64] = np.arange(21) / 20  # k/20, not a running sum: 0.15 is the float 0.15
PRECISION_THRESHOLDS: NDArray[np.float64] = np.arange(51, dtype=np.float64)  # pixels


def overlaps(pred: ArrayLike, truth: ArrayLike) -> NDArray[np.float64]:
    """Intersection over union of every annotated frame.

    Args:
        pred, truth: (N, 4) xywh pixels.

    Returns:
        (M,) in 0..1, M <= N being the frames in which the target is present.

    Raises:
        ValueError: on shapes that do not fit or when the target is present in no frame.
    """
    p, t = _paired(pred, truth)
    usable = _has_area(p)
    return np.where(usable, iou(np.where(usable[:, None], p, 0.0), t), 0.0)


def centre_errors(pred: ArrayLike, truth: ArrayLike, normalised: bool = False) -> NDArray[np.float64]:
    """Distance between the centres of every annotated frame, in pixels or in units of the true width and height.

    Args:
        pred, truth: (N, 4) xywh pixels.

    Returns:
        (M,), ``inf`` where the prediction is unusable. Raises like ``overlaps``.
    """
    p, t = _paired(pred, truth)
    p_centre, t_centre = p[:, :2] + p[:, 2:] / 2, t[:, :2] + t[:, 2:] / 2
    if normalised:
        # each centre is divided before the difference is taken, as the MATLAB family does: ties at 0.2 depend on it
        p_centre, t_centre = p_centre / t[:, 2:], t_centre / t[:, 2:]
    distance = np.sqrt(np.sum((p_centre - t_centre) ** 2, axis=1))
    return np.where(_has_area(p), distance, np.inf)


def success_curve(
    pred: ArrayLike,
    truth: ArrayLike,
    thresholds: NDArray[np.float64] = SUCCESS_THRESHOLDS,
    inclusive: bool = False,
) -> NDArray[np.float64]:
    """Share of annotated frames whose overlap exceeds each threshold: (K,) in 0..1, not increasing."""
    iou = overlaps(pred, truth)[:, None]  # (M, 1)
    hits = iou >= thresholds if inclusive else iou > thresholds  # (M, K)
    return hits.mean(axis=0)


def success_auc(pred: ArrayLike, truth: ArrayLike, inclusive: bool = False) -> float:
    """Success: the mean of ``success_curve`` over its 21 thresholds, 0..1 (perfect: 20/21 unless ``inclusive``)."""
    return float(success_curve(pred, truth, inclusive=inclusive).mean())


def precision_curve(
    pred: ArrayLike,
    truth: ArrayLike,
    thresholds: NDArray[np.float64] = PRECISION_THRESHOLDS,
    inclusive: bool = True,
) -> NDArray[np.float64]:
    """Share of annotated frames whose centre is within each threshold in pixels: (K,) in 0..1, not decreasing."""
    error = centre_errors(pred, truth)[:, None]  # (M, 1)
    hits = error <= thresholds if inclusive else error < thresholds  # (M, K)
    return hits.mean(axis=0)


def precision_at(pred: ArrayLike, truth: ArrayLike, threshold: float = 20, inclusive: bool = True) -> float:
    """Precision: share of annotated frames whose centre error is at most ``threshold`` pixels (the field's 20)."""
    return float(precision_curve(pred, truth, np.array([float(threshold)]), inclusive)[0])


def normalised_precision_at(pred: ArrayLike, truth: ArrayLike, threshold: float = 0.2, inclusive: bool = True) -> float:
    """Normalised precision: the same with the error in units of the true box (the field's 0.2 on LasHeR, LaSOT)."""
    error = centre_errors(pred, truth, normalised=True)
    return float((error <= threshold if inclusive else error < threshold).mean())


def mean_iou(pred: ArrayLike, truth: ArrayLike) -> float:
    """Average overlap of the annotated frames, 0..1."""
    return float(overlaps(pred, truth).mean())


def _paired(pred: ArrayLike, truth: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Both as (M, 4) float64, the frames without a target removed."""
    p, t = np.asarray(pred, dtype=np.float64), np.asarray(truth, dtype=np.float64)
    for name, boxes in (("predicted", p), ("true", t)):
        if boxes.ndim != 2 or boxes.shape[1] != 4:
            raise ValueError(f"the {name} boxes have shape {boxes.shape}; give one row x,y,w,h per frame: (N, 4)")
    if len(p) != len(t):
        raise ValueError(
            f"{len(p)} predicted boxes but {len(t)} true ones; give one row per frame in both, nan where absent"
        )
    present = _has_area(t)
    if not present.any():
        raise ValueError(f"the target is present in none of the {len(t)} frames of the ground truth; nothing to score")
    return p[present], t[present]


def _has_area(boxes: NDArray[np.float64]) -> NDArray[np.bool_]:
    return np.logical_and(np.isfinite(boxes).all(axis=1), (boxes[:, 2:] > 0).all(axis=1))
