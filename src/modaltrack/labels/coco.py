# SPDX-License-Identifier: Apache-2.0
"""COCO-video JSON: COCO's images and annotations with videos and tracks, as TAO, YouTube-VIS tools and MMTracking read.

The two dialects differ in a few names, and both are written: ``frame_index`` and ``frame_id`` of an image, ``track_id``
and ``instance_id`` of an annotation.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from modaltrack.files import write_file
from modaltrack.labels.video_labels import VideoLabels


def write_coco(file: str | os.PathLike[str], clips: Sequence[VideoLabels]) -> Path:
    """Write the labels of one or more clips; frames count from 0, all identities from 1. -> the file."""
    return write_file(Path(file), json.dumps(coco_document(clips), ensure_ascii=False, allow_nan=False) + "\n")


def coco_document(clips: Sequence[VideoLabels]) -> dict[str, Any]:
    """The content of the JSON file."""
    names = list(dict.fromkeys(name for clip in clips for name in clip.categories))
    videos: list[dict[str, Any]] = []
    images: list[dict[str, Any]] = []
    tracks: list[dict[str, Any]] = []
    objects: list[dict[str, Any]] = []
    for video, clip in enumerate(clips, start=1):
        width, height = clip.size
        shape = {"width": width, "height": height}
        videos.append({"id": video, "name": clip.name, **shape, "length": clip.length, "fps": clip.fps})
        before = len(images)
        for frame in range(clip.length):
            place = {"video_id": video, "frame_index": frame, "frame_id": frame}
            images.append({"id": before + frame + 1, "file_name": clip.file(frame), **shape, **place})
        for target in clip.targets:
            category, track = names.index(target.category) + 1, len(tracks) + 1
            tracks.append({"id": track, "video_id": video, "category_id": category})
            for frame, box in target.rows():
                objects.append(
                    {
                        "id": len(objects) + 1,
                        "image_id": before + frame + 1,
                        "video_id": video,
                        "category_id": category,
                        "track_id": track,
                        "instance_id": track,
                        "bbox": box,
                        "area": box[2] * box[3],
                        "iscrowd": 0,
                    }
                )
    categories = [{"id": number, "name": name} for number, name in enumerate(names, start=1)]
    return {"videos": videos, "images": images, "tracks": tracks, "annotations": objects, "categories": categories}
