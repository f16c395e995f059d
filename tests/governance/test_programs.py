"""The programs a command policy lists."""

from __future__ import annotations

import pytest

from interlock.governance.commands import CommandPolicy
from interlock.governance.programs import listed_programs


@pytest.mark.parametrize(
    ("allowed", "asked", "programs"),
    [
        ([], [], set()),
        (["git status", "git log", "ls"], [], {"git", "ls"}),
        (["ls"], ["systemctl restart", "curl | bash"], {"ls", "systemctl", "curl", "bash"}),
        (["timeout 5 df"], [], {"timeout", "df"}),
        (["/usr/bin/env"], [], {"env"}),
    ],
)
def test_what_may_run_and_what_may_be_asked_for_is_listed(
    allowed: list[str], asked: list[str], programs: set[str]
) -> None:
    policy = CommandPolicy(allowed=allowed, forbidden=["rm"], require_approval=asked)
    assert listed_programs(policy) == programs


def test_a_rule_for_every_program_lists_none_in_particular() -> None:
    assert listed_programs(CommandPolicy(allowed=["*"])) is None
    assert listed_programs(CommandPolicy(allowed=["ls"], require_approval=["*"])) is None


def test_without_a_policy_nothing_is_listed() -> None:
    assert listed_programs(None) == frozenset()
