"""Findings: which bytes of a text are secret, and how overlapping ones become one."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from enum import IntEnum
from typing import NamedTuple

from interlock.governance.redaction.linear import linear

#: What redaction leaves behind. Only this exact form is taken for one of ours.
MARKER = rb"\[REDACTED(?::[A-Za-z0-9_.-]{1,64}:[0-9a-f]{8})?\]"


class Scope(IntEnum):
    """How much is looked for: registered values, whatever looks like a credential too, or personal data as well."""

    KNOWN = 0
    CREDENTIALS = 1
    EVERYTHING = 2


class Finding(NamedTuple):
    """Bytes that must not stay.

    Args:
        start: Offset of the first byte.
        end: Offset behind the last byte.
        kind: What it is, as the marker says it.
        secret: What is secret in it, when that differs from the bytes there, such as the plain form of an encoding.
    """

    start: int
    end: int
    kind: str
    secret: bytes | None = None
    #: A registered value: it goes even where it stands inside of a marker.
    registered: bool = False


def merge(found: Iterable[Finding], raw: bytes) -> list[Finding]:
    """Order findings and join those that overlap; markers that are already there stay whole.

    A finding that begins in a marker is none, one that reaches into it is cut there, and one that holds nothing but
    markers is dropped, so that redacting twice changes nothing. Of findings that overlap, the first gives the kind.

    Args:
        found: Findings, the most certain first.
        raw: The text they are in.
    """
    markers = [m.span() for m in linear(MARKER).finditer(raw)] if b"[REDACTED" in raw else []
    kept = _outside(found, markers) if markers else found
    joined: list[tuple[Finding, int]] = []
    for rank, finding in sorted(enumerate(kept), key=lambda pair: (pair[1].start, -pair[1].end, pair[0])):
        if joined and finding.start < joined[-1][0].end:
            joined[-1] = _union(joined[-1], (finding, rank))
        elif finding.start < finding.end:
            joined.append((finding, rank))
    return [finding for finding, _ in joined]


def _union(one: tuple[Finding, int], other: tuple[Finding, int]) -> tuple[Finding, int]:
    first, second = one[0], other[0]
    better = first if one[1] <= other[1] else second
    start, end = min(first.start, second.start), max(first.end, second.end)
    secret = better.secret if (better.start, better.end) == (start, end) else None
    return Finding(start, end, better.kind, secret, first.registered or second.registered), min(one[1], other[1])


def _outside(found: Iterable[Finding], markers: list[tuple[int, int]]) -> list[Finding]:
    """Findings that begin and end outside of markers and hold more than markers."""
    starts = [start for start, _ in markers]

    def inside(offset: int) -> tuple[int, int] | None:
        at = bisect_right(starts, offset) - 1
        return markers[at] if at >= 0 and markers[at][0] < offset < markers[at][1] else None

    kept = []
    for finding in found:
        if finding.registered:
            kept.append(finding)
            continue
        if inside(finding.start):
            continue
        behind = inside(finding.end)
        start, end = finding.start, behind[0] if behind else finding.end
        at = bisect_right(starts, start - 1)
        while at < len(markers) and markers[at][0] == start and markers[at][1] <= end:
            start, at = markers[at][1], at + 1
        if start < end:
            kept.append(finding._replace(start=start, end=end))
    return kept
