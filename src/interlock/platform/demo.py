"""The demo's own corner: its settings, its pace, the moment of the kill, and the count of what was done how often."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from interlock.errors import StoreFailed
from interlock.records.fact import Recorded, StepFailed, StepFinished, StepStarted

if TYPE_CHECKING:
    from interlock.testing.script import Reply, RequestView

#: The step in whose middle the demo kills the process: a model request that has been sent and not been answered.
KILLED_IN = "execution/model/3"
#: Seconds the provider holds back the answer to that request, the first time: long enough to be killed.
HOLD = 20.0
NEEDED = ("openai", "anthropic", "aiohttp")

#: The file in the workspace that the agent wants to change, so that a person is asked.
LOG = "build.log"
_LOG_LINES = 4_000

_SETTINGS = """\
# Made by `interlock demo`. What its agents may do is in policy.toml beside this file.
workspace = "../demo-work"    # apart from the store, so that commands can write there

[limits]
tool_timeout = 4    # a `du` of a very large folder is stopped, and the agent makes do

[budgets.demo]
limit = "50 USD"
per = "day"
"""
_POLICY = """\
# Made by `interlock demo`: what its agents may do.
[commands]
allowed = ["df", "du"]

[[command]]
rule = "gzip"
decision = "approval"
reason = "It changes files."
match = ["gzip -v build.log"]
no_match = ["du build.log"]

[[command]]
rule = "rm"
decision = "block"
reason = "Nothing is deleted here."
match = ["rm -rf /var/tmp/leftovers"]
no_match = ["du /var/tmp"]
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """How often one step was done.

    Args:
        path: The step.
        begun: Times it was begun.
        ended: Times it came to an outcome.
        again: Times it was begun although it had been finished. Never anything but 0.
    """

    path: str
    begun: int
    ended: int
    again: int


def missing_packages() -> list[str]:
    """Which packages the demo needs and cannot find."""
    return [name for name in NEEDED if find_spec(name) is None]


def prepare(home: Path) -> Path:
    """Make the demo's home folder with its settings and policy, and its workspace; say where the settings are.

    Raises:
        StoreFailed: a folder cannot be made or written.
    """
    file, work = home / "interlock.toml", workspace(home)
    try:
        for folder in (home.parent, home, work):  # all are ours, and `parents` would leave one open to others
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        file.write_text(_SETTINGS, encoding="utf-8")
        file.with_name("policy.toml").write_text(_POLICY, encoding="utf-8")
        (work / f"{LOG}.gz").unlink(missing_ok=True)
        (work / LOG).write_text("".join(f"step {n}: compiled, linked, tested, all good\n" for n in range(_LOG_LINES)))
    except OSError as error:
        do = "Choose another home, for example `interlock demo --home /tmp/interlock`."
        raise StoreFailed(f"{home} cannot be written.", do, code="store.read_only", detail=str(error)) from error
    return file


def workspace(home: Path) -> Path:
    """The folder that the demo's agents work in, as the settings say."""
    return home.with_name("demo-work")


def environment(environ: Mapping[str, str], provider: Mapping[str, str], settings: Path) -> dict[str, str]:
    """The environment of the demo's processes: nothing of the user's settings and keys, everything else."""
    kept = {
        name: value
        for name, value in environ.items()
        if not name.startswith("INTERLOCK_") and not name.endswith(("_API_KEY", "_API_KEY_FILE", "_BASE_URL"))
    }
    local = {"NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}  # the simulated provider is on this machine
    return {**kept, **local, **provider, "INTERLOCK_CONFIG": str(settings)}


def paced(seconds: float) -> Callable[[RequestView], Reply]:
    """The simulated mind at a pace that eyes can follow; it holds back one answer until the process is killed.

    Args:
        seconds: How long each answer takes.
    """
    from interlock.testing.demo_brain import think
    from interlock.testing.script import Reply

    held: set[str] = set()

    def answer(view: RequestView) -> Reply:
        reply = think(view)
        hold = view.key.endswith(KILLED_IN) and view.key not in held
        held.add(view.key)
        return Reply(text=reply.text, calls=reply.calls, latency=HOLD if hold else seconds)

    return answer


def in_the_middle(record: Recorded) -> bool:
    """Whether this fact is the intent of the step that the demo cuts off."""
    return isinstance(record.fact, StepStarted) and record.fact.path == KILLED_IN


def tally(facts: Iterable[Recorded]) -> list[Tally]:
    """Count from the journal how often each step was begun and brought to an end."""
    begun: dict[str, int] = {}
    ended: dict[str, int] = {}
    again: dict[str, int] = {}
    for record in facts:
        match record.fact:
            case StepStarted(path=path):
                begun[path] = begun.get(path, 0) + 1
                again[path] = again.get(path, 0) + (path in ended)
            case StepFinished(path=path) | StepFailed(path=path, again_at=None):
                begun.setdefault(path, 0)
                ended[path] = ended.get(path, 0) + 1
    return [
        Tally(path=path, begun=times, ended=ended.get(path, 0), again=again.get(path, 0))
        for path, times in begun.items()
    ]


def home_folder() -> str:
    """The home folder of whoever runs the demo, for the agent to look at; root's is nobody's to look into."""
    home = os.path.expanduser("~")
    return "/home" if home == "/root" else home
