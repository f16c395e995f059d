"""Functions as tools: schema from types and docstring, strict arguments, time limits, results that are JSON."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from dataclasses import dataclass
from enum import Enum
from functools import partial
from typing import Any, Literal, TypedDict

import pytest

from interlock.errors import Refused, ToolFailed, UsageError
from interlock.records.verdict import ALLOWED, Act, Effect, Permit, Verdict
from interlock.tools.function import FunctionTool, as_tool, tool
from interlock.tools.result import MAX_RESULT
from interlock.tools.tool import Caller, Tool, repeatable_for

CALLER = Caller(run_id="run-1", path="plan/1", agent="worker", user="ana", tenant="acme")


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


@dataclass
class Point:
    x: int
    y: int = 0


class Options(TypedDict, total=False):
    deep: bool


async def use(one: Any, arguments: dict[str, Any], caller: Caller = CALLER) -> Any:
    """Act, let it be allowed, run: what the engine does with a call."""
    made = as_tool(one)
    return await made.run(Permit(made.act(arguments, caller), ALLOWED), caller)


@tool
def search(query: str, limit: int = 10, *, order: Literal["new", "old"] = "new") -> list[str]:
    """Search the archive.

    Goes through everything there is.

    Args:
        query: What to look for;
            more than one word is fine.
        limit (int): How many: at most 100.
        order: Which first.

    Returns:
        The titles.
    """
    return [f"{query}/{limit}/{order}"]


@tool
def paint(at: Point, colour: Colour, tags: list[str], options: Options | None = None, more: Any = None) -> Any:
    """Paint a point.

    :param at: where
        exactly
    :param Colour colour: which colour
    :returns: nothing of note
    """
    return {"at": at, "colour": colour, "tags": tags, "options": options, "more": more}


def test_a_schema_comes_from_types_and_a_google_docstring() -> None:
    assert search.spec.name == "search"
    assert search.spec.description == "Search the archive.\n\nGoes through everything there is."
    assert search.spec.parameters == {
        "type": "object",
        "properties": {
            "query": {"type": "string", "description": "What to look for; more than one word is fine."},
            "limit": {"type": "integer", "description": "How many: at most 100.", "default": 10},
            "order": {"enum": ["new", "old"], "description": "Which first.", "default": "new"},
        },
        "required": ["query"],
        "additionalProperties": False,
    }


def test_a_schema_comes_from_a_sphinx_docstring_and_richer_types() -> None:
    schema = paint.spec.parameters
    assert paint.spec.description == "Paint a point."
    assert schema["properties"]["at"] == {"$ref": "#/$defs/Point", "description": "where exactly"}
    assert schema["properties"]["colour"]["description"] == "which colour"
    assert schema["required"] == ["at", "colour", "tags"]
    assert schema["$defs"]["Colour"]["enum"] == ["blue", "red"]
    assert schema["$defs"]["Point"]["required"] == ["x"]


def test_a_decorated_function_stays_a_function() -> None:
    assert search("a", order="old") == ["a/10/old"]
    assert search.__name__ == "search"
    assert isinstance(search, Tool)
    assert as_tool(search) is search


def test_the_decorator_takes_a_name_a_description_and_whether_it_may_be_repeated() -> None:
    @tool(name="look-up", description="Looks up.", timeout=3, repeatable=True)
    def anything(word: str) -> str:
        return word

    assert (anything.spec.name, anything.spec.description, anything.timeout) == ("look-up", "Looks up.", 3)
    assert repeatable_for(anything, anything.act({"word": "a"}, CALLER))
    assert not repeatable_for(search, search.act({"query": "a"}, CALLER))


async def test_arguments_arrive_as_the_types_the_function_asks_for() -> None:
    seen = {}

    @tool
    def keep(at: Point, colour: Colour, options: Options, ratio: float = 0.5) -> None:
        seen.update(at=at, colour=colour, options=options, ratio=ratio)

    await use(keep, {"at": {"x": 1}, "colour": "red", "options": {"deep": True}})
    assert seen == {"at": Point(1, 0), "colour": Colour.RED, "options": {"deep": True}, "ratio": 0.5}


async def test_a_result_becomes_plain_json() -> None:
    found = await use(paint, {"at": {"x": 1, "y": 2}, "colour": "blue", "tags": ["a"]})
    assert found == {"at": {"x": 1, "y": 2}, "colour": "blue", "tags": ["a"], "options": None, "more": None}


@pytest.mark.parametrize(
    ("arguments", "tells"),
    [
        ({}, "query"),
        ({"query": 7}, "Expected `str`, got `int`"),
        ({"query": "a", "limit": "10"}, "$.limit"),
        ({"query": "a", "limit": True}, "$.limit"),
        ({"query": "a", "order": "sideways"}, "order"),
        ({"query": "a", "colour": 1}, "no argument 'colour'; there are: query, limit, order"),
        ({"query": "\ud800"}, "surrogate"),
        (["query"], "JSON object"),
    ],
)
def test_arguments_that_do_not_fit_are_told_to_the_model(arguments: Any, tells: str) -> None:
    with pytest.raises(ToolFailed) as caught:
        search.act(arguments, CALLER)
    assert caught.value.code == "tool.arguments"
    assert tells in caught.value.says


def test_an_act_says_exactly_what_would_be_done_and_for_whom() -> None:
    given: dict[str, Any] = {"at": {"x": 1}, "colour": "red", "tags": ["a"]}
    act = paint.act(given, CALLER)
    given["tags"].append("changed after it was judged")
    assert act == Act(
        kind="tool",
        name="paint",
        arguments={"at": {"x": 1}, "colour": "red", "tags": ["a"]},
        run_id="run-1",
        path="plan/1",
        agent="worker",
        user="ana",
        tenant="acme",
    )


async def test_a_permit_for_something_else_is_not_accepted() -> None:
    permit = Permit(search.act({"query": "a"}, CALLER), ALLOWED)
    with pytest.raises(UsageError, match="permit"):
        await paint.run(permit, CALLER)
    with pytest.raises(Refused):
        Permit(permit.act, Verdict(effect=Effect.APPROVAL))


async def test_the_caller_is_filled_in_and_hidden_from_the_model() -> None:
    @tool
    async def whoami(caller: Caller, shout: bool = False) -> str:
        return caller.agent.upper() if shout else caller.agent

    assert list(whoami.spec.parameters["properties"]) == ["shout"]
    assert await use(whoami, {"shout": True}) == "WORKER"
    with pytest.raises(ToolFailed):
        whoami.act({"caller": {"agent": "root"}}, CALLER)


async def test_a_function_that_raises_is_told_without_a_traceback() -> None:
    @tool
    def broken() -> None:
        raise ValueError("no \x1b[31mcolour\x1b[0m " + "x" * 2000)

    with pytest.raises(ToolFailed) as caught:
        await use(broken, {})
    assert caught.value.code == "tool.error"
    assert caught.value.says.startswith("The tool broken failed: ValueError: no colour xxx")
    assert len(caught.value.says) < 600


@pytest.mark.parametrize("asynchronous", [False, True])
@pytest.mark.parametrize("error", [SystemExit(3), TimeoutError("upstream"), asyncio.CancelledError(), StopIteration()])
async def test_no_exception_of_a_function_passes_for_something_else(error: BaseException, asynchronous: bool) -> None:
    def sync() -> None:
        raise error

    async def later() -> None:
        raise error

    with pytest.raises(ToolFailed) as caught:
        await use(later if asynchronous else sync, {})
    assert caught.value.code == "tool.error"


async def test_a_failure_of_the_tools_own_making_goes_through_as_it_is() -> None:
    own = ToolFailed("There is no such ticket.", code="tool.no_ticket")

    def find() -> None:
        raise own

    with pytest.raises(ToolFailed) as caught:
        await use(find, {})
    assert caught.value is own


async def test_a_slow_function_fails_in_time_and_holds_nobody_up() -> None:
    let_go = threading.Event()

    @tool(timeout=0.05)
    def slow() -> None:
        let_go.wait(30)

    @tool(timeout=0.05)
    async def slow_too() -> None:
        await asyncio.Event().wait()

    for one in (slow, slow_too):
        with pytest.raises(ToolFailed) as caught:
            await use(one, {})
        assert caught.value.code == "tool.timeout"
        assert "0.05 seconds" in caught.value.says
    let_go.set()


async def test_the_callers_time_is_a_limit_too() -> None:
    async def slow() -> None:
        await asyncio.Event().wait()

    with pytest.raises(ToolFailed) as caught:
        await use(slow, {}, Caller(timeout=0.02))
    assert caught.value.code == "tool.timeout"


async def test_cancelling_a_call_cancels_the_async_function() -> None:
    started, ended = asyncio.Event(), asyncio.Event()

    async def wait() -> None:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    task = asyncio.create_task(use(wait, {}))
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended.is_set()


def test_a_function_that_never_returns_does_not_keep_the_process_from_ending() -> None:
    program = """
import asyncio, threading
from interlock.records.verdict import ALLOWED, Permit
from interlock.tools.function import tool
from interlock.tools.tool import Caller

@tool(timeout=0.05)
def stuck() -> None:
    threading.Event().wait()

async def main():
    results = await asyncio.gather(
        *(stuck.run(Permit(stuck.act({}, Caller()), ALLOWED), Caller()) for _ in range(40)), return_exceptions=True
    )
    print({error.code for error in results})

asyncio.run(main())
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30)
    assert (done.returncode, done.stdout.strip()) == (0, "{'tool.timeout'}"), done.stderr


@pytest.mark.parametrize("value", [object(), float("nan"), {"a": float("inf")}, (n for n in [1]), 1j, "\ud800"])
async def test_a_result_that_is_not_json_is_a_failure(value: Any) -> None:
    with pytest.raises(ToolFailed) as caught:
        await use(FunctionTool(lambda: value, name="odd"), {})
    assert caught.value.code == "tool.result"


async def test_a_giant_result_is_cut_with_a_mark() -> None:
    text = await use(FunctionTool(lambda: "é" * MAX_RESULT, name="giant"), {})
    assert len(text.encode()) < MAX_RESULT + 100
    assert "… 1,000,000 bytes left out …" in text
    rows = await use(FunctionTool(lambda: [{"row": n} for n in range(200_000)], name="rows"), {})
    assert isinstance(rows, str)
    assert "bytes left out" in rows
    assert len(rows) < MAX_RESULT + 100


class NoJson:
    pass


def untyped(a) -> None:  # type: ignore[no-untyped-def]
    """Takes anything."""


def takes_object(a: NoJson) -> None: ...


def takes_many(*names: str) -> None: ...


def takes_unknown(a: Nowhere) -> None: ...  # type: ignore[name-defined] # noqa: F821


@pytest.mark.parametrize("fn", [untyped, takes_object, takes_many, takes_unknown, lambda: None, 7])
def test_a_function_that_cannot_be_a_tool_is_refused_when_it_is_decorated(fn: Any) -> None:
    with pytest.raises(UsageError) as caught:
        tool(fn)
    assert caught.value.code == "usage.tool"
    assert caught.value.exit_code == 2


def takes_one_of_two(a: int, b: NoJson | None = None) -> None: ...


@pytest.mark.parametrize(("fn", "told"), [(takes_object, "'a' has the type NoJson,"), (takes_one_of_two, "'b' has")])
def test_a_parameter_that_json_cannot_carry_is_named_in_one_line(fn: Any, told: str) -> None:
    with pytest.raises(UsageError) as caught:
        tool(fn)
    assert told in caught.value.says
    assert "\n" not in caught.value.says
    assert "msgspec" not in caught.value.says


@pytest.mark.parametrize("timeout", [0, -1, float("nan"), float("inf"), True, "1"])
def test_a_timeout_that_makes_no_sense_is_refused(timeout: Any) -> None:
    with pytest.raises(UsageError):
        tool(timeout=timeout)(lambda: None)


def define(**schema: Any) -> dict[str, Any]:
    function = {"name": "my_search", "description": "Searches.", "parameters": schema}
    return {"type": "function", "function": function, "implementation": lambda **given: given}


async def test_the_dict_form_is_a_tool_checked_against_its_schema() -> None:
    given = define(
        type="object",
        properties={"query": {"type": "string"}, "limit": {"type": "integer", "minimum": 1, "maximum": 5}},
        required=["query"],
    )
    made = as_tool(given)
    assert (made.spec.name, made.spec.description) == ("my_search", "Searches.")
    assert await use(made, {"query": "a", "limit": 5}) == {"query": "a", "limit": 5}
    for wrong in ({}, {"query": 1}, {"query": "a", "limit": 6}, {"query": "a", "limit": True}, {"query": "a", "x": 1}):
        with pytest.raises(ToolFailed) as caught:
            made.act(wrong, CALLER)
        assert caught.value.code == "tool.arguments"


async def test_the_dict_form_may_leave_its_arguments_open() -> None:
    made = as_tool(define(type="object", additionalProperties=True))
    assert await use(made, {"anything": [1, {"a": None}]}) == {"anything": [1, {"a": None}]}


async def test_the_dict_form_gets_its_caller_from_us_and_not_from_the_model() -> None:
    def whoami(caller: Caller, **rest: Any) -> str:
        return caller.agent

    given = define(type="object", additionalProperties=True) | {"implementation": whoami}
    assert await use(given, {"caller": "root"}) == "worker"


@pytest.mark.parametrize(
    "given",
    [
        7,
        "web_search",
        None,
        Point,
        {},
        {"type": "function"},
        {"type": "function", "function": {"name": "a"}, "implementation": "no function"},
        {"type": "function", "function": {"name": "has space"}, "implementation": len},
        {"type": "function", "function": {"name": "a", "parameters": {"type": "array"}}, "implementation": len},
        {"type": "function", "function": {"name": "a", "parameters": {"properties": []}}, "implementation": len},
    ],
)
def test_what_is_no_tool_is_refused_with_a_next_step(given: Any) -> None:
    with pytest.raises(UsageError) as caught:
        as_tool(given)
    assert caught.value.code == "usage.tool"
    assert caught.value.do


async def test_plain_functions_partials_methods_and_callable_objects_are_tools() -> None:
    def add(a: int, b: int) -> int:
        return a + b

    class Shop:
        def price(self, item: str) -> int:
            return len(item)

    class Later:
        async def __call__(self, word: str) -> str:
            return word[::-1]

    assert await use(add, {"a": 1, "b": 2}) == 3
    assert await use(FunctionTool(partial(add, b=5), name="add_five"), {"a": 1}) == 6
    assert await use(Shop().price, {"item": "tea"}) == 3
    assert await use(FunctionTool(Later(), name="later"), {"word": "abc"}) == "cba"


async def test_a_key_in_what_a_function_raises_is_not_shown() -> None:
    def broken() -> str:
        raise RuntimeError("401 for key sk-KNOWNKEY0123456789abcdefghijk")

    with pytest.raises(ToolFailed, match=r"^tool\.\w+: The tool broken failed: RuntimeError: 401 for key \[key\]$"):
        await use(broken, {})
