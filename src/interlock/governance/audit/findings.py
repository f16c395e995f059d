"""What checking a log brings to light, as people and programs read it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from interlock.governance.audit.checkpoint import Checkpoint


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Something that is wrong.

    Args:
        n: The entry it is about, where it is about one.
        kind: edited, chain, moved, missing, damaged, junk, cut, rewritten, signature, proof, checkpoints, fact.
        says: One sentence.
    """

    n: int | None
    kind: str
    says: str


@dataclass(slots=True, kw_only=True)
class Report:
    """What was looked at, and what was found.

    Args:
        entries: How many entries were read.
        first: The first of them.
        last: The last of them.
        root: The root of the tree over all entries ever, in hexadecimal; empty where some are missing.
        matching: The checkpoints that the log agrees with.
        mismatched: How many it does not agree with.
        uncompared: How many could not be compared, since entries are missing.
        twice: How many entries were there twice, unchanged.
        findings: What is wrong.
        notes: What is not wrong but should be known.
    """

    entries: int = 0
    first: int = 0
    last: int = 0
    root: str = ""
    matching: list[Checkpoint] = field(default_factory=list)
    mismatched: int = 0
    uncompared: int = 0
    twice: int = 0
    findings: list[Finding] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return not self.findings

    @property
    def signed(self) -> int:
        """Up to which entry the log is what was signed."""
        return max((one.size for one in self.matching), default=0)

    @property
    def unsigned(self) -> int:
        """How many entries at the end no checkpoint covers."""
        return max(0, self.last - max(self.signed, self.first - 1))

    def to_json(self) -> dict[str, Any]:
        """The report as JSON."""
        return {
            "ok": self.ok,
            "entries": self.entries,
            "first": self.first,
            "last": self.last,
            "root": self.root,
            "checkpoints": len(self.matching),
            "signed_to": self.signed,
            "unsigned": self.unsigned,
            "findings": [{"entry": one.n, "kind": one.kind, "says": one.says} for one in self.findings],
            "notes": list(self.notes),
        }
