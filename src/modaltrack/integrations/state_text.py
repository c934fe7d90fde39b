# SPDX-License-Identifier: Apache-2.0
"""A tracker's state as text, for servers that keep nothing between two frames and get it back from their client.

The text is a compressed ``.npz`` in base64. It is read without pickle: a forged one can do no more than be wrong.
"""

from __future__ import annotations

import base64
import binascii
import io
import zipfile
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from modaltrack.frame import Modality, State, TemplateMemory

FORMAT = 1
MOST_BYTES = 1 << 26  # of the text; a state of two sensors has some 400 kB
_ARRAYS = ("box", "score", "status", "unseen", "initial_size", "image_size")
_MEMORY = ("index", "candidate_score", "candidate_index")
_MAPS = ("image", "candidate")


def pack_state(state: State) -> str:
    """The state as text; ``unpack_state`` gives the same numbers back."""
    arrays: dict[str, Any] = {name: getattr(state, name) for name in _ARRAYS}
    arrays |= {"format": np.int64(FORMAT), "frame": np.int64(state.index)}
    arrays |= {f"template {m}": _numbers(t) for m, t in state.template.items()}
    arrays |= {f"present {m}": p for m, p in state.template_present.items()}
    if state.memory is not None:
        arrays |= {f"memory {name}": getattr(state.memory, name) for name in _MEMORY}
        for part in _MAPS:
            arrays |= {f"memory {part} {m}": _numbers(t) for m, t in getattr(state.memory, part).items()}
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    return base64.b64encode(buffer.getvalue()).decode("ascii")


def unpack_state(text: str, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32) -> State:
    """The state that a text holds.

    Args:
        text: of ``pack_state``.
        device, dtype: of the model that goes on with it.

    Raises:
        ValueError: it is no such text.
    """
    try:
        if len(text) > MOST_BYTES:
            raise ValueError(f"it has {len(text)} characters")
        with np.load(io.BytesIO(base64.b64decode(text, validate=True))) as file:
            found = dict(file)
        if int(found["format"]) != FORMAT:
            raise ValueError(f"it has the format {int(found['format'])}")
        return _state(found, device, dtype)
    except (
        ValueError,
        KeyError,
        TypeError,
        OSError,
        EOFError,
        binascii.Error,
        zipfile.BadZipFile,
        zlib.error,
    ) as error:
        raise ValueError(f"The state of the tracker cannot be read ({error}); begin again with a shape.") from None


def _state(found: Mapping[str, NDArray[Any]], device: torch.device | str, dtype: torch.dtype) -> State:
    def tensors(head: str) -> dict[Modality, torch.Tensor]:
        there = {name.removeprefix(head): value for name, value in found.items() if name.startswith(head)}
        return {Modality(m): torch.from_numpy(v).to(device, dtype) for m, v in there.items()}

    memory = None
    if "memory index" in found:
        parts: dict[str, Any] = {part: tensors(f"memory {part} ") for part in _MAPS}
        memory = TemplateMemory(**parts | {name: found[f"memory {name}"] for name in _MEMORY})
    head = "present "
    present = {Modality(n.removeprefix(head)): v.astype(bool) for n, v in found.items() if n.startswith(head)}
    state = State(
        **{name: found[name] for name in _ARRAYS},
        template=tensors("template "),
        template_present=present,
        index=int(found["frame"]),
        memory=memory,
    )
    if state.box.shape != (1, 4) or not np.isfinite(state.box).all() or state.template.keys() != present.keys():
        raise ValueError("its arrays do not fit together")
    return state


def _numbers(tensor: torch.Tensor) -> NDArray[np.float32]:
    return tensor.detach().float().cpu().numpy()
