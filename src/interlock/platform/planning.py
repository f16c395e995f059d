"""The front door's drawing office: tasks become plans, plans are carried out, and what came of them is read."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from interlock.engine.written import error_of
from interlock.errors import AuthenticationError, Conflict, DecompositionError, NotFound, UsageError
from interlock.flows.doing import references_in
from interlock.flows.plan import EXECUTION, PLAN, plan_of
from interlock.flows.plan_results import results_of
from interlock.flows.planning import WANTED, check_max_steps, estimate, outline_of, plan_by_outline
from interlock.platform.crews import check_steps, lend, unknown_in
from interlock.platform.executor import Executor
from interlock.platform.handle import Handle
from interlock.platform.ids import new_run_id
from interlock.platform.lookup import NEWEST, begun_anew, load_run, open_stored
from interlock.platform.parts import InDoubt, Parts
from interlock.platform.registry import price_table
from interlock.platform.result import TaskResult
from interlock.platform.run_state import RunState, state_of
from interlock.platform.toolbox import Toolbox, read_tools
from interlock.platform.where import NATIVE, Where, where_for
from interlock.records.money import Usage
from interlock.records.plan import Fault, Plan, Step, StepResult, plan_from_json
from interlock.records.run import Run
from interlock.records.task import Task, TaskType
from interlock.stores.journal import Query

T = TypeVar("T")
_log = logging.getLogger("interlock.plan")
_RESUME = "Pass resume=True and the run_id of the run that was cut off."


class Planning(Parts):
    """The verbs of a `Platform` about plans."""

    async def decompose(
        self,
        task: str,
        *,
        tools: Sequence[Any] | None = None,
        model: str | None = None,
        max_steps: int = 50,
        temperature: float = 0.2,
        user: str | None = None,
    ) -> Plan:
        """Have a model take a task apart into a plan. It is a run like any other: governed, budgeted, written down.

        Without any key, a task that lists its own steps becomes a plan of just these, one after the other.

        Args:
            task: What is to be done.
            tools: What its steps may use: `"web_search"`, `"code_interpreter"`, `"file_search"`, functions, tools,
                descriptions with an `implementation`, and MCP servers.
            model: The model that plans; by default that of the default agent.
            max_steps: Steps at most; there is always a bound.
            temperature: The model's sampling temperature.
            user: Who asks.

        Raises:
            DecompositionError: no plan that can be carried out came of it.
            AuthenticationError: there is no key, and the task lists no steps.
            UsageError: an argument cannot be used.
        """
        check_max_steps(max_steps)
        if not isinstance(task, str) or not task.strip():
            raise UsageError("There is no task to take apart.", "Say what is to be done.", code="usage.empty_task")
        box = self._toolbox(tools or ())
        outline = outline_of(task)
        for warning in outline.warnings:
            _log.warning("%s", warning)
        planner = self._planner(model)
        if not self._can_work(planner):
            if not outline.items:
                raise AuthenticationError(
                    "There is no API key for the model that would plan this.",
                    "Set OPENAI_API_KEY or ANTHROPIC_API_KEY, or number the steps in the task: those need no model.",
                )
            return self._with_tools(plan_by_outline(task, outline, max_steps), box)
        wanted = {
            "max_steps": max_steps,
            "tools": box.described(),
            "agent": planner,
            "model": model,
            "temperature": temperature,
        }
        admission = self._admission(Task(task, context={WANTED: wanted}), None, user, "decompose")
        result = await self._run(admission)
        if result.status != "completed":
            run = await self._house().engine.load(result.run_id)
            failure = run.finished.failure if run.finished is not None else None
            raise error_of(failure) if failure is not None else DecompositionError("The plan is not finished.")
        return self._with_tools(plan_from_json(result.output), box)

    async def execute(
        self,
        plan: Plan,
        run_id: str | None = None,
        resume: bool = False,
        max_concurrent: int = 3,
        tools: Sequence[Any] | None = None,
        *,
        user: str | None = None,
        executor: Executor | None = None,
        in_doubt: InDoubt = None,
        max_cost: float | None = None,
    ) -> list[StepResult]:
        """Carry a plan out, each step once, and return one result for every step.

        Args:
            plan: The plan.
            run_id: Your own id for the run, under which it can be resumed.
            resume: Go on with that run: what is done stays done, what failed is tried again. The plan is then the one
                the run began with. Where there is no such run, it is begun, and a warning says so.
            max_concurrent: Steps at the same time, at most.
            tools: What the steps' `tool` names refer to, beside the plan's own.
            user: Who asks.
            executor: Who carries it out, in place of `Executor(max_concurrent)`.
            in_doubt: What becomes of steps that were cut off and may have happened; see `Platform.resume`.
            max_cost: The most all of it may cost, in USD. A run that has begun keeps its own; a fork may have more.

        Raises:
            UsageError: the plan names a tool that is not there, or cannot be carried out.
            Conflict: the id is taken by different work.
            NotFound: something is said about steps in doubt of a run that is not there.
        """
        wanted, run_id = run_id if resume else None, run_id or new_run_id()
        executor = executor or Executor(max_concurrent)
        self._lend_for(run_id, plan, executor, tools)
        await asyncio.sleep(0)  # a large plan is some work: between its parts others have their turn
        known = wanted is not None and await self._is_known(run_id, plan, begin=in_doubt is None)
        digest = ""
        if known:
            await self.resume(run_id, in_doubt=in_doubt)
        elif in_doubt is not None:
            raise UsageError("Only of a run that goes on can steps be in doubt.", _RESUME, code="usage.in_doubt")
        else:
            admission = self._admission(_task_of(plan, executor, max_cost=max_cost), run_id, user, "plan")
            digest = admission.digest
            await self._run(admission)
        run = await self._as_it_stands(run_id)
        await asyncio.sleep(0)
        is_this = run.admitted is not None and run.admitted.flow == "plan" and run.admitted.digest == digest
        stored = plan if is_this else plan_of(run)  # reading it again is some work
        if stored is None:
            raise Conflict(f"The id {run_id} is taken by different work.", "Choose another.", code="run.id_taken")
        if run.status.is_final:
            await self._give_back(run_id)
        await asyncio.sleep(0)
        return results_of(run, stored)

    async def submit_plan(
        self,
        plan: Plan,
        run_id: str | None = None,
        max_concurrent: int = 3,
        tools: Sequence[Any] | None = None,
        *,
        user: str | None = None,
        executor: Executor | None = None,
        resume: bool = False,
        tools_from: Sequence[str] = (),
        max_cost: float | None = None,
    ) -> Handle:
        """Accept a plan and return at once; from then on it is durable. See `execute` for arguments and errors.

        `tools_from` says where the tools were found, as `--tools` takes it: whoever is to go on with the run is told.
        """
        wanted, run_id = run_id if resume else None, run_id or new_run_id()
        executor = executor or Executor(max_concurrent)
        self._lend_for(run_id, plan, executor, tools)
        if wanted is not None and await self._is_known(run_id, plan):
            await self._go_on(run_id, None, user or "")
            return self._handle(await self._house().engine.load(run_id))
        admission = self._admission(_task_of(plan, executor, tools_from, max_cost), run_id, user, "plan")
        return await self._submit(admission)

    def _planned(
        self, plan: Plan, run_id: str | None, options: Mapping[str, Any]
    ) -> tuple[str, Callable[[], Awaitable[TaskResult]]]:
        """A plan that is to be streamed: its run's id, and what carries it out."""
        of = run_id or new_run_id()

        async def work() -> TaskResult:
            result = await (await self.submit_plan(plan, of, **options)).result()
            if result.status.is_final:
                await self._give_back(of)
            return result

        return of, work

    def check_plan(self, plan: Plan, tools: Sequence[Any] | None = None) -> None:
        """Make sure that a plan can be carried out here, without doing or lending anything.

        Args:
            plan: The plan.
            tools: What its tool names refer to, beside the plan's own.

        Raises:
            UsageError: it names a tool that is not there, or uses what it does not depend on.
        """
        check_steps(self._registry, plan.steps, self._toolbox([*plan.tools, *(tools or ())]))
        _check_references(plan)

    def faults_of_plan(self, plan: Plan, tools: Sequence[Any] | None = None) -> list[Fault]:
        """What keeps a plan from being carried out here, each with its place in the plan; empty when nothing does.

        Args:
            plan: The plan.
            tools: What its tool names refer to, beside the plan's own.

        Raises:
            UsageError: one of `tools` is no tool.
        """
        box = self._toolbox(tools or ())
        for number in range(len(plan.tools)):
            try:
                box = self._toolbox([*(tools or ()), *plan.tools[: number + 1]])
            except UsageError as error:
                return [Fault(error.says, ("tools", number), error.do, error.code)]
        return [*unknown_in(self._registry, self._settings, plan.steps, box), *references_in(plan)]

    async def run_state(self, run_id: str) -> RunState:
        """A run's plan and what came of its steps so far; see `Storage.load_run_state`."""
        try:
            return state_of(await self._house().engine.load(run_id))
        except NotFound:
            return RunState(run_id=run_id)

    def decompose_sync(self, task: str, **options: Any) -> Plan:
        """The same as `decompose`, for code without an event loop, and also from inside one."""
        return self._sync(lambda: self.decompose(task, **options))

    def execute_sync(
        self, plan: Plan, run_id: str | None = None, resume: bool = False, **options: Any
    ) -> list[StepResult]:
        """The same as `execute`, for code without an event loop, and also from inside one."""
        return self._sync(lambda: self.execute(plan, run_id, resume, **options))

    def run_state_sync(self, run_id: str) -> RunState:
        """The same as `run_state`, for code without an event loop, and also from inside one."""
        return self._sync(lambda: self.run_state(run_id))

    def estimate_plan(self, plan: Plan, max_concurrent: int = 3) -> dict[str, Any]:
        """What a plan may cost and how long it may take: a rough figure, with `estimated` true."""
        agent = self._settings.agents.get(self._planner(None))
        prices = price_table(self._settings)

        def price(sent: int, received: int) -> int | None:
            if agent is None:
                return None
            return prices.micros(agent.provider, agent.model, Usage(input_tokens=sent, output_tokens=received))

        fees: dict[str, int | None] = {}
        for step_id, at in self.where_of_plan(plan).items():
            if at.place == "native":
                once = Usage(input_tokens=1, **({"searches": 1} if at.tool == "web_search" else {"sessions": 1}))
                fees[step_id] = prices.micros(at.provider, at.model, once)
        return {"estimated": True, **estimate(plan, price, max_concurrent, fees)}

    def where_of_plan(self, plan: Plan) -> dict[str, Where]:
        """Where steps that name `web_search` or `code_interpreter` would have it used, by step; the others are left
        out. A tool of the program's own is used here, whatever it is called."""
        own = {*self._registry.tools, *(getattr(one, "__name__", "") for one in plan.tools)}
        steps = [step for step in plan.steps if step.tool in NATIVE and step.tool not in own]
        if not steps:
            return {}
        crew = self._route(Task("A plan", type=TaskType.WORKFLOW), pure=False).platform
        return {step.id: where_for(step, [crew], self._settings, self._registry) for step in steps}

    # Inside.

    def _lend_for(self, run_id: str, plan: Plan, executor: Executor, tools: Sequence[Any] | None) -> None:
        if not isinstance(plan, Plan):
            raise UsageError(f"execute takes a Plan, not {type(plan).__name__}.", code="usage.plan")
        self._lend(run_id, plan, plan.steps, executor, self._toolbox([*plan.tools, *(tools or ())]))

    async def _as_it_stands(self, run_id: str) -> Run:
        """A run, also when the platform was closed while it was waited for."""
        if asyncio.get_running_loop() in self._houses:
            return await self._house().engine.load(run_id)
        journal = open_stored(self._settings)
        if journal is None:
            raise NotFound(f"There is no run {run_id}.")
        try:
            return await load_run(journal, run_id)
        finally:
            await journal.close()

    async def _give_back(self, run_id: str) -> None:
        """What was lent to a run that is over is not held open any longer."""
        self._registry.give_back(run_id)
        if asyncio.get_running_loop() in self._houses:
            await self._house().staff.dismiss(run_id)

    def _lend(self, run_id: str, plan: Plan, to_do: Sequence[Step], executor: Executor, box: Toolbox) -> None:
        """Have the run's steps find their tools and their executor here."""
        _check_references(plan)
        lend(self._registry, run_id, to_do, executor, box)

    def _with_tools(self, plan: Plan, box: Toolbox) -> Plan:
        metadata = {**plan.metadata, "estimate": self.estimate_plan(plan)}
        if box.warnings:
            metadata["warnings"] = [*metadata.get("warnings", ()), *box.warnings]
        return replace(plan, metadata=metadata, tools=tuple(box.given))

    def _toolbox(self, tools: Sequence[Any]) -> Toolbox:
        return read_tools(tools, self._settings, self._registry)

    def _planner(self, model: str | None) -> str:
        """The agent whose model plans: the one that is asked for, else the default one, else one with a key."""
        agents = self._settings.agents
        if model is not None:
            if model in agents:
                return model
            wanted = "anthropic" if model.lower().startswith("claude") else "openai"
            fitting = [name for name, agent in agents.items() if agent.provider == wanted]
            return fitting[0] if fitting else self._settings.routing.default
        default = self._settings.routing.default
        others = [name for name in agents if self._can_work(name)]
        return default if self._can_work(default) or not others else others[0]

    def _can_work(self, name: str) -> bool:
        return self._settings.has_key(name) or name in self._registry.providers

    async def _is_known(self, run_id: str, plan: Plan, *, begin: bool = True) -> bool:
        """Whether there is such a run; it goes on with the plan it began with, and it is said if that is another.

        A run that is not there is begun, for it may have been killed before anything was written, unless `begin` is
        false; and it is said, for the id may be a wrong one.
        """
        try:
            stored = plan_of(await self._house().engine.load(run_id))
        except NotFound:
            if not begin:
                raise
            _log.warning("%s", begun_anew(run_id, await self._open().runs(Query(limit=NEWEST))))
            return False
        if stored is not None and _steps_written(stored) != _steps_written(plan):
            _log.warning("%s goes on with the plan it began with; the plan given now has other steps.", run_id)
        return True


def _check_references(plan: Plan) -> None:
    faults = references_in(plan)
    if faults:
        told = " ".join(fault.says for fault in faults[:5])
        raise UsageError(f"The plan cannot be carried out: {told}", faults[0].do, code="usage.plan")


def _steps_written(plan: Plan) -> str:
    return json.dumps(plan.to_json()["steps"], sort_keys=True, default=str)


def _task_of(plan: Plan, executor: Executor, tools_from: Sequence[str] = (), max_cost: float | None = None) -> Task:
    """A plan as the task it is admitted as. When it was made makes no difference to what it is."""
    written: Mapping[str, Any] = plan.to_json()
    execution: dict[str, Any] = {
        "max_concurrent": executor.max_concurrent,
        "timeout": executor.timeout,
        "retry_attempts": executor.retry_attempts,
    }
    if tools_from:
        execution["tools_from"] = list(tools_from)
    context = {PLAN: {key: value for key, value in written.items() if key != "created_at"}, EXECUTION: execution}
    return Task(plan.task_description or "A plan", type=TaskType.WORKFLOW, context=context, max_cost=max_cost)
