"""A real MCP server for tests, on its standard input and output or on a port of this machine.

    python mcp_server.py stdio
    python mcp_server.py http

The second reads lines of JSON, `{"port", "hits", "key", "legacy"}`, and begins a server for each; it answers with the
number of its process. So the SDK is loaded once for all of them. `key` is one that must be given to be let in, `legacy`
means the older protocol, with sessions. Every call is written as one line to the file HITS.
"""

import asyncio
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

from mcp.server.mcpserver import Image, MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp_types import ToolAnnotations

server = MCPServer("tests", log_level="ERROR")
READS = ToolAnnotations(read_only_hint=True)


def hit(name: str) -> int:
    path = Path(os.environ["HITS"])
    with path.open("a") as file:
        file.write(f"{name}\n")
    return path.read_text().count(f"{name}\n")


@server.tool(annotations=READS, structured_output=False)
def echo(text: str) -> str:
    """Say it again."""
    hit("echo")
    return text


@server.tool(annotations=READS)
def add(a: int, b: int = 1) -> int:
    """Add two numbers."""
    hit("add")
    return a + b


@server.tool(annotations=READS, structured_output=False)
async def counter(who: str = "", wait: float = 0) -> str:
    """Say how often it was called."""
    count = hit("counter")
    await asyncio.sleep(wait)
    return str(count)


@server.tool(structured_output=False)
async def slow(seconds: float) -> str:
    """Take a while."""
    hit("slow")
    await asyncio.sleep(seconds)
    return "done"


@server.tool(structured_output=False)
def boom(text: str = "it broke") -> str:
    """Fail."""
    hit("boom")
    raise ToolError(text)


@server.tool(structured_output=False)
def secret(name: str) -> str:
    """Say a variable of the environment."""
    hit("secret")
    return os.environ.get(name, "nothing")


@server.tool(structured_output=False)
def names() -> str:
    """Say the names of the environment."""
    return " ".join(sorted(os.environ))


@server.tool(structured_output=False)
def forbidden() -> str:
    """What nobody may call."""
    hit("forbidden")
    return "called"


@server.tool(annotations=READS, structured_output=False)
def die_once() -> str:
    """End the first time, answer the second."""
    if hit("die_once") == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return "alive"


@server.tool(structured_output=False)
def die() -> str:
    """End in the middle."""
    hit("die")
    os.kill(os.getpid(), signal.SIGKILL)
    return "never"


@server.tool(structured_output=False)
def picture() -> list[object]:
    """Draw."""
    return ["a picture", Image(data=b"x" * 300, format="png")]


@server.tool(structured_output=False)
def much(size: int) -> str:
    """Say much."""
    return "m" * size


@server.tool(structured_output=False)
def child() -> str:
    """Start a process that holds on to our pipes."""
    return str(subprocess.Popen(["sleep", "60"]).pid)


@server.tool("odd name!", structured_output=False)
def odd() -> str:
    """A name that models do not accept."""
    return "odd"


def old_fashioned(app):
    """The app as a server that has never heard of the newer protocol."""

    async def old(scope, receive, send):
        headers = dict(scope.get("headers", ()))
        if headers.get(b"mcp-method") == b"server/discover":
            await send({"type": "http.response.start", "status": 400, "headers": []})
            await send({"type": "http.response.body", "body": b""})
        else:
            await app(scope, receive, send)

    return old


def guarded(app, key):
    """The app behind a key."""

    async def behind(scope, receive, send):
        if scope["type"] == "http" and dict(scope["headers"]).get(b"authorization") != f"Bearer {key}".encode():
            await send({"type": "http.response.start", "status": 401, "headers": []})
            await send({"type": "http.response.body", "body": b"no"})
        else:
            await app(scope, receive, send)

    return behind


def serve(port, hits, key="", legacy=False):
    """Serve until the end."""
    import uvicorn

    os.environ["HITS"] = hits
    app = server.streamable_http_app()
    app = old_fashioned(app) if legacy else app
    uvicorn.run(guarded(app, key) if key else app, host="127.0.0.1", port=port, log_level="critical")


if __name__ == "__main__":
    if os.environ.get("WITHOUT"):
        server.remove_tool(os.environ["WITHOUT"])
    if sys.argv[1] == "stdio":
        server.run("stdio")
    else:
        import uvicorn  # noqa: F401 - now, and not in each of them

        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        for line in sys.stdin:
            if (pid := os.fork()) == 0:
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                serve(**json.loads(line))
                os._exit(0)
            print(pid, flush=True)
