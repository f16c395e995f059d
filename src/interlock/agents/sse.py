"""Server-sent events, cut out of a stream of bytes."""

from __future__ import annotations

from collections.abc import Iterator

from interlock.agents.vendor_errors import too_large


class EventSplitter:
    """Gives the data of each event as soon as it is complete; names, ids and comments are skipped.

    Args:
        limit: Bytes of one event that are held at most.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._line: list[bytes] = []
        self._data: list[bytes] = []
        self._held = 0

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """Take the next bytes and give the events that end in them.

        Raises:
            OutputTooLarge: an event is larger than the limit.
        """
        self._held += len(chunk)
        self._line.append(chunk)
        if b"\n" in chunk:  # else the line goes on, and joining now would cost more with every chunk
            *lines, rest = b"".join(self._line).split(b"\n")
            self._line = [rest]
            for line in lines:
                yield from self._take(line.removesuffix(b"\r"))
            self._held = len(rest) + sum(map(len, self._data))
        if self._held > self._limit:
            raise too_large(self._limit)

    def end(self) -> Iterator[bytes]:
        """Give what is left when the stream has ended: a last event without the blank line after it."""
        yield from self._take(b"".join(self._line).removesuffix(b"\r"))
        yield from self._take(b"")

    def _take(self, line: bytes) -> Iterator[bytes]:
        if line.startswith(b"data:"):
            self._data.append(line[5:].removeprefix(b" "))
        elif not line and self._data:
            data, self._data = b"\n".join(self._data), []
            if data:
                yield data
