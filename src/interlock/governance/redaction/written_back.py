"""Markers that would be written: who writes a redacted file again would put them in the place of the secrets."""

from __future__ import annotations

from interlock.governance.redaction.findings import MARKER
from interlock.governance.redaction.linear import linear
from interlock.records.verdict import Act, Effect, Verdict

#: The tools that write texts, and the argument with the text.
_WRITERS = {"files_write": "content"}


def judge_markers(act: Act) -> Verdict | None:
    """A block for a write whose text holds a marker; None for everything else. Gets `tool` acts."""
    text = str(act.arguments.get(_WRITERS.get(act.name, ""), ""))
    if "[REDACTED" not in text or not linear(MARKER).search(text.encode("utf-8", "surrogatepass")):
        return None
    return Verdict(
        effect=Effect.BLOCK,
        rule="redaction.marker",
        reason="The text holds the place of a hidden secret; writing it would destroy the secret. Change other lines.",
    )
