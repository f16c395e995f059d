"""Writes what was measured: JSON for machines, one Markdown page with bars for people."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from bench.chart import Bar, bars
from bench.measure import HERE, Options, Sample, Samples

RESULTS = HERE / "results"


@dataclass(frozen=True, kw_only=True)
class Aim:
    """Something the project set out to reach, and what this run found. Nothing fails when it is not met.

    Args:
        says: What is to be reached.
        found: What was measured, in the words of a table cell.
        met: Whether it is reached; None when it could not be measured.
    """

    says: str
    found: str
    met: bool | None

    @property
    def word(self) -> str:
        """The verdict as people read it."""
        return {True: "met", False: "not met", None: "not measured"}[self.met]


@dataclass(frozen=True, kw_only=True)
class Table:
    """One table: a heading, column names, rows of cells; the first column names the contender."""

    title: str
    columns: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]


@dataclass(frozen=True, kw_only=True)
class Chart:
    """One picture of bars, the longest on top."""

    title: str
    unit: str
    bars: list[Bar]


@dataclass(kw_only=True)
class Section:
    """Everything one benchmark found."""

    name: str
    title: str
    how: str
    samples: Samples = field(default_factory=Samples)
    aims: list[Aim] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    charts: list[Chart] = field(default_factory=list)
    figures: dict[str, float | None] = field(default_factory=dict)
    machine: dict[str, object] = field(default_factory=dict)
    took_s: float = 0.0


def at_most(says: str, value: float | None, limit: float, unit: str, scale: float = 1.0) -> Aim:
    """An aim that is met when the value is not above the limit. `scale` turns the value into the unit shown."""
    if value is None:
        return Aim(says=says, found="–", met=None)
    return Aim(says=says, found=f"{number(value * scale)} {unit}".strip(), met=value <= limit)


def at_least(says: str, value: float | None, limit: float, unit: str) -> Aim:
    """An aim that is met when the value is not below the limit."""
    if value is None:
        return Aim(says=says, found="–", met=None)
    return Aim(says=says, found=f"{number(value)} {unit}".strip(), met=value >= limit)


def ratio(over: float | None, under: float | None) -> float | None:
    """One measured value over another of the same run, or None when one is missing."""
    return over / under if over is not None and under else None


def number(value: float | None, scale: float = 1.0) -> str:
    """A number as wide as it needs to be: 12,345 · 123 · 12.3 · 1.23 · 0.123."""
    if value is None:
        return "–"
    value *= scale
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.3g}"


def write(section: Section, options: Options) -> Path:
    """Write `results/<name>.json`, `<name>.md` and its pictures; what other benchmarks wrote stays as it is."""
    RESULTS.mkdir(exist_ok=True)
    found = {
        "benchmark": section.name,
        "measured": time.strftime("%Y-%m-%d", time.gmtime()),
        "quick": options.quick,
        "peers": options.peers,
        "took_s": round(section.took_s),
        "machine": section.machine,
        "aims": [{"aim": aim.says, "found": aim.found, "verdict": aim.word} for aim in section.aims],
        "figures": {name: None if value is None else float(f"{value:.4g}") for name, value in section.figures.items()},
        "troubles": section.samples.troubles,
        "samples": [_rounded(sample) for sample in section.samples.taken],
    }
    (RESULTS / f"{section.name}.json").write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n")
    for at, chart in enumerate(section.charts, 1):
        (RESULTS / _picture(section, at)).write_text(bars(chart.title, chart.unit, chart.bars))
    page = RESULTS / f"{section.name}.md"
    page.write_text("\n".join(_page(section, options)).rstrip() + "\n")
    return page


def _rounded(sample: Sample) -> dict[str, object]:
    return asdict(sample) | {"wall_s": round(sample.wall_s, 6), "cpu_s": round(sample.cpu_s, 6)}


def _picture(section: Section, at: int) -> str:
    return f"{section.name}-{at}.svg"


def _page(section: Section, options: Options) -> list[str]:
    about = section.machine
    day = time.strftime("%Y-%m-%d", time.gmtime())
    how = " with `--quick`, so with few rounds," if options.quick else ""
    lines = [
        f"# {section.title}",
        "",
        section.how,
        "",
        f"Measured{how} on {day}: {about['cores']} cores, {about['memory_gb']} GB, {about['system']}, "
        f"Python {about['python']}, load {about['load_before']} before. Medians of interleaved runs; "
        "read the ratios, not the absolute figures ([how](../README.md)).",
        "",
    ]
    if section.aims:
        lines += _grid(("aim", "found", "verdict"), [(aim.says, aim.found, aim.word) for aim in section.aims])
    for table in section.tables:
        lines += [f"**{table.title}**", "", *_grid(table.columns, table.rows)]
    for at, chart in enumerate(section.charts, 1):
        lines += [f"![{chart.title}]({_picture(section, at)})", ""]
    return lines + [f"- {trouble}" for trouble in section.samples.troubles]


def _grid(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    line = "|".join("--:" if at else "---" for at in range(len(columns)))
    return [_row(columns), f"|{line}|", *[_row(row) for row in rows], ""]


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def as_text(section: Section) -> str:
    """A section for a terminal: the tables as plain columns, the aims with their verdicts."""
    lines = [section.title, ""]
    for table in section.tables:
        rows = [table.columns, *table.rows]
        widths = [max(len(row[at]) for row in rows) for at in range(len(table.columns))]
        lines.append(table.title)
        for row in rows:
            first = row[0].ljust(widths[0])
            lines.append("  " + "  ".join([first, *[c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=True)]]))
        lines.append("")
    lines += [f"  {aim.word:12}  {aim.says}: {aim.found}" for aim in section.aims]
    lines += [f"  trouble: {trouble}" for trouble in section.samples.troubles]
    return "\n".join([*lines, f"  ({section.took_s:.0f} s)", ""])
