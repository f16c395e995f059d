"""What the StepChain guide says about tools, as it says it: only import lines and addresses are changed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from interlock import Plan, Step, decompose, execute
from interlock import configure as setup_stepchain
from interlock.errors import UsageError
from interlock.platform.doors import default_platform
from interlock.testing import Calls, SimulatedProvider, Text, call
from interlock.testing.script import Move, RequestView
from tests.guides.stepchain import default_platform_anew, mcp_over_http, mind, simulated_model


@pytest.fixture(autouse=True)
def _own_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    for name in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "OPENAI_BASE_URL", "ANTHROPIC_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("INTERLOCK_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    with default_platform_anew():
        yield


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> Iterator[SimulatedProvider]:
    with simulated_model(monkeypatch) as provider:
        yield provider


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """The address of a real MCP server, and the file where it writes down its calls."""
    hits = tmp_path_factory.mktemp("mcp") / "hits"
    with mcp_over_http(hits) as address:
        yield address, hits


def calls_of(hits: Path, name: str) -> int:
    return hits.read_text().splitlines().count(name) if hits.is_file() else 0


def my_search_function(query: str) -> str:
    """Search here."""
    return f"found {query}"


def validate_data(rows: int) -> bool:
    """Whether there are rows."""
    return rows > 0


PARAMETERS = {"type": "object", "properties": {"query": {"type": "string"}}, "required": ["query"]}
ROWS = {"type": "object", "properties": {"rows": {"type": "integer"}}, "required": ["rows"]}


def test_at_004_02_every_definition_of_the_guide_is_understood(model: SimulatedProvider) -> None:
    # Prefer built-in tools
    tools: list[Any] = ["web_search", "code_interpreter"]
    assert decompose("1. look\n2. sum", tools=tools).steps

    # Over custom implementations
    tools = [
        {
            "type": "function",
            "function": {"name": "my_search", "parameters": PARAMETERS},
            "implementation": my_search_function,
        }
    ]
    plan = decompose("1. look\n2. sum", tools=tools)
    searching = Plan("s", [Step("a", tool="my_search", tool_input={"query": "it"})], tools=plan.tools)
    assert execute(searching)[0].output == "found it"

    # Good: Specific allowed tools
    mcp_tool = {
        "type": "mcp",
        "server_label": "database",
        "server_url": "postgresql://db.company.com",
        "allowed_tools": ["read_only_query"],  # Restrict permissions
        "require_approval": "always",  # For production
    }
    plan = decompose("1. look\n2. sum", tools=[mcp_tool])
    assert plan.metadata.get("warnings", []) == []
    # It is no MCP server's address: a step that needs it says so, and nothing raises.
    (result,) = execute(Plan("q", [Step("a", tool="read_only_query", tool_input={})], tools=[mcp_tool]))
    assert result.status == "failed"
    assert "http(s)" in str(result.error)

    # Complementary tool selection
    tools = [
        "web_search",  # For external data
        {**mcp_tool, "server_label": "internal_db"},  # Internal data
        "code_interpreter",  # For analysis
        {
            "type": "function",
            "function": {"name": "validate", "parameters": ROWS},
            "implementation": validate_data,
        },  # Validation
    ]
    assert decompose("1. look\n2. sum", tools=tools).steps
    offered = str(model.requests[-1].body)
    assert all(name in offered for name in ("web_search", "code_interpreter", "read_only_query", "validate"))


def test_at_004_02_every_tool_without_a_person_is_warned_of_and_refused_in_production(
    model: SimulatedProvider, tmp_path: Path
) -> None:
    # Bad: Overly permissive
    mcp_tool = {
        "type": "mcp",
        "server_label": "database",
        "allowed_tools": ["*"],  # Dangerous!
        "require_approval": "never",
    }
    plan = decompose("1. look\n2. sum", tools=[mcp_tool])
    (warning,) = plan.metadata["warnings"]
    assert "every tool" in warning
    setup_stepchain(home=tmp_path / "production", profile="production")
    with pytest.raises(UsageError) as refused:
        decompose("1. look\n2. sum", tools=[mcp_tool])
    assert refused.value.code == "usage.mcp_open"


def test_at_004_03_a_tool_that_is_not_listed_is_never_called_even_if_the_model_asks(
    model: SimulatedProvider, served: tuple[str, Path]
) -> None:
    address, hits = served
    mcp_tool = {
        "type": "mcp",
        "server_label": "database",
        "server_url": address,
        "allowed_tools": ["echo"],
        "require_approval": "never",
    }

    def insists(view: RequestView) -> Move:
        if view.schema is not None:
            return mind(view)
        if not view.results:
            return Calls(*(call(name) for name in ("forbidden", "database__forbidden")))
        if len(view.results) == 2:
            return Calls(call(next(tool.name for tool in view.tools if tool.name.endswith("echo")), text="hello"))
        return Text(" / ".join(view.results.values()))

    model.script = insists
    (result,) = execute(decompose("Call what you may not call, for once and for all", tools=[mcp_tool]))
    assert result.status == "completed"
    assert str(result.output).endswith("hello")
    assert calls_of(hits, "forbidden") == 0
    assert calls_of(hits, "echo") == 1
    (direct,) = execute(
        Plan("p", [Step("a", tool="database__forbidden", tool_input={})], tools=[mcp_tool]), run_id="direct"
    )
    assert direct.status == "failed"
    assert calls_of(hits, "forbidden") == 0


def test_at_004_03_with_approval_always_a_person_is_asked_before_the_server_is(served: tuple[str, Path]) -> None:
    address, hits = served
    before = calls_of(hits, "echo")
    mcp_tool = {
        "type": "mcp",
        "server_label": "database",
        "server_url": address,
        "allowed_tools": ["echo"],
        "require_approval": "always",  # For production
    }
    plan = Plan(
        "p",
        [
            Step("ask", tool="echo", tool_input={"text": "hi"}),
            Step("after", tool="my_search_function", tool_input={"query": "${ask}"}, dependencies=["ask"]),
            Step("beside", tool="my_search_function", tool_input={"query": "beside"}),
        ],
        tools=[mcp_tool, my_search_function],
    )
    results = execute(plan, run_id="asks")
    assert [result.status for result in results] == ["awaiting_approval", "pending", "completed"]
    assert calls_of(hits, "echo") == before
    platform = default_platform()
    (waiting,) = platform.approvals.pending()
    platform._sync(lambda: platform.approvals.approve(waiting.id, by="rana", reason="read only"))
    results = execute(plan, run_id="asks", resume=True)
    assert [result.output for result in results] == ["hi", "found hi", "found beside"]
    assert calls_of(hits, "echo") == before + 1


def test_at_004_08_an_identical_call_within_the_ttl_hits_the_server_once(served: tuple[str, Path]) -> None:
    address, hits = served
    # Use MCP servers with caching
    mcp_tool = {
        "type": "mcp",
        "server_label": "cached_api",
        "server_url": address,
        "allowed_tools": ["counter"],
        "cache_ttl": 3600,  # 1 hour cache
    }
    plan = Plan(
        "p",
        [
            Step("first", tool="counter", tool_input={"who": "me"}),
            Step("second", tool="counter", tool_input={"who": "me"}, dependencies=["first"]),
            Step("other", tool="counter", tool_input={"who": "you"}, dependencies=["second"]),
        ],
        tools=[mcp_tool],
    )
    results = execute(plan)
    assert [result.output for result in results] == ["1", "1", "2"]
    assert calls_of(hits, "counter") == 2


def test_at_004_secrets_of_a_server_are_never_written_down(
    model: SimulatedProvider, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECURE_API_KEY", "k-9f8e7d6c5b4a39281706")
    monkeypatch.setenv("SECURE_API_SECRET", "s-112233445566778899aa")
    # Use authentication
    mcp_tool = {
        "type": "mcp",
        "server_label": "secure_api",
        "server_url": "https://127.0.0.1:9/mcp",
        "env": {
            "API_KEY": os.getenv("SECURE_API_KEY"),  # Don't hardcode!
            "API_SECRET": os.getenv("SECURE_API_SECRET"),
        },
    }
    plan = decompose("1. look\n2. sum", tools=[mcp_tool])
    execute(plan, run_id="secure")
    default_platform().close_sync()
    written = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    for secret in (b"k-9f8e7d6c5b4a39281706", b"s-112233445566778899aa"):
        assert secret not in written
        assert secret.decode() not in str(plan.to_json())


def execute_query(query: str) -> dict[str, Any]:
    return {"ran": query}


def safe_database_tool(query: str) -> dict:  # type: ignore[type-arg]
    """Validate queries before execution."""
    # Prevent destructive operations
    forbidden = ["DROP", "DELETE", "TRUNCATE", "UPDATE"]
    if any(word in query.upper() for word in forbidden):
        raise ValueError("Destructive operations not allowed")

    # Additional validation
    if not query.strip().upper().startswith("SELECT"):
        raise ValueError("Only SELECT queries allowed")

    return execute_query(query)


def test_at_004_13_the_exceptions_of_a_tool_arrive_word_for_word() -> None:
    with pytest.raises(ValueError, match=r"^Destructive operations not allowed$"):
        safe_database_tool("drop table users")
    with pytest.raises(ValueError, match=r"^Only SELECT queries allowed$"):
        safe_database_tool("INSERT INTO users VALUES (1)")
    queries = {"good": "SELECT 1", "drop": "DROP TABLE users", "insert": "INSERT INTO users VALUES (1)"}
    plan = Plan(
        "p",
        [Step(name, tool="safe_database_tool", tool_input={"query": query}) for name, query in queries.items()],
        tools=[safe_database_tool],
    )
    found = {result.step_id: result for result in execute(plan)}
    assert found["good"].output == {"ran": "SELECT 1"}
    assert str(found["drop"].error).endswith("ValueError: Destructive operations not allowed")
    assert str(found["insert"].error).endswith("ValueError: Only SELECT queries allowed")
    assert {found[name].kind for name in ("drop", "insert")} == {"tool_error"}
