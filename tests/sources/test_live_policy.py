# SPDX-License-Identifier: Apache-2.0
"""The ten minutes of ``benchmarks/live_policy.py`` in some seconds: counts and orders that hold on a busy machine."""

from __future__ import annotations

import numpy as np
import pytest
from benchmarks.live_policy import Trial, run


@pytest.fixture(scope="module")
def trial() -> Trial:
    return run(16.0)


def test_each_outage_and_each_return_is_said_once(trial: Trial) -> None:
    assert trial.count("breaks off") == 3
    assert trial.count("is back") == 2
    assert trial.facts["thermal"]["outages"] == 3
    assert trial.facts["rgb"]["outages"] == 0


def test_the_slow_camera_comes_back_twice(trial: Trial) -> None:
    assert len(trial.back) == 2
    assert 20 < sum(trial.both) < len(trial.both)


def test_a_camera_that_is_gone_for_good_keeps_the_rate_that_was_measured(trial: Trial) -> None:
    assert trial.facts["thermal"]["images_per_second"] < 18  # it had 9; its stream states 25, as the other's does


def test_no_frame_waits_for_the_slow_camera(trial: Trial) -> None:
    """Waiting for the slow one would give 9 frames a second at most, and none at all in the outages."""
    alone = np.diff(trial.at)[~np.array(trial.both[1:])]
    assert len(alone) > 30
    assert np.median(alone) < 2 / 9
    assert len(trial.at) > 1.3 * trial.facts["thermal"]["received"]


def test_memory_does_not_grow(trial: Trial) -> None:
    """A queue of images would grow by 25 x 9 kB a second; what Python keeps for itself is a few megabytes."""
    first, last = np.median(trial.memory[2:5]), np.median(trial.memory[-3:])
    assert np.isnan(last) or last - first < 0.05 * first


def test_a_model_slower_than_the_camera_has_a_bounded_latency() -> None:
    trial = run(3.0, step=0.25)
    assert trial.facts["rgb"]["dropped"] > 2 * trial.facts["rgb"]["used"]
    late = np.array(trial.latency)
    assert np.median(late[len(late) // 2 :]) < 1.0  # a queue would have grown to 2 s and more
