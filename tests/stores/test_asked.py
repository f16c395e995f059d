"""The table of questions says the same as the fold of the facts, whatever happens."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given

from interlock.errors import StoreFailed
from interlock.records.charge import Account, Charge
from interlock.records.fact import (
    ApprovalUsed,
    GateAnswered,
    QuestionAnswered,
    QuestionAsked,
    Recorded,
    RunAdmitted,
    RunFinished,
    RunStarted,
    RunWaiting,
    StepStarted,
)
from interlock.records.run import fold
from interlock.stores.asked import Asked
from interlock.stores.encoding import encode
from interlock.stores.journal import Claim
from interlock.stores.sql import migrations, queries
from interlock.stores.sqlite import SqliteJournal
from tests.laws.facts import legal_runs


def table() -> sqlite3.Connection:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    for script in migrations().values():
        connection.executescript(script)
    return connection


@given(legal_runs(most=40))
def test_the_table_and_the_fold_agree(recorded: list[Recorded]) -> None:
    db = table()
    rows = Asked(db, queries())
    first = recorded[0].fact
    assert isinstance(first, RunAdmitted)
    for one in recorded:
        rows.note("run", first.task.get("user"), one.fact, encode(one.fact), one.seq, one.at)
    found = {row[0]: row[1:] for row in db.execute("SELECT question_id, about, state, path, digest FROM questions")}
    db.close()
    run = fold("run", recorded)
    assert found == {name: (one.about, one.state, one.path, one.digest) for name, one in run.questions.items()}


def question(number: int, **more: object) -> QuestionAsked:
    about = {"path": f"tool/{number}", "question_id": f"q_{number:04}", "says": "May it?", "digest": f"d{number}"}
    return QuestionAsked(about="approval", asks={"name": "deploy"}, **{**about, **more})  # type: ignore[arg-type]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "interlock.db"


async def test_open_questions_are_found_without_reading_a_run(path: Path) -> None:
    journal = SqliteJournal(path)
    for run in ("one", "two"):
        claim = Claim(run_id=run, owner=journal.owner, fence=1, seq=0)
        admitted = RunAdmitted(task={"description": "x", "user": "ann"}, task_id=run, flow="task", digest=run)
        await journal.append(run, [admitted, question(1), question(2, quorum=2), question(3)], claim=claim)
    await journal.append("one", [QuestionAnswered(question_id="q_0001", answer="allow", by="ben", digest="d1")])
    await journal.append("one", [QuestionAnswered(question_id="q_0002", answer="allow", by="ben", digest="d2")])
    await journal.append("one", [QuestionAnswered(question_id="q_0003", answer="allow", by="ann", digest="d3")])
    own = [row for row in await journal.questions() if row.run_id == "one"]
    assert [(row.question_id, row.allowed_by, row.user) for row in own] == [
        ("q_0002", ("ben",), "ann"),
        ("q_0003", (), "ann"),
    ]
    assert own[0].asked.asks == {"name": "deploy"}
    states = {
        row.question_id: row.state for row in await journal.questions(state="", prefix="q_") if row.run_id == "one"
    }
    assert states == {"q_0001": "allowed", "q_0002": "pending", "q_0003": "pending"}
    assert len(await journal.questions(limit=2)) == 2
    await journal.close()


async def test_what_is_used_or_no_longer_asked_is_not_open(path: Path) -> None:
    journal = SqliteJournal(path)
    claim = Claim(run_id="run", owner=journal.owner, fence=1, seq=0)
    admitted = RunAdmitted(task={"description": "x"}, task_id="t", flow="task", digest="d")
    await journal.append("run", [admitted, question(1), question(2), question(3)], claim=claim)
    await journal.append("run", [QuestionAnswered(question_id="q_0001", answer="allow", by="ben", digest="d1")])
    used = ApprovalUsed(question_id="q_0001", path="tool/1", attempt=1)
    allowed = GateAnswered(path="tool/2", act="tool", name="deploy", effect="allow")
    other = question(4, path="tool/3")
    await journal.append("run", [used, allowed, other], claim=claim)
    states = {row.question_id: row.state for row in await journal.questions(state="")}
    assert states == {"q_0001": "used", "q_0002": "void", "q_0003": "void", "q_0004": "pending"}
    await journal.close()


async def test_what_another_driver_asked_is_withdrawn_by_whoever_goes_on(path: Path) -> None:
    one = SqliteJournal(path)
    claim = Claim(run_id="run", owner=one.owner, fence=1, seq=0)
    admitted = RunAdmitted(task={"description": "x"}, task_id="t", flow="task", digest="d")
    waits = RunWaiting(reason="person", ref="q_0001")
    begun = RunStarted(driver=one.owner, fence=1)
    await one.append("run", [admitted, begun, question(1), question(2), waits], claim=claim)
    two = SqliteJournal(path)
    claim = await two.claim("run")
    allowed = GateAnswered(path="tool/1", act="tool", name="deploy", effect="allow")
    await two.append("run", [RunStarted(driver=two.owner, fence=claim.fence), allowed], claim=claim)
    assert {row.question_id: row.state for row in await two.questions(state="")} == {
        "q_0001": "void",
        "q_0002": "pending",
    }
    await two.append("run", [question(1), waits], claim=claim)
    claim = await one.claim("run")
    await one.append("run", [RunStarted(driver=one.owner, fence=claim.fence), allowed], claim=claim)
    assert [row.question_id for row in await one.questions()] == ["q_0002"]
    await two.close()
    await one.close()


async def test_what_was_in_doubt_before_there_was_a_place_for_it_is_found_in_an_older_store(path: Path) -> None:
    journal = SqliteJournal(path)
    doubts = [QuestionAsked(path=f"tool/{n}", question_id=f"q_{n:04}", about="in_doubt", says="?") for n in (1, 2)]
    endings = {"waits": RunWaiting(reason="person"), "paused": RunWaiting(reason="paused")}
    for run in ("waits", "paused", "over"):
        claim = Claim(run_id=run, owner=journal.owner, fence=1, seq=0)
        admitted = RunAdmitted(task={"description": "x", "user": "ann"}, task_id=run, flow="task", digest=run)
        await journal.append(run, [admitted, question(3), *doubts], claim=claim)
        await journal.append(run, [QuestionAnswered(question_id="q_0002", answer="skip", by="ben")])
        ending = endings.get(run, RunFinished(status="cancelled"))
        await journal.append(run, [RunStarted(driver=journal.owner, fence=1), ending], claim=claim)
    await journal.close()
    with sqlite3.connect(path) as old:
        old.execute("DELETE FROM questions WHERE about = 'in_doubt'")
        old.execute("ALTER TABLE questions DROP COLUMN about")
        old.execute("DELETE FROM migrations WHERE number = 6")
    old.close()

    journal = SqliteJournal(path)
    found = {(row.run_id, row.question_id): row.asked.about for row in await journal.questions()}
    about = {"q_0001": "in_doubt", "q_0003": "approval"}
    assert found == {(run, name): what for run in ("waits", "paused") for name, what in about.items()}
    await journal.append("waits", [QuestionAnswered(question_id="q_0001", answer="repeat", by="ben")])
    assert [row.question_id for row in await journal.questions() if row.run_id == "waits"] == ["q_0003"]
    await journal.close()


async def asked_in(path: Path, *runs: str) -> SqliteJournal:
    """A store with runs that each wait for a person."""
    journal = SqliteJournal(path)
    for run in runs:
        claim = Claim(run_id=run, owner=journal.owner, fence=1, seq=0)
        admitted = RunAdmitted(task={"description": "x", "user": "ann"}, task_id=run, flow="task", digest=run)
        await journal.append(run, [admitted, question(1)], claim=claim)
    return journal


def damage(path: Path, run: str, body: str) -> None:
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("UPDATE questions SET body = ? WHERE run_id = ?", (body, run))


@pytest.mark.parametrize("body", ['{"x":', "[]", "{}"])
async def test_an_answer_to_a_damaged_question_leaves_nothing_half_written(path: Path, body: str) -> None:
    journal = await asked_in(path, "bad", "good")
    damage(path, "bad", body)
    answer = QuestionAnswered(question_id="q_0001", answer="allow", by="ben", digest="d1")
    for _ in range(2):
        with pytest.raises(StoreFailed) as error:
            await journal.append("bad", [answer])
        assert error.value.code == "store.corrupt"
    held = threading.Event()
    first = asyncio.ensure_future(journal.change(lambda db: held.wait(5)))
    await asyncio.sleep(0.05)  # the next two come in while the writer is busy, and so make one group
    both = [asyncio.ensure_future(journal.append(run, [answer])) for run in ("bad", "good")]
    await asyncio.sleep(0)
    held.set()
    await first
    found = await asyncio.gather(*both, return_exceptions=True)
    assert [type(one) for one in found] == [StoreFailed, int]
    assert [len(await journal.read(run)) for run in ("bad", "good")] == [2, 3]
    await journal.close()


async def test_a_damaged_question_does_not_hide_the_others(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    journal = await asked_in(path, "bad", "good")
    damage(path, "bad", "[]")
    assert [row.run_id for row in await journal.questions()] == ["good"]
    assert "store.corrupt run=bad question=q_0001" in caplog.text
    await journal.close()


async def test_a_change_that_is_refused_in_the_middle_changes_nothing(path: Path) -> None:
    journal = await asked_in(path, "run")

    def change(db: sqlite3.Connection) -> None:
        db.execute("UPDATE questions SET state = 'void'")
        raise StoreFailed("Not this.")

    with pytest.raises(StoreFailed, match="Not this"):
        await journal.change(change)
    assert [row.state for row in await journal.questions(state="")] == ["pending"]
    await journal.close()


async def test_what_a_run_held_is_charged_at_its_end_also_when_its_group_was_written_one_by_one(path: Path) -> None:
    journal = await asked_in(path, "bad")
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("UPDATE questions SET allowed_by = '{'")
    day = Account(key="day", name="day", limit=100, unit="usd")
    claim = Claim(run_id="run", owner=journal.owner, fence=1, seq=0)
    admitted = RunAdmitted(task={"description": "x"}, task_id="run", flow="task", digest="run")
    await journal.append("run", [admitted, RunStarted(driver=journal.owner, fence=1)], claim=claim)
    begun = StepStarted(path="a", what="model", name="a", attempt=1, key="a", repeatable=True, hold_micros=40)
    await journal.append("run", [begun], claim=claim, charge=Charge(micros=40, accounts=(day,)))
    held = threading.Event()
    first = asyncio.ensure_future(journal.change(lambda db: held.wait(5)))
    await asyncio.sleep(0.05)
    answer = QuestionAnswered(question_id="q_0001", answer="allow", by="ben", digest="d1")
    ends = [
        asyncio.ensure_future(journal.append("run", [RunFinished(status="cancelled")], claim=claim)),
        asyncio.ensure_future(journal.append("bad", [answer])),
    ]
    await asyncio.sleep(0)
    held.set()
    await asyncio.gather(first, *ends, return_exceptions=True)
    assert [(row.spent, row.reserved) for row in await journal.accounts()] == [(40, 0)]
    await journal.close()
