# SPDX-License-Identifier: Apache-2.0
"""TPF's three stages, all [inferred]: the paper's own numbers are not known (docs/methods/tpf.md 3, 4, 6).

Each stage starts from the folder that the one before was trained into.
"""

from __future__ import annotations

from typing import Any

from modaltrack.training.recipe import Group
from modaltrack.training.recipes.published import PAIRS, TITLES, enter
from modaltrack.training.recipes.starts import DROPTRACK_384

STAGE: dict[str, Any] = {"model": "tpf-base", "modalities": ("thermal",), "augment": PAIRS}
ENDING = """
A DESIGN THAT FITS THE PAPER'S OUTLINE, NOT A REPRODUCTION: numbers are inferred from the same group's other trackers.
Expect: the paper reports LasHeR PR .751, NPR .713, SR .595 for its own system; not "the TPF numbers" from this.
Hardware: not stated. Time: not stated.
"""

for _name, _data in (("lasher", "lasher"), ("vtuav", "vtuav-train-st")):
    enter(
        f"tpf-base-judge-{_name}",
        f"""TPF on {TITLES[_name]}, stage 0: the judge learns on the plain average of both images.

The adapter stays as it starts, which is the average; head 1e-4, the rest a tenth, a drop after epoch 10 [ours].
Starts from {DROPTRACK_384}, positions resized and frame vectors added; no hash of it is known to us.{ENDING}""",
        epochs=15,
        epoch_samples=60_000,
        batch=32,
        model_options={"num_templates": 1},
        start_from=DROPTRACK_384,
        trainable=(Group("adapter", lr=0.0), Group("head"), Group("", lr=0.1)),
        lr=1e-4,
        schedule="step",
        drop_epoch=10,
        data={_data: 1.0},
        **STAGE,
    )
    enter(
        f"tpf-base-mad-{_name}",
        f"""TPF on {TITLES[_name]}, stage 1: the adapter learns from judged image-fusion experts.

Only the adapter learns. Experts without weights come with the package; others: --objective-options experts.
Starts from the folder runs/tpf-base-judge-{_name} (--start-from DIR).{ENDING}""",
        epochs=5,
        epoch_samples=60_000,
        batch=32,
        model_options={"num_templates": 1},
        start_from=f"runs/tpf-base-judge-{_name}",
        trainable=(Group("adapter"),),
        lr=2e-4,
        schedule="cosine",
        clip=1.0,
        data={_data: 1.0},
        objective="experts",
        objective_options={"tau": 0.5},
        **STAGE,
    )
    enter(
        f"tpf-base-drf-{_name}",
        f"""TPF on {TITLES[_name]}, stage 2: adapter, tracker and decoupled tokens, two templates.

Adapter, head and projection at 1e-4, the backbone at a tenth, a drop after epoch 10.
Starts from the folder runs/tpf-base-mad-{_name} (--start-from DIR).{ENDING}""",
        epochs=15,
        epoch_samples=60_000,
        batch=32,
        model_options={"num_templates": 2, "projection": True},
        start_from=f"runs/tpf-base-mad-{_name}",
        trainable=(Group("adapter|head|projection"), Group("", lr=0.1)),
        lr=1e-4,
        schedule="step",
        drop_epoch=10,
        data={_data: 1.0},
        templates=2,
        objective="decoupled",
        objective_options={"irrelevant": 0.1, "orthogonal": 0.1, "rebuilt": 0.1},
        **STAGE,
    )
