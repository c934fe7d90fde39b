# SPDX-License-Identifier: Apache-2.0
"""TPF's first stage, adaptive multi-expert distillation: the adapter learns from the experts whose images track best.

That there are experts, and that a tracker judges them, is reported of the paper (arXiv 2503.11247); every number and
form here follows docs/methods/tpf.md 3, [inferred] there. Legend: B samples, K experts, H x W pixels.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from modaltrack.models.model import FusesImages, TorchModel
from modaltrack.models.prediction import Prediction
from modaltrack.training.data import Batch
from modaltrack.training.experts.expert import DEFAULT, build_experts
from modaltrack.training.experts.filters import slope, ssim
from modaltrack.training.losses import box_losses
from modaltrack.training.objective import Images, rows_of, tracking_terms
from modaltrack.training.recipe import Recipe
from modaltrack.vision import denormalise, normalise

STRUCTURE = 0.5  # beside 1 for intensity and 1 for gradients
MAPS = ("score_map", "size_map", "offset_map", "boxes")


class ExpertDistillation:
    """Makes the adapter's image like the experts' images, each as much as the judge tracks well on it.

    Options: experts, a list as ``build_experts`` takes it; tau, the temperature of the weights (small: the best expert
    alone); mad_track_weight, of the tracking loss through the frozen tracker; judge, a run's folder, a name or a path
    of weights, default the model's own tracker. Everything but the adapter has to be frozen. Samples that lack a
    sensor do not count. Terms beside the total: the three parts of the distance, what the judge loses on average of
    the experts (weighted), and each expert's mean weight.
    """

    extra: nn.Module | None = None

    def __init__(self, recipe: Recipe, model: TorchModel) -> None:
        if not isinstance(model, FusesImages) or not recipe.modalities:
            raise ValueError(
                f"The objective {recipe.objective} trains a model that fuses images, with second sensors: choose tpf "
                "with modalities, or another objective."
            )
        options = recipe.settings(experts=",".join(DEFAULT), tau=0.5, mad_track_weight=0.0, judge="")
        self.recipe = recipe
        self.experts = build_experts(str(options["experts"]))
        self.tau, self.track_weight = float(options["tau"]), float(options["mad_track_weight"])
        if self.tau <= 0 or self.track_weight < 0:
            raise ValueError(f"tau is {self.tau} and mad_track_weight {self.track_weight}: give tau > 0, weight >= 0.")
        self.judge = _judge(str(options["judge"]), model) if options["judge"] else None
        names = ("total", "intensity", "structure", "gradient", "judge", *(f"w_{e.name}" for e in self.experts))
        self.terms: tuple[str, ...] = (*names, "track") if self.track_weight else names

    def __call__(
        self, model: TorchModel, batch: Batch, template: Images, search: Images, keep_rate: float | None
    ) -> dict[str, Tensor]:
        assert isinstance(model, FusesImages)
        learning = [n for n, p in model.named_parameters() if p.requires_grad and not n.startswith("adapter.")]
        if learning:
            raise ValueError(
                f"Expert distillation trains the adapter alone, and {len(learning)} other parameters learn (one is "
                f"{learning[0]}): set the recipe's trainable to the one group 'adapter'."
            )
        (second,) = (m for m in template if m != "rgb")
        pictures = [(denormalise(images["rgb"]), denormalise(images[second])) for images in (template, search)]
        taught = [torch.stack([expert(*pair) for expert in self.experts]) for pair in pictures]  # (K, B, 3, H, W) each
        judged = self.judge_losses(self.judge or model, taught[0], taught[1], batch)  # (K, B)
        weights = expert_weights(judged, self.tau)
        fused = [model.fused_image(images) for images in (template, search)]
        present = batch.present or {}
        counts = torch.ones_like(batch.visible)
        for has in present.values():
            counts = counts * has
        share = weights * counts / counts.sum().clamp(min=1)  # (K, B), sums to 1 over both
        terms: dict[str, Any] = {"intensity": 0.0, "structure": 0.0, "gradient": 0.0}
        for image, targets in zip(fused, taught):
            for name, value in distances(denormalise(image.float()), targets).items():
                terms[name] = terms[name] + (value * share).sum()
        terms["total"] = terms["intensity"] + STRUCTURE * terms["structure"] + terms["gradient"]
        terms["judge"] = (judged * share).sum()
        terms |= {f"w_{expert.name}": row for expert, row in zip(self.experts, share.sum(1))}
        if self.track_weight:
            terms["track"] = self._track(model, fused, batch, counts.nonzero()[:, 0])
            terms["total"] = terms["total"] + self.track_weight * terms["track"]
        return terms

    def _track(self, model: TorchModel, fused: list[Tensor], batch: Batch, rows: Tensor) -> Tensor:
        """The tracking loss on the adapter's images of some samples, through the frozen tracker."""
        if not len(rows):
            return fused[0].sum() * 0
        template, search = (rows_of({"rgb": image}, rows) for image in fused)
        return tracking_terms(model(template, search), self.recipe, batch.box[rows], batch.visible[rows])["total"]

    @torch.no_grad()
    def judge_losses(self, judge: TorchModel, template: Tensor, search: Tensor, batch: Batch) -> Tensor:
        """What a tracker loses on each expert's images (K, B, 3, H, W) in 0..1, by the recipe's weights: (K, B)."""
        count = len(template)
        with judging(judge):
            prediction = judge({"rgb": normalise(template.flatten(0, 1))}, {"rgb": normalise(search.flatten(0, 1))})
        recipe = self.recipe

        def of_one(box: Tensor, seen: Tensor, *maps: Tensor) -> Tensor:
            alone = Prediction(*(m[None] for m in maps))
            losses = box_losses(alone, box[None], seen[None], recipe.box_at)
            return recipe.giou * losses["giou"] + recipe.l1 * losses["l1"] + recipe.focal * losses["focal"]

        seen = (batch.visible >= recipe.min_visible).float()
        maps = [getattr(prediction, name).float() for name in MAPS]
        each = torch.vmap(of_one)(batch.box.repeat(count, 1), seen.repeat(count), *maps)
        return each.view(count, -1)


def expert_weights(losses: Tensor, tau: float) -> Tensor:
    """Weights (K, B) that sum to 1 over the experts, from what the judge loses with each (K, B)."""
    return (-losses / tau).softmax(0)


def distances(image: Tensor, targets: Tensor) -> dict[str, Tensor]:
    """How far images (B, 3, H, W) are from K targets each (K, B, 3, H, W), all in 0..1: name -> (K, B)."""
    with torch.autocast(image.device.type, enabled=False):
        gradients = slope(image) - slope(targets.flatten(0, 1)).view_as(targets)
        return {
            "intensity": (image - targets).abs().mean((2, 3, 4)),
            "structure": 1 - ssim(image, targets),
            "gradient": gradients.abs().mean((2, 3, 4)),
        }


@contextmanager
def judging(model: TorchModel) -> Iterator[None]:
    """Evaluation mode for a while; every part gets its own mode back."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode


def _judge(source: str, model: TorchModel) -> TorchModel:
    """The frozen tracker of a run's folder, a shipped name or a file.

    Raises:
        ValueError: where it cannot take the crops.
    """
    from modaltrack import models
    from modaltrack.training.checkpoint import load_checkpoint
    from modaltrack.training.start import CHECKPOINT

    path = Path(source) / CHECKPOINT
    if path.exists():
        saved = load_checkpoint(path)
        judge = models.create(saved.rest["recipe"]["model"], **saved.rest["recipe"]["model_options"])
        judge.load_state_dict(saved.part("average"))
    else:
        judge = models.load_torch_model(source, device="cpu")
    judged, trained = ((m.config.template_size, m.config.search_size) for m in (judge, model))
    if judged != trained:
        raise ValueError(
            f"The judge {source} reads crops of {judged} pixels, the model of {trained}: give one of its size."
        )
    return judge.to(next(model.parameters()).device).eval().requires_grad_(False)
