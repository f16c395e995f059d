"""Replies of models that used a tool of their provider's own: with the items that each vendor's wire has for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from interlock.records.money import Usage
from interlock.testing.script import Api, Reply

#: A place where code is run, by OpenAI's name for one that a script names nothing else.
CONTAINER = "cntr_simulated"


def searched(
    api: Api, query: str, pages: Sequence[Mapping[str, str]], text: str, *, usage: Usage | None = None
) -> Reply:
    """A reply that searched the web once, and rests on what it found.

    Args:
        api: The wire of the request, `RequestView.api`.
        query: What it searched for.
        pages: What it found: `url`, `title`, and `text` where its answer rests on a passage.
        text: Its answer.
        usage: What it reports as consumed; see `Reply`.
    """
    made = _openai_search if api == "openai-responses" else _anthropic_search
    return Reply(native=made(query, pages, text), usage=usage)


def ran_code(
    api: Api,
    code: str,
    text: str = "",
    *,
    stdout: str = "",
    stderr: str = "",
    exit_code: int = 0,
    container: str = CONTAINER,
    usage: Usage | None = None,
) -> Reply:
    """A reply that ran code once.

    Args:
        api: The wire of the request, `RequestView.api`.
        code: The code it ran.
        text: Its answer.
        stdout: What the code printed.
        stderr: Its errors, which OpenAI shows among what it printed.
        exit_code: How it ended.
        container: Where it ran, for OpenAI; Anthropic says that of the whole answer.
        usage: What it reports as consumed; see `Reply`.
    """
    if api == "openai-responses":
        call = {
            "id": "ci_simulated",
            "type": "code_interpreter_call",
            "status": "failed" if exit_code else "completed",
            "code": code,
            "container_id": container,
            "outputs": [{"type": "logs", "logs": stdout + stderr}],
        }
        return Reply(native=(call,), text=text, usage=usage)
    name, mark = "bash_code_execution", "srvtoolu_code"
    outcome = {"type": f"{name}_result", "stdout": stdout, "stderr": stderr, "return_code": exit_code, "content": []}
    items: tuple[dict[str, Any], ...] = (
        {"type": "server_tool_use", "id": mark, "name": name, "input": {"command": f"python3 <<'EOF'\n{code}\nEOF"}},
        {"type": f"{name}_tool_result", "tool_use_id": mark, "content": outcome},
    )
    return Reply(native=items, text=text, usage=usage)


def _openai_search(query: str, pages: Sequence[Mapping[str, str]], text: str) -> tuple[dict[str, Any], ...]:
    said, notes = text, []
    for page in pages:
        if passage := page.get("text"):
            said += f"\n{passage} "
            link = f"([{page['title']}]({page['url']}))"
            note = {"type": "url_citation", "url": page["url"], "title": page["title"]}
            notes.append({**note, "start_index": len(said), "end_index": len(said) + len(link)})
            said += link
    action = {
        "type": "search",
        "query": query,
        "queries": [query],
        "sources": [{"type": "url", "url": page["url"]} for page in pages],
    }
    part = {"type": "output_text", "text": said, "annotations": notes, "logprobs": []}
    return (
        {"id": "ws_simulated", "type": "web_search_call", "status": "completed", "action": action},
        {"id": "msg_found", "type": "message", "role": "assistant", "status": "completed", "content": [part]},
    )


def _anthropic_search(query: str, pages: Sequence[Mapping[str, str]], text: str) -> tuple[dict[str, Any], ...]:
    mark = "srvtoolu_search"
    results = [
        {"type": "web_search_result", "url": page["url"], "title": page["title"], "encrypted_content": "x"}
        for page in pages
    ]
    quotes = [
        {
            "type": "web_search_result_location",
            "url": page["url"],
            "title": page["title"],
            "encrypted_index": "x",
            "cited_text": page["text"],
        }
        for page in pages
        if page.get("text")
    ]
    return (
        {"type": "server_tool_use", "id": mark, "name": "web_search", "input": {"query": query}},
        {"type": "web_search_tool_result", "tool_use_id": mark, "content": results},
        {"type": "text", "text": text, "citations": quotes},
    )
