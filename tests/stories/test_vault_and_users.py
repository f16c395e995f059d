"""The command line of the vault and of users, as someone at a shell meets it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

VALUE = "correct-horse-battery-staple"


def interlock(home: Path, *words: str, given: str = "") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "interlock", *words, "--home", str(home)]
    env = {"PATH": "/usr/bin:/bin", "HOME": str(home)}
    return subprocess.run(
        command, input=given, capture_output=True, text=True, timeout=60, check=False, cwd=home, env=env
    )


def test_a_secret_goes_in_through_stdin_and_is_listed_without_its_value(tmp_path: Path) -> None:
    refused = interlock(tmp_path, "vault", "set", "db", given=VALUE)
    assert refused.returncode == 1
    assert "[vault.key_missing]" in refused.stderr
    kept = interlock(tmp_path, "vault", "set", "db", "--make-key", given=f"{VALUE}\n")
    assert (kept.returncode, kept.stdout) == (0, "db: kept as version 1\n")
    rotated = json.loads(interlock(tmp_path, "vault", "rotate", "--json").stdout)
    assert rotated["applied"] is True
    listed = interlock(tmp_path, "vault", "list", "--json")
    assert [one["name"] for one in json.loads(listed.stdout)["items"]] == ["db"]
    said = "".join(done.stdout + done.stderr for done in (refused, kept, listed))
    assert VALUE not in said
    assert VALUE.encode() not in b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert interlock(tmp_path, "vault", "set", "db").returncode == 2, "there is no value"
    assert interlock(tmp_path, "vault", "remove", "db").returncode == 0
    assert interlock(tmp_path, "vault", "remove", "db").returncode == 7


def test_the_doctor_says_whether_the_vault_opens(tmp_path: Path) -> None:
    def findings() -> dict[str, tuple[str, str]]:
        told = json.loads(interlock(tmp_path, "doctor", "--json").stdout)
        return {one["name"]: (one["state"], one.get("code", "")) for one in told["items"]}

    assert "vault" not in findings()
    assert interlock(tmp_path, "vault", "set", "db", "--make-key", given=f"{VALUE}\n").returncode == 0
    assert findings()["vault"] == ("ok", "")
    (tmp_path / "vault.key").unlink()
    assert findings()["vault"] == ("failed", "vault.key_missing")


def test_a_user_gets_a_token_once_and_loses_it_again(tmp_path: Path) -> None:
    assert interlock(tmp_path, "user", "add", "ann", "--role", "emperor").returncode == 2
    assert interlock(tmp_path, "user", "add", "ann", "--role", "operator", "--tenant", "a").returncode == 0
    token = interlock(tmp_path, "user", "token", "ann", "--expires-in", "90d").stdout.strip()
    assert token.startswith("ilk_")
    listed = interlock(tmp_path, "user", "list", "--json").stdout
    assert token not in listed
    (ann,) = json.loads(listed)["items"]
    assert (ann["roles"], ann["tenant"], len(ann["tokens"])) == (["operator"], "a", 1)
    assert interlock(tmp_path, "user", "revoke", ann["tokens"][0]["id"]).returncode == 0
    assert interlock(tmp_path, "user", "revoke", ann["tokens"][0]["id"]).returncode == 7
    assert interlock(tmp_path, "user", "remove", "ann").returncode == 0
    assert interlock(tmp_path, "user", "token", "ann").returncode == 7
