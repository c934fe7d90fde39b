# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from modaltrack.sources import SourceWarning, open_source
from modaltrack.sources.events import EventReader, load_events
from modaltrack.sources.notices import Notices

RNG = np.random.default_rng(0)
COUNT = 500
T = np.sort(RNG.integers(0, 1_000_000, COUNT))
T[0], T[-1] = 0, 1_000_000
X, Y, P = RNG.integers(0, 48, COUNT), RNG.integers(0, 32, COUNT), RNG.integers(0, 2, COUNT)
X[0], Y[0] = 47, 31


@pytest.fixture
def npz(tmp_path: Path) -> Path:
    file = tmp_path / "events.npz"
    np.savez(file, t=T, x=X, y=Y, p=P, width=48, height=32)
    return file


@pytest.mark.parametrize(
    ("name", "head", "separator", "order"),
    [
        ("e.csv", "", ",", "txyp"),
        ("e.txt", "", " ", "txyp"),
        ("e.txt", "", "\t", "txyp"),
        ("e.csv", "x,y,polarity,timestamp\n", ",", "xypt"),
        ("e.csv", "# t,x,y,p\n", ",", "txyp"),
    ],
)
def test_text_files(tmp_path: Path, name: str, head: str, separator: str, order: str) -> None:
    columns = {"t": T, "x": X, "y": Y, "p": np.where(P > 0, 1, -1)}
    rows = zip(*(columns[c] for c in order), strict=True)
    file = tmp_path / name
    file.write_text(head + "\n".join(separator.join(str(v) for v in row) for row in rows))
    events, size, _ = load_events(file)
    assert size is None
    assert all(np.array_equal(got, want) for got, want in zip(events, (T, X, Y, P > 0), strict=True))


def test_unsorted_events_are_sorted_together(tmp_path: Path) -> None:
    order = RNG.permutation(COUNT)
    np.savez(tmp_path / "e.npz", t=T[order], x=X[order], y=Y[order], p=P[order])
    events, _, _ = load_events(tmp_path / "e.npz")
    assert np.array_equal(events.t, T)
    key = sorted(zip(T, X, Y, P, strict=True))
    assert sorted(zip(*(c.astype(int) for c in events), strict=True)) == key


def test_windows_hold_every_event_once(npz: Path) -> None:
    reader = EventReader(npz, Notices(), window=0.1)
    slices = list(reader.frames())
    assert reader.length == len(slices) == 10
    assert np.array_equal(np.concatenate([events.t for _, events in slices]), T)
    assert [t for t, _ in slices] == pytest.approx([0.1 * (k + 1) for k in range(10)])


def test_between_is_open_on_the_left_and_closed_on_the_right(tmp_path: Path) -> None:
    epoch = 1_605_537_493_000_000
    np.savez(
        tmp_path / "e.npz", t=epoch + np.array([0, 10, 20, 30]), x=[0] * 4, y=[0] * 4, p=[1] * 4, width=2, height=2
    )
    reader = EventReader(tmp_path / "e.npz", Notices())
    base = epoch * 1e-6
    assert reader.start == pytest.approx(base)
    cut = reader.between(base + 10e-6, base + 20e-6)
    assert cut is not None
    assert (cut.t - epoch).tolist() == [20]
    assert reader.between(base - 2, base - 1) is None
    assert reader.between(base + 1, base + 2) is None


def test_source_draws_windows(npz: Path) -> None:
    source = open_source(npz, "event", window=0.25)
    images = [image for _, image in source]
    assert source.encoding == "event-accumulate"
    assert source.fps == pytest.approx(4)
    assert len(images) == len(source) == 4
    first = images[0]
    assert first is not None
    assert first.shape == (32, 48, 3)
    inside = T <= 250_000
    drawn = (first != 255).any(axis=-1)
    assert drawn.sum() == len(set(zip(X[inside], Y[inside], strict=True)))


def test_unknown_sensor_size_is_said(tmp_path: Path) -> None:
    np.savez(tmp_path / "e.npz", t=T, x=X, y=Y, p=P)
    with pytest.warns(SourceWarning, match="48x32"):
        assert open_source(tmp_path / "e.npz", "event").size == (32, 48)
    assert open_source(tmp_path / "e.npz", "event", event_size=(64, 64)).size == (64, 64)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("e.npz", {"t": [1], "x": [1], "y": [1]}, "t .microseconds., x, y, p"),
        ("e.npz", {"t": [], "x": [], "y": [], "p": []}, "no polarity events"),
        ("e.npz", {"t": [1, 2], "x": [1], "y": [1], "p": [1]}, "not equal"),
        ("e.npz", {"t": [0.1, np.nan], "x": [1, 1], "y": [1, 1], "p": [1, 0]}, "NaN"),
        ("e.npz", {"t": [1], "x": [-1], "y": [1], "p": [1]}, "negative"),
        ("e.npz", {"t": [1], "x": [1], "y": [1], "p": [7]}, "polarity"),
        ("e.npz", b"not an archive", "NPZ"),
        ("e.npz", b"PK\x03\x04 broken", "NPZ"),
        ("e.csv", b"1,2,3\n4,5,6\n", "3 columns"),
        ("e.csv", b"a,b,c\n1,2,3\n", "header"),
        ("e.csv", b"1,2,3,1\n4,x,6,1\n", "rows of t,x,y,p"),
        ("e.aedat4", b"#!AER-DAT4.0\r\n rubbish", "AEDAT4"),
        ("e.raw", b"", "which encoding"),
        ("e.raw", b"% evt 4.0\n" + bytes(64), "which encoding"),
        ("e.raw", b"% evt 2.0\n", "no polarity events"),
        ("e.dat", b"% Version 2\n\x00\x10" + bytes(64), "8-byte events"),
        ("e.dat", b"", "8-byte events"),
        ("e.es", b"Event Stream\x02\x00\x00\x02" + bytes(40), "ATIS"),
        ("e.es", b"", "Event Stream"),
        ("e.aedat", b"#!AER-DAT3.1\r\n", "AEDAT 2.0"),
        ("e.npy", b"\x93NUMPY\x01\x00", "NumPy array"),
        ("e.h5", b"not hdf5", "HDF5|h5py"),
        ("e.bag", b"", "convert"),
    ],
)
def test_unfit_files_are_refused(
    tmp_path: Path, name: str, content: dict[str, list[float]] | bytes, words: str
) -> None:
    file = tmp_path / name
    if isinstance(content, bytes):
        file.write_bytes(content)
    else:
        np.savez(file, **{key: np.array(value) for key, value in content.items()})
    with pytest.raises(ValueError, match=words) as caught:
        open_source(file, "event")
    assert name in str(caught.value)


def test_pickles_are_never_loaded(tmp_path: Path) -> None:
    np.savez(tmp_path / "e.npz", t=np.array([print], dtype=object), x=[1], y=[1], p=[1])
    with pytest.raises(ValueError, match="the readable arrays p, x, y and t"):
        load_events(tmp_path / "e.npz")


def test_missing_package_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "e.aedat4").write_bytes(b"x")
    monkeypatch.setitem(sys.modules, "aedat", None)
    with pytest.raises(ValueError, match=r"pip install 'modaltrack\[events\]'"):
        load_events(tmp_path / "e.aedat4")


def test_wrong_window_and_size(npz: Path) -> None:
    with pytest.raises(ValueError, match="window"):
        open_source(npz, "event", window=0.0)
    with pytest.raises(ValueError, match="its true size"):
        open_source(npz, "event", event_size=(10, 10))
