# SPDX-License-Identifier: Apache-2.0
"""OSTrack's recipe (Ye et al., ECCV 2022), as far as it is known to us: the RGB tracker the others start from."""

from __future__ import annotations

from modaltrack.training.recipe import Group
from modaltrack.training.recipes.published import PAIRS, enter
from modaltrack.training.recipes.starts import MAE_BASE

enter(
    "ostrack-base-rgb",
    f"""OSTrack on four RGB data sets, what other methods start from; part inferred.

From the name of its weights (vitb_256_mae_ce_32x4_ep300): batch 4 x 32, 300 epochs. Inferred from scripts that grew
from its own (docs/methods/sdstrack.md 4, docs/methods/smstracker.md 3.3): rate 4e-4 and a tenth of it for the backbone,
decay 1e-4, clipping at 0.1, 60,000 samples an epoch, pairs, a drop after four fifths. The data sets (LaSOT, GOT-10k,
COCO, TrackingNet, equal weights) are the paper's; its schedule of candidate elimination is not known here, so the
model's own rate holds from the start.
Starts from {MAE_BASE}; no hash of it is known to us.
Expect: LaSOT AUC .691 (paper); users who trained it anew report .680 to .686 (its issues 21 and 56).
Hardware: 4 GPUs (from the name), kind not stated. Time: not stated.
""",
    epochs=300,
    epoch_samples=60_000,
    batch=128,
    model="ostrack-base",
    start_from=MAE_BASE,
    trainable=(Group("head"), Group("", lr=0.1)),
    lr=4e-4,
    schedule="step",
    drop_epoch=240,
    data={"lasot": 1.0, "got-10k": 1.0, "coco": 1.0, "trackingnet": 1.0},
    augment=PAIRS,
)
