"""Results made fit to be read: bounded, and with nothing in them that a terminal would obey."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interlock.tools.result import clean, cut


@pytest.mark.parametrize(
    ("text", "readable"),
    [
        ("\x1b[1;31mred\x1b[0m", "red"),
        ("\x1b]8;;http://x\x1b\\link\x1b]8;;\x07", "link"),
        ("\x1b(Bplain\x1b=", "plain"),
        ("\x9b2Jgone", "gone"),
        ("10%\r20%\r\n", "10%\n20%\n"),
        ("a\tb\nc", "a\tb\nc"),
        ("abc\u202edef\u2066\u200f", "abcdef"),
        ("\x1b", ""),
        ("\x1b[", ""),
        ("naïve ✓ 👍🏽", "naïve ✓ 👍🏽"),
    ],
)
def test_terminal_sequences_are_taken_out_whole(text: str, readable: str) -> None:
    assert clean(text) == readable


@given(st.text())
def test_no_control_character_survives(text: str) -> None:
    assert not [char for char in clean(text) if unicodedata.category(char) in ("Cc", "Cs") and char not in "\n\t"]
    assert clean(clean(text)) == clean(text)


@given(st.text(st.characters(exclude_categories=["Cs"])), st.integers(2, 200))
def test_a_cut_text_says_how_much_is_missing_and_is_never_much_longer(text: str, limit: int) -> None:
    short = cut(text, limit)
    if len(text.encode()) <= limit:
        assert short == text
    else:
        left_out = len(text.encode()) - 2 * (limit // 2)
        assert f"\n… {left_out:,} bytes left out …\n" in short
        assert len(short.encode()) <= limit + 60
