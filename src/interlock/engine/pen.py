"""The pen of one drive: everything it writes goes down in order, and what need not be waited for rides along."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence

from interlock.engine.audience import Audience
from interlock.engine.parking import Stopped
from interlock.errors import Conflict, InterlockError, StoreFailed
from interlock.records.charge import Charge
from interlock.records.fact import Fact
from interlock.stores.journal import Claim, Journal
from interlock.stores.ledger import in_order


class Pen:
    """Writes the facts of one drive.

    Args:
        journal: Where facts rest.
        audience: Told of facts once they are durable; nobody is told of what may still be lost.
        claim: The right to write.
        prelude: Facts that go down before all others, together with the first of them.
    """

    __slots__ = ("_audience", "_broken", "_claim", "_held", "_journal")

    def __init__(self, journal: Journal, audience: Audience, claim: Claim, prelude: Sequence[Fact] = ()) -> None:
        self._journal = journal
        self._audience = audience
        self._claim = claim
        self._held: list[Fact] = list(prelude)
        self._broken: Exception | None = None

    async def write(self, facts: Sequence[Fact], charge: Charge | None = None) -> None:
        """Write facts and come back when they, and all written before them, are durable.

        Args:
            facts: The facts.
            charge: What must fit on budgets and under limits, or these facts are not written.

        Raises:
            OverBudget, RateLimited: the charge does not fit; others may still be written.
            Stopped: they cannot be written, and nothing after them.
            StoreFailed: code `store.not_json`; others may still be written.
        """
        self.check()
        if charge is not None:
            self._flush()  # what has happened must not get lost with what may not
        try:
            await self._append(facts, charge)
        except (StoreFailed, Conflict) as error:
            if error.code == "store.not_json":
                raise
            self._broken = self._broken or error  # the first one says why; what came behind it only fell with it
            raise Stopped(self._broken) from error
        self.check()

    def write_later(self, facts: Sequence[Fact]) -> None:
        """Write facts without waiting: with the next `write`, or when the loop turns, whichever is first.

        The next `write` comes back only when these are durable too.

        Raises:
            Stopped: something before them could not be written.
        """
        self.check()
        if not self._held:
            asyncio.get_running_loop().call_soon(self._flush)
        self._held += facts

    def check(self) -> None:
        """Raise `Stopped` if something could not be written."""
        if self._broken is not None:
            raise Stopped(self._broken)

    def _append(self, facts: Sequence[Fact], charge: Charge | None = None) -> Awaitable[int]:
        held, self._held = self._held, []
        facts = [*held, *facts]
        notes: list[Fact] = []
        run_id = self._claim.run_id
        try:
            written = self._journal.append(run_id, facts, claim=self._claim, charge=charge, notes=notes)
        except StoreFailed:
            self._held = held  # what was already done must not go down with what could not be written
            raise
        if not self._audience.wants_facts(run_id):
            return written
        future = asyncio.ensure_future(written)
        future.add_done_callback(lambda done: self._told(in_order(facts, notes), done))
        return future

    def _told(self, facts: Sequence[Fact], done: asyncio.Future[int]) -> None:
        if not done.cancelled() and done.exception() is None:
            self._audience.tell(self._claim.run_id, facts, done.result() - len(facts) + 1)

    def _flush(self) -> None:
        if not self._held:
            return
        try:
            future = asyncio.ensure_future(self._append(()))
        except InterlockError as error:
            self._broken = self._broken or error
            return
        future.add_done_callback(self._flushed)

    def _flushed(self, done: asyncio.Future[int]) -> None:
        if not done.cancelled() and (error := done.exception()) is not None:
            self._broken = self._broken or (error if isinstance(error, Exception) else RuntimeError(str(error)))
