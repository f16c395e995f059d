"""Runs contenders in processes of their own, one after another in turn, and keeps what they measured of themselves."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
PEERS = HERE / ".peers"
REQUIREMENTS = HERE / "peers" / "requirements.txt"
LIMIT_S = 300


@dataclass(frozen=True, kw_only=True)
class Options:
    """How thoroughly to measure, and whether with peers."""

    quick: bool
    peers: bool


@dataclass(frozen=True, kw_only=True)
class Contender:
    """One script that measures itself.

    Args:
        argv: Its command, without the interpreter.
        peer: Whether it runs in the peers' environment.
        rounds: In how many rounds it takes part; the slow ones may sit out the later ones.
    """

    argv: tuple[str, ...]
    peer: bool
    rounds: int


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One line a contender printed: how many of what, in which time, with how much CPU."""

    name: str
    version: str
    measure: str
    count: int
    wall_s: float
    cpu_s: float

    @property
    def per_second(self) -> float:
        """How many a second."""
        return self.count / self.wall_s

    @property
    def cpu_each(self) -> float:
        """CPU seconds for one."""
        return self.cpu_s / self.count


@dataclass
class Samples:
    """What was measured in one run of the benchmark, in order, and what went wrong."""

    taken: list[Sample] = field(default_factory=list)
    troubles: list[str] = field(default_factory=list)

    def trouble(self, says: str) -> None:
        """Keep what went wrong, once."""
        if says not in self.troubles:
            self.troubles.append(says)

    def names(self) -> list[str]:
        """Who took part, in order of appearance."""
        return list(dict.fromkeys(sample.name for sample in self.taken))

    def version(self, name: str) -> str:
        """The version a contender says it is."""
        return next((sample.version for sample in self.taken if sample.name == name), "")

    def of(self, name: str, measure: str) -> list[Sample]:
        """All samples of one contender's one measure."""
        return [sample for sample in self.taken if sample.name == name and sample.measure == measure]

    def median(self, name: str, measure: str, value: Callable[[Sample], float]) -> float | None:
        """The median of a value over the rounds, or None when it was not measured."""
        found = [value(sample) for sample in self.of(name, measure)]
        return statistics.median(found) if found else None


def interleave(
    contenders: Sequence[Contender], extra: Callable[[Contender], contextlib.AbstractContextManager[list[str]]]
) -> Samples:
    """Let every contender run once in each round it takes part in, in turn, so that a busy minute hits all alike.

    Args:
        contenders: Who takes part.
        extra: Gives the arguments that only live as long as one run, such as an empty directory.
    """
    samples = Samples()
    for number in range(max(contender.rounds for contender in contenders)):
        for contender in contenders:
            if number < contender.rounds:
                with extra(contender) as arguments:
                    _run_one(contender, arguments, samples)
    return samples


def _run_one(contender: Contender, arguments: list[str], samples: Samples) -> None:
    argv = [python(contender.peer), *contender.argv, *arguments]
    try:
        done = subprocess.run(argv, cwd=ROOT, env=environment(), capture_output=True, text=True, timeout=LIMIT_S)
    except subprocess.TimeoutExpired:
        samples.trouble(f"`{' '.join(contender.argv)}` did not finish within {LIMIT_S} s.")
        return
    samples.taken += [Sample(**line) for line in json_lines(done.stdout)]
    if done.returncode:
        samples.trouble(f"`{' '.join(contender.argv)}` failed: {last_line(done.stderr)}")


def last_line(text: str) -> str:
    """The last line of what a process complained, short, and without the place where the project lies."""
    lines = text.strip().splitlines() or ["no reason given"]
    return lines[-1].replace(str(ROOT), ".")[:200]


def json_lines(text: str) -> list[dict[str, Any]]:
    """The JSON objects among the lines of a text."""
    return [json.loads(line) for line in text.splitlines() if line.startswith("{")]


@contextlib.contextmanager
def empty_directory(_: Contender) -> Iterator[list[str]]:
    """A store of its own on the disk that is measured: the one this benchmark lies on."""
    with tempfile.TemporaryDirectory(dir=HERE, prefix=".scratch-") as directory:
        yield ["--dir", directory]


def python(peer: bool) -> str:
    """The interpreter of the peers' environment or of ours."""
    return str(PEERS / "bin" / "python") if peer else sys.executable


def environment() -> dict[str, str]:
    """A plain environment: no settings, keys or proxies of this machine, and nothing that reports home."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ}
    return kept | {
        "PYTHONUNBUFFERED": "1",
        "DO_NOT_TRACK": "1",
        "LANGSMITH_TRACING": "false",
        "OPENAI_AGENTS_DISABLE_TRACING": "1",
    }


def make_peers() -> bool:
    """Make the peers' environment if it is missing or older than its requirements; False when that cannot be done."""
    stamp = PEERS / ".ready"
    wanted = sha256(REQUIREMENTS.read_bytes()).hexdigest()
    if stamp.exists() and stamp.read_text() == wanted:
        return True
    uv = [sys.executable, "-m", "uv"]
    print("setting up the peers' environment in bench/.peers ...", file=sys.stderr)
    steps = (
        [*uv, "venv", "-q", "--clear", "--python", sys.executable, str(PEERS)],
        [*uv, "pip", "install", "-q", "--python", python(peer=True), "-r", str(REQUIREMENTS)],
    )
    for step in steps:
        if subprocess.run(step, cwd=ROOT).returncode:
            return False
    stamp.write_text(wanted)
    return True


@dataclass(frozen=True, kw_only=True)
class Process:
    """What a whole process cost, start of the interpreter included."""

    cpu_s: float
    wall_s: float
    exit_code: int


def cost_of(argv: Sequence[str], more_environment: dict[str, str] | None = None) -> Process:
    """Run a command to its end and take its CPU from the kernel, its children included."""
    start = time.perf_counter()
    child = subprocess.Popen(
        argv,
        cwd=ROOT,
        env=environment() | (more_environment or {}),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    wall = time.perf_counter() - start
    return Process(cpu_s=usage.ru_utime + usage.ru_stime, wall_s=wall, exit_code=child.returncode)


def machine() -> dict[str, object]:
    """What it was measured on, without the names of anything or anyone."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_gb": round(memory / 2**30),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "load_before": round(os.getloadavg()[0], 1),
    }
