# SPDX-License-Identifier: Apache-2.0
"""How good a model is while it trains: on single pairs, and in honest tracking of rendered clips."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from modaltrack.computed import ComputedSequence
from modaltrack.frame import Clip, Frame, Modality, Result
from modaltrack.models.model import TorchModel
from modaltrack.training.recipe import Recipe
from modaltrack.training.samplers import Sampler

PAIR_STEP = 1 << 50  # validation pairs are drawn far beyond any training step and any replacement


@dataclass(frozen=True, slots=True)
class View(ComputedSequence[Frame]):
    """The frames of a clip as some of its sensors see them; images are taken from the clip when they are read.

    Attributes:
        sensors: what is shown; the others count as missing.
        as_rgb: show the one sensor under the name of RGB, the only name a single-stream model knows.
    """

    frames: Sequence[Frame]
    sensors: tuple[str, ...]
    as_rgb: bool = False

    def __len__(self) -> int:
        return len(self.frames)

    def item(self, index: int) -> Frame:
        frame = self.frames[index]
        if self.as_rgb:
            (sensor,) = self.sensors
            return replace(frame, images={Modality.RGB: frame.images[Modality(sensor)]}, missing=frozenset())
        images = {m: image for m, image in frame.images.items() if m in self.sensors}
        return replace(frame, images=images, missing=frozenset(m for m in frame.images if m not in images))


def validate_pairs(
    model: TorchModel, sampler: Sampler, batches: int, batch: int = 32, modalities: Sequence[str] = ("rgb",)
) -> dict[str, float]:
    """Mean IoU (0..1) of single searches, the box read at the peak of the windowed response as tracking does.

    Args:
        modalities: the sensors to render. With RGB and a second one: keys ``rgb``, the second's name (each alone) and
            ``both``; with one: its name, the image being fed as RGB where the model knows no other name. Samples with a
            target that is less than a tenth visible do not count.
    """
    from modaltrack import boxes
    from modaltrack.vision import decode, hann_window, normalise

    model.eval()
    device = next(model.parameters()).device
    sums: dict[str, list[torch.Tensor]] = {}
    for step in range(batches):
        pairs = sampler.sample(batch, PAIR_STEP + step, modalities)
        template = {str(m): normalise(x.to(device)) for m, x in pairs.template.items()}
        search = {str(m): normalise(x.to(device)) for m, x in pairs.search.items()}
        target, seen = pairs.box.to(device).float(), pairs.visible.to(device) >= 0.1
        for name, chosen in _choices(model, list(search)).items():
            with torch.inference_mode():
                made = model(*({to: images[of] for to, of in chosen.items()} for images in (template, search)))
            window = hann_window(made.score_map.shape[-1], device)
            found = boxes.cxcywh_to_xywh(decode(made.score_map * window, made.size_map, made.offset_map)[0])
            sums.setdefault(name, []).append(boxes.iou(found, target)[seen])
    return {name: float(torch.cat(parts).mean()) for name, parts in sums.items()}


def _choices(model: TorchModel, sensors: list[str]) -> dict[str, dict[str, str]]:
    """Name of a condition -> {name the model is given: sensor whose image it is}."""
    config = model.config
    known = {str(m) for m in config.modalities}
    if known == {"rgb"}:
        return {m: {"rgb": m} for m in sensors}
    alone = {m: {m: m} for m in sensors}
    return alone if len(sensors) == 1 else {**alone, "both": {m: m for m in sensors}}


def track_clips(model: TorchModel, clips: Iterable[Clip], sensors: tuple[str, ...]) -> list[tuple[Result, Clip]]:
    """Track every clip from its first annotated frame with these sensors only; (result, the clip from there on)."""
    from modaltrack.tracking import track_many

    config = model.config
    as_rgb = {str(m) for m in config.modalities} == {"rgb"} and sensors != ("rgb",)
    if as_rgb and len(sensors) > 1:
        raise ValueError(f"A single-stream model sees one sensor at a time and was given {sensors}: ask for one each.")
    model.eval()
    views, rests, starts = [], [], []
    for clip in clips:
        if clip.boxes is None or not np.isfinite(clip.boxes).all(1).any():
            raise ValueError(f"The clip {clip.name} has no annotated frame to start from: choose another clip.")
        first = int(np.flatnonzero(np.isfinite(clip.boxes).all(1))[0])
        rest = replace(clip, frames=clip.frames[first:], boxes=clip.boxes[first:])
        assert rest.boxes is not None
        views.append(replace(rest, frames=View(rest.frames, sensors, as_rgb)))
        rests.append(rest)
        starts.append(rest.boxes[0])
    return list(zip(track_many(model, views, starts), rests))


def validate_tracking(
    model: TorchModel, clips: Sequence[Clip], modalities: Sequence[tuple[str, ...]] = (("rgb",),)
) -> dict[str, float]:
    """Success (AUC) and precision at 20 pixels of tracking, 0..1, averaged over clips, for each set of sensors.

    Keys: ``rgb+thermal success``, ``rgb+thermal precision`` ... The first frame counts, as in one-pass evaluation.
    """
    from modaltrack.scoring import precision_at, success_auc

    numbers = {}
    for sensors in modalities:
        tracked = track_clips(model, clips, tuple(sensors))
        truths = [(result.boxes, rest.boxes) for result, rest in tracked if rest.boxes is not None]
        name = "+".join(sensors)
        numbers[f"{name} success"] = float(np.mean([success_auc(p, t) for p, t in truths]))
        numbers[f"{name} precision"] = float(np.mean([precision_at(p, t, 20) for p, t in truths]))
    return numbers


def calibrate(
    model: TorchModel, clips: Sequence[Clip], modalities: Sequence[tuple[str, ...]] = (("rgb",),)
) -> dict[str, float]:
    """Thresholds ``tracking`` and ``lost`` of the windowed score from frames whose truth is known [ours].

    tracking: the lowest score such that, of the frames that score at least it, 90 % have IoU >= 0.5.
    lost: the highest score such that, of the frames that score below it, 90 % have IoU < 0.2 (an absent target has
    IoU 0). Sets of fewer than 20 frames do not count. Frames of all clips and all sets of sensors together; the first
    frame of a clip, which is given, does not count. ``lost`` never exceeds ``tracking``; where no score will do,
    tracking is just above the best score seen and lost is 0. The shares reached come along as ``tracking_share`` and
    ``lost_share`` (nan where none was), with the number of ``frames``.
    """
    from modaltrack import boxes

    scores, ious = [], []
    for sensors in modalities:
        for result, rest in track_clips(model, clips, tuple(sensors)):
            assert rest.boxes is not None
            overlap = np.nan_to_num(np.asarray(boxes.iou(result.boxes, rest.boxes)), nan=0.0)
            scores.append(np.asarray(result.scores)[1:])
            ious.append(overlap[1:])
    return thresholds(np.concatenate(scores), np.concatenate(ious))


def thresholds(
    scores: NDArray[np.float64], ious: NDArray[np.float64], share: float = 0.9, at_least: int = 20
) -> dict[str, float]:
    """The rule of ``calibrate`` on scores (N,) and overlaps (N,)."""
    order = np.argsort(-scores, kind="stable")
    score, good, bad = scores[order], ious[order] >= 0.5, ious[order] < 0.2
    count = np.arange(1, len(score) + 1)
    ends = np.append(score[1:] != score[:-1], True) & (count >= at_least)  # equal scores are taken together
    good_share = np.cumsum(good) / count
    fit = np.flatnonzero(ends & (good_share >= share))
    tracking = float(score[fit[-1]]) if len(fit) else float(np.nextafter(score[0], np.inf))
    score, bad = score[::-1], bad[::-1]
    bad_share = np.cumsum(bad) / count
    ends = np.append(score[1:] != score[:-1], False) & (count >= at_least)
    low = np.flatnonzero(ends & (bad_share >= share) & (np.append(score[1:], np.inf) <= tracking))
    return {
        "tracking": tracking,
        "lost": float(score[low[-1] + 1]) if len(low) else 0.0,
        "tracking_share": float(good_share[fit[-1]]) if len(fit) else float("nan"),
        "lost_share": float(bad_share[low[-1]]) if len(low) else float("nan"),
        "frames": len(score),
    }


def quick_validation(model: TorchModel, recipe: Recipe, step: int) -> dict[str, float]:
    """What the loop measures every ``validate_every`` steps: tracking of validation clips, half easy, half hard.

    A two-sensor recipe is measured with RGB alone, each second sensor alone and with both; a single-stream recipe with
    every sensor of its mix. The clips are the same at every step.
    """
    from modaltrack import scenes

    lazy = scenes.benchmark(seed=0, split="validation", clips=recipe.validation_clips)
    clips = [replace(clip, frames=list(clip.frames)) for clip in lazy]  # rendered once for all sets of sensors
    if recipe.modalities:
        sets: list[tuple[str, ...]] = [("rgb",)]
        for second in recipe.modalities:
            sets += [(second,), ("rgb", second)]
    else:
        sets = [(m,) for m in (recipe.input_mix or {"rgb": 1.0})]
    return validate_tracking(model, clips, sets)
