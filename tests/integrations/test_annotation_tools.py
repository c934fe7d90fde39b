# SPDX-License-Identifier: Apache-2.0
"""CVAT and Label Studio as they ask, played by doubles: neither is installed. The boxes are those of ``Tracker``."""

from __future__ import annotations

import base64
import importlib.util
import io
import json
import sys
import types
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest

from modaltrack import Tracker, load_model
from modaltrack.frame import Modality
from modaltrack.integrations import CvatTracker, pack_state, track_regions, unpack_state
from modaltrack.models.model import Model

EXAMPLES = Path(__file__).parents[2] / "examples"
BOX = [20.0, 20, 16, 12]


@pytest.fixture(scope="module")
def model(random_weights: Path) -> Model:
    return load_model(str(random_weights), device="cpu")


@pytest.fixture(scope="module")
def images(cameras: Path) -> list[np.ndarray]:
    return [cv2.imread(str(file))[..., ::-1] for file in sorted((cameras / "rgb").glob("*.png"))]


@pytest.fixture(scope="module")
def expected(model: Model, images: list[np.ndarray]) -> list[np.ndarray]:
    tracker = Tracker(model)
    return [tracker.init(images[0], BOX).box, *(tracker.update(image).box for image in images[1:])]


def encoded(image: np.ndarray) -> str:
    return base64.b64encode(cv2.imencode(".png", image[..., ::-1])[1].tobytes()).decode()


def example(path: str) -> Any:
    spec = importlib.util.spec_from_file_location("modaltrack_example", EXAMPLES / path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Nuclio:
    """What nuclio hands to a function."""

    def __init__(self) -> None:
        self.user_data = types.SimpleNamespace()

    @staticmethod
    def Response(body: str, headers: dict[str, str], content_type: str, status_code: int) -> Any:
        return types.SimpleNamespace(body=json.loads(body), status_code=status_code)


def corners(box: np.ndarray) -> list[float]:
    return [round(float(v), 2) for v in (box[0], box[1], box[0] + box[2], box[1] + box[3])]


def test_the_serverless_function_follows_a_shape_from_state_to_state(
    random_weights: Path, images: list[np.ndarray], expected: list[np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MODALTRACK_MODEL", str(random_weights))
    main, context = example("cvat/nuclio/main.py"), Nuclio()
    main.init_context(context)

    def ask(body: dict[str, Any]) -> Any:
        return main.handler(context, types.SimpleNamespace(body=json.loads(json.dumps(body))))

    answer = ask({"image": encoded(images[0]), "shapes": [[20, 20, 36, 32]]})
    assert answer.body["shapes"] == [[20, 20, 36, 32]]
    for image, box in zip(images[1:], expected[1:], strict=True):
        answer = ask({"image": encoded(image), "shapes": answer.body["shapes"], "states": answer.body["states"]})
        assert answer.status_code == 200
        assert answer.body["shapes"] == [corners(box)]
    refused = ask({"image": "no", "shapes": [[20, 20, 36, 32]]})
    assert (refused.status_code, list(refused.body)) == (400, ["message"])


def test_several_shapes_and_both_forms_of_a_request(model: Model, images: list[np.ndarray]) -> None:
    tracker = CvatTracker(model)
    shape = {"type": "rectangle", "points": [20, 20, 36, 32]}
    both = tracker.answer({"image": encoded(images[0]), "shapes": [shape, [30, 10, 50, 30]]})
    assert both["shapes"] == [{"type": "rectangle", "points": [20, 20, 36, 32]}, [30, 10, 50, 30]]
    on = tracker.answer({"image": encoded(images[1]), "states": both["states"]})
    assert len(on["shapes"]) == len(on["states"]) == 2
    old = tracker.answer({"image": encoded(images[0]), "shape": [20, 20, 36, 32], "state": None})
    assert old["shape"] == [20, 20, 36, 32]
    assert (
        tracker.answer({"image": encoded(images[1]), "shape": None, "state": old["state"]})["shape"] == on["shapes"][0]
    )


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({}, "image file"),
        ({"image": 5, "shapes": [[1, 2, 3, 4]]}, "image file"),
        ({"shapes": []}, "image file"),
        ({"image": "OK"}, "neither shapes nor states"),
        ({"image": "OK", "shapes": [[1, 2, 3]]}, "four numbers"),
        ({"image": "OK", "shapes": [{"type": "mask", "points": []}]}, "is a mask"),
        ({"image": "OK", "shapes": [None]}, "four numbers"),
        ({"image": "OK", "states": ["AAAA"]}, "state of the tracker cannot be read"),
        ({"image": "OK", "states": [{"a": 1}]}, "no text of an earlier answer"),
    ],
)
def test_a_request_that_does_not_fit_is_one_sentence(
    model: Model, images: list[np.ndarray], body: dict[str, Any], said: str
) -> None:
    filled = {**body, "image": encoded(images[0])} if body.get("image") == "OK" else body
    with pytest.raises(ValueError, match=said):
        CvatTracker(model).answer(filled)


def test_a_state_comes_back_with_the_same_numbers(model: Model, images: list[np.ndarray]) -> None:
    tracker = Tracker(model)
    tracker.init({"rgb": images[0], "thermal": images[0]}, BOX)
    tracker.update({"rgb": images[1], "thermal": None})
    before = tracker.state
    assert before is not None
    text = pack_state(before)
    after = unpack_state(text)
    assert pack_state(after) == text
    assert set(after.template) == {Modality.RGB, Modality.THERMAL}
    for modality, template in before.template.items():
        assert (after.template[modality] == template).all()
    tracker.state = after
    one = tracker.update({"rgb": images[2], "thermal": images[2]})
    tracker.state = before
    np.testing.assert_array_equal(one.box, tracker.update({"rgb": images[2], "thermal": images[2]}).box)


def test_a_state_with_pickled_objects_is_not_loaded() -> None:
    buffer = io.BytesIO()
    np.savez(buffer, box=np.array([{"a": 1}], object), format=np.int64(1), frame=np.int64(0))
    with pytest.raises(ValueError, match="cannot be read"):
        unpack_state(base64.b64encode(buffer.getvalue()).decode())


def test_the_agent_speaks_the_protocol_of_cvat(
    random_weights: Path, images: list[np.ndarray], expected: list[np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    double: Any = types.ModuleType("cvat_sdk.auto_annotation")
    double.TrackableShape = lambda type, points: types.SimpleNamespace(type=type, points=points)
    double.TrackingFunctionSpec = lambda supported_shape_types: types.SimpleNamespace(shapes=supported_shape_types)
    package: Any = types.ModuleType("cvat_sdk")
    package.auto_annotation = double
    monkeypatch.setitem(sys.modules, "cvat_sdk", package)
    monkeypatch.setitem(sys.modules, "cvat_sdk.auto_annotation", double)
    function = example("cvat/agent.py").create(model=str(random_weights), device="cpu")
    assert function.spec.shapes == ["rectangle"]
    seen = [function.preprocess_image(None, image) for image in images]
    state = function.init_tracking_state(None, seen[0], double.TrackableShape("rectangle", [20, 20, 36, 32]))
    found = [function.track(None, image, state) for image in seen[1:]]
    assert any(shape is not None for shape in found)
    for shape, box in zip(found, expected[1:], strict=True):
        assert shape is None or (shape.type, shape.points) == ("rectangle", corners(box))


@pytest.fixture(scope="module")
def video(images: list[np.ndarray], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("video") / "clip.mkv"
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("ffv1", rate=10)
        stream.height, stream.width = images[0].shape[:2]
        stream.pix_fmt = "bgr0"
        for index, image in enumerate(images):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
            frame.pts = index
            for packet in stream.encode(frame):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)
    return path


def region(frame: int = 1, count: int = 6, seconds: float = 0.6) -> dict[str, Any]:
    x, y, w, h = BOX
    key = {"frame": frame, "enabled": True, "rotation": 0, "time": 0.0}
    key |= {"x": x / 0.96, "y": y / 0.64, "width": w / 0.96, "height": h / 0.64}
    value = {"framesCount": count, "duration": seconds, "sequence": [key], "labels": ["car"]}
    return {"id": "a", "from_name": "box", "to_name": "video", "type": "videorectangle", "value": value}


def test_label_studio_gets_its_region_continued(
    random_weights: Path, video: Path, expected: list[np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Base:
        def get_first_tag_occurence(self, control: str, kind: str) -> tuple[str, str, str]:
            assert (control, kind) == ("VideoRectangle", "Video")
            return "box", "video", "clip"

        def get_local_path(self, url: str, task_id: int) -> str:
            assert (url, task_id) == ("/data/clip", 7)
            return str(video)

    for name, parts in {
        "model": {"LabelStudioMLBase": Base},
        "response": {"ModelResponse": types.SimpleNamespace},
    }.items():
        module: Any = types.ModuleType(f"label_studio_ml.{name}")
        vars(module).update(parts)
        monkeypatch.setitem(sys.modules, f"label_studio_ml.{name}", module)
    monkeypatch.setitem(sys.modules, "label_studio_ml", types.ModuleType("label_studio_ml"))
    monkeypatch.setenv("MODALTRACK_MODEL", str(random_weights))
    backend = example("label_studio/model.py").ModaltrackBackend()
    tasks = [{"id": 7, "data": {"clip": "/data/clip"}}]
    assert backend.predict(tasks).predictions == []
    (prediction,) = backend.predict(tasks, {"result": [region()]}).predictions
    (made,) = prediction["result"]
    assert {k: made[k] for k in ("id", "from_name", "to_name", "type")} == {
        "id": "a",
        "from_name": "box",
        "to_name": "video",
        "type": "videorectangle",
    }
    assert made["value"]["labels"] == ["car"]
    for entry in made["value"]["sequence"][1:]:
        box = expected[entry["frame"] - 1]
        shares = [entry[name] for name in ("x", "y", "width", "height")]
        np.testing.assert_allclose(shares, box / [0.96, 0.64, 0.96, 0.64], atol=1e-4)
        assert entry["time"] == pytest.approx((entry["frame"] - 1) / 10)


def frames_of(found: list[dict[str, Any]]) -> list[tuple[int, bool]]:
    return [(entry["frame"], entry["enabled"]) for entry in found[0]["value"]["sequence"]]


def test_frames_are_counted_by_time_as_label_studio_does(model: Model, video: Path) -> None:
    """Its Video tag at 20 frames/s over a file of 10: every second frame has a picture of its own."""
    numbers = [frame for frame, _ in frames_of(track_regions(model, video, [region(count=12)]))]
    assert numbers == sorted(set(numbers))
    assert set(numbers) <= {1, 3, 5, 7, 9, 11}
    halved = [frame for frame, _ in frames_of(track_regions(model, video, [region(count=3)]))]
    assert halved == sorted(set(halved))
    assert set(halved) <= {1, 2, 3}


def test_a_lost_region_is_switched_off_once(model: Model, video: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from modaltrack.frame import Status
    from modaltrack.integrations import label_studio
    from modaltrack.tracking import TrackedBox

    plan = [Status.TRACKING, Status.LOST, Status.LOST, Status.TRACKING, Status.UNCERTAIN]

    class Scripted:
        def __init__(self, model: object) -> None:
            self.state: object = None
            self._plan = iter(plan)

        def init(self, frame: object, box: object) -> None:
            self.state = 1

        def update(self, frame: object) -> TrackedBox:
            return TrackedBox(np.array(BOX), 0.5, next(self._plan))

    monkeypatch.setattr(label_studio, "Tracker", Scripted)
    found = frames_of(track_regions(model, video, [region()]))
    assert found == [(1, True), (2, True), (3, False), (5, True), (6, True)]
    assert [frame for frame, _ in frames_of(track_regions(model, video, [region()], most_frames=2))] == [1, 2, 3]


def test_regions_that_cannot_be_continued(model: Model, video: Path) -> None:
    other = {"type": "labels", "value": {}}
    assert track_regions(model, video, [other]) == [other]
    with pytest.raises(ValueError, match="no keyframe"):
        track_regions(model, video, [{"type": "videorectangle", "value": {"framesCount": 5, "duration": 1}}])
    with pytest.raises(ValueError, match="ends before it"):
        track_regions(model, video, [region(frame=50, count=60, seconds=6)])
