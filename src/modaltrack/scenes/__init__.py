# SPDX-License-Identifier: Apache-2.0
"""A synthetic world seen by four sensors, rendered from a seed in torch on any device."""

from modaltrack.scenes.clips import VERSION, SceneBenchmark, benchmark, clip
from modaltrack.scenes.pairs import Pairs, PairSampler

__all__ = ["VERSION", "SceneBenchmark", "PairSampler", "Pairs", "benchmark", "clip"]
