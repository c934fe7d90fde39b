# SPDX-License-Identifier: Apache-2.0
"""Which sensors each sample of a batch has: samples with the same ones run together (ours; the papers need them all).

Each sample gets what it would get alone, and nothing is copied or filled in for a sensor that is missing.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from modaltrack.frame import Modality
from modaltrack.models.prediction import Images, Prediction, Presence, check_images

Run = Callable[[Images, Images, list[Modality]], Prediction]  # images of exactly the named modalities, in this order


def rgb_and_other(
    template: Images, search: Images, modalities: tuple[Modality, ...], template_size: int, search_size: int
) -> list[Modality]:
    """The modalities that have both images: RGB and one of ``modalities``, RGB alone or that one alone, RGB first.

    ValueError on a wrong shape, an unknown modality, one that the model was not built for, two besides RGB, or none.
    """
    available = check_images(template, search, template_size, search_size)
    strange = [m for m in available if m not in modalities]
    others = [m for m in available if m is not Modality.RGB]
    if strange or len(others) > 1 or not available:
        found, wanted = ", ".join(available) or "none", ", ".join(m for m in modalities if m != "rgb")
        raise ValueError(f"The images are of {found}; this model reads rgb and at most one of {wanted}.")
    return available


def run_by_presence(
    run: Run, template: Images, search: Images, modalities: list[Modality], present: Presence | None = None
) -> Prediction:
    """Call ``run`` once per set of sensors that occurs in the batch and put the predictions back in the batch's order.

    modalities: what ``rgb_and_other`` found; present: per modality which samples have it, (B,) bool, a missing key or
    None for all of them. A sample without any sensor gets a meaningless prediction; ValueError if no sample has one.
    """
    first = template[modalities[0]]
    everywhere = torch.ones(first.shape[0], dtype=torch.bool, device=first.device)
    has = {m: everywhere if present is None else present.get(m, everywhere).to(first.device) for m in modalities}
    if present is None or all(bool(flags.all()) for flags in has.values()):
        return run(template, search, modalities)
    if not any(bool(flags.any()) for flags in has.values()):
        raise ValueError("No sample of the batch has any modality; skip the model where no sensor has an image.")
    pattern = sum(flags.long() << k for k, flags in enumerate(has.values()))
    assert isinstance(pattern, Tensor)
    pattern = torch.where(pattern == 0, 1, pattern)
    rows, parts = [], []
    for bits in pattern.unique().tolist():
        group = (pattern == bits).nonzero()[:, 0]
        chosen = [m for k, m in enumerate(modalities) if bits >> k & 1]
        rows.append(group)
        parts.append(run({m: template[m][group] for m in chosen}, {m: search[m][group] for m in chosen}, chosen))
    back = torch.cat(rows).argsort()
    return Prediction(*(torch.cat(values)[back] for values in zip(*parts)))
