"""Provider keys from the vault: found when they are needed, hidden from then on, and missed with a clear error."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from cryptography.fernet import Fernet

from interlock import Platform, Task
from interlock.platform.registry import protected_paths
from interlock.platform.safeguards import provider_with_key
from interlock.platform.settings import load
from interlock.testing import SimulatedProvider, Text
from interlock.tools.shell import ShellTool

KEY = "sk-local-Zk3Vw9Qm2Lx8Rt5Nb7Hc4Jd6"


@pytest.fixture(autouse=True)
def _one_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENCRYPTION_KEY", Fernet.generate_key().decode())
    for variable in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY"):
        monkeypatch.delenv(variable, raising=False)


def local(base_url: str, **provider: Any) -> Mapping[str, Any]:
    return {
        "providers": {"local": {"api": "openai-chat", "base_url": base_url, **provider}},
        "agents": {"local": {"provider": "local", "model": "m"}},
    }


@pytest.mark.parametrize("way", ["setting", "variable"])
async def test_a_providers_key_may_come_from_the_vault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.setenv("LOCAL_KEY", "vault:local-key")
    how = {"key_vault": "local-key"} if way == "setting" else {"key_env": "LOCAL_KEY"}
    async with SimulatedProvider() as simulated:
        async with Platform(home=tmp_path, **local(f"{simulated.url}/v1", **how)) as platform:
            platform.vault.set("local-key", KEY)
            simulated.script = [Text(f"the key is {KEY}")]
            result = await platform.run(Task("hello", context={"agent": "local"}))
            assert result.status == "completed", result.error
            assert KEY not in str(result.output), "what the vault hands out is known to the redactor"
            assert provider_with_key(platform.settings, "local", platform.vault).api_key == KEY
        assert simulated.requests[-1].has_key
    assert "local-key (version 1, tenant '') is read by provider local" in caplog.text
    assert KEY not in caplog.text
    held = b"".join(path.read_bytes() for path in tmp_path.iterdir() if path.is_file())
    assert KEY.encode() not in held


async def test_a_run_whose_key_is_not_in_the_vault_fails_and_says_so(tmp_path: Path) -> None:
    async with Platform(home=tmp_path, **local("http://127.0.0.1:1/v1", key_vault="nothing")) as platform:
        result = await platform.run(Task("hello", context={"agent": "local"}))
    assert (result.status, result.error_code) == ("failed", "vault.not_found")


def test_no_child_sees_the_vaults_key_and_no_agent_its_files(tmp_path: Path) -> None:
    shell = ShellTool(tmp_path)
    assert os.environ["ENCRYPTION_KEY"]
    assert not {"ENCRYPTION_KEY", "INTERLOCK_VAULT_PASSPHRASE"} & set(shell._environment())
    settings = load(
        environ={}, cwd=tmp_path, overrides={"vault": {"key_file": "keys/mine"}, "home": ".", "workspace": "."}
    )
    names = {path.name for path in protected_paths(settings)}
    assert {"vault.json", "vault.key", "mine", "interlock.db"} <= names
