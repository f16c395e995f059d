"""What every journal's ledger has to keep: reserved with the intent, settled with the outcome, never past the limit."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from interlock.errors import OverBudget, RateLimited, StaleFence, StoreFailed
from interlock.records.charge import Account, AccountRow, Charge, Rate
from interlock.records.fact import Fact, Failure, Noted, RunFinished, StepFailed, StepFinished, StepStarted
from interlock.records.money import Usage
from interlock.stores.journal import Claim, Journal
from tests.contracts.test_journal import Place, admitted, journal, note, place, shared, start, take

__all__ = ["journal", "place", "shared"]  # fixtures

DAY = Account(key="day", name="daily", limit=100, scope="platform", window="2027-01-15", alert_at=(0.8, 1.0))
RUN = Account(key="run", name="max_cost", limit=60, scope="run r")


def charge(micros: int, *accounts: Account, **more: Any) -> Charge:
    return Charge(micros=micros, accounts=accounts or (DAY,), agent="ann", model="sim/one", **more)


def begin(path: str, attempt: int = 1) -> StepStarted:
    return StepStarted(path=path, what="model", name="sim:one", attempt=attempt, key=path, repeatable=True)


def done(path: str, cost: int | None, *, tokens: int = 3, attempt: int = 1) -> StepFinished:
    used = Usage(input_tokens=tokens, requests=1)
    return StepFinished(
        path=path, attempt=attempt, output=1, seconds=0, usage=used, cost_micros=cost, agent="ann", model="sim/one"
    )


def failed(path: str, cost: int | None, *, attempt: int = 1) -> StepFailed:
    failure = Failure(code="agent.timeout", says="late")
    return StepFailed(path=path, attempt=attempt, failure=failure, seconds=0, cost_micros=cost)


async def balance(journal: Journal, key: str = "day") -> tuple[int, int]:
    found = {row.key: row for row in await journal.accounts()}
    return (found[key].spent, found[key].reserved) if key in found else (0, 0)


class Driven:
    """A run that is driven, and what it writes."""

    def __init__(self, journal: Journal, claim: Claim) -> None:
        self.journal = journal
        self.claim = claim
        self.notes: list[Fact] = []

    async def write(self, *facts: Fact, charge: Charge | None = None) -> int:
        notes: list[Fact] = []
        seq = await self.journal.append(self.claim.run_id, facts, claim=self.claim, charge=charge, notes=notes)
        self.notes += notes
        return seq


@pytest.fixture
async def run(journal: Journal) -> Driven:
    return Driven(journal, await start(journal, "run"))


class TestReserving:
    async def test_what_may_be_spent_is_held_and_settled_at_what_it_was(self, run: Driven, journal: Journal) -> None:
        await run.write(begin("a"), charge=charge(40))
        assert await balance(journal) == (0, 40)
        await run.write(done("a", 25))
        assert await balance(journal) == (25, 0)

    async def test_exactly_the_limit_fits_and_one_more_does_not(self, run: Driven, journal: Journal) -> None:
        await run.write(begin("a"), charge=charge(100))
        with pytest.raises(OverBudget) as caught:
            await run.write(begin("b"), charge=charge(1))
        assert caught.value.rule == "daily"
        for said in ("daily (platform, 2027-01-15)", "0.00 USD of 0.0001 USD left", "0.0001 USD reserved", "0.000001"):
            assert said in caught.value.says
        assert caught.value.do
        assert await balance(journal) == (0, 100)

    async def test_all_accounts_take_it_or_none_does(self, run: Driven, journal: Journal) -> None:
        with pytest.raises(OverBudget, match="max_cost"):
            await run.write(begin("a"), charge=charge(61, DAY, RUN))
        assert await balance(journal) == (0, 0)
        assert [record.fact.kind for record in await journal.read("run")] == ["run.admitted", "run.started"]
        await run.write(begin("a"), charge=charge(60, DAY, RUN))
        assert (await balance(journal), await balance(journal, "run")) == ((0, 60), (0, 60))

    async def test_a_refusal_touches_nobody_else_in_the_group(self, journal: Journal) -> None:
        runs = [Driven(journal, await start(journal, f"run-{number}")) for number in range(8)]
        written = [asyncio.ensure_future(one.write(begin("a"), charge=charge(30))) for one in runs]
        plain = asyncio.ensure_future(runs[7].write(note()))
        results = await asyncio.gather(*written, return_exceptions=True)
        assert [isinstance(result, OverBudget) for result in results] == [False] * 3 + [True] * 5
        assert await plain
        assert await balance(journal) == (0, 90)

    async def test_who_may_not_write_reserves_nothing(self, run: Driven, journal: Journal) -> None:
        stale = Claim(run_id="run", owner=journal.owner, fence=77, seq=0)
        with pytest.raises(StaleFence):
            await journal.append("run", [begin("a")], claim=stale, charge=charge(5))
        await run.write(RunFinished(status="completed"))
        with pytest.raises(StoreFailed):
            await run.write(begin("a"), RunFinished(status="failed"), charge=charge(5))
        assert await balance(journal) == (0, 0)

    async def test_a_raised_limit_counts_at_once(self, run: Driven, journal: Journal) -> None:
        await run.write(begin("a"), charge=charge(100))
        larger = Account(key="day", name="daily", limit=150)
        await run.write(begin("b"), charge=charge(50, larger))
        assert await balance(journal) == (0, 150)

    async def test_a_charge_of_nothing_fits_until_the_account_is_used_up(self, run: Driven, journal: Journal) -> None:
        await run.write(begin("a"), charge=charge(0))
        await run.write(done("a", 99))
        await run.write(begin("b"), charge=charge(0))
        await run.write(done("b", 500))
        assert await balance(journal) == (599, 0)
        with pytest.raises(OverBudget):
            await run.write(begin("c"), charge=charge(0))

    async def test_free_work_fits_on_a_budget_of_nothing(self, run: Driven) -> None:
        nothing = Account(key="none", name="none", limit=0)
        await run.write(begin("a"), charge=charge(0, nothing))
        with pytest.raises(OverBudget):
            await run.write(begin("b"), charge=charge(1, nothing))


class TestSettling:
    @pytest.mark.parametrize(("cost", "spent"), [(0, 0), (7, 7), (None, 40)])
    async def test_a_failure_costs_what_it_says_and_all_where_nobody_knows(
        self, run: Driven, journal: Journal, cost: int | None, spent: int
    ) -> None:
        await run.write(begin("a"), charge=charge(40))
        await run.write(failed("a", cost))
        assert await balance(journal) == (spent, 0)

    async def test_settling_twice_changes_nothing(self, run: Driven, journal: Journal) -> None:
        await run.write(begin("a"), charge=charge(40))
        await run.write(done("a", 10))
        await run.write(failed("a", 10))
        assert await balance(journal) == (10, 0)

    async def test_a_step_that_was_never_begun_settles_nothing(self, run: Driven, journal: Journal) -> None:
        await run.write(begin("a"), charge=charge(40))
        await run.write(failed("a", 0, attempt=0))
        assert await balance(journal) == (0, 40)

    async def test_the_end_of_a_run_charges_in_full_what_is_still_held(self, run: Driven, journal: Journal) -> None:
        await run.write(begin("a"), charge=charge(40))
        await run.write(begin("b"), charge=charge(30))
        await run.write(done("b", 1))
        await run.write(RunFinished(status="cancelled"))
        assert await balance(journal) == (41, 0)
        assert sum(row.micros for row in await journal.spending("run")) == 41

    async def test_a_step_begun_again_first_charges_what_was_held_for_it(self, run: Driven, journal: Journal) -> None:
        await run.write(begin("a"), charge=charge(40))
        await run.write(begin("a"), charge=charge(40))
        assert await balance(journal) == (40, 40)
        with pytest.raises(OverBudget):
            await run.write(begin("a"), charge=charge(40))
        assert await balance(journal) == (40, 40)

    async def test_more_than_was_held_is_charged_all_the_same_and_said(self, run: Driven, journal: Journal) -> None:
        await run.write(begin("a"), charge=charge(10))
        await run.write(done("a", 130))
        assert await balance(journal) == (130, 0)
        assert [fact.code for fact in run.notes if isinstance(fact, Noted)] == [
            "budget.bound_exceeded",
            "budget.threshold",
        ]
        with pytest.raises(OverBudget):
            await run.write(begin("b"), charge=charge(1))

    async def test_what_another_process_left_held_is_settled_by_whoever_goes_on(self, shared: Place) -> None:
        first, second = shared.open(), shared.open()
        run = Driven(first, await start(first, "run"))
        await run.write(begin("a"), charge=charge(40))
        await first.close()
        claim = await take(second, "run")
        await Driven(second, claim).write(done("a", 5))
        assert await balance(second) == (5, 0)


class TestThresholds:
    async def test_each_is_told_of_once_and_written_into_the_run(self, run: Driven, journal: Journal) -> None:
        for number, cost in enumerate((79, 1, 5, 15)):
            await run.write(begin(f"{number}"), charge=charge(cost))
            await run.write(done(f"{number}", cost))
        said = [fact.says for fact in run.notes if isinstance(fact, Noted)]
        assert len(said) == 2
        assert "daily (platform, 2027-01-15) has passed 80%: 0.00008 USD of 0.0001 USD" in said[0]
        assert "is used up" in said[1]
        written = [record.fact for record in await journal.read("run")]
        assert [fact for fact in written if isinstance(fact, Noted)] == run.notes

    async def test_a_jump_over_both_is_one_warning(self, run: Driven) -> None:
        await run.write(begin("a"), charge=charge(100))
        await run.write(done("a", 100))
        assert len(run.notes) == 1

    async def test_a_warning_comes_before_the_end_of_the_run(self, run: Driven, journal: Journal) -> None:
        await run.write(begin("a"), charge=charge(90))
        seq = await run.write(RunFinished(status="failed"))
        facts = await journal.read("run")
        assert [record.fact.kind for record in facts[-2:]] == ["noted", "run.finished"]
        assert (seq, [record.seq for record in facts]) == (len(facts), list(range(1, len(facts) + 1)))


class TestCounting:
    async def test_a_task_at_the_door_is_counted_with_its_admission(self, journal: Journal) -> None:
        two = Account(key="n", name="max_tasks_per_day", limit=2, unit="count", window="today", until=4_600.0)
        for number in range(2):
            await journal.append(f"run-{number}", [admitted()], charge=Charge(accounts=(two,)))
        with pytest.raises(RateLimited) as caught:
            await journal.append("run-3", [admitted()], charge=Charge(accounts=(two,)))
        assert (caught.value.rule, caught.value.retry_after) == ("max_tasks_per_day", 3_600.0)
        assert "2 of 2" in caught.value.says
        assert "1970-01-01 01:16 UTC" in caught.value.says
        assert await journal.read("run-3") == []
        assert await balance(journal, "n") == (2, 0)

    async def test_an_account_is_not_shown_any_more_when_its_window_is_over(
        self, place: Place, journal: Journal
    ) -> None:
        day = Account(key="d", name="daily", limit=9, window="w", until=2_000.0)
        run = Driven(journal, await start(journal, "run"))
        await run.write(begin("a"), charge=charge(1, day))
        await run.write(done("a", 1))
        (row,) = await journal.accounts()
        assert row == AccountRow(
            key="d", name="daily", scope="", window="w", until=2_000.0, unit="usd", limit=9, spent=1, reserved=0
        )
        assert row.left == 8
        place.clock.at = 3_000.0
        assert await journal.accounts() == []


class TestRates:
    RATE = Rate(key="r", name="per_minute", quantity=1, interval=6_000_000_000, burst=10, says="10 a minute")

    async def test_a_burst_fits_and_then_one_place_comes_back_after_each_interval(
        self, place: Place, journal: Journal
    ) -> None:
        for number in range(10):
            await journal.append(f"a{number}", [admitted()], charge=Charge(rates=(self.RATE,)))
        with pytest.raises(RateLimited) as caught:
            await journal.append("b", [admitted()], charge=Charge(rates=(self.RATE,)))
        assert caught.value.retry_after == pytest.approx(6.0)
        place.clock.at += 5.9
        with pytest.raises(RateLimited):
            await journal.append("b", [admitted()], charge=Charge(rates=(self.RATE,)))
        place.clock.at += 0.1
        await journal.append("b", [admitted()], charge=Charge(rates=(self.RATE,)))

    async def test_a_refused_budget_gives_the_place_back(self, run: Driven) -> None:
        one = Rate(key="one", name="one", quantity=1, interval=10**12, burst=1)
        with pytest.raises(OverBudget):
            await run.write(begin("a"), charge=charge(101, rates=(one,)))
        await run.write(begin("a"), charge=charge(1, rates=(one,)))

    async def test_tokens_that_were_not_used_are_given_back(self, run: Driven, journal: Journal) -> None:
        rate = Rate(key="t", name="tokens", quantity=80, interval=10**9, burst=100, refunded=True)
        await run.write(begin("a"), charge=Charge(tokens=80, rates=(rate,)))
        with pytest.raises(RateLimited):
            await run.write(begin("b"), charge=Charge(tokens=80, rates=(rate,)))
        await run.write(done("a", 0, tokens=20))
        await run.write(begin("b"), charge=Charge(tokens=80, rates=(rate,)))
        await run.write(failed("b", 0))
        await run.write(begin("c"), charge=Charge(tokens=80, rates=(rate,)))

    async def test_more_than_the_burst_waits_for_the_whole_burst(self, run: Driven) -> None:
        rate = Rate(key="t", name="tokens", quantity=500, interval=10**9, burst=100)
        await run.write(begin("a"), charge=Charge(tokens=500, rates=(rate,)))
        with pytest.raises(RateLimited) as caught:
            await run.write(begin("b"), charge=Charge(tokens=500, rates=(rate,)))
        assert caught.value.retry_after == pytest.approx(100.0)

    async def test_two_processes_share_one_limit(self, shared: Place) -> None:
        journals = [shared.open(), shared.open()]
        written = [
            journals[number % 2].append(f"a{number}", [admitted()], charge=Charge(rates=(self.RATE,)))
            for number in range(30)
        ]
        results = await asyncio.gather(*written, return_exceptions=True)
        assert sum(not isinstance(result, Exception) for result in results) == 10


class TestSpending:
    async def test_it_is_grouped_by_what_people_ask_for(self, journal: Journal) -> None:
        for number, (user, label) in enumerate((("ann", "web"), ("bob", "web"), ("bob", "db"))):
            claim = Claim(run_id=f"r{number}", owner=journal.owner, fence=1, seq=1)
            task = admitted(user=user, tenant="acme", labels={"team": label, "env": "test"})
            await journal.append(f"r{number}", [task], claim=claim)
            await Driven(journal, claim).write(begin("a"), done("a", 10 * (number + 1)), begin("b"), done("b", None))
        grouped = {
            by: [(row.name, row.micros, row.tokens, row.requests, row.unknown) for row in await journal.spending(by)]
            for by in ("run", "agent", "model", "user", "tenant", "label", "day")
        }  # type: ignore[misc]
        assert grouped["run"] == [("r2", 30, 6, 2, 1), ("r1", 20, 6, 2, 1), ("r0", 10, 6, 2, 1)]
        assert grouped["agent"] == [("ann", 60, 18, 6, 3)]
        assert grouped["model"] == [("sim/one", 60, 18, 6, 3)]
        assert grouped["user"] == [("bob", 50, 12, 4, 2), ("ann", 10, 6, 2, 1)]
        assert grouped["tenant"] == [("acme", 60, 18, 6, 3)]
        assert grouped["label"] == [
            ("env=test", 60, 18, 6, 3),
            ("team=db", 30, 6, 2, 1),
            ("team=web", 30, 12, 4, 2),
        ]
        assert grouped["day"] == [("1970-01-01", 60, 18, 6, 3)]

    async def test_what_is_not_named_stands_under_no_name(self, run: Driven, journal: Journal) -> None:
        await run.write(begin("a"), done("a", 4))
        for by in ("user", "tenant", "label"):
            assert [(row.name, row.micros) for row in await journal.spending(by)] == [("", 4)]  # type: ignore[arg-type]
