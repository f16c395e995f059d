"""The MAOF guide's credentials: its names work on an encrypted vault, and what it warns of is refused."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
from cryptography.fernet import Fernet

from interlock import Platform
from interlock.errors import NotFound, SettingsError, VaultFailed
from interlock.resilience import SecureCredentialManager

API_KEY = "sk-proj-Zk3Vw9Qm2Lx8Rt5Nb7Hc4Jd6"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ENCRYPTION_KEY", Fernet.generate_key().decode())
    monkeypatch.setenv("INTERLOCK_HOME", str(tmp_path))
    return tmp_path


def test_at_001_08_a_key_that_is_stored_comes_back_and_its_plain_text_is_nowhere(home: Path) -> None:
    manager = SecureCredentialManager()
    manager.store_api_key("openai", API_KEY)
    assert SecureCredentialManager().get_api_key("openai") == API_KEY
    held = b"".join(path.read_bytes() for path in home.iterdir())
    assert API_KEY.encode() not in held
    assert b"openai" in held
    with pytest.raises(NotFound):
        manager.get_api_key("gemini")


def test_at_001_08_without_its_key_the_error_is_clear(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    SecureCredentialManager().store_api_key("openai", API_KEY)
    monkeypatch.delenv("ENCRYPTION_KEY")
    with pytest.raises(VaultFailed) as missing:
        SecureCredentialManager()
    assert missing.value.code == "vault.key_missing"
    assert "ENCRYPTION_KEY" in missing.value.do
    monkeypatch.setenv("ENCRYPTION_KEY", Fernet.generate_key().decode())
    with pytest.raises(VaultFailed) as wrong:
        SecureCredentialManager()
    assert wrong.value.code == "vault.wrong_key"
    monkeypatch.setenv("ENCRYPTION_KEY", "not a key")
    with pytest.raises(VaultFailed) as bad:
        SecureCredentialManager()
    assert bad.value.code == "vault.bad_key"


def test_the_manager_itself_shows_no_secret(home: Path) -> None:
    manager = SecureCredentialManager()
    manager.store_api_key("openai", API_KEY)
    manager.get_api_key("openai")
    assert API_KEY not in repr(manager) + repr(vars(manager))
    with pytest.raises(TypeError, match="holds keys"):
        pickle.dumps(manager)


async def test_a_platforms_manager_hides_what_it_hands_out_from_the_store(home: Path) -> None:
    async with Platform(home=home) as platform:
        manager = SecureCredentialManager(platform=platform)
        secret = "plain words that no rule would take for a secret"
        manager.store_api_key("mail", secret)
        platform.register_agent("leaky", lambda text: f"it is: {manager.get_api_key('mail')}")
        from interlock import Task

        result = await platform.run(Task("look", context={"agent": "leaky"}))
        assert secret not in str(result.output)
    assert secret.encode() not in b"".join(path.read_bytes() for path in home.iterdir() if path.is_file())


def test_keys_that_stand_in_the_settings_file_are_refused(tmp_path: Path) -> None:
    """The guide's bad example: a hard-coded key."""
    (tmp_path / "interlock.toml").write_text(f'[providers.openai]\napi_key = "{API_KEY}"\n')
    with pytest.raises(SettingsError) as caught:
        Platform(home=tmp_path, config=str(tmp_path / "interlock.toml"))
    assert API_KEY not in caught.value.user_message
    assert "secret" in caught.value.says
