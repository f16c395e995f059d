"""Plan files: what is read is what was written, and whatever is wrong is said with its line."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interlock import Plan, Step
from interlock.cli.plan_files import MOST_READ, levels, read_plan, tools_named, write_plan, written
from interlock.cli.plan_text import MOST_VALUES
from interlock.errors import UsageError
from interlock.records.plan import MOST_STEPS
from tests.cli.conftest import Cli

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
    assert read_plan(tmp_path / name).plan == PLAN
    with pytest.raises(UsageError, match="is there already"):
        write_plan(tmp_path / name, PLAN)


def test_tools_are_written_as_names_and_definitions_without_secret_values(tmp_path: Path) -> None:
    server = {"type": "mcp", "server_label": "crm", "server_command": "crm", "allowed_tools": ["find"]}
    given = [{**server, "env": {"KEY": "abcdef-secret-123", "HOST": "${CRM_HOST}"}}, "web_search", len]
    text = written(Plan("p", [Step("a")], tools=given), "yaml")
    assert "abcdef" not in text
    (tmp_path / "plan.yaml").write_text(text)
    crm, search = read_plan(tmp_path / "plan.yaml").plan.tools
    assert (crm["env"]["HOST"], crm["env"]["KEY"], search) == ("${CRM_HOST}", None, "web_search")


def test_dates_and_words_stay_texts_as_in_json(tmp_path: Path) -> None:
    file = tmp_path / "plan.yaml"
    words = (
        "{day: 2024-01-31, no: no, on: on, yes: true, at: 12:30:00, octal: 010, big: 1_000, none: ~, half: 0.5, n: -3}"
    )
    file.write_text(f"steps:\n- id: a\n  tool: t\n  tool_input: {words}\n")
    told = {"day": "2024-01-31", "no": "no", "on": "on", "yes": True, "at": "12:30:00", "octal": "010", "big": "1_000"}
    assert read_plan(file).plan.steps[0].tool_input == {**told, "none": None, "half": 0.5, "n": -3}


@given(
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats(allow_nan=False, allow_infinity=False)
        | st.text()
        | st.sampled_from(
            ["1e3", "-0", "12:30", "010", "~", "null", "true", "", " a", "a: b", "a #b", "*a", "&a", "!a", "-", "?"]
        ),
        lambda below: st.lists(below, max_size=3) | st.dictionaries(st.text(), below, max_size=3),
        max_leaves=8,
    ),
    st.sampled_from(["plan.yaml", "plan.json"]),
)
@settings(max_examples=150, deadline=None)
def test_whatever_json_carries_comes_back_from_a_file_as_it_was(value: object, name: str) -> None:
    plan = Plan("p", [Step("a", tool="t", tool_input={"value": value})])
    with tempfile.TemporaryDirectory() as folder:
        write_plan(Path(folder) / name, plan)
        assert read_plan(Path(folder) / name).plan == plan


#: Text of a file, the line that is named, what is said, and what the next step begins with.
WRONG: dict[str, tuple[str, int, str, str]] = {
    "an unknown dependency": ("steps:\n- id: a\n  dependencies:\n  - b\n", 4, "depends on 'b'", "Name the id"),
    "one that was meant": (
        "steps:\n- id: sales\n- id: b\n  dependencies: [sale]\n",
        4,
        "did you mean 'sales'",
        "Name the id",
    ),
    "an id twice": ("steps:\n- id: a\n- id: b\n- id: a\n", 4, "Two steps are called 'a'", "Give one"),
    "a circle": ("steps:\n- id: a\n  dependencies: [b]\n- id: b\n  dependencies: [a]\n", 3, "a -> b -> a", "Take one"),
    "no id": ("steps:\n- id: a\n- idd: b\n", 3, "not a step", "A step with an id has"),
    "no object": ("steps:\n- id: a\n- just text\n", 3, "not a step", "A step with an id has"),
    "an impossible id": ("steps:\n- id: a\n- id: 'b c'\n", 3, "id must be 1 to 200", "Correct the file"),
    "an unknown key of a step": (
        "steps:\n- id: a\n  dependencys: [b]\n",
        3,
        "no 'dependencys' (did you mean 'dependencies'?)",
        "A step has",
    ),
    "a wrong type": ("steps:\n- id: a\n  tool_input: [1]\n", 3, "tool_input must be a mapping", "Correct the file"),
    "dependencies as text": ("steps:\n- id: a\n  dependencies: b\n", 3, "a list of step ids", "Correct the file"),
    "an impossible wish": (
        "steps:\n- id: a\n  metadata:\n    timeout: -1\n",
        4,
        "more than 0 seconds, not -1",
        "Correct the file",
    ),
    "no steps": ("task_description: x\nsteps: []\n", 2, "no steps", "Write at least one"),
    "nothing of steps": ("task_description: x\n", 1, "list of `steps`", "Write `steps:`"),
    "an unknown key": ("task_description: x\nstepz:\n- id: a\n", 2, "did you mean 'steps'", "A plan has"),
    "metadata of a wrong type": ("steps:\n- id: a\nmetadata: 3\n", 3, "metadata must be a mapping", "Correct the file"),
    "no time": ("created_at: soon\nsteps:\n- id: a\n", 1, "created_at is no time", "Write it like"),
    "a tool that is none": ("tools:\n- {type: function}\nsteps:\n- id: a\n", 2, "That is no tool", "List names"),
    "tools that are no list": ("tools: 5\nsteps:\n- id: a\n", 1, "must be a list", "List names"),
    "bad indentation": ("steps:\n- id: a\n   tool: x\n", 3, "not YAML", "Look for a tab"),
    "an open bracket": ("steps: [a\n", 1, "not YAML", "Look for a tab"),
    "an open quote": ("steps:\n- id: 'a\n- id: b\n", 3, "begins in line 2", "Look for a tab"),
    "a key twice": ("steps:\n- id: a\n  tool: x\n  tool: y\n", 4, "'tool' is there twice, first in line 3", "Take one"),
    "a key that is no text": ("? [1]\n: 3\nsteps:\n- id: a\n", 1, "A key must be a text", "Write `name: value`"),
    "an alias": ("steps:\n- {id: a}\n- *one\n", 3, "repeats what stands elsewhere", "Write it out"),
    "an alias bomb": ("a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]\n", 1, "`&a` names a part", "Write it out"),
    "a tag": ("steps:\n- id: !!python/name:os.system ''\n", 2, "is a tag", "Write plain values"),
    "two documents": ("steps:\n- id: a\n---\nsteps:\n- id: b\n", 3, "second document", "Write each plan"),
    "a control character": ("steps:\n- id: a\x00\n", 2, "It is not text", "Take the control"),
    "too deep": (
        "steps:\n- id: a\n  tool_input: " + "{a: " * 200_000,
        3,
        "nested deeper than 70 levels",
        "Correct the file",
    ),
    "nothing": ("", 1, "empty", "Write `steps:`"),
    "comments alone": ("# nothing\n", 1, "empty", "Write `steps:`"),
    "a list": ("- a\n", 1, "an object", "Write `steps:`"),
}
WRONG_JSON: dict[str, tuple[str, int, str, str]] = {
    "an unknown dependency": (
        '{\n\t"steps": [\n\t\t{"id": "a"},\n\t\t{"id": "b",\n\t\t "dependencies": ["x"]}\n\t]\n}',
        5,
        "depends on 'x'",
        "Name the id",
    ),
    "no JSON": ('{\n "steps": [,]\n}', 2, "It is not JSON", "Look at this line"),
    "a key twice": ('{\n "steps": [\n  {"id": "a",\n   "id": "b"}\n ]\n}', 4, "'id' is there twice", "Take one"),
    "too deep": ('{"steps":\n' + "[" * 100 + "]" * 100 + "}", 2, "nested deeper", "Correct the file"),
    "much too deep": ('{"steps":\n' + "[" * 200_000, 2, "nested deeper", "Correct the file"),
    "a number beyond all numbers": ('{"steps":\n' + "1" * 5_000 + "}", 2, "too large", "Write it as a text"),
    "no number": ('{"steps": [{"id": "a",\n"tool_input": {"x": NaN}}]}', 2, "cannot carry", "Correct the file"),
    "nothing": (" \n", 1, "empty", "Write `steps:`"),
}
#: What only a look at this machine's tools and agents finds.
UNKNOWN: dict[str, tuple[str, int, str, str]] = {
    "a tool": ("steps:\n- id: a\n  tool: nope\n  tool_input: {}\n", 3, "names the tool 'nope'", "Pass them as"),
    "a tool that was meant": ("steps:\n- id: a\n  tool: web_serch\n", 3, "did you mean 'web_search'", "Pass them"),
    "a built-in tool that is not named": ("steps:\n- id: a\n  tool: web_search\n", 3, "'web_search'", "Name them in"),
    "a tool in tools": ("tools:\n- web_serch\nsteps:\n- id: a\n", 2, "There is no tool 'web_serch'", "There are"),
    "a key of a server": (
        "tools:\n- web_search\n- type: mcp\n  server_lable: x\nsteps:\n- id: a\n",
        3,
        "did you mean server_label",
        "Give",
    ),
    "a reference": (
        'tools: [web_search]\nsteps:\n- id: a\n- id: b\n  tool: web_search\n  tool_input: {query: "${a}"}\n',
        6,
        "does not depend on 'a'",
        "Add a to",
    ),
    "an agent": ("steps:\n- id: a\n  metadata:\n    agent: claud\n", 4, "did you mean 'claude'", "There are"),
}


def refused(cli: Cli, *words: str) -> tuple[str, str]:
    """What a command says that is refused before anything is done, and the next step; the same in JSON."""
    plain, told = cli(*words), cli(*words, "--json")
    assert (plain.code, plain.out, told.code, told.err) == (2, "", 2, "")
    error = json.loads(told.out)["error"]
    assert plain.err == f"error: {error['says']}\n  {error['do']}\n  [{error['code']}]\n"
    assert not Path(".interlock").exists(), "nothing is made for it"
    return error["says"], error["do"]


@pytest.mark.parametrize(
    ("name", "wrong"),
    [(f"{what}.yaml", one) for what, one in WRONG.items()]
    + [(f"{what}.json", one) for what, one in WRONG_JSON.items()],
    ids=lambda one: one if isinstance(one, str) else "",
)
def test_what_is_wrong_is_said_with_file_and_line_and_a_next_step(
    cli: Cli, name: str, wrong: tuple[str, int, str, str]
) -> None:
    text, line, says, do = wrong
    Path(name).write_text(text)
    for verb in ("check", "show", "run"):
        said, next_step = refused(cli, "plan", verb, name)
        assert said.startswith(f"{name}:{line}: ")
        assert says in said
        assert next_step.startswith(do)


@pytest.mark.parametrize("what", UNKNOWN)
def test_what_is_not_known_here_is_said_with_file_and_line_too(cli: Cli, what: str) -> None:
    text, line, says, do = UNKNOWN[what]
    Path("plan.yaml").write_text(text)
    for verb in ("check", "run"):
        said, next_step = refused(cli, "plan", verb, "plan.yaml")
        assert said.startswith(f"plan.yaml:{line}: ")
        assert says in said
        assert next_step.startswith(do)


def test_all_that_is_wrong_is_said_at_once_in_the_order_of_the_lines(cli: Cli) -> None:
    Path("p.yaml").write_text("steps:\n- id: a\n  dependencies: [x]\n- id: a\n- id: b\n  dependencies: [y]\n")
    said, do = refused(cli, "plan", "check", "p.yaml")
    assert [line.partition(": ")[0] for line in said.splitlines()] == ["p.yaml:3", "p.yaml:4", "p.yaml:6"]
    assert do == "Correct the file; `interlock plan check p.yaml` says when it is good."
    Path("p.yaml").write_text("steps:\n- id: a\n  tol: x\n- id: b\n  dependencies:\n  - a\n  - aa\n")
    said, _ = refused(cli, "plan", "check", "p.yaml")
    assert [line.partition(": ")[0] for line in said.splitlines()] == ["p.yaml:3", "p.yaml:7"]


def test_a_file_that_cannot_be_read_is_named_with_what_to_do(cli: Cli) -> None:
    Path("folder.yaml").mkdir()
    Path("bytes.yaml").write_bytes(b"steps:\n- id: \xff\n")
    with open("huge.yaml", "wb") as huge:
        huge.truncate(MOST_READ + 1)
    Path("many.yaml").write_text("x: [" + "1,\n" * (MOST_VALUES + 1) + "]")
    Path("steps.yaml").write_text("steps:\n" + "".join(f"- id: s{n}\n" for n in range(MOST_STEPS + 1)))
    for name, place, says in (
        ("none.yaml", "none.yaml", "no such file"),
        ("folder.yaml", "folder.yaml", "a folder"),
        ("bytes.yaml", "bytes.yaml:2", "not UTF-8"),
        ("huge.yaml", "huge.yaml", "larger than 16 MB"),
        ("many.yaml", f"many.yaml:{MOST_VALUES - 1}", "more than 500,000 values"),
        ("steps.yaml", f"steps.yaml:{MOST_STEPS + 2}", "5,001 steps; at most 5,000"),
        ("x" * 300, "x" * 300, "cannot be read"),
    ):
        said, do = refused(cli, "plan", "check", name)
        assert said.startswith(f"{place}: "), name
        assert says in said
        assert do


def test_metadata_of_any_form_is_shown(cli: Cli) -> None:
    Path("p.yaml").write_text("steps: [{id: a}]\nmetadata: {warnings: 5, success_criteria: all}\n")
    for verb in ("check", "show"):
        assert cli("plan", verb, "p.yaml").code == 0


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
    with pytest.raises(UsageError) as caught:
        tools_named(["./shop_of_this_test.py"])
    assert "--tools shop_of_this_test:ALL" in caught.value.do


@pytest.mark.parametrize(("text", "line"), [("def one(:\n", 1), ("\nboom()\n", 2), ("x = 1\nraise OSError('no')", 2)])
def test_a_module_of_tools_that_fails_is_an_error_with_its_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, line: int
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    name = f"broken_{tmp_path.name.replace('-', '_')}"
    (tmp_path / f"{name}.py").write_text(text)
    with pytest.raises(UsageError, match=rf"{name}\.py:{line}\)"):
        tools_named([f"{name}:ALL"])


def test_steps_come_after_what_they_need_with_the_length_of_the_chain_before() -> None:
    plan = Plan("p", [Step("c", dependencies=["b", "a"]), Step("b", dependencies=["a"]), Step("a")])
    assert [(step.id, depth) for step, depth in levels(plan)] == [("a", 0), ("b", 1), ("c", 2)]
