"""Decoding: what a text hides in base64, looked through once."""

from __future__ import annotations

from base64 import b64decode
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator

from interlock.governance.redaction.findings import Finding
from interlock.governance.redaction.linear import linear

_TOKEN = rb"[A-Za-z0-9+/_-]{24,}={0,2}"
_ALPHABET = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/_-"
_ANY = rb"[A-Za-z0-9+/_-]"
#: Three bytes that are all ASCII; as many groups of them as are in sixteen such bytes, wherever those begin.
_ASCII = rb"[A-Za-f][A-HQ-Xg-nw-z0-3][ABEFIJMNQRUVYZcdghklopstwx014589]" + _ANY
#: The beginning of the only token that may be shorter, `sk.eyJ`, at each of the three places.
_SHORT_TOKEN = rb"c2suZXlK|NrLmV5S|zay5leU"
#: How the keys below begin.
_KEY = rb"MI[I-L]" + _ANY + _ANY + rb"[AQgw]IB|MI[E-H]" + _ANY + rb"AgE|M[A-P][AEIMQUYcgkosw048]CAQ"
#: One of these is in every text with a token, a private key or an ASCII value in base64.
SIGNS = rb"(?:" + _ASCII + rb"){4}|" + _SHORT_TOKEN + rb"|" + _KEY
#: And with a short value, or one in letters of another alphabet.
SIGNS_OF_ANY = _ANY + rb"{24}"
#: ASCII values of at least this length show in the first.
SHOWN = 14
_STANDARD = bytes.maketrans(b"-_", b"+/")
_GAP = b"\n\n"
#: How DER begins with a version number, as private keys do and public keys and certificates do not.
_DER_KEY = rb"\A\x30(?:\x82..|\x81.|.)\x02\x01[\x00\x01](?:\x02|\x30\x0d\x06|\x30[\x05\x10\x13]\x06|\x04\x20)"


def find_encoded(
    raw: bytes, look: Callable[[bytes], Iterable[Finding]], signs: bytes = SIGNS_OF_ANY
) -> Iterator[Finding]:
    """Base64 tokens that hold a secret.

    Args:
        raw: The text.
        look: Finds secrets in what was decoded.
        signs: What is in every such token.
    """
    places: list[tuple[int, int]] = []
    pieces: list[bytes] = []
    starts: list[int] = []
    size = 0
    for start, end in _tokens(raw, signs):
        token = raw[start:end]
        if token.islower() or token.isupper():
            continue  # a hash, an id or words: no text has a base64 form in one case
        for decoded in _decoded(token):
            if linear(b"(?s)" + _DER_KEY).search(decoded) and end - start >= 60:
                yield Finding(start, end, "private-key")
            places.append((start, end))
            starts.append(size)
            pieces.append(decoded)
            size += len(decoded) + len(_GAP)
    if not pieces:
        return
    for found in look(_GAP.join(pieces)):
        start, end = places[bisect_right(starts, found.start) - 1]
        yield Finding(start, end, found.kind)


def _tokens(raw: bytes, signs: bytes) -> Iterator[tuple[int, int]]:
    """Where tokens with such a sign begin and end."""
    at = 0
    while (sign := linear(signs, groups=False).search(raw, at)) is not None:
        begins = at + len(raw[at : sign.start()].rstrip(_ALPHABET))
        token = linear(_TOKEN, groups=False).match(raw, begins)
        at = (token or sign).end()
        if token is not None:
            yield begins, at


def _decoded(token: bytes) -> Iterator[bytes]:
    """What the token means, read from each of four places, since a path or a prefix may touch it."""
    plain = token.translate(_STANDARD).rstrip(b"=")
    for skip in range(4):
        text = plain[skip:]
        decoded = b64decode(text[: len(text) // 4 * 4] + _padded(text))
        yield decoded
        if not skip and decoded.count(0) * 3 > len(decoded):
            yield decoded.replace(b"\0", b"")


def _padded(text: bytes) -> bytes:
    rest = text[len(text) // 4 * 4 :]
    return rest + b"=" * (4 - len(rest)) if len(rest) > 1 else b""
