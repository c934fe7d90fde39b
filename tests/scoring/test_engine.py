# SPDX-License-Identifier: Apache-2.0
"""The engine and its switches on sequences small enough to count by hand."""

from dataclasses import replace

import numpy as np
import pytest

from modaltrack.frame import Result
from modaltrack.scoring.engine import Protocol, Report, Switches, Truth, find_protocol, score
from modaltrack.scoring.intervals import compare_trackers
from modaltrack.scoring.protocols import PROTOCOLS
from modaltrack.scoring.switching import with_switches

BOX = [10.0, 10.0, 20.0, 20.0]


def rows(*boxes: list[float]) -> np.ndarray:
    return np.array(boxes, np.float64)


def run(
    name: str,
    truth: np.ndarray,
    pred: np.ndarray,
    absent: list[int] | None = None,
    short: str = "refuse",
    **switches: object,
) -> Report:
    entry = replace(PROTOCOLS[name], sequences=None)
    entry = replace(entry, switches=replace(entry.switches, **switches))  # type: ignore[arg-type]
    label = None if absent is None else np.array(absent, bool)
    truths = [Truth("a", truth, boxes_by_modality={"visible": truth, "infrared": truth + 1}, absent=label)]
    return score(entry, truths, {"a": Result("a", pred)}, short=short)  # type: ignore[arg-type]


def moved(dx: float, dy: float = 0.0) -> list[float]:
    return [BOX[0] + dx, BOX[1] + dy, BOX[2], BOX[3]]


def test_every_entry_is_whole() -> None:
    for key, entry in PROTOCOLS.items():
        assert key == entry.name
        assert entry.version
        assert entry.metrics
        assert entry.source
        assert len(set(entry.attributes)) == len(entry.attributes)
    assert not PROTOCOLS["VTUAV-ST"].verified
    assert len({p.switches.success_area for p in PROTOCOLS.values()}) == 2


def test_precision_and_success_by_hand() -> None:
    truth = rows(BOX, BOX, BOX, BOX)
    report = run("LasHeR", truth, rows(BOX, moved(10), moved(20), moved(20.5)))
    assert report.scores["PR"] == 0.75  # 20 px is a hit, 20.5 is not
    assert report.scores["NPR"] == 0.25
    # IoU: 1, 1/3, 0, 0 -> above k/20: 20, 7, 0, 0 of 21
    assert report.scores["SR"] == pytest.approx((20 + 7) / 4 / 21)
    assert report.curves["precision"][1][20] == 0.75
    assert report.per_sequence["a"]["frames"] == 4


@pytest.mark.parametrize(("name", "expected"), [("LasHeR", (1.0, 0.5)), ("FE108", (0.5, 0.5)), ("RGBT210", (1.0, 1.0))])
def test_a_truth_on_the_border_is_a_hit_a_miss_or_nothing_special(name: str, expected: tuple[float, float]) -> None:
    border = [0.0, 0.0, 20.0, 20.0] if name != "FE108" else [5.0, 5.0, 0.0, 20.0]
    truth = rows(BOX, border)
    scores = run(name, truth, np.add(truth, [[0, 0, 0, 0], [0, 0, 1, 0]])).scores
    precision, success = (scores["RPR"], scores["RSR"]) if name == "FE108" else (scores["PR"], scores["SR"])
    assert precision == expected[0]
    assert (success > 0.5) == (expected[1] == 1.0)


def test_absent_frames() -> None:
    truth = rows(BOX, [0, 0, 0, 0], BOX, BOX)
    pred = rows(BOX, moved(3), BOX, BOX)
    absent = [0, 1, 0, 0]
    assert run("VisEvent", truth, pred, absent).scores["PR"] == 0.75  # removed, and still in the denominator
    assert run("VisEvent", truth, pred, absent, denominator="kept rows").scores["PR"] == 1.0
    assert run("LasHeR", truth, pred, absent).scores["PR"] == 1.0  # LasHeR does not look at the label
    assert run("LaSOT-pytracking", truth, pred, absent).scores["PR"] == 0.75
    assert run("LaSOT-pytracking", truth, pred, absent).scores["NPR"] == 0.75
    assert (
        run("LaSOT-pytracking", truth, pred).scores["NPR"] == 1.0
    )  # unlabelled: invalid is a hit there, see the table


def test_unusable_predictions_are_copied_refused_or_kept() -> None:
    truth = rows(BOX, BOX, BOX)
    bad = rows(BOX, [np.nan] * 4, [15, 15, -1, 4])
    report = run("LasHeR", truth, bad)
    assert report.scores["PR"] == 1.0
    assert report.repairs == {"frames with the previous box copied (no usable box)": 2}
    assert run("RGBT234", truth, bad).scores["MPR"] == pytest.approx(2 / 3)  # as written: the centre still fits
    with pytest.raises(ValueError, match=r"row 2.*pytracking stops"):
        run("FE108", truth, bad)
    assert run("FE108", truth, rows(BOX, [5, 5, 0, 4], BOX)).repairs == {
        "frames with the previous box copied (no usable box)": 1
    }


def test_the_better_sensor_of_each_frame_separately() -> None:
    visible, infrared = rows(BOX, BOX), rows(BOX, moved(30))
    entry = replace(PROTOCOLS["RGBT234"], sequences=None)
    truths = [Truth("a", visible, boxes_by_modality={"visible": visible, "infrared": infrared})]
    report = score(entry, truths, {"a": Result("a", rows(BOX, moved(30)))})
    assert report.scores["MPR"] == 1.0
    only = replace(PROTOCOLS["RGBT234-visible"], sequences=None)
    assert score(only, truths, {"a": Result("a", rows(BOX, moved(30)))}).scores["PR"] == 0.5
    with pytest.raises(ValueError, match="no visible boxes"):
        score(only, [Truth("a", visible)], {"a": Result("a", visible)})


def test_gtot_counts_frames_under_5_px_and_rounds_corner_files_only() -> None:
    truth = rows(BOX, BOX)
    assert run("GTOT", truth, rows(BOX, moved(5, 0))).scores["MPR"] == 1.0  # infrared is nearer: 4.1 px
    assert run("GTOT", truth, rows(BOX, moved(0, -5))).scores["MPR"] == 0.5  # 5.0 is no longer below 5
    entry = replace(PROTOCOLS["GTOT"], sequences=None)
    truths = [Truth("a", truth, boxes_by_modality={"visible": truth, "infrared": truth})]
    half = Result("a", rows(BOX, moved(0.5)), corners=True)
    assert score(entry, truths, {"a": half}).repairs == {"frames with rounded boxes": 1}
    assert score(entry, truths, {"a": replace(half, corners=False)}).repairs == {}


def test_frames_or_sequences_are_pooled() -> None:
    long, brief = np.tile(BOX, (9, 1)), np.tile(BOX, (1, 1))
    truths = [Truth(n, t, boxes_by_modality={"visible": t, "infrared": t}) for n, t in (("l", long), ("b", brief))]
    results = {"l": Result("l", np.add(long, [[100, 0, 0, 0]])), "b": Result("b", brief)}
    of = {n: score(replace(PROTOCOLS[n], sequences=None), truths, results).scores["MPR"] for n in ("GTOT", "RGBT234")}
    assert of == {"GTOT": 0.1, "RGBT234": 0.5}


def test_a_sequence_without_any_success_is_dropped_or_kept() -> None:
    truths = [Truth("a", rows([0, 0, 0, 0], BOX), absent=np.array([True, False])), Truth("b", rows(BOX, BOX))]
    results = {"a": Result("a", rows(BOX, moved(400))), "b": Result("b", rows(BOX, BOX))}
    dropped = score(replace(PROTOCOLS["COESOT"], sequences=None), truths, results)
    assert dropped.scores["PR"] == 1.0
    assert any("PR" in n or "precision" in n for n in dropped.notes)
    entry = with_switches(replace(PROTOCOLS["COESOT"], sequences=None), ["zero_curves=kept"])
    kept = score(entry, truths, results)
    assert kept.scores["PR"] == 0.5
    assert "zero_curves = kept" in kept.version


def test_boc_weighs_every_sequence_and_drops_none() -> None:
    truths = [Truth("a", rows(BOX, BOX), reward=0.5), Truth("b", rows(BOX, BOX), reward=0.1)]
    results = {"a": Result("a", rows(BOX, BOX)), "b": Result("b", rows(BOX, BOX))}
    entry = replace(PROTOCOLS["COESOT"], sequences=None)
    assert score(entry, truths, results).scores["BOC"] == pytest.approx(0.3 * 20 / 21)
    bare = score(entry, [replace(t, reward=None) for t in truths], results)
    assert "BOC" not in bare.scores
    assert any("BOC is left out" in n for n in bare.notes)


def test_lengths() -> None:
    truth = np.tile(BOX, (10, 1))
    assert run("LasHeR", truth, np.tile(BOX, (12, 1))).repairs["frames cut at the end"] == 2
    with pytest.raises(ValueError, match="9 rows, 1 fewer"):
        run("LasHeR", truth, truth[:9])
    missed = run("LasHeR", truth, truth[:9], short="miss", bad_prediction="as written")
    assert missed.scores["PR"] == 0.9
    assert missed.repairs["lacking frames counted as misses"] == 1
    assert run("RGBT234", truth, truth[:9]).scores["MPR"] == 1.0  # its program cuts the truth
    with pytest.raises(ValueError, match="5 fewer"):
        run("RGBT234", truth, truth[:5])
    assert run("FE108", truth, truth[:9], bad_prediction="as written").scores["RPR"] == 0.9


def test_absent_frames_that_a_tracker_left_out_are_padded_or_cut_at_the_front() -> None:
    truth = rows([0, 0, 0, 0], [0, 0, 0, 0], BOX, moved(5))
    report = run("COESOT", truth, rows(BOX, moved(5)), [1, 1, 0, 0])
    assert report.scores["PR"] == 0.5
    assert report.repairs["frames padded at the front"] == 2
    cut = run("VisEvent", rows(BOX, moved(5)), rows([0, 0, 0, 0], BOX, moved(5)), [0, 0])
    assert cut.scores["PR"] == 1.0
    assert cut.repairs["frames cut at the front"] == 1


def test_got10k_drops_the_first_frame_and_what_is_covered() -> None:
    truth = rows(BOX, BOX, BOX, [np.nan] * 4)
    report = run("GOT-10k", truth, rows(moved(500), BOX, moved(10), BOX), [0, 0, 0, 0])
    assert report.scores["AO"] == pytest.approx((1 + 1 / 3) / 2)
    assert report.scores["SR0.50"] == 0.5
    truths = [Truth("a", rows(BOX, [0.0, 0, 20, 20]), image_size=(20, 20))]
    clipped = score(
        replace(PROTOCOLS["GOT-10k"], sequences=None), truths, {"a": Result("a", rows(BOX, [0, 0, 60, 60]))}
    )
    assert clipped.scores["AO"] == pytest.approx(1.0)


def test_vtuav_matches_every_tenth_row() -> None:
    truth = rows(BOX, moved(50))
    pred = np.tile(BOX, (11, 1))
    pred[10] = moved(50)
    entry = replace(PROTOCOLS["VTUAV-ST"], sequences=None)
    truths = [Truth("a", truth, boxes_by_modality={"visible": truth, "infrared": truth}, rows=np.array([0, 10]))]
    report = score(entry, truths, {"a": Result("a", pred)})
    assert report.scores["MPR"] == 1.0
    assert any("not verified" in n for n in report.notes)
    with pytest.raises(ValueError, match="reaches row 11"):
        score(entry, truths, {"a": Result("a", pred[:5])})


@pytest.mark.parametrize("name", sorted(n for n, p in PROTOCOLS.items() if p.compute is None))
def test_odd_inputs_give_fractions_and_no_nan(name: str) -> None:
    rng = np.random.default_rng(1)
    odd = [[np.nan] * 4, [0, 0, 0, 0], [-5, -5, 3, 3], [1e9, 1e9, 1, 1], [np.inf, 0, 1, 1], [3, 3, 1e-9, 1e-9]]
    if "pytracking" in name or name.startswith("FE"):
        odd = [o for o in odd if np.isfinite(o).all()]
    for length in (1, 2, 30):
        truth = np.array([odd[i] for i in rng.integers(0, len(odd), length)], np.float64)
        pred = np.array([odd[i] for i in rng.integers(0, len(odd), length)], np.float64)
        report = run(name, truth, pred, [0] * length)
        assert all(0 <= v <= 1 for v in report.scores.values()), report.scores
        assert all(np.isfinite(values).all() for _, values in report.curves.values())


def test_missing_sequences_are_refused_skipped_or_lost() -> None:
    truths = [Truth(n, rows(BOX, BOX)) for n in "ab"]
    entry = replace(PROTOCOLS["LasHeR"], sequences=None)
    one = {"a": Result("a", rows(BOX, BOX))}
    with pytest.raises(ValueError, match="1 of the 2 sequences of LasHeR have no result: b"):
        score(entry, truths, one)
    assert score(entry, truths, one, missing="skip").num_sequences == 1
    zero = score(entry, truths, one, missing="zero")
    assert zero.num_sequences == 2
    assert zero.scores["PR"] == pytest.approx(0.5), "a lost sequence must not profit from row 1 := truth"
    with pytest.raises(ValueError, match="None of the 2"):
        score(entry, truths, {"c": one["a"]})
    assert any("LasHeR has 245" in n for n in score(PROTOCOLS["LasHeR"], truths[:1], one).notes)


def test_attributes_are_the_same_computation_on_a_subset() -> None:
    truths = [Truth("a", rows(BOX, BOX), attributes=frozenset({"FM"})), Truth("b", rows(BOX, BOX))]
    results = {"a": Result("a", rows(BOX, moved(400))), "b": Result("b", rows(BOX, BOX))}
    report = score(replace(PROTOCOLS["LasHeR"], sequences=None), truths, results, attributes=True)
    assert report.attributes == {"FM": {**score(
        replace(PROTOCOLS["LasHeR"], sequences=None), truths[:1], results).scores, "sequences": 1.0}}  # fmt: skip


def test_intervals_hold_the_score_and_shrink() -> None:
    rng = np.random.default_rng(0)
    widths = []
    for count in (10, 160):
        truths = [Truth(f"s{i}", np.tile(BOX, (20, 1))) for i in range(count)]
        results = {t.name: Result(t.name, t.boxes + rng.normal(0, 8, (20, 4)) * [1, 1, 0, 0]) for t in truths}
        report = score(replace(PROTOCOLS["LasHeR"], sequences=None), truths, results)
        low, high = report.intervals["SR"]
        assert low < report.scores["SR"] < high
        widths.append(high - low)
    assert widths[1] < widths[0] / 2


def test_paired_test_sees_a_small_steady_difference_and_no_difference() -> None:
    rng = np.random.default_rng(5)
    entry = replace(PROTOCOLS["LasHeR"], sequences=None)
    truths = [Truth(f"s{i}", np.tile(BOX, (20, 1))) for i in range(40)]
    noise = {t.name: rng.normal(0, rng.uniform(1, 9), (20, 4)) * [1, 1, 0, 0] for t in truths}
    a = score(entry, truths, {t.name: Result(t.name, t.boxes + noise[t.name]) for t in truths})
    b = score(entry, truths, {t.name: Result(t.name, t.boxes + 1.1 * noise[t.name]) for t in truths})
    better = compare_trackers(a, b, "SR")
    assert better.difference > 0
    assert better.p_value < 0.01
    assert better.interval[0] > 0
    assert compare_trackers(b, a, "SR").difference == -better.difference
    assert compare_trackers(a, a, "SR").p_value == 1.0
    with pytest.raises(ValueError, match="differ in protocol"):
        compare_trackers(a, replace(b, protocol="RGBT234"), "SR")
    with pytest.raises(ValueError, match="no metric 'AO'"):
        compare_trackers(a, b, "AO")


def test_a_protocol_may_bring_its_own_engine() -> None:
    def compute(protocol: Protocol, truths: object, results: object, attributes: bool) -> Report:
        return Report(protocol.name, protocol.version, {}, 1, {"F": 0.5})

    entry = Protocol("Own", "1", {"F": "own"}, Switches(), compute=compute)
    assert score(entry, [Truth("a", rows(BOX))], {"a": Result("a", rows(BOX))}).scores == {"F": 0.5}


def test_names_of_protocols_are_forgiving() -> None:
    assert find_protocol("lasher").name == "LasHeR"
    assert find_protocol("visevent 172").name == "VisEvent-172"
    with pytest.raises(ValueError, match="VTUAV-ST or VTUAV-LT"):
        find_protocol("vtuav")
    with pytest.raises(ValueError, match=r"did you mean LasHeR"):
        find_protocol("LasHer2")


@pytest.mark.parametrize(("change", "words"), [
    ("rounding", "NAME=VALUE"),
    ("roundig=all", "changes no switch"),
    ("rounding=some", "it is one of 'none'"),
    ("success_points=1", "at least 2"),
    ("precision_at=far", "is a number"),
    ("precision_at=-3", "above 0"),
    ("clip_to_image=maybe", "true or false"),
])  # fmt: skip
def test_a_switch_that_is_wrong(change: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        with_switches(PROTOCOLS["LasHeR"], [change])
