# SPDX-License-Identifier: Apache-2.0
"""Small errors put into the most important lines, one at a time, and the nearest tests, which have to notice.

    python -m tests.mutations [WORD ...]     those whose file or text holds one of the words; all without

Nothing on disk changes: a forked process imports the one changed module from memory. Ends with 1 if a mutation
survives, that is, if its tests pass.
"""

from __future__ import annotations

import importlib.abc
import importlib.util
import os
import sys
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import CodeType
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[1]


class Mutation(NamedTuple):
    """In ``file`` of the package, ``right`` (which stands there once) becomes ``wrong``; ``tests`` must fail."""

    file: str
    right: str
    wrong: str
    tests: str

    @property
    def source(self) -> str:
        return (ROOT / "src" / "modaltrack" / self.file).read_text(encoding="utf-8")


MUTATIONS = [
    # the errors that survived a review
    Mutation(
        "training/step.py",
        "(terms[0] / len(parts)).backward()",
        "terms[0].backward()",
        "tests/training/test_batches.py",
    ),
    Mutation(
        "training/data.py",
        "drop.to(here.device) & left.any(0)",
        "drop.to(here.device)",
        "tests/training/test_batches.py",
    ),
    Mutation("tracking/look.py", "peak + policy.second_look_margin", "peak", "tests/tracking/test_step.py"),
    Mutation(
        "models/sdstrack.py",
        "[m if sensor is Modality.RGB else dp(",
        "[dp(m) if sensor is Modality.RGB else dp(",
        "tests/models/test_sdstrack.py",
    ),
    Mutation("session/loop.py", "clock.first_frame += seconds", "clock.tracker += seconds", "tests/session"),
    Mutation("boxes.py", "smaller(margin, height)", "smaller(margin, width)", "tests/test_boxes.py"),
    # boxes
    Mutation("boxes.py", "aw * ah + bw * bh - inner", "aw * ah + bw * bh", "tests/test_boxes.py"),
    Mutation("boxes.py", "(outer - union) / outer", "(outer - inner) / outer", "tests/test_boxes.py"),
    Mutation("boxes.py", "[cx - w / 2, cy - h / 2, w, h]", "[cx - w / 2, cy - w / 2, w, h]", "tests/test_boxes.py"),
    # crop and decode
    Mutation(
        "vision/crop.py", "width - 1 if right >= width else right", "width if right >= width else right", "tests/vision"
    ),
    Mutation(
        "vision/crop.py",
        "return math.ceil(math.sqrt(w * h) * factor)",
        "return round(math.sqrt(w * h) * factor)",
        "tests/vision",
    ),
    Mutation(
        "vision/crop.py",
        "left + cx - 0.5 * w, top + cy - 0.5 * h",
        "left + cx - 0.5 * w, top + cy - 0.5 * w",
        "tests/vision",
    ),
    Mutation("vision/response.py", "(row + offset[:, 1]) / height", "(row + offset[:, 1]) / width", "tests/vision"),
    Mutation("vision/response.py", "2 * torch.pi * k / (size + 1)", "2 * torch.pi * k / (size - 1)", "tests/vision"),
    # scoring
    Mutation(
        "scoring/curves.py",
        "hits = iou >= thresholds if inclusive else iou > thresholds",
        "hits = iou >= thresholds",
        "tests/scoring/test_curves.py",
    ),
    Mutation(
        "scoring/curves.py",
        "p_centre / t[:, 2:], t_centre / t[:, 2:]",
        "p_centre / t[:, 3:], t_centre / t[:, 3:]",
        "tests/scoring/test_curves.py",
    ),
    Mutation(
        "scoring/frames.py",
        'rows if switches.denominator == "all rows" else int(keep.sum())',
        "int(keep.sum())",
        "tests/scoring/test_official.py tests/scoring/test_engine.py",
    ),
    Mutation("scoring/anchors.py", "(lengths[inside:] - 1)", "lengths[inside:]", "tests/scoring/test_anchors.py"),
    # losses
    Mutation(
        "training/losses.py",
        "L1_WEIGHT, FOCAL_WEIGHT = 2.0, 5.0, 1.0",
        "L1_WEIGHT, FOCAL_WEIGHT = 2.0, 4.0, 1.0",
        "tests/training/test_losses.py",
    ),
    Mutation(
        "training/losses.py",
        "score**2 * (1 - heat) ** 4",
        "score**2 * (1 - heat) ** 2",
        "tests/training/test_losses.py",
    ),
    Mutation(
        "training/losses.py", "(dx <= radius) & (dy <= radius)", "(dx <= radius)", "tests/training/test_losses.py"
    ),
    # fusion
    Mutation(
        "models/parts/presence.py",
        "back = torch.cat(rows).argsort()",
        "back = torch.cat(rows)",
        "tests/models/test_contract.py",
    ),
    Mutation(
        "models/modaltrack.py",
        "torch.where(has, 0.0, ABSENT)",
        "torch.where(has, 0.0, 0.0)",
        "tests/models/test_any_sensor.py",
    ),
    Mutation("models/late_fusion.py", "weight = weight * has", "weight = weight", "tests/models/test_late_fusion.py"),
    Mutation("tracking/look.py", "part * sure[:, None, None, None]", "part", "tests/tracking/test_step.py"),
    # the state of a target
    Mutation(
        "tracking/policy.py",
        "np.where(tracking, 0, unseen + 1)",
        "np.where(tracking, 0, unseen)",
        "tests/tracking/test_policy.py",
    ),
    Mutation(
        "tracking/policy.py",
        "np.where(score < self.lost_threshold, previous, box)",
        "np.where(score < 0, previous, box)",
        "tests/tracking/test_policy.py",
    ),
    Mutation(
        "tracking/template_memory.py", "(score >= candidate_score) &", "", "tests/tracking/test_template_memory.py"
    ),
    # which images belong together
    Mutation(
        "sources/sync.py",
        "abs(self._next[0] - time) > abs(self._now[0] - time)",
        "self._next[0] > time",
        "tests/sources/test_clip_reader.py",
    ),
    Mutation(
        "sources/sync.py", "abs(self._now[0] - time) > self._tolerance", "False", "tests/sources/test_clip_reader.py"
    ),
]


class _Changed(SourceFileLoader):
    text = ""

    def get_code(self, fullname: str) -> CodeType:
        return compile(self.text, self.path, "exec", dont_inherit=True)


class _Finder(importlib.abc.MetaPathFinder):
    def __init__(self, mutation: Mutation) -> None:
        self.name = "modaltrack." + mutation.file.removesuffix(".py").replace("/", ".")
        self.loader = _Changed(self.name, str(ROOT / "src" / "modaltrack" / mutation.file))
        self.loader.text = mutation.source.replace(mutation.right, mutation.wrong)

    def find_spec(self, name, path=None, target=None):
        if name != self.name:
            return None
        return importlib.util.spec_from_file_location(name, self.loader.path, loader=self.loader)


def killed(mutation: Mutation) -> bool:
    """Whether the mutation's tests fail, in a process that has the changed module."""
    child = os.fork()
    if child == 0:
        sys.meta_path.insert(0, _Finder(mutation))
        quiet = os.open(os.devnull, os.O_WRONLY)
        os.dup2(quiet, 1)
        os.dup2(quiet, 2)
        tests = [str(ROOT / test) for test in mutation.tests.split()]
        os._exit(pytest.main(["-x", "-q", "-p", "no:cacheprovider", f"--rootdir={ROOT}", *tests]))
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == pytest.ExitCode.TESTS_FAILED


def main(words: list[str]) -> int:
    import cv2  # noqa: F401 - once, not in every fork
    import torch

    torch.set_num_threads(1)
    chosen = [m for m in MUTATIONS if not words or any(word in m.file or word in m.right for word in words)]
    alive = 0
    for mutation in chosen:
        dead = killed(mutation)
        alive += not dead
        print(f"{'killed  ' if dead else 'SURVIVED'} {mutation.file}: {mutation.right} -> {mutation.wrong}", flush=True)
    print(f"{len(chosen) - alive} of {len(chosen)} killed")
    return int(alive > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
