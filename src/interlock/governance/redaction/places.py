"""Places: where credentials stand by custom without a name of their own beside them."""

from __future__ import annotations

import re
from collections.abc import Iterator

from interlock.governance.redaction.findings import Finding
from interlock.governance.redaction.linear import Match, linear
from interlock.governance.redaction.names import Secrecy, promise
from interlock.governance.redaction.values import convinces, is_placeholder, looks_random

_URL = rb"(?i)\b[a-z][a-z0-9+.-]*(?::|%3A)(?://|\\/\\/|%2F%2F)([^\s\"'<>`\\|]{3,})"
_AUTHORITY = re.compile(rb"[^/?#]*")
_PORT = re.compile(rb"\d{1,5}(?:[/?#]|$)")
_PAIR_QUOTED = (
    rb"(?i)\\*[\"']?\b(?:name|key|id|property|variable|field|label|header)\\*[\"']?[ \t]*[:=][ \t]*\\*[\"']?([\w.:/ -]{2,}?)\\*[\"']?"
    rb"[\s,/-]{1,12}\\*[\"']?(?:\w{0,12}value|content|secret|default)\\*[\"']?[ \t]*[:=][ \t]*(\\*[\"']|\b)"
)
_XML_NAMED = rb"(?i)<\w[\w:.-]*[ \t][^<>]*?\b(?:name|key|id)[ \t]*=[ \t]*[\"']([^\"'<>]{2,})[\"'][^<>]*>([^<>\s]{4,})</"
_PGPASS = rb"(?m)(?:^|[\n\"'])[\w.*-]+:(?:\d{2,5}|\*):[\w*-]+:[\w*.@-]+:([^\s:\"']{4,})(?:$|[\"'\s])"
_DUMP = rb"[0-9a-fA-F]{32}:[0-9a-fA-F]{32}:::"
_COOKIE = rb"(?i)\b(?:set-)?cookie2?\\*[\"']?[ \t]*[:=][ \t]*\\*[\"']?([^\r\n\"']{3,})"
_COOKIE_FLAG = rb"(?:^|[ \t])(?:-b|--cookie)[ =][\"']?([^\r\n\"']{3,})"
_ONE_COOKIE = re.compile(rb"([^=;,\s]+)=([^;\s\\]*)")
_COOKIE_SETTINGS = frozenset(b"path domain expires max-age samesite secure httponly priority version comment".split())
_COOKIE_SECRET = re.compile(
    rb"sess|sid|token|auth|csrf|xsrf|jwt|login|remember|identity|ticket|secret|id$|key", re.IGNORECASE
)
_LOGIN = rb"(?i)\blogin[ \t\n]+\S+[ \t\n]+password[ \t\n]+(\S{4,})"
_SQL = rb"(?i)\b(?:identified[ \t]+(?:with[ \t]+\w+[ \t]+)?by|with[ \t]+password|encrypted[ \t]+password|password)[ \t]*=?[ \t]*(?:password[ \t]+)?'([^'\n]{4,})'"
_KEY_ID = rb"(?:AKIA|ASIA)[A-Z0-9]{16}"
_ACCESS_SECRET = re.compile(rb"(?<![A-Za-z0-9/+])[A-Za-z0-9/+]{40}(?![A-Za-z0-9/+=])")
_LDAP = rb"(?i)\b(?:jdbc:oracle:\w+:|sqlplus[ \t]+(?:-\w+[ \t]+){0,3})[\w$]+/([^@\s/\"']{3,})@"
_PASSWORD_OF = rb"(?i)\b(?:pass|passin|passout|passphrase)[ :=]+pass:([^\s\"']{3,})"

#: Programs and the options that take a password. `{}` is where it stands: behind a blank, `=` or nothing.
_TOOLS = (
    (rb"mysql\w*|mariadb(?:-\w+)?", rb"-p"),
    (rb"sshpass", rb"-p[ ]?"),
    (rb"(?:docker|podman|nerdctl|helm|oras|crane|skopeo|buildah)[^\n|;&]*? login|(?:oc|cf|az|heroku|npm|vault|kubelogin) login|az ad", rb"-p[ =]|--pass[ =]"),
    (rb"twine upload|mongo\w*|vsce|ovsx|rabbitmqadmin|ncftp\w*|lftp|xfreerdp|rdesktop|wlfreerdp|evil-winrm|crackmapexec|impacket-\w+|cqlsh|ldap\w+|nxc", rb"-p[ =]?|-w[ ]|/p:|-a[ ]|--pass[ =]"),
    (rb"redis-cli|valkey-cli", rb"-a[ ]|--pass[ =]"),
    (rb"sqlcmd|bcp|osql|tsql|isql|unzip|zip|7z\w?", rb"-P[ =]?"),
    (rb"7z\w? [a-z]", rb"-p"),
    (rb"keytool|jarsigner|apksigner", rb"-(?:store|key|ks-|new)?pass(?::env)?[ ]|-storepass[ ]|-keypass[ ]"),
    (rb"gpg2?|openssl|restic|borg|cryptsetup|ansible\w*", rb"--passphrase[ =]|-k[ ]"),
    (rb"net use|cmdkey|runas|psexec", rb"/user:\S+ |/pass:|-p[ ]"),
    (rb"rabbitmqctl (?:add_user|change_password) \S+|htpasswd -\w*b\w* (?:\S+ )?\S+", rb""),
    (rb"gh secret set", rb"--body[ =]|-b[ ]"),
    (rb"chpasswd\w*", rb"<<< *[\"']?[\w.-]+:"),
)  # fmt: skip
_USER_PASSWORD = (
    rb"(?:^|[\s\"'`(;|&])(?:curl|wget|http|https|httpie|xh|aria2c|smbclient|rpcclient|lftp)[ \t](?:[^\n]*?[ \t])?"
    rb"(?:-u|--user|--proxy-user|-U|-a|--auth)[ =]?[\"']?[^\s:%,\"'=-][^\s:%,\"']*[:%,]([^\s\"']{3,})"
)
_PIPED = rb"(?i)\becho[ \t]+(?:-n[ \t]+)?[\"']?(?:[\w.-]+:)?([^\s\"'|:]{4,})[\"']?[ \t]*\|[ \t]*(?:sudo[ \t]+(?:-\w+[ \t]+)*(?:-S|--stdin|chpasswd)|chpasswd|passwd[ \t]+--stdin|docker[ \t]login|cryptsetup)"

_MANIFEST = rb"(?m)^[ \t-]*\\?\"?kind\\?\"?[ \t]*:[ \t]*\\?\"?(?:Sealed)?Secret\\?\"?[ \t]*,?[ \t]*\r?$|\"kind\"[ \t]*:[ \t]*\"Secret\""
_DATA = re.compile(rb"^([ \t]*)(?:data|stringData):[ \t]*\r?\n((?:\1[ \t]+[^\n]*(?:\n|$)|[ \t]*\r?\n)+)", re.MULTILINE)
_DATA_LINE = re.compile(
    rb"^[ \t]+[\w.\"'-]+:[ \t]*[\"']?([^\s\"'|>#][^\r\n\"']*)|^[ \t]+([^\s:\"']{8,})[ \t]*\r?$", re.MULTILINE
)
_DATA_JSON = re.compile(rb"\"(?:data|stringData)\"\s*:\s*\{([^{}]{1,20000})\}")
_JSON_VALUE = re.compile(rb":\s*\"([^\"]+)\"")


def find_in_places(raw: bytes) -> Iterator[Finding]:
    """All credentials that their place gives away."""
    if b"://" in raw or b"%2F" in raw or b"%2f" in raw or b":\\/" in raw:
        yield from _urls(raw)
    yield from _pairs(raw)
    yield from _files(raw)
    yield from _cookies(raw)
    yield from _commands(raw)
    yield from _access_keys(raw)
    if b"Secret" in raw:
        yield from _manifests(raw)


def _urls(raw: bytes) -> Iterator[Finding]:
    """`scheme://user:password@host`, and a token in the place of the user."""
    for match in linear(_URL).finditer(raw):
        start, rest = match.start(1), match.group(1)
        authority = _AUTHORITY.match(rest).group()  # type: ignore[union-attr]
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
    for match in linear(_PAIR_QUOTED).finditer(raw):
        named = promise(match.group(1).decode("latin-1"))
        if named.secrecy is Secrecy.NONE:
            continue
        quote, at = match.group(2), match.end()
        if quote:
            end = raw.find(quote, at, at + 4096)
        else:
            line = re.compile(rb"[^\s,}]{1,512}").match(raw, at)
            end = line.end() if line else -1
        if end > at and convinces(raw[at:end].decode("latin-1")[:512], named.secrecy, quoted=True):
            yield Finding(at, end, named.kind)
    for match in linear(_XML_NAMED).finditer(raw):
        named = promise(match.group(1).decode("latin-1"))
        if convinces(match.group(2).decode("latin-1"), named.secrecy, quoted=True) and named.secrecy:
            yield Finding(*match.span(2), named.kind)


def _files(raw: bytes) -> Iterator[Finding]:
    """Lines of .pgpass, .netrc, of password dumps, and passwords in SQL and connection strings."""
    for pattern, strict in ((_PGPASS, True), (_LOGIN, False), (_SQL, False), (_LDAP, False), (_PASSWORD_OF, False)):
        for match in linear(pattern).finditer(raw):
            start, end = match.span(1)
            value = match.group(1).decode("latin-1")
            if convinces(value, Secrecy.STRONG, quoted=True) and (not strict or looks_random(value, 8)):
                yield Finding(start, end, "password")
    for match in linear(_DUMP).finditer(raw):
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


def _commands(raw: bytes) -> Iterator[Finding]:
    """Passwords that programs take on their command line."""
    for match in linear(_command_pattern()).finditer(raw):
        yield from _argument(raw, match)
    for pattern in (_USER_PASSWORD, _PIPED):
        for match in linear(pattern).finditer(raw):
            value = match.group(1).decode("latin-1")
            if convinces(value, Secrecy.STRONG, quoted=True):
                yield Finding(*match.span(1), "password")


def _command_pattern() -> bytes:
    tools = b"|".join(b"(?:" + tools + rb")\b[^\n|;]*?[ \t](?:" + options + b")" for tools, options in _TOOLS)
    return rb"(?:^|[\s\"'`(;|&/$])(?:" + tools + rb")(\"[^\"\n]{3,}|'[^'\n]{3,}|[^\s\"'-][^\s\"']{2,})"


def _argument(raw: bytes, match: Match) -> Iterator[Finding]:
    start, end = match.span(1)
    quoted = raw[start : start + 1] in (b'"', b"'")
    start += quoted
    value = raw[start:end].decode("latin-1")
    if convinces(value, Secrecy.STRONG, quoted=True):
        yield Finding(start, end, "password")


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
