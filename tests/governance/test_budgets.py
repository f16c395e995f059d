"""Budgets are read strictly, begin anew with the calendar in UTC, and every value of a scope has its own account."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from interlock import Budget
from interlock.errors import UsageError
from interlock.governance.budgets import window_of
from interlock.records.verdict import Act


def at(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


NOW = at("2027-01-31T23:59:59")


def act(**more: Any) -> Act:
    values = {"run_id": "r1", "agent": "claude", "user": "ann", "tenant": "acme", **more}
    return Act(kind="model", name="gpt-6", arguments={"provider": "openai"}, **values)


@pytest.mark.parametrize("limit", ["50 USD", 50, 50.0, Decimal(50), "$50"])
def test_the_limit_may_be_written_in_many_ways(limit: Any) -> None:
    assert Budget(limit=limit).micros == 50_000_000


@pytest.mark.parametrize(
    "wrong",
    [
        {"limit": "much"},
        {"limit": -1},
        {"limit": True},
        {"limit": float("nan")},
        {"limit": 1, "per": "year"},
        {"limit": 1, "scope": "world"},
        {"limit": 1, "alert_at": 0},
        {"limit": 1, "alert_at": 1.5},
        {"limit": 1, "alert_at": "0.8"},
        {"limit": 1, "name": "a|b"},
        {"limit": 1, "name": "two words"},
        {"limit": 1, "unknown_price": "guess"},
        {"limit": 1, "match": {"colour": "red"}},
    ],
)
def test_a_wrong_budget_is_refused_with_a_sentence(wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError) as caught:
        Budget(**wrong)
    assert caught.value.code == "usage.budget"
    assert caught.value.says.endswith(".")


def test_it_is_named_after_what_it_is() -> None:
    assert Budget(limit=1).name == "platform-day"
    assert Budget(limit=1, per="month", scope="tenant").name == "tenant-month"


def test_being_used_up_is_always_worth_a_warning() -> None:
    assert Budget(limit=1).alerts == (0.8, 1.0)
    assert Budget(limit=1, alert_at=None).alerts == (1.0,)
    assert Budget(limit=1, alert_at=(0.9, 0.5)).alerts == (0.5, 0.9, 1.0)


@pytest.mark.parametrize(
    ("per", "name", "until"),
    [
        ("hour", "2027-01-31 23:00", "2027-02-01T00:00:00"),
        ("day", "2027-01-31", "2027-02-01T00:00:00"),
        ("month", "2027-01", "2027-02-01T00:00:00"),
    ],
)
def test_a_period_is_that_of_the_calendar_in_utc(per: Any, name: str, until: str) -> None:
    assert window_of(per, NOW) == (name, at(until))
    assert window_of(per, NOW + 1).name != name


def test_a_year_ends_in_december_and_february_may_be_long() -> None:
    assert window_of("month", at("2027-12-31T12:00:00")).until == at("2028-01-01T00:00:00")
    assert window_of("day", at("2028-02-28T12:00:00")).until == at("2028-02-29T00:00:00")


def test_a_total_and_a_run_have_no_end() -> None:
    for per in ("total", "run", "task"):
        assert window_of(per, NOW).until is None  # type: ignore[arg-type]


@pytest.mark.parametrize("scope", ["agent", "user", "tenant"])
def test_every_value_of_the_scope_has_its_own_account(scope: Any) -> None:
    budget = Budget(limit=1, scope=scope)
    keys = {budget.account(act(**{scope: value}), NOW).key for value in ("ann", "bob")}
    assert len(keys) == 2
    assert budget.account(act(run_id="r2"), NOW) == budget.account(act(), NOW)


def test_all_without_a_name_share_one_account() -> None:
    budget = Budget(limit=1, scope="user")
    assert budget.account(act(user=None), NOW).scope == "no user"


def test_a_run_has_an_account_of_its_own() -> None:
    for scope, per in (("run", "day"), ("platform", "run"), ("user", "run"), ("task", "total")):
        budget = Budget(limit=1, scope=scope, per=per)  # type: ignore[arg-type]
        assert budget.account(act(), NOW).key != budget.account(act(run_id="r2"), NOW).key
        assert "run r1" in budget.account(act(), NOW).scope or scope == "task"


def test_no_name_of_a_user_reaches_another_ones_account() -> None:
    budget, other = Budget(limit=1, scope="user", name="a"), Budget(limit=1, scope="user", name="b", per="total")
    keys = [
        one.account(act(user=user), NOW).key
        for one in (budget, other)
        for user in ("ann", "", "|ann", "2027-01-31|ann", "b||ann", "a|2027-01-31|ann")
    ]
    assert len(set(keys)) == len(keys)


def test_a_budget_may_be_for_some_acts_only() -> None:
    assert Budget(limit=1, match={"model": "gpt-*"}).applies(act())
    assert not Budget(limit=1, match={"model": "claude-*"}).applies(act())
    assert not Budget(limit=1, match={"provider": "openai", "user": "bob"}).applies(act())


def test_at_the_door_only_what_is_known_there_counts() -> None:
    assert Budget(limit=1).applies_at_the_door(act())
    assert Budget(limit=1, scope="user", match={"tenant": "acme"}).applies_at_the_door(act())
    assert not Budget(limit=1, scope="agent").applies_at_the_door(act())
    assert not Budget(limit=1, per="run").applies_at_the_door(act())
    assert not Budget(limit=1, match={"model": "*"}).applies_at_the_door(act())


def test_no_spelling_of_a_model_goes_past_a_budget_for_it() -> None:
    budget = Budget(limit=1, match={"model": "GPT-4*", "provider": "openai"})
    asked = Act(kind="model", name="gpt-4O-mini", arguments={"provider": "OpenAI"})
    assert budget.applies(asked)
    assert not budget.applies(replace(asked, name="o3"))
