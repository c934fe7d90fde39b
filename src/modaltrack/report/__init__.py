# SPDX-License-Identifier: Apache-2.0
"""Trackers on a benchmark as one page and as figures: curves, tables, film strips. No network, no script."""

from modaltrack.report.drawing import Drawing
from modaltrack.report.entries import Entry, Picture, Strip, main_metric, ranked
from modaltrack.report.figures import figures
from modaltrack.report.page import overview, page

__all__ = ["Drawing", "Entry", "Picture", "Strip", "figures", "main_metric", "overview", "page", "ranked"]
