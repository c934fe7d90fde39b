# SPDX-License-Identifier: Apache-2.0
"""From a model and frames to boxes: the step, the status, whole clips.

What happens when a sensor is missing ([ours]; the published trackers need every image of every frame):

* A modality that has no image in a frame counts as missing in that frame only; the others go on. RGB alone, another
  sensor alone and both may take turns within one clip.
* A modality that has no image in the first frame has no template. Its template is cut from the first later frame in
  which it has an image and the target's status is TRACKING, at the box tracked in that frame; until then it counts as
  missing. It is cut once and, like all templates, never updated (published).
* A frame without any usable image holds the box, with the score 0: UNCERTAIN, and LOST after ``Policy.lost_after`` of
  them. Nothing else changes.
* A frame with several sensors beside RGB, for a model that takes RGB and one other: each pair (RGB and that sensor)
  runs by itself, and the score, size and offset maps are averaged (weighted by the square of each pair's highest
  score) before the peak is looked for.
* Sensors that the model was not built for are ignored, with one warning at the start.
"""

from modaltrack.frame import TemplateMemory
from modaltrack.session.inputs import FrameLike, as_frame
from modaltrack.tracking.engine import ModelEngine
from modaltrack.tracking.policy import Policy
from modaltrack.tracking.run import TrackedBox, Tracker, follow, track, track_many
from modaltrack.tracking.state_rows import select
from modaltrack.tracking.step import start, step
from modaltrack.tracking.template_memory import TemplateUpdate

__all__ = [
    "FrameLike",
    "ModelEngine",
    "Policy",
    "TemplateMemory",
    "TemplateUpdate",
    "TrackedBox",
    "Tracker",
    "as_frame",
    "follow",
    "select",
    "start",
    "step",
    "track",
    "track_many",
]
