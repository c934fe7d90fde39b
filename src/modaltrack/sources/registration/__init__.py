# SPDX-License-Identifier: Apache-2.0
"""Homographies between the sensors of a rig, from their pictures or from matched points.

``estimate_alignment`` finds one by itself, ``alignment_from_points`` from pairs of points, ``blended`` draws a picture
to judge it by eye. ``modaltrack.sources.align`` reads and applies what is written from them.
"""

from modaltrack.sources.registration.blend import blended
from modaltrack.sources.registration.estimate import Alignment, alignment_document, estimate_alignment
from modaltrack.sources.registration.points import alignment_from_points, parse_pairs, read_pairs
from modaltrack.sources.registration.rig import rig_pictures

__all__ = [
    "Alignment",
    "alignment_document",
    "alignment_from_points",
    "blended",
    "estimate_alignment",
    "parse_pairs",
    "read_pairs",
    "rig_pictures",
]
