"""The redactor: replaces every finding by a marker that says what was there and stays the same for the same secret."""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from itertools import chain
from typing import Any

from interlock.governance.redaction.assignments import find_assignments
from interlock.governance.redaction.command_lines import find_in_command_lines
from interlock.governance.redaction.decoding import find_encoded
from interlock.governance.redaction.findings import Finding, merge
from interlock.governance.redaction.key_blocks import find_key_blocks
from interlock.governance.redaction.known import KnownValues, marker_name
from interlock.governance.redaction.names import Secrecy, promise
from interlock.governance.redaction.personal import find_personal
from interlock.governance.redaction.places import find_in_places
from interlock.governance.redaction.providers import find_tokens
from interlock.governance.redaction.stream import RedactedStream
from interlock.governance.redaction.values import convinces, is_placeholder

#: Finds what must not stay in a text.
Rule = Callable[[bytes], Iterable[Finding]]

#: What is looked for in every text, the most certain first.
DEFAULT_RULES: tuple[Rule, ...] = (
    find_tokens,
    find_key_blocks,
    find_in_places,
    find_in_command_lines,
    find_assignments,
    find_personal,
)
#: What is looked for in decoded base64 as well.
_IN_ENCODED: tuple[Rule, ...] = (find_tokens, find_key_blocks)
#: A replacement can uncover another finding; this often we look again.
_PASSES = 4
#: Deeper structures are not walked but hidden.
_DEEPEST = 200
_DEEP = "[REDACTED]"


class Redactor:
    """Hides registered values, credentials and personal data. Never raises on any text; safe for several threads.

    Args:
        known: Secrets by name, hidden in plain and in every common encoding. More come with `register`.
        key: Key of the short code in each marker. Without it nobody can try out what a code stands for.
        rules: What to look for besides.

    Example:
        >>> Redactor({"db": "correct-horse"}, key=b"k").redact("login with correct-horse")
        'login with [REDACTED:db:a63820e2]'
    """

    def __init__(
        self, known: Mapping[str, str] | None = None, *, key: bytes, rules: tuple[Rule, ...] = DEFAULT_RULES
    ) -> None:
        self._known = KnownValues()
        self._key = key
        self._rules = rules
        for name, value in (known or {}).items():
            self.register(value, name)

    def register(self, value: str, name: str = "secret") -> bool:
        """Hide this value from now on, as the vault asks for each value that it hands out.

        Args:
            value: The secret in plain.
            name: What markers call it.

        Returns:
            Whether it is hidden: values under 4 characters are not, since ordinary text is full of them.
        """
        return self._known.register(value, marker_name(name))

    def redact(self, text: str) -> str:
        """The text with `[REDACTED:kind:code]` in the place of each secret; the same text when there is none.

        Redacting twice is the same as once.
        """
        raw = text.encode("utf-8", "surrogatepass")
        for _ in range(_PASSES):
            findings = self.find(raw)
            if not findings:
                break
            raw = self.replace(raw, findings)
        return raw.decode("utf-8", "surrogatepass")

    def redact_json(self, value: Any) -> Any:
        """A copy of a JSON value with its texts redacted; a member whose name is that of a secret is hidden whole.

        Args:
            value: Anything made of dicts, lists, tuples, texts, numbers, booleans and None.
        """
        return self._walk(value, "", 0)

    def stream(self) -> RedactedStream:
        """Redacts a text that arrives in pieces, however it is cut."""
        return RedactedStream(self)

    def find(self, raw: bytes) -> list[Finding]:
        """What is secret in a text, from left to right, without overlaps."""
        by_rule = (rule(raw) for rule in self._rules)
        return merge(chain(self._known.find(raw), *by_rule, find_encoded(raw, self._in_encoded)), raw)

    def replace(self, raw: bytes, findings: Iterable[Finding]) -> bytes:
        """Put markers in the place of findings, which must be ordered and not overlap."""
        pieces, at = [], 0
        for finding in findings:
            pieces += [raw[at : finding.start], self.marker(finding, raw)]
            at = finding.end
        return b"".join([*pieces, raw[at:]])

    def marker(self, finding: Finding, raw: bytes) -> bytes:
        """What stands in the place of a finding."""
        secret = raw[finding.start : finding.end] if finding.secret is None else finding.secret
        return self._mark(finding.kind, secret)

    def unfinished(self, raw: bytes) -> int:
        """Where a registered value begins that what follows may complete."""
        return self._known.unfinished(raw)

    def _in_encoded(self, raw: bytes) -> Iterator[Finding]:
        return chain(self._known.find(raw), *(rule(raw) for rule in _IN_ENCODED))

    def _mark(self, kind: str, secret: bytes) -> bytes:
        code = hmac.digest(self._key, secret, "sha256").hex()[:8]
        marker = f"[REDACTED:{kind}:{code}]".encode()
        # A registered value may be a word that the marker itself holds.
        return b"[REDACTED]" if any(True for _ in self._known.find(marker)) else marker

    def _walk(self, value: Any, name: str, depth: int) -> Any:
        if depth > _DEEPEST:
            return _DEEP
        if isinstance(value, str):
            return self._text(value, name)
        if isinstance(value, Mapping):
            return {
                self.redact(key) if isinstance(key, str) else key: self._walk(
                    inner, _name_of(value, key, name), depth + 1
                )
                for key, inner in value.items()
            }
        if isinstance(value, list | tuple):
            walked = [self._walk(inner, name, depth + 1) for inner in value]
            return walked if isinstance(value, list) else tuple(walked)
        if isinstance(value, int | float) and not isinstance(value, bool):
            return self._number(value, name)
        return value

    def _text(self, value: str, name: str) -> str:
        named = promise(name)
        if not value or named.secrecy is Secrecy.NONE or is_placeholder(value):
            return self.redact(value)
        if named.secrecy is Secrecy.STRONG or convinces(value, named.secrecy, quoted=True):
            return self._mark(named.kind, value.encode("utf-8", "surrogatepass")).decode()
        return self.redact(value)

    def _number(self, value: float, name: str) -> Any:
        """A number is a secret where a password would stand, or when it is one that we know."""
        shown = str(value)
        if promise(name).secrecy is Secrecy.STRONG:
            return self._mark(promise(name).kind, shown.encode()).decode()
        redacted = self.redact(shown)
        return value if redacted == shown else redacted


def _name_of(members: Mapping[Any, Any], key: Any, inherited: str) -> str:
    """The name a member's value goes by: `{"name": "DB_PASSWORD", "value": …}` names it in another member."""
    own = key if isinstance(key, str) else ""
    if own.lower() == "value":
        other = members.get("name", members.get("key", members.get("Name", members.get("Key", ""))))
        return other if isinstance(other, str) else inherited
    return own if promise(own).secrecy is not Secrecy.NONE else inherited if own.isdigit() else own


@cache
def _default() -> Redactor:
    """The redactor without registered values. Its key lives as long as the process."""
    return Redactor(key=secrets.token_bytes(32))


def redact(text: str) -> str:
    """The text without credentials and personal data, by the default rules and without any registered value.

    Equal secrets get equal markers within one process.
    """
    return _default().redact(text)
