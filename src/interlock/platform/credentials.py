"""`SecureCredentialManager`: API keys in the vault, under the names the MAOF guide uses."""

from __future__ import annotations

import time
from os import PathLike
from typing import TYPE_CHECKING

from interlock.platform.safeguards import open_vault
from interlock.platform.settings import load

if TYPE_CHECKING:
    from interlock.platform.platform import Platform


class SecureCredentialManager:
    """Keeps API keys encrypted in the vault of the home folder.

    Args:
        home: The folder of the store; by default from the settings.
        platform: The platform whose vault to use instead; its logs and stores then never show what is read.

    Raises:
        VaultFailed: `vault.key_missing`, `vault.wrong_key`, `vault.bad_key`: there is no key, or not the right one.

    Example:
        >>> manager = SecureCredentialManager()  # doctest: +SKIP
        >>> manager.store_api_key("openai", key)  # doctest: +SKIP
        >>> manager.get_api_key("openai")  # doctest: +SKIP
    """

    def __init__(self, home: str | PathLike[str] | None = None, *, platform: Platform | None = None) -> None:
        self._vault = platform.vault if platform is not None else open_vault(load(home=home), time.time)
        self._vault.check_key()

    def store_api_key(self, provider: str, api_key: str) -> None:
        """Keep a provider's key, durable when this returns. The one before stays in the vault as an older version."""
        self._vault.set(provider, api_key)

    def get_api_key(self, provider: str) -> str:
        """A provider's key, in plain.

        Raises:
            NotFound: `vault.not_found`.
        """
        return self._vault.get(provider, by="SecureCredentialManager").reveal()
