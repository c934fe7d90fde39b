# SPDX-License-Identifier: Apache-2.0
"""Two cameras for ten minutes: 25 and 9 images per second, the slow one 300 ms late, pulled twice, killed in the end.

    python benchmarks/live_policy.py --minutes 10

Prints what the policy for live sources promises beside what was measured, and ends with 1 where a promise is broken.
``tests/sources/test_live_policy.py`` runs the same for some seconds and asserts what holds on a busy machine.
"""

from __future__ import annotations

import argparse
import os
import sys
import threading
import time
import warnings
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from tests.sources.fake_camera import HttpCamera

from modaltrack.frame import Modality
from modaltrack.sources import SourceWarning, open_clip

FAST, SLOW, DELAY = 25.0, 9.0, 0.3
BOTH = {Modality.RGB, Modality.THERMAL}
# shares of the run: both are there until the first, then the slow one is pulled, plugged in again, ..., killed
PULLED, PLUGGED, PULLED_AGAIN, PLUGGED_AGAIN, KILLED = 0.2, 0.35, 0.5, 0.65, 0.8


@dataclass
class Trial:
    """What was seen of a run.

    Attributes:
        at, latency: of every frame, when it was handed out and how old its RGB image was then, seconds.
        both: whether it had both sensors.
        back: seconds from each return of the slow camera to the first frame that has it.
        memory: megabytes, about every second.
        said: the warnings.
        facts: the clip's own counts.
    """

    at: list[float] = field(default_factory=list)
    latency: list[float] = field(default_factory=list)
    both: list[bool] = field(default_factory=list)
    back: list[float] = field(default_factory=list)
    memory: list[float] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    facts: dict[str, dict[str, float]] = field(default_factory=dict)

    def count(self, words: str) -> int:
        """How many warnings hold these words."""
        return sum(words in text for text in self.said)


def resident_megabytes() -> float:
    """Memory of this process, nan where the system does not say."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except (OSError, ValueError, IndexError):
        return float("nan")
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def run(seconds: float, step: float = 0.005) -> Trial:
    """Follow both cameras for so long; ``step`` is how long a tracker would take for a frame."""
    trial, stop = Trial(), threading.Event()
    with (
        HttpCamera(FAST) as rgb,
        HttpCamera(SLOW, delay=DELAY) as thermal,
        warnings.catch_warnings(record=True) as caught,
    ):
        warnings.simplefilter("always", SourceWarning)
        clip = open_clip({"rgb": rgb.url, "thermal": thermal.url}, offsets={"thermal": -DELAY})
        plan = [
            (PULLED, thermal.unplug),
            (PLUGGED, thermal.plug),
            (PULLED_AGAIN, thermal.unplug),
            (PLUGGED_AGAIN, thermal.plug),
            (KILLED, thermal.unplug),
        ]
        with closing(clip.frames(stop)) as frames:
            began = returned = None
            for frame in frames:
                now = time.monotonic()
                began = now if began is None else began
                both = set(frame.images) == BOTH
                trial.at.append(now)
                trial.both.append(both)
                if Modality.RGB in frame.captured:
                    trial.latency.append(now - frame.captured[Modality.RGB])
                if now - began >= len(trial.memory):
                    trial.memory.append(resident_megabytes())
                if both and returned is not None:
                    trial.back.append(now - returned)
                    returned = None
                if plan and now - began >= plan[0][0] * seconds:
                    act = plan.pop(0)[1]
                    act()
                    returned = time.monotonic() if act == thermal.plug else returned
                if now - began >= seconds:
                    break
                time.sleep(step)
            trial.facts = clip.live_facts() or {}
        trial.said = [str(warning.message) for warning in caught]
    return trial


def promises(trial: Trial) -> list[tuple[str, str, bool]]:
    """What is promised, what was measured, and whether it holds."""
    latency = 1000 * np.array(trial.latency)
    warm = np.array(trial.memory[len(trial.memory) // 10 :])
    growth = float(100 * (np.median(warm[-10:]) / np.median(warm[:10]) - 1))
    back = ", ".join(f"{seconds:.2f}" for seconds in trial.back)
    worst = float(np.quantile(latency, 0.999))  # of gaps between frames a busy sender has its share
    return [
        (
            "median latency of the fast camera under 1.5 intervals (60 ms)",
            f"{np.median(latency):.1f} ms",
            bool(np.median(latency) < 1500 / FAST),
        ),
        ("no frame waits for the slow camera (99.9 % of latencies under 200 ms)", f"{worst:.0f} ms", worst < 200),
        ("memory flat (5 %)", f"{growth:+.1f} %", abs(growth) < 5),
        ("the slow camera is back within 2 s, twice", f"{back} s", len(trial.back) == 2 and max(trial.back) < 2),
        ("one sentence per outage, three outages", f"{trial.count('breaks off')}", trial.count("breaks off") == 3),
        ("one sentence per return, two returns", f"{trial.count('is back')}", trial.count("is back") == 2),
    ]


def main() -> int:
    """Run and print; -> 1 where a promise is broken."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--minutes", type=float, default=10.0)
    options.add_argument("--step", type=float, default=0.005, help="seconds a tracker takes for a frame")
    given = options.parse_args()
    trial = run(60 * given.minutes, given.step)
    rows = promises(trial)
    for what, measured, holds in rows:
        print(f"{'holds ' if holds else 'BROKEN'}  {what}: {measured}")
    for sensor in ("rgb", "thermal"):
        print(sensor, trial.facts.get(sensor))
    return 0 if all(holds for _, _, holds in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
