# SPDX-License-Identifier: Apache-2.0
"""Files from strangers: what they hold is read, what they want to run is not."""

import contextlib
import io
import pickle
import struct
import sys
import types
import zipfile
from collections import OrderedDict

import numpy as np
import pytest
import torch

from modaltrack.models.checkpoint_reader import read_checkpoint
from modaltrack.models.restricted_pickle import Name, Placeholder
from modaltrack.models.weights_found import read_state_dict

FORMATS = pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])


class Bomb:
    """Pickles as a call of anything."""

    def __init__(self, function, *arguments):
        self.made = (function, arguments)

    def __reduce__(self):
        return self.made


@pytest.fixture
def armed(tmp_path, monkeypatch):
    """A function that a file may name, and a list of the times it was called."""
    calls = []
    module = types.ModuleType("armed")
    module.fire = lambda *arguments: calls.append(arguments)
    module.fire.__module__, module.fire.__qualname__, module.fire.__name__ = "armed", "fire", "fire"

    class State:
        def __setstate__(self, state):
            calls.append(state)

        def __getstate__(self):
            return {"a": 1}

        def __setitem__(self, key, value):
            calls.append(key)

    State.__module__, State.__qualname__ = "armed", "State"
    module.State = State
    monkeypatch.setitem(sys.modules, "armed", module)
    return module, calls


def save(tree, path, zipped=True):
    torch.save(tree, path, _use_new_zipfile_serialization=zipped)
    return path


def weights():
    g = torch.Generator().manual_seed(0)
    base = torch.randn(6, 5, generator=g)
    return {
        "a": base,
        "view": base[1:4, ::2],
        "turned": base.t(),
        "half": torch.randn(3, generator=g).half(),
        "brain": torch.randn(3, generator=g).bfloat16(),
        "count": torch.tensor(7),
        "empty": torch.empty(0, 4),
        "flags": torch.tensor([True, False]),
        "parameter": torch.nn.Parameter(torch.randn(2, 2, generator=g)),
    }


@FORMATS
def test_tensors_and_containers_come_back(tmp_path, zipped):
    tree = {
        "net": OrderedDict(weights()),
        "epoch": 15,
        "lr": [1e-4, (2.5, None, True)],
        "names": {"x", "y"},
        "shape": torch.Size([1, 2]),
        "kind": torch.float16,
        "scalar": np.float64(0.25),
        "whole": np.int32(-3),
        "raw": b"\x00\xff",
        "big": 2**80,
        "z": complex(1, 2),
    }
    found = read_checkpoint(save(tree, tmp_path / "a.pth.tar", zipped))
    for key, value in tree["net"].items():
        ours = found.tree["net"][key]
        assert ours.dtype == value.dtype, key
        assert torch.equal(ours, value), key
        assert ours.stride() == value.stride()
    for key in set(tree) - {"net"}:
        assert found.tree[key] == tree[key], key
    assert isinstance(found.tree["net"], OrderedDict)
    assert found.ignored == ()


@FORMATS
@pytest.mark.parametrize("protocol", [2, 4])
def test_protocols(tmp_path, zipped, protocol):
    torch.save(weights(), tmp_path / "a.pth", pickle_protocol=protocol, _use_new_zipfile_serialization=zipped)
    for key, value in weights().items():
        assert torch.equal(read_checkpoint(tmp_path / "a.pth").tree[key], value)


def test_only_the_weights_are_loaded_where_only_they_are_wanted(tmp_path):
    layer = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4))
    optimiser = {"state": {0: {"step": torch.tensor(1.0), "exp_avg": torch.ones(4, 3)}}, "param_groups": [{"lr": 1e-4}]}
    path = save({"net": layer.state_dict(), "optimizer": optimiser, "epoch": 1}, tmp_path / "a.pth.tar")
    state, checkpoint = read_state_dict(path)
    assert list(state) == list(layer.state_dict())
    assert all(torch.equal(state[k], v) for k, v in layer.state_dict().items())
    assert set(checkpoint.tree) == set(state)
    assert torch.equal(read_checkpoint(path).tree["optimizer"]["state"][0]["exp_avg"], torch.ones(4, 3))


@FORMATS
def test_nothing_in_a_file_runs(tmp_path, zipped, armed):
    module, calls = armed
    evil = {
        "net": {"a": torch.ones(2)},
        "call": Bomb(module.fire, 1),
        "settings": {"deep": [(Bomb(module.fire, "nested"),)]},
        "state": module.State(),
        "chain": Bomb(getattr, Bomb(module.fire, 2), "x"),
    }
    path = save(evil, tmp_path / "a.pth", zipped)
    before = len(calls)
    found = read_checkpoint(path)
    assert len(calls) == before
    assert torch.equal(found.tree["net"]["a"], torch.ones(2))
    assert isinstance(found.tree["call"], Placeholder)
    assert isinstance(found.tree["settings"]["deep"][0][0], Placeholder)
    assert "armed.fire" in found.called
    assert {"armed.fire", "armed.State", "builtins.getattr"} <= set(found.ignored)
    with contextlib.suppress(AttributeError):  # the test of the test: torch's own reader does run it
        torch.load(path, weights_only=False)
    assert len(calls) > before


TARGET = "touched"
ATTACKS = {
    "GLOBAL and REDUCE": b"\x80\x02cposix\nsystem\n(X%sts\x00tR.",
    "STACK_GLOBAL": b"\x80\x04\x8c\x05posix\x8c\x06system\x93(X%sts\x00tR.",
    "INST": b"(X%sts\x00iposix\nsystem\n.",
    "OBJ": b"\x80\x02(cposix\nsystem\nX%sts\x00o.",
    "builtins.exec": b"\x80\x02cbuiltins\nexec\n(X%sts\x00tR.",
    "NEWOBJ": b"\x80\x02csubprocess\nPopen\n(X%sts\x00t\x81.",
    "NEWOBJ_EX": b"\x80\x04csubprocess\nPopen\n(X%sts\x00t}\x92.",
    "BUILD on a class": b"\x80\x02ccollections\nOrderedDict\n(N}(X\x05\x00\x00\x00extraK\x01utb.",
    "a call of a call": b"\x80\x02cbuiltins\ngetattr\n(cos\nsystem\nX%sts\x00tR(X%sts\x00tR.",
    "an attribute of what is allowed": b"\x80\x04\x8c\x0bcollections\x8c\x0fOrderedDict.pop\x93)R.",
}


def opcodes(name):
    """The attack's bytes, with a command that would leave a file behind in place of every ``X%sts``."""
    text = b"touch " + TARGET.encode() if "exec" not in name else f"open({TARGET!r}, 'w')".encode()
    return ATTACKS[name].replace(b"X%sts\x00", b"X" + struct.pack("<I", len(text)) + text)


@pytest.mark.parametrize("name", ATTACKS)
def test_hand_written_attacks_stay_data(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "a.pth"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", opcodes(name))
    before = set(vars(OrderedDict))
    try:
        found = read_checkpoint(path)
        assert isinstance(found.tree, Name if name == "BUILD on a class" else Placeholder)
    except ValueError:
        assert name == "an attribute of what is allowed"
    assert not (tmp_path / TARGET).exists()
    assert set(vars(OrderedDict)) == before


@pytest.mark.parametrize("name", ["GLOBAL and REDUCE", "STACK_GLOBAL", "INST", "OBJ", "builtins.exec", "NEWOBJ_EX"])
def test_the_attacks_are_real(tmp_path, monkeypatch, name):
    """Python's own unpickler runs them: otherwise the test above would prove nothing."""
    monkeypatch.chdir(tmp_path)
    data = opcodes(name)
    if name == "NEWOBJ_EX":  # Popen runs in __init__ only: a call that is refused still imports the module
        return
    pickle.loads(data)  # noqa: S301
    assert (tmp_path / TARGET).exists()


@FORMATS
def test_objects_of_absent_classes(tmp_path, monkeypatch, zipped):
    """What the authors' trainer adds: its settings and statistics, of packages that nobody else has."""
    for name in ("lib", "lib.train", "lib.train.admin"):
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    module = sys.modules["lib.train.admin"]

    class Settings:
        def __init__(self):
            self.device, self.env = "cuda:0", {"dir": "somewhere"}

    class Meter:
        __slots__ = ("history", "value")

        def __init__(self):
            self.history, self.value = [1.0, 2.0], torch.ones(3)

        def __getstate__(self):
            return (None, {"history": self.history, "value": self.value})

    class Stats(dict):
        pass

    for kind in (Settings, Meter, Stats):
        kind.__module__, kind.__qualname__ = "lib.train.admin", kind.__name__
        setattr(module, kind.__name__, kind)
    tree = {
        "settings": Settings(),
        "stats": OrderedDict(train=OrderedDict(loss=Meter())),
        "more": Stats(a=1),
        "list": [Settings()],
        "net": OrderedDict(w=torch.arange(4.0)),
        "net_type": "SDSTrack",
        "net_info": None,
    }
    path = save(tree, tmp_path / "SDSTrack_ep0015.pth.tar", zipped)
    for name in ("lib", "lib.train", "lib.train.admin"):
        monkeypatch.delitem(sys.modules, name)
    with pytest.raises(ModuleNotFoundError):
        torch.load(path, weights_only=False)
    state, checkpoint = read_state_dict(path)
    assert torch.equal(state["w"], torch.arange(4.0))
    assert set(checkpoint.ignored) == {f"lib.train.admin.{name}" for name in ("Settings", "Meter", "Stats")}
    whole = read_checkpoint(path).tree
    assert whole["settings"].path == "lib.train.admin.Settings"
    assert whole["net_type"] == "SDSTrack"


def test_weights_are_found_wherever_they_are(tmp_path):
    w = {"a": torch.ones(2), "b": torch.zeros(1)}
    for tree in (w, {"net": w}, {"model": w, "epoch": 1}, {"state_dict": {f"module.{k}": v for k, v in w.items()}}):
        state, _ = read_state_dict(save(tree, tmp_path / "a.pth"))
        assert list(state) == ["a", "b"]
        assert torch.equal(state["a"], w["a"])


@FORMATS
def test_cut_short(tmp_path, zipped):
    data = save({"net": weights()}, tmp_path / "a.pth", zipped).read_bytes()
    for share in (0.0, 0.01, 0.3, 0.6, 0.9, 0.999):
        (tmp_path / "cut.pth").write_bytes(data[: int(len(data) * share)])
        with pytest.raises(ValueError, match=r"cut\.pth"):
            read_checkpoint(tmp_path / "cut.pth")


def test_cut_short_where_the_last_storage_is_empty(tmp_path):
    """The old format orders storages by address, so which one is last is chance; an empty one has only its header."""
    for _ in range(20):  # both orders come up
        tree = {"net": {"full": torch.ones(7), "empty": torch.zeros(0)}}
        data = save(tree, tmp_path / "a.pth", False).read_bytes()
        (tmp_path / "cut.pth").write_bytes(data[:-1])
        with pytest.raises(ValueError, match=r"cut\.pth"):
            read_checkpoint(tmp_path / "cut.pth")


@FORMATS
def test_flipped_bytes_never_do_more_than_raise(tmp_path, zipped):
    data = bytearray(save({"net": {"a": torch.ones(3)}, "x": [1]}, tmp_path / "a.pth", zipped).read_bytes())
    rng = np.random.default_rng(0)
    path = tmp_path / "b.pth"
    for _ in range(150):
        broken = bytearray(data)
        for place in rng.integers(0, min(len(data), 700), 3):
            broken[place] = rng.integers(256)
        path.write_bytes(broken)
        with contextlib.suppress(ValueError):  # anything else is a mistake of ours
            read_checkpoint(path)


def pickled(tree):
    return pickle.dumps(tree, 2)


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"", "it is empty"),
        (b"hello, I am a text", "plain text"),
        (b"\x01\x02\x03", "neither"),
        (pickled({"net": 1}), "not one of torch.save"),
        (b"\x80\x02" + b"\x00" * 100, "cannot be read"),
        (b"\x00" * 257 + b"ustar\x00" + b"\x00" * 300, "tar archive"),
    ],
    ids=["empty", "text", "bytes", "pickle", "noise", "tar"],
)
def test_not_a_checkpoint(tmp_path, content, what):
    path = tmp_path / "a.pth"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=what):
        read_checkpoint(path)


def zip_of(path, **members):
    with zipfile.ZipFile(path, "w", members.pop("compression", zipfile.ZIP_STORED)) as archive:
        for name, content in members.items():
            archive.writestr(f"archive/{name.replace('_pkl', '.pkl').replace('__', '/')}", content)
    return path


def test_zips_that_are_none_of_ours(tmp_path):
    path = tmp_path / "a.pth"
    for members, what in (
        ({"readme": b"x"}, "without a data.pkl"),
        ({"data_pkl": pickled({}), "constants_pkl": b""}, "TorchScript"),
        ({"data_pkl": pickled({}), "byteorder": b"big"}, "big-endian"),
        ({"data_pkl": pickled({"a": "b" * 100}), "compression": zipfile.ZIP_DEFLATED}, "compressed"),
        ({"data_pkl": b"\x80\x02\x82\x01."}, "EXT1"),
        ({"data_pkl": b"\x80\x02N0."}, "damaged"),
    ):
        with pytest.raises(ValueError, match=what):
            read_checkpoint(zip_of(path, **members))
    with pytest.raises(ValueError, match="no checkpoint at"):
        read_checkpoint(tmp_path / "none.pth")
    with pytest.raises(ValueError, match=r"no weights: found epoch"):
        read_state_dict(save({"epoch": 3}, path))
    with pytest.raises(ValueError, match=r"no tensors: b"):
        read_state_dict(save({"a": torch.ones(1), "b": "text"}, path))


@pytest.mark.parametrize(
    "numbers",
    [(0, (5,), (1,)), (3, (2,), (1,)), (0, (2, 2), (3, 1)), (0, (-1,), (1,)), (0, (2,), (1, 1)), (0, (2**40,), (0,))],
)
def test_a_tensor_never_reaches_beyond_its_storage(tmp_path, numbers):
    class Lie:
        def __reduce__(self):
            return torch._utils._rebuild_tensor_v2, (Where(), *numbers, False, OrderedDict())

    class Where:
        pass

    class Pickler(pickle.Pickler):
        def persistent_id(self, thing):
            return ("storage", torch.FloatStorage, "0", "cpu", 4) if isinstance(thing, Where) else None

    buffer = io.BytesIO()
    Pickler(buffer, 2).dump({"a": Lie()})
    path = zip_of(tmp_path / "a.pth", data_pkl=buffer.getvalue(), data__0=b"\x00" * 16)
    with pytest.raises(ValueError, match="tensor"):
        read_checkpoint(path)


def test_a_list_within_itself(tmp_path):
    loop = [torch.ones(1)]
    loop.append(loop)
    found = read_checkpoint(save({"loop": loop}, tmp_path / "a.pth")).tree["loop"]
    assert found[1] is found
    assert torch.equal(found[0], torch.ones(1))
