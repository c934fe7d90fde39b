# SPDX-License-Identifier: Apache-2.0
"""The published systems' numbers from the published systems' weights (drawn, see tests/reference)."""

from functools import cache

import numpy as np
import pytest
import torch
from tests.reference.fill import draw, reference, values

from modaltrack.models.authors import from_authors

KINDS = {"infer": (None, 0), "no_elimination": (1.0, 1)}  # share of tokens kept; one sample each takes half the time


@cache  # drawing the weights takes seconds
def build(system):
    ref = reference(system)
    seed = ref["meta"]["seed"]
    state = {name: torch.from_numpy(np.asarray(values(name, shape, seed))) for name, shape in ref["names"]}
    model, report = from_authors(system, state)
    images = [
        torch.from_numpy(draw(role, (2, 6, size, size), seed)) for role, size in (("template", 128), ("search", 256))
    ]
    keys = ("rgb",) if system == "ostrack" else ("rgb", "thermal")
    return ref, model, report, [dict(zip(keys, (image[:, :3], image[:, 3:]))) for image in images]


@pytest.fixture(scope="module", params=["ostrack", "sdstrack"])
def system(request):
    return build(request.param)


@pytest.mark.parametrize("kind", KINDS)
@torch.inference_mode()
def test_maps_and_features(system, kind):
    (ref, model, _, images), (keep_rate, sample) = system, KINDS[kind]
    template, search = ({m: image[[sample]] for m, image in role.items()} for role in images)
    prediction = model(template, search, keep_rate=keep_rate)
    for name in ("score_map", "size_map", "offset_map"):
        ours, theirs = getattr(prediction, name).numpy(), ref[f"{kind}_{name}"][[sample]]
        error = np.abs(ours - theirs).max()
        print(kind, name, error)
        assert error < 1e-4
    assert prediction.score_map.argmax() == ref[f"{kind}_score_map"][sample].argmax()
    np.testing.assert_allclose(prediction.boxes.numpy(), ref[f"{kind}_pred_boxes"][[sample], 0], atol=1e-4)
    theirs = ref[f"{kind}_features_every_16th_token_and_32nd_channel"][[sample], 4:]  # four are the template's
    error = np.abs(prediction.features[:, ::16, ::32].numpy() - theirs).max() / ref[f"{kind}_features_rms"]
    print(kind, "features", error)
    assert error < 1e-4


def test_report_names_what_is_not_used(system):
    ref, _, report, _ = system
    assert report.complete
    assert "backbone.cls_token" in report.unused
    assert len(report.matched) + len(report.unused) == len(ref["names"])
