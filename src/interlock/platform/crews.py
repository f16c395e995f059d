"""Who works on a plan: the executor and the tools a program lent to a run, and the agents made with these tools."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from interlock.agents.agent import BenchAgent
from interlock.errors import AuthenticationError, UsageError
from interlock.flows.doing import step_doer
from interlock.flows.plan import StepDoer
from interlock.flows.planning import WANTED
from interlock.platform.executor import Executor, doer_through
from interlock.platform.registry import Registry
from interlock.platform.staff import Staff
from interlock.platform.toolbox import Toolbox
from interlock.records.plan import Step
from interlock.records.run import Run
from interlock.tools.tool import Tool


@dataclass(slots=True)
class Course:
    """What a program lent to one run.

    Args:
        executor: Who its steps pass.
        box: Its tools.
    """

    executor: Executor = field(default_factory=Executor)
    box: Toolbox = field(default_factory=Toolbox)


def doer_for(registry: Registry, staff: Staff, run: Run) -> StepDoer:
    """Someone who does the steps of a run, with what this process was lent for it."""
    course = registry.course_of(run.run_id) or Course()
    agents: dict[str, BenchAgent] = {}

    async def tool_named(name: str) -> Tool:
        found = course.box.tools.get(name) or registry.tools.get(name)
        if found is None:  # only now: a step that needs no MCP server must not fail or wait because of one
            lent = await staff.tools_lent(run.run_id, course.box)
            found = lent.get(name) or _by_own_name(name, lent.values())
        if found is None:
            raise UsageError(
                f"This process does not know the tool {name!r}.",
                "Pass it as tools=[...], or register it, then resume.",
                code="usage.unknown_tool",
            )
        return found

    async def agent_for(step: Step) -> BenchAgent:
        name = step.metadata.get("agent") or (run.routed.candidates[0] if run.routed else "")
        if name not in agents:
            if not staff.can_work(name):
                raise AuthenticationError(f"{name} is not ready: there is no API key.")
            agents[name] = staff.agent_with(name, await staff.tools_lent(run.run_id, course.box))
        return agents[name]

    return doer_through(course.executor, step_doer(agent_for, tool_named))


def _by_own_name(name: str, tools: Iterable[Tool]) -> Tool | None:
    """The tool of an MCP server that is called so there, if it is the only one."""
    found = [tool for tool in tools if tool.spec.name.endswith(f"__{name}")]
    return found[0] if len(found) == 1 else None


def planner_for(staff: Staff, run: Run) -> BenchAgent:
    """The agent that takes a run's task apart."""
    assert run.admitted is not None
    wanted = run.admitted.task["context"][WANTED]
    return staff.planner(wanted["agent"], wanted.get("model"), wanted.get("temperature"))
