"""The SQL of the journal: numbered migrations and named queries, read from the files beside this one."""

from __future__ import annotations

import re
from importlib import resources

_NAMED = re.compile(r"^-- name: (\w+)\s*$", re.MULTILINE)


def queries() -> dict[str, str]:
    """The queries of `queries.sql` by name."""
    parts = _NAMED.split(_text("queries.sql"))
    return {name: body.strip().rstrip(";") for name, body in zip(parts[1::2], parts[2::2], strict=True)}


def migrations() -> dict[int, str]:
    """The migrations by their numbers, in order; the last number is the version of the schema."""
    here = resources.files(__name__)
    names = sorted(entry.name for entry in here.iterdir() if re.fullmatch(r"\d{4}_\w+\.sql", entry.name))
    return {int(name[:4]): _text(name) for name in names}


def _text(name: str) -> str:
    return resources.files(__name__).joinpath(name).read_text(encoding="utf-8")
