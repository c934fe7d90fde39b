# SPDX-License-Identifier: Apache-2.0
"""The conditions under which a photograph is seen again by simulated sensors: drawn once for a pair or a clip."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from modaltrack.frame import Modality

FAILURES = ("blind", "frozen", "shifted")
STYLES = ("accumulate", "pure", "signed")  # of event pictures; the first is ``event-accumulate``


@dataclass(frozen=True, slots=True)
class World:
    """Light, air, places and sensors of one scene; everything that template and search have in common.

    Attributes:
        seed: Of the temperatures and reliefs of surfaces and objects.
        light: Factor of the light that RGB gets, 1 = as photographed; below 0.3 it is night.
        fog: Extinction, 1/m.
        noise: Standard deviation of RGB noise, added where light or fog change the picture.
        thermal_contrast: How much objects differ from the air around them.
        crossover: 0..1, how far object 0 takes the temperature of the ground behind it.
        thermal_noise, thermal_blur, thermal_gain, thermal_invert: of the thermal camera; blur in pixels, invert 0 or 1.
        horizon: Row of the horizon as a share of the height, may be negative (camera looks down).
        near, wall: Distance in metres of the ground at the lowest row, and of what closes the scene.
        flatness: 0..1, how far object 0 sinks into the ground behind it (depth then does not show it).
        depth_noise: At 1 m, in metres. baseline: Pixels of shadow that 1/m of difference casts. holes: Share of edge
            pixels without reading. patches: Share of the picture in patches without reading.
        event_threshold: Step of log intensity that fires. event_noise: Share of pixels that fire by themselves.
        event_style: How event pictures are drawn; see ``STYLES``.
        camera, motion: Pixels by which the camera and object k move between the two instants of an event picture, at
            256 pixels of width; standard deviations.
        misalignment: Pixels by which a second sensor looks past RGB; standard deviation at 256 pixels.
        failures: Modality -> one of ``FAILURES``, or none.
    """

    seed: int
    light: float = 1.0
    fog: float = 0.0
    noise: float = 0.0
    thermal_contrast: float = 1.0
    crossover: float = 0.0
    thermal_noise: float = 0.01
    thermal_blur: float = 0.7
    thermal_gain: float = 1.0
    thermal_invert: float = 0.0
    horizon: float = 0.2
    near: float = 1.0
    wall: float = 6.0
    flatness: float = 0.0
    depth_noise: float = 0.003
    baseline: float = 20.0
    holes: float = 0.5
    patches: float = 0.0
    event_threshold: float = 0.2
    event_noise: float = 0.001
    event_style: str = "accumulate"
    camera: float = 1.0
    motion: float = 1.5
    misalignment: float = 1.0
    failures: Mapping[Modality, str] = field(default_factory=dict)

    @classmethod
    def draw(cls, rng: np.random.Generator, hard: float = 0.5) -> World:
        """Draw a world; hard 0..1: how often night, fog, crossover, holes and failing sensors are met.

        Never do more than one of two sensors fail outright, and an object hides from one sensor at most.
        """
        night, foggy = rng.random() < 0.04 + 0.2 * hard, rng.random() < 0.03 + 0.12 * hard
        hidden = rng.choice(["", "heat", "depth"], p=[1 - 0.3 * hard - 0.1, 0.15 * hard + 0.05, 0.15 * hard + 0.05])
        failures = {}
        if rng.random() < 0.12 * hard:
            failures[list(Modality)[int(rng.integers(4))]] = FAILURES[int(rng.integers(3))]
        return cls(
            seed=int(rng.integers(2**31)),
            light=float(np.exp(rng.uniform(np.log(0.02), np.log(0.3)))) if night else 1.0,
            fog=float(np.exp(rng.uniform(-3.5, -1.0))) if foggy else 0.0,
            noise=float(rng.uniform(0.005, 0.05) if night else rng.uniform(0.0, 0.012)),
            thermal_contrast=float(rng.uniform(0.5, 1.3)),
            crossover=float(rng.uniform(0.75, 1.0)) if hidden == "heat" else float(0.4 * rng.random() ** 3),
            thermal_noise=float(np.exp(rng.uniform(-6.0, -3.6))),
            thermal_blur=float(rng.uniform(0.3, 1.6)),
            thermal_gain=float(rng.uniform(0.7, 1.25)),
            thermal_invert=float(rng.random() < 0.08),
            horizon=float(rng.uniform(-0.6, 0.45)),
            near=float(np.exp(rng.uniform(np.log(0.4), np.log(4.0)))),
            wall=float(np.exp(rng.uniform(np.log(1.5), np.log(14.0)))),
            flatness=float(rng.uniform(0.85, 1.0)) if hidden == "depth" else float(0.5 * rng.random() ** 4),
            depth_noise=float(np.exp(rng.uniform(-7.0, -4.2))),
            baseline=float(rng.uniform(0, 40) if rng.random() < 0.7 else 0.0),
            holes=float(rng.uniform(0, 0.9)),
            patches=float(rng.uniform(0.02, 0.35) if rng.random() < 0.3 else 0.0),
            event_threshold=float(rng.uniform(0.1, 0.4)),
            event_noise=float(np.exp(rng.uniform(-9.0, -4.2 + hard))),
            event_style=str(rng.choice(STYLES, p=[0.7, 0.1, 0.2])),
            camera=float(rng.uniform(0, 2.0) if rng.random() < 0.7 else 0.0),
            motion=float(rng.uniform(0.3, 4.0) if rng.random() < 0.85 else 0.0),
            misalignment=float(rng.uniform(0, 2.0)),
            failures=failures,
        )

    def of(self, *key: int) -> np.random.Generator:
        """Random numbers that belong to one thing of this world, for example object 3: always the same."""
        return np.random.default_rng((self.seed, *key))
