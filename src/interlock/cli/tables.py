"""Tables for terminals, drawn by rich, which is imported for nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from interlock.cli.wording import Cell

_STYLES = {"good": "green", "bad": "red", "warn": "yellow", "accent": "cyan", "dim": "dim", "bold": "bold", "": ""}
_GAP = 2
#: Columns of the terminal that the last column wants; for less, spare columns are left out.
_ENOUGH = 24


def aligned(
    headers: Sequence[str],
    rows: Sequence[Sequence[Cell]],
    *,
    width: int,
    colored: bool,
    wrap: bool = False,
    spare: Sequence[str] = (),
) -> str:
    """A table as lines of text. Only the last column gives way; the others are always whole.

    Args:
        headers: The columns' names.
        rows: Clean one-line cells, one for each column; at least one row.
        width: Columns of the terminal.
        colored: Whether to use colour.
        wrap: Whether the last column goes on in the next line instead of being cut.
        spare: Columns to leave out where the terminal is narrow, the first ones first.
    """
    kept = _kept(headers, rows, width, spare)
    widths = [_widest(headers, rows, number) for number in kept]
    left = max(width - sum(widths[:-1]) - _GAP * (len(kept) - 1), min(_ENOUGH, widths[-1]))
    table = Table(box=None, pad_edge=False, padding=(0, _GAP, 0, 0), header_style=_STYLES["dim"])
    for number, needs in zip(kept, [*widths[:-1], min(left, widths[-1])], strict=True):
        last = number == kept[-1]
        table.add_column(headers[number], no_wrap=not (last and wrap), overflow="ellipsis", width=needs)
    for row in rows:
        table.add_row(*(Text(row[number].people, style=_STYLES[row[number].style]) for number in kept))
    system: Literal["standard"] | None = "standard" if colored else None
    # A table that does not fit is left to the terminal to wrap: half an id is no id.
    console = Console(
        width=max(width, sum(widths[:-1]) + left + _GAP * len(kept)),
        color_system=system,
        force_terminal=colored,
        highlight=False,
    )
    with console.capture() as captured:
        console.print(table)
    return "".join(f"{line.rstrip()}\n" for line in captured.get().splitlines())


def _kept(headers: Sequence[str], rows: Sequence[Sequence[Cell]], width: int, spare: Sequence[str]) -> list[int]:
    """The columns that are shown."""
    kept = list(range(len(headers)))
    for name in spare:
        room = width - sum(_widest(headers, rows, number) + _GAP for number in kept[:-1])
        if room >= _ENOUGH:
            break
        kept.remove(headers.index(name))
    return kept


def _widest(headers: Sequence[str], rows: Sequence[Sequence[Cell]], number: int) -> int:
    return max(cell_len(headers[number]), *(cell_len(row[number].people) for row in rows))
