"""The process that dies: `python -m tests.crash.child engine|hybrid FOLDER` begins the run, or goes on with it."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from interlock.agents.agent import Attempt, Done
from interlock.engine.bench import RunBench
from interlock.engine.drive import Outcome
from interlock.engine.engine import Engine, EngineSettings
from interlock.engine.retry import RetryPolicy
from interlock.errors import RateLimitError
from interlock.records.fact import QuestionAnswered, RunAdmitted
from interlock.records.money import Usage
from interlock.records.run import Run
from interlock.records.verdict import ALLOWED, Act, Effect, Verdict
from interlock.tools.tool import Caller
from tests.crash.killing import POINT, KillingJournal, Log

RUN = "run-that-dies"


class AskingGate:
    """Allows everything, but a deploy needs a yes."""

    async def admit(self, act: Act) -> Verdict:
        if act.kind == "tool" and act.name == "deploy":
            return Verdict(effect=Effect.APPROVAL, rule="deploys", reason="Deploys need a yes.")
        return ALLOWED


class Work:
    """A run with everything in it: model requests, tools that may and may not be repeated, a failure, a nap,
    a question, scopes in scopes, and two steps at once."""

    def __init__(self, log: Log) -> None:
        self._log = log

    async def flow(self, bench: RunBench, run: Run) -> Outcome:
        planning, execution = bench.scope("planning"), bench.scope("execution")
        plan = await self._model(planning, 1)
        found = await self._tool(planning, "look", {"at": plan}, repeatable=True)
        await bench.sleep("nap", 0.01)
        spent = []
        for turn in (1, 2):
            inner = execution.scope(f"part-{turn}")
            spent.append(await self._model(inner, turn))
            spent.append(await self._tool(inner, "write", {"turn": turn, "found": found}, repeatable=False))
        flaky = await execution.step("flaky", self._fails_first, what="function")
        deployed = await self._tool(execution, "deploy", {"what": spent}, repeatable=False)
        async with asyncio.TaskGroup() as group:
            both = [group.create_task(self._model(bench.scope(name), 9)) for name in ("left", "right")]
        outputs = {"plan": plan, "spent": spent, "flaky": flaky, "deployed": deployed}
        return Outcome(output={**outputs, "both": [task.result() for task in both]}, agent="tester")

    async def _model(self, bench: RunBench, turn: int) -> Any:
        async def act(attempt: Attempt) -> Done:
            self._log.did(attempt)
            await asyncio.sleep(0)
            used = Usage(input_tokens=turn, output_tokens=1, requests=1)
            return Done(output={"says": f"answer of {attempt.path}"}, usage=used, cost_micros=turn)

        judge = Act(kind="model", name="simulated")
        return await bench.step(f"model/{turn}", act, what="model", label="simulated", judge=judge)

    async def _tool(self, bench: RunBench, name: str, arguments: dict[str, Any], *, repeatable: bool) -> Any:
        async def act(attempt: Attempt) -> list[Any]:
            self._log.did(attempt)
            return [attempt.path, arguments]

        judge = Act(kind="tool", name=name, arguments=arguments)
        return await bench.step(f"tool/{name}", act, what="tool", label=name, repeatable=repeatable, judge=judge)

    async def _fails_first(self, attempt: Attempt) -> str:
        self._log.did(attempt)
        if attempt.number == 1:
            raise RateLimitError("busy")
        return "after all"


async def engine(folder: Path, log: Log, journal: KillingJournal) -> dict[str, Any]:
    """The run on the bare engine; a person answers every question with yes, and repeats what is in doubt."""
    settings = EngineSettings(retry=RetryPolicy(base=0.001, cap=0.002))
    engine = Engine(journal, AskingGate(), {"task": Work(log).flow}, settings=settings)
    if await journal.read(RUN):
        await engine.resume(RUN, by="the next process")
    else:
        task = {"description": "die and go on", "priority": 3}
        await engine.submit(RUN, [RunAdmitted(task=task, task_id="t", flow="task", digest="d")])
    while (end := await engine.wait(RUN)).finished is None:
        assert end.waiting is not None, end
        for question in (await engine.load(RUN)).open_questions():
            in_doubt = question.about == "in_doubt"
            log.write("asked", path=question.path, about=question.about)
            answer = QuestionAnswered(
                question_id=question.question_id,
                answer="repeat" if in_doubt else "allow",
                by="a person",
                digest=question.digest,
            )
            await journal.append(RUN, [answer])
        await engine.resume(RUN, by="a person")
    await engine.close()
    await journal.close()
    return {"status": end.finished.status, "output": end.finished.output, "cost": end.finished.cost_micros}


async def hybrid(folder: Path, log: Log, journal: KillingJournal) -> dict[str, Any]:
    """A hybrid run of a real platform, whose models are a simulated provider in the parent process."""
    from interlock import Platform, Task, tool

    @tool(repeatable=True)
    def measure(place: str, caller: Caller) -> str:
        """Measure a place."""
        log.write("did", path=caller.path, key=caller.key)
        return f"{place} is 40 % full"

    @tool
    def clean(place: str, caller: Caller) -> str:
        """Clean a place; doing it twice is not harmless."""
        log.write("did", path=caller.path, key=caller.key)
        return f"{place} is clean"

    platform = Platform(home=folder, retry={"base": 0.001, "cap": 0.002})
    platform._journal = journal
    platform.register_tool(measure)
    platform.register_tool(clean)
    if await journal.read(RUN):
        result = await platform.resume(RUN)
    else:
        task = Task("Clean the disks", requires_system_access=True, requires_multi_step=True)
        result = await platform.run(task, run_id=RUN)
    while result.status == "awaiting_approval":
        for question in (await platform.show(RUN)).open_questions():
            log.write("asked", path=question.path, about=question.about)
        result = await platform.resume(RUN, in_doubt="repeat", by="a person")
    await platform.close()
    return {
        "status": result.status,
        "output": result.output,
        "stages": {name: stage["output"] for name, stage in result.stages.items()},
        "error": result.error,
        "tokens": result.usage["input_tokens"] if isinstance(result.usage, dict) else result.usage.input_tokens,
    }


PROGRAMS: dict[str, Callable[[Path, Log, KillingJournal], Awaitable[dict[str, Any]]]] = {
    "engine": engine,
    "hybrid": hybrid,
}


async def main(program: str, folder: Path) -> None:
    log = Log(folder / "log")
    log.write("born")
    journal = KillingJournal(folder / "interlock.db", log, os.environ.get(POINT, ""))
    result = await PROGRAMS[program](folder, log, journal)
    (folder / "result.json").write_text(json.dumps(result, sort_keys=True))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], Path(sys.argv[2])))
