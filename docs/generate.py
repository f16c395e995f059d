"""Writes the reference pages, and the figures in the README, from the code and the results of the benchmarks.

`python docs/generate.py` writes them; `python docs/generate.py --check` fails when they are stale.
"""

from __future__ import annotations

import copy
import inspect
import json
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import MISSING, Field, fields
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import click
from raised import Raised, raised_codes

from interlock import errors
from interlock.cli.app import TOPICS, tree
from interlock.cli.grammar import common_options
from interlock.platform.settings import sections
from interlock.platform.settings.environment import OTHER_VARIABLES, VENDOR_VARIABLES
from interlock.platform.settings.layers import is_leaf, named, section, shape
from interlock.records.fact import FROM_OUTSIDE, KINDS, Failure
from interlock.records.money import Usage

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "src" / "interlock"
REFERENCE = ROOT / "docs" / "reference"
WRITTEN_BY = "<!-- Written by docs/generate.py; `make docs` writes it again. -->"
BEGIN, END = "<!-- figures: written by docs/generate.py -->", "<!-- end of figures -->"


def pages() -> dict[Path, str]:
    """Every generated file with the text it should have."""
    readme = ROOT / "README.md"
    return {
        REFERENCE / "errors.md": errors_page(),
        REFERENCE / "settings.md": settings_page(),
        REFERENCE / "facts.md": facts_page(),
        REFERENCE / "cli.md": cli_page(),
        readme: with_figures(readme.read_text()),
    }


def stale() -> list[Path]:
    """The files that do not say what the code says."""
    return [path for path, text in pages().items() if not path.exists() or path.read_text() != text]


def table(heads: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    """A table in Markdown."""
    lines = ["| " + " | ".join(row) + " |" for row in (heads, ("---",) * len(heads), *rows)]
    return "\n".join(lines)


def cell(text: str) -> str:
    """A text that may stand in a cell."""
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")


def first_sentence(thing: Any) -> str:
    """The first paragraph of a docstring on one line."""
    return " ".join((inspect.getdoc(thing) or "").split("\n\n")[0].split())


def arguments_of(thing: Any) -> dict[str, str]:
    """The `Args:` of a docstring, one line each."""
    text = (inspect.getdoc(thing) or "").partition("Args:\n")[2].split("\n\n")[0]
    found = re.findall(r"^ {4}(\w+): (.*(?:\n {8}.*)*)", text, re.M)
    return {name: " ".join(says.split()) for name, says in found}


# --- Errors -------------------------------------------------------------------------------------------------------

ROOMS: Mapping[str, str] = {
    "usage": "The call, the command line or the task is wrong. Nothing was done.",
    "settings": "A setting, a settings file or an environment variable is wrong. Nothing was started.",
    "run": "About a run as a whole.",
    "step": "About one step of a run.",
    "agent": "The agent, its model or its provider.",
    "tool": "A tool call. The sentence goes back to the model; people see it in `interlock run show ID --content`.",
    "policy": "A rule said no.",
    "guardrail": "A guardrail said no, in its own words; also `guardrail.rate_limit` (`RateLimited`) and "
    "`guardrail.cost_limit` (`OverBudget`, exit code 6).",
    "approval": "A person has to answer, or the answer cannot count.",
    "budget": "Money is used up.",
    "access": "Someone may not do this, or is not known.",
    "vault": "Secrets cannot be read or kept.",
    "audit": "The audit log.",
    "sandbox": "The walls around commands.",
    "plan": "Plans and their steps.",
    "store": "The journal.",
}


def errors_page() -> str:
    """`docs/reference/errors.md`."""
    parts = [
        "# Errors",
        WRITTEN_BY,
        "Every error is an `InterlockError` from `interlock.errors`. It has a stable dotted `code`, a sentence for "
        "people (`says`), a next step (`do`), and says whether trying again can help (`retryable`). With `--json` a "
        'command answers `{"error": {"code", "says", "do", "run"}}`. `…` stands for a part that changes.',
        "## The tree",
        table(
            ("class", "code", "exit code", "trying again can help", "what happened", "next step"),
            [_tree_row(cls, depth) for cls, depth in _walk(errors.InterlockError)],
        ),
        "## All codes",
    ]
    codes = raised_codes(SOURCE)
    rooms = {code.partition(".")[0] if "." in code else "" for code in codes}
    assert rooms - {""} <= {*ROOMS, "output"}, f"describe the rooms {rooms - set(ROOMS)} in ROOMS"
    for room, about in ROOMS.items():
        rows = [_code_row(code, entry) for code, entry in sorted(codes.items()) if code.startswith(f"{room}.")]
        parts += [f"### `{room}.`", about, table(("code", "class", "exit code", "says", "next step"), rows)]
    others = [(code, entry) for code, entry in sorted(codes.items()) if code.partition(".")[0] not in ROOMS]
    rows = [_code_row(code, entry) for code, entry in others]
    parts += ["### Others", table(("code", "class", "exit code", "says", "next step"), rows)]
    return "\n\n".join(parts) + "\n"


def _walk(cls: type[errors.InterlockError], depth: int = 0) -> Iterator[tuple[type[errors.InterlockError], int]]:
    yield cls, depth
    for below in cls.__subclasses__():
        if below.__module__ == errors.__name__:
            yield from _walk(below, depth + 1)


def _tree_row(cls: type[errors.InterlockError], depth: int) -> tuple[str, ...]:
    name = "&nbsp;&nbsp;" * depth + f"`{cls.__name__}`"
    again = "yes" if cls.retryable else "no"
    return name, f"`{cls.code}`", str(cls.exit_code), again, cell(first_sentence(cls)), cell(cls.default_do)


def _code_row(code: str, entry: Raised) -> tuple[str, ...]:
    says = entry.says or [first_sentence(entry.kind) if code == entry.kind.code else "…"]
    does = entry.does or [entry.kind.default_do]
    return (
        f"`{code}`",
        f"`{entry.kind.__name__}`",
        str(entry.kind.exit_code),
        "<br>".join(map(cell, says[:4])),
        "<br>".join(map(cell, does[:3])),
    )


# --- Settings -----------------------------------------------------------------------------------------------------


def settings_page() -> str:
    """`docs/reference/settings.md`."""
    about = arguments_of(sections.Settings)
    hints = shape(sections.Settings)
    plain = {name: hint for name, hint in hints.items() if is_leaf(hint)}
    specs = {one.name: one for one in fields(sections.Settings)}
    defaults = {"home": "`.interlock` in the current folder", "workspace": "the current folder"}
    parts = [
        "# Settings",
        WRITTEN_BY,
        "Settings come from, the later winning over the earlier: the defaults; `interlock.toml` (or `[tool.interlock]` "
        "in `pyproject.toml`), the nearest one upwards, else the one in the user's configuration folder; its "
        "`[profile.NAME]`; the environment; arguments. `interlock config show --origin` shows each value with its "
        "source. Whatever is unknown or wrong stops the start, all of it listed at once, with the nearest name. "
        "Secrets never stand in the file.",
        "A settings file is trusted like code: "
        "[why](../decisions/0012-a-projects-settings-file-is-trusted-like-code.md).",
        "## Plain settings",
        table(
            ("setting", "variable", "value", "default", "meaning"),
            [
                _setting_row(name, hint, defaults.get(name) or _default(specs[name]), about[name])
                for name, hint in plain.items()
            ],
        ),
    ]
    for name, hint in hints.items():
        cls = section(hint) or named(hint)
        if cls is not None:
            parts += _section(name, cls, is_table_of_names=named(hint) is not None)
    parts += ["## Other variables", _other_variables()]
    return "\n\n".join(parts) + "\n"


def _section(name: str, cls: type, *, is_table_of_names: bool) -> list[str]:
    title, _, about = first_sentence(cls).partition(": ")
    told = arguments_of(cls)
    specs = {one.name: one for one in fields(cls)}
    prefix = f"{name}.NAME" if is_table_of_names else name
    rows = [
        _setting_row(f"{prefix}.{key}", hint, _default(specs[key]), told[key])
        for key, hint in shape(cls).items()
        if is_leaf(hint)
    ]
    parts = [f"## {title}", about[:1].upper() + about[1:]]
    parts.append(table(("setting", "variable", "value", "default", "meaning"), rows))
    built_in = getattr(sections, name.upper(), None) if is_table_of_names else None
    if built_in:
        parts += ["There from the start:", "```toml\n" + "\n\n".join(_toml(name, built_in)) + "\n```"]
    return parts


def _toml(name: str, entries: Mapping[str, Any]) -> Iterator[str]:
    for entry, value in entries.items():
        lines = [f"[{name}.{entry}]"]
        for spec in fields(value):
            given = getattr(value, spec.name)
            if given != spec.default and given is not None:
                lines.append(f"{spec.name} = {json.dumps(given)}")
        yield "\n".join(lines)


def _setting_row(key: str, hint: Any, default: str, about: str) -> tuple[str, ...]:
    variable = "INTERLOCK_" + key.replace(".", "__").upper()
    return f"`{key}`", f"`{variable}`", cell(_words(hint)), default, cell(about)


def _default(spec: Field[Any]) -> str:
    if spec.default is MISSING:
        return "none; it must be given"
    if spec.default is None:
        return "none"
    return f"`{json.dumps(list(spec.default) if isinstance(spec.default, tuple) else spec.default)}`"


def _words(hint: Any) -> str:
    """What a type means to people."""
    if get_origin(hint) is Annotated:
        return str(next(one.description for one in get_args(hint)[1:] if one.description))
    if get_origin(hint) is Literal:
        return " or ".join(f"`{one}`" for one in get_args(hint))
    if get_origin(hint) in (UnionType, Union):
        return ", or ".join(_words(one) if one is not NoneType else "`none`" for one in get_args(hint))
    if get_origin(hint) is tuple:
        return "a list of texts"
    names = {"bool": "`true` or `false`", "str": "a text", "Path": "a path", "Decimal": "an amount of US dollars"}
    return names.get(getattr(hint, "__name__", ""), str(hint))


def _other_variables() -> str:
    rows = [(f"`{name}`", cell(about)) for name, about in OTHER_VARIABLES.items()]
    rows += [(f"`{name}`", f"the same as `{'.'.join(key)}`") for name, key in VENDOR_VARIABLES.items()]
    for name, provider in sections.PROVIDERS.items():
        rows.append((f"`{provider.key_env}`", f"the API key for {name}"))
        rows.append((f"`{provider.key_env}_FILE`", f"a file that holds only the API key for {name}"))
    return table(("variable", "meaning"), rows)


# --- Facts --------------------------------------------------------------------------------------------------------


def facts_page() -> str:
    """`docs/reference/facts.md`."""
    parts = [
        "# Facts",
        WRITTEN_BY,
        "Everything that happens to a run is one of these facts, appended to its journal and never changed. What the "
        "command line shows is a fold of them. `interlock run watch ID --json` prints them, one a line. A reader that "
        "meets a kind it does not know stops with `store.unknown_fact` and guesses nothing.",
    ]
    for kind, cls in KINDS.items():
        outside = issubclass(cls, FROM_OUTSIDE)
        who = "Any process may write it." if outside else "Written only by whoever submits or drives the run."
        hints = get_type_hints(cls)
        rows = [(f"`{one.name}`", cell(_json_words(hints[one.name]))) for one in fields(cls)]
        parts += [f"## `{kind}`", f"{first_sentence(cls)} {who}", table(("field", "type"), rows)]
    for part in (Failure, Usage):
        told, hints = arguments_of(part), get_type_hints(part)
        meant = [(f"`{one.name}`", cell(_json_words(hints[one.name])), cell(told[one.name])) for one in fields(part)]
        parts += [f"## {part.__name__}", first_sentence(part), table(("field", "type", "meaning"), meant)]
    return "\n\n".join(parts) + "\n"


def _json_words(hint: Any) -> str:
    """What a type is in JSON."""
    if get_origin(hint) in (UnionType, Union):
        return " or ".join(_json_words(one) for one in get_args(hint))
    if get_origin(hint) is Literal:
        return " or ".join(f"`{one}`" for one in get_args(hint))
    if get_origin(hint) is list:
        return "list of texts"
    if get_origin(hint) is dict:
        return "object"
    words: dict[Any, str] = {Any: "any JSON", NoneType: "null", str: "text", int: "whole number", float: "number"}
    words |= {bool: "true or false", Failure: "[Failure](#failure)", Usage: "[Usage](#usage)"}
    return words[hint]


# --- The command line ---------------------------------------------------------------------------------------------


def cli_page() -> str:
    """`docs/reference/cli.md`."""
    parts = [
        "# Command line",
        WRITTEN_BY,
        "Every verb has `--json`. stdout is the answer; progress, hints and questions go to stderr. "
        "`interlock help exit-codes`, `interlock help environment` and `interlock help output` say the rest. "
        "The options shown for `interlock` itself may stand after every verb too; they are not repeated below.",
    ]
    common = {option for one in common_options() for option in one.opts}
    for words, command in commands():
        own = [one for one in command.params if words == ("interlock",) or not common & set(one.opts)]
        shown = copy.copy(command)
        shown.params = own
        with click.Context(shown, info_name=" ".join(words), terminal_width=100, max_content_width=100) as ctx:
            parts += [f"## `{' '.join(words)}`", f"```text\n{shown.get_help(ctx).rstrip()}\n```"]
    for name, text in TOPICS.items():
        parts += [f"## `interlock help {name}`", f"```text\n{text.rstrip()}\n```"]
    return "\n\n".join(parts) + "\n"


def commands() -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Every command there is with its full name."""
    yield from _commands(("interlock",), tree)


def _commands(words: tuple[str, ...], command: click.Command) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    yield words, command
    if isinstance(command, click.Group):
        ctx = click.Context(command, info_name=" ".join(words))
        for name in command.list_commands(ctx):
            below = command.get_command(ctx, name)
            assert below is not None, f"{' '.join(words)} lists {name} and does not have it"
            yield from _commands((*words, name), below)


# --- Figures ------------------------------------------------------------------------------------------------------

#: Which aims of which benchmark the README tells, by how they begin.
TOLD = (
    ("journal", "at least 20 times the best peer", "Durable steps of 256 runs at once, against the best of LangGraph "
     "and DBOS on SQLite at the same durability"),
    ("journal", "at least half of the raw limit", "The same against a bare append-only file, the limit of the disk"),
    ("journal", "at most 150 µs CPU", "CPU of one durable step"),
    ("resume", "under 1 s to the next step", "A run of 10,000 finished steps, killed and resumed: time to its next "
     "step"),
    ("plans", "diamonds: at least 20 times", "Steps a second of one plan, eight at a time, against the best of "
     "LangGraph and DBOS on SQLite at the same durability"),
    ("call", "chat: one call for less CPU than every framework", "CPU of one governed, journaled model call, against "
     "the best of Pydantic AI, OpenAI Agents SDK and LangGraph"),
    ("call", "chat: one call for no more CPU than the openai SDK", "The same against the bare OpenAI SDK, which keeps "
     "nothing"),
    ("call", "chat: as many calls a second at 256", "Calls a second with 256 tasks at once, against the bare OpenAI "
     "SDK"),
    ("size", "`interlock --help`", "CPU of `interlock --help`, the whole process"),
)  # fmt: skip


def with_figures(readme: str) -> str:
    """The README with the figures of `bench/results` between its marks."""
    before, _, rest = readme.partition(BEGIN)
    _, mark, after = rest.partition(END)
    if not mark:
        return readme
    return f"{before}{BEGIN}\n{figures()}\n{END}{after}"


def figures() -> str:
    """What was measured, when, and whether it met its aim."""
    rows = []
    results = {name: json.loads((ROOT / "bench/results" / f"{name}.json").read_text()) for name, _, _ in TOLD}
    for benchmark, beginning, says in TOLD:
        result = results[benchmark]
        aim = next((one for one in result["aims"] if one["aim"].startswith(beginning)), None)
        assert aim is not None, f"bench/results/{benchmark}.json has no aim that begins with {beginning!r}"
        rows.append((says, aim["found"], aim["aim"].partition(": ")[2] or aim["aim"], aim["verdict"]))
    days = " and ".join(sorted({result["measured"] for result in results.values()}))
    quick = [name for name, result in results.items() if result["quick"]]
    rounds = f", with few rounds (`--quick`): {', '.join(quick)}" if quick else ""
    return f"{table(('measured', 'found', 'aim', 'aim met?'), rows)}\n\nMeasured on {days}{rounds}."


def main() -> int:
    """Write the pages, or only look whether they are right."""
    if "--check" in sys.argv[1:]:
        wrong = [str(path.relative_to(ROOT)) for path in stale()]
        if wrong:
            sys.stderr.write(f"Stale: {', '.join(wrong)}. Run `make docs` and look at what changed.\n")
        return 1 if wrong else 0
    for path, text in pages().items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
