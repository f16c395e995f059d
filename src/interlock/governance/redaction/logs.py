"""Log records of this room: what breaks in a rule may quote what it judged, so each is redacted before any handler."""

from __future__ import annotations

import logging
import traceback

from interlock.governance.redaction.redactor import redact
from interlock.records.masking import without_keys


class RedactedLog(logging.Filter):
    """Takes credentials and personal data out of a logger's messages and stack traces."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Redact the record; it is always let through."""
        record.msg, record.args = _clean(record.getMessage()), ()
        if record.exc_info and record.exc_info[1] is not None:
            record.exc_text = _clean("".join(traceback.format_exception(record.exc_info[1])))
            record.exc_info = None
        return True


def _clean(text: str) -> str:
    return redact(without_keys(text))
