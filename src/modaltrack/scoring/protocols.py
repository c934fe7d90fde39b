# SPDX-License-Identifier: Apache-2.0
"""How each benchmark is scored: one short entry per protocol."""

from __future__ import annotations

from modaltrack.scoring.records import Protocol

PROTOCOLS: dict[str, Protocol] = {}
