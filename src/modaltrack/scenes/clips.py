# SPDX-License-Identifier: Apache-2.0
"""Whole clips of the synthetic world: one target on its way, seen by four cameras, with truth and attributes.

A clip is a function of its seed. Trajectories are drawn for the whole length at once; pictures are rendered a few
frames at a time when they are asked for, so a long clip needs no more memory than a short one. Shapes: T frames, K
actors.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import overload

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from modaltrack.frame import Clip, Frame, Modality
from modaltrack.scenes import sensors
from modaltrack.scenes.compose import backdrop, compose
from modaltrack.scenes.story import Script, layers_at, write_script

VERSION = "scenes-1"
CHUNK = 8  # frames rendered together
FPS = 30.0


class _Frames(Sequence[Frame]):
    """The pictures of a clip, rendered CHUNK frames at a time; only the last chunk is kept."""

    def __init__(
        self, script: Script, seed: int, length: int, size: tuple[int, int], modalities: tuple[Modality, ...]
    ) -> None:
        self._script, self._seed, self._length = script, seed, length
        (self._height, self._width), self._modalities = size, modalities
        self._chunk: tuple[int, list[Frame]] | None = None

    def __len__(self) -> int:
        return self._length

    @overload
    def __getitem__(self, index: int) -> Frame: ...
    @overload
    def __getitem__(self, index: slice) -> list[Frame]: ...
    def __getitem__(self, index: int | slice) -> Frame | list[Frame]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(self._length))]
        if index < 0:
            index += self._length
        if not 0 <= index < self._length:
            raise IndexError(f"The clip has {self._length} frames and frame {index} was asked for.")
        number = index // CHUNK
        if self._chunk is None or self._chunk[0] != number:
            self._chunk = (number, self._render(number))
        return self._chunk[1][index % CHUNK]

    def __iter__(self) -> Iterator[Frame]:
        return (self[i] for i in range(self._length))

    @torch.no_grad()
    def _render(self, number: int) -> list[Frame]:
        script, height, width = self._script, self._height, self._width
        rows = torch.arange(number * CHUNK, min((number + 1) * CHUNK, self._length)).float()
        noise = torch.Generator().manual_seed(self._seed * 100_003 + number)
        n = len(rows)
        first = torch.zeros(n, dtype=torch.long)
        background = backdrop(script.canvas, first, script.camera[rows.long()], height, width)
        fields = compose(background, layers_at(script, rows, height, width, background), script.troupe, masks=False)
        weather = script.weather.repeat(n)
        still = sensors.irradiance(fields.albedo, weather)
        weather.light = weather.light * script.exposure[rows.long()]
        made: dict[Modality, Tensor] = {}
        for modality in self._modalities:
            if modality is Modality.RGB:
                made[modality] = sensors.visible(still, fields.inverse_depth, weather, noise)
            elif modality is Modality.THERMAL:
                made[modality] = sensors.thermal(fields.heat, fields.inverse_depth, weather, noise)
            elif modality is Modality.DEPTH:
                millimetres = sensors.depth_millimetres(fields.inverse_depth, weather, noise)
                made[modality] = sensors.encode_depth(millimetres)
            elif modality is Modality.EVENT:
                earlier = rows - 0.75  # before the first frame the motion is continued backwards
                index = earlier.floor().long().clamp(min=0)
                following = (index + 1).clamp(max=self._length - 1)
                camera = torch.lerp(script.camera[index], script.camera[following], (earlier - index).unsqueeze(1))
                ground = backdrop(script.canvas[:, :3], first, camera, height, width)
                past = compose(ground, layers_at(script, earlier, height, width, None), script.troupe, masks=False)
                # A lamp that goes on or off is seen by the event camera as well.
                before = sensors.irradiance(past.albedo, weather) * script.exposure[index].view(-1, 1, 1, 1)
                after = still * script.exposure[rows.long()].view(-1, 1, 1, 1)
                made[modality] = sensors.encode_events(sensors.event_counts(before, after, weather, noise))
        pictures = {
            m: image.clamp(0, 1).mul(255).round().to(torch.uint8).permute(0, 2, 3, 1).contiguous().numpy()
            for m, image in made.items()
        }
        start = number * CHUNK
        return [
            Frame({m: picture[i] for m, picture in pictures.items()}, (start + i) / FPS, start + i) for i in range(n)
        ]


def clip(
    seed: int,
    length: int = 80,
    size: tuple[int, int] = (240, 320),
    hard: bool = False,
    modalities: Sequence[Modality | str] = sensors.RENDERED,
    name: str | None = None,
) -> Clip:
    """Make one clip of the synthetic world; the same arguments give the same clip.

    The true boxes are the target's extent inside the image as if nothing hid it, ``nan`` where less than 10 % of it is
    in the image or it is hidden altogether; ``visible`` is the share of it that can be seen.

    Args:
        length: frames, at 30 per second.
        size: height and width in pixels (at least 128).
        hard: three to five challenges at once instead of at most one.

    Raises:
        ValueError: for a size or length that is too small.
    """
    height, width = size
    if length < 1 or min(size) < 128:
        raise ValueError(
            f"A clip of {length} frames of {height}x{width} pixels was asked for; give at least 1 frame and 128 pixels."
        )
    script, what = write_script(seed, length, height, width, hard)
    boxes, visible = _truth(script, length, height, width)
    # A target that starts hidden cannot be given as a box: take another seed, so that every clip can be tracked.
    if np.isnan(boxes[0]).any() or visible[0] < 0.7 or np.nanmin(boxes[:, 2:].min(1)) < 5:
        again = clip(seed + 7_777_777, length, size, hard, modalities, name or f"{'hard' if hard else 'easy'}-{seed}")
        return again
    wanted = sensors.rendered(modalities)
    return Clip(
        name=name or f"{'hard' if hard else 'easy'}-{seed}",
        frames=_Frames(script, seed, length, size, wanted),
        boxes=boxes,
        visible=visible,
        attributes=frozenset(_attributes(what, boxes, visible, script)),
        fps=FPS,
    )


@torch.no_grad()
def _truth(script: Script, length: int, height: int, width: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    boxes, shares = [], []
    for start in range(0, length, CHUNK):
        rows = torch.arange(start, min(start + CHUNK, length)).float()
        blank = torch.zeros(len(rows), 3, height, width)  # owners and boxes do not depend on the ground
        fields = compose(blank, layers_at(script, rows, height, width, None), script.troupe)
        boxes.append(fields.boxes[:, script.target])
        shares.append(fields.seen[:, script.target] / fields.area[:, script.target].clamp(min=1))
    xyxy = torch.cat(boxes).double().numpy()
    visible = torch.cat(shares).clamp(0, 1).double().numpy()
    box = np.concatenate([xyxy[:, :2], xyxy[:, 2:] - xyxy[:, :2]], 1)
    box[(visible < 0.05) | (box[:, 2:].min(1) < 2)] = np.nan
    return box, visible


def _attributes(what: set[str], boxes: NDArray[np.float64], visible: NDArray[np.float64], script: Script) -> set[str]:
    """Names as LasHeR and VisEvent use them; those about occlusion, motion and scale are read off the truth."""
    names = what - {"occlusion"}
    seen = visible[~np.isnan(boxes[:, 0])]
    if np.isnan(boxes[:, 0]).any() or seen.min() < 0.15:
        names.add("total occlusion")
    if ((seen > 0.15) & (seen < 0.8)).any():
        names.add("partial occlusion")
    if not names & {"total occlusion", "partial occlusion"}:
        names.add("no occlusion")
    centre = boxes[:, :2] + boxes[:, 2:] / 2
    step = np.linalg.norm(np.diff(centre, axis=0), axis=1) / np.sqrt(np.prod(boxes[1:, 2:], 1))
    if np.nanmax(step, initial=0.0) > 0.4:
        names.add("fast motion")
    area = np.prod(boxes[:, 2:], 1)
    ratio = np.sqrt(area / area[0])
    if np.nanmax(ratio) > 1.5 or np.nanmin(ratio) < 0.67:
        names.add("scale variation")
    aspect = boxes[:, 2] / boxes[:, 3]
    if np.nanmax(aspect / aspect[0]) > 1.5 or np.nanmin(aspect / aspect[0]) < 0.67:
        names.add("aspect ratio change")
    if np.nanmedian(area) < 400:
        names.add("low resolution")
    return names


class SceneBenchmark(Sequence[Clip]):
    """A fixed list of clips, made when asked for. ``version`` changes whenever one of its pixels would."""

    version = VERSION

    def __init__(self, seeds: Sequence[tuple[int, bool]], length: int, split: str) -> None:
        self._seeds, self._length, self.split = tuple(seeds), length, split

    def __repr__(self) -> str:
        return f"Benchmark({self.split}, {len(self)} clips of {self._length} frames)"

    def __len__(self) -> int:
        return len(self._seeds)

    @overload
    def __getitem__(self, index: int) -> Clip: ...
    @overload
    def __getitem__(self, index: slice) -> list[Clip]: ...
    def __getitem__(self, index: int | slice) -> Clip | list[Clip]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        seed, hard = self._seeds[index]
        return clip(seed, self._length, hard=hard)


def benchmark(seed: int = 0, split: str = "test", clips: int = 40, length: int = 60) -> SceneBenchmark:
    """The synthetic benchmark: ``clips`` clips of 240x320, the first half easy, the second half hard.

    Args:
        split: "test" (never to be trained or tuned on) or "validation". Training pairs come from other seeds than both.

    Raises:
        ValueError: for another split.
    """
    if split not in ("test", "validation"):
        raise ValueError(f"The benchmark has the splits 'test' and 'validation' and {split!r} was asked for.")
    base = 10_000_000 + seed * 100_000 + (50_000 if split == "validation" else 0)
    half = clips // 2
    return SceneBenchmark([(base + i, i >= half) for i in range(clips)], length, split)
