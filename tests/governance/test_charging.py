"""What an act may cost at most, and which budgets and limits it must fit: decided before it begins, and strictly."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interlock.agents.prices import PriceTable, Rates
from interlock.governance.budgets import Budget
from interlock.governance.charging import ADDED_BY_VENDOR, BROUGHT_BACK, Till
from interlock.governance.gate import PolicyGate
from interlock.governance.limits import RateLimits
from interlock.records.charge import Charge
from interlock.records.money import Usage
from interlock.records.verdict import Act, Effect, Verdict, refusal

NOW = 1_800_000_000.0
PRICES = PriceTable({"sim/one": Rates(input="2", output="10", cached_input="1", cache_write="3")})


def till(*budgets: Budget, limits: RateLimits | None = None, tier: str | None = None) -> Till:
    return Till(lambda: budgets, lambda: limits, PRICES.at_most, lambda: NOW, lambda user, tenant: tier)


def request(name: str = "one", **more: Any) -> Act:
    arguments = {"provider": "sim", "model": name, "input_bytes": 5_000, "max_output_tokens": 2_000}
    return Act(kind="model", name=name, arguments={**arguments, **more.pop("arguments", {})}, agent="ann", **more)


def charge_of(verdict: Verdict | None) -> Charge:
    assert verdict is not None
    assert verdict.allowed
    assert verdict.charge is not None
    return verdict.charge


def test_where_nothing_applies_there_is_nothing_to_say() -> None:
    assert till()(request()) is None
    assert till()(request("unpriced")) is None
    assert till(limits=RateLimits())(Act(kind="task", name="task")) is None


def test_a_call_is_held_for_at_the_dearest_it_can_cost() -> None:
    charge = charge_of(till(Budget(limit=50))(request()))
    assert charge.tokens == 5_000 + ADDED_BY_VENDOR + 2_000
    assert charge.micros == (5_000 + ADDED_BY_VENDOR) * 3 + 2_000 * 10
    assert (charge.agent, charge.model) == ("ann", "sim/one")
    assert [account.name for account in charge.accounts] == ["platform-day"]


@given(sent=st.integers(1, 10_000), cached=st.floats(0, 1), written=st.floats(0, 1), received=st.integers(0, 5_000))
def test_no_usage_within_the_bound_costs_more_than_the_bound(
    sent: int, cached: float, written: float, received: int
) -> None:
    read = int(sent * cached)
    usage = Usage(
        input_tokens=sent,
        output_tokens=received,
        cached_input_tokens=read,
        cache_write_tokens=int((sent - read) * written),
        requests=1,
    )
    for provider, model in (("sim", "one"), ("anthropic", "claude-sonnet-4-5"), ("google", "gemini-2.5-pro")):
        bound, cost = PRICES.at_most(provider, model, 10_000, 5_000), PRICES.micros(provider, model, usage)
        assert bound is not None
        assert cost is not None
        assert cost <= bound


def test_several_budgets_are_all_charged() -> None:
    budgets = (Budget(limit=50), Budget(limit=5, scope="agent"), Budget(limit=9, name="gpt", match={"model": "gpt*"}))
    charge = charge_of(till(*budgets, limits=RateLimits(max_cost_per_day=100))(request(max_cost_micros=7)))
    assert [account.name for account in charge.accounts] == [
        "platform-day",
        "agent-day",
        "max_cost_per_day",
        "max_cost",
    ]


def test_a_task_that_says_what_it_may_cost_has_an_account_of_its_own() -> None:
    (account,) = charge_of(till()(request(max_cost_micros=250_000, run_id="r"))).accounts
    assert (account.name, account.limit, account.scope) == ("max_cost", 250_000, "run r")


@pytest.mark.parametrize("act", [request("unpriced"), request(arguments={"max_output_tokens": None})])
def test_what_nobody_can_price_is_refused_under_a_budget(act: Act) -> None:
    verdict = till(Budget(limit=50))(act)
    assert verdict is not None
    assert (verdict.effect, verdict.rule) == (Effect.BLOCK, "platform-day")
    error = refusal(verdict)
    assert (error.code, error.exit_code) == ("budget.unknown_price", 6)
    assert '[prices."PROVIDER/MODEL"]' in error.do


def test_it_may_be_let_through_where_all_budgets_say_so() -> None:
    free, strict = Budget(limit=50, unknown_price="allow"), Budget(limit=50, name="strict")
    assert charge_of(till(free)(request("unpriced"))).micros == 0
    refused = till(free, strict)(request("unpriced"))
    assert refused is not None
    assert refused.rule == "strict"
    limited = till(free)(request("unpriced", max_cost_micros=5))
    assert limited is not None
    assert limited.effect is Effect.BLOCK


def test_a_limit_alone_needs_no_price() -> None:
    charge = charge_of(till(limits=RateLimits(max_requests_per_minute=60))(request("unpriced")))
    assert (charge.micros, len(charge.rates), charge.accounts) == (0, 1, ())


def test_a_function_is_charged_to_the_same_accounts_with_what_it_will_say() -> None:
    act = Act(kind="agent", name="ann", agent="ann", max_cost_micros=9)
    charge = charge_of(till(Budget(limit=50))(act))
    assert (charge.micros, [account.name for account in charge.accounts]) == (0, ["platform-day", "max_cost"])
    assert till()(Act(kind="agent", name="ann")) is None


def test_a_task_is_counted_and_must_find_the_budgets_not_used_up() -> None:
    limits = RateLimits(max_tasks_per_minute=10, max_tasks_per_day=2, queue=True)
    budgets = (Budget(limit=50), Budget(limit=50, scope="agent"))
    charge = charge_of(till(*budgets, limits=limits)(Act(kind="task", name="task")))
    assert [(account.name, charge.amount(account)) for account in charge.accounts] == [
        ("platform-day", 0),
        ("max_tasks_per_day", 1),
    ]
    assert [rate.name for rate in charge.rates] == ["max_tasks_per_minute"]
    assert charge.queue


def test_a_task_of_an_unknown_tier_is_refused() -> None:
    verdict = till(limits=RateLimits(), tier="gold")(Act(kind="task", name="task", user="ann"))
    assert verdict is not None
    assert verdict.effect is Effect.BLOCK
    assert "gold" in verdict.reason


async def test_the_gates_answer_carries_the_charge_whoever_else_has_spoken() -> None:
    def allows(act: Act) -> Verdict:
        return Verdict(effect=Effect.ALLOW, rule="someone")

    gate = PolicyGate(judges={"model": [allows, till(Budget(limit=50))]})
    verdict = await gate.admit(request())
    assert verdict.allowed
    assert verdict.charge is not None


async def test_a_till_that_breaks_lets_nothing_through() -> None:
    def broken() -> list[Budget]:
        raise RuntimeError("no drawer")

    gate = PolicyGate(judges={"model": [Till(broken, RateLimits, PRICES.at_most, lambda: NOW)]})
    assert not (await gate.admit(request())).allowed


def test_tools_of_the_providers_own_are_held_for_with_their_fees_and_what_they_bring_back() -> None:
    arguments = {"native": {"web_search": 3}}
    charge = charge_of(till(Budget(limit=50))(request(arguments=arguments)))
    sent = 4 * (5_000 + ADDED_BY_VENDOR) + 3 * 2_000 + 6 * BROUGHT_BACK
    assert charge.micros == sent * 3 + 2_000 * 10 + 3 * 10_000
    assert charge.tokens == 5_000 + ADDED_BY_VENDOR + 2_000  # a rate is for what is sent at once


@given(
    uses=st.integers(0, 6),
    sent=st.integers(1, 6_000),
    brought=st.integers(0, BROUGHT_BACK),
    said=st.integers(0, 2_000),
)
def test_no_use_within_the_bound_costs_more_than_the_bound(uses: int, sent: int, brought: int, said: int) -> None:
    charge = charge_of(till(Budget(limit=50))(request(arguments={"native": {"web_search": uses}})))
    shown = sum(sent + turn * brought + said for turn in range(1, uses + 1)) + sent
    cost = PRICES.micros("sim", "one", Usage(input_tokens=shown, output_tokens=said, searches=uses))
    assert cost is not None
    assert cost <= charge.micros


@pytest.mark.parametrize("native", [None, 3, [], {"web_search": "many"}, {"web_search": -1}, {"web_search": 0}])
def test_uses_that_are_no_numbers_change_nothing(native: Any) -> None:
    plain = charge_of(till(Budget(limit=50))(request()))
    assert charge_of(till(Budget(limit=50))(request(arguments={"native": native}))) == plain
