"""Every fault of a provider or the network, over all three wires, streamed and not, with real HTTP."""

from __future__ import annotations

import asyncio
import gzip
import json
from typing import Any

import pytest

from interlock import errors
from interlock.agents.provider import Message, ModelRequest, ProviderSettings
from interlock.agents.providers import make_provider
from interlock.errors import (
    AgentAPIError,
    AgentFailed,
    AgentTimeoutError,
    AuthenticationError,
    ConnectionFailed,
    InvalidRequest,
    OutputInvalid,
    OutputTooLarge,
    QuotaUsedUp,
    RateLimitError,
)
from interlock.records.money import Usage
from interlock.testing import Fault, SimulatedProvider, Text
from tests.agents.canned import APIS, Canned, http, provider, sse

pytestmark = pytest.mark.parametrize("api", APIS)
streaming = pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])


def ask(timeout: float = 10.0, text: str = "Hello", key: str = "run/step/1") -> ModelRequest:
    return ModelRequest(model="simulated", messages=[Message(role="user", text=text)], timeout=timeout, key=key)


def on_text(stream: bool):
    return (lambda piece: None) if stream else None


async def failure(api: str, sim: SimulatedProvider | Canned, stream: bool, **settings: object) -> AgentFailed:
    """What one request fails with."""
    timeout = settings.pop("timeout", 10.0)
    async with provider(api, sim.url, **settings) as one:  # type: ignore[arg-type]
        with pytest.raises(AgentFailed) as caught:
            await one.complete(ask(timeout), on_text(stream))  # type: ignore[arg-type]
    return caught.value


@streaming
@pytest.mark.parametrize(
    ("status", "kind", "code", "retryable"),
    [
        (400, InvalidRequest, "agent.invalid_request", False),
        (401, AuthenticationError, "agent.authentication", False),
        (403, AuthenticationError, "agent.authentication", False),
        (404, InvalidRequest, "agent.invalid_request", False),
        (408, AgentAPIError, "agent.server_error", True),
        (409, AgentAPIError, "agent.server_error", True),
        (413, InvalidRequest, "agent.invalid_request", False),
        (422, InvalidRequest, "agent.invalid_request", False),
        (429, RateLimitError, "agent.rate_limit", True),
        (500, AgentAPIError, "agent.server_error", True),
        (503, AgentAPIError, "agent.server_error", True),
        (529, AgentAPIError, "agent.server_error", True),
    ],
)
async def test_an_error_status_becomes_the_error_of_its_kind(
    api: str, stream: bool, status: int, kind: type[AgentFailed], code: str, retryable: bool
) -> None:
    async with SimulatedProvider(script=[Fault.status(status, retry_after=2)]) as sim:
        error = await failure(api, sim, stream)
    assert (type(error), error.code, error.retryable, error.retry_after) == (kind, code, retryable, 2.0)
    assert error.says.startswith(("Acme ", "The account at Acme "))


@streaming
@pytest.mark.parametrize(
    ("fault", "whole", "streamed"),
    [
        (Fault.malformed_json(), OutputInvalid, OutputInvalid),
        (Fault.wrong_content_type(), AgentAPIError, AgentAPIError),
        (Fault.empty(), OutputInvalid, ConnectionFailed),
        (Fault.reset(), ConnectionFailed, ConnectionFailed),
        (Fault.cut_stream(after_chunks=0), ConnectionFailed, ConnectionFailed),
        (Fault.cut_stream(after_chunks=3), ConnectionFailed, ConnectionFailed),
    ],
    ids=["malformed", "content_type", "empty", "reset", "cut_at_once", "cut_later"],
)
async def test_a_broken_answer_becomes_an_error_that_may_be_retried(
    api: str, stream: bool, fault: Fault, whole: type[AgentFailed], streamed: type[AgentFailed]
) -> None:
    async with SimulatedProvider(script=[fault, Text("Fine.")]) as sim:
        async with provider(api, sim.url) as one:
            with pytest.raises(AgentFailed) as caught:
                await one.complete(ask(), on_text(stream))
            assert type(caught.value) is (streamed if stream else whole)
            assert caught.value.retryable
            assert (await one.complete(ask(), on_text(stream))).text == "Fine."


@streaming
@pytest.mark.parametrize("after", [0, 2])
async def test_an_answer_that_does_not_come_is_given_up_in_time(api: str, stream: bool, after: int) -> None:
    async with SimulatedProvider(script=[Fault.timeout(after_chunks=after)]) as sim:
        error = await failure(api, sim, stream, timeout=0.2)
    assert type(error) is AgentTimeoutError
    assert error.says == "Acme did not answer within 0.2 seconds."


async def test_a_proxy_of_the_environment_is_used(api: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NO_PROXY", "no_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    async with Canned(http(status="502 Bad Gateway")) as proxy:
        monkeypatch.setenv("http_proxy", proxy.url)
        async with provider(api, "http://models.invalid") as one:
            with pytest.raises(AgentAPIError):
                await one.complete(ask())
        assert proxy.heads[0].startswith(b"POST http://models.invalid/v1/")


@streaming
async def test_a_request_that_is_cancelled_stops_and_frees_its_connection(api: str, stream: bool) -> None:
    async with SimulatedProvider(script=[Fault.timeout(after_chunks=2), Text("Next.")]) as sim:
        async with provider(api, sim.url) as one:
            task = asyncio.create_task(one.complete(ask(), on_text(stream)))
            while not sim.requests:
                await asyncio.sleep(0.001)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert (await one.complete(ask(), on_text(stream))).text == "Next."


@streaming
async def test_a_giant_answer_is_refused_and_not_retried(api: str, stream: bool) -> None:
    async with SimulatedProvider(script=[Fault.giant(2)]) as sim:
        error = await failure(api, sim, stream, limit=1_000_000)
    assert type(error) is OutputTooLarge
    assert error.code == "agent.output_too_large"
    assert not error.retryable


@streaming
async def test_a_large_answer_within_the_limit_arrives_whole(api: str, stream: bool) -> None:
    async with SimulatedProvider(script=[Fault.giant(3)]) as sim, provider(api, sim.url) as one:
        assert len((await one.complete(ask(), on_text(stream))).text) == 3_000_000


@streaming
async def test_an_endless_answer_is_never_held_beyond_the_limit(api: str, stream: bool) -> None:
    kind = "text/event-stream" if stream else "application/json"
    head = f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\n\r\ndata: ".encode()
    async with Canned(head, more=b"x" * 65_536) as server:
        error = await failure(api, server, stream, limit=1_000_000)
        assert type(error) is OutputTooLarge
        assert server.sent < 20_000_000  # the limit and what sockets hold


async def test_a_length_beyond_the_limit_is_refused_before_reading(api: str) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 99000000\r\n\r\n"
    async with Canned(head, hold=True) as server:
        assert type(await failure(api, server, False)) is OutputTooLarge


@streaming
@pytest.mark.parametrize(
    "body",
    [b"[]", b"{}", b'"text"', b"null", b'{"choices": [1], "output": [1], "content": [1]}', b"[" * 100_000, b"\xff{}"],
    ids=["list", "object", "text", "null", "wrong_items", "deep", "not_utf8"],
)
async def test_json_of_another_shape_is_an_invalid_answer(api: str, stream: bool, body: bytes) -> None:
    final = {"anthropic": b'{"type":"message_stop"}', "openai-chat": b"[DONE]"}.get(
        api, b'{"type":"response.completed","response":{}}'
    )
    answer = sse(body, final) if stream else http(body)
    async with Canned(answer) as server:
        assert type(await failure(api, server, stream)) is OutputInvalid


@streaming
@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("rate_limit_exceeded", RateLimitError),
        ("insufficient_quota", QuotaUsedUp),
        ("authentication_error", AuthenticationError),
        ("invalid_request_error", InvalidRequest),
        ("overloaded_error", AgentAPIError),
        ("something_new", AgentAPIError),
    ],
)
async def test_an_error_inside_an_answer_is_found(
    api: str, stream: bool, kind: str, expected: type[AgentFailed]
) -> None:
    body = json.dumps({"type": "error", "error": {"type": kind, "message": "No."}}).encode()
    async with Canned(sse(body) if stream else http(body)) as server:
        error = await failure(api, server, stream)
    assert type(error) is expected
    assert error.says.endswith(": No.")


@streaming
async def test_a_used_up_account_is_not_retried(api: str, stream: bool) -> None:
    body = b'{"error": {"message": "You exceeded your current quota.", "code": "insufficient_quota"}}'
    async with Canned(http(body, status="429 Too Many Requests")) as server:
        error = await failure(api, server, stream)
    assert (type(error), error.code, error.retryable) == (QuotaUsedUp, "agent.quota", False)


async def test_the_wait_may_be_given_in_milliseconds(api: str) -> None:
    answer = http(b"{}", status="429 Too Many Requests", headers=b"retry-after-ms: 1500\r\nRetry-After: 9\r\n")
    async with Canned(answer) as server:
        assert (await failure(api, server, False)).retry_after == 1.5


async def test_nobody_is_told_the_key_the_address_or_control_characters(api: str) -> None:
    key = "sk-live-0123456789abcdef0123456789abcdef"
    message = f"Bad key {key}\x1b[2J\u202e for org-9f8e7d6c5b4a, see https://x.example/keys?k=1 now. " + "blah " * 99
    body = json.dumps({"error": {"message": message}}).encode()
    async with Canned(http(body, status="401 Unauthorized")) as server:
        error = await failure(api, server, False, key=key)
        for text in (error.says, error.do, error.detail, str(error)):
            assert "0123456789abcdef" not in text
            assert "http" not in text.replace("HTTP 401", "")
            assert server.url not in text
            assert text.isprintable()
            assert "9f8e7d6c" not in text
    assert len(error.says) < 250


async def test_a_redirect_is_not_followed(api: str) -> None:
    async with Canned(http()) as elsewhere:
        answer = http(status="307 Temporary Redirect", headers=f"Location: {elsewhere.url}/v1\r\n".encode())
        async with Canned(answer) as server:
            error = await failure(api, server, False)
        assert type(error) is InvalidRequest
        assert elsewhere.heads == []


async def test_an_answer_compressed_in_an_unknown_way_is_refused(api: str) -> None:
    async with Canned(http(b"abc", headers=b"Content-Encoding: br\r\n")) as server:
        assert type(await failure(api, server, False)) is OutputInvalid


async def test_a_compressed_answer_is_read_and_its_limit_is_that_of_the_unpacked(api: str) -> None:
    body = gzip.compress(b" " * 5_000_000)
    async with Canned(http(body, headers=b"Content-Encoding: gzip\r\n")) as server:
        assert type(await failure(api, server, False, limit=1_000_000)) is OutputTooLarge


@streaming
async def test_nobody_listening_is_a_failed_connection(api: str, stream: bool) -> None:
    async with Canned(b"") as server:
        pass
    error = await failure(api, server, stream)
    assert type(error) is ConnectionFailed
    assert server.url not in f"{error.says}{error.do}"


async def test_an_answer_that_is_not_http_is_a_failed_connection(api: str) -> None:
    async with Canned(b"SSH-2.0-OpenSSH_9.6\r\n\r\n") as server:
        assert type(await failure(api, server, False)) is ConnectionFailed


@streaming
async def test_a_server_that_does_not_stream_is_understood_all_the_same(api: str, stream: bool) -> None:
    async with SimulatedProvider(script=[Text("Plain.")]) as sim, provider(api, sim.url) as one:
        whole = await one.complete(ask())
    message = {
        "openai-chat": {"choices": [{"message": {"content": "Plain."}, "finish_reason": "stop"}]},
        "openai-responses": {"output": [{"type": "message", "content": [{"type": "output_text", "text": "Plain."}]}]},
        "anthropic": {"content": [{"type": "text", "text": "Plain."}], "stop_reason": "end_turn"},
    }[api]
    heard: list[str] = []
    async with Canned(http(json.dumps(message).encode())) as server, provider(api, server.url) as one:
        answer = await one.complete(ask(), heard.append if stream else None)
    assert answer.text == whole.text == "Plain."
    assert heard == (["Plain."] if stream else [])


@streaming
async def test_an_answer_without_usage_has_no_known_usage(api: str, stream: bool) -> None:
    message = {
        "openai-chat": {"choices": [{"message": {"content": "Hi"}}], "usage": {"completion_tokens": 3}},
        "openai-responses": {"output": [], "usage": {"output_tokens": 3, "input_tokens": -1}},
        "anthropic": {"content": [], "usage": {"output_tokens": 3}},
    }[api]
    async with Canned(http(json.dumps(message).encode())) as server, provider(api, server.url) as one:
        usage = (await one.complete(ask(), on_text(stream))).usage
    assert (usage.total_tokens, usage.requests) == (0, 1)


@pytest.mark.parametrize("wrong", [2**63 - 1, 10**12 + 1, -1, 1.5, "7", True])
@pytest.mark.parametrize("of", ["in", "out", "cached"])
async def test_a_usage_with_a_count_that_makes_no_sense_is_unknown(api: str, wrong: Any, of: str) -> None:
    into, out, cached = (wrong if of == one else 7 for one in ("in", "out", "cached"))
    openai = {"prompt_tokens": into, "completion_tokens": out, "prompt_tokens_details": {"cached_tokens": cached}}
    message = {
        "openai-chat": {"choices": [{"message": {"content": "Hi"}}], "usage": openai},
        "openai-responses": {
            "output": [],
            "usage": {"input_tokens": into, "output_tokens": out, "input_tokens_details": {"cached_tokens": cached}},
        },
        "anthropic": {
            "content": [],
            "usage": {"input_tokens": into, "output_tokens": out, "cache_read_input_tokens": cached},
        },
    }[api]
    async with Canned(http(json.dumps(message).encode())) as server, provider(api, server.url) as one:
        usage = (await one.complete(ask())).usage
    assert usage == Usage(requests=1)


@streaming
async def test_the_connection_is_used_again(api: str, stream: bool) -> None:
    done = {
        "openai-chat": b'data: {"choices":[{"delta":{"content":"Hi"}}]}\n\ndata: [DONE]\n\n',
        "openai-responses": b'data: {"type":"response.completed","response":{"output":[]}}\n\n',
        "anthropic": b'data: {"type":"message_start","message":{}}\n\ndata: {"type":"message_stop"}\n\n',
    }[api]
    whole = b'{"choices": [{"message": {"content": ""}}], "output": [], "content": []}'
    answer = http(done, content_type="text/event-stream") if stream else http(whole)
    async with Canned(answer, hold=True) as server, provider(api, server.url) as one:
        for _ in range(3):
            await one.complete(ask(), on_text(stream))
        assert server.connections == 1


async def test_a_stream_is_done_with_its_final_event_even_if_the_server_goes_on(api: str) -> None:
    done = {
        "openai-chat": (b'{"choices":[{"delta":{"content":"Hi"}}]}', b"[DONE]"),
        "openai-responses": (b'{"type":"response.completed","response":{"output":[]}}',),
        "anthropic": (b'{"type":"message_start","message":{}}', b'{"type":"message_stop"}'),
    }[api]
    async with Canned(sse(*done), hold=True) as server, provider(api, server.url) as one:
        await one.complete(ask(timeout=5.0), on_text(True))  # type: ignore[arg-type]


async def test_each_request_carries_the_key_the_idempotency_key_and_no_retry(api: str) -> None:
    async with SimulatedProvider(script=[Fault.status(500)], accept_keys=["sk-test"]) as sim:
        async with provider(api, sim.url) as one:
            with pytest.raises(AgentAPIError):
                await one.complete(ask(key="run-1/model/2"))
            await one.complete(ask(key="lauf-ü/" + "x" * 300))
            await one.complete(ask(key=""))
        first, second, third = (request.key for request in sim.requests)
    assert first == "run-1/model/2"
    assert len(second) == 64
    assert third == ""


async def test_a_key_that_no_header_can_carry_is_not_accepted(api: str) -> None:
    async with Canned(b"") as server:
        error = await failure(api, server, False, key="sk-line\nbreak")
    assert type(error) is AuthenticationError
    assert "break" not in f"{error}{error.detail}"


async def test_a_key_of_the_environment_never_goes_to_another_address(
    api: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("OPENAI_API_KEY", "OPENAI_ADMIN_KEY", "ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN"):
        monkeypatch.setenv(name, "sk-from-the-environment")
    async with Canned(http(b"{}", status="500 Oops")) as server:
        await failure(api, server, False, key=None)
        assert b"sk-from-the-environment" not in server.heads[0]
        assert b"no-key" in server.heads[0]


async def test_a_key_of_the_environment_is_blanked_like_any_other(api: str, monkeypatch: pytest.MonkeyPatch) -> None:
    body = b'{"error": {"message": "Bad key: quite-secret-words."}}'
    async with Canned(http(body, status="401 Unauthorized")) as server:
        for vendor in ("OPENAI", "ANTHROPIC"):
            monkeypatch.setenv(f"{vendor}_API_KEY", "quite-secret-words")
            monkeypatch.setenv(f"{vendor}_BASE_URL", server.url)
        one = make_provider(ProviderSettings(name="Acme", api=api))  # type: ignore[arg-type]
        with pytest.raises(AuthenticationError) as caught:
            await one.ping()
        await one.close()
        assert b"Bearer quite-secret-words" in server.heads[0]
    assert caught.value.says == "Acme does not accept the key: Bad key: [key]."


async def test_no_key_at_all_is_said_before_anything_is_sent(
    api: str, monkeypatch: pytest.MonkeyPatch, tmp_path: object
) -> None:
    for name in (
        "OPENAI_API_KEY",
        "OPENAI_ADMIN_KEY",
        "ANTHROPIC_API_KEY",
        "ANTHROPIC_AUTH_TOKEN",
        "ANTHROPIC_PROFILE",
    ):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("ANTHROPIC_CONFIG_DIR", str(tmp_path))
    one = make_provider(ProviderSettings(name="Acme", api=api))  # type: ignore[arg-type]
    with pytest.raises(AuthenticationError, match="There is no key for Acme"):
        await one.ping()
    await one.close()


async def test_what_cannot_be_written_as_json_is_an_invalid_request(api: str) -> None:
    async with Canned(b"") as server, provider(api, server.url) as one:
        with pytest.raises(InvalidRequest):
            await one.complete(ask(text="half a character \ud800"))
        assert server.heads == []


async def test_ping_asks_for_the_models_and_pays_nothing(api: str) -> None:
    async with SimulatedProvider(accept_keys=["sk-test"]) as sim:
        async with provider(api, sim.url) as one:
            await one.ping()
        assert [(request.api, request.path) for request in sim.requests] == [("models", "/v1/models")]
        async with provider(api, sim.url, key="sk-wrong") as one:
            with pytest.raises(AuthenticationError):
                await one.ping()


async def test_ping_is_not_fooled_by_a_login_page(api: str) -> None:
    async with Canned(http(b"<html>", content_type="text/html")) as server, provider(api, server.url) as one:
        with pytest.raises(AgentAPIError, match="not a model's answer"):
            await one.ping()


async def test_closing_twice_does_nothing_and_a_later_request_opens_again(api: str) -> None:
    async with SimulatedProvider() as sim, provider(api, sim.url) as one:
        await one.complete(ask())
        await one.close()
        await one.close()
        assert (await one.complete(ask())).text == "This is the simulated provider."


async def test_a_provider_serves_several_event_loops(api: str) -> None:
    async with SimulatedProvider() as sim, provider(api, sim.url) as one:

        async def elsewhere() -> str:
            try:
                return (await one.complete(ask())).text
            finally:
                await one.close()

        here = await one.complete(ask())
        there = await asyncio.to_thread(lambda: asyncio.run(elsewhere()))
        assert here.text == there == (await one.complete(ask())).text


async def test_an_error_comes_back_from_its_code_as_what_it_was(api: str) -> None:
    async with Canned(http(status="402 Payment Required")) as server:
        error = await failure(api, server, False)
    assert type(errors.from_code(error.code, error.says)) is type(error) is QuotaUsedUp
