"""An MCP server that ends in the middle of every call of its tool, `pay`: `python dying_mcp_server.py FILE`."""

import json
import os
import sys

TOOL = {"name": "pay", "inputSchema": {"type": "object", "properties": {"who": {"type": "string"}}}}
ABOUT = {"protocolVersion": "2025-06-18", "capabilities": {"tools": {}}, "serverInfo": {"name": "shop", "version": "1"}}
ANSWERS = {"initialize": ABOUT, "tools/list": {"tools": [TOOL]}}

if __name__ == "__main__":
    for line in sys.stdin:
        asked = json.loads(line)
        if asked["method"] == "tools/call":
            with open(sys.argv[1], "a", encoding="utf-8") as log:
                log.write(asked["params"]["arguments"]["who"] + "\n")
            os._exit(1)
        if "id" in asked:
            unknown = {"error": {"code": -32601, "message": "no such method"}}
            said = {"result": ANSWERS[asked["method"]]} if asked["method"] in ANSWERS else unknown
            sys.stdout.write(json.dumps({"jsonrpc": "2.0", "id": asked["id"], **said}) + "\n")
            sys.stdout.flush()
