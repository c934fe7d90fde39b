# SPDX-License-Identifier: Apache-2.0
"""Event files of every format, written here by small encoders, and what is guessed where they say little."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from modaltrack.sources import SourceWarning, open_source
from modaltrack.sources.events import EventReader, load_events
from modaltrack.sources.notices import Notices

RNG = np.random.default_rng(4)
COUNT = 3000
HEIGHT, WIDTH = 120, 160
T = np.sort(RNG.integers(0, 500_000, COUNT))
X, Y, P = RNG.integers(0, WIDTH, COUNT), RNG.integers(0, HEIGHT, COUNT), RNG.integers(0, 2, COUNT)
X[0], Y[0] = WIDTH - 1, HEIGHT - 1
COLUMNS = (T, X, Y, P > 0)


def rows(order: str = "txyp", times: Any = T, polarity: Any = P, separator: str = " ") -> str:
    columns = {"t": times, "x": X, "y": Y, "p": polarity}
    return "\n".join(separator.join(str(v) for v in row) for row in zip(*(columns[c] for c in order), strict=True))


def seconds() -> list[str]:
    return [f"{t * 1e-6:.6f}" for t in T]


def equal(events: Any, columns: Any = COLUMNS) -> bool:
    return all(np.array_equal(got, want) for got, want in zip(events, columns, strict=True))


@pytest.mark.parametrize(
    ("text", "size", "said"),
    [
        (rows(times=seconds()), None, "seconds"),
        (f"{WIDTH} {HEIGHT}\n" + rows(), (HEIGHT, WIDTH), None),
        (f"{WIDTH} {HEIGHT}\n" + rows(times=seconds()), (HEIGHT, WIDTH), "seconds"),
        ("# v2e\n# timestamp[s] x y polarity(0/1)\n\n" + rows(times=seconds()), None, "seconds"),
        ("#!events.txt\n# created by v2e\n# jAER\n" + rows(times=seconds()), None, "seconds"),
        ("% matlab\n" + rows(), None, None),
        (rows("xytp"), None, "x y t p"),
        (rows("xypt"), None, "x y p t"),
        (rows("ptxy"), None, "p t x y"),
        (rows("xytp", polarity=np.where(P > 0, 1, -1)), None, "x y t p"),
        ("# x y t p\n" + rows("xytp"), None, None),
        (rows("xytp", times=seconds(), separator=","), None, "seconds"),
        (rows(separator=";"), None, None),
        ("\ufeff" + rows(), None, None),
        (rows(times=[f"{t / 1000:.3f}" for t in T]), None, "milliseconds"),
        (rows(times=[f"{t}.0" for t in T]), None, None),
        (rows(times=T * 1000), None, "nanoseconds"),
        (rows(times=T + 1_605_537_493_000_000), None, None),
        (rows(times=(T + 1_605_537_493_000_000) * 1000), None, "nanoseconds"),
    ],
)
def test_text_of_every_writer(tmp_path: Path, text: str, size: tuple[int, int] | None, said: str | None) -> None:
    (tmp_path / "e.txt").write_text(text)
    events, found, remarks = load_events(tmp_path / "e.txt")
    assert equal(events._replace(t=events.t - events.t[0] + T[0]))
    assert found == size
    assert (said in " ".join(remarks)) if said else not remarks


def test_the_unit_can_be_given(tmp_path: Path) -> None:
    for unit, factor in {"us": 1, "ns": 1000}.items():
        (tmp_path / "e.txt").write_text(rows(times=T * factor))
        recording = load_events(tmp_path / "e.txt", unit)
        assert equal(recording.events)
        assert not recording.remarks
    (tmp_path / "e.txt").write_text(rows(times=T // 1000))
    assert np.array_equal(load_events(tmp_path / "e.txt", "ms").events.t, T // 1000 * 1000)
    with pytest.raises(ValueError, match="event unit"):
        load_events(tmp_path / "e.txt", "fortnights")


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_text_of_windows_shells(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "e.txt").write_bytes(("\ufeff" + rows()).encode(encoding))
    assert np.array_equal(load_events(tmp_path / "e.txt").events.t, T)


@pytest.mark.parametrize("kind", ["timedelta64[us]", "timedelta64[ns]", "datetime64[us]", "datetime64[ns]"])
@pytest.mark.parametrize("unit", [None, "s"])
def test_times_that_carry_their_unit(tmp_path: Path, kind: str, unit: str | None) -> None:
    times = T.astype(kind.replace("[ns]", "[us]")).astype(kind)
    np.savez(tmp_path / "e.npz", t=times, x=X, y=Y, p=P)
    assert np.array_equal(load_events(tmp_path / "e.npz", unit).events.t, T)


def test_a_clock_that_goes_back_is_said_and_packets_out_of_order_are_not(tmp_path: Path) -> None:
    half = len(T) // 2
    for shift, said in ((5_000_000, True), (0, False)):
        times = np.concatenate([T[half:] + shift, T[:half]])
        np.savez(tmp_path / "e.npz", t=times, x=X, y=Y, p=P)
        found = load_events(tmp_path / "e.npz")
        assert any("go back" in remark for remark in found.remarks) is said
        assert (np.diff(found.events.t) >= 0).all()


def test_columns_without_a_time_or_a_polarity_are_refused(tmp_path: Path) -> None:
    (tmp_path / "e.txt").write_text("\n".join(f"{x} {y} {p} {x}" for x, y, p in zip(X, Y, P, strict=True)))
    with pytest.raises(ValueError, match="goes up"):
        load_events(tmp_path / "e.txt")
    (tmp_path / "e.txt").write_text("\n".join(f"{x} {y} {t} {t + 9}" for t, x, y in zip(T, X, Y, strict=True)))
    with pytest.raises(ValueError, match="polarity"):
        load_events(tmp_path / "e.txt")


@pytest.mark.parametrize(
    "make",
    [
        lambda f: np.save(f, _structured("t", "x", "y", "p")),
        lambda f: np.save(f, _structured("timestamp", "x", "y", "polarity")),
        lambda f: np.save(f, np.stack([T, X, Y, P], axis=1)),
        lambda f: np.save(f, np.stack([X, Y, T, P], axis=1)),
        lambda f: np.save(f, np.stack([T, X, Y, P]).astype(np.float64)),
    ],
)
def test_numpy_arrays(tmp_path: Path, make: Callable[[Path], None]) -> None:
    make(tmp_path / "e.npy")
    assert equal(load_events(tmp_path / "e.npy").events)
    assert open_source(tmp_path / "e.npy", "event").encoding == "event-accumulate"


def _structured(*names: str) -> np.ndarray:
    array = np.empty(COUNT, list(zip(names, ("<i8", "<i2", "<i2", "?"), strict=True)))
    for name, column in zip(names, COLUMNS, strict=True):
        array[name] = column
    return array


def test_timelens_names_and_a_folder_of_pieces(tmp_path: Path) -> None:
    folder = tmp_path / "events"
    folder.mkdir()
    for k, part in enumerate(np.array_split(np.arange(COUNT), 12)):
        np.savez(folder / f"{k}.npz", x=X[part], y=Y[part], timestamp=T[part], polarity=P[part])  # 10 after 9
    assert equal(load_events(folder).events)
    source = open_source(folder, "event", event_size=(HEIGHT, WIDTH))
    assert source.encoding == "event-accumulate"


def evt2() -> bytes:
    words, high = [], -1
    for t, x, y, p in zip(T, X, Y, P, strict=True):
        if t >> 6 != high:
            high = t >> 6
            words.append(8 << 28 | int(high) & 0xFFFFFFF)
        words += [0xA << 28, int(p) << 28 | (int(t) & 63) << 22 | int(x) << 11 | int(y)]
    return b"% evt 2.0\n% geometry 160x120\n" + np.array(words, "<u4").tobytes()


def evt21() -> bytes:
    words, high = [], -1
    for t, x, y, p in zip(T, X, Y, P, strict=True):
        if t >> 6 != high:
            high = t >> 6
            words.append(8 << 60 | int(high) << 32)
        base = int(x) & ~31
        words.append(int(p) << 60 | (int(t) & 63) << 54 | base << 43 | int(y) << 32 | 1 << (int(x) - base))
    return b"% format EVT21;height=120;width=160\n% end\n" + np.array(words, "<u8").tobytes()


def evt3(offset: int = 0) -> bytes:
    """Single events, and every third as a vector of 12 or 8 behind a base (with a vector of none before it)."""
    words: list[int] = []
    high = low = -1
    for k, (t, x, y, p) in enumerate(zip(T + offset, X, Y, P, strict=True)):
        if int(t) >> 12 != high:
            high, low = int(t) >> 12, -1
            words.append(8 << 12 | high & 0xFFF)
        if int(t) & 0xFFF != low:
            low = int(t) & 0xFFF
            words.append(6 << 12 | low)
        words.append(int(y))
        if k % 3 or x < 20:
            words.append(2 << 12 | int(p) << 11 | int(x))
        else:
            words += [3 << 12 | int(p) << 11 | (int(x) - 17), 4 << 12, 5 << 12 | 1 << 5]  # 12 empty, then bit 5 of 8
    return b"% evt 3.0\n% geometry 160x120\n" + np.array(words, "<u2").tobytes()


def dat() -> bytes:
    body = np.stack([T, X | Y << 14 | P << 28], axis=1).astype("<u4").tobytes()
    return b"% Data file\n% Version 2\n% Height 120\n% Width 160\n\x00\x08" + body


def es() -> bytes:
    body = bytearray()
    for step, x, y, p in zip(np.diff(T, prepend=0), X, Y, P, strict=True):
        body += b"\xff" * (int(step) // 127)
        body += struct.pack("<BHH", (int(step) % 127) << 1 | int(p), x, HEIGHT - 1 - y)
    return b"Event Stream\x02\x00\x00\x01" + struct.pack("<HH", WIDTH, HEIGHT) + bytes(body)


@pytest.mark.parametrize(
    ("name", "content"),
    [("e.raw", evt2()), ("e.raw", evt21()), ("e.raw", evt3()), ("e.dat", dat()), ("e.es", es())],
    ids=["evt2", "evt21", "evt3", "dat", "es"],
)
def test_camera_formats(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    events, size, remarks = load_events(tmp_path / name)
    assert size == (HEIGHT, WIDTH)
    assert not remarks
    assert equal(events)
    (tmp_path / name).write_bytes(content[:-3])  # cut within an event: what is whole is kept
    assert len(load_events(tmp_path / name).events.t) >= COUNT - 2


@pytest.mark.parametrize("content", [evt2(), evt21(), evt3(), evt3(offset=(1 << 24) - 250_000)])
def test_chunks_make_no_difference(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes) -> None:
    (tmp_path / "e.raw").write_bytes(content)
    whole = load_events(tmp_path / "e.raw").events
    for size in (7, 64, 1001):
        monkeypatch.setattr("modaltrack.sources.event_streams.CHUNK_WORDS", size)
        assert equal(load_events(tmp_path / "e.raw").events, whole)


def test_clocks_that_overflow_go_on(tmp_path: Path) -> None:
    """EVT3 counts 24 bits of microseconds, 16.8 s."""
    (tmp_path / "e.raw").write_bytes(evt3(offset=(1 << 24) - 250_000))
    events = load_events(tmp_path / "e.raw").events
    assert equal(events._replace(t=events.t - (1 << 24) + 250_000))


def test_aedat2_of_a_davis(tmp_path: Path) -> None:
    size = (260, 346)
    address = (size[1] - 1 - X) << 12 | (size[0] - 1 - Y) << 22 | P << 11
    pairs = np.stack([address, T], axis=1)
    frames = np.array([[1 << 31, 5]])  # a sample of the frame sensor is no event
    content = np.concatenate([frames, pairs]).astype(">u4").tobytes()
    (tmp_path / "e.aedat").write_bytes(b"#!AER-DAT2.0\r\n# HardwareInterface: DAVIS346\r\n" + content)
    events, found, _ = load_events(tmp_path / "e.aedat")
    assert found == size
    assert equal(events)


@pytest.mark.parametrize("kind", ["dsec", "metavision", "rpg", "mvsec"])
def test_hdf5(tmp_path: Path, kind: str) -> None:
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "e.h5", "w") as file:
        if kind == "dsec":
            for key, column in zip("txyp", COLUMNS, strict=True):
                file[f"events/{key}"] = column
            file["ms_to_idx"] = np.arange(5)
            file["t_offset"] = 1_000_000
        elif kind == "metavision":
            file["CD/events"] = _structured("t", "x", "y", "p")
        elif kind == "rpg":
            for key, column in {"ts": T * 1e-6, "xs": X, "ys": Y, "ps": P > 0}.items():
                file[f"events/{key}"] = column
            file.attrs["sensor_resolution"] = (HEIGHT, WIDTH)
        else:
            file["davis/left/events"] = np.stack([X, Y, T * 1e-6 + 1_504_645_177, np.where(P > 0, 1, -1)], axis=1)
    events, size, _ = load_events(tmp_path / "e.h5")
    assert size == ((HEIGHT, WIDTH) if kind == "rpg" else None)
    start = {"dsec": 1_000_000, "mvsec": 1_504_645_177_000_000}.get(kind, 0)
    assert equal(events._replace(t=events.t - start))


def wild(**changed: tuple[int, int]) -> dict[str, np.ndarray]:
    columns = {"t": T.copy(), "x": X.copy(), "y": Y.copy(), "p": P.copy()}
    for key, (at, value) in changed.items():
        columns[key][at] = value
    return columns


def test_one_wild_pixel_does_not_make_the_sensor(tmp_path: Path) -> None:
    np.savez(tmp_path / "e.npz", **wild(x=(7, 64000), y=(900, 5000)))
    with pytest.warns(SourceWarning) as said:
        reader = open_source(tmp_path / "e.npz", "event")
    assert reader.size == (HEIGHT, WIDTH)
    assert any("2 of 3000 events" in str(w.message) for w in said)
    assert any("--event-size" in str(w.message) for w in said)


def test_strays_outside_a_stated_sensor_are_left_out_and_many_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "e.npz", **wild(x=(7, 200)), width=WIDTH, height=HEIGHT)
    with pytest.warns(SourceWarning, match="1 of 3000"):
        assert len(open_source(tmp_path / "e.npz", "event").reader.events.t) == COUNT - 1  # type: ignore[attr-defined]
    np.savez(tmp_path / "e.npz", **wild(), width=WIDTH // 2, height=HEIGHT)
    with pytest.raises(ValueError, match="true size"):
        open_source(tmp_path / "e.npz", "event")


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"t": [0, 2**62], "x": [5, 6], "y": [5, 6], "p": [1, 1]}, "spans"),
        ({"t": [0, 1, 2**62], "x": [5, 6, 6], "y": [5, 6, 6], "p": [1, 1, 0]}, "one jump of its clock"),
        ({"t": np.arange(10), "x": [5] * 9 + [60000], "y": [5] * 9 + [60000], "p": [1] * 10}, "60001x60001"),
        ({"t": [0, 1], "x": [0, 1], "y": [0, 1], "p": [1, 1], "width": 10**9, "height": 10**9}, "no event camera"),
        ({"t": [0.0, 1e300], "x": [0, 1], "y": [0, 1], "p": [1, 1]}, "64 bits"),
        ({"t": [0, 1], "x": [0, np.nan], "y": [0, 1], "p": [1, 1]}, "finite"),
    ],
)
def test_absurd_numbers_are_one_sentence(tmp_path: Path, arrays: dict[str, Any], words: str) -> None:
    np.savez(tmp_path / "e.npz", **{key: np.asarray(value) for key, value in arrays.items()})
    with pytest.raises(ValueError, match=words):
        EventReader(tmp_path / "e.npz", Notices())


def test_a_header_that_claims_more_than_the_file_is_not_believed(tmp_path: Path) -> None:
    header = f"{{'descr':'<i8','fortran_order':False,'shape':({2**40},),}}".ljust(117).encode() + b"\n"
    content = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + bytes(80)
    (tmp_path / "e.npy").write_bytes(content)
    with pytest.raises(ValueError, match="no readable NumPy array"):
        load_events(tmp_path / "e.npy")


def test_a_pause_that_is_most_of_the_recording_is_said(tmp_path: Path) -> None:
    times = T.copy()
    times[COUNT // 2 :] += 3_000_000_000
    np.savez(tmp_path / "e.npz", t=times, x=X, y=Y, p=P, width=WIDTH, height=HEIGHT)
    with pytest.warns(SourceWarning, match="one pause"):
        open_source(tmp_path / "e.npz", "event", event_unit="us")


@pytest.mark.parametrize("ending", ["raise Panic('boom')", "os.abort()", "sys.exit(3)"])
def test_a_decoder_that_breaks_down_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ending: str
) -> None:
    """A stand-in for the compiled decoder: its panics are BaseExceptions, and some end the process."""
    module = tmp_path / "aedat.py"
    module.write_text(f"import os, sys\nclass Panic(BaseException): pass\ndef Decoder(file):\n    {ending}\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "e.aedat4").write_bytes(b"#!AER-DAT4.0\r\n")
    with pytest.raises(ValueError, match="damaged or cut") as caught:
        load_events(tmp_path / "e.aedat4")
    assert "\n" not in str(caught.value)
