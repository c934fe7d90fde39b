# SPDX-License-Identifier: Apache-2.0
"""Labels out: boxes of a clip as other programs and trainings read them. No torch in here.

``VideoLabels`` says what is known of one clip; ``write_clip``, ``write_coco``, ``write_mot``, ``write_cvat`` write it.
"""

from modaltrack.labels.clip_folder import write_clip
from modaltrack.labels.coco import write_coco
from modaltrack.labels.cvat import write_cvat
from modaltrack.labels.mot import write_mot
from modaltrack.labels.run import read_run
from modaltrack.labels.video_labels import TargetLabels, VideoLabels

__all__ = [
    "TargetLabels",
    "VideoLabels",
    "read_run",
    "write_clip",
    "write_coco",
    "write_cvat",
    "write_mot",
]
