"""Python functions as tools: described by their types and docstring, checked, timed, and never trusted to behave."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import functools
import inspect
import re
import threading
from collections.abc import Callable, Mapping
from typing import Any, Generic, ParamSpec, TypeVar, overload

import msgspec

from interlock.errors import ToolFailed, UsageError
from interlock.records.unexpected import explain
from interlock.records.verdict import Act, Permit
from interlock.tools.result import as_json, clean
from interlock.tools.schema import validate
from interlock.tools.signature import Signature, caller_parameter, misfit, read_signature, refuse_unknown
from interlock.tools.tool import Caller, Tool, ToolSpec, act_for, permitted

#: Seconds a function may take when nothing else is said.
DEFAULT_TIMEOUT = 60.0
#: Most characters of a function's own error message that reach the model.
MAX_MESSAGE = 500

_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")

P = ParamSpec("P")
R = TypeVar("R")


class FunctionTool(Generic[P, R]):
    """A function an agent may call. It stays callable as the function it was.

    A function that is not async runs in a thread of its own. Python cannot stop a thread: after a timeout the
    call has failed and its result is dropped, but the function itself runs on until it returns.

    Args:
        fn: The function, sync or async. A parameter annotated `Caller` is filled in and hidden from the model.
        name: Its name for models; by default the function's own.
        description: What it does, for models; by default the docstring's text.
        timeout: Seconds a call may take at most, or None for what the caller allows (60 if it does not say).
        repeatable: Whether calling it twice with the same arguments is harmless.
        parameters: JSON Schema of the arguments; by default read from the types.
        cwd: The directory it works in, for the record.

    Raises:
        UsageError: code `usage.tool`: the name, the types or the schema cannot be used.
    """

    def __init__(
        self,
        fn: Callable[P, R],
        *,
        name: str = "",
        description: str = "",
        timeout: float | None = None,
        repeatable: bool = False,
        parameters: Mapping[str, Any] | None = None,
        cwd: str = "",
    ) -> None:
        if not callable(fn):
            raise UsageError(f"A tool needs a function, not {type(fn).__name__}.", code="usage.tool")
        functools.update_wrapper(self, fn)
        self._fn = fn
        name = _checked_name(name or getattr(fn, "__name__", ""))
        self._signature: Signature | None = None
        if parameters is None:
            self._signature = read_signature(fn, name)
            self._caller, parameters = self._signature.caller, self._signature.schema
            description = description or self._signature.about
        else:
            self._caller, parameters = caller_parameter(fn), _checked_schema(name, parameters)
        self.spec = ToolSpec(name=name, description=description, parameters=parameters)
        self.repeatable = repeatable
        self.timeout = _checked_timeout(timeout)
        self.cwd = cwd

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call the function as if it were not a tool."""
        return self._fn(*args, **kwargs)

    def __repr__(self) -> str:
        return f"FunctionTool({self.spec.name})"

    def act(self, arguments: Mapping[str, Any], caller: Caller) -> Act:
        """Check the arguments against the schema; the act carries a copy of them.

        Raises:
            ToolFailed: code `tool.arguments`; the sentence tells the model what is wrong.
        """
        self._read(arguments)
        return act_for(caller, "tool", self.spec.name, msgspec.to_builtins(dict(arguments)), cwd=self.cwd)

    async def run(self, permit: Permit, caller: Caller) -> Any:
        """Call the function with the permit's arguments and return its result as JSON.

        Raises:
            ToolFailed: `tool.timeout`, `tool.error` (the function raised) or `tool.result` (not JSON);
                a `ToolFailed` of the function's own goes through as it is.
        """
        given = self._read(permitted(permit, "tool", self.spec.name))
        if self._caller:
            given[self._caller] = caller
        timeout = shortest(self.timeout, caller.timeout) or DEFAULT_TIMEOUT
        try:
            async with asyncio.timeout(timeout) as limit:
                value = await self._call(given)
        except TimeoutError as error:
            if limit.expired():
                raise _too_slow(self.spec.name, timeout) from error
            raise _failure(self.spec.name, error) from error
        return as_json(self.spec.name, value)

    def _read(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        if self._signature is not None:
            return self._signature.read(self.spec.name, arguments)
        schema = self.spec.parameters
        open_ended = schema.get("additionalProperties") is not False
        refuse_unknown(self.spec.name, arguments, arguments if open_ended else schema["properties"])
        faults = validate(dict(arguments), schema)
        if faults:
            raise misfit(self.spec.name, "; ".join(faults))
        # The caller is ours to name: a model that gives an argument of that name must not take its place.
        return {key: value for key, value in arguments.items() if key != self._caller}

    async def _call(self, given: dict[str, Any]) -> Any:
        fn: Callable[..., Any] = self._fn
        try:
            value = fn(**given) if inspect.iscoroutinefunction(fn) else await in_thread(lambda: fn(**given))
            return await value if inspect.isawaitable(value) else value
        except (TimeoutError, ToolFailed):
            raise
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            raise _failure(self.spec.name, error) from error  # the function's own doing, nobody cancelled us
        except (Exception, SystemExit) as error:
            raise _failure(self.spec.name, error) from error


@overload
def tool(fn: Callable[P, R], /) -> FunctionTool[P, R]: ...


@overload
def tool(
    *, name: str = "", description: str = "", timeout: float | None = None, repeatable: bool = False
) -> Callable[[Callable[P, R]], FunctionTool[P, R]]: ...


def tool(
    fn: Callable[..., Any] | None = None,
    /,
    *,
    name: str = "",
    description: str = "",
    timeout: float | None = None,
    repeatable: bool = False,
) -> Any:
    """Make a function a tool that agents may call; see `FunctionTool` for the arguments.

        @tool
        def add(a: int, b: int = 1) -> int:
            '''Add two numbers.'''
            return a + b

    Raises:
        UsageError: code `usage.tool`: a parameter has no type or one that JSON cannot carry.
    """

    def decorate(fn: Callable[P, R]) -> FunctionTool[P, R]:
        return FunctionTool(fn, name=name, description=description, timeout=timeout, repeatable=repeatable)

    return decorate if fn is None else decorate(fn)


def as_tool(given: Any) -> Tool:
    """Make a tool of whatever users write as one.

    Args:
        given: A tool, a function, or `{"type": "function", "function": {"name", "description", "parameters"},
            "implementation": callable}` with a JSON Schema as parameters.

    Raises:
        UsageError: code `usage.tool`: it is none of these.
    """
    if isinstance(given, Tool) and not isinstance(given, type):
        return given
    if isinstance(given, Mapping):
        return _from_definition(given)
    if callable(given) and not isinstance(given, type):
        return FunctionTool(given)
    raise UsageError(f"{_shown(given)} is no tool.", _HOW, code="usage.tool")


_HOW = (
    "Give a function, one decorated with @tool, or "
    '{"type": "function", "function": {"name": ..., "parameters": ...}, "implementation": function}.'
)


async def in_thread(call: Callable[[], R]) -> R:
    """Run a blocking call in a daemon thread of its own, and wait for it.

    Not `asyncio.to_thread`: its pool is small and joined at exit, so a few calls that never return would starve
    all others and keep the process from ending.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[tuple[R | None, BaseException | None]] = loop.create_future()
    context = contextvars.copy_context()

    def settle(value: R | None, error: BaseException | None) -> None:
        if not done.done():
            done.set_result((value, error))

    def work() -> None:
        value, error = None, None
        try:
            value = context.run(call)
        except BaseException as raised:  # noqa: BLE001 - it belongs to whoever awaits
            error = raised
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(settle, value, error)

    threading.Thread(target=work, name="interlock-tool", daemon=True).start()
    value, error = await done
    if isinstance(error, Exception):
        raise error
    if error is not None:  # SystemExit and its like end the thread, not the process
        raise RuntimeError(f"{type(error).__name__} {error}") from error
    return value  # type: ignore[return-value]


def _from_definition(given: Mapping[str, Any]) -> FunctionTool[..., Any]:
    function, implementation = given.get("function"), given.get("implementation")
    if given.get("type") != "function" or not isinstance(function, Mapping) or not callable(implementation):
        raise UsageError("This is no definition of a function tool.", _HOW, code="usage.tool")
    about = function.get("description") or inspect.getdoc(implementation) or ""
    parameters = function.get("parameters") or {"type": "object", "properties": {}}
    return FunctionTool(implementation, name=function.get("name", ""), description=about, parameters=parameters)


def _checked_name(name: object) -> str:
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise UsageError(
            f"{_shown(name)} is no name for a tool.",
            "Give a name of 1 to 64 letters, digits, `_` and `-`: @tool(name=...).",
            code="usage.tool",
        )
    return name


def _checked_schema(name: str, schema: object) -> dict[str, Any]:
    if not isinstance(schema, Mapping) or schema.get("type", "object") != "object":
        raise UsageError(f"The parameters of {name} must be a JSON Schema of type object.", _HOW, code="usage.tool")
    if not isinstance(schema.get("properties", {}), Mapping):
        raise UsageError(f"The properties of {name} must be a mapping of names to schemas.", _HOW, code="usage.tool")
    return {"properties": {}, "additionalProperties": False} | dict(schema) | {"type": "object"}


def shortest(*limits: float | None) -> float | None:
    """The shortest of several limits in seconds; None limits nothing."""
    return min((limit for limit in limits if limit is not None), default=None)


def _checked_timeout(timeout: float | None) -> float | None:
    if timeout is None:
        return None
    if isinstance(timeout, bool) or not isinstance(timeout, (int, float)) or not 0 < timeout < float("inf"):
        raise UsageError(f"A tool's timeout must be more than 0 seconds, not {timeout!r}.", code="usage.tool")
    return float(timeout)


def _too_slow(name: str, timeout: float) -> ToolFailed:
    return ToolFailed(
        f"The tool {name} took longer than {timeout:g} seconds.",
        "Ask for less at once, or give the tool a longer timeout.",
        code="tool.timeout",
    )


def _failure(name: str, error: BaseException) -> ToolFailed:
    known = explain(error, MAX_MESSAGE)
    return ToolFailed(f"The tool {name} failed: {clean(known.says)}", known.do, detail=known.detail)


def _shown(given: object) -> str:
    return f"{given!r:.80}"
