# SPDX-License-Identifier: Apache-2.0
"""Which result belongs to which sequence where the two are not spelled alike: case, prefixes, a slip of the pen.

Nothing is guessed in silence: every renamed result is listed among the problems of the set, and what remains doubtful
stays as it is, so that scoring refuses for want of it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from difflib import SequenceMatcher

from modaltrack.results.record import ResultSet
from modaltrack.scoring.protocols import plain

VOTERS = 50  # results that are asked for their prefix; a set has one habit
ALIKE = 0.8  # share of letters that two spellings of one name have in common


def match_names(results: ResultSet, names: Iterable[str], rows: Mapping[str, int] | None = None) -> ResultSet:
    """The same results under a benchmark's own sequence names, as far as they can be matched.

    Case, hyphens and the like are ignored; a prefix or suffix that at least half of the strangers share is dropped
    (``MANet_car.txt``); and, where rows (of each sequence's truth) are given, a stranger and a sequence without a
    result are taken for one when they are each other's nearest, have the same digits and as many rows.

    Raises:
        ValueError: where two results would be one sequence.
    """
    wanted = list(names)
    known = set(wanted)
    loose = [n for n in results.sequences if n not in known]
    lacking = [n for n in wanted if n not in results.sequences]
    if not lacking or not loose:
        return results
    renamed = _spelled_otherwise(loose, lacking)
    for prefix, suffix in _affixes([n for n in loose if n not in renamed], lacking):
        short = {n: _bare(n, prefix, suffix) for n in loose if n not in renamed}
        renamed |= _spelled_otherwise([s for s in short.values() if s], lacking, short)
    if twice := [n for n, count in Counter(renamed.values()).items() if count > 1]:
        both = sorted(h for h, n in renamed.items() if n == twice[0])
        raise ValueError(f"{both[0]} and {both[1]} would both be the sequence {twice[0]}; keep one of them.")
    taken = set(renamed.values())
    slips = _slips(
        {n: len(results.sequences[n].boxes) for n in loose if n not in renamed},
        {n: rows[n] for n in lacking if rows and n not in taken},
    )
    if not renamed and not slips:
        return results
    problems = list(results.problems)
    if renamed:
        have, name = next(iter(renamed.items()))
        problems.append(f"{len(renamed)} results were matched to other names, e.g. {have} to {name}.")
    problems += [
        f"{have} is taken for {name}, the only name like it, with as many rows." for have, name in slips.items()
    ]
    other = renamed | slips
    sequences = {other.get(n, n): replace(r, name=other.get(n, n)) for n, r in results.sequences.items()}
    return replace(results, sequences=sequences, problems=problems)


def _spelled_otherwise(
    have: Sequence[str], lacking: Sequence[str], short: Mapping[str, str] | None = None
) -> dict[str, str]:
    """Result -> the sequence with the same letters and digits; names that would be two sequences are left alone."""
    keys = Counter(plain(n) for n in lacking)
    by_key = {plain(n): n for n in lacking if keys[plain(n)] == 1}
    by_key |= {n.casefold(): n for n in lacking} | {n: n for n in lacking}

    def found(name: str) -> str | None:
        return next((by_key[k] for k in (name, name.casefold(), plain(name)) if k in by_key), None)

    pairs = short or {n: n for n in have}
    return {whole: name for whole, part in pairs.items() if part and (name := found(part)) is not None}


def _affixes(loose: Sequence[str], lacking: Sequence[str]) -> list[tuple[str, str]]:
    """What stands before and behind the names, most frequent first; only what at least half of the strangers share."""
    votes: Counter[tuple[str, str]] = Counter()
    ends = [n.casefold() for n in lacking]
    step = max(1, len(loose) // VOTERS)
    for have in loose[::step]:
        low = have.casefold()
        for name in ends:
            at = low.find(name)
            if at >= 0 and len(name) < len(low):
                votes[(low[:at], low[at + len(name) :])] += 1
    habits = [(p, s) for (p, s), _ in votes.most_common(8)]
    return [(p, s) for p, s in habits if 2 * sum(bool(_bare(n, p, s)) for n in loose) >= len(loose)]


def _bare(name: str, prefix: str, suffix: str) -> str:
    """The name without both, empty where it does not have them.

    Args:
        prefix, suffix: in lower case.
    """
    low = name.casefold()
    fits = low.startswith(prefix) and low.endswith(suffix) and len(low) > len(prefix) + len(suffix)
    return name[len(prefix) : len(name) - len(suffix)] if fits else ""


def _slips(loose: Mapping[str, int], lacking: Mapping[str, int]) -> dict[str, str]:
    """Stranger -> sequence where each is the only one like the other."""
    found: dict[str, list[str]] = {}
    for have, rows in loose.items():
        for name, truth_rows in lacking.items():
            same_digits = re.findall(r"\d+", have) == re.findall(r"\d+", name)
            if rows == truth_rows and same_digits and _alike(have, name):
                found.setdefault(have, []).append(name)
    times = Counter(n for names in found.values() for n in names)
    return {have: names[0] for have, names in found.items() if len(names) == 1 and times[names[0]] == 1}


def _alike(a: str, b: str) -> bool:
    match = SequenceMatcher(None, a.casefold(), b.casefold(), autojunk=False)
    return match.quick_ratio() >= ALIKE and match.ratio() >= ALIKE
