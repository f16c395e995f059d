"""Provider tokens: credentials that can be told by their own form."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from itertools import chain

from interlock.governance.redaction.findings import Finding
from interlock.governance.redaction.linear import Match, Pattern, linear, which
from interlock.governance.redaction.names import words
from interlock.governance.redaction.token_forms import BEGINS, FORMS, MARKED, head_of, is_doubtful
from interlock.governance.redaction.values import UUID, is_placeholder, looks_random

_HEX = frozenset("0123456789abcdef")
#: Ids that services show to everybody have the form of tokens.
_IDS = tuple(
    words(
        "msg_ call_ toolu_ run_ resp_ thread_ file_ req_ evt_ chatcmpl- id_ cus_ org_ user_ item_ step_ asst_ "
        "batch_ price_ prod_ sub_ txn_ in_ ch_ pi_ seti_ pm_ cs_ acct_ rs_ fc_ ws_ vs_ proj_ trace_ span_ commit_ "
        "sha_ sha256_ sha512_ md5_ hash_ digest_ integrity_ cache_ build_ image_ img_ layer_ node_ uuid_ ref_ v1_ "
        "v2_ v3_ block_ tx_"
    )
)
#: Longer tokens end where the next one begins.
_LONGEST = 8192
#: So many beginnings inside of what turned out to be no token are looked at as well.
_MISSES = 4


@cache
def _heads() -> Pattern:
    """Where a token may begin. Short forms only: what repeats is matched from there on, never backwards."""
    heads = "|".join(sorted({head_of(form) for forms in FORMS.values() for form in forms}))
    return linear(BEGINS + b"(" + heads.encode() + b")")


@cache
def _all() -> Pattern:
    return linear("|".join(form for forms in FORMS.values() for form in forms).encode(), groups=False)


def find_tokens(raw: bytes) -> Iterator[Finding]:
    """All provider tokens in a text, also those that begin where another one ends with nothing between them."""
    done = 0
    for first in chain(_begun(raw), _marked(raw)):
        yield first
        behind = _token_at(raw, first.end) if first.end > done else None
        while behind is not None:
            done = behind.end
            yield behind
            behind = _token_at(raw, done)


def _begun(raw: bytes) -> Iterator[Finding]:
    done = misses = 0
    for head in _heads().finditer(raw):
        start = head.start(1)
        match = _all().match(raw, start, start + _LONGEST) if start >= done else None
        if match is None:
            continue
        found = _finding_of(match)
        if found is not None:
            done, misses = found.end, 0
            yield found
        elif (misses := misses + 1) > _MISSES:
            done, misses = match.end(), 0


def _finding_of(match: Match) -> Finding | None:
    kind, doubtful = _kind(match.group())
    token = match.group().rstrip(b".-")
    if not _is_real(token[:512].decode("latin-1"), kind, doubtful=doubtful):
        return None
    return Finding(match.start(), match.start() + len(token), kind)


def _token_at(raw: bytes, at: int) -> Finding | None:
    """The token that begins exactly here."""
    if (match := _all().match(raw, at, at + _LONGEST)) is not None and (found := _finding_of(match)) is not None:
        return found
    for _, kind, form in MARKED:
        match = linear(form.encode()).match(raw, at, at + _LONGEST)
        if match is not None and _is_real(match.group()[:512].decode("latin-1"), kind, doubtful=True):
            return Finding(*match.span(), kind)
    return None


def _marked(raw: bytes) -> Iterator[Finding]:
    for marked, kind, form in MARKED:
        if marked in raw:
            for match in linear(BEGINS + b"(" + form.encode() + b")").finditer(raw):
                if _is_real(match.group(1)[:512].decode("latin-1"), kind, doubtful=True):
                    yield Finding(*match.span(1), kind)


@cache
def _known_forms() -> tuple[tuple[tuple[str, bool], ...], Callable[[bytes], list[int]]]:
    forms = [(kind, form) for kind, forms in FORMS.items() for form in forms]
    doubtful = tuple((kind, is_doubtful(head_of(form))) for kind, form in forms)
    return doubtful, which([form.encode() for _, form in forms])


def _kind(token: bytes) -> tuple[str, bool]:
    """What the token is, and whether something else could look like it."""
    forms, matching = _known_forms()
    found = [forms[at] for at in sorted(matching(token))] or [("token", True)]
    return found[0][0], all(doubtful for _, doubtful in found)


def _is_real(token: str, kind: str, *, doubtful: bool) -> bool:
    """Whether it is a token and not its description, an example's or an id."""
    if len(set(token)) < 8:
        return False
    if kind == "webhook":
        return "xxxx" not in token.lower() and "your" not in token.lower()
    if kind == "password-hash":
        return True
    if is_placeholder(token):
        return False
    if kind in ("token", "opaque-token"):
        body = token.replace("_", "-").rpartition("-")[2]
        is_id = token.startswith(_IDS) or set(body) <= _HEX
        return looks_random(body, 16) and not (kind == "opaque-token" and is_id)
    return not doubtful or looks_random(token, 16) or UUID.search(token) is not None
