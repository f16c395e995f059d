"""Redaction of a text that arrives in pieces: what might become a secret is held back until that is clear."""

from __future__ import annotations

import re
from typing import Protocol

from interlock.governance.redaction.findings import Finding, Scope
from interlock.governance.redaction.key_blocks import unfinished_block

#: How much of what was already given out is kept to see names, headers and prefixes of what follows.
_CONTEXT = 1024
#: More than this is never held back; a text without any blank is then cut inside.
_MOST_HELD = 64 * 1024
#: What stays held when such a text is cut: longer than any token.
_KEPT = 8 * 1024
#: Groups of digits may become a card, account or phone number.
_LAST_NUMBER = re.compile(rb"(?:[+(]|\b[A-Z]{2}\d{2}|\d)[\dA-Z ()./+-]{0,60}\Z")
#: What the first word of a token may be.
_LAST_PREFIX = re.compile(rb"(?:FlyV1|SSWS)\s*\S*\Z")


class Finder(Protocol):
    """What the stream needs of a redactor."""

    def find(self, raw: bytes, scope: Scope) -> list[Finding]:
        """What is secret in a text."""

    def marker(self, finding: Finding, raw: bytes) -> bytes:
        """What stands in the place of a finding."""

    def unfinished(self, raw: bytes) -> int:
        """Where a registered value begins that what follows may complete."""


class RedactedStream:
    """Takes pieces of a text and gives back what is safe so far.

    No way to cut the text lets a registered value or a provider's token through. Lines come out when they are
    complete, words when the next one begins.

    Example:
        >>> from interlock.governance.redaction import Redactor
        >>> stream = Redactor({"db": "correct-horse"}, key=b"k").stream()
        >>> stream.feed("log in with correct-"), stream.feed("horse now"), stream.close()
        ('log in with ', '[REDACTED:db:a63820e2] ', 'now')
    """

    def __init__(self, redactor: Finder, scope: Scope = Scope.EVERYTHING) -> None:
        self._redactor = redactor
        self._scope = scope
        self._raw = b""
        self._given = 0
        self._closed = False

    def feed(self, chunk: str) -> str:
        """Take the next piece and give what is safe to show. Raises ValueError when the stream is closed."""
        if self._closed:
            raise ValueError("the stream is closed")
        self._raw += chunk.encode("utf-8", "surrogatepass")
        if self._last_word() <= self._given and len(self._raw) - self._given <= _MOST_HELD:
            return ""  # all of it may still be the beginning of one token
        findings = self._redactor.find(self._raw, self._scope)
        return self._give(self._safe(findings), findings)

    def close(self) -> str:
        """Give the rest. Nothing can be fed afterwards; closing again gives nothing."""
        if self._closed:
            return ""
        self._closed = True
        return self._give(len(self._raw), self._redactor.find(self._raw, self._scope))

    def _safe(self, findings: list[Finding]) -> int:
        """Up to where nothing that follows can change what was found."""
        raw = self._raw
        held = min(self._last_word(), self._redactor.unfinished(raw), unfinished_block(raw))
        tail = max(self._given, len(raw) - 128)
        for pattern in (_LAST_NUMBER, _LAST_PREFIX):
            match = pattern.search(raw, tail)
            held = min(held, match.start()) if match else held
        if len(raw) - held > _MOST_HELD:
            held = self._cut(len(raw) - _KEPT)
        for finding in reversed(findings):
            if finding.start < held and (finding.end > held or finding.end == len(raw)):
                held = finding.start
        if len(raw) - held > 4 * _MOST_HELD:
            held = self._cut(len(raw) - _KEPT)
        return max(held, self._given)

    def _last_word(self) -> int:
        """Where the last word begins, which may go on; behind the text when a line has just ended."""
        if self._raw.endswith(b"\n"):
            return len(self._raw)
        return max(self._given, *(self._raw.rfind(blank, self._given) + 1 for blank in (b" ", b"\n", b"\t", b"\r")))

    def _cut(self, at: int) -> int:
        """The nearest place before an offset that is not inside of a character."""
        while at > 0 and self._raw[at] & 0xC0 == 0x80:
            at -= 1
        return at

    def _give(self, safe: int, findings: list[Finding]) -> str:
        pieces, at = [], self._given
        for finding in findings:
            if finding.end <= self._given or finding.start >= safe:
                continue
            pieces += [self._raw[at : finding.start], self._redactor.marker(finding, self._raw)]
            at = min(finding.end, safe)
        pieces.append(self._raw[at:safe] if at < safe else b"")
        self._forget(max(at, safe))
        return b"".join(pieces).decode("utf-8", "surrogatepass")

    def _forget(self, given: int) -> None:
        """Keep only what may still matter: what is held, and before it a little context from the start of a word."""
        first = max(0, given - _CONTEXT)
        if first:
            blank = max(self._raw.find(b" ", first, given), self._raw.find(b"\n", first, given))
            first = blank + 1 if blank >= 0 else self._cut(first)
        self._raw = self._raw[first:]
        self._given = given - first
