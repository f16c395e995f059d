"""References: where a secret is, when the vault does not hold the value itself."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from interlock.errors import VaultFailed
from interlock.governance.vault.keys import ask_keyring, keyring

_REFERENCE = re.compile(r"env:[A-Za-z_][A-Za-z0-9_]*|file:/[^\0]+|keyring:[^/\0]+/[^\0]+")
_MOST = 65_536


def is_reference(text: str) -> bool:
    """Whether this says where a secret is: `env:VARIABLE`, `file:/absolute/path` or `keyring:SERVICE/ACCOUNT`."""
    return _REFERENCE.fullmatch(text) is not None


def follow(reference: str, environ: Mapping[str, str]) -> str:
    """The secret that a reference leads to.

    Raises:
        VaultFailed: `vault.reference`: there is nothing.
    """
    place, _, rest = reference.partition(":")
    match place:
        case "env":
            found = environ.get(rest, "")
        case "file":
            found = _of_file(Path(rest))
        case _:
            service, _, account = rest.partition("/")
            ring = keyring()
            found = (ask_keyring(ring, service, account) or "") if ring is not None else ""
    if not found.strip():
        raise VaultFailed(
            f"The vault says that the secret is in {reference}, and there is nothing.",
            "Put the secret there, or set it anew with `interlock vault set`.",
            code="vault.reference",
        )
    return found.strip()


def _of_file(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file.read(_MOST).decode("utf-8-sig")
    except (OSError, UnicodeDecodeError):
        return ""
