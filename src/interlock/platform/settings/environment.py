"""The environment as a layer of settings: INTERLOCK_ variables, the vendors' own addresses, and typing errors."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from interlock.platform.settings.keys import names_a_secret
from interlock.platform.settings.layers import (
    Given,
    Key,
    Layer,
    Problem,
    is_leaf,
    named,
    nearest,
    read_value,
    section,
    shape,
    step_into,
    takes_a_list,
)

PREFIX = "INTERLOCK_"

#: Variables of ours that are no settings, and what they are for.
OTHER_VARIABLES: Mapping[str, str] = {
    "INTERLOCK_CONFIG": "the settings file to read",
    "INTERLOCK_PROFILE": "the profile to lay over it",
    "INTERLOCK_VAULT_PASSPHRASE": "the passphrase of the vault",
    "INTERLOCK_CRASH": "how many crash points the test suite runs",
}
#: Kubernetes gives these to every container where a service is called `interlock`.
_KUBERNETES = re.compile(r"INTERLOCK_(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT(_\d+_(TCP|UDP|SCTP)(_\w+)?)?)")
#: The vendors' own variables that say where they are.
VENDOR_VARIABLES: Mapping[str, Key] = {
    "OPENAI_BASE_URL": ("providers", "openai", "base_url"),
    "ANTHROPIC_BASE_URL": ("providers", "anthropic", "base_url"),
}


def read_environment(
    root: type, environ: Mapping[str, str], names: Mapping[str, set[str]], key_variables: set[str], base: Path
) -> Iterator[Given | Problem]:
    """Read every variable that gives a setting; an empty one gives none, except an empty list.

    Args:
        root: The settings' dataclass.
        environ: The environment.
        names: The names each table of names has already, for example those of agents.
        key_variables: The variables that hold API keys, for better advice.
        base: The folder that relative paths start from.
    """
    for variable, key in VENDOR_VARIABLES.items():
        if environ.get(variable, "").strip():
            yield _read(root, variable, environ[variable], key, base)
    for variable in sorted(environ):
        if not variable.startswith(PREFIX) or variable in OTHER_VARIABLES or _KUBERNETES.fullmatch(variable):
            continue
        found = _key(root, variable, names)
        if found is None:
            yield _unknown(root, variable, names, key_variables)
        elif environ[variable].strip() or takes_a_list(_hint(root, found)):
            yield _read(root, variable, environ[variable], found, base)


def _read(root: type, variable: str, text: str, key: Key, base: Path) -> Given | Problem:
    layer = Layer(where=lambda _: variable, origin=lambda _: f"env {variable}", base=base, text=True)
    return read_value(_hint(root, key), text, layer, key, subject=variable)


def _hint(root: Any, key: Key) -> Any:
    for name in key:
        root = step_into(root, name)
    return root


def _key(root: type, variable: str, names: Mapping[str, set[str]]) -> Key | None:
    """`INTERLOCK_LIMITS__MAX_RUNS` is `limits.max_runs`; names match whatever stands for `-` and `.` in them."""
    hint: Any = root
    key: Key = ()
    for part in variable.removeprefix(PREFIX).lower().split("__"):
        if named(hint) is not None:
            part = next((name for name in names.get(key[0], ()) if _plain(name) == part), part)
        hint = step_into(hint, part) if part else None
        if hint is None:
            return None
        key = (*key, part)
    return key if is_leaf(hint) else None


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "_", name.lower())


def _unknown(root: type, variable: str, names: Mapping[str, set[str]], key_variables: set[str]) -> Problem:
    if names_a_secret(variable):
        like = nearest(variable.removeprefix(PREFIX), key_variables)
    else:
        known = [*_variables(root, names), *(other.removeprefix(PREFIX) for other in OTHER_VARIABLES)]
        like = PREFIX + nearest(variable.removeprefix(PREFIX), known)
    return Problem(
        says=f"{variable} is no setting (did you mean {like}?)",
        code="settings.unknown_variable",
        do=f"Correct it or take it away; every variable that begins with {PREFIX} must be known.",
    )


def _variables(hint: Any, names: Mapping[str, set[str]], key: Key = ()) -> Iterator[str]:
    """The names of all settings' variables, without the prefix."""
    if is_leaf(hint):
        yield "__".join(_plain(part) for part in key).upper()
    elif (entry := named(hint)) is not None:
        for name in names.get(key[0], ()):
            yield from _variables(entry, names, (*key, name))
    else:
        for name, below in shape(section(hint) or object).items():
            yield from _variables(below, names, (*key, name))
