"""The one front door: every verb a program can say to Interlock."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import replace
from os import PathLike
from types import TracebackType
from typing import Any, TypeVar

from interlock.engine.clock import Clock, SystemClock
from interlock.engine.drive import End
from interlock.errors import Conflict, UsageError
from interlock.flows.doubts import answers_to
from interlock.platform.admission import Admission, FlowName, admit, same_work
from interlock.platform.assembly import House, open_journal
from interlock.platform.events import Event, events_until
from interlock.platform.forks import Opener
from interlock.platform.handle import Handle
from interlock.platform.parts import InDoubt
from interlock.platform.planning import Planning
from interlock.platform.portal import Portal, in_private_loop
from interlock.platform.recovery import Recovered, recover
from interlock.platform.redacting import redactor_for
from interlock.platform.registry import first_registry
from interlock.platform.result import TaskResult, result_of
from interlock.platform.routing import Route, route
from interlock.platform.safeguards import hide_values, safeguard
from interlock.platform.settings import Settings, load, settings_from_configure
from interlock.platform.signals import close_on_signals
from interlock.platform.telemetry import Telemetry
from interlock.platform.time_travel import TimeTravel
from interlock.platform.views import Views
from interlock.platform.workshop import Workshop
from interlock.records.plan import Plan
from interlock.records.run import Run
from interlock.records.task import Task
from interlock.stores.sqlite import SqliteJournal

T = TypeVar("T")


class Platform(Workshop, Planning, Views, TimeTravel):
    """Takes tasks for AI agents and runs them so that they can be trusted: durable, governed, explained.

    Use it as `async with Platform() as platform: ...`, or bare: it starts on first use and is closed by `close()`.

    Args:
        openai_api_key: Key for OpenAI; by default from OPENAI_API_KEY.
        anthropic_api_key: Key for Anthropic; by default from ANTHROPIC_API_KEY.
        home: The folder of the embedded store; by default from settings, else `.interlock` here.
        profile: The settings profile, for example `production`.
        clock: The time; the machine's own by default.
        settings: Any other setting, for example `limits={"max_runs": 8}`.

    Raises:
        SettingsError: a setting is wrong; all that are wrong are listed.
    """

    def __init__(
        self,
        openai_api_key: str | None = None,
        anthropic_api_key: str | None = None,
        home: str | PathLike[str] | None = None,
        profile: str | None = None,
        *,
        clock: Clock | None = None,
        **settings: Any,
    ) -> None:
        given = settings_from_configure(
            openai_api_key=openai_api_key, anthropic_api_key=anthropic_api_key, home=home, profile=profile, **settings
        )
        self._settings = load(**given)
        self._clock = clock or SystemClock()
        self._registry = first_registry(self._settings)
        self._redactor = redactor_for(self._settings)
        safeguard(self._registry, self._settings, self._clock, self._redactor)
        self._telemetry = Telemetry(self._settings.log, self._redactor)
        self._journal: SqliteJournal | None = None
        self._houses: dict[asyncio.AbstractEventLoop, House] = {}
        self._portal: Portal | None = None
        self._opener = Opener()
        self._forks: set[str] = set()

    def __repr__(self) -> str:
        return f"Platform(home={str(self._settings.home)!r}, profile={self._settings.profile!r})"

    async def __aenter__(self) -> Platform:
        self._house()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    @property
    def settings(self) -> Settings:
        """What is set, read once when the platform was made."""
        return self._settings

    # Tasks.

    def route_task(self, task: Task | str) -> str:
        """Where a task would be routed by the table alone: `openai`, `claude`, `hybrid`, or a registered name."""
        return self._route(_as_task(task), pure=True).platform

    def explain_route(self, task: Task | str) -> Route:
        """Where a task would go just now, keys considered, and why."""
        return self._route(_as_task(task), pure=False)

    async def run(self, task: Task | str, run_id: str | None = None, user: str | None = None) -> TaskResult:
        """Run a task and come back when it has ended, or waits for a person.

        A task or run id that was used before for the same work gives that run's result (and resumes it if it was
        cut off); for different work it is refused.

        Args:
            task: The task, or its description.
            run_id: Your own id for the run; by default the task's id, else a new one.
            user: Who asks.

        Raises:
            UsageError: the task cannot be run as it is.
            Conflict: the id is taken by different work.
            StoreFailed: it cannot be written down; nothing was done.
        """
        return await self._run(self._admission(_as_task(task), run_id, user))

    def run_sync(self, task: Task | str, run_id: str | None = None, user: str | None = None) -> TaskResult:
        """The same as `run`, for code without an event loop, and also from inside one."""
        return self._sync(lambda: self.run(task, run_id=run_id, user=user))

    async def submit(self, task: Task | str, run_id: str | None = None, user: str | None = None) -> Handle:
        """Accept a task and return at once; from then on it is durable. See `run` for ids and errors."""
        return await self._submit(self._admission(_as_task(task), run_id, user))

    async def stream(
        self, task: Task | Plan | str, run_id: str | None = None, user: str | None = None, **options: Any
    ) -> AsyncIterator[Event]:
        """Run a task, or carry a plan out, and yield what happens: facts, text as it arrives, and last the result.

        Args:
            task: The task, its description, or a plan.
            run_id: Your own id for the run.
            user: Who asks.
            options: For a plan, what `submit_plan` takes: `tools`, `max_concurrent`, `executor`, `resume`, `max_cost`.
        """
        if isinstance(task, Plan):
            of, work = self._planned(task, run_id, {"user": user, **options})
        else:
            of, work = self._asked(_as_task(task), run_id, user, **options)
        house = self._house()

        def listen(listener: Callable[[str, Any], None]) -> Callable[[], None]:
            return house.engine.listen(of, listener)

        async for event in events_until(of, listen, work, self._redactor):
            yield event

    def _asked(
        self, task: Task, run_id: str | None, user: str | None
    ) -> tuple[str, Callable[[], Awaitable[TaskResult]]]:
        """A task that is to be streamed: its run's id, and what runs it."""
        admission = self._admission(task, run_id, user)
        return admission.run_id, lambda: self._run(admission)

    async def resume(
        self, run_id: str, *, in_doubt: InDoubt = None, by: str = "", tools: Sequence[Any] | None = None
    ) -> TaskResult:
        """Go on with a run from its last fact, in this or another process.

        Args:
            run_id: The run; a unique beginning of at least 6 characters is enough.
            in_doubt: `repeat` or `skip`: what becomes of all steps that were cut off and may have happened; or of each,
                as in `{"step_3": "repeat"}`.
            by: Who wants it.
            tools: What the steps of a plan find their tools in, where this process was not lent them before.

        Raises:
            NotFound: there is no such run.
            DrivenElsewhere: a live process is driving it.
            UsageError: this process does not know an agent or a tool it needs; the message names what is missing.
            Conflict: it was cancelled or blocked, and so is over.
        """
        run = await self._go_on(run_id, in_doubt, by, tools)
        return result_of(run, await self._house().engine.wait(run.run_id))

    async def _go_on(self, run_id: str, in_doubt: InDoubt, by: str, tools: Sequence[Any] | None = None) -> Run:
        self._check_guardrails()
        house = self._house()
        run_id = await self.find(run_id)
        run = await house.engine.load(run_id)
        answers = answers_to(run, in_doubt) if in_doubt is not None else {}
        await house.engine.answer(run, answers, by=by or "someone")
        try:
            house.equip(run, tools)
        except UsageError as error:
            if answers:  # they count, also where this process cannot go on with the run
                error.do = f"What you said is written down. {error.do}"
            raise
        await house.engine.resume(run_id, by=by or "someone")
        return run

    def _handle(self, run: Run) -> Handle:
        return Handle(self, run)

    async def _submit(self, admission: Admission) -> Handle:
        run = await admit(self._house(), admission, now=self._clock.now())
        return Handle(self, run)

    async def _run(self, admission: Admission) -> TaskResult:
        house = self._house()
        run = await admit(house, admission, now=self._clock.now(), durable=False)
        try:
            return await Handle(self, run).result()
        except Conflict as conflict:
            known = await same_work(house, admission, conflict)
        return await Handle(self, known).result()

    async def wait(self, run_id: str) -> End:
        """Come back when a run has ended or waits for a person, and say how it stands."""
        return await self._house().engine.wait(run_id)

    async def cancel(self, run_id: str, *, by: str = "", reason: str = "") -> bool:
        """Stop a run for good; False when it had already ended.

        Raises:
            NotFound: there is no such run.
        """
        return await self._house().engine.cancel(await self.find(run_id), by=by or "someone", reason=reason)

    async def pause(self, run_id: str, *, by: str = "") -> None:
        """Let a run finish what it is doing and begin nothing new until it is resumed.

        Raises:
            NotFound: there is no such run.
            Conflict: it has ended.
        """
        await self._house().engine.pause(await self.find(run_id), by=by or "someone")

    # Life.

    async def recover(self) -> Recovered:
        """Take up all runs whose process died, and say which.

        A run whose agents or tools this process does not know is left as it is, for one that does; a warning says
        what is missing, and `left` of what is returned has it by the run's id.
        """
        self._check_guardrails()
        return await recover(self._house())

    async def close(self, grace: float | None = None) -> None:
        """Take no more work, let running steps finish, write everything down, close. Every run can be resumed.

        Args:
            grace: Seconds running steps get; by default `limits.shutdown_grace`.
        """
        if self._opener.is_another(self._journal, self._portal):
            return  # they are the other process's to close
        grace = self._settings.limits.shutdown_grace if grace is None else grace
        if self._portal is not None:
            await asyncio.to_thread(self._close_portal, grace)
        await self._close_house(grace)
        self._houses.clear()
        if self._journal is not None:
            journal, self._journal = self._journal, None
            await journal.close()
        if self._telemetry.tracing is not None:
            await asyncio.to_thread(self._telemetry.close)

    def close_on_signals(self) -> Callable[[], None]:
        """Have SIGTERM and SIGINT close the platform: steps finish, runs are parked and can be resumed.

        Those who wait for a result get it with status `waiting`. A second signal ends the process at once.

        Returns:
            A function that gives the signals back.

        Raises:
            UsageError: this is not the main thread.
        """
        return close_on_signals(self.close)

    def close_sync(self) -> None:
        """The same as `close`, for code without an event loop."""
        # Called at the interpreter's exit too, when no new thread can be had: the portal is closed from this one.
        self._close_portal(self._settings.limits.shutdown_grace)
        in_private_loop(self.close)

    def _close_portal(self, grace: float) -> None:
        portal, self._portal = self._portal, None
        if portal is not None:
            portal.close(lambda: self._close_house(grace))

    async def _close_house(self, grace: float) -> None:
        house = self._houses.pop(asyncio.get_running_loop(), None)
        if house is not None:
            await house.close(grace)

    def _house(self) -> House:
        """The parts for the running event loop, made on first use."""
        self._opener.check(self._journal, self._portal)
        hide_values(self.vault)
        loop = asyncio.get_running_loop()
        house = self._houses.get(loop)
        if house is None:
            for old in [other for other in self._houses if other.is_closed()]:
                for claim in self._houses.pop(old).engine.claims():  # nobody drives there any more
                    self._open().release(claim)
            parts = self._settings, self._registry, self._open(), self._telemetry, self._clock
            house = House(*parts, veil=self._redactor, on_secret=self._redactor.register)
            self._houses[loop] = house
        return house

    def _open(self) -> SqliteJournal:
        self._opener.check(self._journal, self._portal)
        if self._journal is None:
            self._journal = open_journal(self._settings, self._clock, self._redactor, self._registry.audit)
        hide_values(self.vault)
        return self._journal

    def _sync(self, work: Callable[[], Awaitable[T]]) -> T:
        self._opener.check(self._journal, self._portal)
        if self._portal is None:
            self._portal = Portal()
        return self._portal.call(work)

    def _admission(self, task: Task, run_id: str | None, user: str | None, flow: FlowName | None = None) -> Admission:
        self._check_guardrails()
        if not task.description.strip():
            raise UsageError("The task has no description.", "Say what is to be done.", code="usage.empty_task")
        limit = self._settings.limits.run_timeout
        if user is not None or (task.timeout is None and limit is not None):
            task = replace(task, user=user or task.user, timeout=task.timeout or limit)
        task = self.access.placed(task)
        with self._telemetry.span("route", "routing") as span:
            decided = self._route(task, pure=False)
            span.set(platform=decided.platform)
        return Admission.of(task, run_id, decided, self._available, list(self._capabilities()), self._settings, flow)

    def _route(self, task: Task, *, pure: bool) -> Route:
        return route(
            task,
            default=self._settings.routing.default,
            registered=self._capabilities(),
            available=None if pure else self._available,
            substitute=self._settings.routing.substitute,
        )

    def _capabilities(self) -> dict[str, tuple[str, ...]]:
        return {**dict.fromkeys(self._settings.agents, ()), **self._registry.capabilities}

    def _available(self, name: str) -> bool:
        return self._registry.can_work(name, self._settings)


def _as_task(given: Task | str | Any) -> Task:
    if isinstance(given, Task):
        return given
    if isinstance(given, str):
        return Task(given)
    raise UsageError(
        f"A task is a Task or a text, not {type(given).__name__}.", "Write Task(description=...).", code="usage.task"
    )
