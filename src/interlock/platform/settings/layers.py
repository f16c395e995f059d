"""Layers of settings: which value each key gets, which layer it came from, and what is wrong with it."""

from __future__ import annotations

import difflib
import json
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import MISSING, dataclass, fields, is_dataclass, replace
from decimal import Decimal
from functools import cache
from pathlib import Path
from types import MappingProxyType, NoneType, UnionType
from typing import Annotated, Any, Literal, TypeAlias, TypeVar, Union, get_args, get_origin, get_type_hints

import msgspec

from interlock.errors import SettingsError
from interlock.platform.settings.keys import is_a_secret, masked

#: A setting's place in the tree, for example `("limits", "max_runs")`.
Key: TypeAlias = tuple[str, ...]
T = TypeVar("T")

_BARE = re.compile(r"[A-Za-z0-9_-]+")
_WORDS: dict[object, str] = {
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    str: "a text",
    Path: "a path",
    Decimal: "an amount of US dollars, 0 or more",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """A value that some layer gives to a key, checked, with the words that say where it came from."""

    key: Key
    value: Any
    origin: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """Something that stops the start: which key, what is wrong, and what to do about it."""

    says: str
    key: Key = ()
    code: str = "settings.invalid"
    do: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """One source of settings.

    Args:
        where: Names the place of a key in messages, for example `interlock.toml:3`.
        origin: Names the place of a key in `config show --origin`.
        base: The folder that relative paths of this layer start from.
        text: Whether all values are texts, as in the environment.
    """

    where: Callable[[Key], str]
    origin: Callable[[Key], str]
    base: Path
    text: bool = False


def dotted(key: Key) -> str:
    """The key as it would stand in TOML: `limits.max_runs`, `prices."gpt-6.1-sol".input`."""
    return ".".join(part if _BARE.fullmatch(part) else json.dumps(part, ensure_ascii=False) for part in key)


def nearest(name: str, known: Iterable[str]) -> str:
    """The known name that looks most like this one."""
    found = difflib.get_close_matches(name, sorted(known), n=1, cutoff=0.0)
    return found[0] if found else ""


def refuse(problems: list[Problem]) -> None:
    """Stop the start with everything that is wrong, at once; do nothing where nothing is wrong.

    Raises:
        SettingsError: there are problems. A secret in a file gives its code to the whole.
    """
    if not problems:
        return
    codes = {problem.code for problem in problems}
    code = codes.pop() if len(codes) == 1 else "settings.invalid"
    if any(problem.code == "settings.secret_in_file" for problem in problems):
        code = "settings.secret_in_file"
    do = next((problem.do for problem in problems if problem.do and problem.code == code), "")
    if len(problems) == 1:
        raise SettingsError(f"{problems[0].says}.", problems[0].do, code=code)
    listed = "\n".join(f"  {problem.says}" for problem in problems)
    raise SettingsError(f"{len(problems)} settings are wrong:\n{listed}", do, code=code)


# --- The shape: what the settings' dataclasses say may be set -----------------------------------------------------


def _shape(cls: Any) -> Mapping[str, Any]:
    hints = get_type_hints(cls, include_extras=True)
    return MappingProxyType(
        {spec.name: hints[spec.name] for spec in fields(cls) if spec.metadata.get("settable", True)}
    )


#: The keys of a section's dataclass with their types; a field marked `settable: False` is none.
shape: Callable[[Any], Mapping[str, Any]] = cache(_shape)


def section(hint: Any) -> type | None:
    """The dataclass of a section like `limits`, or None for anything else."""
    return hint if isinstance(hint, type) and is_dataclass(hint) else None


def named(hint: Any) -> type | None:
    """The dataclass of the entries of a table of names like `agents`, or None for anything else."""
    arguments = get_args(hint)
    return section(arguments[1]) if get_origin(hint) is Mapping and len(arguments) == 2 else None


def step_into(hint: Any, name: str) -> Any:
    """What stands below `name` in a section or a table of names; None where nothing can."""
    if (entry := named(hint)) is not None:
        return entry
    below = section(hint)
    return None if below is None else shape(below).get(name)


def is_leaf(hint: Any) -> bool:
    """Whether this is a value and no table."""
    return hint is not None and section(hint) is None and named(hint) is None


def takes_a_list(hint: Any) -> bool:
    """Whether this is a list of texts."""
    return _kind(hint)[0] is tuple


def leaves(tree: Any, key: Key = ()) -> Iterator[tuple[Key, Any]]:
    """Every key of built settings with its value."""
    for name, hint in shape(type(tree)).items():
        value = getattr(tree, name)
        if named(hint) is not None:
            for entry, below in value.items():
                yield from leaves(below, (*key, name, entry))
        elif section(hint) is not None:
            yield from leaves(value, (*key, name))
        else:
            yield (*key, name), value


# --- Reading a layer ----------------------------------------------------------------------------------------------


def read_table(hint: Any, table: Mapping[str, Any], layer: Layer, key: Key = ()) -> Iterator[Given | Problem]:
    """Check a table of one layer against the shape.

    Args:
        hint: The section it fills, or a table of names.
        table: Keys and values as TOML or a call gives them.
        layer: Where they come from.
        key: The place of the table.
    """
    for name, value in table.items():
        here = (*key, name)
        below = step_into(hint, name)
        if below is None:
            yield _unknown(hint, here, value, layer)
        elif is_leaf(below):
            yield read_value(below, value, layer, here)
        elif isinstance(value, Mapping):
            if named(hint) and not value:  # `[users.ann]` alone: there is an ann, with nothing but defaults
                yield Given(key=here, value={}, origin=layer.origin(here))
            yield from read_table(below, value, layer, here)
        else:
            yield Problem(says=f"{layer.where(here)} {dotted(here)} must be a table, not {shown(value)}", key=here)


def read_value(hint: Any, value: Any, layer: Layer, key: Key, subject: str = "") -> Given | Problem:
    """Check one value of one layer; `subject` names it in messages where its place does not."""
    try:
        return Given(key=key, value=checked(hint, value, layer.base, text=layer.text), origin=layer.origin(key))
    except ValueError as wrong:
        subject = subject or f"{layer.where(key)} {dotted(key)}"
        return Problem(says=f"{subject} must be {wrong}, not {shown(value)}", key=key)


def _unknown(hint: Any, key: Key, value: Any, layer: Layer) -> Problem:
    known = shape(section(hint) or object) if section(hint) else {}
    like = f" (did you mean {nearest(key[-1], known)}?)"
    if isinstance(value, Mapping) and key[0] == "prices":
        like = " (a name with dots needs quotes)"
    return Problem(
        says=f"{layer.where(key)} unknown key {masked(dotted(key))}{like}", key=key, code="settings.unknown_key"
    )


def shown(value: Any) -> str:
    """A value as messages may show it: short, one line, and never something that looks like a secret."""
    if isinstance(value, Mapping):
        return "a table"
    if isinstance(value, list | tuple) and any(isinstance(one, Mapping | list | tuple) for one in value):
        return "a list of lists or tables"
    text = masked(repr(value))
    if isinstance(value, list | tuple) and any(is_a_secret(one) for one in value):
        text = masked(next(one for one in value if is_a_secret(one)))
    return text if len(text) <= 60 else f"{text[:57]}..."


def checked(hint: Any, value: Any, base: Path, *, text: bool) -> Any:
    """Read a value as its type.

    Raises:
        ValueError: it does not fit; the message completes "must be ...".
    """
    kind, optional, words = _kind(hint)
    if isinstance(value, str):
        if optional and kind is not tuple and value.strip().lower() == "none":
            return None
        value = _from_text(kind, value, split=text)
    if value is None and optional:
        return None
    if kind is Path:
        return _path(value, base)
    try:
        found = msgspec.convert(value, hint, strict=not text)
    except msgspec.ValidationError:
        raise ValueError(words if _fits(value, kind, strict=not text) else _WORDS.get(kind, words)) from None
    if isinstance(found, Decimal) and (not found.is_finite() or found < 0):
        raise ValueError(words)
    return found


def _kind(hint: Any) -> tuple[Any, bool, str]:
    """The plain type below a hint, whether it may be None, and the words for what it accepts."""
    optional = False
    if get_origin(hint) in (Union, UnionType):
        optional = NoneType in get_args(hint)
        hint = next(part for part in get_args(hint) if part is not NoneType)
    words = ""
    if get_origin(hint) is Annotated:
        hint, meta = get_args(hint)[:2]
        words = meta.description or ""
    if get_origin(hint) is Literal:
        return Literal, optional, f"one of {', '.join(get_args(hint))}"
    if get_origin(hint) is tuple:
        return tuple, optional, "a list of texts"
    return hint, optional, words or _WORDS.get(hint, "something else")


def _fits(value: Any, kind: Any, *, strict: bool) -> bool:
    if kind not in (int, float, str):
        return False
    try:
        msgspec.convert(value, kind, strict=strict)
    except msgspec.ValidationError:
        return False
    return True


def _from_text(kind: Any, value: str, *, split: bool) -> Any:
    if kind is Literal:
        return value.strip().lower()
    if kind is tuple and split:
        if value.lstrip().startswith("["):
            try:
                return json.loads(value)
            except ValueError:
                return value
        return [part.strip() for part in value.split(",") if part.strip()]
    return value.strip() if split and kind is not str else value


def _path(value: Any, base: Path) -> Path:
    if not isinstance(value, str | Path) or not str(value).strip() or "\0" in str(value):
        raise ValueError(_WORDS[Path])
    return base / os.path.expanduser(value)


# --- Putting the layers together ----------------------------------------------------------------------------------


def build(start: T, values: Mapping[Key, Given], problems: list[Problem]) -> T:
    """The settings with every given value put in; `start` holds the defaults.

    Args:
        start: An instance with the defaults.
        values: What the layers give.
        problems: Gets an entry for every value that is needed and missing.
    """
    found = _built(type(start), start, values, problems, ())
    return start if found is None else found


def _built(cls: type[T], start: T | None, values: Mapping[Key, Given], problems: list[Problem], key: Key) -> T | None:
    found: dict[str, Any] = {}
    for name, hint in shape(cls).items():
        here = (*key, name)
        before = getattr(start, name, None)
        if (entry := named(hint)) is not None:
            found[name] = _entries(entry, before or {}, values, problems, here)
        elif (below := section(hint)) is not None:
            found[name] = _built(below, before, values, problems, here)
        elif here in values:
            found[name] = values[here].value
    if start is not None:
        return replace(start, **found)  # type: ignore[type-var]  # every section is a dataclass
    missing = [spec.name for spec in fields(cls) if spec.name not in found and spec.default is MISSING]  # type: ignore[arg-type]
    place = next((f"{given.origin}: " for path, given in values.items() if path[: len(key)] == key), "")
    problems.extend(
        Problem(says=f"{place}{dotted((*key, name))} is missing", key=(*key, name), code="settings.missing")
        for name in missing
    )
    return None if missing else cls(**found)


def _entries(
    entry: type, before: Mapping[str, Any], values: Mapping[Key, Given], problems: list[Problem], key: Key
) -> Mapping[str, Any]:
    given = {path[len(key)]: None for path in values if path[: len(key)] == key and len(path) > len(key)}
    built = {name: _built(entry, before.get(name), values, problems, (*key, name)) for name in {**before, **given}}
    return MappingProxyType({name: value for name, value in built.items() if value is not None})
