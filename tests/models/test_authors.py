# SPDX-License-Identifier: Apache-2.0
import pytest
import torch
from tests.reference.fill import reference

from modaltrack import models
from modaltrack.models.authors import our_name

SMALL = {"dim": 32, "depth": 4, "heads": 2, "head_channels": 16}


@pytest.mark.parametrize("system", ["ostrack", "sdstrack"])
def test_every_published_name_has_a_place_or_a_reason(system):
    names = [name for name, _ in reference(system)["names"]]
    ours = [our_name(system, name) for name in names]
    assert len({o for o in ours if o}) == len([o for o in ours if o])
    assert {n for n, o in zip(names, ours) if o is None} <= {
        "backbone.cls_token",
        "backbone.pos_embed",
        "backbone.pos_embed_z_z_dte",
        "backbone.pos_embed_x_x_dte",
    }


def test_all_problems_are_listed():
    state = {name: torch.empty(shape) for name, shape in reference("ostrack")["names"]}
    del state["backbone.norm.weight"]
    state["backbone.pos_embed_z"] = torch.empty(1, 9, 768)
    state["backbone.strange"] = torch.empty(1)
    with pytest.raises(ValueError, match=r"1 missing: norm\.weight; 1 unexpected: backbone\.strange; 1 wrong shape"):
        models.from_authors("ostrack", state)
    with pytest.raises(ValueError, match="under its key 'net'"):
        models.from_authors("ostrack", {"net": state})
    with pytest.raises(ValueError, match="did you mean ostrack"):
        models.from_authors("ostrak", state)


def test_a_tiny_sdstrack_starts_as_its_base():
    torch.manual_seed(0)
    base = models.create("ostrack-tiny", **SMALL).eval()
    model = models.create("sdstrack-tiny", **SMALL, fusion_blocks=(1, 3)).eval()
    report = models.start_from(model, base)
    assert not report.unexpected
    assert all(name.startswith(("adapters.", "fusions.")) for name in report.missing)
    template, search = torch.randn(2, 3, 64, 64), torch.randn(2, 3, 128, 128)
    alone = base({"rgb": template}, {"rgb": search})
    for key in ("rgb", "event"):
        same = model({key: template}, {key: search})
        torch.testing.assert_close(same.size_map, alone.size_map, rtol=0, atol=1e-6)
    both = model({"rgb": template, "event": template}, {"rgb": search, "event": search})
    torch.testing.assert_close(both.size_map, alone.size_map, rtol=0, atol=0.02)  # the fusion's gate is nearly closed


def test_a_base_of_another_size_is_told():
    with pytest.raises(ValueError, match="wrong shape"):
        models.start_from(
            models.create("sdstrack-tiny", **SMALL), models.create("ostrack-tiny", **(SMALL | {"dim": 64}))
        )
