# SPDX-License-Identifier: Apache-2.0
"""Files made to hang, to fill the memory or to crash their reader: one sentence each, at an honest file's price."""

import json
import struct
import tracemalloc
import zipfile
from dataclasses import asdict

import pytest
import torch
from safetensors.torch import save_file

from modaltrack import cli, models
from modaltrack.models import restricted_pickle
from modaltrack.models.card import read_card
from modaltrack.models.checkpoint_reader import read_checkpoint
from modaltrack.models.registry import config_of, list_models
from modaltrack.models.skeleton import shapes_of
from modaltrack.models.weights_found import open_weights, read_state_dict

HEAD = b"\x80\x02"
DOUBLED = b")" + b"".join(bytes([0x71, i, 0x68, i, 0x86]) for i in range(60))  # 60 x: memo, the same again, TUPLE2
NESTED = b")" + b"\x85" * 200_000  # a tuple in a tuple in a tuple ...


def text(value):
    return b"X" + struct.pack("<I", len(value)) + value.encode()


def tensor(shape, stride, key=b"X\x01\x00\x00\x000", count=4, offset=b"K\x00", kind=b"ctorch\nFloatStorage\n"):
    place = b"(" + text("storage") + kind + key + text("cpu") + b"J" + struct.pack("<i", count) + b"tQ"
    numbers = [b"(" + b"".join(b"\x8a\x08" + struct.pack("<q", n) for n in part) + b"t" for part in (shape, stride)]
    call = b"ctorch._utils\n_rebuild_tensor_v2\n("
    return call + place + offset + numbers[0] + numbers[1] + b"\x89ccollections\nOrderedDict\n)RtR"


def weights(value):
    return HEAD + b"}" + text("net") + b"}" + text("a") + value + b"ss."


PICKLES = {
    "doubled tuples as a key": HEAD + b"}" + DOUBLED + b"Ns.",
    "doubled tuples in a set": b"\x80\x04\x8f(" + DOUBLED + b"\x90.",
    "doubled tuples in a frozenset": b"\x80\x04(" + DOUBLED + b"\x91.",
    "doubled tuples as a dictionary": HEAD + b"(" + DOUBLED + b"Nd.",
    "doubled tuples as a set to build": HEAD + b"c__builtin__\nset\n(](" + DOUBLED + b"etR.",
    "doubled tuples in an ordered dictionary": HEAD + b"ccollections\nOrderedDict\n(](" + DOUBLED + b"N\x86etR.",
    "doubled tuples as a name": HEAD + DOUBLED + text("a") + b"\x93.",
    "doubled tuples as a place": HEAD + b"(" + text("storage") + b"ctorch\nFloatStorage\n" + DOUBLED + b"NK\x00tQ.",
    "doubled tuples as a kind of place": HEAD + b"(" + DOUBLED + b"ctorch\nFloatStorage\n" + text("0") + b"NK\x00tQ.",
    "doubled tuples as a storage key": weights(tensor((1,), (1,), key=DOUBLED)),
    "doubled tuples as a shape": weights(tensor((1,), (1,), offset=DOUBLED)),
    "nested tuples as a key": HEAD + b"}" + NESTED + b"Ns.",
    "nested tuples as a value": weights(NESTED),
    "nested lists": HEAD + b"}" + text("x") + b"]" * 100_000 + b"a" * 99_999 + b"s.",
    "copies of one list": HEAD + b"](" + b"N" * 100_000 + b"eq\x000" + b"c__builtin__\nlist\n(h\x00tR" * 5000 + b".",
    "copies of one list as a tuple": HEAD
    + b"]("
    + b"N" * 100_000
    + b"eq\x000"
    + b"c__builtin__\ntuple\n(h\x00tR" * 99
    + b".",
    "one list as the arguments of many calls": HEAD
    + b"("
    + b"N" * 100_000
    + b"tq\x000"
    + b"ctorch\ndevice\nh\x00R" * 5000
    + b".",
    "one text encoded many times": HEAD
    + text("x" * 2_000_000)
    + b"q\x000"
    + b"c_codecs\nencode\n(h\x00tR" * 2000
    + b".",
    "a long name built many times": HEAD
    + text("m" * 100_000)
    + b"q\x000"
    + (b"h\x00" + text("a") + b"\x93") * 5000
    + b".",
    "more instructions than any checkpoint": HEAD + b"N0" * 60_000 + b"N.",
    "an empty tensor of a huge shape": weights(tensor((0, 2**47, 2**47), (1, 1, 1), count=0)),
    "an empty tensor of a huge shape, stored": weights(tensor((0, 2**47, 2**47), (1, 1, 1))),
    "a tensor of a thousand dimensions": weights(tensor((1,) * 1000, (1,) * 1000)),
    "a tensor that repeats one value for ever": weights(tensor((2**40,), (0,))),
    "a giant whole number as a key": HEAD + b"}\x8b" + struct.pack("<i", 10**6) + b"\x01" * 10**6 + b"Ns.",
    "a giant whole number as text": HEAD + b"I" + b"9" * 10**6 + b"\n.",
    "complex of a text": HEAD + b"c__builtin__\ncomplex\n(" + text("1" * 99) + b"tR.",
    "no end": HEAD + b"}",
}
FORMATS = pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])


def legacy(data, keys=(b"0",), storage=b"\x04" + bytes(7 + 16)):
    magic = HEAD + b"\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19." + HEAD + b"M\xe9\x03."
    system = HEAD + b"}" + text("little_endian") + b"\x88s."
    names = HEAD + b"](" + b"".join(text(k.decode()) for k in keys) + b"e."
    return magic + system + data + names + storage


def write(path, data, zipped=True, **more):
    if not zipped:
        path.write_bytes(legacy(data))
        return path
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in {"data.pkl": data, "byteorder": b"little", "data/0": bytes(16), **more}.items():
            archive.writestr(f"archive/{name}", content)
    return path


def refuses(path, reader=read_state_dict):
    """One sentence that names the file, for no more memory than allowed."""
    with pytest.raises(ValueError, match=path.name) as raised:
        reader(path)
    sentence = str(raised.value)
    assert len(sentence) < 600
    assert "\n" not in sentence
    return sentence


@FORMATS
@pytest.mark.parametrize("name", PICKLES)
def test_a_malicious_pickle_is_one_sentence(tmp_path, monkeypatch, zipped, name):
    if name.startswith("more instructions"):
        monkeypatch.setattr(restricted_pickle, "_OPCODES", 100_000)
    refuses(write(tmp_path / "evil.pth", PICKLES[name], zipped))


def test_copies_take_no_more_memory_than_the_file_explains(tmp_path):
    """A file of 0.2 MB that asks for 4 GB of references."""
    path = write(tmp_path / "evil.pth", PICKLES["copies of one list"])
    tracemalloc.start()
    try:
        assert "copies more than it holds" in refuses(path)
        assert tracemalloc.get_traced_memory()[1] < 50 * path.stat().st_size
    finally:
        tracemalloc.stop()


def test_the_honest_form_of_these_files_is_read(tmp_path):
    """The test of the tests above: with an honest tensor in its place, the same writers make files that are read."""
    for zipped in (True, False):
        state, _ = read_state_dict(write(tmp_path / "a.pth", weights(tensor((2, 2), (2, 1))), zipped))
        assert torch.equal(state["a"], torch.zeros(2, 2))


def test_shared_and_nested_parts_of_honest_files_are_read(tmp_path):
    shared = [torch.ones(2)] * 3
    tree = {"net": {"a": torch.ones(1)}, "more": {"deep": [[[[(1, {"x": shared}, (2,))]]]], "text": "a" * 100}}
    torch.save(tree, tmp_path / "a.pth")
    found = read_checkpoint(tmp_path / "a.pth").tree["more"]["deep"][0][0][0][0]
    assert found[0] == 1
    assert all(torch.equal(t, torch.ones(2)) for t in found[1]["x"])


def patched(path, changes):
    """A zip file with bytes of its table of contents changed: {offset within the first line: value}."""
    data = bytearray(path.read_bytes())
    start = data.rfind(b"PK\x01\x02", 0, data.find(b"archive/data.pkl", data.find(b"PK\x01\x02")))
    for offset, value in changes.items():
        data[start + offset] = value
    path.write_bytes(data)
    return path


@pytest.mark.parametrize(
    "changes", [{6: 99}, {8: 1}, {8: 0x20}, {10: 12}, {10: 99}, {20: 255}, {24: 255}, {42: 200}, {28: 255}]
)
def test_a_zip_with_a_wrong_table_of_contents(tmp_path, changes):
    refuses(patched(write(tmp_path / "evil.pth", weights(tensor((2, 2), (2, 1)))), changes))


def test_zips_larger_than_what_they_hold(tmp_path):
    path = write(tmp_path / "evil.pth", weights(tensor((2, 2), (2, 1))))
    path.write_bytes(bytes(2**23) + path.read_bytes())
    assert "explains" in refuses(path) or "zeros" in refuses(path)
    path.write_bytes(b"PK" + path.read_bytes())
    assert "explains" in refuses(path)
    path.write_bytes(legacy(weights(tensor((2, 2), (2, 1)))) + bytes(2**23))
    assert "explain" in refuses(path)


def test_a_table_of_contents_of_a_million_lines(tmp_path):
    path = write(tmp_path / "evil.pth", weights(tensor((2, 2), (2, 1))))
    data = path.read_bytes()
    at = data.rfind(b"PK\x05\x06")
    path.write_bytes(data[: at + 12] + struct.pack("<I", 2**26) + data[at + 16 :])
    assert "table of contents" in refuses(path)


def test_storages_that_lie_on_one_another(tmp_path):
    """A hundred tensors of the same bytes: what they claim is compared with the size of the file."""
    many = b"".join(text(f"t{i}") + tensor((2**20,), (1,), key=text(str(i)), count=2**20) for i in range(100))
    path = write(tmp_path / "evil.pth", HEAD + b"}(" + many + b"u.", **{"data/5": bytes(2**22)})
    assert "more values than the file has bytes" in refuses(path)


def test_files_that_are_something_else(tmp_path):
    for content, what in (
        (b"<!DOCTYPE html><html><head>", "web page"),
        (b"\n\n  <html lang=en>", "web page"),
        (b"\xef\xbb\xbf<?xml version='1.0'?>", "web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n", "git lfs pull"),
        (b"", "is empty"),
        (b'{"error": "quota exceeded"}', "JSON"),
        (b"\x1f\x8b\x08\x00" + bytes(100), "gzip"),
        (b"Rar!\x1a\x07\x00" + bytes(100), "RAR"),
        (bytes(1000), "zeros"),
        (b"\x89HDF\r\n\x1a\n" + bytes(100), "HDF5"),
    ):
        for name, reader in (("a.pth", read_state_dict), ("a.safetensors", models.load_model)):
            (tmp_path / name).write_bytes(content)
            assert what in refuses(tmp_path / name, reader)
    with zipfile.ZipFile(tmp_path / "a.pth", "w") as archive:
        archive.writestr("x.npy", b"")
    assert "NumPy" in refuses(tmp_path / "a.pth")


# ---------------------------------------------------------------------------------------------------- weight files

TINY = {"dim": 32, "depth": 2, "heads": 2, "head_channels": 16}


@pytest.fixture(scope="module")
def honest(tmp_path_factory):
    """Bytes of a small weight file, by method."""
    files = {}
    for method in ("ostrack", "sdstrack"):
        path = tmp_path_factory.mktemp("w") / f"{method}.safetensors"
        more = {} if method == "ostrack" else {"fusion_blocks": (1,)}
        models.save_model(models.create(f"{method}-tiny", **TINY, **more), path, {"licence": "Apache-2.0"})
        files[method] = path.read_bytes()
    return files


def parts(data):
    """Header as an object, and the values."""
    length = struct.unpack("<Q", data[:8])[0]
    return json.loads(data[8 : 8 + length]), data[8 + length :]


def joined(header, body):
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(raw)) + raw + body


def with_card(data, **changes):
    header, body = parts(data)
    card = {**json.loads(header["__metadata__"]["card"]), **changes}
    header["__metadata__"]["card"] = json.dumps(card)
    return joined(header, body)


WRONG = (
    "zz",
    -1,
    0.5,
    float("nan"),
    float("inf"),
    [1, 2],
    [],
    [-1],
    ["rgb", "rgb"],
    ["sonar"],
    {},
    10**7,
    10**400,
    True,
)


@pytest.mark.parametrize("method", ["ostrack", "sdstrack"])
def test_every_field_of_the_configuration_is_checked(tmp_path, honest, method):
    """Whatever a field of the card holds, the file is read or refused in one sentence."""
    path = tmp_path / "a.safetensors"
    config = json.loads(parts(honest[method])[0]["__metadata__"]["card"])["config"]
    outcomes = set()
    for field in config:
        for value in (*WRONG, None):
            path.write_bytes(with_card(honest[method], config={**config, field: value}))
            error = None
            try:
                models.load_model(path, device="cpu")
            except ValueError as raised:
                error = str(raised)
            assert error is None or (str(path) in error and len(error) < 700), (field, value)
            outcomes.add(error is None)
    assert outcomes == {True, False}
    path.write_bytes(honest[method])
    models.load_model(path, device="cpu")


@pytest.mark.parametrize(
    "changes",
    [
        {"config": [1]},
        {"config": None},
        {"config": "abc"},
        {"config": {"__class__": 1}},
        {"method": ["a"]},
        {"method": {}},
        {"method": "../../etc/passwd"},
        {"size": 5},
        {"size": "A" * 10**6},
        {"base": 5},
        {"base": []},
        {"base": {}},
        {"base": {"name": "../../../etc/passwd", "sha256": None}},
        {"base": {"name": ["a"]}},
        {"base": {"name": "ostrack-tiny", "sha256": 5}},
        {"thresholds": 5},
        {"thresholds": [1]},
        {"thresholds": {"tracking": "a"}},
        {"thresholds": {"tracking": None}},
        {"thresholds": {"tracking": 1e308}},
        {"thresholds": {"tracking": -5}},
        {"thresholds": {"tracking": 0.1, "lost": 0.9}},
        {"thresholds": {"foo": 1}},
        {"encodings": 5},
        {"encodings": {"rgb": "nope"}},
        {"encodings": {"sonar": "rgb"}},
        {"encodings": {"rgb": ["rgb"]}},
        {"name": 5},
        {"name": {}},
        {"name": "x" * 1000},
        {"licence": {}},
        {"measured": "x"},
    ],
    ids=lambda changes: str(changes)[:40],
)
def test_every_field_of_the_card_is_checked(tmp_path, honest, changes):
    path = tmp_path / "a.safetensors"
    path.write_bytes(with_card(honest["ostrack"], **changes))
    refuses(path, models.load_model)


@pytest.mark.parametrize("card", ["[1]", "5", "null", '"x"', "NaN", "{", "[" * 10**5, '{"a":' * 500 + "1" + "}" * 500])
def test_a_card_that_is_no_object(tmp_path, honest, card):
    header, body = parts(honest["ostrack"])
    header["__metadata__"]["card"] = card
    (tmp_path / "a.safetensors").write_bytes(joined(header, body))
    refuses(tmp_path / "a.safetensors", models.load_model)


def changed_line(data, **changes):
    header, body = parts(data)
    name = next(name for name in header if name != "__metadata__")
    header[name].update(changes)
    return joined(header, body)


@pytest.mark.parametrize(
    "make",
    [
        lambda d: changed_line(d, data_offsets=[-8, 8]),
        lambda d: changed_line(d, data_offsets=[100, 0]),
        lambda d: changed_line(d, data_offsets=[0.5, 1.5]),
        lambda d: changed_line(d, data_offsets=["0", "8"]),
        lambda d: changed_line(d, data_offsets=[0, 1, 2]),
        lambda d: changed_line(d, shape=[-1]),
        lambda d: changed_line(d, shape=[2**62, 4]),
        lambda d: changed_line(d, shape="x"),
        lambda d: changed_line(d, shape=[1] * 1000),
        lambda d: changed_line(d, dtype="F99"),
        lambda d: changed_line(d, dtype=None),
        lambda d: changed_line(d, more=1),
        lambda d: joined(b'{"a":' + b"[" * 200_000 + b"]" * 200_000 + b"}", b""),
        lambda d: joined(b'{"a":', b""),
        lambda d: joined(b'{"a":1,"a":2}', b""),
        lambda d: joined(b"{}", b""),
        lambda d: joined(b'{"a":[' + b"0," * 3_000_000 + b"0]}", b""),
        lambda d: joined(
            {**parts(d)[0], "x": {"dtype": "F16", "shape": [0, 2**45], "data_offsets": [0, 0]}}, parts(d)[1]
        ),
        lambda d: joined({**parts(d)[0], "__metadata__": [1]}, parts(d)[1]),
        lambda d: joined({**parts(d)[0], "__metadata__": {"card": 5}}, parts(d)[1]),
        lambda d: joined({**parts(d)[0], "__metadata__": {}}, parts(d)[1]),
        lambda d: d[: len(d) // 2],
        lambda d: d + bytes(1000),
        lambda d: struct.pack("<Q", 2**63) + d[8:],
        lambda d: struct.pack("<Q", 2**34) + d[8:],
        lambda d: struct.pack("<Q", 0) + d[8:],
        lambda d: struct.pack("<Q", 50) + d[8:],
        lambda d: d[: -(len(d) // 2)] + b"\xff\x7e" * (len(d) // 4),
    ],
)
def test_a_damaged_header_is_one_sentence(tmp_path, honest, make):
    (tmp_path / "a.safetensors").write_bytes(make(honest["ostrack"]))
    refuses(tmp_path / "a.safetensors", models.load_model)


def test_a_file_far_larger_than_its_header_explains(tmp_path, honest):
    for start in (honest["ostrack"], struct.pack("<Q", 2**34) + b"{"):
        with (tmp_path / "a.safetensors").open("wb") as file:
            file.write(start)
            file.truncate(2**35)  # no bytes on the disk
        assert refuses(tmp_path / "a.safetensors", models.load_model)


@pytest.mark.parametrize("kind", ["I16", "U16", "BF16"])
def test_a_relabelled_weight_does_not_load(tmp_path, honest, kind):
    """The same two bytes as numbers of another type: the model would run, and track something else."""
    (tmp_path / "a.safetensors").write_bytes(changed_line(honest["ostrack"], dtype=kind))
    refuses(tmp_path / "a.safetensors", models.load_model)


def test_a_relabelled_weight_is_not_imported(tmp_path):
    from tests.models.test_import import checkpoint

    def relabel(state):
        state["backbone.norm.weight"] = state["backbone.norm.weight"].view(torch.int32)

    checkpoint(tmp_path / "a.pth", "ostrack", relabel)
    with pytest.raises(ValueError, match=r"norm\.weight of torch\.int32 instead of torch\.float32"):
        models.importing.import_checkpoint(tmp_path / "a.pth", "ostrack", tmp_path / "b.safetensors", size="tiny")


# ----------------------------------------------------------------------------------------- checkpoints of the trade


def tiny_state():
    from tests.models.test_import import authors_name

    torch.manual_seed(0)
    return {authors_name("ostrack", name): t for name, t in models.create("ostrack-tiny").state_dict().items()}


def wrapped(prefix, state):
    return {f"{prefix}{name}": tensor for name, tensor in state.items()}


FORMS = {
    "torch.compile": lambda s: {"net": wrapped("_orig_mod.", s)},
    "compiled on several GPUs": lambda s: {"net": wrapped("module._orig_mod.", s)},
    "Lightning": lambda s: {"state_dict": wrapped("model.", s), "pytorch-lightning_version": "2.0"},
    "a part compiled": lambda s: {"net": {n.replace("backbone.", "backbone._orig_mod."): t for n, t in s.items()}},
    "torch's average": lambda s: {"net": {"n_averaged": torch.tensor(5), **wrapped("module.", s)}},
    "average only": lambda s: {"model_ema": s, "epoch": 3},
    "average beside the weights": lambda s: {
        "net": s,
        "ema": {"decay": 0.99, "shadow": {n: t + 1 for n, t in s.items()}},
    },
    "timm": lambda s: {"state_dict": s, "state_dict_ema": {n: t + 1 for n, t in s.items()}, "arch": "x"},
    "nested": lambda s: {"state": {"model": s, "step": torch.tensor(4)}, "loss": torch.tensor(0.5)},
    "with a loss": lambda s: {
        "net": s,
        "loss": torch.tensor(0.5),
        "optimizer": {"state": {0: {"exp_avg": torch.ones(9)}}},
    },
}


@pytest.mark.parametrize("name", FORMS)
def test_whatever_a_trainer_wraps_around_the_weights(tmp_path, name, capsys):
    state = tiny_state()
    torch.save(FORMS[name](state), tmp_path / "a.pth")
    found, _ = read_state_dict(tmp_path / "a.pth")
    assert list(found) == list(state)
    assert all(torch.equal(found[k], v) for k, v in state.items())
    words = ["models", "import", str(tmp_path / "a.pth"), "--method", "ostrack", "--size", "tiny"]
    assert cli.main([*words, "--out", str(tmp_path / "b.safetensors")]) == 0
    said = capsys.readouterr().out
    assert ("was cut off" in said) == (
        name in ("torch.compile", "compiled on several GPUs", "Lightning", "a part compiled", "torch's average")
    )
    assert ("are taken" in said) == (name in ("average beside the weights", "timm"))


def test_the_entry_can_be_named(tmp_path, capsys):
    state = tiny_state()
    torch.save({"net": state, "ema": {n: t + 1 for n, t in state.items()}}, tmp_path / "a.pth")
    found, _ = read_state_dict(tmp_path / "a.pth", "ema")
    assert torch.equal(found["backbone.norm.bias"], state["backbone.norm.bias"] + 1)
    with pytest.raises(ValueError, match="entries with weights: net, ema"):
        read_state_dict(tmp_path / "a.pth", "average")


def test_safetensors_are_imported_like_a_pth(tmp_path):
    state = {name: tensor.contiguous() for name, tensor in tiny_state().items()}
    save_file(wrapped("model.", state), tmp_path / "a.safetensors")
    words = ["models", "import", str(tmp_path / "a.safetensors"), "--method", "ostrack", "--size", "tiny"]
    assert cli.main([*words, "--out", str(tmp_path / "b.safetensors")]) == 0
    ours = models.load_model(tmp_path / "b.safetensors", device="cpu")
    assert torch.equal(ours.norm.weight, state["backbone.norm.weight"])


@pytest.mark.parametrize(
    ("tree", "what"),
    [
        ({"net": {"backbone.prompt_blocks.0.conv0_0.weight": torch.ones(1)}}, "ViPT"),
        ({"net": {"backbone.blocks.0.adap_t.adapter_down.weight": torch.ones(1)}}, "BAT"),
        ({"net": {"encoder.body.blocks.0.norm1.weight": torch.ones(1)}}, "SUTrack"),
        ({"net": {"x.weight": torch.ones(1)}, "net_type": "SUTRACK"}, "SUTrack"),
        ({"net": {"backbone.blocks.0.Space_X_DTE_Adapter.D_fc1.weight": torch.ones(1)}}, "--method sdstrack"),
    ],
)
def test_another_trackers_file_is_named(tmp_path, tree, what):
    torch.save(tree, tmp_path / "a.pth")
    with pytest.raises(ValueError, match=what):
        models.importing.import_checkpoint(tmp_path / "a.pth", "ostrack", tmp_path / "b.safetensors")


@pytest.mark.parametrize("name", [name for name in list_models() if not name.endswith("-base")])
def test_the_skeleton_has_the_models_shapes(name):
    before = torch.get_rng_state()
    bones = shapes_of(name)
    assert torch.equal(torch.get_rng_state(), before)
    own = models.create(name).state_dict()
    assert {k: (v.shape, v.dtype) for k, v in bones.items()} == {k: (v.shape, v.dtype) for k, v in own.items()}


@pytest.mark.parametrize("name", list_models())
def test_the_configuration_of_every_model_passes_the_check_of_cards(name):
    config = config_of(name)
    method, _, size = name.rpartition("-")
    card = read_card(json.dumps({"method": method, "size": size, "config": asdict(config)}))
    assert config_of(card.name, **card.settings) == config


def test_names_and_shapes_are_known_before_values_are_read(tmp_path):
    torch.save({"net": tiny_state()}, tmp_path / "a.pth")
    with open_weights(tmp_path / "a.pth") as found:
        assert all(tensor.is_meta for tensor in found.shapes.values())
        assert list(found.shapes) == list(found.load())
