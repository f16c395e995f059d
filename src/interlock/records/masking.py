"""Keys by their look: how a text is recognised that holds one, and how it is shown without."""

from __future__ import annotations

import re

#: What keys look like wherever they stand. Hidden from people and records, whoever's they are.
_KEY = re.compile(
    r"""\bsk-(?:(?=[A-Za-z_-]*\d)[A-Za-z0-9_-]{8,}|[A-Za-z0-9_-]{20,})    # OpenAI, Anthropic and who copies them
      | \b(?:gh[pousr]_|github_pat_|glpat-|xox[abprs]-|pylf_v)[A-Za-z0-9_-]{10,}
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
