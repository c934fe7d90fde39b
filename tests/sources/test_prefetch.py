# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Iterator

import pytest

from modaltrack.sources.prefetch import NICE, prefetch


def running() -> int:
    return sum(t.name == "modaltrack-prefetch" for t in threading.enumerate())


def test_keeps_the_order_and_ends() -> None:
    assert list(prefetch(iter(range(100)), ahead=2)) == list(range(100))
    assert running() == 0


def test_error_comes_at_its_place() -> None:
    def items() -> Iterator[int]:
        yield 1
        yield 2
        raise KeyError("three")

    stream = prefetch(items())
    assert [next(stream), next(stream)] == [1, 2]
    with pytest.raises(KeyError, match="three"):
        next(stream)
    assert running() == 0


def test_is_bounded() -> None:
    made = []

    def items() -> Iterator[int]:
        for i in range(1000):
            made.append(i)
            yield i

    stream = prefetch(items(), ahead=2)
    next(stream)
    time.sleep(0.05)
    assert len(made) <= 4  # one taken, two waiting, one in hand
    stream.close()


def test_closing_early_ends_the_thread_and_the_input() -> None:
    closed = threading.Event()

    def items() -> Iterator[int]:
        try:
            while True:
                yield 0
        finally:
            closed.set()

    stream = prefetch(items())
    next(stream)
    assert running() == 1
    stream.close()
    assert closed.is_set()
    assert running() == 0


def test_dropping_the_iterator_ends_the_thread() -> None:
    stream = prefetch(iter(range(10**6)))
    next(stream)
    del stream
    assert running() == 0


def test_latest_drops_the_old() -> None:
    done = threading.Event()

    def items() -> Iterator[int]:
        yield from range(50)
        done.set()

    stream = prefetch(items(), ahead=2, latest=True)
    first = next(stream)
    assert done.wait(5)
    got = [first, *stream]
    assert got[-1] == 49  # the newest is never the one that is dropped
    assert len(got) <= 3


@pytest.mark.skipif(sys.platform != "linux", reason="threads have a priority of their own on Linux alone")
@pytest.mark.parametrize("live", [False, True])
def test_files_are_decoded_behind_the_tracker_and_cameras_are_not(live: bool) -> None:
    own = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())

    def priority() -> Iterator[int]:
        yield os.getpriority(os.PRIO_PROCESS, threading.get_native_id())

    assert list(prefetch(priority(), latest=live)) == [own if live else min(own + NICE, 19)]
    assert os.getpriority(os.PRIO_PROCESS, threading.get_native_id()) == own
