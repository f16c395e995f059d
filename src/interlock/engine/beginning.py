"""How a drive begins: with a run that was just admitted, or with one that nobody drives any more."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from interlock.engine.bench import RunBench
from interlock.engine.drive import Drive, Tools
from interlock.engine.outcome import Outcome
from interlock.errors import NotFound
from interlock.records.fact import Fact, Recorded, RunStarted
from interlock.records.run import Run, fold
from interlock.stores.journal import Claim, Journal


def begin(tools: Tools, claim: Claim, facts: Sequence[Fact], *, written: bool) -> Drive:
    """A drive of a run that was just admitted, without reading it.

    Args:
        tools: What the engine shares.
        claim: The right to drive it.
        facts: All its facts.
        written: Whether they are written already; if not, they go down with the first that is.
    """
    now = tools.clock.now()
    recorded = [
        Recorded(position=0, run_id=claim.run_id, seq=seq, at=now, fact=fact) for seq, fact in enumerate(facts, 1)
    ]
    run = replace(fold(claim.run_id, recorded), active_since=None, active_seconds=0.0)
    announced = isinstance(facts[-1], RunStarted)
    return Drive(tools, run, claim, announced=announced, prelude=() if written else facts)


async def load_run(journal: Journal, run_id: str) -> Run:
    """A run as its facts tell it.

    Raises:
        NotFound: there is no such run.
    """
    facts = await journal.read(run_id)
    if not facts:
        raise NotFound(f"There is no run {run_id}.")
    return fold(run_id, facts)


async def take_up(tools: Tools, run_id: str) -> Drive:
    """Claim a run that nobody drives.

    Raises:
        NotFound: there is no such run.
        DrivenElsewhere: a live driver has it.
    """
    claim = await tools.journal.claim(run_id)
    try:
        return Drive(tools, await load_run(tools.journal, run_id), claim)
    except BaseException:
        await tools.journal.release(claim)
        raise


async def nothing_left(bench: RunBench, run: Run) -> Outcome:
    """The flow of a run that is over before it begins."""
    return Outcome(output=None)
