# SPDX-License-Identifier: Apache-2.0
"""How many threads compute, and how they wait: settled before torch is imported, which reads both only once.

torch's threads (OpenMP) meet after every operator and, by default, wait there by spinning. Beside another busy process
the spinning thread takes the core that the other one needs: 1,050 ms a frame on two busy cores, 118 ms where they sleep
while they wait, 93 ms with one thread. Waking up costs as well: with two threads on a quiet machine the laptop model
takes 105 ms where they sleep at once, 40 ms where they spin for some microseconds first, 55 ms with one thread; beside
a busy process 78, 150 and 62. So they spin a little and then sleep, unless the environment says otherwise.
"""

from __future__ import annotations

import os
import sys
from collections.abc import MutableMapping
from pathlib import Path

MOST = 1024
OWN = ("train", "study", "bench")  # commands with an option --threads of their own
# GNU's OpenMP (turns of spinning before it sleeps), Intel's and LLVM's
_WAITING = {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "2000", "KMP_BLOCKTIME": "0"}


def take_option(words: list[str]) -> tuple[list[str], int | None]:
    """The words of a command line without ``--threads N``, and N.

    Raises:
        ValueError: For a number of threads that is none.
    """
    for place, word in enumerate(words):
        if word == "--threads" or word.startswith("--threads="):
            _, equals, text = word.partition("=")
            left = words[:place] + words[place + (1 if equals else 2) :]
            text = text if equals else (words[place + 1] if place + 1 < len(words) else "")
            if not (text.isascii() and text.isdigit() and 1 <= int(text[:5]) <= MOST):
                raise ValueError(f"--threads is {text or 'empty'}; give a number of threads from 1 to {MOST}")
            if any(other.split("=")[0] == "--threads" for other in left):
                raise ValueError("--threads is given more than once; give it one value")
            return left, int(text)
    return words, None


def settle(count: int | None = None, environment: MutableMapping[str, str] = os.environ) -> None:
    """Let torch's threads sleep while they wait, and be ``count``, or as many as this process may use cores.

    What the environment says already stays, but for the number where ``count`` is given.
    """
    if not {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME"} & set(environment):
        environment.update(_WAITING)
    if count is not None:
        environment["OMP_NUM_THREADS"] = environment["MKL_NUM_THREADS"] = str(count)
    elif not {"OMP_NUM_THREADS", "MKL_NUM_THREADS"} & set(environment):
        quota = cpu_quota()
        if quota is not None and quota < cores():  # torch knows affinity, but not what a container may use
            environment["OMP_NUM_THREADS"] = environment["MKL_NUM_THREADS"] = str(max(1, int(quota)))
    if "torch" in sys.modules and count is not None:  # a library call, or a second command in one process
        sys.modules["torch"].set_num_threads(count)


def cores() -> int:
    """Cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def cpu_quota(root: Path = Path("/sys/fs/cgroup")) -> float | None:
    """Cores' worth of time that a container gives this process; None without a limit."""
    try:
        if (root / "cpu.max").exists():
            quota, period = (root / "cpu.max").read_text().split()
        else:
            quota = (root / "cpu/cpu.cfs_quota_us").read_text()
            period = (root / "cpu/cpu.cfs_period_us").read_text()
        return int(quota) / int(period) if int(quota) > 0 else None
    except (OSError, ValueError):  # "max": no limit
        return None


def in_words() -> str:
    """How the threads wait, for people."""
    asleep = os.environ.get("OMP_WAIT_POLICY", "").upper() == "PASSIVE" or os.environ.get("KMP_BLOCKTIME") == "0"
    waiting = "asleep while they wait" if asleep else "busy while they wait (slow beside other busy processes)"
    quota = cpu_quota()
    limit = f", limited to {quota:g} cores' time" if quota is not None else ""
    load = f"; the machine's load is {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    return f"of {cores()} cores{limit}, {waiting}{load}"
