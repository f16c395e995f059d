"""An HTTP server that sends exactly the bytes it was given, for what no well-behaved server would send."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from types import TracebackType

from interlock.agents.provider import ProviderSettings
from interlock.agents.providers import make_provider
from interlock.agents.wire import MAX_ANSWER, WireProvider

APIS = ("openai-chat", "openai-responses", "anthropic")


class Canned:
    """Answers every request with `answer`, then with `more` again and again, and closes unless told to hold on."""

    def __init__(self, answer: bytes, *, more: bytes = b"", hold: bool = False) -> None:
        self.answer, self.more, self.hold = answer, more, hold
        self.heads: list[bytes] = []
        self.connections = 0
        self.sent = 0
        self._serving: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Canned:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.close()
        await self._server.wait_closed()
        for task in self._serving:
            task.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.current_task()
        assert task is not None
        self._serving.add(task)
        try:
            await self._answer(reader, writer)
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                self.heads.append(head)
                lower = head.lower()
                if b"content-length:" in lower:
                    await reader.readexactly(int(lower.split(b"content-length:")[1].split(b"\r\n")[0]))
                writer.write(self.answer)
                await writer.drain()
                while self.more:
                    writer.write(self.more)
                    await writer.drain()
                    self.sent += len(self.more)
                if not self.hold:
                    break


def http(
    body: bytes = b"", *, status: str = "200 OK", content_type: str = "application/json", headers: bytes = b""
) -> bytes:
    """An HTTP answer with its length."""
    head = f"HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\nContent-Length: {len(body)}\r\n"
    return head.encode() + headers + b"\r\n" + body


def sse(*events: bytes) -> bytes:
    """An HTTP answer with server-sent events, ending with the connection."""
    body = b"".join(b"data: " + event + b"\n\n" for event in events)
    return b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n" + body


@contextlib.asynccontextmanager
async def provider(
    api: str, url: str, key: str | None = "sk-test", limit: int = MAX_ANSWER
) -> AsyncIterator[WireProvider]:
    """A provider for a server at `url`, closed at the end."""
    base = url if api == "anthropic" or url.endswith("/v1") else f"{url}/v1"
    one = make_provider(ProviderSettings(name="Acme", api=api, api_key=key, base_url=base))  # type: ignore[arg-type]
    assert isinstance(one, WireProvider)
    one.limit = limit
    try:
        yield one
    finally:
        await one.close()
