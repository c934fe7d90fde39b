# SPDX-License-Identifier: Apache-2.0
"""Models as files of other runtimes: ONNX graphs and OpenVINO's, with the card inside, and how far they agree."""

from modaltrack.export.declaration import CARD_KEY, Declaration, subsets
from modaltrack.export.graph import FORMATS, PRECISIONS, check_form, export_graph
from modaltrack.export.parity import BOUNDS, Parity, compare

__all__ = [
    "BOUNDS",
    "CARD_KEY",
    "Declaration",
    "FORMATS",
    "PRECISIONS",
    "Parity",
    "check_form",
    "compare",
    "export_graph",
    "subsets",
]
