"""Runs that go on without the shell they were started from: the launch, and the process that was launched."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

from interlock.cli import driving
from interlock.cli.door import Door
from interlock.cli.orders import Order
from interlock.cli.output import Output
from interlock.errors import InterlockError, from_code
from interlock.records.run import Run
from interlock.records.task import from_json


def launch(door: Door, order: Order) -> int:
    """Start a run in a process of its own, and come back as soon as the run is durable.

    Returns:
        The exit code: 0, or that of what went wrong before.
    """
    given = {
        "task": order.task.to_json(),
        "run_id": order.run_id,
        "allow": order.allow,
        "simulated": order.simulated,
        "home": door.home,
        "profile": door.profile,
    }
    return _launch(door, given)


def launch_fork(door: Door, options: dict[str, Any]) -> int:
    """Fork a run in a process of its own, and come back as soon as the new run is durable.

    Args:
        door: Where it is asked for.
        options: The options of `run fork`.

    Returns:
        The exit code: 0, or that of what went wrong before.
    """
    given = {"fork": options, "allow": options["allow"], "simulated": options["simulated"]}
    return _launch(door, {**given, "home": door.home, "profile": door.profile})


def _launch(door: Door, given: dict[str, Any]) -> int:
    record, child = _spawn(given)
    if "launch" in record:
        return _launched(door, record["launch"], child)
    child.wait()
    failed = record.get("error", {})
    door.run = failed.get("run")
    door.refuse(_not_launched(door, failed), run=door.run)
    return child.returncode or 1


def take_up(door: Door, run_id: str, allow: tuple[str, ...], *, simulated: bool) -> int:
    """Go on with a run in a process of its own, and come back as soon as it has the run in hand.

    Args:
        door: Where it is asked for.
        run_id: The run.
        allow: Commands that may run besides those of the settings.
        simulated: Whether models are simulated.

    Returns:
        The process.

    Raises:
        InterlockError: it did not start.
    """
    given = {"resume": run_id, "allow": allow, "simulated": simulated, "home": door.home, "profile": door.profile}
    record, child = _spawn(given)
    if "launch" not in record:
        child.wait()
        raise _not_launched(door, record.get("error", {}))
    return int(record["launch"]["pid"])


def _not_launched(door: Door, failed: dict[str, Any]) -> InterlockError:
    return InterlockError(
        failed.get("says", "The process that should drive the run did not start."),
        failed.get("do", f"See {door.log_file()}."),
        code=failed.get("code", "run.not_launched"),
    )


def _spawn(given: dict[str, Any]) -> tuple[dict[str, Any], subprocess.Popen[bytes]]:
    """Start the process, and read the first line it says."""
    child = subprocess.Popen(
        [sys.executable, "-m", __name__],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,  # no signal of this terminal reaches it
    )
    assert child.stdin is not None
    assert child.stdout is not None
    try:
        with child.stdin as pipe:
            pipe.write(json.dumps(given).encode())
        line = child.stdout.readline()
    except BrokenPipeError:
        line = b""
    return (json.loads(line) if line else {}), child


def _launched(door: Door, record: dict[str, Any], child: subprocess.Popen[bytes]) -> int:
    """Tell about a run that is durable. One that has ended at the door (a rule, no key) has its own exit code."""
    door.run = run_id = str(record["run"])
    watch = door.command("run watch", run_id)
    if door.out.json:
        detail = {"pid": record["pid"], "status": record["status"], "error": record["error"], "watch": watch}
        door.out.record({"kind": "launch", "target": run_id, "applied": True, "dry_run": False, "detail": detail})
    else:
        door.out.answer(run_id)
    if record["error"] is not None:
        error = from_code(record["error"]["code"], record["error"]["says"], record["error"]["do"])
        if not door.out.json:
            door.refuse(error, run=run_id)
        return child.wait()
    door.out.say(f"It goes on by itself, in process {record['pid']}. Watch it: {watch}")
    return 0


def main() -> None:
    """Drive the run that standard input describes; the first line of standard output says that it is durable."""
    given = json.load(sys.stdin)
    door = Door(Output(json=True, quiet=True), home=given["home"], profile=given["profile"])

    def launched(run: Run) -> None:
        failure = run.finished.failure if run.finished else None
        error = {"code": failure.code, "says": failure.says, "do": failure.do} if failure else None
        door.out.record({"launch": {"run": run.run_id, "pid": os.getpid(), "status": run.status, "error": error}})
        _let_go(door)

    from interlock.cli.app import guarded

    sys.exit(guarded(door, lambda: asyncio.run(_work(door, given, launched))))


async def _work(door: Door, given: dict[str, Any], launched: Callable[[Run], None]) -> int:
    allow, simulated = tuple(given["allow"]), bool(given["simulated"])
    if "fork" in given:
        from interlock.cli.forking import perform_fork

        return await perform_fork(door, given["fork"], launched)
    if "resume" in given:
        return await driving.go_on_with(door, given["resume"], None, allow, simulated, launched)
    order = Order(task=from_json(given["task"]), run_id=given["run_id"], allow=allow, simulated=simulated)
    return await driving.perform(door, order, launched)


def _let_go(door: Door) -> None:
    """Leave the shell's streams, so that nothing waits for this process; what is still said goes to the log."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    log = os.open(door.log_file(), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for target, source in ((0, nowhere), (1, nowhere), (2, log)):
        os.dup2(source, target)
    os.close(nowhere)
    os.close(log)


if __name__ == "__main__":
    main()
