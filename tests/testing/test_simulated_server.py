"""The simulated provider as a server: its life, its record, its script, its manners."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import anthropic
import httpx2
import openai
import pytest

from interlock.errors import UsageError
from interlock.testing import Fault, RequestView, SimulatedProvider, Text

TALK = {
    "openai-chat": {
        "model": "m",
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": [{"type": "text", "text": "How full?"}]},
            {
                "role": "assistant",
                "content": "Let me look.",
                "tool_calls": [
                    {"id": "c1", "type": "function", "function": {"name": "shell", "arguments": '{"argv":["df"]}'}},
                    {"id": "c2", "type": "function", "function": {"name": "shell", "arguments": '{"argv":["du"]}'}},
                ],
            },
            {"role": "tool", "tool_call_id": "c1", "content": "71%"},
            {"role": "tool", "tool_call_id": "c2", "content": [{"type": "text", "text": "9G"}]},
        ],
        "tools": [{"type": "function", "function": {"name": "shell", "description": "Run", "parameters": {"a": 1}}}],
        "response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "object"}}},
    },
    "openai-responses": {
        "model": "m",
        "instructions": "Be brief.",
        "input": [
            {"role": "user", "content": [{"type": "input_text", "text": "How full?"}]},
            {"type": "reasoning", "id": "rs_1", "summary": []},
            {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Let me look."}]},
            {"type": "function_call", "call_id": "c1", "name": "shell", "arguments": '{"argv":["df"]}'},
            {"type": "function_call", "call_id": "c2", "name": "shell", "arguments": '{"argv":["du"]}'},
            {"type": "function_call_output", "call_id": "c1", "output": "71%"},
            {"type": "function_call_output", "call_id": "c2", "output": [{"type": "input_text", "text": "9G"}]},
        ],
        "tools": [{"type": "function", "name": "shell", "description": "Run", "parameters": {"a": 1}}],
        "text": {"format": {"type": "json_schema", "name": "x", "schema": {"type": "object"}}},
    },
    "anthropic": {
        "model": "m",
        "max_tokens": 9,
        "system": [{"type": "text", "text": "Be brief."}],
        "messages": [
            {"role": "user", "content": "How full?"},
            {
                "role": "assistant",
                "content": [
                    {"type": "thinking", "thinking": "Hm.", "signature": "x"},
                    {"type": "text", "text": "Let me look."},
                    {"type": "tool_use", "id": "c1", "name": "shell", "input": {"argv": ["df"]}},
                    {"type": "tool_use", "id": "c2", "name": "shell", "input": {"argv": ["du"]}},
                ],
            },
            {
                "role": "user",
                "content": [
                    {"type": "tool_result", "tool_use_id": "c1", "content": "71%"},
                    {"type": "tool_result", "tool_use_id": "c2", "content": [{"type": "text", "text": "9G"}]},
                ],
            },
        ],
        "tools": [{"name": "shell", "description": "Run", "input_schema": {"a": 1}}],
        "output_config": {"format": {"type": "json_schema", "schema": {"type": "object"}}},
    },
}
PATHS = {
    "openai-chat": "/v1/chat/completions",
    "openai-responses": "/v1/responses",
    "anthropic": "/v1/messages",
}
KEY = {"x-api-key": "k"}


def post(sim, api, body, headers=KEY, verify=False):
    return httpx2.post(f"{sim.url}{PATHS[api]}", json=body, headers=headers, verify=False)


def test_one_conversation_looks_the_same_over_every_wire(api):
    with SimulatedProvider() as sim:
        assert post(sim, api, TALK[api], {**KEY, "Idempotency-Key": "run/1"}).status_code == 200
    view = sim.requests[0].view
    assert (view.api, view.model, view.system, view.stream, view.number) == (api, "m", "Be brief.", False, 1)
    assert [(message.role, message.text) for message in view.messages] == [
        ("user", "How full?"),
        ("assistant", "Let me look."),
        ("tool", "71%"),
        ("tool", "9G"),
    ]
    assert [(wish.id, wish.name, wish.arguments) for wish in view.messages[1].tool_calls] == [
        ("c1", "shell", '{"argv":["df"]}'),
        ("c2", "shell", '{"argv":["du"]}'),
    ]
    assert view.results == {"c1": "71%", "c2": "9G"}
    assert view.asked == "How full?"
    assert [(tool.name, tool.description, tool.parameters) for tool in view.tools] == [("shell", "Run", {"a": 1})]
    assert view.schema == {"type": "object"}
    assert view.key == "run/1"


def test_requests_are_recorded_without_their_keys():
    with SimulatedProvider(clock=lambda: 1234.5) as sim:
        post(sim, "anthropic", TALK["anthropic"], {"x-api-key": "sk-secret", "Idempotency-Key": "once"})
        post(sim, "openai-chat", TALK["openai-chat"], {"Authorization": "Bearer sk-secret"})
    first, second = sim.requests
    assert (first.api, first.path, first.key, first.has_key) == ("anthropic", "/v1/messages", "once", True)
    assert first.headers["x-api-key"] == second.headers["authorization"] == "***"
    assert "sk-secret" not in repr(sim.requests)
    assert first.body == TALK["anthropic"]
    assert (first.started_at, second.view.number) == (1234.5, 2)


def test_nothing_is_recorded_when_that_is_switched_off():
    with SimulatedProvider(record=False) as sim:
        assert post(sim, "openai-chat", TALK["openai-chat"]).status_code == 200
    assert sim.requests == []


def test_a_script_function_sees_the_conversation(api):
    with SimulatedProvider(lambda view: Text(f"It says {view.results['c1']} to {view.asked}")) as sim:
        assert "It says 71% to How full?" in post(sim, api, TALK[api]).text


def test_a_used_up_script_gives_the_default(api):
    with SimulatedProvider([Text("first")], default=Text("then this")) as sim:
        answers = [post(sim, api, TALK[api]).text for _ in range(3)]
    assert ["first" in answers[0], *("then this" in answer for answer in answers[1:])] == [True] * 3


def test_a_used_up_strict_script_refuses(api):
    with SimulatedProvider([Text("first")], strict=True) as sim:
        assert post(sim, api, TALK[api]).status_code == 200
        refused = post(sim, api, TALK[api])
    assert refused.status_code == 400
    assert "request 2" in refused.json()["error"]["message"]


def test_a_script_is_replaced_while_it_runs():
    with SimulatedProvider([Text("old")] * 3) as sim:
        assert sim.unused == 3
        sim.script = [Fault.status(503), Text("new")]
        assert [post(sim, "openai-chat", TALK["openai-chat"]).status_code for _ in range(2)] == [503, 200]
        assert sim.unused == 0


def test_a_script_of_something_else_is_refused():
    with pytest.raises(UsageError, match="not str"):
        SimulatedProvider(["hello"])


def test_a_script_function_that_fails_is_told_to_both_sides():
    def script(view: RequestView):
        raise LookupError("no such disk")

    with pytest.raises(LookupError, match="no such disk"):
        with SimulatedProvider(script) as sim:
            refused = post(sim, "openai-chat", TALK["openai-chat"])
    assert refused.status_code == 400
    assert "LookupError" in refused.json()["error"]["message"]


def test_a_script_function_must_give_a_reply():
    with pytest.raises(UsageError, match="not NoneType"):
        with SimulatedProvider(lambda view: None) as sim:
            assert post(sim, "openai-chat", TALK["openai-chat"]).status_code == 400


def test_a_request_without_a_key_is_refused_as_the_vendor_refuses_it(api):
    with SimulatedProvider([Text("kept")]) as sim:
        refused = post(sim, api, TALK[api], {})
        assert sim.unused == 1
    assert refused.status_code == 401
    assert refused.json()["error"]["type"] == (
        "authentication_error" if api == "anthropic" else "invalid_request_error"
    )
    assert [(request.has_key, request.view) for request in sim.requests] == [(False, None)]


def test_a_key_is_needed_only_where_it_is_wanted(api):
    with SimulatedProvider(require_key=False) as sim:
        assert post(sim, api, TALK[api], {}).status_code == 200


def test_only_the_accepted_keys_open_the_door(api):
    with SimulatedProvider(accept_keys=["good"]) as sim:
        assert sim.env()["OPENAI_API_KEY"] == sim.env()["ANTHROPIC_API_KEY"] == "good"
        codes = [post(sim, api, TALK[api], {"x-api-key": key}).status_code for key in ("good", "bad")]
        listed = httpx2.get(f"{sim.url}/v1/models", headers={"Authorization": "Bearer bad"}, verify=False)
    assert codes == [200, 401]
    assert (listed.status_code, listed.json()["error"]["code"]) == (401, "invalid_api_key")


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b'"x"', b"{}", b'{"model":"m"}', b'{"model":"m","messages":[7],"input":[7],"max_tokens":1}'],
)
def test_a_request_that_makes_no_sense_is_refused(api, body):
    with SimulatedProvider([Text("kept")]) as sim:
        refused = httpx2.post(f"{sim.url}{PATHS[api]}", content=body, headers=KEY, verify=False)
        assert sim.unused == 1
    assert (refused.status_code, refused.json()["error"]["type"]) == (400, "invalid_request_error")


def test_anthropic_wants_to_know_the_most_tokens():
    with SimulatedProvider() as sim:
        refused = post(sim, "anthropic", {"model": "m", "messages": []})
    assert "max_tokens" in refused.json()["error"]["message"]


def _without(talk, what):
    body = json.loads(json.dumps(talk))
    turns = body.get("messages") or body["input"]
    kept = [turn for turn in turns if what not in json.dumps(turn)]
    body["messages" if "messages" in body else "input"] = kept
    return body


@pytest.mark.parametrize(
    ("cut", "says"),
    [
        (
            {"openai-chat": "tool_call_id", "openai-responses": "call_output", "anthropic": "tool_result"},
            "no tool result",
        ),
        (
            {"openai-chat": "tool_calls", "openai-responses": '"function_call"', "anthropic": 'tool_use"'},
            "no tool call",
        ),
    ],
    ids=["result", "call"],
)
def test_a_tool_call_and_its_result_must_not_be_parted(api, cut, says):
    with SimulatedProvider() as sim:
        refused = post(sim, api, _without(TALK[api], cut[api]))
    assert refused.status_code == 400
    assert says in refused.json()["error"]["message"]


def test_an_unknown_address_is_not_found():
    with SimulatedProvider() as sim:
        assert httpx2.post(f"{sim.url}/v1/embeddings", json={}, headers=KEY, verify=False).status_code == 404
        assert httpx2.get(f"{sim.url}/v1/messages", headers=KEY, verify=False).status_code == 404
        headers = {**KEY, "anthropic-version": "2023-06-01"}
        assert httpx2.get(f"{sim.url}/", headers=headers, verify=False).json()["error"]["type"] == "not_found_error"


def test_a_long_request_is_taken():
    with SimulatedProvider() as sim:
        body = {"model": "m", "input": "x" * 10_000_000}
        assert post(sim, "openai-responses", body).json()["usage"]["input_tokens"] == 2_500_000


def test_the_synchronous_sdks_work_beside_it():
    with SimulatedProvider([Text("one"), Text("two")]) as sim:
        with openai.OpenAI(base_url=sim.openai_url, api_key="k") as client:
            assert client.responses.create(model="m", input="x").output_text == "one"
        with anthropic.Anthropic(base_url=sim.anthropic_url, api_key="k") as other:
            with other.messages.stream(model="m", max_tokens=9, messages=[{"role": "user", "content": "x"}]) as events:
                assert events.get_final_text() == "two"


def test_many_threads_get_each_reply_once():
    with SimulatedProvider([Text(f"reply-{number}.") for number in range(64)], strict=True) as sim:
        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda _: post(sim, "openai-chat", TALK["openai-chat"]).json(), range(64)))
        assert len(sim.requests) == 64
    said = [answer["choices"][0]["message"]["content"] for answer in answers]
    assert sorted(said) == sorted(f"reply-{number}." for number in range(64))
    assert len({answer["id"] for answer in answers}) == 64


def test_it_listens_on_loopback_only_and_not_after_its_end():
    sim = SimulatedProvider()
    with pytest.raises(UsageError):
        assert sim.url
    with sim:
        url = sim.url
        assert url.startswith("http://127.0.0.1:")
        with pytest.raises(UsageError), sim:
            pass
        assert httpx2.get(f"{url}/v1/models", headers=KEY, verify=False).status_code == 200
    with pytest.raises(httpx2.ConnectError):
        httpx2.get(f"{url}/v1/models", headers=KEY, verify=False)
    with sim:
        assert httpx2.get(f"{sim.url}/v1/models", headers=KEY, verify=False).status_code == 200


async def test_a_taken_port_is_a_clear_error():
    async with SimulatedProvider() as sim:
        port = int(sim.url.rsplit(":", 1)[1])
        with pytest.raises(UsageError, match=str(port)):
            async with SimulatedProvider(port=port):
                pass
        with pytest.raises(UsageError, match=str(port)):
            with SimulatedProvider(port=port):
                pass


async def test_latency_holds_the_answer_back(connect):
    _, sdks = await connect(default=Text("late"), latency=30)
    with pytest.raises(openai.APITimeoutError):
        await sdks.ask("openai-chat", timeout=0.05)
    _, sdks = await connect([Text("prompt", latency=0)], latency=30)
    assert (await sdks.ask("openai-chat")).text == "prompt"


def test_it_serves_in_a_process_of_its_own():
    command = [sys.executable, "-m", "interlock.testing.simulated", "--latency-ms", "1", "--reply", "from afar"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        with openai.OpenAI(base_url=f"{url}/v1", api_key="k") as client:
            assert client.responses.create(model="m", input="x").output_text == "from afar"
        process.send_signal(signal.SIGTERM)
        out, errors = process.communicate(timeout=30)
    assert (process.returncode, out, errors) == (0, "", "")


def test_a_child_process_finds_it_through_its_environment():
    program = "import openai; print(openai.OpenAI().responses.create(model='m', input='x').output_text)"
    with SimulatedProvider([Text("hello, child")]) as sim:
        done = subprocess.run(
            [sys.executable, "-c", program], env={**os.environ, **sim.env()}, capture_output=True, text=True, timeout=60
        )
    assert done.stdout.strip() == "hello, child", done.stderr
