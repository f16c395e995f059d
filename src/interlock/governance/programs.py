"""The programs a command policy lists, for the kernel to let no others be executed."""

from __future__ import annotations

from functools import lru_cache

from interlock.governance.commands import CommandPolicy
from interlock.governance.shell.rules import compile_rule
from interlock.governance.wrappers import inner_start


def listed_programs(policy: CommandPolicy | None) -> frozenset[str] | None:
    """The names of all programs that may run under a policy, at once or when a person says so.

    Args:
        policy: The policy; without one nothing may run.

    Returns:
        The names; None where a rule stands for every program.
    """
    if policy is None:
        return frozenset()
    return _listed((*policy.allowed, *policy.require_approval))


@lru_cache(maxsize=64)
def _listed(entries: tuple[str, ...]) -> frozenset[str] | None:
    names: set[str] = set()
    for entry in entries:
        rule = compile_rule(entry, exact=False)
        if rule.every:
            return None
        for words in rule.stages:
            names.add(words[0])
            start = inner_start(words)
            if start is not None:
                names.add(words[start])
    return frozenset(names)
