# SPDX-License-Identifier: Apache-2.0
"""A scripted model that looks for the template's colour, and clips of a coloured block: no trained weights needed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from modaltrack.frame import Frame, Modality
from modaltrack.models import Prediction
from modaltrack.vision import decode

RED, GREEN = (200, 30, 30), (30, 200, 30)


@dataclass(frozen=True)
class ColourConfig:
    modalities: tuple[Modality, ...] = tuple(Modality)
    template_size: int = 32
    search_size: int = 64
    template_factor: float = 2.0
    search_factor: float = 4.0
    stride: int = 8


class ColourModel:
    """Finds the colour at the template's centre; a modality's maps are averaged. ``calls`` lists what it was given."""

    def __init__(self, modalities: tuple[Modality, ...] = tuple(Modality)) -> None:
        self.config = ColourConfig(modalities)
        self.card: dict = {}
        self.calls: list[tuple[tuple[str, ...], int]] = []
        self.break_answer = False

    def __call__(self, template, search, present=None) -> Prediction:
        assert set(template) == set(search)
        self.calls.append((tuple(str(m) for m in search), len(next(iter(search.values())))))
        maps = [self._maps(template[m], search[m]) for m in search]
        score, size, offset = (torch.stack(parts).mean(0) for parts in zip(*maps))
        if self.break_answer:
            size = size * float("nan")
        return Prediction(score, size, offset, decode(score, size, offset)[0])

    def _maps(self, template, search) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        cells = self.config.search_size // self.config.stride
        colour = template[:, :, 14:18, 14:18].mean((2, 3), keepdim=True)
        match = ((search - colour).abs().amax(1) < 0.7).double()  # (B, S, S)
        mass = match.sum((1, 2)).clamp(min=1e-9)
        place = (torch.arange(search.shape[-1]).double() + 0.5) / search.shape[-1]
        score = torch.full((len(match), 1, cells, cells), 0.01)
        size, offset = torch.zeros(len(match), 2, cells, cells), torch.zeros(len(match), 2, cells, cells)
        for b in range(len(match)):
            if match[b].sum() < 4:
                continue
            line_x, line_y = match[b].sum(0) / mass[b], match[b].sum(1) / mass[b]
            x, y = (line_x * place).sum(), (line_y * place).sum()
            wide, high = (
                ((line_x * (place - x) ** 2).sum() * 12).sqrt(),
                ((line_y * (place - y) ** 2).sum() * 12).sqrt(),
            )
            column, row = int(x * cells), int(y * cells)
            score[b, 0, row, column] = 0.95
            size[b, 0], size[b, 1] = wide, high
            offset[b, 0], offset[b, 1] = x * cells - column, y * cells - row
        return score, size, offset


def block(box, colour=RED, height=120, width=160) -> np.ndarray:
    """A block of one colour on grey, uint8 (H, W, 3); no block where box is None."""
    image = np.full((height, width, 3), 110, np.uint8)
    if box is not None:
        x, y, w, h = (round(v) for v in box)
        image[max(y, 0) : y + h, max(x, 0) : x + w] = colour
    return image


def frame(index: int, box, *modalities: Modality, height=120, width=160) -> Frame:
    return Frame({m: block(box, RED if m == "rgb" else GREEN, height, width) for m in modalities}, index / 30, index)


def path(length: int, start=(60, 50, 20, 16), speed=(3, 2)) -> np.ndarray:
    x, y, w, h = start
    return np.array([(x + speed[0] * i, y + speed[1] * i, w, h) for i in range(length)], np.float64)
