"""The line to a vendor: its SDK's client, and how one request goes over it and one answer comes back."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Protocol
from urllib.parse import urlsplit

import msgspec

from interlock.agents.payload import ToolMemory, encoded
from interlock.agents.provider import Message, ModelRequest, ModelResponse, OnText, ProviderSettings
from interlock.agents.shapes import as_list
from interlock.agents.sse import EventSplitter
from interlock.agents.vendor_errors import VendorErrors, too_large
from interlock.errors import AuthenticationError, SettingsError
from interlock.tools.tool import ToolSpec

if TYPE_CHECKING:
    import httpx2

#: Most bytes of an answer that are held.
MAX_ANSWER = 32_000_000
#: Seconds to establish a connection, and for a ping in all.
CONNECT_SECONDS = 15.0
#: Sent where a server wants no key; SDKs insist on one.
NO_KEY = "no-key"

_MAX_ERROR_BODY = 64 * 1024
_KEEPALIVE_SECONDS = 60.0
#: Seconds that the end of a stream may lag behind its final event and the connection still be kept.
_LINGER_SECONDS = 0.1
_MAX_KEY = 255
_MAX_REQUEST_ID = 200


class Fold(Protocol):
    """Puts the events of one streamed answer together."""

    def event(self, data: bytes) -> bool:
        """Take the data of one event; True when it was the final one."""
        ...

    def answer(self, request_id: str) -> ModelResponse:
        """The whole answer, after the final event."""
        ...


@dataclass(frozen=True, slots=True)
class Line:
    """What one event loop talks through: the SDK's client with the HTTP client below it."""

    http: httpx2.AsyncClient
    url: httpx2.URL
    models_url: httpx2.URL
    headers: Sequence[tuple[bytes, bytes]]
    auth: httpx2.Auth | None
    #: Whether this is the vendor's own address and not someone else's that speaks its wire.
    official: bool

    def post(self, body: bytes, key: str, seconds: float) -> httpx2.Request:
        """A model request: the SDK's headers, the idempotency key, and its own timeouts."""
        import httpx2

        headers = [*self.headers, (b"Idempotency-Key", _header(key))] if key else self.headers
        return httpx2.Request("POST", self.url, headers=headers, content=body, extensions=_timeouts(seconds))

    def models(self) -> httpx2.Request:
        """A request for the list of models."""
        import httpx2

        return httpx2.Request("GET", self.models_url, headers=self.headers, extensions=_timeouts(CONNECT_SECONDS))


class WireProvider(ABC):
    """A `Provider` over HTTP. Below it are the three wires, which say how requests and answers look.

    The vendor's SDK resolves the key, the address, the standard headers and proxies, and owns the connections;
    requests then go straight through its HTTP client. Its own request methods cost two to five times as much
    in options, header merging and models that nobody reads.

    Args:
        settings: How to reach it.
        limit: Bytes of an answer that are read at most.
    """

    #: What `pip install 'interlock[...]'` is given for the SDK.
    extra: ClassVar[str]
    #: Paths below the base URL, without a slash in front.
    path: ClassVar[str]
    models_path: ClassVar[str]
    #: The vendor's own host; its subdomains count as its own too.
    host: ClassVar[str]
    request_id_header: ClassVar[str]
    #: The vendor's own tools as it wants them named, by our names for them.
    own_tools: ClassVar[Mapping[str, Mapping[str, Any]]] = {}

    def __init__(self, settings: ProviderSettings, *, limit: int = MAX_ANSWER) -> None:
        self.name = settings.name
        self.limit = limit
        self.errors = VendorErrors(settings.name, settings.api_key or "")
        self.tools = ToolMemory(self.tool)
        self._settings = settings
        self._lines: dict[asyncio.AbstractEventLoop, Line] = {}

    @abstractmethod
    def connect(self, settings: ProviderSettings, api_key: str | None, limits: httpx2.Limits) -> tuple[Any, Any]:
        """Make the SDK's client and the HTTP client it uses."""

    @abstractmethod
    def body(self, request: ModelRequest, *, stream: bool, official: bool) -> dict[str, Any]:
        """The request as the vendor wants it."""

    @abstractmethod
    def tool(self, spec: ToolSpec, official: bool) -> dict[str, Any]:
        """A tool as the vendor wants it described."""

    @abstractmethod
    def read(self, body: bytes, request_id: str) -> ModelResponse:
        """The answer in a whole body. Raises msgspec's errors where it has another form."""

    @abstractmethod
    def fold(self, on_text: OnText) -> Fold:
        """What puts a streamed answer together."""

    def offered(self, request: ModelRequest, official: bool) -> list[Any]:
        """All tools of a request as the vendor wants them: ours described, its own named."""
        ours = self.tools.written(request.tools, official)
        return [*ours, *({**self.own_tools[name], **self.terms(name, request)} for name in request.native_tools)]

    def terms(self, name: str, request: ModelRequest) -> Mapping[str, Any]:
        """On which terms one of its own tools is offered, as this vendor wants that said."""
        return {}

    def own_items(self, message: Message) -> Sequence[Any]:
        """The opaque items of a message if this provider gave them over this wire; nobody else can read them."""
        native = message.native
        if native is None or native.get("provider") != self.name or native.get("wire") != self.path:
            return ()
        return as_list(native.get("items"))

    def native(self, items: Sequence[Any], container: str = "") -> dict[str, Any] | None:
        """Items tagged as this provider's, for `Message.native`, with the place where it ran code."""
        where = {"container": container} if container else {}
        return {"provider": self.name, "wire": self.path, "items": list(items), **where} if items else None

    async def complete(self, request: ModelRequest, on_text: OnText | None = None) -> ModelResponse:
        """Send one request; see `Provider.complete`."""
        line = await self._line()
        body = encoded(self.body(request, stream=on_text is not None, official=line.official))
        async with self._answer(line, line.post(body, request.key, request.timeout), request.timeout) as got:
            request_id = got.headers.get(self.request_id_header, "")[:_MAX_REQUEST_ID]
            content_type = got.headers.get("content-type", "")
            if on_text is not None and "json" not in content_type:
                return await self._streamed(got, content_type, self.fold(on_text), request_id)
            response = await self._whole(got, content_type, request_id)
        if on_text is not None and response.text:  # asked to stream, but the server does not
            on_text(response.text)
        return response

    async def ping(self) -> None:
        """Ask for the list of models, which is free; see `Provider.ping`."""
        line = await self._line()
        async with self._answer(line, line.models(), CONNECT_SECONDS) as got:
            content_type = got.headers.get("content-type", "")
            if "json" not in content_type:
                raise self.errors.wrong_type(content_type)

    async def close(self) -> None:
        """Close the running loop's connections. Closing twice does nothing; a later request opens new ones."""
        await self._hang_up(asyncio.get_running_loop())

    async def _line(self) -> Line:
        """The line of the running loop. Sockets belong to one loop, and a provider may serve several."""
        loop = asyncio.get_running_loop()
        line = self._lines.get(loop)
        if line is None:
            line = self._lines[loop] = self._open()
            await self._hang_up()
        return line

    async def _hang_up(self, here: asyncio.AbstractEventLoop | None = None) -> None:
        """Close the lines of loops that have ended, and of the running one. Those of others are theirs to close."""
        for loop in [loop for loop in self._lines if loop is here or loop.is_closed()]:
            await self._lines.pop(loop).http.aclose()

    def _open(self) -> Line:
        settings = self._settings
        # A key from the environment belongs to the address from the environment, never to another one.
        key = settings.api_key or (NO_KEY if settings.base_url else None)
        try:
            import httpx2

            limits = httpx2.Limits(max_connections=settings.max_connections, keepalive_expiry=_KEEPALIVE_SECONDS)
            client, http = self.connect(settings, key, limits)
        except ImportError as error:
            raise missing_extra(self.extra) from error
        self.errors = VendorErrors(self.name, client.api_key or "")  # the SDK may have found it in the environment
        merged = {**client.default_headers, **client.auth_headers, "Accept-Encoding": "identity"}
        headers = {name: value for name, value in merged.items() if isinstance(value, str)}
        if client.custom_auth is None and not {"authorization", "x-api-key"} & {name.lower() for name in headers}:
            raise self.no_key()
        base = f"{client.base_url}".rstrip("/")
        host = urlsplit(base).hostname or ""
        return Line(
            http=http,
            url=httpx2.URL(f"{base}/{self.path}"),
            models_url=httpx2.URL(f"{base}/{self.models_path}"),
            headers=[(name.encode(), self._header_value(value)) for name, value in headers.items()],
            auth=client.custom_auth,
            official=host == self.host or host.endswith(f".{self.host}"),
        )

    def no_key(self) -> AuthenticationError:
        """The error where there is no key at all."""
        return AuthenticationError(f"There is no key for {self.name}.")

    def _header_value(self, value: str) -> bytes:
        if not value.isascii() or not value.isprintable():
            says = f"The key or a header for {self.name} has characters that cannot be sent."
            raise AuthenticationError(says, "Set the key again, without line breaks or special characters.")
        return value.encode()

    @asynccontextmanager
    async def _answer(self, line: Line, request: httpx2.Request, seconds: float) -> AsyncIterator[httpx2.Response]:
        """Send a request; gives a successful answer whose body is still to be read, within `seconds` in all."""
        import aiohttp
        import httpx2

        clock = asyncio.timeout(seconds)
        try:
            async with clock:
                auth = line.auth or httpx2.USE_CLIENT_DEFAULT
                response = await line.http.send(request, stream=True, auth=auth)
                try:
                    if not response.is_success:
                        raise await self._refusal(response)
                    yield response
                finally:
                    await response.aclose()
        except TimeoutError as error:
            raise (self.errors.timeout(seconds) if clock.expired() else self.errors.of_transport(error)) from error
        except (httpx2.HTTPError, httpx2.InvalidURL, httpx2.StreamError, aiohttp.ClientError, OSError) as error:
            raise self.errors.of_transport(error) from error
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise self.errors.unreadable(error) from error

    async def _refusal(self, response: httpx2.Response) -> Exception:
        body = bytearray()
        async with aclosing(_chunks(response)) as chunks:
            async for chunk in chunks:
                body += chunk
                if len(body) > _MAX_ERROR_BODY:
                    break
        return self.errors.of_status(response.status_code, response.headers, bytes(body), time.time())

    async def _whole(self, response: httpx2.Response, content_type: str, request_id: str) -> ModelResponse:
        if content_type and "json" not in content_type:
            raise self.errors.wrong_type(content_type)
        declared = response.headers.get("content-length", "")
        if declared.isdecimal() and int(declared) > self.limit:
            raise too_large(self.limit)
        body = bytearray()
        async with aclosing(_chunks(response)) as chunks:
            async for chunk in chunks:
                body += chunk
                if len(body) > self.limit:
                    raise too_large(self.limit)
        if not body.strip():
            raise self.errors.empty()
        return self.read(bytes(body), request_id)

    async def _streamed(
        self, response: httpx2.Response, content_type: str, fold: Fold, request_id: str
    ) -> ModelResponse:
        if content_type and "event-stream" not in content_type:
            raise self.errors.wrong_type(content_type)
        splitter = EventSplitter(self.limit)
        async with aclosing(_chunks(response)) as chunks:
            async for chunk in chunks:
                if any(fold.event(data) for data in splitter.feed(chunk)):
                    await _drain(chunks)
                    return fold.answer(request_id)
        if any(fold.event(data) for data in splitter.end()):
            return fold.answer(request_id)
        raise self.errors.cut()


def missing_extra(extra: str) -> SettingsError:
    """The error where a vendor's SDK is not installed."""
    install = f"pip install 'interlock[{extra}]'"
    says = f"The {extra} SDK with its aiohttp transport is not installed."
    return SettingsError(says, f"Run: {install}", code="settings.missing_extra")


async def _chunks(response: httpx2.Response) -> AsyncGenerator[bytes, None]:
    encoding = response.headers.get("content-encoding", "identity").lower()
    if encoding in ("", "identity"):
        # The raw stream: what Response.aiter_bytes adds is decoding and bookkeeping.
        async for chunk in response.stream:  # type: ignore[union-attr]
            yield chunk
    elif encoding in ("gzip", "deflate"):  # not asked for, but proxies do it; others could grow without bound
        async for chunk in response.aiter_bytes():
            yield chunk
    else:
        raise _undecodable(encoding)


def _undecodable(encoding: str) -> Exception:
    import httpx2

    return httpx2.DecodingError(f"unexpected content encoding {encoding[:40]!r}")


async def _drain(chunks: AsyncIterator[bytes]) -> None:
    """Read the end of a stream that is complete, so that its connection can be used again."""
    import httpx2

    with contextlib.suppress(TimeoutError, httpx2.HTTPError):
        async with asyncio.timeout(_LINGER_SECONDS):
            async for _ in chunks:
                pass


def _timeouts(seconds: float) -> dict[str, Any]:
    # Only the connection has a limit of its own; the whole request is timed above, and a model may think in silence.
    return {"timeout": {"connect": min(seconds, CONNECT_SECONDS), "read": None, "write": None, "pool": None}}


def _header(key: str) -> bytes:
    """An idempotency key as a header can carry it: run ids may be of any length and in any script."""
    if len(key) <= _MAX_KEY and key.isascii() and key.isprintable():
        return key.encode()
    return hashlib.sha256(key.encode(errors="replace")).hexdigest().encode()
