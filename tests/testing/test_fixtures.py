"""The fixtures that anyone's tests get by installing Interlock."""

from __future__ import annotations

from interlock import Platform
from interlock.testing import FakeClock, SimulatedProvider, Text


def test_a_platform_answers_without_key_or_network(
    interlock_platform: Platform, simulated_provider: SimulatedProvider
) -> None:
    assert interlock_platform.run_sync("hello").output == "mocked"
    simulated_provider.script = [Text("scripted")]
    assert interlock_platform.run_sync("again").output == "scripted"
    assert len(simulated_provider.requests) == 2


async def test_the_clock_sleeps_without_waiting(fake_clock: FakeClock) -> None:
    before = fake_clock.now()
    await fake_clock.sleep(3600)
    assert fake_clock.now() == before + 3600
