"""From a sentence to a plan: a model takes the task apart, and what is wrong with its answer is told back once."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from interlock.agents.agent import BenchAgent, Brief
from interlock.engine.bench import RunBench
from interlock.engine.drive import Flow, Outcome
from interlock.errors import DecompositionError, OutputInvalid, UsageError
from interlock.records.plan import MOST_STEPS, Plan, Step, in_order, plan_from_json
from interlock.records.run import Run

#: Where a run's task carries what the plan must keep to.
WANTED = "decompose"

INSTRUCTIONS = (
    "You take a task apart into steps that other agents and tools will carry out. Give each step a short id, say "
    "exactly what to do and how to tell that it is done, and name the steps whose results it needs; steps that need "
    "nothing from each other must not depend on each other. If the task lists its steps, keep every one of them, in "
    "its order. Name a tool only if the step is for that tool; give tool_input, as JSON text, only if you know the "
    "exact arguments. Write down what the task itself names as its success criteria. Do not carry anything out."
)

_NUMBERED = re.compile(r"^\s*(?:\(?\d{1,3}[.):]|step\s+\d{1,3}[.:)]?)\s+(\S.*)$", re.IGNORECASE)
_BULLETED = re.compile(r"^\s*[-*•]\s+(\S.*)$")
_CRITERION = re.compile(
    r"^\s*(?:[-*•]\s*)?((?:target|goal|constraint|success(?: metric| criteri(?:on|a))?|acceptance(?: criteri(?:on|a))?"
    r"|metric|must|requirement|kpi|deadline)s?\s*:\s*\S.*)$",
    re.IGNORECASE,
)
#: A task of fewer words than this, without any list or figure, leaves almost everything open.
_VAGUE_BELOW = 5
VAGUE = "The task is vague: it names no steps, data or result. Say what goes in, what comes out, and what done is."


@dataclass(frozen=True, slots=True, kw_only=True)
class Outline:
    """What a task says about its own steps.

    Args:
        items: What it lists, numbered or with bullets, in order.
        criteria: What it says success is.
        vague: Whether it says too little to plan well.
    """

    items: tuple[str, ...]
    criteria: tuple[str, ...]
    vague: bool

    @property
    def warnings(self) -> list[str]:
        """What whoever wrote the task should know."""
        return [VAGUE] if self.vague else []


def outline_of(task: str) -> Outline:
    """Read the steps and success criteria that a task lists itself. Numbered lines are steps before bullets are."""
    lines = task.splitlines()
    criteria = [" ".join(found[1].split()) for line in lines if (found := _CRITERION.match(line))]
    plain = [line for line in lines if not _CRITERION.match(line)]
    numbered, bulleted = _listed(plain, _NUMBERED), _listed(plain, _BULLETED)
    if len(numbered) < 2:  # one line that begins with a number may number all steps itself
        numbered = _inline(task) or numbered
    items = numbered or bulleted
    words = re.findall(r"\w+", task)
    vague = len(words) < _VAGUE_BELOW and not items and not any(word.isdigit() for word in words)
    return Outline(items=tuple(items), criteria=tuple(criteria), vague=vague)


def _listed(lines: Sequence[str], item: re.Pattern[str]) -> list[str]:
    """The items of a list; what stands below one of them, further in, belongs to it."""
    items: list[str] = []
    margin = 0
    for line in lines:
        text = line.strip()
        lead = len(line) - len(line.lstrip())
        if found := item.match(line):
            items.append(found[1].strip())
            margin = lead
        elif items and text and lead > margin:
            items[-1] += f" {text}"
    return items


def _inline(task: str) -> list[str]:
    """Steps that are numbered within one line: `1. extract 2. compare`, counted from 1 without gaps."""
    parts = re.split(r"(?:^|\s)(\d{1,3})[.)]\s+", task)
    numbers, texts = parts[1::2], [text.strip(" ;,\n") for text in parts[2::2]]
    counted = [int(number) for number in numbers]
    return texts if len(counted) > 1 and counted == list(range(1, len(counted) + 1)) and all(texts) else []


def plan_by_outline(task: str, outline: Outline, max_steps: int) -> Plan:
    """The plan a task spells out itself: its listed steps, one after the other, without asking any model.

    Raises:
        DecompositionError: it lists none, or more than `max_steps`.
    """
    if not outline.items:
        raise DecompositionError("The task lists no steps, and there is no model to make them.")
    if len(outline.items) > max_steps:
        raise DecompositionError(f"The task lists {len(outline.items)} steps; at most {max_steps} are allowed.")
    steps = [
        Step(f"step_{number}", text, dependencies=[f"step_{number - 1}"] if number > 1 else [])
        for number, text in enumerate(outline.items, 1)
    ]
    return Plan(task, steps, {"planner": "outline", **_remarks(outline, ())})


def check_max_steps(max_steps: Any) -> int:
    """A bound on the number of steps; there is always one.

    Raises:
        UsageError: it is no whole number from 1 to `MOST_STEPS`.
    """
    if isinstance(max_steps, bool) or not isinstance(max_steps, int) or not 1 <= max_steps <= MOST_STEPS:
        raise UsageError(
            f"max_steps must be a whole number from 1 to {MOST_STEPS:,}, not {max_steps!r:.40}.",
            "A plan is always bounded.",
            code="usage.max_steps",
        )
    return max_steps


def planning_flow(planner: Callable[[Run], BenchAgent]) -> Flow:
    """The flow `decompose`: an agent writes the plan; what is wrong with it is told back once.

    Args:
        planner: Finds the agent for a run.
    """

    async def flow(bench: RunBench, run: Run) -> Outcome:
        assert run.admitted is not None
        task = run.admitted.task["description"]
        wanted = run.admitted.task["context"][WANTED]
        outline = outline_of(task)
        agent = planner(run)
        ask = _Ask(agent, bench.lent_to(wanted.get("agent") or agent.id), task, wanted, outline)
        found = await ask.once("plan", "")
        plan, faults = _read(found, task, wanted, outline)
        if plan is None:
            found = await ask.once("plan-2", _told_back(found, faults))
            plan, faults = _read(found, task, wanted, outline)
        if plan is None:
            raise DecompositionError(f"{agent.id} made no plan that can be carried out: {' '.join(faults[:5])}")
        return Outcome(output=plan.to_json(), agent=agent.id)

    return flow


@dataclass(frozen=True, slots=True)
class _Ask:
    """Asks the planning agent."""

    agent: BenchAgent
    bench: RunBench
    task: str
    wanted: Mapping[str, Any]
    outline: Outline

    async def once(self, name: str, more: str) -> Any:
        tools = [f"- {tool['name']}: {tool['description']}" for tool in self.wanted["tools"]]
        context: dict[str, Any] = {"tools": tools or "none", "max_steps": self.wanted["max_steps"]}
        if self.outline.items:
            context["listed_steps"] = list(self.outline.items)
        if more:
            context["correction"] = more
        brief = Brief(
            text=self.task,
            context=context,
            instructions=INSTRUCTIONS,
            schema=schema_for([tool["name"] for tool in self.wanted["tools"]]),
        )
        try:
            with self.bench.span(self.agent.id, "agent"):
                answer = await self.agent.work(brief, self.bench.scope(name))
        except OutputInvalid as error:  # it was told back once what is wrong with the form
            raise DecompositionError(f"{self.agent.id} made no plan that can be carried out: {error.says}") from error
        return answer.output


def schema_for(tools: Sequence[str]) -> dict[str, Any]:
    """JSON Schema of a plan as a model writes it."""
    tool: dict[str, Any] = {"type": ["string", "null"]}
    if tools:
        tool["enum"] = [*tools, None]
    fields: dict[str, Any] = {
        "id": {"type": "string"},
        "description": {"type": "string"},
        "tool": tool,
        "tool_input": {"type": ["string", "null"], "description": "the tool's arguments as JSON text, or null"},
        "dependencies": {"type": "array", "items": {"type": "string"}},
    }
    step = {"type": "object", "properties": fields, "required": list(fields), "additionalProperties": False}
    whole: dict[str, Any] = {
        "steps": {"type": "array", "items": step},
        "success_criteria": {"type": "array", "items": {"type": "string"}},
    }
    return {"type": "object", "properties": whole, "required": list(whole), "additionalProperties": False}


def _read(found: Any, task: str, wanted: Mapping[str, Any], outline: Outline) -> tuple[Plan | None, list[str]]:
    """A plan, or what keeps the answer from being one."""
    try:
        if isinstance(found, str):
            found = json.loads(found)
        steps = [_step_of(one) for one in found["steps"]]
        criteria = [str(one) for one in found.get("success_criteria", [])]
        plan = plan_from_json(
            {"task_description": task, "steps": steps, "metadata": {"planner": "model", **_remarks(outline, criteria)}}
        )
    except UsageError as error:
        return None, [error.says.removeprefix("The plan cannot be carried out: ")]
    except (ValueError, TypeError, KeyError, AttributeError):
        return None, ["It is not of the form asked for."]
    faults = list(_against(plan, wanted, outline))
    return (None, faults) if faults else (plan, [])


def _step_of(one: Mapping[str, Any]) -> dict[str, Any]:
    given = one.get("tool_input")
    if isinstance(given, str):
        given = json.loads(given) if given.strip() else None
    name = re.sub(r"[\s/]+", "_", str(one["id"]).strip())
    needs = [re.sub(r"[\s/]+", "_", str(need).strip()) for need in one.get("dependencies") or ()]
    tool = one.get("tool") or None
    return {
        "id": name,
        "description": one.get("description", ""),
        "tool": tool,
        "tool_input": given if tool else None,
        "dependencies": needs,
    }


def _against(plan: Plan, wanted: Mapping[str, Any], outline: Outline) -> Any:
    """What speaks against a plan that could be carried out: sentences."""
    if len(plan.steps) > wanted["max_steps"]:
        yield f"It has {len(plan.steps)} steps; at most {wanted['max_steps']} are allowed."
    if len(plan.steps) < min(len(outline.items), wanted["max_steps"]):
        yield f"The task lists {len(outline.items)} steps, and the plan has only {len(plan.steps)}; keep every one."
    known = {tool["name"] for tool in wanted["tools"]}
    for step in plan.steps:
        if step.tool is not None and step.tool not in known:
            yield f"{step.id!r} names the tool {step.tool!r}, which there is not."


def _remarks(outline: Outline, criteria: Sequence[str]) -> dict[str, Any]:
    named = list(dict.fromkeys([*outline.criteria, *criteria]))
    return {
        **({"success_criteria": named} if named else {}),
        **({"warnings": outline.warnings} if outline.warnings else {}),
    }


def _told_back(found: Any, faults: Sequence[str]) -> str:
    before = json.dumps(found, ensure_ascii=False, default=str)[:20_000]
    return f"Your last plan cannot be carried out: {' '.join(faults)} Write the whole plan again. It was: {before}"


def estimate(
    plan: Plan,
    price: Callable[[int, int], int | None],
    max_concurrent: int,
    native: Mapping[str, int | None] | None = None,
) -> dict[str, Any]:
    """What a plan may cost and how long it may take, before it runs: a rough figure, marked as one.

    A step for an agent is taken as 2 requests of 1,500 tokens and what it is told, with 500 tokens of answer each, and
    12 seconds; a direct tool call as 1 second. The time is the longer of the longest chain and the work divided among
    those who work at the same time.

    Args:
        plan: The plan.
        price: Micro-dollars of a request with so many input and output tokens; None where it is unknown.
        max_concurrent: Steps at the same time, at most.
        native: Steps whose tool a provider uses, each with what it bills for that once, in micro-dollars.

    Returns:
        `cost_micros` (None where a price is unknown), `seconds`, and `agent_steps`.
    """
    cost: int | None = 0
    ends: dict[str, float] = {}
    total, agents = 0.0, 0
    for step in in_order(plan.steps):
        fee = native.get(step.id, 0) if native else 0
        direct = step.tool is not None and step.tool_input is not None and not (native and step.id in native)
        seconds = 1.0 if direct else 12.0
        total += seconds
        ends[step.id] = seconds + max((ends[need] for need in step.dependencies), default=0.0)
        if not direct:
            agents += 1
            one = price(1_500 + len(step.description) // 4 + 500 * len(step.dependencies), 500)
            cost = None if cost is None or one is None or fee is None else cost + 2 * one + fee
    longest = max(ends.values())
    return {"cost_micros": cost, "seconds": max(longest, total / max(1, max_concurrent)), "agent_steps": agents}
