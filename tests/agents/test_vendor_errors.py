"""Waits as vendors give them, and what of their words people may see."""

from __future__ import annotations

import pytest

from interlock.agents.vendor_errors import VendorErrors, retry_after

NOW = 1_767_225_600.0  # 2026-01-01 00:00:00 UTC


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "2"}, 2.0),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after": "0"}, 0.0),
        ({"retry-after-ms": "250", "retry-after": "9"}, 0.25),
        ({"retry-after-ms": "soon", "retry-after": "9"}, 9.0),
        ({"retry-after": "Thu, 01 Jan 2026 00:01:30 GMT"}, 90.0),
        ({"retry-after": "Wed, 31 Dec 2025 00:00:00 GMT"}, 0.0),
        ({"retry-after": "-5"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "Thu, 99 Jan 2026"}, None),
        ({"retry-after": ""}, None),
    ],
)
def test_the_wait_is_read_as_it_was_given(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after(headers, NOW) == seconds


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("Incorrect API key provided: sk-proj-*********abcd.", "Incorrect API key provided: [key]"),
        ("key my-very-own-secret is bad", "key [key] is bad"),
        ("Bearer abc.def is wrong", "[key] is wrong"),
        ("ask https://x.example/a?b=c for more", "ask [link] for more"),
        ("id 0123456789abcdef0123456789abcdef", "id [key]"),
        ("a\x1b[31mb\u202e\u2028c\nd", "a [31mb c d"),
        ("The model claude-sonnet-4-5-20250929 is fine.", "The model claude-sonnet-4-5-20250929 is fine."),
        ("gpt-4o-mini-search-preview-2025-03-11", "gpt-4o-mini-search-preview-2025-03-11"),
    ],
)
def test_a_vendors_words_are_shown_without_keys_links_and_control_characters(text: str, clean: str) -> None:
    assert VendorErrors("Acme", "my-very-own-secret").clean(text, 200) == clean


def test_a_placeholder_of_a_key_spoils_no_words() -> None:
    assert VendorErrors("Acme", "k").clean("kick", 200) == "kick"


@pytest.mark.parametrize("text", ["x" * 10_000_000, "a-" * 5_000_000, "*" * 1_000_000, "a1" * 1_000_000])
def test_very_long_words_are_cut_quickly(text: str) -> None:
    assert len(VendorErrors("Acme").clean(text, 2_000)) <= 2_000
