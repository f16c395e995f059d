"""The checks behind `health()` and `interlock doctor`: each says what is, and what to do about it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from interlock.errors import InterlockError
from interlock.platform.settings import Settings
from interlock.stores.journal import Query
from interlock.stores.sqlite import SqliteJournal

if TYPE_CHECKING:
    from interlock.platform.assembly import House

State = Literal["ok", "warning", "failed"]
#: Seconds one check may take.
PATIENCE = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One finding.

    Args:
        name: What was looked at.
        state: Whether it is in order.
        says: One sentence for people.
        do: The next step, if there is one.
    """

    name: str
    state: State
    says: str
    do: str = ""

    def to_json(self) -> dict[str, Any]:
        """As a JSON object."""
        return {"state": self.state, "says": self.says, "do": self.do}


async def check_store(open_journal: Callable[[], SqliteJournal]) -> Check:
    """Whether the journal opens, and answers."""
    try:
        begun = time.monotonic()
        async with asyncio.timeout(PATIENCE):
            journal = open_journal()
            await journal.runs(Query(limit=1))
        return Check(
            name="store", state="ok", says=f"The journal answers ({(time.monotonic() - begun) * 1000:.0f} ms)."
        )
    except InterlockError as error:
        return Check(name="store", state="failed", says=error.says, do=error.do)
    except TimeoutError:
        return Check(name="store", state="failed", says=f"The journal did not answer within {PATIENCE:g} s.")


def check_keys(settings: Settings) -> list[Check]:
    """Whether agents have the keys they need."""
    found = []
    for name in settings.agents:
        if settings.has_key(name):
            found.append(Check(name=f"agent {name}", state="ok", says=f"{name} has what it needs."))
            continue
        provider = settings.providers.get(settings.agents[name].provider)
        variable = provider.key_env if provider else None
        do = f"Set {variable}." if variable else "Describe its provider in interlock.toml."
        found.append(Check(name=f"agent {name}", state="warning", says=f"{name} has no key.", do=do))
    return found


async def check_providers(settings: Settings, house: House) -> list[Check]:
    """Whether the providers that have a key answer; asks for the list of models, which costs nothing."""
    names = [name for name in settings.providers if name in settings.keys]
    return list(await asyncio.gather(*(_ping(name, house) for name in names)))


async def _ping(name: str, house: House) -> Check:
    try:
        async with asyncio.timeout(PATIENCE):
            await house.provider(name).ping()
        return Check(name=f"provider {name}", state="ok", says=f"{name} answers and accepts the key.")
    except InterlockError as error:
        return Check(name=f"provider {name}", state="failed", says=error.says, do=error.do)
    except TimeoutError:
        return Check(name=f"provider {name}", state="failed", says=f"{name} did not answer within {PATIENCE:g} s.")


async def health_report(
    settings: Settings, open_journal: Callable[[], SqliteJournal], house: Callable[[], House] | None
) -> dict[str, Any]:
    """The answer of `Platform.health`.

    Args:
        settings: What is set.
        open_journal: Opens the store.
        house: Gives the running parts, for a deep check; None leaves the providers alone.
    """
    store = await check_store(open_journal)
    keys = check_keys(settings)
    deep = await check_providers(settings, house()) if house is not None and store.state == "ok" else []
    checks = [store, *keys, *deep]
    if store.state == "failed" or (deep and all(check.state == "failed" for check in deep)):
        status = "unhealthy"
    elif not any(check.state == "ok" for check in keys) or any(check.state == "failed" for check in deep):
        status = "degraded"
    else:
        status = "healthy"
    return {"status": status, "checks": {check.name: check.to_json() for check in checks}}
