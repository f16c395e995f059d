"""Values: telling a secret from a word, a placeholder, a path, a reference or code."""

from __future__ import annotations

import math
import re
from collections import Counter
from itertools import pairwise

from interlock.governance.redaction.names import Secrecy, words

_STAND_IN = re.compile(
    r"example|change[-_ ]?(?:me|it|this)|placeholder|your[-_. ]|your(?:api|secret|token|pass|key)|dummy|redacted|"
    r"insert[-_ ]|replace[-_ ]|not[-_]?a[-_]?real|x{4}|\*{3}|\.{3}|•{2}|â€¢|â¦|to[-_]be[-_]|<[a-z][^<>]*>|"
    r"^(?:fake|todo|tbd|fixme|masked|filtered|hidden|sample|foobar|removed|omitted|censored|scrubbed)",
    re.IGNORECASE,
)
_REFERENCE = re.compile(
    r"\$\{|\$\(|\$[A-Za-z_]\w*$|\$\w+[/.]|\{\{|\{[^{}\s]*\}|%\(|%[sdvr@]|%\w+%$|#\{|<[^>]*>?$|@\{|!\w+[ !]|"
    r"(?:env|file|vault|ssm|secretsmanager|keyring|op|awssm|gcpsm|sops|ref|arn|secret|keychain)[:+]|\[|@[\w./-]+$"
)
_CODE = re.compile(r"\$?[A-Za-z_]\w*(?:(?:\.|::|->)[A-Za-z_]\w*)*(?:\(|\[|\)|$)")
_PATH = re.compile(r"(?:~|\.{1,2})?(?:/[\w.@%+,=:~-]*)+$|[A-Za-z]:[\\/]|\\\\|[A-Za-z][\w+.-]*://")
_HEX = re.compile(r"[0-9a-f]{16,}$|[0-9A-F]{16,}$")
UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$", re.IGNORECASE)
_STAMP = re.compile(r"[\d.:TZ+/-]+$")
#: So much of a value is looked at; what is random or a word shows itself early.
_JUDGED = 160
_UNSPEAKABLE = re.compile(r"[^aeiouyAEIOUY]{5}|[jqvxz]{2}|q[^u]")
_SAME = re.compile(r"(.)\1{2,}", re.DOTALL)
_SPLIT = re.compile(r"[^A-Za-z0-9]+")
#: Words that stand where a secret would stand.
_WORDS = words(
    "string str text bytes int integer number boolean bool object array any char varchar required optional "
    "true false none null nil undefined yes no on off enabled disabled default auto password passwd pass pwd "
    "secret secrets token key keys value hidden masked prompt input hash bcrypt argon2 argon2id scrypt md5 "
    "sha1 sha256 sha512 hs256 rs256 plain plaintext basic bearer digest oauth oauth2 jwt user username "
    "invalid incorrect wrong expired missing empty blank unset set valid not is must should field keyring env "
    "file stdin vault ask never always self this data config settings request args kwargs options params form "
    "body function async await new return the and for with from was has have been will can cannot could may "
    "might random generated unknown anonymous changed updated deprecated rejected accepted denied granted "
    "revoked rotated disabled public private primary header cookie query session encrypted decrypted hashed "
    "salted stored saved sent received important sensitive"
)


def entropy(value: str) -> float:
    """Shannon entropy of the characters, in bits per character; 0 for an empty text."""
    if not value:
        return 0.0
    total = len(value)
    return -sum(n / total * math.log2(n / total) for n in Counter(value).values())


def is_placeholder(value: str) -> bool:
    """Whether the value only stands for a secret: `xxxx`, `<your-key>`, `${VAR}`, `changeme`, an example's key."""
    if not value or _REFERENCE.match(value) or _STAND_IN.search(value):
        return True
    plain = value.strip("\"'")
    same = max((len(run.group()) for run in _SAME.finditer(plain)), default=0)
    return len(set(plain)) <= 2 or same * 2 > len(plain)


def looks_random(value: str, least: int = 12) -> bool:
    """Whether no person wrote it: characters of several classes that change all the time, in all of it or in a part.

    Args:
        value: What to look at.
        least: Shorter values are never taken for random.
    """
    head = value[:_JUDGED]
    if len(head) < least or entropy(head) < 2.5:
        return False
    if UUID.match(head):
        return True
    return _is_random(head) or any(len(part) >= max(16, least) and _is_random(part) for part in _SPLIT.split(head))


def _is_random(value: str) -> bool:
    if _HEX.match(value):
        return not value.isdigit() and not value.isalpha()
    changes = _changes(value)
    often = changes >= 0.17 * len(value) or (len(value) >= 16 and _UNSPEAKABLE.search(value) is not None)
    return changes >= 3 and often and not _is_wordy(value)


def _changes(value: str) -> int:
    """How often neighbours are of different classes; the capital at the beginning of a word does not count."""
    changes = 0
    for one, other in pairwise(value):
        if one.isalnum() and other.isalnum():
            changes += one.isdigit() != other.isdigit() or (one.islower() and other.isupper())
            changes += one.isupper() and other.islower()
    return changes - len(re.findall(r"[A-Z][a-z]{3,}", value))


def _is_wordy(value: str) -> bool:
    """Whether most of it is words, as in a name of a class."""
    chunks = re.findall(r"[A-Z]?[a-z]{3,}", value)
    spoken = sum(len(chunk) for chunk in chunks if re.search("[aeiouy]", chunk) and not _UNSPEAKABLE.search(chunk))
    digits = sum(c.isdigit() for c in value)
    return spoken > 0.6 * len(value) and digits < 0.15 * len(value)


def is_digest(value: str) -> bool:
    """Whether it ends with a hexadecimal number that says which version of something it is, not who may use it."""
    return bool(_HEX.match(_SPLIT.split(value)[-1]))


def is_mixed(value: str) -> bool:
    """Whether it has letters with digits, or capitals and small letters in no order of words."""
    digits, letters = any(c.isdigit() for c in value), any(c.isalpha() for c in value)
    return (digits and letters) or looks_random(value)


def is_path(value: str) -> bool:
    """Whether it is a file path or an address rather than a random text with slashes in it."""
    if not _PATH.match(value):
        return False
    return "://" in value[:24] or not any(looks_random(part, 16) for part in re.split(r"[/\\]", value))


def is_code(value: str) -> bool:
    """Whether it is an expression of a program: a name, an attribute, a call, a subscript."""
    found = _CODE.match(value)
    if not found:
        return False
    called = re.split(r"[(\[)]", found.group())[0]
    return not any(len(part) >= 8 and _is_random(part) for part in re.split(r"\.|::|->", called))


def looks_strange(value: str) -> bool:
    """Whether it looks like a password even where nothing but a blank separates it from that word."""
    classes = [
        any(map(test, value)) for test in (str.islower, str.isupper, str.isdigit, lambda c: c in "!$#%^*+?&@~=_-")
    ]
    return len(value) >= 8 and sum(classes) >= 3 and not _is_wordy(value) and not _STAMP.match(value)


def convinces(value: str, secrecy: Secrecy, *, quoted: bool, shell: bool = False, loose: bool = False) -> bool:
    """Whether a value with such a name is to be hidden.

    Args:
        value: What stands there.
        secrecy: What the name promises.
        quoted: Whether it stands in quotes, so that it is not code.
        shell: Whether it is assigned as shells and `.env` files do, where a bare word is a value.
        loose: Whether nothing but a blank, a verb or a cell's border connects it to the name.
    """
    value = value[:_JUDGED]
    if len(value) < 4 or is_placeholder(value) or value.lower() in _WORDS:
        return False
    if is_path(value) or (not quoted and not shell and is_code(value)):
        return False
    if loose and secrecy is Secrecy.STRONG:
        return looks_strange(value) or looks_random(value, 10)
    if loose:
        secrecy = Secrecy.WEAK if secrecy is Secrecy.CLEAR else Secrecy.FAINT
    if secrecy is Secrecy.STRONG:
        return _may_be_password(value, quoted=quoted, shell=shell)
    if secrecy is Secrecy.CLEAR:
        return _may_be_token(value, quoted=quoted, shell=shell)
    if not looks_random(value, 16) or _STAMP.match(value) or UUID.match(value):
        return False
    if secrecy is Secrecy.WEAK:
        return _HEX.match(value) is not None or not is_digest(value)
    return len(value) >= 20 and not is_digest(value) and value.lower() != value and value.upper() != value


def _may_be_password(value: str, *, quoted: bool, shell: bool) -> bool:
    if value.isdigit():
        return len(value) >= 4 and (len(value) >= 6 or quoted or shell)
    if " " in value:
        return _is_phrase_with_symbols(value)
    if looks_random(value, 8):
        return True
    if value.isalpha():
        return (quoted or shell) and len(value) >= 6
    if quoted or shell:
        return not re.fullmatch(r"[a-z]+(?:[_. -][a-z]+)*:?", value)
    return len(value) >= 6 and not re.fullmatch(r"[A-Za-z]+(?:[_.-][A-Za-z]+)*[.,:;!?]*|[\d.-]+", value)


def _is_phrase_with_symbols(value: str) -> bool:
    """A quoted password may hold spaces; a sentence in quotes is a message."""
    return any(is_mixed(word) and len(word) >= 6 for word in value.split()) and len(value) <= 128


def _may_be_token(value: str, *, quoted: bool, shell: bool) -> bool:
    if " " in value:
        return any(looks_random(word, 16) for word in value.split())
    if len(value) < 6 or _STAMP.match(value):
        return value.isdigit() and len(value) >= 20
    if looks_random(value, 10):
        return True
    if (shell or quoted) and len(value) >= 8 and entropy(value) >= 2.5:
        return is_mixed(value) and not re.fullmatch(r"[a-z]+(?:[-_./:][a-z]+)*[-_.]?v?\d{0,4}", value)
    return False
