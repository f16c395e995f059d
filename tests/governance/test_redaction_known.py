"""Registered values: gone in plain and in every encoding, however a stream is cut."""

from __future__ import annotations

import base64
import html
import itertools
import json
import urllib.parse
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interlock.governance.redaction import Redactor
from tests.governance.fake_secrets import Forge

#: Values as vaults hold them: some printable characters, some letters of other alphabets, now and then a blank or line.
VALUES = st.text(
    alphabet=st.characters(min_codepoint=33, max_codepoint=126) | st.sampled_from(" \näßж字😀"), min_size=8, max_size=40
).filter(lambda value: len(value.strip()) >= 8 and "REDACTED" not in value)

ENCODINGS: dict[str, Callable[[str], str]] = {
    "plain": lambda value: value,
    "url": urllib.parse.quote,
    "url, everything": lambda value: urllib.parse.quote(value, safe=""),
    "form": urllib.parse.quote_plus,
    "url twice": lambda value: urllib.parse.quote(urllib.parse.quote(value, safe=""), safe=""),
    "json": lambda value: json.dumps(value)[1:-1],
    "json in unicode": lambda value: json.dumps(value, ensure_ascii=False)[1:-1],
    "json in json": lambda value: json.dumps(json.dumps(value))[2:-2],
    "html": html.escape,
    "hex": lambda value: value.encode().hex(),
    "HEX": lambda value: value.encode().hex().upper(),
    "hex with colons": lambda value: value.encode().hex(":"),
}


@settings(max_examples=120, deadline=None)
@given(VALUES, st.sampled_from(sorted(ENCODINGS)), st.text(max_size=6), st.text(max_size=6))
def test_a_registered_value_does_not_survive_in_any_encoding(value: str, how: str, before: str, behind: str) -> None:
    encoded = ENCODINGS[how](value)
    shown = Redactor({"v": value}, key=b"key").redact(before + encoded + behind)
    assert encoded not in shown
    assert value not in shown


@settings(max_examples=120, deadline=None)
@given(VALUES, st.binary(max_size=8), st.binary(max_size=8), st.sampled_from([None, 20, 64, 76]), st.booleans())
def test_a_registered_value_does_not_survive_inside_of_base64(
    value: str, before: bytes, behind: bytes, width: int | None, url_safe: bool
) -> None:
    encode = base64.urlsafe_b64encode if url_safe else base64.b64encode
    coded = encode(before + value.encode() + behind).decode()
    lines = [coded[at : at + width] for at in range(0, len(coded), width)] if width else [coded]
    shown = Redactor({"v": value}, key=b"key").redact("\n".join(lines))
    left = shown.replace("\n", "")
    # The characters that the value alone decides are gone; those at its ends depend on its neighbours as well.
    first, last = -(-len(before) * 8 // 6), (len(before) + len(value.encode())) * 8 // 6
    assert coded[first:last] not in left
    assert coded[first : first + (last - first) // 2 + 1] not in left


@pytest.mark.parametrize("length", [4, 5, 6, 47, 48, 49, 200, 3000])
def test_values_of_every_length_go(length: int) -> None:
    value = Forge().letters(length)
    known = Redactor({"v": value}, key=b"key")
    assert value not in known.redact(f"a {value} b {value}{value}")


def test_a_key_of_many_lines_goes_with_other_line_ends_too() -> None:
    block, _ = Forge().key_block("", 30)
    for text in (block, block.replace("\n", "\r\n"), json.dumps(block)):
        assert ":tls:" in Redactor({"tls": block}, key=b"key").redact(text)


def test_of_two_values_the_longer_is_hidden_whole() -> None:
    known = Redactor({"short": "hunter2hunter", "long": "hunter2hunter-and-more"}, key=b"key")
    assert "more" not in known.redact("x hunter2hunter-and-more y")


def test_hundreds_of_values_are_all_hidden() -> None:
    forge = Forge()
    values = {f"v{number}": forge.letters(24) for number in range(150)}
    known = Redactor(values, key=b"key")
    shown = known.redact(" ".join(values.values()))
    assert not any(value in shown for value in values.values())
    assert ":v149:" in shown


def cut(text: str, places: list[int]) -> list[str]:
    edges = [0, *sorted(place % (len(text) + 1) for place in places), len(text)]
    return [text[one:other] for one, other in itertools.pairwise(edges)]


FILLER = st.sampled_from(["", " ", "\n", "word ", "key: ", "4111 ", "a=", '"', "\\", "%", "&", "é", "x" * 30])


@settings(max_examples=200, deadline=None)
@given(VALUES, st.sampled_from(sorted(ENCODINGS)), FILLER, FILLER, st.lists(st.integers(0, 400), max_size=12))
def test_no_way_to_cut_a_stream_lets_a_registered_value_through(
    value: str, how: str, before: str, behind: str, places: list[int]
) -> None:
    encoded = ENCODINGS[how](value)
    text = before + encoded + behind
    stream = Redactor({"v": value}, key=b"key").stream()
    shown = "".join(stream.feed(chunk) for chunk in cut(text, places)) + stream.close()
    assert encoded not in shown
    assert value not in shown


@settings(max_examples=40, deadline=None)
@given(VALUES, st.binary(max_size=50), st.lists(st.integers(0, 300), max_size=12))
def test_no_way_to_cut_wrapped_base64_lets_a_registered_value_through(
    value: str, before: bytes, places: list[int]
) -> None:
    coded = base64.encodebytes(before + value.encode()).decode()
    stream = Redactor({"v": value}, key=b"key").stream()
    shown = "".join(stream.feed(chunk) for chunk in cut(coded, places)) + stream.close()
    whole = coded.replace("\n", "")
    first, last = -(-len(before) * 8 // 6), (len(before) + len(value.encode())) * 8 // 6
    assert whole[first:last] not in shown.replace("\n", "")


def test_a_secret_number_is_hidden_as_a_float_too() -> None:
    redactor = Redactor({"pin": "4815162342"}, key=b"k")
    hidden = redactor.known({"a": 4815162342.0, "b": 4815162342, "c": 4815162342.5, "d": float("inf")})
    assert hidden == {"a": hidden["b"], "b": hidden["b"], "c": 4815162342.5, "d": float("inf")}
    assert str(hidden["b"]).startswith("[REDACTED:pin:")
