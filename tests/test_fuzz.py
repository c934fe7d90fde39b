# SPDX-License-Identifier: Apache-2.0
"""A few damaged inputs of every kind end in a sentence; ``python -m tests.fuzz`` runs all of them."""

import pytest
from tests import fuzz

CASES = fuzz.cases()
TRACKED = ("picture", "thermal-picture", "depth-npy", "event-text", "event-npz", "align", "recording-video")
INPUTS = dict.fromkeys(TRACKED, 1) | {"recording": 2, "recording-instants": 2}  # of each kind; 6 of the others


@pytest.mark.parametrize("kind", CASES)
@pytest.mark.filterwarnings("ignore")
def test_damaged_inputs_end_in_a_sentence(tmp_path, kind):
    for seed in range(INPUTS.get(kind, 6)):
        words = fuzz.write(tmp_path / str(seed), kind, CASES[kind], seed)
        wrong = fuzz.run_here(words)
        assert not wrong, f"{kind}, seed {seed}: {wrong}"


def test_damage_is_the_same_for_the_same_seed():
    assert fuzz.damaged(b"some honest text" * 20, 3) == fuzz.damaged(b"some honest text" * 20, 3)
    assert fuzz.damaged(b"some honest text" * 20, 3) != fuzz.damaged(b"some honest text" * 20, 4)


def test_a_traceback_is_seen(monkeypatch):
    """The test of the test: whatever a command raises is reported."""
    from modaltrack import cli

    def boom(words):
        raise KeyError("x")

    monkeypatch.setattr(cli, "main", boom)
    assert "KeyError" in fuzz.run_here(["score"])
