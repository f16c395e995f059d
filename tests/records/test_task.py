"""A task is what it was when it was made, whatever becomes of the values it was made from."""

from __future__ import annotations

from interlock.records.task import Task, from_json


def test_a_task_does_not_change_with_the_values_it_was_made_from() -> None:
    context = {"target": {"env": "staging"}, "hosts": [{"name": "a"}], "pair": ({"n": 1},)}
    task = Task("deploy", context=context, labels={"team": "x"})
    context["target"]["env"] = "production"  # type: ignore[index]
    context["hosts"].append("b")  # type: ignore[union-attr]
    context["pair"][0]["n"] = 2  # type: ignore[index]
    assert dict(task.context) == {"target": {"env": "staging"}, "hosts": [{"name": "a"}], "pair": ({"n": 1},)}


def test_a_task_as_json_shares_nothing_with_the_task() -> None:
    task = Task("deploy", context={"target": {"env": "staging"}}, labels={"team": "x"})
    told = task.to_json()
    told["context"]["target"]["env"] = "production"
    told["labels"]["team"] = "y"
    assert task.to_json()["context"] == {"target": {"env": "staging"}}
    assert from_json(task.to_json()) == task
