"""Replies reach their loops in order, a few in each turn, and leave nothing behind."""

from __future__ import annotations

import asyncio
import gc
import os
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import pytest

from interlock.errors import StoreFailed
from interlock.stores.replies import AT_ONCE, Outcome
from interlock.stores.sqlite import SqliteJournal
from interlock.stores.writer import GroupWriter, all_failed
from tests.stores.peer import new_claimed_run, note


@dataclass(slots=True)
class Number:
    """A piece of work that is answered with its number."""

    future: asyncio.Future[int]
    number: int


def committed(group: Sequence[Number]) -> list[Outcome]:
    return [Outcome(work, work.number) for work in group]


def submitted(writer: GroupWriter, numbers: Sequence[int]) -> list[asyncio.Future[int]]:
    loop = asyncio.get_running_loop()
    works = [Number(loop.create_future(), number) for number in numbers]
    for work in works:
        writer.submit(work)
    return [work.future for work in works]


@pytest.fixture(params=["eventfd", "no eventfd", "no more files"])
def system(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Systems that wake a loop in their own ways."""

    def refuses(*_: int) -> int:
        raise OSError(24, "Too many open files")

    if request.param == "no eventfd":
        monkeypatch.delattr(os, "eventfd", raising=False)
    elif request.param == "no more files":
        monkeypatch.setattr(os, "eventfd", refuses, raising=False)
    return str(request.param)


@pytest.mark.usefixtures("system")
async def test_all_who_wait_are_answered_in_order_and_a_few_in_each_turn() -> None:
    held = threading.Event()

    def commit(group: Sequence[Number]) -> list[Outcome]:
        held.wait(10)
        return committed(group)

    writer = GroupWriter(commit)
    answered: list[int] = []
    turns: list[int] = []
    futures = submitted(writer, range(3 * AT_ONCE + 1))
    for future in futures:
        future.add_done_callback(lambda done: answered.append(done.result()))

    def turn() -> None:
        turns.append(len(answered))
        if len(answered) < len(futures):
            asyncio.get_running_loop().call_soon(turn)

    turn()
    held.set()
    assert await asyncio.gather(*futures) == list(range(len(futures)))
    writer.close()
    assert answered == list(range(len(futures)))
    assert max(after - before for before, after in pairwise(turns)) <= AT_ONCE


@pytest.mark.usefixtures("system")
async def test_errors_are_raised_and_who_gave_up_is_passed_over() -> None:
    writer = GroupWriter(lambda group: all_failed(group, StoreFailed("Full.", code="store.full")))
    gone, there = submitted(writer, [1, 2])
    gone.cancel()
    with pytest.raises(StoreFailed, match="Full"):
        await there
    writer.close()


@pytest.mark.usefixtures("system")
def test_one_writer_answers_many_loops_one_after_the_other_and_at_once() -> None:
    writer = GroupWriter(committed)

    async def hundred() -> list[int]:
        return [await future for _ in range(10) for future in submitted(writer, range(10))]

    results: list[list[int]] = []
    threads = [threading.Thread(target=lambda: results.append(asyncio.run(hundred()))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    results += [asyncio.run(hundred()) for _ in range(3)]
    writer.close()
    assert results == [list(range(10)) * 10] * 7


async def test_what_is_queued_when_it_closes_is_written_and_answered_and_nothing_later_is_taken() -> None:
    writer = GroupWriter(committed, most=3)
    futures = submitted(writer, range(100))
    writer.close()
    with pytest.raises(StoreFailed) as closed:
        submitted(writer, [1])
    assert closed.value.code == "store.closed"
    assert await asyncio.gather(*futures) == list(range(100))


def test_a_loop_that_is_closed_under_it_harms_nobody() -> None:
    held = threading.Event()

    def commit(group: Sequence[Number]) -> list[Outcome]:
        held.wait(10)
        return committed(group)

    writer = GroupWriter(commit)

    async def impatient() -> None:
        submitted(writer, [1])

    asyncio.run(impatient())
    held.set()

    async def patient() -> int:
        return await submitted(writer, [2])[0]

    assert asyncio.run(patient()) == 2
    writer.close()


async def test_journals_that_are_closed_leave_no_file_open_in_a_loop_that_lives_on() -> None:
    async def one() -> None:
        journal = SqliteJournal(None)
        claim = await new_claimed_run(journal, "run")
        await journal.append("run", [note("x")], claim=claim)
        await journal.close()
        await asyncio.sleep(0)

    await one()
    before = len(os.listdir("/dev/fd"))
    for _ in range(20):
        await one()
    assert len(os.listdir("/dev/fd")) <= before


def test_loops_that_are_gone_leave_no_file_open() -> None:
    writer = GroupWriter(committed)

    async def one() -> int:
        return await submitted(writer, [1])[0]

    asyncio.run(one())
    gc.collect()
    before = len(os.listdir("/dev/fd"))
    for _ in range(20):
        asyncio.run(one())
    gc.collect()
    assert len(os.listdir("/dev/fd")) <= before
    writer.close()
