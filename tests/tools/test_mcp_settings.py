"""Definitions of MCP servers: what the guide writes is read, what is wrong is refused, and no secret is kept."""

from __future__ import annotations

import json
import os
from typing import Any

import pytest

from interlock.errors import UsageError
from interlock.tools.mcp_settings import DEFAULT_TIMEOUT, McpServer

KEY = "sk-live-0123456789abcdef"


def definition(**more: Any) -> dict[str, Any]:
    return {"type": "mcp", "server_label": "shop", "server_command": "server", "allowed_tools": ["look"], **more}


def by_url(**more: Any) -> dict[str, Any]:
    return {"type": "mcp", "server_label": "shop", "server_url": "https://mcp.example/mcp", **more}


GUIDE = [
    {
        "type": "mcp",
        "server_label": "database",
        "server_url": "postgresql://db.company.com",
        "allowed_tools": ["read_only_query"],
        "require_approval": "always",
    },
    {"type": "mcp", "server_label": "database", "allowed_tools": ["*"], "require_approval": "never"},
    {
        "type": "mcp",
        "server_label": "cached_api",
        "server_url": "https://api.company.com/mcp",
        "allowed_tools": ["get_data_cached"],
        "cache_ttl": 3600,
    },
    {
        "type": "mcp",
        "server_label": "secure_api",
        "server_url": "https://api.company.com/mcp",
        "env": {"API_KEY": os.getenv("NOT_SET_ANYWHERE"), "API_SECRET": os.getenv("NOT_SET_ANYWHERE")},
    },
]


@pytest.mark.parametrize("given", GUIDE, ids=lambda given: f"{given['server_label']}-{len(given)}")
def test_every_definition_of_the_guide_is_read(given: dict[str, Any]) -> None:
    server = McpServer.read(given)
    assert server.label == given["server_label"]
    assert server.timeout == DEFAULT_TIMEOUT
    assert McpServer.read(server.to_json()).to_json() == server.to_json()


def test_every_tool_without_a_person_is_warned_of_and_refused_in_production() -> None:
    for open_wide in ({"allowed_tools": ["*"]}, {"allowed_tools": ["look", "*"]}, {"allowed_tools": None}):
        given = definition(**open_wide, require_approval="never")
        assert "lets agents call every tool" in McpServer.read(given).warnings[0]
        with pytest.raises(UsageError) as refused:
            McpServer.read(given, production=True)
        assert refused.value.code == "usage.mcp_open"
    for fine in (definition(require_approval="never"), definition(allowed_tools=["*"], require_approval="always")):
        assert McpServer.read(fine, production=True).warnings == ()


def test_a_person_is_asked_unless_tools_are_named_or_the_definition_says_so() -> None:
    assert McpServer.read(definition()).require_approval == "never"
    assert McpServer.read(definition(allowed_tools=["*"])).require_approval == "always"
    assert McpServer.read(definition(allowed_tools=None)).require_approval == "always"


def test_only_exactly_what_is_listed_is_allowed() -> None:
    server = McpServer.read(definition(allowed_tools=["look"]))
    assert [server.allows(name) for name in ("look", "looks", "Look", "loo", "", "*")] == [True] + [False] * 5
    assert not McpServer.read(definition(allowed_tools=[])).allows("look")
    assert McpServer.read(definition(allowed_tools=["*"])).allows("anything")


@pytest.mark.parametrize(
    "given",
    [
        {"type": "function"},
        definition(server_label="a label"),
        definition(server_label=None),
        definition(allowed_tools="look"),
        definition(allowed_tools=["read_*"]),
        definition(allowed_tools=[1]),
        definition(require_approval="sometimes"),
        definition(require_approval=None),
        definition(timeout=0),
        definition(timeout=True),
        definition(timeout="5"),
        definition(timeout=float("nan")),
        definition(cache_ttl=-1),
        definition(cache_ttl=float("inf")),
        definition(env=["A=b"]),
        definition(env={"A B": "x"}),
        definition(env={"A": 5}),
        definition(env={"A": {"from_env": "B", "or": "C"}}),
        definition(headers={"X-Y": "a\r\nb: c"}),
        definition(server_args="--all"),
        definition(server_args=[1]),
        definition(server_command=""),
        definition(server_url="https://mcp.example"),
        by_url(server_args=["x"]),
        by_url(server_url="mcp.example"),
        by_url(server_url=7),
        definition(allowd_tools=["look"]),
    ],
    ids=str,
)
def test_what_cannot_be_used_is_refused_with_the_reason(given: dict[str, Any]) -> None:
    with pytest.raises(UsageError) as refused:
        McpServer.read(given)
    assert refused.value.code == "usage.mcp"


def test_a_misspelt_key_is_told_with_the_right_one() -> None:
    with pytest.raises(UsageError, match="did you mean allowed_tools"):
        McpServer.read(definition(allowd_tools=["look"]))


def test_no_secret_is_in_what_is_stored_shown_or_logged() -> None:
    env = {"API_KEY": KEY, "BY_NAME": "${SHOP_KEY}", "ALSO": {"from_env": "OTHER"}, "MIXED": f"{KEY}${{SHOP_KEY}}"}
    headers = {"Authorization": "Bearer ${API_KEY}", "X-Key": KEY}
    given = by_url(server_url=f"https://user:{KEY}@mcp.example/mcp?key={KEY}", env=env, headers=headers)
    server = McpServer.read(given)
    stored = server.to_json()
    assert stored["env"] == {"API_KEY": None, "BY_NAME": "${SHOP_KEY}", "ALSO": "${OTHER}", "MIXED": None}
    assert stored["headers"] == {"Authorization": "Bearer ${API_KEY}", "X-Key": None}
    assert stored["server_url"] == "https://mcp.example/mcp"
    resolved = server.resolve({"SHOP_KEY": KEY, "OTHER": KEY})
    run = McpServer.read(definition(server_args=["--key", KEY]))
    for text in (json.dumps(stored), repr(server), str(server), repr(resolved), json.dumps(run.to_json())):
        assert KEY not in text
        assert KEY not in " ".join(server.warnings)


def test_names_get_their_values_from_the_definition_first_and_then_from_the_environment() -> None:
    env = {"API_KEY": "${SHOP_KEY}", "MODE": "fast"}
    environ = {"SHOP_KEY": "right-0123", "API_KEY": "wrong-0123", "MODE": "slow", "HOST": "host-name-1"}
    run = McpServer.read(definition(env={**env, "PATH_OF": {"from_env": "HOST"}})).resolve(environ)
    assert run.env == {"API_KEY": "right-0123", "MODE": "fast", "PATH_OF": "host-name-1"}
    headers = {"Authorization": "Bearer ${API_KEY}", "X-Mode": "${MODE}", "X-Host": "${HOST}"}
    reached = McpServer.read(by_url(env=env, headers=headers)).resolve(environ)
    assert reached.headers == {"Authorization": "Bearer right-0123", "X-Mode": "fast", "X-Host": "host-name-1"}
    assert reached.env == {}


def test_secrets_are_named_and_what_is_plainly_none_is_not() -> None:
    environ = {"SHOP_KEY": "a-secret-value", "HOME_OF": "/home/shop", "PORT": "80443"}
    env = {"A": "${SHOP_KEY}", "B": "${HOME_OF}", "C": "${PORT}", "LEVEL": "debugging", "DB_PASSWORD": "let me in"}
    found = McpServer.read(definition(env=env)).resolve(environ).secrets
    assert {(one.name, one.value) for one in found} == {("SHOP_KEY", "a-secret-value"), ("DB_PASSWORD", "let me in")}
    headers = {"Authorization": "Bearer abcdefghijk"}
    assert McpServer.read(by_url(headers=headers)).resolve({}).secrets[0].value == "abcdefghijk"
    address = "https://ada:pass-word@mcp.example/mcp?api_key=in-the-address&shop=in-the-open"
    found = McpServer.read(by_url(server_url=address)).resolve({}).secrets
    assert {one.value for one in found} == {"pass-word", "in-the-address"}


@pytest.mark.parametrize("env", [{"KEY": None}, {"KEY": "${NOT_SET}"}, {"KEY": {"from_env": "EMPTY"}}])
def test_a_variable_without_a_value_is_an_error_before_anything_is_started(env: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="has no value") as refused:
        McpServer.read(definition(env=env)).resolve({"EMPTY": ""})
    assert refused.value.code == "usage.mcp"


@pytest.mark.parametrize("given", GUIDE[:2], ids=["postgres", "no address"])
def test_what_is_no_mcp_server_is_told_when_it_would_be_connected_to(given: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=r"needs an MCP server's http\(s\) address"):
        McpServer.read(given).resolve({})


def test_env_that_is_sent_nowhere_is_warned_of() -> None:
    assert "is not sent" in McpServer.read(by_url(env={"API_KEY": "x"})).warnings[0]
    headers = {"Authorization": "Bearer ${API_KEY}"}
    assert McpServer.read(by_url(env={"API_KEY": "x"}, headers=headers)).warnings == ()
