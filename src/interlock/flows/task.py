"""The plainest shape of work: one agent does the whole task."""

from __future__ import annotations

from collections.abc import Callable

from interlock.agents.agent import BenchAgent, Brief
from interlock.engine.bench import RunBench
from interlock.engine.drive import Flow, Outcome
from interlock.records.run import Run
from interlock.records.task import Task, from_json

#: Finds an agent by name; raises when this process does not know it.
Crew = Callable[[str], BenchAgent]


def task_of(run: Run) -> Task:
    """The task that a run was admitted with."""
    assert run.admitted is not None
    return from_json(run.admitted.task)


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
        task = task_of(run)
        agent = crew(candidates_of(run)[0])
        brief = Brief(text=task.description, context=dict(task.context))
        with bench.span(agent.id, "agent"):
            answer = await agent.work(brief, bench)
        return Outcome(output=answer.output, agent=agent.id)

    return flow
