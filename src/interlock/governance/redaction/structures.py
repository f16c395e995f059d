"""Structures: JSON values without the secrets in them, their shape kept, all their texts looked through at once."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping
from functools import lru_cache
from itertools import accumulate
from typing import Any, Protocol

from interlock.governance.redaction.findings import Finding, Scope
from interlock.governance.redaction.names import Secrecy, promise
from interlock.governance.redaction.values import convinces, is_placeholder

#: Deeper structures are not walked but hidden.
_DEEPEST = 200
_DEEP = "[REDACTED]"
_MARKED = "[REDACTED"
#: Between two texts: no rule reads over an empty line, but for those about blocks of lines.
_GAP = "\n\n"


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
    look = _Look(scope)
    copy = look.copied(value, 0)
    suspects = _suspects(redactor, scope, look.texts)
    return _Walk(redactor, scope, suspects).value(value, "", 0) if suspects or look.promised else copy


class _Look:
    """One look through one value: all its texts, and whether any name in it promises a secret."""

    __slots__ = ("_names", "promised", "texts")

    def __init__(self, scope: Scope) -> None:
        self._names = bool(scope)
        self.promised = False
        self.texts: list[str] = []

    def copied(self, value: Any, depth: int) -> Any:
        """A copy of it, as it is when there is nothing to hide."""
        if depth > _DEEPEST:
            return _DEEP
        kind = type(value)
        if kind is str:
            self.texts.append(value)
        elif kind is dict:
            return self._members(value, depth + 1)
        elif kind is list:
            return [self.copied(inner, depth + 1) for inner in value]
        elif kind is int or kind is float:
            self.texts.append(_shown(value))
        elif value is not None and kind is not bool:
            return self._other(value, depth)
        return value

    def _other(self, value: Any, depth: int) -> Any:
        if isinstance(value, Mapping):
            return self._members(value, depth + 1)
        if isinstance(value, list | tuple):
            copy = [self.copied(inner, depth + 1) for inner in value]
            return copy if isinstance(value, list) else tuple(copy)
        if isinstance(value, str):
            self.texts.append(value)
        elif isinstance(value, int | float):
            self.texts.append(_shown(value))
        return value

    def _members(self, members: Mapping[Any, Any], depth: int) -> dict[Any, Any]:
        copy = {}
        for key, inner in members.items():
            if isinstance(key, str):
                self.texts.append(key)
                if self._names and _may_promise(key[-96:]):
                    self.promised = True
            copy[key] = self.copied(inner, depth)
        return copy


@lru_cache(maxsize=8192)
def _may_promise(key: str) -> bool:
    """Whether a member with this key may be hidden for its name, or for what another member says its name is."""
    return promise(key).secrecy is not Secrecy.NONE or key.lower() == "value"


def _shown(value: float) -> str:
    """A number as a text. Whoever reads a number as a float writes `4711` as `4711.0`."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _suspects(redactor: Hider, scope: Scope, texts: Iterable[str]) -> frozenset[str]:
    """The texts that may hold something: those that a look through all of them at once comes across."""
    ordered = [text for text in dict.fromkeys(texts) if text]
    findings = redactor.find(_GAP.join(ordered).encode("utf-8", "surrogatepass"), scope)
    if not findings:
        return frozenset()
    sizes = (len(text.encode("utf-8", "surrogatepass")) + len(_GAP) for text in ordered)
    starts = list(accumulate(sizes, initial=0))
    found: set[str] = set()
    for finding in findings:
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
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, int | float):
            return self._number(value, name)
        if isinstance(value, list | tuple):
            walked = [self.value(inner, name, depth + 1) for inner in value]
            return walked if isinstance(value, list) else tuple(walked)
        if isinstance(value, Mapping):
            return {
                self._plain(key) if isinstance(key, str) else key: self.value(
                    inner, _name_of(value, key, name) if self._scope else "", depth + 1
                )
                for key, inner in value.items()
            }
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
        shown = _shown(value)
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
