# SPDX-License-Identifier: Apache-2.0
"""NanoTrack v3's two networks: a MobileNetV3-small to stride 16, and a head that correlates template and search.

A light tracker with published weights (repository HonglinChu/SiamTrackers, Apache-2.0), rebuilt from its ONNX graphs;
here it is a part that other models can see with. Legend: B batch, C = 96 channels, X = 16 search cells along an edge.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

CHANNELS = 96
# expansion, channels out, kernel, stride, hidden width of squeeze-excitation (0: none), hard-swish instead of ReLU
BLOCKS = (
    (16, 16, 3, 2, 8, False),
    (72, 24, 3, 2, 0, False),
    (88, 24, 3, 1, 0, False),
    (96, 40, 5, 2, 24, True),
    (240, 40, 5, 1, 64, True),
    (240, 40, 5, 1, 64, True),
    (120, 48, 5, 1, 32, True),
    (144, 48, 5, 1, 40, True),
    (288, 96, 5, 1, 72, True),
)


class SqueezeExcite(nn.Module):
    """Channels (B, C, h, w) weighed by what their means say."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(channels, hidden)
        self.fc2 = nn.Linear(hidden, channels)

    def forward(self, x: Tensor) -> Tensor:
        share = F.hardsigmoid(self.fc2(F.relu(self.fc1(x.mean((2, 3))))))  # (B, C)
        return x * share[:, :, None, None]


class InvertedResidual(nn.Module):
    """MobileNetV3's block with batch norm folded into its convolutions."""

    def __init__(
        self, inside: int, expansion: int, out: int, kernel: int, stride: int, hidden: int, swish: bool
    ) -> None:
        super().__init__()
        self.expand = nn.Conv2d(inside, expansion, 1) if expansion != inside else None
        self.depthwise = nn.Conv2d(expansion, expansion, kernel, stride, kernel // 2, groups=expansion)
        self.squeeze = SqueezeExcite(expansion, hidden) if hidden else None
        self.project = nn.Conv2d(expansion, out, 1)
        self.swish, self.residual = swish, stride == 1 and inside == out

    def act(self, x: Tensor) -> Tensor:
        return F.hardswish(x) if self.swish else F.relu(x)

    def forward(self, x: Tensor) -> Tensor:
        y = x if self.expand is None else self.act(self.expand(x))
        y = self.depthwise(y)
        if self.expand is None:  # without an expansion the activation comes before the squeeze-excitation
            y = self.act(y)
        if self.squeeze is not None:
            y = self.squeeze(y)
        y = self.project(y if self.expand is None else self.act(y))
        return x + y if self.residual else y


class Backbone(nn.Module):
    """Images (B, 3, h, w), BGR in 0..255 -> features (B, 96, h / 16, w / 16)."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 16, 3, 2, 1)
        blocks, inside = [], 16
        for expansion, out, kernel, stride, hidden, swish in BLOCKS:
            blocks.append(InvertedResidual(inside, expansion, out, kernel, stride, hidden, swish))
            inside = out
        self.blocks = nn.Sequential(*blocks)

    def forward(self, image: Tensor) -> Tensor:
        out: Tensor = self.blocks(F.hardswish(self.first(image)))
        return out

    def of_rgb(self, image: Tensor) -> Tensor:
        """The same for images in RGB: the filters are turned and not the images, once for all in an exported graph."""
        first = self.first
        seen = F.conv2d(image, first.weight.flip(1), first.bias, first.stride, first.padding)
        out: Tensor = self.blocks(F.hardswish(seen))
        return out


class PixelCorrelation(nn.Module):
    """Every template cell against every search cell: (B, C, Z, Z), (B, C, X, X) -> (B, Z * Z, X - 1, X - 1)."""

    def __init__(self, cells: int) -> None:
        super().__init__()
        self.template = nn.Conv2d(CHANNELS, CHANNELS, 1)
        self.search = nn.Conv2d(CHANNELS, CHANNELS, 1)
        self.fc1, self.fc2 = nn.Conv2d(cells, cells, 1), nn.Conv2d(cells, cells, 1)
        self.depthwise = nn.Conv2d(cells, cells, 2, groups=cells)
        self.project = nn.Conv2d(cells, cells, 1)

    def forward(self, template: Tensor, search: Tensor) -> Tensor:
        z, x = self.template(template).flatten(2), self.search(search)
        y = (z.transpose(1, 2) @ x.flatten(2)).unflatten(2, x.shape[2:])  # (B, Z * Z, X, X)
        share = self.fc2(F.relu(self.fc1(y.mean((2, 3), keepdim=True)))).sigmoid()
        out: Tensor = self.project(F.relu6(self.depthwise(y * share)))
        return out


class DepthwiseCorrelation(nn.Module):
    """The template's middle as a filter, channel by channel: (B, C, k, k), (B, C, X, X) -> (B, C, X - 1, X - 1)."""

    def __init__(self) -> None:
        super().__init__()
        self.template = nn.Conv2d(CHANNELS, CHANNELS, 1)
        self.search = nn.Conv2d(CHANNELS, CHANNELS, 1)

    def forward(self, template: Tensor, search: Tensor) -> Tensor:
        z, x = self.template(template), self.search(search)
        x = F.pad(x, [z.shape[-1] // 2 - 1] * 4)
        # The products written out: a grouped convolution whose filters are the batch's own is slow to train through
        # and hard to export; 16 shifted products are neither.
        size = x.shape[-1] - z.shape[-1] + 1
        total = torch.zeros_like(x[:, :, :size, :size])
        for i in range(z.shape[2]):
            for j in range(z.shape[3]):
                total = total + x[:, :, i : i + size, j : j + size] * z[:, :, i : i + 1, j : j + 1]
        return total


class Tower(nn.Sequential):
    """Depthwise separable 3x3 convolutions, ReLU6 between."""

    def __init__(self, depth: int) -> None:
        layers: list[nn.Module] = []
        for _ in range(depth):
            layers += [
                nn.Conv2d(CHANNELS, CHANNELS, 3, 1, 1, groups=CHANNELS),
                nn.ReLU6(),
                nn.Conv2d(CHANNELS, CHANNELS, 1),
            ]
        super().__init__(*layers)


class Match(NamedTuple):
    """What the head says of every place: all (B, ., X - 1, X - 1).

    Attributes:
        classes: 2 logits, nothing and target.
        log_distances: 4, logarithms of the pixels of the crop from the place to the left, top, right and bottom of the
            box.
        class_features, box_features: 96 channels each, what the two were read from.
    """

    classes: Tensor
    log_distances: Tensor
    class_features: Tensor
    box_features: Tensor


class SiameseBranch(nn.Module):
    """One question to the pair: both correlations, joined, and a tower behind them."""

    def __init__(self, depth: int, out: int, cells: int) -> None:
        super().__init__()
        self.pixels, self.channels = PixelCorrelation(cells), DepthwiseCorrelation()
        self.join = nn.Conv2d(cells + CHANNELS, CHANNELS, 1)
        self.tower = Tower(depth)
        self.read = nn.Conv2d(CHANNELS, out, 1)

    def forward(self, template: Tensor, search: Tensor) -> tuple[Tensor, Tensor]:
        edge = template.shape[-1] // 4
        middle = template[:, :, edge : 3 * edge, edge : 3 * edge]
        both = torch.cat([self.pixels(template, search), self.channels(middle, search)], 1)
        features = self.tower(self.join(both))
        return self.read(features), features


class Head(nn.Module):
    """Template and search features (B, 96, Z, Z), (B, 96, X, X) -> ``Match``; as published Z = 8, X = 16."""

    def __init__(self, template_grid: int = 8) -> None:
        super().__init__()
        self.classes, self.box = (SiameseBranch(6, out, template_grid**2) for out in (2, 4))

    def forward(self, template: Tensor, search: Tensor) -> Match:
        classes, class_features = self.classes(template, search)
        log_distances, box_features = self.box(template, search)
        return Match(classes, log_distances, class_features, box_features)
