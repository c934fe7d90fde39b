# SPDX-License-Identifier: Apache-2.0
"""How far an exported model agrees with the one it was made from, on crops and on clips of rendered scenes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch

from modaltrack import scenes, vision
from modaltrack.frame import Clip, Frame, Modality
from modaltrack.models.model import Model
from modaltrack.scoring import success_auc
from modaltrack.tracking import Policy, track

# largest difference of a map, and of the success on the clips, that an export may have
BOUNDS = {"fp32": (1e-5, 0.002), "fp16": (5e-3, 0.005), "bf16": (0.05, 0.01), "int8": (0.1, 0.01)}
CROPS = 24
CLIPS, LENGTH = 2, 16


@dataclass(frozen=True, slots=True)
class Parity:
    """What was found.

    Args:
        largest: Difference of the maps (score 0..1, size in crops, offset in cells).
        same_cells: Share of crops whose peak is in the same cell.
        pixels: Largest difference of a box on the clips, each tracker going its own way.
        success: Before and after, on ``clips`` rendered clips.
    """

    largest: float
    same_cells: float
    pixels: float
    success: tuple[float, float]
    clips: int

    def out_of_bounds(self, precision: str) -> str:
        """What is worse than ``BOUNDS``, in words; empty for nothing."""
        maps, success = BOUNDS[precision]
        found = []
        if not self.largest <= maps:
            found.append(f"the maps differ by {self.largest:.1e} (at most {maps:g})")
        if not self.success[0] - self.success[1] <= success:
            found.append(f"success falls from {self.success[0]:.3f} to {self.success[1]:.3f} (at most {success:g})")
        return " and ".join(found)


def only(clip: Clip, sensors: Sequence[Modality]) -> Clip:
    """A clip seen by these sensors alone."""
    frames = [Frame({m: f.images[m] for m in sensors}, f.time, f.index) for f in clip.frames]
    return Clip(clip.name, frames, clip.boxes, clip.visible, clip.attributes, clip.fps)


def rendered(sensors: Sequence[Modality], clips: int = CLIPS, length: int = LENGTH) -> list[Clip]:
    """Clips of the validation half of the rendered benchmark, seen by these sensors."""
    return [only(clip, sensors) for clip in _drawn(clips, length)]


@lru_cache(2)  # an export compares one graph after the other on the same clips, and drawing them takes seconds
def _drawn(clips: int, length: int) -> list[Clip]:
    return list(scenes.benchmark(split="validation", clips=clips, length=length))


def crops_of(model: Model, clips: Sequence[Clip], sensors: Sequence[Modality], count: int) -> list[dict[str, Any]]:
    """What the graph's inputs hold (batch 1) at ``count`` places of the clips, the truth a little beside the middle."""
    c, rng, found = model.config, np.random.default_rng(0), []
    for number in range(count):
        clip = clips[number % len(clips)]
        assert clip.boxes is not None
        known = np.flatnonzero(np.isfinite(clip.boxes).all(1))
        at = int(known[(number // len(clips)) % len(known)])
        box = clip.boxes[at] + np.array([*rng.normal(0, 0.3, 2) * clip.boxes[at][2:], 0, 0])
        one = {}
        roles = [("template", clip.boxes[0], 0, c.template_factor, c.template_size)]
        roles.append(("search", box, at, c.search_factor, c.search_size))
        roles += [("memory", *roles[0][1:])] if model.num_templates > 1 else []
        for role, around, frame, factor, size in roles:
            for m in sensors:
                grown = vision.with_context(around, model.crop_context)
                cut = vision.crop(clip.frames[frame].images[m], grown, factor, size)[0]
                one[f"{role}_{m}"] = vision.normalise(vision.to_tensor(cut[None])).numpy()
        found.append(one)
    return found


def pixels_of(images: Mapping[Modality, torch.Tensor]) -> dict[Modality, torch.Tensor]:
    """The uint8 crops (B, h, w, 3) that normalised ones (B, 3, h, w) were made of."""
    whole = {m: (vision.denormalise(image) * 255).round().to(torch.uint8) for m, image in images.items()}
    return {m: image.permute(0, 2, 3, 1).contiguous() for m, image in whole.items()}


@torch.inference_mode()
def compare(reference: Model, other: Model, sensors: Sequence[Modality], clips: Sequence[Clip] | None = None) -> Parity:
    """Run both on the same crops and clips (default: rendered ones); both on the CPU."""
    clips = rendered(sensors) if clips is None else list(clips)
    largest, same = 0.0, 0
    for one in crops_of(reference, clips, sensors, CROPS):
        roles = [
            {m: torch.from_numpy(one[f"{role}_{m}"]) for m in sensors}
            for role in ("template", "search", "memory")
            if f"{role}_{sensors[0]}" in one
        ]
        more = {"memory": roles[2]} if len(roles) > 2 else {}
        a = reference(*roles[:2], **more)
        b = other(roles[0], pixels_of(roles[1]) if other.takes_pixels else roles[1], **more)
        pairs = [(x, y) for x, y in zip((*a[:3], a.confidence_map), (*b[:3], b.confidence_map)) if x is not None]
        largest = max(largest, *(float((x - y).abs().max()) if y is not None else np.inf for x, y in pairs))
        same += int(a.score_map.argmax()) == int(b.score_map.argmax())
    # a single graph cannot look again with each sensor alone, so neither does
    policy = Policy.of(reference, second_look=1.0)
    results = [[track(model, clip, policy=policy) for clip in clips] for model in (reference, other)]
    pixels = max(float(np.abs(a.boxes - b.boxes).max()) for a, b in zip(*results))
    before, after = (
        float(np.mean([success_auc(r.boxes[1:], c.boxes[1:]) for r, c in zip(found, clips) if c.boxes is not None]))
        for found in results
    )
    return Parity(largest, same / CROPS, pixels, (before, after), len(clips))
