# SPDX-License-Identifier: Apache-2.0
"""An ML backend for Label Studio: continue video rectangles. Run it with: label-studio-ml start examples/label_studio

Environment: ``MODALTRACK_MODEL`` (a name or a file, default modaltrack-laptop), ``MODALTRACK_FRAMES`` (how many frames
to track at once, default 0 = to the end of the video) and ``MODALTRACK_SENSOR`` (default rgb).
"""

import os

from label_studio_ml.model import LabelStudioMLBase
from label_studio_ml.response import ModelResponse

import modaltrack
from modaltrack.integrations import track_regions

_MODELS = {}  # one per process: Label Studio makes a new backend for every request


class ModaltrackBackend(LabelStudioMLBase):
    """Follows every region of the request from its last keyframe on."""

    def predict(self, tasks, context=None, **kwargs):
        """Regions with their sequences continued; nothing before somebody has drawn one."""
        regions = (context or {}).get("result") or []
        if not regions:
            return ModelResponse(predictions=[])
        name = os.environ.get("MODALTRACK_MODEL", "modaltrack-laptop")
        if name not in _MODELS:
            _MODELS[name] = modaltrack.load_model(name)
        _, _, value = self.get_first_tag_occurence("VideoRectangle", "Video")
        video = self.get_local_path(tasks[0]["data"][value], task_id=tasks[0]["id"])
        frames, sensor = int(os.environ.get("MODALTRACK_FRAMES", "0")), os.environ.get("MODALTRACK_SENSOR", "rgb")
        found = track_regions(_MODELS[name], video, regions, frames, sensor)
        return ModelResponse(predictions=[{"result": found, "model_version": name}])
