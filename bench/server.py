"""A model server that costs next to nothing: it answers all three vendors' wire formats with bodies made beforehand.

The address says what is wanted: `/{latency in ms}/{plain|tools}/v1/...`. With `tools` it asks for five tool calls,
one after another, and then answers. It runs in a process of its own, so that its CPU is nobody's but its own.
"""

from __future__ import annotations

import asyncio
import json
import re

ANSWER = "The disks are 42 percent full; the build cache is the first thing to clean."
TOOL_CALLS = 5
NUMBERED = re.compile(rb"bench_(\d)")
USAGE = {"prompt_tokens": 40, "completion_tokens": 17, "total_tokens": 57}


def _chat(call: int | None) -> dict[str, object]:
    message: dict[str, object] = {"role": "assistant", "content": ANSWER if call is None else None}
    if call is not None:
        wanted = {"name": "lookup", "arguments": json.dumps({"name": f"disk-{call}"})}
        message["tool_calls"] = [{"id": f"call_bench_{call}", "type": "function", "function": wanted}]
    reason = "stop" if call is None else "tool_calls"
    return {
        "id": "chatcmpl-bench",
        "object": "chat.completion",
        "created": 1_790_000_000,
        "model": "gpt-4.1-mini",
        "choices": [{"index": 0, "message": message, "finish_reason": reason, "logprobs": None}],
        "usage": USAGE,
    }


def _responses(call: int | None) -> dict[str, object]:
    item: dict[str, object] = {"id": "msg_1", "type": "message", "role": "assistant", "status": "completed"}
    item["content"] = [{"type": "output_text", "text": ANSWER, "annotations": []}]
    if call is not None:
        item = {"id": f"fc_{call}", "type": "function_call", "status": "completed", "name": "lookup"}
        item |= {"call_id": f"call_bench_{call}", "arguments": json.dumps({"name": f"disk-{call}"})}
    usage: dict[str, object] = {"input_tokens": 40, "output_tokens": 17, "total_tokens": 57}
    usage |= {"input_tokens_details": {"cached_tokens": 0}, "output_tokens_details": {"reasoning_tokens": 0}}
    return {
        "id": "resp_1",
        "object": "response",
        "created_at": 1_790_000_000,
        "status": "completed",
        "model": "gpt-4.1-mini",
        "output": [item],
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "error": None,
        "incomplete_details": None,
        "instructions": None,
        "metadata": {},
        "temperature": 1.0,
        "top_p": 1.0,
        "usage": usage,
    }


def _messages(call: int | None) -> dict[str, object]:
    block: dict[str, object] = {"type": "text", "text": ANSWER}
    if call is not None:
        block = {"type": "tool_use", "id": f"toolu_bench_{call}", "name": "lookup", "input": {"name": f"disk-{call}"}}
    return {
        "id": "msg_bench",
        "type": "message",
        "role": "assistant",
        "model": "claude-sonnet-4-5",
        "content": [block],
        "stop_reason": "end_turn" if call is None else "tool_use",
        "stop_sequence": None,
        "usage": {"input_tokens": 40, "output_tokens": 17},
    }


def _encoded(body: dict[str, object], status: str = "200 OK") -> bytes:
    text = json.dumps(body, separators=(",", ":")).encode()
    head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(text)}\r\n"
    return f"{head}x-request-id: req_bench\r\n\r\n".encode() + text


#: The answer for each wire format: without a number the text, with one the request for that tool call.
BODIES = {
    ending: {call: _encoded(make(call)) for call in (None, *range(1, TOOL_CALLS + 1))}
    for ending, make in (("/chat/completions", _chat), ("/responses", _responses), ("/messages", _messages))
}
NOT_HERE = _encoded({"error": {"message": "no such address", "type": "invalid_request_error"}}, "404 Not Found")
MODELS = _encoded({"object": "list", "data": [{"id": "gpt-4.1-mini", "object": "model"}]})
STREAM = re.compile(rb'"stream"\s*:\s*true')
NO_STREAM = _encoded({"error": {"message": "this server does not stream", "type": "bad"}}, "400 Bad Request")


def answer_for(path: str, body: bytes) -> tuple[float, bytes]:
    """The seconds to wait and the bytes to send for one request."""
    parts = path.split("?", 1)[0].split("/", 4)
    if len(parts) < 5 or not parts[1].isdigit():
        return 0.0, NOT_HERE
    if parts[4] == "models":
        return 0.0, MODELS
    bodies = BODIES.get("/" + parts[4])
    if bodies is None:
        return 0.0, NOT_HERE
    if STREAM.search(body):
        return 0.0, NO_STREAM
    call = None
    if parts[2] == "tools":
        done = max((int(number) for number in NUMBERED.findall(body)), default=0)
        call = done + 1 if done < TOOL_CALLS else None
    return int(parts[1]) / 1000, bodies[call]


class Connection(asyncio.Protocol):
    """One kept-alive connection; requests come one after another, with a content length."""

    def __init__(self) -> None:
        self.buffer = b""
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remember where to write."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        """Answer every whole request in the buffer."""
        self.buffer += data
        while (end := self.buffer.find(b"\r\n\r\n")) >= 0:
            head = self.buffer[:end]
            length = _content_length(head)
            if len(self.buffer) < end + 4 + length:
                return
            body = self.buffer[end + 4 : end + 4 + length]
            self.buffer = self.buffer[end + 4 + length :]
            self._answer(head, body)

    def _answer(self, head: bytes, body: bytes) -> None:
        delay, reply = answer_for(head.split(b" ", 2)[1].decode(), body)
        if delay:
            asyncio.get_running_loop().call_later(delay, self._write, reply)
        else:
            self._write(reply)

    def _write(self, reply: bytes) -> None:
        if self.transport is not None and not self.transport.is_closing():
            self.transport.write(reply)


def _content_length(head: bytes) -> int:
    at = head.lower().find(b"content-length:")
    return int(head[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else 0


async def serve() -> None:
    """Listen on a free port of the loopback, print the address, and serve until killed."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Connection, "127.0.0.1", 0, backlog=1024)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve())
