# SPDX-License-Identifier: Apache-2.0
"""What the ROS 2 example computes, and its node over doubles of the messages: ROS is not installed."""

from __future__ import annotations

import importlib.util
import sys
import types
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest

from modaltrack import Tracker, load_model
from modaltrack.frame import Modality
from modaltrack.models.model import Model

BOX = [20.0, 20, 16, 12]


@pytest.fixture(scope="module")
def example() -> Any:
    file = Path(__file__).parents[2] / "examples" / "ros2" / "modaltrack_node.py"
    spec = importlib.util.spec_from_file_location("modaltrack_node", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def model(random_weights: Path) -> Model:
    return load_model(str(random_weights), device="cpu")


@pytest.fixture(scope="module")
def pairs(cameras: Path) -> list[tuple[np.ndarray, np.ndarray]]:
    names = sorted(file.name for file in (cameras / "rgb").glob("*.png"))
    rgb = [cv2.imread(str(cameras / "rgb" / name))[..., ::-1].copy() for name in names]
    return [(image, cv2.imread(str(cameras / "thermal" / n), cv2.IMREAD_GRAYSCALE)) for image, n in zip(rgb, names)]


def message(image: np.ndarray, encoding: str, pad: int = 0, big: bool = False) -> Any:
    data = image.astype(image.dtype.newbyteorder(">" if big else "<"))
    rows = [row.tobytes() + bytes(pad) for row in data]
    height, width = image.shape[:2]
    return SimpleNamespace(
        encoding=encoding, height=height, width=width, step=len(rows[0]), is_bigendian=int(big), data=b"".join(rows)
    )


def test_images_of_every_encoding(example: Any) -> None:
    rng = np.random.default_rng(0)
    rgb = rng.integers(0, 255, (5, 7, 3), np.uint8)
    alpha = np.full((5, 7, 1), 9, np.uint8)
    grey, wide = rgb[..., 0], rng.integers(0, 65535, (5, 7)).astype(np.uint16)
    for image, encoding, wanted in [
        (rgb, "rgb8", rgb),
        (rgb[..., ::-1], "bgr8", rgb),
        (np.concatenate([rgb, alpha], 2), "rgba8", rgb),
        (np.concatenate([rgb[..., ::-1], alpha], 2), "bgra8", rgb),
        (grey, "mono8", grey),
        (wide, "mono16", wide),
        (wide, "16UC1", wide),
    ]:
        for pad, big in ((0, False), (6, False), (2, True)):
            found = example.image_of(message(image, encoding, pad, big))
            assert found.dtype == wanted.dtype
            np.testing.assert_array_equal(found, wanted)
    with pytest.raises(ValueError, match="'yuv422'"):
        example.image_of(message(grey, "yuv422"))


def test_pairs_of_images_give_the_tracker_s_boxes(example: Any, model: Model, pairs: Any) -> None:
    follower, tracker = example.Follower(model), Tracker(model)
    assert follower.update(*pairs[0]) is None
    follower.choose(BOX)
    for index, (rgb, thermal) in enumerate(pairs):
        frame = {"rgb": rgb, "thermal": None if index == 3 else np.repeat(thermal[..., None], 3, 2)}
        wanted = tracker.update(frame) if index else tracker.init(frame, BOX)
        found = follower.update(rgb, None if index == 3 else thermal)
        np.testing.assert_array_equal(found.box, wanted.box)
        assert found.score == wanted.score
    follower.choose([30, 10, 12, 12])
    np.testing.assert_array_equal(follower.update(*pairs[0]).box, [30, 10, 12, 12])


def test_the_second_camera_is_moved_onto_the_first(example: Any, model: Model) -> None:
    spot = np.zeros((64, 96), np.uint8)
    spot[20:30, 40:50] = 255
    moved = example.Follower(model, homography=[[1, 0, 5], [0, 1, 3], [0, 0, 1]])._placed(spot, (64, 96))
    np.testing.assert_array_equal(moved[3:, 5:, 0], spot[:-3, :-5])
    small = example.Follower(model)._placed(spot[::2, ::2], (64, 96))
    assert small.shape == (64, 96, 3)
    depth = example.Follower(model, "depth")
    assert depth.second is Modality.DEPTH
    assert depth._placed(spot.astype(np.uint16) * 20 + 500, (32, 48)).shape == (32, 48, 3)


def test_the_node_wires_topics_to_detections(
    example: Any, random_weights: Path, pairs: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    published, wired = [], {}

    class Box2D(SimpleNamespace):
        def __init__(self) -> None:
            super().__init__(center=SimpleNamespace(position=SimpleNamespace(x=0.0, y=0.0)), size_x=0.0, size_y=0.0)

    class Node:
        def __init__(self, name: str) -> None:
            wired["node"] = self

        def declare_parameter(self, name: str, value: Any) -> Any:
            given = {"model": str(random_weights), "device": "cpu", "box": BOX}
            return SimpleNamespace(value=given.get(name, value))

        def create_publisher(self, kind: Any, topic: str, depth: int) -> Any:
            return SimpleNamespace(publish=published.append)

        def create_subscription(self, kind: Any, topic: str, call: Any, depth: int) -> None:
            wired[topic] = call

        def destroy_node(self) -> None:
            wired["destroyed"] = True

    def spin(node: Any) -> None:
        for rgb, thermal in pairs[:3]:
            header = SimpleNamespace(frame_id="camera")
            node.paired(
                SimpleNamespace(header=header, **vars(message(rgb, "rgb8"))),
                SimpleNamespace(header=header, **vars(message(thermal, "mono8"))),
            )

    modules = {
        "rclpy": {"init": lambda: None, "spin": spin, "try_shutdown": lambda: None},
        "rclpy.node": {"Node": Node},
        "rclpy.qos": {"qos_profile_sensor_data": None},
        "sensor_msgs.msg": {"Image": object},
        "vision_msgs.msg": {
            "BoundingBox2D": Box2D,
            "Detection2D": lambda header, id: SimpleNamespace(header=header, id=id, bbox=Box2D(), results=[]),
            "Detection2DArray": lambda header: SimpleNamespace(header=header, detections=[]),
            "ObjectHypothesisWithPose": lambda: SimpleNamespace(hypothesis=SimpleNamespace(class_id="", score=0.0)),
        },
        "message_filters": {
            "Subscriber": lambda node, kind, topic, qos_profile: topic,
            "ApproximateTimeSynchronizer": lambda topics, queue, slop: SimpleNamespace(
                registerCallback=lambda call: wired.update(synchronised=(topics, slop, call))
            ),
        },
    }
    for name, content in modules.items():
        module: Any = types.ModuleType(name)
        vars(module).update(content)
        monkeypatch.setitem(sys.modules, name, module)
    for name in ("sensor_msgs", "vision_msgs"):
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    example.main()
    assert wired["synchronised"][:2] == (["rgb", "thermal"], 0.05)
    assert wired["destroyed"]
    first = published[0].detections[0]
    assert (first.bbox.center.position.x, first.bbox.center.position.y) == (28, 26)
    assert (first.bbox.size_x, first.bbox.size_y, first.id) == (16, 12, "target")
    assert len(published) == 3
