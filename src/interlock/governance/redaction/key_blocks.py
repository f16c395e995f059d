"""Private keys: PEM and its relatives, also indented, quoted, flattened to one line, escaped or cut off."""

from __future__ import annotations

import re
from collections.abc import Iterator

from interlock.governance.redaction.findings import Finding
from interlock.governance.redaction.linear import linear

_KIND = "private-key"
#: No private key is longer than this, so that a begin without an end hides no more.
LONGEST = 20_000
_BLANK = rb"(?: |%20|\+)"
_LABEL = (
    _BLANK
    + rb"(?:[A-Z0-9]+"
    + _BLANK
    + rb")*?PRIVATE"
    + _BLANK
    + rb"KEY(?:"
    + _BLANK
    + rb"BLOCK)?"
    + _BLANK
    + rb"?-{3,5}"
)
_BEGIN = rb"-{3,5}" + _BLANK + rb"?BEGIN" + _LABEL
_SSH2 = rb"-{4} BEGIN SSH2 ENCRYPTED PRIVATE KEY -{4}"
_END = rb"-{3,5}" + _BLANK + rb"?END" + _LABEL
#: What stands between the lines of a key: line ends in any spelling, indentation, quotation marks, line numbers.
_BETWEEN = rb"(?:[\s>|#*\"'+,;:]|\\+[nrt]|\\+\r?\n|%0[AaDd]|\d{1,4}[:|)] )"
_LINE = rb"(?:[A-Za-z0-9+/]{16,}={0,2}|(?:Proc-Type|DEK-Info|Version|Comment|Subject|Hash|Charset):[^\n\\]{0,80})"
_CONTENT = rb"[A-Za-z0-9+/]{16}"
#: What is left of a key whose end was cut off.
_BODY = rb"(?:" + _BETWEEN + rb"*" + _LINE + rb")+"
_LAST_LINE = re.compile(rb"(?:[\s>|#*\"'+,;:]|\\+[nrt]){1,8}([A-Za-z0-9+/]{1,15}={0,2})(?![\w+/=])")
_BODY_BEFORE_END = (
    rb"(?:[A-Za-z0-9+/=]{16,}" + _BETWEEN + rb"{1,8})+(?:[A-Za-z0-9+/=]{1,15}" + _BETWEEN + rb"{0,8})?" + _END
)
#: A body that may go on, or whose last line has just begun.
_UNFINISHED = (
    rb"(?:" + _BODY + rb")?" + _BETWEEN + rb"*[A-Za-z0-9+/=]*"
    rb"(?:-{1,5} ?(?:E|EN|END[A-Z0-9 ]{0,40}-{0,4})?|\\+|%0?)?"
)
_PUTTY = rb"PuTTY-User-Key-File-\d:[^\n]*(?:\r?\n[\w-]+:[^\n]*|\r?\n[A-Za-z0-9+/=]{1,64})*"
_JWK = rb"\"(?:d|p|q|dp|dq|qi|k)\\*\"[ \t]*:[ \t]*\\*\"([\w-]{16,})"


#: One of these is in every text with a private key.
SIGNS = rb"PRIVATE|PuTTY-User-Key-File|kty"


def find_key_blocks(raw: bytes) -> Iterator[Finding]:
    """All private keys in a text, with their first and last line."""
    if b"PRIVATE" in raw:
        yield from _pem(raw)
    if b"PuTTY-User-Key-File" in raw:
        yield from (Finding(*match.span(), _KIND) for match in linear(_PUTTY).finditer(raw))
    if b"kty" in raw:
        yield from (Finding(*match.span(1), _KIND) for match in linear(_JWK).finditer(raw))


def _pem(raw: bytes) -> Iterator[Finding]:
    begins = [match.span() for match in linear(_BEGIN + b"|" + _SSH2).finditer(raw)]
    ends = [match.span() for match in linear(_END).finditer(raw)]
    at = 0
    for number, (start, head) in enumerate(begins):
        limit = min(begins[number + 1][0] if number + 1 < len(begins) else len(raw), head + LONGEST)
        while at < len(ends) and ends[at][0] < head:
            at += 1
        if at < len(ends) and ends[at][0] < limit:
            if linear(_CONTENT).search(raw, head, ends[at][0]):
                yield Finding(start, ends[at][1], _KIND)
        elif (body := linear(_BODY).match(raw, head, limit)) is not None:
            yield Finding(start, _end_of_rest(raw, body.end()), _KIND)
    if len(ends) > len(begins) or (ends and not begins):
        yield from (Finding(*match.span(), _KIND) for match in linear(_BODY_BEFORE_END).finditer(raw))


def _end_of_rest(raw: bytes, end: int) -> int:
    """Behind the short last line of a key that was cut off, if what follows is one and not a word."""
    last = _LAST_LINE.match(raw, end)
    if last is None or last.group(1).islower() or (last.group(1).istitle() and last.group(1).isalpha()):
        return end
    return last.end(1)


def unfinished_block(raw: bytes) -> int:
    """Where a private key begins that has not ended yet; the length of the text when there is none."""
    at = raw.rfind(b"BEGIN", max(0, len(raw) - LONGEST))
    if at < 0:
        return len(raw)
    at = max(0, at - 8)
    begins = linear(_BEGIN + rb"|-{3,5} ?BEGIN[A-Z0-9 ]{0,40}-{0,5}\z").search(raw, at)
    if begins is None or not linear(_UNFINISHED).fullmatch(raw[begins.end() :]):
        return len(raw)
    return begins.start()
