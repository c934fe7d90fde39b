# SPDX-License-Identifier: Apache-2.0
"""Exported graphs as a ``Model``: what the tracker asks for stands in the card, what it computes in the graphs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from modaltrack.export import Declaration
from modaltrack.frame import Modality
from modaltrack.models.model import Card, Model
from modaltrack.models.prediction import Images, Prediction, Presence, check_images
from modaltrack.runtime.sessions import GraphSession, open_session
from modaltrack.vision import decode

Sensors = tuple[Modality, ...]


@dataclass(frozen=True)
class ExportedConfig:
    """What an exported model reads."""

    modalities: tuple[Modality, ...]
    template_size: int
    search_size: int
    template_factor: float
    search_factor: float


class ExportedModel(Model):
    """``model(template, search) -> Prediction`` by one graph for each set of sensors.

    Search images may also be uint8 crops (B, h, w, 3).

    Args:
        declaration: of any of its graphs: what they have in common.
        card: of the model.
        graphs: set of sensors -> its graph; sets that are not there are made by ``make``.
        make: makes the graph of a set; None where there are only files.
    """

    def __init__(
        self,
        declaration: Declaration,
        card: Card,
        graphs: Mapping[Sensors, GraphSession],
        make: Callable[[Sensors], GraphSession] | None = None,
        where: str = "This model",
    ) -> None:
        d = declaration
        self.takes_pixels = True
        self._config = ExportedConfig(d.modalities, d.template_size, d.search_size, d.template_factor, d.search_factor)
        self.card, self.name = card, str(card.get("name", ""))
        self.sensors_together, self.one_sensor, self.judges = d.sensors_together, d.one_sensor, d.judges
        self.num_templates, self.crop_context, self.policy = d.num_templates, d.crop_context, d.policy
        self.missing_policy = str(card.get("missing_policy", ""))
        self.only_sets = None if make is not None or d.one_sensor else tuple(graphs)
        self.graphs, self._make, self._where = dict(graphs), make, where

    def __repr__(self) -> str:
        sets = ", ".join("+".join(sensors) for sensors in self.graphs) or "none yet"
        return f"ExportedModel({self.name}, graphs for {sets}, search {self.config.search_size} px)"

    @property
    def config(self) -> ExportedConfig:
        """What it reads."""
        return self._config

    def __call__(
        self, template: Images, search: Images, present: Presence | None = None, *, memory: Images | None = None
    ) -> Prediction:
        """See ``Model``; samples with different sensors are not taken in one call."""
        c = self.config
        planes = {m: image.permute(0, 3, 1, 2) if image.dtype == torch.uint8 else image for m, image in search.items()}
        sensors = tuple(check_images(template, planes, c.template_size, c.search_size))
        if present is not None and not all(bool(has.all()) for has in present.values()):
            raise ValueError("An exported model takes samples that have all their sensors; call it once for each set.")
        graph = self._graph(sensors)
        named = graph.declaration.sensors  # a graph for one sensor, whichever, may be named after another
        roles = {"template": template, "search": search}
        if self.num_templates > 1:
            roles["memory"] = template if memory is None else memory
        images = {
            f"{role}_{name}": _as_array(given[sensor])
            for role, given in roles.items()
            for name, sensor in zip(named, sensors)
        }
        if len({images[f"search_{name}"].dtype for name in named}) > 1:
            raise ValueError("The search images are pixels of some sensors and normalised of others; give one kind.")
        rows, batch = len(next(iter(images.values()))), graph.declaration.batch
        parts = []
        for start in range(0, rows, batch):
            part = {name: image[start : start + batch] for name, image in images.items()}
            if rows - start < batch:  # graphs have one batch size: the last row fills it up
                missing = batch - (rows - start)
                part = {n: np.concatenate([x, np.repeat(x[-1:], missing, 0)]) for n, x in part.items()}
            parts.append(part)
        maps: list[Tensor] = [torch.from_numpy(np.concatenate(made)[:rows]) for made in zip(*graph.run(parts))]
        score, size, offset = maps[:3]
        return Prediction(score, size, offset, decode(score, size, offset)[0], None, *maps[3:])

    def prepare(self, sensors: Sequence[Modality], rows: int) -> None:
        """See ``Prepares``: the graph of these sensors is exported where it has to be, and compiled.

        Raises:
            ValueError: as a call with these sensors.
        """
        graph = self._graph(tuple(sensors))
        graph.prepare(-(-rows // graph.declaration.batch))

    @property
    def makes_graphs(self) -> bool:
        """Whether graphs are exported when a set of sensors is first used."""
        return self._make is not None

    def _graph(self, sensors: Sensors) -> GraphSession:
        """The graph of a set of sensors; ValueError where the file was not exported for it."""
        if self.one_sensor and len(sensors) == 1 and self.graphs:
            return next(iter(self.graphs.values()))
        if sensors not in self.graphs and self._make is not None and sensors:
            self.graphs[sensors] = self._make(sensors)
        if sensors not in self.graphs:
            has, wanted = ", ".join("+".join(one) for one in self.graphs), "+".join(sensors) or "no sensor"
            raise ValueError(
                f"{self._where} was exported for {has} and is asked for {wanted}; export it with --sensors {wanted}, "
                "or into a folder, which gets every set of its sensors."
            )
        return self.graphs[sensors]


def _as_array(image: Tensor) -> NDArray[Any]:
    """Contiguous float32, or uint8 as it is."""
    kind = torch.uint8 if image.dtype == torch.uint8 else torch.float32
    return image.detach().to("cpu", kind).contiguous().numpy()


def read_exported(path: Path, runtime: str = "", precision: str = "") -> ExportedModel:
    """The model of one exported file, or of a folder of them, one for each set of sensors.

    Raises:
        ValueError: as ``open_session``, and for a folder whose files are of different models.
    """
    files = _graphs_in(path) if path.is_dir() else [path]
    sessions = [open_session(file, runtime, precision) for file in files]
    if len({(s.card.get("name"), s.declaration.template_size, s.declaration.search_size) for s in sessions}) > 1:
        raise ValueError(f"The graphs in {path} are of different models; give a folder that modaltrack export wrote.")
    graphs = {session.declaration.sensors: session for session in sessions}
    return ExportedModel(sessions[0].declaration, sessions[0].card, graphs, where=str(path))


def _graphs_in(folder: Path) -> Sequence[Path]:
    files = sorted([*folder.glob("*.onnx"), *folder.glob("*.xml")])
    if not files:
        raise ValueError(f"The folder {folder} has no .onnx or .xml files; give one that modaltrack export wrote.")
    return files
