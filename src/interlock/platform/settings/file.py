"""The settings file: found, read, and known line by line."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeGuard

from interlock.errors import SettingsError
from interlock.platform.settings.keys import is_a_secret, masked, names_a_secret
from interlock.platform.settings.layers import Key, Problem, dotted
from interlock.records.toml_lines import lines_of

NAME = "interlock.toml"
_MAX_SIZE = 1024 * 1024
_AT = re.compile(r"^(?P<says>.*?) \(at (?:line (?P<line>\d+), column (?P<column>\d+)|end of document)\)$", re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class SettingsFile:
    """A settings file that was read.

    Args:
        path: Where it is.
        shown: How messages name it.
        table: What it says, as TOML values.
        lines: In which line each key stands.
    """

    path: Path
    shown: str
    table: Mapping[str, Any]
    lines: Mapping[Key, int]

    def where(self, key: Key) -> str:
        """The place of a key, for example `interlock.toml:12`."""
        line = self.lines.get(key)
        return f"{self.shown}:{line}" if line else self.shown


def find(cwd: Path, config: str | os.PathLike[str] | None = None) -> SettingsFile | None:
    """Find and read the settings file.

    Args:
        cwd: Where to begin: `interlock.toml`, or a pyproject.toml with `[tool.interlock]`, here or in a folder
            above; then `interlock.toml` in the user's configuration folder.
        config: The file to read, wherever it is; nothing else is looked at.

    Returns:
        The nearest file, or None.

    Raises:
        SettingsError: it cannot be read, or is not TOML.
    """
    if config is not None:
        return read(cwd / os.path.expanduser(config), cwd)
    for folder in (cwd, *cwd.parents):
        if os.path.lexists(folder / NAME):
            return read(folder / NAME, cwd)
        project = folder / "pyproject.toml"
        if _speaks_of_us(project):
            return read(project, cwd)
    import platformdirs  # only where nothing nearer was found

    path = platformdirs.user_config_path("interlock") / NAME
    return read(path, cwd) if os.path.lexists(path) else None


def _speaks_of_us(project: Path) -> bool:
    """Whether a pyproject.toml has our table. One that cannot be read is somebody else's trouble."""
    try:
        return project.is_file() and b"[tool.interlock" in project.read_bytes()
    except OSError:
        return False


def read(path: Path, cwd: Path) -> SettingsFile:
    """Read one settings file.

    Raises:
        SettingsError: it cannot be read (`settings.unreadable`), or is not TOML (`settings.toml`).
    """
    shown = path.name if path.parent == cwd else str(path)
    text = _text(path, shown)
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise _broken(shown, str(error)) from None
    except RecursionError:
        raise _broken(shown, "It is nested too deeply") from None
    lines = {key: line for key, line in lines_of(text).items() if _is_plain(key)}
    if path.name != "pyproject.toml":
        return SettingsFile(path=path, shown=shown, table=table, lines=lines)
    ours = table.get("tool", {}).get("interlock", {})
    below = {key[2:]: line for key, line in lines.items() if key[:2] == ("tool", "interlock")}
    return SettingsFile(path=path, shown=shown, table=ours, lines=below)


def _is_plain(key: tuple[str | int, ...]) -> TypeGuard[Key]:
    return all(isinstance(part, str) for part in key)


def _text(path: Path, shown: str) -> str:
    reason = ""
    try:
        if path.is_dir():
            reason = "it is a folder, not a file"
        elif path.exists() and not path.is_file():
            reason = "it is no regular file"
        elif path.stat().st_size > _MAX_SIZE:
            reason = "it is larger than 1 MB"
        else:
            return path.read_bytes().decode("utf-8-sig").replace("\r\n", "\n")
    except FileNotFoundError:
        reason = "there is no such file"
    except UnicodeDecodeError as error:
        reason = f"it is not UTF-8 text, at byte {error.start}"
    except OSError as error:
        reason = (error.strerror or "the system refuses it").lower()
    raise SettingsError(
        f"The settings file {shown} cannot be read: {reason}.",
        "Correct or remove it, or name another one with INTERLOCK_CONFIG.",
        code="settings.unreadable",
    )


def _broken(shown: str, message: str) -> SettingsError:
    found = _AT.match(message)
    says, place = message, shown
    if found:
        says = found["says"]
        place = f"{shown}:{found['line']}:{found['column']}" if found["line"] else f"{shown} (at its end)"
    return SettingsError(
        f"{place} is not valid TOML: {masked(says[:1].lower() + says[1:])}.",
        "Correct the line; `interlock config show` says when the file is good.",
        code="settings.toml",
    )


def secrets_in(file: SettingsFile) -> list[Problem]:
    """Every secret that stands in the file, by the key's name or the value's look. No value is repeated."""
    return [
        Problem(
            says=f"{file.where(key)} holds a secret ({masked(dotted(key))}); secrets never stand in a settings file",
            key=key,
            code="settings.secret_in_file",
            do=_instead(file, key, value),
        )
        for key, value in _values(file.table)
        if value not in ("", None) and (names_a_secret(key[-1]) or is_a_secret(value))
    ]


def _values(table: Mapping[str, Any], key: Key = ()) -> Iterator[tuple[Key, Any]]:
    for name, value in table.items():
        here = (*key, name)
        if isinstance(value, Mapping):
            yield from _values(value, here)
        elif isinstance(value, list):
            for part in value:
                yield from _values(part, here) if isinstance(part, Mapping) else [(here, part)]
        else:
            yield here, value


def _instead(file: SettingsFile, key: Key, value: Any) -> str:
    variable, told = _variable(file, key, value)
    return (
        f"Take it out of {file.shown}, and set the environment variable {variable}, "
        f"or {variable}_FILE to the path of a file that holds only the key"
        + ("." if told else f'; say key_env = "{variable}" in the provider\'s table.')
    )


def _variable(file: SettingsFile, key: Key, value: Any) -> tuple[str, bool]:
    """The variable that should hold this secret, and whether it is read already."""
    if "providers" in key[:-2]:
        provider = key[key.index("providers") + 1]
        entry = file.table.get("providers", {}).get(provider, {})
        told = entry.get("key_env") if isinstance(entry, Mapping) else None
        if isinstance(told, str) and not is_a_secret(told):
            return told, True
        return re.sub(r"[^A-Z0-9]", "_", provider.upper()) + "_API_KEY", provider in ("openai", "anthropic")
    anthropic = "sk-ant-" in str(value) or any("anthropic" in part.lower() for part in key)
    return ("ANTHROPIC_API_KEY" if anthropic else "OPENAI_API_KEY"), True
