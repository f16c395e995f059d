"""A provider's own tools, which it runs on its side: offered to a model only once the gate has allowed each by name."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from interlock.agents.agent import Attempt, Bench
from interlock.agents.provider import ModelResponse, Provider
from interlock.errors import Refused, UsageError
from interlock.records.verdict import Act

#: What an answer's items say was used, by the type of an item, or for Anthropic by the name in it.
_USED = {
    "web_search_call": "web_search",
    "code_interpreter_call": "code_interpreter",
    "web_search": "web_search",
    "code_execution": "code_interpreter",
    "bash_code_execution": "code_interpreter",
    "text_editor_code_execution": "code_interpreter",
}

#: Makes the act to judge from a tool's name and its arguments.
ActFor = Callable[[str, Mapping[str, Any]], Act]


def checked(names: Iterable[str], provider: Provider) -> tuple[str, ...]:
    """The names of a provider's own tools.

    Raises:
        UsageError: code `usage.native_tool`: the provider has no such tool of its own.
    """
    names = tuple(dict.fromkeys(names))
    has: Mapping[str, Any] = getattr(provider, "own_tools", {})
    for name in names:
        if name not in has:
            known = f"It has: {', '.join(has)}." if has else "It has none; use `tools` in place of `native_tools`."
            raise UsageError(f"{provider.name} has no {name!r} of its own.", known, code="usage.native_tool")
    return names


async def allowed(names: Sequence[str], provider: str, bench: Bench, act_for: ActFor) -> tuple[str, ...]:
    """Those of the tools that the gate allows. Each is a step, so that it is written down and asked once.

    Args:
        names: The tools.
        provider: Who would run them.
        bench: Where the steps `native/NAME` are done.
        act_for: Makes the act of kind `tool` that is judged.
    """
    found = []
    for name in names:
        asked = {"native": True, "provider": provider}
        try:
            await bench.step(
                f"native/{name}", _offer, what="tool", label=name, input=asked, judge=act_for(name, asked), attempts=1
            )
        except Refused as refused:
            says = f"The model works without {name} of {provider}: {refused.says}"
            await bench.note("warning", "tool.native_refused", says)
        else:
            found.append(name)
    return tuple(found)


async def _offer(attempt: Attempt) -> Any:
    if attempt.permit is None:
        raise Refused("No gate has allowed this tool.")
    return {"offered": True}


def used(response: ModelResponse) -> list[str]:
    """Which of its own tools a provider used for an answer."""
    found = (response.native or {}).get("items")
    items = [item for item in found if isinstance(item, Mapping)] if isinstance(found, Sequence) else []
    kinds = [str(item.get("name" if item.get("type") == "server_tool_use" else "type")) for item in items]
    return list(dict.fromkeys(_USED[kind] for kind in kinds if kind in _USED))
