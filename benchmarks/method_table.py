# SPDX-License-Identifier: Apache-2.0
"""The table of docs/methods.md: every registered model's size, cost, speed and agreement with its authors' outputs.

    python benchmarks/method_table.py --models tpf-tiny sdstrack-tiny   # measure these; the other rows stay
    python benchmarks/method_table.py                                   # measure every registered model

Rows are kept in benchmarks/method_table.json and written into docs/methods.md between its two marks. Each model is
measured in a process of its own; a frame is the crops of all sensors from a 1280 x 720 image and one forward pass.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
ROWS, PAGE = ROOT / "benchmarks" / "method_table.json", ROOT / "docs" / "methods.md"
BEGIN, END = "<!-- made by benchmarks/method_table.py: begin -->", "<!-- made by benchmarks/method_table.py: end -->"

# What the papers report of their own systems, not of ours: (numbers, where they stand). After the specs.
PUBLISHED = {
    "ostrack": ("LaSOT AUC 69.1", "Ye et al., ECCV 2022 (as quoted in its issue 21)"),
    "sdstrack": (
        "LasHeR PR 66.5, SR 53.1; RGBT234 MPR 84.8, MSR 62.5; DepthTrack F 61.4; VisEvent PR 76.7, SR 59.7; "
        "20.9 frames/s on an RTX 3090 Ti",
        "Hou et al., CVPR 2024, arXiv 2403.16002",
    ),
    "srtrack": (
        "LasHeR PR 77.8; RGBT234 MPR 93.3; DepthTrack recall 67.1; VOT-RGBD2022 EAO 77.7; VisEvent PR 81.5; "
        "FE108 SR 70.8",
        "Chen et al., arXiv 2508.17488, second-hand from a leaderboard, variant not stated",
    ),
    "smstracker": ("not known to us", "Chan et al., ICCV 2025: its tables could not be read"),
    "ainet": (
        "LasHeR PR 74.2, NPR 70.1, SR 59.1; RGBT234 PR 89.2, SR 67.3; RGBT210 PR 87.5, SR 64.8; VTUAV PR 89.3, SR 77.4",
        "Lu et al., AAAI 2025, README of its repository",
    ),
    "tpf": (
        "LasHeR PR 75.1, NPR 71.3, SR 59.5: of the authors' system, **not of this design**",
        "Lu et al., arXiv 2503.11247, second-hand summary",
    ),
}


def memory(field: str) -> float | None:
    """MiB of this process: VmRSS (now) or VmHWM (its peak); None where the system does not say."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith(field)), None)


def processor_seconds() -> tuple[float, float, float]:
    """(clock, processor time of the whole machine, of this process) so far; without /proc the machine's is ours."""
    own = time.process_time()
    try:
        ticks = [int(word) for word in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
    except OSError:
        return time.perf_counter(), own, own
    idle = ticks[3] + ticks[4]  # idle, waiting for a disk
    return time.perf_counter(), (sum(ticks) - idle) / os.sysconf("SC_CLK_TCK"), own


def measure(name: str, threads: int, rounds: int) -> dict[str, Any]:
    """All numbers of one model, in this process."""
    import torch
    from bench_models import frame_of
    from torch.utils.flop_counter import FlopCounterMode

    from modaltrack import models

    torch.set_num_threads(threads)
    torch.manual_seed(0)
    before = memory("VmRSS")
    model = models.create(name).eval()
    config, method = model.config, name.rsplit("-", 1)[0]
    row: dict[str, Any] = {
        "name": name,
        "parameters": sum(p.numel() for p in model.parameters()),
        "template": config.template_size,
        "search": config.search_size,
        "sensors": list(config.modalities),
        "missing": getattr(model, "missing_policy", None),
        "threads": threads,
        "torch": torch.__version__,
    }
    start = processor_seconds()
    for batch, turns in ((1, rounds), (8, max(2, rounds // 2))):
        run = frame_of(model, batch, "cpu", torch.float32)
        run()
        peak = memory("VmHWM")
        if batch == 1 and before is not None and peak is not None:
            row["peak_mib"] = round(peak - before)
        wall, spent = [], []
        for _ in range(turns):
            began = time.perf_counter(), time.process_time()
            run()
            wall.append((time.perf_counter() - began[0]) * 1e3 / batch)
            spent.append((time.process_time() - began[1]) * 1e3 / batch)
        row[f"batch_{batch}"] = {
            "ms_median": round(statistics.median(wall), 2),
            "ms_fastest": round(min(wall), 2),
            "cpu_ms_fastest": round(min(spent), 2),
            "rounds": turns,
        }
    clock, machine, own = (end - begin for begin, end in zip(start, processor_seconds()))
    row["others"] = round(max(0.0, machine - own) / clock, 2)  # cores that others kept busy meanwhile
    with FlopCounterMode(display=False) as counter:
        frame_of(model, 1, "cpu", torch.float32)()
    row["gmacs"] = round(counter.get_total_flops() / 2e9, 2)
    if name.endswith("-base"):
        del model
        row["reference_error"] = reference_error(method)
    return row


def reference_error(method: str) -> dict[str, float] | None:
    """Largest absolute difference of each map from the authors' own outputs; None where there are none."""
    import numpy as np
    import torch

    sys.path.insert(0, str(ROOT))
    from tests.reference.fill import draw, reference, values

    from modaltrack.models import from_authors

    if not (ROOT / "tests" / "reference" / f"{method}.npz").exists():
        return None
    stored = reference(method)
    seed = stored["meta"]["seed"]
    state = {name: torch.from_numpy(np.asarray(values(name, shape, seed))) for name, shape in stored["names"]}
    model, _ = from_authors(method, state)
    images = [
        torch.from_numpy(draw(role, (2, 6, size, size), seed)) for role, size in (("template", 128), ("search", 256))
    ]
    keys = ("rgb",) if method == "ostrack" else ("rgb", "thermal")
    with torch.inference_mode():
        found = model(*(dict(zip(keys, (image[:, :3], image[:, 3:]))) for image in images))
    kind = next(k for k in ("infer", "sigma1") if f"{k}_score_map" in stored)
    maps = ("score_map", "size_map", "offset_map")
    return {m: float(np.abs(getattr(found, m).numpy() - stored[f"{kind}_{m}"]).max()) for m in maps}


def tables(rows: list[dict[str, Any]]) -> str:
    """The two tables and what has to be said beside them."""
    lines = [
        "| model | parameters | GMACs | template / search | ms per frame, batch 1 | batch 8 | peak MiB | "
        "reference error |",
        "|---|---:|---:|---|---:|---:|---:|---|",
    ]
    for row in rows:
        error = row.get("reference_error")
        shown = f"{max(error.values()):.1e}" if error else "-"
        speed = [f"{b['ms_fastest']:.0f} ({b['cpu_ms_fastest']:.0f})" for b in (row["batch_1"], row["batch_8"])]
        lines.append(
            f"| `{row['name']}` | {row['parameters'] / 1e6:.1f} M | {row['gmacs']:.1f} "
            f"| {row['template']} / {row['search']} | {speed[0]} | {speed[1]} | {row.get('peak_mib', '-')} | {shown} |"
        )
    others = sorted({row["others"] for row in rows})
    threads = sorted({row["threads"] for row in rows})
    lines += [
        "",
        f"Float32, {' or '.join(map(str, threads))} of {os.cpu_count()} cores, torch {rows[0]['torch']}. ms: the "
        f"fastest of {min(r['batch_8']['rounds'] for r in rows)} or more rounds by the clock, in brackets the "
        "processor time of all threads together. GMACs: matrix products, convolutions and "
        "attention of one frame; selective scans are "
        "not counted. Peak: memory that one frame at batch 1 adds to the process, weights included. Reference error: "
        "the largest difference of the score, size and offset maps from the authors' own outputs on drawn weights "
        "(`tests/reference`); - where there is none to compare with.",
    ]
    lines[-1] += f" Other programs kept {others[0]:g} to {others[-1]:g} cores busy meanwhile."
    if others[-1] > 0.2:
        lines.append(
            "\n**The machine was shared while this was measured**: times by the clock are too long, processor times "
            "are closer to the truth. Run the command again on a quiet machine."
        )
    lines += ["", "| method | sensors | without one of them | published results of the authors' own system | source |"]
    lines.append("|---|---|---|---|---|")
    for method, row in {row["name"].rsplit("-", 1)[0]: row for row in rows}.items():
        second = [m for m in row["sensors"] if m != "rgb"]
        numbers, source = PUBLISHED.get(method, ("-", "-"))
        sensors = "RGB" + (f" and one of {', '.join(second)}" if second else "")
        missing = row["missing"] if second else "It reads one image; there is nothing to be missing."
        lines.append(f"| {method} | {sensors} | {missing or 'not declared'} | {numbers} | {source} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="*", help="default: all; none at all: only write the page from the rows")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--one", help="measure this model in this process and print its row")
    given = parser.parse_args()
    if given.one:
        print(json.dumps(measure(given.one, given.threads, given.rounds)))
        return
    from modaltrack.models import list_models

    names = sorted(list_models(), key=lambda name: (name.endswith("-base"), name))  # the quick ones first
    kept = {row["name"]: row for row in json.loads(ROWS.read_text())} if ROWS.exists() else {}
    for name in names if given.models is None else given.models:
        words = [
            sys.executable,
            __file__,
            "--one",
            name,
            "--threads",
            str(given.threads),
            "--rounds",
            str(given.rounds),
        ]
        environment = {**os.environ, "OMP_NUM_THREADS": str(given.threads)}
        done = subprocess.run(words, check=True, capture_output=True, text=True, env=environment)
        kept[name] = json.loads(done.stdout.splitlines()[-1])
        print(done.stdout.splitlines()[-1], flush=True)
        rows = [kept[n] for n in sorted(kept) if n in names]
        ROWS.write_text(json.dumps(rows, indent=1) + "\n")
    rows = [kept[n] for n in sorted(kept) if n in names]
    page = PAGE.read_text(encoding="utf-8")
    head, _, rest = page.partition(BEGIN)
    _, _, tail = rest.partition(END)
    PAGE.write_text(f"{head}{BEGIN}\n\n{tables(rows)}\n\n{END}{tail}", encoding="utf-8")


if __name__ == "__main__":
    main()
