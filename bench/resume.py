"""bench/resume: a run with many finished steps is killed; how long until its next step in a new process."""

from __future__ import annotations

import statistics
import subprocess
import tempfile
import time
from dataclasses import dataclass

from bench.measure import HERE, ROOT, Contender, Options, Sample, Samples, environment, json_lines, last_line, python
from bench.report import Section, Table, at_most, number

STEPS = 10_000
LIMIT_S = 600
HOW = (
    f"A run finishes {STEPS:,} steps and is killed with SIGKILL in the next one. A new process resumes it. Counted is "
    "the time from the request to resume until the next step's code runs; beside it, with the start of that process."
)


def measure(options: Options) -> Section:
    """Kill and resume, ours a few times, DBOS once and only when there is time."""
    section = Section(name="resume", title="Going on after a kill", how=HOW)
    times = 2 if options.quick else 3
    contenders = [Contender(argv=("-m", "bench.ours_resume"), peer=False, rounds=times)]
    if options.peers and not options.quick:
        contenders.append(Contender(argv=("bench/peers/dbos_resume.py",), peer=True, rounds=1))
    found = [_resumed(contender, section.samples) for contender in contenders for _ in range(contender.rounds)]
    rows = []
    for name in dict.fromkeys(one.name for one in found if one):
        mine = [one for one in found if one and one.name == name]
        asked, started, filled = (
            statistics.median(getattr(one, what) for one in mine) for what in ("asked_s", "started_s", "fill_s")
        )
        rows.append((f"{name} {mine[0].version}".strip(), number(asked), number(started), number(filled)))
        section.figures[f"{name}: s to the next step"] = asked
    columns = ("", "s to the next step", "s with the start of the process", "s to do the steps first")
    section.tables.append(Table(title=f"a run of {STEPS:,} finished steps", columns=columns, rows=rows))
    ours = section.figures.get("Interlock, SQLite: s to the next step")
    section.aims.append(at_most("under 1 s to the next step of a run with 10,000 finished steps", ours, 1.0, "s"))
    return section


@dataclass(frozen=True, kw_only=True)
class Resumed:
    """One kill and what followed: seconds from the request, from the start of the process, and of the filling."""

    name: str
    version: str
    asked_s: float
    started_s: float
    fill_s: float


def _resumed(contender: Contender, samples: Samples) -> Resumed | None:
    with tempfile.TemporaryDirectory(dir=HERE, prefix=".scratch-") as directory:
        try:
            fill_s = _fill_and_kill(contender, directory)
            return _resume(contender, directory, fill_s, samples)
        except (subprocess.SubprocessError, RuntimeError, ValueError, KeyError) as error:
            samples.trouble(f"`{' '.join(contender.argv)}` failed: {last_line(str(error))}")
            return None


def _command(contender: Contender, phase: str, directory: str) -> list[str]:
    return [python(contender.peer), *contender.argv, phase, "--dir", directory, "--steps", str(STEPS)]


def _fill_and_kill(contender: Contender, directory: str) -> float:
    start = time.perf_counter()
    child = subprocess.Popen(
        _command(contender, "fill", directory),
        cwd=ROOT,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert child.stdout is not None
        while (line := child.stdout.readline()) != "READY\n":
            if not line:
                raise RuntimeError(last_line(child.communicate(timeout=10)[1]))
        return time.perf_counter() - start
    finally:
        child.kill()
        child.communicate()


def _resume(contender: Contender, directory: str, fill_s: float, samples: Samples) -> Resumed:
    started = time.time()
    argv = _command(contender, "resume", directory)
    done = subprocess.run(argv, cwd=ROOT, env=environment(), capture_output=True, text=True, timeout=LIMIT_S)
    if done.returncode:
        raise RuntimeError(last_line(done.stderr))
    (line,) = json_lines(done.stdout)
    next_step, asked = line["next_step_at"], line["asked_at"]
    name, version = line["name"], line["version"]
    wall, cpu = next_step - asked, line["cpu_s"]
    samples.taken.append(Sample(name=name, version=version, measure="resume", count=1, wall_s=wall, cpu_s=cpu))
    return Resumed(name=name, version=version, asked_s=wall, started_s=next_step - started, fill_s=fill_s)
