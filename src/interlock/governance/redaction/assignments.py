"""Assignments: values whose name says that they are secret, in any language that puts a value behind a name."""

from __future__ import annotations

import re
from base64 import b64decode
from collections.abc import Iterator

from interlock.governance.redaction.findings import Finding
from interlock.governance.redaction.linear import Match, linear
from interlock.governance.redaction.names import KEYWORDS, NOTHING, Named, Secrecy, promise
from interlock.governance.redaction.values import convinces, is_placeholder, looks_random

#: No value is longer than this, so that an open quotation mark hides no more.
_LONGEST = 4096
_COLOUR = rb"\x1b\[[0-9;]*m"
_QUOTE = rb"\\*[\"'`]|%2[27]|&quot;|&#3[49];|&apos;|\\+u002[27]"
_CLOSES = rb"(?:" + _QUOTE + rb"|[\])*_]|%5D|[ \t]|" + _COLOUR + rb")*"
_TYPED = rb":[ \t]*(?:&?(?:'static )?str|[Ss]tring|Secret(?:Str)?|bytes|Optional\[str\]|str \| None|any)[ \t]*="
_TELLS = (
    rb"[ \t](?:(?:for|of)[ \t][\w@.-]+[ \t])?"
    rb"(?:is|was|are|=|ist|lautet|est|es|(?:changed|set|reset|rotated)[ \t]to)(?:[ \t]now)?[ \t]*:?[ \t]"
)
_SEPARATOR = (
    rb"(?:(" + _TYPED + rb"|=>|:=|={1,3}|!={1,2}|:|%3[DdAa]|\\+u003[daDA]|&#6[1];)"  # a sure one
    rb"|(" + _TELLS + rb"|(?:</\w+>\s*<\w+[^<>\n]*)?>|\|"  # one of prose and tables
    rb"|[ \t]+|,[ \t]*" + rb"(?:" + _QUOTE + rb")" + rb"))"
)
#: Names that prose writes in two words.
_TWO_WORDS = rb"(?:(?:api|access|secret|private|auth|client|encryption|signing|account|app|admin|bearer)[ ])?"
_NAME = re.compile(rb"(?:\w+ (?=key|token|secret|pass))?[A-Za-z0-9_.$-]+", re.IGNORECASE)
_HEAD = rb"(?i)(" + _TWO_WORDS + rb"[A-Za-z0-9_.$-]*(?:" + KEYWORDS + rb")[A-Za-z0-9_.-]*)" + _CLOSES + _SEPARATOR
#: Between the separator and the value: blanks, colours, emphasis, tags, string prefixes.
_OPENS = re.compile(
    rb"(?:[ \t]|\x1b\[[0-9;]*m|\*\*|__|%20|</?\w{1,10}>|\r?\n[ \t]+(?=[\"'])|"
    rb"\{\s*\"(?:value|plaintext)\"\s*:|[bfruBFRU]{1,2}(?=[\"']))*"
)
_LISTED = re.compile(rb",[ \t]*(.+)")
_OPENING_QUOTE = re.compile(rb"\"\"\"|'''|" + _QUOTE)
_BLOCK_SCALAR = re.compile(rb"[|>][+-]?[ \t]*\r?\n[ \t]+")
_BARE = re.compile(rb"(?:[^\s\"'`<>\x1b;|\\]|\\(?![nrtu\"'\\]))+")
_SHELL = re.compile(rb"(?:[^\s\x1b\\]|\\(?![nrtu\"'\\]))+")
_SHELL_BEGINS = re.compile(rb"(?:^|\n|[\s;]|\\n|-e |export |ENV |set )$")
_NEXT = re.compile(rb"&(?=[\w.%-]+=|amp;)|%26|%22|%0[AaDd]|&quot;|,(?=[\w\"'.-]+[=:]|$)|\)\s*[.,;{]?$")
_NEXT_IN_QUERY = re.compile(rb"[&,]|#(?=[\w-]*$)|%26|%22|%0[AaDd]")
_TRAILING = rb",.)]}:*_"
_RESOURCE = re.compile(rb"::$|\barn:[\w:/-]*:$")
#: What looks random is at least so long.
_LONG = re.compile(rb"[^\s,;<>]{16}")
_SCHEME = re.compile(
    rb"(?:bearer|basic|token|digest|api-?key|key|bot|negotiate|ntlm|hawk|oauth|ssws|shared ?key(?:lite)?|jwt|"
    rb"snyk|splunk|geniekey|pat|mac|aws|aws4-hmac-sha256|sapisidhash|zoho-oauthtoken|klaviyo-api-key|gogs|private-token|session)"
    rb"(?:[ \t]+|%20|\+)",
    re.IGNORECASE,
)
_BEARER = rb"(?i)\b(?:bearer|basic)(?:[ \t]+|%20)([A-Za-z0-9_.~+/-]{8,}={0,2})"
_MANY_PARTS = re.compile(rb"(?:digest|oauth|aws4-hmac-sha256|hawk|mac)\b", re.IGNORECASE)
_LINE = re.compile(rb"[^\r\n\"\x1b]+")
_LINE_QUOTES = re.compile(rb"[^\r\n\x1b]+")


def find_assignments(raw: bytes) -> Iterator[Finding]:
    """All values with a name that promises a secret, and bearer and basic credentials without any name."""
    done = 0
    for match in linear(_HEAD, groups=False).finditer(raw):
        start, end = match.span()
        if start < done:
            continue
        name = _NAME.match(raw, start, end)
        # `AWS::IAM::AccessKey` is a type of things, not the name of one; `arn:…:secret:x` is the name of one.
        told = raw[start - 1 : start] == b":" and _RESOURCE.search(raw[max(0, start - 80) : start])
        named = promise(name.group().decode("latin-1")) if name and not told else NOTHING
        if named.secrecy is Secrecy.NONE or (
            named.secrecy <= Secrecy.WEAK and not _LONG.search(raw, end - 1, end + 64)
        ):
            continue
        head = linear(_HEAD).fullmatch(raw[start:end])
        found = _value(raw, start, head, named) if head else None
        if found is not None:
            done = found.end
            yield found
    for match in linear(_BEARER).finditer(raw):
        start, end = match.span(1)
        value = match.group(1).decode("latin-1")
        basic = match.group()[:5].lower() == b"basic"
        if not is_placeholder(value) and (_is_basic(value) if basic else looks_random(value)):
            yield Finding(start, end, "credential")


def _value(raw: bytes, begins: int, head: Match, named: Named) -> Finding | None:
    """The secret behind a name that begins at an offset, if what stands there may be one."""
    name, at = head.group(1), begins + head.end()
    before = raw[max(0, begins - 1) : begins]
    sure = head.start(2) >= 0 or (head.group(3) == b">" and before in (b"<", b":"))
    if (sure and raw[at : at + 1] == b":") or (
        named.kind == "signature" and before not in (b"?", b"&") and not name.lower().startswith(b"x-")
    ):
        return None
    listed = None if sure else _LISTED.match(head.group(3))
    if listed:
        quote = listed.group(1)
    else:
        at = _skip(raw, at)
        opening = _OPENING_QUOTE.match(raw, at)
        quote, at = (opening.group(), opening.end()) if opening else (b"", at)
    if b"authorization" in name.lower() and sure:
        return _authorization(raw, at, quote)
    scheme = _SCHEME.match(raw, at)
    if scheme and named.kind != "password":
        at = scheme.end()
    if named.kind == "phrase":
        return _phrase(raw, at, quote)
    query = before in (b"?", b"&")
    shell = sure and not quote and head.group(2) == b"=" and _is_shell(raw, begins, head)
    start, end = _quoted(raw, at, quote) if quote else _unquoted(raw, at, shell=shell, query=query)
    value = raw[start:end].decode("latin-1")
    if named.kind == "code":
        return Finding(start, end, "code") if value.isdigit() and 3 <= len(value) <= 8 else None
    query = query or raw[end : end + 1] == b"&"
    secrecy = max(named.secrecy, Secrecy.WEAK) if query else named.secrecy
    flag = name.startswith(b"-") and not listed
    if flag and not sure and value.startswith("-"):
        return None
    hidden = convinces(value, secrecy, quoted=bool(quote), shell=shell or flag, loose=not sure and not flag)
    return Finding(start, end, named.kind) if hidden else None


def _phrase(raw: bytes, at: int, quote: bytes) -> Finding | None:
    """The words that stand for a wallet's key, up to the end of the quotation or line."""
    line = _LINE.match(raw, at, at + 512)
    start, end = _quoted(raw, at, quote) if quote else (at, line.end() if line else at)
    words = raw[start:end].split()
    return Finding(start, end, "phrase") if len(words) >= 12 and all(word.islower() for word in words) else None


def _skip(raw: bytes, at: int) -> int:
    found = _OPENS.match(raw, at, at + 200)
    at = found.end() if found else at
    block = _BLOCK_SCALAR.match(raw, at, at + 80)
    return block.end() if block else at


def _is_shell(raw: bytes, begins: int, head: Match) -> bool:
    """Whether it is `NAME=value` of a shell, a `.env` file or a list of variables, where a value needs no quotes."""
    name = head.group(1)
    before = raw[max(0, begins - 8) : begins]
    return head.end(1) == head.start(2) and name.isupper() and bool(_SHELL_BEGINS.search(before) or not before)


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
    scheme = _SCHEME.match(raw, at)
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
