# SPDX-License-Identifier: Apache-2.0
"""AINet's recipes (Lu et al., AAAI 2025); docs/methods/ainet.md 6 and 7."""

from __future__ import annotations

from modaltrack.training.recipe import Group
from modaltrack.training.recipes.published import PAIRS, TITLES, enter
from modaltrack.training.recipes.starts import DROPTRACK_384

LASHER = (
    "LasHeR PR .742, NPR .701, SR .591; RGBT234 .892 / .673; RGBT210 .875 / .648 (authors' page); a user of the code "
    "got RGBT210 .731 / .485 (their issue 3)"
)
VTUAV = "VTUAV short-term PR .893, SR .774 (authors' page); that it has this recipe is inferred"
ROWS = (("lasher", "lasher", LASHER), ("vtuav", "vtuav-train-st", VTUAV))
DOC = """AINet on {data}: head and last fusion at 1e-4, all else at a tenth.

From the code: nothing is frozen, AdamW, a drop after epoch 10 of 15, batch 16 for each process; how many processes is
not recorded, this takes one. The differences between blocks lie in the code's backbone, so they learn at the tenth.
The order predictor gets no gradient, as published (--model-options order_grad ste gives it one).
Starts from {start}, positions resized to 256 pixels and its frame vectors added; no hash of it is known to us. The
authors' page names 384 pixels, the code fits 256: --model-options template_size 192 search_size 384.
Expect: {expect}.
Hardware: RTX 4090, number not stated (code). Time: not stated.
"""

for _name, _data, _expect in ROWS:
    enter(
        f"ainet-base-{_name}",
        DOC.format(data=TITLES[_name], start=DROPTRACK_384, expect=_expect),
        epochs=15,
        epoch_samples=60_000,
        batch=16,
        model="ainet-base",
        start_from=DROPTRACK_384,
        modalities=("thermal",),
        trainable=(Group("order_fusion|head"), Group("", lr=0.1)),
        lr=1e-4,
        schedule="step",
        drop_epoch=10,
        data={_data: 1.0},
        augment=PAIRS,
    )
