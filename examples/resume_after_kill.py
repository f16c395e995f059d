"""A run is killed with SIGKILL in its third step and goes on in another process; no finished step is done again.

The third step was begun but not finished, so it is made again, under the same idempotency key. Say
`repeatable=False` for a step that must not be, and a person is asked instead.
"""

import asyncio
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path

from interlock import Platform, Task
from interlock.agents.agent import Answer, Attempt, Bench, Brief

STEPS = ("collect", "sort", "publish")


class Press:
    """An agent whose work is three steps; each writes a line, so that one can count how often it was done."""

    id = "press"

    def __init__(self, diary: Path, *, dies: bool) -> None:
        self.diary = diary
        self.dies = dies

    async def work(self, brief: Brief, bench: Bench) -> Answer:
        """Do the steps in order. What the bench has recorded is not done again."""
        done = [await bench.step(name, self.doing(name), what="function") for name in STEPS]
        return Answer(output=done, agent=self.id)

    def doing(self, name: str) -> Callable[[Attempt], Awaitable[str]]:
        """The act of one step."""

        async def act(attempt: Attempt) -> str:
            with self.diary.open("a") as diary:
                diary.write(f"{name}\n")
            if self.dies and name == "publish":
                os.kill(os.getpid(), signal.SIGKILL)  # the intent is written, the outcome is not
            return f"{name} done"

        return act


async def begin(home: Path) -> None:
    """What the first process does. It does not live to see the end."""
    async with Platform(home=home) as platform:
        platform.register_agent("press", Press(home / "diary.txt", dies=True))
        await platform.run(Task("Print the paper", id="edition-1", context={"agent": "press"}))


async def go_on(home: Path) -> None:
    """What the second process does: the same agent under the same name, and `resume`."""
    async with Platform(home=home) as platform:
        platform.register_agent("press", Press(home / "diary.txt", dies=False))
        result = await platform.resume("edition-1")
    print(f"{result.status}: {result.output}")
    diary = (home / "diary.txt").read_text().split()
    print("done how often:", {name: diary.count(name) for name in STEPS})


def main() -> None:
    """Begin in a child process, see it die, go on here."""
    if len(sys.argv) > 1:
        asyncio.run(begin(Path(sys.argv[1])))
        return
    with tempfile.TemporaryDirectory() as folder:
        child = subprocess.run([sys.executable, __file__, folder], check=False)
        print(f"the first process was ended by {signal.Signals(-child.returncode).name}")
        asyncio.run(go_on(Path(folder)))


if __name__ == "__main__":
    main()
