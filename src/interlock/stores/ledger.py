"""The ledger: budgets, rate limits and what was paid, moved in the same transaction as the facts they come from.

The rule: before a call, the most it can cost is held on every account it counts on, or it does not begin. Its outcome
settles that hold with what it really cost. A call nobody knows the outcome of is charged in full; a call that is known
to have been free is released. So what was spent and reserved together never passes a limit, whoever crashes when.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import msgspec

from interlock.errors import InterlockError, OverBudget, RateLimited
from interlock.records.charge import MAX_COST, Account, Charge, Rate
from interlock.records.fact import Fact, Noted, RunFinished, RunWaiting, StepFailed, StepFinished, StepStarted
from interlock.records.money import micros_to_text

_NANO = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Room:
    """Whether a rate has room: the limit's new arrival time if it has, else the seconds until it will."""

    tat: int
    wait: float = 0.0


def room_under(rate: Rate, tat: int, now: int) -> Room:
    """GCRA: whether an act fits under a rate just now.

    The virtual scheduling form of the generic cell rate algorithm (ITU-T Recommendation I.371, Annex A; for its use
    as a rate limit see Brandur Leach, "Rate Limiting, Cells, and GCRA", 2015). One number per limit, and no clock
    that has to tick: `burst` units may be taken at once, and each comes back after `interval`.

    Args:
        rate: The limit, and how much the act takes. More than the burst is taken as the whole burst.
        tat: The limit's arrival time in the books, nanoseconds since 1970; 0 for a new one.
        now: Nanoseconds since 1970.
    """
    taken = min(rate.quantity, rate.burst)
    following = max(tat, now) + taken * rate.interval
    early = following - rate.burst * rate.interval - now
    return Room(tat, early / _NANO) if early > 0 else Room(following)


def fits(charge: Charge, account: Account, spent: int, reserved: int) -> bool:
    """Whether a charge fits on an account; one that asks for nothing fits until the account is used up."""
    amount = charge.amount(account)
    if amount == 0:
        return spent < max(account.limit, 1)
    return spent + reserved + amount <= account.limit


def crossed(limit: int, spent: int, alert_at: Sequence[float], alerted: float) -> float | None:
    """The highest threshold that was reached and not told of yet, as a part of the limit."""
    reached = [part for part in alert_at if part > alerted and spent >= part * limit]
    return max(reached, default=None)


def in_order(facts: Sequence[Fact], notes: Sequence[Fact]) -> list[Fact]:
    """Facts with what the ledger noted about them behind, but before the fact that parks or ends the run."""
    place = len(facts) - 1 if facts and isinstance(facts[-1], RunFinished | RunWaiting) else len(facts)
    return [*facts[:place], *notes, *facts[place:]]


class Books:
    """Moves the ledger on the writer's thread, inside the transaction that is open there.

    Args:
        connection: The writer's connection.
        queries: The named queries.
    """

    def __init__(self, connection: sqlite3.Connection, queries: Mapping[str, str]) -> None:
        self._db = connection
        self._queries = queries
        #: Runs driven here that may have holds: all others are not looked up. Too many in it does no harm.
        self._holding: set[str] = set()

    def taken_up(self, run_id: str) -> None:
        """A run is claimed here: its last driver may have left holds."""
        if self._run("holds_of_run", run_id).fetchone() is not None:
            self._holding.add(run_id)

    def let_go(self, run_id: str) -> None:
        """What a run that nobody drives any more was about has been committed; whoever goes on takes it up."""
        self._holding.discard(run_id)

    def move(self, run_id: str, facts: Sequence[Fact], charge: Charge | None, now: float) -> list[Fact]:
        """Settle what these facts are the outcome of, then take what a charge asks for: all of it, or nothing is done.

        Args:
            run_id: The run the facts belong to.
            facts: What is about to be written.
            charge: What must fit, or None.
            now: Seconds since 1970.

        Returns:
            What people should be told, as facts to be written with the others.

        Raises:
            OverBudget: an account has no room.
            RateLimited: a limit has no room; `retry_after` says when it has.
        """
        notes: list[Fact] = []
        if charge is None:
            self._settle_all(run_id, facts, now, notes)
            return notes
        self._db.execute("SAVEPOINT charge")
        try:
            self._settle_all(run_id, facts, now, notes)
            started = next((fact for fact in reversed(facts) if isinstance(fact, StepStarted)), None)
            if started is not None and run_id in self._holding:
                self._close(run_id, started.path, None, None, now, notes)
            self._take(charge, held=started is not None, now=now)
            if started is not None:
                self._open(run_id, started.path, charge)
        except BaseException:
            self._db.execute("ROLLBACK TO charge")
            raise
        finally:
            if self._db.in_transaction:
                self._db.execute("RELEASE charge")
        return notes

    # Settling.

    def _settle_all(self, run_id: str, facts: Sequence[Fact], now: float, notes: list[Fact]) -> None:
        holding = run_id in self._holding
        for fact in facts:
            match fact:
                case StepStarted():  # the most frequent of those that move nothing
                    continue
                case StepFinished() | StepFailed():
                    payer = ("", "")
                    if holding and fact.attempt > 0:  # a step that was refused never had a hold of its own
                        payer = self._settle(run_id, fact, now, notes)
                    if fact.cost_micros != 0 or fact.usage.requests:
                        self._spend(run_id, fact, payer, now)
                case RunFinished() if holding:
                    for (path,) in self._run("holds_of_run", run_id).fetchall():
                        self._close(run_id, path, None, None, now, notes)
                case _:
                    continue

    def _settle(self, run_id: str, fact: StepFinished | StepFailed, now: float, notes: list[Fact]) -> tuple[str, str]:
        tokens: int | None = fact.usage.total_tokens
        if not fact.usage.requests:  # nothing was reported: nothing was used only if it is known to have been free
            tokens = 0 if isinstance(fact, StepFailed) and fact.cost_micros == 0 else None
        return self._close(run_id, fact.path, fact.cost_micros, tokens, now, notes, told=True)

    def _close(
        self,
        run_id: str,
        path: str,
        cost: int | None,
        tokens: int | None,
        now: float,
        notes: list[Fact],
        *,
        told: bool = False,
    ) -> tuple[str, str]:
        """Settle one hold, if it is open, and say for whom; without a cost it is charged in full."""
        row = self._run("close_hold", run_id, path).fetchone()
        if row is None:
            return "", ""
        held, held_tokens, agent, model, accounts, refunds = row
        paid = held if cost is None else cost
        if not told and paid:  # no fact says what it cost, so no fact counts it
            self._run("add_spend", run_id, agent, model, _day(now), paid, 0, 1, 0)
        if paid > held > 0:
            says = f"{model or agent} cost {_usd(paid)}, more than the {_usd(held)} that were held for it."
            notes.append(Noted(level="warning", code="budget.bound_exceeded", says=says, path=path))
        for key in msgspec.json.decode(accounts):
            changed = self._run("settle_account", held, paid, key).fetchall()
            notes += self._alerts(key, path, changed)
        unused = held_tokens - tokens if tokens is not None else 0
        for key, interval in msgspec.json.decode(refunds) if unused else ():
            self._run("refund_rate", unused * interval, key)
        return agent, model

    def _alerts(self, key: str, path: str, changed: Sequence[tuple[Any, ...]]) -> Iterator[Fact]:
        for name, scope, window, limit, spent, alert_at, alerted in changed:
            part = crossed(limit, spent, msgspec.json.decode(alert_at), alerted)
            if part is not None:
                self._run("remember_alert", part, key)
                what = _whose(name, scope, window)
                used = "is used up" if part >= 1 else f"has passed {part:.0%}"
                says = f"The budget {what} {used}: {_usd(spent)} of {_usd(limit)} are spent."
                yield Noted(level="warning", code="budget.threshold", says=says, path=path)

    def _spend(self, run_id: str, fact: StepFinished | StepFailed, payer: tuple[str, str], now: float) -> None:
        usage = fact.usage
        known = fact.cost_micros is not None
        figures = (fact.cost_micros or 0, usage.total_tokens, max(usage.requests, 1), 0 if known else 1)
        self._run("add_spend", run_id, fact.agent or payer[0], fact.model or payer[1], _day(now), *figures)

    # Taking.

    def _take(self, charge: Charge, *, held: bool, now: float) -> None:
        """Check everything, then take it; the savepoint takes back what was taken before a refusal."""
        for rate in sorted(charge.rates, key=lambda one: one.key):
            row = self._run("rate_of", rate.key).fetchone()
            room = room_under(rate, row[0] if row else 0, round(now * _NANO))
            if room.wait > 0:
                raise _too_fast(rate, room.wait)
            self._run("move_rate", rate.key, rate.name, room.tat)
        for account in sorted(charge.accounts, key=lambda one: one.key):
            spent, reserved = self._run("account_balance", account.key).fetchone() or (0, 0)
            if not fits(charge, account, spent, reserved):
                raise _over(charge, account, spent, reserved, now)
            if account.unit == "count":
                self._enter(account, 1, 0)
            elif held:
                self._enter(account, 0, charge.micros)

    def _enter(self, account: Account, spent: int, reserved: int) -> None:
        alert_at = msgspec.json.encode(account.alert_at).decode()
        about = (account.key, account.name, account.scope, account.window, account.until, account.unit, account.limit)
        self._run("reserve", *about, alert_at, spent, reserved)

    def _open(self, run_id: str, path: str, charge: Charge) -> None:
        accounts = [account.key for account in charge.accounts if account.unit == "usd"]
        refunds = [(rate.key, rate.interval) for rate in charge.rates if rate.refunded]
        if not accounts and not refunds:
            return
        written = (msgspec.json.encode(accounts).decode(), msgspec.json.encode(refunds).decode())
        self._run("open_hold", run_id, path, charge.micros, charge.tokens, charge.agent, charge.model, *written)
        self._holding.add(run_id)

    def _run(self, name: str, *values: Any) -> sqlite3.Cursor:
        return self._db.execute(self._queries[name], values)


def _over(charge: Charge, account: Account, spent: int, reserved: int, now: float) -> InterlockError:
    wait = None if account.until is None else max(0.0, account.until - now)
    again = "" if account.until is None else f"It begins anew at {_moment(account.until)}."
    error: InterlockError
    if account.unit == "count":
        says = f"{account.name} is reached: {spent:,} of {account.limit:,} ({account.scope}, {account.window}). {again}"
        error = RateLimited(says.strip(), retry_after=wait)
    else:
        left = max(0, account.limit - spent - reserved)
        asked = f", and this may cost up to {_usd(charge.micros)}" if charge.micros else ""
        whose = _whose(account.name, account.scope, account.window)
        says = (
            f"The budget {whose} has {_usd(left)} of {_usd(account.limit)} left "
            f"({_usd(spent)} spent, {_usd(reserved)} reserved{asked})."
        )
        do = f"Raise it, or wait. {again}" if again else "Raise it, then `interlock run resume ID`."
        if account.name == MAX_COST:  # it belongs to the task, and a task does not change
            do = "Give the task again under another id, with a higher max_cost."
        error = OverBudget(says, do, retry_after=wait)
    error.rule = account.name
    return error


def _too_fast(rate: Rate, wait: float) -> RateLimited:
    says = f"{rate.name} is reached: {rate.says or rate.name}. There is room again in {max(wait, 0.1):.1f} s."
    error = RateLimited(says, retry_after=wait)
    error.rule = rate.name
    return error


def _whose(name: str, scope: str, window: str) -> str:
    about = ", ".join(part for part in (scope, window) if part)
    return f"{name} ({about})" if about else name


def _usd(micros: int) -> str:
    whole = micros_to_text(micros)
    dollars, _, parts = whole.partition(".")
    return f"{dollars}.{parts[:2]}{parts[2:].rstrip('0')} USD"


def _day(now: float) -> str:
    try:
        return datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%d")
    except (ValueError, OverflowError, OSError):  # a broken clock: no reason to lose what was done
        return ""


def _moment(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M UTC")
