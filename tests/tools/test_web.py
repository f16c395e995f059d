"""The web is searched by whoever is set up for it, and what comes back is only text."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from aiohttp import web

from interlock.errors import ToolFailed, UsageError
from interlock.records.verdict import ALLOWED, Permit
from interlock.tools.tool import Caller
from interlock.tools.web import MAX_ANSWER, MAX_TEXT, SearXNG, WebResult, WebSearch, as_web_search, web_search_tool

CALLER = Caller(run_id="run-1", path="tool/1")
PAGE = {"title": "A page", "url": "https://a.example/1", "content": "About it.", "engine": "x", "score": 1.5}

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


class Engine:
    """A search engine on this machine that answers as it is told."""

    def __init__(self) -> None:
        self.answer: Handler = lambda request: page([PAGE])
        self.asked: list[web.BaseRequest] = []
        self.url = ""

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        self.asked.append(request)
        return await self.answer(request)


async def page(results: list[Any], **more: Any) -> web.Response:
    return web.json_response({"query": "q", "results": results, **more})


@pytest.fixture
async def engine() -> AsyncIterator[Engine]:
    async for one in _served():
        yield one


@pytest.fixture
async def other() -> AsyncIterator[Engine]:
    async for one in _served():
        yield one


async def _served() -> AsyncIterator[Engine]:
    engine = Engine()
    runner = web.ServerRunner(web.Server(engine.handle, access_log=None), shutdown_timeout=0.05)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    engine.url = f"http://127.0.0.1:{site.port}/search"
    yield engine
    await runner.cleanup()


async def use(source: WebSearch | None, **arguments: Any) -> Any:
    tool = web_search_tool(lambda: source)
    return await tool.run(Permit(tool.act(arguments, CALLER), ALLOWED), CALLER)


async def failure(source: WebSearch | None, **arguments: Any) -> ToolFailed:
    with pytest.raises(ToolFailed) as caught:
        await use(source, **{"query": "q", **arguments})
    return caught.value


def answering(handler: Callable[[web.BaseRequest], web.StreamResponse]) -> Handler:
    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        return handler(request)

    return answer


async def test_nobody_set_up_is_said_with_the_next_step() -> None:
    failed = await failure(None)
    assert failed.code == "tool.not_configured"
    assert "web_search.url" in failed.do
    assert "register_web_search" in failed.do


async def test_a_search_engine_is_asked_and_its_pages_come_back(engine: Engine) -> None:
    found = await use(SearXNG(engine.url + "?lang=en"), query="two words & more", limit=3)
    assert found == {
        "query": "two words & more",
        "results": [{"title": "A page", "url": "https://a.example/1", "text": "About it."}],
    }
    asked = engine.asked[0]
    assert dict(asked.query) == {"lang": "en", "q": "two words & more", "format": "json"}
    assert "Authorization" not in asked.headers


async def test_the_key_is_sent_as_bearer_token_and_is_in_no_error(engine: Engine) -> None:
    engine.answer = answering(lambda request: web.Response(status=403, text=request.headers["Authorization"]))
    failed = await failure(SearXNG(engine.url, key=lambda: "s3cret"))
    assert engine.asked[0].headers["Authorization"] == "Bearer s3cret"
    assert "search.formats" in failed.do
    assert "s3cret" not in f"{failed.says}{failed.do}{failed.detail}"


async def test_no_more_results_than_asked_for(engine: Engine) -> None:
    engine.answer = lambda request: page([{**PAGE, "url": f"https://a.example/{n}"} for n in range(30)])
    assert [one["url"][-1] for one in (await use(SearXNG(engine.url), query="q", limit=2))["results"]] == ["0", "1"]
    assert len((await use(SearXNG(engine.url), query="q"))["results"]) == 5


async def test_what_strangers_wrote_is_cleaned_and_bounded(engine: Engine) -> None:
    rude = {
        "title": "\x1b]0;gone\x07T\u202eitle",
        "url": "https://a.example/\x07",
        "content": "x" * 100_000 + "\x1b[31m",
    }
    odd = [{**PAGE, "url": url} for url in ("javascript:alert(1)", "file:///etc/passwd", "", "https://", "http://[")]
    engine.answer = lambda request: page([rude, *odd, {"url": "http://b.example", "title": None, "content": None}])
    first, last = (await use(SearXNG(engine.url), query="q", limit=20))["results"]
    assert (first["title"], first["url"]) == ("Title", "https://a.example/")
    assert len(first["text"]) < MAX_TEXT + 100
    assert last == {"title": "", "url": "http://b.example", "text": ""}


@pytest.mark.parametrize(
    "body", ["", "<html>", "[]", '{"results": 1}', '{"results": [1]}', '{"results": [{"url": 1}]}']
)
async def test_what_is_no_answer_of_a_search_engine_is_said(engine: Engine, body: str) -> None:
    engine.answer = answering(lambda request: web.Response(text=body, content_type="application/json"))
    failed = await failure(SearXNG(engine.url))
    assert "SearXNG" in failed.says


async def test_an_answer_without_end_is_not_read_to_its_end(engine: Engine) -> None:
    async def endless(request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(b" " * 65_536)

    engine.answer = endless
    assert f"{MAX_ANSWER:,}" in (await failure(SearXNG(engine.url))).says


async def test_a_search_engine_that_says_nothing_is_given_up(engine: Engine) -> None:
    async def silent(request: web.BaseRequest) -> web.StreamResponse:
        await asyncio.get_running_loop().create_future()
        raise AssertionError

    engine.answer = silent
    assert (await failure(SearXNG(engine.url, timeout=0.2))).code == "tool.timeout"


async def test_a_search_engine_that_is_not_there_is_said() -> None:
    server = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()
    failed = await failure(SearXNG(f"http://127.0.0.1:{port}"))
    assert "cannot be reached" in failed.says
    assert str(port) not in failed.says


@pytest.mark.parametrize(("status", "says"), [(429, "no more searches"), (500, "500"), (404, "404")])
async def test_a_refusal_is_said(engine: Engine, status: int, says: str) -> None:
    engine.answer = answering(lambda request: web.Response(status=status))
    assert says in (await failure(SearXNG(engine.url))).says


async def test_redirects_are_followed_on_the_same_host_only(engine: Engine, other: Engine) -> None:
    def moved(request: web.BaseRequest) -> web.StreamResponse:
        if request.path == "/new":
            return web.json_response({"results": [PAGE]})
        return web.Response(status=302, headers={"Location": f"/new?{request.query_string}"})

    engine.answer = answering(moved)
    assert (await use(SearXNG(engine.url), query="q"))["results"]
    engine.answer = answering(lambda request: web.Response(status=307, headers={"Location": other.url}))
    assert "another host" in (await failure(SearXNG(engine.url, key=lambda: "s3cret"))).says
    assert other.asked == []
    engine.answer = answering(lambda request: web.Response(status=302, headers={"Location": "/again"}))
    assert "without end" in (await failure(SearXNG(engine.url))).says
    engine.answer = answering(lambda request: web.Response(status=302))
    assert "without end" in (await failure(SearXNG(engine.url))).says
    engine.answer = answering(lambda request: web.Response(status=302, headers={"Location": "http://[bad"}))
    assert "cannot be reached" in (await failure(SearXNG(engine.url))).says


@pytest.mark.parametrize("url", ["", "ftp://a.example", "localhost:8888", "http://", "http://a b"])
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(UsageError) as caught:
        SearXNG(url)
    assert caught.value.code == "usage.web_search"


@pytest.mark.parametrize("arguments", [{"query": " "}, {"query": "q", "limit": 0}, {"query": "q", "limit": 21}])
async def test_arguments_that_make_no_sense_go_back_to_the_model(arguments: dict[str, Any]) -> None:
    asked: list[str] = []
    source = as_web_search(lambda query, limit: asked.append(query) or [])
    with pytest.raises(ToolFailed) as caught:
        await use(source, **arguments)
    assert caught.value.code == "tool.arguments"
    assert asked == []


class Sync:
    def search(self, query: str, limit: int) -> list[WebResult]:
        return [WebResult(title=query, url="https://a.example", text=str(limit))]


class Async:
    async def search(self, query: str, limit: int) -> list[WebResult]:
        return Sync().search(query, limit)


async def plain(query: str, limit: int) -> list[dict[str, Any]]:
    return [{"title": query, "url": "https://a.example", "text": str(limit), "score": 1}]


@pytest.mark.parametrize("given", [Sync(), Async(), plain, Sync().search, lambda query, limit: plain(query, limit)])
async def test_whatever_searches_can_be_used(given: Any) -> None:
    source = as_web_search(given)
    assert isinstance(source, WebSearch)
    found = await use(source, query="q", limit=2)
    assert found["results"] == [{"title": "q", "url": "https://a.example", "text": "2"}]


@pytest.mark.parametrize("given", [None, 1, "http://a.example", Sync, object()])
def test_what_cannot_search_is_refused(given: Any) -> None:
    with pytest.raises(UsageError) as caught:
        as_web_search(given)
    assert caught.value.code == "usage.web_search"


@pytest.mark.parametrize("found", [None, "text", {"url": "x"}, [1], [{"title": "no url"}], [{"url": 1}]])
async def test_results_of_another_form_are_said(found: Any) -> None:
    assert (await failure(as_web_search(lambda query, limit: found))).code == "tool.result"


async def test_a_search_that_breaks_is_a_failed_call() -> None:
    def broken(query: str, limit: int) -> list[Any]:
        raise RuntimeError("no such index")

    failed = await failure(as_web_search(broken))
    assert failed.code == "tool.error"
    assert "web_search" in failed.says


async def test_it_can_be_asked_again_and_its_act_says_what_is_looked_for() -> None:
    tool = web_search_tool(lambda: None)
    act = tool.act({"query": "q", "limit": 2}, CALLER)
    assert (act.kind, act.name, act.arguments) == ("tool", "web_search", {"query": "q", "limit": 2})
    assert tool.repeatable
    assert tool.spec.parameters["required"] == ["query"]
    assert json.dumps(tool.spec.parameters)
