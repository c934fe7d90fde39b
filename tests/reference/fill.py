# SPDX-License-Identifier: Apache-2.0
"""Weights and inputs that anyone can draw again from a tensor's name, so that no checkpoint has to be stored.

The ``.npz`` files beside this one hold what the published implementations compute from them. Every array comes from
numpy's ``default_rng([seed, crc32(name)])``; names are those of the authors' own checkpoints, dots included.
"""

import json
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray


def draw(name: str, shape: tuple[int, ...], seed: int) -> NDArray[np.float32]:
    """Standard normal float32 array of ``shape``, fixed by (``name``, ``seed``)."""
    rng = np.random.default_rng([seed, zlib.crc32(name.encode())])
    return rng.standard_normal(tuple(shape), dtype=np.float32)


def values(name: str, shape: tuple[int, ...], seed: int) -> NDArray[Any]:
    """Value of the checkpoint tensor ``name``: of a size that makes every term of a network visible in its output."""
    last = name.rsplit(".", 1)[-1]
    if last == "num_batches_tracked":
        return np.zeros(tuple(shape), np.int64)
    x = draw(name, shape, seed)
    if last == "running_var":
        return 1 + np.float32(0.3) * np.abs(x)
    if last == "running_mean":
        return np.float32(0.1) * x
    if "A_" in last and "log" in last:  # state-space decay, (channels, states)
        return np.log(np.arange(1, shape[-1] + 1, dtype=np.float32)) + np.float32(0.1) * x
    if last in ("D", "Ds", "D_1", "D_2", "D_b", "D_s"):  # state-space skip
        return 1 + np.float32(0.1) * x
    if "pos_embed" in name or "token" in name:
        return np.float32(0.2) * x
    if "bias" in last:
        return np.float32(0.02) * x
    if len(shape) == 1:  # gains of norms
        return 1 + np.float32(0.1) * x
    fan_in = int(np.prod(shape[1:])) if len(shape) == 4 else shape[-1]
    return x / np.float32(np.sqrt(fan_in))


def reference(system: str) -> dict[str, Any]:
    """Arrays of a reference file, with its ``meta`` and ``names`` decoded from JSON."""
    with np.load(Path(__file__).parent / f"{system}.npz") as arrays:
        return {k: json.loads(str(v)) if k in ("meta", "names") else v for k, v in arrays.items()}
