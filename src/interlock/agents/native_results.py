"""What a provider's own tools brought, in the form in which the local tools of the same names give it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from interlock.agents.native import items_of, places_of, tool_of
from interlock.agents.provider import ModelResponse
from interlock.errors import ToolFailed
from interlock.tools.result import clean, cut
from interlock.tools.web import WebResult, cleaned

#: Bytes kept of what code wrote, of each kind; of the answer that a model gave with it; and of the code that was run.
MAX_OUTPUT, MAX_ANSWER, MAX_CODE = 64_000, 60_000, 100_000
#: Longest file name that is told, and most files.
MAX_NAME, MAX_FILES = 300, 200
#: What Anthropic calls the outcome of its tools, by the end of the type.
_RESULT = "_tool_result"
_WORD = re.compile(r"[a-z0-9_]{1,60}")

Item = Mapping[str, Any]


def found_by(provider: str, query: str, limit: int, replies: Sequence[ModelResponse]) -> dict[str, Any]:
    """A search in the form of the local `web_search`, with the model's answer, and what was really searched for.

    Args:
        provider: Who searched.
        query: What was asked for.
        limit: Most results.
        replies: All that the model answered.

    Raises:
        ToolFailed: `tool.native_unused` where nothing was searched, `tool.native` where no search worked.
    """
    items = [item for reply in replies for item in items_of(reply)]
    calls = [item for item in items if tool_of(item) == "web_search"]
    if not calls:
        raise _unused(provider, "web_search")
    results: dict[str, dict[str, str]] = {}
    for page in _pages(items):
        found = cleaned(page)
        if found is None:
            continue
        known = results.setdefault(found["url"], found)
        known.update({name: text for name, text in found.items() if text and not known[name]})
    failures = [why for item in items if (why := _why(item))]
    if not results and failures:
        raise _failed(provider, "web_search", failures[0])
    asked = dict.fromkeys(text for call in calls for text in _queries(call))
    return {
        "query": query,
        "results": list(results.values())[:limit],
        "text": _answer(replies),
        "queries": [cut(clean(text), MAX_NAME) for text in asked],
        "where": f"native at {provider}",
    }


def ran_at(provider: str, mark: str, replies: Sequence[ModelResponse]) -> dict[str, Any]:
    """A run of code in the form of the local `code_interpreter`, with the model's answer and the code that was run.

    Args:
        provider: Who ran it.
        mark: What stands in the output before the value of the last expression.
        replies: All that the model answered.

    Raises:
        ToolFailed: `tool.native_unused` where no code was run, `tool.native` where it could not be.
    """
    items = [item for reply in replies for item in items_of(reply)]
    calls = [item for item in items if tool_of(item) == "code_interpreter"]
    if not calls:
        raise _unused(provider, "code_interpreter")
    ends = [end for item in items if (end := _ended(item)) is not None]
    failures = [why for item in items if (why := _why(item))]
    if not ends:
        raise _failed(provider, "code_interpreter", failures[0] if failures else "no outcome")
    said, found, value = clean("".join(end[1] for end in ends)).rpartition(mark)
    stdout, stderr = said if found else value, clean("".join(end[2] for end in ends))
    place = next((one for reply in reversed(replies) for one in sorted(places_of(reply)) if one), "")
    return {
        "exit_code": ends[-1][0],
        "stdout": cut(stdout, MAX_OUTPUT),
        "stderr": cut(stderr, MAX_OUTPUT),
        "value": cut(value.strip("\n"), MAX_OUTPUT) if found else None,
        "files": list(_files(items))[:MAX_FILES],
        "truncated": len(stdout.encode()) > MAX_OUTPUT or len(stderr.encode()) > MAX_OUTPUT,
        "text": _answer(replies),
        "code": [cut(clean(code), MAX_CODE) for code in map(code_of, calls) if code],
        "container": place,
        "where": f"native at {provider}",
    }


def code_of(item: Item) -> str:
    """The code or the command of one use of a provider's code interpreter."""
    given = item.get("input") if item.get("type") == "server_tool_use" else item
    texts = (given.get(name) for name in ("code", "command", "file_text")) if isinstance(given, Mapping) else ()
    return "\n".join(text for text in texts if isinstance(text, str))


def _answer(replies: Sequence[ModelResponse]) -> str:
    return cut(clean("".join(reply.text for reply in replies)), MAX_ANSWER)


def _queries(call: Item) -> Iterator[str]:
    """What was searched for: OpenAI tells several, Anthropic one."""
    for given in map(_mapping, (call.get("action"), call.get("input"))):
        told = given.get("queries") or [given.get("query")]
        yield from (text for text in _listed(told) if isinstance(text, str) and text)


def _pages(items: Iterable[Item]) -> Iterator[WebResult]:
    """The pages an answer rests on first, with the passage that does; then what else was found."""
    items = list(items)
    for item in items:
        yield from _cited(item)
    for item in items:
        sources = _mapping(item.get("action")).get("sources")
        listed = item.get("content") if item.get("type") == f"web_search{_RESULT}" else sources
        for one in map(_mapping, _listed(listed)):
            yield WebResult(title=_text(one.get("title")), url=_text(one.get("url")))


def _cited(item: Item) -> Iterator[WebResult]:
    """The sources of a text: Anthropic quotes them, OpenAI marks the place in the text that rests on them."""
    for one in map(_mapping, _listed(item.get("citations"))):
        yield WebResult(title=_text(one.get("title")), url=_text(one.get("url")), text=_text(one.get("cited_text")))
    for part in map(_mapping, _listed(item.get("content")) if item.get("type") == "message" else ()):
        text, begin = _text(part.get("text")), 0
        for one in map(_mapping, _listed(part.get("annotations"))):
            at, end = one.get("start_index"), one.get("end_index")
            if one.get("type") == "url_citation" and isinstance(at, int) and isinstance(end, int):
                passage = text[begin:at].strip().rpartition("\n")[2] if begin <= at else ""
                yield WebResult(title=_text(one.get("title")), url=_text(one.get("url")), text=passage)
                begin = end


def _ended(item: Item) -> tuple[int, str, str] | None:
    """How one use of a code interpreter ended: exit code, stdout, stderr; None where the item says nothing of it."""
    if item.get("type") == "code_interpreter_call":
        logs = "".join(_text(one.get("logs")) for one in map(_mapping, _listed(item.get("outputs"))))
        broke = item.get("status") == "failed" or "Traceback (most recent call last)" in logs
        return int(broke), logs, ""
    content = _mapping(item.get("content"))
    code = content.get("return_code")
    if not str(item.get("type")).endswith(_RESULT) or not isinstance(code, int):
        return None
    return code, _text(content.get("stdout")), _text(content.get("stderr"))


def _files(items: Iterable[Item]) -> Iterator[dict[str, str]]:
    """Files that code left at the provider, by the ids under which it gives them out."""
    for item in items:
        made = _listed(_mapping(item.get("content")).get("content"))
        parts = map(_mapping, _listed(item.get("content")) if item.get("type") == "message" else ())
        notes = [note for part in parts for note in _listed(part.get("annotations"))]
        for one in map(_mapping, (*made, *notes)):
            if isinstance(one.get("file_id"), str):
                path = _text(one.get("filename")) or one["file_id"]
                yield {"path": cut(clean(path), MAX_NAME), "file_id": cut(clean(one["file_id"]), MAX_NAME)}


def _why(item: Item) -> str:
    """Why a use of a tool failed, in the vendor's word for it; empty where it did not."""
    content = _mapping(item.get("content"))
    if str(item.get("type")).endswith(_RESULT) and "error_code" in content:
        word = content["error_code"]
        return word if isinstance(word, str) and _WORD.fullmatch(word) else "unknown"
    return "failed" if tool_of(item) and item.get("status") == "failed" else ""


def _unused(provider: str, name: str) -> ToolFailed:
    return ToolFailed(
        f"The model at {provider} answered without using {name}, so its answer rests on nothing.",
        "Try the step again, put it in other words, or have it done here.",
        code="tool.native_unused",
    )


def _failed(provider: str, name: str, why: str) -> ToolFailed:
    return ToolFailed(
        f"{name} did not work at {provider}: {why}.", "Try again later, or do it here.", code="tool.native"
    )


def _mapping(value: object) -> Item:
    return value if isinstance(value, Mapping) else {}


def _listed(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
