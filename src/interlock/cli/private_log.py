"""The log in the home folder, which nobody else may read: it holds what is internal."""

from __future__ import annotations

import logging
import os
import time
from io import TextIOWrapper
from pathlib import Path


class PrivateLog(logging.FileHandler):
    """Writes lines to a file that is made when there is something to write.

    Args:
        file: Where; its folder need not be there yet.
    """

    def __init__(self, file: Path) -> None:
        super().__init__(file, encoding="utf-8", delay=True)
        lines = logging.Formatter("%(asctime)s.%(msecs)03dZ %(levelname)-8s %(message)s", "%Y-%m-%dT%H:%M:%S")
        lines.converter = time.gmtime
        self.setFormatter(lines)

    def _open(self) -> TextIOWrapper:
        Path(self.baseFilename).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        return open(self.baseFilename, "a", encoding=self.encoding, errors=self.errors, opener=_private)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_CLOEXEC, 0o600)
