"""What an entry tells of each fact: who, what, when, by which rule, with which outcome; no secret and no fraction."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interlock.governance.audit.entry import LONGEST_INPUT, LONGEST_RESULT, EntryMaker, canonical, output_digest
from interlock.governance.redaction import Redactor
from interlock.records.fact import (
    KINDS,
    ApprovalUsed,
    Fact,
    Failure,
    GateAnswered,
    QuestionAnswered,
    QuestionAsked,
    RunAdmitted,
    RunFinished,
    StepFailed,
    StepFinished,
    StepStarted,
)
from interlock.records.money import Usage
from interlock.stores.encoding import encode
from interlock.stores.projection import new_row
from tests.laws.facts import FACTS

SECRET = "sw0rdf1sh-Kq83"
ADMITTED = RunAdmitted(
    task={"description": "tidy up", "context": {"where": "/srv", "rate": 0.5}, "user": "ann", "tenant": "acme"},
    task_id="t1",
    flow="task",
    digest="d",
)
ROW = replace(new_row("run-1", ADMITTED, 1.0), platform="claude")


def told(fact: Fact, maker: EntryMaker | None = None, row: Any = ROW) -> dict[str, Any]:
    maker = maker or EntryMaker(Redactor({"db": SECRET}, key=b"k"), price_version=lambda: "prices 1")
    raw = maker.entry(maker.outline(fact, encode(fact)), row, n=4, prev="p", seq=2, at=12.345678)
    entry: dict[str, Any] = json.loads(raw, parse_float=lambda text: pytest.fail(f"a fraction: {text}"))
    assert raw == json.dumps(entry, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    return entry


def test_an_entry_says_who_what_and_when() -> None:
    entry = told(ADMITTED)
    assert entry["who"] == {"user": "ann", "agent": "claude"}
    assert (entry["tenant"], entry["run"], entry["seq"], entry["n"]) == ("acme", "run-1", 2, 4)
    assert (entry["at"], entry["action"], entry["outcome"]) == (12_345_678, "task", "admitted")
    assert json.loads(entry["input"]) == {"context": {"rate": 0.5, "where": "/srv"}, "description": "tidy up"}


def test_a_tool_call_has_its_chain_of_actors_its_verdict_and_its_arguments() -> None:
    gate = told(
        GateAnswered(
            path="s", act="command", name="git", effect="block", rule="no-push", reason="No.", place="p.toml:3"
        )
    )
    assert gate["who"] == {"user": "ann", "agent": "claude", "tool": "git"}
    assert gate["verdict"] == {"effect": "block", "rule": "no-push", "reason": "No.", "place": "p.toml:3"}
    started = StepStarted(
        path="s", what="tool", name="shell", attempt=1, key="k", repeatable=False, input={"argv": ["echo", SECRET]}
    )
    intent = told(started)
    assert intent["who"]["tool"] == "shell"
    assert SECRET not in json.dumps(intent)
    assert "[REDACTED:db:" in intent["input"]


def test_an_approval_names_the_person_the_reason_and_what_was_agreed_to() -> None:
    asked = QuestionAsked(
        path="s", question_id="q1", about="approval", says="Push?", approver="ops", digest="abc", expires_at=20.5
    )
    assert told(asked)["approval"] == {
        **{"id": "q1", "approver": "ops", "sha256": "abc", "says": "Push?", "quorum": 1, "expires_at": 20_500_000}
    }
    answer = told(QuestionAnswered(question_id="q1", answer="allow", by="bob", reason="agreed", digest="abc"))
    assert answer["approval"] == {"id": "q1", "by": "bob", "sha256": "abc", "scope": "once", "reason": "agreed"}
    assert (answer["who"]["person"], answer["outcome"]) == ("bob", "allow")
    assert told(ApprovalUsed(question_id="q1", path="s", attempt=1))["approval"] == {"id": "q1"}


def test_a_model_step_has_its_cost_and_only_the_digest_of_what_was_said() -> None:
    usage = Usage(input_tokens=10, output_tokens=2, requests=1)
    entry = told(StepFinished(path="m", attempt=1, output={"text": "hello"}, seconds=0.5, usage=usage, cost_micros=31))
    assert entry["tokens"] == {"input": 10, "output": 2, "requests": 1}
    assert (entry["cost_micros"], entry["price_version"]) == (31, "prices 1")
    assert entry["output_sha256"] == output_digest({"text": "hello"})
    assert "output" not in entry


def test_a_price_that_is_not_known_is_null() -> None:
    fact = StepFinished(path="m", attempt=1, output="x", seconds=0, usage=Usage(requests=1), cost_micros=None)
    assert told(fact)["cost_micros"] is None


def test_a_result_is_there_bounded_and_with_the_digest_of_all_of_it() -> None:
    output = "word " * 10_000
    entry = told(StepFinished(path="t", attempt=1, output=output, seconds=0.5))
    assert entry["output"] == output[:LONGEST_RESULT] + "…"
    assert entry["output_sha256"] == output_digest(output)


def test_the_level_of_the_sandbox_is_told_where_the_result_has_it() -> None:
    assert told(StepFinished(path="t", attempt=1, output={"sandbox": "landlock"}, seconds=0))["sandbox"] == "landlock"


def test_a_failure_has_its_code_and_its_sentence() -> None:
    failure = Failure(code="tool.error", says=f"login as {SECRET} failed")
    entry = told(StepFailed(path="t", attempt=1, failure=failure, seconds=0.1))
    assert entry["error"]["code"] == "tool.error"
    assert SECRET not in entry["error"]["says"]
    assert entry["outcome"] == "failed"


def test_context_and_results_can_be_left_out() -> None:
    maker = EntryMaker(include_context=False, include_results=False)
    assert "input" not in told(ADMITTED, maker)
    ended = told(RunFinished(status="completed", output="an answer"), maker)
    assert "output" not in ended
    assert ended["output_sha256"] == output_digest("an answer")


@given(st.integers(0, 60), st.sampled_from([LONGEST_INPUT, LONGEST_RESULT]))
def test_a_secret_is_never_cut_into_an_entry(shift: int, longest: int) -> None:
    maker = EntryMaker(Redactor({"db": SECRET}, key=b"k"))
    for size in (longest, longest + 2_048):
        text = "a " * ((size - shift) // 2) + SECRET + " b" * 4_000
        shown = maker.shown(text, longest)
        assert SECRET[:6] not in shown
        assert len(shown) <= longest + 1


def test_a_name_that_holds_a_secret_is_hidden_too() -> None:
    entry = told(ADMITTED, row=replace(ROW, user=SECRET))
    assert SECRET not in json.dumps(entry)
    assert (entry["n"], entry["prev"], entry["run"]) == (4, "p", "run-1")


@given(st.one_of(*FACTS.values()))
def test_every_fact_has_an_entry_and_no_entry_has_a_fraction(fact: Fact) -> None:
    entry = told(fact, EntryMaker())
    assert entry["kind"] == fact.kind
    assert entry["action"]
    assert entry["outcome"]


def test_every_kind_of_fact_has_words_of_its_own() -> None:
    from interlock.governance.audit.entry import _TOLD

    assert set(KINDS.values()) == set(_TOLD)


def test_canonical_json_is_sorted_without_blanks() -> None:
    assert canonical({"b": [1, {"d": "ü", "c": None}], "a": True}) == '{"a":true,"b":[1,{"c":null,"d":"ü"}]}'.encode()
