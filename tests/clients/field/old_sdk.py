"""The official Python SDK 1.8, which supports no protocol version after 2024-11-05 (over Streamable HTTP) and rejects any other.

usage: python old_sdk.py ORIGIN, with a browser in BROWSER that prints where it ends
"""

import asyncio
import base64
import hashlib
import os
import secrets
import sys
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx
from mcp import ClientSession
from mcp.client.streamable_http import streamablehttp_client

REDIRECT_URI = "http://localhost:9/callback"


async def log_in(origin):
    """An access token. This version has no OAuth of its own: programs that use it implement that themselves, as here."""
    verifier = secrets.token_urlsafe(32)
    challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
    async with httpx.AsyncClient() as http:
        metadata = (await http.get(f"{origin}/.well-known/oauth-authorization-server")).json()
        registration = {"client_name": "Python SDK 1.8", "redirect_uris": [REDIRECT_URI], "token_endpoint_auth_method": "none"}
        client = (await http.post(metadata["registration_endpoint"], json=registration)).json()["client_id"]
        asked = {"response_type": "code", "client_id": client, "redirect_uri": REDIRECT_URI, "code_challenge": challenge, "code_challenge_method": "S256"}
        browser = await asyncio.create_subprocess_exec(
            os.environ["BROWSER"], f"{metadata['authorization_endpoint']}?{urlencode(asked)}", stdout=asyncio.subprocess.PIPE)
        printed, _ = await browser.communicate()
        code = parse_qs(urlsplit(printed.decode().strip()).query)["code"][0]
        form = {"grant_type": "authorization_code", "code": code, "client_id": client, "redirect_uri": REDIRECT_URI, "code_verifier": verifier}
        return (await http.post(metadata["token_endpoint"], data=form)).json()["access_token"]


async def main(origin):
    token = await log_in(origin)
    print("ok: a login")
    headers = {"Authorization": f"Bearer {token}"}
    async with streamablehttp_client(f"{origin}/mcp", headers=headers) as (read, write, _), ClientSession(read, write) as session:
        started = await session.initialize()
        print(f"ok: it accepts {started.protocolVersion}")
        names = [tool.name for tool in (await session.list_tools()).tools]
        assert "greet" in names, names
        print("ok: it lists the tools")
        result = await session.call_tool("greet", {"name": "Ada"})
        assert result.content[0].text == "Hello, Ada!", result
        print("ok: greet greets")


asyncio.run(main(sys.argv[1]))
