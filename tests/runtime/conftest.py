# SPDX-License-Identifier: Apache-2.0
"""What tests of exported graphs share."""

import pytest

from modaltrack.export import parity


@pytest.fixture
def short_clips(monkeypatch: pytest.MonkeyPatch) -> None:
    """One rendered clip of four frames instead of those that graphs are compared on, which take seconds to draw."""
    real = parity.rendered
    monkeypatch.setattr(parity, "rendered", lambda sensors, *_: real(sensors, 1, 4))
