"""Redaction: secrets and personal data leave no text, in plain or encoded, whole or in pieces."""

from __future__ import annotations

from interlock.governance.redaction.findings import Scope
from interlock.governance.redaction.redactor import Redactor, redact

__all__ = ["Redactor", "Scope", "redact"]
