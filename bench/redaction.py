"""bench/redaction: how long the redactor takes for a megabyte of text, and for a piece of a stream."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from bench.measure import Contender, Options, Samples, interleave
from bench.ours_redaction import NAME, ONE_PASS
from bench.report import Section, Table, at_most, number, ratio

KINDS = ("log", "settings", "code", "prose", "json", "base64")
STREAM = "piece of a stream"
HOW = (
    "One megabyte of each kind of text through a redactor that knows twenty values, with all rules; settings hold two "
    "secrets every forty entries. The limit is what any rule costs at least: one pass of RE2 that finds nothing. The "
    "stream is a log in pieces of four characters."
)


def measure(options: Options) -> Section:
    """Run the redactor over every kind of text and say how we stand."""
    samples = interleave([_contender(options)], _nothing)
    section = Section(name="redaction", title="Redaction", how=HOW, samples=samples)
    section.tables.append(_table(samples))
    costs = {kind: samples.median(NAME, kind, lambda sample: sample.cpu_each) for kind in KINDS}
    piece = samples.median(NAME, STREAM, lambda sample: sample.cpu_each)
    section.figures = {f"{kind}_ms": None if cost is None else cost * 1e3 for kind, cost in costs.items()}
    section.figures["stream_piece_us"] = None if piece is None else piece * 1e6
    known = [cost for cost in costs.values() if cost is not None]
    worst = max(known) if len(known) == len(KINDS) else None
    section.aims = [at_most("1 MB of any kind under 300 ms", worst, 0.3, "ms CPU for the slowest", scale=1e3)]
    return section


def _contender(options: Options) -> Contender:
    times = "2" if options.quick else "5"
    return Contender(
        argv=("-m", "bench.ours_redaction", "--times", times), peer=False, rounds=1 if options.quick else 3
    )


@contextlib.contextmanager
def _nothing(_: Contender) -> Iterator[list[str]]:
    yield []


def _table(samples: Samples) -> Table:
    rows = []
    for kind in KINDS:
        ours, limit = (samples.median(name, kind, lambda sample: sample.cpu_each) for name in (NAME, ONE_PASS))
        rows.append((kind, number(ours, 1e3), number(limit, 1e3), number(ratio(ours, limit))))
    piece = samples.median(NAME, STREAM, lambda sample: sample.cpu_each)
    rows.append((STREAM, number(piece, 1e3), "–", "–"))
    return Table(title="CPU ms", columns=("1 MB of", "redacted", "one pass", "passes it costs"), rows=rows)
