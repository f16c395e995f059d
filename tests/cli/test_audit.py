"""`interlock audit`: what people and programs are told of the log, and with which exit code."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from tests.cli.conftest import Cli
from tests.governance.audit_rig import RUN, AuditedHome


@pytest.fixture
def home(tmp_path: Path) -> AuditedHome:
    made = AuditedHome(tmp_path / ".interlock")
    asyncio.run(made.write(8))
    return made


def test_show_lists_the_newest_first_and_leads_to_the_next_page(cli: Cli, home: AuditedHome) -> None:
    said = cli("audit", "show", "--limit", "3", "--json")
    told = json.loads(said.out)
    assert [one["n"] for one in told["items"]] == [8, 7, 6]
    assert (told["truncated"], told["next"]) == (True, 6)
    rest = json.loads(cli("audit", "show", "--before", "6", "--json").out)
    assert [one["n"] for one in rest["items"]] == [5, 4, 3, 2, 1]
    line = cli("audit", "show", "--limit", "1").out.rstrip("\n").split("\t")
    assert (line[0], line[-1]) == ("8", RUN)


def test_show_finds_by_run_actor_and_time(cli: Cli, home: AuditedHome) -> None:
    def found(*words: str) -> list[int]:
        return [one["n"] for one in json.loads(cli("audit", "show", "--json", *words).out)["items"]]

    assert len(found("--run", RUN)) == 8
    assert len(found("--actor", "ann")) == 8
    assert found("--actor", "nobody") == found("--rule", "none") == found("--verdict", "block") == []
    assert found("--since", "1h") == []  # the clock of these entries stands at 1970
    assert cli("audit", "show", "--run", "run_that_is_not").code == 7


def test_verify_says_that_all_is_well(cli: Cli, home: AuditedHome) -> None:
    said = cli("audit", "verify")
    assert said.code == 0
    assert said.out == "✓ entries 1 to 8: nothing was edited, moved, removed or cut off; signed up to entry 8.\n"
    told = json.loads(cli("audit", "verify", "--json").out)
    assert (told["ok"], told["entries"], told["signed_to"], told["findings"]) == (True, 8, 8, [])


def test_verify_ends_with_1_when_something_was_changed(cli: Cli, home: AuditedHome) -> None:
    home.tamper("UPDATE audit SET body = replace(body, 'note 4', 'note 5') WHERE n = 5")
    said = cli("audit", "verify")
    assert said.code == 1
    assert "Entry 5 was edited" in said.out
    told = cli("audit", "verify", "--json")
    assert told.code == 1
    assert json.loads(told.out)["findings"][0] == {
        **{"entry": 5, "kind": "edited"},
        "says": "Entry 5 was edited: it does not have the hash that it was stored with.",
    }


def test_an_export_is_checked_with_what_was_kept_elsewhere(cli: Cli, home: AuditedHome, tmp_path: Path) -> None:
    assert cli("audit", "export", "out.jsonl").code == 0
    assert cli("audit", "export", "out.jsonl").code == 2  # never over another file
    options = ("--pubkey", str(home.keys.public), "--checkpoint", str(home.kept))
    assert cli("audit", "verify", "out.jsonl", *options).code == 0
    lines = (tmp_path / "out.jsonl").read_bytes().splitlines(keepends=True)
    (tmp_path / "out.jsonl").write_bytes(b"".join(lines[:6]))
    assert cli("audit", "verify", "out.jsonl", *options).code == 1


def test_proofs_are_given_on_request(cli: Cli, home: AuditedHome, tmp_path: Path) -> None:
    (tmp_path / "old").write_text(home.kept.read_text())
    asyncio.run(home.write(5))
    told = json.loads(cli("audit", "verify", "--entry", "3", "--from", "old", "--json").out)
    assert told["inclusion"]["leaf"] == home.rows()[2][1]
    assert (told["consistency"]["from"], told["consistency"]["to"]) == (8, 13)
    assert cli("audit", "verify", "--entry", "99").code == 7
    assert cli("audit", "verify", "--from", "nothing").code == 7


def test_a_key_that_is_none_is_the_users_mistake(cli: Cli, home: AuditedHome) -> None:
    assert cli("audit", "verify", "--pubkey", str(home.kept)).code == 2
    assert cli("audit", "verify", "--checkpoint", "nowhere").code == 2


def test_another_logs_key_proves_nothing(cli: Cli, home: AuditedHome, tmp_path: Path) -> None:
    other = AuditedHome(tmp_path / "other")
    asyncio.run(other.write(2))
    assert cli("audit", "verify", "--pubkey", str(other.keys.public)).code == 1


def test_where_nothing_was_written_there_is_nothing_to_check(cli: Cli, tmp_path: Path) -> None:
    assert cli("audit", "verify").code == 0
    assert json.loads(cli("audit", "show", "--json").out)["items"] == []
    assert cli("audit", "export", "out.jsonl").code == 7
    assert cli("audit", "prune").code == 0
    assert not (tmp_path / ".interlock").exists()


def test_prune_lets_go_of_what_is_older_than_the_retention(cli: Cli, home: AuditedHome) -> None:
    told = json.loads(cli("audit", "prune", "--dry-run", "--json").out)
    assert (told["applied"], told["detail"]) == (False, {"entries": 8, "segments": 0})
    assert len(home.rows()) == 8
    assert json.loads(cli("audit", "prune", "--json").out)["applied"]
    assert home.rows() == []
    assert cli("audit", "verify").code == 0
