"""Places: where credentials stand by custom without a name of their own beside them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from itertools import compress

from interlock.governance.redaction.findings import Finding
from interlock.governance.redaction.linear import linear
from interlock.governance.redaction.names import PROMISES, Secrecy, promise
from interlock.governance.redaction.values import convinces, is_placeholder, looks_random, looks_strange

_URL = rb"(?i)\b[a-z][a-z0-9+.-]*(?::|%3A)(?://|\\/\\/|%2F%2F)([^\s\"'<>`\\|]{2,}@)"
_BEHIND_AUTHORITY = re.compile(rb"[/?#]")
_PORT = re.compile(rb"\d{1,5}(?:[/?#]|$)")
_QUOTE = rb"\\*[\"']"
_IS = _QUOTE + rb"?[ \t]*[:=][ \t]*"
_NAME_IS = rb"(?i)\b(?:name|key|id|property|variable|field|label|header)" + _IS + _QUOTE + rb"?"
_VALUE_IS = _QUOTE + rb"?[\s,/-]{1,12}(?:" + _QUOTE + rb")?(?:\w*value|content|secret|default)" + _IS
_PAIR = _NAME_IS + rb"([\w.:/ -]{2,}?)" + _VALUE_IS + rb"(" + _QUOTE + rb"|\b)"
_BARE = re.compile(rb"[^\s,}]{1,512}")
_XML_NAME_IS = rb"(?i)<\w[\w:.-]*[ \t][^<>]*?\b(?:name|key|id)[ \t]*=[ \t]*[\"']"
_XML_NAMED = _XML_NAME_IS + rb"([^\"'<>]{2,})[\"'][^<>]*>([^<>\s]{4,})</"
_PGPASS = rb"(?m)(?:^|[\n\"'])[\w.*-]+:(?:\d{2,5}|\*):[\w*-]+:[\w*.@-]+:([^\s:\"']{4,})(?:$|[\"'\s])"
_DUMP = rb"[0-9a-fA-F]{32}:[0-9a-fA-F]{32}:::"
_COOKIE = rb"(?i)\b(?:set-)?cookie2?\\*[\"']?[ \t]*[:=][ \t]*\\*[\"']?([^\r\n\"']{3,})"
_COOKIE_FLAG = rb"(?:^|[ \t])(?:-b|--cookie)[ =][\"']?([^\r\n\"']{3,})"
_ONE_COOKIE = re.compile(rb"(?<![^;,\s])([^=;,\s]+)=([^;\s\\]*)")
_COOKIE_SETTINGS = frozenset(b"path domain expires max-age samesite secure httponly priority version comment".split())
_COOKIE_SECRET = re.compile(
    rb"sess|sid|token|auth|csrf|xsrf|jwt|login|remember|identity|ticket|secret|id$|key", re.IGNORECASE
)
_LOGIN = rb"(?i)\blogin[ \t\n]+\S+[ \t\n]+password[ \t\n]+(\S{4,})"
_SQL = (
    rb"(?i)\b(?:identified[ \t]+(?:with[ \t]+\w+[ \t]+)?by|(?:with[ \t]+|encrypted[ \t]+)?password)"
    rb"[ \t]*=?[ \t]*(?:password[ \t]+)?'([^'\n]{4,})'"
)
_KEY_ID = rb"(?:AKIA|ASIA)[A-Z0-9]{16}"
_ACCESS_SECRET = re.compile(rb"(?<![A-Za-z0-9/+])[A-Za-z0-9/+]{40}(?![A-Za-z0-9/+=])")
_ORACLE = rb"(?i)\b(?:jdbc:oracle:\w+:|sqlplus[ \t]+(?:-\w+[ \t]+){0,3})[\w$]+/([^@\s/\"']{3,})@"
_PASSWORD_OF = rb"(?i)\b(?:pass|passin|passout|passphrase)[ :=]+pass:([^\s\"']{3,})"

_MANIFEST = rb"(?m)^[ \t-]*kind[ \t]*:[ \t]*[\"']?(?:Sealed)?Secret[\"']?[ \t]*\r?$|\"kind\"[ \t]*:[ \t]*\"Secret\""
_DATA = re.compile(rb"^([ \t]*)(?:data|stringData):[ \t]*\r?\n((?:\1[ \t]+[^\n]*(?:\n|$)|[ \t]*\r?\n)+)", re.MULTILINE)
_DATA_LINE = re.compile(
    rb"^[ \t]+[\w.\"'-]+:[ \t]*[\"']?([^\s\"'|>#][^\r\n\"']*)|^[ \t]+([^\s:\"']{8,})[ \t]*\r?$", re.MULTILINE
)
_DATA_JSON = re.compile(rb"\"(?:data|stringData)\"\s*:\s*\{([^{}]{1,20000})\}")
_JSON_VALUE = re.compile(rb":\s*\"([^\"]+)\"")


@cache
def place_signs() -> bytes:
    """What is in every text with a credential that its place gives away."""
    signs = (
        rb"(?i)(?::|%3A)(?://|\\/\\/|%2F%2F)[^\s\"'<>`\\|]{2,}@",
        _NAME_IS + rb"[\w.:/ -]*" + PROMISES + rb"[\w.:/ -]*" + _VALUE_IS,
        _XML_NAME_IS + rb"[^\"'<>]*" + PROMISES,
        rb"(?i)\bcookie2?\\*[\"']?[ \t]*[:=]",
        *(_COOKIE_FLAG, _PGPASS, _LOGIN, _SQL, _ORACLE, _PASSWORD_OF, _DUMP, _KEY_ID, _MANIFEST),
    )
    return b"|".join(b"(?:" + sign + b")" for sign in signs)


def find_in_places(raw: bytes) -> Iterator[Finding]:
    """All credentials that their place gives away."""
    if b"://" in raw or b"%2F" in raw or b"%2f" in raw or b":\\/" in raw:
        yield from _urls(raw)
    # Each of these needs a sign that most short texts do not have; looking for it costs next to nothing.
    named = b":" in raw or b"=" in raw
    if named or b"<" in raw:
        yield from _pairs(raw)
    yield from _files(raw)
    if named or b"-b" in raw or b"--cookie" in raw:
        yield from _cookies(raw)
    yield from _access_keys(raw)
    if b"Secret" in raw:
        yield from _manifests(raw)


def _urls(raw: bytes) -> Iterator[Finding]:
    """`scheme://user:password@host`, and a token in the place of the user."""
    for match in linear(_URL).finditer(raw):
        start, rest = match.start(1), match.group(1)
        authority = _BEHIND_AUTHORITY.split(rest, maxsplit=1)[0]
        at = authority.rfind(b"@")
        if at < 0:
            # A password may hold a slash that nobody escaped: what follows the colon is no port then.
            colon = authority.find(b":")
            at = rest.rfind(b"@") if colon >= 0 and not _PORT.match(rest, colon + 1) else -1
        if at <= 0:
            continue
        user, colon_found, password = rest[:at].partition(b":")
        secret = password if colon_found else user
        if not secret or is_placeholder(secret.decode("latin-1")):
            continue
        begins = start + at - len(secret)
        if colon_found and _may_be_url_password(secret):
            yield Finding(begins, start + at, "password")
        if looks_random(user.decode("latin-1"), 16):
            yield Finding(start, start + len(user), "token")


def _may_be_url_password(secret: bytes) -> bool:
    return secret.lower() not in (
        b"password",
        b"pass",
        b"passwd",
        b"pwd",
        b"secret",
        b"user",
        b"x-oauth-basic",
        b"token",
        b"pw",
    )


def _pairs(raw: bytes) -> Iterator[Finding]:
    """A name and its value as two members: `{"name": "DB_PASSWORD", "value": "…"}`, `<x name="…">…</x>`."""
    for match in linear(_PAIR).finditer(raw):
        named = promise(match.group(1).decode("latin-1"))
        if named.secrecy is Secrecy.NONE:
            continue
        quote, at = match.group(2), match.end()
        if quote:
            end = raw.find(quote, at, at + 4096)
        else:
            bare = _BARE.match(raw, at)
            end = bare.end() if bare else -1
        if end > at and convinces(raw[at:end].decode("latin-1"), named.secrecy, quoted=True):
            yield Finding(at, end, named.kind)
    for match in linear(_XML_NAMED).finditer(raw):
        named = promise(match.group(1).decode("latin-1"))
        if convinces(match.group(2).decode("latin-1"), named.secrecy, quoted=True) and named.secrecy:
            yield Finding(*match.span(2), named.kind)


def _files(raw: bytes) -> Iterator[Finding]:
    """Lines of .pgpass, .netrc, of password dumps, and passwords in SQL and connection strings."""
    patterns = (_PGPASS, True), (_LOGIN, False), (_SQL, False), (_ORACLE, False), (_PASSWORD_OF, False)
    signs = b":" in raw, b"login" in raw.lower(), b"'" in raw, b"@" in raw, b":" in raw
    for pattern, strict in compress(patterns, signs):
        for match in linear(pattern).finditer(raw):
            start, end = match.span(1)
            value = match.group(1).decode("latin-1")
            if convinces(value, Secrecy.STRONG, quoted=True) and (
                not strict or looks_strange(value) or looks_random(value, 8)
            ):
                yield Finding(start, end, "password")
    for match in linear(_DUMP).finditer(raw) if b":::" in raw else ():
        yield Finding(*match.span(), "password-hash")


def _cookies(raw: bytes) -> Iterator[Finding]:
    """Values of cookies that let somebody in; themes and languages stay."""
    for pattern in (_COOKIE, _COOKIE_FLAG):
        for line in linear(pattern).finditer(raw):
            for match in _ONE_COOKIE.finditer(line.group(1)):
                name, value = match.group(1), match.group(2).decode("latin-1")
                if name.lower() in _COOKIE_SETTINGS or len(value) < 6 or is_placeholder(value):
                    continue
                secret = looks_random(value, 8) if _COOKIE_SECRET.search(name) else looks_random(value, 20)
                if secret:
                    yield Finding(line.start(1) + match.start(2), line.start(1) + match.end(2), "cookie")


def _access_keys(raw: bytes) -> Iterator[Finding]:
    """The forty characters that stand near an AWS key id."""
    if b"AKIA" not in raw and b"ASIA" not in raw:
        return
    for match in linear(_KEY_ID).finditer(raw):
        near = _ACCESS_SECRET.search(raw, match.end(), match.end() + 160)
        if near and looks_random(near.group().decode("ascii"), 40) and not re.fullmatch(rb"[0-9a-f]{40}", near.group()):
            yield Finding(*near.span(), "aws-secret")


def _manifests(raw: bytes) -> Iterator[Finding]:
    """All values of a Kubernetes Secret, whatever their names."""
    at = 0
    for document in raw.split(b"\n---"):
        if linear(_MANIFEST).search(document):
            for data in _DATA.finditer(document):
                for match in _DATA_LINE.finditer(data.group(2)):
                    start, end = match.span(1) if match.start(1) >= 0 else match.span(2)
                    value = data.group(2)[start:end].rstrip()
                    if len(value) >= 4 and not is_placeholder(value.decode("latin-1")):
                        start += at + data.start(2)
                        yield Finding(start, start + len(value), "secret")
            for data in _DATA_JSON.finditer(document):
                for match in _JSON_VALUE.finditer(data.group(1)):
                    start = at + data.start(1) + match.start(1)
                    if len(match.group(1)) >= 4:
                        yield Finding(start, start + len(match.group(1)), "secret")
        at += len(document) + len(b"\n---")
