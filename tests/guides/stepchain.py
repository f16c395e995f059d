"""What the StepChain guide's snippets need around them: a model that plans, and a time that passes quickly."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time as real_time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from interlock.flows.planning import outline_of
from interlock.platform import doors
from interlock.testing import SimulatedProvider, Structured, Text
from interlock.testing.script import Reply, RequestView
from interlock.tools.function import tool

MCP_SERVER = str(Path(__file__).parents[1] / "tools" / "mcp_server.py")


class QuickTime:
    """The module `time`, whose sleeps are a thousand times shorter."""

    @staticmethod
    def sleep(seconds: float) -> None:
        real_time.sleep(seconds / 1000)

    @staticmethod
    def time() -> float:
        return real_time.time()


def mind(view: RequestView) -> Reply:
    """A model: it makes a step of every line a task lists, one after the other, and does each step in a sentence."""
    if view.schema is not None and "steps" in view.schema["properties"]:
        return Structured(planned(view.asked))
    return Text(f"done: {view.asked.splitlines()[0]}")


def planned(task: str) -> dict[str, Any]:
    """A plan as a model writes it."""
    items = outline_of(task).items or (task.splitlines()[0],)
    steps = [
        {
            "id": f"step_{number}",
            "description": item,
            "tool": None,
            "tool_input": None,
            "dependencies": [f"step_{number - 1}"] if number > 1 else [],
        }
        for number, item in enumerate(items, 1)
    ]
    return {"steps": steps, "success_criteria": []}


@contextmanager
def default_platform_anew() -> Iterator[None]:
    """The default platform made from nothing, and closed at the end."""
    holder = doors._default
    holder.close()
    before, holder._given = holder._given, {}
    try:
        yield
    finally:
        holder.close()
        holder._given = before


@contextmanager
def simulated_model(monkeypatch: Any) -> Iterator[SimulatedProvider]:
    """A provider on loopback in the place of the vendors."""
    with SimulatedProvider(mind) as provider:
        for name, value in provider.env().items():
            monkeypatch.setenv(name, value)
        yield provider


@contextmanager
def mcp_over_http(hits: Path) -> Iterator[str]:
    """A real MCP server on this machine; every call of it is a line in a file. Gives its address."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    env = {**os.environ, "HITS": str(hits)}
    nursery = subprocess.Popen(
        [sys.executable, MCP_SERVER, "http"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env
    )
    assert nursery.stdin is not None
    assert nursery.stdout is not None
    try:
        nursery.stdin.write(json.dumps({"port": port, "hits": str(hits)}) + "\n")
        nursery.stdin.flush()
        pid = int(nursery.stdout.readline())
        _until_open(port)
        yield f"http://127.0.0.1:{port}/mcp"
        os.kill(pid, 9)
    finally:
        nursery.kill()
        nursery.communicate()


def _until_open(port: int) -> None:
    for _ in range(1000):
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            real_time.sleep(0.01)
        else:
            return
    raise TimeoutError("the MCP server does not come up")


@tool(repeatable=True)
def count_up(number: int) -> int:
    """Say the next number."""
    return number + 1
