"""Plans in files: YAML or JSON, read with the line of whatever is wrong, and written to be read by people."""

from __future__ import annotations

import importlib
import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from interlock.errors import UsageError
from interlock.records.plan import Plan, plan_from_json

if TYPE_CHECKING:
    import yaml

#: Most bytes of a file that are read.
MOST_READ = 16 * 1024 * 1024
TOOLS = "tools"


@dataclass(frozen=True, slots=True)
class _Lines:
    """Where the parts of a file stand: lines counted from 1, 0 where nobody knows."""

    steps: int
    each: Sequence[int]


def read_plan(path: Path) -> Plan:
    """A plan from a file; `tools` in it lists names of tools and definitions of MCP servers.

    Args:
        path: A JSON file if its name ends in `.json`, else YAML.

    Raises:
        UsageError: code `usage.plan_file`: it cannot be read, or is no plan that can be carried out; the message
            names the file and the line.
    """
    text = _text_of(path)
    found, lines = _parsed(path, text)
    if not isinstance(found, Mapping):
        _wrong(path, 1, "A plan is an object with `steps`.")
    values = dict(found)
    tools = values.pop(TOOLS, None) or []
    if not isinstance(tools, list) or not all(_is_tool(one) for one in tools):
        _wrong(path, 0, "`tools` lists names of tools and definitions of MCP servers; code goes into --tools.")
    steps = values.get("steps")
    if not isinstance(steps, list):
        _wrong(path, lines.steps, "A plan has a list of `steps`.")
    for step, line in zip(steps, lines.each, strict=False):
        _check_step(path, step, line)
    try:
        return plan_from_json(values, tools)
    except UsageError as error:
        named = (line for step, line in zip(steps, lines.each, strict=False) if repr(step["id"]) in error.says)
        _wrong(path, next(named, lines.steps), f"{error.says} {error.do}".strip())


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

    Dumper.add_representer(str, _as_block)
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


def tools_named(given: Sequence[str]) -> list[Any]:
    """The tools that `--tools` names: `module:attribute` of code, or a plan's file whose `tools` are meant.

    Raises:
        UsageError: code `usage.tools_module`: there is no such module or attribute.
    """
    found: list[Any] = []
    for one in given:
        if one.endswith((".yaml", ".yml", ".json")):
            found += read_plan(Path(one)).tools
            continue
        at = _imported(one)
        found += at if isinstance(at, (list, tuple)) else [at]
    return found


def _imported(given: str) -> Any:
    name, colon, attribute = given.partition(":")
    if not colon or not name or not attribute:
        raise UsageError(
            f"--tools {given[:80]!r} is not of the form module:attribute.",
            "Name what a module has: a function, a @tool, or a list of them.",
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
    return at


# --- Reading ------------------------------------------------------------------------------------------------------


def _text_of(path: Path) -> str:
    try:
        with open(path, "rb") as file:
            raw = file.read(MOST_READ + 1)
        text = raw.decode("utf-8-sig")
    except OSError as error:
        says = f"{path} cannot be read: {error.strerror or error}."
        raise UsageError(says, "Check the name of the file.", code="usage.plan_file") from error
    except UnicodeDecodeError:
        _wrong(path, 0, "It is not UTF-8 text.")
    if len(raw) > MOST_READ:
        _wrong(path, 0, "It is too large for a plan.")
    return text


def _parsed(path: Path, text: str) -> tuple[Any, _Lines]:
    """What a file says, and where."""
    import yaml

    is_json = path.suffix == ".json"
    try:
        if is_json:
            value = json.loads(text)
    except (ValueError, RecursionError) as error:
        _wrong(path, getattr(error, "lineno", 0), f"It is not JSON: {getattr(error, 'msg', 'nested too deep')}.")
    try:
        loader = _loader()(text)
        node = loader.get_single_node()
        if not is_json and node is not None:
            _check_nodes(path, node)
            value = loader.construct_document(node)
    except yaml.YAMLError as error:
        if is_json:  # not all JSON is YAML: then nobody knows the lines
            return value, _Lines(0, ())
        mark = getattr(error, "problem_mark", None)
        _wrong(path, mark.line + 1 if mark else 0, f"It is not YAML: {getattr(error, 'problem', None) or error}.")
    except RecursionError:
        _wrong(path, 0, "It is nested too deep.")
    if node is None:
        _wrong(path, 1, "It is empty.")
    return value, _lines_of(node)


def _loader() -> type[yaml.SafeLoader]:
    """A loader for which dates are texts and only `true` and `false` are truth values: what JSON has, and no more."""
    import re

    import yaml

    class Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
        pass

    left_out = ("tag:yaml.org,2002:timestamp", "tag:yaml.org,2002:bool", "tag:yaml.org,2002:merge")
    Loader.yaml_implicit_resolvers = {
        first: [one for one in known if one[0] not in left_out]
        for first, known in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }
    Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile("^(?:true|false)$"), list("tf"))
    return Loader


def _check_nodes(path: Path, root: yaml.Node) -> None:
    """No key twice, of which one would be lost, and nothing by reference, which a few lines make endless."""
    import yaml

    seen: set[int] = set()
    waiting = [root]
    while waiting:
        node = waiting.pop()
        line = node.start_mark.line + 1
        if id(node) in seen:
            _wrong(path, line, "A plan is written out: `*name` is not possible in it.")
        seen.add(id(node))
        if isinstance(node, yaml.SequenceNode):
            waiting += node.value
        elif isinstance(node, yaml.MappingNode):
            keys: set[str] = set()
            for key, value in node.value:
                if isinstance(key.value, str) and key.value in keys:
                    _wrong(path, key.start_mark.line + 1, f"{key.value!r} is there twice.")
                keys.add(str(key.value))
                waiting += [key, value]


def _lines_of(root: yaml.Node) -> _Lines:
    import yaml

    for key, value in root.value if isinstance(root, yaml.MappingNode) else ():
        if key.value == "steps":
            each = [one.start_mark.line + 1 for one in value.value] if isinstance(value, yaml.SequenceNode) else []
            return _Lines(key.start_mark.line + 1, each)
    return _Lines(1, ())


def _check_step(path: Path, step: Any, line: int) -> None:
    """What is wrong with a step by itself."""
    try:
        alone = {**step, "dependencies": []} if isinstance(step, Mapping) else step
        plan_from_json({"steps": [alone]})
    except UsageError as error:
        _wrong(path, line, f"{error.says.removeprefix('The plan cannot be carried out: ')} {error.do}".strip())


def _wrong(path: Path, line: int, says: str) -> NoReturn:
    place = f"{path}:{line}" if line else str(path)
    raise UsageError(f"{place}: {says}", "`interlock plan check FILE` looks at it again.", code="usage.plan_file")


def _is_tool(one: Any) -> bool:
    return isinstance(one, str) or (isinstance(one, Mapping) and one.get("type") == "mcp")


def _without_values(one: Any) -> Any:
    """A tool as it may stand in a file: of an MCP server no value that may be a secret."""
    from interlock.tools.mcp_settings import McpServer

    return one if isinstance(one, str) else McpServer.read(one).to_json()


def _as_block(dumper: Any, text: str) -> Any:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


def levels(plan: Plan) -> Iterator[tuple[Any, int]]:
    """The steps in the order they can be done, each with the length of the longest chain before it."""
    from interlock.records.plan import in_order

    depth: dict[str, int] = {}
    for step in in_order(plan.steps):
        depth[step.id] = 1 + max((depth[need] for need in step.dependencies), default=-1)
        yield step, depth[step.id]
