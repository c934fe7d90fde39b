# SPDX-License-Identifier: Apache-2.0
"""Packages that only parts of this one need, and the sentence where they are not installed."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence

# runtime of graphs -> what has to be there to make its graphs and run them
RUNTIME_PACKAGES = {"onnx": ("onnx", "onnxscript", "onnxruntime"), "openvino": ("onnx", "onnxscript", "openvino")}


def missing(names: Sequence[str]) -> list[str]:
    """Those of ``names`` that are not installed."""
    return [name for name in names if importlib.util.find_spec(name) is None]


def need(names: Sequence[str], what: str, extra: str = "export") -> None:
    """Check that packages are installed.

    Args:
        what: the subject of the sentence, as "Reading .onnx files".
        extra: the extra of this package that brings them.

    Raises:
        ValueError: naming those that are not.
    """
    if absent := missing(names):
        raise ValueError(f"{what} needs {' and '.join(absent)}: pip install 'modaltrack[{extra}]'.")
