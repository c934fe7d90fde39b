# SPDX-License-Identifier: Apache-2.0
"""Put actors in front of a background: from scene parameters to the physical fields that every sensor reads.

Shapes: N rendered instants (frames of one clip, or one instant of N scenes), K layers of actors painted from far to
near, H × W pixels. Everything is batched over N and runs on any device.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from modaltrack.scenes.actors import NUM_PHASES, Troupe

# Layers come in three window sizes (pixels, at the reference frame of 192): far actors are small, near ones large.
WINDOWS = {"small": (40, 1), "medium": (68, 0), "large": (116, 0)}  # name -> (window, sprite resolution)


@dataclass(slots=True)
class Layer:
    """One actor per instant.

    All tensors have N rows.

    Attributes:
        actor: index into the troupe.
        phase: 0..1.
        centre: (N, 2) pixels.
        scale: half side of the sprite square, pixels.
        angle: radians.
        bend, ripple: non-rigid deformation.
        gain: (N, 3) colour factor.
        mix: 0..1, how far the colours go to those of the background under it (camouflage).
        heat: offset of temperature.
        thermal_mix: crossover, 0..1.
        inverse_depth: 1/m of the actor's plane.
        opacity: 0 hides the actor altogether.
    """

    actor: Tensor
    phase: Tensor
    centre: Tensor
    scale: Tensor
    angle: Tensor
    bend: Tensor
    ripple: Tensor
    gain: Tensor
    mix: Tensor
    heat: Tensor
    thermal_mix: Tensor
    inverse_depth: Tensor
    opacity: Tensor
    window: str


@dataclass(slots=True)
class Fields:
    """What the sensors read, and who is where.

    albedo (N, 3, H, W), heat (N, 1, H, W), inverse_depth (N, 1, H, W); owner (N, H, W) int16: topmost layer, -1 = none.

    Attributes:
        boxes: (N, K, 4) xyxy of what of each actor lies in the frame, as if nothing hid it.
        area: (N, K) pixels of the whole actor, in the frame or not.
        seen: (N, K) its pixels in the frame that nothing hides.
    """

    values: Tensor
    owner: Tensor
    boxes: Tensor
    area: Tensor
    seen: Tensor

    @property
    def albedo(self) -> Tensor:
        return self.values[:, :3]

    @property
    def heat(self) -> Tensor:
        return self.values[:, 3:4]

    @property
    def inverse_depth(self) -> Tensor:
        return self.values[:, 4:5]


def backdrop(canvas: Tensor, index: Tensor, camera: Tensor, height: int, width: int) -> Tensor:
    """What the camera sees of its canvas: (N, C, H, W).

    Args:
        canvas: (M, C, S, S).
        index: (N,) canvas of each instant.
        camera: (N, 4) centre x, y in canvas pixels, zoom (canvas pixels per frame pixel) and roll in radians. Outside
            the canvas the picture is mirrored.
    """
    size = canvas.shape[-1]
    device = canvas.device
    y = torch.arange(height, device=device).view(1, -1, 1) - (height - 1) / 2
    x = torch.arange(width, device=device).view(1, 1, -1) - (width - 1) / 2
    zoom, roll = camera[:, 2].view(-1, 1, 1), camera[:, 3].view(-1, 1, 1)
    cos, sin = torch.cos(roll) * zoom, torch.sin(roll) * zoom
    grid = torch.stack(
        [
            (cos * x - sin * y + camera[:, 0].view(-1, 1, 1)) * (2 / size) - 1,
            (sin * x + cos * y + camera[:, 1].view(-1, 1, 1)) * (2 / size) - 1,
        ],
        -1,
    )
    # A run of instants in one place shares the canvas: no copy of it per instant.
    places, counts = torch.unique_consecutive(index.cpu(), return_counts=True)
    parts, start = [], 0
    for place, count in zip(places.tolist(), counts.tolist()):
        view = canvas[place].unsqueeze(0).expand(count, -1, -1, -1)
        part = grid[start : start + count]
        parts.append(F.grid_sample(view, part, padding_mode="reflection", align_corners=False))
        start += count
    return torch.cat(parts)


def compose(background: Tensor, layers: list[Layer], troupe: Troupe, masks: bool = True) -> Fields:
    """Paint `layers` (far to near) over `background` (N, C, H, W); C = 5, or 3 for the albedo alone.

    With masks=False only the values are made. An actor's window is shifted to lie inside the frame, where it still
    covers all of the actor that the frame shows.
    """
    n, channels, height, width = background.shape
    device = background.device
    # One row a pixel, so that a window is a set of rows.
    values = background.permute(0, 2, 3, 1).reshape(n * height * width, channels).contiguous()
    owner = torch.full((n * height * width,), -1, dtype=torch.int16, device=device) if masks else None
    boxes = torch.zeros(n, len(layers), 4, device=device)
    area = torch.zeros(n, len(layers), device=device)
    base = (torch.arange(n, device=device) * (height * width)).view(-1, 1, 1)
    for k, layer in enumerate(layers):
        nominal, level = WINDOWS[layer.window]
        window = min(nominal, height, width)
        line = torch.arange(window, device=device)
        room = torch.tensor([width - window, height - window], device=device)
        corner = (layer.centre - window / 2).round().long().clamp(min=0).minimum(room)  # (N, 2)
        columns, rows = (corner[:, i : i + 1] + line for i in (0, 1))  # (N, w)
        scale = layer.scale.view(-1, 1, 1)
        cos, sin = torch.cos(layer.angle).view(-1, 1, 1) / scale, torch.sin(layer.angle).view(-1, 1, 1) / scale
        x = (columns - layer.centre[:, :1]).unsqueeze(1)  # (N, 1, w)
        y = (rows - layer.centre[:, 1:]).unsqueeze(2)  # (N, w, 1)
        u, v = cos * x + sin * y, cos * y - sin * x
        bend, ripple = layer.bend.view(-1, 1, 1), layer.ripple.view(-1, 1, 1)
        grid = torch.stack([u + bend * torch.sin(2.5 * v + ripple), v + bend * torch.cos(2.5 * u + ripple)], -1)
        picture = layer.actor * NUM_PHASES + (layer.phase * NUM_PHASES).long() % NUM_PHASES
        sprite = F.grid_sample(troupe.sprites[level][picture].float(), grid, align_corners=False)  # (N, 6, w, w)
        sprite *= layer.opacity.view(-1, 1, 1, 1)
        sprite = sprite.flatten(2).transpose(1, 2)  # (N, w², 6)
        colours, a = sprite[..., :channels], sprite[..., 5:]
        at = (base + rows.unsqueeze(2) * width + columns.unsqueeze(1)).view(-1)
        under = values.index_select(0, at).view(n, window * window, channels)
        factor, offset = _adapt(layer, colours, a, under)
        values.index_copy_(0, at, torch.addcmul(under * (1 - a) + a * offset, colours, factor).view(-1, channels))
        if owner is not None:
            solid = a.view(n, window, window) > 0.5
            owner[at[solid.view(-1)]] = k
            boxes[:, k] = _bounds(solid, corner)
            full = troupe.solid[picture] * layer.scale**2 * layer.opacity
            area[:, k] = torch.maximum(solid.sum((1, 2)).float(), full)
    values = values.view(n, height, width, channels).permute(0, 3, 1, 2).contiguous()
    values[:, :3].clamp_(0.0, 1.0)
    values[:, 3:4].clamp_(0.0, 1.3)  # empty where only the albedo was asked for
    if owner is None:
        empty = torch.empty(0, device=device)
        return Fields(values, empty, boxes, area, empty)
    owner = owner.view(n, height, width)
    seen = torch.stack([(owner == k).sum((1, 2)) for k in range(len(layers))], 1).float()
    return Fields(values, owner, boxes, area, seen)


def _adapt(layer: Layer, colours: Tensor, a: Tensor, under: Tensor) -> tuple[Tensor, Tensor]:
    """What happens to an actor's own fields: painted = colours · factor + alpha · offset, both (N, 1, C).

    Camouflage pulls the mean colour (and crossover the mean heat) to that of the ground under the actor and halves
    the actor's own contrast; depth becomes that of the actor's plane with up to 6 % relief.
    """
    total = a.sum(1, keepdim=True).clamp(min=1)
    local, own = (under * a).sum(1, keepdim=True) / total, colours.sum(1, keepdim=True) / total  # (N, 1, C)
    factor, offset = torch.ones_like(own), torch.zeros_like(own)
    mix = layer.mix.view(-1, 1, 1)
    gain = layer.gain.unsqueeze(1)
    factor[..., :3] = gain * (1 - 0.4 * mix)
    offset[..., :3] = (local[..., :3] - own[..., :3] * gain * 0.6) * mix
    if colours.shape[-1] == 5:
        crossover = layer.thermal_mix.view(-1, 1)
        factor[..., 3] = 1 - 0.5 * crossover
        offset[..., 3] = (local[..., 3] - 0.5 * own[..., 3]) * crossover + layer.heat.view(-1, 1) * (1 - crossover)
        factor[..., 4] = 0.06 * layer.inverse_depth.view(-1, 1)
        offset[..., 4] = layer.inverse_depth.view(-1, 1)
    return factor, offset


def _bounds(solid: Tensor, corner: Tensor) -> Tensor:
    """(N, 4) x0, y0, x1, y1 in frame pixels of the true pixels of (N, w, w); zeros where there are none."""
    window = solid.shape[-1]
    across, down = solid.any(1).float(), solid.any(2).float()
    x0, x1 = across.argmax(1), window - across.flip(1).argmax(1)
    y0, y1 = down.argmax(1), window - down.flip(1).argmax(1)
    box = torch.stack([x0, y0, x1, y1], 1) + corner.repeat(1, 2)
    return box.float() * solid.flatten(1).any(1).unsqueeze(1)
