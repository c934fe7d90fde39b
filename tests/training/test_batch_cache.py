# SPDX-License-Identifier: Apache-2.0
"""A cache of batches changes no bit, survives broken files and full disks, and keeps runs apart that differ."""

from __future__ import annotations

import logging
import multiprocessing
import time
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch
from toy import RECIPE, BuildSampler, run_toy

from modaltrack.training.batch_cache import CachedSource
from modaltrack.training.checkpoint import load_checkpoint
from modaltrack.training.data import Batch, BatchSource
from modaltrack.training.prefetch import Prefetcher


def cached(folder: Path, limit_gb: float = 1.0, world: int = 1, rank: int = 0, **changes) -> CachedSource:
    source = BatchSource(replace(RECIPE, **changes), 8, 16, rank, world, build_sampler=BuildSampler())
    return CachedSource(source, folder, limit_gb)


def equal(a: Batch, b: Batch) -> bool:
    mappings = [(a.template, b.template), (a.search, b.search), (a.present or {}, b.present or {})]
    same = all(x.keys() == y.keys() and all(torch.equal(x[m], y[m]) for m in x) for x, y in mappings)
    return same and torch.equal(a.box, b.box) and torch.equal(a.visible, b.visible)


def files(folder: Path) -> list[Path]:
    return sorted(folder.glob("*/*.safetensors"))


def test_batches_come_back_to_the_bit(tmp_path: Path) -> None:
    for changes in ({}, {"accumulation": 2, "shard": 2}, {"modalities": (), "input_mix": {"rgb": 1.0, "depth": 1.0}}):
        fresh = cached(tmp_path, **changes).source(3)
        first, again = cached(tmp_path, **changes), cached(tmp_path, **changes)
        made, kept = first(3), again(3)
        assert (first.hits, again.hits) == (0, 1)
        assert len(fresh) == len(made) == len(kept)
        assert all(equal(a, b) and equal(a, c) for a, b, c in zip(fresh, made, kept, strict=True))
    assert not list(tmp_path.rglob("*.partial*"))


@pytest.mark.parametrize(
    "changes", [{"seed": 1}, {"batch": 16}, {"modality_dropout": 0.1}, {"modalities": ("depth",)}, {"shard": 2}]
)
def test_other_samples_have_another_folder(tmp_path: Path, changes: dict) -> None:
    assert cached(tmp_path).home != cached(tmp_path, **changes).home


def test_what_decides_no_sample_shares_the_folder(tmp_path: Path) -> None:
    others = {"lr": 0.5, "steps": 99, "objective": "masked-aligned", "ema": 0.0, "name": "other", "model": "other"}
    assert cached(tmp_path).home == cached(tmp_path, **others).home
    assert cached(tmp_path).home != cached(tmp_path, world=2).home
    assert "thermal" in (cached(tmp_path).home / "samples.json").read_text()


def test_a_broken_file_is_made_again(tmp_path: Path) -> None:
    cached(tmp_path)(0)
    (file,) = files(tmp_path)
    whole = file.read_bytes()
    for broken in (b"", whole[: len(whole) // 2]):
        file.write_bytes(broken)
        assert equal(cached(tmp_path)(0)[0], cached(tmp_path).source(0)[0])
        assert file.read_bytes() == whole


def test_a_full_cache_says_so_once_and_batches_go_on(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    source = cached(tmp_path, limit_gb=60e-6)
    with caplog.at_level(logging.WARNING):
        batches = [source(step)[0] for step in range(5)]
    assert 1 <= len(files(tmp_path)) < 5
    assert [r.message for r in caplog.records if "0.00006" in r.message or "6e-05 GB" in r.message] != []
    assert len(caplog.records) == 1
    assert all(equal(batch, source.source(step)[0]) for step, batch in enumerate(batches))
    with pytest.raises(ValueError, match="give a number above 0"):
        cached(tmp_path, limit_gb=0).prepare()


def test_a_folder_that_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="name another folder"):
        cached(tmp_path / "file").prepare()


@dataclass
class Slow:
    """Notes every batch it makes in a file; takes long enough for two processes to meet."""

    source: BatchSource
    notes: Path

    def __call__(self, step: int) -> list[Batch]:
        with self.notes.open("a") as file:
            file.write(f"{step}\n")
        time.sleep(0.05)
        return self.source(step)

    def __getattr__(self, name: str):
        if name == "source":
            raise AttributeError(name)
        return getattr(self.source, name)


def ask(source: CachedSource) -> None:
    for step in range(6):
        source(step)


def test_two_processes_make_every_batch_once(tmp_path: Path) -> None:
    pytest.importorskip("fcntl")
    source = cached(tmp_path / "cache")
    source.source = Slow(source.source, tmp_path / "notes")  # type: ignore[assignment]
    source.prepare()
    context = multiprocessing.get_context("fork")
    others = [context.Process(target=ask, args=(source,)) for _ in range(2)]
    for process in others:
        process.start()
    for process in others:
        process.join()
        assert process.exitcode == 0
    assert sorted((tmp_path / "notes").read_text().split()) == list("012345")


def test_rendering_processes_fill_it(tmp_path: Path) -> None:
    with Prefetcher(cached(tmp_path), 0, 4, workers=1) as ahead:
        got = [parts[0] for parts in ahead]
    assert len(files(tmp_path)) == 4
    assert all(equal(batch, cached(tmp_path).source(step)[0]) for step, batch in enumerate(got))


def test_a_run_with_it_ends_at_the_same_weights(tmp_path: Path) -> None:
    run_toy(tmp_path / "plain")
    cache = tmp_path / "cache"
    run_toy(tmp_path / "filling", batch_cache=cache)
    run_toy(tmp_path / "reading", batch_cache=cache)
    assert len(files(cache)) == 6
    ends = [
        load_checkpoint(tmp_path / run / "checkpoint.safetensors").tensors for run in ("plain", "filling", "reading")
    ]
    assert all(torch.equal(ends[0][k], end[k]) for end in ends[1:] for k in ends[0])
