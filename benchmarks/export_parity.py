# SPDX-License-Identifier: Apache-2.0
"""Every small model exported, then `track` and `eval` on a real clip with the exported files and with torch.

    python benchmarks/export_parity.py --clip CLIPS/rgbd/sofa_brain --json parity.json

Prints one line for each model and format: the largest difference of the maps (as `modaltrack export` measures it), of
the boxes of `track` and of `eval` to those of `track` with torch, how many frames have the same status, and whether all
of it is within bounds (1e-5, 0.05 px, every frame). The exit code is 1 where something is not. Models without shipped
weights are drawn with a fixed seed, and believe every peak, so that their boxes move. A JSON file that is there already
is gone on with; what failed is tried again.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
import traceback
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from real_clip_folder import AUX, Rows

from modaltrack import cli, models
from modaltrack.models.zoo import SHIPPED
from modaltrack.runtime import read_exported

MAPS, PIXELS = 1e-5, 0.05
Boxes = NDArray[np.float64]


def small_models() -> list[str]:
    """Registered models that a laptop can run."""
    return [name for name in models.list_models() if not name.endswith("-base")]


def weights_of(name: str, folder: Path) -> str:
    """The shipped name, or a file of drawn weights."""
    if any(row.name == name for row in SHIPPED):
        return name
    torch.manual_seed(0)
    model = models.create(name)
    with torch.no_grad():  # drawn maps are nearly flat: sharpened, their peak is one
        for key, value in model.named_parameters():
            if key.startswith("head.") and key.endswith("weight") and value.ndim > 1:
                value *= 2
    path = folder / f"{name}-drawn.safetensors"
    models.save_model(model, path, {"thresholds": {"tracking": 0.0, "lost": 0.0}}, dtype=torch.float32)
    return str(path)


def laid_out(clip: Path, frames: int, folder: Path) -> tuple[list[str], Path]:
    """The first frames of a clip in the layout of `eval folder`, as symbolic links, and its sensors."""
    aux = AUX[clip.parent.name]
    sensors = {"rgb": clip / "rgb"} | ({} if aux is None else {str(aux): clip / "aux"})
    rows = (clip / "groundtruth.txt").read_text().splitlines()[:frames]
    place = folder / "clips" / clip.name
    for sensor, images in sensors.items():
        (place / sensor).mkdir(parents=True)
        for file in sorted(images.iterdir())[: len(rows)]:
            (place / sensor / file.name).symlink_to(file.resolve())
    (place / "boxes.txt").write_text("\n".join(rows) + "\n")
    return list(sensors), place


def command(*words: str) -> None:
    """One command of the package, in this process."""
    if cli.main(list(words)):
        raise RuntimeError(f"modaltrack {' '.join(words)} failed; see above.")


def tracked(model: str, sensors: list[str], place: Path, out: Path) -> tuple[Boxes, list[str]]:
    """Boxes and status of `modaltrack track`."""
    box = (place / "boxes.txt").read_text().splitlines()[0]
    files = [word for sensor in sensors for word in (f"--{sensor}", str(place / sensor))]
    command("track", "--model", model, "--device", "cpu", "--no-video", "--box", box, "--out", str(out), *files)
    rows = json.loads((out / "result.json").read_text())["frames"]
    targets = [row["targets"][0] for row in rows]
    return np.array([t["box"] for t in targets], np.float64), [t["status"] for t in targets]


def evaluated(model: str, sensors: list[str], place: Path, out: Path) -> Boxes:
    """Boxes of `modaltrack eval`."""
    words = ["--model", model, "--name", "it", "--data", str(place.parent), "--sensors", ",".join(sensors)]
    command("eval", "--benchmark", "folder", *words, "--device", "cpu", "--out", str(out))
    return np.loadtxt(out / "it" / "folder" / f"{place.name}.txt", delimiter=",", ndmin=2)


def largest(a: Boxes, b: Boxes) -> float:
    """Largest difference of two lists of boxes; infinite where they are not of the same frames."""
    return float(np.abs(a - b).max()) if a.shape == b.shape else float("inf")


def measure(name: str, form: str, clip: Path, frames: int) -> dict[str, Any]:
    """One row of the table."""
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        weights = weights_of(name, folder)
        all_sensors, place = laid_out(clip, frames, folder)
        model = models.load_model(weights, "cpu")
        alone = model.one_sensor or len(model.config.modalities) == 1
        sensors = all_sensors[:1] if alone else [s for s in all_sensors if s in model.config.modalities]
        exported = folder / "exported"
        command("export", weights, "--format", form, "--sensors", "+".join(sensors), "--out", str(exported))
        maps = max(g.card["parity"]["largest"] for g in read_exported(exported).graphs.values())
        boxes, status = tracked(weights, sensors, place, folder / "torch")
        other, other_status = tracked(str(exported), sensors, place, folder / "track")
        other_eval = evaluated(str(exported), sensors, place, folder / "eval")
    same = sum(a == b for a, b in zip(status, other_status))
    row = {
        "model": name,
        "format": form,
        "clip": clip.name,
        "sensors": "+".join(sensors),
        "frames": len(boxes),
        "weights": "shipped" if weights == name else "drawn",
        "maps": maps,
        "track_px": largest(boxes, other),
        "eval_px": largest(boxes, other_eval),
        "same_status": same,
        "moved_px": round(float(np.abs(boxes - boxes[0]).max()), 1),
    }
    row["good"] = maps <= MAPS and max(row["track_px"], row["eval_px"]) <= PIXELS and same == len(boxes)
    return {**row, "seconds": round(time.perf_counter() - began, 1)}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=small_models())
    parser.add_argument("--formats", nargs="+", default=["onnx", "openvino"])
    parser.add_argument("--clip", type=Path, required=True, help="a folder with rgb/, aux/ and groundtruth.txt")
    parser.add_argument("--frames", type=int, default=60)
    parser.add_argument("--json", type=Path, help="where rows are kept; those in it are not measured again")
    options = parser.parse_args()
    kept, failed = Rows(options.json), list[str]()
    for name in options.models:
        for form in options.formats:
            if not kept.has(model=name, format=form, clip=options.clip.name):
                try:
                    kept.add(measure(name, form, options.clip, options.frames))
                except Exception:  # noqa: BLE001 - one model's failure is a row of the table, not its end
                    traceback.print_exc()
                    failed.append(f"{name} {form}")
    rows = [r for r in kept.rows if r["model"] in options.models and r["clip"] == options.clip.name]
    print(f"{'model':18} {'format':9} {'sensors':14} {'weights':8} {'maps':>8} {'track px':>9} {'eval px':>9} status")
    for r in rows:
        print(
            f"{r['model']:18} {r['format']:9} {r['sensors']:14} {r['weights']:8} {r['maps']:8.1e} "
            f"{r['track_px']:9.1e} {r['eval_px']:9.1e} {r['same_status']}/{r['frames']}"
            f"{'' if r['good'] else '  OUT OF BOUNDS'}"
        )
    for name in failed:
        print(f"{name}: FAILED, see above")
    return 0 if all(r["good"] for r in rows) and not failed else 1


if __name__ == "__main__":
    sys.exit(main())
