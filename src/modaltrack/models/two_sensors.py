# SPDX-License-Identifier: Apache-2.0
"""What trackers of RGB and one other sensor have in common on the outside: which sensors run, and for which samples."""

from __future__ import annotations

from modaltrack.frame import Modality
from modaltrack.models.parts.presence import rgb_and_other, run_by_presence
from modaltrack.models.prediction import Images, Prediction, Presence
from modaltrack.models.trunk import ViTTracker


class TwoSensorTracker(ViTTracker):
    """``model(template, search, present=None) -> Prediction`` on RGB and one other modality, either of which may lack.

    Missing modalities are [ours]; ``missing_policy`` of each method says what it does. A method writes ``run``.
    """

    def forward(self, template: Images, search: Images, present: Presence | None = None) -> Prediction:
        """Find the target.

        Args:
            template, search: normalised images per modality; a key missing in either counts as missing in all samples.
            present: per modality which samples have it, (B,) bool. A sample without any sensor gets a meaningless
                prediction.

        Raises:
            ValueError: no sample has any sensor, or the images are not of RGB and at most one known modality.
        """
        return run_by_presence(self.run, template, search, self.sensors(template, search), present)

    def sensors(self, template: Images, search: Images) -> list[Modality]:
        """RGB and X, RGB alone or X alone, in this order."""
        c = self.config
        return rgb_and_other(template, search, c.modalities, c.template_size, c.search_size)

    def run(self, template: Images, search: Images, sensors: list[Modality]) -> Prediction:
        """Samples that have exactly ``sensors``, as ``self.sensors`` lists them."""
        raise NotImplementedError
