# SPDX-License-Identifier: Apache-2.0
"""The loop restarts bit-equal, says what went wrong, and means the same on one process and on two."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from toy import RECIPE, BuildSampler, ToySampler, make_toy, run_toy

from modaltrack.training.checkpoint import load_checkpoint
from modaltrack.training.fingerprint import fingerprint
from modaltrack.training.loop import train
from modaltrack.training.objective import Tracking
from modaltrack.training.recipe import Recipe
from modaltrack.training.record import curves, read_log

HERE = Path(__file__).parent


def tensors(folder: Path) -> dict[str, torch.Tensor]:
    return load_checkpoint(folder / "checkpoint.safetensors").tensors


def assert_equal_bits(a: Path, b: Path) -> None:
    first, second = tensors(a), tensors(b)
    assert first.keys() == second.keys()
    assert any(k.startswith("optimizer.exp_avg") for k in first)
    different = [k for k in first if not torch.equal(first[k], second[k])]
    assert different == []


def in_process(code: str, **environment: str) -> subprocess.Popen[str]:
    names = {**os.environ, "PYTHONPATH": str(HERE), "OMP_NUM_THREADS": "1", **environment}
    return subprocess.Popen([sys.executable, "-c", code], env=names, stderr=subprocess.PIPE, text=True)


def losses(folder: Path) -> list[float]:
    return [line["losses"]["total"] for line in read_log(folder)]


def test_the_toy_learns_and_leaves_its_papers(tmp_path: Path) -> None:
    card = run_toy(tmp_path, steps=60, modality_dropout=0.0)
    lines = read_log(tmp_path)
    assert [line["step"] for line in lines] == list(range(1, 61))
    assert sum(losses(tmp_path)[-10:]) < 0.7 * sum(losses(tmp_path)[:10])
    assert {"losses", "lr", "grad_norm", "samples_per_s", "time", "elapsed"} <= lines[0].keys()
    assert lines[0]["losses"].keys() == {"total", "giou", "l1", "focal"}
    assert lines[0]["time"].keys() == {"data", "forward", "backward", "optimiser"}
    assert lines[0]["lr"] == pytest.approx(0.5e-2)
    assert lines[-1]["lr"] < 2e-4
    assert card == json.loads((tmp_path / "card.json").read_text())
    assert card["finished"] is True
    assert card["steps"] == 60
    assert card["environment"]["torch"] == torch.__version__
    assert card["recipe"]["trainable"][0] == {"pattern": "adapter", "lr": 1.0, "weight_decay": None}
    assert card["config"]["search_size"] == 16
    assert card["data"] == fingerprint(RECIPE)
    assert card["curves"]["step"] == list(range(1, 61))
    assert card["curves"]["total"] == losses(tmp_path)


def test_killed_in_the_middle_and_resumed_it_computes_the_same_bits(tmp_path: Path) -> None:
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    run_toy(whole)
    killed = in_process(f"from toy import *; run_toy({str(broken)!r}, BuildSampler(kill_at=4))")
    killed.communicate(timeout=240)
    assert killed.returncode == -signal.SIGKILL
    assert load_checkpoint(broken / "checkpoint.safetensors").rest["totals"]["step"] == 3
    assert [line["step"] for line in read_log(broken)] == [1, 2, 3, 4]
    card = run_toy(broken, resume="must")
    assert card["totals"]["restarts"] == 1
    assert_equal_bits(whole, broken)
    assert losses(whole) == losses(broken)


def test_killed_at_a_random_moment_it_computes_the_same_bits(tmp_path: Path) -> None:
    """Whatever the trainer is doing: rendering, computing, writing the checkpoint or the log."""
    change: dict[str, Any] = {"steps": 120, "save_every": 5, "log_every": 30, "significance": "ranked"}
    change["significance_every"] = 3
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    code = f"from toy import *; run_toy({str(broken)!r}, **{change})"
    running = in_process(code)
    while not (broken / "checkpoint.safetensors").exists():
        assert running.poll() is None, running.communicate()[1]
        time.sleep(0.01)
    time.sleep(random.uniform(0, 0.2))
    running.kill()
    running.communicate(timeout=60)
    assert running.returncode == -signal.SIGKILL
    reached = load_checkpoint(broken / "checkpoint.safetensors").rest["totals"]["step"]
    print("killed after step", reached)
    assert 0 < reached < 120
    run_toy(broken, resume="must", **change)
    run_toy(whole, **change)
    assert_equal_bits(whole, broken)
    lines, others = losses(whole), losses(broken)
    del lines[reached // 30], others[reached // 30]  # the line after the kill is a mean over fewer steps
    assert lines == others


class Stopping(ToySampler):
    """Asks the run to stop when a step is drawn."""

    def sample(self, batch: int, step: int, modalities=None):
        if step == 2:
            os.kill(os.getpid(), signal.SIGTERM)
        return super().sample(batch, step, modalities)


@pytest.mark.parametrize("mode", ["published", "ranked", "two-significance"])
def test_significance_goes_on_where_it_was(tmp_path: Path, mode: str) -> None:
    change: dict[str, Any] = {"significance": mode, "significance_every": 2, "prior_batches": 2}
    plain, whole, broken = (tmp_path / name for name in ("plain", "whole", "broken"))
    train(
        replace(RECIPE, **change), broken, "cpu", threads=1, make_model=make_toy,
        make_sampler=lambda asked: Stopping(*asked[:4]),
    )  # fmt: skip
    kept = tensors(broken)
    assert {"last", "shares"} <= {k.split(":")[0].split(".")[1] for k in kept if k.startswith("significance.")}
    assert ("significance.prior:head.weight" in kept) == (mode == "two-significance")
    run_toy(broken, resume="must", **change)
    run_toy(whole, **change)
    assert_equal_bits(whole, broken)
    run_toy(plain)
    assert losses(plain)[0] == losses(whole)[0]  # the prior has left the run's own samples alone
    assert losses(plain)[1:] != losses(whole)[1:]


class Penalised:
    """The tracking loss and a module of the objective's own, which the weights of the head are compared with."""

    terms = (*Tracking.terms, "apart")

    def __init__(self, recipe: Recipe, model: nn.Module) -> None:
        self.inner = Tracking(recipe, model)
        self.extra = nn.Linear(3, 3)

    def __call__(self, model, *given):
        terms = self.inner(model, *given)
        apart = (self.extra.weight - model.head.weight[:3, :3, 0, 0]).square().sum() + self.extra.bias.square().sum()
        return {**terms, "apart": apart, "total": terms["total"] + apart}


def test_an_objectives_own_module_learns_and_resumes_but_is_not_exported(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("modaltrack.training.step.build_objective", Penalised)
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    train(RECIPE, broken, "cpu", threads=1, make_model=make_toy, make_sampler=lambda asked: Stopping(*asked[:4]))
    early = tensors(broken)["extra.weight"].clone()
    run_toy(broken, resume="must")
    run_toy(whole)
    assert_equal_bits(whole, broken)
    kept = tensors(whole)
    assert not torch.equal(kept["extra.weight"], early)
    assert "optimizer.exp_avg:extra.weight" in kept
    assert not [k for k in kept if k.startswith(("model.", "average.")) and "extra" in k]
    assert read_log(whole)[0]["losses"].keys() == {"total", "giou", "l1", "focal", "apart"}


def test_the_steps_argument_continues_a_run_and_says_that_the_schedule_changed(tmp_path: Path, capsys) -> None:
    run_toy(tmp_path, steps=3)
    card = run_toy(tmp_path, steps=5)
    assert card["steps"] == 5
    assert "Warning: steps changed" in capsys.readouterr().err
    assert [line["step"] for line in read_log(tmp_path)] == [1, 2, 3, 4, 5]


def test_an_interrupted_save_leaves_the_old_checkpoint(tmp_path: Path, monkeypatch) -> None:
    run_toy(tmp_path, steps=3)
    before = (tmp_path / "checkpoint.safetensors").read_bytes()

    def full(*_: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="no space"):
        run_toy(tmp_path, steps=6)
    assert (tmp_path / "checkpoint.safetensors").read_bytes() == before


def test_a_signal_saves_and_ends_the_run_unfinished(tmp_path: Path) -> None:
    card = train(
        RECIPE,
        tmp_path / "broken",
        "cpu",
        threads=1,
        make_model=make_toy,
        make_sampler=lambda asked: Stopping(*asked[:4]),
    )  # fmt: skip
    assert card["finished"] is False
    assert card["steps"] == 3
    run_toy(tmp_path / "broken")
    run_toy(tmp_path / "whole")
    assert_equal_bits(tmp_path / "whole", tmp_path / "broken")


def test_rendering_processes_change_nothing(tmp_path: Path) -> None:
    run_toy(tmp_path / "inline", steps=4)
    run_toy(tmp_path / "ahead", steps=4, workers=2)
    assert_equal_bits(tmp_path / "inline", tmp_path / "ahead")


def test_a_bad_batch_is_replaced_told_and_counted(tmp_path: Path, capsys) -> None:
    card = run_toy(tmp_path, BuildSampler(fail_at=2))
    said = capsys.readouterr().err
    assert "Replaced a batch that could not be drawn: step 2, shard 0: OSError: the disk is full" in said
    assert "1 bad batch(es) replaced" in said
    assert card["totals"]["bad_batches"] == 1
    run_toy(tmp_path / "good")
    assert losses(tmp_path)[:2] == losses(tmp_path / "good")[:2]
    assert losses(tmp_path)[2] != losses(tmp_path / "good")[2]


def test_too_many_bad_batches_end_the_run(tmp_path: Path) -> None:
    class Broken(ToySampler):
        def sample(self, batch: int, step: int, modalities=None):
            raise OSError("unplugged")

    with pytest.raises(RuntimeError, match=r"Gave up after 3 failed draws.*unplugged"):
        train(
            replace(RECIPE, max_bad_batches=2), tmp_path, "cpu", threads=1,
            make_model=make_toy, make_sampler=lambda asked: Broken(*asked[:4]),
        )  # fmt: skip


def poison(monkeypatch, calls: set[int]) -> None:
    """Make the loss of these calls (from 0) not finite."""
    from modaltrack.training import objective

    clean, count = objective.box_losses, iter(range(1000))

    def losses(*arguments):
        made = clean(*arguments)
        return {k: v * float("nan") for k, v in made.items()} if next(count) in calls else made

    monkeypatch.setattr(objective, "box_losses", losses)


def test_three_losses_in_a_row_that_are_not_finite_end_the_run(tmp_path: Path, monkeypatch) -> None:
    poison(monkeypatch, {2, 3, 4})
    with pytest.raises(RuntimeError, match="not finite in three steps in a row, the last being step 4"):
        run_toy(tmp_path)
    assert all(torch.isfinite(v).all() for v in tensors(tmp_path).values())


def test_two_losses_in_a_row_that_are_not_finite_are_skipped_and_counted(tmp_path: Path, monkeypatch) -> None:
    poison(monkeypatch, {1, 2, 4, 5})
    card = run_toy(tmp_path, significance="ranked")
    assert card["totals"]["skipped_steps"] == 4
    assert all(torch.isfinite(v).all() for v in tensors(tmp_path).values())
    assert [line["losses"]["total"] is None for line in read_log(tmp_path)] == [False, True, True, False, True, True]


def test_other_settings_need_another_folder(tmp_path: Path) -> None:
    run_toy(tmp_path, steps=1)
    with pytest.raises(ValueError, match=r"other settings \(lr 0.01 -> 0.02\)"):
        run_toy(tmp_path, steps=1, lr=0.02)
    assert run_toy(tmp_path, steps=1, lr=0.02, resume="never")["totals"]["restarts"] == 0
    with pytest.raises(ValueError, match="There is no checkpoint"):
        run_toy(tmp_path / "empty", resume="must")


def test_elimination_by_epochs_needs_a_model_that_eliminates(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="eliminates nothing"):
        run_toy(tmp_path, elimination_epochs=(4, 20))


def test_a_long_curve_is_thinned(tmp_path: Path) -> None:
    assert curves(tmp_path) == {"step": [], "lr": [], "grad_norm": []}
    lines = [{"step": i, "losses": {"total": 1 / i}, "lr": 0.1, "grad_norm": None} for i in range(1, 1001)]
    lines.insert(500, {"step": 500, "validation": {"auc": 0.5}})
    (tmp_path / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    found = curves(tmp_path, points=100)
    assert found["step"] == list(range(1, 1001, 10))
    assert found["total"][1] == pytest.approx(1 / 11)


def test_other_threads_are_told(tmp_path: Path, capsys) -> None:
    run_toy(tmp_path, steps=1)
    run_toy(tmp_path, steps=2, threads=2)
    torch.set_num_threads(1)
    assert "the run had 1 threads and now has 2" in capsys.readouterr().err


def test_a_time_budget_anneals_and_ends(tmp_path: Path) -> None:
    card = run_toy(tmp_path, steps=1_000_000, time_budget_s=0.4, log_every=1)
    rates = [line["lr"] for line in read_log(tmp_path)]
    assert card["finished"] is True
    assert 3 < card["steps"] < 1_000_000
    assert rates[-1] < 0.1 * max(rates)
    assert run_toy(tmp_path, steps=1_000_000, time_budget_s=0.4, log_every=1)["steps"] == card["steps"]


def test_accumulation_is_the_same_step_in_parts(tmp_path: Path) -> None:
    run_toy(tmp_path / "whole", shard=2, steps=4, drop=0.0)
    run_toy(tmp_path / "parts", shard=2, steps=4, drop=0.0, accumulation=4)
    assert losses(tmp_path / "parts") == pytest.approx(losses(tmp_path / "whole"), abs=1e-4)


def test_two_processes_take_the_same_steps_as_one(tmp_path: Path) -> None:
    change = {"shard": 2, "steps": 5, "drop": 0.0}
    code = f"from toy import *; run_toy({str(tmp_path / 'two')!r}, **{change})"
    port = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(20_000 + os.getpid() % 20_000), "WORLD_SIZE": "2"}
    two = [in_process(code, RANK=str(rank), LOCAL_RANK=str(rank), **port) for rank in (0, 1)]
    try:
        run_toy(tmp_path / "one", **change)
        for process in two:
            said = process.communicate(timeout=240)[1]
            assert process.returncode == 0, said
    finally:
        for process in two:
            process.kill()
    assert losses(tmp_path / "two") == pytest.approx(losses(tmp_path / "one"), abs=1e-4)
    assert json.loads((tmp_path / "two" / "card.json").read_text())["processes"] == 2
    for name, value in tensors(tmp_path / "one").items():
        assert torch.allclose(value.float(), tensors(tmp_path / "two")[name].float(), atol=1e-4), name
