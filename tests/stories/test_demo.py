"""The demo, as a new user sees it: no key, no server, a kill in the middle, one question, a real answer, the proof."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import os
import re
import sqlite3
from pathlib import Path
from typing import Any

from interlock.records.fact import ApprovalUsed, QuestionAnswered, QuestionAsked, Recorded, StepFinished, StepStarted
from interlock.stores.sqlite import SqliteJournal
from tests.stories.shell import PATIENCE, Shell
from tests.stories.test_approvals import at_terminal

#: The step that a person was asked about.
ASKED_ABOUT = "execution/tool/6"


def facts_of(home: Path, run_id: str) -> list[Recorded]:
    """The run's facts, as they are stored."""

    async def read() -> list[Recorded]:
        journal = SqliteJournal(home / "interlock.db")
        try:
            return list(await journal.read(run_id))
        finally:
            await journal.close()

    return asyncio.run(read())


def of_kind(facts: list[Recorded], kind: type[Any]) -> list[Any]:
    return [record for record in facts if isinstance(record.fact, kind)]


def test_the_demo_survives_its_own_kill_and_repeats_no_finished_step(shell: Shell) -> None:
    shown = shell("demo", "--fast", "--json", "--home", "mine", env={"HOME": str(shell.folder)})

    assert shown.code == 0, shown
    told = shown.json
    assert told["status"] == "completed"
    assert told["repeated"] == 0
    steps = {step["path"]: (step["begun"], step["ended"]) for step in told["steps"]}
    assert steps["execution/model/3"] == (2, 1)
    assert steps["execution/tool/5"] == (0, 1)
    assert {count for path, count in steps.items() if path not in ("execution/model/3", "execution/tool/5")} == {(1, 1)}
    assert re.search(r"^ +\d+ %  /", told["output"], re.M)
    assert "What to clean first" in told["output"]
    assert "kill -9" in shown.err
    assert "refused: Nothing is deleted here. (rm)" in shown.err

    run = shell("run", "show", told["run_id"], "--home", told["home"], "--json").json
    assert (run["status"], run["output"]) == ("completed", told["output"])
    assert run["starts"] == 3  # the one that was killed, the one that asked, the one that heard the answer

    _asked_once_and_done_after(shown.err, told)
    _told_what_it_cost_and_verified_itself(told)
    _found_when_a_byte_is_edited(shell, told)


def _asked_once_and_done_after(said: str, told: dict[str, Any]) -> None:
    """One approval was asked for, answered by another process, used once; the command ran after that."""
    facts = facts_of(Path(told["home"]), told["run_id"])
    (asked,), (answered,), (used,) = (of_kind(facts, kind) for kind in (QuestionAsked, QuestionAnswered, ApprovalUsed))
    (began,), (ended,) = (
        [record for record in of_kind(facts, kind) if record.fact.path == ASKED_ABOUT]
        for kind in (StepStarted, StepFinished)
    )
    assert asked.fact.asks["arguments"]["argv"] == ["gzip", "-v", "build.log"]
    assert (answered.fact.answer, answered.fact.by) == ("allow", "second-process")
    assert (used.fact.path, used.fact.question_id) == (ASKED_ABOUT, asked.fact.question_id)
    assert asked.seq < answered.seq < used.seq < ended.seq
    assert answered.seq < began.seq
    assert "No terminal to ask at, so a second process answers: " in said
    assert f"approval allow {asked.fact.question_id} --by second-process" in said
    assert said.index("build.log  sha256:") < said.index("No terminal to ask at")

    work = Path(told["workspace"])
    assert not (work / "build.log").exists()
    assert gzip.decompress((work / "build.log.gz").read_bytes()).startswith(b"step 0: compiled")
    assert "build.log is now build.log.gz, " in told["output"]


def _told_what_it_cost_and_verified_itself(told: dict[str, Any]) -> None:
    (budget,) = told["cost"]["budgets"]
    assert (budget["name"], budget["spent_usd"], float(budget["reserved_usd"])) == (
        "demo",
        told["cost"]["total_usd"],
        0,
    )
    assert float(budget["spent_usd"]) > 0
    assert told["audit"]["ok"] is True
    assert told["audit"]["entries"] > len(told["steps"])
    assert told["audit"]["signed_to"] > 0


def _found_when_a_byte_is_edited(shell: Shell, told: dict[str, Any]) -> None:
    """One letter of what the person was shown is changed in the store: nothing else notices, the audit does."""
    assert shell("audit", "verify", "--home", told["home"]).code == 0
    with contextlib.closing(sqlite3.connect(Path(told["home"]) / "interlock.db")) as db, db:
        changed = db.execute(
            "UPDATE facts SET body = replace(body, 'build.log', 'build.lug') WHERE kind = 'question.asked'"
        ).rowcount
        assert changed == 1
    said = shell("audit", "verify", "--home", told["home"], "--json")
    assert said.code == 1
    assert said.json["ok"] is False
    (finding,) = said.json["findings"]
    assert finding["kind"] == "fact"
    entries = shell("audit", "show", "--run", told["run_id"], "--home", told["home"], "--json", "--limit", "200").json
    assert [one["kind"] for one in entries["items"] if one["n"] == finding["entry"]] == ["question.asked"]


def test_at_a_terminal_the_demo_asks_whoever_sits_there(shell: Shell) -> None:
    shell.env["HOME"] = str(shell.folder)
    code, seen = at_terminal(shell, ["demo", "--fast"], [(b"[a] allow once", b"a\n")])

    assert code == 0, seen
    assert seen.count("[a] allow once") == 1
    assert "No terminal" not in seen
    assert seen.index("on silence") < seen.index("[a] allow once") < seen.index("gzip -v build.log  ")
    assert "nothing was edited, moved, removed or cut off" in seen
    assert [one.name for one in (shell.folder / ".interlock" / "demo-work").iterdir()] == ["build.log.gz"]


def test_a_second_terminal_answers_what_the_demo_asks(shell: Shell) -> None:
    shell.env["HOME"] = str(shell.folder)
    process, near = shell.open_terminal("demo", "--fast")
    seen = b""
    while b"[a] allow once" not in seen:
        seen += os.read(near, 65536)
    command = re.search(r"Or in a second terminal: .*?approval allow (q_\w+) --home (\S+)", seen.decode())
    assert command, seen.decode()
    said = shell("approval", "deny", command[1], "--home", command[2], "--by", "noor", "--reason", "keep it as it is")
    assert said.code == 0, said
    with contextlib.suppress(OSError):  # the terminal is gone when the demo has ended
        while piece := os.read(near, 65536):
            seen += piece
    os.close(near)

    assert process.wait(PATIENCE) == 0
    assert "denied: noor answered elsewhere." in seen.decode()
    assert "noor said no: keep it as it is" in seen.decode()
    assert [one.name for one in (shell.folder / ".interlock" / "demo-work").iterdir()] == ["build.log"]


def test_the_demo_ignores_settings_that_are_not_its_own_and_says_where_to_look(shell: Shell) -> None:
    (shell.folder / "interlock.toml").write_text('[commands]\nallowed = ["rm"]\n')

    shown = shell("demo", "--fast", env={"OPENAI_API_KEY": "sk-not-used", "HOME": str(shell.folder)})

    assert shown.code == 0, shown
    assert "The real thing: interlock run start" in shown.err
    assert "interlock run show run_" in shown.err
    assert "rm -rf" in shown.out
    assert "Refused" in shown.out


def test_a_demo_without_a_place_to_write_says_so(shell: Shell) -> None:
    said = shell("demo", "--fast", "--home", "/proc/nowhere", "--json")
    assert (said.code, said.json["error"]["code"]) == (1, "store.read_only")


def test_a_simulated_run_looks_at_the_real_disks_and_needs_no_way_to_the_network(shell: Shell) -> None:
    nowhere = dict.fromkeys(("HTTP_PROXY", "http_proxy", "OPENAI_BASE_URL"), "http://127.0.0.1:9")
    task = "How full are the disks here, and what should I clean first?"
    said = shell("run", "start", task, "--simulated", env=nowhere)
    assert said.code == 0
    assert re.search(r"^ +\d+ %  /", said.out, re.M)
    assert "simulated" in said.err
    other = shell("run", "start", "Write a poem", "--simulated")
    assert "simulated model" in other.out
