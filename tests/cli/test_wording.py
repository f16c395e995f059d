"""Times that no clock should tell are worded all the same: a broken row must not hide the others."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from interlock import Platform, Task
from interlock.cli.wording import ago, finite, iso, took
from interlock.testing import FakeClock, ScriptedAgent
from tests.cli.conftest import Cli

ABSURD = (1e20, -1e20, 1e308, math.inf, -math.inf, math.nan, -5.0)


@pytest.mark.parametrize("at", ABSURD)
def test_any_number_is_worded(at: float) -> None:
    assert ago(at)
    assert took(at)
    iso(at)
    json.dumps(finite(at), allow_nan=False)


def test_a_time_that_no_calendar_has_is_none() -> None:
    assert iso(1e20) is None
    assert iso(math.nan) is None
    assert iso(0.0) == "1970-01-01T00:00:00.000Z"
    assert ago(-5.0) == "just now"
    assert ago(math.inf) == ago(math.nan) == "at an unknown time"


@pytest.mark.parametrize("at", [1e20, -1e20, 1e308])
def test_runs_of_a_broken_clock_are_listed_and_shown(tmp_path: Path, cli: Cli, at: float) -> None:
    platform = Platform(home=tmp_path / ".interlock", clock=FakeClock(at))
    platform.register_agent("a", ScriptedAgent(replies="ok"))
    platform.run_sync(Task("x", id="job-1", context={"agent": "a"}))
    platform.close_sync()
    for words in (("list",), ("show", "job-1")):
        assert cli("run", *words).code == 0
        said = cli("run", *words, "--json")
        assert said.code == 0
        assert "NaN" not in said.out
        assert "Infinity" not in said.out
    assert [item["run_id"] for item in json.loads(cli("run", "list", "--json").out)["items"]] == ["job-1"]
