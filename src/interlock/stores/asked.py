"""The table of questions: what each fact changes in it, the same as in the fold."""

from __future__ import annotations

import json
import logging
import sqlite3
from collections.abc import Mapping, Sequence
from typing import Any

from interlock.errors import StoreFailed
from interlock.records.fact import (
    ApprovalUsed,
    Fact,
    GateAnswered,
    QuestionAnswered,
    QuestionAsked,
    RunFinished,
    StepFinished,
    StepStarted,
)
from interlock.records.question import question_of, take_answer
from interlock.stores.encoding import decode
from interlock.stores.journal import QuestionRow

_log = logging.getLogger(__name__)

#: No question shows this.
_NOTHING = "-"


class Asked:
    """Moves questions within the transaction that writes the facts. Called on the writer's thread only.

    Args:
        connection: The writer's.
        queries: The named queries.
    """

    def __init__(self, connection: sqlite3.Connection, queries: Mapping[str, str]) -> None:
        self._db = connection
        self._queries = queries
        #: Runs driven here that may have questions: a gate's answer moves none of the others. Too many do no harm.
        self._asking: set[str] = set()

    def taken_up(self, run_id: str) -> None:
        """A run is claimed here: its last driver may have asked something."""
        if self._db.execute(self._queries["question_of_run"], (run_id,)).fetchone() is not None:
            self._asking.add(run_id)

    def let_go(self, run_id: str) -> None:
        """What a run that nobody drives any more was waiting for has been written; whoever goes on takes it up."""
        self._asking.discard(run_id)

    def note(self, run_id: str, user: str | None, fact: Fact, body: str, seq: int, at: float) -> None:
        """What one fact changes. It must be called for all facts of a run in their order.

        Args:
            run_id: The run.
            user: For whom the run is done.
            fact: The fact.
            body: The fact as it is written.
            seq: Its number in the run.
            at: When it is written.
        """
        match fact:
            case StepStarted() | StepFinished():  # the most frequent, and no question is moved by them
                return
            case QuestionAsked():
                self._asking.add(run_id)
                if fact.about == "approval":
                    self._withdraw(run_id, fact.path, but=fact.digest)
                values = (run_id, fact.question_id, fact.about, fact.path, fact.digest, user, at, fact.expires_at, body)
                self._db.execute(self._queries["question_asked"], values)
            case QuestionAnswered():
                self._answer(run_id, fact, seq, at)
            case ApprovalUsed():
                self._db.execute(self._queries["question_used"], (run_id, fact.question_id))
                self._withdraw(run_id, fact.path, also="pending")
            case GateAnswered():
                if fact.effect != "approval" and run_id in self._asking:
                    self._withdraw(run_id, fact.path)
            case RunFinished():
                self._withdraw(run_id, None)
                if fact.status != "failed":  # what a failed run left in doubt still is when it goes on
                    self._withdraw(run_id, None, also="pending", about="in_doubt")
            case _:
                return

    def _withdraw(
        self, run_id: str, path: str | None, *, also: str = "allowed", but: str = _NOTHING, about: str = "approval"
    ) -> None:
        self._db.execute(self._queries["questions_withdrawn"], (run_id, about, also, path, path, but))

    def _answer(self, run_id: str, fact: QuestionAnswered, seq: int, at: float) -> None:
        row = self._db.execute(self._queries["question_row"], (run_id, fact.question_id)).fetchone()
        if row is None or row[0] != "pending":
            return
        _, user, allowed_by, asked_at, body = row
        asked = decode(QuestionAsked.kind, body)
        assert isinstance(asked, QuestionAsked)
        question = question_of(asked, asked_at)
        question.allowed_by = json.loads(allowed_by)
        requesters = (user, asked.asks.get("user"), asked.asks.get("agent"))
        take_answer(question, fact, at=at, seq=seq, requesters=requesters)
        moved = (question.state, json.dumps(question.allowed_by, ensure_ascii=False), run_id, fact.question_id)
        self._db.execute(self._queries["question_moved"], moved)


def question_rows(rows: Sequence[Sequence[Any]]) -> list[QuestionRow]:
    """Rows of the table. One that is damaged is logged and left out: it must not hide what else waits for an answer."""
    found = []
    for row in rows:
        try:
            found.append(_question_row(row))
        except (StoreFailed, ValueError, TypeError) as error:
            _log.warning("store.corrupt run=%s question=%s error=%r", row[0], row[1], error)
    return found


def _question_row(row: Sequence[Any]) -> QuestionRow:
    run_id, question_id, path, state, user, allowed_by, asked_at, expires_at, body = row
    asked = decode(QuestionAsked.kind, body)
    assert isinstance(asked, QuestionAsked)
    return QuestionRow(
        run_id=run_id,
        question_id=question_id,
        path=path,
        state=state,
        user=user,
        allowed_by=tuple(json.loads(allowed_by)),
        asked_at=asked_at,
        expires_at=expires_at,
        asked=asked,
    )
