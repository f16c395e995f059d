"""The run's row: what each fact changes in it. Pure, the same for every store."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

from interlock.errors import StoreFailed
from interlock.records.fact import (
    Fact,
    ResumeAsked,
    RunAdmitted,
    RunFinished,
    RunRouted,
    RunStarted,
    RunWaiting,
)
from interlock.records.run import status_after
from interlock.records.task import TaskStatus

TITLE = 200


@dataclass(slots=True)
class Row:
    """A run's row as it is stored, column by column, and its newest fact (`seq`, not a column)."""

    run_id: str
    task_id: str
    title: str
    status: str
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
    driver: str
    fence: int
    seq: int

    def values(self) -> tuple[object, ...]:
        """The column values in the order of the table."""
        return tuple(getattr(self, name) for name in COLUMNS)


COLUMNS = tuple(spec.name for spec in fields(Row) if spec.name != "seq")


def new_row(run_id: str, fact: Fact, at: float) -> Row:
    """The row of a new run.

    Raises:
        StoreFailed: the first fact of a run must be `run.admitted`.
    """
    if not isinstance(fact, RunAdmitted):
        raise StoreFailed("A run begins with its admission.", code="store.illegal_move", detail=fact.kind)
    task = fact.task
    return Row(
        run_id=run_id,
        task_id=fact.task_id,
        title=" ".join(str(task.get("description", ""))[:TITLE].split()),
        status=TaskStatus.PENDING.value,
        flow=fact.flow,
        platform="",
        agent="",
        priority=int(task.get("priority", 3)),
        user=task.get("user"),
        tenant=task.get("tenant"),
        parent=fact.parent,
        created_at=at,
        updated_at=at,
        finished_at=None,
        wake_at=None,
        seconds=0.0,
        tokens=0,
        cost_micros=0,
        failure_code="",
        failure_says="",
        guardrail=None,
        parked_by="",
        driver="",
        fence=0,
        seq=0,
    )


#: Facts that may move a run's state or change a column; all others are only counted.
_MOVING = frozenset({RunAdmitted, RunRouted, RunStarted, RunWaiting, RunFinished, ResumeAsked})


def may_move(facts: Sequence[Fact]) -> bool:
    """Whether one of these facts may change a column, or be an illegal move."""
    return not _MOVING.isdisjoint(map(type, facts))


def advance(row: Row, fact: Fact, at: float) -> bool:
    """Change a row by one fact that follows it, and say whether a stored column changed.

    A run that waits or has ended has no driver any more: the claim ends with that fact.

    Raises:
        StoreFailed: the fact would be an illegal move.
    """
    row.seq += 1
    if type(fact) not in _MOVING:
        return False
    before = row.status
    row.status = status_after(TaskStatus(before), fact).value
    match fact:
        case RunRouted():
            row.platform = fact.platform
        case RunStarted():
            row.driver, row.fence, row.wake_at = fact.driver, fact.fence, None
        case RunWaiting():
            row.wake_at, row.parked_by, row.driver = fact.until, row.driver, ""
        case RunFinished():
            _finish(row, fact, at)
        case ResumeAsked() if row.status != before:
            row.finished_at, row.failure_code, row.failure_says = None, "", ""
        case RunAdmitted():
            pass
        case _:
            return row.status != before
    row.updated_at = at
    return True


def _finish(row: Row, fact: RunFinished, at: float) -> None:
    row.finished_at, row.wake_at, row.driver = at, None, ""
    row.agent, row.guardrail = fact.agent, fact.guardrail
    row.seconds, row.tokens, row.cost_micros = fact.seconds, fact.usage.total_tokens, fact.cost_micros
    row.failure_code = fact.failure.code if fact.failure else ""
    row.failure_says = fact.failure.says if fact.failure else ""
