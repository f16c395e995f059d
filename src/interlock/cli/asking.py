"""Asking in place: at a terminal, whoever started a run may answer for it right there."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from interlock.cli.approvals import read_edit
from interlock.cli.card import card, card_lines
from interlock.cli.door import Door
from interlock.cli.output import visible
from interlock.cli.runs import who
from interlock.errors import InterlockError, NotFound

if TYPE_CHECKING:
    from interlock.platform.approval import Approval
    from interlock.platform.platform import Platform
    from interlock.platform.result import TaskResult

#: How often it is looked whether someone else has answered meanwhile, in seconds.
LOOK = 0.5
#: Most bytes of one answer.
LONGEST = 65_536


async def waiting_for(platform: Platform, result: TaskResult) -> Approval | None:
    """The approval a run waits for; None where it waits for nothing, or for something else."""
    if result.approval_id is None:
        return None
    try:
        found = await platform.approvals.show(result.approval_id)
    except NotFound:
        return None
    return found if found.about == "approval" else None  # a step in doubt is answered by a resume


async def ask_in_place(door: Door, platform: Platform, approval: Approval, stop: asyncio.Event) -> bool:
    """Show the card and ask, until someone has answered, here or elsewhere.

    Args:
        door: Where it is asked.
        platform: The platform that drives the run.
        approval: What is asked.
        stop: Set when the user wants to leave.

    Returns:
        Whether it is answered; False leaves it waiting.
    """
    run = await platform.show(approval.run_id)
    for line in card_lines(card(approval, run, time.time())):
        door.out.prompt(f"{line}\n")
    door.out.prompt(f"  Or in a second terminal: {door.command('approval allow', approval.id)}\n")
    with _Lines() as lines:
        asking = _Asking(door=door, platform=platform, approval=approval, stop=stop, lines=lines)
        try:
            return await asking.until_answered()
        except InterlockError as error:
            door.refuse(error, run=approval.run_id)
            return error.code in ("approval.already_answered", "approval.void", "approval.expired")


class _Lines:
    """Lines that a person types, read without blocking anything else."""

    def __init__(self) -> None:
        self._file = sys.stdin.fileno()
        self._queue: asyncio.Queue[str | None] = asyncio.Queue()
        self._rest = b""

    def __enter__(self) -> _Lines:
        asyncio.get_running_loop().add_reader(self._file, self._read)
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.get_running_loop().remove_reader(self._file)

    def _read(self) -> None:
        try:
            piece = os.read(self._file, 4096)
        except OSError:
            piece = b""
        if not piece:
            self._queue.put_nowait(None)
            asyncio.get_running_loop().remove_reader(self._file)
            return
        *whole, self._rest = (self._rest + piece)[-LONGEST:].split(b"\n")
        for line in whole:
            self._queue.put_nowait(line.decode(errors="replace").strip())

    async def next(self) -> str | None:
        """The next line; None when there will be none."""
        return await self._queue.get()


@dataclass(slots=True, kw_only=True)
class _Asking:
    door: Door
    platform: Platform
    approval: Approval
    stop: asyncio.Event
    lines: _Lines
    answered_elsewhere: bool = field(default=False)

    async def until_answered(self) -> bool:
        choices = "[a] allow once  [d] deny  [e] edit"
        if "run" in self.approval.grants:
            choices += "  [r] allow in this run"
        while True:
            given = await self._ask(f"  {choices} ")
            if given is None:
                return self.answered_elsewhere
            match given.lower():
                case "a" | "allow":
                    return await self._allow()
                case "r" | "run" if "run" in self.approval.grants:
                    return await self._allow(scope="run")
                case "d" | "deny":
                    return await self._deny()
                case "e" | "edit":
                    edit = await self._edit()
                    if edit is not None:
                        return await self._allow(edit=edit)

    async def _allow(self, *, scope: Literal["once", "run"] = "once", edit: dict[str, Any] | None = None) -> bool:
        found = await self.platform.approvals.approve(
            self.approval.id, by=who(), edit=edit, scope=scope, digest=self.approval.digest
        )
        if found.status == "pending":
            self.door.out.prompt(f"  {found.quorum - len(found.allowed_by)} more must agree.\n")
        return found.status != "pending"

    async def _deny(self) -> bool:
        reason = await self._ask("  why? ")
        if reason is None:
            return self.answered_elsewhere
        await self.platform.approvals.reject(self.approval.id, by=who(), reason=reason)
        return True

    async def _edit(self) -> dict[str, Any] | None:
        command = self.approval.asks.get("kind") == "command"
        given = await self._ask("  the command instead: " if command else "  the arguments instead, as JSON: ")
        if not given:
            return None
        if command and not given.startswith("{"):
            return {"command": given}
        try:
            return read_edit(given)
        except InterlockError as error:
            self.door.out.prompt(f"  {error.user_message}\n")
            return None

    async def _ask(self, question: str) -> str | None:
        """What the person types; None where they leave, or someone else has answered."""
        self.door.out.prompt(question)
        typed, left = asyncio.ensure_future(self.lines.next()), asyncio.ensure_future(self.stop.wait())
        try:
            while not typed.done() and not left.done():
                await asyncio.wait([typed, left], timeout=LOOK, return_when=asyncio.FIRST_COMPLETED)
                if not typed.done() and await self._is_answered():
                    return None
            return typed.result() if typed.done() else None
        finally:
            for one in (typed, left):
                one.cancel()

    async def _is_answered(self) -> bool:
        found = await self.platform.approvals.show(self.approval.id)
        if found.status != "pending":
            self.answered_elsewhere = True
            by = visible(found.by) or "someone"
            self.door.out.prompt(f"\n  {found.status}: {by} answered elsewhere.\n")
        return self.answered_elsewhere
