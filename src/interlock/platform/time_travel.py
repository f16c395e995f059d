"""The front door's time machine: runs are forked from any step, and laid beside each other."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from interlock.flows.forking import Fork, fork_of
from interlock.flows.plan import EXECUTION
from interlock.platform.admission import Admission, digest_of
from interlock.platform.comparison import RunDiff, diff_of
from interlock.platform.events import Event
from interlock.platform.executor import Executor
from interlock.platform.handle import Handle
from interlock.platform.ids import new_run_id
from interlock.platform.parts import Parts
from interlock.platform.scratch import Scratch
from interlock.platform.watching import replay_run
from interlock.records.fact import Noted, RunRouted
from interlock.records.run import Run
from interlock.records.task import from_json
from interlock.stores.journal import Query


class TimeTravel(Parts):
    """The verbs of a `Platform` that go back in a run without changing it."""

    _forks: set[str]

    async def fork(
        self,
        parent: str,
        /,
        *,
        from_step: str,
        changes: Mapping[str, Any] | None = None,
        run_id: str | None = None,
        tools: Sequence[Any] | None = None,
        user: str | None = None,
    ) -> Handle:
        """Begin a new run with the results of another one, and do everything anew from one step on.

        Of a plan's run, what is kept is every completed step that does not build on `from_step`; of another run,
        whatever was begun before that step and has ended. What is kept costs nothing again. Approvals are never
        kept: what needs one is asked again. The new run passes the door like any other; the parent stays as it is.
        Files that code left in the parent's scratch folder are copied as they are now.

        Args:
            parent: The run; a unique beginning of at least 6 characters is enough.
            from_step: A step of its plan, or a path as `interlock run show` prints it; a unique beginning is enough.
            changes: New values: for a plan's step `description`, `tool`, `input`, `input.NAME`, `metadata.NAME`, and
                for the whole `task` and `max_cost`; for other runs `description`, `context.NAME`, `max_cost`,
                `timeout`, `priority`.
            run_id: Your own id for the new run.
            tools: What the steps' `tool` names refer to, beside what this process lent to the parent.
            user: Who asks; by default the parent's user.

        Raises:
            NotFound: there is no such run.
            UsageError: there is no such step, nothing of that name to change, or a tool is not known here.
            Refused: this user may not.
            Conflict: the id is taken by different work.
        """
        run = await self._readable(parent, user, "fork")
        fork = fork_of(run, from_step, changes or {})
        admission = self._admission_of(run, fork, run_id or new_run_id(), user)
        await self._give_back_forks()
        if not await self._open().runs(Query(run_id=admission.run_id, limit=1)):
            await asyncio.to_thread(Scratch(self._settings).copy, run.run_id, admission.run_id)
        if fork.plan is not None:
            self._lend_again(run, fork, admission.run_id, tools)
            self._forks.add(admission.run_id)
        return await self._submit(admission)

    async def diff(self, run_a: str, run_b: str, *, user: str | None = None) -> RunDiff:
        """Lay two runs beside each other: input, output, status, cost and time of every step, and what differs.

        Args:
            run_a: A run; a unique beginning of at least 6 characters is enough.
            run_b: Another one, for example its fork.
            user: Who asks; None for the program itself.

        Raises:
            NotFound: there is no such run.
            Refused: this user may not read them.
        """
        return diff_of(await self._readable(run_a, user, "read"), await self._readable(run_b, user, "read"))

    async def replay(self, run_id: str) -> AsyncIterator[Event]:
        """What happened in a run so far, read from its facts alone: nothing is done, and nothing is waited for.

        The last event carries the result, if the run has ended.

        Raises:
            NotFound: there is no such run.
        """
        async for event in replay_run(self._open(), await self.find(run_id)):
            yield event

    # Inside.

    async def _readable(self, given: str, user: str | None, action: str) -> Run:
        run_id = await self.find(given)
        (row,) = await self._open().runs(Query(run_id=run_id, limit=1))
        self.access.check_run(user, action, row)
        return await self._house().engine.load(run_id)

    def _admission_of(self, run: Run, fork: Fork, run_id: str, user: str | None) -> Admission:
        """A fork at the door: with the parent's crew, for the results that are kept are theirs."""
        assert run.admitted is not None
        flow: Any = run.admitted.flow
        admission = self._admission(from_json(fork.task), run_id, user, flow)
        routed = run.routed
        if routed is not None and not ("context.agent" in fork.changed and flow == "task"):
            reasons = [f"Forked from {run.run_id}: who did the work there goes on with it."]
            crew = RunRouted(platform=routed.platform, candidates=list(routed.candidates), reasons=reasons)
            admission = admission.with_crew(crew, self._available, self._settings)
        work = {name: value for name, value in admission.given.items() if name != "id"}
        return replace(
            admission,
            digest=digest_of({**work, "fork": [run.run_id, fork.step]}),
            parent=run.run_id,
            kept=(Noted(level="info", code="run.forked", says=fork.says), *fork.kept),
        )

    def _lend_again(self, run: Run, fork: Fork, run_id: str, tools: Sequence[Any] | None) -> None:
        """Lend the fork what this process lent to its parent, and the tools that are given now."""
        assert fork.plan is not None
        lent = self._registry.course_of(run.run_id)
        execution = fork.task["context"].get(EXECUTION, {})
        executor = lent.executor if lent is not None else Executor(execution.get("max_concurrent", 3))
        given = [] if lent is None else [one for one in lent.box.given if one not in (tools or ())]
        self._lend(run_id, fork.plan, fork.to_do, executor, self._toolbox([*given, *(tools or ())]))

    async def _give_back_forks(self) -> None:
        """Hold open no longer what was lent to forks that are over."""
        for run_id in list(self._forks):
            rows = await self._open().runs(Query(run_id=run_id, limit=1))
            if not rows or rows[0].status.is_final:
                self._forks.discard(run_id)
                await self._give_back(run_id)
