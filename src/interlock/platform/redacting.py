"""The one redactor of a platform: it knows every key and secret, and stands at every exit."""

from __future__ import annotations

import secrets
from contextlib import suppress

from interlock.errors import SettingsError
from interlock.governance.redaction import Redactor, Scope
from interlock.governance.redaction.stream import RedactedStream
from interlock.governance.redaction.values import looks_random
from interlock.platform.built_in import web_search_key
from interlock.platform.settings import Settings

#: A shorter key that looks like a word stands for none: local servers take `ollama`, `simulated` or `EMPTY`.
_SHORTEST_KEY = 16


def redactor_for(settings: Settings) -> Redactor:
    """A redactor that knows all API keys, whether they came from the program, the environment or a file.

    The vault registers what it hands out with the same redactor. The codes in its markers last as long as the process.
    """
    redactor = Redactor(key=secrets.token_bytes(32))
    held = dict(settings.keys)
    with suppress(SettingsError):  # said where it is used
        held["web_search"] = web_search_key(settings) or ""
    for provider, key in held.items():
        if len(key) >= _SHORTEST_KEY or looks_random(key, 8):
            redactor.register(key, f"{provider}-key")
    return redactor


class LiveTexts:
    """Texts that arrive in pieces, one for each step and try, without the secrets in them however they are cut.

    Args:
        redactor: Hides the secrets.
    """

    def __init__(self, redactor: Redactor) -> None:
        self._redactor = redactor
        self._open: dict[tuple[str, int], RedactedStream] = {}

    def feed(self, path: str, attempt: int, text: str) -> str:
        """Take the next piece and give what is safe to show of it; what may become a secret is held back."""
        stream = self._open.get((path, attempt))
        if stream is None:
            stream = self._open[path, attempt] = self._redactor.stream(Scope.CREDENTIALS)
        return stream.feed(text)

    def close(self, path: str | None = None) -> list[tuple[str, int, str]]:
        """What was held back of a step's texts, or of all: path, attempt and the rest. Empty rests are left out."""
        ending = [key for key in self._open if path is None or key[0] == path]
        rests = [(*key, self._open.pop(key).close()) for key in ending]
        return [rest for rest in rests if rest[2]]
