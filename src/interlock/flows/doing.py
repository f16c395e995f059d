"""Who does a step of a plan: its tool, called as the plan says, or an agent with what the step builds on."""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from interlock.agents.agent import Attempt, BenchAgent, Brief
from interlock.engine.bench import RunBench
from interlock.engine.veiled import without_credentials
from interlock.errors import AgentFailed, InterlockError, Refused, ToolFailed
from interlock.flows.plan import StepDoer, Work
from interlock.flows.showing import shown as shown
from interlock.records.plan import MOST_FAULTS, Fault, Plan, Step, StepResult, meant
from interlock.tools.result import MAX_RESULT, was_cut
from interlock.tools.tool import TOOL_ACTS, Caller, Tool, repeatable_for

INSTRUCTIONS = (
    "You carry out one step of a larger plan. Do this step and nothing else; the results of the steps it builds on are "
    "in the context. Use your tools to get facts instead of guessing. Answer with the result of this step alone, "
    "complete enough for the steps that build on it; say plainly what could not be done."
)

#: Most characters of outputs in one step's arguments, each counted as often as it is referred to.
MOST_FILLED = 16_000_000
#: Most characters of a reference that an error shows.
_SHOWN = 200
#: The built-in tool that runs code. What it ran may have failed although the tool has not.
CODE = "code_interpreter"
#: Two dollar signs stand for one, as in a Makefile: `$${HOME}` is the text `${HOME}`, and no reference.
#: No letter is read twice, whatever the text: a brace ends each attempt, and nothing that was read is given back.
_REFERENCE = re.compile(r"(?<!\$)(\$++)\{([^{}\s.]++)((?:\.[^{}\s.]++)*+)\}")

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
                output = _worked(step, await (_call(tool, work) if at_provider is None else at_provider(work)))
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


def _worked(step: Step, output: Any) -> Any:
    """What a tool gave back, unless it is that of code that broke: whatever builds on it would build on nothing.

    Raises:
        ToolFailed: the code ended with an error.
    """
    code = output.get("exit_code") if step.tool == CODE and isinstance(output, Mapping) else 0
    if not code:
        return output
    written = str(output.get("stderr") or output.get("stdout") or "").strip() or "it wrote nothing."
    raise ToolFailed(
        f"The code ended with exit code {code}: {written.splitlines()[-1][:500]}",
        "See all that it wrote with `interlock run show ID --content`.",
        code="tool.error",
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
    return await without_credentials(bench.veil, answer.output)  # as what a tool brings, and what a whole task brings


def filled_in(value: Any, inputs: Mapping[str, Any]) -> Any:
    """A tool's arguments with outputs in place of references.

    `"${extract}"` becomes the output of the step `extract` as it is, `"${extract.rows.0}"` a part of it, and
    `"about ${extract.name}"` a text with it. `"$${extract}"` is the text `${extract}`.

    Raises:
        ToolFailed: code `tool.arguments`: there is no such output, or no such part, or all are too large together.
    """
    return _Filling(inputs).value(value)


@dataclass(slots=True)
class _Filling:
    """Arguments on their way: how much more of the outputs they may hold."""

    inputs: Mapping[str, Any]
    left: int = MOST_FILLED

    def value(self, value: Any) -> Any:
        if isinstance(value, str):
            whole = _REFERENCE.fullmatch(value)
            if whole is not None and whole[1] == "$":
                part = _part(self.inputs, whole)
                self._counted(_as_text(part))
                return part
            return _REFERENCE.sub(self._in_text, value)
        if isinstance(value, Mapping):
            return {key: self.value(below) for key, below in value.items()}
        if isinstance(value, list):
            return [self.value(below) for below in value]
        return value

    def _in_text(self, found: re.Match[str]) -> str:
        dollars = "$" * (len(found[1]) // 2)
        if not _is_reference(found):
            return dollars + found[0].lstrip("$")
        return dollars + self._counted(_as_text(_part(self.inputs, found)))

    def _counted(self, text: str) -> str:
        self.left -= len(text)
        if self.left < 0:  # a few letters in a plan stand for megabytes, as often as they are written
            raise ToolFailed(
                f"The outputs that this step refers to have more than {MOST_FILLED:,} characters together.",
                "Let the steps write files and return their names.",
                code="tool.arguments",
            )
        return text


def _is_reference(found: re.Match[str]) -> bool:
    return len(found[1]) % 2 == 1


def _part(inputs: Mapping[str, Any], found: re.Match[str]) -> Any:
    name, rest = found[2], found[3].split(".")[1:]
    if name not in inputs:
        raise ToolFailed(f"{found[0][:_SHOWN]} names no step this one depends on.", code="tool.arguments")
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
        raise ToolFailed(f"The output of {name} has no part {found[3][1:_SHOWN]!r}.", code="tool.arguments") from None
    return at


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def references_in(plan: Plan) -> list[Fault]:
    """References in a plan's tool inputs to steps that are not there, or that their own step does not depend on.

    At most `MOST_FAULTS` of them.
    """
    faults: list[Fault] = []
    ids = {step.id for step in plan.steps}
    for number, step in enumerate(plan.steps):
        for found in _REFERENCE.finditer(json.dumps(step.tool_input, ensure_ascii=False)) if step.tool_input else ():
            if len(faults) < MOST_FAULTS and _is_reference(found) and found[2] not in step.dependencies:
                told, name = found[0][:_SHOWN], found[2][:_SHOWN]
                says = f"{step.id!r} uses {told} but does not depend on {name!r}."
                do = f"Add {name} to its dependencies."
                if found[2] not in ids:
                    says = f"{step.id!r} uses {told}, but there is no step {name!r}{meant(name, ids)}."
                    do = f"Name a step it depends on. Where these very characters are meant, write ${told}."
                faults.append(Fault(says, ("steps", number, "tool_input"), do))
    return faults
