"""However often and from wherever the same work is submitted under one id: it is done once, and all get its result."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest

from interlock import Platform, Task, TaskResult


class _Counting:
    """An agent that counts how often it is asked."""

    id = "counting"

    def __init__(self) -> None:
        self.times = 0

    async def process(self, x: str) -> str:
        self.times += 1
        await asyncio.sleep(0.01)
        return "done"


TASK = Task("work", id="job-1", context={"agent": "counting"})


async def _stream(platform: Platform) -> TaskResult:
    async for event in platform.stream(TASK):
        if event.result is not None:
            return event.result
    raise AssertionError("a stream ends with the result")


async def _submit(platform: Platform) -> TaskResult:
    return await (await platform.submit(TASK)).result()


@pytest.mark.parametrize("mix", [["run"], ["submit"], ["stream"], ["run", "submit"], ["submit", "stream"]], ids=str)
async def test_fifty_at_once_are_one_run(tmp_path: Path, mix: list[str]) -> None:
    agent = _Counting()
    async with Platform(home=tmp_path) as platform:
        platform.register_agent("counting", agent)
        ways = {
            "run": lambda: platform.run(TASK),
            "submit": lambda: _submit(platform),
            "stream": lambda: _stream(platform),
        }
        async with asyncio.timeout(60):
            results = await asyncio.gather(*(ways[mix[number % len(mix)]]() for number in range(50)))
    assert {result.status for result in results} == {"completed"}
    assert agent.times == 1


def test_two_event_loops_of_one_platform_do_it_once(tmp_path: Path) -> None:
    agent = _Counting()
    platform = Platform(home=tmp_path)
    platform.register_agent("counting", agent)
    found: list[TaskResult] = []
    threads = [
        threading.Thread(target=lambda: found.append(asyncio.run(platform.run(TASK)))),
        threading.Thread(target=lambda: found.append(platform.run_sync(TASK))),
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    platform.close_sync()
    assert [result.status for result in found] == ["completed", "completed"]
    assert agent.times == 1


def test_a_loop_that_ended_without_a_close_does_not_keep_its_run(tmp_path: Path) -> None:
    class Slow:
        id = "slow"
        seconds = 30.0

        async def work(self, brief: object, bench: object) -> object:
            from interlock.agents.agent import Answer

            async def act(attempt: object) -> str:
                await asyncio.sleep(self.seconds)
                return "done"

            return Answer(output=await bench.step("s", act, what="function"), agent="slow")  # type: ignore[attr-defined]

    slow = Slow()
    platform = Platform(home=tmp_path)
    platform.register_agent("slow", slow)

    async def abandoned() -> None:
        await asyncio.wait_for(platform.run(Task("work", id="job-1", context={"agent": "slow"})), 0.3)

    with pytest.raises(TimeoutError):
        asyncio.run(abandoned())
    slow.seconds = 0.0
    assert asyncio.run(platform.resume("job-1")).output == "done"
    platform.close_sync()
