# SPDX-License-Identifier: Apache-2.0
"""Looking for targets in a frame: crops around boxes, the model's maps, the boxes they mean.

Legend: B targets, R rows of a forward pass (one for each target and set of modalities), H x W cells of the maps.
Source: the published inference (docs/methods/sdstrack.md 5): score times Hann window, box at its peak. Sets of
modalities, missing sensors and the second look are [ours].
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from modaltrack import vision
from modaltrack.boxes import cxcywh_to_xywh, xywh_to_cxcywh
from modaltrack.frame import Frame, Modality, State
from modaltrack.models.model import Model, placed
from modaltrack.tracking.policy import Policy

Boxes = NDArray[np.float64]


def cut_crops(
    images: Sequence[NDArray[np.uint8]],
    boxes: Boxes,
    factor: float,
    size: int,
    device: torch.device,
    batched: bool | None = None,
) -> torch.Tensor:
    """Normalised crops (n, 3, size, size) of n images around n xywh boxes.

    The authors' crop; on CUDA (or as ``batched`` says) its batched form, which is up to 2 grey levels off.
    """
    if not (device.type == "cuda" if batched is None else batched):
        crops = vision.to_tensor([vision.crop(image, box, factor, size)[0] for image, box in zip(images, boxes)])
        return vision.normalise(crops.to(device))
    crops = torch.empty(len(images), 3, size, size, device=device, dtype=torch.float32)
    rows = defaultdict(list)
    for row, image in enumerate(images):
        rows[id(image)].append(row)
    for group in rows.values():  # one upload for each image, however many targets are in it
        pixels = torch.from_numpy(np.ascontiguousarray(images[group[0]])).to(device).permute(2, 0, 1)
        around = torch.from_numpy(boxes[group])
        crops[group] = vision.crop_batch(pixels.expand(len(group), -1, -1, -1), around, factor, size)[0] / 255
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
) -> tuple[list[torch.Tensor], torch.Tensor]:
    """Score, size, offset and confidence maps of every target, a mean over its rows, and how many rows each had (B,).

    A row weighs as much as the square of its highest score; with one pair of sensors there is one row and no mean.
    """
    config, (device, dtype) = model.config, placed(model)
    cut: dict[Modality, torch.Tensor] = {}
    place: dict[Modality, NDArray[np.int64]] = {}
    for modality in sorted({m for pair in pairs for m in pair}):
        needed = sorted({row for pair, members in pairs.items() if modality in pair for row in members})
        images = [frames[row].images[modality] for row in needed]
        cut[modality] = cut_crops(images, around[needed], config.search_factor, config.search_size, device)
        place[modality] = np.zeros(len(frames), np.int64)
        place[modality][needed] = np.arange(len(needed))
    sums: list[torch.Tensor] = []
    counts, weights = torch.zeros(2, len(frames), device=device, dtype=torch.float32)
    for pair, members in pairs.items():
        rows = torch.tensor(members, device=device)
        template = {m: state.template[m].to(device)[rows].to(dtype) for m in pair}
        search = {m: cut[m][torch.from_numpy(place[m][members]).to(device)].to(dtype) for m in pair}
        second = {}
        if state.memory is not None:
            second["memory"] = {m: state.memory.image[m].to(device)[rows].to(dtype) for m in pair}
        prediction = model(template, search, **second)
        confidence = prediction.score_map if prediction.confidence_map is None else prediction.confidence_map
        maps = [m.float() for m in (*prediction[:3], confidence)]  # (R, ., H, W)
        sums = sums or [m.new_zeros(len(frames), *m.shape[1:]) for m in maps]
        sure = maps[0].flatten(1).amax(1) ** 2  # a pair that sees nothing has little to say [ours]
        for total, part in zip(sums, maps):
            total.index_add_(0, rows, part * sure[:, None, None, None])
        weights.index_add_(0, rows, sure)
        counts[rows] += 1
    return [total / weights.clamp(min=1e-9)[:, None, None, None] for total in sums], counts


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
    maps, counts = respond(model, state, frames, around, pairs)
    window = vision.hann_window(maps[0].shape[-1], maps[0].device)  # (W, W), the maps are square
    kept = torch.from_numpy(share).to(window)[:, None, None, None]
    size = model.config.search_size
    sides = np.array([vision.crop_side(b, model.config.search_factor) for b in around])
    previous = torch.from_numpy(state.box[:, 2:] / sides[:, None]).to(window)  # (B, 2) in crops
    response, score = policy.response(maps[0], maps[1], 1 - kept + kept * window, previous)
    decoded, peaks = vision.decode(response, maps[1], maps[2])
    believed = maps[3] if model.judges else score
    if believed is not response:
        peaks = believed.flatten(1).gather(1, response.flatten(1).argmax(1)[:, None])[:, 0]
    factors = size / sides
    predicted = vision.box_from_crop(decoded.cpu().double().numpy(), around, factors, size)
    return predicted, peaks.cpu().double().numpy(), counts.cpu().numpy() > 0


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
    event camera, which alone shows nothing of what stands still, are not asked for so.
    """
    predicted, peak = (part.copy() for part in first)
    needed = np.maximum(policy.tracking_threshold, peak + policy.second_look_margin)  # (B,)
    growth, share = growth * policy.second_look, np.full(len(peak), policy.second_look_window)

    def ask(asked: Mapping[tuple[Modality, ...], list[int]]) -> None:
        if not asked:
            return
        box, top, _ = look(model, state, frames, asked, policy, growth, share)
        found = top >= np.maximum(needed, peak)  # who was not asked has a top of 0
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
