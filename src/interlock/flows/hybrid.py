"""Plan, do, check: one agent plans, another does the work, and the result is verified before it counts."""

from __future__ import annotations

import json
from typing import Any

from interlock.agents.agent import Answer
from interlock.engine.bench import RunBench
from interlock.engine.drive import Flow, Outcome
from interlock.errors import AgentFailed
from interlock.flows.task import Crew, brief_of, candidates_of
from interlock.records.run import Run

#: How often verification may send the work back.
SENT_BACK_AT_MOST = 1

PLANNING = (
    "You are planning work that another agent will carry out. Write a short numbered plan: what to do, in which order, "
    "and how to tell that each point is done. Do not carry it out."
)
EXECUTION = (
    "Carry out the plan. Use your tools to get facts instead of guessing. When you are done, write the complete result "
    "for the person who asked; say plainly what could not be done."
)
VERIFICATION = (
    "You are checking finished work against the request. Judge only what is written. Pass it if it answers the request "
    "and claims nothing that the work does not show; otherwise say exactly what is missing or wrong."
)
VERDICT = {
    "type": "object",
    "properties": {"passed": {"type": "boolean"}, "feedback": {"type": "string"}},
    "required": ["passed", "feedback"],
    "additionalProperties": False,
}


def hybrid_flow(crew: Crew) -> Flow:
    """The flow `hybrid`: stages `planning`, `execution` and `verification`.

    Verification can send the work back once; what still does not pass then is a failed run that keeps its stages.

    Args:
        crew: Finds the agents. The run's candidates are planner, doer and verifier, in this order.
    """

    async def flow(bench: RunBench, run: Run) -> Outcome:
        planner, doer, verifier = candidates_of(run)[:3]
        work = _Hybrid(crew, bench, run, verifier)
        plan = await work.stage("planning", planner, PLANNING, {})
        result = await work.stage("execution", doer, EXECUTION, {"plan": plan})
        for again in range(SENT_BACK_AT_MOST + 1):
            verdict = await work.verify(again, plan, result)
            if verdict["passed"]:
                return Outcome(output=result, agent=doer, stages=work.stages)
            if again < SENT_BACK_AT_MOST:
                sent_back = {"plan": plan, "previous_result": result, "feedback": verdict["feedback"]}
                result = await work.stage("execution", doer, EXECUTION, sent_back, number=again + 2)
        return Outcome(output=result, agent=doer, stages=work.stages, failure=_not_passed(str(verdict["feedback"])))

    return flow


class _Hybrid:
    """One hybrid run in progress: runs stages and keeps what they brought."""

    def __init__(self, crew: Crew, bench: RunBench, run: Run, verifier: str) -> None:
        self._crew = crew
        self._bench = bench
        self._run = run
        self._verifier = verifier
        self.stages: dict[str, Any] = {}

    async def stage(
        self,
        name: str,
        agent: str,
        instructions: str,
        extra: dict[str, Any],
        *,
        number: int = 1,
        schema: dict[str, Any] | None = None,
    ) -> Any:
        """Have one agent do one stage, and keep its output under the stage's name."""
        scope = self._bench.scope(name if number == 1 else f"{name}-{number}")
        brief = brief_of(self._run, context=extra, instructions=instructions, schema=schema)
        with scope.span(agent, "agent"):
            answer: Answer = await self._crew(agent).work(brief, scope.lent_to(agent))
        self.stages[name] = {"agent": agent, "output": answer.output, "rounds": number}
        return answer.output

    async def verify(self, again: int, plan: Any, result: Any) -> dict[str, Any]:
        """Have the result checked; an answer that cannot be read is no pass."""
        extra = {"plan": plan, "result": result}
        found = await self.stage(
            "verification", self._verifier, VERIFICATION, extra, number=again + 1, schema=dict(VERDICT)
        )
        verdict = _read(found)
        self.stages["verification"].update(verdict)
        return verdict


def _read(found: Any) -> dict[str, Any]:
    """Read a verdict fail closed: an agent without structured output may answer as text."""
    if isinstance(found, str):
        try:
            found = json.loads(found)
        except ValueError:
            return {"passed": False, "feedback": found}
    if not isinstance(found, dict):
        return {"passed": False, "feedback": "The verification gave no verdict."}
    return {"passed": found.get("passed") is True, "feedback": str(found.get("feedback", ""))}


def _not_passed(feedback: str) -> AgentFailed:
    return AgentFailed(
        f"The result did not pass verification: {feedback[:500] or 'no reason was given'}",
        "Read the stages with `interlock run show ID`, then put the task more exactly.",
        code="agent.not_verified",
    )
