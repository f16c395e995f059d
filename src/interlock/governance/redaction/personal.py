"""Personal data: cards, bank accounts, phone and social security numbers, e-mail addresses, each with its checks."""

from __future__ import annotations

import re
from collections.abc import Iterator

from interlock.governance.redaction.findings import Finding
from interlock.governance.redaction.linear import linear
from interlock.governance.redaction.names import words

#: First digits and lengths of the card schemes in use. Longer cards are rarer than ids of 17 to 19 digits.
_SCHEMES: tuple[tuple[re.Pattern[str], tuple[int, ...]], ...] = (
    (re.compile("4"), (16,)),
    (re.compile("5[1-5]|222[1-9]|22[3-9]|2[3-6]|27[01]|2720"), (16,)),
    (re.compile("3[47]"), (15,)),
    (re.compile("6011|64[4-9]|65|622"), (16,)),
    (re.compile("35(?:2[89]|[3-8])"), (16,)),
    (re.compile("3(?:0[0-5]|095|6|[89])"), (14, 16)),
    (re.compile("62|81"), (16,)),
    (re.compile("50|5[6-8]|63|67|6759"), (16,)),
    (re.compile("220[0-4]|9792|60|508|652"), (16,)),
)
_CARD = (
    rb"(?:\A|[^\w.,+-]|[^\d],)([2-6]\d{13,15}|[2-6]\d{3}[ .-]\d{4}[ .-]\d{4}[ .-]\d{4}(?:[ .-]\d{1,3})?|"
    rb"3\d{3}[ .-]\d{6}[ .-]\d{4,5})\b"
)
_NOT_A_CARD = re.compile(
    rb"(?:order|tracking|invoice|isbn|ean|imei|serial|sku|snowflake)[ #:=\w.]{0,12}$", re.IGNORECASE
)

#: Lengths of the account numbers of each country in the IBAN registry.
_IBAN_LENGTHS = {
    country: int(length)
    for length, countries in {
        "15": "NO", "16": "BE BI", "18": "DK FI FO GL NL SD FK", "19": "MK SI", "20": "AT BA EE KZ LT LU XK MN",
        "21": "CH HR LI LV", "22": "BG BH CR DE GB GE IE ME RS VA", "23": "AE IL IQ TL OM SO",
        "24": "AD CZ ES MD PK RO SA SE SK TN VG", "25": "LY PT ST", "26": "IS TR", "27": "FR GR IT MC MR SM DJ",
        "28": "AL AZ BY CY DO GT HU LB NI PL SV", "29": "BR EG PS QA UA", "30": "JO KW MU YE", "31": "MT SC",
        "32": "LC", "33": "RU",
    }.items()
    for country in countries.split()
}  # fmt: skip
_IBAN = rb"(?:\A|[^A-Za-z0-9])([A-Z]{2}\d{2}(?:[ -]?[A-Z0-9]{4}){2,7}(?:[ -]?[A-Z0-9]{1,3})?)\b"

_PHONE_PLUS = rb"(?:\A|[^\w+.])(\+[1-9]\d{0,2}[ .-]?(?:\(0?\)[ ]?)?\(?\d{1,5}\)?(?:[ ./-]?\d{2,10}){1,5})"
_PHONE_WORD = (
    rb"(?i)(?:\b(?:tele)?phone|\btel|\bmobil(?:e|funk)?|\bcell(?:ular)?|\bcall(?:ed|ing)?|\bfax|\bsms|\btext|"
    rb"\bwhats ?app|\bhandy|\btelefon|\bt(?:e|\xc3\xa9)l(?:e|\xc3\xa9)phone|\bm(?:o|\xc3\xb3)vil|\bcontact|\bdial|"
    rb"\bring|\bhotline|\breach|[_-]phone|[_-]tel|[_-]mobile|phonenumber|phone_number|mobilenumber|\bmsisdn|\bph)"
    rb"[\"'.:=#>* \t]{1,6}(?:(?:me|us|at|on|him|her|them|is|no|nr|number|num|to|the)\b[\"'.:=# \t]{1,4}){0,3}"
    rb"((?:\+|00)?\(?\d{1,5}\)?(?:[ ./-]{0,3}\(?\d{2,8}\)?){1,5})"
)
_PHONE_US = rb"(?:\A|[^\w.-])(\([2-9]\d{2}\) ?[2-9]\d{2}[-. ]\d{4})\b"
_GOES_ON = re.compile(rb"[A-Za-z0-9]|[.,]\d")
_PLAIN = re.compile(rb"\d+$")

_SSN = (
    rb"(?i)(?:\bssn|_ssn|social[ _-]?sec(?:urity)?|\bsoc\.? ?sec|\btax[ _-]?id|\btin\b|\bitin)"
    rb"[^0-9\n]{0,24}(\d{3}[- .]?\d{2}[- .]?\d{4})\b"
)

_EMAIL = (
    rb"([A-Za-z0-9_\x80-\xff][A-Za-z0-9._%+'\x80-\xff-]*)(@|%40|\\u0040|&#64;|&commat;)"
    rb"((?:[A-Za-z0-9\x80-\xff][A-Za-z0-9\x80-\xff-]*\.)+[A-Za-z\x80-\xff]{2,24})\b"
)
#: What looks like a top-level domain behind an `@` and is a file, a unit or a version.
_NO_DOMAIN = words(
    "png jpg jpeg gif svg webp ico css scss js mjs ts tsx jsx json py rb rs go java php md txt yml yaml toml "
    "lock sh service socket timer mount target slice scope device path swap local git latest next beta alpha "
    "rc canary svc internal localdomain lan html htm xml csv log conf cfg exe dll so zip gz tar whl jar"
)
_MACHINE_ACCOUNTS = frozenset((b"git", b"hg", b"svn"))
_REMOTE = re.compile(rb"(?:\b(?:ssh|scp|sftp|rsync|mosh|ssh-copy-id)\b[^\n]{0,60}|[a-z]://)$")


#: One of these is in every text with personal data.
SIGNS = b"|".join(b"(?:" + sign + b")" for sign in (_CARD, _IBAN, _PHONE_PLUS, _PHONE_WORD, _PHONE_US, _SSN, _EMAIL))


def find_personal(raw: bytes) -> Iterator[Finding]:
    """All personal data in a text that passes its checks."""
    yield from _cards(raw)
    yield from _accounts(raw)
    yield from _phones(raw)
    yield from _social(raw)
    if b"@" in raw or b"40" in raw or b"#64" in raw or b"commat" in raw:
        yield from _emails(raw)


def luhn(digits: str) -> bool:
    """Whether the last digit is the Luhn check digit of the others."""
    total = 0
    for at, digit in enumerate(reversed(digits)):
        number = int(digit) * (1 + at % 2)
        total += number - 9 * (number > 9)
    return total % 10 == 0


def is_card(digits: str) -> bool:
    """Whether this is a number a card scheme could have given out."""
    known = any(prefix.match(digits) and len(digits) in lengths for prefix, lengths in _SCHEMES)
    return known and luhn(digits) and len(set(digits)) > 2


def is_iban(text: str) -> bool:
    """Whether country, length and the check digits (mod 97) fit. Spaces and hyphens do not count."""
    plain = re.sub(r"[ -]", "", text)
    if _IBAN_LENGTHS.get(plain[:2]) != len(plain) or not plain.isalnum() or not plain.isascii():
        return False
    return int("".join(str(int(c, 36)) for c in plain[4:] + plain[:4])) % 97 == 1


def is_social_security_number(digits: str) -> bool:
    """Whether the US could have given out these nine digits."""
    area, group, serial = digits[:3], digits[3:5], digits[5:]
    return area not in ("000", "666") and area[0] != "9" and group != "00" and serial != "0000"


def _cards(raw: bytes) -> Iterator[Finding]:
    pattern, at = linear(_CARD), 0
    while (match := pattern.search(raw, at)) is not None:
        start, end = match.span(1)
        shown = raw[start:end]
        digits = re.sub(rb"\D", b"", shown).decode()
        grouped = not _PLAIN.match(shown)
        lengths = (len(digits), 16) if grouped and len(digits) > 16 else (len(digits),)
        length = next((n for n in lengths if is_card(digits[:n])), 0)
        if length and (grouped or not _NOT_A_CARD.search(raw[max(0, start - 24) : start])):
            end = start + (19 if length == 16 and grouped else end - start)
            yield Finding(start, end, "card")
            at = end
        else:
            # Digits in front of a card number are not a part of it: look again behind the first group.
            at = start + 4 if grouped else end


def _accounts(raw: bytes) -> Iterator[Finding]:
    for match in linear(_IBAN).finditer(raw):
        start, end = match.span(1)
        text = raw[start:end].decode("ascii")
        # The word behind an account number may look like its last group.
        for cut in sorted({end - start, *(at for at, c in enumerate(text) if c in " -")}, reverse=True):
            if is_iban(text[:cut]):
                yield Finding(start, start + cut, "iban")
                break


def _phones(raw: bytes) -> Iterator[Finding]:
    if b"+" in raw:
        for match in linear(_PHONE_PLUS).finditer(raw):
            start, end = match.span(1)
            if _is_phone(raw[start:end], 8) and not _GOES_ON.match(raw, end):
                yield Finding(start, end, "phone")
    for pattern in (_PHONE_WORD, _PHONE_US):
        for match in linear(pattern).finditer(raw):
            start, end = match.span(1)
            if _is_phone(raw[start:end], 7) and not raw[end : end + 1].isalpha():
                yield Finding(start, end, "phone")


def _is_phone(shown: bytes, least: int) -> bool:
    digits = re.sub(rb"\D", b"", shown)
    if not least <= len(digits) <= 15 or len(set(digits)) < 2:
        return False
    # A plain count is no phone number: without a plus or separators it must be as long as one.
    return not _PLAIN.match(shown) or 9 <= len(digits) <= 12


def _social(raw: bytes) -> Iterator[Finding]:
    for match in linear(_SSN).finditer(raw):
        start, end = match.span(1)
        if is_social_security_number(re.sub(rb"\D", b"", raw[start:end]).decode()):
            yield Finding(start, end, "ssn")


def _emails(raw: bytes) -> Iterator[Finding]:
    for match in linear(_EMAIL).finditer(raw):
        start, end = match.span()
        name, domain = match.group(1), match.group(3)
        if domain.rpartition(b".")[2].lower().decode("latin-1") in _NO_DOMAIN or name.lower() in _MACHINE_ACCOUNTS:
            continue
        if _REMOTE.search(raw[max(0, start - 80) : start]) or raw[end : end + 2] in (b":/", b":~"):
            continue
        if raw[start - 1 : start] in (b"/", b":") and raw[max(0, start - 64) : start].rfind(b"://") >= 0:
            continue
        yield Finding(start, end, "email")
