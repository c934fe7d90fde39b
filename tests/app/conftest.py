# SPDX-License-Identifier: Apache-2.0
"""A workspace with a tracker that takes no time."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("fastapi", reason="the page's server is not installed: pip install 'modaltrack[app]'")

from tests.app.toy import Driver, Store, engine_of

from modaltrack.app.workspace import Workspace


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Workspace]:
    import modaltrack.tracking

    monkeypatch.setattr(modaltrack.tracking, "ModelEngine", engine_of)
    (tmp_path / "uploads").mkdir()
    made = Workspace("toy", Store(), tmp_path / "uploads", recordings=tmp_path / "kept")  # type: ignore[arg-type]
    yield made
    made.close()


@pytest.fixture
def drive(workspace: Workspace) -> Driver:
    return Driver(workspace)
