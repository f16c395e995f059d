"""Reading the settings: default, then file, then profile, then environment, then argument; all errors at once."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from interlock.errors import SettingsError
from interlock.platform.settings.environment import read_environment
from interlock.platform.settings.file import NAME, SettingsFile, find, secrets_in
from interlock.platform.settings.keys import Keys, find_key, key_file, usable
from interlock.platform.settings.layers import (
    Given,
    Key,
    Layer,
    Problem,
    build,
    dotted,
    leaves,
    named,
    nearest,
    read_table,
    refuse,
    shape,
    shown,
)
from interlock.platform.settings.people import strange_people
from interlock.platform.settings.sections import PROVIDERS, Settings, not_used

_LOOPBACK = r"https?://(?:127\.0\.0\.1|localhost|\[::1\])(?::[0-9]+)?(?:[/?#]|$)"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
#: What the guides call some settings.
#: Profiles that mean something by themselves; no file has to define them.
KNOWN_PROFILES = frozenset({"production", "prod", "staging", "development", "dev"})
_ALIASES = {"storage_path": "home", "log_level": "log.level", "log_format": "log.format"}
#: Addresses that a vendor's key may always go to: the vendor's own, and this machine.
_HOME_HOSTS = {
    name: re.compile(rf"https://(?:[a-z0-9-]+\.)*{host}(?::[0-9]+)?(?:[/?#]|$)|{_LOOPBACK}", re.I)
    for name, host in (("openai", r"api\.openai\.com"), ("anthropic", r"api\.anthropic\.com"))
}
_KEY_ARGUMENTS = {"openai_api_key": "openai", "anthropic_api_key": "anthropic"}


def load(
    profile: str | None = None,
    home: str | os.PathLike[str] | None = None,
    config: str | os.PathLike[str] | None = None,
    environ: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    overrides: Mapping[str, Any] | None = None,
    keys: Mapping[str, str | None] | None = None,
) -> Settings:
    """Read all settings; nothing is changed, only files are read.

    Args:
        profile: The `[profile.NAME]` to lay over the file; otherwise INTERLOCK_PROFILE.
        home: The folder of the embedded store; otherwise INTERLOCK_HOME, the file, or `.interlock` in `cwd`.
        config: The settings file; otherwise INTERLOCK_CONFIG, or the nearest one.
        environ: The environment; the process's own by default.
        cwd: The folder to start from; the process's own by default.
        overrides: Settings that win over everything: nested, or with dotted keys.
        keys: API keys by provider that win over the environment's; None or white space counts as none.

    Raises:
        SettingsError: something is wrong; everything that is wrong is listed.
    """
    environ = os.environ if environ is None else environ
    cwd = _here() if cwd is None else cwd.absolute()
    profile = profile or environ.get("INTERLOCK_PROFILE", "").strip() or None
    file = find(cwd, config or environ.get("INTERLOCK_CONFIG", "").strip() or None)
    problems = secrets_in(file) if file else []
    values, of_file = _layers(file, profile, environ, cwd, _from_arguments(home, overrides or {}, cwd), problems)
    settings = build(_defaults(cwd), values, problems)
    problems += _contradictions(settings, values)
    astray = _led_astray(values, of_file)
    found, told = _find_keys(settings, keys or {}, environ, cwd, problems, astray)
    refuse(_worth_saying(problems))
    told |= {dotted(key): values[key].origin if key in values else "default" for key, _ in leaves(settings)}
    withheld = {name: where for name, where in astray.items() if f"keys.{name}" in told and name not in found}
    return replace(
        settings,
        profile=profile,
        file=file.path if file else None,
        keys=found,
        key_files=_key_files(settings, environ, cwd),
        origins=told,
        withheld=withheld,
    )


def _key_files(settings: Settings, environ: Mapping[str, str], cwd: Path) -> tuple[Path, ...]:
    named = [*(provider.key_env for provider in settings.providers.values()), settings.web_search.key_env]
    variables = dict.fromkeys(variable for variable in named if variable)
    return tuple(path for variable in variables if (path := key_file(variable, environ, cwd)))


def _defaults(cwd: Path) -> Settings:
    return Settings(home=cwd / ".interlock", workspace=cwd)


def _layers(
    file: SettingsFile | None,
    profile: str | None,
    environ: Mapping[str, str],
    cwd: Path,
    arguments: Iterator[Given | Problem],
    problems: list[Problem],
) -> tuple[dict[Key, Given], dict[Key, Given]]:
    """What each key is given by the strongest layer that gives it anything, and by the file."""
    values: dict[Key, Given] = {}

    def take(read: Iterator[Given | Problem]) -> None:
        for one in read:
            if isinstance(one, Problem):
                problems.append(one)
            else:
                values[one.key] = one

    take(_from_file(file, profile))
    of_file = dict(values)
    # The file comes first, for a variable can only mean a name with dashes or dots that is known.
    key_variables = {one.value for key, one in values.items() if key[-1] == "key_env" and one.value}
    key_variables |= {provider.key_env for provider in PROVIDERS.values() if provider.key_env}
    take(read_environment(Settings, environ, _names(_defaults(cwd), values), key_variables, cwd))
    take(arguments)
    return values, of_file


def _here() -> Path:
    try:
        return Path.cwd()
    except FileNotFoundError:
        raise SettingsError("The current folder no longer exists.", "Change to another folder.") from None


def _from_file(file: SettingsFile | None, profile: str | None) -> Iterator[Given | Problem]:
    """The file's own values, then those of the chosen profile; the other profiles are only checked."""
    profiles: Mapping[str, Any] = {}
    if file is not None:
        base = file.path.parent
        plain = {name: value for name, value in file.table.items() if name != "profile"}
        yield from read_table(Settings, plain, Layer(where=file.where, origin=file.where, base=base))
        written = file.table.get("profile", {})
        profiles = written if isinstance(written, Mapping) else {}
        if profiles is not written:
            where = file.where(("profile",))
            yield Problem(says=f"{where} profile must hold tables like [profile.prod]", code="settings.profile")
        for name, table in profiles.items():
            yield from _from_profile(file, name, table, chosen=name == profile)
    if profile is not None and profile not in profiles and profile not in KNOWN_PROFILES:
        yield _no_profile(file, profile, profiles)


def _from_profile(file: SettingsFile, name: str, table: Any, *, chosen: bool) -> Iterator[Given | Problem]:
    def where(key: Key) -> str:
        return file.where(("profile", name, *key))

    if not isinstance(table, Mapping):
        yield Problem(says=f"{where(())} profile.{name} must be a table [profile.{name}]", code="settings.profile")
        return
    layer = Layer(where=where, origin=lambda key: f"profile.{name} ({where(key)})", base=file.path.parent)
    for one in read_table(Settings, table, layer):
        if isinstance(one, Problem):
            yield replace(one, key=("profile", name, *one.key))
        elif chosen:
            yield one


def _no_profile(file: SettingsFile | None, profile: str, profiles: Mapping[str, Any]) -> Problem:
    has = f"it has {', '.join(profiles)}" if profiles else "it has none"
    where = f"{file.shown} has no profile {profile!r}; {has}" if file else f"No settings file has a profile {profile!r}"
    shown = file.shown if file else NAME
    return Problem(says=where, code="settings.profile", do=f"Add a table [profile.{profile}] to {shown}.")


def _names(start: Settings, values: Mapping[Key, Given]) -> dict[str, set[str]]:
    """The names that each table of names has so far."""
    tables = {name for name, hint in shape(Settings).items() if named(hint)}
    found = {name: set(getattr(start, name)) for name in tables}
    for key in values:
        if key[0] in tables:
            found[key[0]].add(key[1])
    return found


def _from_arguments(
    home: str | os.PathLike[str] | None, overrides: Mapping[str, Any], cwd: Path
) -> Iterator[Given | Problem]:
    layer = Layer(where=lambda _: "Argument:", origin=lambda _: "argument", base=cwd)
    table: dict[str, Any] = {}
    for name, value in overrides.items():
        _put(table, tuple(name.split(".")) if not isinstance(value, Mapping) else (name,), value)
    if home is not None:
        table["home"] = os.fspath(home) if isinstance(home, os.PathLike) else home
    return read_table(Settings, table, layer)


def _put(table: dict[str, Any], key: Key, value: Any) -> None:
    """Put a value in by its dotted key; tables that are given twice are laid over each other."""
    for part in key[:-1]:
        before = table.get(part)
        below = dict(before) if isinstance(before, Mapping) else {}
        table[part] = below
        table = below
    before = table.get(key[-1])
    table[key[-1]] = {**before, **value} if isinstance(before, Mapping) and isinstance(value, Mapping) else value


def _contradictions(settings: Settings, values: Mapping[Key, Given]) -> Iterator[Problem]:
    """What is wrong although each value by itself is right."""

    def at(*key: str) -> str:
        given = values.get(key)
        return f"{given.origin}: " if given else ""

    for name, agent in settings.agents.items():
        key = ("agents", name)
        if name == "hybrid" or not _NAME.fullmatch(name):
            yield _contradiction(f"{dotted(key)} is no name an agent can have", key)
        if agent.provider not in settings.providers:
            says = f"{at(*key, 'provider')}{dotted(key)} names the provider {shown(agent.provider)}, which is not there"
            like = nearest(agent.provider, settings.providers)
            yield _contradiction(f"{says} (did you mean {like}?)", (*key, "provider"))
    for name, provider in settings.providers.items():
        key = ("providers", name)
        if not _NAME.fullmatch(name):
            yield _contradiction(f"{dotted(key)} is no name a provider can have", key)
        if provider.base_url is None and provider.key_env is None and provider.key_vault is None:
            yield _contradiction(f"{dotted(key)} needs a base_url or a key_env", key)
    for place, says in strange_people(settings.users, settings.roles, settings.agents):
        yield _contradiction(f"{at(*place)}{dotted(place)} {says}", place)


def _contradiction(says: str, key: Key) -> Problem:
    return Problem(says=says, key=key, code="settings.contradiction")


def _led_astray(values: Mapping[Key, Given], of_file: Mapping[Key, Given]) -> dict[str, str]:
    """The vendors whose address a file changed without saying which key belongs there, and where it did so.

    The key that a person keeps in their environment is meant for the vendor. A file in the current folder may be
    anybody's: it gets that key sent elsewhere only where its author wrote down that this is wanted.
    """
    found: dict[str, str] = {}
    for name, home in _HOME_HOSTS.items():
        address = ("providers", name, "base_url")
        given = of_file.get(address)
        if given is None or given.value is None or values[address] is not given:
            continue
        if not home.match(given.value) and ("providers", name, "key_env") not in of_file:
            found[name] = given.origin
    return found


def _said(key: object, name: str) -> str | None:
    """A key that was given as an argument; None for none, and for white space."""
    if key is not None and not isinstance(key, str):
        raise SettingsError(f"The key for {name} must be a text, not {type(key).__name__}.")
    return (key or "").strip() or None


def _find_keys(
    settings: Settings,
    given: Mapping[str, str | None],
    environ: Mapping[str, str],
    cwd: Path,
    problems: list[Problem],
    astray: Mapping[str, str],
) -> tuple[Keys, dict[str, str]]:
    """All API keys there are, and where each comes from, or why it is not used."""
    held: dict[str, str] = {}
    origins: dict[str, str] = {}
    for name in given:
        if name not in settings.providers:
            problems.append(Problem(says=f"There is no provider {name!r} to have a key", key=("keys", name)))
    for name, provider in settings.providers.items():
        try:
            if (key := _said(given.get(name), name)) is not None:
                held[name], origins[f"keys.{name}"] = usable(key, f"The key for {name}"), "argument"
            elif provider.key_env and (found := find_key(provider.key_env, environ, cwd)):
                if name in astray:
                    origins[f"keys.{name}"] = not_used(name, astray[name])
                else:
                    held[name], origins[f"keys.{name}"] = found[0], f"env {found[1]}"
        except SettingsError as error:
            problems.append(Problem(says=error.says.rstrip("."), key=("keys", name), code=error.code, do=error.do))
    return Keys(held), origins


def _worth_saying(problems: list[Problem]) -> list[Problem]:
    """Without those that only follow from another one with the same key, or with one below it."""
    said: list[Problem] = []
    for problem in problems:
        near = [before for before in said if before.key and before.key[: len(problem.key)] == problem.key]
        if any(before.code == "settings.secret_in_file" for before in near) and problem.key:
            continue
        if near and problem.code in ("settings.missing", "settings.contradiction"):
            continue
        said.append(problem)
    return said


def settings_from_configure(**given: Any) -> dict[str, Any]:
    """The arguments of `load` for what a caller of `configure(...)` or `Platform(...)` said; None says nothing.

    Args:
        given: `home` (or `storage_path`), `profile`, `config`, `openai_api_key`, `anthropic_api_key`, `log_level`,
            and any setting: a section as a mapping (`limits={"max_runs": 8}`) or one key (`limits__max_runs=8`).

    Raises:
        SettingsError: a name is no setting, or two names for the same setting disagree.
    """
    arguments: dict[str, Any] = {}
    overrides: dict[str, Any] = {}
    keys: dict[str, str] = {}
    for name, value in given.items():
        setting = _ALIASES.get(name, name.replace("__", "."))
        if value is None:
            continue
        if name in _KEY_ARGUMENTS:
            keys[_KEY_ARGUMENTS[name]] = value
        elif setting == "profile" and not isinstance(value, str):
            raise SettingsError(f"profile must be a text, not {type(value).__name__}.")
        elif setting == "config" and not isinstance(value, str | os.PathLike):
            raise SettingsError(f"config must be a path, not {type(value).__name__}.")
        elif setting in ("home", "profile", "config"):
            _once(arguments, setting, value)
        elif setting.split(".")[0] in shape(Settings):
            _once(overrides, setting, _level_name(value) if setting == "log.level" else value)
        else:
            known = [*shape(Settings), *_ALIASES, *_KEY_ARGUMENTS, "profile", "config"]
            raise SettingsError(f"{name} is no setting (did you mean {nearest(name, known)}?).")
    return {**arguments, "overrides": overrides, "keys": keys}


def _once(table: dict[str, Any], name: str, value: Any) -> None:
    if name in table and table[name] != value:
        raise SettingsError(f"{name} is given twice, under two names, with different values.")
    table[name] = value


def _level_name(level: Any) -> Any:
    """`logging.DEBUG` as well as "DEBUG"."""
    return logging.getLevelName(level).lower() if isinstance(level, int) else level
