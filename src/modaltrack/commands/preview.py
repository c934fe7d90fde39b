# SPDX-License-Identifier: Apache-2.0
"""Pictures in a window while a command works. The window is Tk's, because the headless OpenCV wheel has none."""

from __future__ import annotations

import warnings
from types import TracebackType
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

from modaltrack.commands.box_input import MAX_SIDE, why_no_window

if TYPE_CHECKING:
    import tkinter


class Preview:
    """A window that shows the newest picture; a context. Where none can be opened it says so once and shows nothing.

    Args:
        is_wanted: without it nothing happens.
    """

    def __init__(self, is_wanted: bool) -> None:
        self._root: tkinter.Tk | None = None
        self._label: tkinter.Label | None = None
        self._photo: tkinter.PhotoImage | None = None  # Tk forgets a picture that Python does not hold
        if not is_wanted:
            return
        if reason := why_no_window():
            warnings.warn(f"Nothing is shown because no window can be opened ({reason}).", stacklevel=2)
            return
        import tkinter

        self._root = tkinter.Tk()
        self._root.title("modaltrack")
        self._label = tkinter.Label(self._root)
        self._label.pack()

    def show(self, picture: NDArray[np.uint8]) -> None:
        """Show a picture, uint8 RGB (H, W, 3); after the window was closed, nothing."""
        if self._root is None or self._label is None:
            return
        import tkinter

        scale = min(1.0, MAX_SIDE / max(picture.shape[:2]))
        small = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA) if scale < 1 else picture
        header = f"P6 {small.shape[1]} {small.shape[0]} 255 ".encode()
        try:
            data = header + np.ascontiguousarray(small).tobytes()
            self._photo = tkinter.PhotoImage(master=self._root, data=data, format="PPM")
            self._label.configure(image=self._photo)
            self._root.update()
        except tkinter.TclError:  # closed by the user: the work goes on
            self._root = self._label = None

    def __enter__(self) -> Preview:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._root is not None:
            self._root.destroy()
            self._root = None
