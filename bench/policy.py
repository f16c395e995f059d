"""bench/policy: how long the verdict on a command takes, and what the whole gate adds to a call."""

from __future__ import annotations

import contextlib
import statistics
from collections.abc import Iterator

from bench.measure import Contender, Options, Samples, interleave
from bench.ours_policy import COMMANDS, NAME, PARSER
from bench.report import Section, Table, at_most, number, ratio

GATES = ("a task", "a model call", "a tool call with its result", "a command with its result", "a SQL statement")
HOW = (
    "`examples/policy.toml`, fifty rules with four guardrails beside them. A verdict reads the text with our lexer, "
    "judges every command in it and has a second parser agree; the limit is that second parser alone, which nobody who "
    "wants two readings can do without. A pass of the gate is every rule that has a say about an act, called as the "
    "engine calls it."
)


def measure(options: Options) -> Section:
    """Judge commands and acts, and say how we stand."""
    times = "200" if options.quick else "1000"
    contender = Contender(
        argv=("-m", "bench.ours_policy", "--times", times), peer=False, rounds=1 if options.quick else 5
    )
    samples = interleave([contender], _nothing)
    section = Section(name="policy", title="Policy", how=HOW, samples=samples)
    section.tables += [_verdicts(samples), _gates(samples)]
    verdicts = [cost for text in COMMANDS if (cost := _cost(samples, NAME, f"verdict: {text}")) is not None]
    gates = {name: _cost(samples, NAME, f"gate: {name}") for name in GATES}
    median = statistics.median(verdicts) if len(verdicts) == len(COMMANDS) else None
    section.figures = {"verdict_median_us": None if median is None else median * 1e6}
    section.figures |= {f"gate {name} us": None if cost is None else cost * 1e6 for name, cost in gates.items()}
    known = [cost for name, cost in gates.items() if cost is not None and name != "a SQL statement"]
    section.aims = [
        at_most("a verdict under 150 µs in the median", median, 150e-6, "µs CPU", scale=1e6),
        at_most("the gate adds at most 0.3 ms to a call", max(known, default=None), 0.3e-3, "ms CPU", scale=1e3),
    ]
    return section


@contextlib.contextmanager
def _nothing(_: Contender) -> Iterator[list[str]]:
    yield []


def _cost(samples: Samples, name: str, measure: str) -> float | None:
    return samples.median(name, measure, lambda sample: sample.cpu_each)


def _verdicts(samples: Samples) -> Table:
    rows = []
    for text in COMMANDS:
        ours, limit = (_cost(samples, name, f"verdict: {text}") for name in (NAME, PARSER))
        shown = "`" + text.replace("|", "\\|") + "`"
        rows.append((shown, number(ours, 1e6), number(limit, 1e6), number(ratio(ours, limit))))
    return Table(title="CPU µs", columns=("command", "verdict", "second parser", "times it"), rows=rows)


def _gates(samples: Samples) -> Table:
    rows = [(name, number(_cost(samples, NAME, f"gate: {name}"), 1e6)) for name in GATES]
    return Table(title="CPU µs", columns=("the whole gate for", "takes"), rows=rows)
