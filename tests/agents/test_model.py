"""The loop of a model with tools: what it asks, what it runs, how it ends, and that it can be played again."""

from __future__ import annotations

import asyncio
import json
from itertools import pairwise
from typing import Any

import pytest

from interlock.agents.agent import Answer, Brief
from interlock.agents.model import MAX_CALLS, ModelAgent
from interlock.agents.provider import Message, ModelResponse
from interlock.errors import (
    AgentFailed,
    OutputInvalid,
    RateLimitError,
    Refused,
    StepLost,
    ToolFailed,
    UsageError,
    from_code,
)
from interlock.records.money import Usage
from interlock.records.verdict import Act, Effect, Permit, Verdict
from interlock.tools.function import tool
from interlock.tools.tool import Caller, act_for
from tests.agents.bench import Killed, NotebookBench, block
from tests.agents.lines import USED, Lines, calls, says

TASK = Brief(text="How full are the disks?")
VERDICT = {
    "type": "object",
    "properties": {"ok": {"type": "boolean"}, "why": {"type": "string", "minLength": 1}},
    "required": ["ok"],
    "additionalProperties": False,
}


@tool(repeatable=True)
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


@tool
def fail(what: str) -> str:
    """Never works."""
    raise ToolFailed(f"There is no {what}.")


def agent(*lines: ModelResponse | Exception, **more: Any) -> tuple[ModelAgent, Lines]:
    provider = Lines(*lines)
    return ModelAgent("worker", provider, "m", **{"tools": [add, fail]} | more), provider


async def ask(*lines: ModelResponse | Exception, brief: Brief = TASK, bench: NotebookBench | None = None, **more: Any):
    made, provider = agent(*lines, **more)
    bench = bench or NotebookBench()
    return await made.work(brief, bench), provider, bench


def results(provider: Lines, request: int = -1) -> list[Message]:
    return [message for message in provider.requests[request].messages if message.role == "tool"]


async def test_an_answer_without_tools_is_one_step() -> None:
    answer, provider, bench = await ask(says("Half full."), price=lambda provider, model, usage: 7)
    assert answer == Answer(output="Half full.", agent="worker", usage=USED, cost_micros=7)
    assert bench.done == ["model/1"]
    step = bench.steps["model/1"]
    assert (step["what"], step["label"], step["repeatable"], step["timeout"]) == ("model", "lines:m", True, 120.0)
    assert step["input"]["model"] == "m"
    assert step["input"]["messages"] == 1
    assert len(step["input"]["digest"]) == 64
    assert [message.role for message in provider.requests[0].messages] == ["user"]


async def test_the_request_carries_the_key_the_limits_and_the_tools() -> None:
    _, provider, _ = await ask(says("x"), max_output_tokens=99, temperature=0.5, timeout=3.0)
    request = provider.requests[0]
    assert (request.key, request.timeout, request.max_output_tokens, request.temperature) == (
        "run-1:model/1",
        3.0,
        99,
        0.5,
    )
    assert [spec.name for spec in request.tools] == ["add", "fail"]


async def test_instructions_of_the_agent_come_before_those_of_the_brief() -> None:
    _, provider, _ = await ask(says("x"), brief=Brief(text="t", instructions="Verify."), instructions="Be brief.")
    system = provider.requests[0].messages[0]
    assert (system.role, system.text, system.pinned) == ("system", "Be brief.\n\nVerify.", True)


async def test_nested_context_values_arrive_unchanged_at_the_provider() -> None:
    context = {"db": {"host": "prod-1", "ports": [5432, 5433], "ratio": 0.1}, "note": "ünï\n```code```", "none": None}
    _, provider, _ = await ask(says("x"), brief=Brief(text="Look.", context=context))
    text = provider.requests[0].messages[-1].text
    assert text.startswith("Look.\n\n")
    fence = "````"  # longer than the one inside
    assert json.loads(text.split(f"{fence}json\n")[1].removesuffix(f"\n{fence}")) == context


async def test_a_tool_call_is_judged_run_and_its_result_goes_back() -> None:
    answer, provider, bench = await ask(calls(("add", {"a": 2, "b": 3})), says("Five."))
    assert answer.output == "Five."
    assert answer.usage == USED + USED
    assert bench.done == ["model/1", "tool/1", "model/2"]
    assert bench.steps["tool/1"] == {
        "what": "tool",
        "label": "add",
        "input": {"name": "add", "arguments": {"a": 2, "b": 3}},
        "repeatable": True,
        "timeout": None,
    }
    assert [(act.kind, act.name, act.agent, act.user) for act in bench.acts] == [
        ("model", "m", "worker", "ana"),
        ("tool", "add", "worker", "ana"),
        ("model", "m", "worker", "ana"),
    ]
    user, assistant, result = provider.requests[1].messages
    assert (user.role, assistant.role, assistant.tool_calls[0].name) == ("user", "assistant", "add")
    assert (result.role, result.text, result.tool_call_id, result.is_error) == ("tool", "5", "c0", False)


async def test_the_gate_is_told_what_a_request_can_cost_at_most() -> None:
    _, provider, bench = await ask(says("x"), brief=Brief(text="ü" * 1000), max_output_tokens=77)
    judged = bench.acts[0].arguments
    assert judged["provider"] == "lines"
    assert judged["max_output_tokens"] == 77
    assert judged["input_bytes"] > 2000
    assert provider.requests[0].model == judged["model"] == "m"


async def test_several_calls_of_one_turn_run_in_order_and_are_numbered_over_the_whole_work() -> None:
    two = calls(("add", {"a": 1, "b": 1}), ("add", {"a": 2, "b": 2}))
    _, provider, bench = await ask(two, calls(("add", {"a": 3, "b": 3})), says("done"))
    assert bench.done == ["model/1", "tool/1", "tool/2", "model/2", "tool/3", "model/3"]
    assert [message.text for message in results(provider)] == ["2", "4", "6"]


async def test_a_tool_knows_its_step_and_its_key() -> None:
    seen: list[Caller] = []

    @tool
    def look(caller: Caller) -> str:
        """Look."""
        seen.append(caller)
        return "seen"

    await ask(calls(("look", {})), says("done"), tools=[look])
    (caller,) = seen
    assert (caller.run_id, caller.path, caller.key) == ("run-1", "tool/1", "run-1:tool/1")
    assert (caller.agent, caller.user, caller.tenant) == ("worker", "ana", "acme")


@pytest.mark.parametrize(
    ("name", "arguments", "tells"),
    [
        ("nothing", {}, "There is no tool 'nothing'. The tools are: add, fail."),
        ("add", "{not json", "The arguments are not JSON"),
        ("add", "[1, 2]", "not a JSON object"),
        ("add", "[" * 100_000, "The arguments are not JSON"),
        ("add", '{"a": "\\ud800", "b": 1}', "The arguments are not JSON"),
        ("add", {"a": "x", "b": 1}, "got `str`"),
        ("add", "", "missing"),
    ],
)
async def test_a_call_that_cannot_be_made_goes_back_to_the_model_and_leaves_its_trace(
    name: str, arguments: Any, tells: str
) -> None:
    answer, provider, bench = await ask(calls((name, arguments)), says("I see."))
    assert answer.output == "I see."
    (result,) = results(provider)
    assert result.is_error
    assert tells in result.text
    assert bench.done == ["model/1", "tool/1", "model/2"]
    assert bench.steps["tool/1"]["input"]["name"] == name


async def test_a_call_without_arguments_means_an_empty_object() -> None:
    @tool
    def now() -> str:
        """Say."""
        return "noon"

    _, provider, _ = await ask(calls(("now", "")), says("x"), tools=[now])
    assert results(provider)[0].text == "noon"


async def test_a_denied_call_is_never_run_and_the_model_is_told_why() -> None:
    ran: list[int] = []

    @tool
    def wipe() -> str:
        """Wipe."""
        ran.append(1)
        return "wiped"

    bench = NotebookBench(gate=block("Nothing is wiped here."))
    answer, provider, _ = await ask(calls(("wipe", {})), says("I may not."), tools=[wipe], bench=bench)
    assert answer.output == "I may not."
    (result,) = results(provider)
    assert result.is_error
    assert "Nothing is wiped here." in result.text
    assert ran == []


async def test_a_bench_that_judges_nothing_gets_no_tool_run() -> None:
    class Careless(NotebookBench):
        async def step(self, name: str, act: Any, *, judge: Any = None, **more: Any) -> Any:
            return await super().step(name, act, **more)

    ran: list[Any] = []

    class Eager:
        spec = add.spec
        repeatable = True
        act = staticmethod(add.act)

        async def run(self, permit: Any, caller: Caller) -> Any:
            ran.append(permit)

    _, provider, _ = await ask(calls(("add", {"a": 1, "b": 1})), says("x"), tools=[Eager()], bench=Careless())
    (result,) = results(provider)
    assert result.is_error
    assert "No gate has allowed this call." in result.text
    assert ran == []


async def test_a_failing_tool_goes_back_to_the_model() -> None:
    _, provider, bench = await ask(calls(("fail", {"what": "disk"})), says("x"))
    (result,) = results(provider)
    assert (result.text, result.is_error) == ("There is no disk.", True)
    assert bench.steps["tool/1"]["repeatable"] is False


async def test_a_tool_that_breaks_its_word_is_a_failed_call() -> None:
    class Broken:
        spec = add.spec
        repeatable = True
        act = staticmethod(add.act)

        async def run(self, permit: Any, caller: Caller) -> Any:
            raise KeyError("/etc/secret")

    _, provider, _ = await ask(calls(("add", {"a": 1, "b": 1})), says("x"), tools=[Broken()])
    (result,) = results(provider)
    assert (result.text, result.is_error) == ("The tool broke with KeyError.", True)


async def test_a_call_that_a_person_skipped_goes_back_to_the_model() -> None:
    written = json.dumps({"code": "step.skipped", "says": "add was cut off in the middle and was skipped."})
    bench = NotebookBench({"tool/1": written})
    _, provider, _ = await ask(calls(("add", {"a": 1, "b": 1})), says("x"), bench=bench)
    (result,) = results(provider)
    assert result.is_error
    assert "was skipped" in result.text


async def test_a_step_in_doubt_is_not_for_the_model_to_decide() -> None:
    bench = NotebookBench({"tool/1": json.dumps({"code": "step.in_doubt", "says": "Who knows."})})
    with pytest.raises(StepLost):
        await ask(calls(("add", {"a": 1, "b": 1})), says("x"), bench=bench)


def test_a_recorded_skip_comes_back_as_a_lost_step() -> None:
    assert isinstance(from_code("step.skipped", "x"), StepLost)


@pytest.mark.parametrize("kind", ["model", "tool"])
async def test_a_suspension_passes_through_untouched(kind: str) -> None:
    class Parks(NotebookBench):
        async def step(self, name: str, act: Any, **more: Any) -> Any:
            if name == f"{kind}/1":
                raise Killed("parked")
            return await super().step(name, act, **more)

    with pytest.raises(Killed):
        await ask(calls(("add", {"a": 1, "b": 1})), says("x"), bench=Parks())


async def test_cancelling_in_a_tool_call_is_not_swallowed() -> None:
    started = asyncio.Event()

    @tool
    async def wait() -> str:
        """Wait."""
        started.set()
        await asyncio.Event().wait()
        return "never"

    async with asyncio.TaskGroup() as group:
        task = group.create_task(ask(calls(("wait", {})), says("x"), tools=[wait]))
        await started.wait()
        task.cancel()
    assert task.cancelled()


async def test_a_provider_error_ends_the_work() -> None:
    with pytest.raises(RateLimitError, match="Too many"):
        await ask(RateLimitError("Too many."))


async def test_a_refused_request_ends_the_work() -> None:
    with pytest.raises(Refused, match="Spent"):
        await ask(says("x"), bench=NotebookBench(gate=block("Spent.", kind="model")))


async def test_a_model_that_declines_fails_the_work() -> None:
    with pytest.raises(AgentFailed) as caught:
        await ask(says("No.", stop="refusal"))
    assert (caught.value.code, caught.value.retryable) == ("agent.declined", False)


async def test_a_text_cut_off_is_returned_with_a_note() -> None:
    answer, _, bench = await ask(says("It was a dark and", stop="length"))
    assert answer.output == "It was a dark and"
    assert [(level, code) for level, code, _ in bench.notes] == [("warning", "agent.output_truncated")]


@pytest.mark.parametrize(
    ("reply", "schema"),
    [
        (says('{"ok": tr', stop="length"), VERDICT),
        (says("", stop="length"), None),
        (calls(("add", '{"a": 1'), stop="length"), None),
    ],
)
async def test_what_cannot_be_used_half_is_an_error_when_cut_off(
    reply: ModelResponse, schema: dict[str, Any] | None
) -> None:
    with pytest.raises(OutputInvalid) as caught:
        await ask(reply, brief=Brief(text="t", schema=schema))
    assert caught.value.code == "agent.output_truncated"


async def test_turns_are_limited_and_the_last_one_runs_no_tools() -> None:
    again = [calls(("add", {"a": 1, "b": 1})) for _ in range(3)]
    bench = NotebookBench()
    with pytest.raises(AgentFailed) as caught:
        await ask(*again, bench=bench, max_turns=3)
    assert (caught.value.code, caught.value.retryable) == ("agent.too_many_turns", False)
    assert bench.done == ["model/1", "tool/1", "model/2", "tool/2", "model/3"]


async def test_an_empty_answer_is_asked_for_once_more() -> None:
    answer, provider, _ = await ask(says(" \n"), says("Here."))
    assert answer.output == "Here."
    assert [message.role for message in provider.requests[1].messages] == ["user", "user"]
    with pytest.raises(OutputInvalid, match="empty"):
        await ask(says(""), says(""))


async def test_a_structured_answer_comes_back_as_a_value() -> None:
    answer, provider, _ = await ask(says('{"ok": true}'), brief=Brief(text="t", schema=VERDICT))
    assert answer.output == {"ok": True}
    assert provider.requests[0].schema == VERDICT


async def test_a_structured_answer_in_a_fence_is_understood() -> None:
    answer, _, _ = await ask(says('```json\n{"ok": true}\n```'), brief=Brief(text="t", schema=VERDICT))
    assert answer.output == {"ok": True}


async def test_an_answer_of_the_wrong_form_is_sent_back_with_its_faults_once() -> None:
    brief = Brief(text="t", schema=VERDICT)
    answer, provider, _ = await ask(says('{"why": "", "x": 1}'), says('{"ok": false}'), brief=brief)
    assert answer.output == {"ok": False}
    _, wrong, correction = provider.requests[1].messages
    assert (wrong.role, wrong.text) == ("assistant", '{"why": "", "x": 1}')
    assert "`ok` is missing" in correction.text
    assert "`x` is unknown" in correction.text
    with pytest.raises(OutputInvalid, match="`ok` is missing"):
        await ask(says("{}"), says("{}"), brief=brief)
    with pytest.raises(OutputInvalid, match="not JSON"):
        await ask(says("Sure!"), brief=brief, max_turns=1)


async def test_an_unknown_price_makes_the_whole_cost_unknown() -> None:
    prices = iter([5, None])
    answer, _, _ = await ask(calls(("add", {"a": 1, "b": 1})), says("x"), price=lambda *_: next(prices))
    assert answer.cost_micros is None
    assert (await ask(says("x")))[0].cost_micros is None


async def test_the_price_is_asked_for_the_model_that_answered() -> None:
    asked: list[tuple[str, str, Usage]] = []

    def price(provider: str, model: str, usage: Usage) -> int:
        asked.append((provider, model, usage))
        return 1

    await ask(says("x"), price=price)
    await ask(says("x", model=""), price=price)
    assert asked == [("lines", "m-2026", USED), ("lines", "m", USED)]


async def test_text_and_tool_events_reach_those_who_watch() -> None:
    lines = calls(("add", {"a": 1, "b": 1}), text="Let me"), calls(("fail", {"what": "x"})), says("It is two")
    _, _, bench = await ask(*lines, stream=True)
    spoken = [(data["path"], data["text"]) for kind, data in bench.events if kind == "text" and data["text"]]
    assert spoken == [("model/1", "Let"), ("model/1", "me"), *(("model/3", word) for word in ("It", "is", "two"))]
    done = [(data["path"], data["name"], data["status"]) for kind, data in bench.events if kind == "tool"]
    assert done == [
        ("tool/1", "add", "started"),
        ("tool/1", "add", "finished"),
        ("tool/2", "fail", "started"),
        ("tool/2", "fail", "failed"),
    ]


@pytest.mark.parametrize(
    ("stream", "watched", "streams"),
    [(None, True, True), (None, False, False), (True, False, True), (False, True, False)],
)
async def test_it_streams_when_told_to_or_when_someone_watches(
    stream: bool | None, watched: bool, streams: bool
) -> None:
    bench = NotebookBench()
    bench.watched = watched
    await ask(says("It is two"), stream=stream, bench=bench)
    assert bool(bench.events) is streams


async def test_a_giant_tool_result_is_shown_in_part() -> None:
    @tool
    def dump() -> str:
        """Dump."""
        return "a" * 200_000 + "end"

    _, provider, _ = await ask(calls(("dump", {})), says("x"), tools=[dump])
    text = results(provider)[0].text
    assert len(text) < 61_000
    assert text.endswith("end")
    assert "140,003 characters left out" in text


async def test_half_characters_break_nothing() -> None:
    @tool
    def names() -> list[str]:
        """List."""
        return ["gr\u00fcn"]

    answer, provider, _ = await ask(calls(("names", {}), text="\ud800"), says("\udfff!"), tools=[names])
    assert answer.output == "?!"
    assert results(provider)[0].text == '["grün"]'
    assert provider.requests[1].messages[1].text == "?"


async def test_vendor_items_go_back_as_they_came() -> None:
    native = {"provider": "lines", "items": [{"type": "reasoning", "id": "rs_1", "n": 1.5}]}
    _, provider, _ = await ask(calls(("add", {"a": 1, "b": 1}), native=native), says("x"))
    assert provider.requests[1].messages[1].native == native


async def test_a_long_conversation_is_pruned_and_keeps_the_task() -> None:
    @tool
    def page(number: int) -> str:
        """Read."""
        return f"{number}" * 2_000

    turns = [calls(("page", {"number": number})) for number in range(8)]
    _, provider, bench = await ask(*turns, says("x"), tools=[page], context_tokens=2_000, instructions="Read all.")
    last = provider.requests[-1].messages
    assert [message.role for message in last[:3]] == ["system", "user", "assistant"]
    assert last[-1].text == "7" * 2_000
    assert len(last) < 2 + 2 * 8
    wanted = [call.id for message in last for call in message.tool_calls]
    assert wanted == [message.tool_call_id for message in last if message.role == "tool"]
    assert bench.steps["model/9"]["input"]["messages"] == len(last)


async def test_a_task_that_is_too_long_is_refused_before_any_request() -> None:
    bench = NotebookBench()
    with pytest.raises(UsageError) as caught:
        await ask(brief=Brief(text="x" * 10_000), bench=bench, context_tokens=1_000)
    assert caught.value.code == "usage.context_too_large"
    assert bench.done == []


LINES = (
    calls(("add", {"a": 1, "b": 2}), ("fail", {"what": "disk"})),
    calls(("nothing", {}), ("add", {"a": 4, "b": 4})),
    says(""),
    says('{"why": 1}'),
    says('{"ok": true}'),
)
STEPS = ["model/1", "tool/1", "tool/2", "model/2", "tool/3", "tool/4", "model/3", "model/4", "model/5"]
BRIEF = Brief(text="Go.", context={"a": [1, {"b": None}]}, schema=VERDICT)


async def test_replaying_recorded_steps_does_nothing_again_and_gives_the_same_answer() -> None:
    answer, _, bench = await ask(*LINES, brief=BRIEF, price=lambda *_: 3)
    assert bench.done == STEPS
    replay = NotebookBench(bench.written)
    again, provider, _ = await ask(brief=BRIEF, bench=replay, price=lambda *_: 3)
    assert again == answer
    assert replay.done == []
    assert provider.requests == []
    assert replay.steps == bench.steps
    assert replay.events == []


@pytest.mark.parametrize("after", range(1, len(STEPS)))
async def test_killed_after_any_step_it_goes_on_with_the_next(after: int) -> None:
    answer, _, whole = await ask(*LINES, brief=BRIEF)
    first = NotebookBench(kill_after=after)
    with pytest.raises(Killed):
        await ask(*LINES, brief=BRIEF, bench=first)
    asked = sum(path.startswith("model/") for path in first.done)
    second = NotebookBench(first.written)
    again, _, _ = await ask(*LINES[asked:], brief=BRIEF, bench=second)
    assert again == answer
    assert first.done + second.done == STEPS
    assert second.written == whole.written
    assert second.steps == whole.steps


async def test_the_digest_changes_with_what_is_sent() -> None:
    async def digest(text: str, **more: Any) -> str:
        _, _, bench = await ask(says("x"), brief=Brief(text=text), **more)
        return str(bench.steps["model/1"]["input"]["digest"])

    same = await digest("a")
    assert same == await digest("a")
    assert len({same, await digest("b"), await digest("a", temperature=0.1), await digest("a", tools=[add])}) == 4


@pytest.mark.parametrize(
    "wrong",
    [{"max_turns": 0}, {"max_output_tokens": 0}, {"timeout": -1.0}, {"context_tokens": 0}, {"tools": [add, add]}],
)
def test_an_agent_that_cannot_work_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        agent(**wrong)


async def test_an_approval_asked_of_the_gate_is_not_a_permit() -> None:
    bench = NotebookBench(
        gate=lambda act: Verdict(effect=Effect.APPROVAL) if act.kind == "tool" else Verdict(effect=Effect.ALLOW)
    )
    _, provider, _ = await ask(calls(("add", {"a": 1, "b": 1})), says("x"), bench=bench)
    assert results(provider)[0].is_error


async def test_of_too_many_calls_at_once_only_the_first_are_carried_out() -> None:
    many = calls(*[("add", {"a": number, "b": 0}) for number in range(MAX_CALLS + 3)])
    answer, provider, bench = await ask(many, says("done"))
    assert answer.output == "done"
    assert [path for path in bench.done if path.startswith("tool/")] == [f"tool/{n}" for n in range(1, MAX_CALLS + 1)]
    found = results(provider)
    assert [one.tool_call_id for one in found] == [f"c{number}" for number in range(MAX_CALLS + 3)]
    assert not any(one.is_error for one in found[:MAX_CALLS])
    assert {(one.text, one.is_error) for one in found[MAX_CALLS:]} == {("Too many calls at once; ask again.", True)}


async def test_others_get_their_turn_between_the_calls_of_one_answer() -> None:
    seen: list[int] = []

    async def watch(bench: NotebookBench) -> None:
        while True:
            seen.append(len(bench.done))
            await asyncio.sleep(0)

    bench = NotebookBench()
    watching = asyncio.create_task(watch(bench))
    await ask(calls(*[("nope", {})] * MAX_CALLS), says("done"), bench=bench)
    watching.cancel()
    assert max(later - earlier for earlier, later in pairwise([0, *seen, len(bench.done)])) <= 10


@pytest.mark.parametrize("kind", ["model", "task", "output", "tool_result", "message"])
async def test_a_tool_is_judged_as_a_tool_and_as_nothing_else(kind: Any) -> None:
    ran: list[str] = []

    class Sly:
        spec = add.spec
        repeatable = True

        def act(self, arguments: Any, caller: Caller) -> Act:
            return act_for(caller, kind, "add", arguments)

        async def run(self, permit: Permit, caller: Caller) -> Any:
            ran.append("ran")

    _, provider, bench = await ask(calls(("add", {"a": 1, "b": 1})), says("done"), tools=[Sly()])
    assert ran == []
    assert [act.kind for act in bench.acts] == ["model", "model"]
    (found,) = results(provider)
    assert (found.text, found.is_error) == ("The tool 'add' asks for what no tool may do.", True)
    assert json.loads(bench.written["tool/1"])["code"] == "tool.act"
