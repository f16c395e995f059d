"""The checks behind `health()` and `interlock doctor`: each says what is, and what to do about it."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from interlock.errors import InterlockError
from interlock.platform.lookup import open_stored
from interlock.platform.policing import PRODUCTION, lacks_guardrails, load_policy, policy_path
from interlock.platform.scratch import Scratch, size_of
from interlock.platform.settings import Settings
from interlock.stores.journal import Query
from interlock.stores.sqlite import SqliteJournal
from interlock.tools.sandbox import strength

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
        code: The stable code of the error behind it, if there is one.
    """

    name: str
    state: State
    says: str
    do: str = ""
    code: str = ""

    def to_json(self) -> dict[str, Any]:
        """As a JSON object."""
        found = {"state": self.state, "says": self.says, "do": self.do}
        return {**found, "code": self.code} if self.code else found


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
        return Check(name="store", state="failed", says=error.says, do=error.do, code=error.code)
    except TimeoutError:
        return Check(name="store", state="failed", says=f"The journal did not answer within {PATIENCE:g} s.")


async def check_home(settings: Settings) -> list[Check]:
    """Whether the home folder holds a store that answers, and runs that nobody drives; makes nothing."""
    try:
        journal = open_stored(settings)
    except InterlockError as error:
        return [Check(name="store", state="failed", says=error.says, do=error.do, code=error.code)]
    if journal is None:
        return [_no_store_yet(settings.home)]
    try:
        orphans = [] if (store := await check_store(lambda: journal)).state == "failed" else await _orphans(journal)
    finally:
        await journal.close()
    if not orphans:
        return [store]
    says = f"Nobody drives {', '.join(orphans[:5])}{' and others' if len(orphans) > 5 else ''}."
    return [store, Check(name="runs", state="warning", says=says, do="Go on: `interlock run resume ID`.")]


async def _orphans(journal: SqliteJournal) -> list[str]:
    return [row.run_id for row in await journal.runs(Query(orphaned=True, limit=100))]


def _no_store_yet(home: Path) -> Check:
    folder = next(one for one in (home, *home.parents) if one.exists())
    if os.access(folder, os.W_OK):
        return Check(name="store", state="ok", says=f"Nothing was run here yet; the first run makes {home}.")
    do = "Choose another home with INTERLOCK_HOME."
    return Check(name="store", state="failed", says=f"{folder} cannot be written by this user.", do=do)


def check_machine(settings: Settings) -> list[Check]:
    """All that can be looked at without the store and without the network."""
    checks = [*check_packages(settings), check_sandbox(settings), *check_scratch(settings), *check_policy(settings)]
    return [*checks, *check_vault(settings), *check_keys(settings)]


def check_packages(settings: Settings) -> list[Check]:
    """Whether the vendors' packages that the agents need are installed."""
    needed = {settings.providers[agent.provider].api.partition("-")[0] for agent in settings.agents.values()}
    found = []
    for package in sorted(needed):
        if find_spec(package) is None:
            do = f"Run `pip install 'interlock[{package}]'`."
            found.append(Check(name=f"package {package}", state="warning", says=f"{package} is not installed.", do=do))
        else:
            found.append(Check(name=f"package {package}", state="ok", says=f"{package} is installed."))
    return found


def check_keys(settings: Settings) -> list[Check]:
    """Whether agents have the keys they need."""
    found = []
    for name in settings.agents:
        if settings.has_key(name):
            found.append(Check(name=f"agent {name}", state="ok", says=f"{name} has what it needs."))
            continue
        says, do = settings.lacks(name)
        found.append(Check(name=f"agent {name}", state="warning", says=says, do=do))
    return found


def check_sandbox(settings: Settings) -> Check:
    """Which walls commands get on this machine, and why not stronger ones. Tries them, the first time."""
    wanted = settings.sandbox.level
    level, missing = strength(wanted)
    lacks = f"; not to be had: {'; '.join(missing)}" if missing else ""
    do = "Use Linux 6.2 or later, or install bubblewrap."
    if level == "off":
        says = "Commands run without a sandbox, since the settings say so."
        return Check(name="sandbox", state="warning", says=says, do="Set `sandbox.level` to `auto`.")
    if level == "none" or (level == "seccomp" and wanted == "auto"):
        state: State = "warning" if wanted == "auto" else "failed"
        says = f"There is no sandbox around files, so only commands that look are run{lacks}."
        return Check(name="sandbox", state=state, says=says, do=do, code="sandbox.unavailable")
    if level == "seccomp":
        says = f"Commands run in the sandbox `seccomp`, which leaves them the files of this user{lacks}."
        return Check(name="sandbox", state="warning", says=says, do=do)
    return Check(name="sandbox", state="ok", says=f"Commands run in the sandbox `{level}`{lacks}.")


def check_scratch(settings: Settings) -> list[Check]:
    """What the scratch folders of runs take, and how much of it may go; nothing where there are none."""
    scratch = Scratch(settings)
    sizes = {folder: size_of(folder) for folder in scratch.folders()}
    if not sizes:
        return []
    old = [one.folder for one in scratch.old(time.time())]
    number = "1 run keeps" if len(sizes) == 1 else f"{len(sizes):,} runs keep"
    taken, free = (sum(sizes[one] for one in which) / 1e6 for which in (sizes, old))
    says = f"{number} files of code, {taken:,.1f} MB; {free:,.1f} MB may go."
    return [Check(name="scratch", state="ok", says=says, do="Remove them: `interlock run prune`." if old else "")]


def check_vault(settings: Settings) -> list[Check]:
    """Whether the vault of this home, if there is one, opens with the key that is found."""
    from interlock.governance.vault.vault import VAULT
    from interlock.platform.safeguards import open_vault

    if not (settings.home / VAULT).exists():
        return []
    try:
        open_vault(settings, time.time).check_key()
    except InterlockError as error:
        return [Check(name="vault", state="failed", says=error.says, do=error.do, code=error.code)]
    return [Check(name="vault", state="ok", says="The vault opens with its key.")]


def check_policy(settings: Settings) -> list[Check]:
    """Whether the policy file is good, and whether work is taken without a guardrail of its own."""
    try:
        policy = load_policy(settings)
    except InterlockError as error:
        return [Check(name="policy", state="failed", says=error.says, do=error.do, code=error.code)]
    if policy.path is None:
        says = f"There is no policy file; it would be {policy_path(settings)}."
        found = [Check(name="policy", state="ok", says=says)]
    else:
        state: State = "warning" if policy.warnings else "ok"
        says = f"{policy.path.name} holds {policy.rules} rules, and all their examples hold."
        do = " ".join(f"{warning}." for warning in policy.warnings[:3])
        found = [Check(name="policy", state=state, says=says, do=do)]
    if not policy.guardrails and settings.profile in PRODUCTION:
        if lacks_guardrails(settings, ()):
            says = "The policy file has no guardrail; a program that adds none is refused in this profile."
            do = "Write a [[guardrail]] into policy.toml, or add one in the program with add_guardrail."
        else:
            says, do = "Work is taken without any guardrail, since the settings allow it.", "See `guardrails.required`."
        found.append(Check(name="guardrails", state="warning", says=says, do=do))
    return found


async def check_providers(settings: Settings, house: House) -> list[Check]:
    """Whether the providers that can be used answer; asks for the list of models, which costs nothing."""
    names = [name for name, found in settings.providers.items() if name in settings.keys or not found.key_env]
    return list(await asyncio.gather(*(_ping(name, house) for name in names)))


async def _ping(name: str, house: House) -> Check:
    try:
        async with asyncio.timeout(PATIENCE):
            await house.provider(name).ping()
        return Check(name=f"provider {name}", state="ok", says=f"{name} answers and accepts the key.")
    except InterlockError as error:
        return Check(name=f"provider {name}", state="failed", says=error.says, do=error.do, code=error.code)
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
    sandbox = await asyncio.to_thread(check_sandbox, settings)
    deep = await check_providers(settings, house()) if house is not None and store.state == "ok" else []
    checks = [store, sandbox, *keys, *deep]
    if store.state == "failed" or (deep and all(check.state == "failed" for check in deep)):
        status = "unhealthy"
    elif not any(check.state == "ok" for check in keys) or any(check.state == "failed" for check in (sandbox, *deep)):
        status = "degraded"
    else:
        status = "healthy"
    return {"status": status, "checks": {check.name: check.to_json() for check in checks}}
