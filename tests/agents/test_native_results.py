"""What a provider's own tools brought, read from items as both vendors send them, whole and streamed."""

from __future__ import annotations

from typing import Any, Literal

import pytest

from interlock.agents.native_results import found_by, ran_at
from interlock.agents.provider import Message, ModelRequest, ModelResponse, ProviderSettings
from interlock.agents.providers import make_provider
from interlock.errors import ToolFailed
from interlock.testing import Reply, SimulatedProvider, Text
from interlock.testing.native_items import ran_code, searched

Api = Literal["openai-responses", "anthropic"]
apis = pytest.mark.parametrize("api", ["openai-responses", "anthropic"])
streaming = pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
PAGES = [
    {"url": "https://a.example/walrus", "title": "Walrus", "text": "It weighs 1.7 tonnes."},
    {"url": "https://b.example/seal", "title": "Seal"},
    {"url": "javascript:alert(1)", "title": "No page"},
]
MARK = "\n=> "


async def answered(
    api: Api, reply: Reply, *, stream: bool = False, container: str = ""
) -> tuple[ModelResponse, dict[str, Any]]:
    async with SimulatedProvider([reply]) as simulated:
        url = simulated.anthropic_url if api == "anthropic" else simulated.openai_url
        provider = make_provider(ProviderSettings(name="vendor", api=api, api_key="sk-test", base_url=url))
        request = ModelRequest(
            model="simulated",
            messages=[Message(role="user", text="Go.")],
            native_tools=("web_search", "code_interpreter"),
            native_uses={"web_search": 2, "code_interpreter": 4},
            container=container,
        )
        try:
            response = await provider.complete(request, (lambda text: None) if stream else None)
        finally:
            await provider.close()
        return response, dict(simulated.requests[0].body)


@streaming
@apis
async def test_a_search_has_the_form_of_the_local_one_with_its_sources(api: Api, stream: bool) -> None:
    response, _ = await answered(api, searched(api, "walrus weight", PAGES, "Heavy."), stream=stream)
    assert response.usage.searches == 1
    found = found_by("vendor", "walrus", 5, [response])
    assert found["query"] == "walrus"
    assert found["queries"] == ["walrus weight"]
    assert found["where"] == "native at vendor"
    assert found["text"].startswith("Heavy.")
    first, second = found["results"]
    assert first == {"title": "Walrus", "url": "https://a.example/walrus", "text": "It weighs 1.7 tonnes."}
    assert (second["url"], second["text"]) == ("https://b.example/seal", "")
    assert found_by("vendor", "walrus", 1, [response])["results"] == [first]


@streaming
@apis
async def test_a_run_of_code_has_the_form_of_the_local_one(api: Api, stream: bool) -> None:
    reply = ran_code(api, "6 * 7", "It is 42.", stdout=f"hi\n{MARK}42\n")
    response, _ = await answered(api, reply, stream=stream)
    ran = ran_at("vendor", MARK, [response])
    assert (ran["exit_code"], ran["stdout"], ran["stderr"], ran["value"]) == (0, "hi\n", "", "42")
    assert ran["text"] == "It is 42."
    assert "6 * 7" in ran["code"][0]
    assert ran["container"]
    assert not ran["truncated"]


@apis
async def test_code_that_breaks_says_so(api: Api) -> None:
    trace = "Traceback (most recent call last):\nValueError: no\n"
    ran = ran_at("vendor", MARK, [(await answered(api, ran_code(api, "no()", stderr=trace, exit_code=1)))[0]])
    assert ran["exit_code"] == 1
    assert ran["value"] is None
    assert "ValueError" in ran["stdout"] + ran["stderr"]


async def test_openai_is_asked_for_what_it_leaves_out_and_bounded_in_all() -> None:
    _, body = await answered("openai-responses", Text("Hi."), container="cntr_1")
    assert body["max_tool_calls"] == 6
    assert {"web_search_call.action.sources", "code_interpreter_call.outputs"} <= set(body["include"])
    assert body["tools"][1] == {"type": "code_interpreter", "container": "cntr_1"}


async def test_anthropic_is_bounded_where_it_lets_itself_be() -> None:
    _, body = await answered("anthropic", Text("Hi."), container="container_1")
    search, code = body["tools"]
    assert search["max_uses"] == 2
    assert "max_uses" not in code
    assert body["container"] == "container_1"


@apis
async def test_an_answer_without_a_search_or_a_run_is_no_result(api: Api) -> None:
    response, _ = await answered(api, Text("I know that already."))
    with pytest.raises(ToolFailed) as search:
        found_by("vendor", "q", 5, [response])
    with pytest.raises(ToolFailed) as run:
        ran_at("vendor", MARK, [response])
    assert search.value.code == run.value.code == "tool.native_unused"


async def test_a_search_that_fails_at_the_vendor_fails_here() -> None:
    use = {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {"query": "q"}}
    for word, told in (("max_uses_exceeded", "max_uses_exceeded"), ("<script>", "unknown"), (7, "unknown")):
        outcome = {"type": "web_search_tool_result_error", "error_code": word}
        refused = {"type": "web_search_tool_result", "tool_use_id": "s", "content": outcome}
        response, _ = await answered("anthropic", Text("Sorry.", native=(use, refused)))
        with pytest.raises(ToolFailed, match=told) as caught:
            found_by("vendor", "q", 5, [response])
        assert caught.value.code == "tool.native"


async def test_opening_a_page_is_no_search_that_is_billed() -> None:
    actions = ({"type": "search", "query": "q"}, {"type": "open_page", "url": "https://a"}, {"type": "find_in_page"})
    native = tuple(
        {"id": "ws", "type": "web_search_call", "status": "completed", "action": action} for action in actions
    )
    response, _ = await answered("openai-responses", Text("Found.", native=native))
    assert response.usage.searches == 1


async def test_what_anthropic_bills_counts_not_what_it_lists() -> None:
    items: dict[str, Any] = {"items": [{"type": "server_tool_use", "name": "web_search", "input": {}}]}
    assert ModelResponse(native=items).usage.searches == 0
    response, _ = await answered("anthropic", Text("Hi.", native=tuple(items["items"]) * 2))
    assert response.usage.searches == 2


def test_items_of_any_form_are_looked_through() -> None:
    odd: list[Any] = [
        {"type": "web_search_call", "action": 1},
        {"type": "code_interpreter_call", "outputs": "x", "container_id": 3, "status": []},
        {"type": "message", "content": [1, {"text": 1, "annotations": [{"type": "url_citation", "start_index": "a"}]}]},
        {"type": "web_search_tool_result", "content": [None, {"url": 1}]},
        {"type": ["list"], "citations": {"a": 1}, "content": {"content": 3}},
        "text",
    ]
    response = ModelResponse(native={"items": odd, "container": 4})
    assert found_by("vendor", "q", 5, [response])["results"] == []
    assert ran_at("vendor", MARK, [response])["stdout"] == ""
