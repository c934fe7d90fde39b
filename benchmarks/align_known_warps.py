# SPDX-License-Identifier: Apache-2.0
"""``modaltrack align`` on registered pictures of two sensors, one of them warped by known homographies.

``python benchmarks/align_known_warps.py DATA [--only WORD] [--pairs 12] [--warps 20] [--perspective .01] [--out F]``.
DATA is the folder of real pictures (``rgbt/CLIP/{rgb,aux}``, ``train/pairs/SET/{rgb,aux}``). A warp turns by up to 5
degrees, zooms by .9 to 1.1, shifts by up to 5 % of the picture and moves each corner by up to ``--perspective`` of the
picture. The error is the largest distance of the four corners in pixels of the reference. The registration of the
data sets has errors of its own, so the distance to what is found without a warp (``to itself``) stands beside it.
"""

from __future__ import annotations

import argparse
import json
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from modaltrack.sources.registration import estimate_alignment
from modaltrack.sources.registration.planes import Matrix, corners, moved

Image = NDArray[np.uint8]
SETS = ("roadscene", "llvip", "msrs_mfnet")
CLIPS = ("tno_duine", "tno_nato_camp_1")


class Case(NamedTuple):
    """Pictures of both sensors at the same instants, registered, and the error that is allowed."""

    group: str
    name: str
    references: list[Image]
    others: list[Image]
    allowed: float


def cases(data: Path, count: int) -> Iterator[Case]:
    """RGB with itself, ``count`` RGB-T stills of three sets, both clips: all frames together, and each by itself."""
    stills = []
    for kind in SETS:
        files = sorted((data / "train/pairs" / kind / "rgb").iterdir())
        chosen = [files[i] for i in np.linspace(0, len(files) - 1, max(1, count // len(SETS))).round().astype(int)]
        stills += [(kind, file) for file in chosen]
    for kind, file in stills:
        rgb = read(file)
        noisy = np.clip(rgb + np.random.default_rng(0).normal(0, 4, rgb.shape), 0, 255).astype(np.uint8)
        yield Case("rgb with rgb", f"{kind}/{file.stem}", [rgb], [noisy], 2.0)
    for kind, file in stills:
        thermal = next(file.parent.parent.joinpath("aux").glob(f"{file.stem}.*"))
        yield Case(f"{kind}, stills", f"{kind}/{file.stem}", [read(file)], [read(thermal)], 4.0)
    for clip in CLIPS:
        own, other = (
            [read(file) for file in sorted((data / "rgbt" / clip / kind).iterdir())] for kind in ("rgb", "aux")
        )
        spread = np.linspace(0, len(own) - 1, min(8, len(own))).round().astype(int)
        yield Case(f"{clip}, 8 frames", clip, [own[i] for i in spread], [other[i] for i in spread], 4.0)
        for i, (a, b) in enumerate(zip(own, other, strict=True)):
            yield Case(f"{clip}, single frames", f"{clip}/{i}", [a], [b], 4.0)


def read(file: Path) -> Image:
    """A picture (H, W, 3), RGB."""
    return np.asarray(cv2.cvtColor(cv2.imread(str(file)), cv2.COLOR_BGR2RGB), np.uint8)


def known_warp(seed: int, size: tuple[int, int], perspective: float) -> Matrix:
    """A rig's homography, registered pixels -> the other sensor's."""
    rng, (height, width) = np.random.default_rng(seed), size
    turned = cv2.getRotationMatrix2D((width / 2 - 0.5, height / 2 - 0.5), rng.uniform(-5, 5), rng.uniform(0.9, 1.1))
    turned[:, 2] += rng.uniform(-0.05, 0.05, 2) * (width, height)
    square = corners(size).astype(np.float32)
    pushed = (square + rng.uniform(-perspective, perspective, (4, 2)) * (width, height)).astype(np.float32)
    return np.vstack([turned, [0, 0, 1]]) @ cv2.getPerspectiveTransform(square, pushed)


def measured(case: Case, warp: Matrix) -> dict[str, Any]:
    """One alignment: its largest corner error (nan: refused), its remarks, what it says of itself, processor time."""
    size = case.references[0].shape[:2]
    others = [cv2.warpPerspective(image, warp, image.shape[1::-1]) for image in case.others]
    begun = time.process_time()
    try:
        found = estimate_alignment(case.references, others)
    except ValueError as refused:
        return {"error": np.nan, "seconds": time.process_time() - begun, "remarks": [str(refused)]}
    seconds = time.process_time() - begun
    back = found.homography @ warp
    error = float(np.linalg.norm(moved(back, corners(size)) - corners(size), axis=1).max())
    return {"error": error, "seconds": seconds, "back": back.tolist(), **found.facts()}


def row(group: str, runs: list[dict[str, Any]], allowed: float) -> str:
    """A line of the table."""
    error = np.array([run["error"] for run in runs])
    itself = np.array([run.get("itself", np.nan) for run in runs])
    warned, answered = np.array([bool(run["remarks"]) for run in runs]), np.isfinite(error)
    bad = answered & (error > allowed)
    known = error[answered]
    middle, worst = (np.median(known), known.max()) if len(known) else (np.nan, np.nan)
    alike = (itself < allowed).mean()
    return (
        f"| {group} | {len(runs)} | {(error < allowed).mean():.0%} | {middle:.1f} | {worst:.1f} | {(~answered).sum()} "
        f"| {(bad & warned).sum()} | {(bad & ~warned).sum()} | {(answered & ~bad & warned).sum()} | {alike:.0%} "
        f"| {np.mean([run['seconds'] for run in runs]):.1f} |"
    )


def main() -> None:
    """Print the table; write every run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--only", default="", help="groups with this word in their name")
    parser.add_argument("--skip", default="\0", help="no groups with this word in their name")
    parser.add_argument("--pairs", type=int, default=12, help="RGB-T stills, of all sets together")
    parser.add_argument("--warps", type=int, default=20)
    parser.add_argument("--perspective", type=float, default=0.01, help="of the picture, for each corner")
    parser.add_argument("--out", type=Path, help="JSON file for all runs")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    runs: dict[str, list[dict[str, Any]]] = {}
    allowed = {}
    for case in cases(options.data, options.pairs):
        if options.only not in case.group or options.skip in case.group:
            continue
        allowed[case.group] = case.allowed
        plain = measured(case, np.eye(3))
        for seed in range(options.warps):
            run = measured(case, known_warp(seed, case.references[0].shape[:2], options.perspective))
            if "back" in run and "back" in plain:
                at = corners(case.references[0].shape[:2])
                both = (moved(np.array(each["back"]), at) for each in (run, plain))
                run["itself"] = float(np.linalg.norm(np.subtract(*both), axis=1).max())
            runs.setdefault(case.group, []).append({"case": case.name, "seed": seed, **run})
        own = runs[case.group][-options.warps :]
        print(
            f"{case.name}: plain {plain['error']:.1f}, warped",
            " ".join(f"{r['error']:.1f}{'!' if r['remarks'] else ''}" for r in own),
            flush=True,
        )
    print(
        "\n| pairs | runs | within | median | worst | refused | wrong, warned | wrong, silent | right, warned | "
        "to itself | CPU s |\n|---|---|---|---|---|---|---|---|---|---|---|"
    )
    for group, done in runs.items():
        print(row(group, done, allowed[group]))
    if options.out:
        options.out.write_text(json.dumps(runs, indent=1) + "\n")


if __name__ == "__main__":
    main()
