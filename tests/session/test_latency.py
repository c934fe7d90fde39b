# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import pytest

from modaltrack.frame import Frame, Modality, Row
from modaltrack.session import Latency

RGB, THERMAL = Modality.RGB, Modality.THERMAL


def row(index: int, finished: float, captured: dict[Modality, float]) -> Row:
    frame = Frame({}, index=index, captured=captured)
    return Row("", index, frame, np.ones((1, 4)), np.ones(1), np.zeros(1, np.int64), 0.0, finished)


def test_median_high_and_worst_without_the_first_row() -> None:
    latency = Latency()
    latency.row(row(0, 99.0, {RGB: 0.0}))  # somebody drew a box
    for k in range(1, 101):  # 1 to 100 ms; thermal is 50 ms older
        latency.row(row(k, k + k / 1000, {RGB: float(k), THERMAL: k - 0.05}))
    facts = latency.facts()
    assert facts is not None
    assert facts["median"] == pytest.approx(0.0505)
    assert facts["95%"] == pytest.approx(0.095)
    assert facts["worst"] == pytest.approx(0.1)
    assert facts["frames"] == 100
    assert facts["median_age_of_image"] == {"rgb": pytest.approx(0.0505), "thermal": pytest.approx(0.1005)}
    assert latency.last == pytest.approx(0.1)


def test_recordings_have_none() -> None:
    latency = Latency()
    for index in range(3):
        latency.row(row(index, float(index), {}))
    assert latency.facts() is None
    assert np.isnan(latency.last)
