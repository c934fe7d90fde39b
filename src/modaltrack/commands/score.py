# SPDX-License-Identifier: Apache-2.0
"""``modaltrack score PRED TRUTH``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tyro.conf import Positional


@dataclass
class Options:
    """Score a file of predicted boxes: success (AUC over 21 thresholds), precision at 20 px, normalised precision.

    One row x,y,w,h per frame in both files; frames whose true box is nan or empty are left out. Named benchmark
    protocols treat absent frames in their own ways: these figures are not theirs.
    """

    pred: Positional[Path]
    """Predicted boxes, for example modaltrack-track/boxes.txt."""
    truth: Positional[Path]
    """True boxes."""


def run(options: Options) -> int:
    """Print the scores."""
    from modaltrack.commands.terminal import out, table
    from modaltrack.scoring import mean_iou, normalised_precision_at, overlaps, precision_at, success_auc
    from modaltrack.sources import read_boxes

    pred, truth = read_boxes(options.pred), read_boxes(options.truth)
    rows = table("", "score", ">value", "how")
    rows.add_row("success", f"{success_auc(pred, truth):.4f}", "mean over 0:0.05:1 of share(IoU > threshold)")
    rows.add_row("precision", f"{precision_at(pred, truth, 20):.4f}", "share(centre error <= 20 px)")
    rows.add_row("normalised", f"{normalised_precision_at(pred, truth):.4f}", "share(error / true size <= 0.2)")
    rows.add_row("mean IoU", f"{mean_iou(pred, truth):.4f}", "")
    out().print(rows)
    out().print(f"{len(overlaps(pred, truth))} of {len(truth)} frames have a target and are scored.")
    return 0
