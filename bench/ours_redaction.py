"""Interlock in bench/redaction: one megabyte of each kind of text through the redactor, and one pass of the engine."""

from __future__ import annotations

import argparse
import base64
import json
import random
import string
from collections.abc import Callable

from bench.peers.stopwatch import measured
from interlock.governance.redaction import Redactor
from interlock.governance.redaction.linear import linear

NAME = "Interlock"
MEGABYTE = 1_000_000
ONE_PASS = "one pass of RE2 over the text"
LETTERS = string.ascii_letters + string.digits


def texts() -> dict[str, str]:
    """One megabyte of each kind, the same in every run; secrets are made here and were never anybody's."""
    dice = random.Random(7)

    def letters(length: int) -> str:
        return "".join(dice.choice(LETTERS) for _ in range(length))

    def log(number: int) -> str:
        return (
            f"2026-11-20T23:10:{number % 60:02d}Z INFO request id={dice.randbytes(16).hex()} path=/v1/users/{number} "
            f'status=200 took {number % 90}ms agent="curl/8.0" tokens={number % 4000} key=user:{number}\n'
        )

    def settings(number: int) -> str:
        secret = f'DB_PASSWORD="{letters(18)}"\nGH_TOKEN={"gh" + "p_"}{letters(36)}\n' if number % 40 == 0 else ""
        return f"export PORT=80{number % 100:02d}\nLOG_LEVEL=info\n{secret}url: https://acme.dev/{number}?page=2\n"

    def code(number: int) -> str:
        return (
            f"def handle_{number}(request, session, *, limit: int = {number % 100}) -> dict[str, object]:\n"
            f'    """Answer request {number} with what the store holds for its user, at most as many as asked for."""\n'
            "    rows = session.query(Order).filter(Order.user_id == request.user.id).limit(limit)\n"
            "    password = request.form['password'] if request.form else None\n"
            "    if not check(request.user, password):\n        raise PermissionError('no such user')\n"
            "    return {'rows': [row.as_dict() for row in rows], 'next_page_token': rows.token}\n\n\n"
        )

    def prose(number: int) -> str:
        return f"In paragraph {number} the quick brown fox keeps the secret of the lazy dog, and the key to its house. "

    def rows(number: int) -> str:
        return json.dumps({"id": number, "name": f"user {number}", "created": "2026-11-20T23:10:00Z", "tags": ["a"]})

    made = {"log": log, "settings": settings, "code": code, "prose": prose, "json": rows}
    found = {name: _filled(make) for name, make in made.items()}
    return found | {"base64": base64.b64encode(dice.randbytes(MEGABYTE * 3 // 4)).decode()[:MEGABYTE]}


def _filled(make: Callable[[int], str]) -> str:
    pieces, size, number = [], 0, 0
    while size < MEGABYTE:
        pieces.append(make(number))
        size, number = size + len(pieces[-1]), number + 1
    return "".join(pieces)[:MEGABYTE]


def main() -> None:
    """Measure each kind of text, then a log as a stream of small pieces."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--times", type=int, default=3)
    times = parser.parse_args().times
    known = {f"v{number}": letters for number, letters in enumerate(_values(20))}
    redactor = Redactor(known, key=b"bench")
    for name, text in texts().items():
        redactor.redact(text)
        with measured(NAME, name, times, "interlock"):
            for _ in range(times):
                redactor.redact(text)
        raw, pattern = text.encode(), linear(rb"[A-Z][0-9a-f]{40}[A-Z]")
        with measured(ONE_PASS, name, times, "google-re2"):
            for _ in range(times):
                if pattern.search(raw) is not None:
                    raise SystemExit("found what is not there")
        if name == "log":
            _stream(redactor, text[: MEGABYTE // 20])


def _values(count: int) -> list[str]:
    dice = random.Random(11)
    return ["".join(dice.choice(LETTERS) for _ in range(32)) for _ in range(count)]


def _stream(redactor: Redactor, text: str) -> None:
    """As models speak: some four characters at a time."""
    pieces = [text[at : at + 4] for at in range(0, len(text), 4)]
    stream = redactor.stream()
    with measured(NAME, "piece of a stream", len(pieces), "interlock"):
        shown = "".join(stream.feed(piece) for piece in pieces) + stream.close()
    if len(shown) < len(text) // 2:
        raise SystemExit("the stream lost its text")


if __name__ == "__main__":
    main()
