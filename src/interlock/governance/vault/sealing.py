"""Sealing: AES-256-GCM with a data key for each record, wrapped by the master key, both bound to their place."""

from __future__ import annotations

import binascii
import hmac
import json
from base64 import b64decode, b64encode, urlsafe_b64decode
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from interlock.errors import VaultFailed

#: Gives so many random bytes.
Random = Callable[[int], bytes]

KEY_BYTES = 32
#: 96 bits, as GCM wants it. Each data key seals one value, so no nonce can come twice under one key in practice.
_NONCE = 12


@dataclass(frozen=True, slots=True, repr=False)
class MasterKey:
    """A master key, split so that no part of it is used for two purposes.

    Attributes:
        id: Tells which key it is, and nothing about it.
        wrap: Wraps data keys.
        mark: Marks the whole file.
    """

    id: str
    wrap: bytes
    mark: bytes

    @classmethod
    def of(cls, material: bytes) -> MasterKey:
        """The master key that 32 bytes of key material stand for."""
        return cls(
            id=_derived(material, "id")[:8].hex(), wrap=_derived(material, "wrap"), mark=_derived(material, "mark")
        )

    def marked(self, text: str) -> str:
        """A code over a text that only this key can make."""
        return hmac.digest(self.mark, text.encode(), "sha256").hex()


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a value belongs; a ciphertext opens nowhere else.

    Args:
        tenant: Whose it is; empty for the platform's own.
        name: What it is called.
        version: Which of its values.
        kind: A value, or a reference to where the value is.
    """

    tenant: str
    name: str
    version: int
    kind: str = "value"

    def bound(self, purpose: str, *more: str) -> bytes:
        """What is authenticated along with a ciphertext. JSON, so that no two places read the same."""
        return json.dumps([purpose, self.tenant, self.name, self.version, self.kind, *more]).encode()


@dataclass(frozen=True, slots=True, kw_only=True)
class Sealed:
    """A value as it rests: the value under its data key, and that under the master key."""

    key_id: str
    wrapped: str
    value: str

    def rewrapped(self, place: Place, old: MasterKey, new: MasterKey, random: Random) -> Sealed:
        """The same value under another master key; the value itself is not decrypted."""
        data_key = _opened(old.wrap, self.wrapped, place.bound("data key", old.id))
        wrapped = _closed(new.wrap, data_key, place.bound("data key", new.id), random)
        return Sealed(key_id=new.id, wrapped=wrapped, value=self.value)


def seal(text: str, place: Place, key: MasterKey, random: Random) -> Sealed:
    """Encrypt a text for one place."""
    data_key = random(KEY_BYTES)
    return Sealed(
        key_id=key.id,
        wrapped=_closed(key.wrap, data_key, place.bound("data key", key.id), random),
        value=_closed(data_key, text.encode("utf-8", "surrogatepass"), place.bound("value"), random),
    )


def unseal(sealed: Sealed, place: Place, key: MasterKey) -> str:
    """Decrypt what was sealed for this place.

    Raises:
        VaultFailed: `vault.damaged`: it was changed, or belongs somewhere else.
    """
    data_key = _opened(key.wrap, sealed.wrapped, place.bound("data key", key.id))
    return _opened(data_key, sealed.value, place.bound("value")).decode("utf-8", "surrogatepass")


def read_key(text: str, source: str) -> MasterKey:
    """A master key from the form people keep it in: 32 bytes in URL-safe base64, as Fernet makes them, or in hex.

    Raises:
        VaultFailed: `vault.bad_key`: it is not of that form. The text is not shown.
    """
    text = text.strip()
    try:
        raw = bytes.fromhex(text) if len(text) == 2 * KEY_BYTES else urlsafe_b64decode(text.encode("ascii"))
    except (ValueError, binascii.Error):
        raw = b""
    if len(raw) != KEY_BYTES:
        raise VaultFailed(
            f"{source} holds no usable key: a key is 32 random bytes in URL-safe base64, 44 characters.",
            "Make one with `python -c 'import base64, os; print(base64.urlsafe_b64encode(os.urandom(32)).decode())'`.",
            code="vault.bad_key",
        )
    return MasterKey.of(raw)


def damaged(detail: str) -> VaultFailed:
    """The error for whatever does not open."""
    return VaultFailed(
        "The vault is damaged or was changed by someone without its key.",
        "Nothing in it is used. Restore vault.json from a backup, or move it away and set the secrets again.",
        code="vault.damaged",
        detail=detail,
    )


def _derived(material: bytes, purpose: str) -> bytes:
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    return HKDF(SHA256(), KEY_BYTES, salt=None, info=f"interlock vault {purpose}".encode()).derive(material)


def _closed(key: bytes, plain: bytes, bound: bytes, random: Random) -> str:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    nonce = random(_NONCE)
    return b64encode(nonce + AESGCM(key).encrypt(nonce, plain, bound)).decode()


def _opened(key: bytes, closed: Any, bound: bytes) -> bytes:
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    try:
        raw = b64decode(closed, validate=True)
        return AESGCM(key).decrypt(raw[:_NONCE], raw[_NONCE:], bound)
    except (InvalidTag, ValueError, TypeError) as error:
        raise damaged(type(error).__name__) from None
