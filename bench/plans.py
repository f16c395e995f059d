"""bench/plans: how many steps of a plan are carried out a second, and how close a fan-out comes to its ideal."""

from __future__ import annotations

from bench.chart import Bar
from bench.measure import Contender, Options, Samples, empty_directory, interleave
from bench.report import Aim, Chart, Section, Table, at_least, at_most, number, ratio

OURS = "Interlock"
LIMIT = "append-only file, synced for each row"
NOT_PEERS = (OURS, "Interlock, a tool in each step", LIMIT)
SHAPES = ("wide", "deep", "diamonds")
FAN_OUT, PAUSE_S = 500, 0.2
#: Seconds that the fan-out takes at best: all at once, and a tenth of them at once.
IDEAL = {"fan_out": PAUSE_S, "fan_out_in_turns": 10 * PAUSE_S}
HOW = (
    "One run of one plan of 1,000 steps that do nothing: all independent (wide), a chain (deep), and diamonds of 1, 8 "
    "and 1 in a row. Every step is safe against power loss before what builds on it begins; all on the same disk. "
    "Ours is `Platform.execute` with gate, audit log and redaction: once as the peers do it, a step being one durable "
    "act, and once with a tool in each step, whose call is a governed durable act of its own. LangGraph: a node for "
    'each step, `AsyncSqliteSaver`, `durability="sync"`. DBOS: async steps, those that may run at once gathered. Both '
    "SQLite with `synchronous=FULL`. The limit writes the intents of a row of steps with one sync and does nothing "
    "else; in a chain that is one sync a step, which nobody can do without. "
    f"The fan-out is {FAN_OUT} steps that wait {PAUSE_S} s each, all at once and {FAN_OUT // 10} at once."
)


def measure(options: Options) -> Section:
    """Run all contenders and say how we stand."""
    samples = interleave(contenders(options), empty_directory)
    section = Section(name="plans", title="Plans", how=HOW, samples=samples)
    section.tables += [_rates(samples), _costs(samples), _fan_outs(samples)]
    section.charts.append(_chart(samples))
    section.figures = _figures(samples)
    section.aims = _aims(section.figures)
    return section


def contenders(options: Options) -> list[Contender]:
    """Who takes part."""
    shapes = ("--shapes", ",".join(f"{name}:1000" for name in SHAPES))
    more = ("--fan-out", str(FAN_OUT), "--pause", str(PAUSE_S))
    rounds = 3 if options.quick else 5
    found = [
        Contender(argv=("bench/peers/synced_plans.py", *shapes, *more), peer=False, rounds=rounds),
        Contender(argv=("-m", "bench.ours_plans", *shapes, *more), peer=False, rounds=rounds),
    ]
    if options.peers:
        found += [
            Contender(
                argv=(f"bench/peers/{name}_plans.py", *shapes, *more), peer=True, rounds=1 if options.quick else 3
            )
            for name in ("langgraph", "dbos")
        ]
    return found


def _rate(samples: Samples, name: str, shape: str) -> float | None:
    return samples.median(name, shape, lambda sample: sample.per_second)


def _cpu(samples: Samples, name: str, shape: str) -> float | None:
    return samples.median(name, shape, lambda sample: sample.cpu_each)


def _seconds(samples: Samples, name: str, measure: str) -> float | None:
    return samples.median(name, measure, lambda sample: sample.wall_s)


def _label(samples: Samples, name: str) -> str:
    return f"{name} {samples.version(name)}".strip()


def _rates(samples: Samples) -> Table:
    rows = [
        (_label(samples, name), *[number(_rate(samples, name, shape)) for shape in SHAPES]) for name in samples.names()
    ]
    return Table(title="steps a second", columns=("", *SHAPES), rows=rows)


def _costs(samples: Samples) -> Table:
    rows = [
        (_label(samples, name), *[number(_cpu(samples, name, shape), 1e6) for shape in SHAPES])
        for name in samples.names()
    ]
    return Table(title="CPU µs a step", columns=("", *SHAPES), rows=rows)


def _fan_outs(samples: Samples) -> Table:
    rows = [
        (_label(samples, name), *[number(_seconds(samples, name, measure)) for measure in IDEAL])
        for name in samples.names()
    ]
    rows.append(("the ideal", *[number(seconds) for seconds in IDEAL.values()]))
    columns = ("", f"{FAN_OUT} at once", f"{FAN_OUT // 10} at once")
    return Table(title=f"seconds for {FAN_OUT} steps of {PAUSE_S} s", columns=columns, rows=rows)


def _chart(samples: Samples) -> Chart:
    rates = {name: _rate(samples, name, "diamonds") or 0.0 for name in samples.names()}
    kinds = {LIMIT: "l"}
    drawn = [
        Bar(label=name, value=rate, shown=number(rate), kind=kinds.get(name, "o" if name in NOT_PEERS else "p"))
        for name, rate in sorted(rates.items(), key=lambda pair: -pair[1])
    ]
    return Chart(title="Diamonds of 1, 8 and 1 steps in a row", unit="steps/s", bars=drawn)


def _figures(samples: Samples) -> dict[str, float | None]:
    peers = [name for name in samples.names() if name not in NOT_PEERS]
    found: dict[str, float | None] = {}
    for shape in SHAPES:
        best = max((rate for name in peers if (rate := _rate(samples, name, shape))), default=None)
        least = min((cpu for name in peers if (cpu := _cpu(samples, name, shape))), default=None)
        found[f"ours_over_best_peer_{shape}"] = ratio(_rate(samples, OURS, shape), best)
        found[f"best_peer_cpu_over_ours_{shape}"] = ratio(least, _cpu(samples, OURS, shape))
        found[f"ours_of_limit_{shape}"] = ratio(_rate(samples, OURS, shape), _rate(samples, LIMIT, shape))
    for measure, ideal in IDEAL.items():
        found[f"{measure}_over_ideal"] = ratio(_seconds(samples, OURS, measure), ideal)
    return found


def _aims(figures: dict[str, float | None]) -> list[Aim]:
    aims = [
        at_least(f"{shape}: at least 20 times the best peer", figures[f"ours_over_best_peer_{shape}"], 20, "times")
        for shape in SHAPES
    ]
    aims += [
        at_most(f"{said}: within 10 % of the ideal", figures[f"{measure}_over_ideal"], 1.1, "times")
        for measure, said in (("fan_out", f"{FAN_OUT} at once"), ("fan_out_in_turns", f"{FAN_OUT // 10} at once"))
    ]
    return aims
