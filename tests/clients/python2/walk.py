"""The official Python SDK 2.x, with its own OAuth code, in both eras.

usage: python walk.py ORIGIN, with a browser in BROWSER that prints where it ends
"""

import asyncio
import os
import sys
from contextlib import asynccontextmanager
from urllib.parse import parse_qs, urlsplit

import httpx2
from mcp import Client
from mcp.client.auth import OAuthClientProvider
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.auth import AuthorizationCodeResult, OAuthClientMetadata

REDIRECT_URI = "http://localhost:9/callback"


class Keeper:
    """The state of an MCP client between requests, in memory, and its user."""

    tokens = client = link = None
    logins = 0

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
        self.logins += 1

    async def on_callback(self):
        browser = await asyncio.create_subprocess_exec(os.environ["BROWSER"], self.link, stdout=asyncio.subprocess.PIPE)
        printed, _ = await browser.communicate()
        assert browser.returncode == 0, "the browser did not get back to the client"
        told = {name: values[0] for name, values in parse_qs(urlsplit(printed.decode().strip()).query).items()}
        return AuthorizationCodeResult(code=told["code"], state=told["state"], iss=told["iss"])


class Walk:
    def __init__(self, origin, mode, version):
        self.endpoint, self.mode, self.version = f"{origin}/mcp", mode, version
        self.keeper = Keeper()
        metadata = OAuthClientMetadata(client_name="Python SDK 2", redirect_uris=[REDIRECT_URI])
        self.auth = OAuthClientProvider(self.endpoint, metadata, self.keeper, self.keeper.on_redirect, self.keeper.on_callback)

    @asynccontextmanager
    async def connected(self):
        async with httpx2.AsyncClient(auth=self.auth, timeout=30) as http:
            transport = streamable_http_client(self.endpoint, http_client=http)
            async with Client(transport, mode=self.mode) as client:
                assert client.protocol_version == self.version, client.protocol_version
                yield client

    async def greet(self, name):
        async with self.connected() as client:
            result = await client.call_tool("greet", {"name": name})
            assert result.content[0].text == f"Hello, {name}!", result

    async def the_sdk_registers_logs_in_and_lists_the_tools(self):
        async with self.connected() as client:
            names = [tool.name for tool in (await client.list_tools()).tools]
            assert "greet" in names, names
        assert self.keeper.logins == 1
        assert self.keeper.client.client_id and self.keeper.tokens.refresh_token

    async def greet_greets(self):
        await self.greet("Ada")
        assert self.keeper.logins == 1

    async def a_token_that_is_over_is_refreshed_without_a_person(self):
        before = self.keeper.tokens
        self.auth.context.token_expiry_time = 1
        await self.greet("Grace")
        assert self.keeper.tokens.refresh_token != before.refresh_token
        assert self.keeper.logins == 1


async def main(origin):
    for mode, version in [("legacy", "2025-11-25"), ("auto", "2026-07-28"), ("2026-07-28", "2026-07-28")]:
        walk = Walk(origin, mode, version)
        for step in [
            walk.the_sdk_registers_logs_in_and_lists_the_tools,
            walk.greet_greets,
            walk.a_token_that_is_over_is_refreshed_without_a_person,
        ]:
            await step()
            print(f"ok: {mode}: {step.__name__}")


asyncio.run(main(sys.argv[1]))
