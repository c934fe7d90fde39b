# SPDX-License-Identifier: Apache-2.0
"""What the tracker believes and what it allows: thresholds, guard rails and the search for a lost target."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from modaltrack.boxes import clip_box, cxcywh_to_xywh, xywh_to_cxcywh
from modaltrack.frame import Status
from modaltrack.models.model import Model, declared
from modaltrack.tracking.template_memory import TemplateUpdate


@dataclass(frozen=True, slots=True)
class Policy:
    """Rules around the model; all of it is [ours] except ``margin`` = 10 and no rules at all (``Policy.published()``).

    Attributes:
        tracking_threshold: a windowed score (0..1) from here on is TRACKING.
        lost_threshold: below it the peak is not believed at all: the box is held. In between is UNCERTAIN: the centre
            follows the peak and the size is held (``hold_size``), since the size at a weak peak goes wrong first.
        lost_after: LOST is a score below ``lost_threshold`` after this many frames in a row without TRACKING, it
            included.
        max_size_change: largest factor by which width and height may change from one frame to the next. Real targets
            stay under 1.2 at video rates; 1.6 also lets a box recover within a few frames when its target comes in from
            the border, and stops a wild size from blowing up the next search crop.
        max_total_change: the same against the box the user gave, over the whole clip.
        size_smoothing: share of the previous size in the new one, 0 (published: none) to below 1; 0.3 was the better on
            the validation clips of the scenes.
        margin: smallest width and height in pixels, and what has to stay inside the image. The published trackers take
            10, which would inflate a target of 8 pixels in its first frame; 2 here.
        lost_search_growth, lost_search_limit: while LOST, the search crop's side is multiplied by growth ** (frames
            since LOST began), up to the limit; 1 keeps it.
        lost_window: share of the Hann window that is kept while LOST, 1 (published) to 0 (none): a window pulls to a
            place where the target is known not to be.
        second_look, second_look_window, second_look_margin: where the best windowed score of a frame is below
            ``tracking_threshold``, the frame is searched once more with the crop's side times ``second_look`` and that
            share of the window; what is found there counts if its windowed score reaches ``tracking_threshold`` and
            beats the first look's by the margin. It finds targets that jumped (dropped frames, low frame rates), whose
            score the window has all but erased. In the first such frame after TRACKING, each sensor is in the end asked
            by itself, by the same rule, unless one is an event camera. ``second_look`` 1 is no second look.
        redetect: while LOST, how many places of the whole image are searched beside the last one in every frame,
            nearest first and then on through all of them, so that a target that left and came back elsewhere is found;
            0 for none. Each costs a pass of the model. What is found counts from ``redetect_threshold`` on.
        hold_box: whether a peak below ``lost_threshold`` holds the box; False believes every peak, as published.
        window_influence: None multiplies the score with the window (OSTrack's rule); a number w of at least 0 and below
            1 takes (1 - w) * score + w * window instead, where the score is penalised, and the score of a target is the
            penalised score at the peak, without the window (SiamRPN's rule).
        size_penalty: k in exp(-k * (c - 1)), the factor on the score of a cell whose box changes its scale or its
            aspect ratio, c being the product of both changes; 0 is none (SiamRPN's rule).
        size_rate: None smooths by ``size_smoothing``; a number r takes r * score of the new size (SiamRPN's rule).
        template_update: for models that take a second template, when and from which frame it is cut.
    """

    tracking_threshold: float = 0.4
    lost_threshold: float = 0.2
    lost_after: int = 5
    hold_size: bool = True
    hold_box: bool = True
    max_size_change: float = 1.6
    max_total_change: float = 8.0
    size_smoothing: float = 0.3
    margin: float = 2.0
    lost_search_growth: float = 1.5
    lost_search_limit: float = 2.0
    lost_window: float = 0.5
    second_look: float = 1.5
    second_look_window: float = 0.4
    second_look_margin: float = 0.2
    redetect: int = 0
    redetect_threshold: float = 0.6
    window_influence: float | None = None
    size_penalty: float = 0.0
    size_rate: float | None = None
    template_update: TemplateUpdate = field(default_factory=TemplateUpdate)

    def __post_init__(self) -> None:
        checks = {
            "0 <= lost_threshold <= tracking_threshold <= 1": 0 <= self.lost_threshold <= self.tracking_threshold <= 1,
            "lost_after >= 1": self.lost_after >= 1,
            "max_size_change >= 1": self.max_size_change >= 1,
            "max_total_change >= 1": self.max_total_change >= 1,
            "0 <= size_smoothing < 1": 0 <= self.size_smoothing < 1,
            "margin >= 1": 1 <= self.margin < math.inf,
            "1 <= lost_search_growth": 1 <= self.lost_search_growth < math.inf,
            "1 <= lost_search_limit <= 8": 1 <= self.lost_search_limit <= 8,
            "0 <= lost_window <= 1": 0 <= self.lost_window <= 1,
            "1 <= second_look <= 8": 1 <= self.second_look <= 8,
            "0 <= redetect <= 64": 0 <= self.redetect <= 64,
            "0 < redetect_threshold <= 1": 0 < self.redetect_threshold <= 1,
            "0 <= second_look_window <= 1": 0 <= self.second_look_window <= 1,
            "0 <= window_influence < 1": 0 <= (self.window_influence or 0) < 1,
            "0 <= size_penalty": 0 <= self.size_penalty < math.inf,
            "0 < size_rate <= 1": self.size_rate is None or 0 < self.size_rate <= 1,
        }
        for rule, holds in checks.items():
            if not holds:
                raise ValueError(f"The policy {self} breaks the rule {rule}; change that field.")

    @classmethod
    def of(cls, model: Model, **fields: object) -> Policy:
        """The default policy with these replaced, in this order: what the model declares in ``model.policy`` (its
        method's rule), the thresholds of its card, ``fields``.
        """
        model = declared(model)
        thresholds = model.card.get("thresholds") or {}
        known: dict[str, Any] = {
            f"{k}_threshold": float(thresholds[k]) for k in ("tracking", "lost") if k in thresholds
        }
        if model.judges:
            # only a confidence that was taught on other targets can be believed anywhere in the image, and it is about
            # the whole box, so that a size need not be held below the threshold of TRACKING
            known |= {"redetect": 2, "hold_size": False}
        chosen: dict[str, Any] = {**model.policy, **known, **fields}
        return cls(**chosen)

    @classmethod
    def published(cls) -> Policy:
        """What the authors do (docs/methods/ostrack.md 7): every peak believed, every size adopted, margin 10."""
        return cls(
            0.0,
            0.0,
            max_size_change=math.inf,
            max_total_change=math.inf,
            margin=10.0,
            lost_search_growth=1.0,
            size_smoothing=0.0,
            second_look=1.0,
        )

    def search_growth(self, status: NDArray[np.int64], unseen: NDArray[np.int64]) -> NDArray[np.float64]:
        """(B,) factor on the side of the search crop."""
        frames = np.clip(unseen - self.lost_after + 1, 0, 64)  # 64: beyond every limit, before every overflow
        grown = np.minimum(self.lost_search_growth**frames, self.lost_search_limit)
        return np.where(status == Status.LOST, grown, 1.0)

    def window_share(self, status: NDArray[np.int64]) -> NDArray[np.float64]:
        """(B,) share of the Hann window in the response."""
        return np.where(status == Status.LOST, self.lost_window, 1.0)

    def judge(
        self, score: NDArray[np.float64], unseen: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Scores (B,) and frames without TRACKING before this one (B,) -> status (B,), frames without it now (B,)."""
        tracking = (score >= self.tracking_threshold) & (score > 0)  # 0: nothing was seen
        unseen = np.where(tracking, 0, unseen + 1)
        lost = (score < self.lost_threshold) & (unseen >= self.lost_after)
        status = np.where(tracking, Status.TRACKING, np.where(lost, Status.LOST, Status.UNCERTAIN))
        return status.astype(np.int64), unseen.astype(np.int64)

    def response(
        self, score: torch.Tensor, size: torch.Tensor, window: torch.Tensor, previous: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Where to look for the peak, and what the score of a cell is: both (B, 1, H, W).

        Args:
            score: (B, 1, H, W).
            size: (B, 2, H, W) width and height in crops.
            window: (B, 1, H, W), the part of the Hann window that counts.
            previous: (B, 2) width and height of the previous box in crops.

        Source: SiamRPN (Li et al., CVPR 2018), section 4.3, for penalty and added window.
        """
        if self.size_penalty:
            was, now = previous[:, :, None, None].clamp(min=1e-6), size.clamp(min=1e-6)
            scale = _padded_side(now) / _padded_side(was)  # (B, H, W)
            ratio = (now[:, 0] / now[:, 1]) / (was[:, 0] / was[:, 1])
            change = torch.maximum(scale, 1 / scale) * torch.maximum(ratio, 1 / ratio)
            score = score * torch.exp(-self.size_penalty * (change - 1))[:, None]
        if self.window_influence is None:
            score = score * window
            return score, score
        return (1 - self.window_influence) * score + self.window_influence * window, score

    def next_box(
        self,
        previous: NDArray[np.float64],
        predicted: NDArray[np.float64],
        score: ArrayLike,
        initial_size: NDArray[np.float64],
        height: float | NDArray[np.int64],
        width: float | NDArray[np.int64],
    ) -> NDArray[np.float64]:
        """The next xywh boxes (..., 4): the predictions as far as they are believed, inside their images.

        Args:
            previous, predicted: (..., 4) xywh.
            score, height, width: (...).
            initial_size: (..., 2) width and height.
        """
        score, was = np.asarray(score, np.float64)[..., None], previous[..., 2:]
        centre, size = np.split(xywh_to_cxcywh(predicted), 2, -1)
        kept = self.size_smoothing if self.size_rate is None else 1 - self.size_rate * score
        size = kept * was + (1 - kept) * size
        size = np.clip(size, was / self.max_size_change, was * self.max_size_change)
        size = np.clip(size, initial_size / self.max_total_change, initial_size * self.max_total_change)
        if self.hold_size:
            size = np.where(score < self.tracking_threshold, was, size)
        size = np.minimum(size, np.stack([width, height], -1))
        box = cxcywh_to_xywh(np.concatenate([centre, size], -1))
        if self.hold_box:
            box = np.where(score < self.lost_threshold, previous, box)
        return np.asarray(clip_box(box, height, width, self.margin), np.float64)


def _padded_side(size: torch.Tensor) -> torch.Tensor:
    """(B, 2, ...) width and height -> (B, ...) the side of the square around the box with half its sizes as context."""
    width, height = size.unbind(1)
    context = (width + height) / 2
    return torch.sqrt((width + context) * (height + context))
