# SPDX-License-Identifier: Apache-2.0
"""Significance-regularised tuning: an optimiser's step is made smaller per element, by how significant the element is.

    blend = SignificanceBlend(trainable)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(trainable, 0.1)
    blend.step(optimizer)

Every element keeps the share M of its old value: theta = M * old + (1 - M) * stepped, with M between ``low`` and
``high`` by the order of significances within its own tensor. The optimiser's moments are not touched.
Source: SRTrack, arXiv 2508.17488; after spec srtrack.md 2.2 and 2.3. "two-significance" is our reading (spec 2.5).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

MODES = ("published", "ranked", "two-significance")
SCALE = 1e8  # the published factor on squared gradients; it keeps the smallest above float32's underflow


class SignificanceBlend:
    """Takes the place of ``optimizer.step()``; it remembers the last squared gradient of every parameter.

    mode: "published" hands out M by the published indexing, which permutes the shares almost at random (a defect of the
    release, needed to repeat it to the digit); "ranked" gives the largest share, so the smallest step, to the most
    significant element, which is what the release evidently meant; "two-significance" (ours) ranks a mixture of
    ``prior`` (one tensor >= 0 per parameter, see ``prior_significance``) and the significance in the gradients.
    ValueError for an unknown mode, shares outside 0 <= low <= high <= 1, or a prior that does not fit.
    """

    def __init__(
        self,
        parameters: Iterable[Tensor],
        mode: str = "ranked",
        low: float = 0.25,
        high: float = 0.65,
        prior: Sequence[Tensor] | None = None,
    ) -> None:
        self.parameters = [p for p in parameters if p.requires_grad]
        if mode not in MODES:
            raise ValueError(f"The significance mode is {mode!r}; expected one of {', '.join(MODES)}.")
        if not 0 <= low <= high <= 1:
            raise ValueError(f"The shares are low = {low} and high = {high}; expected 0 <= low <= high <= 1.")
        if (prior is not None) != (mode == "two-significance"):
            raise ValueError(f"The mode {mode} {'ignores a prior' if prior else 'needs a prior'}; change one of them.")
        shapes = [p.shape for p in self.parameters]
        if prior is not None and [p.shape for p in prior] != shapes:
            raise ValueError("The prior does not have one tensor for each trainable parameter, of its shape and order.")
        self.mode, self.low, self.high = mode, low, high
        self._prior = [rank(p) for p in prior] if prior is not None else [None] * len(shapes)
        self._last = [torch.zeros_like(p, dtype=torch.float32) for p in self.parameters]

    @torch.no_grad()
    def step(self, optimizer: torch.optim.Optimizer, kappa: float = 0.0) -> None:
        """One step of ``optimizer`` on the gradients that are there (clipped, as published), then the blend.

        kappa: weight 0..1 of the prior in "two-significance"; 0 makes it "ranked". A parameter without a gradient is
        left as the optimiser leaves it. ValueError if kappa is out of range or has no prior to weigh.
        """
        if not 0 <= kappa <= 1 or (kappa and self.mode != "two-significance"):
            raise ValueError(f"kappa is {kappa}; expected 0..1 in the mode two-significance, and 0 in the others.")
        before: list[tuple[Tensor, Tensor, Tensor]] = []
        for parameter, last, prior in zip(self.parameters, self._last, self._prior):
            if parameter.grad is not None:
                keep = self.shares(self._significance(parameter.grad, last), prior, kappa)
                before.append((parameter, parameter.clone(), keep))
        optimizer.step()
        for parameter, old, keep in before:
            parameter.copy_(keep * old + (1 - keep) * parameter)

    def shares(self, significance: Tensor, prior: Tensor | None = None, kappa: float = 0.0) -> Tensor:
        """How much of its old value each element keeps, in low..high, of the shape of ``significance``."""
        if self.mode == "published":
            line = torch.linspace(self.low, self.high, significance.numel(), device=significance.device)
            # element j gets the share of the place at which the j-th smallest stands: as published, not its own rank
            return line[significance.flatten().argsort(stable=True)].view_as(significance)
        order = rank(significance)
        if prior is not None:
            order = rank(kappa * prior + (1 - kappa) * order)
        return self.low + (self.high - self.low) * order

    def state_dict(self) -> dict[str, Any]:
        """The last squared gradients. The release does not save them: it starts from zeros when a run is resumed."""
        return {"last": [last.clone() for last in self._last]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from ``state_dict``; ValueError if it is of other parameters."""
        if [t.shape for t in state["last"]] != [t.shape for t in self._last]:
            raise ValueError("The saved significances are of other parameters; resume with the same trainable tensors.")
        for mine, saved in zip(self._last, state["last"]):
            mine.copy_(saved)

    @staticmethod
    def _significance(gradient: Tensor, last: Tensor) -> Tensor:
        """Mean of this squared gradient and the last one, largest element 1; this one is put into ``last``.

        Where every gradient is zero, so is every significance (the release divides by zero there).
        """
        square = gradient.float() ** 2 * SCALE
        mean = (last + square) / 2
        last.copy_(square)
        return mean / mean.max().clamp(min=torch.finfo(torch.float32).tiny)


def rank(values: Tensor) -> Tensor:
    """Place of every element in ascending order, 0..1 in steps of 1 / (n - 1), of the shape of ``values``; 0 if n = 1.

    Equal elements are ordered by where they stand.
    """
    flat = values.flatten()
    line = torch.linspace(0, 1, flat.numel(), device=flat.device)
    return torch.empty_like(line).scatter_(0, flat.argsort(stable=True), line).view_as(values)


def prior_significance(losses: Iterable[Tensor], parameters: Sequence[Tensor]) -> list[Tensor]:
    """Mean squared gradient of each parameter over ``losses``: the diagonal of the empirical Fisher matrix (ours).

    losses: scalars, one per batch of the data that the RGB tracker was trained on, best given as a generator, so that
    one graph exists at a time. The weights do not change. ValueError if there is no loss.
    """
    sums, count = [torch.zeros_like(p, dtype=torch.float32) for p in parameters], 0
    for loss in losses:
        gradients = torch.autograd.grad(loss, list(parameters), allow_unused=True)
        for total, gradient in zip(sums, gradients):
            if gradient is not None:
                total.addcmul_(gradient.float(), gradient.float())
        count += 1
    if not count:
        raise ValueError("There is no batch to probe the prior significance with; give at least one.")
    return [total / count for total in sums]


def spread_prior(prior: Mapping[str, Tensor], model: nn.Module, names: Sequence[str]) -> list[Tensor]:
    """The RGB tracker's prior significances, by its parameters' names, for the parameters ``names`` of ``model``.

    A copy of a tensor (``model.copies_of_base``) has its prior, too; what is not in the RGB tracker has none: zeros.
    """
    copies: Callable[[str], list[str]] = getattr(model, "copies_of_base", lambda name: [])
    known = {name: value for source, value in prior.items() for name in (source, *copies(source))}
    own = dict(model.named_parameters())
    return [known[name] if name in known else torch.zeros_like(own[name]) for name in names]
