"""Personal data: it goes when its checks hold, and what only has its form stays."""

from __future__ import annotations

import pytest

from interlock.governance.redaction import redact
from interlock.governance.redaction.personal import is_card, is_iban, is_social_security_number, luhn
from tests.governance.fake_secrets import Forge

FORGE = Forge(31)


def grouped(digits: str, mark: str = " ") -> str:
    return mark.join(digits[at : at + 4] for at in range(0, len(digits), 4))


@pytest.mark.parametrize(
    ("prefix", "length"), [("4", 16), ("51", 16), ("2221", 16), ("34", 15), ("6011", 16), ("36", 14)]
)
def test_a_card_number_goes_in_one_piece_or_in_groups(prefix: str, length: int) -> None:
    card = FORGE.card(prefix, length)
    assert is_card(card)
    shown = [card]
    if length == 16:
        shown += [grouped(card), grouped(card, "-")]
    for number in shown:
        for around in ("card {} exp 12/27", "PAN={}", '"n":"{}"', "charge {}.", "a,{},b"):
            assert number not in redact(around.format(number))


def test_a_wrong_check_digit_or_an_unknown_scheme_stays() -> None:
    card = FORGE.card("4", 16)
    wrong = card[:-1] + str((int(card[-1]) + 1) % 10)
    assert not luhn(wrong)
    for text in (
        f"card {wrong}",
        f"order {FORGE.card('8', 16)} shipped",
        f"order {card} shipped",
        "card ending in 4242",
    ):
        assert redact(text) == text


def test_the_digits_in_front_of_a_card_number_do_not_hide_it() -> None:
    number = grouped(FORGE.card("4", 16))
    assert number not in redact(f"2026 {number} 12/27")


@pytest.mark.parametrize(("country", "length"), [("DE", 22), ("FR", 27), ("ES", 24), ("AT", 20), ("BE", 16)])
def test_an_account_number_goes_in_one_piece_or_in_groups(country: str, length: int) -> None:
    account = FORGE.iban(country, length)
    assert is_iban(account)
    assert not is_iban(account[:-1])
    for number in (account, grouped(account)):
        assert number not in redact(f"IBAN: {number} for the rent")
        assert "for the rent" in redact(f"IBAN: {number} for the rent")


@pytest.mark.parametrize(
    "text",
    [
        "Call me at +1 (415) 555-2671",
        "tel +44 20 7946 0958",
        "WhatsApp +91 98765 43210",
        "+43 664 2732396",
        "call 415-555-0132",
        "Phone (212) 555-0187 or mail us",
        '"phone":"4155550132"',
        "Telefon: 0171/1234567",
    ],
)
def test_a_phone_number_goes_when_its_form_or_a_word_says_so(text: str) -> None:
    assert "[REDACTED:phone:" in redact(text)
    assert not any(run.isdigit() and len(run) > 4 for run in redact(text).split())


@pytest.mark.parametrize(
    "text",
    [
        "2026-11-20T23:10:00+01:00",
        "@@ -12,7 +12,9 @@",
        "port range 8000-8100",
        "call 10000000 times",
        "lat 48.20849, lon 16.37208",
        "+1 more",
        "192.168.100.200/24",
    ],
)
def test_other_numbers_stay(text: str) -> None:
    assert redact(text) == text


def test_a_social_security_number_goes_only_with_its_name_and_when_it_can_exist() -> None:
    assert is_social_security_number("536228726")
    for text in ("SSN: 536-22-8726", "ssn=457555462", "Social Security No. 536 22 8726"):
        assert "[REDACTED:ssn:" in redact(text)
    for text in ("536-22-8726 items", "ssn: 000-12-3456", "ssn: 666-12-3456", "ssn: 900-12-3456"):
        assert redact(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "From: <li_wei86@firma.de>",
        "user=j71@sub.corp.net;",
        "mailto:o.connor+news@mail.example.co.uk",
        "?m=bob%40x.io&a=1",
    ],
)
def test_an_address_goes(text: str) -> None:
    assert "[REDACTED:email:" in redact(text)
    assert not any(part in redact(text) for part in ("firma.de", "corp.net", "example.co.uk", "x.io"))


@pytest.mark.parametrize(
    "text",
    [
        "git clone git@github.com:acme/app.git",
        "npm install react@18.2.0 @types/node@20.1.0",
        "actions/checkout@v4 icon@2x.png getty@tty1.service",
        "scp x bob@host.acme.dev:/tmp",
        "ssh deploy@server.acme.dev uptime",
        "root@server:~# ls",
        "@app.route('/users')",
    ],
)
def test_what_only_has_an_at_sign_stays(text: str) -> None:
    assert redact(text) == text
