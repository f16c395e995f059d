"""Registered values at random: no form of theirs and no way to cut a text lets one through."""

from __future__ import annotations

import base64
import html
import itertools
import json
import string
import urllib.parse

from hypothesis import assume, given
from hypothesis import strategies as st

from interlock.governance.redaction import Redactor, Scope
from tests.fuzz.size import tried

VALUE = st.text(string.ascii_letters + string.digits + "-_/+=.:@#%&'\"\\ <>é€😀\n", min_size=6, max_size=40)
AROUND = st.text(string.ascii_letters + " .,:;=\"'{}[]\\\n/+%&-_é😀0", max_size=30)
FORMS = {
    "plain": str,
    "json": lambda value: json.dumps(value)[1:-1],
    "json, letters too": lambda value: json.dumps(value, ensure_ascii=False)[1:-1],
    "json in json": lambda value: json.dumps(json.dumps(value))[1:-1],
    "url": lambda value: urllib.parse.quote(value, safe=""),
    "url, some": urllib.parse.quote,
    "form": urllib.parse.quote_plus,
    "html": html.escape,
    "hex": lambda value: value.encode().hex(),
    "base64": lambda value: base64.b64encode(value.encode()).decode(),
    "base64 behind one": lambda value: base64.b64encode(b"x" + value.encode() + b"yz").decode(),
    "base64 behind two": lambda value: base64.b64encode(b"xy" + value.encode() + b"z").decode(),
    "base64 for addresses": lambda value: base64.urlsafe_b64encode(value.encode()).decode().rstrip("="),
}
FORM = st.sampled_from(sorted(FORMS))
SCOPE = st.sampled_from(list(Scope))


def holds(text: str, value: str) -> bool:
    """Whether a reader would find the value: in the text as it is, or with its escapes taken back."""
    return value in text or value in urllib.parse.unquote_plus(text) or value in html.unescape(text)


def cut(text: str, places: list[int]) -> list[str]:
    edges = [0, *sorted(place % (len(text) + 1) for place in places), len(text)]
    return [text[a:b] for a, b in itertools.pairwise(edges)]


@tried(300)
@given(VALUE, FORM, AROUND, AROUND, SCOPE, st.lists(st.integers(0, 10_000), max_size=12))
def test_no_form_and_no_cut_lets_a_registered_value_through(
    value: str, form: str, before: str, behind: str, scope: Scope, places: list[int]
) -> None:
    assume(value not in before + behind and value.strip())
    redactor = Redactor({"v": value}, key=b"k")
    written = FORMS[form](value)
    text = before + written + behind
    stream = redactor.stream(scope)
    streamed = "".join(stream.feed(piece) for piece in cut(text, places)) + stream.close()
    for shown in (
        redactor.redact(text, scope),
        streamed,
        json.loads(json.dumps(redactor.redact_json({"a": [text]}, scope)))["a"][0],
    ):
        # What is left of base64 with something before it are the characters that belong to both.
        assert written not in shown
        assert not holds(shown, value)


@tried(200)
@given(VALUE, AROUND, AROUND)
def test_a_text_without_it_is_the_same_object(value: str, before: str, behind: str) -> None:
    text = before + behind
    redactor = Redactor({"v": value}, key=b"k")
    assume(not redactor.holds(text))
    assert redactor.known(text) is text
    value_of_json = {"a": [text, 1, None]}
    assert redactor.known(value_of_json) is value_of_json


@tried(150)
@given(st.lists(VALUE, min_size=1, max_size=5, unique=True), st.lists(AROUND, min_size=2, max_size=6), SCOPE)
def test_a_structure_keeps_its_shape_and_says_what_its_texts_would_say(
    values: list[str], around: list[str], scope: Scope
) -> None:
    redactor = Redactor({f"v{at}": value for at, value in enumerate(values)}, key=b"k")
    texts = [text + values[at % len(values)] for at, text in enumerate(around)]
    assert redactor.redact_json(texts, scope) == [redactor.redact(text, scope) for text in texts]
