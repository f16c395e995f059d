"""MCP tools on real servers, as programs and by HTTP: listed, called, killed, and never called unless listed."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from interlock.agents.agent import Brief
from interlock.agents.model import ModelAgent
from interlock.errors import ToolFailed, UsageError
from interlock.records.verdict import ALLOWED, Act, Permit
from interlock.tools import mcp_stdio
from interlock.tools.mcp import McpConnection, McpTool, McpToolbox
from interlock.tools.mcp_session import ListedTool
from interlock.tools.mcp_settings import McpServer
from interlock.tools.tool import Caller, Tool, repeatable_for
from tests.agents.bench import NotebookBench
from tests.agents.lines import Lines, calls, says

SERVER = str(Path(__file__).with_name("mcp_server.py"))
SECRET = "a-secret-of-the-shop"
CALLER = Caller(run_id="run-1", path="tool/1", agent="worker", user="ada")


class Hits:
    """The file in which a server writes down every call."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __call__(self, name: str) -> int:
        return self.path.read_text().splitlines().count(name) if self.path.is_file() else 0


@pytest.fixture
def hits(tmp_path: Path) -> Hits:
    return Hits(tmp_path / "hits")


def definition(hits: Hits, **more: Any) -> dict[str, Any]:
    """The server as a program."""
    known = {"type": "mcp", "server_label": "shop", "server_command": sys.executable, "server_args": [SERVER, "stdio"]}
    env = {"HITS": str(hits.path)}
    return {**known, "allowed_tools": ["echo", "counter", "slow", "boom"], "env": env, "timeout": 60, **more}


@pytest.fixture
def program(hits: Hits) -> dict[str, Any]:
    return definition(hits)


class Web:
    """A server on a port of this machine, which may be killed and begin again on the same port."""

    def __init__(self, nursery: subprocess.Popen[str], hits: Path) -> None:
        self._nursery = nursery
        self._hits = str(hits)
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.pid = 0

    def start(self, **more: Any) -> Web:
        assert self._nursery.stdin is not None
        assert self._nursery.stdout is not None
        self._nursery.stdin.write(json.dumps({"port": self.port, "hits": self._hits, **more}) + "\n")
        self._nursery.stdin.flush()
        self.pid = int(self._nursery.stdout.readline())
        limit = time.monotonic() + 20
        while time.monotonic() < limit:
            with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
                return self
            time.sleep(0.02)
        raise AssertionError("the server does not listen")

    def kill(self) -> None:
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)

    def definition(self, **more: Any) -> dict[str, Any]:
        url = f"http://127.0.0.1:{self.port}/mcp"
        known = {"type": "mcp", "server_label": "web", "server_url": url, "allowed_tools": ["echo", "counter", "boom"]}
        return {**known, "timeout": 60, **more}


@pytest.fixture(scope="module")
def nursery() -> Iterator[subprocess.Popen[str]]:
    """The process that servers by HTTP are born in."""
    words = [sys.executable, SERVER, "http"]
    pipe = subprocess.PIPE
    with subprocess.Popen(words, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, text=True) as process:
        yield process
        process.kill()


@pytest.fixture
def new_web(nursery: subprocess.Popen[str], hits: Hits) -> Iterator[Callable[..., Web]]:
    """Starts a server by HTTP."""
    webs: list[Web] = []

    def start(**more: Any) -> Web:
        webs.append(Web(nursery, hits.path))
        return webs[-1].start(**more)

    yield start
    for web in webs:
        web.kill()


async def tools_of(box: McpToolbox) -> dict[str, Tool]:
    return {tool.spec.name: tool for tool in await box.tools()}


async def use(tool: Tool, caller: Caller = CALLER, /, **arguments: Any) -> Any:
    return await tool.run(Permit(tool.act(arguments, caller), ALLOWED), caller)


async def failing(tool: Tool, caller: Caller = CALLER, /, **arguments: Any) -> ToolFailed:
    with pytest.raises(ToolFailed) as failed:
        await use(tool, caller, **arguments)
    return failed.value


def gone(pid: int) -> bool:
    """Whether a process has ended; a zombie has."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.01)


Shop = tuple[McpToolbox, dict[str, Tool], Hits]
in_the_shop = pytest.mark.asyncio(loop_scope="module")
SHOWN = ["echo", "add", "boom", "picture", "much", "slow", "secret", "names", "odd name!"]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shop(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Shop]:
    """A server that is a program, for all tests that leave it as it is."""
    hits, told = Hits(tmp_path_factory.mktemp("shop") / "hits"), []
    given = definition(hits, allowed_tools=SHOWN)
    given["env"]["API_KEY"] = "${SHOP_KEY}"
    environ = {"SHOP_KEY": SECRET}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OUR_OWN_SECRET", "not yours")
        async with McpToolbox([given], environ=environ, on_secret=lambda *one: told.append(one)) as box:
            tools = await tools_of(box)
            assert told == [(SECRET, "SHOP_KEY")]
            yield box, tools, hits


@in_the_shop
async def test_listed_tools_are_tools_of_ours(shop: Shop) -> None:
    box, tools, _ = shop
    odd = next(name for name in tools if name.startswith("shop__odd_name_"))
    assert set(tools) == {*SHOWN, odd} - {"odd name!"}
    assert all(isinstance(tool, Tool) for tool in tools.values())
    add = tools["add"].spec
    assert add.description == "Add two numbers."
    assert add.parameters["required"] == ["a"]
    assert add.parameters["properties"]["b"]["type"] == "integer"
    assert await use(tools["echo"], text="good\x1b[31m day") == "good day"
    assert await use(tools["add"], a=2, b=3) == {"result": 5}
    assert await use(tools["picture"]) == "a picture\n[image image/png, about 300 bytes, not shown]"
    assert await use(tools[odd]) == "odd"
    assert len(await use(tools["much"], size=3_000_000)) < 1_000_100
    failed = await failing(tools["boom"], text="no \x1b[2Jstock, key sk-live-0123456789abcdef")
    assert failed.code == "tool.error"
    assert "no stock, key [key]" in failed.says
    with pytest.raises(ToolFailed, match="`a` must be a whole number"):
        tools["add"].act({"a": "two"}, CALLER)
    pid = box.connection("shop").pid or 0
    assert os.getpgid(pid) == pid


@in_the_shop
async def test_a_tool_that_is_not_listed_is_never_called_even_if_the_model_asks(shop: Shop) -> None:
    box, tools, hits = shop
    model = Lines(calls(("forbidden", {}), ("shop__forbidden", {}), ("echo", {"text": "this one"})), says("done"))
    await ModelAgent("worker", model, "m", tools=list(tools.values())).work(Brief(text="Do it."), NotebookBench())
    answers = [message.text for message in model.requests[1].messages if message.role == "tool"]
    assert ["There is no tool" in answer for answer in answers] == [True, True, False]
    listed = ListedTool(name="forbidden", description="", parameters={"properties": {}}, repeatable=True)
    with pytest.raises(UsageError, match="not in the allowed_tools"):
        McpTool(box.connection("shop"), listed, "forbidden")
    with pytest.raises(UsageError, match="not in its allowed_tools"):
        await box.connection("shop").call(listed, {}, 5)
    for changed in ({"tool": "forbidden"}, {"server": "other"}):
        asked = {"server": "shop", "tool": "echo", "arguments": {"text": "x"}, "approval": "never", **changed}
        act = Act(kind="tool", name="echo", arguments=asked)
        with pytest.raises(UsageError, match="permit"):
            await tools["echo"].run(Permit(act, ALLOWED), CALLER)
        with pytest.raises(ToolFailed, match="which tool is called cannot be changed"):
            tools["echo"].act(asked, CALLER)
    assert hits("forbidden") == 0
    assert hits("echo") > 0


@in_the_shop
async def test_a_program_gets_its_own_variables_and_nothing_of_ours(shop: Shop) -> None:
    _, tools, _ = shop
    assert await use(tools["secret"], name="API_KEY") == SECRET
    names = set((await use(tools["names"])).split())
    assert {"API_KEY", "HITS", "PATH"} <= names
    assert not {"OUR_OWN_SECRET", "SHOP_KEY"} & names


@in_the_shop
async def test_a_call_that_takes_too_long_fails_in_time_and_the_server_goes_on(shop: Shop) -> None:
    _, tools, _ = shop
    begun = time.monotonic()
    failed = await failing(tools["slow"], Caller(timeout=0.2), seconds=30)
    assert (failed.code, time.monotonic() - begun < 20) == ("tool.timeout", True)
    assert await use(tools["echo"], text="still here") == "still here"


def test_an_act_says_exactly_which_tool_of_which_server_is_called(program: dict[str, Any]) -> None:
    server = McpServer.read({**program, "require_approval": "always"})
    listed = ListedTool(name="slow", description="", parameters={"type": "object", "properties": {}}, repeatable=False)
    tool = McpTool(McpConnection(server), listed, "slow")
    act = tool.act({"seconds": 1}, CALLER)
    asked = {"server": "shop", "tool": "slow", "arguments": {"seconds": 1}, "approval": "always"}
    assert (act.kind, act.name, act.arguments, act.user) == ("tool", "slow", asked, "ada")
    assert tool.act({**asked, "arguments": {"seconds": 2}}, CALLER).arguments["arguments"] == {"seconds": 2}
    with pytest.raises(ToolFailed, match="cannot be changed"):
        tool.act({**asked, "approval": "never"}, CALLER)
    assert tool.needs_approval
    assert not repeatable_for(tool, act)


async def test_a_killed_server_begins_again_and_only_what_is_safe_is_repeated(
    program: dict[str, Any], hits: Hits
) -> None:
    program["allowed_tools"] = ["die", "die_once"]
    async with McpToolbox([program]) as box:
        tools = await tools_of(box)
        assert [repeatable_for(tools[name], tools[name].act({}, CALLER)) for name in ("die", "die_once")] == [0, 1]
        assert await use(tools["die_once"]) == "alive"
        assert hits("die_once") == 2
        in_doubt = await failing(tools["die"])
        assert (in_doubt.code, hits("die")) == ("tool.in_doubt", 1)


async def test_a_server_that_was_killed_between_calls_is_started_once_for_all_who_call(
    program: dict[str, Any], hits: Hits
) -> None:
    program["allowed_tools"] = ["boom", "add", "echo", "child"]
    program["env"]["WITHOUT"] = "${LEFT_OUT}"
    environ = {"LEFT_OUT": "slow"}
    async with McpToolbox([program], environ=environ) as box:
        tools = await tools_of(box)
        connection = box.connection("shop")
        grandchild = int(await use(tools["child"]))  # it holds the pipes open, and must not keep us from noticing
        os.kill(connection.pid or 0, signal.SIGKILL)
        await until(lambda: connection.pid is None)
        environ["LEFT_OUT"] = "echo"
        # To repeat boom would not be safe, but it was not sent yet; and echo is not what it was.
        failed, changed, *answers = await asyncio.gather(
            failing(tools["boom"]), failing(tools["echo"], text="x"), *(use(tools["add"], a=a) for a in range(3))
        )
        assert (failed.code, hits("boom")) == ("tool.error", 1)
        assert (changed.code, hits("echo")) == ("tool.changed", 0)
        assert answers == [{"result": 1}, {"result": 2}, {"result": 3}]
        assert gone(grandchild)


async def test_two_identical_calls_are_one_hit(new_web: Callable[..., Web], hits: Hits) -> None:
    now = [0.0]
    async with McpToolbox([new_web().definition(cache_ttl=3600)], clock=lambda: now[0]) as box:
        tools = await tools_of(box)
        counter, boom = tools["counter"], tools["boom"]
        assert await use(counter, who="ada") == await use(counter, who="ada") == "1"
        assert hits("counter") == 1
        together = await asyncio.gather(*(use(counter, who="all", wait=0.1) for _ in range(5)))
        assert (together, hits("counter")) == (["2"] * 5, 2)
        assert await use(counter, who="eve") == "3"
        now[0] = 3600.0
        assert await use(counter, who="ada") == "4"
        for _ in range(2):
            await failing(boom)
        assert hits("boom") == 2


async def test_a_listed_tool_that_the_server_does_not_have_is_logged(
    new_web: Callable[..., Web], caplog: pytest.LogCaptureFixture
) -> None:
    async with McpToolbox([new_web().definition(allowed_tools=["echo", "read_only_query"])]) as box:
        assert set(await tools_of(box)) == {"echo"}
    assert "The MCP server web has no tool read_only_query" in caplog.text


async def test_what_cannot_be_started_is_told_in_a_sentence(program: dict[str, Any]) -> None:
    async def failure(**more: Any) -> ToolFailed:
        async with McpToolbox([{**program, **more}]) as box:
            with pytest.raises(ToolFailed) as failed:
                await box.tools()
            return failed.value

    missing = await failure(server_command="no-such-program", server_args=[])
    assert (missing.code, "cannot be started" in missing.says) == ("tool.connection", True)
    ending = await failure(server_args=["-c", "raise SystemExit('the reason')"])
    assert (ending.code, "ended before it was ready" in ending.says) == ("tool.connection", True)
    assert "the reason" in ending.detail
    mute = await failure(server_args=["-c", "import time; time.sleep(60)"], timeout=0.3)
    assert mute.code == "tool.timeout"


async def test_a_server_that_floods_us_is_cut_off(program: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mcp_stdio, "MAX_LINE", 100_000)
    program["allowed_tools"] = ["much"]
    async with McpToolbox([program]) as box:
        much = (await tools_of(box))["much"]
        pid = box.connection("shop").pid
        assert (await failing(much, size=1_000_000)).code == "tool.in_doubt"
        await until(lambda: gone(pid or 0))


async def test_an_address_that_is_no_mcp_server_is_told_and_others_are_still_read() -> None:
    given = {"type": "mcp", "server_label": "database", "server_url": "postgresql://db.company.com"}
    async with McpToolbox([given]) as box:
        with pytest.raises(UsageError, match="MCP server's http"):
            await box.tools()


async def test_a_toolbox_warns_of_what_is_too_open_and_refuses_it_in_production(
    program: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    program |= {"allowed_tools": ["*"], "require_approval": "never"}
    assert "lets agents call every tool" in McpToolbox([program]).warnings[0]
    assert "lets agents call every tool" in caplog.text
    for given in (program, McpServer.read(program)):
        with pytest.raises(UsageError) as refused:
            McpToolbox([given], production=True)
        assert refused.value.code == "usage.mcp_open"
    with pytest.raises(UsageError, match="same server_label"):
        McpToolbox([program, program])


async def test_closing_in_the_middle_ends_the_calls_and_nothing_is_called_after(program: dict[str, Any]) -> None:
    box = McpToolbox([program])
    tools = await tools_of(box)
    calling = asyncio.ensure_future(failing(tools["slow"], seconds=30))
    await asyncio.sleep(0.1)
    pid = box.connection("shop").pid
    await box.close()
    await box.close()
    assert (await calling).code == "tool.in_doubt"
    assert gone(pid)
    assert (await failing(tools["echo"], text="x")).code == "tool.connection"


def test_a_connection_belongs_to_one_event_loop_and_ends_with_it(program: dict[str, Any]) -> None:
    box = McpToolbox([program])
    pids: list[int] = []

    async def first() -> None:
        await box.tools()
        pids.append(box.connection("shop").pid or 0)  # and nobody closes it

    asyncio.run(first())
    assert gone(pids[0])
    with pytest.raises(UsageError, match="another event loop"):
        asyncio.run(box.tools())


async def test_tools_of_the_same_name_get_their_servers_label(new_web: Callable[..., Web]) -> None:
    one = new_web().definition(server_label="one", allowed_tools=["echo", "boom"])
    two = new_web().definition(server_label="two", allowed_tools=["echo", "counter"])
    async with McpToolbox([one, two], taken={"boom"}) as box:
        tools = await tools_of(box)
        assert set(tools) == {"one__echo", "one__boom", "two__echo", "counter"}
        assert await use(tools["two__echo"], text="by HTTP") == "by HTTP"
        assert {tool.spec.name for tool in await box.tools({"two"})} == {"echo", "counter"}


@pytest.mark.parametrize("legacy", [False, True], ids=["modern", "with sessions"])
async def test_a_server_by_http_is_killed_and_comes_back(legacy: bool, new_web: Callable[..., Web], hits: Hits) -> None:
    web = new_web(legacy=legacy)
    async with McpToolbox([web.definition(allowed_tools=["echo", "die", "boom"])]) as box:
        tools = await tools_of(box)
        assert await use(tools["echo"], text="one") == "one"
        assert (await failing(tools["die"])).code == "tool.in_doubt"
        assert hits("die") == 1
        assert (await failing(tools["boom"])).code == "tool.connection"
        web.start(legacy=legacy)
        failed = await failing(tools["boom"])  # not safe to repeat, and known not to have happened
        assert (failed.code, hits("boom")) == ("tool.error", 1)
        assert await use(tools["echo"], text="two") == "two"


async def test_headers_carry_the_key_and_a_wrong_one_is_told(new_web: Callable[..., Web]) -> None:
    web = new_web(key="right-key-1")
    given = web.definition(env={"API_KEY": "${KEY}"}, headers={"Authorization": "Bearer ${API_KEY}"})
    async with McpToolbox([given], environ={"KEY": "right-key-1"}) as box:
        assert await use((await tools_of(box))["echo"], text="open") == "open"
    async with McpToolbox([given], environ={"KEY": "wrong-key-1"}) as box:
        with pytest.raises(ToolFailed, match="HTTP 401") as failed:
            await box.tools()
    assert failed.value.code == "tool.connection"
    assert "wrong-key-1" not in failed.value.detail
