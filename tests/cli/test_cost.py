"""What `interlock cost` tells: what is spent, reserved and left of each budget, and what the work cost."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from interlock import Budget, Platform, Task
from interlock.agents.agent import Answer, Attempt, Bench, Brief, Done
from interlock.records.money import Usage
from tests.cli.conftest import Cli


class Paid:
    """An agent that says what it cost."""

    id = "paid"

    async def work(self, brief: Brief, bench: Bench) -> Answer:
        async def act(attempt: Attempt) -> Done:
            cost = None if "unpriced" in brief.text else 250_000
            return Done(output="done", usage=Usage(input_tokens=1_200, requests=1), cost_micros=cost)

        return Answer(output=await bench.step("call", act, what="agent", label="paid"), agent="paid")


@pytest.fixture
def spent(tmp_path: Path) -> None:
    platform = Platform(home=tmp_path / ".interlock")
    platform.register_agent("openai", Paid())
    platform.add_budget(Budget(limit="2 USD", name="daily"))
    platform.set_rate_limits(max_tasks_per_day=1_000)
    platform.run_sync(Task("one", id="one", user="ann", labels={"team": "web"}))
    platform.run_sync(Task("unpriced", id="two", user="bob"))
    platform.close_sync()


def test_without_a_store_there_is_nothing_to_tell(cli: Cli) -> None:
    said = cli("cost")
    assert (said.code, said.out) == (0, "")
    assert "Nothing spent" in said.err
    assert json.loads(cli("cost", "--json").out)["items"] == []


def test_a_budget_of_the_settings_is_shown_before_anything_is_spent(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "interlock.toml").write_text('[budgets.monthly]\nlimit = "50 USD"\nper = "month"\n')
    (row,) = json.loads(cli("cost", "--json").out)["budgets"]
    assert (row["name"], row["left_usd"], row["until"][:4].isdigit()) == ("monthly", "50.000000", True)


@pytest.mark.usefixtures("spent")
def test_groups_come_the_dearest_first_and_what_has_no_price_is_said(cli: Cli) -> None:
    told = json.loads(cli("cost", "--by", "user", "--json").out)
    assert [(row["name"], row["cost_usd"], row["unknown"]) for row in told["items"]] == [
        ("ann", "0.250000", 0),
        ("bob", "0.000000", 1),
    ]
    assert (told["total_usd"], told["unknown"], told["truncated"]) == ("0.250000", 1, False)
    assert [(row["name"], row["limit"], row["used"]) for row in told["limits"]] == [("max_tasks_per_day", 1_000, 2)]
    assert [(row["name"], row["spent_usd"], row["left_usd"]) for row in told["budgets"]] == [
        ("daily", "0.250000", "1.750000")
    ]


@pytest.mark.usefixtures("spent")
@pytest.mark.parametrize(
    ("by", "first"), [("run", "one"), ("agent", "openai"), ("label", "team=web"), ("tenant", ""), ("model", "")]
)
def test_in_a_pipe_there_is_one_line_for_each(cli: Cli, by: str, first: str) -> None:
    said = cli("cost", "--by", by)
    lines = [line.split("\t") for line in said.out.splitlines()]
    assert [line[0] for line in lines[:2]] == ["budget", "limit"]
    (paid,) = (line for line in lines if line[0] == "spent" and line[1] == first)
    assert paid[2] == "0.250000"


@pytest.mark.usefixtures("spent")
def test_a_page_may_be_short(cli: Cli) -> None:
    told = json.loads(cli("cost", "--limit", "1", "--json").out)
    assert (len(told["items"]), told["truncated"], told["counts"]) == (1, True, {"all": 2})


def test_an_unknown_group_is_a_usage_error(cli: Cli) -> None:
    assert cli("cost", "--by", "colour").code == 2
