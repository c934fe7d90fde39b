# SPDX-License-Identifier: Apache-2.0
"""The two benchmarks that need no download, ``scenes`` and ``folder``: their sequences, their truth, their protocol."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from modaltrack.frame import Clip, Modality
from modaltrack.scoring import records
from modaltrack.scoring.records import Switches, Truth
from modaltrack.truth.rendered import keep_truth, kept_truth

SENSOR_FOLDERS = (*(m.value for m in Modality), "aux")
OWN = ("scenes", "folder")


class SequenceSource(Protocol):
    """A sequence of a benchmark, of the rendered scenes or of a folder, before anything of it is opened."""

    @property
    def name(self) -> str: ...

    @property
    def frames(self) -> Mapping[Any, Sequence[object]]:
        """Sensor -> its images."""

    def clip(
        self, modalities: Iterable[Modality] | None = None, encodings: Mapping[Modality, str] | None = None
    ) -> Clip:
        """The clip, its frames decoded on demand, of all or the named sensors."""

    def truth(self) -> Truth:
        """What the scorer needs."""


def own_entries(name: str, data: str = "", clips: int = 40, length: int = 60) -> Sequence[SequenceSource]:
    """The sequences of ``scenes`` or ``folder``, each with ``name``, ``frames``, ``clip()`` and ``truth()``.

    Args:
        name: one of ``OWN``.
        data: the folder of ``folder``.
        clips, length: of ``scenes``.

    Raises:
        ValueError: the folder is missing or holds no sequence.
    """
    if name == "folder":
        return _folders(data)
    from modaltrack import scenes

    made = scenes.benchmark(clips=clips, length=length)
    return [Scene(number, made, length) for number in range(len(made))]


def own_protocol(name: str) -> records.Protocol:
    """How ``scenes`` and ``folder`` are scored: LaSOT's curves over the frames that have a target, no repairs."""
    assert name in OWN, name
    switches = Switches(
        pixels="continuous",
        invalid_truth="nan",
        absent="removed",
        denominator="kept rows",
        bad_prediction="as written",
        zero_curves="kept",
    )
    metrics = {"PR": "precision", "NPR": "normalised", "SR": "success"}
    return records.Protocol(name, "modaltrack's own, 1.0", metrics, switches, source="[ours]", benchmark=name)


@dataclass(frozen=True, slots=True)
class Scene:
    """A rendered clip. All sensors are drawn whichever are shown: their noise comes from one generator."""

    number: int
    made: Any
    length: int

    @property
    def name(self) -> str:
        return f"{'hard' if self.number >= len(self.made) // 2 else 'easy'}-{self.number:03d}"

    @property
    def frames(self) -> dict[str, range]:
        return {"scene": range(self.length)}

    def clip(
        self, modalities: Iterable[Modality | str] | None = None, encodings: Mapping[Modality, str] | None = None
    ) -> Clip:
        made = replace(self.made[self.number], name=self.name)
        keep_truth(self.made.version, len(self.made), self.length, self.name, made)
        return made

    def truth(self) -> Truth:
        kept = kept_truth(self.made.version, len(self.made), self.length, self.name)
        if kept is not None:
            return kept
        clip = self.clip()
        assert clip.boxes is not None
        return Truth(self.name, clip.boxes, attributes=clip.attributes)


@dataclass(frozen=True, slots=True)
class ClipFolder:
    """One clip in this package's own layout."""

    path: Path

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def frames(self) -> dict[str, list[Path]]:
        from modaltrack.sources.folder import list_images

        return {m: list_images(self.path / m) for m in SENSOR_FOLDERS if (self.path / m).is_dir()}

    def clip(
        self, modalities: Iterable[Modality | str] | None = None, encodings: Mapping[Modality, str] | None = None
    ) -> Clip:
        from modaltrack.sources import open_folder

        there = {m: name for m, name in (encodings or {}).items() if (self.path / m).is_dir()}
        reader, boxes = open_folder(self.path, encodings=there)
        return Clip(self.name, reader, boxes, fps=reader.fps)  # type: ignore[arg-type]

    def truth(self) -> Truth:
        from modaltrack.sources import open_folder

        reader, boxes = open_folder(self.path)
        if boxes is None:
            raise ValueError(f"{self.path} has no boxes.txt; without true boxes there is nothing to score.")
        height, width = reader.size
        return Truth(self.name, boxes, image_size=(width, height))


def _folders(data: str) -> list[ClipFolder]:
    if not data:
        raise ValueError("--benchmark folder needs --data ROOT, a folder with one folder per sequence.")
    root = Path(data)
    if not root.is_dir():
        raise ValueError(f"The folder {root} does not exist; check --data.")

    def is_clip(folder: Path) -> bool:
        return folder.is_dir() and any((folder / sensor).is_dir() for sensor in SENSOR_FOLDERS)

    places = [root] if is_clip(root) else sorted(f for f in root.iterdir() if is_clip(f))
    if not places:
        raise ValueError(
            f"{root} holds no sequences; each is a folder with rgb/, thermal/, depth/ or event/ and boxes.txt in it."
        )
    return [ClipFolder(place) for place in places]
