# SPDX-License-Identifier: Apache-2.0
"""Image fusion as a teacher: what an expert is, experts without weights, networks of the user, and the distillation.

An expert fuses RGB and one other sensor (B, 3, H, W) in 0..1 to one image (B, 3, H, W) in 0..1.
"""

from __future__ import annotations

from modaltrack.training.experts.builtin import BUILTIN
from modaltrack.training.experts.expert import DEFAULT, Expert, build_experts

__all__ = ["BUILTIN", "DEFAULT", "Expert", "build_experts"]
