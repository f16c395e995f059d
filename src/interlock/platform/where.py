"""Where a plan's step has the web searched and code run: at the provider of an agent that can, or here."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from interlock.agents.providers import is_vendors, own_tools_of
from interlock.platform.built_in import web_search_for
from interlock.tools.web import SET_UP

if TYPE_CHECKING:
    from interlock.platform.registry import Registry
    from interlock.platform.settings import Settings
    from interlock.records.plan import Step

#: The built-in tools that providers have of their own.
NATIVE = ("web_search", "code_interpreter")
#: How each is set up.
HOW = {
    "web_search": SET_UP,
    "code_interpreter": "Have it run here with `code_interpreter.where`, or give the step an agent whose provider runs "
    "code itself, such as OpenAI or Anthropic with a key.",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Chance:
    """An agent that a step's tool could be used with.

    Args:
        agent: Its name.
        provider: Its provider's name; empty where it has none.
        has: Whether the provider speaks a wire over which the vendor offers the tool.
        sure: Whether it is known to offer it: it is the vendor itself, or the agent's settings name the tool.
        can_work: Whether the agent is there, with the key it needs.
        model: Its model.
    """

    agent: str
    provider: str = ""
    model: str = ""
    has: bool = False
    sure: bool = False
    can_work: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Where:
    """Where a step's tool is used, and why.

    Args:
        place: At a provider, here, or nowhere, since neither can.
        why: The reason, a sentence for people.
        agent: Whose provider it is.
        provider: The provider.
        model: The agent's model there.
        tool: The tool.
    """

    place: Literal["native", "local", "nowhere"]
    why: str
    agent: str = ""
    provider: str = ""
    model: str = ""
    tool: str = ""

    @property
    def words(self) -> str:
        """In a few words: `native at openai`, `local`, `nowhere`."""
        return f"native at {self.provider}" if self.place == "native" else self.place


def decide(
    tool: str, wanted: Literal["auto", "native", "local"], chances: Sequence[Chance], *, here: bool, only_here: str = ""
) -> Where:
    """Decide where a tool is used. Pure.

    Args:
        tool: One of `NATIVE`.
        wanted: What the settings say.
        chances: The agents that may be asked, the first choice first.
        here: Whether it can be used here.
        only_here: Why it is used here unless the settings ask for the provider's, if so.
    """
    setting = f"`{tool}.where` is {wanted}"
    if wanted == "local":
        return Where(place="local", why=f"{setting}.") if here else _nowhere(tool, f"{setting}, and nothing is set up")
    able = (one for one in chances if one.has and one.can_work and (one.sure or wanted == "native"))
    if not (only_here and wanted == "auto") and (found := next(able, None)) is not None:
        why = f"{found.agent} works with {found.provider}, which has {tool} of its own."
        return Where(place="native", why=why, agent=found.agent, provider=found.provider, model=found.model, tool=tool)
    lack = only_here if only_here and wanted == "auto" else _lack(tool, chances)
    if wanted == "native":
        return _nowhere(tool, f"{setting}, and {lack}")
    return Where(place="local", why=f"{lack}.") if here else _nowhere(tool, f"{lack}, and nothing is set up here")


def _lack(tool: str, chances: Sequence[Chance]) -> str:
    """Why none of the agents is asked, by the first of them."""
    if not chances:
        return "there is no agent"
    first = chances[0]
    if not first.has:
        return f"{first.agent} has no {tool} at its provider"
    if not first.can_work:
        return f"{first.agent} has no key"
    return f"{first.provider} is not at the vendor's address; `agents.{first.agent}.native_tools` says if it has {tool}"


def _nowhere(tool: str, why: str) -> Where:
    return Where(place="nowhere", why=f"Nobody is set up for {tool}: {why}. {HOW[tool]}")


def where_for(step: Step, crew: Sequence[str], settings: Settings, registry: Registry) -> Where:
    """Where a step whose tool is one of `NATIVE` has it used.

    Args:
        step: The step; its own agent, where it names one, is the only one that is considered.
        crew: The agents that work on the plan, the first choice first.
        settings: What is set.
        registry: What the program registered.
    """
    tool = step.tool or ""
    own = step.metadata.get("agent")
    names = crew if own is None else [own] if isinstance(own, str) else []
    chances = list(_chances(tool, names, settings, registry))
    if tool == "web_search":
        here = web_search_for(settings, registry) is not None
        only_here = "a web search of your own is set up" if here else ""  # whoever set it up means it to be used
        return decide(tool, settings.web_search.where, chances, here=here, only_here=only_here)
    reads = settings.code_interpreter.workspace == "read"
    only_here = "`code_interpreter.workspace` lets code read the workspace, which is here" if reads else ""
    return decide(tool, settings.code_interpreter.where, chances, here=True, only_here=only_here)


def _chances(tool: str, names: Sequence[str], settings: Settings, registry: Registry) -> Iterator[Chance]:
    for name in names:
        can_work = registry.can_work(name, settings)
        agent, registered = settings.agents.get(name), registry.providers.get(name)
        if name in registry.agents or (agent is None and registered is None):
            yield Chance(agent=name, can_work=can_work)  # it brings tools of its own, if any
        elif registered is not None:
            back_end, model = registered
            has = tool in getattr(back_end, "own_tools", ())
            yield Chance(agent=name, provider=back_end.name, model=model, has=has, sure=has, can_work=can_work)
        elif agent is not None and agent.provider in settings.providers:
            at = settings.providers[agent.provider]
            named = tool in agent.native_tools
            sure = named or is_vendors(at.api, at.base_url)
            has = tool in own_tools_of(at.api)
            yield Chance(agent=name, provider=agent.provider, model=agent.model, has=has, sure=sure, can_work=can_work)
