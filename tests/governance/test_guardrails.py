"""Guardrails: conditions on tasks, closed when they fail, and presets that say what the guides say."""

from __future__ import annotations

from typing import Any

import pytest

from interlock.errors import InterlockError, OverBudget, RateLimited, Refused, UsageError
from interlock.governance.guardrail_lint import why_it_never_matches
from interlock.governance.guardrails import POINTS, Guardrail, GuardrailType, judge_at, judge_task
from interlock.governance.presets import GuardrailPresets
from interlock.governance.wording import asks_to_destroy
from interlock.records.task import Task
from interlock.records.verdict import Act, Effect, refusal


def guard(condition: Any, kind: Any = GuardrailType.BLOCK, name: str = "mine", **more: Any) -> Guardrail:
    return Guardrail(name=name, type=kind, condition=condition, message="Not like this", **more)


@pytest.mark.parametrize("kind", list(GuardrailType))
def test_every_type_blocks_but_the_one_that_asks(kind: GuardrailType) -> None:
    verdict = judge_task([guard(lambda task: True, kind, approver="ops")], Task("x"))
    asks = kind == "approval_required"
    assert verdict.effect is (Effect.APPROVAL if asks else Effect.BLOCK)
    assert (verdict.rule, verdict.reason, verdict.approver) == ("mine", "Not like this", "ops" if asks else None)


def test_what_matches_nothing_is_allowed() -> None:
    assert judge_task([], Task("x")).allowed
    assert judge_task([guard(lambda task: "bad" in task.description)], Task("good")).allowed


async def later(task: Task) -> bool:
    return False


class Contrary:
    def __bool__(self) -> bool:
        raise ValueError("neither true nor false")


@pytest.mark.parametrize(
    "condition",
    [lambda task: 1 / 0, lambda task: task.nothing, lambda task: later(task), lambda: False, lambda task: Contrary()],
)
def test_a_condition_that_cannot_be_evaluated_counts_as_matched(condition: Any) -> None:
    verdict = judge_task([guard(condition)], Task("x"))
    assert verdict.effect is Effect.BLOCK
    assert verdict.reason.startswith("Not like this (It could not be evaluated, ")


def test_the_strictest_guardrail_speaks_and_all_answers_are_kept() -> None:
    asks = guard(lambda task: True, GuardrailType.APPROVAL_REQUIRED, "asks")
    blocks, silent = guard(lambda task: True, name="blocks"), guard(lambda task: False, name="silent")
    verdict = judge_task([asks, silent, blocks], Task("x"))
    assert (verdict.effect, verdict.rule) == (Effect.BLOCK, "blocks")
    assert [part.rule for part in verdict.parts] == ["asks", "blocks"]


def test_a_guardrail_is_frozen_and_takes_its_type_as_a_word() -> None:
    made = Guardrail("x", "BLOCK", lambda task: True, "No")  # type: ignore[arg-type]
    assert made.type is GuardrailType.BLOCK
    with pytest.raises(AttributeError):
        made.message = "Yes"  # type: ignore[misc]


@pytest.mark.parametrize(
    "parts",
    [
        {"name": ""},
        {"name": 7},
        {"type": "maybe"},
        {"condition": "x"},
        {"condition": later},
        {"message": None},
        {"approver": 7},
    ],
)
def test_a_guardrail_that_cannot_work_is_refused(parts: dict[str, Any]) -> None:
    whole = {"name": "x", "type": GuardrailType.BLOCK, "condition": lambda task: True, "message": "No"}
    with pytest.raises(UsageError) as caught:
        Guardrail(**{**whole, **parts})
    assert caught.value.code == "usage.guardrail"


def test_production_safety_asks_its_approver() -> None:
    guardrail = GuardrailPresets.production_safety("ops-team@company.com")
    verdict = judge_task([guardrail], Task("deploy", context={"env": "production"}))
    assert (verdict.effect, verdict.rule, verdict.reason, verdict.approver) == (
        Effect.APPROVAL,
        "production_safety",
        "Production changes require approval",
        "ops-team@company.com",
    )
    assert judge_task([guardrail], Task("deploy")).allowed
    assert judge_task([guardrail], Task("deploy", context={"env": "staging"})).allowed


def test_a_cost_limit_allows_exactly_its_limit() -> None:
    guardrail = GuardrailPresets.cost_limit(10.0)
    assert judge_task([guardrail], Task("x", estimated_cost=10.0)).allowed
    verdict = judge_task([guardrail], Task("x", estimated_cost=10.01))
    assert (verdict.effect, verdict.rule, verdict.reason) == (Effect.BLOCK, "cost_limit", "Exceeds $10.0 cost limit")


@pytest.mark.parametrize("limit", [-1, float("nan"), float("inf"), "10", None, True])
def test_a_cost_limit_that_makes_no_sense_is_refused(limit: Any) -> None:
    with pytest.raises(UsageError):
        GuardrailPresets.cost_limit(limit)


def test_the_guides_own_condition_blocks_as_written() -> None:
    snippet = Guardrail(
        name="no_destructive_ops",
        type=GuardrailType.BLOCK,
        condition=lambda task: any(cmd in task.description.upper() for cmd in ["DROP", "DELETE", "rm -rf"]),
        message="Destructive operations blocked",
    )
    assert judge_task([snippet], Task("DROP TABLE users")).reason == "Destructive operations blocked"


def test_no_destructive_ops_asks_by_default_and_blocks_when_told() -> None:
    task = Task("Drop the users table in production")
    assert judge_task([GuardrailPresets.no_destructive_ops()], task).effect is Effect.APPROVAL
    strict = GuardrailPresets.no_destructive_ops(type=GuardrailType.BLOCK)
    assert judge_task([strict], task).effect is Effect.BLOCK
    assert judge_task([strict], Task("Explain what DROP TABLE does")).allowed


@pytest.mark.parametrize(
    "text",
    [
        "DROP TABLE users",
        "Please delete all backups older than a week",
        "Look at the disk usage and then wipe the /var/log directory",
        "Could you shut down the staging servers",
        "Make room by deleting the oldest snapshots",
        "Reformat the second disk",
        "run rm -rf build",
        "force-push the release branch",
        "D.E.L.E.T.E every user",
        "ｄｅｌｅｔｅ all records",
        "Lösche alle Backups",
        "x" * 100_001,
    ],
)
def test_orders_to_destroy_are_noticed(text: str) -> None:
    assert asks_to_destroy(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "How full are the disks here, and what should I clean first?",
        "Explain how to delete a branch",
        "Why was the users table dropped?",
        "Write a function that removes files older than a week",
        "Format the JSON in this file",
        "Add a delete button to the settings page",
        "Summarize yesterday's error logs",
    ],
)
def test_harmless_tasks_are_left_alone(text: str) -> None:
    assert not asks_to_destroy(text)


@pytest.mark.parametrize(
    ("kind", "code", "error", "exit_code", "retryable"),
    [
        ("validation", "guardrail.validation", Refused, 5, False),
        ("block", "guardrail.blocked", Refused, 5, False),
        ("rate_limit", "guardrail.rate_limit", RateLimited, 5, True),
        ("cost_limit", "guardrail.cost_limit", OverBudget, 6, False),
    ],
)
def test_each_type_becomes_an_error_of_its_own_with_exactly_the_message(
    kind: str, code: str, error: type[InterlockError], exit_code: int, retryable: bool
) -> None:
    found = refusal(judge_task([guard(lambda task: True, kind)], Task("x")))
    assert (type(found), found.code, found.says) == (error, code, "Not like this")
    assert (found.exit_code, found.retryable) == (exit_code, retryable)


def test_a_guardrail_stands_only_where_it_was_put() -> None:
    seen: list[str] = []
    watching = guard(lambda act: bool(seen.append(act.name)), on=("tool_call", "output"))
    act = Act(kind="tool", name="deploy")
    for point in POINTS:
        judge_at(point, [watching], act)
    assert seen == ["deploy", "deploy"]
    assert guard(lambda task: True, on="output").on == ("output",)
    for on in ((), ("nowhere",), "tasks", ("task", "x")):
        with pytest.raises(UsageError):
            guard(lambda task: True, on=on)


@pytest.mark.parametrize("point", ["tool_result", "output"])
def test_what_cannot_wait_for_a_person_is_refused(point: Any) -> None:
    asking = guard(lambda act: True, GuardrailType.APPROVAL_REQUIRED, on=(point,), approver="ops")
    found = judge_at(point, [asking], Act(kind=point, name="x", content="y"))
    assert found is not None
    assert (found.effect, found.approver, found.code) == (Effect.BLOCK, None, "guardrail.blocked")
    assert "cannot wait" in found.reason


def ticking(*seconds: float) -> Any:
    """A clock by which each evaluation takes so many seconds."""
    now, times = 0.0, []
    for took in seconds:
        times += [now, now := now + took]
    left = iter(times)
    return lambda: next(left)


def test_a_condition_that_is_slow_once_is_asked_again_and_slow_twice_counts_as_matched() -> None:
    never = guard(lambda task: False)
    assert never.judge(Task("x"), ticking(0.01)) is None
    assert never.judge(Task("x"), ticking(0.2, 0.01)) is None, "a busy machine is not its fault"
    found = never.judge(Task("x"), ticking(0.2, 0.2))
    assert found is not None
    assert found.reason == "Not like this (It took too long to evaluate and so counts as matched.)"
    patient = guard(lambda task: False, budget=1.0)
    assert patient.judge(Task("x"), ticking(0.2)) is None


@pytest.mark.parametrize(
    ("condition", "word"),
    [
        (lambda task: any(w in task.description.upper() for w in ["DROP", "rm -rf"]), "rm -rf"),
        (lambda task: "drop" in task.description.upper(), "drop"),
        (lambda task: "DROP" in task.description.lower(), "DROP"),
        (lambda task: "DROP" in task.description.upper(), ""),
        (lambda task: "drop" in task.description.lower(), ""),
        (lambda task: "drop" in task.description, ""),
        (lambda task: task.context.get("env", "x").upper() in ("PROD",), ""),
        (len, ""),
    ],
)
def test_a_word_that_is_never_found_is_pointed_out(condition: Any, word: str) -> None:
    doubt = why_it_never_matches(guard(condition))
    assert (repr(word) in doubt) if word else doubt == ""


def test_what_a_condition_changes_in_an_act_is_neither_judged_nor_done() -> None:
    def turn(act: Act) -> bool:
        act.arguments["target"] = "production"  # type: ignore[index]
        act.arguments["rows"].append(4)
        return False

    act = Act(kind="tool", name="deploy", arguments={"target": "staging", "rows": [1]})
    seen: list[Any] = []
    turns = Guardrail("turns", GuardrailType.BLOCK, turn, "No.", on=("tool_call",))
    looks = Guardrail("looks", GuardrailType.BLOCK, lambda act: seen.append(act.arguments), "No.", on=("tool_call",))
    assert judge_at("tool_call", [turns, looks], act) is None
    assert act.arguments == seen[0] == {"target": "staging", "rows": [1]}
