"""The screen: it keeps no rule from a text in which that finds anything, and most of them from texts that are clean."""

from __future__ import annotations

import base64
import html
import json
import random
import re
import string
import time
import urllib.parse
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import chain
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interlock.governance.redaction import Redactor, Scope, structures
from interlock.governance.redaction.assignments import find_assignments
from interlock.governance.redaction.command_lines import find_in_command_lines
from interlock.governance.redaction.decoding import SHOWN, SIGNS, find_encoded
from interlock.governance.redaction.findings import Finding, merge
from interlock.governance.redaction.key_blocks import find_key_blocks
from interlock.governance.redaction.linear import linear
from interlock.governance.redaction.names import PROMISES, Secrecy, promise, words
from interlock.governance.redaction.personal import find_personal
from interlock.governance.redaction.places import find_in_places
from interlock.governance.redaction.providers import find_tokens
from interlock.governance.redaction.redactor import DEFAULT_RULES
from interlock.governance.redaction.screen import Rule, likely
from interlock.governance.redaction.token_forms import FORMS, MARKED, token_signs
from tests.governance import test_redaction, test_redaction_credentials, test_redaction_personal
from tests.governance.fake_secrets import Forge

FORGE = Forge(41)
TOKENS = FORGE.tokens()
BLOCK, _ = FORGE.key_block()
REDACTOR = Redactor(key=b"key")
#: More text than all signs are looked for at once in, and none of it with a sign.
LONG = "and so it goes on\n" * 2000


def by_every_rule(raw: bytes, scope: Scope) -> list[Finding]:
    """What is found when each rule looks everywhere."""
    rules = [rule for rule in DEFAULT_RULES if scope is Scope.EVERYTHING or rule is not find_personal]
    everywhere = [partial(find_assignments, everywhere=True) if rule is find_assignments else rule for rule in rules]
    encoded = find_encoded(raw, lambda plain: chain(find_tokens(plain), find_key_blocks(plain)))
    return merge(chain(*(rule(raw) for rule in everywhere), encoded), raw)


def check(text: str) -> None:
    raw = text.encode("utf-8", "surrogatepass")
    for scope in (Scope.CREDENTIALS, Scope.EVERYTHING):
        assert REDACTOR.find(raw, scope) == by_every_rule(raw, scope)


POSITIVE: dict[Rule, tuple[str, ...]] = {
    find_tokens: tuple(TOKENS.values()),
    find_key_blocks: (
        BLOCK,
        BLOCK[100:],
        f"PuTTY-User-Key-File-3: ssh-rsa\n{FORGE.base64(40)}",
        f'{{"kty": "EC", "d": "{FORGE.url_base64(32)}"}}',
    ),
    find_in_places: (
        "postgres://app:x9!kTz77q@db/x",
        "next=https%3A%2F%2Fbob:x9!kTz77q@host",
        r'"https:\/\/bob:x9!kTz77q@host"',
        f"https://{FORGE.letters(30)}@git.acme.dev",
        '{"name": "DB_PASSWORD", "value": "x9!kTz77q"}',
        '- key: "my_pswd"\n  value: x9!kTz77q',
        r"{\"id\": \"a PAT\", \"content\": \"" + FORGE.letters(24) + r"\"}",
        "name=pat,value=" + FORGE.letters(24),
        "<property name='db.passwd' x='1'>x9!kTz77q</property>",
        "db.internal:5432:app:bob:x9!kTz77q",
        "machine api.acme.dev login bob password x9!kTz77q",
        "CREATE USER bob IDENTIFIED BY 'x9!kTz77q'",
        "sqlplus bob/x9!kTz77q@db",
        "openssl rsa -passin pass:x9!kTz77q",
        f"bob:500:{FORGE.hex(32)}:{FORGE.hex(32)}:::",
        f"set-cookie: sid={FORGE.letters(24)}",
        f"curl -b 'sid={FORGE.letters(24)}' x",
        f"{TOKENS['aws']},{FORGE.base64(30)}",
        "kind: Secret\nstringData:\n  a: x9!kTz77q\n",
        '{"kind": "Secret", "data": {"a": "x9!kTz77q"}}',
    ),
    find_in_command_lines: (
        "mysql -u root -px9!kTz77q shop",
        "docker -D login -p x9!kTz77q r.acme.dev",
        "rabbitmqctl add_user bob x9!kTz77q",
        "curl -s -u bob:x9!kTz77q x",
        "echo x9!kTz77q | sudo -S id",
        "net use z: /user:bob x9!kTz77q",
    ),
    find_assignments: (
        "password: x9!kTz77q",
        "--password hunterhunter",
        "?pass=hunterhunter",
        "a&pwd=hunterhunter&b",
        "DB_PASSWORD= hunterhunter",
        "otp: 123456",
        "'senha': 'hunterhunter'",
        'pwd: |\n  "hunterhunter"',
        "token_pswd: b'hunterhunter'",
        "passphrase: foo-bar-",
        "password: foo..bar",
        "password: .foobar",
        "password: foo.(bar)",
        "password: foo,bar",
        "password: (foobar",
        "password: aBcDeFgHiJkLm",
        "password Bcdfghjk!",
        "password Ab-Cd-Ef-Gh",
        f"api_key={FORGE.hex(32)}",
        f"api key is {FORGE.letters(20)}",
        f"secret: token {FORGE.letters(20)}",
        "api_key: abcdefab-abcd-abcd-abcd-abcdefabcdef",
        "api_key: aBcDeFgHiJkLm",
        "token: " + "1234567890" * 3,
        f"('auth_token', '{FORGE.letters(24)}')",
        f"session: {FORGE.letters(24)}",
        f'"salt": "{FORGE.letters(24)}"',
        f"<b>key</b>\n<i class='x'>{FORGE.letters(24)}",
        'Authorization: Digest username="bob", response="6629fae49393a05397450978507c4ef1"',
        f"mnemonic: {'abandon ' * 12}",
        f"seed_phrase: {'abandon ' * 12}",
        "mfa: 123456",
        f"pat: {FORGE.letters(24)}",
        "password$x_key: 'hunterhunter'",
        "api_key: Ab-Cd-Ef-Gh-Ij",
        "api_key: xbcDFGhkjLMNpqrSTV",
        f"api_key&#61;{FORGE.letters(24)}",
        f"secret: digest {FORGE.letters(20)}",
        f"api_key: <b>{FORGE.letters(24)}",
        f"api_key: ab/{FORGE.letters(24)}",
        f"send it as bearer {FORGE.letters(24)}",
        f"as=bearer%20{FORGE.letters(24)}",
        "basic " + base64.b64encode(b"bob:hunter").decode(),
    ),
    find_personal: (
        FORGE.card("4", 16),
        FORGE.iban("DE", 22),
        "+43 664 2732396",
        "call 415-555-0132",
        "(212) 555-0187",
        "ssn: 536-22-8726",
        "bob%40firma.de",
    ),
}


@pytest.mark.parametrize("rule", POSITIVE, ids=lambda rule: rule.__name__)
def test_what_a_rule_finds_has_a_sign_of_that_rule(rule: Rule) -> None:
    for text in POSITIVE[rule]:
        for whole in (text, f"x\n{text}", LONG + text):
            raw = whole.encode()
            assert list(rule(raw)), text
            assert rule in likely((rule,), raw), text
            check(whole)


@settings(max_examples=400, deadline=None)
@given(st.data())
def test_every_form_of_a_token_has_a_sign(data: st.DataObject) -> None:
    forms = [form for forms in FORMS.values() for form in forms] + [form for _, _, form in MARKED]
    form = data.draw(st.sampled_from(forms))
    token = data.draw(st.from_regex(re.compile(form, re.ASCII), fullmatch=True))
    assert linear(token_signs(), groups=False).search(f"={token}".encode())


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=4), st.text(alphabet=string.printable, min_size=SHOWN, max_size=40), st.binary(max_size=4))
def test_ascii_in_base64_has_a_sign_wherever_it_begins(before: bytes, text: str, behind: bytes) -> None:
    for plain in (text.encode(), text.encode("utf-16-le"), b"sk.eyJ"):
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            assert linear(SIGNS, groups=False).search(encode(before + plain + behind))


@pytest.mark.parametrize("length", [b"\x82\x04\xa4", b"\x81\xa4", b"\x2e"])
@pytest.mark.parametrize("version", [b"\x02\x01\x00\x30\x0d\x06", b"\x02\x01\x00\x02", b"\x02\x01\x01\x04\x20"])
@pytest.mark.parametrize("prefix", ["", "/", "a/b", "_x-"])
def test_a_key_in_base64_without_its_lines_is_found(length: bytes, version: bytes, prefix: str) -> None:
    key = base64.b64encode(b"\x30" + length + version + FORGE.dice.randbytes(60)).decode()
    assert "[REDACTED:private-key:" in REDACTOR.redact(f"DER {prefix}{key}")
    check(f"DER {prefix}{key}")


@pytest.mark.parametrize("value", ["pässe", "hunter", "x" * (SHOWN - 1)])
def test_a_registered_value_too_short_to_show_in_base64_is_found_all_the_same(value: str) -> None:
    escaped = base64.b64encode(f"\xff\xfe{urllib.parse.quote(value)}\xff, and some more".encode("latin-1")).decode()
    assert escaped not in Redactor({"v": value}, key=b"key").redact(escaped)


WORDS = sorted(
    words(
        "pass word pwd psk pswd pw passw senha kennwort contrasena otp totp cvv cvc mfa mnemonic seed phrase recovery "
        "backup secret token tokens api access client key keys data session sess id sid jsessionid auth authorization "
        "cred creds bearer jwt pat salt pepper sig signature my db x 1 prod env user name page"
    )
)
NAMES = st.lists(
    st.sampled_from(WORDS).flatmap(lambda word: st.sampled_from([word, word.title(), word.upper()])),
    min_size=1,
    max_size=4,
).flatmap(lambda parts: st.sampled_from(["", "_", "-", ".", "$"]).map(lambda mark: mark.join(parts)))


@settings(max_examples=300, deadline=None)
@given(NAMES)
def test_every_name_that_promises_a_secret_has_one_of_the_words_for_it(name: str) -> None:
    assert promise(name).secrecy is Secrecy.NONE or re.search(PROMISES, name.encode())


def texts_of_tests() -> Iterator[str]:
    """Every text that another test hands to a rule, its blanks filled in."""
    for module in (test_redaction, test_redaction_credentials, test_redaction_personal):
        for test in list(vars(module).values()):
            for mark in getattr(test, "pytestmark", ()):
                yield from strings(mark.args[1:])


def strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Iterable):
        yield from chain.from_iterable(map(strings, value))


def test_the_texts_of_the_other_tests_say_the_same_with_the_screen_as_without() -> None:
    texts = list(texts_of_tests())
    assert len(texts) > 150
    for text in texts:
        for secret in (FORGE.password(), FORGE.letters(32), TOKENS["github"]):
            check(text.replace("{}", secret).replace("{{", "{").replace("}}", "}"))


SEPARATORS = [
    *(
        "=",
        ":",
        ": ",
        " = ",
        "=>",
        "==",
        "%3D",
        "\\u003d",
        " is ",
        " ist ",
        " for bob is ",
        " set to ",
        "\t",
        " ",
        ">",
        " | ",
    ),
    *(
        "</b>\n<i>",
        ", '",
        ',"',
        '": "',
        '\\": \\"',
        "': '",
        "'] = ",
        "**: `",
        ": str = ",
        "&quot;:&quot;",
        ", &quot;",
        ":'\"'",
    ),
    *(": \x1b[33m", ": |\n  ", ": >-\n  ", ':\n  "', ': {"value": "', "= b'", ":'''", "::"),
]
AROUND = [
    "",
    "",
    "\n",
    " ",
    "?",
    "&",
    '"',
    "'",
    "-",
    "--",
    "$",
    "(",
    "<",
    "export ",
    "x",
    "é",
    "\\n",
    "<td>",
    ", ",
    ";",
    "`",
    "&x=1",
]
ODD = sorted(
    words(
        "hunterhunter hunter2 Hunter-two foo.bar(baz) foo_bar foo..bar foo.(x) .foobar foo- --foo Bcdfghjk! X-Y-z-abc "
        "foo,bar foo)bar foo]bar aBcDeFgHiJkLm 12345678-1234-1234-1234-123456789012 123456 R0_ a1 pässwörd ${X} \\n"
    )
)
ALPHABETS = st.sampled_from(
    [string.ascii_letters + string.digits, "0123456789abcdef", "abcXYZ", "aB_.-", "abC1_.-()[]:,;!?*}&=%$\\/@#'\""]
)
VALUES = (
    st.sampled_from(ODD)
    | st.sampled_from([*TOKENS.values(), *BLOCK.split("\n"), FORGE.uuid(), FORGE.password()])
    | ALPHABETS.flatmap(lambda alphabet: st.text(alphabet, min_size=3, max_size=36))
)
EDGES = st.sampled_from(AROUND)
SCHEMES = st.sampled_from(["", "", "", "Bearer ", "basic%20", "token ", "Digest "])
NAMED = st.builds("".join, st.tuples(EDGES, NAMES, st.sampled_from(SEPARATORS), EDGES, SCHEMES, VALUES, EDGES))
PLACED = st.builds(
    lambda text, value: text.replace("{}", value), st.sampled_from(list(texts_of_tests())), VALUES
) | st.sampled_from([text for texts in POSITIVE.values() for text in texts])
CHANGES: tuple[Callable[[str], str], ...] = (
    str,
    str.upper,
    str.lower,
    str.swapcase,
    json.dumps,
    urllib.parse.quote,
    html.escape,
    lambda text: text.replace(" ", "\t"),
    lambda text: text.replace(" ", "\n"),
    lambda text: text.replace(" ", ""),
    lambda text: base64.b64encode(text.encode()).decode(),
    lambda text: text[len(text) // 3 :],
    lambda text: text[: len(text) // 3 * 2],
    lambda text: LONG + text + "\n" + LONG,
)
CHANGED = st.builds(lambda text, change: change(text), NAMED | PLACED, st.sampled_from(CHANGES))


@settings(max_examples=600, deadline=None)
@given(st.lists(CHANGED, min_size=1, max_size=3).map("".join))
def test_the_screen_loses_nothing_and_adds_nothing(text: str) -> None:
    check(text)


CLEAN = """The runner asked the planner for the next step, and wrote what came back to the journal of run 17.
def planned(request, session, *, limit: int = 10) -> dict[str, object]:
    password = request.form['password'] if request.form else None
    return {'rows': [row.as_dict() for row in rows], 'next_page_token': rows.token}
2026-11-20T23:10:00Z INFO request id=57ae6aa0c368ac4daabd6c2dbb73215a path=/v1/users/7 tokens=1234 key=user:7
In every house keeps the key its secret, and each author signs: passed 12 tests, side by side: https://acme.dev/a
{"id": 17, "name": "user 17", "created": "2026-11-20T23:10:00Z", "token_type": "bearer", "completion_tokens": 42}
"""


def test_no_rule_looks_through_a_text_without_signs() -> None:
    for text in CLEAN.splitlines():
        assert not likely(DEFAULT_RULES, text.encode()), text
    assert not likely(DEFAULT_RULES, (CLEAN * 100).encode())


def test_a_rule_of_ones_own_looks_through_every_text() -> None:
    redactor = Redactor(key=b"key", rules=(lambda raw: [Finding(0, 3, "own")], find_tokens))
    assert redactor.redact("one two") == f"{redactor.mark('own', b'one').decode()} two"


@pytest.mark.parametrize(
    "alphabet", [string.ascii_letters + string.digits, "MNO-_.", string.printable, "key= :\n\"'a1"]
)
@pytest.mark.parametrize("size", [16_000, 300_000])
def test_a_text_of_random_letters_takes_no_longer_for_the_screen(alphabet: str, size: int) -> None:
    raw = "".join(random.Random(3).choices(alphabet, k=size)).encode()
    start = time.process_time()
    REDACTOR.find(raw)
    # Some 0.1 s at most; without an automaton it would take minutes.
    assert time.process_time() - start < 5


LEAVES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=9) | CHANGED
KEYS = st.sampled_from(["a", "name", "key", "value", "Value", "text", "0"]) | NAMES | st.integers(0, 3)
JSON = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=3) | st.lists(inner, max_size=2).map(tuple) | st.dictionaries(KEYS, inner, max_size=4)
    ),
    max_leaves=8,
)


@settings(max_examples=200, deadline=None)
@given(JSON, st.sampled_from([Scope.CREDENTIALS, Scope.EVERYTHING]))
def test_a_structure_says_what_a_walk_through_all_of_it_would_say(value: Any, scope: Scope) -> None:
    look = structures._Look(scope)
    look.copied(value, 0)
    walked = structures._Walk(REDACTOR, scope, frozenset(look.texts)).value(value, "", 0)
    assert repr(REDACTOR.redact_json(value, scope)) == repr(walked)


def test_a_clean_structure_is_copied_so_that_nobody_changes_what_was_looked_at() -> None:
    value: dict[str, Any] = {"text": "step 17", "rows": [1, 2.5, {"ok": True}], "pair": ("a", None)}
    copy = REDACTOR.credentials(value)
    value["rows"][2]["ok"] = "password: x9!kTz77q"
    assert copy == {"text": "step 17", "rows": [1, 2.5, {"ok": True}], "pair": ("a", None)}
