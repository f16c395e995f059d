"""Interlock in bench/plans: plans carried out by `Platform.execute`, gate, audit log and redaction included."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from bench.peers.plans import PlanArguments, Shape, plan_arguments, wide
from bench.peers.stopwatch import measured
from interlock import Executor, Plan, Platform, Step, StepResult, tool

STEPS = "Interlock"
TOOLS = "Interlock, a tool in each step"


@tool(repeatable=True)
async def nothing(number: str) -> dict[str, Any]:
    """Do nothing, and return about 200 bytes."""
    return {"text": number.ljust(180), "ok": True}


class Nodes(Executor):
    """Does each step by itself, as the nodes of the peers do: nothing, or a pause."""

    def __init__(self, platform: Platform, at_once: int = 1000, pause_s: float = 0.0) -> None:
        super().__init__(at_once, platform=platform)
        self._pause_s = pause_s

    async def execute_step(self, step: Step, context: Mapping[str, Any]) -> StepResult:
        """Without a tool or an agent."""
        if self._pause_s:
            await asyncio.sleep(self._pause_s)
        return StepResult(step.id, "completed", output={"text": step.id.ljust(180), "ok": True})


def nodes(shape: Shape) -> Plan:
    """A plan whose steps the executor does."""
    return Plan("do nothing", [Step(name, dependencies=needs) for name, needs in shape.items()])


def calls(shape: Shape) -> Plan:
    """A plan whose steps call a tool, each call past the gate."""
    return Plan(
        "do nothing",
        [Step(name, tool="nothing", tool_input={"number": name}, dependencies=needs) for name, needs in shape.items()],
        tools=[nothing],
    )


async def main() -> None:
    """Measure each shape both ways, then the fan-out."""
    found = plan_arguments()
    async with Platform(home=Path(found.directory) / "home", log={"level": "error"}) as platform:
        await platform.execute(calls(wide(10)))
        for name, make in ((STEPS, nodes), (TOOLS, calls)):
            await _shapes(platform, found, name, make)
        for measure, at_once in (("fan_out", found.fan_out), ("fan_out_in_turns", found.fan_out // 10)):
            plan, executor = nodes(wide(found.fan_out)), Nodes(platform, at_once, found.pause_s)
            with measured(STEPS, measure, 1, "interlock"):
                results = await platform.execute(plan, executor=executor)
            _check(STEPS, results)


async def _shapes(platform: Platform, found: PlanArguments, name: str, make: Callable[[Shape], Plan]) -> None:
    for measure, shape in found.shapes.items():
        plan = make(shape)
        executor = Nodes(platform) if make is nodes else Executor(1000, platform=platform)
        with measured(name, measure, len(shape), "interlock"):
            results = await platform.execute(plan, executor=executor)
        _check(name, results)


def _check(name: str, results: list[StepResult]) -> None:
    done = sum(result.status == "completed" for result in results)
    if done != len(results):
        sys.exit(f"{name} did {done} steps instead of {len(results)}: {results[0].error}")


if __name__ == "__main__":
    asyncio.run(main())
