"""The HTTP below an MCP session: a failure there fails one call and not the session, and answers are bounded."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import httpx2

#: Seconds to reach a server; how long it may then take is for the timeout of the call.
CONNECT = 15.0
#: A larger message is not read, in bytes.
MAX_MESSAGE = 8 * 1024 * 1024


@dataclass(slots=True)
class Track:
    """What became of one call below the protocol: only that tells whether it may have happened.

    Args:
        sent: Whether it may have reached the server.
        lost: Whether the way to the server broke.
        expired: Whether the server does not know our session any more; then it has done nothing.
        status: The last HTTP status, or 0.
    """

    sent: bool = False
    lost: bool = False
    expired: bool = False
    status: int = 0


#: The call that is being made. The SDK passes the context of whoever sends on to the task that does the HTTP.
TRACK: ContextVar[Track | None] = ContextVar("interlock_mcp_track", default=None)


def http_client(headers: Mapping[str, str]) -> httpx2.AsyncClient:
    """A client whose failed requests are answers, so that the SDK does not give the whole session up for one.

    Args:
        headers: Sent with every request.
    """
    import httpx2

    class Client(httpx2.AsyncClient):
        """Notes in `TRACK` what happened on the way."""

        async def send(self, request: httpx2.Request, **options: Any) -> httpx2.Response:
            track = TRACK.get() or Track()
            try:
                response = await super().send(request, **options)
            except (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout):
                track.sent, track.lost = False, True
                return _unanswered(request)
            except httpx2.TransportError:
                track.lost = True
                return _unanswered(request)
            track.status = response.status_code
            if response.status_code == 404 and "mcp-session-id" in request.headers:
                track.expired = True
            if response.headers.get("content-encoding", "identity") != "identity":  # we asked for none
                await response.aclose()
                return _unanswered(request)
            events = response.headers.get("content-type", "").startswith("text/event-stream")
            response.stream = _watched(response.stream, track, None if events else MAX_MESSAGE)
            return response

    timeout = httpx2.Timeout(CONNECT, read=None)
    return Client(headers={**headers, "accept-encoding": "identity"}, timeout=timeout)


def _unanswered(request: httpx2.Request) -> httpx2.Response:
    """What stands for no answer; the SDK makes an error of it for the one who asked."""
    import httpx2

    error = {"jsonrpc": "2.0", "id": None, "error": {"code": -32000, "message": "The connection failed."}}
    return httpx2.Response(503, json=error, request=request)


def _watched(stream: Any, track: Track, limit: int | None) -> Any:
    import httpx2

    class Watched(httpx2.AsyncByteStream):
        """A body that ends in an error when it is too large or the connection breaks. The SDK bounds events itself."""

        async def __aiter__(self) -> AsyncIterator[bytes]:
            total = 0
            try:
                async for chunk in stream:
                    total += len(chunk)
                    if limit is not None and total > limit:
                        raise httpx2.StreamError(f"the answer is larger than {limit:,} bytes")
                    yield chunk
            except httpx2.TransportError as error:
                track.lost = True
                raise httpx2.StreamError("the connection broke") from error

        async def aclose(self) -> None:
            await stream.aclose()

    return Watched()
