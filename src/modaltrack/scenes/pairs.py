# SPDX-License-Identifier: Apache-2.0
"""Training pairs without a disk: a template and a search crop of one actor, seen by all sensors at two instants.

Every batch is a pure function of (seed, step): a resumed run sees the pairs it would have seen. Scenes are rendered
once and several of their actors serve as targets in turn, so each pair has true distractors. Shapes: B pairs, S scenes,
K layers, 2 instants.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from modaltrack.frame import Modality
from modaltrack.scenes.actors import Troupe
from modaltrack.scenes.compose import Layer
from modaltrack.scenes.conditions import camouflage, change_light, random_weather
from modaltrack.scenes.instants import Instants, Place
from modaltrack.scenes.sensors import RENDERED, rendered
from modaltrack.scenes.texture import canvases, chance, uniform
from modaltrack.vision.crop import box_to_crop, crop_batch

FRAME = 192  # side of a rendered training frame, pixels
TARGETS = 4  # targets per scene
SCALES = {"small": (8.0, 19.0), "medium": (15.0, 31.0), "large": (27.0, 54.0)}  # half side of an actor, pixels
# share of second templates that equal the first, as in a clip's first frame ([inferred], docs/methods/tpf.md 6)
SAME_MEMORY = 0.1
MEMORY_SHIFT, MEMORY_SCALE = 0.2, 0.1  # jitter of second templates, which stand around a predicted box [ours]

# Images (S, I, 3 * modalities, H, W) of I instants, boxes (S, I, K, 4) xyxy in the frame, seen shares (S, I, K)
Seen = tuple[Tensor, Tensor, Tensor]


@dataclass(frozen=True, slots=True)
class Pairs:
    """B training pairs.

    Attributes:
        template, search: modality -> (B, 3, h, w) float32 in 0..1, encoded, not normalised.
        box: (B, 4) xywh of the target in 0..1 of the search crop.
        visible: (B,) share of the target that nothing hides, 0 where the search crop shows another place altogether
            (box is then meaningless).
        present: modality -> (B,) bool.
        memory: a second template from an instant between the two, like ``template``; None where it was not asked for.
        failed: what went wrong in single samples that were replaced.
    """

    template: Mapping[Modality, Tensor]
    search: Mapping[Modality, Tensor]
    box: Tensor
    visible: Tensor
    present: Mapping[Modality, Tensor]
    memory: Mapping[Modality, Tensor] | None = None
    failed: tuple[str, ...] = ()


class PairSampler:
    """Endless training pairs, a function of (seed, step).

    Args:
        modalities: which sensors to render.
        device: where to render.
        stage_steps: how many steps share one cast of actors and backgrounds before a new one is drawn.
        num_actors, num_canvases: size of that cast.
        misalignment: standard deviation of the shift between RGB and the other sensors, as a share of the target's
            size.
        absent: share of pairs whose search crop does not contain the target.
        templates: 2 renders a third instant for a second template; all else is the same as with 1.
    """

    def __init__(
        self,
        modalities: Sequence[Modality | str] = RENDERED,
        template_size: int = 64,
        search_size: int = 128,
        seed: int = 0,
        device: torch.device | str = "cpu",
        template_factor: float = 2.0,
        search_factor: float = 4.0,
        stage_steps: int = 250,
        num_actors: int = 320,
        num_canvases: int = 24,
        misalignment: float = 0.02,
        absent: float = 0.03,
        hard: float = 0.5,
        templates: int = 1,
    ) -> None:
        self.modalities = rendered(modalities)
        self.template_size, self.search_size = template_size, search_size
        self.template_factor, self.search_factor = template_factor, search_factor
        self.seed, self.device = seed, torch.device(device)
        self.stage_steps, self.num_actors, self.num_canvases = stage_steps, num_actors, num_canvases
        self.misalignment, self.absent, self.hard, self.templates = misalignment, absent, hard, templates
        self._stage = -1

    def __repr__(self) -> str:
        sizes = f"template {self.template_size} px, search {self.search_size} px"
        return f"PairSampler({'+'.join(self.modalities)}, seed {self.seed}, {sizes})"

    def _prepare(self, stage: int) -> None:
        if stage == self._stage:
            return
        generator = torch.Generator().manual_seed((self.seed * 1_000_003 + stage) * 2 + 1)
        parts = [canvases(min(6, self.num_canvases - i), generator) for i in range(0, self.num_canvases, 6)]
        self._canvas = torch.cat(parts).to(self.device)
        self._troupe = Troupe(self.num_actors, self.seed * 100_003 + stage, self.device)
        self._stage = stage

    @torch.no_grad()
    def sample(self, batch: int, step: int, modalities: Sequence[Modality | str] | None = None) -> Pairs:
        """Draw the `batch` pairs of training step `step` (0-based), optionally only some of the sensors."""
        wanted = self.modalities if modalities is None else rendered(modalities)
        self._prepare(step // self.stage_steps)
        generator = torch.Generator().manual_seed((self.seed * 7_368_787 + step) * 2)
        scenes = math.ceil(batch / (2 * TARGETS))  # every target serves in both directions of time
        seen, instants = self._render(scenes, generator, wanted)
        third, its = None, torch.Generator().manual_seed((self.seed * 7_368_787 + step) * 2 + 1)
        if self.templates == 2:
            third = self._between(instants, scenes, its, wanted)
        return self._crop(seen, third, batch, generator, its, wanted)

    # -- one rendered batch of scenes --------------------------------------------------------------------------------

    def _layers(self, s: int, g: torch.Generator, background: Tensor) -> tuple[list[Layer], list[Layer], Tensor]:
        """Layers at both instants (rows: scene-major, 2 instants), a moment before them, and the camera's shake."""
        order = ["small", "medium", "small", "medium", "large", "medium", "large"]
        swap = int(torch.randint(0, 6, (1,), generator=g))
        order[swap], order[swap + 1] = order[swap + 1], order[swap]
        actors = self._actors(s, len(order), g)
        disguise = camouflage((s, len(order)), g, self.hard)
        still = chance((s, 1, 1), 0.25, g)
        motion = torch.randn(s, len(order), 2, generator=g) * uniform((s, len(order), 1), 0.0, 3.5, g) * (1 - still)
        shake = torch.randn(s, 1, 2, generator=g) * uniform((s, 1, 1), 0.0, 2.0, g) * chance((s, 1, 1), 0.6, g)
        at, before = [], []
        for k, window in enumerate(order):
            layer = self._layer(k, window, actors[:, k], [d[:, k] for d in disguise], g, background)
            at.append(layer)
            fields = {name: getattr(layer, name) for name in layer.__slots__}
            fields["centre"] = layer.centre - (motion[:, k] + shake[:, 0]).repeat_interleave(2, 0)
            fields["phase"] = (layer.phase + 0.93) % 1
            fields["scale"] = layer.scale * 0.99
            before.append(Layer(**fields))
        for layer in at + before:
            for name in layer.__slots__:
                value = getattr(layer, name)
                if isinstance(value, Tensor):
                    setattr(layer, name, value.to(self.device))
        return at, before, shake

    def _actors(self, s: int, count: int, g: torch.Generator) -> Tensor:
        """(s, count) who plays: neighbours in the troupe are of one kind, and some are twins of another layer."""
        actors = torch.randint(0, self.num_actors, (s, count), generator=g)
        for k in range(1, count):
            like = actors[torch.arange(s), torch.randint(0, k, (s,), generator=g)]
            twin = chance((s,), 0.3, g) > 0
            near = (like + torch.randint(-3, 4, (s,), generator=g)).clamp(0, self.num_actors - 1)
            kin = chance((s,), 0.45, g) > 0
            actors[:, k] = torch.where(twin, like, torch.where(kin, near, actors[:, k]))
        return actors

    def _layer(
        self, k: int, window: str, actors: Tensor, disguise: list[Tensor], g: torch.Generator, background: Tensor
    ) -> Layer:
        """Layer ``k`` of all scenes at both instants; disguise: (s,) each, as ``camouflage`` gives them."""
        s, (low, high), (colour, heat, hidden) = len(actors), SCALES[window], disguise
        scale = torch.exp(uniform((s,), math.log(low), math.log(high), g))
        scale = torch.stack([scale, scale * torch.exp(0.22 * torch.randn(s, generator=g))], 1)
        first = uniform((s, 2), 0.15 * FRAME, 0.85 * FRAME, g)
        second = first + torch.randn(s, 2, generator=g) * 30
        outside = (second < 0.08 * FRAME) | (second > 0.92 * FRAME)
        second = torch.where(outside, uniform((s, 2), 0.12 * FRAME, 0.88 * FRAME, g), second)
        centre = torch.stack([first, second], 1).view(-1, 2)
        roll = 0.12 * torch.randn(s, generator=g) + chance((s,), 0.1, g) * uniform((s,), -1.5, 1.5, g)
        turn = 0.15 * torch.randn(s, generator=g) + chance((s,), 0.12, g) * uniform((s,), -1.5, 1.5, g)
        phase = torch.rand(s, 2, generator=g)
        gain = torch.exp(0.25 * torch.randn(s, 1, 1, generator=g) + 0.12 * torch.randn(s, 1, 3, generator=g))
        gain = (gain * torch.exp(0.06 * torch.randn(s, 2, 3, generator=g))).view(-1, 3)
        here = self._probe(background, centre)
        nearer = torch.exp(uniform((s,), 0.02, 0.25 + 0.12 * k, g) * (1 - hidden) + 0.01)
        warm = (0.15 * torch.randn(s, generator=g)).repeat_interleave(2)
        return Layer(
            actor=actors.repeat_interleave(2),
            phase=phase.view(-1),
            centre=centre,
            scale=scale.clamp(low * 0.8, high * 1.1).view(-1),
            angle=torch.stack([roll, roll + turn], 1).view(-1),
            bend=(chance((s,), 0.4, g) * uniform((s,), 0.0, 0.12, g)).repeat_interleave(2),
            ripple=uniform((s, 2), 0, 6.3, g).view(-1),
            gain=gain,
            mix=colour.repeat_interleave(2),
            heat=warm,
            thermal_mix=heat.repeat_interleave(2),
            inverse_depth=here * nearer.repeat_interleave(2),
            opacity=chance((s,), 0.85 if k else 1.0, g).repeat_interleave(2),
            window=window,
        )

    def _probe(self, background: Tensor, centre: Tensor) -> Tensor:
        """Inverse depth of the background under (N, 2) frame positions, on the CPU."""
        x, y = centre.clamp(0, FRAME - 1).long().unbind(1)
        rows = torch.arange(len(background), device=background.device)
        return background[rows, 4, y.to(background.device), x.to(background.device)].cpu()

    def _render(self, s: int, g: torch.Generator, wanted: Sequence[Modality]) -> tuple[Seen, Instants]:
        """What is seen at both instants, and the instants."""
        device = self.device
        canvas = torch.randint(0, self.num_canvases, (s,), generator=g).repeat_interleave(2)
        size = self._canvas.shape[-1]
        camera = torch.cat(
            [
                uniform((s, 1, 2), 0.25 * size, 0.75 * size, g) + 25 * torch.randn(s, 2, 2, generator=g),
                torch.exp(uniform((s, 1, 1), -1.2, 0.3, g) + 0.1 * torch.randn(s, 2, 1, generator=g)),
                0.1 * torch.randn(s, 1, 1, generator=g) + 0.1 * torch.randn(s, 2, 1, generator=g),
            ],
            2,
        ).view(-1, 4)
        shuffle = torch.stack([torch.randperm(3, generator=g) for _ in range(s)]).repeat_interleave(2, 0)
        power = torch.exp(0.35 * torch.randn(s, generator=g)).repeat_interleave(2)
        gain = torch.exp(0.4 * torch.randn(s, generator=g)).repeat_interleave(2)
        place = Place(*(x.to(device) for x in (canvas, camera, shuffle, power, gain)))
        background = place.background(self._canvas, FRAME)
        at, before, shake = self._layers(s, g, background)
        weather = random_weather(s, g, self.hard).repeat(2)
        weather = change_light(weather, torch.exp(0.2 * torch.randn(2 * s, generator=g)))
        for name in weather.__slots__:
            setattr(weather, name, getattr(weather, name).to(device))
        instants = Instants(place, at, before, shake[:, 0].repeat_interleave(2, 0).to(device), weather)
        return self._see(instants, background, 2, g, wanted), instants

    def _between(self, instants: Instants, s: int, g: torch.Generator, wanted: Sequence[Modality]) -> Seen:
        """What is seen at one instant between the two of every scene."""
        middle = instants.between(uniform((s,), 0.1, 0.9, g), torch.rand(s, len(instants.at), generator=g))
        return self._see(middle, middle.place.background(self._canvas, FRAME), 1, g, wanted)

    def _see(
        self, instants: Instants, background: Tensor, count: int, g: torch.Generator, wanted: Sequence[Modality]
    ) -> Seen:
        noise = torch.Generator(device=self.device).manual_seed(int(torch.randint(0, 2**31, (1,), generator=g)))
        images, fields = instants.see(self._canvas, background, self._troupe, wanted, noise)
        stack = torch.cat(images, 1)
        seen = (fields.seen / fields.area.clamp(min=1)).clamp(max=1) * (fields.area > 24)
        boxes = fields.boxes.clamp(0, FRAME)
        s = len(stack) // count
        return (
            stack.view(s, count, 3 * len(wanted), FRAME, FRAME),
            boxes.view(s, count, -1, 4),
            seen.view(s, count, -1),
        )

    # -- crops -------------------------------------------------------------------------------------------------------

    def _crop(
        self, views: Seen, third: Seen | None, batch: int, g: torch.Generator, its: torch.Generator,
        wanted: Sequence[Modality],
    ) -> Pairs:  # fmt: skip
        """g, its: generators of the pairs and of what belongs to the third instant."""
        images, boxes, seen = views
        s = images.shape[0]
        device = images.device
        size = boxes[..., 2:] - boxes[..., :2]
        usable = (seen.amin(1) > 0.35) & (size.amin((1, 3)) >= 5)  # (S, K)
        rank = torch.rand(usable.shape, generator=g).to(device) + usable.float() * 10 + seen.sum(1) * 0.2
        chosen = rank.topk(TARGETS, dim=1).indices  # (S, T)
        parts, memories = [], []
        backwards = images.flip(1)
        for t in range(TARGETS):
            pick = chosen[:, t : t + 1]
            target = _xywh(boxes.gather(2, pick.view(s, 1, 1, 1).expand(s, 2, 1, 4))[:, :, 0])  # (S, 2, 4)
            share = seen.gather(2, pick.view(s, 1, 1).expand(s, 2, 1))[..., 0] * usable.gather(1, pick)  # (S, 2)
            for way, at, of in ((images, target, share), (backwards, target.flip(1), share.flip(1))):
                *crops, wander = self._crop_target(way, at, of, g)
                parts.append(crops)
                if third is not None:
                    memories.append(self._crop_memory(third, pick, crops[0], wander, its))
        template, search, box, visible = (torch.cat([p[i] for p in parts])[:batch] for i in range(4))
        memory = torch.cat(memories)[:batch] if memories else None
        present = torch.ones(len(box), dtype=torch.bool, device=device)

        def split(crops: Tensor) -> dict[Modality, Tensor]:
            return {m: crops[:, 3 * i : 3 * i + 3] for i, m in enumerate(wanted)}

        return Pairs(
            template=split(template),
            search=split(search),
            box=box,
            visible=visible,
            present=dict.fromkeys(wanted, present),
            memory=None if memory is None else split(memory),
        )

    def _crop_memory(self, third: Seen, pick: Tensor, template: Tensor, wander: Tensor, its: torch.Generator) -> Tensor:
        """Second template of the picked layer (S, 1); the first one where it is unseen, which no tracker would keep."""
        images, boxes, seen = third
        s, device = len(images), images.device
        target = _xywh(boxes[:, 0].gather(1, pick.view(s, 1, 1).expand(s, 1, 4))[:, 0])  # (S, 4)
        size = target[:, 2:] * torch.exp(MEMORY_SCALE * torch.randn(s, 2, generator=its).clamp(-2, 2)).to(device)
        reach = MEMORY_SHIFT * target[:, 2:].prod(1, keepdim=True).sqrt()
        middle = target[:, :2] + target[:, 2:] / 2 + uniform((s, 2), -0.5, 0.5, its).to(device) * reach
        around = torch.cat([middle - size / 2, size], 1)
        crops = []
        for start in range(0, images.shape[2], 3):
            offset = wander if start else torch.zeros_like(wander)
            crop, _ = crop_batch(
                images[:, 0, start : start + 3], around + offset, self.template_factor, self.template_size
            )
            crops.append(crop)
        same = (chance((s,), SAME_MEMORY, its) > 0).to(device) | (seen[:, 0].gather(1, pick)[:, 0] <= 0.35)
        same = same | (target[:, 2:].amin(1) < 5)
        return torch.where(same.view(-1, 1, 1, 1), template, torch.cat(crops, 1))

    def _crop_target(
        self, images: Tensor, target: Tensor, share: Tensor, g: torch.Generator
    ) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Template and search crops around (S, 2, 4) xywh; jitter up to the published one (centre 3, scale 0.25).

        Last: (S, 4) by how much the second sensor looks past the first.
        """
        s, device = images.shape[0], images.device
        width = target[:, 1, 2:]
        jittered = width * torch.exp(0.25 * torch.randn(s, 2, generator=g).clamp(-2, 2)).to(device)
        reach = 3.0 * uniform((s, 1), 0.25, 1.0, g).to(device) * jittered.prod(1, keepdim=True).sqrt()
        shift = uniform((s, 2), -0.5, 0.5, g).to(device) * reach
        middle = target[:, 1, :2] + width / 2 + shift
        around = torch.cat([middle - jittered / 2, jittered], 1)
        elsewhere = (
            (chance((s,), self.absent, g) > 0).to(device) if s > 1 else torch.zeros(s, dtype=torch.bool, device=device)
        )
        wander = (self.misalignment * torch.randn(s, 2, generator=g)).to(device) * width.prod(1, keepdim=True).sqrt()
        now = torch.where(elsewhere.view(-1, 1, 1, 1), images[:, 1].roll(1, 0), images[:, 1])
        past = torch.cat([wander, torch.zeros_like(wander)], 1)
        template, search = [], []
        factor: Tensor | None = None
        for start in range(0, images.shape[2], 3):
            offset = past if start else torch.zeros_like(past)  # every sensor but the first looks past it
            crop, _ = crop_batch(
                images[:, 0, start : start + 3], target[:, 0] + offset, self.template_factor, self.template_size
            )
            template.append(crop)
            crop, resize = crop_batch(now[:, start : start + 3], around + offset, self.search_factor, self.search_size)
            search.append(crop)
            factor = resize if factor is None else factor
        assert factor is not None  # at least one sensor
        centred = box_to_crop(target[:, 1], around, factor, self.search_size)
        box = torch.cat([centred[:, :2] - centred[:, 2:] / 2, centred[:, 2:]], 1).float()
        visible = torch.where(elsewhere, torch.zeros_like(share[:, 1]), share[:, 1])
        return torch.cat(template, 1), torch.cat(search, 1), box, visible, past


def _xywh(corners: Tensor) -> Tensor:
    """(..., 4) xyxy -> xywh of at least 4 pixels."""
    return torch.cat([corners[..., :2], (corners[..., 2:] - corners[..., :2]).clamp(min=4)], -1)
