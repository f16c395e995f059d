"""Keys by their look: hidden wherever they stand, and nothing else is."""

from __future__ import annotations

import time

import pytest

from interlock.engine.attempt import crashed
from interlock.records.masking import holds_key, without_keys

BODY = "MIIEowIBAAKCAQEA7\nabc/def+ghi"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("401 for key sk-KNOWNKEY0123456789abcdefghijk.", "401 for key [key]."),
        ("sk-ant-api03-x1y2z3", "[key]"),
        ("sk-proj-abcdefghijklmnopqrstuvwxyz", "[key]"),
        ("a ghp_0123456789abcdef b", "a [key] b"),
        ("AKIAIOSFODNN7EXAMPLE", "[key]"),
        ("sent Bearer abcdefghijklmnop12", "sent [key]"),
        ("at https://ana:hunter2@host/x", "at https://[key]@host/x"),
        (f"-----BEGIN RSA PRIVATE KEY-----\n{BODY}\n-----END RSA PRIVATE KEY----- end", "[key] end"),
        (f"-----BEGIN PRIVATE KEY-----\n{BODY}", "[key]"),
    ],
)
def test_what_looks_like_a_key_is_hidden_and_the_rest_stays(text: str, shown: str) -> None:
    assert without_keys(text) == shown
    assert holds_key(text)


@pytest.mark.parametrize(
    "text",
    [
        *("", "KeyError: 'key_name_of_it'", "task-management-of-2026", "sk-learn", "risk-0123456789abcdef"),
        *("https://host:8080/a", "0123456789abcdef0123456789abcdef", "a bearer of news", "Bearer token"),
    ],
)
def test_what_does_not_look_like_one_is_left_as_it_is(text: str) -> None:
    assert without_keys(text) == text
    assert not holds_key(text)


@pytest.mark.parametrize("part", ["sk-", "sk-a", "://a:", "://", "Bearer ", "-----BEGIN PRIVATE KEY", "gh", "a_1-"])
def test_long_texts_made_to_be_slow_are_not(part: str) -> None:
    started = time.process_time()
    without_keys(part * 20_000)
    assert time.process_time() - started < 2


def test_an_error_nobody_expected_is_named_without_the_keys_in_it() -> None:
    try:
        raise ValueError("401 for key sk-KNOWNKEY0123456789abcdefghijk")
    except ValueError as error:
        named = crashed(error)
    assert named.says == "It raised ValueError: 401 for key [key]"
    assert "ValueError: 401 for key [key]" in named.detail
    assert "sk-KNOWN" not in named.detail
