# SPDX-License-Identifier: Apache-2.0
"""Instants of scenes, and what the sensors see at them: training renders two of each scene, or one more in between.

Shapes: N instants (rows: scene-major), K layers of actors, H x W pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from torch import Tensor

from modaltrack.frame import Modality
from modaltrack.scenes import sensors
from modaltrack.scenes.actors import Troupe
from modaltrack.scenes.compose import Fields, Layer, backdrop, compose


@dataclass(slots=True)
class Place:
    """The background of N instants; one canvas is many places: other channel order, contrast, and depth.

    Attributes:
        canvas: (N,) rows of the canvases.
        camera: (N, 4) as ``backdrop`` takes it.
        shuffle: (N, 3) order of the colours.
        power, gain: (N,) of colour and of inverse depth.
    """

    canvas: Tensor
    camera: Tensor
    shuffle: Tensor
    power: Tensor
    gain: Tensor

    def colours(self, canvases: Tensor, camera: Tensor, side: int) -> Tensor:
        """(N, 3, side, side) seen by a camera that may stand elsewhere."""
        return self._recolour(backdrop(canvases[:, :3], self.canvas, camera, side, side), side)

    def background(self, canvases: Tensor, side: int) -> Tensor:
        """(N, 5, side, side): colours, heat, inverse depth."""
        seen = backdrop(canvases, self.canvas, self.camera, side, side)
        seen[:, :3] = self._recolour(seen[:, :3], side)
        seen[:, 4] = (seen[:, 4] * self.gain.view(-1, 1, 1)).clamp(0.02, 2.5)
        return seen

    def _recolour(self, colours: Tensor, side: int) -> Tensor:
        shuffled = colours.gather(1, self.shuffle.view(-1, 3, 1, 1).expand(-1, -1, side, side))
        return shuffled ** self.power.view(-1, 1, 1, 1)


@dataclass(slots=True)
class Instants:
    """N instants.

    Attributes:
        at, before: the layers then and a moment earlier.
        shake: (N, 2) of the camera in that moment.
    """

    place: Place
    at: list[Layer]
    before: list[Layer]
    shake: Tensor
    weather: sensors.Weather

    def see(
        self, canvases: Tensor, background: Tensor, troupe: Troupe, wanted: Sequence[Modality], noise: torch.Generator
    ) -> tuple[list[Tensor], Fields]:
        """Images (N, 3, H, W) of the wanted sensors, in their order, and who is where."""
        seen = compose(background, self.at, troupe)
        weather = self.weather
        light = sensors.irradiance(seen.albedo, weather)
        images: list[Tensor] = []
        for modality in wanted:
            if modality is Modality.RGB:
                images.append(sensors.visible(light, seen.inverse_depth, weather, noise))
            elif modality is Modality.THERMAL:
                images.append(sensors.thermal(seen.heat, seen.inverse_depth, weather, noise))
            elif modality is Modality.DEPTH:
                millimetres = sensors.depth_millimetres(seen.inverse_depth, weather, noise)
                images.append(sensors.encode_depth(millimetres))
            elif modality is Modality.EVENT:
                camera = self.place.camera.clone()
                camera[:, :2] += self.shake * camera[:, 2:3]
                earlier = self.place.colours(canvases, camera, background.shape[-1])
                past = compose(earlier, self.before, troupe, masks=False)
                fired = sensors.event_counts(sensors.irradiance(past.albedo, weather), light, weather, noise)
                images.append(sensors.encode_events(fired))
        return images, seen

    def between(self, share: Tensor, phase: Tensor) -> Instants:
        """One instant of each scene, ``share`` (S,) of the way from its first to its second; for scenes of two.

        Args:
            phase: (S, K) of the actors' gaits, which repeat too fast for a way in between to mean anything.
        """

        def mixed(values: Tensor) -> Tensor:
            first, second = values[0::2], values[1::2]
            if not values.is_floating_point():
                return first
            return torch.lerp(first, second, share.view(-1, *[1] * (values.dim() - 1)).to(values))

        def moved(layers: list[Layer], lead: float) -> list[Layer]:
            mixed_layers = []
            for k, layer in enumerate(layers):
                tensors = {f.name: getattr(layer, f.name) for f in fields(layer) if f.name != "window"}
                changed: dict[str, Any] = {name: mixed(tensor) for name, tensor in tensors.items()}
                changed["phase"] = ((phase[:, k] + lead) % 1).to(layer.phase)
                mixed_layers.append(replace(layer, **changed))
            return mixed_layers

        place = Place(*(mixed(getattr(self.place, f.name)) for f in fields(self.place)))
        weather = sensors.Weather(*(mixed(getattr(self.weather, f.name)) for f in fields(self.weather)))
        return Instants(place, moved(self.at, 0.0), moved(self.before, 0.93), mixed(self.shake), weather)
