# SPDX-License-Identifier: Apache-2.0
"""What scoring reads and what it answers: plain data, numpy only, no logic beyond checks of shape.

Other rooms import these from ``modaltrack.scoring.engine``. Boxes are xywh pixels exactly as they were written;
whether an odd row is absent, invalid or repaired is decided by a protocol's switches, never while reading.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from modaltrack.frame import Result

Array: TypeAlias = NDArray[np.float64]


@dataclass(frozen=True)
class Truth:
    """Ground truth of one sequence.

    Attributes:
        boxes: (N, 4) xywh, nan rows where the target is absent.
        raw: (N, 4) the same rows as written (zeros, negative sizes and all); None where they are the same.
        boxes_by_modality: rows as written per modality ("visible", "infrared") where a benchmark annotates each.
        absent: (N,) True where the benchmark's label says absent, after its polarity was turned to this one; None where
            there is no label.
        attributes: names of the sequence's challenges.
        frame_attributes: name -> (N,) bool.
        rows: (N,) the row of a result file that belongs to each row here, where annotation is sparse (VTUAV: every
            tenth image); None: row by row.
        image_size: (width, height) pixels.
        anchors: (N,) VOT's anchor.value: > 0 start here and run forward, < 0 backward, 0 none.
        reward: COESOT's weight for BOC.
    """

    name: str
    boxes: Array
    raw: Array | None = None
    boxes_by_modality: Mapping[str, Array] = field(default_factory=dict)
    absent: NDArray[np.bool_] | None = None
    attributes: frozenset[str] = frozenset()
    frame_attributes: Mapping[str, NDArray[np.bool_]] = field(default_factory=dict)
    rows: NDArray[np.int64] | None = None
    image_size: tuple[int, int] | None = None
    anchors: Array | None = None
    reward: float | None = None

    @property
    def written(self) -> Array:
        """(N, 4) the rows as the benchmark wrote them."""
        return self.boxes if self.raw is None else self.raw

    @property
    def result_rows(self) -> int:
        """How many rows a result file has to have."""
        return len(self.written) if self.rows is None else int(self.rows.max()) + 1


@dataclass(frozen=True)
class Switches:
    """The choices in which published programs differ (docs/evaluation.md 0); the defaults are LasHeR's."""

    pooled: Literal["sequences", "frames"] = "sequences"
    precision_at: float = 20.0
    precision_test: Literal["<=", "<"] = "<="
    precision_step: float = 1.0
    error_decimals: int | None = None
    normalised_at: float = 0.2
    normalised_by: Literal["centres", "difference"] = "centres"
    success_points: int = 21
    success_area: Literal["mean", "trapezoid"] = "mean"
    pixels: Literal["inclusive", "continuous"] = "inclusive"
    clip_to_image: bool = False
    truth: Literal["one", "best of both", "best there is", "visible", "infrared"] = "one"
    first_frame: Literal["truth", "as written", "dropped"] = "truth"
    invalid_truth: Literal["any entry <= 0", "size <= 0", "x = 0", "nan", "not tested"] = "any entry <= 0"
    invalid_precision: Literal["hit", "miss"] = "hit"
    invalid_normalised: Literal["hit", "miss"] = "hit"
    absent: Literal["not used", "removed", "miss"] = "not used"
    denominator: Literal["all rows", "kept rows"] = "all rows"
    bad_prediction: Literal["copy previous", "copy if zero", "as written"] = "copy previous"
    length: Literal["exact", "shorter of both", "cut both", "pad with zeros"] = "exact"
    rounding: Literal["none", "corner files", "all"] = "none"
    zero_curves: Literal["dropped", "kept"] = "dropped"


@dataclass(frozen=True)
class Protocol:
    """How one benchmark is scored: declarative; ``compute`` replaces the whole engine where it is another family.

    Attributes:
        metrics: name of the score -> what of the engine it is: "precision" and "normalised" (value at the threshold),
            "precision mean" and "normalised mean" (mean of the curve), "success", "success@0.50" (one point of the
            curve), "average overlap", "boc".
        benchmark, split: whose truth, where it is not the protocol's name.
        sequences: how many the official list has, None unknown.
        verified: False where the official program could not be had.
        compute: replaces the engine: (protocol, truths, results, attributes) -> report.
    """

    name: str
    version: str
    metrics: Mapping[str, str]
    switches: Switches = Switches()
    benchmark: str = ""
    split: str | None = None
    sequences: int | None = None
    attributes: tuple[str, ...] = ()
    verified: bool = True
    source: str = ""
    compute: Callable[[Protocol, Sequence[Truth], Mapping[str, Result], bool], Report] | None = None


@dataclass(frozen=True)
class Sample:
    """A score as a function of sums over sequences, which makes resampling a product of matrices.

    Attributes:
        parts: (S, D), a row per sequence.
        value: (n, D) sums of such rows -> (n,) scores, nan where there is none.
    """

    parts: Array
    value: Callable[[Array], Array]


def ratio_of_sums(numerators: Array, denominators: Array) -> Sample:
    """A score that is sum / sum over sequences.

    Args:
        numerators, denominators: (S,).
    """
    return Sample(np.stack([numerators, denominators], axis=1), _ratio)


def _ratio(sums: Array) -> Array:
    return np.divide(sums[:, 0], sums[:, 1], np.full(len(sums), np.nan), where=sums[:, 1] > 0)


@dataclass(frozen=True)
class Report:
    """Scores (fractions 0..1) with all that is needed to read them.

    Attributes:
        repairs: what was changed -> how many times (frames or sequences, as the name says).
        per_sequence: sequence -> metric -> value, plus "frames".
        attributes: attribute -> metric -> value, plus "sequences".
        curves: name -> (thresholds, values).
        intervals: metric -> 95 % bootstrap interval over sequences.
        notes: sentences.
        samples: metric -> what it is made of, in the order of per_sequence.
    """

    protocol: str
    version: str
    switches: Mapping[str, Any]
    num_sequences: int
    scores: dict[str, float]
    per_sequence: dict[str, dict[str, float]] = field(default_factory=dict)
    attributes: dict[str, dict[str, float]] = field(default_factory=dict)
    repairs: dict[str, int] = field(default_factory=dict)
    curves: dict[str, tuple[Array, Array]] = field(default_factory=dict)
    intervals: dict[str, tuple[float, float]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    samples: dict[str, Sample] = field(default_factory=dict)
    benchmark: str = ""
