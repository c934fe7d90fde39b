# SPDX-License-Identifier: Apache-2.0
"""What the columns of a result file are: x y w h, corners, MOTChallenge rows, columns with names, frame numbers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, get_args

import numpy as np

from modaltrack.box_text import Table, is_upright
from modaltrack.frame import Result
from modaltrack.results.record import Array

Rows = Literal["xywh", "x1y1x2y2", "cxcywh"]
ROWS: tuple[str, ...] = get_args(Rows)

# names of columns in a first line -> what they hold; the corners' or the centre's names decide the form
_NAMES = {
    "frame": {"frame", "frameid", "frameindex", "framenumber", "frameno", "framenum", "frameidx", "idx", "index", ""},
    "x": {"x", "left", "x0", "bbleft", "topleftx", "boxx", "bboxx", "tlx"},
    "y": {"y", "top", "y0", "bbtop", "toplefty", "boxy", "bboxy", "tly"},
    "w": {"w", "width", "bbwidth", "boxw", "bboxw"},
    "h": {"h", "height", "bbheight", "boxh", "bboxh"},
    "x1": {"x1", "xmin", "minx"},
    "y1": {"y1", "ymin", "miny"},
    "x2": {"x2", "xmax", "maxx", "right"},
    "y2": {"y2", "ymax", "maxy", "bottom"},
    "cx": {"cx", "xc", "xcenter", "xcentre", "centerx", "centrex"},
    "cy": {"cy", "yc", "ycenter", "ycentre", "centery", "centrey"},
    "scores": {"score", "scores", "conf", "confidence", "prob", "probability"},
    "seconds": {"time", "seconds", "sec", "elapsed", "runtime"},
}
_FURTHEST = 1000  # frames without a row that numbers in front of the rows may leave out, beside ten times the rows


@dataclass
class Found:
    """One sequence as its file has it: the result, the form of its rows in words, and remarks."""

    result: Result
    form: str
    remarks: list[str] = field(default_factory=list)


def read_form(name: str, table: Table, where: str, rows: str = "") -> Found:
    """The boxes and further columns of a table.

    Args:
        name: of the sequence.
        table: what is in the file.
        where: its name, for messages.
        rows: how four numbers are to be read, one of ``ROWS``; empty: x y w h unless the file itself says otherwise.

    Raises:
        ValueError: the columns are of no form that is known.
    """
    remarks = list(table.notes)
    named = _named(table)
    if named:
        boxes, frames, scores, seconds, form = named
        corners = False
    elif (mot := _mot(table, where)) is not None:
        boxes, frames, scores = mot
        seconds, corners, form = np.empty(0), False, "MOTChallenge rows (frame, id, x y w h, confidence)"
    else:
        boxes, frames, scores, seconds, corners, form = _by_place(table, where)
    if rows and rows != "xywh" and not corners:
        boxes, form = as_xywh(boxes, rows), f"{form}, read as {rows}"
    boxes = _without_gaps(boxes)
    info = {}
    if frames is not None:
        boxes, scores, seconds = _placed(frames, [boxes, scores, seconds], where, remarks)
        info = {"first_number": int(frames.min())}
    return Found(Result(name, boxes, scores, seconds, corners, info=info), form, remarks)


def as_xywh(boxes: Array, rows: str) -> Array:
    """(N, 4) xywh of four numbers a row in another form of ``ROWS``."""
    a, b, c, d = boxes.T
    if rows == "x1y1x2y2":
        return np.stack([a, b, c - a, d - b], 1)
    if rows == "cxcywh":
        return np.stack([a - c / 2, b - d / 2, c, d], 1)
    assert rows == "xywh", rows
    return boxes


def _named(table: Table) -> tuple[Array, Array | None, Array, Array, str] | None:
    """What columns with names hold; None where they do not name a box."""
    place = {
        what: at for at, name in enumerate(table.names) for what, names in _NAMES.items() if name in names
    }  # the last of two alike
    for form, keys in (("xywh", "x y w h"), ("x1y1x2y2", "x1 y1 x2 y2"), ("cxcywh", "cx cy w h")):
        if all(key in place for key in keys.split()):
            columns = table.numbers.T
            boxes = as_xywh(np.stack([columns[place[key]] for key in keys.split()], 1), form)
            scores, seconds = (columns[place[k]] if k in place else np.empty(0) for k in ("scores", "seconds"))
            frames = columns[place["frame"]] if "frame" in place else None
            return boxes, frames, scores, seconds, f"{keys} by the names of their columns"
    return None


def _mot(table: Table, where: str) -> tuple[Array, Array, Array] | None:
    """Boxes, frame numbers and confidences of MOTChallenge rows: frame, id, x, y, w, h, conf, -1, -1, -1; else None."""
    rows = table.numbers
    if rows.shape[1] not in (6, 7, 8, 9, 10) or len(rows) < 2 or not _counts(rows[:, 0]):
        return None
    one_target = (rows[:, 1] == rows[0, 1]).all() and rows[0, 1] == int(rows[0, 1])
    empty_end = rows.shape[1] == 10 and (rows[:, 7:] == -1).all()
    if not empty_end and (rows[0, 0] > 1 or (rows.shape[1] >= 8 and is_upright(rows).mean() > 0.5)):
        return None
    if not (one_target or empty_end) or not (rows[:, 4:6] > 0).mean() > 0.5:
        return None
    if not one_target:
        raise ValueError(
            f"{where} looks like MOTChallenge rows of {len(np.unique(rows[:, 1]))} targets; keep those of one."
        )
    scores = rows[:, 6] if rows.shape[1] > 6 else np.empty(0)
    known = scores[np.isfinite(scores)]
    within = known.size and known.min() >= 0 and known.max() <= 1 and known.min() < known.max()
    return rows[:, 2:6], rows[:, 0], scores if within else np.empty(0)


def _counts(column: Array) -> bool:
    """Whether a column holds increasing whole numbers from 0 or more on, as frames are numbered."""
    return bool(column[0] >= 0 and (column == np.floor(column)).all() and (np.diff(column) >= 1).all())


def _by_place(table: Table, where: str) -> tuple[Array, Array | None, Array, Array, bool, str]:
    """Boxes, frame numbers, confidences, times, whether they are corners, and the form, of columns without names."""
    numbers = table.numbers
    if {4, 8} <= set(table.counts.tolist()):
        line = int(np.flatnonzero(table.counts != table.counts[0])[0]) + 1
        raise ValueError(f"{where} mixes rows of 4 and of 8 numbers (row {line} has the other); use one form.")
    numbers = np.where((table.counts < 4)[:, None], np.nan, numbers)  # VOT's codes are no boxes
    frames = None
    whole = (numbers[:, 0] == np.floor(numbers[:, 0])).all()
    if numbers.shape[1] in (5, 9) and len(numbers) > 2 and whole and (np.diff(numbers[:, 0]) == 1).all():
        frames, numbers = numbers[:, 0], numbers[:, 1:]
    elif numbers.shape[1] == 5 and len(numbers) > 2 and numbers[0, 0] in (0, 1) and _counts(numbers[:, 0]):
        last = numbers[:, 4]
        if not (last.min() >= 0 and last.max() <= 1):  # five columns are else x y w h and a confidence
            frames, numbers = numbers[:, 0], numbers[:, 1:]
    columns = numbers.shape[1]
    if columns not in (4, 5, 6, 8, 9, 10):
        raise ValueError(
            f"{where} has {columns} numbers per row; 4 (x y w h) or 8 (corners) are expected, then time or confidence."
        )
    corners = columns >= 8
    boxes = numbers[:, :4]
    if corners:  # TL TR BR BL; sizes without + 1, as every official program converts them
        known = numbers[np.isfinite(numbers[:, :8]).all(axis=1)]
        if len(known) and is_upright(known).mean() < 0.5:
            raise ValueError(
                f"{where} has {columns} numbers per row that are no corners of upright rectangles (top left, top "
                "right, bottom right, bottom left). If they are 4 numbers with decimal commas, write points."
            )
        left, top = numbers[:, 0], numbers[:, 1]
        boxes = np.stack([left, top, numbers[:, 2] - left, numbers[:, 7] - top], axis=1)
    scores = seconds = np.empty(0)
    extra = numbers[:, 8 if corners else 4 :].T
    for column in extra:
        known = column[np.isfinite(column)]
        # nothing in such files says what a column is: shares lie in 0..1, and a first such column is taken for one
        if not len(scores) and known.size and known.min() >= 0 and known.max() <= 1:
            scores = column
        else:
            seconds = column
    form = "8 corner numbers" if corners else "x y w h"
    form += f" and {len(extra)} further column{'s' if len(extra) > 1 else ''}" if len(extra) else ""
    return boxes, frames, scores, seconds, corners, f"a frame number, {form}" if frames is not None else form


def _without_gaps(boxes: Array) -> Array:
    """Rows that are only partly there are no boxes."""
    if np.isfinite(boxes.sum()):  # far quicker than a look at every row, and nearly always enough
        return boxes
    boxes = boxes.copy()
    boxes[np.isnan(boxes).any(axis=1)] = np.nan
    return boxes


def _placed(frames: Array, columns: list[Array], where: str, remarks: list[str]) -> tuple[Array, Array, Array]:
    """The columns with a row for every frame between the first number and the last; frames without a row are nan."""
    if not np.isfinite(frames).all() or (frames != np.floor(frames)).any():
        raise ValueError(f"{where} has frame numbers that are no whole numbers.")
    if len(np.unique(frames)) < len(frames):
        raise ValueError(f"{where} has two rows for one frame; one box per frame is expected.")
    span = float(frames.max() - frames.min()) + 1
    if span > 10 * len(frames) + _FURTHEST:
        raise ValueError(f"{where} numbers {len(frames)} rows up to {frames.max():.0f}; are these frame numbers?")
    if span == len(frames) and (np.diff(frames) == 1).all():
        return columns[0], columns[1], columns[2]
    at = (frames - frames.min()).astype(np.int64)
    filled = []
    for column in columns:
        whole = np.full((int(span), *column.shape[1:]), np.nan)
        if len(column):
            whole[at] = column
        filled.append(whole if len(column) else column)
    if lacking := int(span) - len(frames):
        remarks.append(f"{lacking} frames have no row: no box there")
    return filled[0], filled[1], filled[2]
