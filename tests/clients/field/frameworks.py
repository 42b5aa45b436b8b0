"""The MCP clients of two Python frameworks for agents: pydantic-ai and openai-agents. No model is used.

usage: python frameworks.py pydantic-ai|openai-agents ORIGIN, with a browser in BROWSER that prints where it ends
"""

import asyncio
import os
import sys
from urllib.parse import parse_qs, urlsplit

from mcp.client.auth import OAuthClientProvider
from mcp.shared.auth import AuthorizationCodeResult, OAuthClientMetadata

REDIRECT_URI = "http://localhost:9/callback"


class Keeper:
    """The state of an MCP client between requests, in memory, and its user."""

    tokens = client = link = None

    async def get_tokens(self):
        return self.tokens

    async def set_tokens(self, tokens):
        self.tokens = tokens

    async def get_client_info(self):
        return self.client

    async def set_client_info(self, client):
        self.client = client

    async def on_redirect(self, link):
        self.link = link

    async def on_callback(self):
        browser = await asyncio.create_subprocess_exec(os.environ["BROWSER"], self.link, stdout=asyncio.subprocess.PIPE)
        printed, _ = await browser.communicate()
        assert browser.returncode == 0, "the browser did not get back to the client"
        told = {name: values[0] for name, values in parse_qs(urlsplit(printed.decode().strip()).query).items()}
        return AuthorizationCodeResult(code=told["code"], state=told["state"], iss=told["iss"])


def login(name, endpoint):
    keeper = Keeper()
    metadata = OAuthClientMetadata(client_name=name, redirect_uris=[REDIRECT_URI])
    return OAuthClientProvider(endpoint, metadata, keeper, keeper.on_redirect, keeper.on_callback)


async def pydantic_ai(endpoint):
    from pydantic_ai.mcp import MCPToolset

    async with MCPToolset(endpoint, auth=login("pydantic-ai", endpoint)) as toolset:
        print("ok: it registers and logs in")
        names = [tool.name for tool in await toolset.list_tools()]
        assert "greet" in names, names
        print("ok: it lists the tools")
        result = await toolset.direct_call_tool("greet", {"name": "Ada"})
        assert "Hello, Ada!" in str(result), result
        print("ok: greet greets")


async def openai_agents(endpoint):
    from agents.mcp import MCPServerStreamableHttp

    params = {"url": endpoint, "auth": login("openai-agents", endpoint), "timeout": 30}
    async with MCPServerStreamableHttp(params, client_session_timeout_seconds=60) as server:
        print("ok: it registers and logs in")
        names = [tool.name for tool in await server.list_tools()]
        assert "greet" in names, names
        print("ok: it lists the tools")
        result = await server.call_tool("greet", {"name": "Ada"})
        assert result.content[0].text == "Hello, Ada!", result
        print("ok: greet greets")


walk = {"pydantic-ai": pydantic_ai, "openai-agents": openai_agents}[sys.argv[1]]
asyncio.run(walk(f"{sys.argv[2]}/mcp"))
