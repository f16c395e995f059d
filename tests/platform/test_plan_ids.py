"""A plan's run is found again by its id and its steps, however fast it is to be carried out."""

from __future__ import annotations

from pathlib import Path

import pytest

from interlock import Plan, Platform, Step
from interlock.errors import Conflict


def note() -> str:
    """Do nothing much."""
    return "done"


async def test_the_same_plan_with_another_pace_is_the_same_run_and_another_plan_is_not(tmp_path: Path) -> None:
    plan = Plan("p", [Step("a", tool="note"), Step("b", tool="note", dependencies=["a"])], tools=[note])
    async with Platform(home=tmp_path) as platform:
        first = await platform.execute(plan, "nightly", max_concurrent=1)
        again = await platform.execute(plan, "nightly", max_concurrent=5)
        assert [one.completed_at for one in first] == [one.completed_at for one in again]
        with pytest.raises(Conflict):
            await platform.execute(Plan("p", [Step("a", tool="note")], tools=[note]), "nightly")
