"""Checkpoints: signed statements of how long the log is and what is in it, in the format of C2SP.

Formats: c2sp.org/tlog-checkpoint, c2sp.org/signed-note. Any tool that reads Go's `sumdb/note` reads these.
"""

from __future__ import annotations

import base64
import binascii
import os
import re
import secrets
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from interlock.errors import AuditFailed, UsageError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

#: The signature type of plain Ed25519 in signed notes.
_ED25519 = b"\x01"
_NOTE = re.compile(
    r"^(?P<text>(?P<origin>[^\n\s+]+)\n(?P<size>0|[1-9][0-9]{0,18})\n(?P<root>[A-Za-z0-9+/]{43}=)\n(?:[^\n]+\n)*)\n"
    r"(?P<signatures>(?:— [^\n]+\n)+)",
    re.MULTILINE,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """A statement about a log, and who signed it.

    Args:
        origin: The log's name.
        size: How many entries it had.
        root: The root of the RFC 6962 tree over them.
        note: The whole signed text.
    """

    origin: str
    size: int
    root: bytes
    note: str


class PublicKey:
    """Checks what a log's key signed.

    Args:
        name: The key's name, which is the log's.
        raw: The 32 bytes of an Ed25519 public key.

    Raises:
        UsageError: code `usage.audit_key`, when that is no key.
    """

    def __init__(self, name: str, raw: bytes) -> None:
        if len(raw) != 32 or not name or re.search(r"[\s+]", name):
            raise _no_key()
        self.name = name
        self.raw = raw
        self.id = sha256(name.encode() + b"\n" + _ED25519 + raw).digest()[:4]

    @classmethod
    def read(cls, text: str) -> PublicKey:
        """Read a key as it is written down: `name+hash+key`.

        Raises:
            UsageError: code `usage.audit_key`.
        """
        name, _, rest = text.strip().partition("+")
        hashed, _, encoded = rest.partition("+")
        try:
            kind_and_key = base64.b64decode(encoded, validate=True)
        except (binascii.Error, ValueError):
            raise _no_key() from None
        if kind_and_key[:1] != _ED25519:
            raise _no_key()
        key = cls(name, kind_and_key[1:])
        if key.id.hex() != hashed:
            raise _no_key()
        return key

    def __str__(self) -> str:
        return f"{self.name}+{self.id.hex()}+{base64.b64encode(_ED25519 + self.raw).decode()}"

    def accepts(self, checkpoint: Checkpoint) -> bool:
        """Whether this key signed the checkpoint, under the log's own name."""
        match = _NOTE.fullmatch(checkpoint.note)
        if match is None or checkpoint.origin != self.name or _of(match) != checkpoint:
            return False
        lines = (line.removeprefix("— ").split(" ") for line in match["signatures"].splitlines())
        mine = (words[1] for words in lines if len(words) == 2 and words[0] == self.name)
        return any(self._signed(match["text"].encode(), signature) for signature in mine)

    def _signed(self, text: bytes, encoded: str) -> bool:
        try:
            raw = base64.b64decode(encoded, validate=True)
        except (binascii.Error, ValueError):
            return False
        if raw[:4] != self.id:
            return False
        from cryptography.exceptions import InvalidSignature

        try:
            self._key.verify(raw[4:], text)
        except InvalidSignature:
            return False
        return True

    @cached_property
    def _key(self) -> Ed25519PublicKey:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

        return Ed25519PublicKey.from_public_bytes(self.raw)


class Signer:
    """Signs checkpoints of one log.

    Args:
        name: The log's name.
        seed: The 32 bytes of an Ed25519 private key.
    """

    def __init__(self, name: str, seed: bytes) -> None:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        self._key = Ed25519PrivateKey.from_private_bytes(seed)
        self.public = PublicKey(name, self._key.public_key().public_bytes_raw())

    def sign(self, size: int, root: bytes) -> Checkpoint:
        """State that the log has so many entries, with this root."""
        name = self.public.name
        text = f"{name}\n{size}\n{base64.b64encode(root).decode()}\n"
        signature = base64.b64encode(self.public.id + self._key.sign(text.encode())).decode()
        return Checkpoint(origin=name, size=size, root=root, note=f"{text}\n— {name} {signature}\n")


def read_checkpoint(note: str) -> Checkpoint:
    """Read one checkpoint; its signature is not looked at.

    Raises:
        UsageError: code `usage.audit_checkpoint`, when that is none.
    """
    match = _NOTE.fullmatch(note)
    if match is None:
        raise UsageError("This is no checkpoint.", "Give a file that holds one.", code="usage.audit_checkpoint")
    return _of(match)


def read_checkpoints(text: str) -> tuple[list[Checkpoint], int]:
    """All checkpoints of a file, and how many of its lines belong to none."""
    found = [_of(match) for match in _NOTE.finditer(text)]
    left = _NOTE.sub("", text)
    return found, sum(bool(line.strip()) for line in left.splitlines())


def written(checkpoints: Iterable[Checkpoint]) -> str:
    """Checkpoints as they stand in a file: one after another, with an empty line behind each."""
    return "".join(f"{one.note}\n" for one in checkpoints)


def _of(match: re.Match[str]) -> Checkpoint:
    root = base64.b64decode(match["root"])
    return Checkpoint(origin=match["origin"], size=int(match["size"]), root=root, note=match[0])


# --- Where keys lie -----------------------------------------------------------------------------------------------


class KeyFiles:
    """The log's key pair in a folder: `audit.ed25519`, readable by its owner only, and `audit.ed25519.pub`.

    Args:
        folder: Where they lie. They are made when something is first signed.
    """

    def __init__(self, folder: Path) -> None:
        self.private = folder / "audit.ed25519"
        self.public = folder / "audit.ed25519.pub"

    def signer(self) -> Signer:
        """The log's key, made now if there is none.

        Raises:
            AuditFailed: code `audit.key`, when it cannot be read or made.
        """
        try:
            if not self.private.exists():
                self._make()
            *prefix, name, _, encoded = self.private.read_text("ascii").strip().split("+", 4)
            signer = Signer(name, base64.b64decode(encoded, validate=True)[1:])
        except (OSError, ValueError, binascii.Error) as error:
            raise self._unusable(repr(error)) from error
        if prefix != ["PRIVATE", "KEY"]:
            raise self._unusable("no private key")
        if not self.public.exists():
            _write(self.public, f"{signer.public}\n", 0o644)
        return signer

    def verifiers(self) -> list[PublicKey]:
        """The public keys there are, one on each line; none where nothing was ever signed.

        Raises:
            UsageError: code `usage.audit_key`.
        """
        return read_keys(self.public) if self.public.exists() else []

    def _unusable(self, detail: str) -> AuditFailed:
        says = f"The key of the audit log, {self.private.name}, cannot be read or made."
        return AuditFailed(says, f"See whether {self.private} is as it was.", code="audit.key", detail=detail)

    def _make(self) -> None:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        seed = Ed25519PrivateKey.generate().private_bytes_raw()
        public = Signer(f"interlock.audit/{secrets.token_hex(8)}", seed).public
        self.private.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        _write(self.private, _private(public, seed), 0o600)


def _private(public: PublicKey, seed: bytes) -> str:
    return f"PRIVATE+KEY+{public.name}+{public.id.hex()}+{base64.b64encode(_ED25519 + seed).decode()}\n"


def _write(path: Path, text: str, mode: int) -> None:
    """Write a file whole or not at all, and never over another: two processes may make it at once."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(6)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    try:
        with open(descriptor, "w", encoding="ascii") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(draft, path)
        except FileExistsError:
            return
    finally:
        draft.unlink()


def read_keys(path: Path) -> list[PublicKey]:
    """The public keys of a file, one on each line.

    Raises:
        UsageError: code `usage.audit_key`, when it cannot be read or holds something else.
    """
    try:
        return list(_keys(path.read_text("utf-8").splitlines()))
    except (OSError, UnicodeDecodeError) as error:
        raise _no_key(str(path), detail=repr(error)) from error


def _keys(lines: Iterable[str]) -> Iterator[PublicKey]:
    return (PublicKey.read(line) for line in lines if line.strip())


def _no_key(where: str = "", detail: str = "") -> UsageError:
    says = f"{where} holds no public key of an audit log." if where else "This is no public key of an audit log."
    do = "Give the file keys/audit.ed25519.pub of the home folder that the log belongs to."
    return UsageError(says, do, code="usage.audit_key", detail=detail)
