"""bench/call: what a governed model call costs, and how many a second one process makes."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator

from bench.chart import Bar
from bench.measure import ROOT, Contender, Options, Samples, environment, interleave
from bench.report import Aim, Chart, Section, Table, at_least, at_most, number, ratio

APIS = ("chat", "responses", "messages")
SDKS = {"chat": "openai SDK, chat", "responses": "openai SDK, responses", "messages": "anthropic SDK, messages"}
OURS = {api: f"Interlock, {api}" for api in APIS}
RAW = "raw aiohttp"
FRAMEWORKS = ("Pydantic AI, chat", "OpenAI Agents SDK, chat", "LangGraph create_agent, chat")
MEASURES = ("one", "tools", "load")
HOW = (
    "Every contender talks to the same local server, which answers at once with bodies made beforehand and runs in a "
    "process of its own; only the client's CPU is counted. Ours is the whole way: a task is routed, judged, journaled "
    "safe against power loss, priced and recorded. The others keep nothing. With 256 tasks at 50 ms no client can make "
    "more than 5,120 calls a second."
)


def measure(options: Options) -> Section:
    """Run all contenders against one server and say how we stand."""
    with server() as url:
        samples = interleave(contenders(options), lambda _: contextlib.nullcontext(["--url", url]))
    section = Section(name="call", title="A model call", how=HOW, samples=samples)
    section.tables.append(_table(samples))
    section.charts += [_chart(samples, "one", "CPU of one call"), _chart(samples, "tools", "CPU of five tool calls")]
    section.figures = _figures(samples)
    section.aims = _aims(samples)
    return section


@contextlib.contextmanager
def server() -> Iterator[str]:
    """The model server's address, for as long as the block lasts."""
    argv = [sys.executable, "-m", "bench.server"]
    child = subprocess.Popen(argv, cwd=ROOT, env=environment(), stdout=subprocess.PIPE, text=True)
    try:
        assert child.stdout is not None
        yield child.stdout.readline().strip()
    finally:
        child.kill()
        child.wait()


def contenders(options: Options) -> list[Contender]:
    """Who takes part; in a quick measurement the frameworks take one round."""
    rounds = 2 if options.quick else 5
    few = ("--one", "100", "--tools", "16") if options.quick else ("--one", "200", "--tools", "40")
    load = "512" if options.quick else "1024"
    script = "bench/peers/vendor_sdk.py"
    found = [Contender(argv=("bench/peers/raw_aiohttp.py", *few, "--load", "2560"), peer=False, rounds=rounds)]
    for api in APIS:
        sdk, ours = (script, "--api", api, *few), ("-m", "bench.ours_call", "--api", api, *few)
        found.append(Contender(argv=(*sdk, "--load", load), peer=False, rounds=rounds))
        found.append(Contender(argv=(*ours, "--load", "1024"), peer=False, rounds=rounds))
    if options.peers:
        found += [
            Contender(argv=(f"bench/peers/{name}_call.py", *few, "--load", load), peer=True, rounds=max(1, rounds - 2))
            for name in ("pydantic_ai", "openai_agents", "langgraph")
        ]
    return found


def _cpu(samples: Samples, name: str, measure_name: str) -> float | None:
    return samples.median(name, measure_name, lambda sample: sample.cpu_each)


def _rate(samples: Samples, name: str) -> float | None:
    return samples.median(name, "load", lambda sample: sample.per_second)


def _table(samples: Samples) -> Table:
    rows = []
    for name in samples.names():
        costs = [number(_cpu(samples, name, what), 1e3) for what in ("one", "tools")]
        against = number(ratio(_cpu(samples, name, "one"), _cpu(samples, RAW, "one")))
        row = (*costs, number(_rate(samples, name)), number(_cpu(samples, name, "load"), 1e3), against)
        rows.append((f"{name} {samples.version(name)}".strip(), *row))
    columns = ("", "one call, CPU ms", "five tool calls, CPU ms", "calls/s at 256", "CPU ms each at 256", "one, vs raw")
    return Table(title="what a call costs the client", columns=columns, rows=rows)


def _chart(samples: Samples, what: str, title: str) -> Chart:
    costs = {name: _cpu(samples, name, what) or 0.0 for name in samples.names()}
    kinds = {RAW: "l"} | dict.fromkeys(OURS.values(), "o")
    drawn = [
        Bar(label=name, value=cost, shown=number(cost, 1e3), kind=kinds.get(name, "p"))
        for name, cost in sorted(costs.items(), key=lambda pair: pair[1])
    ]
    return Chart(title=title, unit="ms, less is better", bars=drawn)


def _figures(samples: Samples) -> dict[str, float | None]:
    found: dict[str, float | None] = {}
    for api in APIS:
        for what in ("one", "tools"):
            pair = _cpu(samples, OURS[api], what), _cpu(samples, SDKS[api], what)
            found[f"ours_over_sdk_{what}_{api}"] = ratio(*pair)
        found[f"ours_over_sdk_rate_{api}"] = ratio(_rate(samples, OURS[api]), _rate(samples, SDKS[api]))
    for name in FRAMEWORKS:
        word = name.split(",", 1)[0].lower().replace(" ", "_")
        for what in ("one", "tools"):
            found[f"{word}_over_ours_{what}"] = ratio(_cpu(samples, name, what), _cpu(samples, OURS["chat"], what))
        found[f"ours_over_{word}_rate"] = ratio(_rate(samples, OURS["chat"]), _rate(samples, name))
    return found


def _aims(samples: Samples) -> list[Aim]:
    aims = []
    for api in APIS:
        sdk = SDKS[api].split(",", 1)[0]
        for what, words in (("one", "one call"), ("tools", "five tool calls")):
            says = f"{api}: {words} for no more CPU than the {sdk} as it comes"
            mine, theirs = _cpu(samples, OURS[api], what), _cpu(samples, SDKS[api], what)
            aims.append(at_most(says, ratio(mine, theirs), 1.0, "of its CPU"))
        rates = _rate(samples, OURS[api]), _rate(samples, SDKS[api])
        aims.append(at_least(f"{api}: as many calls a second at 256 as the {sdk}", ratio(*rates), 1.0, "times as many"))
    for what, words in (("one", "one call"), ("tools", "five tool calls"), ("load", "a call at 256 tasks")):
        least = min((cost for name in FRAMEWORKS if (cost := _cpu(samples, name, what))), default=None)
        says = f"chat: {words} for less CPU than every framework"
        aims.append(at_most(says, ratio(_cpu(samples, OURS["chat"], what), least), 1.0, "of the best one's CPU"))
    return aims
