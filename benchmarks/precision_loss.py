# SPDX-License-Identifier: Apache-2.0
"""What a lower precision costs in accuracy: success on the rendered test clips, by torch and by exported graphs.

    python benchmarks/precision_loss.py --models modaltrack-laptop ostrack-laptop --json loss.json

Success AUC over the clips of `eval --benchmark scenes`, RGB and thermal (RGB alone where the model reads one sensor). A
JSON file that is there already is gone on with.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from real_clip_folder import Rows

from modaltrack import scenes
from modaltrack.export.parity import only
from modaltrack.frame import Clip, Modality
from modaltrack.runtime import load_model
from modaltrack.scoring import success_auc
from modaltrack.tracking import track

FORMS = {"torch": ("torch", ""), "fp32": ("openvino", "fp32"), "fp16": ("openvino", "fp16")}
FORMS |= {"bf16": ("openvino", "bf16"), "int8": ("openvino", "int8"), "int8-onnx": ("onnx", "int8")}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=["modaltrack-laptop", "ostrack-laptop"])
    parser.add_argument("--forms", nargs="+", default=list(FORMS), choices=list(FORMS))
    parser.add_argument("--clips", type=int, default=20)
    parser.add_argument("--length", type=int, default=40)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    kept, drawn = Rows(options.json), list[Clip]()
    for name in options.models:
        for form in options.forms:
            key = {"model": name, "form": form, "clips": f"{options.clips}x{options.length}"}
            if kept.has(**key):
                continue
            drawn = drawn or list(scenes.benchmark(clips=options.clips, length=options.length))
            runtime, precision = FORMS[form]
            model = load_model(name, "cpu", runtime, precision)
            both = (Modality.RGB, Modality.THERMAL)
            sensors = both[:1] if model.one_sensor or Modality.THERMAL not in model.config.modalities else both
            scores = []
            for clip in drawn:
                seen = only(clip, sensors)
                assert seen.boxes is not None
                scores.append(success_auc(track(model, seen).boxes[1:], seen.boxes[1:]))
            kept.add({**key, "sensors": "+".join(sensors), "success": round(float(np.mean(scores)), 4)})


if __name__ == "__main__":
    main()
