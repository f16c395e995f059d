"""The section of the settings about the audit log."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from msgspec import Meta

Days = Annotated[int, Meta(ge=1, le=36_500, description="a whole number of days from 1 to 36,500")]
Lag = Annotated[float, Meta(ge=1, le=86_400, description="a number of seconds from 1 to 86,400")]


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditSettings:
    """`[audit]`: where the audit log goes besides the store, and what is in it.

    Args:
        destination: `s3://bucket/prefix`, `gs://...`, `az://...`, a folder, `logger`, or `store` for the store alone.
        include_context: Whether tasks, arguments and what people were shown are in the entries.
        include_results: Whether results are in the entries, bounded; without, only their digests are.
        retention_days: Entries that are older, signed and sent are let go of.
        max_lag: Seconds the destination may fail or be behind before new work is refused.
    """

    destination: str = "store"
    include_context: bool = True
    include_results: bool = True
    retention_days: Days = 365
    max_lag: Lag = 30.0
