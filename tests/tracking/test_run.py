# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import subprocess
import sys
import tracemalloc
import weakref
from pathlib import Path

import numpy as np
import pytest
from colour_world import ColourModel, block, frame, path

import modaltrack
from modaltrack.boxes import iou
from modaltrack.frame import Clip, Frame, Modality, Status
from modaltrack.tracking import Tracker, follow, track, track_many

RGB, THERMAL = Modality.RGB, Modality.THERMAL


@pytest.fixture
def model() -> ColourModel:
    return ColourModel()


def clip(name: str, length: int, *sensors: Modality, speed=(2, 1)) -> Clip:
    boxes = path(length, speed=speed)
    return Clip(name, [frame(i, b, *sensors) for i, b in enumerate(boxes)], boxes)


def test_tracker_takes_arrays_mappings_and_frames(model) -> None:
    boxes = path(4)
    tracker = Tracker(model)
    with pytest.raises(ValueError, match="init"):
        tracker.update(block(boxes[0]))
    first = tracker.init(block(boxes[0]), boxes[0])
    np.testing.assert_array_equal(first.box, boxes[0])
    for i, given in enumerate([block(boxes[1]), {"rgb": block(boxes[2]), "thermal": None}, frame(3, boxes[3], RGB)], 1):
        answer = tracker.update(given)
        assert iou(answer.box, boxes[i]) > 0.75
        assert answer.status is Status.TRACKING
        assert 0 < answer.score <= 1
    with pytest.raises(ValueError, match="one target"):
        tracker.init(block(boxes[0]), boxes[:2])


def test_track_fills_the_result(model) -> None:
    c = clip("walk", 8, RGB, THERMAL)
    frames = list(c.frames)
    frames[4] = Frame({RGB: frames[4].images[RGB]}, 4 / 30, 4, missing=frozenset({THERMAL}))
    done = []
    result = track(model, Clip("walk", frames, c.boxes), progress=done.append)
    assert result.boxes.shape == (8, 4)
    np.testing.assert_array_equal(result.boxes[0], c.boxes[0])
    assert result.scores[0] == 1
    np.testing.assert_allclose(result.times, np.arange(8) / 30)
    np.testing.assert_array_equal(result.present[THERMAL], np.arange(8) != 4)
    assert result.present[RGB].all()
    assert done == list(range(1, 9))
    assert (iou(result.boxes, c.boxes) > 0.75).all()
    assert result.info["clip"] == "walk"
    assert result.info["tracker_seconds"] > 0


def test_track_many_equals_track(model) -> None:
    clips = [clip("a", 9, RGB), clip("b", 3, RGB, THERMAL), clip("c", 6, THERMAL, speed=(-1, 1)), clip("d", 1, RGB)]
    done = []
    together = track_many(model, clips, progress=done.append)
    assert done[-1] == 19
    for c, many in zip(clips, together):
        one = track(model, c)
        np.testing.assert_allclose(many.boxes, one.boxes, atol=1e-4)
        np.testing.assert_allclose(many.scores, one.scores, atol=1e-5)
        np.testing.assert_array_equal(many.status, one.status)
        assert len(many.times) == len(c.frames)
    assert track_many(model, []) == []


def test_frames_are_let_go_and_memory_does_not_grow(model) -> None:
    """A generator of 40 frames: at most the current frame is alive, and the peak of 40 is that of 15."""
    alive: list[weakref.ref] = []

    def stream(length: int):
        for i, box in enumerate(path(length, start=(20, 20, 20, 16), speed=(1, 1))):
            image = block(box, height=240, width=320)
            alive.append(weakref.ref(image))
            yield image
            del image
            assert sum(ref() is not None for ref in alive) <= 2, i

    def peak(length: int) -> int:
        tracemalloc.start()
        track(model, stream(length), (20, 20, 20, 16))
        _, highest = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return highest

    peak(5)
    assert peak(40) - peak(15) < 100_000  # one image is 230 kB


def test_follow_is_lazy(model) -> None:
    boxes = path(50, speed=(0, 0))

    def endless():
        i = 0
        while True:
            yield block(boxes[i % 50])
            i += 1

    for i, (given, state) in enumerate(follow(model, endless(), boxes[0])):
        assert given.index == state.index == i
        if i == 4:
            break


def test_clips_without_frames_or_boxes_say_so(model) -> None:
    with pytest.raises(ValueError, match="no frames"):
        track(model, [], (1, 2, 3, 4))
    with pytest.raises(ValueError, match="no box to start"):
        track(model, [block(None)])
    with pytest.raises(ValueError, match="'empty' has no box"):
        track(model, Clip("empty", [frame(0, None, RGB)]))
    with pytest.raises(ValueError, match="2 boxes for 1 clips"):
        track_many(model, [clip("a", 2, RGB)], boxes=np.ones((2, 4)))
    with pytest.raises(ValueError, match="one target"):
        track(model, [block(None)], np.ones((2, 4)))


def test_what_newcomers_try_gets_a_sentence(model) -> None:
    with pytest.raises(ValueError, match="no model 'nanotrak'"):
        Tracker("nanotrak")
    for other in (None, 3):
        with pytest.raises(ValueError, match="load_model"):
            track(other, [block(None)], (1, 2, 3, 4))
        with pytest.raises(ValueError, match="load_model"):
            next(iter(follow(other, [block(None)], (1, 2, 3, 4))))
    for frames in ({"rgb": "no_clip.mp4"}, Path("no_clip")):
        with pytest.raises(ValueError, match="no_clip"):
            track(model, frames, (1, 2, 3, 4))


@pytest.mark.parametrize("specs", ["clip.mp4", Path("clip.mp4"), ["a.mp4", "b.mp4"], 0, None])
def test_open_clip_takes_a_mapping(specs) -> None:
    with pytest.raises(ValueError, match=r'open_clip\(\{"rgb": '):
        modaltrack.open_clip(specs)


def test_rooms_are_there_after_a_plain_import() -> None:
    code = (
        "import modaltrack, sys\n"
        "assert 'torch' not in sys.modules\n"
        "modaltrack.tracking.track_many, modaltrack.sources.open_clip, modaltrack.session.Session\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
