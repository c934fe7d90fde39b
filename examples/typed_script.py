# SPDX-License-Identifier: Apache-2.0
"""Ten lines that a type checker reads without one ``Any``: ``mypy --strict``, ``pyright``; a test does the first."""

import sys

import modaltrack

model = modaltrack.load_model("modaltrack-laptop")
tracker = modaltrack.Tracker(model)
clip = modaltrack.open_clip({"rgb": sys.argv[1], "thermal": sys.argv[2]})
for number, frame in enumerate(clip):
    target = tracker.update(frame) if number else tracker.init(frame, [20, 20, 16, 12])
    print(frame.index, target.box.round(1), f"{target.score:.2f}", target.status.name)
result = modaltrack.track(model, {"rgb": sys.argv[1], "thermal": sys.argv[2]}, [20, 20, 16, 12])
print(result, "saved as", result.save("boxes.txt"))
