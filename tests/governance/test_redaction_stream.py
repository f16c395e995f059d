"""Redaction of streams: nothing slips through a cut, and nothing is held back longer than it must be."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interlock.governance.redaction import Redactor
from tests.governance.fake_secrets import Forge, leaks

FORGE = Forge(11)
TOKENS = FORGE.tokens()
BLOCK, BODY = FORGE.key_block()
CARD = FORGE.card("4", 16)
GROUPED = " ".join(CARD[at : at + 4] for at in range(0, 16, 4))
PASSWORD = FORGE.password()
NEW_LINE, ESCAPED = "\n", "\\n"
TEXT = f"""Here is the plan for today.
export GH_TOKEN={TOKENS["github"]}
The DB_PASSWORD="{PASSWORD}" was set, card {GROUPED} charged, write to bob@firma.de please.
  postgres://app:{PASSWORD}@db:5432/x and FLY='{TOKENS["fly"]}' too
{BLOCK}
{{"type":"x","private_key":"{BLOCK.replace(NEW_LINE, ESCAPED)}","port":1}}
That is all, 57ae6aa0c368ac4daabd6c2dbb73215a9892bdfc is the commit.
"""
HIDDEN = [TOKENS["github"], TOKENS["fly"], PASSWORD, GROUPED, "bob@firma.de", *BODY]


def fed(text: str, size: int) -> str:
    stream = Redactor(key=b"key").stream()
    return "".join(stream.feed(text[at : at + size]) for at in range(0, len(text), size)) + stream.close()


@pytest.mark.parametrize("size", [1, 2, 3, 7, 16, 40, 100, 10_000])
def test_a_stream_says_what_the_whole_text_would_say(size: int) -> None:
    assert fed(TEXT, size) == Redactor(key=b"key").redact(TEXT)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, len(TEXT)), max_size=30))
def test_no_way_to_cut_a_stream_lets_a_secret_through(places: list[int]) -> None:
    edges = [0, *sorted(places), len(TEXT)]
    stream = Redactor(key=b"key").stream()
    shown = "".join(stream.feed(TEXT[a:b]) for a, b in itertools.pairwise(edges)) + stream.close()
    assert not [secret for secret in HIDDEN if leaks(secret, shown)]


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(sorted(TOKENS)), st.integers(1, 20), st.sampled_from(["", "use ", "x=", "\n", "a, ", '{"t":"']))
def test_no_way_to_cut_a_stream_lets_a_provider_token_through(name: str, size: int, before: str) -> None:
    assert not leaks(TOKENS[name], fed(before + TOKENS[name] + " then", size))


def test_complete_lines_and_words_come_out_at_once() -> None:
    stream = Redactor({"db": "correct-horse"}, key=b"key").stream()
    assert stream.feed("The first line.\n") == "The first line.\n"
    assert stream.feed("Plain words follow") == "Plain words "
    assert stream.feed(" here") == "follow "
    assert stream.close() == "here"


def test_what_may_become_a_registered_value_is_held_back_even_across_blanks() -> None:
    stream = Redactor({"db": "open the gate"}, key=b"key").stream()
    assert stream.feed("say open the ") == "say "
    assert stream.feed("door.\n") == "open the door.\n"
    assert stream.feed("say open the ") == "say "
    assert "gate" not in stream.feed("gate.\n")


def test_a_text_without_any_blank_is_not_held_back_for_ever() -> None:
    stream = Redactor(key=b"key").stream()
    given_out = sum(len(stream.feed("ab" * 500)) for _ in range(300))
    assert given_out > 150_000
    assert given_out + len(stream.close()) == 300_000


def test_a_secret_behind_a_long_text_without_blanks_still_goes() -> None:
    text = "ab/" * 60_000 + "=" + TOKENS["github"] + " end"
    assert not leaks(TOKENS["github"], fed(text, 4096))


def test_a_closed_stream_takes_nothing_more() -> None:
    stream = Redactor(key=b"key").stream()
    assert stream.feed("end") == ""
    assert stream.close() == "end"
    assert stream.close() == ""
    with pytest.raises(ValueError, match="closed"):
        stream.feed("more")
