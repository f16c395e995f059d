"""The audit log of a platform: on by itself, sent where it is asked for, and nothing new begins while it cannot be."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from interlock import CommandPolicy, Guardrail, GuardrailType, Platform, Task, TaskStatus, TaskType
from interlock.errors import SettingsError, UsageError
from interlock.governance.audit.places import verify_place
from interlock.governance.audit.sinks import segments_in
from interlock.platform.registry import protected_paths
from interlock.platform.settings import load
from tests.object_server import ObjectServer, object_server


@pytest.fixture(scope="module")
def objects() -> Iterator[ObjectServer]:
    with object_server() as server:
        yield server


def echo(text: str) -> str:
    return f"done: {text}"


def platform(folder: Path, **settings: Any) -> Platform:
    made = Platform(home=folder / "home", **settings)
    made.register_agent("echo", echo)
    return made


def task(says: str = "tidy up") -> Task:
    return Task(says, type=TaskType.CONVERSATION, user="ann", tenant="default")


async def run(made: Platform, what: Task) -> Any:
    made.register_agent("talker", echo, capabilities=["conversation"])
    return await made.run(what)


async def test_one_run_has_records_of_actor_action_time_and_outcome(tmp_path: Path) -> None:  # AT-000-06
    async with platform(tmp_path) as made:
        result = await run(made, task())
        assert result.status == "completed"
        records = await made.audit.show(run=result.run_id)
        for record in records:
            assert record["who"]["user"] == "ann"
            assert record["action"]
            assert record["at"] > 0
            assert record["outcome"]
        assert {"task", "agent talker", "run"} <= {record["action"] for record in records}
        assert records[0]["outcome"] == "completed"
    report = await made.audit.verify()
    assert (report.findings, report.notes, report.unsigned) == ([], [], 0)
    assert report.entries == len(records)


async def test_an_approved_run_also_has_the_approver(tmp_path: Path) -> None:  # AT-000-06
    async with platform(tmp_path) as made:
        ask = Guardrail("ask", GuardrailType.APPROVAL_REQUIRED, lambda task: True, "Someone must agree.")
        made.add_guardrail(ask)
        waiting = await run(made, task())
        assert waiting.status == TaskStatus.AWAITING_APPROVAL
        await made.approvals.approve(waiting.approval_id, by="bob", reason="looks fine")
        end = await made.wait(waiting.run_id)
        assert end is not None
        records = await made.audit.show(run=waiting.run_id)
    asked = [record for record in records if record["kind"] == "question.asked"]
    answered = [record for record in records if record["kind"] == "question.answered"]
    assert asked[0]["approval"]["id"] == waiting.approval_id
    assert (answered[0]["who"]["person"], answered[0]["who"]["user"]) == ("bob", "ann")
    assert answered[0]["approval"]["reason"] == "looks fine"
    assert (await made.audit.verify()).ok


async def test_what_a_rule_blocks_is_in_the_log_with_the_rule(tmp_path: Path) -> None:
    async with platform(tmp_path) as made:
        made.add_guardrail(Guardrail("never", GuardrailType.BLOCK, lambda task: True, "Not today."))
        made.set_command_policy(CommandPolicy(allowed=["ls"]))
        result = await run(made, task())
        assert result.status == "blocked"
        (record,) = await made.audit.show(rule="never")
        assert (record["verdict"]["effect"], record["verdict"]["reason"]) == ("block", "Not today.")
        assert record in await made.audit.show(verdict="block")


async def test_secrets_are_not_in_the_log(tmp_path: Path) -> None:
    secret = "AKIA" + "Q7X2M5K8P3W6Z9RT"
    async with platform(tmp_path) as made:
        made.enable_audit_log(str(tmp_path / "out"))
        await run(made, task(f"use password=Zk8qPw93xTq and {secret}"))
    ((_, _, segment),) = segments_in(tmp_path / "out")
    text = segment.read_text()
    assert secret not in text
    assert "Zk8qPw93xTq" not in text
    assert "[REDACTED:" in text


async def test_context_and_results_can_be_left_out(tmp_path: Path) -> None:
    async with platform(tmp_path) as made:
        made.enable_audit_log(str(tmp_path / "out"), include_context=False, include_results=False)
        await run(made, task("a most private matter"))
    ((_, _, segment),) = segments_in(tmp_path / "out")
    assert "private" not in segment.read_text()
    assert "output_sha256" in segment.read_text()


async def test_while_the_log_cannot_be_sent_nothing_new_begins_and_then_it_goes_on(
    tmp_path: Path, objects: ObjectServer
) -> None:
    made = platform(tmp_path)
    made.enable_audit_log(objects.address, max_lag=1.0, options=objects.options)  # nobody answers there yet
    try:
        assert (await run(made, task("first"))).status == "completed"
        refused = await _until(made, lambda result: result.status == "blocked")
        ended = (await made.show(refused.run_id)).finished
        assert ended is not None
        assert ended.failure is not None
        assert (ended.failure.code, ended.guardrail) == ("audit.sink_failed", "audit.sink")
        assert ended.failure.says.startswith("The audit log has not been sent to its destination for")
        await asyncio.to_thread(objects.start)
        assert (await _until(made, lambda result: result.status == "completed")).output.startswith("done")
    finally:
        await made.close()
    report = await made.audit.verify()
    assert report.findings == []
    keys, kept = made.audit.book.keys.verifiers(), report.matching
    sent = verify_place(objects.address, keys, checkpoints=kept, options=objects.options).report
    assert (sent.findings, sent.last) == ([], report.last)  # nothing was lost meanwhile


async def _until(made: Platform, true: Any) -> Any:
    async with asyncio.timeout(60):
        while True:
            result = await made.run(task("next"))
            if true(result):
                return result
            await asyncio.sleep(0.1)


async def test_entries_that_another_process_could_not_send_are_sent_by_the_next(tmp_path: Path) -> None:
    async with platform(tmp_path) as made:
        await run(made, task())
    async with platform(tmp_path) as again:
        again.enable_audit_log(str(tmp_path / "out"))
        again.get_task_history()
    (segment,) = segments_in(tmp_path / "out")
    assert segment[0] == 1
    assert segment[1] == (await again.audit.verify()).last


async def test_the_settings_send_it_too(tmp_path: Path) -> None:
    async with platform(tmp_path, audit={"destination": str(tmp_path / "out"), "include_results": False}) as made:
        await run(made, task())
    assert len(list(segments_in(tmp_path / "out"))) == 1


async def test_the_log_can_be_taken_along(tmp_path: Path) -> None:
    async with platform(tmp_path) as made:
        await run(made, task())
    lines = await made.audit.export(tmp_path / "out.jsonl")
    assert lines == len((tmp_path / "out.jsonl").read_text().splitlines())
    assert json.loads((tmp_path / "out.jsonl").read_text().splitlines()[0])["n"] == 1
    with pytest.raises(UsageError):
        await made.audit.export(tmp_path / "out.jsonl")


def test_what_cannot_be_is_said_at_once(tmp_path: Path) -> None:
    with pytest.raises(SettingsError):
        platform(tmp_path, audit={"destination": "ftp://x"})
    made = platform(tmp_path)
    with pytest.raises(SettingsError):
        made.enable_audit_log("ftp://x")
    with pytest.raises(UsageError):
        made.enable_audit_log("store", retention_days=0)


def test_settings_have_a_place_for_it(tmp_path: Path) -> None:
    (tmp_path / "interlock.toml").write_text('[audit]\ndestination = "logger"\nretention_days = 30\n')
    found = load(environ={}, cwd=tmp_path).audit
    assert (found.destination, found.retention_days, found.max_lag) == ("logger", 30, 30.0)


def test_the_folder_of_the_settings_is_out_of_bounds_for_agents(tmp_path: Path) -> None:
    made = platform(tmp_path, audit={"destination": str(tmp_path / "out")})
    assert tmp_path / "out" in protected_paths(made.settings)
    assert protected_paths(platform(tmp_path).settings).count(tmp_path / "out") == 0
