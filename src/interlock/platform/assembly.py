"""Settings in, working parts out: the only place that knows every part of the house."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from interlock.agents.agent import BenchAgent
from interlock.agents.provider import Provider
from interlock.engine.clock import Clock, SystemClock
from interlock.engine.engine import Engine, EngineSettings
from interlock.engine.retry import RetryPolicy
from interlock.errors import Conflict, UsageError
from interlock.flows.hybrid import hybrid_flow
from interlock.flows.plan import plan_flow
from interlock.flows.planning import planning_flow
from interlock.flows.task import task_flow
from interlock.governance.gate import PolicyGate
from interlock.governance.mcp_policy import mcp_judge
from interlock.governance.redaction.written_back import judge_markers
from interlock.platform.auditing import AuditTrail
from interlock.platform.crews import doer_for, lend_again, planner_for
from interlock.platform.lookup import STORE
from interlock.platform.registry import Registry, price_table
from interlock.platform.safeguards import together, voices
from interlock.platform.scratch import Scratch
from interlock.platform.settings import Settings
from interlock.platform.spending import money_voices
from interlock.platform.staff import Staff
from interlock.platform.telemetry import Telemetry
from interlock.records.run import Run
from interlock.records.task import TaskStatus
from interlock.records.veil import NO_VEIL, Veil
from interlock.stores.journal import Query
from interlock.stores.sqlite import SqliteJournal

#: Seconds a command may take where the settings set no limit.
A_DAY = 86_400.0


def open_journal(
    settings: Settings, clock: Clock | None = None, veil: Veil = NO_VEIL, audit: AuditTrail | None = None
) -> SqliteJournal:
    """Open the embedded store of a home folder; what the veil knows is never written to it, and all else is audited.

    Raises:
        StoreFailed: it cannot be opened or written, or is not ours.
    """
    now = (clock or SystemClock()).now
    if audit is None:
        return SqliteJournal(settings.home / STORE, now=now, veil=veil)
    journal = SqliteJournal(settings.home / STORE, now=now, veil=veil, auditor=audit.maker)
    audit.attach(journal, daily=Scratch(settings).sweep)
    return journal


class House:
    """The parts that belong to one event loop: engine, gate, agents, connections to providers.

    Args:
        settings: What is set.
        registry: What the program registered.
        journal: Where facts rest; shared.
        telemetry: Who is told; shared.
        clock: The time.
        random: Numbers between 0 and 1, for jitter.
        veil: Takes secrets out of what models are sent, what is told and what comes back.
        on_secret: Told of secrets that come up at work, by value and name, before they are used.
    """

    def __init__(
        self,
        settings: Settings,
        registry: Registry,
        journal: SqliteJournal,
        telemetry: Telemetry,
        clock: Clock,
        random: Callable[[], float] | None = None,
        veil: Veil = NO_VEIL,
        on_secret: Callable[[str, str], Any] | None = None,
    ) -> None:
        self.veil = veil
        self._settings, self._registry = settings, registry
        prices = price_table(settings)
        self.staff = Staff(settings, registry, prices, lambda: self.gate.commands, veil, on_secret)
        self.journal = journal
        self.expires_after = settings.approvals.expires_after
        self.gate = PolicyGate(
            commands=registry.commands,
            guardrails=lambda: registry.guardrails,
            tools=registry.callable,
            judges=together(
                registry.audit.voices() if registry.audit is not None else {},
                voices(registry.access),
                money_voices(registry, prices, clock.now),
                {"tool": [judge_markers, partial(mcp_judge, servers=registry.mcp_servers)]},
            ),
            policy=registry.policy,
            databases=registry.databases,
            max_prompt=settings.limits.max_prompt_length,
        )
        retry = settings.retry
        policy = RetryPolicy(attempts=retry.attempts, base=retry.base, multiplier=retry.multiplier, cap=retry.cap)
        extra: dict[str, Any] = {} if random is None else {"random": random}
        self.engine = Engine(
            journal,
            self.gate,
            {
                "task": task_flow(self.agent),
                "hybrid": hybrid_flow(self.agent),
                "plan": plan_flow(lambda run: doer_for(registry, self.staff, run)),
                "decompose": planning_flow(lambda run: planner_for(self.staff, run)),
            },
            settings=EngineSettings(
                max_runs=settings.limits.max_runs, retry=policy, expires_after=self.expires_after, **extra
            ),
            clock=clock,
            observer=telemetry,
            veil=veil,
        )
        self.loop = asyncio.get_running_loop()

    def agent(self, name: str) -> BenchAgent:
        """An agent by name; see `Staff.agent`."""
        return self.staff.agent(name)

    def provider(self, name: str) -> Provider:
        """A provider by name; see `Staff.provider`."""
        return self.staff.provider(name)

    def equip(self, run: Run, tools: Sequence[Any] | None = None) -> None:
        """Before a run goes on here: have it find its agents and its tools.

        Args:
            run: The run.
            tools: What a plan's steps are lent now.

        Raises:
            UsageError: this process does not know them all; the message names what is missing.
        """
        for name in run.routed.candidates if run.routed and run.status is not TaskStatus.COMPLETED else ():
            self.agent(name)
        lend_again(self._registry, self._settings, run, tools)

    async def carry_on(self, run_id: str, by: str) -> None:
        """Have a run that a person answered go on here, if nobody else will.

        A process that lives hears the answers for the runs it parked. A run whose agents this process does not know
        is left to one that does.

        Args:
            run_id: The run.
            by: Who answered.
        """
        (row,) = await self.journal.runs(Query(run_id=run_id, limit=1))
        if row.driven or (row.parker_alive and row.parked_by != self.journal.owner):
            return
        run = await self.engine.load(run_id)
        try:
            self.equip(run)
            await self.engine.resume(run_id, by=by)
        except (UsageError, Conflict):
            return

    def forget_agents(self) -> None:
        """Make the agents anew on their next use, because there are other tools now."""
        self.staff.forget_agents()

    async def close(self, grace: float) -> None:
        """Stop the engine, then close the connections."""
        await self.engine.close(grace)
        await self.staff.close()
