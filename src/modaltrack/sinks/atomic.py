# SPDX-License-Identifier: Apache-2.0
"""Files that are either complete or not there: a temporary name in the same folder, then a rename."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary name beside ``path``; what is written there takes its place when the block ends well.

    On any exception, Ctrl-C included, the temporary file is removed and an older ``path`` stays as it was.
    """
    partial = path.with_name(f".{path.stem}.{os.getpid()}.partial{path.suffix}")
    try:
        yield partial
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def prepare_folder(folder: Path) -> Path:
    """Make ``folder`` ready to be written into, before any work is spent on what will go there.

    Raises ValueError when it is a file, cannot be created or cannot be written to.
    """
    for place in (folder, *folder.parents):
        if place.exists() and not place.is_dir():
            raise ValueError(
                f"The output folder {folder} cannot be used because {place} is a file; pass another --out."
            )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise ValueError(
            f"The output folder {folder} cannot be written to ({error.strerror}); pass another --out."
        ) from None
    return folder
