"""Steps in doubt through the front door: one list of what waits, one way to answer, and nothing done by mistake."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from interlock import Plan, Platform, Step, Task
from interlock.errors import InterlockError, UsageError
from interlock.flows.doubts import answers_to, doubts_of
from interlock.records.fact import Fact, QuestionAsked, Recorded, RunAdmitted
from interlock.records.plan import StepResult
from interlock.records.run import fold


class Shop:
    """Takes payments, which must not be taken twice. The first ones are cut off in the middle."""

    def __init__(self) -> None:
        self.paid: list[str] = []
        self.slow = True

    async def pay(self, who: str) -> str:
        """Take a payment."""
        self.paid.append(who)
        while self.slow:
            await asyncio.sleep(3600)
        return f"{who} paid"

    def plan(self) -> Plan:
        """Two payments and what follows one of them."""
        steps = [Step(who, tool="pay", tool_input={"who": who}) for who in ("ann", "ben")]
        return Plan(
            "Bill", [*steps, Step("end", tool="pay", tool_input={"who": "end"}, dependencies=["ben"])], tools=[self.pay]
        )


@asynccontextmanager
async def cut_off(home: Path) -> AsyncIterator[tuple[Platform, Shop]]:
    """A platform with a run whose two payments were cut off, and whoever resumed it was asked about."""
    shop = Shop()
    async with Platform(home=home) as platform:
        await platform.submit_plan(shop.plan(), "bills", tools_from=["shop:ALL"])
        while len(shop.paid) < 2:
            await asyncio.sleep(0.01)
        await platform.close(grace=0.0)
    shop.slow = False
    async with Platform(home=home) as platform:
        await platform.execute(shop.plan(), "bills", resume=True)
        yield platform, shop


def by_id(results: list[StepResult]) -> dict[str, StepResult]:
    return {result.step_id: result for result in results}


async def test_what_is_in_doubt_waits_in_the_same_list_with_all_one_needs(tmp_path: Path) -> None:
    async with cut_off(tmp_path) as (platform, _):
        first, second = platform.approvals.pending()
        assert [(one.about, one.step, one.status, one.does) for one in (first, second)] == [
            ("in_doubt", "ann", "pending", 'pay({"who": "ann"})'),
            ("in_doubt", "ben", "pending", 'pay({"who": "ben"})'),
        ]
        assert (first.run_id, first.path) == ("bills", "plan/ann/1/tool")
        assert await platform.approvals.show(first.id[:8]) == first
        assert first.answer_words("skip") == ["run", "resume", "bills", "--skip", "ann", "--tools", "shop:ALL"]


async def test_the_result_of_the_step_says_what_is_not_known_and_how_to_answer(tmp_path: Path) -> None:
    async with cut_off(tmp_path) as (platform, shop):
        found = by_id(await platform.execute(shop.plan(), "bills", resume=True))
    ann = found["ann"]
    assert (ann.status, ann.kind, found["end"].kind) == ("awaiting_approval", "in_doubt", "")
    assert ann.error is not None
    for told in (
        "step.in_doubt: pay was cut off in the middle; it may have happened or not.",
        "`interlock run resume bills --repeat ann --tools shop:ALL`",
        "`--skip ann`",
        "in_doubt={'ann': 'repeat'}",
    ):
        assert told in ann.error


async def test_neither_a_yes_nor_a_no_nor_a_link_answers_for_a_step_in_doubt(tmp_path: Path) -> None:
    async with cut_off(tmp_path) as (platform, shop):
        (one, _) = await platform.approvals.waiting()
        approvals = platform.approvals
        for work in (
            approvals.approve(one.id, by="rana"),
            approvals.reject(one.id, by="rana"),
            approvals.link(one.id, "x"),
        ):
            with pytest.raises(UsageError) as error:
                await work
            assert error.value.code == "usage.in_doubt"
            assert "--repeat ann" in error.value.do
            assert "--skip ann" in error.value.do
        assert (await approvals.show(one.id)).status == "pending"
        assert shop.paid == ["ann", "ben"]


async def test_each_step_is_answered_for_by_itself_in_python_too(tmp_path: Path) -> None:
    async with cut_off(tmp_path) as (platform, shop):
        answers = {"ann": "repeat", "plan/ben": "skip"}
        found = by_id(await platform.execute(shop.plan(), "bills", resume=True, in_doubt=answers))
        assert {name: one.status for name, one in found.items()} == {
            "ann": "completed",
            "ben": "failed",
            "end": "skipped",
        }
        assert (found["ben"].error or "").startswith("step.skipped: ")
        assert shop.paid == ["ann", "ben", "ann"]
        assert platform.approvals.pending() == []
        again = by_id(await platform.execute(shop.plan(), "bills", resume=True))
        assert again["ben"].status == "failed"
        assert shop.paid == ["ann", "ben", "ann"], "what a person skipped is not done by the next resume"


@pytest.mark.parametrize(
    ("given", "do"),
    [
        ({"anne": "repeat"}, "In doubt: ann, ben."),
        ({"": "repeat"}, "In doubt: ann, ben."),
        ({"ann": "allow"}, "For example"),
        ("maybe", "For example"),
        ({"ann": "repeat", "plan/ann": "skip"}, "Say one of them."),
    ],
)
async def test_an_answer_that_fits_nothing_is_refused_and_nothing_is_answered(
    tmp_path: Path, given: dict[str, str] | str, do: str
) -> None:
    async with cut_off(tmp_path) as (platform, shop):
        with pytest.raises(InterlockError) as error:
            await platform.resume("bills", in_doubt=given)
        assert (error.value.code, do in error.value.do) == ("usage.in_doubt", True)
        assert len(platform.approvals.pending()) == 2
        assert shop.paid == ["ann", "ben"]


async def test_once_the_run_is_over_for_good_nothing_of_it_is_asked(tmp_path: Path) -> None:
    async with cut_off(tmp_path) as (platform, _):
        (one, _) = await platform.approvals.waiting()
        await platform.cancel("bills")
        await platform.wait("bills")
        assert platform.approvals.pending() == []
        assert (await platform.approvals.show(one.id)).status == "void"


async def test_a_run_without_a_plan_names_its_step_by_the_path(tmp_path: Path) -> None:
    calls: list[str] = []

    async def slow(text: str) -> str:
        calls.append(text)
        await asyncio.sleep(3600 if len(calls) == 1 else 0)
        return "done"

    async with Platform(home=tmp_path) as platform:
        platform.register_agent("mailer", slow)
        await platform.submit(Task("mail", id="mail-1", context={"agent": "mailer"}))
        while not calls:
            await asyncio.sleep(0.01)
        await platform.close(grace=0.0)
    async with Platform(home=tmp_path) as platform:
        platform.register_agent("mailer", slow)
        asked = await platform.resume("mail-1")
        (one,) = await platform.approvals.waiting()
        assert (one.id, one.step, one.does) == (asked.approval_id, one.path, "mailer")
        assert f"--repeat {one.path}` or `--skip {one.path}`" in (asked.hint or "")
        assert (await platform.resume("mail-1", in_doubt={one.step: "repeat"})).output == "done"


async def test_two_calls_of_one_step_are_told_apart_by_their_paths() -> None:
    steps = [{"id": "a"}, {"id": "a~2"}, {"id": "b"}]
    admitted = RunAdmitted(
        task={"context": {"plan": {"steps": steps}, "execution": {}}}, task_id="t", flow="plan", digest="d"
    )
    paths = ["plan/b/1/tool/1", "plan/b/1/tool/2", "plan/a~2/1/tool", "plan/b~2/1/tool", "plan/a/1/tool"]
    asked = [QuestionAsked(path=path, question_id=f"q_{path}", about="in_doubt", says="?") for path in paths]
    written: list[Fact] = [admitted, *asked]
    facts = [Recorded(position=0, run_id="r", seq=seq, at=0.0, fact=fact) for seq, fact in enumerate(written, 1)]
    run = fold("r", facts)
    assert [doubt.step for doubt in doubts_of(run)] == [*paths[:2], "a~2", paths[3], "a"]
    assert [doubt.step_id for doubt in doubts_of(run)] == ["b", "b", "a~2", "b", "a"]
    assert answers_to(run, {paths[0]: "skip", "q_plan/a/1/tool": "repeat"}) == {
        f"q_{paths[0]}": "skip",
        f"q_{paths[4]}": "repeat",
    }
    assert sorted(answers_to(run, {"b": "skip"})) == sorted(f"q_{paths[n]}" for n in (0, 1, 3))
    assert len(answers_to(run, "repeat")) == 5


def slow_payment(**wishes: object) -> tuple[Plan, list[str]]:
    """A plan with one payment that is cut off the first time it is tried."""
    paid: list[str] = []

    async def pay(who: str) -> str:
        """Take a payment."""
        paid.append(who)
        if len(paid) == 1:
            await asyncio.sleep(3600)
        return f"{who} paid"

    step = Step("ann", tool="pay", tool_input={"who": "ann"}, metadata={"timeout": 0.05, **wishes})
    return Plan("Bill", [step], tools=[pay]), paid


async def test_what_was_cut_off_by_its_timeout_and_must_not_happen_twice_is_not_retried(tmp_path: Path) -> None:
    plan, paid = slow_payment(retries=3)
    async with Platform(home=tmp_path) as platform:
        [result] = await platform.execute(plan, "bills")
    assert (result.status, result.kind, result.attempts, paid) == ("failed", "timeout", 1, ["ann"])


@pytest.mark.parametrize(("answer", "status", "times"), [("repeat", "completed", 2), ("skip", "failed", 1)])
async def test_a_resume_asks_about_what_a_timeout_cut_off_before_it_is_done_again(
    tmp_path: Path, answer: str, status: str, times: int
) -> None:
    plan, paid = slow_payment()
    async with Platform(home=tmp_path) as platform:
        await platform.execute(plan, "bills")
        [asked] = await platform.execute(plan, "bills", resume=True)
        assert (asked.kind, paid) == ("in_doubt", ["ann"])
        [result] = await platform.execute(plan, "bills", resume=True, in_doubt=answer)
        assert (result.status, len(paid)) == (status, times)
        [again] = await platform.execute(plan, "bills", resume=True)
        assert (again.status, len(paid)) == (status, times)
