"""Structures: JSON values without the secrets in them, their shape kept, all their texts looked through at once."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Protocol

from interlock.governance.redaction.findings import Finding, Scope
from interlock.governance.redaction.names import Secrecy, promise
from interlock.governance.redaction.values import convinces, is_placeholder

#: Deeper structures are not walked but hidden.
_DEEPEST = 200
_DEEP = "[REDACTED]"
_MARKED = "[REDACTED"
#: Between two texts: no rule reads over an empty line, but for those about blocks of lines.
_GAP = b"\n\n"


class Hider(Protocol):
    """What is needed of a redactor."""

    def find(self, raw: bytes, scope: Scope) -> list[Finding]:
        """What is secret in a text."""

    def redact(self, text: str, scope: Scope) -> str:
        """The text without it."""

    def mark(self, kind: str, secret: bytes) -> bytes:
        """What stands in the place of a secret."""


def redact_structure(redactor: Hider, value: Any, scope: Scope) -> Any:
    """A copy of a JSON value with its texts redacted; a member whose name is that of a secret is hidden whole.

    Args:
        redactor: Hides secrets in texts.
        value: Anything made of dicts, lists, tuples, texts, numbers, booleans and None.
        scope: How much is looked for; with registered values alone, names promise nothing.
    """
    if isinstance(value, str):
        return redactor.redact(value, scope)
    return _Walk(redactor, scope, _suspects(redactor, scope, set(_texts(value, 0)))).value(value, "", 0)


def _texts(value: Any, depth: int) -> Iterator[str]:
    if depth > _DEEPEST:
        return
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            if isinstance(key, str):
                yield key
            yield from _texts(inner, depth + 1)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _texts(inner, depth + 1)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _suspects(redactor: Hider, scope: Scope, texts: Iterable[str]) -> frozenset[str]:
    """The texts that may hold something: those that a look through all of them at once comes across."""
    ordered = [text for text in texts if text]
    starts: list[int] = []
    pieces: list[bytes] = []
    size = 0
    for text in ordered:
        starts.append(size)
        pieces.append(text.encode("utf-8", "surrogatepass"))
        size += len(pieces[-1]) + len(_GAP)
    found: set[str] = set()
    for finding in redactor.find(_GAP.join(pieces), scope):
        first, last = bisect_right(starts, finding.start) - 1, bisect_right(starts, finding.end)
        found.update(ordered[max(0, first) : last])
    return frozenset(found)


class _Walk:
    """One walk through one value."""

    def __init__(self, redactor: Hider, scope: Scope, suspects: frozenset[str]) -> None:
        self._redactor = redactor
        self._scope = scope
        self._suspects = suspects

    def value(self, value: Any, name: str, depth: int) -> Any:
        if depth > _DEEPEST:
            return _DEEP
        if isinstance(value, str):
            return self._named(value, name)
        if isinstance(value, Mapping):
            return {
                self._plain(key) if isinstance(key, str) else key: self.value(
                    inner, _name_of(value, key, name) if self._scope else "", depth + 1
                )
                for key, inner in value.items()
            }
        if isinstance(value, list | tuple):
            walked = [self.value(inner, name, depth + 1) for inner in value]
            return walked if isinstance(value, list) else tuple(walked)
        if isinstance(value, int | float) and not isinstance(value, bool):
            return self._number(value, name)
        return value

    def _plain(self, text: str) -> str:
        return self._redactor.redact(text, self._scope) if text in self._suspects else text

    def _named(self, value: str, name: str) -> str:
        named = promise(name)
        if not value or named.secrecy is Secrecy.NONE or is_placeholder(value):
            return self._plain(value)
        if named.secrecy is Secrecy.STRONG or convinces(value, named.secrecy, quoted=True):
            return self._redactor.mark(named.kind, value.encode("utf-8", "surrogatepass")).decode()
        return self._plain(value)

    def _number(self, value: float, name: str) -> Any:
        """A number is a secret where a password would stand, or when all of it is one; parts are so by chance."""
        # Whoever reads a number as a float writes `4711` as `4711.0`.
        shown = str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
        if promise(name).secrecy is Secrecy.STRONG:
            return self._redactor.mark(promise(name).kind, shown.encode()).decode()
        redacted = self._plain(shown)
        return redacted if redacted.startswith(_MARKED) and redacted.endswith("]") else value


def _name_of(members: Mapping[Any, Any], key: Any, inherited: str) -> str:
    """The name a member's value goes by: `{"name": "DB_PASSWORD", "value": …}` names it in another member."""
    own = key if isinstance(key, str) else ""
    if own.lower() == "value":
        other = members.get("name", members.get("key", members.get("Name", members.get("Key", ""))))
        return other if isinstance(other, str) else inherited
    return own if promise(own).secrecy is not Secrecy.NONE else inherited if own.isdigit() else own
