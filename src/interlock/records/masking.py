"""Keys by their look: how a text is recognised that holds one, and how it is shown without."""

from __future__ import annotations

import re

#: What keys look like wherever they stand. Hidden from people and records, whoever's they are.
_KEY = re.compile(
    r"""\bsk-(?:(?=[A-Za-z_-]*\d)[A-Za-z0-9_-]{8,}|[A-Za-z0-9_-]{20,})    # OpenAI, Anthropic and who copies them
      | \b(?:gh[pousr]_|github_pat_|glpat-|xox[abprs]-|pylf_v|ilk_)[A-Za-z0-9_-]{10,}
      | \bAKIA[0-9A-Z]{16}\b | \bAIza[0-9A-Za-z_-]{30,}
      | -----BEGIN[A-Z ]*PRIVATE\ KEY(?:.*?-----END[A-Z ]*PRIVATE\ KEY-----|.*)
      | \bBearer\s+[A-Za-z0-9._~+/-]{16,}
      | (?<=://)[^/\s:@]*:[^/\s@]+(?=@)                                  # an address with a password in it
    """,
    re.VERBOSE | re.DOTALL,
)


def holds_key(text: str) -> bool:
    """Whether something in this text looks like a key: `sk-...`, a private key, an address with a password ..."""
    return _KEY.search(text) is not None


def without_keys(text: str) -> str:
    """The text with `[key]` for everything in it that looks like a key. Mask first, then cut: half a key is no look."""
    return _KEY.sub("[key]", text)


#: Where a stack trace begins, whichever way it got into a message.
_TRACE = re.compile(
    r"\s{0,40}(?:Traceback \(most recent call last\)|(?:^|\n)[ \t]{0,40}File \"[^\"\n]*\", line \d+"
    r"|\n[ \t]{1,40}at \S+\s?\().*",
    re.DOTALL,
)
#: Where something is to be reached: a link, a number or name with a port, an object in memory.
_ADDRESS = re.compile(
    r"""\b[A-Za-z][A-Za-z0-9+.-]{1,20}://[^\s'"<>]+
      | (?<![\d.])\d{1,3}(?:\.\d{1,3}){3}(?::\d{1,5})?\b(?!\.\d)
      | \b(?:[A-Za-z0-9_-]{1,63}\.){1,10}[A-Za-z]{2,20}:\d{2,5}\b | \blocalhost:\d{2,5}\b
      | \bat\ 0x[0-9a-fA-F]{6,16}\b
    """,
    re.VERBOSE,
)
#: A path from the root, of which only the last name is told.
_PATH = re.compile(r"(?<![\w/\\.~])(?:~|[A-Za-z]:)?(?:[/\\]+[^\s/\\:;,'\"<>|()\[\]]+)+[/\\]+([^\s/\\:;,'\"<>|()\[\]]+)")


def for_people(text: str) -> str:
    """What an exception says as people may read it: no keys, addresses or stack traces, and of paths the last name."""
    text = without_keys(_TRACE.sub("", text[:20_000]))
    return " ".join(_PATH.sub(r"…/\1", _ADDRESS.sub("[address]", text)).split())
