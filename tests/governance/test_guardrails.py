"""Guardrails: conditions on tasks, closed when they fail, and presets that say what the guides say."""

from __future__ import annotations

from typing import Any

import pytest

from interlock.errors import UsageError
from interlock.governance.guardrails import Guardrail, GuardrailPresets, GuardrailType, judge_task
from interlock.governance.wording import asks_to_destroy
from interlock.records.task import Task
from interlock.records.verdict import Effect


def guard(condition: Any, kind: Any = GuardrailType.BLOCK, name: str = "mine", **more: Any) -> Guardrail:
    return Guardrail(name=name, type=kind, condition=condition, message="Not like this", **more)


@pytest.mark.parametrize("kind", list(GuardrailType))
def test_every_type_blocks_but_the_one_that_asks(kind: GuardrailType) -> None:
    verdict = judge_task([guard(lambda task: True, kind, approver="ops")], Task("x"))
    assert verdict.effect is (Effect.APPROVAL if kind == "approval_required" else Effect.BLOCK)
    assert (verdict.rule, verdict.reason, verdict.approver) == ("mine", "Not like this", "ops")


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
