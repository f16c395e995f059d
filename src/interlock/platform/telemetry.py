"""Telemetry: what the engine reports, as log events and live spans; almost free while nobody listens."""

from __future__ import annotations

import json
import logging
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, suppress
from secrets import token_bytes
from typing import TYPE_CHECKING, Any

from interlock.engine.observer import Silence, SpanHandle
from interlock.errors import InterlockError, StoreFailed
from interlock.governance.redaction import Redactor
from interlock.platform.settings.sections import LogSettings
from interlock.platform.tracing import Destination, Tracing
from interlock.records.fact import (
    ApprovalUsed,
    CancelAsked,
    Fact,
    GateAnswered,
    Noted,
    PauseAsked,
    QuestionAnswered,
    QuestionAsked,
    Recorded,
    ResumeAsked,
    RunAdmitted,
    RunFinished,
    RunRouted,
    RunStarted,
    RunWaiting,
    StepFailed,
    StepFinished,
    StepInherited,
    StepStarted,
)
from interlock.records.masking import without_keys
from interlock.records.money import micros_to_text
from interlock.records.unexpected import MARK

if TYPE_CHECKING:
    from opentelemetry.sdk.trace.export import SpanExporter

LOGGER = "interlock"
#: Stack traces of exceptions nobody expected, at level debug.
DETAILS = "interlock.details"
DEBUG, INFO, WARNING = logging.DEBUG, logging.INFO, logging.WARNING
_SILENCE = Silence()
_LONGEST = {"detail": 20_000}
#: Fields that this house fills with ids and words of its own.
_IDS = frozenset({"run", "code", "status", "effect", "act", "what", "level", "driver", "question", "about"})


class Telemetry:
    """Watches driven runs for the engine: facts become log events, work in progress becomes spans.

    Events go to the standard logger `interlock`. Neither the root logger nor structlog's own configuration is
    touched; where the application has handlers of its own, they get the events, otherwise stderr does.

    Args:
        log: From which level on, and in which form.
        redactor: Takes secrets and personal data out of whatever is told.
    """

    def __init__(self, log: LogSettings | None = None, redactor: Redactor | None = None) -> None:
        self._redactor = redactor or Redactor(key=token_bytes(32))
        self._logger = logging.getLogger(LOGGER)
        self._details = logging.getLogger(DETAILS)
        self._events: dict[str, Any] = {}
        self._explained: InterlockError | None = None
        self._tracing: Tracing | None = None
        attach(self._logger, log or LogSettings())

    def wants_facts(self) -> bool:
        """Whether a fact could be logged now: the level allows it, and the application or the settings asked for
        logs at all. A program that never mentioned logging is not disturbed."""
        logger = self._logger
        if not logger.isEnabledFor(WARNING):
            return False
        return logger.level != logging.NOTSET or _has_a_listener(logger)

    def fact(self, record: Recorded) -> None:
        """Log a fact that is durable. Only ids, names, codes and numbers are told, never what was said or done."""
        level = _level(record.fact)
        if self._logger.isEnabledFor(level) and self.wants_facts():
            self._write(level, record.fact.kind, {"run": record.run_id, **_fields(record.fact)}, self._logger)

    def trouble(self, run_id: str, path: str, error: InterlockError) -> None:
        """Log the internal part of an error, for whoever looks for its cause.

        Of an exception nobody expected a sentence and its place in the code; the traceback goes to `interlock.details`.
        """
        again, self._explained = error is self._explained, error  # a step's error may be the run's too
        if again:
            return
        told = {"run": run_id, "step": path, "code": error.code}
        detail = without_keys(error.detail)
        if error.detail.startswith(MARK):
            place, _, trace = detail.partition("\n")
            self._log(logging.ERROR, "error.explained", {**told, "says": error.says, "detail": place})
            if self._details.isEnabledFor(DEBUG):
                self._write(DEBUG, "error.traced", {**told, "place": place, "detail": trace}, self._details)
            return
        level = logging.ERROR if isinstance(error, StoreFailed) else DEBUG
        self._log(level, "error.explained", {**told, "detail": detail})

    def event(self, level: int, name: str, **fields: Any) -> None:
        """Log something that is no fact of a run; `name` is in the past tense, for example `server.started`."""
        self._log(level, name, fields)

    def _log(self, level: int, name: str, fields: Mapping[str, Any]) -> None:
        if self._logger.isEnabledFor(level):
            self._write(level, name, fields, self._logger)

    def span(self, name: str, kind: str, **attributes: Any) -> AbstractContextManager[SpanHandle]:
        """Trace a piece of work while it goes on; spans nest by themselves.

        Args:
            name: What is at work: the flow, the agent, the model, the tool.
            kind: `run`, `routing`, `agent`, `model`, `tool`, `handoff`, or a word of your own.
            attributes: See `tracing.ATTRIBUTES`; anything else is dropped.
        """
        if self._tracing is None:
            return _SILENCE.span(name, kind)
        return self._tracing.span(name, kind, attributes)

    def enable_tracing(
        self,
        destination: Destination | SpanExporter = "otlp",
        api_key: str | None = None,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        """Send spans somewhere, from now on; called again, to one more place.

        Args:
            destination: `console` (stderr), `otlp`, `logfire`, or an exporter of OpenTelemetry's.
            api_key: The key for `otlp` or `logfire`; Logfire's may also stand in LOGFIRE_TOKEN. Without one,
                Logfire's spans stay in this process (`tracing.recent`), and a warning says so.
            environ: The environment; the process's own by default.

        Raises:
            SettingsError: the destination is not known, or a package is missing.
        """
        tracing = self._tracing or Tracing(self._redactor.redact_json)
        if not tracing.add(destination, api_key, environ):
            self.event(WARNING, "tracing.kept_local", destination="logfire", reason="no key", variable="LOGFIRE_TOKEN")
        self._tracing = tracing

    @property
    def tracing(self) -> Tracing | None:
        """The tracing in use, or None while it is off."""
        return self._tracing

    def close(self) -> None:
        """Send what is left of the spans. May take seconds; run it outside the event loop."""
        if self._tracing is not None:
            self._tracing.close()

    def _write(self, level: int, name: str, fields: Mapping[str, Any], logger: logging.Logger) -> None:
        events = self._events.get(logger.name)
        if events is None:
            events = self._events[logger.name] = _events(logger)
        events.log(level, name, **{key: self._told(key, value) for key, value in fields.items()})

    def _told(self, name: str, value: Any) -> Any:
        """A field as a line may carry it. Ids are ours, and nothing is found in them; their form is no phone number."""
        if not isinstance(value, str) or name in _IDS:
            return value
        # So much that nothing can be cut in half: what is cut is what is already clean.
        return self._redactor.redact(value[: 2 * _LONGEST.get(name, 1000)])


# --- Facts as events ----------------------------------------------------------------------------------------------

_LEVELS: Mapping[type[Fact], int] = {
    RunAdmitted: INFO,
    RunRouted: INFO,
    RunStarted: INFO,
    RunWaiting: INFO,
    RunFinished: INFO,
    QuestionAsked: INFO,
    QuestionAnswered: INFO,
    ApprovalUsed: INFO,
    CancelAsked: INFO,
    PauseAsked: INFO,
    ResumeAsked: INFO,
    GateAnswered: DEBUG,
    StepStarted: DEBUG,
    StepFinished: DEBUG,
    StepFailed: INFO,
    StepInherited: DEBUG,
    Noted: INFO,
}

#: What is told of each kind of fact. Whatever is not listed (texts, inputs, outputs, reasons) is never logged.
_TOLD: Mapping[type[Fact], Mapping[str, str]] = {
    RunAdmitted: {"task": "task_id", "flow": "flow", "parent": "parent"},
    RunRouted: {"platform": "platform"},
    RunStarted: {"driver": "driver", "fence": "fence"},
    RunWaiting: {"reason": "reason", "until": "until", "ref": "ref"},
    RunFinished: {"status": "status", "agent": "agent", "seconds": "seconds", "guardrail": "guardrail"},
    QuestionAsked: {"step": "path", "question": "question_id", "about": "about", "approver": "approver"},
    QuestionAnswered: {"question": "question_id", "answer": "answer", "by": "by"},
    ApprovalUsed: {"step": "path", "question": "question_id", "attempt": "attempt"},
    CancelAsked: {"by": "by"},
    PauseAsked: {"by": "by"},
    ResumeAsked: {"by": "by", "retry": "retry"},
    GateAnswered: {"step": "path", "act": "act", "effect": "effect", "rule": "rule", "place": "place"},
    StepStarted: {"step": "path", "what": "what", "name": "name", "attempt": "attempt"},
    StepFinished: {"step": "path", "attempt": "attempt", "seconds": "seconds"},
    StepFailed: {"step": "path", "attempt": "attempt", "seconds": "seconds", "again_at": "again_at"},
    StepInherited: {"step": "path", "what": "what", "name": "name", "parent": "parent"},
    Noted: {"step": "path", "code": "code"},
}


def _level(fact: Fact) -> int:
    if isinstance(fact, RunFinished) and fact.failure is not None:
        return WARNING
    if isinstance(fact, StepFailed) and fact.again_at is None:
        return WARNING
    if isinstance(fact, GateAnswered) and fact.effect == "block":
        return WARNING
    if isinstance(fact, Noted) and fact.level == "warning":
        return WARNING
    return _LEVELS[type(fact)]


def _fields(fact: Fact) -> dict[str, Any]:
    told = {name: getattr(fact, field) for name, field in _TOLD[type(fact)].items()}
    if isinstance(fact, StepFinished | StepFailed | RunFinished):
        told["tokens"] = fact.usage.total_tokens
        told["cost"] = micros_to_text(fact.cost_micros)
    if isinstance(fact, StepFailed | RunFinished) and fact.failure is not None:
        told["code"] = fact.failure.code
    return {name: value for name, value in told.items() if value not in (None, "")}


# --- Events as lines ----------------------------------------------------------------------------------------------


def _events(logger: logging.Logger) -> Any:
    """A structlog logger with a chain of its own on top of the standard one; imported for the first event."""
    import structlog

    return structlog.wrap_logger(
        logger, processors=[_as_record], wrapper_class=structlog.stdlib.BoundLogger, cache_logger_on_first_use=True
    )


def _as_record(_logger: Any, _method: str, event: Any) -> tuple[tuple[str], dict[str, Any]]:
    """A line for any handler, with the fields beside it for those that can use them."""
    fields = {name: _clean(value, _LONGEST.get(name, 200)) for name, value in event.items()}
    name = str(fields.pop("event"))
    line = " ".join([name, *(f"{key}={_quoted(value)}" for key, value in fields.items())])
    return (line,), {"extra": {"event": name, "fields": fields}}


def _clean(value: Any, longest: int) -> Any:
    """Names can come from a model: no control bytes, no endless ones."""
    if not isinstance(value, str):
        return round(value, 6) if isinstance(value, float) else value
    short = value if len(value) <= longest else f"{value[: longest - 1]}…"
    return short if short.isprintable() else ascii(short)[1:-1]


def _quoted(value: Any) -> str:
    text = str(value)
    return json.dumps(text, ensure_ascii=False) if not text or any(one in ' ="' for one in text) else text


class _Lines(logging.Formatter):
    def __init__(self, form: str, now: Callable[[float], str]) -> None:
        super().__init__()
        self._json = form == "json"
        self._now = now

    def format(self, record: logging.LogRecord) -> str:
        """One line: time, level, event and fields."""
        at, level = self._now(record.created), record.levelname.lower()
        if not self._json:
            return f"{at} {level:<8} {record.getMessage()}"
        fields = getattr(record, "fields", {})
        event = getattr(record, "event", None) or record.getMessage()
        return json.dumps({"at": at, "level": level, "event": event, **fields}, ensure_ascii=False, default=str)


class _Stderr(logging.Handler):
    """Writes to whatever stderr is just now, and only where the application has no handler of its own."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line, if nobody else does."""
        if not _has_a_listener(logging.getLogger(LOGGER)):
            with suppress(OSError, ValueError, AttributeError):  # stderr is gone: a log line is not worth a run
                sys.stderr.write(self.format(record) + "\n")


def _has_a_listener(logger: logging.Logger) -> bool:
    """Whether the application has a handler of its own that gets our events."""
    mine = any(not isinstance(handler, _Stderr) for handler in logger.handlers)
    return mine or (logger.propagate and bool(logging.getLogger().handlers))


def attach(logger: logging.Logger, log: LogSettings) -> None:
    """Let the logger write to stderr in this form; the newest call decides."""
    for handler in [one for one in logger.handlers if isinstance(one, _Stderr)]:
        logger.removeHandler(handler)
    handler = _Stderr()
    handler.setFormatter(_Lines(log.format, _iso))
    logger.addHandler(handler)
    if log.level is not None:
        logger.setLevel(log.level.upper())


def _iso(at: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(at)) + f".{int(at % 1 * 1000):03d}Z"
