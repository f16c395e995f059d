"""The redactor: replaces every finding by a marker that says what was there and stays the same for the same secret."""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from itertools import chain
from typing import Any, TypeVar

import msgspec

from interlock.governance.redaction.assignments import find_assignments
from interlock.governance.redaction.command_lines import find_in_command_lines
from interlock.governance.redaction.decoding import SIGNS, SIGNS_OF_ANY, find_encoded
from interlock.governance.redaction.findings import Finding, Scope, merge
from interlock.governance.redaction.key_blocks import find_key_blocks
from interlock.governance.redaction.known import SHORTEST, KnownValues, marker_name
from interlock.governance.redaction.linear import linear
from interlock.governance.redaction.personal import find_personal
from interlock.governance.redaction.places import find_in_places
from interlock.governance.redaction.providers import find_tokens
from interlock.governance.redaction.screen import Rule, likely
from interlock.governance.redaction.stream import RedactedStream
from interlock.governance.redaction.structures import redact_structure

T = TypeVar("T")

#: How credentials are found, the most certain way first.
CREDENTIALS: tuple[Rule, ...] = (
    find_tokens,
    find_key_blocks,
    find_in_places,
    find_in_command_lines,
    find_assignments,
)
#: What is looked for in every text.
DEFAULT_RULES: tuple[Rule, ...] = (*CREDENTIALS, find_personal)
#: What is looked for in decoded base64 as well.
_IN_ENCODED: tuple[Rule, ...] = (find_tokens, find_key_blocks)
#: A replacement can uncover another finding; this often we look again.
_PASSES = 4
#: So many short texts with a sign of something are remembered to hold nothing, and up to so many bytes each.
_REMEMBERED, _REMEMBERED_SIZE = 512, 2048
_json = msgspec.json.Encoder(enc_hook=str)


class Redactor:
    """Hides registered values, credentials and personal data. Never raises on any text; safe for several threads.

    It is a `records.veil.Veil`, which is how the other rooms know it.

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
        #: Short texts that held nothing, as one result passes several exits; true of what was registered so far.
        self._clean: set[tuple[int, Scope, bytes]] = set()
        self._registered = 0
        personal = tuple(rule for rule in rules if rule is find_personal)
        credentials = tuple(rule for rule in rules if rule is not find_personal)
        self._rules: dict[Scope, tuple[Rule, ...]] = {
            Scope.KNOWN: (),
            Scope.CREDENTIALS: credentials,
            Scope.EVERYTHING: credentials + personal,
        }
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
        hidden = self._known.register(value, marker_name(name))
        self._registered += 1
        return hidden

    def redact(self, text: str, scope: Scope = Scope.EVERYTHING) -> str:
        """The text with `[REDACTED:kind:code]` in the place of each secret; the same text when there is none.

        Redacting twice is the same as once.

        Args:
            text: Any text.
            scope: How much is looked for.
        """
        if len(text) < SHORTEST or (scope is Scope.KNOWN and not len(self._known)):
            return text
        raw = text.encode("utf-8", "surrogatepass")
        found = False
        for _ in range(_PASSES):
            findings = self.find(raw, scope)
            if not findings:
                break
            raw, found = self.replace(raw, findings), True
        return raw.decode("utf-8", "surrogatepass") if found else text

    def redact_json(self, value: Any, scope: Scope = Scope.EVERYTHING) -> Any:
        """A copy of a JSON value with its texts redacted; a member whose name is that of a secret is hidden whole.

        Args:
            value: Anything made of dicts, lists, tuples, texts, numbers, booleans and None.
            scope: How much is looked for; with registered values alone, names promise nothing.
        """
        return redact_structure(self, value, scope)

    def stream(self, scope: Scope = Scope.EVERYTHING) -> RedactedStream:
        """Redacts a text that arrives in pieces, however it is cut."""
        return RedactedStream(self, scope)

    # As a veil.

    def holds(self, text: str, least: int = 0) -> bool:
        """Whether a registered value of at least `least` characters is in this text, in plain or encoded."""
        if not len(self._known):
            return False
        raw = text.encode("utf-8", "surrogatepass")
        if not least:
            return self._known.any(raw)
        return any(len(found.secret or b"") >= least for found in self._known.find(raw))

    def known(self, value: T) -> T:
        """A JSON value without registered values; the same value where it holds none."""
        if not len(self._known) or not self._may_hold(value):
            return value
        hidden: T = self.redact_json(value, Scope.KNOWN)
        return hidden

    def credentials(self, value: T) -> T:
        """A JSON value without registered values and without whatever looks like a credential."""
        hidden: T = self.redact_json(value, Scope.CREDENTIALS)
        return hidden

    def find(self, raw: bytes, scope: Scope = Scope.EVERYTHING) -> list[Finding]:
        """What is secret in a text, from left to right, without overlaps."""
        known = list(self._known.find(raw))
        if scope is Scope.KNOWN and not known:
            return []
        rules = likely(self._rules[scope], raw)
        encoded = SIGNS if self._known.shown else SIGNS_OF_ANY
        if not (known or rules or linear(encoded, groups=False).search(raw)):
            return []
        seen = (self._registered, scope, raw)
        if seen in self._clean:
            return []
        decoded = find_encoded(raw, self._in_encoded if scope else self._known.find, encoded)
        found = merge(chain(known, *(rule(raw) for rule in rules), decoded), raw)
        if not found and len(raw) <= _REMEMBERED_SIZE:
            if len(self._clean) >= _REMEMBERED:
                self._clean.clear()
            self._clean.add(seen)
        return found

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
        return self.mark(finding.kind, secret)

    def mark(self, kind: str, secret: bytes) -> bytes:
        """What stands in the place of a secret of this kind."""
        code = hmac.digest(self._key, secret, "sha256").hex()[:8]
        marker = f"[REDACTED:{kind}:{code}]".encode()
        # A registered value may be a word that the marker itself holds.
        return b"[REDACTED]" if any(True for _ in self._known.find(marker)) else marker

    def unfinished(self, raw: bytes) -> int:
        """Where a registered value begins that what follows may complete."""
        return self._known.unfinished(raw)

    def _may_hold(self, value: Any) -> bool:
        try:
            text = value.encode("utf-8", "surrogatepass") if isinstance(value, str) else _json.encode(value)
        except (TypeError, ValueError, RecursionError, msgspec.MsgspecError):
            return True  # no JSON: it is looked through piece by piece
        return self._known.any(text)

    def _in_encoded(self, raw: bytes) -> Iterator[Finding]:
        return chain(self._known.find(raw), *(rule(raw) for rule in likely(_IN_ENCODED, raw)))


@cache
def _default() -> Redactor:
    """The redactor without registered values. Its key lives as long as the process."""
    return Redactor(key=secrets.token_bytes(32))


def redact(text: str) -> str:
    """The text without credentials and personal data, by the default rules and without any registered value.

    Equal secrets get equal markers within one process.
    """
    return _default().redact(text)
