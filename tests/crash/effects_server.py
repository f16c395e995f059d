"""An MCP server with one tool, `effect`, which adds a line to a file: `python effects_server.py FILE`.

Written without the SDK, so that it is there at once: one starts for every life of a process that dies.
"""

import json
import os
import sys

TOOL = {
    "name": "effect",
    "description": "Have an effect.",
    "inputSchema": {
        "type": "object",
        "properties": {"path": {"type": "string"}, "key": {"type": "string"}},
        "required": ["path", "key"],
    },
    "annotations": {"readOnlyHint": True, "idempotentHint": True},
}


def answer(method, given):
    """The result of a request, or None where the method is not known."""
    if method == "initialize":
        about = {"name": "effects", "version": "1"}
        return {"protocolVersion": "2025-06-18", "capabilities": {"tools": {}}, "serverInfo": about}
    if method == "tools/list":
        return {"tools": [TOOL]}
    if method == "tools/call":
        line = {"what": "did", **given["arguments"]}
        os.write(FILE, f"{json.dumps(line)}\n".encode())
        return {"content": [{"type": "text", "text": f"effect of {given['arguments']['path']}"}]}
    return None


if __name__ == "__main__":
    FILE = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for text in sys.stdin:
        asked = json.loads(text)
        if "id" not in asked:
            continue
        result = answer(asked["method"], asked.get("params") or {})
        said = {"error": {"code": -32601, "message": "no such method"}} if result is None else {"result": result}
        sys.stdout.write(json.dumps({"jsonrpc": "2.0", "id": asked["id"], **said}) + "\n")
        sys.stdout.flush()
