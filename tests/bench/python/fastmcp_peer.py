"""FastMCP on uvicorn with a session for each client, and one token. usage: PEER_TOKEN=… python fastmcp_peer.py PORT"""

import os
import sys

from fastmcp import FastMCP
from fastmcp.server.auth.providers.jwt import StaticTokenVerifier

verifier = StaticTokenVerifier(tokens={os.environ["PEER_TOKEN"]: {"client_id": "bench", "scopes": ["mcp"]}})
server = FastMCP("bench", auth=verifier)


@server.tool
def greet(name: str) -> str:
    """A simple greeting tool"""
    return f"Hello, {name}!"


server.run(transport="http", host="127.0.0.1", port=int(sys.argv[1]), log_level="error", show_banner=False)
