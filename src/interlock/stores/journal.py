"""The Journal protocol: append, read, claim, list, watch. Everything durable goes through these few calls."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from interlock.records.charge import AccountRow, Charge, SpendRow
from interlock.records.fact import Fact, QuestionAsked, Recorded
from interlock.records.question import QuestionState
from interlock.records.task import TaskStatus

#: By what spending can be grouped.
Grouping = Literal["run", "agent", "model", "tenant", "user", "label", "day"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """The right to drive one run until it is released, expires, or a newer driver takes over.

    Args:
        run_id: The run.
        owner: Who drives it.
        fence: Grows with every claim; an append with an older number is refused.
        seq: The run's newest fact when it was claimed.
    """

    run_id: str
    owner: str
    fence: int
    seq: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRow:
    """One line about a run: what lists, metrics and histories show without reading its facts.

    `driver` is who holds the claim; `driven` whether that process is alive; `parked_by`
    who drove it when it began to wait, `parker_alive` whether that process still lives. `cost_micros` and `tokens` are
    final once the run has ended; `cost_micros` is None where a price is unknown.
    """

    run_id: str
    task_id: str
    title: str
    status: TaskStatus
    flow: str
    platform: str
    agent: str
    priority: int
    user: str | None
    tenant: str | None
    parent: str | None
    created_at: float
    updated_at: float
    finished_at: float | None
    wake_at: float | None
    seconds: float
    tokens: int
    cost_micros: int | None
    failure_code: str
    failure_says: str
    guardrail: str | None
    parked_by: str
    parker_alive: bool
    driver: str
    driven: bool
    seq: int


@dataclass(frozen=True, slots=True, kw_only=True)
class QuestionRow:
    """One line about something people are asked. `user` is for whom the run is done; he may not allow it."""

    run_id: str
    question_id: str
    path: str
    state: QuestionState
    user: str | None
    allowed_by: tuple[str, ...]
    asked_at: float
    expires_at: float | None
    asked: QuestionAsked


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """Which runs to list, newest first unless `due_at` is given.

    Args:
        status: Only these states; empty means all.
        run_id: Only this run.
        run_prefix: Only runs whose id begins so.
        task_id: Only runs of this task.
        due_at: Only runs that wait, for whatever, and whose time is up by then, longest overdue first.
        parked_by: Only runs that were last driven by this owner.
        orphaned: Only runs that ought to move but whose driver is dead, oldest first.
        limit: At most so many rows.
        before: Only runs created before this run id (for paging, newest first).
    """

    status: tuple[TaskStatus, ...] = field(default=())
    run_id: str = ""
    run_prefix: str = ""
    task_id: str = ""
    due_at: float | None = None
    parked_by: str = ""
    orphaned: bool = False
    limit: int = 100
    before: str = ""


class Journal(Protocol):
    """Where facts rest. Every implementation passes tests/contracts/test_journal.py.

    A journal belongs to no event loop: it may be used from several at once.
    """

    def append(
        self,
        run_id: str,
        facts: Sequence[Fact],
        *,
        claim: Claim | None = None,
        charge: Charge | None = None,
        notes: list[Fact] | None = None,
    ) -> Awaitable[int]:
        """Write facts at the end of a run, all or none. What fails, fails alone: not what others append meanwhile.

        The facts are queued in the order of the calls; the returned awaitable is done when they are safe
        against power loss, and gives the run's newest `seq`. One append is one transaction, together with
        the run's row, and with what these facts move in the ledger (see `stores.ledger`): outcomes settle what was
        held for their steps, and the end of a run charges in full whatever is still held.

        Args:
            run_id: The run. It exists, or the first fact is a `RunAdmitted`.
            facts: What happened, oldest first.
            claim: The driver's claim. Without one only a new run and the facts of
                `records.fact.FROM_OUTSIDE` are accepted. A new run may be claimed in the same stroke:
                give a claim for this journal's own owner, with a fence
                that nobody else would choose.
            charge: What must fit on budgets and under limits, or nothing is written. It is held for the
                step whose `StepStarted` is among the facts; without one it is counted at once.
            notes: Gets what the ledger adds to the run by itself, such as a budget's warning. Those facts are written
                too; `stores.ledger.in_order` tells where.

        Raises:
            OverBudget: a budget of the charge has no room; it may be tried again.
            RateLimited: a limit of the charge has no room; `retry_after` says when it has.
            Conflict: a new run's id is taken.
            StaleFence: the claim is no longer the newest.
            NotFound: there is no such run.
            StoreFailed: a fact would be an illegal move, or the store cannot be written (`store.full`,
                `store.locked`, `store.read_only`). What was acknowledged before stays.
        """
        ...

    async def read(self, run_id: str, *, after: int = 0, limit: int | None = None) -> list[Recorded]:
        """The facts of a run with `seq` greater than `after`, oldest first. An unknown run has none."""
        ...

    async def claim(self, run_id: str) -> Claim:
        """Take the right to drive a run, from nobody or from a dead driver. Await `append` of `RunStarted` next.

        Raises:
            DrivenElsewhere: a live driver holds it (also when that is this journal's own owner).
            NotFound: there is no such run.
        """
        ...

    def release(self, claim: Claim) -> Awaitable[None]:
        """Give the right back. Queued at once, like an append; releasing twice or after a newer claim does nothing."""
        ...

    async def runs(self, query: Query) -> list[RunRow]:
        """Runs by their rows."""
        ...

    async def questions(
        self, *, state: QuestionState | Literal[""] = "pending", prefix: str = "", limit: int = 1000
    ) -> list[QuestionRow]:
        """What people are, or were, asked: what may be done, and what happened to steps in doubt; the oldest first.

        Args:
            state: Only these; empty means all.
            prefix: Only those whose id begins so.
            limit: At most so many.
        """
        ...

    async def accounts(self) -> list[AccountRow]:
        """The accounts of all budgets and counted limits whose window is not over, and those with open holds."""
        ...

    async def spending(self, by: Grouping) -> list[SpendRow]:
        """What all work cost, in groups, the dearest first. What has no agent, user, tenant or label is named ``."""
        ...

    def watch(self, *, after: int | None = None, run_id: str = "", outside: bool = False) -> AsyncIterator[Recorded]:
        """All facts with a position greater than `after`, in order, and then new ones as they are written,
        by this process or another. `after=None` means from now on. Never ends by itself.

        Args:
            after: A position, or None.
            run_id: Only facts of this run.
            outside: Only the facts of `records.fact.FROM_OUTSIDE`, for all runs; looked for every 0.1 s.
        """
        ...

    async def close(self) -> None:
        """Finish what is queued, give back all claims, close. Closing twice does nothing."""
        ...

    @property
    def owner(self) -> str:
        """Who this journal claims runs for: one name per open journal."""
        ...
