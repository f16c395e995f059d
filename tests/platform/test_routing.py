"""Routing: the contract's table, experts, substitutes, and reasons that people understand."""

from __future__ import annotations

import pytest

from interlock.platform.routing import Route, route
from interlock.records.task import Task, TaskType

NOBODY: dict[str, list[str]] = {}


def table(task: Task) -> str:
    return route(task, default="house", registered=NOBODY).platform


@pytest.mark.parametrize(
    ("task_type", "platform"),
    [
        (TaskType.CONVERSATION, "openai"),
        (TaskType.ANALYSIS, "openai"),
        (TaskType.CREATIVE_WRITING, "openai"),
        (TaskType.SYSTEM_OPERATION, "claude"),
        (TaskType.RESEARCH, "claude"),
        (TaskType.CODE_GENERATION, "claude"),
        (TaskType.DATA_ANALYSIS, "house"),
        (TaskType.IMAGE_GENERATION, "house"),
        (TaskType.WORKFLOW, "house"),
        (None, "house"),
    ],
)
def test_the_table_of_the_contract_holds(task_type: TaskType | None, platform: str) -> None:
    assert table(Task(type=task_type)) == platform
    assert table(Task(type=task_type, requires_system_access=True)) == "claude"
    assert table(Task(type=task_type, requires_multi_step=True)) == "hybrid"
    assert table(Task(type=task_type, requires_system_access=True, requires_multi_step=True)) == "hybrid"


def test_who_is_registered_for_exactly_this_type_wins_over_the_table() -> None:
    registered = {"painter": ["image_generation"], "coder": {TaskType.CODE_GENERATION, "system_access"}}
    found = route(Task(type=TaskType.IMAGE_GENERATION), default="openai", registered=registered)
    assert found == Route(
        platform="painter", candidates=("painter",), reasons=("painter is registered for image generation.",)
    )
    code = Task(type=TaskType.CODE_GENERATION, requires_system_access=True)
    assert route(code, default="openai", registered=registered).platform == "coder"


def test_an_expert_who_cannot_do_all_that_is_needed_does_not_win() -> None:
    registered = {"coder": ["code_generation"]}
    task = Task(type=TaskType.CODE_GENERATION, requires_multi_step=True)
    assert route(task, default="openai", registered=registered).platform == "hybrid"


def test_a_task_may_ask_for_a_registered_agent_and_for_no_other() -> None:
    task = Task(context={"agent": "mine", "platform": "linux"})
    assert route(task, default="openai", registered={"mine": []}).reasons == ("The task asks for mine.",)
    assert route(task, default="openai", registered=NOBODY).platform == "openai"
    alone = route(task, default="openai", registered={"mine": []}, available=lambda name: name != "mine")
    assert alone.platform == "mine"
    assert alone.reasons[-1] == "mine has no key, and nobody else was asked for."


def test_another_agent_takes_over_where_the_chosen_one_has_no_key() -> None:
    found = route(
        Task(type=TaskType.CONVERSATION), default="openai", registered=NOBODY, available=lambda name: name == "claude"
    )
    assert found.platform == "claude"
    assert found.candidates == ("openai", "claude")
    assert found.reasons == ("openai does conversation.", "openai has no key; claude takes it.")


def test_an_available_choice_stays() -> None:
    found = route(Task(), default="openai", registered=NOBODY, available=lambda _: True)
    assert found.platform == "openai"
    assert found.reasons == ("The task has no type: the configured default, openai, takes it.",)


def test_nobody_takes_over_where_that_is_switched_off_or_nobody_can() -> None:
    task = Task(type=TaskType.ANALYSIS)
    off = route(task, default="openai", registered=NOBODY, available=lambda n: n == "claude", substitute=False)
    assert (off.platform, off.reasons[-1]) == ("openai", "openai has no key, and substitution is switched off.")
    none = route(task, default="openai", registered=NOBODY, available=lambda _: False)
    assert (none.platform, none.reasons[-1]) == ("openai", "openai has no key, and nobody else has one.")


def test_who_is_registered_for_something_else_is_no_substitute_but_who_is_for_everything_is() -> None:
    registered = {"painter": ["image_generation"], "local": []}
    found = route(
        Task(type=TaskType.ANALYSIS),
        default="openai",
        registered=registered,
        available=lambda name: name in registered,
    )
    assert found.platform == "local"
    assert "painter" not in found.candidates


def test_an_expert_without_a_key_leaves_the_work_to_the_table() -> None:
    found = route(
        Task(type=TaskType.RESEARCH),
        default="openai",
        registered={"scholar": ["research"]},
        available=lambda name: name != "scholar",
    )
    assert found.platform == "claude"
    assert found.reasons == (
        "scholar is registered for research.",
        "scholar has no key.",
        "claude does research.",
    )


def test_hybrid_needs_at_least_one_agent_with_a_key() -> None:
    task = Task(requires_multi_step=True)
    some = route(task, default="openai", registered=NOBODY, available=lambda name: name == "claude")
    assert (some.platform, len(some.reasons)) == ("hybrid", 1)
    none = route(task, default="openai", registered=NOBODY, available=lambda _: False)
    assert none.reasons[-1] == "No agent has a key, so hybrid cannot work."


def test_a_default_that_is_not_registered_is_called_so() -> None:
    found = route(Task(), default="opnai", registered=NOBODY, available=lambda name: name == "openai")
    assert found.platform == "openai"
    assert found.reasons[-1] == "opnai is not registered; openai takes it."
