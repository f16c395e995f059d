"""Tracing: live spans after OpenTelemetry's GenAI conventions, with a provider of our own."""

from __future__ import annotations

import os
import sys
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Any, Literal, cast

from interlock.engine.observer import Silence, SpanHandle
from interlock.errors import InterlockError, SettingsError
from interlock.platform.settings.keys import usable
from interlock.platform.settings.layers import nearest
from interlock.records.money import Usage

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
    from opentelemetry.sdk.trace.export import SpanExporter
    from opentelemetry.trace import Span, Tracer

Destination = Literal["console", "otlp", "logfire"]

#: What a span may say, by the word used in our code. Prompts, outputs and arguments have no word here, and a word
#: that is not here is dropped: nothing gets out by accident.
ATTRIBUTES: Mapping[str, str] = {
    "run": "gen_ai.conversation.id",
    "task": "interlock.task.id",
    "task_type": "interlock.task.type",
    "flow": "gen_ai.workflow.name",
    "step": "interlock.step.path",
    "attempt": "interlock.step.attempt",
    "status": "interlock.status",
    "platform": "interlock.route.platform",
    "candidates": "interlock.route.candidates",
    "reasons": "interlock.route.reasons",
    "cost_micros": "interlock.cost.micro_usd",
    "agent": "gen_ai.agent.name",
    "provider": "gen_ai.provider.name",
    "model": "gen_ai.request.model",
    "max_output_tokens": "gen_ai.request.max_tokens",
    "temperature": "gen_ai.request.temperature",
    "response_model": "gen_ai.response.model",
    "request_id": "gen_ai.response.id",
    "stop": "gen_ai.response.finish_reasons",
    "tool": "gen_ai.tool.name",
    "call_id": "gen_ai.tool.call.id",
    "input_tokens": "gen_ai.usage.input_tokens",
    "output_tokens": "gen_ai.usage.output_tokens",
    "cached_input_tokens": "gen_ai.usage.cache_read.input_tokens",
    "cache_write_tokens": "gen_ai.usage.cache_creation.input_tokens",
    "reasoning_tokens": "gen_ai.usage.reasoning.output_tokens",
}

#: For each kind of work: the conventions' name of the operation, and the word its own name is told under.
_OPERATIONS: Mapping[str, tuple[str, str]] = {
    "run": ("invoke_workflow", "flow"),
    "agent": ("invoke_agent", "agent"),
    "model": ("chat", "model"),
    "tool": ("execute_tool", "tool"),
}
_USAGE = ("input_tokens", "output_tokens", "cached_input_tokens", "cache_write_tokens", "reasoning_tokens")
_LONGEST = 256
_RECENT = 1000
_SILENCE = Silence()
#: Takes secrets and personal data out of a list of values.
Hide = Callable[[list[Any]], list[Any]]
_LOGFIRE = {"us": "https://logfire-us.pydantic.info", "eu": "https://logfire-eu.pydantic.info"}


class _LiveSpan:
    __slots__ = ("_hide", "_span", "failed")

    def __init__(self, span: Span, hide: Hide) -> None:
        self._span = span
        self._hide = hide
        self.failed = False

    def set(self, **attributes: Any) -> None:
        """Add what became known."""
        self._span.set_attributes(_told(attributes, self._hide))

    def fail(self, code: str) -> None:
        """Mark the work as failed."""
        from opentelemetry.trace import Status, StatusCode

        self.failed = True
        self._span.set_attribute("error.type", code)
        self._span.set_status(Status(StatusCode.ERROR, code))


class Recent:
    """An exporter that keeps the newest spans in this process, and sends nothing anywhere."""

    def __init__(self) -> None:
        self.spans: deque[ReadableSpan] = deque(maxlen=_RECENT)

    def export(self, spans: Sequence[ReadableSpan]) -> Any:
        """Keep these; the oldest make room."""
        from opentelemetry.sdk.trace.export import SpanExportResult

        self.spans.extend(spans)
        return SpanExportResult.SUCCESS

    def shutdown(self) -> None:
        """Nothing is left to do."""

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Nothing is ever waiting."""
        return True


class Tracing:
    """Spans with a tracer provider of our own: the application's global one is neither used nor replaced, but a
    span of the application that is open becomes the parent of ours.

    Args:
        hide: Takes secrets out of the values of attributes and the names of spans.

    Raises:
        SettingsError: OpenTelemetry's SDK is not installed.
    """

    def __init__(self, hide: Hide = list) -> None:
        self._hide = hide
        self._provider: TracerProvider = _new_provider()
        self._tracer: Tracer = self._provider.get_tracer("interlock")
        self._recent = Recent()
        self._closed = False

    @property
    def recent(self) -> list[ReadableSpan]:
        """The newest spans that were kept here for want of a Logfire key, oldest first."""
        return list(self._recent.spans)

    def add(
        self, destination: Destination | SpanExporter, api_key: str | None, environ: Mapping[str, str] | None = None
    ) -> bool:
        """Send spans to one more destination; gives whether they leave this process.

        Raises:
            SettingsError: the destination is not known, or a package is missing.
        """
        environ = os.environ if environ is None else environ
        api_key = (api_key or "").strip()
        if destination == "logfire":
            api_key = api_key or environ.get("LOGFIRE_TOKEN", "").strip()
        if api_key:
            usable(api_key, f"The key for {destination}")
        if destination == "logfire" and not api_key:
            self._send_to(cast("SpanExporter", self._recent), at_once=True)
            return False
        if isinstance(destination, str):
            self._send_to(_exporter(destination, api_key, environ), at_once=destination == "console")
        elif callable(getattr(destination, "export", None)):
            from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

            self._send_to(destination, at_once=isinstance(destination, InMemorySpanExporter))
        else:
            raise _unknown(type(destination).__name__)
        return True

    def _send_to(self, exporter: SpanExporter, *, at_once: bool) -> None:
        from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor

        # At once only where it costs no waiting: this happens on the event loop.
        self._provider.add_span_processor(SimpleSpanProcessor(exporter) if at_once else BatchSpanProcessor(exporter))

    def span(self, name: str, kind: str, attributes: Mapping[str, Any]) -> AbstractContextManager[SpanHandle]:
        """A span around a piece of work, child of the one that is open; see `Telemetry.span`."""
        return _SILENCE.span(name, kind) if self._closed else self._span(name, kind, attributes)

    @contextmanager
    def _span(self, name: str, kind: str, attributes: Mapping[str, Any]) -> Iterator[SpanHandle]:
        from opentelemetry.trace import SpanKind

        operation, word = _OPERATIONS.get(kind, (kind, ""))
        told = _told({**attributes, word: name}, self._hide)
        if word:
            told["gen_ai.operation.name"] = operation
        with self._tracer.start_as_current_span(
            f"{operation} {_value(self._hide([name])[0])}",
            kind=SpanKind.CLIENT if kind == "model" else SpanKind.INTERNAL,
            attributes=told,
            # The message of an error may hold what no trace should: only its code is told.
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            live = _LiveSpan(span, self._hide)
            try:
                yield live
            except BaseException as error:
                if not live.failed:
                    live.fail(error.code if isinstance(error, InterlockError) else type(error).__qualname__)
                raise

    def flush(self) -> None:
        """Send what is waiting. May take seconds; run it outside the event loop."""
        self._provider.force_flush()

    def close(self) -> None:
        """Send what is waiting and stop. May take seconds; run it outside the event loop. Twice does nothing."""
        if not self._closed:
            self._closed = True
            self._provider.shutdown()


def _told(attributes: Mapping[str, Any], hide: Hide) -> dict[str, Any]:
    usage = attributes.get("usage")
    if isinstance(usage, Usage):
        attributes = {**attributes, **{word: getattr(usage, word) for word in _USAGE}}
    told = {word: value for word, value in attributes.items() if word in ATTRIBUTES and value is not None}
    # Hidden before they are cut: half a secret has no look.
    hidden = hide(
        [value if isinstance(value, bool | int | float | list | tuple) else str(value) for value in told.values()]
    )
    return {
        ATTRIBUTES[word]: [_value(value)] if word == "stop" else _value(value)
        for word, value in zip(told, hidden, strict=True)
    }


def _value(value: Any) -> Any:
    if isinstance(value, bool | int | float):
        return value
    if isinstance(value, list | tuple):
        return [_value(one) for one in value]
    text = str(value)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def _new_provider() -> TracerProvider:
    try:
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
    except ImportError:
        raise _missing() from None
    named = {} if os.environ.get("OTEL_SERVICE_NAME") else {"service.name": "interlock"}
    return TracerProvider(resource=Resource.create(named))


def _exporter(destination: str, api_key: str, environ: Mapping[str, str]) -> SpanExporter:
    try:
        if destination == "console":
            from opentelemetry.sdk.trace.export import ConsoleSpanExporter

            return ConsoleSpanExporter(out=sys.stderr)
        if destination not in ("otlp", "logfire"):
            raise _unknown(destination)
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    except ImportError:
        raise _missing() from None
    if destination == "otlp":
        return OTLPSpanExporter(headers={"Authorization": f"Bearer {api_key}"} if api_key else None)
    region = api_key.split("_")[2] if api_key.startswith("pylf_v") and api_key.count("_") > 2 else "us"
    base = environ.get("LOGFIRE_BASE_URL", "").strip() or _LOGFIRE.get(region, _LOGFIRE["us"])
    return OTLPSpanExporter(endpoint=f"{base.rstrip('/')}/v1/traces", headers={"Authorization": api_key})


def _missing() -> SettingsError:
    return SettingsError(
        "Tracing needs OpenTelemetry's packages, which are not installed.",
        "Install them: pip install 'interlock[otel]'",
        code="settings.missing_package",
    )


def _unknown(destination: str) -> SettingsError:
    like = nearest(destination, ("console", "otlp", "logfire"))
    return SettingsError(
        f"{destination!r} is no destination for traces (did you mean {like}?).",
        "Use console, otlp, logfire, or an exporter of OpenTelemetry's.",
        code="settings.destination",
    )
