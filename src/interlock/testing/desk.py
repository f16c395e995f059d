"""The desk of a simulated provider: takes a request in, writes it down, and decides what is sent back."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any, Literal

import msgspec

from interlock.testing import wire_anthropic, wire_chat, wire_responses
from interlock.testing.script import Api, Fault, Reply, RequestView, Script
from interlock.testing.wire import Outgoing, Sending, Wire, decode, encode, objection, settle

WIRES: dict[str, Wire] = {
    "/v1/chat/completions": wire_chat,
    "/v1/responses": wire_responses,
    "/v1/messages": wire_anthropic,
}
_HTML = b"<!doctype html><html><head><title>Welcome</title></head><body>Please sign in to the network.</body></html>"
_CREDENTIALS = ("authorization", "x-api-key")


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedRequest:
    """A request as it arrived.

    Args:
        api: Which wire, `models` for the list of models, `unknown` for any other address.
        path: The path of the address.
        headers: By lower-case name; the values of credentials are replaced by `***`.
        has_key: Whether an API key came along.
        key: The idempotency key, or "".
        body: The JSON that was sent, or None where there is none that can be read.
        started_at: When it arrived, in seconds since 1970.
        view: The request in neutral words; None when it was refused before the script was asked.
    """

    api: Api | Literal["models", "unknown"]
    path: str
    headers: Mapping[str, str]
    has_key: bool
    key: str
    body: Any
    started_at: float
    view: RequestView | None = None


class Desk:
    """Decides; sends nothing and waits for nothing.

    Args:
        script: What comes back.
        keys: The API keys that are accepted; empty for any.
        require_key: Whether a request without a key is refused.
        latency: Seconds until the first byte of a reply that does not say otherwise.
        models: The names in the list of models.
        record: Whether requests are kept.
        clock: Gives the time in seconds since 1970.
    """

    def __init__(
        self,
        script: Script,
        *,
        keys: frozenset[str],
        require_key: bool,
        latency: float,
        models: tuple[str, ...],
        record: bool,
        clock: Callable[[], float],
    ) -> None:
        self.script = script
        self.requests: list[RecordedRequest] = []
        self.errors: list[Exception] = []
        self._keys = keys
        self._require_key = require_key
        self.latency = latency
        self._models = models
        self._record = record
        self._clock = clock
        self._arrived = 0
        self._asked = 0

    def answer(self, method: str, path: str, headers: Mapping[str, str], raw: bytes) -> Sending:
        """What is sent back for one request.

        Args:
            headers: By lower-case name.
            raw: The body as it came.
        """
        self._arrived += 1
        request_id = f"req_{self._arrived:06d}"
        now = self._clock()
        wire = WIRES.get(path) if method == "POST" else None
        body = _json(raw)
        key = headers.get("idempotency-key", "")
        view, refusal = None, self._credentials(headers)
        if wire is not None and refusal is None:
            view, refusal = self._read(wire, body, key)
        listing = method == "GET" and (path == "/v1/models" or path.startswith("/v1/models/"))
        if self._record:
            kind = wire.API if wire else "models" if listing else "unknown"
            self._write_down(kind, path, headers, body, now, view)
        if refusal is not None:
            return _error(wire or _dialect(headers), refusal, request_id)
        if listing:
            return _sent(self._list(path.removeprefix("/v1/models").strip("/")), wire_chat, request_id)
        if wire is None or view is None:
            says = f"Unknown request URL: {method} {path}."
            return _error(_dialect(headers), Fault.status(404, says=says), request_id)
        return self._play(wire, view, body, now, request_id)

    def _credentials(self, headers: Mapping[str, str]) -> Fault | None:
        given = _key(headers)
        if self._require_key and not given:
            return Fault.status(401, says="You didn't provide an API key.")
        if self._keys and given not in self._keys:
            return Fault.status(401)
        return None

    def _read(self, wire: Wire, body: Any, key: str) -> tuple[RequestView | None, Fault | None]:
        if not isinstance(body, dict):
            return None, Fault.status(400, says="We could not parse the JSON body of your request.")
        try:
            view = wire.read(body, key, self._asked + 1)
        except KeyError as missing:
            return None, Fault.status(400, says=f"Missing required parameter: {missing}.")
        except (ValueError, TypeError, AttributeError) as wrong:
            return None, Fault.status(400, says=f"We could not read the request: {wrong}")
        # With a previous response the calls are in the conversation the vendor keeps.
        says = "" if body.get("previous_response_id") else objection(view.messages)
        if says:
            return None, Fault.status(400, says=says)
        self._asked += 1
        return view, None

    def _write_down(
        self,
        api: Api | Literal["models", "unknown"],
        path: str,
        headers: Mapping[str, str],
        body: Any,
        now: float,
        view: RequestView | None,
    ) -> None:
        shown = {name: "***" if name in _CREDENTIALS else value for name, value in headers.items()}
        self.requests.append(
            RecordedRequest(
                api=api,
                path=path,
                headers=shown,
                has_key=bool(_key(headers)),
                key=headers.get("idempotency-key", ""),
                body=body,
                started_at=now,
                view=view,
            )
        )

    def _play(self, wire: Wire, view: RequestView, body: Mapping[str, Any], now: float, request_id: str) -> Sending:
        try:
            move = self.script.move(view)
        except Exception as problem:  # noqa: BLE001 - a script is foreign code; kept, and raised when the server closes
            self.errors.append(problem)
            says = f"The script of the simulated provider failed: {type(problem).__name__}: {problem}"
            return _error(wire, Fault.status(400, says=says), request_id)
        if isinstance(move, Fault) and move.kind == "status":
            return _error(wire, move, request_id, self.latency)
        reply = move if isinstance(move, Reply) else move.reply or Reply(text="An answer that does not arrive whole.")
        out = settle(reply, view, body, at=int(now), call_id=wire.CALL_ID)
        latency = self.latency if reply.latency is None else reply.latency
        if isinstance(move, Reply):
            return _answer(wire, out, view.stream, None, request_id, latency)
        return _spoilt(wire, out, view.stream, move, request_id, latency)

    def _list(self, name: str) -> dict[str, Any]:
        """The models in a form that both vendors' SDKs read."""
        rows = [
            {
                "id": model,
                "object": "model",
                "created": 1_767_225_600,
                "owned_by": "interlock",
                "type": "model",
                "display_name": model,
                "created_at": "2026-01-01T00:00:00Z",
                "lifecycle": "active",
            }
            for model in ((name,) if name else self._models)
        ]
        if name:
            return rows[0]
        return {
            "object": "list",
            "data": rows,
            "has_more": False,
            "first_id": self._models[0] if rows else None,
            "last_id": self._models[-1] if rows else None,
        }


def _json(raw: bytes) -> Any:
    try:
        return decode(raw)
    except (msgspec.DecodeError, RecursionError):
        return None


def _key(headers: Mapping[str, str]) -> str:
    return headers.get("x-api-key") or headers.get("authorization", "").removeprefix("Bearer").strip()


def _dialect(headers: Mapping[str, str]) -> Wire:
    """Whose words to use where the address does not say it."""
    return wire_anthropic if "anthropic-version" in headers else wire_chat


def _head(wire: Wire, request_id: str, content_type: str) -> dict[str, str]:
    return {"Content-Type": content_type, wire.REQUEST_ID: request_id}


def _sent(value: Mapping[str, Any], wire: Wire, request_id: str, latency: float = 0.0) -> Sending:
    return Sending(headers=_head(wire, request_id, "application/json"), body=encode(value), latency=latency)


def _error(wire: Wire, fault: Fault, request_id: str, latency: float = 0.0) -> Sending:
    headers = _head(wire, request_id, "application/json")
    if fault.retry_after is not None:
        headers["Retry-After"] = f"{fault.retry_after:g}"
    body = encode(wire.error(fault.code, fault.says, request_id))
    return Sending(status=fault.code, headers=headers, body=body, latency=latency)


def _answer(wire: Wire, out: Outgoing, stream: bool, fault: Fault | None, request_id: str, latency: float) -> Sending:
    if stream:
        headers = {**_head(wire, request_id, "text/event-stream; charset=utf-8"), "Cache-Control": "no-cache"}
        return Sending(headers=headers, events=wire.events(out), fault=fault, latency=latency)
    headers = _head(wire, request_id, "application/json")
    return Sending(headers=headers, body=encode(wire.whole(out)), fault=fault, latency=latency)


def _spoilt(wire: Wire, out: Outgoing, stream: bool, fault: Fault, request_id: str, latency: float) -> Sending:
    """An answer with something wrong in it, or on its way."""
    whole = _answer(wire, out, stream, fault, request_id, latency)
    match fault.kind:
        case "empty":
            return Sending(headers=whole.headers, events=iter(()) if stream else None, latency=latency)
        case "wrong_content_type":
            return Sending(headers=_head(wire, request_id, "text/html"), body=_HTML, latency=latency)
        case "malformed_json":
            if whole.events is not None:
                return Sending(headers=whole.headers, events=_broken(whole.events), latency=latency)
            return Sending(headers=whole.headers, body=whole.body[: len(whole.body) * 2 // 3], latency=latency)
        case _:
            return whole


def _broken(events: Iterator[bytes]) -> Iterator[bytes]:
    # The third event, as Anthropic's second is a ping, which its SDK does not read.
    first, second, third = islice(events, 3)
    yield from (first, second, third.rstrip()[:-2] + b"\n\n")
