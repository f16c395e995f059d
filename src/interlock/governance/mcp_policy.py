"""What a gate says about calls of MCP tools: only what is listed, and with a person where its definition wants one."""

from __future__ import annotations

from collections.abc import Mapping

from interlock.records.verdict import Act, Effect, Verdict
from interlock.tools.mcp_settings import ACT_PARTS, McpServer

_NO_SERVERS: Mapping[str, McpServer] = {}


def mcp_judge(act: Act, servers: Mapping[str, McpServer] = _NO_SERVERS) -> Verdict | None:
    """What the definition of its server says about an act: blocked, for a person to allow, or nothing.

    Without the definition the act's own word counts, which is the tool's and not the model's. With it the stricter
    of the two does.

    Args:
        act: What would be done.
        servers: The definitions by label, as far as they are known here.

    Returns:
        None where this is no call of an MCP tool, or nothing stands against it.
    """
    if act.kind != "tool" or act.arguments.keys() != ACT_PARTS:
        return None
    label, tool, approval = (act.arguments[part] for part in ("server", "tool", "approval"))
    rule = f"mcp {label!s:.80}"
    server = servers.get(label) if isinstance(label, str) else None
    if server is not None and not (isinstance(tool, str) and server.allows(tool)):
        reason = f"The tool {tool!s:.80} is not in the allowed_tools of the MCP server {label!s:.80}."
        return Verdict(effect=Effect.BLOCK, rule=rule, reason=reason)
    if approval == "never" and (server is None or server.require_approval == "never"):
        return None
    reason = f"Every call of a tool of the MCP server {label!s:.80} needs a person's consent."
    return Verdict(effect=Effect.APPROVAL, rule=rule, reason=reason)
