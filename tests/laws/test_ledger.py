"""The laws of the ledger: in whatever order things happen, no limit is passed and nothing stays reserved for ever."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from interlock.errors import OverBudget
from interlock.records.charge import Account, Charge, Rate
from interlock.records.fact import Failure, RunFinished, StepFailed, StepFinished, StepStarted
from interlock.stores.ledger import Books, crossed, room_under
from interlock.stores.sql import queries
from interlock.stores.sqlite_file import open_writer

RUNS, PATHS = ("r1", "r2"), ("a", "b", "c")
NANO = 1_000_000_000


def account(name: str, limit: int) -> Account:
    return Account(key=name, name=name, limit=limit, alert_at=(0.5, 1.0))


@dataclass
class Model:
    """The ledger as a child would keep it: a list of what is held, and a heap of what is spent."""

    limits: dict[str, int]
    holds: dict[tuple[str, str], tuple[int, tuple[str, ...]]] = field(default_factory=dict)
    spent: dict[str, int] = field(default_factory=dict)

    def reserved(self, name: str) -> int:
        return sum(micros for micros, names in self.holds.values() if name in names)

    def fits(self, micros: int, names: tuple[str, ...]) -> bool:
        return all(
            self.spent.get(name, 0) + self.reserved(name) + micros <= self.limits[name]
            if micros
            else self.spent.get(name, 0) < max(self.limits[name], 1)
            for name in names
        )

    def settle(self, run: str, path: str, cost: int | None) -> None:
        held = self.holds.pop((run, path), None)
        if held is not None:
            micros, names = held
            for name in names:
                self.spent[name] = self.spent.get(name, 0) + (micros if cost is None else cost)


moves = st.lists(
    st.one_of(
        st.tuples(
            st.just("begin"),
            st.sampled_from(RUNS),
            st.sampled_from(PATHS),
            st.integers(0, 60),
            st.sampled_from([("x",), ("y",), ("x", "y"), ("y", "x")]),
        ),
        st.tuples(st.just("finish"), st.sampled_from(RUNS), st.sampled_from(PATHS), st.none() | st.integers(0, 100)),
        st.tuples(st.just("fail"), st.sampled_from(RUNS), st.sampled_from(PATHS), st.sampled_from([0, None])),
        st.tuples(st.just("end"), st.sampled_from(RUNS)),
        st.tuples(st.just("die")),
    ),
    max_size=40,
)


@contextmanager
def books() -> Iterator[tuple[sqlite3.Connection, list[Books]]]:
    db = open_writer(None)
    yield db, [Books(db, queries())]
    db.close()


def begin(path: str) -> StepStarted:
    return StepStarted(path=path, what="model", name="m", attempt=1, key=path, repeatable=True)


@given(moves=moves, limits=st.tuples(st.integers(0, 150), st.integers(0, 150)))
def test_the_books_agree_with_a_child_and_no_limit_is_ever_passed(moves: list[tuple], limits: tuple[int, int]) -> None:
    """Costs are at most what was held, as with every bound that is one."""
    model = Model({"x": limits[0], "y": limits[1]})
    accounts = {name: account(name, limit) for name, limit in model.limits.items()}
    with books() as (db, kept):
        for move in moves:
            _play(db, kept, model, accounts, move)
            _agree(db, model)
        for run in RUNS:
            _commit(db, kept, run, RunFinished(status="cancelled"))
            for path in PATHS:
                model.settle(run, path, None)
        _agree(db, model)
        assert db.execute("SELECT COUNT(*) FROM holds").fetchone() == (0,)
        assert db.execute("SELECT COALESCE(SUM(reserved), 0) FROM accounts").fetchone() == (0,)


def _play(db: sqlite3.Connection, kept: list[Books], model: Model, accounts: dict[str, Account], move: tuple) -> None:
    match move:
        case ("begin", run, path, micros, names):
            charge = Charge(micros=micros, accounts=tuple(accounts[name] for name in names))
            # A step whose driver died in the middle is charged before it is begun again, and then it may not fit.
            trial = Model(model.limits, dict(model.holds), dict(model.spent))
            trial.settle(run, path, None)
            refused = not _commit(db, kept, run, begin(path), charge=charge)
            assert refused != trial.fits(micros, names)
            if not refused:
                model.holds, model.spent = trial.holds, trial.spent
                model.holds[run, path] = (micros, names)
        case ("finish", run, path, cost):
            held = model.holds.get((run, path), (0, ()))[0]
            cost = None if cost is None else min(cost, held)
            _commit(db, kept, run, StepFinished(path=path, attempt=1, output=None, seconds=0, cost_micros=cost))
            model.settle(run, path, cost)
        case ("fail", run, path, cost):
            failure = Failure(code="agent.timeout", says="late")
            _commit(db, kept, run, StepFailed(path=path, attempt=1, failure=failure, seconds=0, cost_micros=cost))
            model.settle(run, path, cost)
        case ("end", run):
            _commit(db, kept, run, RunFinished(status="failed"))
            for path in PATHS:
                model.settle(run, path, None)
        case ("die",):  # another process, which knows nothing but the store, takes everything up
            kept[0] = Books(db, queries())
            for run in RUNS:
                kept[0].taken_up(run)


def _commit(db: sqlite3.Connection, kept: list[Books], run: str, fact, charge: Charge | None = None) -> bool:  # type: ignore[no-untyped-def]
    db.execute("BEGIN IMMEDIATE")
    try:
        kept[0].move(run, [fact], charge, 1_000.0)
    except OverBudget:
        return False
    finally:
        db.execute("COMMIT")  # as in a group: the refusal of one leaves the others' work to be committed
    return True


def _agree(db: sqlite3.Connection, model: Model) -> None:
    for key, spent, reserved, limit in db.execute('SELECT "key", spent, reserved, "limit" FROM accounts'):
        assert (spent, reserved) == (model.spent.get(key, 0), model.reserved(key))
        assert spent + reserved <= limit


@given(
    waits=st.lists(st.integers(0, 3 * NANO), max_size=60),
    most=st.integers(1, 20),
    period=st.integers(1, 5),
)
def test_a_rate_lets_through_a_burst_and_then_no_more_than_comes_back(waits: list[int], most: int, period: int) -> None:
    rate = Rate(key="r", name="r", quantity=1, interval=period * NANO // most, burst=most)
    now, tat, passed = 1_800_000_000 * NANO, 0, []
    for wait in waits:
        now += wait
        room = room_under(rate, tat, now)
        if room.wait == 0:
            tat = room.tat
            passed.append(now)
        else:  # it says when to come back, and then there is room
            assert room.tat == tat
            assert room_under(rate, tat, now + round(room.wait * NANO) + 1).wait == 0
    for first in range(len(passed)):
        for last in range(first, len(passed)):
            assert last - first + 1 <= most + (passed[last] - passed[first]) // rate.interval


@given(costs=st.lists(st.integers(0, 50), max_size=30), limit=st.integers(1, 200))
def test_each_threshold_is_crossed_at_most_once(costs: list[int], limit: int) -> None:
    told, alerted, spent = [], 0.0, 0
    for cost in costs:
        spent += cost
        part = crossed(limit, spent, (0.5, 0.8, 1.0), alerted)
        if part is not None:
            told.append(part)
            alerted = part
    assert told == sorted(set(told))
    assert not spent >= limit or told[-1] == 1.0
