# SPDX-License-Identifier: Apache-2.0
"""A scripted score sequence in, the frame of the second template out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from colour_world import ColourConfig as OneTemplate
from colour_world import frame, path

from modaltrack.frame import Clip, Frame, Modality
from modaltrack.models import Prediction
from modaltrack.tracking import Policy, select, start, step, track, track_many
from modaltrack.tracking.template_memory import TemplateUpdate
from modaltrack.vision import decode, hann_window

RGB, THERMAL = Modality.RGB, Modality.THERMAL
BOX = (60.0, 50.0, 20.0, 16.0)
STILL = path(40, speed=(0, 0))


@dataclass(frozen=True)
class TwoTemplates(OneTemplate):
    num_templates: int = 2


class Scripted:
    """Answers each frame with the score that its images' first pixel says; ``memories`` are the templates it was given.

    The pixel is the frame's number: what a template was cut from can be read off it.
    """

    def __init__(self, scores, config=None) -> None:
        self.scores = scores
        self.config = config or TwoTemplates((RGB, THERMAL))
        self.memories: list[dict] = []

    def __call__(self, template, search, present=None, memory=None) -> Prediction:
        self.memories.append(memory)
        batch = len(next(iter(search.values())))
        score = torch.full((batch, 1, 8, 8), 1e-3)
        for row in range(batch):
            number = self.number(next(iter(search.values()))[row])
            score[row, 0, 3, 3] = self.scores[number] / hann_window(8, score.device)[3, 3]
        size = torch.zeros(batch, 2, 8, 8)
        size[:, 0], size[:, 1] = BOX[2] / 72, BOX[3] / 72
        offset = torch.ones(batch, 2, 8, 8)
        return Prediction(score, size, offset, decode(score, size, offset)[0])

    @staticmethod
    def number(image) -> int:
        """The frame's number from a normalised crop (3, h, w): its grey value of red."""
        return round((float(image[0].mean()) * 0.229 + 0.485) * 255)


def numbered(index, *modalities):
    image = np.full((120, 160, 3), index, np.uint8)
    image[..., 2] = np.arange(160)  # a blank picture would be no template
    return Frame(dict.fromkeys(modalities or (RGB, THERMAL), image), index / 30, index)


def second_templates(scores, sensors=lambda i: (RGB, THERMAL), **update):
    """The frame of the second template after each frame, and the final state."""
    model = Scripted([1.0, *scores])
    policy = Policy(template_update=TemplateUpdate(**update), lost_threshold=0.0, second_look=1.0)  # one call a frame
    state = start(model, numbered(0, *sensors(0)), BOX)
    first = {m: t.clone() for m, t in state.template.items()}
    seen = []
    for i in range(1, len(scores) + 1):
        state = step(model, state, numbered(i, *sensors(i)), policy)
        assert state.score[0] == pytest.approx(scores[i - 1], abs=1e-5)
        seen.append(int(state.memory.index[0]))
        for m, image in state.memory.image.items():
            if state.template_present[m][0] and seen[-1]:
                assert Scripted.number(image[0]) == seen[-1], "the crop is of the frame that the index says"
    for m in first:
        assert torch.equal(state.template[m], first[m]), "the first template is never replaced"
    return seen, state, model


#         1    2    3    4    5    6    7    8    9    10
SCORES = [0.9, 0.7, 0.3, 0.8, 0.2, 0.7, 0.9, 0.8, 0.7, 0.6]


def test_p2_takes_the_best_of_the_last_frames():
    seen, _, _ = second_templates(SCORES * 2, rule="P2", pool=5, interval=10, threshold=0.65)
    assert seen == [0] * 9 + [7] * 10 + [17]  # frame 1 scored as high as 7, and was not among the last five
    seen, _, _ = second_templates(SCORES, rule="P2", pool=2, interval=5, threshold=0.65)
    assert seen == [0] * 4 + [4] * 5 + [9]
    seen, _, _ = second_templates(SCORES, rule="P2", pool=99, interval=10, threshold=0.65)
    assert seen[-1] == 7  # the later one of two equal scores
    assert second_templates([0.9] * 20, rule="P2", pool=5, interval=10)[0][-1] == 20


def test_p1_takes_the_latest_reliable_frame():
    seen, _, _ = second_templates(SCORES * 2, rule="P1", interval=10, threshold=0.65)
    assert seen == [0] * 9 + [9] * 10 + [19]
    seen, _, _ = second_templates(SCORES, rule="P1", interval=5, threshold=0.75)
    assert seen == [0] * 4 + [4] * 5 + [8]


def test_the_settings_of_sibling_works():
    """STTrack's and SUTrack's numbers (docs/methods/tpf.md 5): the nearest of the reliable at every check."""
    seen, _, _ = second_templates(SCORES, rule="P1", interval=5, threshold=0.65)
    assert seen == [0] * 4 + [4] * 5 + [9]
    seen, _, _ = second_templates(SCORES * 3, rule="P1", interval=25, threshold=0.7)
    assert seen == [0] * 24 + [24] * 6


@pytest.mark.parametrize("rule", ["P1", "P2", "none"])
def test_an_empty_pool_changes_nothing(rule):
    seen, state, model = second_templates([0.5] * 20, rule=rule)
    assert seen == [0] * 20
    assert np.isneginf(state.memory.candidate_score).all()
    # after a check the pool is empty: what was good before it does not come back
    if rule != "none":
        assert second_templates([0.9] * 10 + [0.5] * 10, rule=rule)[0][-1] == 10
    assert Scripted.number(model.memories[-1][RGB][0]) == 0


def test_the_model_sees_the_second_template_from_the_next_frame_on():
    _, _, model = second_templates([*SCORES, 0.5], rule="P2")
    numbers = [Scripted.number(memory[THERMAL][0]) for memory in model.memories]
    assert numbers == [0] * 10 + [7]


def test_no_template_from_a_frame_that_lacks_a_sensor():
    seen, _, _ = second_templates(SCORES, lambda i: (RGB,) if i in (7, 8) else (RGB, THERMAL), rule="P2")
    assert seen[-1] == 9
    seen, _, _ = second_templates(SCORES, lambda i: (RGB,), rule="P2")
    assert seen[-1] == 7  # with one sensor from the start there is none to wait for


def test_no_template_from_a_blank_picture():
    model, state = Scripted([1.0] * 12), None
    for i in range(11):
        shown = numbered(i)
        if i == 10:
            shown = Frame({RGB: shown.images[RGB], THERMAL: np.full((120, 160, 3), i, np.uint8)}, i / 30, i)
        state = start(model, shown, BOX) if state is None else step(model, state, shown)
    assert state.memory.index[0] == 9


def test_a_sensor_that_joins_late_begins_the_memory_anew():
    """Otherwise RGB of one moment would be fused with the other sensor of another."""
    seen, state, _ = second_templates(SCORES * 2, lambda i: (RGB, THERMAL) if i >= 14 else (RGB,), rule="P2")
    assert seen[9:13] == [7] * 4
    assert seen[13:19] == [0] * 6
    assert set(state.memory.image) == {RGB, THERMAL}
    assert seen[-1] == 17


def test_targets_have_memories_of_their_own_and_drop_out():
    clips = [Clip("a", [numbered(i) for i in range(24)]), Clip("b", [numbered(i + 60) for i in range(13)])]
    scores = [1.0, *SCORES * 2, *[0.5] * 10] + [0.5] * 30 + [1.0, 0.9, *[0.7] * 20]
    model = Scripted(scores)
    once = Policy(second_look=1.0)  # one call a frame
    together = track_many(model, clips, [BOX, BOX], policy=once)
    for clip, result in zip(clips, together):
        alone = track(Scripted(scores), clip, BOX, policy=once)
        np.testing.assert_allclose(alone.boxes, result.boxes, atol=1e-4)
        np.testing.assert_allclose(alone.scores, result.scores, atol=1e-5)
    both = model.memories[11][RGB]
    assert [Scripted.number(both[0]), Scripted.number(both[1])] == [7, 70]
    assert len(model.memories[-1][RGB]) == 1
    state = start(model, [numbered(0), numbered(60)], [BOX, BOX])
    assert Scripted.number(select(state, [1]).memory.image[RGB][0]) == 60


def test_a_step_leaves_its_input_alone():
    model = Scripted([1.0] * 30)
    state = start(model, numbered(0), BOX)
    for i in range(1, 10):
        state = step(model, state, numbered(i))
    copy = state.memory.image[RGB].clone(), state.memory.index.copy(), state.memory.candidate[RGB].clone()
    after = step(model, state, numbered(10))
    assert after.memory.index[0] == 10
    assert torch.equal(state.memory.image[RGB], copy[0])
    assert state.memory.index[0] == copy[1][0] == 0
    assert torch.equal(state.memory.candidate[RGB], copy[2])


def test_models_with_one_template_have_no_memory():
    model = Scripted([1.0] * 3, OneTemplate((RGB, THERMAL)))
    state = step(model, start(model, numbered(0), BOX), numbered(1))
    assert state.memory is None
    assert model.memories == [None]


def test_impossible_rules_are_told():
    for wrong in ({"rule": "P3"}, {"pool": 0}, {"interval": 0}, {"threshold": 1.5}):
        with pytest.raises(ValueError, match=r"template update|impossible"):
            TemplateUpdate(**wrong)


@pytest.mark.parametrize("sensors", [(RGB,), (THERMAL,), (RGB, THERMAL)])
def test_tpf_tracks_with_any_sensors(sensors):
    from modaltrack import models

    torch.manual_seed(0)
    small = {"dim": 32, "depth": 2, "heads": 2, "head_channels": 16, "template_size": 32, "search_size": 64}
    model = models.create("tpf-tiny", **small, pfa_channels=8).eval()
    policy = Policy(template_update=TemplateUpdate("P2", 1, 1, 0.0))
    boxes = path(4)
    result = track(model, [frame(i, boxes[i], *sensors) for i in range(4)], boxes[0], policy=policy)
    assert np.isfinite(result.boxes).all()
    assert result.info["policy"]["template_update"]["rule"] == "P2"
