"""The plainest shape of work: one agent does the whole task."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from interlock.agents.agent import BenchAgent, Brief
from interlock.engine.bench import RunBench
from interlock.engine.drive import Flow, Outcome
from interlock.records.run import Run
from interlock.records.task import json_copy

#: Finds an agent by name; raises when this process does not know it.
Crew = Callable[[str], BenchAgent]


def brief_of(run: Run, **more: Any) -> Brief:
    """What the agents of a run are asked to do.

    Args:
        run: The run.
        more: Further fields of the brief; `context` is added to the task's.
    """
    assert run.admitted is not None
    task = run.admitted.task
    # A copy, for the task is a fact: no agent can change what was judged and is written down.
    context = json_copy({**task["context"], **more.pop("context", {})})
    return Brief(text=task["description"], context=context, **more)


def candidates_of(run: Run) -> list[str]:
    """Who was chosen for a run, in order."""
    assert run.routed is not None
    return run.routed.candidates


def task_flow(crew: Crew) -> Flow:
    """The flow `task`: the chosen agent does it, step by step.

    Args:
        crew: Finds the agent.
    """

    async def flow(bench: RunBench, run: Run) -> Outcome:
        name = candidates_of(run)[0]
        agent = crew(name)
        with bench.span(agent.id, "agent"):
            answer = await agent.work(brief_of(run), bench.lent_to(name))
        return Outcome(output=answer.output, agent=agent.id)

    return flow
