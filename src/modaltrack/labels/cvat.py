# SPDX-License-Identifier: Apache-2.0
"""CVAT's XML, "CVAT for video 1.1": one track per target.

CVAT draws straight lines between keyframes, so every frame with the target is one; the first without it is ``outside``.
Source: the format's page in CVAT's documentation ("XML annotation format").
"""

from __future__ import annotations

import io
import os
import xml.etree.ElementTree as ElementTree
from pathlib import Path

from modaltrack.files import write_file
from modaltrack.labels.video_labels import TargetLabels, VideoLabels


def write_cvat(file: str | os.PathLike[str], clip: VideoLabels) -> Path:
    """Write the labels of one clip; frames count from 0. -> the file."""
    root = ElementTree.Element("annotations")
    ElementTree.SubElement(root, "version").text = "1.1"
    _add_meta(root, clip)
    for number, target in enumerate(clip.targets):
        track = ElementTree.SubElement(root, "track", id=str(number), label=_printable(target.category), source="auto")
        _add_boxes(track, target)
    ElementTree.indent(root)
    buffer = io.BytesIO()
    ElementTree.ElementTree(root).write(buffer, encoding="utf-8", xml_declaration=True)
    return write_file(Path(file), buffer.getvalue() + b"\n")


def _add_meta(root: ElementTree.Element, clip: VideoLabels) -> None:
    task = ElementTree.SubElement(ElementTree.SubElement(root, "meta"), "task")
    for key, value in (("name", _printable(clip.name)), ("size", str(clip.length)), ("mode", "interpolation")):
        ElementTree.SubElement(task, key).text = value
    labels = ElementTree.SubElement(task, "labels")
    for name in clip.categories:
        label = ElementTree.SubElement(labels, "label")
        ElementTree.SubElement(label, "name").text = _printable(name)
        ElementTree.SubElement(label, "attributes")
    size = ElementTree.SubElement(task, "original_size")
    for key, pixels in zip(("width", "height"), clip.size, strict=True):
        ElementTree.SubElement(size, key).text = str(pixels)


def _add_boxes(track: ElementTree.Element, target: TargetLabels) -> None:
    present = target.present
    corners: list[float] = []
    for frame in range(len(present)):
        if present[frame]:
            x, y, w, h = (float(v) for v in target.boxes[frame])
            corners = [x, y, x + w, y + h]
        elif not corners or not present[frame - 1]:  # not there yet, or said already
            continue
        places = dict(zip(("xtl", "ytl", "xbr", "ybr"), (f"{v:.2f}" for v in corners), strict=True))
        outside = "0" if present[frame] else "1"
        state = {"frame": str(frame), "keyframe": "1", "outside": outside, "occluded": "0", **places, "z_order": "0"}
        ElementTree.SubElement(track, "box", state)


def _printable(text: str) -> str:
    """The text without control characters, which XML 1.0 cannot hold."""
    return "".join(c if c.isprintable() else "?" for c in text)
