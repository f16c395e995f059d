"""Tracing: spans in the words of the GenAI conventions, nested, and without prompts, outputs or secrets."""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.semconv._incubating.attributes import gen_ai_attributes
from opentelemetry.trace import SpanKind, StatusCode

from interlock.errors import AgentTimeoutError, SettingsError
from interlock.platform.telemetry import Telemetry
from interlock.platform.tracing import ATTRIBUTES
from interlock.records.money import Usage


@pytest.fixture
def kept() -> InMemorySpanExporter:
    return InMemorySpanExporter()


@pytest.fixture
def telemetry(kept: InMemorySpanExporter) -> Iterator[Telemetry]:
    found = Telemetry()
    found.enable_tracing(kept)
    yield found
    found.close()


def by_name(kept: InMemorySpanExporter) -> dict[str, ReadableSpan]:
    return {span.name: span for span in kept.get_finished_spans()}


def test_spans_follow_the_conventions_and_nest(telemetry: Telemetry, kept: InMemorySpanExporter) -> None:
    with telemetry.span("task", "run", run="run_1", task="t1"):
        with telemetry.span("task", "routing", run="run_1") as routing:
            routing.set(platform="claude", reasons=("claude does research.",))
        with telemetry.span("claude", "agent", run="run_1"):
            with telemetry.span("claude-sonnet-5-5", "model", run="run_1", provider="anthropic") as model:
                model.set(
                    response_model="claude-sonnet-5-5-x", usage=Usage(input_tokens=9, output_tokens=3), stop="end"
                )
            with telemetry.span("shell", "tool", run="run_1", step="agent/tool/1", call_id="c1"):
                pass
    spans = by_name(kept)
    assert set(spans) == {
        "invoke_workflow task",
        "routing task",
        "invoke_agent claude",
        "chat claude-sonnet-5-5",
        "execute_tool shell",
    }
    assert spans["chat claude-sonnet-5-5"].kind is SpanKind.CLIENT
    assert dict(spans["chat claude-sonnet-5-5"].attributes or {}) == {
        "gen_ai.operation.name": "chat",
        "gen_ai.conversation.id": "run_1",
        "gen_ai.provider.name": "anthropic",
        "gen_ai.request.model": "claude-sonnet-5-5",
        "gen_ai.response.model": "claude-sonnet-5-5-x",
        "gen_ai.response.finish_reasons": ("end",),
        "gen_ai.usage.input_tokens": 9,
        "gen_ai.usage.output_tokens": 3,
        "gen_ai.usage.cache_read.input_tokens": 0,
        "gen_ai.usage.cache_creation.input_tokens": 0,
        "gen_ai.usage.reasoning.output_tokens": 0,
    }
    assert (spans["execute_tool shell"].attributes or {})["gen_ai.tool.name"] == "shell"
    assert (spans["invoke_agent claude"].attributes or {})["gen_ai.agent.name"] == "claude"
    agent = spans["invoke_agent claude"]
    assert agent.parent is not None
    assert agent.parent.span_id == spans["invoke_workflow task"].context.span_id
    for name in ("chat claude-sonnet-5-5", "execute_tool shell"):
        parent = spans[name].parent
        assert parent is not None
        assert parent.span_id == agent.context.span_id


def test_every_attribute_of_the_conventions_is_spelt_as_installed() -> None:
    known = {value for name, value in vars(gen_ai_attributes).items() if name.startswith("GEN_AI_")}
    assert {name for name in ATTRIBUTES.values() if name.startswith("gen_ai.")} <= known


def test_what_has_no_word_is_dropped(telemetry: Telemetry, kept: InMemorySpanExporter) -> None:
    with telemetry.span("gpt", "model", prompt="secret", messages=["secret"]) as span:
        span.set(output="secret", arguments={"a": "secret"}, model="m" * 1000)
    (found,) = kept.get_finished_spans()
    assert "secret" not in found.to_json()
    assert len(str((found.attributes or {})["gen_ai.request.model"])) == 256


def test_a_failure_is_told_by_its_code_and_never_by_its_message(
    telemetry: Telemetry, kept: InMemorySpanExporter
) -> None:
    with pytest.raises(AgentTimeoutError), telemetry.span("a", "agent"):
        raise AgentTimeoutError("It said: secret.")
    with pytest.raises(KeyError), telemetry.span("b", "agent"):
        raise KeyError("secret")
    with pytest.raises(KeyError), telemetry.span("c", "agent") as span:  # noqa: PT012 - both, in this order
        span.fail("tool.error")
        raise KeyError("secret")
    with telemetry.span("d", "agent") as span:
        span.fail("policy.refused")
    spans = by_name(kept)
    codes = {name: (span.attributes or {})["error.type"] for name, span in spans.items()}
    assert codes == {
        "invoke_agent a": "agent.timeout",
        "invoke_agent b": "KeyError",
        "invoke_agent c": "tool.error",
        "invoke_agent d": "policy.refused",
    }
    assert all(span.status.status_code is StatusCode.ERROR for span in spans.values())
    assert all("secret" not in span.to_json() for span in spans.values())


async def test_spans_of_concurrent_runs_do_not_mix(telemetry: Telemetry, kept: InMemorySpanExporter) -> None:
    turn = asyncio.Barrier(2)

    async def one(run: str) -> None:
        with telemetry.span(run, "run", run=run):
            await turn.wait()
            with telemetry.span(f"agent-{run}", "agent", run=run):
                await turn.wait()

    async with asyncio.TaskGroup() as group:
        group.create_task(one("a"))
        group.create_task(one("b"))
    spans = by_name(kept)
    for run in ("a", "b"):
        parent = spans[f"invoke_agent agent-{run}"].parent
        assert parent is not None
        assert parent.span_id == spans[f"invoke_workflow {run}"].context.span_id


def test_the_applications_own_provider_is_neither_used_nor_replaced(telemetry: Telemetry) -> None:
    before = trace.get_tracer_provider()
    with telemetry.span("x", "agent"):
        pass
    assert trace.get_tracer_provider() is before


def test_after_close_nothing_is_traced_and_closing_twice_is_harmless(kept: InMemorySpanExporter) -> None:
    telemetry = Telemetry()
    telemetry.enable_tracing(kept)
    telemetry.close()
    telemetry.close()
    with telemetry.span("x", "agent") as span:
        span.set(run="r")
    assert kept.get_finished_spans() == ()


def test_logfire_without_a_key_keeps_the_spans_here_and_says_so(caplog: pytest.LogCaptureFixture) -> None:
    telemetry = Telemetry()
    telemetry.enable_tracing("logfire", api_key=None, environ={})
    with telemetry.span("claude", "agent"):
        pass
    assert telemetry.tracing is not None
    assert [span.name for span in telemetry.tracing.recent] == ["invoke_agent claude"]
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert record.getMessage().startswith("tracing.kept_local")
    telemetry.close()


class _Collector(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.got.append((self.path, self.headers["Authorization"], body))  # type: ignore[attr-defined]
        self.send_response(200)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def collector() -> Iterator[HTTPServer]:
    server = HTTPServer(("127.0.0.1", 0), _Collector)
    server.got = []  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def test_spans_are_sent_to_a_collector_and_to_logfire_with_the_key(
    collector: HTTPServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = f"http://127.0.0.1:{collector.server_port}"
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", address)
    telemetry = Telemetry()
    telemetry.enable_tracing("otlp", api_key="one")
    telemetry.enable_tracing("logfire", environ={"LOGFIRE_TOKEN": "two", "LOGFIRE_BASE_URL": f"{address}/logfire/"})
    with telemetry.span("claude", "agent"):
        pass
    telemetry.close()
    got = sorted(collector.got, key=lambda one: str(one[1]))  # type: ignore[attr-defined]
    assert [one[:2] for one in got] == [("/v1/traces", "Bearer one"), ("/logfire/v1/traces", "two")]
    assert all(b"invoke_agent claude" in one[2] for one in got)


def test_the_console_is_stderr_since_stdout_is_the_answer(capsys: pytest.CaptureFixture[str]) -> None:
    telemetry = Telemetry()
    telemetry.enable_tracing("console")
    with telemetry.span("claude", "agent"):
        pass
    telemetry.close()
    out, err = capsys.readouterr()
    assert out == ""
    assert "invoke_agent claude" in err


def test_a_destination_that_nobody_knows_is_refused() -> None:
    with pytest.raises(SettingsError, match="did you mean console"):
        Telemetry().enable_tracing("consol")  # type: ignore[arg-type]
    with pytest.raises(SettingsError):
        Telemetry().enable_tracing(3)  # type: ignore[arg-type]
    with pytest.raises(SettingsError) as caught:
        Telemetry().enable_tracing("otlp", api_key="two words")
    assert "two words" not in caught.value.user_message


@pytest.mark.parametrize(
    ("package", "destination"),
    [("opentelemetry.sdk.trace", "console"), ("opentelemetry.exporter.otlp.proto.http.trace_exporter", "otlp")],
)
def test_a_missing_package_names_the_command_that_installs_it(
    package: str, destination: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    telemetry = Telemetry()
    with pytest.raises(SettingsError) as caught:
        telemetry.enable_tracing(destination)  # type: ignore[arg-type]
    assert caught.value.do == "Install them: pip install 'interlock[otel]'"
    assert telemetry.tracing is None
