"""Users and tokens of a platform: kept without the token, ended in time, and heard at the gate."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from interlock import Platform, Task
from interlock.errors import AuthenticationError, Conflict, NotFound, Refused, SettingsError, UsageError
from interlock.governance.redaction import redact
from interlock.platform.access import Access
from interlock.platform.safeguards import open_access
from interlock.platform.settings import load
from interlock.records.masking import holds_key
from interlock.stores.journal import Query
from interlock.testing import FakeClock


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


def platform_in(home: Path, clock: FakeClock | None = None, **settings: Any) -> Platform:
    platform = Platform(home=home, clock=clock, **settings)
    platform.register_agent("worker", lambda text: f"did {text}")
    platform.register_agent("other", lambda text: f"did {text}")
    return platform


@pytest.fixture
async def platform(tmp_path: Path) -> AsyncIterator[Platform]:
    async with platform_in(tmp_path, roles={"narrow": {"allow": ["run:create", "agent:use:worker"]}}) as made:
        yield made


def task(agent: str = "worker", **more: Any) -> Task:
    return Task("look", context={"agent": agent}, **more)


def access_in(home: Path, clock: FakeClock) -> Access:
    return open_access(load(home=home, environ={}, cwd=home), clock.now)


# Users.


async def test_without_users_any_name_may_be_said(platform: Platform) -> None:
    assert (await platform.run(task(), user="anyone")).status == "completed"
    assert platform.access.roles_of("anyone") is None
    assert platform.access.tier_of("anyone") is None


async def test_with_users_an_unknown_one_is_refused_and_the_refusal_is_written_down(platform: Platform) -> None:
    platform.access.add_user("ann", roles=["developer"], tier="pro")
    refused = await platform.run(task(), user="stranger")
    assert (refused.status, refused.guardrail, refused.error_code) == ("blocked", "access", "access.denied")
    run = await platform.show(refused.run_id)
    assert [(gate.effect, gate.rule) for gate in run.gates] == [("block", "access")]
    assert (await platform.run(task(), user="ann")).status == "completed"
    assert platform.access.roles_of("stranger") == frozenset()
    assert platform.access.roles_of("ann") == {"developer"}
    assert platform.access.tier_of("ann") == "pro"


async def test_d_2_any_user_any_agent_is_refused(platform: Platform) -> None:
    platform.access.add_user("ann", roles=["narrow"])
    assert (await platform.run(task("worker"), user="ann")).status == "completed"
    refused = await platform.run(task("other"), user="ann")
    assert (refused.status, refused.error_code) == ("blocked", "access.denied")
    assert "did look" not in str(refused.output)


async def test_a_run_is_its_users_tenants_and_no_other_may_be_named(platform: Platform) -> None:
    platform.access.add_user("ann", roles=["developer"], tenant="a")
    platform.access.add_user("bob", roles=["operator"], tenant="b")
    done = await platform.run(task(), user="ann")
    (row,) = await platform.runs(Query(run_prefix=done.run_id))
    assert (row.user, row.tenant) == ("ann", "a")
    for handed in (task(tenant="b"), task(tenant="c")):
        assert (await platform.run(handed, user="ann")).error_code == "access.denied"
    access = platform.access
    access.check_run("ann", "cancel", row)
    for action in ("read", "cancel", "resume"):
        with pytest.raises(NotFound):
            access.check_run("bob", action, row)
        with pytest.raises(Refused):
            access.check_run("ann", action, replace(row, user="someone else"))


async def test_a_user_who_is_removed_does_nothing_more(platform: Platform) -> None:
    access = platform.access
    access.add_user("ann", roles=["admin"])
    access.add_user("bob", roles=["admin"])
    token = access.issue_token("bob")
    access.remove_user("bob")
    assert (await platform.run(task(), user="bob")).status == "blocked"
    with pytest.raises(AuthenticationError):
        access.authenticate(token)
    with pytest.raises(NotFound):
        access.remove_user("bob")


async def test_when_access_is_required_nobody_works_without_a_name(tmp_path: Path) -> None:
    async with platform_in(tmp_path, access={"required": True}, users={"ann": {"roles": ["developer"]}}) as platform:
        assert (await platform.run(task())).error_code == "access.denied"
        assert (await platform.run(task(), user="ann")).status == "completed"
    async with platform_in(tmp_path / "other") as platform:
        platform.access.require()
        assert (await platform.run(task())).status == "blocked"


def test_users_of_the_settings_and_of_the_store_stand_side_by_side(tmp_path: Path) -> None:
    platform = platform_in(tmp_path, users={"ann": {"roles": ["admin"], "tenant": "a", "tier": "pro"}})
    platform.access.add_user("bob", roles=["viewer"], tenant="a", tier="pro")
    assert [one.name for one in platform.access.users()] == ["ann", "bob"]
    assert platform.access.tier_of(None, "a") == "pro"
    for taken in ("ann", "bob"):
        with pytest.raises(Conflict):
            platform.access.add_user(taken)
    with pytest.raises(NotFound):
        platform.access.remove_user("ann")
    platform.close_sync()


@pytest.mark.parametrize("given", [{"name": ""}, {"name": "a b"}, {"roles": ["x"]}, {"roles": "admin"}, {"tenant": ""}])
def test_a_user_that_cannot_be_is_refused(tmp_path: Path, given: dict[str, Any]) -> None:
    access = access_in(tmp_path, FakeClock())
    with pytest.raises(UsageError):
        access.add_user(**{"name": "ann", **given})
    assert not list(tmp_path.iterdir()), "nothing is made for it"


def test_a_role_of_the_settings_must_exist(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="emperor"):
        Platform(home=tmp_path, users={"ann": {"roles": ["emperor"]}})


async def test_another_process_s_change_is_seen_within_a_second(tmp_path: Path, clock: FakeClock) -> None:
    ours, theirs = access_in(tmp_path, clock), access_in(tmp_path, clock)
    assert ours.roles_of("ann") is None
    theirs.add_user("ann", roles=["admin"])
    await clock.advance(1.1)
    assert ours.roles_of("ann") == {"admin"}
    theirs.remove_user("ann")
    await clock.advance(1.1)
    assert ours.roles_of("ann") is None


# Tokens.


def test_a_token_stands_for_its_user_and_only_its_hash_is_kept(tmp_path: Path, clock: FakeClock) -> None:
    access = access_in(tmp_path, clock)
    access.add_user("ann", roles=["admin"], tenant="a")
    token = access.issue_token("ann")
    assert access.authenticate(token).name == "ann"
    assert token.startswith("ilk_")
    assert holds_key(f"a log line with {token} in it")
    assert token not in redact(f"a log line with {token} in it")
    held = b"".join(path.read_bytes() for path in tmp_path.iterdir() if path.is_file())
    assert b"ann" in held
    assert token.encode() not in held
    assert token[4:20].encode() not in held
    assert token not in repr(access.tokens())
    assert access.issue_token("ann") != token


async def test_a_token_ends_when_it_was_said_to(tmp_path: Path, clock: FakeClock) -> None:
    access = access_in(tmp_path, clock)
    access.add_user("ann", roles=["admin"])
    token = access.issue_token("ann", expires_in=60)
    await clock.advance(59)
    assert access.authenticate(token).name == "ann"
    await clock.advance(1)
    with pytest.raises(AuthenticationError) as caught:
        access.authenticate(token)
    assert (caught.value.code, caught.value.exit_code) == ("access.token_expired", 4)
    with pytest.raises(UsageError):
        access.issue_token("ann", expires_in=0)


def test_a_revoked_token_is_refused_at_once(tmp_path: Path, clock: FakeClock) -> None:
    access = access_in(tmp_path, clock)
    access.add_user("ann", roles=["admin"])
    token, kept = access.issue_token("ann"), access.issue_token("ann")
    access.revoke_token(next(one.id for one in access.tokens() if one.user == "ann"))
    codes = []
    for one in (token, kept):
        try:
            codes.append(access.authenticate(one).name)
        except AuthenticationError as error:
            codes.append(error.code)
    assert sorted(codes) == ["access.token_revoked", "ann"]
    with pytest.raises(NotFound):
        access.revoke_token("tok_none")


async def test_when_a_token_was_used_is_noted_to_the_minute(tmp_path: Path, clock: FakeClock) -> None:
    access = access_in(tmp_path, clock)
    access.add_user("ann", roles=["admin"])
    token = access.issue_token("ann")
    first = clock.now()
    for _ in range(3):
        access.authenticate(token)
        await clock.advance(10)
    assert [one.last_used_at for one in access.tokens()] == [first]
    await clock.advance(60)
    access.authenticate(token)
    assert [one.last_used_at for one in access.tokens()] == [clock.now()]


def test_what_is_no_token_is_refused_without_a_look_at_the_store(tmp_path: Path, clock: FakeClock) -> None:
    access = access_in(tmp_path, clock)
    access.add_user("ann", roles=["admin"])
    token = access.issue_token("ann")
    mistyped = token[:10] + ("A" if token[10] != "A" else "B") + token[11:]
    for wrong in ("", "ilk_", "sk-abc", mistyped, token + "0", token.upper(), None, token[:-1] + "é"):
        with pytest.raises(AuthenticationError) as caught:
            access.authenticate(wrong)  # type: ignore[arg-type]
        assert caught.value.code == "access.token"
    other = access_in(tmp_path / "elsewhere", clock)
    with pytest.raises(AuthenticationError):
        other.authenticate(token)
    with pytest.raises(NotFound):
        access.issue_token("nobody")
