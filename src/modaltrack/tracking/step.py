# SPDX-License-Identifier: Apache-2.0
"""The tracker: ``start`` makes a state, ``step`` takes one and returns the next. Nothing else remembers anything.

Legend: B targets, R rows of a forward pass (one for each target and pair of modalities), H x W cells of the maps.
Source: the published inference (docs/methods/ostrack.md 7): template crop once, search crop around the previous box,
score times Hann window, box at its peak. Pairs of modalities, missing sensors and the policy are ours.
"""

from __future__ import annotations

import warnings
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from modaltrack import vision
from modaltrack.boxes import check_box, cxcywh_to_xywh, xywh_to_cxcywh
from modaltrack.frame import Frame, Modality, State, Status
from modaltrack.models.model import Model, declared, placed
from modaltrack.session.inputs import FrameLike, list_of_boxes, per_target
from modaltrack.tracking.policy import Policy
from modaltrack.tracking.template_memory import TemplateUpdate, adopt, propose, remember, rows_of

Boxes = NDArray[np.float64]
_LARGEST_BOX = 4  # times the image, along either axis: beyond it the crops alone would fill the memory


def _crops(
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
    crops = torch.empty(len(images), 3, size, size, device=device)
    rows = defaultdict(list)
    for row, image in enumerate(images):
        rows[id(image)].append(row)
    for group in rows.values():  # one upload for each image, however many targets are in it
        pixels = torch.from_numpy(np.ascontiguousarray(images[group[0]])).to(device).permute(2, 0, 1)
        around = torch.from_numpy(boxes[group])
        crops[group] = vision.crop_batch(pixels.expand(len(group), -1, -1, -1), around, factor, size)[0] / 255
    return vision.normalise(crops)


def start(model: Model, frames: FrameLike | Sequence[FrameLike], boxes: ArrayLike) -> State:
    """Begin to follow B targets, given by one xywh box each in pixels.

    boxes: (4,) for one target or (B, 4). frames: one frame for all targets, or a sequence of B (clips in lock-step,
    sizes may differ). Raises ValueError for bad boxes and images, and for a first frame without a sensor of the model;
    warns about sensors that the model cannot use.
    """
    declared(model)
    rows = list_of_boxes(boxes)
    targets = per_target(frames, len(rows))
    checked = []
    for frame, box in zip(targets, rows):
        _check_sensors(model, frame)
        height, width = next(iter(frame.images.values())).shape[:2]
        checked.append(check_box(box, height, width))
        if checked[-1][2] > _LARGEST_BOX * width or checked[-1][3] > _LARGEST_BOX * height:
            raise ValueError(
                f"The box is {checked[-1][2]:g} x {checked[-1][3]:g} pixels and the image {width} x {height}; "
                "give a box around the target, in pixels of this image."
            )
    ignored = sorted({str(m) for frame in targets for m in frame.images} - {str(m) for m in model.config.modalities})
    if ignored:
        reads = ", ".join(model.config.modalities)
        warnings.warn(f"This model reads {reads}; the {', '.join(ignored)} images are ignored.", stacklevel=2)
    if model.training:
        warnings.warn("The model is in training mode, its answers are random; call model.eval() first.", stacklevel=2)
    count = len(checked)
    state = State(
        box=np.stack(checked),
        score=np.ones(count),
        status=np.full(count, Status.TRACKING, np.int64),
        template={},
        template_present={},
        unseen=np.zeros(count, np.int64),
        initial_size=np.stack(checked)[:, 2:].copy(),
    )
    return _fill_templates(model, state, targets)


def _check_sensors(model: Model, frame: Frame) -> None:
    if not any(modality in frame.images for modality in model.config.modalities):
        found, reads = ", ".join(frame.images) or "no image at all", ", ".join(model.config.modalities)
        raise ValueError(f"The first frame has {found}; this model needs at least one of {reads} to start from.")


@torch.inference_mode()
def _fill_templates(model: Model, state: State, frames: Sequence[Frame]) -> State:
    """Cut the templates that are still missing from these frames, for the targets that are TRACKING in them.

    A crop of one colour (an event camera before anything moved, a blind sensor) shows nothing to look for: it is not
    taken as long as the target has another template to be followed by (ours).
    """
    config, device = model.config, placed(model)[0]
    template, present = dict(state.template), dict(state.template_present)
    for modality in config.modalities:
        has = present.get(modality, np.zeros(len(state.box), bool))
        seen = np.array([modality in frame.images for frame in frames])
        rows = np.flatnonzero(seen & ~has & (state.status == Status.TRACKING))
        if not len(rows):
            continue
        images = [frames[int(row)].images[modality] for row in rows]
        size = config.template_size
        crops = _crops(images, state.box[rows], config.template_factor, size, device)
        followed = np.any([p[rows] for p in present.values()], axis=0) if present else np.zeros(len(rows), bool)
        take = ~(_blank(crops) & followed)
        rows, crops = rows[take], crops[torch.from_numpy(take).to(device)]
        if not len(rows):
            continue
        whole = torch.zeros(len(state.box), 3, size, size, device=device)
        if modality in template:
            whole.copy_(template[modality])
        whole[torch.from_numpy(rows).to(device)] = crops
        template[modality], present[modality] = whole, has | np.isin(np.arange(len(has)), rows)
    two = model.num_templates > 1
    memory = remember(state, template, present) if two else None
    return replace(state, template=template, template_present=present, memory=memory)


def _blank(crops: torch.Tensor) -> NDArray[np.bool_]:
    """Which crops (n, 3, h, w) show nothing: a picture of no events, a covered lens."""
    return (crops.amax((2, 3)) == crops.amin((2, 3))).all(1).cpu().numpy()


@torch.inference_mode()
def _update_memory(model: Model, state: State, frames: Sequence[Frame], update: TemplateUpdate) -> State:
    """Let the frames become candidates for the second template, and check the candidates when it is time.

    Only frames with all sensors that a target has templates of: fusing images of different moments would blur both.
    """
    memory = state.memory
    if memory is None or update.rule == "none":
        return state
    sensors = [
        {m for m, has in state.template_present.items() if has[row]} <= set(frame.images)
        for row, frame in enumerate(frames)
    ]
    rows = update.better(state.index, state.score, memory.candidate_score) & np.array(sensors)
    if rows.any():
        config, device = model.config, placed(model)[0]
        crops, several = {}, np.sum(list(state.template_present.values()), axis=0) > 1
        for modality, template in state.template.items():
            crops[modality] = torch.zeros_like(template)
            members = np.flatnonzero(rows & state.template_present[modality])
            if len(members):
                images = [frames[int(row)].images[modality] for row in members]
                cut = _crops(images, state.box[members], config.template_factor, config.template_size, device)
                crops[modality][torch.from_numpy(members).to(device)] = cut
                rows[members] &= ~(_blank(cut) & several[members])
        memory = propose(memory, crops, rows, state)
    if update.due(state.index):
        memory = adopt(memory)
    return replace(state, memory=memory)


def _pairs(model: Model, state: State, frames: Sequence[Frame]) -> dict[tuple[Modality, ...], list[int]]:
    """Which targets (rows) to run on which modalities: all at once where the model can, else (RGB and) one
    other sensor at a time, or RGB alone.

    Rows with the same modalities share a batch, so no model ever sees a placeholder for a missing image.
    """
    pairs: dict[tuple[Modality, ...], list[int]] = defaultdict(list)
    for target, frame in enumerate(frames):
        usable = [
            m
            for m in model.config.modalities
            if m in frame.images and m in state.template and state.template_present[m][target]
        ]
        if model.sensors_together:
            if usable:
                pairs[tuple(usable)].append(target)
            continue
        rgb = [m for m in usable if m == Modality.RGB]
        for other in [m for m in usable if m != Modality.RGB]:
            pairs[(*rgb, other)].append(target)
        if usable == rgb and rgb:
            pairs[(Modality.RGB,)].append(target)
    return pairs


def _respond(
    model: Model, state: State, frames: Sequence[Frame], around: Boxes, pairs: Mapping[tuple[Modality, ...], list[int]]
) -> tuple[list[torch.Tensor], torch.Tensor]:
    """Score, size, offset and confidence maps of every target, a mean over its rows, and how many rows each had (B,).

    A row weighs as much as the square of its highest score; with one pair of sensors there is one row and no mean.
    """
    config, (device, dtype) = model.config, placed(model)
    crops: dict[Modality, torch.Tensor] = {}
    place: dict[Modality, NDArray[np.int64]] = {}
    for modality in sorted({m for pair in pairs for m in pair}):
        needed = sorted({row for pair, members in pairs.items() if modality in pair for row in members})
        images = [frames[row].images[modality] for row in needed]
        crops[modality] = _crops(images, around[needed], config.search_factor, config.search_size, device)
        place[modality] = np.zeros(len(frames), np.int64)
        place[modality][needed] = np.arange(len(needed))
    sums: list[torch.Tensor] = []
    counts, weights = torch.zeros(len(frames), device=device), torch.zeros(len(frames), device=device)
    for pair, members in pairs.items():
        rows = torch.tensor(members, device=device)
        template = {m: state.template[m].to(device)[rows].to(dtype) for m in pair}
        search = {m: crops[m][torch.from_numpy(place[m][members]).to(device)].to(dtype) for m in pair}
        second = {}
        if state.memory is not None:
            second["memory"] = {m: state.memory.image[m].to(device)[rows].to(dtype) for m in pair}
        prediction = model(template, search, **second)
        confidence = prediction.score_map if prediction.confidence_map is None else prediction.confidence_map
        maps = [m.float() for m in (*prediction[:3], confidence)]  # (R, ., H, W)
        sums = sums or [torch.zeros(len(frames), *m.shape[1:], device=device) for m in maps]
        sure = maps[0].flatten(1).amax(1) ** 2  # a pair that sees nothing has little to say (ours)
        for total, part in zip(sums, maps):
            total.index_add_(0, rows, part * sure[:, None, None, None])
        weights.index_add_(0, rows, sure)
        counts[rows] += 1
    return [total / weights.clamp(min=1e-9)[:, None, None, None] for total in sums], counts


def _look(
    model: Model,
    state: State,
    frames: Sequence[Frame],
    pairs: Mapping[tuple[Modality, ...], list[int]],
    growth: NDArray[np.float64],
    share: NDArray[np.float64],
) -> tuple[Boxes, NDArray[np.float64], NDArray[np.bool_]]:
    """Search once around the previous boxes: boxes (B, 4) xywh, scores (B,), and which targets had an image (B,).

    The score is the model's confidence in the box at the windowed peak where the model judges its boxes, else the
    windowed peak itself, as published.

    growth: (B,) factor on the crop's side. share: (B,) of the Hann window in the response.
    """
    grown = xywh_to_cxcywh(state.box)
    grown[:, 2:] *= growth[:, None]
    around = cxcywh_to_xywh(grown)
    maps, counts = _respond(model, state, frames, around, pairs)
    window = vision.hann_window(maps[0].shape[-1], maps[0].device)  # (W, W), the maps are square
    kept = torch.from_numpy(share).to(window)[:, None, None, None]
    weight = 1 - kept + kept * window  # (B, 1, W, W)
    response = maps[0] * weight
    decoded, peaks = vision.decode(response, maps[1], maps[2])
    if model.judges:
        peaks = maps[3].flatten(1).gather(1, response.flatten(1).argmax(1)[:, None])[:, 0]
    size = model.config.search_size
    factors = size / np.array([vision.crop_side(b, model.config.search_factor) for b in around])
    predicted = vision.box_from_crop(decoded.cpu().double().numpy(), around, factors, size)
    return predicted, peaks.cpu().double().numpy(), counts.cpu().numpy() > 0


def _look_again(
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
        box, top, _ = _look(model, state, frames, asked, growth, share)
        found = top >= np.maximum(needed, peak)  # who was not asked has a top of 0
        predicted[found], peak[found] = box[found], top[found]

    ask({pair: rows for pair, members in pairs.items() if (rows := [row for row in members if doubtful[row]])})
    left = doubtful & (peak < needed) & (state.unseen == 0)
    left[[row for pair, members in pairs.items() if Modality.EVENT in pair for row in members]] = False
    for sensor in model.config.modalities:
        several = {row for pair, members in pairs.items() if sensor in pair and len(pair) > 1 for row in members}
        rows = sorted(row for row in several if left[row])
        ask({(sensor,): rows} if rows else {})
    return predicted, peak


@torch.inference_mode()
def step(model: Model, state: State, frames: FrameLike | Sequence[FrameLike], policy: Policy | None = None) -> State:
    """Follow the targets of ``state`` into the next frame: a pure function, state in, state out.

    frames: one frame for all B targets, or a sequence of B. policy: default ``Policy.of(model)``. A target without any
    usable image in its frame keeps its box and gets the score 0. Raises ValueError for bad images.
    """
    policy = policy or Policy.of(model)
    targets = per_target(frames, len(state.box), state.index + 1)
    box, score = state.box.copy(), np.zeros(len(state.box))
    pairs = _pairs(model, state, targets)
    if pairs:
        growth, share = policy.search_growth(state.status, state.unseen), policy.window_share(state.status)
        predicted, peak, seen = _look(model, state, targets, pairs, growth, share)
        doubtful = seen & (peak < policy.tracking_threshold)
        if policy.second_look > 1 and doubtful.any():
            first = (predicted, peak)
            predicted, peak = _look_again(model, state, targets, pairs, policy, growth, first, doubtful)
        for row in np.flatnonzero(seen & np.isfinite(predicted).all(1) & np.isfinite(peak)):
            height, width = next(iter(targets[row].images.values())).shape[:2]
            score[row] = peak[row]
            box[row] = policy.next_box(
                state.box[row], predicted[row], peak[row], state.initial_size[row], height, width
            )
    status, unseen = policy.judge(score, state.unseen)
    state = replace(state, box=box, score=score, status=status, unseen=unseen, index=state.index + 1)
    return _update_memory(model, _fill_templates(model, state, targets), targets, policy.template_update)


def select(state: State, rows: Sequence[int] | NDArray[np.int64]) -> State:
    """The state of some of its targets only, in that order: how a clip that has ended drops out."""
    rows = np.asarray(rows, np.int64)
    return replace(
        state,
        memory=None if state.memory is None else rows_of(state.memory, rows),
        box=state.box[rows],
        score=state.score[rows],
        status=state.status[rows],
        template={m: t[torch.from_numpy(rows).to(t.device)] for m, t in state.template.items()},
        template_present={m: p[rows] for m, p in state.template_present.items()},
        unseen=state.unseen[rows],
        initial_size=state.initial_size[rows],
    )
