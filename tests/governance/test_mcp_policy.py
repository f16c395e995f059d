"""What the gate says about MCP tools: a person where the definition wants one, and nothing that is not listed."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

from interlock.governance.gate import PolicyGate
from interlock.governance.mcp_policy import mcp_judge
from interlock.records.verdict import Act, Effect
from interlock.tools.mcp_settings import McpServer


def act(**parts: Any) -> Act:
    asked = {"server": "shop", "tool": "look", "arguments": {"q": 1}, "approval": "never", **parts}
    return Act(kind="tool", name="look", arguments=asked)


def servers(**more: Any) -> dict[str, McpServer]:
    given = {"type": "mcp", "server_label": "shop", "server_url": "https://mcp.example/mcp", "allowed_tools": ["look"]}
    return {"shop": McpServer.read({**given, **more})}


def test_a_tool_that_needs_a_person_waits_for_one() -> None:
    for verdict in (
        mcp_judge(act(approval="always")),
        mcp_judge(act(approval="always"), servers(require_approval="never")),
        mcp_judge(act(), servers(require_approval="always")),
        mcp_judge(act(approval=None)),
    ):
        assert verdict is not None
        assert (verdict.effect, verdict.rule) == (Effect.APPROVAL, "mcp shop")


def test_a_tool_that_is_not_listed_is_blocked() -> None:
    for tool in ("drop", "LOOK", "", None, ["look"]):
        verdict = mcp_judge(act(tool=tool), servers())
        assert verdict is not None
        assert (verdict.effect, verdict.rule) == (Effect.BLOCK, "mcp shop")


def test_nothing_is_said_of_what_is_allowed_or_no_call_of_an_mcp_tool() -> None:
    assert mcp_judge(act()) is None
    assert mcp_judge(act(), servers()) is None
    assert mcp_judge(replace(act(approval="always"), kind="command")) is None
    assert mcp_judge(replace(act(), arguments={"server": "shop", "tool": "drop"}), servers()) is None
    assert mcp_judge(act(server=["shop"])) is None


async def test_the_gate_asks_it_like_any_other_judge() -> None:
    judge = partial(mcp_judge, servers=servers(require_approval="always"))
    gate = PolicyGate(tools={"look"}, judges={"tool": [judge]})
    assert (await gate.admit(act())).effect is Effect.APPROVAL
    assert (await gate.admit(act(tool="drop"))).effect is Effect.BLOCK
