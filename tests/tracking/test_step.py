# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
from colour_world import ColourModel, block, frame, path

from modaltrack import models
from modaltrack.boxes import iou
from modaltrack.frame import Frame, Modality, Status
from modaltrack.tracking import Policy, select, start, step
from modaltrack.tracking.look import cut_crops
from modaltrack.vision import IMAGENET_STD

RGB, THERMAL, DEPTH, EVENT = Modality.RGB, Modality.THERMAL, Modality.DEPTH, Modality.EVENT


@pytest.fixture
def model() -> ColourModel:
    return ColourModel()


@pytest.mark.parametrize("sensors", [(RGB,), (THERMAL,), (RGB, DEPTH), (RGB, THERMAL, DEPTH, EVENT), (DEPTH, EVENT)])
def test_follows_a_block_with_any_sensors(model, sensors) -> None:
    boxes = path(12)
    state = start(model, frame(0, boxes[0], *sensors), boxes[0])
    for i in range(1, 12):
        state = step(model, state, frame(i, boxes[i], *sensors))
        assert iou(state.box[0], boxes[i]) > 0.75
        assert state.status[0] == Status.TRACKING
    assert state.index == 11


def test_step_leaves_its_input_alone(model) -> None:
    boxes = path(3)
    first = start(model, frame(0, boxes[0], RGB), boxes[0])
    copy = (first.box.copy(), first.template[RGB].clone())
    a = step(model, first, frame(1, boxes[1], RGB, THERMAL))
    b = step(model, first, frame(1, boxes[1], RGB, THERMAL))
    np.testing.assert_array_equal(a.box, b.box)
    np.testing.assert_array_equal(first.box, copy[0])
    assert torch.equal(first.template[RGB], copy[1])
    assert set(first.template) == {RGB}


def test_rgb_then_other_then_both_within_one_clip(model) -> None:
    """A sensor that joins late gets its template in the first frame that is TRACKING, and can then go on alone."""
    boxes = path(9, speed=(2, 1))
    state = start(model, frame(0, boxes[0], RGB), boxes[0])
    plan = [(RGB,), (RGB, THERMAL), (RGB, THERMAL), (THERMAL,), (THERMAL,), (RGB,), (RGB, THERMAL), (THERMAL,)]
    for i, sensors in enumerate(plan, 1):
        state = step(model, state, frame(i, boxes[i], *sensors))
        assert iou(state.box[0], boxes[i]) > 0.7, (i, sensors)
    used = [names for names, _ in model.calls]
    assert used[1] == ("rgb",)  # thermal has no template yet in the frame in which it first comes
    assert used[2] == ("rgb", "thermal")
    assert used[3] == used[4] == ("thermal",)


def test_late_template_waits_for_tracking(model) -> None:
    boxes = path(6, speed=(0, 0))
    state = start(model, frame(0, boxes[0], RGB), boxes[0])
    # the target is hidden: a template now would be background, one with texture, which no other rule keeps out
    hidden = frame(1, None, RGB, THERMAL)
    hidden.images[THERMAL][::2] += 5
    state = step(model, state, hidden)
    assert state.status[0] == Status.UNCERTAIN
    assert THERMAL not in state.template
    state = step(model, state, frame(2, boxes[2], RGB, THERMAL))
    assert state.template_present[THERMAL][0]


def test_blank_picture_is_no_template_where_another_sensor_sees_the_target(model) -> None:
    """An event camera shows nothing before something moves; its template is the first picture that shows something."""
    boxes = path(4)
    first = frame(0, boxes[0], RGB)
    blank = Frame({**first.images, EVENT: np.full((120, 160, 3), 255, np.uint8)})
    state = start(model, blank, boxes[0])
    assert EVENT not in state.template
    state = step(model, state, frame(1, boxes[1], RGB, EVENT))
    assert state.template_present[EVENT][0]
    alone = start(model, Frame({EVENT: blank.images[EVENT]}), boxes[0])
    assert alone.template_present[EVENT][0]  # better than nothing


def test_first_template_is_never_replaced(model) -> None:
    boxes = path(4)
    state = start(model, frame(0, boxes[0], RGB, THERMAL), boxes[0])
    later = step(model, state, frame(1, boxes[1], RGB, THERMAL))
    for modality in (RGB, THERMAL):
        assert torch.equal(state.template[modality], later.template[modality])


def test_frame_without_images_holds_everything_but_status(model) -> None:
    boxes = path(2)
    state = start(model, frame(0, boxes[0], RGB), boxes[0])
    seen = []
    for i in range(7):
        state = step(model, state, Frame({}, index=i, missing=frozenset({RGB})))
        seen.append(Status(state.status[0]))
        np.testing.assert_array_equal(state.box[0], boxes[0])
        assert state.score[0] == 0
    assert seen == [Status.UNCERTAIN] * 4 + [Status.LOST] * 3
    assert not model.calls
    state = step(model, state, frame(8, boxes[1], RGB))
    assert state.status[0] == Status.TRACKING
    assert state.unseen[0] == 0


def test_lost_and_found_again(model) -> None:
    """Hidden for ten frames, then back 50 pixels away: outside the plain search crop, inside the grown one."""
    first, back = (60, 50, 20, 16), (110, 50, 20, 16)
    state = start(model, frame(0, first, RGB), first)
    events = []
    for i in range(1, 16):
        before = state.status[0]
        state = step(model, state, frame(i, None if i < 11 else back, RGB))
        if state.status[0] != before:
            events.append((i, Status(state.status[0]).name))
        if i < 11:
            np.testing.assert_array_equal(state.box[0], first)
    assert [name for _, name in events] == ["UNCERTAIN", "LOST", "UNCERTAIN", "TRACKING"] or [
        name for _, name in events
    ] == ["UNCERTAIN", "LOST", "TRACKING"]
    assert events[1][0] == 5
    assert iou(state.box[0], np.array(back, float)) > 0.7
    still = start(model, frame(0, first, RGB), first)
    for i in range(1, 16):
        still = step(model, still, frame(i, None if i < 11 else back, RGB), Policy(lost_search_growth=1, second_look=1))
    assert still.status[0] == Status.LOST


def test_second_look_finds_a_target_that_jumped(model) -> None:
    """40 pixels in one frame: just outside the plain search crop, as in clips of low frame rate."""
    boxes = [(60, 50, 20, 16), (100, 50, 20, 16)]
    state = start(model, frame(0, boxes[0], RGB), boxes[0])
    found = step(model, state, frame(1, boxes[1], RGB))
    assert iou(found.box[0], np.array(boxes[1], float)) > 0.7
    assert found.status[0] == Status.TRACKING
    model.calls.clear()
    missed = step(model, state, frame(1, boxes[1], RGB), Policy(second_look=1))
    assert iou(missed.box[0], np.array(boxes[1], float)) == 0
    assert len(model.calls) == 1


def test_second_look_counts_only_if_it_beats_the_first_by_the_margin(model) -> None:
    boxes = [(60, 50, 20, 16), (100, 50, 20, 16)]
    state = start(model, frame(0, boxes[0], RGB), boxes[0])
    first = step(model, state, frame(1, boxes[1], RGB), Policy(second_look=1))
    found = step(model, state, frame(1, boxes[1], RGB))
    gain = found.score[0] - first.score[0]
    assert gain > 0.4
    just = step(model, state, frame(1, boxes[1], RGB), Policy(second_look_margin=gain - 1e-6))
    np.testing.assert_array_equal(just.box, found.box)
    missed = step(model, state, frame(1, boxes[1], RGB), Policy(second_look_margin=gain + 1e-6))
    np.testing.assert_array_equal(missed.box, first.box)
    assert missed.score[0] == first.score[0]


def half_blind(i: int, boxes) -> Frame:
    """Thermal shows the block, RGB only grey."""
    return Frame({RGB: block(None), THERMAL: block(boxes[i], (30, 200, 30))}, i / 30, i)


def test_a_sensor_that_went_blind_is_left_out_of_the_second_look(model) -> None:
    boxes, policy = path(4), Policy(tracking_threshold=0.6)  # half of the pair's score is missing: 0.48
    state = start(model, frame(0, boxes[0], RGB, THERMAL), boxes[0])
    model.calls.clear()
    found = step(model, state, half_blind(1, boxes), policy)
    both, rgb, thermal = ("rgb", "thermal"), ("rgb",), ("thermal",)
    assert [names for names, _ in model.calls] == [both, both, rgb, thermal]
    assert found.status[0] == Status.TRACKING
    assert found.score[0] > 0.6
    assert iou(found.box[0], boxes[1]) > 0.75
    held = step(model, state, half_blind(1, boxes), Policy(tracking_threshold=0.6, second_look=1))
    assert held.status[0] == Status.UNCERTAIN
    model.calls.clear()
    step(model, held, half_blind(2, boxes), policy)  # asked in the first frame after TRACKING only
    assert [names for names, _ in model.calls] == [both, both]


def test_targets_with_an_event_camera_are_not_asked_for_one_sensor_at_a_time(model) -> None:
    boxes, policy = path(2), Policy(tracking_threshold=0.6)
    state = start(model, frame(0, boxes[0], RGB, EVENT), boxes[0])
    model.calls.clear()
    step(model, state, Frame({RGB: block(None), EVENT: block(boxes[1], (30, 200, 30))}), policy)
    assert [names for names, _ in model.calls] == [("rgb", "event")] * 2


def test_sensors_asked_alone_are_the_same_in_a_batch_and_one_by_one(model) -> None:
    boxes, policy = path(3), Policy(tracking_threshold=0.6)
    firsts = [frame(0, boxes[0], *s) for s in ((RGB, THERMAL), (RGB,), (RGB, THERMAL, DEPTH), (RGB, THERMAL))]
    green = {m: block(boxes[1], (30, 200, 30)) for m in (THERMAL, DEPTH)}
    nexts = [
        half_blind(1, boxes),
        Frame({RGB: block(None)}),
        Frame({RGB: block(None), **green}),
        frame(1, boxes[1], RGB, THERMAL),
    ]
    together = step(model, start(model, firsts, [boxes[0]] * 4), nexts, policy)
    alone = [step(model, start(model, a, boxes[0]), b, policy) for a, b in zip(firsts, nexts)]
    np.testing.assert_allclose(together.box, np.concatenate([s.box for s in alone]), atol=1e-4)
    np.testing.assert_allclose(together.score, np.concatenate([s.score for s in alone]), atol=1e-5)
    found = [Status.TRACKING] * 4
    found[1] = Status.UNCERTAIN  # RGB is all it has
    assert together.status.tolist() == found


def test_several_sensors_beside_rgb_run_in_pairs_and_are_averaged(model) -> None:
    box = path(1)[0]
    state = start(model, frame(0, box, RGB, THERMAL, DEPTH), box)
    together = step(model, state, frame(1, box, RGB, THERMAL, DEPTH))
    assert sorted(model.calls) == [(("rgb", "depth"), 1), (("rgb", "thermal"), 1)]
    images = {
        m: block(box if m != DEPTH else None, (200, 30, 30) if m == RGB else (30, 200, 30))
        for m in (RGB, THERMAL, DEPTH)
    }
    blind = step(model, state, Frame(images))  # depth sees nothing: half of its pair's score is missing
    good, poor = 0.95, (0.95 + 0.01) / 2
    expected = (good**3 + poor**3) / (good**2 + poor**2)  # weights are squares
    assert blind.score[0] == pytest.approx(together.score[0] * expected / good, rel=0.02)


def test_batch_equals_loop_with_frames_and_sensors_of_their_own(model) -> None:
    starts = [(60, 50, 20, 16), (30, 40, 11, 9), (100, 20, 30, 30)]
    sensors = [(RGB,), (RGB, THERMAL), (THERMAL, DEPTH)]
    sizes = [(120, 160), (100, 140), (160, 200)]
    paths = [path(6, s, (2, 1)) for s in starts]

    def frames(i: int) -> list[Frame]:
        return [frame(i, p[i], *s, height=h, width=w) for p, s, (h, w) in zip(paths, sensors, sizes)]

    together = start(model, frames(0), [p[0] for p in paths])
    alone = [start(model, f, p[0]) for f, p in zip(frames(0), paths)]
    for i in range(1, 6):
        together = step(model, together, frames(i))
        alone = [step(model, s, f) for s, f in zip(alone, frames(i))]
        np.testing.assert_allclose(together.box, np.concatenate([s.box for s in alone]), atol=1e-4)
        np.testing.assert_allclose(together.score, np.concatenate([s.score for s in alone]), atol=1e-5)
    kept = select(together, [2, 0])
    np.testing.assert_array_equal(kept.box, together.box[[2, 0]])
    assert step(model, kept, [frames(5)[2], frames(5)[0]]).box.shape == (2, 4)


@pytest.mark.parametrize(("name", "sensors"), [("ostrack-tiny", (RGB,)), ("sdstrack-tiny", (RGB, EVENT))])
def test_batch_equals_loop_with_a_real_network(name, sensors) -> None:
    torch.manual_seed(0)
    network = models.create(name).eval()
    rng = np.random.default_rng(0)
    clips = [
        [Frame({m: rng.integers(0, 256, (90, 120, 3), dtype=np.uint8) for m in sensors}) for _ in range(4)]
        for _ in range(3)
    ]
    boxes = np.array([[40.0, 30, 20, 20], [-3, 5, 30, 18], [90, 60, 25, 28]])
    policy = Policy.published()
    together = start(network, [clip[0] for clip in clips], boxes)
    alone = [start(network, clip[0], b) for clip, b in zip(clips, boxes)]
    for i in range(1, 4):
        together = step(network, together, [clip[i] for clip in clips], policy)
        alone = [step(network, s, clip[i], policy) for s, clip in zip(alone, clips)]
        np.testing.assert_allclose(together.box, np.concatenate([s.box for s in alone]), atol=1e-4)


def test_several_targets_in_one_frame(model) -> None:
    boxes = np.array([[20.0, 20, 16, 16], [100, 70, 24, 20]])
    image = np.maximum(block(boxes[0]), block(boxes[1]))
    state = step(model, start(model, image, boxes), image)
    assert (iou(state.box, boxes) > 0.75).all()
    assert [count for _, count in model.calls] == [2]


def test_many_targets_in_pieces_are_the_same_targets(monkeypatch) -> None:
    """A network on a CPU takes a few rows at a time; two sets of sensors in one batch beside it."""
    torch.manual_seed(0)
    network = models.create("sdstrack-tiny", dim=48, depth=2, heads=2, head_channels=16, fusion_blocks=(1,)).eval()
    image = np.random.default_rng(0).integers(0, 256, (90, 120, 3), dtype=np.uint8)
    boxes = np.stack([np.linspace(5, 80, 5), np.linspace(60, 10, 5), np.full(5, 20.0), np.full(5, 16.0)], 1)
    frames = [Frame({RGB: image, THERMAL: image[::-1]} if row % 2 else {RGB: image}) for row in range(5)]
    policy, found, sizes = Policy(tracking_threshold=0.0, lost_threshold=0.0, second_look=1.0), [], []
    network.register_forward_hook(lambda module, given, made: sizes.append(len(made.boxes)))
    cores = torch.get_num_threads()
    for at_once, threads in ((2, 1), (8, 1), (2, 2)):
        monkeypatch.setattr("modaltrack.tracking.look.ROWS_ON_CPU", at_once)
        torch.set_num_threads(threads)
        try:
            found.append(step(network, start(network, frames, boxes), frames, policy).box)
        finally:
            torch.set_num_threads(cores)
    assert sizes[:5] == [2, 1, 2, 3, 2]
    assert sorted(sizes[5:]) == [1, 2, 2]
    np.testing.assert_allclose(found[0], found[1], atol=1e-3)
    np.testing.assert_allclose(found[0], found[2], atol=1e-3)
    assert np.abs(found[0] - boxes).max() > 1


def test_a_step_waits_for_the_device_once(model, monkeypatch) -> None:
    """However many targets; a second look, which depends on what the first has seen, waits once more."""
    waits, plain = [], torch.Tensor.cpu
    monkeypatch.setattr(torch.Tensor, "cpu", lambda tensor: waits.append(1) or plain(tensor))
    boxes = np.array([[20.0, 20, 16, 16], [100, 70, 24, 20]])
    image = np.maximum(block(boxes[0]), block(boxes[1]))
    state = start(model, image, boxes)
    waits.clear()
    state = step(model, state, image)
    assert len(waits) == 1
    step(model, state, np.zeros_like(image), Policy(second_look=1.5, tracking_threshold=1.0))
    assert len(waits) > 2


def test_batched_crops_are_the_crops() -> None:
    """What runs on CUDA, here on the CPU; several targets in one image, and an image seen backwards."""
    image = np.random.default_rng(0).integers(0, 256, (90, 120, 3), dtype=np.uint8)
    images = [image, image[:, ::-1, ::-1], image]
    boxes = np.array([[40.0, 30, 20, 20], [100, 70, 30, 18], [-5, -5, 22, 18]])
    cpu = torch.device("cpu")
    exact, batched = (cut_crops(images, boxes, 4.0, 64, cpu, batched=b) for b in (False, True))
    assert exact.shape == (3, 3, 64, 64)
    assert (exact - batched).abs().max() <= 2 / 255 / min(IMAGENET_STD)


def test_broken_prediction_holds_the_box(model) -> None:
    box = path(1)[0]
    state = start(model, frame(0, box, RGB), box)
    model.break_answer = True
    state = step(model, state, frame(1, box, RGB))
    np.testing.assert_array_equal(state.box[0], box)
    assert state.score[0] == 0
    assert state.status[0] == Status.UNCERTAIN


def test_ignored_sensors_are_named_once() -> None:
    rgb_only = ColourModel((RGB,))
    box = path(1)[0]
    with pytest.warns(UserWarning, match=r"reads rgb; the thermal images are ignored"):
        state = start(rgb_only, frame(0, box, RGB, THERMAL), box)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        step(rgb_only, state, frame(1, box, RGB, THERMAL))
    assert rgb_only.calls == [(("rgb",), 1)]


@pytest.mark.parametrize(
    ("given", "box", "words"),
    [
        (Frame({}), (1, 2, 3, 4), "no image at all"),
        ({"rgb": None}, (1, 2, 3, 4), "no image at all"),
        ({"radar": block(None)}, (1, 2, 3, 4), "'radar'; expected one of rgb"),
        (block(None).astype(np.float32), (1, 2, 3, 4), "float32; expected uint8"),
        (np.full((9, 9, 3), np.nan), (1, 2, 3, 4), "NaN"),
        (block(None)[..., 0], (1, 2, 3, 4), r"shape \(120, 160\)"),
        ({"rgb": block(None), "depth": block(None)[:50]}, (1, 2, 3, 4), "differ in size"),
        ("frame.png", (1, 2, 3, 4), "is a str"),
        (block(None), (1, 2, 3), "four numbers"),
        (block(None), (1, 2, float("nan"), 4), "NaN"),
        (block(None), (500, 2, 3, 4), "entirely outside"),
        (block(None), (0, 0, 1e6, 1e6), "the image 160 x 120"),
        (block(None), np.zeros((0, 4)), "no box"),
        ([block(None)], [(1, 2, 3, 4)] * 2, "1 frames for 2 targets"),
    ],
)
def test_bad_input_is_one_clear_sentence(model, given, box, words) -> None:
    with pytest.raises(ValueError, match=words):
        start(model, given, box)


@pytest.mark.parametrize("name", ["ostrack-tiny", "sdstrack-tiny"])
def test_the_default_type_of_new_tensors_changes_nothing(name) -> None:
    """Some programs set float64 for all of torch; the weights stay float32, whenever they were loaded."""
    sensors = (RGB, THERMAL) if name == "sdstrack-tiny" else (RGB,)
    boxes = path(3)

    def tracked(network) -> np.ndarray:
        state = start(network, frame(0, boxes[0], *sensors), boxes[0])
        return step(network, state, frame(1, boxes[1], *sensors)).box

    before = models.load_model(name, device="cpu")
    expected = tracked(before)
    torch.set_default_dtype(torch.float64)
    try:
        after = models.load_model(name, device="cpu")
        assert {p.dtype for p in after.parameters()} == {torch.float32}
        np.testing.assert_array_equal(tracked(before), expected)
        np.testing.assert_array_equal(tracked(after), expected)
    finally:
        torch.set_default_dtype(torch.float32)
