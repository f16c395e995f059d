"""Who does a step of a plan: its tool, called as the plan says, or an agent with what the step builds on."""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Any

from interlock.agents.agent import Attempt, BenchAgent, Brief
from interlock.engine.bench import RunBench
from interlock.errors import AgentFailed, InterlockError, Refused, ToolFailed
from interlock.flows.plan import StepDoer, Work
from interlock.records.plan import Fault, Plan, Step, StepResult
from interlock.tools.result import MAX_RESULT, was_cut
from interlock.tools.tool import TOOL_ACTS, Caller, Tool, repeatable_for

#: What all inputs of one step may show an agent together, in characters; above it each is cut to its share.
MAX_INPUTS = 60_000

INSTRUCTIONS = (
    "You carry out one step of a larger plan. Do this step and nothing else; the results of the steps it builds on are "
    "in the context. Use your tools to get facts instead of guessing. Answer with the result of this step alone, "
    "complete enough for the steps that build on it; say plainly what could not be done."
)

_REFERENCE = re.compile(r"\$\{([^}\s.]+)((?:\.[^}\s.]+)*)\}")

#: Failures by the beginning of their code, the longest that fits: what people and programs sort them by.
_KINDS = {
    "agent.rate_limit": "rate_limit",
    "agent.server_error": "server_error",
    "agent.connection": "connection",
    "agent.timeout": "timeout",
    "agent.authentication": "authentication",
    "agent.invalid_request": "validation",
    "agent.output": "validation",
    "agent": "agent_error",
    "tool.arguments": "validation",
    "tool.timeout": "timeout",
    "tool": "tool_error",
    "usage": "validation",
    "budget": "over_budget",
    "policy": "refused",
    "guardrail": "refused",
    "guardrail.cost_limit": "over_budget",
    "guardrail.rate_limit": "rate_limit",
    "guardrail.validation": "validation",
    "approval": "refused",
    "access": "refused",
    "step": "in_doubt",
    "store": "storage",
    "run.cancelled": "cancelled",
}


def kind_of(code: str) -> str:
    """The class of a failure: `rate_limit`, `server_error`, `tool_error`, `validation`, `timeout`, `refused` ..."""
    fitting = [start for start in _KINDS if code == start or code.startswith((f"{start}.", f"{start}_"))]
    return _KINDS[max(fitting, key=len)] if fitting else "error"


def _here(step: Step, tool: Tool) -> None:
    """Every tool is used here."""


def step_doer(
    agent_for: Callable[[Step], Awaitable[tuple[str, BenchAgent]]],
    tool_named: Callable[[str], Awaitable[Tool]],
    elsewhere: Callable[[Step, Tool], Callable[[Work], Awaitable[Any]] | None] = _here,
) -> StepDoer:
    """Someone who does any step of a plan.

    Args:
        agent_for: Finds the agent for a step that no tool does by itself, with the name it is judged by.
        tool_named: Finds a tool; raises a `UsageError` for one this process does not know.
        elsewhere: Says who uses a step's tool, where that is done at a provider and not here; None for here.
    """

    async def do(work: Work) -> StepResult:
        step = work.step
        try:
            tool = await tool_named(step.tool) if step.tool is not None else None
            if tool is not None and (step.tool_input is not None or _wants_nothing(tool)):
                at_provider = elsewhere(step, tool)
                output = await (_call(tool, work) if at_provider is None else at_provider(work))
            else:
                output = await _ask(*await agent_for(step), work)
        except InterlockError as error:
            return StepResult(step.id, "failed", error=said(error), kind=kind_of(error.code), attempts=work.attempt)
        return StepResult(step.id, "completed", output=output, attempts=work.attempt)

    return do


def said(error: InterlockError) -> str:
    """An error as a step's result carries it: its code and its sentence."""
    return f"{error.code}: {error.says}"


def _wants_nothing(tool: Tool) -> bool:
    return not tool.spec.parameters.get("required") and not tool.spec.parameters.get("properties")


async def _call(tool: Tool, work: Work) -> Any:
    """Call a tool as the plan says, past the gate, as a step of its own."""
    bench, step = work.bench, work.step
    arguments = filled_in(step.tool_input or {}, work.inputs)
    caller = Caller(run_id=bench.run_id, agent="plan", user=bench.user, tenant=bench.tenant)
    act = tool.act(arguments, caller)
    if act.kind not in TOOL_ACTS:
        raise ToolFailed(f"The tool {tool.spec.name!r} asks for what no tool may do.", code="tool.act")

    async def call(attempt: Attempt) -> Any:
        if attempt.permit is None:
            raise Refused("No gate has allowed this call.")
        try:
            return await tool.run(attempt.permit, caller_at(caller, attempt))
        except ToolFailed as failure:
            if isinstance(failure.__cause__, AgentFailed):  # the function says itself what kind of failure it is
                raise failure.__cause__ from failure
            raise

    return await bench.step(
        "tool",
        call,
        what="tool",
        label=tool.spec.name,
        input={"name": tool.spec.name, "arguments": arguments},
        repeatable=repeatable_for(tool, act),
        judge=act,
        remake=lambda arguments: tool.act(arguments, caller),
        attempts=1,  # trying again is the step's to decide
    )


def caller_at(caller: Caller, attempt: Attempt) -> Caller:
    """The caller of one try of a call."""
    return replace(caller, path=attempt.path, key=attempt.key, timeout=attempt.timeout)


async def _ask(name: str, agent: BenchAgent, work: Work) -> Any:
    bench: RunBench = work.bench
    step, plan = work.step, work.plan
    context: dict[str, Any] = {"whole_task": plan.task_description, "results": shown(work.inputs, bench.run_id)}
    if "success_criteria" in plan.metadata:
        context["success_criteria"] = plan.metadata["success_criteria"]
    text = step.description or f"Do the step {step.id}."
    if step.tool is not None:
        text += f"\nUse the tool {step.tool}."
    with bench.span(agent.id, "agent"):
        answer = await agent.work(Brief(text=text, context=context, instructions=INSTRUCTIONS), bench.lent_to(name))
    return answer.output


def shown(inputs: Mapping[str, Any], run_id: str, budget: int = MAX_INPUTS) -> dict[str, Any]:
    """What a step's agent sees of the outputs it builds on: whole where they are small, else their beginning and end.

    Args:
        inputs: Outputs by step.
        run_id: The run, so that what is cut can be found.
        budget: Characters for all of them together.
    """
    texts = {name: one if isinstance(one, str) else json.dumps(one, ensure_ascii=False) for name, one in inputs.items()}
    if sum(map(len, texts.values())) <= budget:
        return dict(inputs)
    left, share = budget, budget
    cut: dict[str, Any] = {}
    for place, (name, text) in enumerate(sorted(texts.items(), key=lambda item: len(item[1]))):
        share = left // (len(texts) - place)  # what the small ones leave over goes to the large ones
        if len(text) <= share:
            cut[name], left = inputs[name], left - len(text)
            continue
        half = share // 2
        cut[name] = {
            "cut": f"{len(text):,} characters; the whole is the output of {name} in run {run_id}",
            "begins": text[:half],
            "ends": text[-half:],
        }
        left -= share
    return {name: cut[name] for name in inputs}


def filled_in(value: Any, inputs: Mapping[str, Any]) -> Any:
    """A tool's arguments with outputs in place of references.

    `"${extract}"` becomes the output of the step `extract` as it is, `"${extract.rows.0}"` a part of it, and
    `"about ${extract.name}"` a text with it.

    Raises:
        ToolFailed: code `tool.arguments`: there is no such output, or no such part.
    """
    if isinstance(value, str):
        whole = _REFERENCE.fullmatch(value)
        if whole is not None:
            return _part(inputs, whole)
        return _REFERENCE.sub(lambda found: _as_text(_part(inputs, found)), value)
    if isinstance(value, Mapping):
        return {key: filled_in(below, inputs) for key, below in value.items()}
    if isinstance(value, list):
        return [filled_in(below, inputs) for below in value]
    return value


def _part(inputs: Mapping[str, Any], found: re.Match[str]) -> Any:
    name, rest = found[1], found[2].split(".")[1:]
    if name not in inputs:
        raise ToolFailed(f"{found[0]} names no step this one depends on.", code="tool.arguments")
    at = inputs[name]
    if isinstance(at, str) and was_cut(at):  # a tool that goes on with a part, unknowing, would be wrong
        raise ToolFailed(
            f"The output of {name} was larger than {MAX_RESULT:,} bytes and was cut: it can be no argument.",
            "Let that step write a file and return its name, or return less.",
            code="tool.arguments",
        )
    try:
        for key in rest:
            at = at[int(key)] if isinstance(at, list) else at[key]
    except (KeyError, IndexError, ValueError, TypeError):
        raise ToolFailed(f"The output of {name} has no part {found[2][1:]!r}.", code="tool.arguments") from None
    return at


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def references_in(plan: Plan) -> list[Fault]:
    """References in a plan's tool inputs to steps their own step does not depend on."""
    faults = []
    for number, step in enumerate(plan.steps):
        for found in _REFERENCE.finditer(json.dumps(step.tool_input, ensure_ascii=False)) if step.tool_input else ():
            if found[1] not in step.dependencies:
                says = f"{step.id!r} uses {found[0]} but does not depend on {found[1]!r}."
                do = f"Add {found[1]} to its dependencies."
                faults.append(Fault(says, ("steps", number, "tool_input"), do))
    return faults
