"""FastMCP's client, which opens a browser and listens for the callback itself, in both eras.

usage: python walk.py ORIGIN, with a browser in BROWSER
"""

import asyncio
import os
import sys

from fastmcp import Client
from fastmcp.client.auth import OAuth


async def walk(origin, mode, version):
    """Logs in, lists and calls; then connects again with the same tokens."""
    auth = OAuth(client_name="FastMCP", callback_timeout=60)
    async with Client(f"{origin}/mcp", auth=auth, mode=mode) as client:
        assert client.protocol_version == version, client.protocol_version
        print(f"ok: {mode}: the client registers, logs in and settles on {version}")
        names = [tool.name for tool in await client.list_tools()]
        assert "greet" in names, names
        print(f"ok: {mode}: it lists the tools")
        result = await client.call_tool("greet", {"name": "Ada"})
        assert result.content[0].text == "Hello, Ada!", result
        print(f"ok: {mode}: greet greets")
        before = await auth.context.storage.get_tokens()
        auth.context.token_expiry_time = 1
        await client.call_tool("greet", {"name": "Grace"})
        after = await auth.context.storage.get_tokens()
        assert before.refresh_token != after.refresh_token
        print(f"ok: {mode}: a token that is over is refreshed")


async def main(origin):
    await walk(origin, "legacy", "2025-11-25")
    await walk(origin, "auto", "2026-07-28")


os.environ["BROWSER"] += " %s &"  # & lets webbrowser return at once, as on a desktop
asyncio.run(main(sys.argv[1]))
