"""A model asks for three commands; the policy lets it look, and refuses what would destroy. No key is needed."""

import asyncio
import tempfile

from interlock import CommandPolicy, Platform, Task
from interlock.testing import Calls, SimulatedProvider, Text, call

# What the model says is a script. The server, the requests, the commands and the journal are real.
SCRIPT = [
    Calls(call("shell", command="uname -s")),
    Calls(call("shell", command="rm -rf /")),
    Calls(call("shell", command="sh -c 'rm -rf /'")),
    Text("I could look, but I was not allowed to delete anything."),
]


async def main() -> None:
    """Run one task under a command policy and print what the gate said to each command."""
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
            platform.set_command_policy(CommandPolicy(allowed=["uname", "df"], forbidden=["rm -rf"]))
            result = await platform.run(Task("Tidy up this machine.", context={"agent": "openai"}))
            run = await platform.show(result.run_id)
    for gate in run.gates:
        if gate.act == "command":
            print(f"{gate.effect:5}  {gate.name:6}  {gate.reason or 'a rule allows it'}")
    print(f"{result.status}: {result.output}")


if __name__ == "__main__":
    asyncio.run(main())
