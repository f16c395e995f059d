"""AT-002-05: the guide's structured logger, and what our own log says of the same request."""

from __future__ import annotations

import logging
from datetime import datetime
from pathlib import Path

import pytest
import structlog
from structlog.testing import capture_logs

from interlock import Platform, Task

PROMPT = "Tell me about the merger with Acme."


def test_the_snippet_logs_four_fields_and_not_the_prompt() -> None:
    user_id, prompt = "ana", PROMPT
    with capture_logs() as logged:
        logger = structlog.get_logger()
        logger.info(
            "agent_request",
            agent_type="claude",
            prompt_length=len(prompt),
            user_id=user_id,
            timestamp=datetime(2026, 11, 20, 12, 0),
        )
    (event,) = logged
    assert {"agent_type", "prompt_length", "user_id", "timestamp"} <= event.keys()
    assert PROMPT not in str(event)


async def test_our_own_log_says_who_worked_for_which_run_and_not_the_prompt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    caplog.set_level(logging.DEBUG, logger="interlock")
    async with Platform(home="home") as platform:
        platform.register_agent("claude-like", lambda text: f"I read {text}")
        result = await platform.run(Task(PROMPT, context={"agent": "claude-like"}), user="ana")
    fields = [getattr(record, "fields", {}) for record in caplog.records]
    started = next(one for one in fields if one.get("what") == "agent")
    assert (started["run"], started["name"], started["step"]) == (result.run_id, "claude-like", "call")
    assert "merger" not in caplog.text
    assert not any("merger" in str(one) for one in fields)
