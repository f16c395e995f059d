"""Plan files: what is read is what was written, and whatever is wrong is said with its line."""

from __future__ import annotations

from pathlib import Path

import pytest

from interlock import Plan, Step
from interlock.cli.plan_files import levels, read_plan, tools_named, write_plan, written
from interlock.errors import UsageError

PLAN = Plan(
    "Compare the regions\nand say why",
    [
        Step("extract", "Get the numbers", tool="file_search", tool_input={"query": "2024-01-31", "on": "yes"}),
        Step("compare", "Compare: all of it", dependencies=["extract"], metadata={"timeout": 1.5}),
    ],
    {"success_criteria": ["Every region is named"], "done": False},
)


@pytest.mark.parametrize("name", ["plan.yaml", "plan.json"])
def test_what_is_written_is_read_back(tmp_path: Path, name: str) -> None:
    write_plan(tmp_path / name, PLAN)
    assert read_plan(tmp_path / name) == PLAN
    with pytest.raises(UsageError, match="is there already"):
        write_plan(tmp_path / name, PLAN)


def test_tools_are_written_as_names_and_definitions_without_secret_values(tmp_path: Path) -> None:
    server = {"type": "mcp", "server_label": "crm", "server_command": "crm", "allowed_tools": ["find"]}
    given = [{**server, "env": {"KEY": "abcdef-secret-123", "HOST": "${CRM_HOST}"}}, "web_search", len]
    text = written(Plan("p", [Step("a")], tools=given), "yaml")
    assert "abcdef" not in text
    (tmp_path / "plan.yaml").write_text(text)
    crm, search = read_plan(tmp_path / "plan.yaml").tools
    assert (crm["env"]["HOST"], crm["env"]["KEY"], search) == ("${CRM_HOST}", None, "web_search")


def test_dates_and_words_stay_texts_as_in_json(tmp_path: Path) -> None:
    file = tmp_path / "plan.yaml"
    file.write_text("steps:\n- id: a\n  tool: t\n  tool_input: {day: 2024-01-31, no: no, on: on, yes: true}\n")
    assert read_plan(file).steps[0].tool_input == {"day": "2024-01-31", "no": "no", "on": "on", "yes": True}


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        ("steps:\n- id: a\n  dependencies: [b]\n", 2, "depends on 'b'"),
        ("steps:\n- id: a\n- id: b\n- id: a\n", 2, "Two steps are called 'a'"),
        ("steps:\n- id: a\n- id: 'b c'\n", 3, "Step.id"),
        ("steps:\n- id: a\n- idd: b\n", 3, "not a step"),
        ("steps:\n- id: a\n- just text\n", 3, "not a step"),
        ("steps:\n- id: a\n  dependencies: [b]\n- id: b\n  dependencies: [a]\n", 1, "circle"),
        ("task_description: x\nsteps: []\n", 2, "no steps"),
        ("task_description: x\n", 1, "list of `steps`"),
        ("task: x\nsteps:\n- id: a\n", 2, "not a plan"),
        ("steps:\n- id: a\n   tool: x\n", 3, "not YAML"),
        ("steps:\n- id: a\n  tool: x\n  tool: y\n", 4, "'tool' is there twice"),
        ("steps:\n- &one {id: a}\n- *one\n", 2, "not possible"),
        ("tools:\n- {type: function}\nsteps:\n- id: a\n", 0, "--tools"),
        ("", 1, "empty"),
        ("- a\n", 1, "an object"),
    ],
)
def test_what_is_wrong_is_said_with_file_and_line(tmp_path: Path, text: str, line: int, says: str) -> None:
    file = tmp_path / "plan.yaml"
    file.write_text(text)
    with pytest.raises(UsageError) as caught:
        read_plan(file)
    assert caught.value.says.startswith(f"{file}:{line}: " if line else f"{file}: ")
    assert says in caught.value.says


def test_a_json_file_is_read_as_json_with_its_lines(tmp_path: Path) -> None:
    file = tmp_path / "plan.json"
    file.write_text('{\n "steps": [\n  {"id": "a"},\n  {"id": "b", "dependencies": ["x"]}\n ]\n}')
    with pytest.raises(UsageError, match=r"plan\.json:4: "):
        read_plan(file)
    file.write_text('{\n "steps": [,]\n}')
    with pytest.raises(UsageError, match=r"plan\.json:2: It is not JSON"):
        read_plan(file)


def test_a_file_that_is_not_there_or_no_text_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        read_plan(tmp_path / "none.yaml")
    (tmp_path / "bytes.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UsageError, match="not UTF-8"):
        read_plan(tmp_path / "bytes.yaml")


def test_tools_are_found_in_modules_and_in_plan_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "shop_of_this_test.py").write_text("def one(): ...\ndef two(): ...\nALL = [one, two]\n")
    (tmp_path / "p.yaml").write_text("tools: [web_search]\nsteps: [{id: a}]\n")
    found = tools_named(["shop_of_this_test:ALL", "shop_of_this_test:one", "p.yaml"])
    assert [getattr(one, "__name__", one) for one in found] == ["one", "two", "one", "web_search"]
    for wrong in ("shop_of_this_test", "shop_of_this_test:three", "no_such_module_here:x", ":x"):
        with pytest.raises(UsageError):
            tools_named([wrong])


def test_steps_come_after_what_they_need_with_the_length_of_the_chain_before() -> None:
    plan = Plan("p", [Step("c", dependencies=["b", "a"]), Step("b", dependencies=["a"]), Step("a")])
    assert [(step.id, depth) for step, depth in levels(plan)] == [("a", 0), ("b", 1), ("c", 2)]
