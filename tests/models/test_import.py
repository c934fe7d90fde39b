# SPDX-License-Identifier: Apache-2.0
"""``modaltrack models import``: an authors' file in, a weight file of ours out, and every tensor accounted for."""

import hashlib
import re
from dataclasses import replace

import pytest
import torch
from tests.models.test_smstracker import names as smstracker_names
from tests.models.test_srtrack import authors_shapes
from tests.reference.fill import reference

from modaltrack import cli, models
from modaltrack.models import ainet, srtrack
from modaltrack.models.authors import our_name
from modaltrack.models.importing import import_checkpoint

INDEX = re.compile(r"head\.(ctr|size|offset)\.(\d)\.(?:(conv|norm)\.)?(.+)")


def authors_name(method, ours):
    """Their name of one of our tensors: the maps of names, read backwards."""
    if match := INDEX.fullmatch(ours):
        tower, layer, part, rest = match.groups()
        position = {"conv": ".0", "norm": ".1", None: ""}[part]
        return f"box_head.conv{int(layer) + 1}_{tower}{position}.{rest}"
    rest = {"pos_template": "pos_embed_z", "pos_search": "pos_embed_x"}.get(ours, ours)
    if method == "sdstrack":
        rest = re.sub(r"^patch_embed_x\.", "patch_embed_multimodal.", rest)
        if match := re.fullmatch(r"(adapters|fusions)\.(\d+)\.(space|mlp)\.(down|up)\.(.+)", rest):
            kind, block, part, layer, last = match.groups()
            x = {"adapters": "X", "fusions": "X_X"}[kind]
            part = {"space": "Space", "mlp": "MLP"}[part]
            rest = f"blocks.{block}.{part}_{x}_DTE_Adapter.D_{'fc1' if layer == 'down' else 'fc2'}.{last}"
    return f"backbone.{rest}"


def checkpoint(path, method, change=lambda state: None):
    """A tiny model in the authors' clothes, and the model itself."""
    torch.manual_seed(0)
    options = {"fuse_gate_init": None, "adapter_init": "normal"} if method == "sdstrack" else {}
    model = models.create(f"{method}-tiny", **options).eval()
    state = {authors_name(method, name): tensor for name, tensor in model.state_dict().items()}
    assert all(our_name(method, theirs) == ours for theirs, ours in zip(state, model.state_dict()))
    change(state)
    torch.save({"net": state, "epoch": 15, "net_type": method}, path)
    return model


def read_as(monkeypatch, method, variant):
    """The authors' checkpoints of a method have the settings that ``variant`` finds."""
    key_map = replace(models.authors.KEY_MAPS[method], variant=variant)
    monkeypatch.setitem(models.authors.KEY_MAPS._own, method, key_map)


@pytest.fixture
def plain_sdstrack(monkeypatch):
    """The tiny SDSTrack without what the authors' files cannot hold: the gates of its fusion."""
    read_as(monkeypatch, "sdstrack", lambda state: {"fuse_gate_init": None, "adapter_init": "normal"})


def images(model):
    g = torch.Generator().manual_seed(1)
    keys = [m for m in model.config.modalities if m in ("rgb", "thermal")]
    return [
        {m: torch.randn(2, 3, size, size, generator=g) for m in keys}
        for size in (model.config.template_size, model.config.search_size)
    ]


@pytest.mark.parametrize("method", ["ostrack", "sdstrack"])
@pytest.mark.usefixtures("plain_sdstrack")
def test_their_names_to_ours_and_back(tmp_path, method):
    model = checkpoint(tmp_path / "theirs.pth.tar", method)
    out = tmp_path / "ours.safetensors"
    done = import_checkpoint(tmp_path / "theirs.pth.tar", method, out, size="tiny")
    assert done.coverage.complete
    assert {fate for *_, fate in done.rows} == {"matched"}
    assert sorted(p.name for p in tmp_path.iterdir()) == ["ours.safetensors", "theirs.pth.tar"]
    again = models.load_model(out, device="cpu")
    for a, b in zip(images(model), images(again)):
        assert all(torch.equal(a[m], b[m]) for m in a)
    before, after = model(*images(model)), again(*images(model))
    for name in ("score_map", "size_map", "offset_map"):
        assert torch.equal(getattr(before, name), getattr(after, name))
    assert again.card["licence"] == "unknown: the authors'"
    assert again.card["origin"]["sha256"] == hashlib.sha256((tmp_path / "theirs.pth.tar").read_bytes()).hexdigest()
    assert again.card["encodings"]["rgb"] == "rgb"
    assert again.card["name"] == "ours"


NARROW = {"dim": 32, "heads": 2, "head_channels": 16}  # what no tensor's name depends on
ROUND_TRIPS = [
    ("ostrack", "", {}),
    ("sdstrack", "", {}),
    *(("srtrack", name, settings) for name, settings in srtrack.VARIANTS.items()),
    *(("smstracker", f"n={n}", {"interactions": n}) for n in (1, 2, 3, 4, 6)),
    *(("ainet", name, settings) for name, settings in ainet.VARIANTS.items()),
]


def published_names(method, variant, settings):
    """The names in the authors' file of a variant, those without effect among them."""
    if method == "srtrack":
        return list(authors_shapes(variant))
    if method == "smstracker":
        return [name for name, _ in smstracker_names(settings["interactions"])]
    return [name for name, _ in reference(method)["names"]]


@pytest.mark.filterwarnings("ignore:Four interactions", "ignore:Each layer's map")
@pytest.mark.parametrize(("method", "variant", "settings"), ROUND_TRIPS, ids=[f"{m}{v}" for m, v, _ in ROUND_TRIPS])
def test_every_method_and_variant_there_and_back(tmp_path, capsys, monkeypatch, method, variant, settings):
    """A checkpoint with the published names, narrow: recognised, imported whole, loaded, and the same maps come out."""
    torch.manual_seed(0)
    model = models.create(f"{method}-base", **NARROW, **settings).eval()
    recognise = models.authors.KEY_MAPS[method].variant or (lambda state: {})
    read_as(monkeypatch, method, lambda state: recognise(state) | NARROW)
    own, state = model.state_dict(), {}
    for name in published_names(method, variant, settings):
        ours = our_name(method, name)
        state[name] = own[ours] if ours in own else torch.zeros(1)
    assert {our_name(method, name) for name in state} >= set(own)
    file, out = str(tmp_path / "theirs.pth.tar"), str(tmp_path / "ours.safetensors")
    words = ["models", "import", file, "--method", method, "--out", out]
    torch.save({"net": state, "epoch": 15}, file)
    assert cli.main(words) == 0, capsys.readouterr().err
    again = models.load_model(out, device="cpu")
    assert again.config == model.config
    with torch.inference_mode():
        before, after = model(*images(model)), again(*images(again))
    for name in ("score_map", "size_map", "offset_map", "boxes"):
        assert torch.equal(getattr(before, name), getattr(after, name))

    gone = next(name for name in state if name.endswith("norm1.weight"))
    torch.save({"net": {name: tensor for name, tensor in state.items() if name != gone}}, file)
    assert cli.main([*words[:-1], str(tmp_path / "partial.safetensors")]) == 1
    assert f"1 missing: {our_name(method, gone)}" in capsys.readouterr().err
    assert not (tmp_path / "partial.safetensors").exists()


def test_modalities_name_and_half(tmp_path, capsys, plain_sdstrack):
    checkpoint(tmp_path / "a.pth", "sdstrack")
    words = ["models", "import", str(tmp_path / "a.pth"), "--method", "sdstrack", "--size", "tiny", "--half"]
    words += ["--out", str(tmp_path / "b.safetensors"), "--name", "mine", "--modality", "rgb", "--modality", "depth"]
    assert cli.main([*words, "--report"]) == 0
    printed = capsys.readouterr()
    assert "backbone.pos_embed_z" in printed.out
    assert "tensors matched" in printed.out
    assert printed.err == ""
    model = models.load_model(tmp_path / "b.safetensors", device="cpu")
    assert model.card["name"] == "mine"
    assert model.config.modalities == ("rgb", "depth")
    assert model.card["encodings"] == {"rgb": "rgb", "depth": "depth-jet-bgr"}
    assert (tmp_path / "b.safetensors").stat().st_size < 0.6 * (tmp_path / "a.pth").stat().st_size


def spoil(state):
    del state["backbone.norm.weight"]
    state["backbone.pos_embed_z"] = torch.zeros(1, 9, 192)
    state["backbone.strange"] = torch.zeros(1)


def test_below_the_whole_it_refuses_unless_told(tmp_path, capsys):
    checkpoint(tmp_path / "a.pth", "ostrack", spoil)
    words = ["models", "import", str(tmp_path / "a.pth"), "--method", "ostrack", "--size", "tiny"]
    words += ["--out", str(tmp_path / "b.safetensors")]
    assert cli.main(words) == 1
    error = capsys.readouterr().err
    for part in ("1 missing: norm.weight", "1 unexpected: backbone.strange", "1 wrong shape: backbone.pos_embed_z"):
        assert part in error
    assert not (tmp_path / "b.safetensors").exists()
    assert cli.main([*words, "--allow-partial", "--report"]) == 0
    printed = capsys.readouterr()
    assert "random values" in printed.err
    for fate in ("missing", "unexpected", "wrong shape", "matched"):
        assert fate in printed.out
    models.load_model(tmp_path / "b.safetensors", device="cpu")


class Bomb:
    def __reduce__(self):
        import os

        return os.system, ("touch touched",)


def test_a_hostile_file_is_imported_without_running_and_named(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    state = {authors_name("ostrack", k): v for k, v in models.create("ostrack-tiny").state_dict().items()}
    torch.save({"net": state, "settings": [Bomb()]}, "a.pth")
    words = ["models", "import", "a.pth", "--method", "ostrack", "--size", "tiny", "--out", "b.safetensors"]
    assert cli.main(words) == 0
    assert not (tmp_path / "touched").exists()
    assert "system" in capsys.readouterr().err


def test_wrong_method_and_wrong_words(tmp_path, capsys):
    checkpoint(tmp_path / "a.pth", "ostrack")
    file, out = str(tmp_path / "a.pth"), str(tmp_path / "b.safetensors")
    cut = tmp_path / "cut.pth"
    cut.write_bytes((tmp_path / "a.pth").read_bytes()[:5000])
    for words, what in (
        ([file, "--method", "sdstrack", "--size", "tiny", "--out", out], "does not fit sdstrack-tiny"),
        ([file, "--method", "ostrak", "--out", out], "did you mean ostrack"),
        ([file, "--method", "tpf", "--out", out], "authors of tpf have published no weights"),
        ([file, "--method", "ostrack", "--size", "huge", "--out", out], "ostrack-"),
        ([file, "--method", "ostrack", "--out", str(tmp_path / "b.pth")], ".safetensors"),
        ([file, "--method", "ostrack", "--size", "tiny", "--out", out, "--modality", "sonar"], "sonar"),
        ([file, "--method", "ostrack", "--size", "tiny", "--out", out, "--modality", "depth"], "it has no depth"),
        ([str(cut), "--method", "ostrack", "--out", out], "cut"),
        ([str(tmp_path / "none.pth"), "--method", "ostrack", "--out", out], "no checkpoint at"),
        ([file], "needs a file, --method and --out"),
    ):
        assert cli.main(["models", "import", *words]) == 1, words
        error = capsys.readouterr().err
        assert what in error, error
        assert error.count("\n") == 1
    assert not (tmp_path / "b.safetensors").exists()
    assert cli.main(["models", "--method", "ostrack"]) == 1
