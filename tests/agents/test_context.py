"""What a model is shown: laws of pruning, and the opening, results and digest of a conversation."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Sequence
from types import MappingProxyType

import msgspec
import pytest
from hypothesis import given, reject
from hypothesis import strategies as st

from interlock.agents.agent import Brief
from interlock.agents.context import MAX_RESULT, Conversation, at_most, estimate, opening, prune, shown
from interlock.agents.provider import Message, ToolCall
from interlock.errors import UsageError

texts = st.text(alphabet="aü 漢", max_size=40)


@st.composite
def turns(draw: st.DrawFn) -> list[Message]:
    role = draw(st.sampled_from(["system", "user", "assistant", "calls"]))
    pinned = draw(st.integers(0, 5)) == 0
    if role != "calls":
        return [Message(role=role, text=draw(texts), pinned=pinned)]  # type: ignore[arg-type]
    wanted = tuple(
        ToolCall(id=str(draw(st.uuids())), name="tool", arguments=draw(texts)) for _ in range(draw(st.integers(1, 3)))
    )
    results = [Message(role="tool", text=draw(texts), tool_call_id=call.id, pinned=pinned) for call in wanted]
    return [Message(role="assistant", text=draw(texts), tool_calls=wanted), *results]


limits = st.integers(0, 800)
conversations = st.lists(turns(), max_size=12).map(lambda groups: [message for group in groups for message in group])


def total(messages: Sequence[Message]) -> int:
    return sum(map(estimate, messages))


def pruned(messages: list[Message], limit: int) -> list[Message]:
    """What pruning keeps; examples in which that is impossible are passed over."""
    with contextlib.suppress(UsageError):
        return prune(messages, limit)
    assert total(messages) > limit, "what fits is never refused"
    reject()


@given(conversations, limits)
def test_the_laws_of_pruning(messages: list[Message], limit: int) -> None:
    kept = pruned(messages, limit)
    places = [next(n for n, message in enumerate(messages) if message is one) for one in kept]
    assert places == sorted(places), "the order is kept"
    assert total(kept) <= limit, "the budget is held"
    asked = [call.id for message in kept for call in message.tool_calls]
    assert asked == [message.tool_call_id for message in kept if message.role == "tool"], "no call without its result"
    for message in messages:
        if message.role == "system" or message.pinned:
            assert any(message is one for one in kept), "system and pinned messages stay"
    if messages:
        assert kept[-1] is messages[-1], "the newest stays"
    if total(messages) <= limit:
        assert kept == messages, "nothing is left out without need"


@given(st.lists(turns(), min_size=1, max_size=12), limits)
def test_only_the_oldest_turns_are_left_out(groups: list[list[Message]], limit: int) -> None:
    kept = pruned([message for group in groups for message in group], limit)
    loose = [group for group in groups if not any(one.pinned or one.role == "system" for one in group)]
    stay = [any(group[0] is one for one in kept) for group in loose]
    assert stay == sorted(stay)


@given(conversations, limits)
def test_pruning_twice_is_pruning_once(messages: list[Message], limit: int) -> None:
    once = pruned(messages, limit)
    assert prune(once, limit) == once


def test_a_count_of_your_own_is_used() -> None:
    messages = [Message(role="system", text="s"), *(Message(role="user", text=str(number)) for number in range(9))]
    kept = prune(messages, 3, count=lambda message: 1)
    assert [message.text for message in kept] == ["s", "7", "8"]


def test_pinned_messages_that_are_too_much_are_an_error_with_a_next_step() -> None:
    with pytest.raises(UsageError, match=r"come to [\d,]+ tokens, 10 are allowed") as caught:
        prune([Message(role="user", text="x" * 1000, pinned=True), Message(role="user", text="y")], 10)
    assert caught.value.code == "usage.context_too_large"
    assert caught.value.do


def test_a_newest_turn_that_is_too_much_is_an_error() -> None:
    with pytest.raises(UsageError):
        prune([Message(role="user", text="a"), Message(role="user", text="x" * 1000)], 50)


@given(texts, texts)
def test_the_bound_counts_every_byte(text: str, arguments: str) -> None:
    call = ToolCall(id="c", name="t", arguments=arguments)
    message = Message(role="assistant", text=text, tool_calls=(call,), native={"provider": "p", "items": [text]})
    assert at_most(message) > len(text.encode()) * 2 + len(arguments.encode())
    assert estimate(message) * 4 >= at_most(message)


def test_an_opening_without_orders_has_no_system_message() -> None:
    assert opening(Brief(text="Go.")) == [Message(role="user", text="Go.", pinned=True)]


def test_a_frozen_context_is_shown_too() -> None:
    (message,) = opening(Brief(text="Go.", context=MappingProxyType({"a": MappingProxyType({"b": [1.5, True, None]})})))
    assert message.text == 'Go.\n\nContext:\n```json\n{"a":{"b":[1.5,true,null]}}\n```'


@given(st.dictionaries(st.text(alphabet="`a\n", max_size=8), st.text(alphabet="`a\n", max_size=12), min_size=1))
def test_no_context_can_close_its_fence(context: dict[str, str]) -> None:
    (message,) = opening(Brief(text="Go.", context=context))
    fence = message.text.rsplit("\n", 1)[1]
    assert message.text.count(fence) == 2
    assert json.loads(message.text.split(f"{fence}json\n")[1].removesuffix(f"\n{fence}")) == context


@pytest.mark.parametrize(
    ("output", "text"),
    [("plain", "plain"), ("", ""), (None, "null"), ({"a": ["ü", 1]}, '{"a":["ü",1]}'), ("half \ud800", "half ?")],
)
def test_a_result_is_shown_as_text_or_json(output: object, text: str) -> None:
    assert shown(output) == text


def test_the_middle_of_a_long_result_is_left_out() -> None:
    text = shown("h" * MAX_RESULT + "t" * MAX_RESULT)
    assert text.startswith("h" * (MAX_RESULT * 2 // 3))
    assert text.endswith("t" * (MAX_RESULT // 3))
    assert f"[... {MAX_RESULT:,} characters left out ...]" in text


def grown(limit: int = 1_000, turns: int = 30) -> Conversation:
    talk = Conversation([Message(role="user", text="task", pinned=True)], limit)
    for number in range(turns):
        talk.add(Message(role="assistant", text=f"{number}" * 100))
        talk.messages()
    return talk


def test_a_conversation_stays_within_its_limit_and_keeps_its_opening() -> None:
    talk = grown()
    kept = talk.messages()
    assert kept[0].text == "task"
    assert kept[-1].text == "29" * 100
    assert total(kept) <= 1_000
    assert talk.size == sum(map(at_most, kept))


def test_a_cut_conversation_has_the_same_beginning_for_some_turns() -> None:
    talk = Conversation([Message(role="user", text="task", pinned=True)], 1_000)
    beginnings = []
    for number in range(60):
        talk.add(Message(role="assistant", text=f"{number:02}" * 50))
        beginnings.append(talk.messages()[1].text)
    assert len(set(beginnings)) < 10


def test_the_digest_is_that_of_the_messages_shown() -> None:
    talk = grown()
    fresh = Conversation(talk.messages(), 1_000)
    assert talk.digest("m") == fresh.digest("m")
    assert talk.digest("m") != talk.digest("n")
    before = talk.digest("m")
    talk.add(Message(role="user", text="more"))
    assert talk.digest("m") != before


def test_messages_given_out_do_not_change_later() -> None:
    talk = Conversation([Message(role="user", text="task")], 1_000)
    given_out = talk.messages()
    talk.add(Message(role="user", text="more"))
    assert len(given_out) == 1


def test_a_message_is_hashed_with_all_its_fields() -> None:
    one = Message(role="tool", text="x", tool_call_id="a")
    two = Message(role="tool", text="x", tool_call_id="b")
    assert msgspec.json.encode(one) != msgspec.json.encode(two)
    assert Conversation([one], 100).digest() != Conversation([two], 100).digest()
