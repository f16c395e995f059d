"""What every journal has to keep, whatever it is stored in. A new implementation joins by an entry in `PLACES`."""

from __future__ import annotations

import asyncio
import itertools
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from interlock.errors import Conflict, DrivenElsewhere, NotFound, StaleFence, StoreFailed
from interlock.records.fact import (
    CancelAsked,
    Failure,
    Noted,
    PauseAsked,
    QuestionAnswered,
    Recorded,
    ResumeAsked,
    RunAdmitted,
    RunFinished,
    RunRouted,
    RunStarted,
    RunWaiting,
)
from interlock.records.money import Usage
from interlock.records.task import TaskStatus
from interlock.stores.journal import Claim, Journal, Query
from interlock.stores.sqlite import SqliteJournal
from tests.stores.processes import peer, started


class Clock:
    """A time that moves only when told."""

    def __init__(self) -> None:
        self.at = 1_000.0

    def __call__(self) -> float:
        return self.at


class Place:
    """Somewhere journals are opened: each `open` is a journal of its own over the same facts."""

    def __init__(self, open_one: Callable[[Clock], Journal]) -> None:
        self.clock = Clock()
        self._open_one = open_one
        self._opened: list[Journal] = []

    def open(self) -> Journal:
        journal = self._open_one(self.clock)
        self._opened.append(journal)
        return journal

    async def close(self) -> None:
        for journal in self._opened:
            await journal.close()


#: By name: how a journal is opened, given a folder.
PLACES: dict[str, Callable[[Path, Clock], Journal]] = {
    "sqlite-file": lambda folder, clock: SqliteJournal(folder / "interlock.db", now=clock),
    "sqlite-memory": lambda folder, clock: SqliteJournal(None, now=clock),
}
#: Those that several journals, and several processes, may share.
SHARED = ("sqlite-file",)


@pytest.fixture(params=PLACES)
async def place(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Place]:
    found = Place(lambda clock: PLACES[request.param](tmp_path, clock))
    yield found
    await found.close()


@pytest.fixture
def journal(place: Place) -> Journal:
    return place.open()


@pytest.fixture(params=SHARED)
async def shared(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Place]:
    found = Place(lambda clock: PLACES[request.param](tmp_path, clock))
    yield found
    await found.close()


def admitted(task_id: str = "task", *, priority: int = 3, **more: Any) -> RunAdmitted:
    task = {"description": "count  the\nsheep", "priority": priority, **more}
    return RunAdmitted(task=task, task_id=task_id, flow="task", digest="d")


def note(says: str = "hello") -> Noted:
    return Noted(level="info", code="test.note", says=says)


async def start(journal: Journal, run_id: str, *, priority: int = 3, task_id: str = "task") -> Claim:
    """A new run, claimed and started in the same stroke."""
    claim = Claim(run_id=run_id, owner=journal.owner, fence=1, seq=2)
    facts = [admitted(task_id, priority=priority), RunStarted(driver=journal.owner, fence=1)]
    await journal.append(run_id, facts, claim=claim)
    return claim


async def take(journal: Journal, run_id: str) -> Claim:
    claim = await journal.claim(run_id)
    await journal.append(run_id, [RunStarted(driver=claim.owner, fence=claim.fence)], claim=claim)
    return claim


async def ids(journal: Journal, **query: Any) -> list[str]:
    return [row.run_id for row in await journal.runs(Query(**query))]


async def row_of(journal: Journal, run_id: str) -> Any:
    (row,) = await journal.runs(Query(run_id=run_id))
    return row


class TestAppending:
    async def test_facts_are_read_back_as_they_were_written(self, place: Place, journal: Journal) -> None:
        facts = [admitted(), RunRouted(platform="claude", candidates=["claude"], reasons=["because"])]
        assert await journal.append("run", facts) == 2
        place.clock.at = 2_000.5
        assert await journal.append("run", [CancelAsked(by="ann", reason="ünïcode \x00 \U0001f600")]) == 3
        found = await journal.read("run")
        assert [record.fact for record in found] == [*facts, CancelAsked(by="ann", reason="ünïcode \x00 \U0001f600")]
        assert [(r.seq, r.run_id, r.at) for r in found] == [
            (1, "run", 1_000.0),
            (2, "run", 1_000.0),
            (3, "run", 2_000.5),
        ]
        positions = [record.position for record in found]
        assert positions == sorted(set(positions))

    async def test_reading_goes_on_after_a_seq_and_stops_at_a_limit(self, journal: Journal) -> None:
        claim = await start(journal, "run")
        await journal.append("run", [note(str(n)) for n in range(8)], claim=claim)
        assert [r.seq for r in await journal.read("run", after=7)] == [8, 9, 10]
        assert [r.seq for r in await journal.read("run", after=2, limit=3)] == [3, 4, 5]
        assert await journal.read("run", after=10) == []
        assert await journal.read("nobody") == []

    async def test_appends_stand_in_the_order_of_the_calls(self, journal: Journal) -> None:
        claim = await start(journal, "run")
        pending = [journal.append("run", [note(str(n))], claim=claim) for n in range(300)]
        assert [await one for one in pending] == list(range(3, 303))
        says = [r.fact.says for r in await journal.read("run", after=2) if isinstance(r.fact, Noted)]
        assert says == [str(n) for n in range(300)]

    async def test_all_facts_of_an_append_are_written_or_none(self, journal: Journal) -> None:
        claim = await start(journal, "run")
        done = RunFinished(status="completed")
        with pytest.raises(StoreFailed) as refused:
            await journal.append("run", [note("before"), done, RunWaiting(reason="timer")], claim=claim)
        assert refused.value.code == "store.illegal_move"
        assert len(await journal.read("run")) == 2
        assert await journal.append("run", [note("after")], claim=claim) == 3
        assert (await row_of(journal, "run")).status is TaskStatus.RUNNING

    async def test_one_that_fails_does_not_disturb_the_others_of_its_group(self, journal: Journal) -> None:
        claim = await start(journal, "run")
        too_many = RunFinished(status="completed", usage=Usage(input_tokens=10**30))
        other = await start(journal, "other")
        pending = [
            journal.append("run", [note("one")], claim=claim),
            journal.append("nobody", [note("no such run")]),
            journal.append("nobody", []),
            journal.append("other", [too_many], claim=other),
            journal.append("half \ud800", [admitted()]),
            journal.append("run", [admitted()]),
            journal.append("run", [note("two")], claim=claim),
        ]
        told = await asyncio.gather(*pending, return_exceptions=True)
        assert [told[0], told[6]] == [3, 4]
        assert [type(one) for one in told[1:6]] == [NotFound, NotFound, StoreFailed, StoreFailed, Conflict]
        assert len(await journal.read("run")) == 4
        assert len(await journal.read("other")) == 2

    async def test_an_id_that_is_taken_is_a_conflict(self, journal: Journal) -> None:
        await journal.append("run", [admitted("first")])
        with pytest.raises(Conflict) as taken:
            await journal.append("run", [admitted("second")])
        assert taken.value.code == "run.id_taken"
        assert (await row_of(journal, "run")).task_id == "first"

    async def test_of_two_that_take_an_id_at_once_one_gets_it(self, journal: Journal) -> None:
        both = [journal.append("run", [admitted("a")]), journal.append("run", [admitted("b")])]
        told = await asyncio.gather(*both, return_exceptions=True)
        assert [type(one) for one in told] == [int, Conflict]

    @pytest.mark.parametrize("facts", [[], [note()], [CancelAsked(by="ann")]])
    async def test_there_is_no_run_before_its_admission(self, journal: Journal, facts: list[Any]) -> None:
        with pytest.raises(NotFound):
            await journal.append("nobody", facts)
        assert await journal.runs(Query()) == []

    async def test_what_json_cannot_carry_is_refused_without_harm(self, journal: Journal) -> None:
        claim = await start(journal, "run")
        endless: list[Any] = []
        endless.append(endless)
        for wrong in (object(), {"a": {1: object()}}, "half a character \ud800", {(1, 2): 3}, endless):
            with pytest.raises(StoreFailed) as refused:
                await journal.append("run", [RunFinished(status="completed", output=wrong)], claim=claim)
            assert refused.value.code == "store.not_json"
        assert await journal.append("run", [note()], claim=claim) == 3

    async def test_it_serves_several_event_loops_at_once(self, journal: Journal) -> None:
        claim = await start(journal, "run")
        seqs: list[int] = []

        async def many() -> None:
            for number in range(50):
                seqs.append(await journal.append("run", [note(str(number))], claim=claim))

        others = [threading.Thread(target=lambda: asyncio.run(many())) for _ in range(2)]
        for thread in others:
            thread.start()
        await many()
        for thread in others:
            await asyncio.to_thread(thread.join)
        assert sorted(seqs) == list(range(3, 153))

    async def test_a_loop_that_went_away_stops_nobody(self, journal: Journal) -> None:
        claim = await start(journal, "run")

        async def asked_and_gone() -> None:
            for number in range(200):
                journal.append("run", [note(str(number))], claim=claim)

        thread = threading.Thread(target=lambda: asyncio.run(asked_and_gone()))
        thread.start()
        await asyncio.to_thread(thread.join)
        assert await journal.append("run", [note("still here")], claim=claim) == 203


class TestClaims:
    async def test_strangers_may_not_write_to_a_run(self, journal: Journal) -> None:
        await start(journal, "run")
        for fact in (note(), RunFinished(status="completed"), RunStarted(driver="me", fence=9)):
            with pytest.raises(StaleFence):
                await journal.append("run", [fact])
        with pytest.raises(StaleFence):
            await journal.append("run", [CancelAsked(by="ann"), note()])
        assert len(await journal.read("run")) == 2

    async def test_what_comes_from_outside_needs_no_claim(self, journal: Journal) -> None:
        await start(journal, "run")
        answer = QuestionAnswered(question_id="q", answer="allow", by="ann")
        for fact in (CancelAsked(by="a"), PauseAsked(by="b"), ResumeAsked(by="c"), answer):
            await journal.append("run", [fact])
        assert len(await journal.read("run")) == 6

    async def test_a_run_that_is_driven_cannot_be_claimed(self, journal: Journal) -> None:
        await start(journal, "run")
        with pytest.raises(DrivenElsewhere):
            await journal.claim("run")
        with pytest.raises(NotFound):
            await journal.claim("nobody")

    async def test_each_claim_has_a_larger_fence_and_knows_the_newest_fact(self, journal: Journal) -> None:
        await journal.append("run", [admitted()])
        first = await take(journal, "run")
        assert (first.fence, first.seq, first.owner) == (1, 1, journal.owner)
        await journal.release(first)
        assert (await journal.claim("run")).fence == 2

    async def test_an_old_claim_writes_nothing_and_releases_nothing(self, journal: Journal) -> None:
        old = await start(journal, "run")
        await journal.release(old)
        new = await take(journal, "run")
        with pytest.raises(StaleFence):
            await journal.append("run", [note("from the grave")], claim=old)
        await journal.release(old)
        with pytest.raises(DrivenElsewhere):
            await journal.claim("run")
        assert await journal.append("run", [note("alive")], claim=new) == 4

    @pytest.mark.parametrize("last", [RunWaiting(reason="person"), RunFinished(status="failed")])
    async def test_a_claim_ends_with_the_last_fact_of_a_drive(self, journal: Journal, last: Any) -> None:
        claim = await start(journal, "run")
        await journal.append("run", [last], claim=claim)
        with pytest.raises(StaleFence):
            await journal.append("run", [note("too late")], claim=claim)
        assert (await row_of(journal, "run")).driver == ""
        assert (await journal.claim("run")).fence == 2

    async def test_releasing_twice_does_nothing(self, journal: Journal) -> None:
        claim = await start(journal, "run")
        await journal.release(claim)
        await journal.release(claim)
        assert not (await row_of(journal, "run")).driven

    async def test_of_many_that_claim_at_once_one_gets_it(self, shared: Place) -> None:
        journals = [shared.open() for _ in range(4)]
        await journals[0].append("run", [admitted()])
        told = await asyncio.gather(*(one.claim("run") for one in journals), return_exceptions=True)
        assert sorted(type(one).__name__ for one in told) == ["Claim"] + ["DrivenElsewhere"] * 3

    async def test_the_claims_of_a_closed_journal_are_free(self, shared: Place) -> None:
        one, two = shared.open(), shared.open()
        await start(one, "run")
        await start(one, "other")
        with pytest.raises(DrivenElsewhere) as driven:
            await two.claim("run")
        assert driven.value.retryable
        await one.close()
        assert (await two.claim("run")).fence == 2
        assert [row.driver for row in await two.runs(Query(run_id="other"))] == [""]

    async def test_a_journal_that_lost_its_run_learns_so_at_its_next_append(self, shared: Place) -> None:
        one, two = shared.open(), shared.open()
        old = await start(one, "run")
        await one.append("run", [note()], claim=old)  # so that it remembers the run
        await two.release(old)
        new = await take(two, "run")
        with pytest.raises(StaleFence):
            await one.append("run", [note("from the grave")], claim=old)
        assert await two.append("run", [note("alive")], claim=new) == 5


class TestMoves:
    @pytest.mark.parametrize("status", ["completed", "blocked", "cancelled"])
    async def test_what_is_over_stays_over(self, journal: Journal, status: Any) -> None:
        claim = await start(journal, "run")
        await journal.append("run", [RunFinished(status=status)], claim=claim)
        again = await journal.claim("run")
        for fact in (RunStarted(driver=again.owner, fence=2), RunWaiting(reason="timer"), RunFinished(status="failed")):
            with pytest.raises(StoreFailed) as refused:
                await journal.append("run", [fact], claim=again)
            assert refused.value.code == "store.illegal_move"
        await journal.append("run", [ResumeAsked(by="ann", retry=True)])
        assert (await row_of(journal, "run")).status.value == status

    async def test_a_failed_run_may_be_taken_up_again_when_someone_asks(self, journal: Journal) -> None:
        claim = await start(journal, "run")
        failure = Failure(code="agent.failed", says="It broke.")
        await journal.append("run", [RunFinished(status="failed", failure=failure)], claim=claim)
        assert (await row_of(journal, "run")).failure_says == "It broke."
        await journal.append("run", [ResumeAsked(by="ann", retry=True)])
        row = await row_of(journal, "run")
        assert (row.status, row.failure_says, row.finished_at) == (TaskStatus.PENDING, "", None)
        await take(journal, "run")
        assert (await row_of(journal, "run")).status is TaskStatus.RUNNING

    async def test_a_run_begins_with_its_admission(self, journal: Journal) -> None:
        with pytest.raises(NotFound):
            await journal.append("run", [RunStarted(driver=journal.owner, fence=1)])


class TestRows:
    async def test_a_row_tells_what_the_facts_told(self, place: Place, journal: Journal) -> None:
        claim = Claim(run_id="run", owner=journal.owner, fence=1, seq=1)
        await journal.append("run", [admitted("t-1", priority=2, user="ann", tenant="acme")], claim=claim)
        place.clock.at = 1_010.0
        routed = RunRouted(platform="claude", candidates=["claude"], reasons=[])
        await journal.append("run", [routed, RunStarted(driver=claim.owner, fence=1)], claim=claim)
        row = await row_of(journal, "run")
        assert (row.task_id, row.title, row.priority, row.user, row.tenant) == (
            "t-1",
            "count the sheep",
            2,
            "ann",
            "acme",
        )
        assert (row.status, row.platform, row.flow, row.driver, row.driven) == (
            TaskStatus.RUNNING,
            "claude",
            "task",
            journal.owner,
            True,
        )
        place.clock.at = 1_020.0
        ended = RunFinished(
            status="failed",
            agent="claude",
            failure=Failure(code="agent.timeout", says="Too slow."),
            usage=Usage(input_tokens=10, output_tokens=5, requests=1),
            cost_micros=None,
            seconds=7.5,
        )
        await journal.append("run", [ended], claim=claim)
        row = await row_of(journal, "run")
        assert (row.status, row.failure_code, row.failure_says) == (TaskStatus.FAILED, "agent.timeout", "Too slow.")
        assert (row.tokens, row.cost_micros, row.seconds, row.agent) == (15, None, 7.5, "claude")
        assert (row.created_at, row.finished_at, row.driver, row.driven, row.seq) == (1_000.0, 1_020.0, "", False, 4)

    async def test_lists_are_newest_first_and_go_on_before_a_run(self, place: Place, journal: Journal) -> None:
        for number in range(5):
            place.clock.at = 1_000.0 + number // 2  # two of each age: the id decides between them
            await journal.append(f"run-{number}", [admitted()])
        assert await ids(journal) == ["run-4", "run-3", "run-2", "run-1", "run-0"]
        assert await ids(journal, limit=2) == ["run-4", "run-3"]
        assert await ids(journal, limit=2, before="run-3") == ["run-2", "run-1"]
        assert await ids(journal, before="run-0") == []

    async def test_lists_are_filtered(self, journal: Journal) -> None:
        for run_id in ("job", "job-1", "job-2", "other_1", "otherX1"):
            await journal.append(run_id, [admitted(f"task of {run_id}")])
        claim = await take(journal, "job-1")
        await journal.append("job-1", [RunFinished(status="completed")], claim=claim)
        assert await ids(journal, status=(TaskStatus.COMPLETED,)) == ["job-1"]
        assert set(await ids(journal, status=(TaskStatus.PENDING, TaskStatus.COMPLETED))) == set(await ids(journal))
        assert set(await ids(journal, run_prefix="job")) == {"job", "job-1", "job-2"}
        assert await ids(journal, run_prefix="other_") == ["other_1"]
        assert await ids(journal, run_id="job") == ["job"]
        assert await ids(journal, task_id="task of job-2") == ["job-2"]
        assert await ids(journal, task_id="task of job-2", status=(TaskStatus.FAILED,)) == []

    async def test_due_timers_are_found_longest_overdue_first(self, journal: Journal) -> None:
        timers = {"urgent": (1, 90.0), "early": (5, 50.0), "late": (1, 300.0), "person": (1, None)}
        for run_id, (priority, until) in timers.items():
            claim = await start(journal, run_id, priority=priority)
            reason = "timer" if until is not None else "person"
            await journal.append(run_id, [RunWaiting(reason=reason, until=until)], claim=claim)
        assert await ids(journal, due_at=100.0) == ["early", "urgent"]
        assert await ids(journal, due_at=float("inf")) == ["early", "urgent", "late"]
        assert await ids(journal, due_at=100.0, limit=1) == ["early"]
        await take(journal, "early")
        assert await ids(journal, due_at=100.0) == ["urgent"]

    async def test_who_parked_a_run_is_known(self, shared: Place) -> None:
        one, two = shared.open(), shared.open()
        for journal, run_id in ((one, "mine"), (two, "theirs")):
            claim = await start(journal, run_id)
            await journal.append(run_id, [RunWaiting(reason="timer", until=5.0)], claim=claim)
        assert await ids(one, due_at=9.0, parked_by=one.owner) == ["mine"]
        assert set(await ids(one, due_at=9.0)) == {"mine", "theirs"}

    async def test_orphans_are_runs_that_ought_to_move_but_have_no_living_driver(self, shared: Place) -> None:
        alive, dead = shared.open(), shared.open()
        await start(alive, "driven")
        await start(dead, "orphan", priority=4)
        await start(dead, "urgent", priority=1)
        claim = await start(dead, "asleep")
        await dead.append("asleep", [RunWaiting(reason="timer", until=5.0)], claim=claim)
        await dead.append("pending", [admitted()])
        assert await ids(alive, orphaned=True) == ["pending"]
        await dead.close()
        assert await ids(alive, orphaned=True) == ["urgent", "pending", "orphan"]
        assert await ids(alive, orphaned=True, limit=1) == ["urgent"]


async def collect(journal: Journal, count: int, **where: Any) -> list[Recorded]:
    watching = journal.watch(**where)
    try:
        async with asyncio.timeout(10):
            return [record async for record, _ in _numbered(watching, count)]
    finally:
        await watching.aclose()  # type: ignore[attr-defined]


async def _numbered(watching: AsyncIterator[Recorded], count: int) -> AsyncIterator[tuple[Recorded, int]]:
    for number in itertools.count(1):
        yield await anext(watching), number
        if number == count:
            return


class TestWatching:
    async def test_everything_after_a_position_comes_in_order_and_then_what_is_new(self, journal: Journal) -> None:
        claim = await start(journal, "run")
        await start(journal, "other")
        before = await collect(journal, 4, after=0)
        assert [record.run_id for record in before] == ["run", "run", "other", "other"]
        watching = asyncio.ensure_future(collect(journal, 2, after=before[-1].position))
        await journal.append("run", [note("new")], claim=claim)
        await journal.append("other", [CancelAsked(by="ann")])
        assert [record.fact for record in await watching] == [note("new"), CancelAsked(by="ann")]

    async def test_many_pages_come_without_gaps(self, journal: Journal) -> None:
        claim = await start(journal, "run")
        await journal.append("run", [note(str(n)) for n in range(2_500)], claim=claim)
        assert [record.seq for record in await collect(journal, 2_502, after=0, run_id="run")] == list(range(1, 2_503))

    async def test_from_now_on_tells_nothing_old(self, journal: Journal) -> None:
        claim = await start(journal, "run")
        watching = journal.watch(run_id="run")
        first = asyncio.ensure_future(anext(watching))
        while not first.done():
            await journal.append("run", [note("new")], claim=claim)
            await asyncio.sleep(0.01)
        assert (await first).fact == note("new")
        await watching.aclose()  # type: ignore[attr-defined]

    async def test_one_run_may_be_watched_alone(self, journal: Journal) -> None:
        claim = await start(journal, "run")
        await start(journal, "other")
        await journal.append("run", [note()], claim=claim)
        assert [r.seq for r in await collect(journal, 3, after=0, run_id="run")] == [1, 2, 3]

    async def test_what_comes_from_outside_may_be_watched_alone(self, journal: Journal) -> None:
        claim = await start(journal, "run")
        await journal.append("run", [note()], claim=claim)
        wishes = [CancelAsked(by="a"), PauseAsked(by="b"), ResumeAsked(by="c")]
        wishes.append(QuestionAnswered(question_id="q", answer="skip", by="d"))
        for wish in wishes:
            await journal.append("run", [wish])
            await journal.append("run", [note()], claim=claim)
        assert [record.fact for record in await collect(journal, 4, after=0, outside=True)] == wishes

    async def test_a_watcher_is_told_when_the_journal_is_closed(self, journal: Journal) -> None:
        watching = asyncio.ensure_future(collect(journal, 1, after=0))
        await asyncio.sleep(0)
        await journal.close()
        with pytest.raises(StoreFailed) as closed:
            await watching
        assert closed.value.code == "store.closed"

    async def test_what_another_journal_writes_is_seen(self, shared: Place) -> None:
        one, two = shared.open(), shared.open()
        claim = await start(one, "run")
        watching = asyncio.ensure_future(collect(two, 2, after=0, run_id="run"))
        outside = asyncio.ensure_future(collect(two, 1, after=0, outside=True))
        await watching
        await one.append("run", [CancelAsked(by="ann")], claim=claim)
        assert [record.fact for record in await outside] == [CancelAsked(by="ann")]


class TestClosing:
    async def test_what_is_queued_is_written_before_it_closes(self, shared: Place) -> None:
        one = shared.open()
        claim = await start(one, "run")
        pending = [one.append("run", [note(str(n))], claim=claim) for n in range(500)]
        await one.close()
        assert [await written for written in pending] == list(range(3, 503))
        assert len(await shared.open().read("run")) == 502

    async def test_a_closed_journal_says_so_and_may_be_closed_again(self, journal: Journal) -> None:
        claim = await start(journal, "run")
        await journal.close()
        await journal.close()
        for call in (
            lambda: journal.append("run", [note()], claim=claim),
            lambda: journal.read("run"),
            lambda: journal.runs(Query()),
            lambda: journal.claim("run"),
            lambda: journal.release(claim),
        ):
            with pytest.raises(StoreFailed) as closed:
                await call()
            assert closed.value.code == "store.closed"

    async def test_whoever_appends_while_it_closes_is_answered(self, place: Place) -> None:
        journal = place.open()
        claim = await start(journal, "run")
        told: list[Any] = []

        async def hammer() -> None:
            for number in range(10_000):
                try:
                    told.append(await journal.append("run", [note(str(number))], claim=claim))
                except StoreFailed as error:
                    told.append(error.code)
                    return

        def elsewhere() -> None:
            asyncio.run(asyncio.wait_for(hammer(), 10))

        threads = [threading.Thread(target=elsewhere) for _ in range(3)]
        for thread in threads:
            thread.start()
        await asyncio.sleep(0.02)
        await journal.close()
        for thread in threads:
            await asyncio.to_thread(thread.join)
        refused = [code for code in told if isinstance(code, str)]
        assert len(refused) == 3
        assert set(refused) <= {"store.closed", "store.fenced"}


class TestTwoProcesses:
    """These speak of the file: the only place that processes share so far."""

    async def test_a_run_driven_by_another_process_is_refused_until_it_dies(self, tmp_path: Path) -> None:
        path = tmp_path / "interlock.db"
        mine = SqliteJournal(path)
        await mine.append("run", [admitted()])
        with started("tests.stores.peer", str(path), "hold", "run") as other:
            assert other.stdout is not None
            assert await asyncio.to_thread(other.stdout.readline) == "claimed 1\n"
            with pytest.raises(DrivenElsewhere) as driven:
                await mine.claim("run")
            assert str(other.pid) in driven.value.says
            assert (await row_of(mine, "run")).driven
            other.kill()
            other.wait()
            assert not (await row_of(mine, "run")).driven
            assert await ids(mine, orphaned=True) == ["run"]
            assert (await mine.claim("run")).fence == 2
        await mine.close()

    async def test_each_sees_what_the_other_wrote(self, tmp_path: Path) -> None:
        path = tmp_path / "interlock.db"
        mine = SqliteJournal(path)
        claim = await start(mine, "run")
        watching = asyncio.ensure_future(collect(mine, 3, after=0, outside=True))
        assert await asyncio.to_thread(peer, path, "outside", "run", "3") == "3\n4\n5"
        assert [record.seq for record in await watching] == [3, 4, 5]
        assert await mine.append("run", [note()], claim=claim) == 6
        assert await asyncio.to_thread(peer, path, "append", "run") == "error run.id_taken"
        assert await asyncio.to_thread(peer, path, "claim", "run") == "error run.driven_elsewhere"
        await mine.close()
