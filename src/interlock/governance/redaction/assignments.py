"""Assignments: values whose name says that they are secret, in any language that puts a value behind a name."""

from __future__ import annotations

import re
from base64 import b64decode
from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

from interlock.governance.redaction.connections import (
    BLOCK_SCALAR,
    CLOSES,
    OPENS,
    QUOTE,
    SCHEME,
    SEPARATOR,
    assignment_signs,
)
from interlock.governance.redaction.findings import Finding
from interlock.governance.redaction.linear import linear
from interlock.governance.redaction.names import KEYWORDS, NOTHING, Named, Secrecy, promise
from interlock.governance.redaction.values import convinces, is_placeholder, looks_random

#: No value is longer than this, so that an open quotation mark hides no more.
_LONGEST = 4096
#: Names that prose writes in two words.
_TWO_WORDS = rb"(?:(?:api|access|secret|private|auth|client|encryption|signing|account|app|admin|bearer)[ ])?"
_NAME = re.compile(rb"(?:\w+ (?=key|token|secret|pass))?[A-Za-z0-9_.$-]+", re.IGNORECASE)
_HEAD = rb"(?i)" + _TWO_WORDS + rb"[A-Za-z0-9_.$-]*(?:" + KEYWORDS + rb")[A-Za-z0-9_.-]*" + CLOSES + SEPARATOR
_CONNECTS = re.compile(CLOSES + SEPARATOR, re.IGNORECASE)
_OPENING_QUOTE = re.compile(rb"\"\"\"|'''|" + QUOTE)
_BARE = re.compile(rb"(?:[^\s\"'`<>\x1b;|\\]|\\(?![nrtu\"'\\]))+")
_SHELL = re.compile(rb"(?:[^\s\x1b\\]|\\(?![nrtu\"'\\]))+")
_SHELL_BEGINS = re.compile(rb"(?:^|\n|[\s;]|\\n|-e |export |ENV |set )$")
_NEXT = re.compile(rb"&(?=[\w.%-]+=|amp;)|%26|%22|%0[AaDd]|&quot;|,(?=[\w\"'.-]+[=:]|$)|\)\s*[.,;{]?$")
_NEXT_IN_QUERY = re.compile(rb"[&,]|#(?=[\w-]*$)|%26|%22|%0[AaDd]")
_TRAILING = rb",.)]}:*_"
_RESOURCE = re.compile(rb"::$|\barn:[\w:/-]*:$")
#: What looks random is at least so long.
_LONG = re.compile(rb"[^\s,;<>]{16}")
_SOME = re.compile(rb"[^\s,;<>]{8}")
_BEARER = rb"(?i)\b(?:bearer|basic)(?:[ \t]+|%20)([A-Za-z0-9_.~+/-]{8,}={0,2})"
_MANY_PARTS = re.compile(rb"(?:digest|oauth|aws4-hmac-sha256|hawk|mac)\b", re.IGNORECASE)
_LINE = re.compile(rb"[^\r\n\"\x1b]+")
_LINE_QUOTES = re.compile(rb"[^\r\n\x1b]+")


class Head(NamedTuple):
    """A name that promises a secret, and what connects it with its value.

    Args:
        name: As it is written.
        promises: What it promises.
        start: Offset of the name.
        end: Offset behind the connection.
        link: The connection: `=`, ` is `, `, "`.
        sure: Whether the connection is one of a language, not of prose or a table.
    """

    name: bytes
    promises: Named
    start: int
    end: int
    link: bytes
    sure: bool


def find_assignments(raw: bytes, *, everywhere: bool = False) -> Iterator[Finding]:
    """All values with a name that promises a secret, and bearer and basic credentials without any name.

    Args:
        raw: The text.
        everywhere: Whether to look also where no sign of a secret is; it finds the same, and takes its time.
    """
    done = 0
    for start, end in _everywhere(raw) if everywhere else _where_signs_are(raw):
        head = _head(raw, start, end) if start >= done else None
        found = _value(raw, head) if head else None
        if found is not None:
            done = found.end
            yield found
    for match in linear(_BEARER).finditer(raw):
        start, end = match.span(1)
        value = match.group(1).decode("latin-1")
        basic = match.group()[:5].lower() == b"basic"
        if not is_placeholder(value) and (_is_basic(value) if basic else looks_random(value)):
            yield Finding(start, end, "credential")


def _everywhere(raw: bytes) -> Iterator[tuple[int, int]]:
    """Where names with a connection begin and end."""
    return (match.span() for match in linear(_HEAD, groups=False).finditer(raw))


def _where_signs_are(raw: bytes) -> Iterator[tuple[int, int]]:
    """Those that may have a secret behind them, and some others that stand nearby."""
    signs, heads, at = linear(assignment_signs(), groups=False), linear(_HEAD, groups=False), 0
    while (sign := signs.search(raw, max(0, at - 1))) is not None:  # the mark before a name is a part of its sign
        for match in heads.finditer(raw, _line(raw, at, sign.start())):
            at, end = match.span()
            if at >= sign.end():
                break
            yield at, end
        else:
            return


def _line(raw: bytes, least: int, at: int) -> int:
    """Where the line of an offset begins, if nothing that connects reaches over that; else the least it may be."""
    begins = raw.rfind(b"\n", least, at) + 1
    return begins if begins > least and not raw[begins:at].lstrip().startswith(b"<") else least


def _head(raw: bytes, start: int, end: int) -> Head | None:
    name = _NAME.match(raw, start, end)
    named = _promise(name.group()[-96:]) if name else NOTHING
    if name is None or named.secrecy is Secrecy.NONE:
        return None
    if named.secrecy <= Secrecy.WEAK and not _LONG.search(raw, end - 1, end + 64):
        return None
    connection = _CONNECTS.match(raw, name.end(), end)
    before = raw[max(0, start - 1) : start]
    # `AWS::IAM::AccessKey` is a type of things, not the name of one; `arn:…:secret:x` is the name of one.
    if connection is None or (before == b":" and _RESOURCE.search(raw[max(0, start - 80) : start])):
        return None
    sure = connection.group(1) is not None or (connection.group(2) == b">" and before in (b"<", b":"))
    if raw[end : end + 1] == b":" if sure else not _SOME.search(raw, end - 1, end + 48):
        return None
    return Head(name.group(), named, start, end, connection.group(1) or connection.group(2), sure)


@lru_cache(maxsize=4096)
def _promise(name: bytes) -> Named:
    return promise(name.decode("latin-1"))


def _value(raw: bytes, head: Head) -> Finding | None:
    """The secret behind a name, if what stands there may be one."""
    named = head.promises
    at, quote = _opening(raw, head)
    if head.sure and b"authorization" in head.name.lower():
        return _authorization(raw, at, quote)
    scheme = SCHEME.match(raw, at) if named.kind != "password" else None
    at = scheme.end() if scheme else at
    if named.kind == "phrase":
        return _phrase(raw, at, quote)
    query = raw[head.start - 1 : head.start] in (b"?", b"&")
    shell = head.sure and not quote and head.link == b"=" and _is_shell(raw, head)
    start, end = _quoted(raw, at, quote) if quote else _unquoted(raw, at, shell=shell, query=query)
    if end - start < 3 or (not head.sure and end - start < 8):
        return None
    if named.kind == "signature" and not query and not head.name.lower().startswith(b"x-"):
        return None
    value = raw[start:end].decode("latin-1")
    if named.kind == "code":
        return Finding(start, end, "code") if value.isdigit() and len(value) <= 8 else None
    flag = head.name.startswith(b"-") and not head.link.startswith(b",")
    if flag and not head.sure and value.startswith("-"):
        return None
    in_query = query or raw[end : end + 1] == b"&"
    secrecy = max(named.secrecy, Secrecy.WEAK) if in_query else named.secrecy
    hidden = convinces(
        value, secrecy, quoted=bool(quote) or in_query, shell=shell or flag, loose=not head.sure and not flag
    )
    return Finding(start, end, named.kind) if hidden else None


def _opening(raw: bytes, head: Head) -> tuple[int, bytes]:
    """Where the value begins, and the quotation mark it stands in, if any."""
    if head.link.startswith(b","):
        return head.end, head.link[1:].lstrip()
    opened = OPENS.match(raw, head.end, head.end + 200)
    at = opened.end() if opened else head.end
    if raw[at : at + 1] in (b"|", b">") and (block := BLOCK_SCALAR.match(raw, at, at + 80)):
        at = block.end()
    opening = _OPENING_QUOTE.match(raw, at)
    return (opening.end(), opening.group()) if opening else (at, b"")


def _phrase(raw: bytes, at: int, quote: bytes) -> Finding | None:
    """The words that stand for a wallet's key, up to the end of the quotation or line."""
    line = _LINE.match(raw, at, at + 512)
    start, end = _quoted(raw, at, quote) if quote else (at, line.end() if line else at)
    words = raw[start:end].split()
    return Finding(start, end, "phrase") if len(words) >= 12 and all(word.islower() for word in words) else None


def _is_shell(raw: bytes, head: Head) -> bool:
    """Whether it is `NAME=value` of a shell, a `.env` file or a list of variables, where a value needs no quotes."""
    before = raw[max(0, head.start - 8) : head.start]
    at_once = head.start + len(head.name) + 1 == head.end
    return at_once and head.name.isupper() and bool(_SHELL_BEGINS.search(before) or not before)


def _quoted(raw: bytes, at: int, quote: bytes) -> tuple[int, int]:
    """What stands between the quotation marks; up to the end of the line when the second one is missing."""
    line = raw.find(b"\n", at, at + _LONGEST)
    limit = min(len(raw), at + _LONGEST) if line < 0 else line
    end = raw.find(quote, at, limit)
    while quote in (b'"', b"'") and end > at and raw[end - 1 : end] == b"\\" and raw[end - 2 : end - 1] != b"\\":
        end = raw.find(quote, end + 1, limit)
    return at, end if end >= 0 else limit


def _unquoted(raw: bytes, at: int, *, shell: bool, query: bool = False) -> tuple[int, int]:
    found = (_SHELL if shell else _BARE).match(raw, at, at + 512)
    if found is None:
        return at, at
    value = found.group()
    if not shell:
        following = (_NEXT_IN_QUERY if query else _NEXT).search(value)
        value = value[: following.start()] if following and following.start() else value
    value = value.rstrip(b"\"'`,;" if shell else _TRAILING)
    return at, at + len(value)


def _authorization(raw: bytes, at: int, quote: bytes) -> Finding | None:
    """What an Authorization header carries, in whatever scheme."""
    scheme = SCHEME.match(raw, at)
    start = scheme.end() if scheme else at
    parts = bool(_MANY_PARTS.match(raw, at))
    if quote:
        end = _quoted(raw, start, quote)[1]
    elif parts:
        line = _LINE_QUOTES.match(raw, start, start + _LONGEST)
        end = line.end() if line else start
    else:
        end = _unquoted(raw, start, shell=False)[1]
    value = raw[start:end].decode("latin-1")
    if parts and scheme and "=" in value:
        return Finding(start, end, "credential")
    if is_placeholder(value):
        return None
    secret = looks_random(value, 12) or _is_basic(value) or (bool(scheme) and len(value) >= 16 and not value.isalpha())
    return Finding(start, end, "credential") if secret and " " not in value.strip() else None


def _is_basic(value: str) -> bool:
    """Whether it is the base64 form of `user:password`."""
    try:
        decoded = b64decode(value + "=" * (-len(value) % 4), validate=True)
    except ValueError:
        return False
    return b":" in decoded and all(octet >= 32 for octet in decoded)
