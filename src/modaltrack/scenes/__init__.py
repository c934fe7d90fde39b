# SPDX-License-Identifier: Apache-2.0
"""A synthetic world seen by four sensors, rendered from a seed in torch on any device."""

from modaltrack.scenes.clips import VERSION, Benchmark, benchmark, clip
from modaltrack.scenes.pairs import Pairs, PairSampler

__all__ = ["VERSION", "Benchmark", "PairSampler", "Pairs", "benchmark", "clip"]
