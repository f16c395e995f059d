"""Registered values: exact secrets, found in plain and in every common encoding."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Iterator
from functools import cached_property
from threading import Lock

from interlock.governance.redaction.decoding import SHOWN
from interlock.governance.redaction.findings import Finding
from interlock.governance.redaction.linear import Pattern, compile_linear

#: Shorter values would hide ordinary text everywhere.
SHORTEST = 4
#: Shorter values are not looked for in base64 and hex, where a few characters occur by chance.
SHORTEST_ENCODED = 6
#: How many units of a form an unfinished match is recognised by; behind that, what follows is held as well.
_RECOGNISED = 48
#: So many values share one automaton.
_TOGETHER = 64

_BREAK = rb"(?:\r?\n|\\r\\n|\\n)?"
_NAMED = {"&": b"&amp;", "<": b"&lt;", ">": b"&gt;", '"': b"&quot;", "'": b"&#0*39;|&apos;"}
_LETTERED = {"\n": b"n", "\r": b"r", "\t": b"t", "\b": b"b", "\f": b"f"}
_HALF_ESCAPE = rb"(?:%(?:2(?:5[0-9A-Fa-f]?)?|[0-9A-Fa-f])?|\\+(?:u[0-9A-Fa-f]{0,3}|x[0-9A-Fa-f]?)?|&[#\w]{0,6}|\r|\\)?"

#: One form of a value: a pattern for each of its units, in order.
Form = list[bytes]


class _Batch:
    """Some values and the automata that find them, each made when it is first needed."""

    def __init__(self, values: tuple[str, ...]) -> None:
        self.values = tuple(sorted(values, key=len, reverse=True))

    @cached_property
    def whole(self) -> Pattern:
        """Finds the values."""
        return compile_linear(b"|".join(_either(forms(value)) for value in self.values), groups=False)

    @cached_property
    def begun(self) -> Pattern:
        """Finds what a text ends with when one of the values has begun."""
        begun = b"|".join(_begun(form) for value in self.values for form in forms(value))
        return compile_linear(rb"(?s:" + begun + rb")\z", groups=False)

    @cached_property
    def each(self) -> dict[str, Pattern]:
        """Finds one of the values."""
        return {value: compile_linear(_either(forms(value)), groups=False) for value in self.values}


class KnownValues:
    """The secrets we know, such as those the vault has handed out. Safe to use from several threads."""

    def __init__(self) -> None:
        self._names: dict[str, str] = {}
        self._batches: list[_Batch] = []
        self._longest = 0
        #: Whether all of them are ASCII and long enough to be seen in base64.
        self.shown = True
        self._lock = Lock()

    def __len__(self) -> int:
        return len(self._names)

    def register(self, value: str, name: str) -> bool:
        """Hide this value from now on.

        Args:
            value: The secret in plain.
            name: What its marker calls it.

        Returns:
            Whether it is hidden: not when it is shorter than 4 characters or a part of the marker itself.
        """
        if len(value) < SHORTEST or value in "[REDACTED]":
            return False
        with self._lock:
            if value not in self._names:
                self.shown = self.shown and len(value) >= SHOWN and value.isascii()
                self._longest = max(self._longest, 9 * len(value.encode("utf-8", "surrogatepass")))
                self._batches = _with(self._batches, value)
            self._names[value] = name
        return True

    def any(self, raw: bytes) -> bool:
        """Whether any registered value is in a text, in any of its forms."""
        return any(batch.whole.search(raw) is not None for batch in self._batches)

    def find(self, raw: bytes) -> Iterator[Finding]:
        """All registered values in a text, in any of their forms."""
        for batch in self._batches:
            for match in batch.whole.finditer(raw):
                value = self._which(batch, match.group())
                secret = value.encode("utf-8", "surrogatepass")
                yield Finding(match.start(), match.end(), self._names[value], secret, registered=True)

    def _which(self, batch: _Batch, found: bytes) -> str:
        plain = found.decode("utf-8", "surrogatepass") if found.isascii() else ""
        if plain in self._names:
            return plain
        return next(value for value, pattern in batch.each.items() if pattern.fullmatch(found))

    def unfinished(self, raw: bytes) -> int:
        """Where a value begins that may be completed by what follows; the length of the text when there is none."""
        tail = max(0, len(raw) - self._longest)
        begins = len(raw)
        for batch in self._batches:
            match = batch.begun.search(raw[tail:])
            if match is not None and match.start() < match.end():
                begins = min(begins, tail + match.start())
        return begins


def _with(batches: list[_Batch], value: str) -> list[_Batch]:
    """The batches and one more value. Batches of a size are joined, so that few automata are made again and again."""
    values: tuple[str, ...] = (value,)
    kept = list(batches)
    while kept and len(kept[-1].values) <= len(values) < _TOGETHER:
        values += kept.pop().values
    return [*kept, _Batch(values)]


def forms(value: str) -> list[Form]:
    """A value in plain with any mixture of escapes, in hex, and inside of base64 at each of the three alignments."""
    escaped = [_character(character) for character in value]
    if len(value) < SHORTEST_ENCODED:
        return [escaped]
    octets = value.encode("utf-8", "surrogatepass")
    hexed = [rb"(?:[: -]|\\x|0x)?" * bool(at) + _hex(octet) for at, octet in enumerate(octets)]
    return [escaped, hexed, *[_base64(octets, shift) for shift in range(3)]]


def _character(character: str) -> bytes:
    """One character in plain, percent-, JSON-, JavaScript-, shell- and HTML-escaped."""
    octets = character.encode("utf-8", "surrogatepass")
    code = ord(character)
    ways = [_quoted(octets), b"".join(rb"%(?:25)?" + _hex(octet) for octet in octets)]
    ways.append(b"".join(rb"\\+u" + _hex(one) + _hex(two) for one, two in _pairs(character)))
    if code < 0x80:
        ways.append(rb"\\+x" + _hex(code))
        ways.append(b"&#(?:0*%d|[xX]0*%b);" % (code, _any_case(b"%x" % code)))
        if not character.isalnum():
            ways.append(rb"\\+" + _quoted(octets))
    if character in _NAMED:
        ways.append(_NAMED[character])
    if character in _LETTERED:
        ways.append(rb"\\+" + _LETTERED[character])
    if character == " ":
        ways.append(rb"\+")
    if character == "\n":
        ways.append(rb"\r\n|\\+r\\+n")
    return b"(?:" + b"|".join(ways) + b")"


def _pairs(character: str) -> Iterator[tuple[int, int]]:
    wide = character.encode("utf-16-be", "surrogatepass")
    yield from zip(wide[::2], wide[1::2], strict=True)


def _quoted(octets: bytes) -> bytes:
    return b"".join(b"\\x%02x" % octet for octet in octets)


def _hex(octet: int) -> bytes:
    return _any_case(b"%02x" % octet)


def _any_case(digits: bytes) -> bytes:
    return b"".join(b"[%c%c]" % (c, c - 32) if c > 57 else b"%c" % c for c in digits)


def _base64(octets: bytes, shift: int) -> Form:
    """The characters of a base64 text that depend on the value alone when it begins `shift` bytes into a group."""
    coded = b64encode(b"\0" * shift + octets)
    first, last = -(-8 * shift // 6), 8 * (shift + len(octets)) // 6
    swapped = {b"+": rb"(?:[+-]|%2[Bb])", b"/": rb"(?:[/_]|%2[Ff]|\\/)"}
    units = [swapped.get(coded[at : at + 1], coded[at : at + 1]) for at in range(first, last)]
    return [units[0], *[_BREAK + unit for unit in units[1:]]]


def _either(alternatives: list[Form]) -> bytes:
    return b"|".join(b"".join(form) for form in alternatives)


def _begun(form: Form) -> bytes:
    """What a text ends with when a form has begun and is not complete."""
    known = form[:_RECOGNISED]
    pattern = _HALF_ESCAPE
    for at, unit in enumerate(reversed(known)):
        endless = at == 0 and len(form) > _RECOGNISED
        pattern = unit + (rb".*" if endless else b"(?:" + pattern + b")?")
    return pattern


def marker_name(name: str) -> str:
    """A name as a marker can carry it."""
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", name)[:64].strip("-") or "secret"
