# SPDX-License-Identifier: Apache-2.0
"""Where boxes come from: the command line or the mouse.

The window is Tk's, because the headless OpenCV wheel has none.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from modaltrack.box_text import parse_table

MAX_SIDE = 1200  # pixels of the window; larger images are shown smaller


def parse_box(text: str) -> NDArray[np.float64]:
    """``"x,y,w,h"``, with blanks or brackets as well, -> (4,) float64.

    Raises:
        ValueError: for anything but four numbers.
    """
    try:
        rows = parse_table(text.encode(), "--box").numbers if text.strip() else np.empty((0, 0))
    except ValueError:
        raise ValueError(f"The box {text!r} is not four numbers; give --box x,y,w,h in pixels.") from None
    if rows.size != 4 or len(rows) != 1:
        raise ValueError(f"The box {text!r} holds {rows.size} numbers; give four: --box x,y,w,h in pixels.")
    return rows[0]


def why_no_window() -> str:
    """Empty when a window can be opened, otherwise the reason."""
    try:
        import tkinter
    except ImportError:
        return "this Python has no tkinter (for example: apt install python3-tk)"
    try:
        tkinter.Tk().destroy()
    except tkinter.TclError:
        return "there is no display"
    return ""


def ask_box(image: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Let the user draw a box on an RGB image (H, W, 3); -> xywh (4,) pixels of that image.

    Drag to draw, drag again to correct, Enter accepts.

    Raises:
        ValueError: when the window is closed without a box.
    """
    import tkinter

    height, width = image.shape[:2]
    scale = min(1.0, MAX_SIDE / max(height, width))
    shown = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA) if scale < 1 else image
    root = tkinter.Tk()
    root.title("modaltrack: drag a box around the target, Enter accepts, Esc gives up")
    header = f"P6 {shown.shape[1]} {shown.shape[0]} 255 ".encode()
    photo = tkinter.PhotoImage(master=root, data=header + np.ascontiguousarray(shown).tobytes(), format="PPM")
    canvas = tkinter.Canvas(root, width=shown.shape[1], height=shown.shape[0], cursor="crosshair")
    canvas.create_image(0, 0, anchor="nw", image=photo)
    outline = canvas.create_rectangle(0, 0, 0, 0, outline="#28dc5a", width=2)
    canvas.pack()
    corners = [0.0, 0.0, 0.0, 0.0]
    accepted = []

    def press(event: tkinter.Event) -> None:
        corners[:] = [event.x, event.y, event.x, event.y]

    def drag(event: tkinter.Event) -> None:
        corners[2:] = [event.x, event.y]
        canvas.coords(outline, *corners)

    def accept(event: tkinter.Event) -> None:
        accepted.append(True)
        root.destroy()

    canvas.bind("<ButtonPress-1>", press)
    canvas.bind("<B1-Motion>", drag)
    root.bind("<Return>", accept)
    root.bind("<Escape>", lambda event: root.destroy())
    root.mainloop()
    x1, x2 = sorted(corners[0::2])
    y1, y2 = sorted(corners[1::2])
    if not accepted or x2 - x1 < 1 or y2 - y1 < 1:
        raise ValueError("No box was drawn; drag one around the target and press Enter, or pass --box x,y,w,h.")
    return np.array([x1, y1, x2 - x1, y2 - y1], dtype=np.float64) / scale
