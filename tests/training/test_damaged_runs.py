# SPDX-License-Identifier: Apache-2.0
"""A run's folder that is damaged, in use or littered: one sentence, or tidied."""

import json
import struct
from pathlib import Path

import pytest
import torch
from safetensors.torch import save
from toy import run_toy

from modaltrack.files import locked
from modaltrack.training.record import read_log
from modaltrack.training.run_folder import LOCK


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("run")
    run_toy(folder, steps=2)
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def with_rest(data: bytes, **changes: object) -> bytes:
    """A checkpoint whose plain part is another one."""
    length = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8 : 8 + length])
    rest = {**json.loads(header["__metadata__"]["rest"]), **changes}
    header["__metadata__"]["rest"] = json.dumps(rest)
    raw = json.dumps(header).encode()
    return struct.pack("<Q", len(raw)) + raw + data[8 + length :]


DAMAGES = {
    "cut": lambda d: d[:-50],
    "cut in the header": lambda d: d[:100],
    "empty": lambda d: b"",
    "longer": lambda d: d + bytes(10),
    "a length of 2^62": lambda d: struct.pack("<Q", 2**62) + d[8:],
    "text": lambda d: b"not a checkpoint at all",
    "a pickle": lambda d: b"\x80\x02}.",
    "another file": lambda d: save({"a": torch.ones(2)}),
    "nothing else": lambda d: save({"a": torch.ones(2)}, metadata={"format": "modaltrack-checkpoint-1"}),
    "rest is a list": lambda d: save({"a": torch.ones(2)}, {"format": "modaltrack-checkpoint-1", "rest": "[1]"}),
    "deep rest": lambda d: save({"a": torch.ones(2)}, {"format": "modaltrack-checkpoint-1", "rest": "[" * 10**5}),
    "totals of another version": lambda d: with_rest(d, totals={"foo": 1}),
    "totals without a step": lambda d: with_rest(d, totals=[]),
    "no report of the start": lambda d: save(
        {"a": torch.ones(2)}, {"format": "modaltrack-checkpoint-1", "rest": '{"recipe": {}, "totals": {}}'}
    ),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_a_damaged_checkpoint_is_one_sentence(tmp_path: Path, whole: dict[str, bytes], name: str) -> None:
    path = tmp_path / "checkpoint.safetensors"
    path.write_bytes(DAMAGES[name](whole["checkpoint.safetensors"]))
    before = path.read_bytes()
    with pytest.raises(ValueError, match="checkpoint") as raised:
        run_toy(tmp_path, steps=3)
    assert "\n" not in str(raised.value)
    assert path.read_bytes() == before
    run_toy(tmp_path, steps=1, resume="never")  # the advice that it gives
    assert len(read_log(tmp_path)) == 1


def test_the_honest_one_goes_on(tmp_path: Path, whole: dict[str, bytes]) -> None:
    for name, content in whole.items():
        (tmp_path / name).write_bytes(content)
    log = tmp_path / "log.jsonl"
    log.write_bytes(log.read_bytes() + b'[1]\n{"step": "x"}\n{"no": 1}\n' + b"[" * 100_000 + b"\n\xff\xfe\n")
    assert run_toy(tmp_path, steps=3)["steps"] == 3
    assert [line["step"] for line in read_log(tmp_path)] == [1, 2, 3]


def test_a_folder_in_use_is_left_alone(tmp_path: Path) -> None:
    with locked(tmp_path / LOCK) as mine:
        assert mine
        with pytest.raises(ValueError, match="in use by another"):
            run_toy(tmp_path, steps=1)
        assert [path.name for path in tmp_path.iterdir()] == [LOCK]
    run_toy(tmp_path, steps=1)


def test_what_a_killed_run_left_is_removed(tmp_path: Path) -> None:
    litter = tmp_path / ".checkpoint.1a2b3c4d.partial.safetensors"
    litter.write_bytes(bytes(1000))
    run_toy(tmp_path, steps=1)
    assert not litter.exists()
