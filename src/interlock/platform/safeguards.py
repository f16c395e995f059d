"""What guards a platform's secrets and doors: the vault and the users, made from the settings."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from interlock.agents.provider import ProviderSettings
from interlock.errors import SettingsError, VaultFailed
from interlock.governance.gate import Judge
from interlock.governance.vault import Vault, key_sources
from interlock.governance.vault.vault import VAULT
from interlock.platform.access import Access
from interlock.platform.auditing import AuditTrail
from interlock.platform.lookup import STORE
from interlock.platform.settings import Settings
from interlock.platform.settings.keys import usable
from interlock.records.verdict import ActKind
from interlock.stores.access import AccessStore

if TYPE_CHECKING:
    from interlock.engine.clock import Clock
    from interlock.governance.redaction import Redactor
    from interlock.platform.registry import Registry

_log = logging.getLogger(__name__)

#: An API key of this form is the name of one in the vault.
REFERENCE = "vault:"


def safeguard(registry: Registry, settings: Settings, clock: Clock, redactor: Redactor) -> None:
    """Give a platform its users, vault and audit log; whatever the vault hands out, the redactor knows first."""
    registry.access = open_access(settings, clock.now)
    registry.vault = open_vault(settings, clock.now, redactor.register)
    registry.audit = AuditTrail(settings, redactor, clock.now)


def open_access(settings: Settings, now: Callable[[], float]) -> Access:
    """The users of the settings and of the store; nothing is read or made yet.

    Raises:
        SettingsError: a user of the settings has a role that is not there.
    """
    return Access(settings, AccessStore(settings.home / STORE), now=now)


def open_vault(
    settings: Settings,
    now: Callable[[], float],
    register: Callable[[str, str], object] = lambda value, name: None,
    *,
    make_key: bool = False,
) -> Vault:
    """The vault of a home folder; nothing is read or made yet.

    Args:
        settings: Where it is, and where its key is.
        now: The clock: seconds since 1970.
        register: Told each value that is handed out, and its name.
        make_key: Whether a new vault may make its own key.
    """
    described = settings.vault
    sources = key_sources(settings.home, os.environ, key_file=described.key_file, key_command=described.key_command)
    return Vault(settings.home / VAULT, sources, register=register, make_key=make_key, now=now)


def hide_values(vault: Vault) -> None:
    """Have the redactor know all that is in the vault, before anything is written down or told."""
    try:
        vault.tell_values()
    except VaultFailed as error:
        _log.warning("vault: its values are hidden only once it can be opened: %s", error.says)


def voices(access: Access | None) -> dict[ActKind, list[Judge]]:
    """What access has to say at the gate, by kind of act."""
    kinds: tuple[ActKind, ...] = ("task", "model", "agent", "tool", "command")
    return {} if access is None else {kind: [access.judge] for kind in kinds}


def together(*voices: Mapping[ActKind, Sequence[Judge]]) -> dict[ActKind, list[Judge]]:
    """All that several have to say at the gate, by kind of act."""
    found: dict[ActKind, list[Judge]] = {}
    for some in voices:
        for kind, judges in some.items():
            found.setdefault(kind, []).extend(judges)
    return found


def provider_with_key(settings: Settings, name: str, vault: Vault | None) -> ProviderSettings:
    """How to reach a provider, with its key from the vault where the settings say that it is there.

    Raises:
        NotFound: `vault.not_found`: the vault holds no such secret.
        VaultFailed: the vault cannot be opened.
        SettingsError: there is no such provider, or the secret is no usable key.
    """
    described = settings.provider(name)
    given = described.api_key or ""
    secret = given.removeprefix(REFERENCE) if given.startswith(REFERENCE) else None
    if not given:
        secret = settings.providers[name].key_vault
    if secret is None:
        return described
    if vault is None:
        raise SettingsError(f"The key of {name} is in the vault, and there is none here.")
    key = vault.get(secret, by=f"provider {name}").reveal()
    return replace(described, api_key=usable(key, f"The secret {secret}"))
