"""A provider answers 429, the call is made again when it said, and a tool of yours is called. No key is needed."""

import asyncio
import tempfile

from interlock import Platform, Task, tool
from interlock.testing import Calls, Fault, SimulatedProvider, Text, call

SCRIPT = [
    Fault.status(429, retry_after=0.2),
    Calls(call("stock_of", item="lamp")),
    Text("There are 7 lamps left."),
]


@tool(repeatable=True)
def stock_of(item: str) -> int:
    """Say how many of an item are in stock.

    Args:
        item: The item's name.
    """
    return {"lamp": 7}.get(item, 0)


async def main() -> None:
    """Run one task and print its steps as the journal tells them."""
    with tempfile.TemporaryDirectory() as home:
        async with (
            SimulatedProvider(script=SCRIPT) as model,
            Platform(
                home=home,
                openai_api_key="simulated",
                providers={"openai": {"base_url": model.openai_url}},
                workspace=home,
            ) as platform,
        ):
            platform.register_tool(stock_of)
            result = await platform.run(Task("How many lamps are left?", context={"agent": "openai"}))
            run = await platform.show(result.run_id)
    for step in run.steps.values():
        print(f"{step.path:10}  {step.what:6}  {step.status:8}  tries: {step.attempts}")
    print(f"{result.status}: {result.output}")


if __name__ == "__main__":
    asyncio.run(main())
