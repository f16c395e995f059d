"""The HTTP server of a simulated provider, on the loopback address only."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable, Mapping
from typing import Any

from aiohttp import web

from interlock.testing.wire import Sending

#: Given the method, path, headers by lower-case name, and body: what to send back.
Answer = Callable[[str, str, Mapping[str, str], bytes], Sending]

HOST = "127.0.0.1"
_BODY_LIMIT = 1 << 30
_RESET = struct.pack("ii", 1, 0)


class Loopback:
    """Sends what it is told to send, and breaks what it is told to break.

    Args:
        answer: Decides what comes back for a request.
        port: The port, 0 for any free one.
    """

    def __init__(self, answer: Answer, port: int) -> None:
        self._answer = answer
        self._port = port
        self._runner: web.ServerRunner | None = None

    async def open(self) -> int:
        """Listen, and return the port. Raises OSError when the port is taken."""
        server = web.Server(self._handle, request_factory=_request, handler_cancellation=True, access_log=None)
        self._runner = web.ServerRunner(server, shutdown_timeout=0.05)
        await self._runner.setup()
        site = web.TCPSite(self._runner, HOST, self._port, backlog=1024)
        await site.start()
        return site.port

    async def close(self) -> None:
        """Stop listening and drop every connection, held ones too."""
        if self._runner is not None:
            await self._runner.cleanup()

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        raw = await request.read()
        headers = {name.lower(): value for name, value in request.headers.items()}
        sending = self._answer(request.method, request.path, headers, raw)
        if sending.latency:
            await asyncio.sleep(sending.latency)
        if sending.fault is not None:
            return await self._break(request, sending)
        if sending.events is None:
            return web.Response(status=sending.status, headers=sending.headers, body=sending.body)
        response = web.StreamResponse(status=sending.status, headers=sending.headers)
        await response.prepare(request)
        for event in sending.events:
            await response.write(event)
        return response

    async def _break(self, request: web.BaseRequest, sending: Sending) -> web.StreamResponse:
        fault = sending.fault
        assert fault is not None
        if sending.events is not None and fault.kind != "reset" and (fault.after_chunks or fault.kind == "cut_stream"):
            await _begin_stream(request, sending, fault.after_chunks)
        elif fault.kind == "cut_stream":
            await _half(request, sending)
        if fault.kind == "timeout":
            # Held until the client gives up or the server closes; both cancel this.
            await asyncio.get_running_loop().create_future()
        _drop(request)
        # Never arrives; aiohttp wants a response, and finds the connection gone.
        return web.Response()


def _request(message: Any, payload: Any, protocol: Any, writer: Any, task: asyncio.Task[None]) -> web.BaseRequest:
    loop = asyncio.get_running_loop()
    return web.BaseRequest(message, payload, protocol, writer, task, loop, client_max_size=_BODY_LIMIT)


async def _begin_stream(request: web.BaseRequest, sending: Sending, count: int) -> None:
    response = web.StreamResponse(status=sending.status, headers=sending.headers)
    await response.prepare(request)
    request.writer.send_headers()
    for _, event in zip(range(count), sending.events or (), strict=False):
        await response.write(event)


async def _half(request: web.BaseRequest, sending: Sending) -> None:
    response = web.StreamResponse(status=sending.status, headers=sending.headers)
    response.content_length = len(sending.body)
    await response.prepare(request)
    await response.write(sending.body[: len(sending.body) // 2])


def _drop(request: web.BaseRequest) -> None:
    """Reset the connection: without lingering, the kernel sends RST and not FIN."""
    transport = request.transport
    if transport is None:
        return
    connection = transport.get_extra_info("socket")
    if connection is not None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    transport.abort()
