"""Access rules: what roles allow, that denials win, that tenants never mix, and what the gate is told."""

from __future__ import annotations

import time

import pytest

from interlock.governance.access import DENIED, RULE, AccessRules, Role
from interlock.records.access import User
from interlock.records.verdict import Act, refusal

ROLES = {
    "careful": Role(allow=("run:*", "agent:use:*", "tool:use:*"), deny=("tool:use:shell", "agent:use:root-*")),
    "claude-only": Role(allow=("run:create", "agent:use:claude", "tool:use:files_*")),
}


def user(name: str, *roles: str, tenant: str | None = None) -> User:
    return User(name=name, roles=frozenset(roles), tenant=tenant)


def rules(*users: User, required: bool = False, agents: dict[str, Role] | None = None) -> AccessRules:
    return AccessRules(users={one.name: one for one in users}, roles=ROLES, required=required, agents=agents or {})


def allowed(ours: AccessRules, who: str | None, what: str, tenant: str | None = None, own: bool = False) -> bool:
    return ours.may(who, what, tenant=tenant, own=own).allowed


def test_while_nobody_is_configured_everything_belongs_to_who_runs_the_program() -> None:
    ours = rules()
    assert ours.open
    assert allowed(ours, None, "policy:change")
    assert allowed(ours, "anyone", "policy:change")
    assert ours.judge(Act(kind="tool", name="shell", agent="claude", user="anyone")) is None


def test_as_soon_as_someone_is_configured_strangers_may_nothing_and_the_program_itself_may() -> None:
    ours = rules(user("ann", "admin"))
    assert allowed(ours, "ann", "policy:change")
    assert not allowed(ours, "stranger", "run:read")
    assert allowed(ours, None, "run:create")


def test_on_a_server_nothing_is_allowed_without_a_name() -> None:
    ours = rules(required=True)
    assert not allowed(ours, None, "run:read")
    assert not allowed(ours, "anyone", "run:read")
    verdict = ours.judge(Act(kind="task", name="task"))
    assert verdict is not None
    assert not verdict.allowed


@pytest.mark.parametrize(
    ("role", "may", "may_not"),
    [
        ("admin", ["user:add", "run:cancel", "agent:use:claude", "policy:change"], []),
        ("operator", ["run:cancel", "agent:use:x", "tool:use:shell", "audit:read"], ["user:add", "approval:answer"]),
        ("approver", ["approval:answer", "run:read"], ["run:create", "run:cancel", "audit:export"]),
        ("auditor", ["audit:export", "run:read"], ["run:create", "approval:answer", "user:add"]),
        ("developer", ["run:create", "agent:use:x"], ["run:read", "run:cancel", "approval:answer", "audit:read"]),
        ("viewer", ["run:read", "budget:read"], ["run:create", "run:cancel", "audit:read", "agent:use:x"]),
    ],
)
def test_the_built_in_roles(role: str, may: list[str], may_not: list[str]) -> None:
    ours = rules(user("u", role))
    assert [one for one in may if not allowed(ours, "u", one)] == []
    assert [one for one in may_not if allowed(ours, "u", one)] == []


def test_a_developer_reads_and_cancels_what_is_their_own() -> None:
    ours = rules(user("dev", "developer"))
    assert allowed(ours, "dev", "run:cancel", own=True)
    assert not allowed(ours, "dev", "run:cancel")


def test_a_denial_wins_over_whatever_another_role_allows() -> None:
    ours = rules(user("u", "admin", "careful"))
    assert allowed(ours, "u", "tool:use:files_read")
    assert not allowed(ours, "u", "tool:use:shell")
    assert not allowed(ours, "u", "agent:use:root-1")


def test_a_role_that_is_gone_allows_nothing_and_takes_the_others_along() -> None:
    assert not allowed(rules(user("u", "admin", "vanished")), "u", "run:read")


@pytest.mark.parametrize(
    ("pattern", "permission", "matches"),
    [
        ("run:*", "run:read", True),
        ("run:*", "run:read:own", True),
        ("run:*", "runs:read", False),
        ("run:*:own", "run:read", False),
        ("run:read", "run:read:own", False),
        ("agent:use:cl*", "agent:use:claude", True),
        ("agent:use:cl*", "agent:use:x:cl", False),
        ("agent:*:claude", "agent:use:claude", True),
        ("*", "anything:at:all", True),
        ("run:", "run:read", False),
        ("run:re.d", "run:read", False),
    ],
)
def test_patterns(pattern: str, permission: str, matches: bool) -> None:
    ours = AccessRules(users={"u": user("u", "r")}, roles={"r": Role(allow=(pattern,))})
    assert allowed(ours, "u", permission) is matches


def test_no_role_reaches_into_another_tenant() -> None:
    ours = rules(user("ann", "admin", tenant="a"), user("bob", "admin", tenant="b"), user("eve", "admin"))
    assert allowed(ours, "ann", "run:read", tenant="a")
    assert not allowed(ours, "ann", "run:read", tenant="b")
    assert not allowed(ours, "eve", "run:read", tenant="a"), "whoever has no tenant is not above them"


def test_any_user_may_not_use_any_agent() -> None:
    ours = rules(user("u", "claude-only"))
    task = Act(kind="task", name="task", user="u", crew=("claude",))
    assert ours.judge(task) is None
    verdict = ours.judge(Act(kind="task", name="task", user="u", crew=("claude", "openai")))
    assert verdict is not None
    assert (verdict.rule, verdict.code, verdict.effect.word) == (RULE, DENIED, "block")
    assert "agent:use:openai" in verdict.reason
    assert (refusal(verdict).code, refusal(verdict).exit_code) == (DENIED, 5)
    model = Act(kind="model", name="gpt", user="u", agent="openai")
    assert ours.judge(model) is not None


def test_an_agent_does_for_someone_what_both_may_and_no_more() -> None:
    ours = rules(user("u", "claude-only"), agents={"claude": Role(allow=("tool:use:files_read",))})

    def may(name: str, who: str | None = "u", kind: str = "tool") -> bool:
        act = Act(kind=kind, name=name, user=who, agent="claude")  # type: ignore[arg-type]
        return ours.judge(act) is None

    assert may("files_read")
    assert not may("files_write"), "its user may, the agent may not"
    assert not may("web_fetch")
    assert not may("git", kind="command")
    assert not may("files_write", None), "also for the program itself"


def test_an_agents_own_limits_hold_where_nobody_is_configured() -> None:
    ours = rules(agents={"claude": Role(allow=())})
    assert ours.judge(Act(kind="command", name="git", agent="claude")) is not None
    assert ours.judge(Act(kind="command", name="git", agent="openai")) is None


def test_a_check_is_quick() -> None:
    ours = rules(user("u", "careful", "developer"))
    act = Act(kind="tool", name="files_read", user="u", agent="claude")
    ours.judge(act)
    begun = time.perf_counter()
    for _ in range(1000):
        ours.judge(act)
    assert time.perf_counter() - begun < 0.2, "0.3 ms is what the whole gate may add to a call"
