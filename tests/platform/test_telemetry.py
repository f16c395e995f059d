"""Telemetry: facts as log events, in the words and at the level the operator chose, without what was said."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import fields
from typing import Any

import pytest

from interlock.engine.observer import Observer
from interlock.errors import StoreFailed, ToolFailed
from interlock.platform.settings import LogSettings
from interlock.platform.telemetry import _LEVELS, _TOLD, Telemetry
from interlock.records.fact import (
    KINDS,
    Fact,
    Failure,
    GateAnswered,
    Noted,
    Recorded,
    RunAdmitted,
    RunFinished,
    StepFailed,
    StepFinished,
    StepStarted,
)
from interlock.records.money import Usage
from interlock.records.unexpected import explain

SAID = "the patient's name"


@pytest.fixture(autouse=True)
def _fresh_logger() -> Iterator[None]:
    logger = logging.getLogger("interlock")
    handlers, level = logger.handlers[:], logger.level
    logger.setLevel(logging.NOTSET)
    yield
    logger.handlers[:] = handlers
    logger.setLevel(level)


def recorded(fact: Fact) -> Recorded:
    return Recorded(position=0, run_id="run_1", seq=1, at=0.0, fact=fact)


STARTED = StepStarted(
    path="plan/model/1", what="model", name="gpt", attempt=1, key="k", repeatable=True, input={"text": SAID}
)
FINISHED = StepFinished(
    path="plan/model/1",
    attempt=1,
    output=SAID,
    seconds=0.25,
    usage=Usage(input_tokens=10, output_tokens=2),
    cost_micros=1500,
)
FAILED = StepFailed(
    path="plan/tool/2", attempt=2, failure=Failure(code="tool.error", says=SAID, do=SAID), seconds=1.0, cost_micros=None
)


def test_telemetry_is_an_observer() -> None:
    observer: Observer = Telemetry()
    assert observer.wants_facts() is True  # pytest has put its own handlers on the root logger


def test_debug_gives_step_logs_and_error_silences_them(caplog: pytest.LogCaptureFixture) -> None:
    telemetry = Telemetry()
    logging.getLogger("interlock").setLevel(logging.DEBUG)
    telemetry.fact(recorded(STARTED))
    telemetry.fact(recorded(FINISHED))
    assert [record.getMessage() for record in caplog.records] == [
        "step.started run=run_1 step=plan/model/1 what=model name=gpt attempt=1",
        "step.finished run=run_1 step=plan/model/1 attempt=1 seconds=0.25 tokens=12 cost=0.001500",
    ]
    caplog.clear()
    logging.getLogger("interlock").setLevel(logging.ERROR)
    telemetry.fact(recorded(STARTED))
    telemetry.fact(recorded(FAILED))
    assert caplog.records == []
    assert telemetry.wants_facts() is False


@pytest.mark.parametrize(
    ("fact", "level"),
    [
        (STARTED, logging.DEBUG),
        (FAILED, logging.WARNING),
        (StepFailed(path="p", attempt=1, failure=Failure(code="c", says="s"), seconds=0.0, again_at=9.0), logging.INFO),
        (GateAnswered(path="p", act="command", name="rm", effect="block", rule="r"), logging.WARNING),
        (GateAnswered(path="p", act="command", name="ls", effect="allow"), logging.DEBUG),
        (Noted(level="warning", code="c", says="s"), logging.WARNING),
        (RunFinished(status="completed"), logging.INFO),
        (RunFinished(status="failed", failure=Failure(code="c", says="s")), logging.WARNING),
    ],
)
def test_what_went_wrong_is_a_warning(fact: Fact, level: int, caplog: pytest.LogCaptureFixture) -> None:
    logging.getLogger("interlock").setLevel(logging.DEBUG)
    Telemetry().fact(recorded(fact))
    assert [record.levelno for record in caplog.records] == [level]


def test_every_kind_of_fact_has_a_level_and_listed_fields() -> None:
    assert set(_LEVELS) == set(_TOLD) == set(KINDS.values())
    for kind, told in _TOLD.items():
        assert set(told.values()) <= {field.name for field in fields(kind)}


def test_what_was_said_or_done_is_never_logged(caplog: pytest.LogCaptureFixture) -> None:
    logging.getLogger("interlock").setLevel(logging.DEBUG)
    telemetry = Telemetry()
    admitted = RunAdmitted(task={"description": SAID}, task_id="t", flow="task", digest="d")
    noted = Noted(level="info", code="c", says=SAID)
    for fact in (admitted, STARTED, FINISHED, FAILED, noted, RunFinished(status="completed", output=SAID)):
        telemetry.fact(recorded(fact))
    assert len(caplog.records) == 6
    assert SAID not in "".join(str(vars(record)) for record in caplog.records)


def test_a_name_from_a_model_cannot_write_to_the_terminal_or_fill_the_log(caplog: pytest.LogCaptureFixture) -> None:
    Telemetry().event(logging.WARNING, "tool.wanted", tool="\x1b[2J\nrun.finished run=x", other="a" * 1000)
    line = caplog.records[0].getMessage()
    assert line.startswith('tool.wanted tool="\\\\x1b[2J\\\\nrun.finished run=x" other=aaa')
    assert len(line) < 300


def test_the_internal_part_of_an_error_is_for_debugging_except_where_the_store_is_in_danger(
    caplog: pytest.LogCaptureFixture,
) -> None:
    telemetry = Telemetry()
    telemetry.trouble("run_1", "a/b", ToolFailed("It broke.", detail="Traceback: 1"))
    telemetry.trouble("run_1", "a/b", StoreFailed("It broke.", detail="errno 28"))
    assert [record.getMessage() for record in caplog.records] == [
        'error.explained run=run_1 step=a/b code=store.failed detail="errno 28"'
    ]
    logging.getLogger("interlock").setLevel(logging.DEBUG)
    telemetry.trouble("run_1", "", ToolFailed("It broke.", detail="key sk-ant-0123456789abcdefghijkl in it"))
    assert "sk-ant" not in caplog.records[-1].getMessage()


def test_of_an_exception_nobody_expected_there_is_a_sentence_and_its_place_and_at_level_debug_the_traceback(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fetch() -> None:
        raise OSError("no answer from https://ana:hunter2@agents.internal/")

    telemetry = Telemetry()
    for level in (logging.WARNING, logging.DEBUG):
        try:
            fetch()
        except OSError as error:
            known = explain(error, 300)
        caplog.clear()
        logging.getLogger("interlock").setLevel(level)
        telemetry.trouble("run_1", "a", ToolFailed(f"The tool failed: {known.says}", known.do, detail=known.detail))
        assert "hunter2" not in caplog.text
        said = caplog.messages[0]
        assert 'says="The tool failed: OSError: no answer from [address]"' in said
        assert "in fetch (test_telemetry.py:" in said
        assert "Traceback" not in said
        traces = [(record.levelname, record.name) for record in caplog.records if "Traceback" in record.getMessage()]
        assert traces == ([("DEBUG", "interlock.details")] if level == logging.DEBUG else [])


def test_a_level_in_the_settings_is_set_and_no_level_leaves_the_applications_own(caplog: Any) -> None:
    Telemetry(LogSettings(level="info"))
    assert logging.getLogger("interlock").level == logging.INFO
    Telemetry(LogSettings())
    assert logging.getLogger("interlock").level == logging.INFO
    assert len(logging.getLogger("interlock").handlers) == 1


# --- In a process of its own, where pytest has not configured logging ----------------------------------------------

PROGRAM = """
import logging, sys
from interlock.platform.settings import LogSettings
from interlock.platform.telemetry import Telemetry
from interlock.records.fact import Failure, Recorded, RunFinished
fact = RunFinished(status="failed", failure=Failure(code="agent.timeout", says="x"), cost_micros=None)
record = Recorded(position=0, run_id="run_1", seq=1, at=0.0, fact=fact)
"""


def run(program: str) -> tuple[str, str]:
    done = subprocess.run([sys.executable, "-c", PROGRAM + program], capture_output=True, text=True, check=True)
    return done.stdout, done.stderr


def test_a_program_that_never_mentioned_logging_sees_nothing_and_loads_nothing() -> None:
    out, err = run(
        "t = Telemetry(); t.fact(record); print(t.wants_facts(), 'structlog' in sys.modules)\n"
        "with t.span('run', 'run') as s: s.set(x=1)\n"
        "print(any(name.startswith('opentelemetry') for name in sys.modules))"
    )
    assert (out, err) == ("False False\nFalse\n", "")


def test_without_other_handlers_the_lines_go_to_stderr_as_text_or_json() -> None:
    out, err = run("Telemetry(LogSettings(level='info')).fact(record)")
    assert out == ""
    assert err.split(" ", 1)[1] == (
        "warning  run.finished run=run_1 status=failed seconds=0.0 tokens=0 cost=unknown code=agent.timeout\n"
    )
    out, err = run("Telemetry(LogSettings(level='info', format='json')).fact(record)")
    line = json.loads(err)
    assert line.pop("at").endswith("Z")
    assert line == {
        "level": "warning",
        "event": "run.finished",
        "run": "run_1",
        "status": "failed",
        "seconds": 0.0,
        "tokens": 0,
        "cost": "unknown",
        "code": "agent.timeout",
    }


def test_an_application_with_handlers_gets_the_events_once_and_keeps_its_configuration() -> None:
    out, err = run(
        "logging.basicConfig(stream=sys.stdout, format='host %(message)s')\n"
        "before = logging.getLogger().handlers[:]\n"
        "import structlog; Telemetry(LogSettings(format='json')).fact(record)\n"
        "print(logging.getLogger().handlers == before, logging.getLogger().level, structlog.is_configured())"
    )
    assert err == ""
    assert out.splitlines() == [
        "host run.finished run=run_1 status=failed seconds=0.0 tokens=0 cost=unknown code=agent.timeout",
        "True 30 False",
    ]
