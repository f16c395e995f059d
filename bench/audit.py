"""bench/audit: what it costs to have an entry for every fact, chained and signed, and to check 20,000 of them."""

from __future__ import annotations

from bench.measure import Contender, Options, Samples, empty_directory, interleave
from bench.ours_audit import ALONE, DIGESTS, WHOLE
from bench.report import Aim, Section, Table, at_most, number, ratio

HOW = (
    "Steps of three facts (a gate's answer with the intent, then the outcome with a result of about 200 bytes) by 256 "
    "runs at once, straight into the journal, every fact safe against power loss. With the audit log each fact has an "
    "entry in the same transaction, chained by hashes, and checkpoints are signed meanwhile. Results are in the "
    "entries as digests, or redacted with all rules, which is nearly all that the last line costs. Checking goes "
    "through chain, tree, signature, and the facts beside the log."
)


def measure(options: Options) -> Section:
    """Run the journal with and without the log and say how we stand."""
    samples = interleave([_contender(name, options) for name in (ALONE, DIGESTS, WHOLE)], empty_directory)
    section = Section(name="audit", title="Audit log", how=HOW, samples=samples)
    section.tables.append(_table(samples))
    section.figures = _figures(samples)
    section.aims = _aims(section.figures)
    return section


def _contender(name: str, options: Options) -> Contender:
    steps = "6000" if options.quick else "20000"
    argv = ("-m", "bench.ours_audit", "--name", name, "--steps", steps)
    return Contender(argv=argv, peer=False, rounds=3 if options.quick else 5)


def _rate(samples: Samples, name: str) -> float | None:
    return samples.median(name, "facts", lambda sample: sample.per_second)


def _cpu(samples: Samples, name: str) -> float | None:
    return samples.median(name, "facts", lambda sample: sample.cpu_each)


def _table(samples: Samples) -> Table:
    rows = []
    for name in samples.names():
        rate, cost = _rate(samples, name), _cpu(samples, name)
        rows.append((name, number(rate), number(cost, 1e6), number(ratio(rate, _rate(samples, ALONE)))))
    return Table(title="facts a second", columns=("", "facts/s", "CPU µs/fact", "of the journal alone"), rows=rows)


def _figures(samples: Samples) -> dict[str, float | None]:
    alone, digests, whole = (_cpu(samples, name) for name in (ALONE, DIGESTS, WHOLE))
    verify = samples.median(DIGESTS, "verify", lambda sample: sample.wall_s)
    return {
        "audited_of_journal": ratio(_rate(samples, DIGESTS), _rate(samples, ALONE)),
        "audited_with_results_of_journal": ratio(_rate(samples, WHOLE), _rate(samples, ALONE)),
        "added_cpu_us": (digests - alone) * 1e6 if digests is not None and alone is not None else None,
        "added_cpu_us_with_results": (whole - alone) * 1e6 if whole is not None and alone is not None else None,
        "entries_per_second": _rate(samples, DIGESTS),
        "verify_20000_s": verify,
    }


def _aims(figures: dict[str, float | None]) -> list[Aim]:
    return [
        at_most("an entry adds at most 15 µs CPU to a fact", figures["added_cpu_us"], 15, "µs"),
        at_most("20,000 entries are checked in a second", figures["verify_20000_s"], 1, "s"),
    ]
