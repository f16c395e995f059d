"""bench/journal: durable steps a second, safe against power loss, and what one costs."""

from __future__ import annotations

from bench.chart import Bar
from bench.measure import Contender, Options, Samples, empty_directory, interleave
from bench.report import Aim, Chart, Section, Table, at_least, at_most, number, ratio

OURS = "Interlock, SQLite"
LIMIT = "append-only file, group fsync"
LIMIT_TWICE = "append-only file, intent and outcome"
LOADS = (1, 32, 256)
HOW = (
    "Runs of 10 steps that do nothing and return about 200 bytes; 1, 32 and 256 runs at once; every step is safe "
    "against power loss before the next begins; all on the same disk. The limit appends to one file and shares an "
    "fdatasync between all who wait: once for a step's outcome, and for comparison twice, since Interlock writes the "
    'intent before an act as well. LangGraph: ten nodes, `AsyncSqliteSaver`, `durability="sync"`. DBOS: ten async '
    "steps on SQLite in WAL mode. Both with `synchronous=FULL`."
)


def measure(options: Options) -> Section:
    """Run all contenders and say how we stand."""
    samples = interleave(contenders(options), empty_directory)
    section = Section(name="journal", title="Durable steps", how=HOW, samples=samples)
    section.tables.append(_table(samples))
    section.charts.append(_chart(samples))
    section.figures = _figures(samples)
    section.aims = _aims(samples, section.figures)
    return section


def contenders(options: Options) -> list[Contender]:
    """Who takes part; the slow ones do fewer runs, and in a quick measurement only one round."""
    quick_or_not = 3 if options.quick else 5
    fast = ("--loads", "1:50,32:640,256:2560" if options.quick else "1:200,32:2560,256:10240")
    slow = ("--loads", "1:10,32:64,256:256" if options.quick else "1:30,32:128,256:512")
    found = [
        Contender(argv=("bench/peers/append_only.py", *fast), peer=False, rounds=quick_or_not),
        Contender(argv=("-m", "bench.ours_journal", *fast), peer=False, rounds=quick_or_not),
    ]
    if options.peers:
        rounds = 1 if options.quick else 3
        found += [
            Contender(argv=(f"bench/peers/{name}_journal.py", *slow), peer=True, rounds=rounds)
            for name in ("langgraph", "dbos")
        ]
    return found


def _rate(samples: Samples, name: str, load: int) -> float | None:
    return samples.median(name, f"steps_{load}", lambda sample: sample.per_second)


def _cpu(samples: Samples, name: str, load: int) -> float | None:
    return samples.median(name, f"steps_{load}", lambda sample: sample.cpu_each)


def _table(samples: Samples) -> Table:
    rows = []
    for name in samples.names():
        rates = [number(_rate(samples, name, load)) for load in LOADS]
        costs = number(_cpu(samples, name, LOADS[-1]), 1e6)
        against = number(ratio(_rate(samples, name, 256), _rate(samples, LIMIT, 256)))
        rows.append((f"{name} {samples.version(name)}".strip(), *rates, costs, against))
    columns = ("", "1 run", "32 runs", "256 runs", "CPU µs/step at 256", "of the limit at 256")
    return Table(title="steps a second", columns=columns, rows=rows)


def _chart(samples: Samples) -> Chart:
    rates = {name: _rate(samples, name, 256) or 0.0 for name in samples.names()}
    kinds = {OURS: "o", LIMIT: "l", LIMIT_TWICE: "l"}
    drawn = [
        Bar(label=name, value=rate, shown=number(rate), kind=kinds.get(name, "p"))
        for name, rate in sorted(rates.items(), key=lambda pair: -pair[1])
    ]
    return Chart(title="Durable steps, 256 runs at once", unit="steps/s", bars=drawn)


def _figures(samples: Samples) -> dict[str, float | None]:
    ours, limit = _rate(samples, OURS, 256), _rate(samples, LIMIT, 256)
    peers = [name for name in samples.names() if name not in (OURS, LIMIT, LIMIT_TWICE)]
    best = max((rate for name in peers if (rate := _rate(samples, name, 256))), default=None)
    return {
        "ours_of_limit_256": ratio(ours, limit),
        "ours_of_limit_with_intent_256": ratio(ours, _rate(samples, LIMIT_TWICE, 256)),
        "ours_over_best_peer_256": ratio(ours, best),
        "ours_cpu_us_per_step_256": _micros(_cpu(samples, OURS, 256)),
        "ours_cpu_us_per_step_1": _micros(_cpu(samples, OURS, 1)),
    }


def _micros(seconds: float | None) -> float | None:
    return None if seconds is None else seconds * 1e6


def _aims(samples: Samples, figures: dict[str, float | None]) -> list[Aim]:
    return [
        at_least("at least half of the raw limit at 256 runs", figures["ours_of_limit_256"], 0.5, "of the limit"),
        at_least("at least 20 times the best peer at 256 runs", figures["ours_over_best_peer_256"], 20, "times"),
        at_most("at most 150 µs CPU a step at 256 runs", figures["ours_cpu_us_per_step_256"], 150, "µs"),
    ]
