# SPDX-License-Identifier: Apache-2.0
"""Looking for targets in a frame: crops around boxes, the model's maps, the boxes they mean.

Legend: B targets, R rows of a forward pass (one for each target and set of modalities), H x W cells of the maps.
Source: the published inference (docs/methods/sdstrack.md 5): score times Hann window, box at its peak. Sets of
modalities, missing sensors and the second look are [ours].
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import cache, partial

import numpy as np
import torch
from numpy.typing import NDArray

from modaltrack import vision
from modaltrack.boxes import cxcywh_to_xywh, xywh_to_cxcywh
from modaltrack.frame import Frame, Modality, State
from modaltrack.models.model import Model, placed
from modaltrack.models.parts.cores import on_cores
from modaltrack.tracking.policy import Policy

Boxes = NDArray[np.float64]
ROWS_ON_CPU = 8


def cut_crops(
    images: Sequence[NDArray[np.uint8]],
    boxes: Boxes,
    factor: float,
    size: int,
    device: torch.device,
    batched: bool | None = None,
    pixels: bool = False,
) -> torch.Tensor:
    """Normalised crops (n, 3, size, size) of n images around n xywh boxes.

    The authors' crop; on CUDA (or as ``batched`` says) its batched form, which is up to 2 grey levels off.

    Args:
        pixels: whether to give the authors' crops as they are, uint8 (n, size, size, 3).
    """
    if pixels or not (device.type == "cuda" if batched is None else batched):
        cut = [vision.crop(image, box, factor, size)[0] for image, box in zip(images, boxes)]
        if pixels:
            return torch.from_numpy(cut[0][None] if len(cut) == 1 else np.stack(cut))
        return vision.normalise(vision.to_tensor(cut).to(device))
    crops = torch.empty(len(images), 3, size, size, device=device, dtype=torch.float32)
    rows = defaultdict(list)
    for row, image in enumerate(images):
        rows[id(image)].append(row)
    for group in rows.values():  # one upload for each image, however many targets are in it
        upload = torch.from_numpy(np.ascontiguousarray(images[group[0]])).to(device).permute(2, 0, 1)
        crops[group] = vision.crop_many(upload, boxes[group], factor, size) / 255
    return vision.normalise(crops)


def sensor_sets(model: Model, state: State, frames: Sequence[Frame]) -> dict[tuple[Modality, ...], list[int]]:
    """Which targets (rows) to run on which modalities: all at once where the model can, the first of them where
    it reads one sensor only, else (RGB and) one other sensor at a time, or RGB alone.

    Rows with the same modalities share a batch, so no model ever sees a placeholder for a missing image.
    """
    pairs: dict[tuple[Modality, ...], list[int]] = defaultdict(list)
    for target, frame in enumerate(frames):
        usable = [
            m
            for m in model.config.modalities
            if m in frame.images and m in state.template and state.template_present[m][target]
        ]
        if model.sensors_together or model.one_sensor:
            if usable:
                pairs[tuple(usable[:1] if model.one_sensor else usable)].append(target)
            continue
        rgb = [m for m in usable if m == Modality.RGB]
        for other in [m for m in usable if m != Modality.RGB]:
            pairs[(*rgb, other)].append(target)
        if usable == rgb and rgb:
            pairs[(Modality.RGB,)].append(target)
    return pairs


def respond(
    model: Model, state: State, frames: Sequence[Frame], around: Boxes, pairs: Mapping[tuple[Modality, ...], list[int]]
) -> list[torch.Tensor]:
    """Score, size, offset and confidence maps of every target, a mean over its rows; zeros where it has none.

    A row weighs as much as the square of its highest score; with one pair of sensors there is one row and no mean.
    """
    config, (device, dtype) = model.config, placed(model)
    cut: dict[Modality, torch.Tensor] = {}
    place: dict[Modality, NDArray[np.int64]] = {}
    for modality in sorted({m for pair in pairs for m in pair}):
        needed = sorted({row for pair, members in pairs.items() if modality in pair for row in members})
        images = [frames[row].images[modality] for row in needed]
        cut[modality] = cut_crops(
            images, around[needed], config.search_factor, config.search_size, device, pixels=model.takes_pixels
        )
        place[modality] = np.zeros(len(frames), np.int64)
        place[modality][needed] = np.arange(len(needed))
    together = len(pairs) == 1 and len(next(iter(pairs.values()))) == len(frames)  # one row each: no mean
    sums: list[torch.Tensor] = []
    weights = torch.zeros(len(frames), device=device, dtype=torch.float32)
    for pair, members in pairs.items():
        own = np.array(members)
        rows = torch.from_numpy(own).to(device)
        template = {m: rows_of(state.template[m], own).to(device, dtype) for m in pair}
        search = {m: rows_of(cut[m], place[m][own]) for m in pair}
        search = search if model.takes_pixels else {m: crops.to(dtype) for m, crops in search.items()}
        memory = None
        if state.memory is not None:
            memory = {m: rows_of(state.memory.image[m], own).to(device, dtype) for m in pair}
        maps = maps_of(model, template, search, memory, len(own))  # (R, ., H, W)
        if together:
            return maps
        sums = sums or [m.new_zeros(len(frames), *m.shape[1:]) for m in maps]
        sure = maps[0].flatten(1).amax(1) ** 2  # a pair that sees nothing has little to say [ours]
        for total, part in zip(sums, maps):
            total.index_add_(0, rows, part * sure[:, None, None, None])
        weights.index_add_(0, rows, sure)
    return [total / weights.clamp(min=1e-9)[:, None, None, None] for total in sums]


def rows_of(tensor: torch.Tensor, rows: NDArray[np.int64]) -> torch.Tensor:
    """These rows of a tensor; itself where they are all of it, in order."""
    if len(rows) == len(tensor) and (rows == np.arange(len(rows))).all():
        return tensor
    return tensor[torch.from_numpy(rows).to(tensor.device)]


def maps_of(
    model: Model,
    template: Mapping[Modality, torch.Tensor],
    search: Mapping[Modality, torch.Tensor],
    memory: Mapping[Modality, torch.Tensor] | None,
    count: int,
) -> list[torch.Tensor]:
    """Score, size, offset and confidence maps (R, ., H, W) float32 of ``count`` rows.

    On a CPU torch takes a few rows at a time, each piece on a core of its own: the layers of more rows leave the caches
    (64 rows of the laptop model in one call took 1.8 times as long for each as 8 did). An exported graph has a batch
    size of its own.
    """
    on_cpu = isinstance(model, torch.nn.Module) and next(iter(search.values())).device.type == "cpu"
    at_once = ROWS_ON_CPU if on_cpu else count
    parts: dict[int, list[torch.Tensor]] = {}

    def piece(start: int) -> None:
        rows = slice(start, start + at_once)
        roles = [{m: images[m][rows] for m in images} for images in (template, search)]
        more = {} if memory is None else {"memory": {m: image[rows] for m, image in memory.items()}}
        found = model(*roles, **more)
        confidence = found.score_map if found.confidence_map is None else found.confidence_map
        parts[start] = [m.float() for m in (*found[:3], confidence)]

    if count <= at_once:
        piece(0)
        return parts[0]
    on_cores([partial(piece, start) for start in range(0, count, at_once)])
    return [torch.cat(pieces) for pieces in zip(*(parts[start] for start in sorted(parts)))]


def look(
    model: Model,
    state: State,
    frames: Sequence[Frame],
    pairs: Mapping[tuple[Modality, ...], list[int]],
    policy: Policy,
    growth: NDArray[np.float64],
    share: NDArray[np.float64],
) -> tuple[Boxes, NDArray[np.float64], NDArray[np.bool_]]:
    """Search once around the previous boxes: boxes (B, 4) xywh, scores (B,), and which targets had an image (B,).

    The score is the model's confidence in the box at the windowed peak where the model judges its boxes, else the
    windowed peak itself, as published.

    Args:
        growth: (B,) factor on the crop's side.
        share: (B,) of the Hann window in the response.
    """
    grown = xywh_to_cxcywh(state.box)
    grown[:, 2:] *= growth[:, None]
    around = vision.with_context(cxcywh_to_xywh(grown), model.crop_context)
    maps = respond(model, state, frames, around, pairs)
    window = _window(maps[0].shape[-1], maps[0].device)  # (W, W), the maps are square
    kept = torch.from_numpy(share).to(window)[:, None, None, None]
    size, sides = model.config.search_size, vision.crop_sides(around, model.config.search_factor)
    previous = torch.from_numpy(state.box[:, 2:] / sides[:, None]).to(window)  # (B, 2) in crops
    response, score = policy.response(maps[0], maps[1], 1 - kept + kept * window, previous)
    decoded, peaks = vision.decode(response, maps[1], maps[2])
    believed = maps[3] if model.judges else score
    if believed is not response:
        peaks = believed.flatten(1).gather(1, response.flatten(1).argmax(1)[:, None])[:, 0]
    found = torch.cat([decoded, peaks[:, None]], 1).cpu().double().numpy()  # the only wait for the device
    predicted = vision.box_from_crop(found[:, :4], around, size / sides, size)
    seen = np.zeros(len(frames), bool)
    seen[[row for members in pairs.values() for row in members]] = True
    return predicted, found[:, 4], seen


@cache
def _window(size: int, device: torch.device) -> torch.Tensor:
    return vision.hann_window(size, device)


def look_again(
    model: Model,
    state: State,
    frames: Sequence[Frame],
    pairs: Mapping[tuple[Modality, ...], list[int]],
    policy: Policy,
    growth: NDArray[np.float64],
    first: tuple[Boxes, NDArray[np.float64]],
    doubtful: NDArray[np.bool_],
) -> tuple[Boxes, NDArray[np.float64]]:
    """Boxes (B, 4) and peaks (B,) of the first look, replaced where a wider one finds more for a doubtful (B,) target.

    With all sensors first; then, for targets that were being tracked until now and were not found so, with each alone:
    a sensor that shows nothing of the target pulls the others away. The best of what is found counts. Targets with an
    event camera, which alone shows nothing of what stands still, are left out of that.
    """
    predicted, peak = (part.copy() for part in first)
    needed = np.maximum(policy.tracking_threshold, peak + policy.second_look_margin)  # (B,)
    growth, share = growth * policy.second_look, np.full(len(peak), policy.second_look_window)

    def ask(asked: Mapping[tuple[Modality, ...], list[int]]) -> None:
        if not asked:
            return
        box, top, _ = look(model, state, frames, asked, policy, growth, share)
        found = top >= np.maximum(needed, peak)  # targets that were not looked at again have 0 here
        predicted[found], peak[found] = box[found], top[found]

    ask({pair: rows for pair, members in pairs.items() if (rows := [row for row in members if doubtful[row]])})
    left = doubtful & (peak < needed) & (state.unseen == 0)
    left[[row for pair, members in pairs.items() if Modality.EVENT in pair for row in members]] = False
    for sensor in model.config.modalities:
        if model.only_sets is not None and (sensor,) not in model.only_sets:
            continue
        several = {row for pair, members in pairs.items() if sensor in pair and len(pair) > 1 for row in members}
        rows = sorted(row for row in several if left[row])
        ask({(sensor,): rows} if rows else {})
    return predicted, peak
