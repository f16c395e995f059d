"""The plan that dies: `python -m tests.crash.planner FOLDER` begins it, or goes on with it, until it has ended.

It has branches at the same time, a step that fails first, one that a person in another process must allow, a call of an
MCP server, and steps that may not be repeated.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

from interlock import Guardrail, GuardrailType, Plan, Platform, Step, tool
from interlock.errors import RateLimitError
from interlock.records.plan import StepResult
from interlock.tools.tool import Caller, Tool
from tests.crash.child import RUN
from tests.crash.killing import POINT, KillingJournal, Log

#: Where the call of the MCP server is written down.
MCP_PATH = "plan/fetch/1/tool"
SERVER = str(Path(__file__).with_name("effects_server.py"))


def plan() -> Plan:
    """Everything at once."""
    fetch = {"path": MCP_PATH, "key": f"{RUN}/{MCP_PATH}"}
    return Plan(
        "die and go on",
        [
            Step("look", tool="look", tool_input={"at": "it"}),
            Step("left", tool="write", tool_input={"what": "${look}"}, dependencies=["look"]),
            Step("right", tool="write", tool_input={"what": "right"}, dependencies=["look"]),
            Step("flaky", tool="flaky", dependencies=["look"], metadata={"retries": 2}),
            Step("fetch", tool="effect", tool_input=fetch, dependencies=["left"]),
            Step("deploy", tool="deploy", tool_input={"what": "${right}"}, dependencies=["right", "flaky"]),
            Step("broken", tool="broken", dependencies=["left"]),
            Step("held-up", tool="look", tool_input={"at": "never"}, dependencies=["broken"]),
            Step("end", tool="look", tool_input={"at": ["${fetch}", "${deploy}"]}, dependencies=["fetch", "deploy"]),
        ],
    )


def tools(folder: Path, log: Log) -> list[Any]:
    """What the steps do. Each effect is a line in the log."""

    @tool(repeatable=True)
    def look(at: Any, caller: Caller) -> Any:
        """Look at something."""
        log.write("did", path=caller.path, key=caller.key)
        return {"seen": at}

    @tool
    def write(what: Any, caller: Caller) -> Any:
        """Write something; doing it twice is not harmless."""
        log.write("did", path=caller.path, key=caller.key)
        return {"written": what}

    @tool(repeatable=True)
    def flaky(caller: Caller) -> str:
        """Have no time the first time."""
        log.write("did", path=caller.path, key=caller.key)
        if caller.path == "plan/flaky/1/tool":
            raise RateLimitError("busy")
        return "after all"

    @tool
    def deploy(what: Any, caller: Caller) -> Any:
        """Deploy something, if a person allows it."""
        log.write("did", path=caller.path, key=caller.key)
        return {"deployed": what}

    @tool(repeatable=True)
    def broken(caller: Caller) -> str:
        """Fail."""
        log.write("did", path=caller.path, key=caller.key)
        raise ValueError("it broke")

    server = {
        "type": "mcp",
        "server_label": "effects",
        "server_command": sys.executable,
        "server_args": ["-S", SERVER, str(folder / "log")],
        "allowed_tools": ["effect"],
        "require_approval": "never",
    }
    made: list[Tool | dict[str, Any]] = [look, write, flaky, deploy, broken, server]
    return made


async def main(folder: Path) -> None:
    log = Log(folder / "log")
    log.write("born")
    platform = Platform(home=folder, retry={"base": 0.001, "cap": 0.002})
    platform._journal = KillingJournal(folder / "interlock.db", log, os.environ.get(POINT, ""))
    asks = Guardrail(
        name="deploys",
        type=GuardrailType.APPROVAL_REQUIRED,
        condition=lambda act: act.name == "deploy",
        message="Deploys need a yes.",
        on=("tool_call",),
    )
    platform.add_guardrail(asks)
    state = await platform.run_state(RUN)
    if not state.status.is_final:
        await platform.execute(plan(), RUN, True, max_concurrent=4, tools=tools(folder, log))
        await _to_the_end(platform, log)
        state = await platform.run_state(RUN)
    await platform.close()
    (folder / "result.json").write_text(json.dumps([_plain(result) for result in state.results], sort_keys=True))


async def _to_the_end(platform: Platform, log: Log) -> None:
    """Repeat what is in doubt, and stay until a person in another process has allowed what waits."""
    asked: set[str] = set()
    async with asyncio.timeout(60):
        while not (run := await platform.show(RUN)).status.is_final:
            new = [one for one in run.open_questions() if one.question_id not in asked]
            for question in new:
                asked.add(question.question_id)
                log.write("asked", path=question.path, about=question.about)
            if any(question.about == "in_doubt" for question in new):
                await platform.resume(RUN, in_doubt="repeat", by="a person")
            await asyncio.sleep(0.01)


def _plain(result: StepResult) -> dict[str, Any]:
    found = result.to_json()
    return {name: found[name] for name in ("step_id", "status", "output", "error", "kind")}


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
