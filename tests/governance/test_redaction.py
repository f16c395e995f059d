"""The redactor: what its markers say, what stays, JSON, and that it never fails, never tires and never says more."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interlock.governance.redaction import Redactor, redact
from tests.governance.fake_secrets import Forge

SECRET = "correct-horse-battery"
MARKER = re.compile(r"\[REDACTED:[A-Za-z0-9_.-]+:[0-9a-f]{8}\]")


def redactor() -> Redactor:
    return Redactor({"db": SECRET}, key=b"key")


def test_the_marker_says_what_was_there_and_not_what_it_was() -> None:
    shown = redactor().redact(f"log in with {SECRET} now")
    assert MARKER.fullmatch(shown.removeprefix("log in with ").removesuffix(" now"))
    assert ":db:" in shown


def test_equal_secrets_have_equal_markers_and_others_do_not() -> None:
    one, other = Forge(1).tokens()["github"], Forge(2).tokens()["github"]
    markers = MARKER.findall(redactor().redact(f"{one} {other} {one}"))
    assert markers[0] == markers[2] != markers[1]


def test_the_code_depends_on_the_key_so_that_nobody_can_try_out_secrets() -> None:
    assert Redactor({"db": SECRET}, key=b"a").redact(SECRET) != Redactor({"db": SECRET}, key=b"b").redact(SECRET)


def test_the_marker_of_an_encoded_secret_is_that_of_the_plain_one() -> None:
    plain, encoded = redactor().redact(SECRET), redactor().redact(SECRET.encode().hex())
    assert plain == encoded


def test_a_value_can_be_registered_later_under_any_name() -> None:
    late = Redactor(key=b"key")
    assert late.redact("open sesame-1") == "open sesame-1"
    assert late.register("sesame-1", "door / gate")
    assert ":door-gate:" in late.redact("open sesame-1")


@pytest.mark.parametrize("value", ["", "abc", "REDACTED"])
def test_what_is_too_short_or_part_of_the_marker_is_not_registered(value: str) -> None:
    assert not redactor().register(value, "x")


def test_a_registered_value_that_the_marker_would_show_is_not_shown() -> None:
    known = Redactor({"password": "password"}, key=b"key")
    assert "password" not in known.redact("password=password and password: x9!kTz77q")


def test_a_registered_value_inside_of_a_forged_marker_goes() -> None:
    assert "hunter2" not in Redactor({"x": "hunter2"}, key=b"key").redact("[REDACTED:hunter2:deadbeef]")


@pytest.mark.parametrize(
    "text",
    [
        "task c86e0873-3edb-49d1-aca4-e82f97e03272 completed",
        "HEAD is now at 57ae6aa0c368ac4daabd6c2dbb73215a9892bdfc",
        "FROM python:3.12@sha256:5b721d9d4fa716e32aa7cd8b9d5399eee94929cc708c81ad0c41f083ac574eb6",
        "2026-11-20T23:10:00+01:00 build 20261120.1234567",
        "order 8550180364304772 shipped, ISBN 978-3-16-148410-0",
        "export OPENAI_API_KEY=<your key>",
        "api_key = os.getenv('ANTHROPIC_API_KEY')",
        'token = "xxxxxxxxxxxxxxxxxxxxxxxx"',
        "GITHUB_TOKEN: ${{ github.token }}",
        "password: changeme",
        "secret: [REDACTED]",
        "PWD=/home/alice/project OLDPWD=/srv/app",
        "if password != confirm_password: raise ValueError",
        "password: required, min length 12",
        "pass: 12, fail: 3, skip: 1",
        '"completion_tokens": 1234, "token_type": "bearer"',
        "pip install git+ssh://git@gitlab.com/acme/lib.git@v1.2.3 left-pad@1.3.0 @types/node",
        "msg_01XFDUDYJgAACzvnptvVoYEL req_011CSHoEeqs5C35K2UUqR7Fy",
        "docker run -p 8080:80 nginx; mkdir -p /var/lib/app; mysql -u root -p",
        "payload (base64): SGVsbG8gd29ybGQsIHRoaXMgaXMganVzdCBhIHRlc3Q=",
        "https://github.com/acme/app redis://localhost:6379/0 http://proxy:3128",
        "Bearer authentication is required",
        "Cookie: theme=dark; lang=en",
        "",
    ],
)
def test_what_only_looks_like_a_secret_stays(text: str) -> None:
    assert redact(text) == text


def test_members_named_after_secrets_are_hidden_whole() -> None:
    hidden: Any = redactor().redact_json(
        {
            "user": "bob",
            "password": "plain words here",
            "api_key": Forge().letters(32),
            "nested": [{"client_secret": "x9Kq77-zz1"}, f"with {SECRET}"],
            "env": [{"name": "DB_PASSWORD", "value": "x9Kq77"}, {"name": "PORT", "value": "8080"}],
            "pin_password": 123456,
            "completion_tokens": 12,
            "token": None,
            "ok": True,
        }
    )
    assert hidden["user"] == "bob"
    assert hidden["completion_tokens"] == 12
    assert hidden["token"] is None
    assert hidden["ok"] is True
    assert hidden["env"][1]["value"] == "8080"
    for value in (hidden["password"], hidden["api_key"], hidden["nested"][0]["client_secret"], hidden["pin_password"]):
        assert MARKER.fullmatch(value)
    assert MARKER.fullmatch(hidden["env"][0]["value"])
    assert SECRET not in hidden["nested"][1]


def test_a_structure_deeper_than_anything_sane_is_hidden_rather_than_walked() -> None:
    deep: Any = SECRET
    for _ in range(5000):
        deep = [deep]
    shown = redactor().redact_json(deep)
    for _ in range(300):
        if isinstance(shown, str):
            break
        shown = shown[0]
    assert shown == "[REDACTED]"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20) | st.just(SECRET),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["a", "token", SECRET]), inner),
    max_leaves=12,
)


@settings(max_examples=60, deadline=None)
@given(JSON)
def test_no_json_lets_a_registered_value_through(value: Any) -> None:
    assert SECRET not in repr(redactor().redact_json(value))


FRAGMENTS = """password= token: " ' \\ {"key": :// @ bob:x9!kTz77q@host [REDACTED [REDACTED:a:12345678] ] Authorization:
Bearer Cookie: sid= %3D %22 \x1b[1m kind: Secret data: -p mysql 4111 +1 DE \n é \ud800 bob@firma.de"""
PIECES = st.sampled_from(
    [
        *FRAGMENTS.split(" "),
        *Forge(3).tokens().values(),
        *Forge(3).key_block()[0].split("\n"),
        *("\n", " ", SECRET, SECRET[:9], "4111 1111 1111 1111"),
    ]
)
TEXTS = st.lists(PIECES | st.text(max_size=8), max_size=14).map("".join)


@settings(max_examples=250, deadline=None)
@given(TEXTS)
def test_redacting_twice_is_redacting_once(text: str) -> None:
    known = redactor()
    once = known.redact(text)
    assert known.redact(once) == once
    assert SECRET not in once


@settings(max_examples=150, deadline=None)
@given(st.text(alphabet=st.characters(), max_size=200))
def test_no_text_makes_it_raise(text: str) -> None:
    assert isinstance(redact(text), str)


HOSTILE = """a A1 sk- sk-proj- eyJ ghp_ ://a:b@ a@a. a@ 4111 password= password=$x cookie: data: :: é \\ " ' _ mysql-p
[REDACTED: \x1b[0m correct-horse-batter"""


@pytest.mark.parametrize(
    "unit",
    [
        *HOSTILE.split(),
        "key key ",
        "4111 1111 1111 1112 ",
        "+1 415 ",
        "mnemonic: word ",
        "authorization: digest ",
        "kind: Secret\ndata:\n  a: b\n",
        "-----BEGIN " + "RSA PRIVATE KEY-----\n",
        "-----END " + "RSA PRIVATE KEY-----\n",
        'password: "',
        "name: password ",
        "mysql -p",
        " ",
    ],
)
def test_a_hostile_text_takes_time_in_proportion_to_its_length(unit: str) -> None:
    text = unit * (40_000 // len(unit))
    start = time.process_time()
    redactor().redact(text)
    # Proportional means some 0.1 s here; anything quadratic takes minutes.
    assert time.process_time() - start < 5


def test_importing_interlock_or_the_redactor_does_not_load_the_pattern_engine() -> None:
    code = "import sys, interlock, interlock.governance.redaction; sys.exit('re2' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0
