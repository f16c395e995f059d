"""`python -m bench [benchmark ...] [--quick] [--no-peers]`: measure, print, and write bench/results/."""

from __future__ import annotations

import argparse
import sys
import time

from bench import audit, call, journal, plans, policy, redaction, resume, size
from bench.measure import ROOT, Options, machine, make_peers
from bench.report import as_text, write

BENCHMARKS = {
    "journal": journal.measure,
    "call": call.measure,
    "resume": resume.measure,
    "size": size.measure,
    "redaction": redaction.measure,
    "policy": policy.measure,
    "audit": audit.measure,
    "plans": plans.measure,
}


def main(argv: list[str] | None = None) -> int:
    """Measure what was asked for. Returns 0 whatever was found: a figure is no verdict on a loaded machine."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("which", nargs="*", metavar="benchmark", help=f"any of {', '.join(BENCHMARKS)}; all if none")
    parser.add_argument("--quick", action="store_true", help="few rounds; everything in about three minutes")
    parser.add_argument("--no-peers", action="store_true", help="only us, the vendor SDKs and the physical limits")
    found = parser.parse_args(argv)
    unknown = [name for name in found.which if name not in BENCHMARKS]
    if unknown:
        parser.error(f"no benchmark {unknown[0]!r}; there are {', '.join(BENCHMARKS)}")
    peers = not found.no_peers and make_peers()
    if not peers and not found.no_peers:
        print("the peers could not be installed; measuring without them", file=sys.stderr)
    options = Options(quick=found.quick, peers=peers)
    for name in found.which or BENCHMARKS:
        about, start = machine(), time.perf_counter()
        section = BENCHMARKS[name](options)
        section.machine, section.took_s = about, time.perf_counter() - start
        print(as_text(section), flush=True)
        print(f"written: {write(section, options).relative_to(ROOT)}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
