"""A provider's own tools, which it runs on its side: offered to a model only once the gate has allowed each by name."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from interlock.agents.agent import Attempt, Bench
from interlock.agents.provider import ModelResponse, Provider
from interlock.errors import Refused, UsageError
from interlock.records.verdict import Act

#: How often a model may use each of them in one request, where nobody says otherwise.
USES = 3
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


def asked_of(provider: str) -> dict[str, Any]:
    """What the gate is told besides a tool's own arguments, where a provider is to run it."""
    return {"native": True, "provider": provider}


async def allowed(uses: Mapping[str, int], provider: str, bench: Bench, act_for: ActFor) -> dict[str, int]:
    """Those of the tools that the gate allows. Each is a step, so that it is written down and asked once.

    Args:
        uses: The tools, each with how often it may be used.
        provider: Who would run them.
        bench: Where the steps `native/NAME` are done.
        act_for: Makes the act of kind `tool` that is judged.
    """
    found = {}
    for name, most in uses.items():
        asked = asked_of(provider)
        try:
            await bench.step(
                f"native/{name}", _offer, what="tool", label=name, input=asked, judge=act_for(name, asked), attempts=1
            )
        except Refused as refused:
            says = f"The model works without {name} of {provider}: {refused.says}"
            await bench.note("warning", "tool.native_refused", says)
        else:
            found[name] = most
    return found


async def _offer(attempt: Attempt) -> Any:
    if attempt.permit is None:
        raise Refused("No gate has allowed this tool.")
    return {"offered": True}


def items_of(response: ModelResponse) -> list[Mapping[str, Any]]:
    """The items of an answer that only its provider understands, such as those of its own tools."""
    found = (response.native or {}).get("items")
    return [item for item in found if isinstance(item, Mapping)] if isinstance(found, Sequence) else []


def tool_of(item: Mapping[str, Any]) -> str:
    """Which of its own tools a provider used in this step of an answer; empty where it used none."""
    kind = item.get("name" if item.get("type") == "server_tool_use" else "type")
    return _USED.get(kind, "") if isinstance(kind, str) else ""


def used(response: ModelResponse) -> list[str]:
    """Which of its own tools a provider used for an answer."""
    return list(dict.fromkeys(name for item in items_of(response) if (name := tool_of(item))))


def searches_in(items: Iterable[Mapping[str, Any]]) -> int:
    """How often a provider searched the web, by the steps it lists; opening a page that was found is no search."""
    return sum(tool_of(item) == "web_search" and _kind_of(item.get("action")) in ("search", "") for item in items)


def _kind_of(action: object) -> str:
    kind = action.get("type") if isinstance(action, Mapping) else None
    return kind if isinstance(kind, str) else ""


def places_of(response: ModelResponse) -> set[str]:
    """The places in which a provider ran code for an answer, by their ids; one without a name where it says none."""
    items = [item for item in items_of(response) if tool_of(item) == "code_interpreter"]
    named = [(response.native or {}).get("container"), *(item.get("container_id") for item in items)]
    return ({one for one in named if isinstance(one, str) and one} or {""}) if items else set()


@dataclass(slots=True, kw_only=True)
class OwnTools:
    """A provider's own tools in one piece of work: what a model may use of them, and what it has used.

    Attributes:
        uses: How often it may use each in one request, by name.
        container: Where code was run before, by the provider's id; empty for nowhere.
        replies: The answers so far.
    """

    uses: Mapping[str, int]
    container: str = ""
    replies: list[ModelResponse] = field(default_factory=list)
    _places: set[str] = field(default_factory=set)

    @property
    def names(self) -> tuple[str, ...]:
        """The tools that are offered."""
        return tuple(self.uses)

    def unoffered(self, response: ModelResponse) -> list[str]:
        """Which tools of its own the provider used for an answer although they were not offered."""
        return [name for name in used(response) if name not in self.uses]

    def counted(self, response: ModelResponse) -> ModelResponse:
        """An answer with the places to run code that were opened for it in its usage."""
        opened = self._opened(response)
        return replace(response, usage=replace(response.usage, sessions=len(opened))) if opened else response

    def take(self, response: ModelResponse) -> bool:
        """Take note of an answer; True where a place to run code was opened for it."""
        if not self.uses:
            return False
        self.replies.append(response)
        opened = self._opened(response)
        self._places |= opened
        return bool(opened)

    def _opened(self, response: ModelResponse) -> set[str]:
        if not self.uses:
            return set()
        return places_of(response) - self._places - ({self.container} if self.container else set())
