# SPDX-License-Identifier: Apache-2.0
"""Which sensors each sample of a batch has: samples with the same ones run together ([ours]; the papers need them all).

Each sample gets what it would get alone, and nothing is copied or filled in for a sensor that is missing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from modaltrack.frame import Modality
from modaltrack.models.prediction import Images, Prediction, Presence, check_images

Run = Callable[[Images, Images, list[Modality]], Prediction]  # images of exactly the named modalities, in this order


def rgb_and_other(
    template: Images, search: Images, modalities: tuple[Modality, ...], template_size: int, search_size: int
) -> list[Modality]:
    """The modalities that have both images: RGB and one of ``modalities``, RGB alone or that one alone, RGB first.

    Raises:
        ValueError: on a wrong shape, an unknown modality, one that the model was not built for, two besides RGB, or
            none.
    """
    available = check_images(template, search, template_size, search_size)
    strange = [m for m in available if m not in modalities]
    others = [m for m in available if m is not Modality.RGB]
    if strange or len(others) > 1 or not available:
        found, wanted = ", ".join(available) or "none", ", ".join(m for m in modalities if m != "rgb")
        raise ValueError(f"The images are of {found}; this model reads rgb and at most one of {wanted}.")
    return available


def run_by_presence(
    run: Run, template: Images, search: Images, sensors: list[Modality], present: Presence | None = None
) -> Prediction:
    """Call ``run`` once per set of sensors that occurs in the batch and put the predictions back in the batch's order.

    Args:
        sensors: what ``rgb_and_other`` found.
        present: per modality which samples have it, (B,) bool, a missing key or None for all of them. A sample without
            any sensor gets a meaningless prediction.

    Raises:
        ValueError: no sample has a sensor.
    """
    if present is None or not any(m in present for m in sensors):
        return run(template, search, sensors)
    first = template[sensors[0]]
    everywhere = torch.ones(first.shape[0], dtype=torch.bool, device=first.device)
    has = {m: present[m].to(first.device) if m in present else everywhere for m in sensors}
    if torch.compiler.is_compiling():
        return run_masked(run, template, search, has)
    if all(bool(flags.all()) for flags in has.values()):
        return run(template, search, sensors)
    if not any(bool(flags.any()) for flags in has.values()):
        raise ValueError("No sample of the batch has any modality; skip the model where no sensor has an image.")
    pattern = sum(flags.long() << k for k, flags in enumerate(has.values()))
    assert isinstance(pattern, Tensor)
    pattern = torch.where(pattern == 0, 1, pattern)
    rows, parts = [], []
    for bits in pattern.unique().tolist():
        group = (pattern == bits).nonzero()[:, 0]
        chosen = [m for k, m in enumerate(sensors) if bits >> k & 1]
        rows.append(group)
        parts.append(run({m: template[m][group] for m in chosen}, {m: search[m][group] for m in chosen}, chosen))
    back = torch.cat(rows).argsort()
    return Prediction(*(torch.cat(values)[back] for values in zip(*parts)))


def run_masked(run: Run, template: Images, search: Images, has: Mapping[Modality, Tensor]) -> Prediction:
    """The same as one graph, for compilers and exporters: every set of sensors runs, and each sample takes its own.

    Three runs for two sensors; where a clip's sensors are known, a graph for each set of them costs one.
    """
    together = run(template, search, list(has))
    if len(has) == 1:
        return together
    alone = [run({m: template[m]}, {m: search[m]}, [m]) for m in has]
    first, second = has.values()

    def chosen(both: Tensor, of_first: Tensor, of_second: Tensor) -> Tensor:
        shape = (-1,) + (1,) * (both.ndim - 1)
        one = torch.where(first.view(shape), of_first, of_second)
        return torch.where((first & second).view(shape), both, one)

    return Prediction(*(chosen(*values) for values in zip(together, *alone)))
