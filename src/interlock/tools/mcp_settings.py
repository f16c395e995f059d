"""The definition of an MCP server as users write it, checked; its secrets are only names until it is connected to."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal, NamedTuple, get_args
from urllib.parse import parse_qsl, urlsplit, urlunsplit

from interlock.errors import UsageError
from interlock.records.masking import holds_key, without_keys

#: Seconds a call, and a connection, may take when nothing else is said.
DEFAULT_TIMEOUT = 60.0
#: Stands for every tool that the server has.
EVERY_TOOL = "*"
#: What an act of an MCP tool consists of.
ACT_PARTS = frozenset({"server", "tool", "arguments", "approval"})

Approval = Literal["always", "never"]

_LABEL = re.compile(r"[A-Za-z0-9_-]{1,40}")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_HEADER = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_REFERENCE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
#: What may stand beside a reference without being a secret itself.
_SCHEME = re.compile(r"(?i)(?:bearer|basic|token)?\s*")
_SCHEME_AND_SPACE = re.compile(r"(?i)^(?:bearer|basic|token)\s+")
_SECRET_NAME = re.compile(r"(?i)key|token|secret|pass|cred|auth|dsn|cookie|private|signature")
#: Values that are no secret whoever names them: numbers, flags, paths, plain addresses.
_PLAIN = re.compile(r"(?i).{0,5}|[\d.:_-]+|false|[~./][\w./ ~-]*|https?://[\w.:/-]*", re.DOTALL)
_KEYS = (
    "type",
    "server_label",
    "server_url",
    "server_command",
    "server_args",
    "allowed_tools",
    "require_approval",
    "timeout",
    "env",
    "headers",
    "cache_ttl",
)
_HOW = (
    'Give {"type": "mcp", "server_label": ..., "server_url": ... or "server_command": ..., "allowed_tools": [...], '
    '"require_approval": "always" or "never"}.'
)


class Secret(NamedTuple):
    """A value that must be hidden wherever it shows up, and what it is called there."""

    name: str
    value: str


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Resolved:
    """How a server is really reached: with values in the place of names. Never stored, logged or shown.

    Args:
        url: Its address, or "".
        command: The program with its arguments, or nothing.
        env: What a program gets in its environment.
        headers: What is sent with every request.
        secrets: Those of the values that must be hidden.
    """

    url: str
    command: tuple[str, ...]
    env: Mapping[str, str]
    headers: Mapping[str, str]
    secrets: tuple[Secret, ...]


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class McpServer:
    """An MCP server: how it is reached, which of its tools may be called, and who must agree.

    Args:
        label: What it is called here: 1 to 40 letters, digits, `_` and `-`.
        url: Its http(s) address (streamable HTTP). Other addresses are accepted and cannot be connected to.
        command: Instead of an address: a program with its arguments, which is started and spoken to over its pipes.
        allowed_tools: The exact names of the tools that may be called; None or `*` for all that it has.
        require_approval: Whether a person must agree to every call. By default only where no tools are named.
        timeout: Seconds a call may take at most, and a connection.
        env: Variables of the program: a text, `${NAME}` in it for one of our own environment, or None for no value.
        headers: HTTP headers, where `${NAME}` stands for a variable of `env` or of our own environment.
        cache_ttl: Seconds for which an answer is given again to an identical call; 0 for never.
        warnings: What is allowed and yet not advisable, in sentences.
    """

    label: str
    url: str = ""
    command: tuple[str, ...] = ()
    allowed_tools: tuple[str, ...] | None = None
    require_approval: Approval = "always"
    timeout: float = DEFAULT_TIMEOUT
    env: Mapping[str, str | None] = field(default_factory=dict, hash=False)
    headers: Mapping[str, str | None] = field(default_factory=dict, hash=False)
    cache_ttl: float = 0.0
    warnings: tuple[str, ...] = ()

    @classmethod
    def read(cls, given: Mapping[str, Any], *, production: bool = False) -> McpServer:
        """Read `{"type": "mcp", "server_label": ..., ...}`.

        Args:
            given: What a user wrote.
            production: Whether a definition is refused that lets every tool be called without a person.

        Raises:
            UsageError: `usage.mcp`: it cannot be used; `usage.mcp_open`: it is too permissive for production.
        """
        _check_keys(given)
        label = given.get("server_label")
        if not isinstance(label, str) or not _LABEL.fullmatch(label):
            raise _unusable(f"An MCP server's server_label is 1 to 40 letters, digits, _ and -, not {label!r:.80}.")
        allowed = _allowed(given.get("allowed_tools"), label)
        asked = given.get("require_approval", "always" if allowed is None else "never")
        if asked not in get_args(Approval):
            raise _unusable(f'require_approval of the MCP server {label} is "always" or "never", not {asked!r:.80}.')
        server = cls(
            label=label,
            url=_url(given.get("server_url"), label),
            command=_command(given, label),
            allowed_tools=allowed,
            require_approval=asked,
            timeout=_seconds(given.get("timeout", DEFAULT_TIMEOUT), "timeout", label),
            env=_named(given.get("env"), "env", _VARIABLE, label),
            headers=_named(given.get("headers"), "headers", _HEADER, label),
            cache_ttl=_seconds(given.get("cache_ttl", 0.0), "cache_ttl", label, least=0.0),
            warnings=_warnings(given, label, is_open=allowed is None and asked == "never"),
        )
        if server.url and server.command:
            raise _unusable(f"The MCP server {label} has a server_url and a server_command; give one of them.")
        return server.for_production() if production else server

    def for_production(self) -> McpServer:
        """This definition, where it is fit for production.

        Raises:
            UsageError: code `usage.mcp_open`: every tool could be called without a person.
        """
        if self.is_open:
            raise UsageError(
                f"The MCP server {self.label} lets agents call every tool it has, and nobody is asked.",
                'Name its tools in allowed_tools, or say "require_approval": "always".',
                code="usage.mcp_open",
            )
        return self

    def __repr__(self) -> str:
        return f"McpServer({self.label})"

    @property
    def is_open(self) -> bool:
        """Whether whatever tool the server has may be called without a person."""
        return self.allowed_tools is None and self.require_approval == "never"

    def allows(self, tool: str) -> bool:
        """Whether this tool may be called at all."""
        return self.allowed_tools is None or tool in self.allowed_tools

    def to_json(self) -> dict[str, Any]:
        """The definition without any value that may be a secret: of `env` and `headers` only names and references."""
        found: dict[str, Any] = {"type": "mcp", "server_label": self.label}
        if self.url:
            found["server_url"] = _without_secrets(self.url)
        if self.command:
            found["server_command"] = self.command[0]
            found["server_args"] = [without_keys(argument) for argument in self.command[1:]]
        found["allowed_tools"] = [EVERY_TOOL] if self.allowed_tools is None else list(self.allowed_tools)
        found |= {"require_approval": self.require_approval, "timeout": self.timeout, "cache_ttl": self.cache_ttl}
        for name, values in (("env", self.env), ("headers", self.headers)):
            if values:
                found[name] = {key: _reference(value) for key, value in values.items()}
        return found

    def resolve(self, environ: Mapping[str, str]) -> Resolved:
        """Put the values in the place of names.

        Args:
            environ: The environment that `${NAME}` refers to.

        Raises:
            UsageError: code `usage.mcp`: a variable has no value, or nothing is at hand that could be connected to.
        """
        if not self.command and urlsplit(self.url).scheme not in ("http", "https"):
            what = f"not {urlsplit(self.url).scheme}://" if self.url else "or a server_command"
            says = f"To connect to {self.label}, Interlock needs an MCP server's http(s) address in server_url, {what}."
            raise UsageError(says, "Put an MCP server in front of what you want to reach.", code="usage.mcp")
        secrets: dict[str, str] = {}

        def own(variable: str) -> str | None:
            return self._filled(variable, self.env[variable], environ.get, secrets)

        def either(variable: str) -> str | None:
            return own(variable) if variable in self.env else environ.get(variable)

        env = {name: own(name) or "" for name in self.env} if self.command else {}
        headers = {name: self._filled(name, value, either, secrets) for name, value in self.headers.items()}
        url = self._filled("server_url", self.url, either, secrets) if self.url else ""
        for name, value in _in_address(url):
            secrets.setdefault(value, name)
        hidden = tuple(Secret(name, value) for value, name in secrets.items())
        return Resolved(url=url, command=self.command, env=env, headers=headers, secrets=hidden)

    def _filled(
        self, name: str, value: str | None, look_up: Callable[[str], str | None], secrets: dict[str, str]
    ) -> str:
        def put(found: re.Match[str]) -> str:
            text = look_up(found[1])
            if not text:
                raise self._missing(found[1])
            if not _PLAIN.fullmatch(text):
                secrets.setdefault(text, found[1])
            return text

        if value is None:
            raise self._missing(name)
        filled = _REFERENCE.sub(put, value)
        if name != "server_url" and not _refers(value) and _names_secret(name, value):
            secret = _SCHEME_AND_SPACE.sub("", filled)
            if not _PLAIN.fullmatch(secret):
                secrets.setdefault(secret, name)
        return filled

    def _missing(self, variable: str) -> UsageError:
        says = f"{variable} of the MCP server {self.label} has no value."
        return UsageError(says, f"Set the environment variable that {variable} refers to.", code="usage.mcp")


def _check_keys(given: Any) -> None:
    if not isinstance(given, Mapping) or given.get("type") != "mcp":
        raise _unusable("This is no definition of an MCP server.")
    for key in given:
        if key not in _KEYS:
            near = difflib.get_close_matches(str(key), _KEYS, 1)
            meant = f"did you mean {near[0]}?" if near else f"there are: {', '.join(_KEYS)}."
            raise _unusable(f"An MCP server has no {str(key)[:80]!r}; {meant}")


def _allowed(given: Any, label: str) -> tuple[str, ...] | None:
    if given is None:
        return None
    if isinstance(given, str) or not isinstance(given, Sequence) or not all(isinstance(one, str) for one in given):
        raise _unusable(f"allowed_tools of the MCP server {label} is a list of tool names.")
    if EVERY_TOOL in given:
        return None
    for name in given:
        if not name or EVERY_TOOL in name:  # a pattern would allow what nobody has looked at
            raise _unusable(f'allowed_tools of {label} are exact names, or "*" alone, not {name!r:.80}.')
    return tuple(dict.fromkeys(given))


def _url(given: Any, label: str) -> str:
    if given is None:
        return ""
    try:
        if isinstance(given, str) and given.isprintable() and (parts := urlsplit(given)).scheme and parts.netloc:
            return given
    except ValueError:
        pass
    raise _unusable(f"server_url of the MCP server {label} is no address.")  # not shown: it may hold a password


def _command(given: Mapping[str, Any], label: str) -> tuple[str, ...]:
    program, arguments = given.get("server_command"), given.get("server_args", [])
    if program is None:
        if arguments:
            raise _unusable(f"The MCP server {label} has server_args but no server_command.")
        return ()
    if isinstance(arguments, str) or not isinstance(arguments, Sequence):
        raise _unusable(f"server_args of the MCP server {label} is a list of texts.")
    words = (program, *arguments)
    if not all(isinstance(word, str) and "\0" not in word for word in words) or not program.strip():
        raise _unusable(f"server_command of {label} is the name of a program, and server_args a list of texts.")
    return words


def _seconds(given: Any, name: str, label: str, least: float = 0.001) -> float:
    if isinstance(given, bool) or not isinstance(given, int | float) or not least <= given < math.inf:
        raise _unusable(f"{name} of the MCP server {label} is a number of seconds, not {given!r:.80}.")
    return float(given)


def _named(given: Any, name: str, pattern: re.Pattern[str], label: str) -> Mapping[str, str | None]:
    found: dict[str, str | None] = {}
    if given is not None and not isinstance(given, Mapping):
        raise _unusable(f"{name} of the MCP server {label} is a mapping of names to values.")
    for key, value in (given or {}).items():
        if isinstance(value, Mapping) and set(value) == {"from_env"} and _VARIABLE.fullmatch(str(value["from_env"])):
            value = f"${{{value['from_env']}}}"
        if not isinstance(key, str) or not pattern.fullmatch(key):
            raise _unusable(f"{name} of the MCP server {label} has a name that cannot be used: {key!r:.80}.")
        if value is not None and (not isinstance(value, str) or re.search(r"[\0\r\n]", value)):
            raise _unusable(f'{key} in {name} of {label} is a text, "${{NAME}}" or {{"from_env": "NAME"}}.')
        found[key] = value
    return MappingProxyType(found)


def _warnings(given: Mapping[str, Any], label: str, *, is_open: bool) -> tuple[str, ...]:
    found = []
    if is_open:
        found.append(
            f"The MCP server {label} lets agents call every tool it has, also those it gets later, and nobody is "
            'asked. Name its tools in allowed_tools, or say "require_approval": "always".'
        )
    used = " ".join(str(value) for value in (given.get("headers") or {}).values()) + str(given.get("server_url"))
    idle = [name for name in given.get("env") or {} if f"${{{name}}}" not in used]
    if given.get("server_url") and idle:
        found.append(
            f"env of the MCP server {label} is not sent to its address. Put it in a header: "
            f'"headers": {{"Authorization": "Bearer ${{{idle[0]}}}"}}.'
        )
    return tuple(found)


def _refers(value: str) -> bool:
    return _REFERENCE.search(value) is not None


def _reference(value: str | None) -> str | None:
    """The value if it is made of references alone; None if there may be a secret in it."""
    if value is None or not _refers(value):
        return None
    return value if _SCHEME.fullmatch(_REFERENCE.sub("", value)) else None


def _without_secrets(url: str) -> str:
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def _in_address(url: str) -> list[tuple[str, str]]:
    """The secrets that stand in an address, by name: libraries write addresses into logs."""
    parts = urlsplit(url)
    named = [("server_url", parts.password or ""), *parse_qsl(parts.query)]
    return [one for one in named if not _PLAIN.fullmatch(one[1]) and (one[0] == "server_url" or _names_secret(*one))]


def _names_secret(name: str, value: str) -> bool:
    return _SECRET_NAME.search(name) is not None or holds_key(value)


def _unusable(says: str) -> UsageError:
    return UsageError(says, _HOW, code="usage.mcp")
