# SPDX-License-Identifier: Apache-2.0
"""How far apart two sensors' features are, by depth: the maximum mean discrepancy between them.

TPF (arXiv 2503.11247) argues that the gap grows with depth, hence fusion at the pixels; how its authors measured is
not known, and this protocol is docs/methods/tpf.md 7, [inferred] there. Legend: B samples, N search tokens, D width,
M tokens drawn of each side.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from modaltrack.frame import Clip, Modality
from modaltrack.models.model import FusesImages, ModelConfig, TorchModel
from modaltrack.models.parts.vit import Block
from modaltrack.models.trunk import ViTTracker
from modaltrack.vision import crop, normalise, to_tensor

SCALES = (0.25, 0.5, 1.0, 2.0, 4.0)  # of the kernel's width, in median squared distances
Crops = dict[str, Tensor]  # sensor -> (B, 3, h, w), 0..1
Pair = tuple[Crops, Crops]  # templates and search crops of the same samples


def mmd2(p: Tensor, q: Tensor) -> float:
    """Unbiased MMD² of samples p (M, D) and q (M', D), about 0 where both are of one distribution (it may be negative).

    Each dimension is standardised by the mean and spread of both together. Kernel: the sum of five Gaussians around the
    median squared distance of all pairs, so at most 10 in value.
    """
    if p.ndim != 2 or q.ndim != 2 or p.shape[1] != q.shape[1] or min(len(p), len(q)) < 2:
        raise ValueError(f"The samples are {tuple(p.shape)} and {tuple(q.shape)}: give two rows or more of one width.")
    both = torch.cat([p, q]).double()
    both = (both - both.mean(0)) / both.std(0).clamp(min=1e-12)
    squared = torch.cdist(both, both).square()
    above = torch.triu_indices(len(both), len(both), 1)
    median = squared[above[0], above[1]].median().clamp(min=1e-12)
    kernel = torch.zeros_like(squared)
    for scale in SCALES:
        kernel += (-squared / (scale * median)).exp()
    m, n = len(p), len(q)
    own = (kernel[:m, :m].sum() - kernel[:m, :m].trace()) / (m * (m - 1))
    own += (kernel[m:, m:].sum() - kernel[m:, m:].trace()) / (n * (n - 1))
    return float(own - 2 * kernel[:m, m:].mean())


def mmd_by_depth(
    model: TorchModel, pairs: Iterable[Pair], second: str, tokens: int = 2000, seed: int = 0
) -> dict[str, dict[str, float]]:
    """MMD² between the features of two images, comparison -> depth -> value; depths "pixel", "embedding", "block 1" ...

    Comparisons: ``alone``, RGB against the second sensor, each run through the model by itself (a model that knows RGB
    alone is shown the second sensor under its name); ``together``, the two streams of a model that has two, run on
    both; ``fused with rgb`` and ``fused with SECOND`` for a model that fuses images, whose one image has no other.

    Args:
        pairs: templates and search crops of both sensors, any number of samples at a time.
        tokens: drawn at random from each side, of all samples alike; search tokens only, in pixels patches of the
            model's stride. What a method adds after its last block's own output is not in the last depth.
    """
    model.eval()
    generator = torch.Generator().manual_seed(seed)
    batches = list(pairs)
    total = sum(len(search["rgb"]) for _, search in batches)
    if not total:
        raise ValueError("There are no pairs to compare; give some.")
    device = next(model.parameters()).device
    sides: dict[str, dict[str, list[list[Tensor]]]] = {}
    for template, search in batches:
        share = -(-tokens * len(search["rgb"]) // total)
        images = [{m: normalise(part[m].to(device)) for m in ("rgb", second)} for part in (template, search)]
        for comparison, seen in _features(model, images[0], images[1], second).items():
            for depth, pair in seen.items():
                room = sides.setdefault(comparison, {}).setdefault(depth, [[], []])
                for side, features in zip(room, pair):
                    rows = features.flatten(0, 1).float().cpu()  # (B * N, D)
                    side.append(rows[torch.randperm(len(rows), generator=generator)[:share]])
    return {
        comparison: {depth: mmd2(*(torch.cat(side)[:tokens] for side in room)) for depth, room in by_depth.items()}
        for comparison, by_depth in sides.items()
    }


def clip_pairs(
    clips: Sequence[Clip], second: str, config: ModelConfig, frames: int = 500, batch: int = 32, seed: int = 0
) -> Iterator[Pair]:
    """Templates and search crops of randomly chosen frames, cut around the truth, as ``mmd_by_depth`` takes them.

    Template and search crop are of one instant. Frames without a box or without either sensor are never chosen.
    """
    wanted = (Modality.RGB, Modality(second))
    usable = []
    for i, clip in enumerate(clips):
        seen = np.isfinite(clip.boxes).all(1) if clip.boxes is not None else np.zeros(0, bool)
        usable += [(i, int(j)) for j in np.flatnonzero(seen)]
    order = iter(np.random.default_rng(seed).permutation(len(usable)))
    while frames > 0:
        parts: list[dict[str, list[Any]]] = [{m: [] for m in wanted} for _ in range(2)]
        for i, j in (usable[k] for k in order):
            frame, truth = clips[i].frames[j], clips[i].boxes
            assert truth is not None
            if any(m not in frame.images for m in wanted):
                continue
            sizes = (config.template_factor, config.template_size), (config.search_factor, config.search_size)
            for part, (factor, size) in zip(parts, sizes):
                for m in wanted:
                    part[m].append(crop(frame.images[m], truth[j], factor, size)[0])
            if len(part[wanted[0]]) == min(batch, frames):
                break
        count = len(parts[0][wanted[0]])
        if not count:
            return
        frames -= count
        template, search = ({str(m): to_tensor(images) for m, images in part.items()} for part in parts)
        yield template, search


def _features(model: TorchModel, template: Crops, search: Crops, second: str) -> dict[str, dict[str, list[Tensor]]]:
    """Comparison -> depth -> the two sides (B, N, D)."""
    knows = second in {str(m) for m in model.config.modalities}
    alone = {}
    for m in ("rgb", second):
        name = m if knows else "rgb"
        alone[m] = _run(model, {name: template[m]}, {name: search[m]})
    found = {"alone": _beside(alone["rgb"], alone[second])}
    if isinstance(model, FusesImages):
        with torch.inference_mode():
            fused = _run(model, *({"rgb": model.fused_image(part)} for part in (template, search)))
        found |= {f"fused with {m}": _beside(fused, alone[m]) for m in ("rgb", second)}
    elif knows and not model.sensors_together:  # a trunk that sees one set of fused tokens has no two streams
        both = _run(model, template, search)  # two stacks of blocks, or both streams in one, RGB first
        found["together"] = {d: list(s) if len(s) == 2 else list(s[0].chunk(2)) for d, s in both.items()}
    return found


def _beside(a: dict[str, list[Tensor]], b: dict[str, list[Tensor]]) -> dict[str, list[Tensor]]:
    return {depth: [a[depth][0], b[depth][0]] for depth in a}


@torch.inference_mode()
def _run(model: TorchModel, template: Crops, search: Crops) -> dict[str, list[Tensor]]:
    """Depth -> the search tokens there (B, N, D), one tensor for each image or stack of blocks."""
    if not isinstance(model, ViTTracker):
        raise ValueError(f"{type(model).__name__} has no transformer's blocks to look into; choose another model.")
    options = {"keep_rate": 1.0} if model.config.elimination_blocks else {}
    with _listening(model) as heard:
        model(template, search, **options)
    names = ["embedding", *(f"block {i + 1}" for i in range(len(model.blocks)))]
    tokens = {name: [stack[i][:, -model.num_search :] for stack in heard if stack] for i, name in enumerate(names)}
    patch = model.config.stride
    return {"pixel": [F.unfold(i, patch, stride=patch).transpose(1, 2) for i in search.values()], **tokens}


@contextmanager
def _listening(model: ViTTracker) -> Iterator[list[dict[int, Tensor]]]:
    """For every stack of blocks: block -> the tokens that first go into it; behind the last, what it makes of them."""
    heard: list[dict[int, Tensor]] = []
    hooks = []
    parts = dict(model.named_children())
    for stack in (cast(Sequence[Block], parts[name]) for name in ("blocks", "blocks_x") if name in parts):
        own: dict[int, Tensor] = {}
        heard.append(own)
        last = len(stack)

        def note(key: float, own: dict[Any, Tensor] = own) -> Callable[[nn.Module, tuple[Any, ...]], None]:
            def before(module: nn.Module, inputs: tuple[Any, ...]) -> None:
                own.setdefault(key, inputs[0].clone())  # the model goes on writing into it

            return before

        def finish(
            module: nn.Module, inputs: object, made: Tensor, own: dict[Any, Tensor] = own, at: int = last
        ) -> None:
            if at not in own:  # a block may be walked through once more, to fuse
                own[at] = own[at - 0.5] + made

        for i, block in enumerate(stack):
            hooks.append(block.norm1.register_forward_pre_hook(note(i)))
        hooks.append(stack[-1].norm2.register_forward_pre_hook(note(last - 0.5)))
        hooks.append(stack[-1].mlp.register_forward_hook(finish))
    try:
        yield heard
    finally:
        for hook in hooks:
            hook.remove()
