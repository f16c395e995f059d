"""bench/size: what it costs to import, to ask for help, to list runs, and to have many runs in flight or waiting."""

from __future__ import annotations

import re
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass

from bench.measure import HERE, ROOT, Options, Sample, Samples, cost_of, environment, json_lines, last_line, python
from bench.report import Section, Table, at_most, number

HOW = (
    "CPU of whole processes, start of the interpreter included, except for imports, where that of `python -c pass` is "
    "taken off. Memory is what the process grew by (resident set) while the runs were there."
)
IMPORTS = {
    "interlock": ("import interlock", False),
    "interlock Platform": ("from interlock import Platform, Task", False),
    "httpx": ("import httpx", True),
    "openai": ("import openai", True),
    "dbos": ("import dbos", True),
    "langgraph": ("import langgraph.graph, langchain.agents, langchain_openai", True),
    "openai-agents": ("import agents", True),
    "pydantic-ai": ("import pydantic_ai, pydantic_ai.models.openai", True),
}
CLI = (sys.executable, "-m", "interlock")
#: Each command with its words and something its answer must hold.
COMMANDS = {
    "interlock --help": (["--help"], "Usage"),
    "interlock run list": (["run", "list"], "warm-"),
    "interlock run list --json": (["run", "list", "--json"], "warm-"),
}
IN_STORE = 200
IN_FLIGHT, WAITING, WAITING_QUICK = 10_000, 100_000, 20_000
#: What "no memory" means: the process grew by no more than this, however many runs wait.
NOISE_MB = 5.0


def measure(options: Options) -> Section:
    """Measure commands, imports and memory."""
    section = Section(name="size", title="Size", how=HOW)
    _imports(section, options)
    _commands(section, options)
    _memory(section, options)
    return section


def _sample(
    samples: Samples, name: str, measure_name: str, argv: list[str], more: dict[str, str] | None = None
) -> None:
    cost = cost_of(argv, more)
    if cost.exit_code:
        samples.trouble(f"{name} ended with exit code {cost.exit_code}; its figure is not counted.")
        return
    taken = Sample(name=name, version="", measure=measure_name, count=1, wall_s=cost.wall_s, cpu_s=cost.cpu_s)
    samples.taken.append(taken)


def _key(*words: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", " ".join(words).lower()) + "_cpu_ms"


def _cpu(samples: Samples, name: str, measure_name: str) -> float | None:
    return samples.median(name, measure_name, lambda sample: sample.cpu_s)


def _imports(section: Section, options: Options) -> None:
    wanted = {name: how for name, how in IMPORTS.items() if options.peers or not how[1]}
    for _ in range(3 if options.quick else 7):
        for peer in {peer for _, peer in wanted.values()}:
            _sample(section.samples, f"nothing, peer={peer}", "import", [python(peer), "-c", "pass"])
        for name, (line, peer) in wanted.items():
            _sample(section.samples, name, "import", [python(peer), "-c", line])
    rows = []
    for name, (line, peer) in wanted.items():
        whole, nothing = _cpu(section.samples, name, "import"), _cpu(section.samples, f"nothing, peer={peer}", "import")
        cost = None if whole is None or nothing is None else whole - nothing
        section.figures[_key("import", name)] = None if cost is None else cost * 1e3
        rows.append((f"`{line}`", number(cost, 1e3)))
    section.tables.append(Table(title="cold import", columns=("", "CPU ms"), rows=rows))
    ours = section.figures[_key("import", "interlock")]
    section.aims.append(at_most("`import interlock` under 100 ms CPU", ours, 100, "ms"))


def _commands(section: Section, options: Options) -> None:
    samples = section.samples
    with tempfile.TemporaryDirectory(dir=HERE, prefix=".scratch-") as home:
        prepare = [sys.executable, "-m", "bench.ours_size", "finished", "--dir", home, "--count", str(IN_STORE)]
        if cost_of(prepare).exit_code:
            samples.trouble("`bench.ours_size finished` failed, so the store is empty.")
        for name, (words, answer) in COMMANDS.items():
            _check(samples, name, words, answer, home)
        for _ in range(3 if options.quick else 7):
            for name, (words, _) in COMMANDS.items():
                _sample(samples, name, "command", [*CLI, *words], {"INTERLOCK_HOME": home})
    rows = []
    for name in COMMANDS:
        wrong = any(says.startswith(f"`{name}`") for says in samples.troubles)
        cost = None if wrong else _cpu(samples, name, "command")
        section.figures[_key(name)] = None if cost is None else cost * 1e3
        rows.append((f"`{name}`", number(cost, 1e3)))
        section.aims.append(at_most(f"`{name}` under 200 ms CPU", cost, 0.2, "ms", scale=1e3))
    title = f"commands ({IN_STORE} runs in the store)"
    section.tables.append(Table(title=title, columns=("", "CPU ms"), rows=rows))


def _check(samples: Samples, name: str, words: list[str], answer: str, home: str) -> None:
    """A command that says nothing is quick, and worth nothing: look once what it says."""
    told = environment() | {"INTERLOCK_HOME": home}
    done = subprocess.run([*CLI, *words], cwd=ROOT, env=told, capture_output=True, text=True, timeout=60)
    if done.returncode or answer not in done.stdout:
        samples.trouble(f"`{name}` did not answer as it should (exit code {done.returncode}), and is not counted.")


@dataclass(frozen=True, kw_only=True)
class Grown:
    """How much a process grew while it had so many runs."""

    count: int
    grown_mb: float


def _memory(section: Section, options: Options) -> None:
    waiting = WAITING_QUICK if options.quick else WAITING
    flying = _grown(section, "flying", IN_FLIGHT, 1 if options.quick else 3)
    rested = _grown(section, "waiting", waiting, 1 if options.quick else 2)
    rows = [
        (name, f"{grown.count:,}", number(grown.grown_mb), number(grown.grown_mb * 2**20 / grown.count))
        for name, grown in (("in flight", flying), ("waiting", rested))
        if grown is not None
    ]
    section.tables.append(Table(title="memory", columns=("runs", "how many", "MB", "bytes a run"), rows=rows))
    grown_mb = None if flying is None else flying.grown_mb
    says = f"{IN_FLIGHT:,} runs in flight under 300 MB"
    section.aims.append(at_most(says, grown_mb, 300, "MB"))
    rested_mb = None if rested is None else rested.grown_mb
    says = f"{waiting:,} waiting runs cost no memory (at most {NOISE_MB:g} MB for all of them)"
    section.aims.append(at_most(says, rested_mb, NOISE_MB, "MB"))


def _grown(section: Section, phase: str, count: int, rounds: int) -> Grown | None:
    found = []
    for _ in range(rounds):
        with tempfile.TemporaryDirectory(dir=HERE, prefix=".scratch-") as home:
            argv = [sys.executable, "-m", "bench.ours_size", phase, "--dir", home, "--count", str(count)]
            done = subprocess.run(argv, cwd=ROOT, env=environment(), capture_output=True, text=True, timeout=600)
        if done.returncode:
            section.samples.trouble(f"`bench.ours_size {phase}` failed: {last_line(done.stderr)}")
            return None
        (line,) = json_lines(done.stdout)
        found.append(line["grown_mb"])
    section.figures[f"{phase}_{count}_mb"] = statistics.median(found)
    return Grown(count=count, grown_mb=statistics.median(found))
