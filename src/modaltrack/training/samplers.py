# SPDX-License-Identifier: Apache-2.0
"""Where a recipe's pairs come from: rendered scenes, benchmarks as downloaded, or a user's own pictures and clips."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, replace
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from modaltrack.training.recipe import Recipe

if TYPE_CHECKING:
    from modaltrack.scenes.pairs import Pairs
    from modaltrack.training.pictures.compose import Composition
    from modaltrack.training.pictures.records import Contents

log = logging.getLogger(__name__)


class Sampler(Protocol):
    """Draws pairs of some sensors; the answer depends only on how it was built and on the arguments."""

    def sample(self, batch: int, step: int, modalities: Sequence[str]) -> Pairs: ...


class PairRequest(NamedTuple):
    """What a run asks of its sampler.

    Attributes:
        modalities: Sensors that may be drawn.
        template_size, search_size: Sides of the crops, pixels.
        seed: With the arguments of ``sample``, decides everything.
        device: Where scenes are rendered.
        calls: Draws per training step.
        template_factor, search_factor: Sides of the crops in target sizes.
    """

    modalities: tuple[str, ...]
    template_size: int
    search_size: int
    seed: int
    device: str
    calls: int
    template_factor: float = 2.0
    search_factor: float = 4.0


SamplerBuilder = Callable[[PairRequest], Sampler]

CAST_STEPS = 250  # training steps for which the scenes keep one cast of actors; drawing a new one costs seconds
OF_SCENES = ("centre_jitter", "scale_jitter", "misalign_pixels")  # augmentations that they do not take


def scenes_sampler(asked: PairRequest, recipe: Recipe) -> Sampler:
    """The sampler of the synthetic scenes, with the recipe's augmentations on top; none of the published ones is on.

    Raises:
        ValueError: The recipe asks for an augmentation that rendered pairs cannot have.
    """
    from modaltrack.scenes.pairs import PairSampler
    from modaltrack.training.augment import UNCHANGED, AugmentedScenes

    refused = [name for name in OF_SCENES if name in recipe.augment]
    if refused:
        raise ValueError(f"Rendered scenes take no {refused[0]}: leave it out, or train on a data set.")
    how = UNCHANGED.changed(recipe.augment)
    sampler = PairSampler(
        asked.modalities, asked.template_size, asked.search_size, asked.seed, asked.device,
        asked.template_factor, asked.search_factor,
        stage_steps=CAST_STEPS * asked.calls, templates=recipe.templates,
    )  # fmt: skip
    if how.misalign_share:
        sampler.misalignment = how.misalign_share
    return AugmentedScenes(sampler, how) if recipe.augment else sampler


def data_sampler(asked: PairRequest, recipe: Recipe) -> Sampler:
    """The sampler of the recipe's data sets."""
    from modaltrack.training.augment import Augmentation
    from modaltrack.training.benchmark_pairs import BenchmarkPairs, open_data

    how = Augmentation().changed(recipe.augment)
    return BenchmarkPairs(
        open_data(recipe), asked.template_size, asked.search_size, asked.seed, how,
        templates=recipe.templates, template_factor=asked.template_factor, search_factor=asked.search_factor,
    )  # fmt: skip


def pictures_sampler(asked: PairRequest, recipe: Recipe) -> Sampler:
    """The sampler of the recipe's folders; its augmentations: fields of ``Composition``, ``Degradation``, ``Shares``.

    Raises:
        ValueError: The folders hold nothing usable, or the recipe asks for what pictures cannot give.
    """
    from modaltrack.training.pictures.compose import Composition
    from modaltrack.training.pictures.many_sensors import ManySensorPairs
    from modaltrack.training.pictures.sampler import PicturePairs, Shares

    if recipe.templates != 1:
        raise ValueError("Pictures give one template: set --templates 1, or train on scenes or a benchmark.")
    build = PicturePairs if asked.modalities == ("rgb",) else ManySensorPairs
    of_shares = {field.name for field in fields(Shares)}
    shares = {name: value for name, value in recipe.augment.items() if name in of_shares}
    changes = {name: value for name, value in recipe.augment.items() if name not in of_shares}
    return build(
        open_pictures(recipe), asked.template_size, asked.search_size, asked.template_factor, asked.search_factor,
        asked.seed, composition(changes, Composition()), Shares(**shares),
    )  # fmt: skip


def composition(changes: Mapping[str, float], how: Composition) -> Composition:
    """``how`` with other chances and strengths.

    Raises:
        ValueError: with the list of names for one that does not exist.
    """
    from modaltrack.training.pictures.sampler import Shares

    inner = {field.name for field in fields(how.degradation)}
    outer = {field.name for field in fields(how)} - {"degradation"}
    unknown = sorted(set(changes) - inner - outer)
    if unknown:
        names = ", ".join(sorted(inner | outer | {field.name for field in fields(Shares)}))
        raise ValueError(f"There is no augmentation {unknown[0]!r} of pictures: choose among {names}.")
    degradation = replace(how.degradation, **{name: v for name, v in changes.items() if name in inner})
    kept: dict[str, Any] = {name: int(v) if name == "gap" else v for name, v in changes.items() if name in outer}
    return replace(how, degradation=degradation, **kept)


def folders_of(recipe: Recipe) -> list[Path]:
    """The entries of ``recipe.data`` that are folders of pictures; all or none.

    An entry is a folder if it looks like a path, or is the name of a folder and of no benchmark.

    Raises:
        ValueError: Folders and benchmarks are mixed, or a folder has a weight.
    """
    from modaltrack.benchmarks import find

    folders = []
    for name, weight in recipe.data.items():
        path = Path(name).expanduser()
        if not (path.name != name or path.is_absolute()):
            try:
                find(name)
                continue
            except ValueError as error:
                if not path.is_dir():
                    raise ValueError(f"{error} Nor is there a folder {name}: give the path of yours.") from None
        if weight != 1:
            raise ValueError(f"The folder {name} has the weight {weight}; folders are drawn from alike: leave it out.")
        folders.append(path)
    if folders and len(folders) < len(recipe.data):
        raise ValueError("A recipe trains on benchmarks or on folders of pictures, not on both: leave one kind out.")
    return folders


def open_pictures(recipe: Recipe) -> Contents:
    """What the recipe's folders hold and training can use; how much is left out is logged.

    Raises:
        ValueError: A folder is not there, or none of its pictures and clips can be used.
    """
    return _opened(tuple(folders_of(recipe)))


@cache
def _opened(folders: tuple[Path, ...]) -> Contents:
    """What these folders hold, read and checked once in a process."""
    from modaltrack.training.pictures.check import check
    from modaltrack.training.pictures.readers import read_folder
    from modaltrack.training.pictures.records import Contents

    whole = Contents(folders[0])
    for folder in folders:
        usable, problems = check(read_folder(folder))
        if problems:
            log.warning(
                "%d things in %s are left out; the first: %s (modaltrack pictures check lists all)",
                len(problems), folder, problems[0],
            )  # fmt: skip
        whole.add(usable)
    return whole


def sampler_builder(recipe: Recipe) -> SamplerBuilder:
    """What builds the sampler that the recipe's data ask for."""
    names = ("modalities", "input_mix", "data", "data_root", "augment", "templates")  # all that a sampler needs of it
    chosen = Recipe(name="", model="", **{name: getattr(recipe, name) for name in names})
    if not recipe.data:
        return partial(scenes_sampler, recipe=chosen)
    return partial(pictures_sampler if folders_of(recipe) else data_sampler, recipe=chosen)
