# SPDX-License-Identifier: Apache-2.0
"""What goes to the terminal: results on stdout; progress, warnings and errors on stderr."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

from modaltrack.printable import one_line, printable, shortened

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress
    from rich.table import Table

PIPE_COLUMNS = 200  # wide enough for every table


def out() -> Console:
    """Where results go; a file or a pipe has no width of its own, so that no table is cut there."""
    import os

    free = not sys.stdout.isatty() and "COLUMNS" not in os.environ
    return _console(width=PIPE_COLUMNS if free else None)


def err() -> Console:
    """Where progress goes; it shares its line with nothing that a script may want to read."""
    return _console(stderr=True)


def _console(width: int | None = None, stderr: bool = False) -> Console:
    """A console that shows control characters in text, wherever it comes from, instead of sending them."""
    from rich.console import Console
    from rich.text import Text

    class Clean(Console):
        def render_str(self, text: str, **how: Any) -> Text:  # noqa: ANN401 - rich's own options
            return super().render_str(printable(text), **how)

    return Clean(highlight=False, soft_wrap=True, markup=False, emoji=False, width=width, stderr=stderr)


def table(title: str, *columns: str, keep: int = 0) -> Table:
    """A table; a column whose name starts with ``>`` holds numbers and is aligned to the right.

    Args:
        keep: so many of the first columns are never wrapped.
    """
    from rich import box
    from rich.table import Table

    result = Table(
        title=title or None, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True
    )
    for number, column in enumerate(columns):
        side: Literal["left", "right"] = "right" if column.startswith(">") else "left"
        result.add_column(column.lstrip(">"), justify=side, no_wrap=number < keep)
    return result


def progress() -> Progress:
    """A progress bar on stderr; quiet where stderr is no terminal."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    console = err()
    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[facts]}", markup=False),
        TimeElapsedColumn(),
        console=console,
        disable=not console.is_terminal,
        transient=True,
    )


@contextmanager
def warnings_as_lines() -> Iterator[list[str]]:
    """Print each different warning once as ``warning: ...`` on stderr; yields the list of those seen so far.

    Deprecations concern developers and are left to the test suite.
    """
    seen: list[str] = []

    def show(message: Warning | str, category: type[Warning], *_: object, **__: object) -> None:
        text = shortened(one_line(str(message)))
        if issubclass(category, (DeprecationWarning, PendingDeprecationWarning)) or text in seen:
            return
        seen.append(text)
        print(f"warning: {text}", file=sys.stderr)

    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.showwarning = show  # restored by catch_warnings
        yield seen
