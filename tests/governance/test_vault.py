"""The vault: what goes in comes out, only with its key, only unchanged, only in its place, never by accident."""

from __future__ import annotations

import base64
import copy
import io
import json
import logging
import os
import pickle
import stat
import subprocess
import sys
import threading
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keyring
import pytest
from cryptography.fernet import Fernet
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from keyring.backend import KeyringBackend

from interlock.errors import InterlockError, NotFound, UsageError, VaultFailed
from interlock.governance.redaction import Redactor
from interlock.governance.vault import Reading, Secret, Vault, key_sources
from interlock.governance.vault import file as vault_file

VALUE = "correct-horse-battery-staple"
KEY = Fernet.generate_key().decode()


def vault(home: Path, environ: Mapping[str, str] | None = None, **more: Any) -> Vault:
    environ = {"ENCRYPTION_KEY": KEY} if environ is None else environ
    places = {name: more.pop(name) for name in ("key_file", "key_command") if name in more}
    return Vault(home / "vault.json", key_sources(home, environ, **places), environ=environ, **more)


def code_of(work: Any) -> str:
    with pytest.raises(InterlockError) as caught:
        work()
    return caught.value.code


def told(home: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((home / "vault.json").read_text())
    return found


# Round trips.


@given(value=st.text(min_size=1, max_size=60))
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_whatever_is_set_comes_back(tmp_path: Path, value: str) -> None:
    vault(tmp_path).set("any", value)
    assert vault(tmp_path).get("any").reveal() == value


def test_older_versions_stay_readable_and_the_newest_is_given(tmp_path: Path) -> None:
    ours = vault(tmp_path, now=lambda: 5.0)
    ours.set("db", "first")
    assert ours.set("db", "second").version == 2
    assert ours.get("db").reveal() == "second"
    assert ours.get("db", version=1).reveal() == "first"
    assert [(one.name, one.version, one.created_at) for one in ours.entries()] == [("db", 1, 5.0), ("db", 2, 5.0)]
    assert code_of(lambda: ours.get("db", version=3)) == "vault.not_found"


def test_a_tenants_secret_is_not_anothers(tmp_path: Path) -> None:
    ours = vault(tmp_path)
    ours.set("db", "of-a", tenant="a")
    ours.set("db", "of-b", tenant="b")
    assert ours.get("db", tenant="a").reveal() == "of-a"
    assert code_of(lambda: ours.get("db")) == "vault.not_found"
    assert [one.tenant for one in ours.entries(tenant="b")] == ["b"]


def test_a_removed_secret_is_gone_with_all_versions(tmp_path: Path) -> None:
    ours = vault(tmp_path)
    ours.set("db", "first")
    ours.set("db", "second")
    assert ours.remove("db") == 2
    with pytest.raises(NotFound):
        ours.get("db")
    assert code_of(lambda: ours.remove("db")) == "vault.not_found"


@pytest.mark.parametrize("name", ["", "../x", "a b", "-x", "x" * 200])
def test_a_name_that_cannot_be_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError):
        vault(tmp_path).set(name, VALUE)


def test_references_are_followed_when_they_are_read(tmp_path: Path) -> None:
    kept = tmp_path / "token"
    kept.write_text("in-a-file\n")
    ours = vault(tmp_path, {"ENCRYPTION_KEY": KEY, "TOKEN": "in-the-environment"})
    ours.refer("a", "env:TOKEN")
    ours.refer("b", f"file:{kept}")
    ours.refer("c", "env:NOT_THERE")
    assert [ours.get(name).reveal() for name in "ab"] == ["in-the-environment", "in-a-file"]
    assert code_of(lambda: ours.get("c")) == "vault.reference"
    with pytest.raises(UsageError):
        ours.refer("d", "https://example.org")


# Keys.


def test_without_a_key_a_clear_error_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(VaultFailed) as caught:
        vault(tmp_path, {}).set("db", VALUE)
    assert caught.value.code == "vault.key_missing"
    assert "ENCRYPTION_KEY" in caught.value.do
    vault(tmp_path).set("db", VALUE)
    assert code_of(lambda: vault(tmp_path, {}).get("db")) == "vault.key_missing"


def test_a_wrong_key_is_called_wrong(tmp_path: Path) -> None:
    vault(tmp_path).set("db", VALUE)
    other = {"ENCRYPTION_KEY": Fernet.generate_key().decode()}
    assert code_of(lambda: vault(tmp_path, other).get("db")) == "vault.wrong_key"
    assert code_of(lambda: vault(tmp_path, other).set("db", "x")) == "vault.wrong_key"
    assert vault(tmp_path).get("db").reveal() == VALUE


@pytest.mark.parametrize("text", ["hunter2", "x" * 44, KEY[:-2], "ü" * 44], ids=["word", "x", "short", "no ascii"])
def test_what_is_no_key_is_refused_and_not_shown(tmp_path: Path, text: str) -> None:
    with pytest.raises(VaultFailed) as caught:
        vault(tmp_path, {"ENCRYPTION_KEY": text}).set("db", VALUE)
    assert caught.value.code == "vault.bad_key"
    assert text not in "".join(traceback.format_exception(caught.value)).partition("def ")[0] or len(text) < 8
    assert text not in caught.value.user_message


def test_a_key_in_the_environment_is_warned_about(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    from interlock.governance.vault.keys import _warn_about_variable

    _warn_about_variable.cache_clear()
    vault(tmp_path).set("db", VALUE)
    assert "ENCRYPTION_KEY holds the vault's key" in caplog.text
    assert KEY not in caplog.text


def test_a_new_vault_makes_its_own_private_key_file_only_when_it_may(tmp_path: Path) -> None:
    vault(tmp_path, {}, make_key=True).set("db", VALUE)
    assert vault(tmp_path, {}).get("db").reveal() == VALUE
    for name in ("vault.key", "vault.json", "vault.json.lock"):
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o600, name


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644])
def test_a_key_file_that_others_may_read_is_refused(tmp_path: Path, mode: int) -> None:
    vault(tmp_path, {}, make_key=True).set("db", VALUE)
    (tmp_path / "vault.key").chmod(mode)
    assert code_of(lambda: vault(tmp_path, {}).get("db")) == "vault.key_exposed"


def test_files_are_private_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        vault(tmp_path / "home", {}, make_key=True).set("db", VALUE)
    finally:
        os.umask(before)
    assert {stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "home").iterdir()} == {0o600}


def test_a_passphrase_opens_what_it_closed(tmp_path: Path) -> None:
    phrase = {"INTERLOCK_VAULT_PASSPHRASE": "a long sentence that nobody guesses"}
    ours = vault(tmp_path, phrase)
    ours.set("db", VALUE)
    assert ours.rotate() != ""
    assert vault(tmp_path, phrase).get("db").reveal() == VALUE
    wrong = {"INTERLOCK_VAULT_PASSPHRASE": "another sentence"}
    assert code_of(lambda: vault(tmp_path, wrong).get("db")) == "vault.wrong_key"


def test_a_command_gives_the_key(tmp_path: Path) -> None:
    command = [sys.executable, "-c", f"print({KEY!r})"]
    vault(tmp_path, {}, key_command=command).set("db", VALUE)
    assert vault(tmp_path).get("db").reveal() == VALUE, "it is the same key"
    broken = [sys.executable, "-c", f"import sys; sys.exit({KEY!r})"]
    with pytest.raises(VaultFailed) as caught:
        vault(tmp_path, {}, key_command=broken).get("db")
    assert caught.value.code == "vault.key_command"
    assert KEY not in f"{caught.value.user_message} {caught.value.detail}"


class Ring(KeyringBackend):
    """A keyring in memory, which nobody finds by looking around."""

    priority = -1  # type: ignore[assignment]

    def __init__(self) -> None:
        super().__init__()
        self.held: dict[tuple[str, str], str] = {}

    def get_password(self, service: str, username: str) -> str | None:
        return self.held.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        self.held[service, username] = password


def test_a_real_keyring_comes_first_and_holds_the_key_and_references(tmp_path: Path) -> None:
    before = keyring.get_keyring()
    ring = Ring()
    ring.priority = 5  # type: ignore[assignment]
    keyring.set_keyring(ring)
    try:
        ours = vault(tmp_path, {}, make_key=True)
        ours.set("db", VALUE)
        ours.rotate()
        ring.held["github", "bot"] = "from-the-ring"
        ours.refer("gh", "keyring:github/bot")
        assert vault(tmp_path, {}).get("gh").reveal() == "from-the-ring"
        assert not (tmp_path / "vault.key").exists()
        assert len(ring.held["interlock-vault", str(tmp_path)].split()) == 1
    finally:
        keyring.set_keyring(before)
    assert code_of(lambda: vault(tmp_path, {}).get("db")) == "vault.key_missing"


# Tampering.


@given(data=st.data())
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_a_flipped_byte_is_found_wherever_it_is(tmp_path: Path, data: st.DataObject) -> None:
    path = tmp_path / "vault.json"
    if not path.exists():
        vault(tmp_path).set("db", VALUE)
    good = path.read_bytes()
    at = data.draw(st.integers(0, len(good) - 1))
    bit = data.draw(st.integers(1, 255))
    path.write_bytes(good[:at] + bytes([good[at] ^ bit]) + good[at + 1 :])
    try:
        assert code_of(lambda: vault(tmp_path).get("db")) in ("vault.damaged", "vault.wrong_key")
    finally:
        path.write_bytes(good)


@pytest.mark.parametrize("kept", [0, 1, 100, -1])
def test_a_file_that_is_cut_short_is_damaged(tmp_path: Path, kept: int) -> None:
    vault(tmp_path).set("db", VALUE)
    path = tmp_path / "vault.json"
    path.write_bytes(path.read_bytes()[:kept])
    assert code_of(lambda: vault(tmp_path).get("db")) == "vault.damaged"
    assert code_of(lambda: vault(tmp_path).set("db", "x")) == "vault.damaged", "nothing is written over it"


def test_a_ciphertext_opens_only_where_it_belongs_even_under_the_right_mark(tmp_path: Path) -> None:
    """Whoever swaps records is found by the mark, and by each record's own binding where the mark is made anew."""
    ours = vault(tmp_path)
    ours.set("cheap", "harmless")
    ours.set("root", VALUE)
    found = told(tmp_path)
    sound = copy.deepcopy(found)
    one, two = found["vault"]["records"]
    for part in ("wrapped", "value"):
        one[part], two[part] = two[part], one[part]
    (tmp_path / "vault.json").write_text(json.dumps(found, sort_keys=True, indent=1) + "\n")
    assert code_of(lambda: vault(tmp_path).get("cheap")) == "vault.damaged"
    key, _ = ours._key_of(sound["vault"])
    vault_file.write(tmp_path / "vault.json", found["vault"], key)
    assert code_of(lambda: vault(tmp_path).get("cheap")) == "vault.damaged"
    for part, value in (("name", "other"), ("version", 2), ("tenant", "t"), ("kind", "reference")):
        moved = copy.deepcopy(sound["vault"])
        moved["records"][0][part] = value
        vault_file.write(tmp_path / "vault.json", moved, key)
        where = {"name": moved["records"][0]["name"], "tenant": moved["records"][0]["tenant"]}
        assert code_of(lambda where=where: vault(tmp_path).get(**where)) == "vault.damaged", part


def test_a_record_that_was_taken_out_is_found(tmp_path: Path) -> None:
    ours = vault(tmp_path)
    ours.set("a", "first value")
    ours.set("b", "other value")
    found = told(tmp_path)
    found["vault"]["records"].pop()
    (tmp_path / "vault.json").write_text(json.dumps(found, sort_keys=True, indent=1) + "\n")
    assert code_of(lambda: vault(tmp_path).entries()) == "vault.damaged"


# Rotation.


def test_rotation_wraps_everything_anew_and_forgets_the_old_key(tmp_path: Path) -> None:
    ours = vault(tmp_path, {}, make_key=True)
    ours.set("a", "first value")
    ours.set("a", "second value")
    ours.set("b", "third value", tenant="t")
    old_key, before = (tmp_path / "vault.key").read_text().strip(), told(tmp_path)["vault"]
    ours.rotate()
    after = told(tmp_path)["vault"]
    assert after["key"] != before["key"]
    assert {one["key_id"] for one in after["records"]} == {after["key"]}
    again = vault(tmp_path, {})
    assert [again.get("a", version=v).reveal() for v in (1, 2)] == ["first value", "second value"]
    assert again.get("b", tenant="t").reveal() == "third value"
    assert old_key not in (tmp_path / "vault.key").read_text()
    assert code_of(lambda: vault(tmp_path, {"ENCRYPTION_KEY": old_key}, key_file=tmp_path / "none").get("a")) == (
        "vault.wrong_key"
    )


def test_a_key_from_outside_is_rotated_by_putting_the_new_one_first(tmp_path: Path) -> None:
    vault(tmp_path).set("db", VALUE)
    assert code_of(lambda: vault(tmp_path).rotate()) == "vault.no_new_key"
    new = Fernet.generate_key().decode()
    both = {"ENCRYPTION_KEY": f"{new},{KEY}"}
    assert vault(tmp_path, both).get("db").reveal() == VALUE
    vault(tmp_path, both).rotate()
    assert vault(tmp_path, {"ENCRYPTION_KEY": new}).get("db").reveal() == VALUE


KILLED = """
import os, signal, sys
from pathlib import Path
from interlock.governance.vault import Vault, key_sources

left = [int(sys.argv[2])]

def counted(call):
    def perform(*args, **more):
        if not left[0]:
            os.kill(os.getpid(), signal.SIGKILL)
        left[0] -= 1
        return call(*args, **more)
    return perform

for name in ("replace", "fsync", "open", "fchmod"):
    setattr(os, name, counted(getattr(os, name)))
home = Path(sys.argv[1])
Vault(home / "vault.json", key_sources(home, {})).rotate()
"""


def test_a_rotation_that_is_killed_at_any_moment_leaves_a_vault_that_opens(tmp_path: Path) -> None:
    vault(tmp_path, {}, make_key=True).set("db", VALUE)
    ended = []
    for step in range(60):
        done = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path), str(step)], timeout=60, check=False)
        ended.append(done.returncode)
        assert vault(tmp_path, {}).get("db").reveal() == VALUE, f"killed at step {step}"
        if done.returncode == 0:
            break
    assert ended[-1] == 0
    assert len(ended) > 10
    assert set(ended[:-1]) == {-9}
    assert len((tmp_path / "vault.key").read_text().split()) == 1


WRITES = """
import sys
from pathlib import Path
from interlock.governance.vault import Vault, key_sources

home, me = Path(sys.argv[1]), sys.argv[2]
ours = Vault(home / "vault.json", key_sources(home, {}))
for number in range(12):
    ours.set(f"{me}-{number}", f"value {me} {number}")
    ours.set("shared", f"{me} {number}")
    if number == 6:
        ours.rotate()
"""


def test_two_processes_write_at_once_and_nothing_is_lost(tmp_path: Path) -> None:
    reader = vault(tmp_path, {}, make_key=True)
    reader.set("seed", VALUE)
    writers = [subprocess.Popen([sys.executable, "-c", WRITES, str(tmp_path), me]) for me in "ab"]
    reads = 0
    while any(writer.poll() is None for writer in writers):
        assert reader.get("seed").reveal() == VALUE, "also while others rotate"
        reads += 1
    assert [writer.wait(60) for writer in writers] == [0, 0]
    assert reads > 3
    found = {(one.name, one.version) for one in reader.entries()}
    assert {(f"{me}-{number}", 1) for me in "ab" for number in range(12)} <= found
    assert {version for name, version in found if name == "shared"} == set(range(1, 25))


def test_who_waits_too_long_for_the_lock_is_told(tmp_path: Path) -> None:
    path = tmp_path / "vault.json"
    with vault_file.alone(path):
        with pytest.raises(VaultFailed) as caught, vault_file.alone(path, patience=0.02):
            pass
    assert caught.value.code == "vault.locked"


# Nobody sees it by accident.


def test_the_file_never_holds_the_plain_value(tmp_path: Path) -> None:
    ours = vault(tmp_path, {}, make_key=True)
    ours.set("db", VALUE)
    ours.rotate()
    held = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    for form in (VALUE.encode(), base64.b64encode(VALUE.encode())[:-4], VALUE.encode().hex().encode()):
        assert form not in held


def test_a_secret_shows_itself_to_nobody(caplog: pytest.LogCaptureFixture) -> None:
    secret = Secret(VALUE, "db")
    caplog.set_level(logging.DEBUG)
    logging.getLogger("x").warning("got %s %r %s", secret, secret, {"k": [secret]})
    shown = [str(secret), repr(secret), f"{secret}", f"{secret:>40}", f"{[secret]!r}", caplog.text]
    shown.append(json.dumps({"k": secret}, default=str))
    try:
        raise ValueError(secret)
    except ValueError as error:
        shown.append("".join(traceback.TracebackException.from_exception(error, capture_locals=True).format()))
    assert [text for text in shown if VALUE in text] == []
    assert copy.deepcopy({"a": secret})["a"].reveal() == VALUE
    for refused in (pickle.dumps, json.dumps, lambda one: pickle.dump({"a": one}, io.BytesIO())):
        with pytest.raises(TypeError):
            refused(secret)
    assert secret == Secret(VALUE)
    assert secret != Secret("other")


def test_a_value_that_is_handed_out_is_known_to_the_redactor(tmp_path: Path) -> None:
    redactor = Redactor(key=b"k")
    ours = vault(tmp_path, register=redactor.register)
    ours.set("db", VALUE)
    ours.get("db")
    hidden = redactor.redact(f"login {VALUE} or {base64.b64encode(VALUE.encode()).decode()}")
    assert VALUE not in hidden
    assert "[REDACTED:db:" in hidden


def test_each_reading_is_noted_first_and_who_cannot_note_it_hands_out_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    readings: list[Reading] = []
    ours = vault(tmp_path, noted=readings.append, now=lambda: 7.0)
    ours.set("db", VALUE)
    ours.get("db", by="claude")
    assert readings == [Reading(name="db", tenant="", version=1, by="claude", at=7.0)]
    assert "db (version 1, tenant '') is read by claude" in caplog.text
    assert VALUE not in caplog.text

    def refuse(reading: Reading) -> None:
        raise OSError("the audit log is full")

    with pytest.raises(OSError, match="full"):
        vault(tmp_path, noted=refuse).get("db")
    ours.note_readings(refuse)
    with pytest.raises(OSError, match="full"):
        ours.get("db")


def test_errors_hold_no_value_and_no_key(tmp_path: Path) -> None:
    ours = vault(tmp_path)
    ours.set("db", VALUE)
    with pytest.raises(UsageError) as caught:
        ours.set("bad name", VALUE)
    assert VALUE not in str(caught.value) + caught.value.user_message
    path = tmp_path / "vault.json"
    path.write_text(path.read_text().replace('"db"', '"dx"'))
    with pytest.raises(VaultFailed) as failed:
        ours.get("db")
    shown = f"{failed.value.user_message} {failed.value.detail}"
    assert VALUE not in shown
    assert KEY not in shown


def test_threads_may_share_one_vault(tmp_path: Path) -> None:
    ours = vault(tmp_path)
    threads = [threading.Thread(target=ours.set, args=(f"n{number}", VALUE)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(ours.entries()) == 6


def test_a_vault_that_no_longer_names_its_key_is_no_crash(tmp_path: Path) -> None:
    vault(tmp_path).set("db", VALUE)
    path = next(one for one in tmp_path.iterdir() if b'"key"' in one.read_bytes())
    path.write_bytes(path.read_bytes().replace(b'"key"', b'"kex"', 1))
    assert code_of(lambda: vault(tmp_path).get("db")) in ("vault.damaged", "vault.wrong_key")
