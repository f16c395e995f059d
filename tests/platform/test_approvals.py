"""Who may answer what through the front door, and what they are told when they may not."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from interlock import Guardrail, GuardrailType, Platform, Task
from interlock.errors import Conflict, InterlockError, NotFound, Refused, SettingsError, UsageError
from interlock.governance.terms import Terms
from interlock.platform.approval_links import KEY_FILE
from interlock.testing import FakeClock, ScriptedAgent


def asks(**terms: Any) -> Guardrail:
    return Guardrail(
        name="production",
        type=GuardrailType.APPROVAL_REQUIRED,
        condition=lambda task: True,
        message="Production needs a yes.",
        terms=Terms(place="policy.toml:7", **terms),
    )


@asynccontextmanager
async def held(
    home: Path, *, user: str | None = None, clock: FakeClock | None = None, **terms: Any
) -> AsyncIterator[tuple[Platform, str, ScriptedAgent]]:
    """A platform with one task before its door, and the id of what is asked."""
    agent = ScriptedAgent()
    async with Platform(home=home, clock=clock) as platform:
        platform.register_agent("openai", agent)
        platform.add_guardrail(asks(**terms))
        result = await platform.run(Task("deploy", id="deploy"), user=user)
        assert result.status == "awaiting_approval"
        assert result.approval_id
        yield platform, result.approval_id, agent


async def code_of(work: Any) -> str:
    with pytest.raises(InterlockError) as error:
        await work
    return error.value.code


class TestPending:
    async def test_what_waits_is_listed_with_all_one_needs_to_decide(self, tmp_path: Path) -> None:
        async with held(tmp_path, approver="ops", user="ann") as (platform, id, _):
            (one,) = platform.approvals.pending()
            assert (one.id, one.run_id, one.status, one.approver) == (id, "deploy", "pending", "ops")
            assert (one.rule, one.place, one.says) == ("production", "policy.toml:7", "Production needs a yes.")
            assert one.asks["arguments"]["description"] == "deploy"
            assert one.asks["user"] == "ann"
            assert one.digest == (await platform.approvals.show(id[:8])).digest
            assert json.loads(json.dumps(one.to_json()))["id"] == id
            with pytest.raises(AttributeError):
                one.status = "allowed"  # type: ignore[misc]

    async def test_an_approved_task_goes_on_by_itself(self, tmp_path: Path) -> None:
        async with held(tmp_path) as (platform, id, agent):
            found = await platform.approvals.approve(id, by="rana", reason="fine")
            assert (found.status, found.by, found.reason) == ("allowed", "rana", "fine")
            assert (await platform.run(Task("deploy", id="deploy"))).status == "completed"
            assert platform.approvals.pending() == []
            assert (await platform.approvals.show(id)).status == "used"
        assert agent.calls == 1

    async def test_another_platform_over_the_same_home_can_answer(self, tmp_path: Path) -> None:
        async with held(tmp_path) as (platform, id, agent):
            async with Platform(home=tmp_path) as other:
                await other.approvals.approve(id, by="rana")
                async with asyncio.timeout(10):
                    while agent.calls == 0:
                        await asyncio.sleep(0.02)
            assert (await platform.run(Task("deploy", id="deploy"))).status == "completed"


class TestWho:
    async def test_only_the_first_answer_counts_and_the_second_hears_who_was_first(self, tmp_path: Path) -> None:
        async with held(tmp_path) as (platform, id, _):
            await platform.approvals.reject(id, by="rana", reason="no")
            with pytest.raises(Conflict) as error:
                await platform.approvals.approve(id, by="noor")
            assert error.value.code == "approval.already_answered"
            assert "rana answered first, and said no" in error.value.says

    async def test_nobody_answers_their_own_request(self, tmp_path: Path) -> None:
        async with held(tmp_path, user="ann") as (platform, id, _):
            for work in (platform.approvals.approve(id, by="Ann"), platform.approvals.reject(id, by="ann")):
                assert await code_of(work) == "approval.self"

    @pytest.mark.parametrize("by", ["", "  ", "interlock", "ra\u202ena", "x" * 201])
    async def test_an_answer_has_a_name(self, tmp_path: Path, by: str) -> None:
        async with held(tmp_path) as (platform, id, _):
            assert await code_of(platform.approvals.approve(id, by=by)) == "usage.approval_by"

    async def test_once_users_are_configured_the_right_one_must_answer(self, tmp_path: Path) -> None:
        async with held(tmp_path, approver="approver") as (platform, id, agent):
            platform.access.add_user("olga", roles=["approver"])
            platform.access.add_user("vic", roles=["viewer"])
            platform.access.add_user("ada", roles=["admin"])
            for by in ("stranger", "vic", "ada"):
                assert await code_of(platform.approvals.approve(id, by=by)) == "approval.not_yours"
            assert agent.calls == 0
            assert (await platform.approvals.approve(id, by="olga")).status == "allowed"

    async def test_two_must_agree_where_the_rule_says_so(self, tmp_path: Path) -> None:
        async with held(tmp_path, quorum=2) as (platform, id, _):
            first = await platform.approvals.approve(id, by="rana")
            assert (first.status, first.allowed_by) == ("pending", ("rana",))
            assert await code_of(platform.approvals.approve(id, by="rana")) == "approval.already_answered"
            assert (await platform.approvals.approve(id, by="noor")).status == "allowed"


class TestWhat:
    async def test_what_is_not_there_is_not_found(self, tmp_path: Path) -> None:
        async with held(tmp_path) as (platform, id, _):
            for given in ("q_nothing", id[:4], ""):
                with pytest.raises(NotFound) as error:
                    await platform.approvals.show(given)
                assert error.value.code == "approval.not_found"

    async def test_an_answer_about_something_else_is_refused(self, tmp_path: Path) -> None:
        async with held(tmp_path) as (platform, id, _):
            assert await code_of(platform.approvals.approve(id, by="rana", digest="0" * 64)) == "approval.changed"

    async def test_a_task_cannot_be_edited_nor_allowed_for_the_run(self, tmp_path: Path) -> None:
        async with held(tmp_path, grants=()) as (platform, id, _):
            assert await code_of(platform.approvals.approve(id, by="rana", edit={})) == "usage.approval_edit"
            assert await code_of(platform.approvals.approve(id, by="rana", scope="run")) == "usage.approval_scope"

    async def test_what_nobody_answered_in_time_is_denied(self, tmp_path: Path) -> None:
        clock = FakeClock()
        async with held(tmp_path, clock=clock, expires_in=60) as (platform, id, agent):
            clock._now += 60  # no timer rings: as if the process had slept
            assert platform.approvals.pending() == []
            assert await code_of(platform.approvals.approve(id, by="rana")) == "approval.expired"
            await platform.resume("deploy")
            assert (await platform.run(Task("deploy", id="deploy"))).status == "blocked"
        assert agent.calls == 0

    async def test_what_a_cancelled_run_asked_is_no_longer_asked(self, tmp_path: Path) -> None:
        async with held(tmp_path) as (platform, id, _):
            await platform.cancel("deploy", by="rana")
            async with asyncio.timeout(10):
                while (await platform.approvals.show(id)).status != "void":
                    await asyncio.sleep(0.02)
            assert await code_of(platform.approvals.approve(id, by="rana")) == "approval.void"


class TestLinks:
    async def test_a_link_answers_once_in_the_name_it_was_made_for(self, tmp_path: Path) -> None:
        async with held(tmp_path) as (platform, id, _):
            token = await platform.approvals.link(id, "rana")
            assert (tmp_path / KEY_FILE).stat().st_mode & 0o777 == 0o600
            found = await platform.approvals.answer_link(token, "allow", reason="from my phone")
            assert (found.status, found.by, found.reason) == ("allowed", "rana", "from my phone")
            for answer in ("allow", "deny"):
                again = platform.approvals.answer_link(token, answer)  # type: ignore[arg-type]
                assert await code_of(again) == "approval.already_answered"

    async def test_a_link_that_was_changed_or_is_too_old_is_refused(self, tmp_path: Path) -> None:
        clock = FakeClock()
        async with held(tmp_path, clock=clock) as (platform, id, agent):
            token = await platform.approvals.link(id, "rana", expires_in=60)
            said, _, signature = token.partition(".")
            other = await platform.approvals.link(id, "noor", expires_in=60)
            mixed = f"{other.partition('.')[0]}.{signature}"
            for wrong in ("", "x", f"{said}.", mixed, token[:-2] + "AA", f"{said}x.{signature}", "\u00e9.\u00e9"):
                with pytest.raises(Refused) as error:
                    await platform.approvals.answer_link(wrong, "allow")
                assert error.value.code == "approval.link"
            clock._now += 60
            assert await code_of(platform.approvals.answer_link(token, "allow")) == "approval.link"
        assert agent.calls == 0

    async def test_a_link_from_another_home_is_worth_nothing(self, tmp_path: Path) -> None:
        async with held(tmp_path / "one") as (one, id, _), held(tmp_path / "two") as (two, same, _):
            assert id == same
            token = await one.approvals.link(id, "rana")
            assert await code_of(two.approvals.answer_link(token, "allow")) == "approval.link"

    async def test_no_link_is_made_for_someone_who_could_not_answer(self, tmp_path: Path) -> None:
        async with held(tmp_path, user="ann") as (platform, id, _):
            assert await code_of(platform.approvals.link(id, "ann")) == "approval.self"

    async def test_a_key_that_others_can_read_is_not_used(self, tmp_path: Path) -> None:
        async with held(tmp_path) as (platform, id, _):
            await platform.approvals.link(id, "rana")
            (tmp_path / KEY_FILE).chmod(0o644)
            with pytest.raises(SettingsError):
                await platform.approvals.link(id, "rana")


async def test_an_answer_is_allow_or_deny(tmp_path: Path) -> None:
    async with held(tmp_path) as (platform, id, _):
        token = await platform.approvals.link(id, "rana")
        with pytest.raises(UsageError):
            await platform.approvals.answer_link(token, "maybe")  # type: ignore[arg-type]


async def test_an_approver_of_a_tenant_has_no_voice_in_a_run_of_none(tmp_path: Path) -> None:
    async with Platform(home=tmp_path) as platform:
        platform.register_agent("openai", ScriptedAgent())
        platform.add_guardrail(asks())
        platform.access.add_user("ann", ["operator"])
        platform.access.add_user("rana", ["approver"])
        platform.access.add_user("bob", ["approver"], tenant="acme")
        id = (await platform.run(Task("deploy"), user="ann")).approval_id
        assert id is not None
        assert await code_of(platform.approvals.approve(id, by="bob")) == "approval.not_yours"
        assert (await platform.approvals.approve(id, by="rana")).status == "allowed"


async def test_nobody_allows_their_own_request_by_another_spelling(tmp_path: Path) -> None:
    async with held(tmp_path, user="ren\u00e9") as (platform, id, agent):
        for by in ("Rene\u0301", "\uff52en\u00e9", "ren\u00e9\ufe0f"):
            assert await code_of(platform.approvals.approve(id, by=by)) == "approval.self"
    assert agent.calls == 0


async def test_two_spellings_of_a_name_are_no_two_people(tmp_path: Path) -> None:
    async with held(tmp_path, quorum=2) as (platform, id, agent):
        await platform.approvals.approve(id, by="ren\u00e9")
        assert await code_of(platform.approvals.approve(id, by="rene\u0301")) == "approval.already_answered"
    assert agent.calls == 0
