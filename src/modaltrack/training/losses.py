# SPDX-License-Identifier: Apache-2.0
"""What the trackers of this family are trained with: GIoU and L1 on the box, a focal loss on the score map.

Source: docs/methods/ostrack.md 5, checked against the published implementation's numbers. Legend: B batch, H x W grid.
"""

from __future__ import annotations

import torch
from torch import Tensor

from modaltrack.boxes import cxcywh_to_xyxy, giou, xywh_to_cxcywh, xywh_to_xyxy, xyxy_to_xywh
from modaltrack.models.prediction import Prediction

GIOU_WEIGHT, L1_WEIGHT, FOCAL_WEIGHT = 2.0, 5.0, 1.0


def box_losses(
    prediction: Prediction, target_xywh: Tensor, visible: Tensor | None = None, box_at: str = "peak"
) -> dict[str, Tensor]:
    """Scalars ``giou``, ``l1``, ``focal`` and ``total`` = 2 giou + 5 l1 + focal, float32.

    target_xywh (B, 4) in 0..1 of the search crop. visible (B,) [ours]: a sample with 0 has no target: its box terms are
    off and its heat map is all zero; values between weigh the box terms.

    Args:
        box_at: "peak" reads the predicted box at the highest score (published), "target" where the target's centre is
            ([ours]; teaches the box before the peak is found).
    """
    if tuple(target_xywh.shape) != (prediction.boxes.shape[0], 4):
        raise ValueError(
            f"The targets have the shape {tuple(target_xywh.shape)}; expected ({prediction.boxes.shape[0]}, 4)."
        )
    target = target_xywh.to(prediction.boxes.device, torch.float32)
    if visible is None:
        weight = torch.ones_like(target[:, 0])
    else:
        weight = visible.to(target)
        # an absent target is a row of nan; any box will do in its place, since its weight is 0
        target = torch.where(weight[:, None] > 0, target, 0.5)
    if box_at == "peak":
        boxes = prediction.boxes
    elif box_at == "target":
        boxes = _boxes_at_target(prediction, target)
    else:
        raise ValueError(f'box_at is {box_at!r}; expected "peak" or "target".')
    predicted = cxcywh_to_xyxy(boxes.float())
    wanted = xywh_to_xyxy(target).clamp(0, 1)
    share = weight / weight.sum().clamp(min=1e-6)
    overlap = giou(xyxy_to_xywh(predicted), xyxy_to_xywh(wanted))  # (B,)
    losses = {
        "giou": ((1 - overlap) * share).sum(),
        "l1": ((predicted - wanted).abs().mean(1) * share).sum(),
        "focal": focal_loss(
            prediction.score_map, heat_map(target, prediction.score_map.shape[-1]) * (weight > 0)[:, None, None, None]
        ),
    }
    total = GIOU_WEIGHT * losses["giou"] + L1_WEIGHT * losses["l1"] + FOCAL_WEIGHT * losses["focal"]
    return losses | {"total": total}


def focal_loss(score_map: Tensor, heat: Tensor) -> Tensor:
    """CenterNet's focal loss with alpha 2 and beta 4, per cell that is exactly 1 in ``heat``; both (B, 1, H, W)."""
    score = score_map.float()
    peak = heat == 1
    hit = torch.where(peak, score.log() * (1 - score) ** 2, 0)
    miss = torch.where(peak, 0, (1 - score).log() * score**2 * (1 - heat) ** 4)
    return -(hit.sum() + miss.sum()) / peak.sum().clamp(min=1)


def heat_map(target_xywh: Tensor, grid: int) -> Tensor:
    """Gaussians (B, 1, grid, grid) with value 1 at the rounded centres of boxes (B, 4) in 0..1.

    sigma = (2 r + 1) / 6 and zero farther than r cells along an axis, r the radius of ``gaussian_radius`` cut to whole
    cells. A centre in the outermost half cell belongs to the last cell [ours].
    """
    box = target_xywh.float() * grid
    centre = centre_cell(target_xywh, grid)  # (B, 2) x, y
    radius = gaussian_radius(box[:, 2:]).clamp(min=0).floor()[:, None, None]  # (B, 1, 1)
    cells = torch.arange(grid, device=box.device)
    dx = (cells[None, None, :] - centre[:, 0, None, None]).abs()  # (B, 1, W)
    dy = (cells[None, :, None] - centre[:, 1, None, None]).abs()  # (B, H, 1)
    sigma = (2 * radius + 1) / 6
    heat = torch.exp(-(dx**2 + dy**2) / (2 * sigma**2))
    return torch.where((dx <= radius) & (dy <= radius), heat, 0)[:, None]


def centre_cell(target_xywh: Tensor, grid: int) -> Tensor:
    """Column and row (B, 2) of the cell whose index is nearest to the centre, halves to the even one."""
    centre = xywh_to_cxcywh(target_xywh.float())[:, :2] * grid
    return centre.round().clamp(0, grid - 1).long()


def gaussian_radius(size: Tensor, overlap: float = 0.7) -> Tensor:
    """CornerNet's radius (B,) for widths and heights (B, 2) in cells, in its well-known form.

    That form divides every root by 2 instead of by 2 a; it is kept because the published models learned with it.
    """
    width, height = size.unbind(1)
    area, edges = width * height, width + height
    cases = (
        (1.0, edges, area * (1 - overlap) / (1 + overlap)),
        (4.0, 2 * edges, (1 - overlap) * area),
        (4 * overlap, -2 * overlap * edges, (overlap - 1) * area),
    )
    roots = [(b + (b**2 - 4 * a * c).clamp(min=0).sqrt()) / 2 for a, b, c in cases]
    return torch.stack(roots).amin(0)


def _boxes_at_target(prediction: Prediction, target_xywh: Tensor) -> Tensor:
    """The predicted boxes (B, 4) cxcywh at the cells of the targets' centres."""
    grid = prediction.score_map.shape[-1]
    cell = centre_cell(target_xywh, grid)
    at = (cell[:, 1] * grid + cell[:, 0])[:, None, None].expand(-1, 2, 1)
    offset = prediction.offset_map.flatten(2).gather(2, at)[:, :, 0]
    size = prediction.size_map.flatten(2).gather(2, at)[:, :, 0]
    return torch.cat([(cell + offset) / grid, size], 1)
