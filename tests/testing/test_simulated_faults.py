"""Every fault reaches the vendors' SDKs as the error they have for it."""

from __future__ import annotations

import asyncio
import json

import anthropic
import httpx2
import openai
import pytest

from interlock.errors import UsageError
from interlock.testing import Fault, SimulatedProvider, Text
from tests.testing.conftest import Sdks

ERRORS = {
    400: (openai.BadRequestError, anthropic.BadRequestError, "invalid_request_error"),
    401: (openai.AuthenticationError, anthropic.AuthenticationError, "authentication_error"),
    404: (openai.NotFoundError, anthropic.NotFoundError, "not_found_error"),
    429: (openai.RateLimitError, anthropic.RateLimitError, "rate_limit_error"),
    500: (openai.InternalServerError, anthropic.InternalServerError, "api_error"),
    503: (openai.InternalServerError, anthropic.ServiceUnavailableError, "api_error"),
    529: (openai.InternalServerError, anthropic.OverloadedError, "overloaded_error"),
}
#: Anthropic's SDK lets the transport's own errors through once a stream has begun.
CUT = {
    "openai-chat": openai.APIConnectionError,
    "openai-responses": openai.APIConnectionError,
    "anthropic": httpx2.ReadError,
}
SILENT = {
    "openai-chat": openai.APITimeoutError,
    "openai-responses": openai.APITimeoutError,
    "anthropic": httpx2.ReadTimeout,
}


def sdk(api):
    return anthropic if api == "anthropic" else openai


@pytest.mark.parametrize("code", ERRORS)
async def test_an_error_status_becomes_the_sdks_error(connect, api, stream, code):
    _, sdks = await connect([Fault.status(code, retry_after=1.5)])
    with pytest.raises(ERRORS[code][api == "anthropic"]) as caught:
        await sdks.ask(api, stream=stream)
    assert caught.value.status_code == code
    assert caught.value.response.headers["retry-after"] == "1.5"
    assert caught.value.request_id == "req_000001"
    if api == "anthropic":
        assert caught.value.type == ERRORS[code][2]


async def test_openai_tells_a_wrong_key_and_a_rate_limit_by_code(connect):
    _, sdks = await connect([Fault.status(401), Fault.status(429, says="Slow down.")])
    with pytest.raises(openai.AuthenticationError) as caught:
        await sdks.ask("openai-responses")
    assert caught.value.code == "invalid_api_key"
    with pytest.raises(openai.RateLimitError, match="Slow down") as limited:
        await sdks.ask("openai-chat")
    assert limited.value.code == "rate_limit_exceeded"
    assert "retry-after" not in limited.value.response.headers


def test_a_status_that_is_no_error_is_refused():
    with pytest.raises(UsageError, match="200"):
        Fault.status(200)


async def test_a_timeout_holds_the_request_until_the_client_gives_up(connect, api, stream, aiohttp):
    sim, sdks = await connect([Fault.timeout()], aiohttp=aiohttp)
    with pytest.raises(sdk(api).APITimeoutError):
        await sdks.ask(api, stream=stream, timeout=0.1)
    assert len(sim.requests) == 1


async def test_a_stream_can_fall_silent(connect, api):
    _, sdks = await connect([Fault.timeout(after_chunks=3)])
    seen: list = []
    with pytest.raises(SILENT[api]):
        await sdks.events(api, seen, timeout=0.1)
    # Anthropic's SDK does not show the ping, which is the second event.
    assert len(seen) == (2 if api == "anthropic" else 3)


async def test_closing_the_server_ends_a_held_request_at_once(api):
    async with SimulatedProvider([Fault.timeout()]) as sim:
        sdks = Sdks(sim)
        asking = asyncio.ensure_future(sdks.ask(api, timeout=60))
        while not sim.requests:
            await asyncio.sleep(0)
    with pytest.raises(sdk(api).APIConnectionError) as caught:
        await asking
    assert not isinstance(caught.value, sdk(api).APITimeoutError)
    await sdks.close()


async def test_malformed_json_is_an_error_of_reading(connect, api, aiohttp):
    _, sdks = await connect([Fault.malformed_json()], aiohttp=aiohttp)
    with pytest.raises(json.JSONDecodeError):
        await sdks.ask(api)


async def test_malformed_json_in_a_stream_comes_after_good_events(connect, api):
    _, sdks = await connect([Fault.malformed_json()])
    seen: list = []
    with pytest.raises(json.JSONDecodeError):
        await sdks.events(api, seen)
    assert len(seen) == (1 if api == "anthropic" else 2)


async def test_a_cut_answer_is_a_broken_connection(connect, api, aiohttp):
    _, sdks = await connect([Fault.cut_stream()], aiohttp=aiohttp)
    with pytest.raises(sdk(api).APIConnectionError) as caught:
        await sdks.ask(api)
    assert not isinstance(caught.value, sdk(api).APITimeoutError)


@pytest.mark.parametrize("chunks", [0, 3])
async def test_a_stream_is_cut_after_so_many_events(connect, api, aiohttp, chunks):
    _, sdks = await connect([Fault.cut_stream(after_chunks=chunks, reply=Text("one two three"))], aiohttp=aiohttp)
    seen: list = []
    with pytest.raises(CUT[api]):
        await sdks.events(api, seen)
    assert len(seen) == (max(0, chunks - 1) if api == "anthropic" else chunks)


async def test_an_html_page_is_not_taken_for_an_answer(connect, api):
    _, sdks = await connect([Fault.wrong_content_type()])
    with pytest.raises(sdk(api).APIResponseValidationError):
        await sdks.ask(api)


async def test_an_html_page_comes_out_of_a_lax_sdk_as_text(connect):
    _, sdks = await connect([Fault.wrong_content_type()] * 2, strict=False)
    answer = await sdks.openai.responses.create(model="m", input="x")
    assert isinstance(answer, str)
    assert answer.startswith("<!doctype html>")
    seen: list = []
    await sdks.events("openai-responses", seen)
    assert seen == []


async def test_a_giant_answer_arrives_whole(connect, api, stream, aiohttp):
    _, sdks = await connect([Fault.giant(megabytes=2)], aiohttp=aiohttp)
    heard = await sdks.ask(api, stream=stream)
    assert len(heard.text) == 2_000_000
    assert heard.output_tokens == 500_000


async def test_an_empty_answer_is_an_error_of_reading_or_a_stream_of_nothing(connect, api):
    _, sdks = await connect([Fault.empty(), Fault.empty()])
    with pytest.raises(json.JSONDecodeError):
        await sdks.ask(api)
    seen: list = []
    await sdks.events(api, seen)
    assert seen == []


async def test_a_reset_is_a_broken_connection(connect, api, stream, aiohttp):
    sim, sdks = await connect([Fault.reset()], aiohttp=aiohttp)
    with pytest.raises(sdk(api).APIConnectionError):
        await sdks.ask(api, stream=stream)
    assert len(sim.requests) == 1


async def test_the_sdks_own_retries_get_past_a_fault(connect, api):
    sim, sdks = await connect(
        [Fault.status(500, retry_after=0.001), Fault.status(429, retry_after=0.001), Text("third time lucky")]
    )
    sdks.openai.max_retries = sdks.anthropic.max_retries = 2
    assert (await sdks.ask(api)).text == "third time lucky"
    assert len(sim.requests) == 3
