# SPDX-License-Identifier: Apache-2.0
"""What trackers of RGB and one other sensor have in common on the outside: which sensors run, and for which samples."""

from __future__ import annotations

from modaltrack.frame import Modality
from modaltrack.models.parts.presence import rgb_and_other, run_by_presence
from modaltrack.models.prediction import Images, Prediction, Presence
from modaltrack.models.trunk import ViTTracker


class TwoSensorTracker(ViTTracker):
    """``model(template, search, present=None) -> Prediction`` on RGB and one other modality, either of which may lack.

    Missing modalities are ours; ``missing_policy`` of each method says what it does. A method writes ``_run``.
    """

    def forward(self, template: Images, search: Images, present: Presence | None = None) -> Prediction:
        """Normalised images per modality -> Prediction.

        present: per modality which samples have it, (B,) bool; a key missing in an image mapping counts as missing for
        the whole batch. A sample without any sensor gets a meaningless prediction; a batch without any is an error.
        """
        c = self.config
        modalities = rgb_and_other(template, search, c.modalities, c.template_size, c.search_size)
        return run_by_presence(self._run, template, search, modalities, present)

    def _run(self, template: Images, search: Images, modalities: list[Modality]) -> Prediction:
        """Samples that have exactly ``modalities``, in this order: RGB and X, RGB alone or X alone."""
        raise NotImplementedError
