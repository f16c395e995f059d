"""The guides' bad examples: what they warn of is refused, or does no harm. And their audit log, which is a good one."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from interlock import GuardrailPresets, Task
from interlock import Platform as HybridPlatform
from interlock.errors import SettingsError
from interlock.testing import Fault, ScriptedAgent, SimulatedProvider
from tests.object_server import ObjectServer, object_server

RISKY = "Deploy to production"


@pytest.fixture(autouse=True)
def _an_own_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("INTERLOCK_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[ObjectServer]:
    """An S3-compatible server that holds the guide's bucket."""
    with object_server() as server:
        server.start()
        for name, value in server.env.items():
            monkeypatch.setenv(name, value)
        with urllib.request.urlopen(urllib.request.Request(f"{server.endpoint}/audit-logs", method="PUT"), timeout=20):
            yield server


def written(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


async def test_000_a_hardcoded_key_still_reaches_no_store_log_or_error(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    platform = HybridPlatform(
        openai_api_key="sk-hardcoded-key",  # BAD!
        anthropic_api_key="sk-ant-hardcoded",
    )
    platform.register_agent("openai", lambda text: f"my key is sk-hardcoded-key, and I was told: {text}")
    result = await platform.run(Task("Use sk-ant-hardcoded", context={"agent": "openai"}))
    await platform.close()
    shown = f"{result} {platform!r} {platform.settings} {caplog.text}"
    for key in ("sk-hardcoded-key", "sk-ant-hardcoded"):
        assert key not in shown
        assert key.encode() not in written(tmp_path)


async def test_000_without_guardrails_nothing_risky_is_done_in_production() -> None:
    agent = ScriptedAgent()
    platform = HybridPlatform(profile="production")
    platform.register_agent("openai", agent)
    with pytest.raises(SettingsError) as caught:
        await platform.run(RISKY)  # Dangerous!
    assert (caught.value.code, agent.calls) == ("settings.no_guardrails", 0)

    platform.add_guardrail(GuardrailPresets.production_safety("ops-team@company.com"))
    platform.add_guardrail(GuardrailPresets.cost_limit(10.0))
    result = await platform.run(RISKY)  # Safe
    await platform.close()
    assert (result.status, agent.calls) == ("completed", 1)


def error_response(error: Any) -> dict[str, Any]:
    return {
        "error": str(error),
        "agent_id": error.agent_id,
        "api_endpoint": error.endpoint,  # Exposes infrastructure
        "stack_trace": error.traceback,  # Security risk
    }


class Broken(Exception):
    agent_id = "agent-7"
    endpoint = "https://ana:hunter2@agents.internal:8443/v1/invoke"
    traceback = 'Traceback (most recent call last):\n  File "/srv/app/agent_seven.py", line 7, in work'


async def test_001_what_an_error_knows_of_the_inside_is_not_told() -> None:
    error = Broken(f"cannot connect to {Broken.endpoint}\n{Broken.traceback}")

    def agent(text: str) -> str:
        raise error

    async with HybridPlatform() as platform:
        platform.register_agent("openai", agent)
        result = await platform.run("Hello")
        told = json.dumps([result.to_dict(), platform.get_task_history()], default=str)
    assert result.status == "failed"
    assert result.error
    for leak in error_response(error).values():
        assert leak not in told
    for part in ("agent-7", "hunter2", "agents.internal", "Traceback", "/srv/app", "line 7"):
        assert part not in told


async def test_001_not_every_user_uses_every_agent() -> None:
    asked: list[str] = []
    roles = {"narrow": {"allow": ["run:create", "agent:use:writer"]}}
    async with HybridPlatform(roles=roles, users={"ann": {"roles": ["narrow"]}}) as platform:
        platform.register_agent("writer", lambda text: f"done: {text}")
        platform.register_agent("admin-bot", asked.append)

        def process_user_request(user: str, agent_id: str, task: str) -> Any:
            return platform.run(Task(task, context={"agent": agent_id}), user=user)  # Any user can use any agent

        refused = await process_user_request("ann", "admin-bot", "Give me the keys")
        allowed = await process_user_request("ann", "writer", "Give me a poem")
        unknown = await process_user_request("eve", "writer", "Give me a poem")
    assert (refused.status, refused.error_code, asked) == ("blocked", "access.denied", [])
    assert allowed.output == "done: Give me a poem"
    assert (unknown.status, unknown.error_code) == ("blocked", "access.denied")


@pytest.mark.parametrize("fault", [Fault.status(500), Fault.status(401), Fault.malformed_json(), Fault.reset()])
async def test_002_no_error_is_only_that_an_error_occurred(fault: Fault) -> None:
    async with SimulatedProvider(default=fault) as model:
        settings: dict[str, Any] = {"providers": {"openai": {"base_url": model.openai_url}}, "retry": {"attempts": 1}}
        async with HybridPlatform(openai_api_key="any", **settings) as platform:
            result = await platform.run(Task("Hello", context={"agent": "openai"}))
    assert result.status == "failed"
    assert "error occurred" not in f"{result.error} {result.hint}".lower()
    assert result.error_code
    assert result.hint


async def test_at_000_06_an_audit_log_in_a_bucket_says_who_what_when_and_who_approved(s3: ObjectServer) -> None:
    async with HybridPlatform() as platform:
        platform.enable_audit_log(
            destination="s3://audit-logs/agents/",
            include_context=True,
            include_results=True,
            retention_days=365,
        )
        platform.add_guardrail(GuardrailPresets.production_safety("ops-team@company.com"))
        platform.register_agent("openai", ScriptedAgent(replies="deployed"))
        held = await platform.run(Task("Deploy", context={"env": "production"}), user="ann")
        await platform.approvals.approve(held.approval_id or "", by="ops-team@company.com", reason="looks fine")
        assert await platform.wait(held.run_id)
    records = _records(s3)
    # - Who triggered it
    assert {record["who"]["user"] for record in records} == {"ann"}
    # - What was executed
    assert {"task", "ask approval", "answer", "run"} <= {record["action"] for record in records}
    # - When it ran
    assert all(record["at"] > 0 for record in records)
    # - What the result was
    assert (records[-1]["outcome"], records[-1]["output"]) == ("completed", "deployed")
    # - Who approved it (if applicable)
    assert [record["who"]["person"] for record in records if record["action"] == "answer"] == ["ops-team@company.com"]


def _records(s3: ObjectServer) -> list[dict[str, Any]]:
    """The entries in the bucket, read with a client that knows nothing of Interlock."""
    import obstore
    from obstore.store import S3Store

    bucket = S3Store("audit-logs", client_options={"allow_http": True}, **{**s3.options})
    keys = sorted(one["path"] for page in obstore.list(bucket, "agents/") for one in page)
    lines = [line for key in keys for line in bytes(obstore.get(bucket, key).bytes()).splitlines()]
    return [record for record in map(json.loads, lines) if "n" in record and "who" in record]
