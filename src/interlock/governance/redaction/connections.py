"""Connections: how languages and prose tie a value to a name, and the signs that the value may be a secret."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache

from interlock.governance.redaction.names import KEYWORDS

_COLOUR = rb"\x1b\[[0-9;]*m"
_ESCAPED_QUOTE = rb"\\+[\"'`]|%2[27]|&quot;|&#3[49];|&apos;|\\+u002[27]"
QUOTE = rb"[\"'`]|" + _ESCAPED_QUOTE
#: What may stand between a name and what connects it.
CLOSES = rb"(?:" + QUOTE + rb"|[\])*_]|%5D|[ \t]|" + _COLOUR + rb")*"
_TYPED = rb":[ \t]*(?:&?(?:'static )?str|[Ss]tring|Secret(?:Str)?|bytes|Optional\[str\]|str \| None|any)[ \t]*="
_TELLS = (
    rb"[ \t](?:(?:for|of)[ \t][\w@.-]+[ \t])?"
    rb"(?:is|was|are|=|ist|lautet|est|es|(?:changed|set|reset|rotated)[ \t]to)(?:[ \t]now)?[ \t]*:?[ \t]"
)
_SURE = _TYPED + rb"|=>|:=|={1,3}|!={1,2}|:|%3[DdAa]|\\+u003[daDA]|&#6[1];"
_LOOSE = _TELLS + rb"|(?:</\w+>\s*<\w+[^<>\n]*)?>|\||[ \t]+"
#: A connection of a language, or one of prose and tables, each in its group.
SEPARATOR = rb"(?:(" + _SURE + rb")|(" + _LOOSE + rb"|,[ \t]*(?:" + QUOTE + rb")))"
_SCHEMES = (
    rb"(?:bearer|basic|token|digest|api-?key|key|bot|negotiate|ntlm|hawk|oauth|ssws|shared ?key(?:lite)?|jwt|"
    rb"snyk|splunk|geniekey|pat|mac|aws|aws4-hmac-sha256|sapisidhash|zoho-oauthtoken|klaviyo-api-key|gogs|private-token|session)"
    rb"(?:[ \t]+|%20|\+)"
)
#: How a credential is used, written in front of it.
SCHEME = re.compile(_SCHEMES, re.IGNORECASE)
#: Between the separator and the value: blanks, colours, emphasis, tags, string prefixes.
OPENS = re.compile(
    rb"(?:[ \t]|\x1b\[[0-9;]*m|\*\*|__|%20|</?\w{1,10}>|\r?\n[ \t]+(?=[\"'])|"
    rb"\{\s*\"(?:value|plaintext)\"\s*:|[bfruBFRU]{1,2}(?=[\"']))*"
)
_BLOCK = rb"[|>][+-]?[ \t]*\r?\n[ \t]+"
BLOCK_SCALAR = re.compile(_BLOCK)

# The signs below are wide: each text that holds a secret has one, and few others do. They are made of what the rule
# asks of a name, its connection and its value, and leave out what a pattern cannot say.

_NAME = rb"[A-Za-z0-9_.$-]*"
#: A part of every name whose value may be a word, of every other name whose value needs a digit or capitals between
#: its letters, and of those whose value is long besides. Together they are `KEYWORDS`.
_STRONG = rb"(?i:pass|pwd|psk|pswd|pw|kennwort|senha|contrase)"
_CLEAR = rb"(?i:token|secret|[A-Z][ _.$-]*key)"
_WEAK = rb"(?i:key|cred|auth|sess|sid|cookie|seed|pepper|salt|sig|bearer|pat\b|jwt)"
#: Names whose value is not looked at here.
_ANY = rb"(?i:authorization|mnemonic|phrase|otp|cvv|cvc|mfa)"
#: What no bare value holds; a value in quotes holds all but the quotation mark.
_STOPS = rb"\s\x0b\"'`<>;|\x1b"
_BARE = rb"[^" + _STOPS + rb"]"
_OPENED = (
    rb"(?:[ \t]|\x1b\[[0-9;]*m|\*\*|__|%20|</?\w{1,10}>|\{[\s\x0b]*\"(?:value|plaintext)\"[\s\x0b]*:)*"
    rb"(?:" + _BLOCK + rb")?"
)
_CAPITALS = rb"[a-z][A-Z]|[A-Z][a-z]{1,2}(?:[^a-z]|\z)"
#: What follows a name in a program: `form.password`, `reader.next(`, and the marks that may end it.
_IDENTIFIER = rb"[A-Za-z_]+(?:\.[A-Za-z_]+)*"
_ENDS = rb".,\])}:*"


def _mixed(run: bytes) -> bytes:
    """Letters with digits, capitals between small letters, or a UUID, in a run of such characters."""
    return (
        run + rb"*(?:[A-Za-z]" + run + rb"*[0-9]|[0-9]" + run + rb"*[A-Za-z]|[\x80-\xff]|" + _CAPITALS + rb"|"
        rb"[0-9]{20}|(?i:[0-9a-f]{8}-[0-9a-f]{4}-))"
    )


def _with(mark: bytes, length: int, before: bytes) -> bytes:
    """A bare value of at least this length with a mark in it, and only such characters before the mark."""
    pattern = before + b"*" + mark
    for behind in range(1, length):
        pattern = mark + _BARE + b"{%d}" % behind + b"|" + before + b"(?:" + pattern + b")"
    return b"(?:" + pattern + b")"


def _connected(quoted: Callable[[bytes], bytes], bare: bytes) -> bytes:
    """The rest of a name, a connection, and a value in quotes or a bare one."""
    link = _NAME + rb"(?i:" + CLOSES + rb")"
    behind = rb"(?i:" + _SURE + rb"|" + _LOOSE + rb")" + _OPENED
    in_quotes = (
        rb"(?:\"" + quoted(rb"(?:[^\"\n]|\\\")") + rb"|'" + quoted(rb"(?:[^'\n]|\\')")
        + rb"|(?:\"\"\"|'''|`|(?i:" + _ESCAPED_QUOTE + rb"))" + quoted(rb"[^\n]") + rb")"
    )  # fmt: skip
    value = rb"(?:\r?\n[ \t]+|[bfruBFRU]{1,2})?" + in_quotes + rb"|(?i:" + _SCHEMES + rb")?(?:" + bare + rb")"
    return link + rb"(?:" + behind + rb"(?:" + value + rb")|,[ \t]*" + in_quotes + rb")"


@cache
def assignment_signs() -> bytes:
    """What is in every text with a value that its name makes a secret, from somewhere in the name on."""
    link = _NAME + rb"(?i:" + CLOSES + SEPARATOR + rb")"
    # A bare word is a password in shells, as an option and in a query; elsewhere it is a word, or a name of a program.
    odd = rb"[^A-Za-z_(\[" + _ENDS + _STOPS + rb"]"
    password = (
        _with(odd, 6, rb"[A-Za-z_.]") + rb"|[(\[" + _ENDS + rb"]" + _BARE + rb"{5}|"
        + _BARE + rb"*(?:&|" + _CAPITALS + rb")|"
        + _IDENTIFIER + rb"(?:[,\]}:*][" + _ENDS + rb"]*|\.[" + _ENDS + rb"]+)[^" + _ENDS + _STOPS + rb"]|"
        + _IDENTIFIER + rb"\.[^A-Za-z_" + _ENDS + _STOPS + rb"]"
    )  # fmt: skip
    weak = _with(rb"[0-9\x80-\xff]", 12, _BARE) + rb"|" + _BARE + rb"*(?:" + _CAPITALS + rb")"
    return b"|".join(
        (
            rb"(?:" + _ANY + rb"|(?:-|[?&](?:\w+ )?)" + _NAME + _STRONG + rb")" + link,
            rb"(?:" + KEYWORDS.upper().replace(rb"\B", rb"\b") + rb")[A-Z0-9_.$-]*=",
            _STRONG + _connected(lambda run: run, password),
            _CLEAR + _connected(_mixed, _mixed(_BARE)),
            _WEAK + _connected(_mixed, weak),
            rb"\b(?i:bearer(?:[ \t]+|%20))" + _mixed(_BARE),
            rb"\b(?i:basic(?:[ \t]+|%20))[A-Za-z0-9_.~+/-]{8}",
        )
    )
