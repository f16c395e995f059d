"""Names: which variable, key, header or flag names promise that their value is secret, and how surely."""

from __future__ import annotations

import re
from enum import IntEnum
from functools import lru_cache
from typing import NamedTuple


class Secrecy(IntEnum):
    """How much a name says about its value."""

    NONE = 0
    #: Secret if the value looks like nothing but a secret, as for `key`.
    FAINT = 1
    #: Secret if the value looks random, as for `MAILCHIMP_KEY` or `auth`.
    WEAK = 2
    #: Secret unless the value looks like a word, a path or code, as for `api_token`.
    CLEAR = 3
    #: Secret unless it cannot be one, as for `password`.
    STRONG = 4


class Named(NamedTuple):
    """What a name promises: how surely, and of what kind."""

    secrecy: Secrecy
    kind: str


def words(text: str) -> frozenset[str]:
    """The words of a text, as a set."""
    return frozenset(text.split())


NOTHING = Named(Secrecy.NONE, "")

#: One of these is in every name that promises anything; the head of the assignment pattern is made of them.
KEYWORDS = (
    rb"pass|pwd|psk|secret|token|key|cred|auth|sess|sid|cookie|otp|mnemonic|seed|phrase|pepper|salt|sig|cvv|cvc"
    rb"|pw|mfa|pat\b|jwt|kennwort|senha|contrase|bearer"
)

#: One of these is in every name that `promise` promises anything of.
PROMISES = rb"(?i:pswd|" + KEYWORDS.replace(rb"pat\b", b"pat") + rb")"

_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")

#: Endings that add nothing: `TOKEN_PROD`, `secret_value`, `password2`.
_TAILS = words(
    "base value values prod production dev development staging stage test testing live local old new current "
    "previous prev default backup plain plaintext raw text string str literal b b64 base64 encoded env var "
    "main eu us ci v server client a admin user root rw ro write read"
)
#: A name that ends so is about a secret and is none: `password_file`, `token_type`, `secretName`.
_ABOUT = words(
    "file files path dir directory folder name names id ids type types url uri uris endpoint host hosts "
    "length len size count counts limit limits policy policies expiry expires expiration expire ttl age field "
    "fields column label hint hints prompt regex pattern format version provider ref refs arn alias process "
    "helper min max required enabled disabled reset changed rotation rotate manager store usage budget index "
    "kind class param params list set mode algorithm alg source strategy status error errors rule rules "
    "timeout interval ring rings map bucket window per budget cost price rate used remaining total generator "
    "factory builder reader writer parser validator validation validated strength confirmation confirm "
    "requirements complexity history attempts attempt issuer audience scope scopes claims claim header "
    "headers prefix suffix selector slot created updated at by date time days hours minutes seconds exists "
    "valid invalid visible hidden check checks checker service services vault metadata info description "
    "schema spec specs exchange command cmd script operation operations group groups owner role roles user_id "
    "fingerprint thumbprint checksum digest parameter ratio level button input placeholder title message page "
    "screen view form handler middleware module package import template mount mounts volume volumes key_id "
    "location locations method methods option options config settings"
)
_EXCEPTIONS = {("secret", "id"): "secret", ("session", "id"): "session", ("sess", "id"): "session"}
_PASSWORDS = ("password", "passwd", "passphrase", "passcode", "passwort", "kennwort", "contrasena", "motdepasse")
_SHORT_PASSWORDS = words("pass pwd pw psk pswd passw senha")
_NOT_PASSWORDS = words("bypass compass surpass trespass encompass overpass underpass passwordless")
_COUNTED = words("otp totp cvv cvc cvv2 cvc2 mfa")
_PHRASES = words("mnemonic seedphrase")
_KEY_OF_SECRET = words(
    "api access secret private auth encryption encrypt signing sign account shared master service storage "
    "license webhook function functions subscription admin application app integration deploy preshared "
    "session hmac jwt cipher aes des crypto ingest ingestion instrumentation management authorization "
    "merchant recovery restricted security root rsa fernet cookie token password consumer dkim tls ssl pgp "
    "wallet priv product hash enc server client sdk rest publish bot"
)
_KEY_OF_NO_SECRET = words(
    "public pub primary foreign partition sort cache row object idempotency range unique composite natural "
    "surrogate group routing s3 map lookup translation message dedup deduplication registry tag label metric "
    "config setting field column json dict short hot arrow enter shift shortcut index order aggregation "
    "candidate kms host known publishable site react state query event recv send gpg"
)
_COMPOUND = re.compile(
    r"(?:api|access|secret|private|auth|shared|account|encryption|signing|master|preshared|subscription|service)+keys?$"
)
_TOKEN_OF_NO_SECRET = words(
    "page next continuation pagination sync cancel cancellation start end prev previous resume cursor lex eos "
    "bos pad unk stop max min special mask sep cls total num n first last per output input completion prompt"
)
_MANY = words("api access auth bearer secret refresh deploy")
_SESSIONS = words("sessionid sessid phpsessid jsessionid aspsessionid session sess")
_WEAK = {
    "auth": "credential",
    "authorization": "credential",
    "credential": "credential",
    "credentials": "credential",
    "creds": "credential",
    "cred": "credential",
    "bearer": "token",
    "jwt": "token",
    "pat": "token",
    "salt": "secret",
    "pepper": "secret",
    "seed": "secret",
    "sig": "signature",
    "signature": "signature",
}


def promise(name: str) -> Named:
    """What a name promises about its value.

    Args:
        name: A variable, key, header, flag, column or attribute name, in any spelling.
    """
    return _promise(name[-96:])


@lru_cache(maxsize=8192)
def _promise(name: str) -> Named:
    parts = [word.lower() for word in _WORD.findall(name)]
    while len(parts) > 1 and (parts[-1] in _TAILS or parts[-1].isdigit()):
        parts.pop()
    if not parts:
        return NOTHING
    if tuple(parts[-2:]) in _EXCEPTIONS:
        kind = _EXCEPTIONS[parts[-2], parts[-1]]
        return Named(Secrecy.WEAK if kind == "session" else Secrecy.CLEAR, kind)
    if parts[-1] in _ABOUT:
        return NOTHING
    return _password(parts) or _secret(parts) or _token(parts) or _key(parts) or _weak(parts)


def _password(parts: list[str]) -> Named | None:
    last = parts[-1]
    named = any(part in word and word not in _NOT_PASSWORDS for word in parts for part in _PASSWORDS)
    short = last in _SHORT_PASSWORDS or (last.endswith(("pass", "pwd")) and last not in _NOT_PASSWORDS)
    if named or short or parts[-2:] == ["pass", "phrase"] or parts[-2:] == ["pass", "word"]:
        return Named(Secrecy.STRONG, "password")
    if last in _COUNTED:
        return Named(Secrecy.STRONG, "code")
    if last in _PHRASES or (last == "phrase" and parts[-2:-1] in (["seed"], ["recovery"], ["backup"])):
        return Named(Secrecy.STRONG, "phrase")
    return None


def _secret(parts: list[str]) -> Named | None:
    if any(word in ("secret", "secrets") or word.endswith("secret") for word in parts):
        return Named(Secrecy.CLEAR, "secret")
    return None


def _token(parts: list[str]) -> Named | None:
    last, before = parts[-1], parts[-2] if len(parts) > 1 else ""
    if last == "tokens" and before in _MANY:
        return Named(Secrecy.CLEAR, "token")
    if last.endswith("token") and before not in _TOKEN_OF_NO_SECRET:
        return Named(Secrecy.CLEAR, "token")
    if "token" in parts[:-1] and parts[-1] not in ("ization", "izer"):
        return Named(Secrecy.WEAK, "token")
    return None


def _key(parts: list[str]) -> Named | None:
    last, before = parts[-1], parts[-2] if len(parts) > 1 else ""
    if _COMPOUND.fullmatch(last):
        return Named(Secrecy.CLEAR, "key")
    if last in ("key", "keys"):
        if before in _KEY_OF_NO_SECRET:
            return NOTHING
        if before in _KEY_OF_SECRET:
            return Named(Secrecy.CLEAR, "key")
        return Named(Secrecy.WEAK if before else Secrecy.FAINT, "key")
    if parts[-3:] == ["client", "key", "data"] or parts[-3:-1] == ["api", "key"] or parts[-3:-1] == ["access", "key"]:
        return Named(Secrecy.CLEAR, "key")
    return None


def _weak(parts: list[str]) -> Named:
    last = parts[-1]
    if last in _SESSIONS:
        return Named(Secrecy.WEAK, "session")
    return Named(Secrecy.WEAK, _WEAK[last]) if last in _WEAK else NOTHING
