"""Plans in files: YAML or JSON, read with the line of whatever is wrong, and written to be read by people."""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import re
import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from interlock.cli.plan_text import Place, Read, Unreadable, number_words, read_json, read_yaml
from interlock.errors import UsageError
from interlock.records.plan import (
    MOST_FAULTS,
    PLAN_FIELDS,
    Fault,
    Plan,
    Step,
    check_keys,
    faults_of,
    plan_from_json,
    step_from_json,
)

#: Most bytes of a file that are read.
MOST_READ = 16 * 1024 * 1024
TOOLS = "tools"
_OF_A_STEP = {spec.name for spec in fields(Step)}
_START = "Write `steps:` and below it at least `- id: first`."


@dataclass(frozen=True, slots=True)
class PlanFile:
    """A plan with the places its parts stand at.

    Args:
        path: The file.
        plan: The plan.
        read: What stands in the file.
    """

    path: Path
    plan: Plan
    read: Read

    def refuse(self, faults: Sequence[Fault]) -> None:
        """Find fault with the plan, with file and line; do nothing where there is no fault.

        Raises:
            UsageError: there is one.
        """
        _refuse(self.path, self.read, faults)


def read_plan(path: Path) -> PlanFile:
    """A plan from a file; `tools` in it lists names of tools and definitions of MCP servers.

    Args:
        path: A JSON file if its name ends in `.json`, else YAML.

    Raises:
        UsageError: code `usage.plan_file`: it cannot be read, or is no plan that can be carried out; the message
            names the file and the line of all that is wrong.
    """
    try:
        read = (read_json if path.suffix == ".json" else read_yaml)(_text_of(path))
    except Unreadable as error:
        raise _wrong([(_place(path, error.line), error.says)], error.do or _check_again(path)) from None
    values = read.value
    if not isinstance(values, Mapping):
        _refuse(path, read, [Fault("A plan is an object with `steps`.", (), _START)])
    faults = [*_faults_around(values), *_faults_of_tools(values.get(TOOLS))]
    if "steps" not in values:
        _refuse(path, read, faults)  # one of them may well be what was meant
    steps, of_steps = _steps_in(values.get("steps"))
    _refuse(path, read, [*faults, *of_steps])
    tools = values.get(TOOLS) or []
    plan = plan_from_json({**{name: values[name] for name in values if name != TOOLS}, "steps": steps}, tools)
    return PlanFile(path, plan, read)


def written(plan: Plan, form: str) -> str:
    """A plan as a file has it.

    Args:
        plan: The plan. Of its tools those are written that are names or definitions.
        form: `yaml` or `json`.
    """
    values = plan.to_json()
    values["steps"] = [{key: value for key, value in step.items() if value or key == "id"} for step in values["steps"]]
    if tools := [one for one in plan.tools if _is_tool(one)]:
        values[TOOLS] = [_without_values(one) for one in tools]
    if form == "json":
        return json.dumps(values, ensure_ascii=False, indent=2) + "\n"
    import yaml

    class Dumper(yaml.SafeDumper):
        pass

    number_words(Dumper)
    Dumper.add_representer(str, _as_text)
    Dumper.ignore_aliases = lambda self, data: True  # type: ignore[method-assign]
    return yaml.dump(values, Dumper=Dumper, sort_keys=False, allow_unicode=True, width=100)


def write_plan(path: Path, plan: Plan) -> None:
    """Write a plan into a new file.

    Raises:
        UsageError: code `usage.plan_file`: the file is there already, or cannot be written.
    """
    text = written(plan, "json" if path.suffix == ".json" else "yaml")
    try:
        with open(path, "x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise UsageError(f"{path} is there already.", "Choose another name.", code="usage.plan_file") from None
    except OSError as error:
        says = f"{path} cannot be written: {error.strerror}."
        raise UsageError(says, "Check the folder.", code="usage.plan_file") from error


def is_plan_file(where: str) -> bool:
    """Whether `--tools` takes this for a plan's file, and not for a module."""
    return where.endswith((".yaml", ".yml", ".json"))


def tools_named(given: Sequence[str]) -> list[Any]:
    """The tools that `--tools` names: `module:attribute` of code, or a plan's file whose `tools` are meant.

    Raises:
        UsageError: code `usage.tools_module`: there is no such module or attribute.
    """
    found: list[Any] = []
    for one in given:
        if is_plan_file(one):
            found += read_plan(Path(one)).plan.tools
            continue
        at = _imported(one)
        found += at if isinstance(at, (list, tuple)) else [at]
    return found


def _imported(given: str) -> Any:
    name, colon, attribute = given.partition(":")
    if not colon or not name or not attribute:
        like = (name.removesuffix(".py").strip("./").replace("/", ".") or "module") + ":ALL"
        raise UsageError(
            f"--tools {given[:80]!r} is not of the form module:attribute.",
            f"Name what a module has: a function, a @tool, or a list of them, like --tools {like}.",
            code="usage.tools_module",
        )
    if os.getcwd() not in sys.path:  # as `python -m` has it
        sys.path.insert(0, os.getcwd())
    try:
        at: Any = importlib.import_module(name)
        for part in attribute.split("."):
            at = getattr(at, part)
    except (ImportError, AttributeError) as error:
        says = f"--tools {given[:80]!r} cannot be imported: {error}."
        raise UsageError(says, "Modules are looked for here and on PYTHONPATH.", code="usage.tools_module") from error
    except Exception as error:
        says = f"--tools {given[:80]!r} cannot be imported{_where(error)}: {type(error).__name__}: {error}."
        raise UsageError(says, "Correct the module.", code="usage.tools_module") from error
    return at


def _where(error: Exception) -> str:
    """The file and line where a module failed."""
    if isinstance(error, SyntaxError):
        return f" ({error.filename}:{error.lineno})"
    at = error.__traceback__
    while at is not None and at.tb_next is not None:
        at = at.tb_next
    return f" ({at.tb_frame.f_code.co_filename}:{at.tb_lineno})" if at is not None else ""


# --- Reading ------------------------------------------------------------------------------------------------------


def _text_of(path: Path) -> str:
    try:
        with open(path, "rb") as file:
            raw = file.read(MOST_READ + 1)
    except IsADirectoryError:
        raise _wrong([(str(path), "That is a folder.")], "Name the plan's file in it.") from None
    except FileNotFoundError:
        do = "Check the name, or make a plan with `interlock plan make TASK --out FILE`."
        raise _wrong([(str(path), "There is no such file.")], do) from None
    except (OSError, ValueError) as error:
        says = f"It cannot be read: {getattr(error, 'strerror', None) or error}."
        raise _wrong([(str(path), says)], "Check the file and who may read it.") from error
    if len(raw) > MOST_READ:
        raise Unreadable(f"It is larger than {MOST_READ // 2**20} MB.", do="A plan holds steps; put data into files.")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise Unreadable("It is not UTF-8 text.", line, "Save it as UTF-8.") from None


def _faults_around(values: Mapping[str, Any]) -> Iterator[Fault]:
    """What is wrong with a plan beside its steps and tools."""
    try:
        check_keys("plan", values, (*PLAN_FIELDS, TOOLS))
    except UsageError as error:
        name = next(name for name in values if name not in (*PLAN_FIELDS, TOOLS))
        yield Fault(error.says, (name,), error.do)
    stand_in = [{"id": "stand-in"}]
    for name in ("task_description", "metadata", "created_at"):
        if name in values:
            try:
                plan_from_json({name: values[name], "steps": stand_in})
            except UsageError as error:
                yield Fault(error.says.removeprefix("Plan."), (name,), _own_do(error))


def _faults_of_tools(given: Any) -> Iterator[Fault]:
    do = "List names of built-in tools and definitions of MCP servers; code goes into --tools module:attribute."
    if given is not None and not isinstance(given, list):
        yield Fault("`tools` must be a list.", (TOOLS,), do)
    for number, one in enumerate(given if isinstance(given, list) else ()):
        if not _is_tool(one):
            yield Fault(f"That is no tool: {one!r:.80}", (TOOLS, number), do)


def _steps_in(given: Any) -> tuple[list[Step], list[Fault]]:
    """The steps, and what is wrong with each by itself and with how they build on one another."""
    if not isinstance(given, list):
        return [], [Fault("A plan has a list of `steps`.", ("steps",), _START)]
    steps, faults = list[Step](), list[Fault]()
    for number, one in enumerate(given):
        try:
            steps.append(step_from_json(one))
        except UsageError as error:
            at: Place = ("steps", number, *_part_of(one, error))
            faults.append(Fault(error.says.removeprefix("Step."), at, _own_do(error)))
            with contextlib.suppress(UsageError):  # others may build on it, whatever is wrong with it
                steps.append(step_from_json({"id": one["id"]} if isinstance(one, Mapping) and "id" in one else None))
    return steps, [*faults, *(faults_of(steps) if len(steps) == len(given) else ())]


def _part_of(step: Any, error: UsageError) -> tuple[str, ...]:
    """Which part of a step an error is about: the one it begins with, or the key that nobody reads."""
    if not isinstance(step, Mapping):
        return ()
    named = re.match(r"Step\.(\w+)(?:\['(\w+)'\])?", error.says)
    if named is not None:
        return tuple(part for part in named.groups() if part)
    return next(((name,) for name in step if name not in _OF_A_STEP), ())


def _own_do(error: UsageError) -> str:
    """The next step, where the error has one of its own."""
    return "" if error.do == error.default_do else error.do


def _refuse(path: Path, read: Read, faults: Sequence[Fault]) -> None:
    if not faults:
        return
    told = sorted(((read.line(fault.at), fault) for fault in faults), key=lambda one: one[0])[:MOST_FAULTS]
    do = told[0][1].do if len({fault.do for _, fault in told}) == 1 else ""
    wrong = [(_place(path, line), fault.says) for line, fault in told]
    raise _wrong(wrong, do or _check_again(path), told[0][1].code)


def _wrong(told: Sequence[tuple[str, str]], do: str, code: str = "") -> UsageError:
    code = "usage.plan_file" if code in ("", "usage.plan") else code
    return UsageError("\n".join(f"{place}: {says}" for place, says in told), do, code=code)


def _place(path: Path, line: int) -> str:
    return f"{path}:{line}" if line else str(path)


def _check_again(path: Path) -> str:
    return f"Correct the file; `interlock plan check {shlex.quote(str(path))}` says when it is good."


def _is_tool(one: Any) -> bool:
    return isinstance(one, str) or (isinstance(one, Mapping) and one.get("type") == "mcp")


def _without_values(one: Any) -> Any:
    """A tool as it may stand in a file: of an MCP server no value that may be a secret."""
    from interlock.tools.mcp_settings import McpServer

    return one if isinstance(one, str) else McpServer.read(one).to_json()


def _as_text(dumper: Any, text: str) -> Any:
    """A text of several lines as such; one with characters that nobody sees in quotes, where they are spelled out."""
    visible = text.replace("\n", "").isprintable()
    style = '"' if not visible else "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


def levels(plan: Plan) -> Iterator[tuple[Any, int]]:
    """The steps in the order they can be done, each with the length of the longest chain before it."""
    from interlock.records.plan import in_order

    depth: dict[str, int] = {}
    for step in in_order(plan.steps):
        depth[step.id] = 1 + max((depth[need] for need in step.dependencies), default=-1)
        yield step, depth[step.id]
