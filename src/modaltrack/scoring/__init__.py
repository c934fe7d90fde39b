# SPDX-License-Identifier: Apache-2.0
"""Scores of one clip, in numpy alone: nothing in this room imports torch."""

from modaltrack.scoring.curves import (
    PRECISION_THRESHOLDS,
    SUCCESS_THRESHOLDS,
    centre_errors,
    mean_iou,
    normalised_precision_at,
    overlaps,
    precision_at,
    precision_curve,
    success_auc,
    success_curve,
)
from modaltrack.scoring.records import Protocol, Report, Sample, Switches, Truth

__all__ = [
    "PRECISION_THRESHOLDS",
    "Protocol",
    "Report",
    "SUCCESS_THRESHOLDS",
    "Sample",
    "Switches",
    "Truth",
    "centre_errors",
    "mean_iou",
    "normalised_precision_at",
    "overlaps",
    "precision_at",
    "precision_curve",
    "success_auc",
    "success_curve",
]
