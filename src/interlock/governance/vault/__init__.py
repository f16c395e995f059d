"""The vault: secrets in one encrypted file, handed out so that nobody sees them by accident."""

from __future__ import annotations

from interlock.governance.vault.keys import key_sources
from interlock.governance.vault.secret import Secret
from interlock.governance.vault.vault import Entry, Reading, Vault

__all__ = ["Entry", "Reading", "Secret", "Vault", "key_sources"]
