"""The command tree: help, guesses, common options, and what a command may import."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest

from interlock import errors
from interlock.cli import app
from interlock.cli.app import ROOT, RUN, TOPICS, guarded
from interlock.cli.door import Door
from interlock.cli.private_log import PrivateLog
from tests.cli.conftest import Cli

HEAVY = ("openai", "anthropic", "aiohttp", "httpx2", "rich", "structlog", "opentelemetry", "genai_prices", "pydantic")


@pytest.mark.parametrize("words", [("--help",), ("run", "list"), ("run", "show", "run_123456"), ("config", "show")])
def test_looking_imports_nothing_heavy(words: tuple[str, ...], tmp_path: Path) -> None:
    code = (
        "import sys; from interlock.cli.app import perform; perform(sys.argv[1:]); print(*sys.modules, file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *words], cwd=tmp_path, capture_output=True, check=True, text=True
    )
    loaded = done.stderr.split()
    assert "click" in loaded
    assert [name for name in loaded if name.partition(".")[0] in HEAVY] == []
    assert "interlock.platform.platform" not in loaded


def test_help_lists_every_verb_without_loading_it(cli: Cli) -> None:
    said = cli("--help")
    assert said.code == 0
    assert all(f"  {name} " in said.out and use in said.out for name, (_, use) in ROOT.items())


@pytest.mark.parametrize("verb", list(RUN))
def test_every_verb_of_run_has_help_that_begins_with_its_use_and_knows_json(cli: Cli, verb: str) -> None:
    said = cli("run", verb, "--help")
    assert said.code == 0
    assert said.out.startswith(f"Usage: interlock run {verb}")
    assert f"\n    interlock run {verb}" in said.out
    assert "--json" in said.out


@pytest.mark.parametrize(
    ("words", "guess"),
    [
        (("run", "lits"), "interlock run list"),
        (("list",), "interlock run list"),
        (("resume", "run_1"), "interlock run resume"),
        (("dmeo",), "interlock demo"),
    ],
)
def test_an_unknown_command_is_answered_with_the_one_that_was_meant(
    cli: Cli, words: tuple[str, ...], guess: str
) -> None:
    said = cli(*words)
    assert (said.code, said.out) == (2, "")
    assert f"Did you mean `{guess}`?" in said.err


def test_a_command_that_looks_like_nothing_gets_no_guess(cli: Cli) -> None:
    said = cli("zzzzzz")
    assert said.code == 2
    assert "Did you mean" not in said.err


@pytest.mark.parametrize("words", [("--json", "run", "list"), ("run", "--json", "list"), ("run", "list", "--json")])
def test_common_options_may_stand_anywhere(cli: Cli, words: tuple[str, ...]) -> None:
    assert json.loads(cli(*words).out)["items"] == []


def test_looking_makes_no_store(cli: Cli, tmp_path: Path) -> None:
    assert cli("run", "list").code == 0
    assert cli("doctor").code == 0
    assert cli("run", "show", "run_123456").code == 7
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("about", sorted(TOPICS))
def test_help_topics_are_told(cli: Cli, about: str) -> None:
    assert cli("help", about).out == TOPICS[about]
    assert json.loads(cli("help", about, "--json").out)["topic"] == about


def test_every_exit_code_of_the_error_tree_is_explained() -> None:
    codes = {cls.exit_code for cls in errors.BY_CODE.values()}
    explained = {int(line.split()[0]) for line in TOPICS["exit-codes"].splitlines()[1:]}
    assert codes <= explained


def test_version_is_told(cli: Cli) -> None:
    from interlock import __version__

    assert cli("--version").out == f"interlock {__version__}\n"
    assert json.loads(cli("--version", "--json").out) == {"version": __version__}


def test_an_unexpected_error_goes_to_the_log_and_shows_nothing_internal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    door = Door(home=str(tmp_path / "home"))

    def broken() -> None:
        raise RuntimeError("the password is sk-abcdefghijklmnopqrstuvwxyz")

    assert guarded(door, broken) == 1
    err = capsys.readouterr().err
    assert "[internal]" in err
    assert "password" not in err
    log = (tmp_path / "home" / "interlock.log").read_text()
    assert "RuntimeError" in log
    assert "sk-abc" not in log


def test_the_log_in_the_home_folder_is_for_its_owner_only(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        log = PrivateLog(tmp_path / "interlock.log")
        assert not (tmp_path / "interlock.log").exists(), "there was nothing to write yet"
        log.handle(logging.makeLogRecord({"msg": "something happened", "levelname": "WARNING"}))
        log.close()
    finally:
        os.umask(before)
    assert (tmp_path / "interlock.log").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "interlock.log").read_text().endswith("Z WARNING  something happened\n")


def test_a_key_that_a_file_sends_elsewhere_is_not_used_and_the_reason_is_told(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "interlock.toml").write_text("[providers.openai]\nbase_url = 'https://gateway.example/v1'\n")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-very-secret-indeed")
    why = "interlock.toml:2 sends openai to another address; name key_env there to use the key"
    assert f"keys.openai\tnot used\t{why}\n" in cli("config", "show", "--origin").out
    assert "interlock.toml:2 sends openai to another address" in cli("doctor", "--json").out
    test = cli("agent", "test", "openai", "--json")
    assert test.code == 4
    assert "sends openai to another address" in test.out


def test_agents_are_listed_and_one_without_a_key_asks_to_sign_in(cli: Cli) -> None:
    items = json.loads(cli("agent", "list", "--json").out)["items"]
    assert [(item["name"], item["ready"]) for item in items] == [("openai", False), ("claude", False)]
    assert cli("agent", "test", "openai").code == 4
    assert cli("agent", "test", "nobody").code == 7


def test_config_shows_where_each_value_comes_from_and_no_key(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-very-secret-indeed")
    monkeypatch.setenv("INTERLOCK_LIMITS__MAX_RUNS", "7")
    said = cli("config", "show", "--origin")
    assert "limits.max_runs\t7\tenv INTERLOCK_LIMITS__MAX_RUNS\n" in said.out
    assert "keys.openai\tset\tenv OPENAI_API_KEY\n" in said.out
    assert "secret" not in said.out


def test_doctor_says_what_to_do_and_fails_only_for_what_is_broken(cli: Cli, tmp_path: Path) -> None:
    report = json.loads(cli("doctor", "--json").out)
    assert report["status"] == "degraded"
    assert {
        "name": "agent openai",
        "state": "warning",
        "says": "openai has no key.",
        "do": "Set OPENAI_API_KEY.",
    } in report["items"]
    (tmp_path / ".interlock").write_text("")
    broken = cli("doctor", "--quick", "--json")
    assert broken.code == 1
    assert json.loads(broken.out)["status"] == "unhealthy"


def test_the_tree_and_its_places_agree() -> None:
    assert app.tree.list_commands(None) == list(ROOT)  # type: ignore[arg-type]
