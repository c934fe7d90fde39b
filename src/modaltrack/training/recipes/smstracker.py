# SPDX-License-Identifier: Apache-2.0
"""SMSTracker's recipes (Chan et al., ICCV 2025), one model for each data set; docs/methods/smstracker.md 3."""

from __future__ import annotations

from modaltrack.training.recipe import Group
from modaltrack.training.recipes.published import PAIRS_WITHOUT_GREY, TITLES, enter
from modaltrack.training.recipes.starts import OSTRACK_256

ROWS = (("lasher", "thermal", 3407), ("depthtrack", "depth", 3407), ("visevent", "event", 114_514))
DOC = """SMSTracker on {data}: new parts at the full rate, the blocks at a tenth.

From the code: what learns (with the blocks the final norm; stem, positions and head do not), AdamW without clipping,
dropped keys (10 %) in every attention, the seed. Inferred there from plots, logs and the scripts it grew from: rate,
decay, 60,000 samples an epoch, batch 4 x 32, 30 epochs with a drop after 24, head in evaluation mode. The weights
with the best validation were taken, mostly of the first epochs. The authors' lists leave out some training sequences;
this takes the official split.
Starts from {start}; no hash of it is known to us.
Expect: the paper's tables were not at hand, so no number.
Hardware: 4 GPUs (code; kind not stated). Time: not stated.
"""

for _data, _sensor, _seed in ROWS:
    enter(
        f"smstracker-base-{_data}",
        DOC.format(data=TITLES[_data], start=OSTRACK_256),
        epochs=30,
        epoch_samples=60_000,
        batch=128,
        model="smstracker-base",
        start_from=OSTRACK_256,
        modalities=(_sensor,),
        trainable=(Group("score|interaction"), Group("blocks|norm", lr=0.1)),
        lr=4e-4,
        schedule="step",
        drop_epoch=24,
        clip=0.0,
        data={_data: 1.0},
        augment=PAIRS_WITHOUT_GREY,
        eval_batchnorm=True,
        seed=_seed,
    )
