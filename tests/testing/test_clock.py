"""The clock of tests rings like a real one: what is due already rings at once."""

from __future__ import annotations

import asyncio

from interlock.testing.clock import FakeClock


async def test_an_alarm_that_is_due_already_rings_without_the_clock_being_moved() -> None:
    clock, rung = FakeClock(), []
    clock.call_later(0.0, lambda: rung.append("now"))
    clock.call_later(-5.0, lambda: rung.append("long ago")).cancel()
    assert rung == []
    await asyncio.sleep(0)
    assert rung == ["now"]
