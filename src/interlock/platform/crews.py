"""Who works on a plan: the executor and the tools a program lent to a run, and the agents made with these tools."""

from __future__ import annotations

import shlex
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from interlock.agents.agent import BenchAgent
from interlock.errors import AuthenticationError, ToolFailed, UsageError
from interlock.flows.doing import step_doer
from interlock.flows.doubts import go_on_with, options_for, tools_of
from interlock.flows.native import do_natively
from interlock.flows.plan import StepDoer, Work, paths_of, plan_of
from interlock.flows.planning import WANTED
from interlock.platform.built_in import BUILT_IN_TOOLS
from interlock.platform.executor import Executor, doer_through
from interlock.platform.registry import Registry
from interlock.platform.settings import Settings
from interlock.platform.staff import Staff
from interlock.platform.toolbox import Toolbox, read_tools
from interlock.platform.where import Where
from interlock.records.plan import Fault, Step, meant
from interlock.records.run import Run
from interlock.records.task import TaskStatus
from interlock.tools.mcp import McpTool
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


def lend(registry: Registry, run_id: str, steps: Iterable[Step], executor: Executor, box: Toolbox) -> None:
    """Have the steps of a run find their tools and their executor in this process.

    Raises:
        UsageError: code `usage.unknown_tool`: some of the steps name a tool that is not known here.
    """
    check_steps(registry, steps, box)
    registry.callable.update(box.tools)
    registry.mcp_servers.update(box.servers)
    registry.courses[run_id] = Course(executor, box)


def check_steps(registry: Registry, steps: Iterable[Step], box: Toolbox) -> None:
    """Make sure that steps find their tools.

    Raises:
        UsageError: code `usage.unknown_tool`: some of the steps name a tool that is not known here.
    """
    named = {step.tool for step in steps if step.tool is not None}
    missing = sorted(name for name in named if not _has_tool(registry, box, name))
    if missing:
        says = f"The plan names tools that this process does not know: {', '.join(missing)}."
        raise UsageError(says, _how_to_lend(missing), code="usage.unknown_tool")


def unknown_in(registry: Registry, settings: Settings, steps: Sequence[Step], box: Toolbox) -> Iterator[Fault]:
    """The tools and agents that steps name and nobody here knows, each with its place in the plan."""
    agents = {*settings.agents, *registry.agents, *registry.providers}
    for number, step in enumerate(steps):
        if step.tool is not None and not _has_tool(registry, box, step.tool):
            known = (*BUILT_IN_TOOLS, *registry.tools, *box.tools)
            near = "" if step.tool in known else meant(step.tool, known)
            says = f"{step.id!r} names the tool {step.tool!r:.60}, which is not among the tools given here{near}."
            yield Fault(says, ("steps", number, "tool"), _how_to_lend([step.tool]), "usage.unknown_tool")
        agent = step.metadata.get("agent")
        if agent is not None and agent not in agents:
            says = f"{step.id!r} is for the agent {agent!r:.60}, which there is not{meant(agent, agents)}."
            do = f"There are: {', '.join(sorted(agents))}."
            yield Fault(says, ("steps", number, "metadata", "agent"), do, "usage.unknown_agent")


def _has_tool(registry: Registry, box: Toolbox, name: str) -> bool:
    return name in registry.tools or box.may_have(name)


def _how_to_lend(missing: Sequence[str]) -> str:
    if set(missing) <= set(BUILT_IN_TOOLS):
        return f"Name them in the plan's `tools`, or pass tools={list(missing)}."
    return "Pass them as tools=[...] (on the command line --tools), or register them with platform.register_tool."


def lend_again(registry: Registry, settings: Settings, run: Run, tools: Sequence[Any] | None = None) -> None:
    """Before a plan's run goes on: have what is left of it find its tools.

    Args:
        registry: What the program registered.
        settings: What is set.
        run: The run.
        tools: What it is lent now, in place of what it was lent before.

    Raises:
        UsageError: code `usage.unknown_tool`: this process does not know them all.
    """
    plan = plan_of(run)
    if plan is None or run.status is TaskStatus.COMPLETED:
        return
    left = [step for step in plan.steps if not _is_done(run, step)]
    course = registry.course_of(run.run_id)
    executor = course.executor if course is not None else Executor()
    if course is None or tools:
        named = [name for name in dict.fromkeys(step.tool for step in left) if name in BUILT_IN_TOOLS]
        box = read_tools([*(name for name in named if name not in (tools or ())), *(tools or ())], settings, registry)
    else:
        box = course.box
    try:
        lend(registry, run.run_id, left, executor, box)
    except UsageError as error:
        options = options_for(tools_of(run))
        if options:
            error.do = f"It was begun with {shlex.join(options)}: `{go_on_with(run)}`. {error.do}"
        raise


def _is_done(run: Run, step: Step) -> bool:
    paths = paths_of(run, step.id)
    return bool(paths) and run.steps[paths[-1]].status == "finished"


def doer_for(registry: Registry, staff: Staff, run: Run) -> StepDoer:
    """Someone who does the steps of a run, with what this process was lent for it."""
    course = registry.course_of(run.run_id) or Course()
    agents: dict[tuple[str, str], BenchAgent] = {}

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

    async def agent_for(step: Step) -> tuple[str, BenchAgent]:
        name = step.metadata.get("agent") or (run.routed.candidates[0] if run.routed else "")
        at = _where(staff, course.box, step, [name])
        native = (step.tool or "") if at is not None and at.place == "native" else ""
        if (name, native) not in agents:
            if not staff.can_work(name):
                raise AuthenticationError(f"{name} is not ready: there is no API key.")
            lent = await staff.tools_lent(run.run_id, course.box)
            agents[name, native] = staff.agent_with(name, lent, native)
        return name, agents[name, native]

    crew = run.routed.candidates if run.routed else ()
    elsewhere = partial(_elsewhere, staff, course.box, crew)
    return doer_through(course.executor, step_doer(agent_for, tool_named, elsewhere))


def _where(staff: Staff, box: Toolbox, step: Step, crew: Sequence[str]) -> Where | None:
    """Where a step has its tool used; None for a tool of the program's own, also one that is called like a built-in."""
    return staff.where(step, crew) if step.tool in box.built_in else None


def _elsewhere(
    staff: Staff, box: Toolbox, crew: Sequence[str], step: Step, tool: Tool
) -> Callable[[Work], Awaitable[Any]] | None:
    """Who uses a step's tool at a provider; None where it is used here.

    Raises:
        ToolFailed: code `tool.not_configured`: it can be used nowhere.
    """
    at = _where(staff, box, step, crew)
    if at is None or at.place == "local":
        return None
    if at.place == "nowhere":
        raise ToolFailed(at.why, code="tool.not_configured")
    return partial(do_natively, staff.native(at.agent, tool))


def _by_own_name(name: str, tools: Iterable[Tool]) -> Tool | None:
    """The tool of an MCP server that is called so there, with or without the server's label, if it is the only one."""
    found = [tool for tool in tools if tool.spec.name.endswith(f"__{name}") or _with_label(tool) == name]
    return found[0] if len(found) == 1 else None


def _with_label(tool: Tool) -> str:
    return f"{tool.server.label}__{tool.spec.name}" if isinstance(tool, McpTool) else ""


def planner_for(staff: Staff, run: Run) -> BenchAgent:
    """The agent that takes a run's task apart."""
    assert run.admitted is not None
    wanted = run.admitted.task["context"][WANTED]
    return staff.planner(wanted["agent"], wanted.get("model"), wanted.get("temperature"))
