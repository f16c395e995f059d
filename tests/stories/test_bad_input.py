"""What goes wrong is said with a code, a sentence and a next step, in JSON too, and nobody sees a stack trace."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from tests.stories.shell import Said, Shell


def refused(said: Said, exit_code: int, code: str) -> dict[str, str]:
    """The error of a command that was to fail, after looking at its form."""
    assert said.code == exit_code, said
    error: dict[str, str] = said.json["error"]
    assert error["code"] == code
    assert error["says"]
    assert error["do"]
    assert "Traceback" not in said.out + said.err
    return error


@pytest.mark.parametrize(
    ("words", "code", "names"),
    [
        (("run", "start", ""), "usage.empty_task", "description"),
        (("run", "start", "   "), "usage.empty_task", "description"),
        (("run", "start", "x", "--priority", "9"), "usage.priority", "1 (first) to 5 (last)"),
        (("run", "start", "x", "--priority", "high"), "usage.option", "--priority"),
        (("run", "start", "x", "--timeout", "-5"), "usage.timeout", "timeout"),
        (("run", "start", "x", "--timeout", "soon"), "usage.option", "soon"),
        (("run", "start", "x", "--max-cost", "much"), "usage.option", "much"),
        (("run", "start", "x", "--id", "../etc"), "usage.id", "../etc"),
        (("run", "start", "x", "--agent", "clod"), "usage.agent", "clod"),
        (("run", "start", "x", "--context", "{nonsense"), "usage.option", "JSON"),
        (("run", "start", "x", "--label", "team"), "usage.option", "key=value"),
        (("run", "start", "x", "--allow", "ls | rm"), "usage.commands", "never match"),
        (("run", "start", "how", "full"), "usage.command", "extra argument"),
        (("run", "start"), "usage.option", "TASK"),
        (("run", "resume", "run-1", "--repeat", "--skip"), "usage.option", "--repeat"),
        (("run", "list", "--limit", "0"), "usage.option", "--limit"),
        (("run", "list", "--status", "asleep"), "usage.option", "asleep"),
        (("run", "list", "--frm", "x"), "usage.option", "--frm"),
        (("run", "lsit"), "usage.command", "lsit"),
        (("wotk",), "usage.command", "wotk"),
    ],
    ids=lambda value: " ".join(value)[:40] if isinstance(value, tuple) else "",
)
def test_an_impossible_command_line_ends_with_2(shell: Shell, words: tuple[str, ...], code: str, names: str) -> None:
    error = refused(shell(*words, "--json"), 2, code)
    assert names in error["says"]
    assert not (shell.folder / ".interlock").exists()


def test_ten_megabytes_of_description_are_refused(shell: Shell) -> None:
    said = shell("run", "start", "-", "--json", stdin=b"x" * 10_000_000)
    assert "10,000,000 characters" in refused(said, 2, "usage.description_too_long")["says"]


def test_a_task_that_is_no_text_is_refused(shell: Shell) -> None:
    refused(shell("run", "start", "-", "--json", stdin=b"\xff\xfe\x00"), 2, "usage.task")


@pytest.mark.parametrize("verb", ["show", "watch", "resume", "cancel", "pause"])
def test_an_unknown_run_ends_with_7(shell: Shell, verb: str) -> None:
    refused(shell("run", verb, "run_nowhere", "--json"), 7, "run.not_found")


def test_people_read_the_error_on_stderr_and_stdout_stays_empty(shell: Shell) -> None:
    said = shell("run", "show", "run_nowhere")
    assert (said.code, said.out) == (7, "")
    assert "There is no run run_nowhere." in said.err
    assert "interlock run list" in said.err


def test_a_broken_settings_file_names_its_line_and_the_nearest_key(shell: Shell) -> None:
    (shell.folder / "interlock.toml").write_text("[limits]\nmax_rnus = 3\n")
    says = refused(shell("run", "list", "--json"), 2, "settings.unknown_key")["says"]
    assert "interlock.toml:2" in says
    assert "max_runs" in says


def test_a_settings_file_that_is_no_toml_is_refused(shell: Shell) -> None:
    (shell.folder / "interlock.toml").write_text("[limits\n")
    assert shell("run", "list", "--json").code == 2


def test_an_unknown_variable_stops_the_start(shell: Shell) -> None:
    said = shell("run", "list", "--json", env={"INTERLOCK_HOEM": "/tmp/x"})
    assert said.code == 2
    assert "INTERLOCK_HOME" in said.json["error"]["says"] + said.json["error"]["do"]


def test_an_unknown_profile_is_refused(shell: Shell) -> None:
    (shell.folder / "interlock.toml").write_text("[profile.staging.limits]\nmax_runs = 3\n")
    refused(shell("config", "show", "--profile", "stagign", "--json"), 2, "settings.profile")
    items = shell("config", "show", "--profile", "staging", "--json").json["items"]
    assert {"key": "limits.max_runs", "value": 3, "origin": "profile.staging (interlock.toml:2)"} in items


@pytest.mark.parametrize("words", [("run", "start", "x"), ("run", "list"), ("run", "show", "run_123456")])
def test_a_file_where_the_home_folder_should_be_is_refused(shell: Shell, words: tuple[str, ...]) -> None:
    (shell.folder / ".interlock").write_text("not a folder")
    refused(shell(*words, "--json"), 1, "store.missing")
    assert (shell.folder / ".interlock").read_text() == "not a folder"


def test_a_home_that_cannot_be_made_is_refused(shell: Shell) -> None:
    refused(shell("run", "start", "x", "--home", "/proc/interlock", "--json"), 1, "store.missing")


def _store(folder: Path) -> Path:
    home = folder / ".interlock"
    home.mkdir()
    return home / "interlock.db"


@pytest.mark.parametrize("words", [("run", "start", "x"), ("run", "list")])
def test_a_foreign_file_in_the_stores_place_is_refused_and_left_alone(shell: Shell, words: tuple[str, ...]) -> None:
    file = _store(shell.folder)
    file.write_bytes(b"this is no database" * 100)
    refused(shell(*words, "--json"), 1, "store.foreign")
    assert file.read_bytes() == b"this is no database" * 100
    assert shell("doctor", "--quick").code == 1


def test_a_store_that_is_cut_short_is_refused(shell: Shell) -> None:
    file = _store(shell.folder)
    shell("run", "start", "x")
    with sqlite3.connect(file) as db:
        db.execute("PRAGMA journal_mode = DELETE")
    db.close()
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    refused(shell("run", "list", "--json"), 1, "store.corrupt")


def test_a_store_of_a_newer_version_is_refused_and_left_alone(shell: Shell) -> None:
    file = _store(shell.folder)
    shell("run", "start", "x")
    with sqlite3.connect(file) as db:
        db.execute("PRAGMA user_version = 999")
    db.close()
    refused(shell("run", "list", "--json"), 1, "store.newer")
    with sqlite3.connect(file) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (999,)
    db.close()


def test_without_a_key_one_is_told_what_to_do(shell: Shell) -> None:
    said = shell("run", "start", "How full?")
    assert said.code == 4
    assert "OPENAI_API_KEY" in said.err
    assert "interlock demo" in said.err


def test_a_reader_that_left_is_no_error(shell: Shell) -> None:
    done = subprocess.run(
        f"{sys.executable} -m interlock config show | true",
        shell=True,
        cwd=shell.folder,
        env=shell.env,
        capture_output=True,
        check=False,
    )
    assert done.stderr == b""


def test_an_answer_that_cannot_be_written_is_an_error(shell: Shell) -> None:
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [sys.executable, "-m", "interlock", "config", "show"],
            cwd=shell.folder,
            env=shell.env,
            stdout=full,
            stderr=subprocess.PIPE,
            check=False,
        )
    assert done.returncode == 1
    assert b"[output.failed]" in done.stderr
    assert b"Traceback" not in done.stderr


def test_a_run_whose_key_a_file_sends_elsewhere_fails_at_the_door_and_says_why(shell: Shell) -> None:
    (shell.folder / "interlock.toml").write_text("[providers.openai]\nbase_url = 'https://gateway.example/v1'\n")
    said = shell("run", "start", "hello", "--type", "conversation", env={"OPENAI_API_KEY": "sk-not-for-the-gateway"})
    assert said.code == 4
    assert "interlock.toml:2 sends openai to another address" in said.err
    assert "Name key_env there" in said.err


def test_what_a_run_leaves_behind_is_for_its_owner_only(shell: Shell) -> None:
    before = os.umask(0o022)
    try:
        closed = {"OPENAI_API_KEY": "sk-nobody-hears-this", "OPENAI_BASE_URL": "http://127.0.0.1:9/v1"}
        shell("run", "start", "hello", "--type", "analysis", env={**closed, "INTERLOCK_RETRY__ATTEMPTS": "1"})
    finally:
        os.umask(before)
    home = shell.folder / ".interlock"
    assert home.stat().st_mode & 0o777 == 0o700
    assert (home / "interlock.log").exists()
    assert [file.name for file in home.iterdir() if file.is_file() and file.stat().st_mode & 0o077] == []
