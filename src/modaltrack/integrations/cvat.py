# SPDX-License-Identifier: Apache-2.0
"""CVAT's two doors for trackers: a serverless function (nuclio), and a native function of an agent (``cvat-cli``).

The serverless function keeps nothing: CVAT sends an image with shapes to begin with, or with the states of the last
answer, and gets shapes and states back. An agent keeps its states and may say that a target is not to be seen.
``examples/cvat`` holds what CVAT loads.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from modaltrack.boxes import xywh_to_xyxy, xyxy_to_xywh
from modaltrack.frame import Modality, Status
from modaltrack.integrations.state_text import pack_state, unpack_state
from modaltrack.models.model import Model, placed
from modaltrack.tracking import Policy, Tracker


class Shape(Protocol):
    """A shape as ``cvat_sdk`` hands it over."""

    type: Any
    points: Any


class CvatTracker:
    """Answers the requests of CVAT's serverless tracker functions.

    Args:
        model: as ``load_model`` gives it.
        modality: what the task's images are; the model must know this sensor.
    """

    def __init__(self, model: Model, modality: Modality | str = Modality.RGB) -> None:
        self._model, self._modality = model, Modality(modality)
        self._policy = Policy.of(model)

    def answer(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """The answer to one request.

        Args:
            body: ``image`` in base64, and ``shapes`` to begin with or ``states`` to go on with; a missing or null state
                begins with the shape of the same number. ``shape`` and ``state`` of older servers are understood.

        Returns:
            ``shapes`` ([left, top, right, bottom] in pixels, or ``{"type", "points"}`` where that was sent) and
            ``states``; ``shape`` and ``state`` where these were sent.

        Raises:
            ValueError: the request is not of that form.
        """
        if "shapes" not in body and "states" not in body and ("shape" in body or "state" in body):
            found = self.answer(
                {"image": body.get("image"), "shapes": [body.get("shape")], "states": [body.get("state")]}
            )
            return {"shape": found["shapes"][0], "state": found["states"][0]}
        image = decoded(body.get("image"))
        shapes, states = list(body.get("shapes") or []), list(body.get("states") or [])
        count = max(len(shapes), len(states))
        if not count:
            raise ValueError("The request has neither shapes nor states; send at least one of them.")
        shapes += [None] * (count - len(shapes))
        states += [None] * (count - len(states))
        answers = [self._one(image, shape, state) for shape, state in zip(shapes, states, strict=True)]
        return {"shapes": [shape for shape, _ in answers], "states": [state for _, state in answers]}

    def _one(self, image: NDArray[np.uint8], shape: object, state: object) -> tuple[object, str]:
        frame = {self._modality: image}
        tracker = Tracker(self._model, self._policy)
        if state is None:
            now = tracker.init(frame, box_of(shape))
        else:
            tracker.state = unpack_state(_text_of(state), *placed(self._model))
            now = tracker.update(frame)
        points = points_of(now.box)
        made: object = {"type": "rectangle", "points": points} if isinstance(shape, Mapping) else points
        assert tracker.state is not None
        return made, pack_state(tracker.state)


class CvatAgent:
    """A native tracking function for CVAT's agents: its three methods are those of ``cvat_sdk``'s protocol.

    Args:
        model: as ``load_model`` gives it.
        spec: ``cvat_sdk.auto_annotation.TrackingFunctionSpec(supported_shape_types=["rectangle"])``.
        shape: makes a shape from its type and points, ``cvat_sdk``'s ``TrackableShape``.
        modality: what the task's images are.
    """

    def __init__(
        self, model: Model, spec: object, shape: Callable[..., object], modality: Modality | str = Modality.RGB
    ) -> None:
        self.spec = spec
        self._model, self._shape, self._modality = model, shape, Modality(modality)

    def preprocess_image(self, context: object, image: ArrayLike) -> NDArray[np.uint8]:
        """A PIL image as uint8 RGB (H, W, 3)."""
        converted = image.convert("RGB") if hasattr(image, "convert") else image
        return np.asarray(converted, np.uint8)

    def init_tracking_state(self, context: object, pp_image: NDArray[np.uint8], shape: Shape) -> Tracker:
        """A tracker that has seen its target."""
        tracker = Tracker(self._model)
        tracker.init({self._modality: pp_image}, box_of({"type": str(shape.type), "points": shape.points}))
        return tracker

    def track(self, context: object, pp_image: NDArray[np.uint8], state: Tracker) -> object | None:
        """The shape in this image, or None where the target is lost."""
        found = state.update({self._modality: pp_image})
        if found.status is Status.LOST:
            return None
        return self._shape(type="rectangle", points=points_of(found.box))


def decoded(text: object) -> NDArray[np.uint8]:
    """Uint8 RGB (H, W, 3) of an image file in base64.

    Raises:
        ValueError: it is none.
    """
    try:
        data = base64.b64decode(text, validate=True) if isinstance(text, str) else b""
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR) if data else None
    except (binascii.Error, ValueError, TypeError, cv2.error):
        image = None
    if image is None:
        raise ValueError("The request's image is no image file in base64; send a JPEG or PNG.")
    return np.ascontiguousarray(image[..., ::-1], np.uint8)


def box_of(shape: object) -> NDArray[np.float64]:
    """(4,) xywh of a shape: [left, top, right, bottom], or a mapping with ``points``.

    Raises:
        ValueError: it is no rectangle.
    """
    points = shape.get("points") if isinstance(shape, Mapping) else shape
    kind = shape.get("type", "rectangle") if isinstance(shape, Mapping) else "rectangle"
    if kind != "rectangle":
        raise ValueError(f"The shape is a {kind}; a rectangle is needed.")
    try:
        corners = np.array(points, np.float64)
    except (TypeError, ValueError):
        corners = np.empty(0)
    if corners.shape != (4,) or not np.isfinite(corners).all():
        raise ValueError("The shape is no rectangle [left, top, right, bottom] in pixels; send four numbers.")
    return np.asarray(xyxy_to_xywh(corners), np.float64)


def points_of(box: ArrayLike) -> list[float]:
    """[left, top, right, bottom] of an xywh box, to 1/100 pixel as CVAT shows it."""
    return [round(float(v), 2) for v in xywh_to_xyxy(np.asarray(box, np.float64))]


def _text_of(state: object) -> str:
    if not isinstance(state, str):
        raise ValueError("The request's state is no text of an earlier answer; begin again with a shape.")
    return state
