# SPDX-License-Identifier: Apache-2.0
"""The tracker: ``start`` makes a state, ``step`` takes one and returns the next. Nothing else remembers anything.

Legend: B targets, R rows of a forward pass (one for each target and pair of modalities), H x W cells of the maps.
Source: the published inference (docs/methods/ostrack.md 7): template crop once, search crop around the previous box,
score times Hann window, box at its peak. Pairs of modalities, missing sensors and the policy are [ours].
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from modaltrack import vision
from modaltrack.boxes import check_box, clip_box
from modaltrack.frame import Frame, State, Status
from modaltrack.models.model import Model, Prepares, declared, placed
from modaltrack.session.inputs import FrameLike, list_of_boxes, per_target
from modaltrack.tracking.image_size import fitted, size_of
from modaltrack.tracking.look import cut_crops, look, look_again, sensor_sets
from modaltrack.tracking.policy import Policy
from modaltrack.tracking.redetection import search_everywhere
from modaltrack.tracking.template_memory import TemplateUpdate, adopt, propose, remember

Boxes = NDArray[np.float64]
_LARGEST_BOX = 2  # times the image, along either axis: such a box is a mistake


def start(model: Model, frames: FrameLike | Sequence[FrameLike], boxes: ArrayLike) -> State:
    """Begin to follow B targets, given by one xywh box each in pixels.

    Args:
        boxes: (4,) for one target or (B, 4).
        frames: one frame for all targets, or a sequence of B (clips in lock-step, sizes may differ).

    Raises:
        ValueError: for bad boxes and images, and for a first frame without a sensor of the model; warns about sensors
            that the model cannot use.
    """
    declared(model)
    rows = list_of_boxes(boxes)
    targets = per_target(frames, len(rows))
    checked = []
    for frame, box in zip(targets, rows):
        _check_sensors(model, frame)
        checked.append(_first_box(box, *size_of(frame)))
    ignored = sorted({str(m) for frame in targets for m in frame.images} - {str(m) for m in model.config.modalities})
    if ignored:
        reads = ", ".join(model.config.modalities)
        warnings.warn(f"This model reads {reads}; the {', '.join(ignored)} images are ignored.", stacklevel=2)
    if model.one_sensor and any(len(set(frame.images) - set(ignored)) > 1 for frame in targets):
        warnings.warn(
            f"This model reads one sensor at a time, the first of {', '.join(model.config.modalities)} that has an "
            "image and a template; 'late:' in front of its name runs it on each.",
            stacklevel=2,
        )
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
        image_size=np.array([size_of(frame) for frame in targets], np.int64),
    )
    state = _fill_templates(model, state, targets)
    if isinstance(model, Prepares):  # its graphs are made in the first frame's time, not in the second's
        for sensors, rows in sensor_sets(model, state, targets).items():
            model.prepare(sensors, len(rows))
    return state


def _first_box(box: ArrayLike, height: int, width: int) -> Boxes:
    """The checked box (4,); one whose centre is outside or that is larger than the image is clipped, with a warning."""
    checked = check_box(box, height, width)
    x, y, w, h = checked
    if w > _LARGEST_BOX * width or h > _LARGEST_BOX * height:
        raise ValueError(
            f"The box is {w:g} x {h:g} pixels and the image {width} x {height}; "
            "give a box around the target, in pixels of this image."
        )
    inside = 0 <= x + w / 2 <= width and 0 <= y + h / 2 <= height
    if w > width or h > height or not inside:
        checked = np.asarray(clip_box(checked, height, width, 1.0), np.float64)
        warnings.warn(
            f"The box x={x:g}, y={y:g}, width={w:g}, height={h:g} reaches far out of the image of {width} x {height} "
            "pixels; it is clipped to the image.",
            stacklevel=3,
        )
    elif w < 1 or h < 1:
        warnings.warn(
            f"The box is {w:g} x {h:g} pixels; boxes are in pixels of the image, not in shares of it.", stacklevel=3
        )
    return checked


def _check_sensors(model: Model, frame: Frame) -> None:
    if not any(modality in frame.images for modality in model.config.modalities):
        found, reads = ", ".join(frame.images) or "no image at all", ", ".join(model.config.modalities)
        raise ValueError(f"The first frame has {found}; this model needs at least one of {reads} to start from.")


@torch.inference_mode()
def _fill_templates(model: Model, state: State, frames: Sequence[Frame]) -> State:
    """Cut the templates that are still missing from these frames, for the targets that are TRACKING in them.

    A crop of one colour (an event camera before anything moved, a blind sensor) shows nothing to look for: it is not
    taken as long as the target has another template to be followed by [ours].
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
        around = vision.with_context(state.box[rows], model.crop_context)
        crops = cut_crops(images, around, config.template_factor, size, device)
        followed = np.any([p[rows] for p in present.values()], axis=0) if present else np.zeros(len(rows), bool)
        take = ~(_blank(crops) & followed)
        rows, crops = rows[take], crops[torch.from_numpy(take).to(device)]
        if not len(rows):
            continue
        whole = torch.zeros(len(state.box), 3, size, size, device=device, dtype=crops.dtype)
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
        fresh, several = {}, np.sum(list(state.template_present.values()), axis=0) > 1
        for modality, template in state.template.items():
            fresh[modality] = torch.zeros_like(template)
            members = np.flatnonzero(rows & state.template_present[modality])
            if len(members):
                images = [frames[int(row)].images[modality] for row in members]
                around = vision.with_context(state.box[members], model.crop_context)
                cut = cut_crops(images, around, config.template_factor, config.template_size, device)
                fresh[modality][torch.from_numpy(members).to(device)] = cut
                rows[members] &= ~(_blank(cut) & several[members])
        memory = propose(memory, fresh, rows, state)
    if update.due(state.index):
        memory = adopt(memory)
    return replace(state, memory=memory)


@torch.inference_mode()
def step(model: Model, state: State, frames: FrameLike | Sequence[FrameLike], policy: Policy | None = None) -> State:
    """Follow the targets of ``state`` into the next frame: a pure function, state in, state out.

    Args:
        frames: one frame for all B targets, or a sequence of B.
        policy: default ``Policy.of(model)``.

    A target without any usable image in its frame keeps its box and gets the score 0. Images of another size than
    before take the box with them, with a warning.

    Raises:
        ValueError: for bad images.
    """
    policy = policy or Policy.of(model)
    state, targets = fitted(state, per_target(frames, len(state.box), state.index + 1), policy.margin)
    box, score = state.box.copy(), np.zeros(len(state.box))
    pairs = sensor_sets(model, state, targets)
    if pairs:
        growth, share = policy.search_growth(state.status, state.unseen), policy.window_share(state.status)
        predicted, peak, seen = look(model, state, targets, pairs, policy, growth, share)
        doubtful = seen & (peak < policy.tracking_threshold)
        if policy.second_look > 1 and doubtful.any():
            first = (predicted, peak)
            predicted, peak = look_again(model, state, targets, pairs, policy, growth, first, doubtful)
        lost = np.flatnonzero(seen & (state.status == Status.LOST) & (peak < policy.tracking_threshold))
        if policy.redetect and len(lost):
            predicted, peak = search_everywhere(model, state, targets, policy, lost, (predicted, peak))
        good = seen & np.isfinite(predicted).all(1) & np.isfinite(peak)
        score[good] = peak[good]
        box[good] = policy.next_box(
            state.box[good], predicted[good], peak[good], state.initial_size[good], *state.image_size[good].T
        )
    status, unseen = policy.judge(score, state.unseen)
    state = replace(state, box=box, score=score, status=status, unseen=unseen, index=state.index + 1)
    return _update_memory(model, _fill_templates(model, state, targets), targets, policy.template_update)
