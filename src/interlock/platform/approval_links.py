"""Links that let one person answer one question: signed, short-lived, bound to the person and to what was shown."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import os
import secrets
import stat
from dataclasses import dataclass
from pathlib import Path

from interlock.errors import Refused, SettingsError

#: Where the key is, below the home folder.
KEY_FILE = "keys/links"
_SIZE = 32
_PURPOSE = b"interlock approval link 1\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """What a link says.

    Args:
        question_id: The question it answers.
        digest: What the question showed when the link was made.
        approver: Who answers with it.
        expires_at: Until when, in seconds since 1970.
    """

    question_id: str
    digest: str
    approver: str
    expires_at: float


class LinkSigner:
    """Makes links and reads them, with a key of the home folder that is made on first use.

    Args:
        home: The home folder.
    """

    def __init__(self, home: Path) -> None:
        self._file = home / KEY_FILE

    def sign(self, link: Link) -> str:
        """A token for the link; whoever has it can answer in the approver's name, once.

        Raises:
            SettingsError: the key cannot be made, or others may read it.
        """
        given = [link.question_id, link.digest, link.approver, link.expires_at, secrets.token_urlsafe(12)]
        said = json.dumps(given, ensure_ascii=False, separators=(",", ":")).encode()
        return f"{_text(said)}.{_text(self._signature(said))}"

    def read(self, token: str, now: float) -> Link:
        """What a token says.

        Raises:
            Refused: `approval.link`: it was not signed here, or it has expired.
            SettingsError: the key cannot be read.
        """
        said, signature = _parts(token)
        if not hmac.compare_digest(self._signature(said), signature):
            raise _invalid()
        question_id, digest, approver, expires_at, _ = json.loads(said)
        if now >= expires_at:
            raise Refused("This link has expired.", "Ask for a new one.", code="approval.link")
        return Link(question_id=question_id, digest=digest, approver=approver, expires_at=expires_at)

    def _signature(self, said: bytes) -> bytes:
        return hmac.new(self._key(), _PURPOSE + said, hashlib.sha256).digest()

    def _key(self) -> bytes:
        try:
            if not self._file.exists():
                self._make()
            descriptor = os.open(self._file, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                about = os.fstat(descriptor)
                key = os.read(descriptor, _SIZE + 1)
            finally:
                os.close(descriptor)
        except OSError as error:
            raise _unusable(f"cannot be used: {error.strerror}") from error
        if stat.S_IMODE(about.st_mode) & 0o077 or about.st_uid != os.getuid():
            raise _unusable("can be read by others")
        if len(key) != _SIZE:
            raise _unusable("is damaged")
        return key

    def _make(self) -> None:
        """Write a new key beside, and give it its name in one stroke: of two processes, one key stays."""
        self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        beside = self._file.with_name(f".links-{secrets.token_hex(8)}")
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            os.write(descriptor, secrets.token_bytes(_SIZE))
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        try:
            os.link(beside, self._file)
        except FileExistsError:
            return  # the other one's key
        finally:
            os.unlink(beside)


def _text(given: bytes) -> str:
    return base64.urlsafe_b64encode(given).decode().rstrip("=")


def _parts(token: str) -> tuple[bytes, bytes]:
    first, dot, second = token.strip().partition(".")
    if not dot or len(token) > 8192:
        raise _invalid()
    try:
        return _bytes(first), _bytes(second)
    except (binascii.Error, ValueError):
        raise _invalid() from None


def _bytes(text: str) -> bytes:
    return base64.b64decode(text.encode("ascii") + b"=" * (-len(text) % 4), altchars=b"-_", validate=True)


def _invalid() -> Refused:
    return Refused("This link is not valid.", "Ask for a new one.", code="approval.link")


def _unusable(why: str) -> SettingsError:
    return SettingsError(
        f"The key for approval links {why}.", f"Remove {KEY_FILE} from the home folder; links made before stop working."
    )
