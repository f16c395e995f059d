"""What an MCP server says, made fit for models: text and JSON that are bounded and clean, and everything else named."""

from __future__ import annotations

import asyncio
import json
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from interlock.errors import ToolFailed
from interlock.records.masking import without_keys
from interlock.tools.result import as_json, clean, cut

if TYPE_CHECKING:
    from mcp_types import CallToolResult, ContentBlock

#: Most characters of a server's own words in an error.
MAX_WORDS = 1_000
#: Most answers kept for identical calls, and most bytes of them together.
MAX_KEPT = 512
MAX_KEPT_BYTES = 16 * 1024 * 1024


def read_result(name: str, result: CallToolResult) -> Any:
    """The JSON value a call came to: the structured content where there is some, else the text.

    Args:
        name: The tool, for errors.
        result: What the server answered.

    Raises:
        ToolFailed: `tool.error`, with the server's words, when the call failed; `tool.result` when it is not JSON.
    """
    if result.is_error:
        raise failed(name, "\n".join(_shown(block) for block in result.content))
    if result.structured_content is not None:
        return as_json(name, _cleaned(result.structured_content))
    return as_json(name, clean("\n".join(_shown(block) for block in result.content)))


def failed(name: str, words: str) -> ToolFailed:
    """The error with which a server answered, in its own words, which are nobody's instructions."""
    said = words_of(words)
    return ToolFailed(f"The tool {name} failed{f': {said}' if said else '.'}")


def words_of(text: str, limit: int = MAX_WORDS) -> str:
    """A server's words as an error may hold them: clean, without keys, short."""
    return cut(without_keys(clean(text)).strip(), limit)


def _shown(block: ContentBlock) -> str:
    match block.type:
        case "text":
            return block.text
        case "image" | "audio":
            return f"[{block.type} {block.mime_type[:80]}, about {len(block.data) * 3 // 4:,} bytes, not shown]"
        case "resource_link":
            return f"[link {block.name[:200]}: {block.uri[:2_000]}]"
        case "resource":
            about = block.resource
            text = getattr(about, "text", None)
            return text if isinstance(text, str) else f"[file {about.uri[:2_000]}, not shown]"


def _cleaned(value: Any) -> Any:
    match value:
        case str():
            return clean(value)
        case dict():
            return {clean(str(key)): _cleaned(below) for key, below in value.items()}
        case list():
            return [_cleaned(below) for below in value]
        case _:
            return value


class ResultCache:
    """Answers that are given again to identical calls, and a call that is made once for all who ask at the same time.

    Failures are never kept: whoever asked while a call was under way shares it, the next one calls again.

    Args:
        seconds: How long an answer is good; 0 keeps none.
        clock: Seconds that only go forward.
    """

    def __init__(self, seconds: float, clock: Callable[[], float]) -> None:
        self._seconds = seconds
        self._clock = clock
        self._kept: OrderedDict[str, tuple[float, bytes]] = OrderedDict()
        self._bytes = 0
        self._under_way: dict[str, asyncio.Future[bytes | ToolFailed | None]] = {}

    async def answer(self, tool: str, arguments: Mapping[str, Any], call: Callable[[], Awaitable[Any]]) -> Any:
        """The answer to a call, made now or before.

        Args:
            tool: The tool's name at the server.
            arguments: What it is called with.
            call: Makes the call.

        Raises:
            ToolFailed: what the call raised.
        """
        if not self._seconds:
            return await call()
        key = json.dumps([tool, arguments], sort_keys=True, separators=(",", ":"))
        while (found := self._fresh(key)) is None:
            others = self._under_way.get(key)
            if others is None:
                return await self._call(key, call)
            await asyncio.wait([others])
            outcome = others.result()
            if isinstance(outcome, ToolFailed):
                raise ToolFailed(outcome.says, outcome.do, code=outcome.code, detail=outcome.detail)
            if outcome is not None:
                return msgspec.json.decode(outcome)
            # Who made the call was in a greater hurry than we are: it is ours to make now.
        return msgspec.json.decode(found)

    async def _call(self, key: str, call: Callable[[], Awaitable[Any]]) -> Any:
        mine = self._under_way[key] = asyncio.get_running_loop().create_future()
        outcome: bytes | ToolFailed | None = None
        try:
            value = await call()
            outcome = msgspec.json.encode(value)
            self._keep(key, outcome)
            return value
        except ToolFailed as error:
            outcome = error
            raise
        finally:
            del self._under_way[key]
            mine.set_result(outcome)

    def _fresh(self, key: str) -> bytes | None:
        until, answer = self._kept.get(key, (0.0, None))
        return answer if answer is not None and self._clock() < until else None

    def _keep(self, key: str, answer: bytes) -> None:
        self._drop(key)
        if len(key) + len(answer) > MAX_KEPT_BYTES:
            return
        self._kept[key] = (self._clock() + self._seconds, answer)
        self._bytes += len(key) + len(answer)
        while len(self._kept) > MAX_KEPT or self._bytes > MAX_KEPT_BYTES:
            self._drop(next(iter(self._kept)))

    def _drop(self, key: str) -> None:
        _, answer = self._kept.pop(key, (0.0, None))
        self._bytes -= 0 if answer is None else len(key) + len(answer)
