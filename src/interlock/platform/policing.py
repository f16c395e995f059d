"""The policy file of an installation: where it is, what it adds to the settings, and whether guardrails are missing."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from interlock.errors import SettingsError
from interlock.governance.commands import LOOK_AROUND, CommandPolicy
from interlock.governance.guardrails import Guardrail
from interlock.governance.policy_file import NAME, read_policy
from interlock.governance.policy_rules import NO_POLICY, Database, Policy
from interlock.tools.database import DatabaseTool

if TYPE_CHECKING:
    from interlock.platform.settings import Settings

#: The profiles in which nothing is allowed that was not written down.
PRODUCTION = frozenset({"production", "prod"})

_log = logging.getLogger(__name__)


def policy_path(settings: Settings) -> Path:
    """Where the policy file is, or would be: what the settings name, else beside the settings file, else in the
    workspace."""
    if settings.policy is not None:
        return settings.policy
    return (settings.file.parent if settings.file else settings.workspace) / NAME


def load_policy(settings: Settings) -> Policy:
    """Read the policy file, if there is one; it is read once, and again only by a new process or `reload_policy`.

    Raises:
        PolicyError: it cannot be used, or the settings name one that is not there.
    """
    path = policy_path(settings)
    if settings.policy is None and not os.path.lexists(path):
        return NO_POLICY
    beside = settings.file.parent if settings.file else settings.workspace
    policy = read_policy(path, path.name if path.parent == beside else str(path))
    for warning in policy.warnings:
        _log.warning("%s", warning)
    return policy


def first_policy(settings: Settings, policy: Policy = NO_POLICY) -> CommandPolicy:
    """The command policy to begin with: what is written down, else looking around, else (in production) nothing.

    Args:
        settings: Their lists count together with the policy file's rules.
        policy: The policy file.
    """
    lists = settings.commands
    if lists.allowed is None and lists.forbidden is None and lists.require_approval is None:
        if policy.commands is not None:
            return policy.commands
        return CommandPolicy() if settings.profile in PRODUCTION else LOOK_AROUND
    own = CommandPolicy(
        allowed=list(lists.allowed or ()),
        forbidden=list(lists.forbidden or ()),
        require_approval=list(lists.require_approval or ()),
    )
    return own if policy.commands is None else policy.commands.joined(own)


def under_policy(commands: CommandPolicy, policy: Policy) -> CommandPolicy:
    """A program's own command policy, with what the policy file forbids or asks about on top of it."""
    return commands if policy.commands is None else commands.joined(policy.commands, allowed=False)


def database_of(tool: Any) -> Database | None:
    """What is known of a tool that runs SQL; None for any other. Loads the parser, so that no call waits for it."""
    if not isinstance(tool, DatabaseTool):
        return None
    import sqlglot  # noqa: F401

    return Database(dialect=tool.dialect, max_rows=tool.max_rows)


def lacks_guardrails(settings: Settings, guardrails: Sequence[Guardrail]) -> bool:
    """Whether work must not be taken because nobody set up a guardrail."""
    required = settings.guardrails.required
    wanted = required == "always" or (required == "production" and settings.profile in PRODUCTION)
    return wanted and not guardrails


def require_guardrails(settings: Settings, guardrails: Sequence[Guardrail]) -> None:
    """Stop before any work is taken when there is no guardrail and there must be one.

    Raises:
        SettingsError: code `settings.no_guardrails`.
    """
    if lacks_guardrails(settings, guardrails):
        where = f"The profile {settings.profile}" if settings.profile in PRODUCTION else "This installation"
        raise SettingsError(
            f"{where} takes no work without a guardrail, and there is none.",
            "Write a [[guardrail]] into policy.toml, or call platform.add_guardrail(...), for example with "
            'GuardrailPresets.production_safety(...). `[guardrails] required = "never"` does without.',
            code="settings.no_guardrails",
        )
