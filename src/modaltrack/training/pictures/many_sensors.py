# SPDX-License-Identifier: Apache-2.0
"""Pairs of pictures that several sensors see: simulated on photographs, rendered, and real stills of single sensors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch

from modaltrack.frame import Modality
from modaltrack.scenes.pairs import Pairs, PairSampler
from modaltrack.scenes.photo_objects import PhotoObject
from modaltrack.scenes.photo_world import World
from modaltrack.scenes.photographs import SIMULATED, simulate
from modaltrack.scenes.sensors import RENDERED
from modaltrack.training.pictures.compose import Canvas, Thing
from modaltrack.training.pictures.degrade import Degradation, degrade, draw_light, relight
from modaltrack.training.pictures.library import usable_frames
from modaltrack.training.pictures.records import LabelledClip
from modaltrack.training.pictures.sampler import Draft, Images, Pair, PicturePairs, stacked

HARD = 0.5  # 0..1, how often night, fog, crossover and failing sensors are met
ELSEWHERE = 99  # number of what a search crop without the target is around
OTHER_SENSORS = Degradation(low_resolution=0.25, motion=0.05, jpeg=0.1, noise=0.05)


class ManySensorPairs(PicturePairs):
    """Pairs of any sensors: ``sample(batch, step, modalities)``.

    A pair is composed as RGB and then seen by all sensors in one simulated world, before light and file spoil the
    images. Of real clips the event pictures come from the real motion. What several sensors really saw comes as it is,
    the sensors it lacks missing; so do stills of another sensor alone (thermal from a drone).
    """

    scenes: PairSampler | None = None  # made when first drawn from

    def sample(self, batch: int, step: int, modalities: Sequence[str] = ("rgb",)) -> Pairs:
        """``batch`` pairs; images as the trackers see them, float32 in 0..1."""
        sensors = [Modality(m) for m in modalities]
        count = 0 if set(sensors) - set(SIMULATED) else round(batch * self.shares.rendered)
        made = [self.of_sensors(np.random.default_rng((self.seed, step, i)), sensors) for i in range(batch - count)]
        pairs = stacked(made, modalities)
        return joined(pairs, self._rendered(count, step, sensors), sensors) if count else pairs

    def _rendered(self, count: int, step: int, sensors: Sequence[Modality]) -> Pairs:
        if self.scenes is None:
            sizes = self.template_size, self.search_size
            self.scenes = PairSampler(
                RENDERED, *sizes, self.seed, "cpu", self.template_factor, self.search_factor, stage_steps=1500
            )
        return self.scenes.sample(count, step, tuple(m for m in sensors if m in RENDERED))

    def of_sensors(self, random: np.random.Generator, sensors: Sequence[Modality]) -> Pair:
        """One pair."""
        invented = not set(sensors) - set(SIMULATED)  # else only what was really seen has all of them
        for _ in range(20):
            source = self.sources[int(random.choice(len(self.sources), p=self.chances))] if invented else "aligned"
            if source == "other_sensors":
                pair = self._alone(random, sensors)
            elif source == "aligned":
                pair = self._real(random, sensors)
            else:
                draft = self.of_clip(random) if source == "clips" else self.of_still(random, "pictures")
                pair = None if draft is None else self.seen(random, draft, sensors)
            if pair is not None:
                return pair
        raise ValueError("Twenty draws in a row gave no usable target: the boxes are too small or too slender.")

    def _alone(self, random: np.random.Generator, sensors: Sequence[Modality]) -> Pair | None:
        """A pair from a still of one sensor beside RGB; None where that is not one of ``sensors``."""
        picture = self.others[int(random.integers(len(self.others)))]
        sensor = next(iter(picture.files))
        things = self._things(picture, sensor) if sensor in sensors else []
        if not things:
            return None
        thing = things[int(random.integers(len(things)))]
        # no neighbours, backdrops or occluders: they are RGB; so the crop is black beyond the picture's edge
        pair = super().finish(random, self._plain(random, thing, thing))
        return Pair({sensor: pair.template[Modality.RGB]}, {sensor: pair.search[Modality.RGB]}, pair.box, pair.visible)

    def _real(self, random: np.random.Generator, sensors: Sequence[Modality]) -> Pair | None:
        """A pair as RGB and other sensors really saw it; None where that is none of ``sensors``."""
        if not self.aligned and not self.aligned_clips:
            raise ValueError(f"No picture or clip of the folders shows {' and '.join(sensors)} at once; add some.")
        number = int(random.integers(len(self.aligned) + len(self.aligned_clips)))
        if number < len(self.aligned):
            picture = self.aligned[number]
            things = self.library.things(picture, tuple(sensors))
            first = second = things[int(random.integers(len(things)))] if things else None
        else:
            clip = self.aligned_clips[number - len(self.aligned)]
            frames = usable_frames(clip)
            at = int(frames[random.integers(len(frames))])
            near = frames[np.abs(frames - at) <= self.how.gap]
            first, second = (self._frame(clip, i, sensors) for i in (at, int(near[random.integers(len(near))])))
        if first is None or second is None or len(first.images) < 2:
            return None
        draft = self._plain(random, first, second, still=first is second)
        return self._spoiled(random, draft.template.images, draft.search.images, draft)

    def _frame(self, clip: LabelledClip, number: int, sensors: Sequence[Modality]) -> Thing:
        """The target in one frame of a clip as these sensors see it."""
        files = {m: f[number] for m, f in clip.files.items() if m in sensors}
        return Thing({m: self.library.image(f, m, clip.depth_scale) for m, f in files.items()}, clip.boxes[number])

    def _plain(self, random: np.random.Generator, first: Thing, second: Thing, still: bool = True) -> Draft:
        """A draft without other pictures in it, which are RGB only: the crops are black beyond the picture's edge."""
        how = replace(self.how, fill_search=0, fill_template=0, transplant=0, neighbours=0, occluder=0, absent=0)
        return self.draft(random, first, second, still, how=how)

    def seen(self, random: np.random.Generator, draft: Draft, sensors: Sequence[Modality]) -> Pair:
        """A draft through these sensors."""
        world, sensors = World.draw(random, HARD), [m for m in sensors if m in SIMULATED]
        template = simulate(draft.template.images[Modality.RGB], objects_of(draft.template, 0), random, sensors, world)
        search = simulate(
            draft.search.images[Modality.RGB],
            objects_of(draft.search, 0 if draft.visible else ELSEWHERE),
            random,
            sensors,
            world,
            draft.moment_ago,
        )
        return self._spoiled(random, template, search, draft)

    def _spoiled(self, random: np.random.Generator, template: Images, search: Images, draft: Draft) -> Pair:
        """The pair after light, resolution, motion and file have changed it, each sensor by itself."""
        how = self.how.degradation
        light = draw_light(random, how)

        def spoil(images: Images, later: bool) -> Images:
            spoiled = {}
            for m, image in images.items():
                if m is Modality.RGB:
                    image = relight(image, light.near(random, how) if later else light)
                spoiled[m] = degrade(image, random, how if m is Modality.RGB else OTHER_SENSORS)
            return spoiled

        box = draft.search.shown[0].box / self.search_size
        return Pair(spoil(template, False), spoil(search, True), box, draft.visible)


def objects_of(canvas: Canvas, first: int) -> list[PhotoObject]:
    """What a crop shows, as the simulation takes it; the first one has the number ``first``."""
    return [
        PhotoObject(
            one.box,
            one.kind,
            None if one.alpha is None else np.float32(1 / 255) * one.alpha.astype(np.float32),
            first if i == 0 else 1 + i,
            one.mirrored,
        )
        for i, one in enumerate(canvas.shown)
    ]


def joined(a: Pairs, b: Pairs, sensors: Sequence[Modality]) -> Pairs:
    """Both, one after the other; a sensor that ``b`` has no images of is black there and marked missing."""

    def cat(
        first: Mapping[Modality, torch.Tensor], second: Mapping[Modality, torch.Tensor]
    ) -> dict[Modality, torch.Tensor]:
        like = next(iter(second.values()))
        return {m: torch.cat([first[m], second[m] if m in second else torch.zeros_like(like)]) for m in sensors}

    return Pairs(
        cat(a.template, b.template),
        cat(a.search, b.search),
        torch.cat([a.box, b.box]),
        torch.cat([a.visible, b.visible]),
        cat(a.present, b.present),
    )
