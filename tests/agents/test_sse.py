"""Server-sent events, however the network cuts them."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interlock.agents.sse import EventSplitter
from interlock.errors import OutputTooLarge

STREAM = (
    b": a comment\n\nevent: ping\ndata: 1\n\ndata:2\r\nid: 7\r\n\r\ndata: 3\ndata: 4\n\ndata\n\ndata: \n\ndata: last\n"
)


def split(chunks: list[bytes], limit: int = 1_000) -> list[bytes]:
    splitter = EventSplitter(limit)
    found = [event for chunk in chunks for event in splitter.feed(chunk)]
    return found + list(splitter.end())


@given(st.lists(st.integers(0, len(STREAM)), max_size=12))
def test_events_are_the_same_wherever_the_bytes_are_cut(places: list[int]) -> None:
    cuts = [0, *sorted(places), len(STREAM)]
    chunks = [STREAM[start:end] for start, end in pairwise(cuts)]
    assert split(chunks) == [b"1", b"2", b"3\n4", b"last"]


@pytest.mark.parametrize("chunk", [b"data: " + b"x" * 90, b"data: " + b"x" * 90 + b"\n"])
def test_one_event_is_never_larger_than_the_limit(chunk: bytes) -> None:
    with pytest.raises(OutputTooLarge):
        split([chunk, chunk], limit=100)


def test_many_events_may_be_larger_than_the_limit_together() -> None:
    assert len(split([b"data: " + b"x" * 50 + b"\n\n"] * 100, limit=100)) == 100
