"""What a program told its platform, what the settings name, and what of it no agent may touch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from interlock.agents.agent import BenchAgent
from interlock.agents.fees import Fees
from interlock.agents.prices import PriceTable, Rates
from interlock.agents.provider import Provider
from interlock.errors import UsageError
from interlock.governance.budgets import Budget
from interlock.governance.commands import CommandPolicy
from interlock.governance.guardrails import Guardrail
from interlock.governance.limits import RateLimits
from interlock.governance.policy_rules import NO_POLICY, Database, Policy
from interlock.governance.vault import Vault
from interlock.governance.vault.vault import VAULT
from interlock.platform.access import Access
from interlock.platform.auditing import AuditTrail, sink_folder
from interlock.platform.ids import check_id
from interlock.platform.lookup import STORE
from interlock.platform.policing import first_policy, load_policy, policy_path
from interlock.platform.settings import Settings
from interlock.platform.spending import first_budgets, first_limits
from interlock.tools.mcp_settings import McpServer
from interlock.tools.tool import Tool
from interlock.tools.web import WebSearch

if TYPE_CHECKING:
    from interlock.platform.crews import Course

#: What was lent to runs that are over is kept for so many of them: they may be forked.
KEPT_COURSES = 200
#: Tools that are there without being registered; no other may take their names.
BUILT_IN = frozenset({"shell", "files_read", "files_list", "files_write"})
#: What the store keeps in its home folder: the journal with its companions, and signs of life.
_STORED = (
    *(STORE, f"{STORE}-wal", f"{STORE}-shm", f"{STORE}-journal", "drivers", "keys", "audit"),
    *(VAULT, f"{VAULT}.lock", "vault.key"),
)


@dataclass(slots=True, kw_only=True)
class Registry:
    """What a program told its platform: shared by all event loops it is used from.

    Attributes:
        agents: Agents by name.
        capabilities: What each registered agent is for.
        providers: Model back ends by name, with the model each is used with.
        tools: Tools by name, beyond the built-in ones.
        callable: Names of all tools that may be called; what is not here is refused whoever asks.
        guardrails: In the order they were added.
        commands: Which commands may run.
        policy: What the policy file says.
        databases: The tools that run SQL, by name.
        access: Who may do what.
        vault: Where secrets are kept.
        budgets: How much may be spent.
        limits: How much may be begun in a time.
        audit: The audit log.
        courses: What programs lent to runs of plans, by run.
        given_back: What was lent to runs that are over, the newest last.
        mcp_servers: Definitions of MCP servers, by label.
        web_search: Who searches the web, where a program said so.
    """

    agents: dict[str, BenchAgent] = field(default_factory=dict)
    capabilities: dict[str, tuple[str, ...]] = field(default_factory=dict)
    providers: dict[str, tuple[Provider, str]] = field(default_factory=dict)
    tools: dict[str, Tool] = field(default_factory=dict)
    callable: set[str] = field(default_factory=set)
    guardrails: list[Guardrail] = field(default_factory=list)
    commands: CommandPolicy | None = None
    policy: Policy = NO_POLICY
    databases: dict[str, Database] = field(default_factory=dict)
    access: Access | None = None
    vault: Vault | None = None
    budgets: list[Budget] = field(default_factory=list)
    limits: RateLimits = field(default_factory=RateLimits)
    audit: AuditTrail | None = None
    courses: dict[str, Course] = field(default_factory=dict)
    given_back: dict[str, Course] = field(default_factory=dict)
    mcp_servers: dict[str, McpServer] = field(default_factory=dict)
    web_search: WebSearch | None = None

    def course_of(self, run_id: str) -> Course | None:
        """What was lent to a run in this process, also when it is over."""
        return self.courses.get(run_id) or self.given_back.get(run_id)

    def give_back(self, run_id: str) -> None:
        """A run is over: what was lent to it is only kept for a while, for those who fork it."""
        course = self.courses.pop(run_id, None)
        if course is not None:
            self.given_back[run_id] = course
        while len(self.given_back) > KEPT_COURSES:
            del self.given_back[next(iter(self.given_back))]

    def can_work(self, name: str, settings: Settings) -> bool:
        """Whether an agent is there, and has the key it needs."""
        return name in self.agents or name in self.providers or settings.has_key(name)

    def check_new(self, name: str) -> None:
        """Make sure that an agent or a back end can be registered under a name.

        Raises:
            UsageError: it cannot be a name, or is taken.
        """
        check_id(name)
        if name == "hybrid":
            raise UsageError("`hybrid` is the name of a way of working, not of an agent.", code="usage.agent")
        if name in self.agents or name in self.providers:
            raise UsageError(f"There is already an agent {name!r}.", "Give it another name.", code="usage.agent")


def first_registry(settings: Settings) -> Registry:
    """What a platform knows before its program says anything: what the settings and the policy file say.

    Raises:
        PolicyError: the policy file cannot be used.
    """
    policy = load_policy(settings)
    return Registry(
        policy=policy,
        commands=first_policy(settings, policy),
        budgets=first_budgets(settings),
        limits=first_limits(settings),
    )


def protected_paths(settings: Settings) -> list[Path]:
    """What no files tool and no command may read or write: the store, the settings file, files with API keys."""
    home = settings.home
    # Where agents work in the home folder or below it, not all of that can be out of bounds.
    shared = settings.workspace.resolve().is_relative_to(home.resolve())
    store = [home / name for name in _STORED] if shared else [home]
    named = [one for one in (settings.file, settings.vault.key_file) if one is not None]
    return [*store, *named, policy_path(settings), *settings.key_files, *sink_folder(settings)]


def price_table(settings: Settings) -> PriceTable:
    """The maintained prices, with what the settings say instead."""
    overrides: Mapping[str, Rates] = {
        model: Rates(input=price.input, output=price.output, cached_input=price.cached_input)
        for model, price in settings.prices.items()
    }
    fees = Fees(search=settings.web_search.native_price, session=settings.code_interpreter.native_price)
    return PriceTable(overrides, fees)
