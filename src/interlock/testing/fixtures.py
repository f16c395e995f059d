"""Pytest fixtures, registered with pytest by installing Interlock: a platform, a simulated provider, a clock."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from interlock.platform.platform import Platform
    from interlock.testing.clock import FakeClock
    from interlock.testing.simulated import SimulatedProvider


@pytest.fixture
def fake_clock() -> FakeClock:
    """A clock whose sleeps take no real time."""
    from interlock.testing.clock import FakeClock

    return FakeClock(auto=True)


@pytest.fixture
def simulated_provider() -> Iterator[SimulatedProvider]:
    """A provider on loopback that speaks all three wires and answers `mocked` unless it is given a script."""
    from interlock.testing.script import Text
    from interlock.testing.simulated import SimulatedProvider

    with SimulatedProvider(default=Text("mocked")) as provider:
        yield provider


@pytest.fixture
def interlock_platform(
    simulated_provider: SimulatedProvider, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Platform]:
    """A platform with a home of its own whose models are the `simulated_provider`. No key, no socket but loopback."""
    from interlock.platform.platform import Platform

    for name, value in simulated_provider.env().items():
        monkeypatch.setenv(name, value)
    platform = Platform(home=tmp_path / "interlock")
    yield platform
    platform.close_sync()
