"""Draws horizontal bars on a logarithmic scale as an SVG that reads in light and in dark."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

ROW, LEFT, WIDTH, RIGHT, TOP = 26, 270, 400, 90, 34
STYLE = (
    "text{font:13px system-ui,sans-serif;fill:#1f2328}.t{font-weight:600}.v{fill:#59636e}"
    ".p{fill:#8c959f}.o{fill:#0969da}.l{fill:#1a7f37}"
    "@media(prefers-color-scheme:dark){text{fill:#f0f6fc}.v{fill:#9198a1}.p{fill:#6e7681}.o{fill:#4493f8}.l{fill:#3fb950}}"
)


@dataclass(frozen=True, kw_only=True)
class Bar:
    """One bar. `kind` colours it: o for ours, l for a physical limit, p for a peer."""

    label: str
    value: float
    shown: str
    kind: str = "p"


def bars(title: str, unit: str, rows: Sequence[Bar]) -> str:
    """The picture as SVG text. The scale is logarithmic and starts a little below the smallest value."""
    rows = [row for row in rows if row.value > 0]
    height = TOP + ROW * len(rows) + 10
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {LEFT + WIDTH + RIGHT} {height}" role="img">',
        f"<title>{escape(title)}, {escape(unit)}, logarithmic scale</title><style>{STYLE}</style>",
        f'<text x="8" y="20" class="t">{escape(title)}</text>',
        f'<text x="{LEFT + WIDTH + RIGHT - 8}" y="20" text-anchor="end" class="v">{escape(unit)}, log scale</text>',
    ]
    for at, row in enumerate(rows):
        y = TOP + ROW * at
        length = _length(row.value, rows)
        lines += [
            f'<text x="{LEFT - 10}" y="{y + 16}" text-anchor="end">{escape(row.label)}</text>',
            f'<rect x="{LEFT}" y="{y + 3}" width="{length:.0f}" height="{ROW - 8}" rx="3" class="{row.kind}"/>',
            f'<text x="{LEFT + length + 8:.0f}" y="{y + 16}" class="v">{escape(row.shown)}</text>',
        ]
    return "\n".join([*lines, "</svg>", ""])


def _length(value: float, rows: Sequence[Bar]) -> float:
    low = math.log10(min(row.value for row in rows)) - 0.3
    high = math.log10(max(row.value for row in rows))
    return WIDTH * (math.log10(value) - low) / (high - low)
