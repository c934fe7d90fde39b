# SPDX-License-Identifier: Apache-2.0
"""``modaltrack train RECIPE --out DIR``: the fields of the recipe are the options, so training parses them itself."""

from __future__ import annotations

from collections.abc import Sequence


def main(arguments: Sequence[str]) -> int:
    """Run the recipe; -> exit code."""
    from modaltrack.training.command import cli_main

    return cli_main(arguments)
