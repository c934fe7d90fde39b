# SPDX-License-Identifier: Apache-2.0
"""A ROS 2 node that follows a target through two image topics. docs/integrations.md says how to run it.

Subscribes ``rgb`` and ``thermal`` (sensor_msgs/Image, approximate time synchronisation) and ``target``
(vision_msgs/BoundingBox2D, another box to follow); publishes ``detections`` (vision_msgs/Detection2DArray).

Parameters: ``model``, ``device``, ``box`` ([left, top, width, height]), ``second`` (the sensor on the topic
``thermal``: thermal, depth or event), ``align`` (homography JSON), ``slop`` (seconds by which two images of one instant
may differ).
"""

import json

import cv2
import numpy as np

import modaltrack
from modaltrack.frame import Modality, Status
from modaltrack.sources.encodings import encode

# encoding -> type, channels, and the channels' order as RGB
ENCODINGS = {
    "rgb8": (np.uint8, 3, (0, 1, 2)),
    "bgr8": (np.uint8, 3, (2, 1, 0)),
    "rgba8": (np.uint8, 4, (0, 1, 2)),
    "bgra8": (np.uint8, 4, (2, 1, 0)),
    "mono8": (np.uint8, 1, ()),
    "8UC1": (np.uint8, 1, ()),
    "mono16": (np.uint16, 1, ()),
    "16UC1": (np.uint16, 1, ()),
}


def image_of(message):
    """A sensor_msgs/Image as RGB uint8 (H, W, 3), or grey uint8 or uint16 (H, W).

    Raises:
        ValueError: an encoding that is not in ``ENCODINGS``.
    """
    if message.encoding not in ENCODINGS:
        raise ValueError(
            f"Images of the encoding {message.encoding!r} are not read; use one of {', '.join(ENCODINGS)}."
        )
    kind, channels, order = ENCODINGS[message.encoding]
    number = np.dtype(kind).newbyteorder(">" if message.is_bigendian else "<")
    rows = np.frombuffer(bytes(message.data), np.uint8).reshape(message.height, message.step)
    width = message.width * channels * number.itemsize
    image = np.ascontiguousarray(rows[:, :width]).view(number).astype(kind).reshape(message.height, message.width, -1)
    return np.ascontiguousarray(image[..., list(order)]) if order else image[..., 0]


class Follower:
    """What the node computes: pairs of images in, a box out; no ROS in here.

    Args:
        model: as ``modaltrack.load_model`` gives it.
        second: sensor of the second topic.
        homography: (3, 3) from the second sensor's pixels to RGB's, None where they see the same.
        depth_scale: depth value * depth_scale = millimetres.
    """

    def __init__(self, model, second="thermal", homography=None, depth_scale=1.0):
        self.second = Modality(second)
        self._tracker = modaltrack.Tracker(model)
        self._encodings = {Modality(m): name for m, name in (model.card.get("encodings") or {}).items()}
        self._homography = None if homography is None else np.array(homography, np.float64)
        self._depth_scale = depth_scale
        self._wish = None

    def choose(self, box):
        """Follow another target from the next pair on: left, top, width, height in pixels of RGB."""
        self._wish = [float(v) for v in box]

    def update(self, rgb, other):
        """The box (4,) xywh, its score and status in a pair of raw images; None before a target was chosen.

        Args:
            rgb: uint8 (H, W, 3).
            other: raw image of the second sensor, None where it is missing.
        """
        frame = {Modality.RGB: rgb, self.second: None if other is None else self._placed(other, rgb.shape[:2])}
        if self._wish is not None:
            box, self._wish = self._wish, None
            return self._tracker.init(frame, box)
        return None if self._tracker.state is None else self._tracker.update(frame)

    def _placed(self, image, size):
        """The second image encoded as the model learned it, on RGB's pixels; depth is moved before it is coloured."""
        depth = self.second is Modality.DEPTH
        name = self._encodings.get(
            self.second, {"depth": "depth-jet-bgr", "event": "event-image"}.get(self.second, "thermal")
        )
        if not depth:
            image = encode(name, image)
        how = cv2.INTER_NEAREST if depth else cv2.INTER_LINEAR
        if self._homography is not None:
            image = cv2.warpPerspective(image, self._homography, size[::-1], flags=how)
        elif image.shape[:2] != size:
            image = cv2.resize(image, size[::-1], interpolation=how)
        return encode(name, image, depth_scale=self._depth_scale) if depth else image


def main():
    """Spin the node."""
    import message_filters
    import rclpy
    from rclpy.node import Node
    from rclpy.qos import qos_profile_sensor_data
    from sensor_msgs.msg import Image
    from vision_msgs.msg import BoundingBox2D, Detection2D, Detection2DArray, ObjectHypothesisWithPose

    class ModaltrackNode(Node):
        def __init__(self):
            super().__init__("modaltrack")
            defaults = {"model": "modaltrack-laptop", "device": "auto", "second": "thermal", "align": "", "slop": 0.05}
            given = {name: self.declare_parameter(name, value).value for name, value in defaults.items()}
            box = self.declare_parameter("box", [0.0, 0.0, 0.0, 0.0]).value
            homography = None
            if given["align"]:
                with open(given["align"], encoding="utf-8") as file:
                    homography = json.load(file)[given["second"]]
            model = modaltrack.load_model(given["model"], given["device"])
            self.follower = Follower(model, given["second"], homography)
            if box[2] > 0 and box[3] > 0:
                self.follower.choose(box)
            self.publisher = self.create_publisher(Detection2DArray, "detections", 10)
            self.create_subscription(BoundingBox2D, "target", self.chosen, 10)
            topics = [
                message_filters.Subscriber(self, Image, name, qos_profile=qos_profile_sensor_data)
                for name in ("rgb", "thermal")
            ]
            # a queue of 2: an old pair is worth nothing to a tracker
            self.pairs = message_filters.ApproximateTimeSynchronizer(topics, 2, given["slop"])
            self.pairs.registerCallback(self.paired)

        def chosen(self, box):
            x, y = box.center.position.x, box.center.position.y
            self.follower.choose([x - box.size_x / 2, y - box.size_y / 2, box.size_x, box.size_y])

        def paired(self, rgb, thermal):
            try:
                found = self.follower.update(image_of(rgb), image_of(thermal))
            except ValueError as error:
                self.get_logger().error(str(error), throttle_duration_sec=5.0)
                return
            message = Detection2DArray(header=rgb.header)
            if found is not None and found.status is not Status.LOST:
                detection = Detection2D(header=rgb.header, id="target")
                x, y, w, h = (float(v) for v in found.box)
                detection.bbox.center.position.x, detection.bbox.center.position.y = x + w / 2, y + h / 2
                detection.bbox.size_x, detection.bbox.size_y = w, h
                hypothesis = ObjectHypothesisWithPose()
                hypothesis.hypothesis.class_id, hypothesis.hypothesis.score = "target", float(found.score)
                detection.results.append(hypothesis)
                message.detections.append(detection)
            self.publisher.publish(message)

    rclpy.init()
    node = ModaltrackNode()
    try:
        rclpy.spin(node)
    except KeyboardInterrupt:
        pass
    finally:
        node.destroy_node()
        rclpy.try_shutdown()


if __name__ == "__main__":
    main()
