# SPDX-License-Identifier: Apache-2.0
"""What can be evaluated: models of this package in batches, and any other ``init``/``update`` tracker.

A foreign tracker is a class (or a function that makes one) without arguments; every sequence gets a new one:

    class Mine:
        images = "rgb"                      # "mapping" (default), "rgb", "bgr" or "stacked"
        def init(self, image, box): ...     # box: [x, y, w, h], pixels of the first image
        def update(self, image): ...        # -> box, (box, score) or (found, box)

``initialize(image, {"init_bbox": box})`` and ``track(image) -> {"target_bbox": ..., "best_score": ...}`` do as well.
OpenCV's trackers are examples: ``--tracker modaltrack.evaluation.adapters:CSRT`` (also ``KCF``, ``MIL``).
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from modaltrack.frame import Frame, Modality

if TYPE_CHECKING:
    from modaltrack.session import Answer, Engine

IMAGES = ("mapping", "rgb", "bgr", "stacked")


@dataclass(frozen=True, slots=True)
class TrackerSpec:
    """Which tracker, in words that another machine understands.

    Attributes:
        model: a name or a weights file of this package; or tracker: ``module:Class``.
        images: how a foreign tracker wants its images: a mapping modality -> RGB image, one RGB or BGR image (H, W, 3),
            or RGB and the second sensor stacked (H, W, 6); "" is what its class says.
        device, runtime, precision: for models.
    """

    name: str
    model: str = ""
    tracker: str = ""
    images: str = ""
    device: str = "auto"
    runtime: str = ""
    precision: str = ""


def load_engine(spec: TrackerSpec) -> Engine[Any]:
    """The engine of a spec.

    Raises:
        ValueError: in one sentence, for what cannot be loaded.
    """
    if bool(spec.model) == bool(spec.tracker):
        raise ValueError("Give either a model of this package (--model) or any other tracker (--tracker).")
    if spec.model:
        from modaltrack.runtime import load_model
        from modaltrack.tracking.engine import ModelEngine

        return ModelEngine(load_model(spec.model, spec.device, spec.runtime, spec.precision))
    return ForeignEngine(find_factory(spec.tracker), spec.images)


@dataclass(frozen=True, slots=True)
class _Foreign:
    tracker: Any
    box: NDArray[np.float64]
    score: float = float("nan")  # nan where the tracker says nothing about it


class ForeignEngine:
    """One instance of the tracker's class for each sequence, and one sequence at a time: it has a state of its own.

    A frame without the image that the tracker needs holds the box, with score 0; it is said once.
    """

    batches = False

    def __init__(self, factory: Callable[[], Any], images: str = "") -> None:
        self._factory = factory
        self.images = images or getattr(factory, "images", "mapping")
        if self.images not in IMAGES:
            raise ValueError(f"The tracker wants its images as {self.images!r}; expected one of {', '.join(IMAGES)}.")
        if hasattr(factory, "check"):  # optional: what can be known to be wrong before the first sequence
            factory.check()

    def start(self, frames: Sequence[Frame], boxes: Sequence[ArrayLike]) -> _Foreign:
        (frame,), (given,) = frames, boxes
        box = np.asarray(given, np.float64)
        image, tracker = arranged(frame, self.images), self._factory()
        if image is None:
            raise ValueError(
                f"The first frame has no image to show as {self.images!r}; evaluate it with other sensors."
            )
        if hasattr(tracker, "init"):
            tracker.init(image, box.tolist())
        elif hasattr(tracker, "initialize"):
            tracker.initialize(image, {"init_bbox": box.tolist()})
        else:
            raise ValueError(f"{type(tracker).__name__} has neither init(image, box) nor initialize(image, info).")
        return _Foreign(tracker, box)

    def step(self, state: _Foreign, frames: Sequence[Frame]) -> _Foreign:
        (frame,) = frames
        image = arranged(frame, self.images)
        if image is None:
            warnings.warn("Frames without the tracker's image were not shown to it; the box is held.", stacklevel=2)
            return _Foreign(state.tracker, state.box, 0.0)
        tracker = state.tracker
        answer = tracker.update(image) if hasattr(tracker, "update") else tracker.track(image)
        box, score = understood(answer)
        return _Foreign(tracker, state.box if box is None else box, float("nan") if score is None else score)

    def select(self, state: _Foreign, rows: Sequence[int]) -> _Foreign:
        assert list(rows) == [0], "one sequence at a time"
        return state

    def read(self, state: _Foreign) -> Answer:
        return state.box[None], np.array([state.score]), np.empty(0, np.int64)


def arranged(frame: Frame, images: str) -> object:
    """The images of a frame as a foreign tracker wants them; None where one is missing."""
    if images == "mapping":
        return {str(m): image for m, image in frame.images.items()} or None
    rgb = frame.images.get(Modality.RGB)
    if images == "stacked":
        other = next((image for m, image in frame.images.items() if m != Modality.RGB), None)
        return None if rgb is None or other is None else np.concatenate([rgb, other], axis=2)
    if rgb is None and len(frame.images) == 1:  # one sensor alone, whichever: --sensors thermal
        rgb = next(iter(frame.images.values()))
    if rgb is None:
        return None
    return rgb if images == "rgb" else np.ascontiguousarray(rgb[:, :, ::-1])


def understood(answer: object) -> tuple[NDArray[np.float64] | None, float | None]:
    """Box (4,) and score of what a tracker answered: a box, (box, score), (found, box), a mapping, or ``.box``.

    The box is None where it says that it found nothing; such an answer has the score 0.

    Raises:
        ValueError: for anything else.
    """
    box, score = answer, None
    if isinstance(answer, Mapping):
        box = answer.get("target_bbox", answer.get("box"))
        score = answer.get("best_score", answer.get("score"))
    elif hasattr(answer, "box"):
        box, score = answer.box, getattr(answer, "score", None)
    elif isinstance(answer, tuple | list) and len(answer) == 2:
        first, second = answer
        if isinstance(first, bool | np.bool_):
            box, score = (second, None) if first else (None, 0.0)
        else:
            box, score = first, second
    if box is None:
        return None, 0.0
    try:
        numbers = np.asarray(box, np.float64).reshape(-1)
    except (TypeError, ValueError):
        numbers = np.empty(0)
    if len(numbers) != 4 or not np.isfinite(numbers).all():
        raise ValueError(f"The tracker answered {answer!r:.80}; expected a box x, y, w, h, or (box, score).")
    return numbers, None if score is None else float(score)


def find_factory(text: str) -> Callable[[], Any]:
    """``module:Class`` -> that class; modules of the current folder are found too."""
    module, _, name = text.partition(":")
    if not module or not name:
        raise ValueError(f"--tracker {text!r} is not module:Class, for example mytracker:Mine.")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        found = import_module(module)
    except ImportError as error:
        raise ValueError(f"The tracker's module {module!r} cannot be imported ({error}); check its name.") from error
    factory = getattr(found, name, None)
    if not callable(factory):
        raise ValueError(f"The module {module!r} has no class {name!r}; check --tracker.")
    return factory


class _OpenCV:
    """One of OpenCV's trackers; it sees BGR images, as its authors intend, and whole pixels."""

    images = "bgr"
    kind = ""

    def __init__(self) -> None:
        self._tracker: Any = make_opencv(self.kind)

    @classmethod
    def check(cls) -> None:
        """ValueError where the installed OpenCV lacks it."""
        make_opencv(cls.kind)

    def init(self, image: NDArray[np.uint8], box: Sequence[float]) -> None:
        x, y, w, h = (round(v) for v in box)
        self._tracker.init(image, (x, y, max(w, 1), max(h, 1)))

    def update(self, image: NDArray[np.uint8]) -> tuple[bool, Any]:
        found, box = self._tracker.update(image)
        return bool(found), box


class CSRT(_OpenCV):
    """Discriminative correlation filter with spatial reliability (needs opencv-contrib)."""

    kind = "CSRT"


class KCF(_OpenCV):
    """Kernelised correlation filter (needs opencv-contrib)."""

    kind = "KCF"


class MIL(_OpenCV):
    """Multiple instance learning; in every OpenCV."""

    kind = "MIL"


def make_opencv(kind: str) -> object:
    """OpenCV's tracker of that name.

    Raises:
        ValueError: where the installed wheel lacks it.
    """
    import cv2

    for place in (cv2, getattr(cv2, "legacy", None)):
        maker = getattr(place, f"Tracker{kind}_create", None)
        if maker is not None:
            return maker()
    raise ValueError(
        f"This OpenCV ({cv2.__version__}) has no tracker {kind}; replace opencv-python-headless by "
        "opencv-contrib-python-headless, or use MIL."
    )


def opencv_nanotrack(backbone: Path) -> Callable[[], Any]:
    """OpenCV's NanoTrack with the published networks, as a factory of trackers that see BGR images.

    Args:
        backbone: ``..backbone..onnx``; the other network is the file with "head" in the place of "backbone".

    Raises:
        ValueError: where this OpenCV has no NanoTrack, or a file is missing or cannot be read.
    """
    import cv2

    library: Any = cv2  # its stubs know no NanoTrack
    head = backbone.with_name(backbone.name.replace("backbone", "head"))
    if missing := [file for file in (backbone, head) if not file.is_file() or backbone == head]:
        raise ValueError(f"{missing[0]} is not there; NanoTrack is two files, ..backbone.onnx and ..head.onnx.")
    if not hasattr(library, "TrackerNano_create") or not hasattr(library, "TrackerNano_Params"):
        raise ValueError(f"This OpenCV ({cv2.__version__}) has no NanoTrack; take a newer one, or imported weights.")
    create: Callable[..., Any] = library.TrackerNano_create
    parameters = library.TrackerNano_Params()
    parameters.backbone, parameters.neckhead = str(backbone), str(head)

    class NanoTrack(_OpenCV):
        """Light Siamese tracker (project SiamTrackers)."""

        def __init__(self) -> None:
            self._tracker = create(parameters)

        @classmethod
        def check(cls) -> None:
            image = np.zeros((128, 128, 3), np.uint8)
            try:
                tracker = cls()
                tracker.init(image, (48, 48, 32, 32))
                tracker.update(image)
            except cv2.error as error:
                raise ValueError(
                    f"OpenCV {cv2.__version__} cannot run {backbone.name} and {head.name} as a NanoTrack "
                    f"({error.err}); version 3 is run by this package: modaltrack models import."
                ) from error

    return NanoTrack
