"""A plan's run is found again by its id and its steps, however fast it is to be carried out."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from interlock import Plan, Platform, Step
from interlock.errors import Conflict, NotFound, UsageError


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


async def test_a_run_to_go_on_with_that_is_not_there_is_begun_and_a_warning_names_the_one_that_was_meant(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    plan = Plan("p", [Step("a", tool="note")], tools=[note])
    async with Platform(home=tmp_path) as platform:
        await platform.execute(plan, "q4-sales")
        await platform.execute(plan, resume=True)
        await platform.execute(plan, "q4-sales", resume=True)
        with caplog.at_level(logging.WARNING, "interlock"):
            assert caplog.messages == []
            (done,) = await platform.execute(plan, "q4-slaes", resume=True)
        assert done.status == "completed"
        assert caplog.messages == ["No run q4-slaes was found (did you mean 'q4-sales'?); it was begun anew."]
        with pytest.raises(NotFound):
            await platform.execute(plan, "q4-seals", resume=True, in_doubt="skip")
        with pytest.raises(UsageError, match="Only of a run that goes on"):
            await platform.execute(plan, "q4-seals", in_doubt="skip")
