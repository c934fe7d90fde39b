# SPDX-License-Identifier: Apache-2.0
"""An observer in a thread of its own: every row, in order, and errors where they can be seen."""

import threading

import numpy as np
import pytest

from modaltrack.frame import Frame, Row
from modaltrack.sinks import Behind
from modaltrack.sinks.behind import WAITING


def row(index):
    return Row("clip", index, Frame({}), np.zeros((1, 4)), np.ones(1), np.zeros(1, np.int64), 0.0, 0.0)


class Sink:
    """Remembers what it was given and by which thread; may break at one row, or wait for ``go``."""

    def __init__(self, breaks=-1, go=None):
        self.seen, self.threads, self.ended = [], [], "open"
        self._breaks, self._go = breaks, go

    def row(self, row):
        if row.index and self._go is not None:
            assert self._go.wait(60)
        if row.index == self._breaks:
            raise OSError(28, "No space left on device")
        self.seen.append(row.index)
        self.threads.append(threading.get_ident())

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        self.ended = kind


def through(sink, count):
    with Behind(sink) as behind:
        for index in range(count):
            behind.row(row(index))


def test_every_row_in_order_and_all_but_the_first_in_another_thread():
    sink = Sink()
    through(sink, 40)
    assert sink.seen == list(range(40))
    assert sink.threads[0] == threading.get_ident()
    assert set(sink.threads[1:]) - {threading.get_ident()} == set(sink.threads[1:])
    assert sink.ended is None


def test_rows_are_taken_while_the_sink_is_busy():
    go = threading.Event()
    sink = Sink(go=go)
    with Behind(sink) as behind:
        for index in range(WAITING + 2):  # one drawn, one being drawn, the others waiting
            behind.row(row(index))
        assert sink.seen == [0]
        go.set()
    assert len(sink.seen) == WAITING + 2


def test_an_error_at_the_first_row_is_raised_at_once():
    with pytest.raises(OSError, match="No space"):
        through(Sink(breaks=0), 1)


def test_a_later_error_is_raised_and_the_sink_learns_of_it():
    sink = Sink(breaks=3)
    with pytest.raises(OSError, match="No space"):
        through(sink, 200)
    assert sink.seen == [0, 1, 2]
    assert sink.ended is OSError


def test_an_error_in_the_last_row_is_not_lost():
    sink = Sink(breaks=1)
    with pytest.raises(OSError, match="No space"):
        through(sink, 2)
    assert sink.ended is OSError


def test_what_waits_is_dropped_when_the_run_breaks():
    go = threading.Event()
    sink = Sink(go=go)

    def broken_run():
        with Behind(sink) as behind:
            for index in range(5):
                behind.row(row(index))
            threading.Timer(0.2, go.set).start()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        broken_run()
    assert sink.seen in ([0], [0, 1])
    assert sink.ended is KeyboardInterrupt
