"""The official Python SDK, with its own OAuth code, against `mcp-oauth-server demo`.

usage: python walk.py BINARY
"""

import asyncio
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import traceback
from contextlib import asynccontextmanager
from html.parser import HTMLParser
from urllib.parse import parse_qs, urljoin, urlsplit

import httpx
from mcp import ClientSession
from mcp.client.auth import OAuthClientProvider
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.auth import OAuthClientMetadata

REDIRECT_URI = "http://localhost:9/callback"
INITIALIZE = {
    "jsonrpc": "2.0", "id": 1, "method": "initialize",
    "params": {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "walk", "version": "1"}},
}


class Forms(HTMLParser):
    """The forms of a page: target, method, hidden fields, and the buttons with their texts."""

    def __init__(self, page):
        super().__init__()
        self.forms, self.button = [], None
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        if tag == "form":
            self.forms.append({"action": attrs.get("action", ""), "method": attrs.get("method", "get").lower(), "fields": [], "buttons": []})
        elif tag == "input" and self.forms and (attrs.get("type") == "hidden" or (attrs.get("type") == "radio" and "checked" in attrs)):
            self.forms[-1]["fields"].append((attrs["name"], attrs.get("value", "")))
        elif tag == "button" and self.forms:
            self.button = {"text": "", "field": (attrs.get("name"), attrs.get("value", ""))}
            self.forms[-1]["buttons"].append(self.button)

    def handle_data(self, data):
        if self.button:
            self.button["text"] += data

    def handle_endtag(self, tag):
        if tag == "button":
            self.button = None

    def yes(self):
        """The form for consent, with its fields."""
        for form in self.forms:
            for button in form["buttons"]:
                if re.match(r"\s*(approve|allow|authorize|continue|sign in)", button["text"], re.I):
                    name, value = button["field"]
                    return form["action"], form["method"], form["fields"] + ([(name, value)] if name else [])
        raise AssertionError("no form to say yes with")


async def log_in(link):
    """Simulates the person and the browser; returns the callback's parameters."""
    async with httpx.AsyncClient(timeout=60) as browser:
        answer = await browser.get(link)
        for _ in range(12):
            while answer.status_code in (302, 303):
                target = urljoin(str(answer.url), answer.headers["location"])
                if target.startswith(REDIRECT_URI):
                    return {name: values[0] for name, values in parse_qs(urlsplit(target).query).items()}
                answer = await browser.get(target)
            assert answer.status_code == 200, answer.text
            action, method, fields = Forms(answer.text).yes()
            target = urljoin(str(answer.url), action)
            if method == "get":
                answer = await browser.get(target, params=fields)
            else:
                parts = urlsplit(target)
                fields_sent_by_browsers = {"Origin": f"{parts.scheme}://{parts.netloc}", "Sec-Fetch-Site": "same-origin"}
                answer = await browser.post(target, data=dict(fields), headers=fields_sent_by_browsers)
    raise AssertionError("the login goes round in circles")


class Keeper:
    """The state of an MCP client between requests, in memory."""

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
        callback = await log_in(self.link)
        return callback["code"], callback["state"]


class Walk:
    def __init__(self, origin):
        self.origin, self.endpoint = origin, f"{origin}/mcp"
        self.keeper, self.logs = Keeper(), []
        metadata = OAuthClientMetadata(client_name="Python SDK", redirect_uris=[REDIRECT_URI], token_endpoint_auth_method="none")
        self.auth = OAuthClientProvider(self.endpoint, metadata, self.keeper, self.keeper.on_redirect, self.keeper.on_callback)

    @asynccontextmanager
    async def session(self):
        async def on_log(params):
            self.logs.append(params)

        async with httpx.AsyncClient(auth=self.auth, timeout=60) as http:
            async with streamable_http_client(self.endpoint, http_client=http) as (read, write, session_id):
                async with ClientSession(read, write, logging_callback=on_log) as session:
                    await session.initialize()
                    assert session_id()
                    yield session

    async def ask(self, token=None):
        headers = {"Accept": "application/json, text/event-stream"}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        async with httpx.AsyncClient(timeout=60) as http:
            return await http.post(self.endpoint, json=INITIALIZE, headers=headers)

    async def a_call_without_a_token_is_answered_401_and_a_challenge(self):
        answer = await self.ask()
        assert answer.status_code == 401
        assert re.match(r'Bearer .*resource_metadata="http', answer.headers["www-authenticate"])

    async def the_sdk_discovers_registers_logs_in_and_lists_the_tools(self):
        async with self.session() as session:
            names = [tool.name for tool in (await session.list_tools()).tools]
            assert {"greet", "multi-greet", "start-notification-stream"} <= set(names), names
        assert self.keeper.logins == 1
        assert self.keeper.link.startswith(f"{self.origin}/authorize?")
        assert self.keeper.client.client_id and self.keeper.tokens.refresh_token
        assert self.keeper.tokens.token_type == "Bearer" and self.keeper.tokens.expires_in > 0

    async def greet_greets(self):
        async with self.session() as session:
            result = await session.call_tool("greet", {"name": "Ada"})
            assert result.content[0].text == "Hello, Ada!", result

    async def multi_greet_says_on_the_way_what_it_does(self):
        async with self.session() as session:
            result = await session.call_tool("multi-greet", {"name": "Ada"})
            assert result.content[0].text == "Good morning, Ada!", result
        assert len(self.logs) >= 2, self.logs

    async def prompts_and_resources_are_served(self):
        async with self.session() as session:
            prompt = await session.get_prompt("greeting-template", {"name": "Ada"})
            assert "Ada" in prompt.messages[0].content.text
            resource = await session.read_resource("https://example.com/greetings/default")
            assert resource.contents[0].text == "Hello, world!"

    async def a_token_that_is_over_is_refreshed_without_a_person(self):
        before = self.keeper.tokens
        self.auth.context.token_expiry_time = 1
        async with self.session() as session:
            await session.call_tool("greet", {"name": "Grace"})
        assert self.keeper.tokens.refresh_token != before.refresh_token
        assert self.keeper.logins == 1

    async def what_is_revoked_is_worth_nothing(self):
        async with httpx.AsyncClient(timeout=60) as http:
            metadata = (await http.get(f"{self.origin}/.well-known/oauth-authorization-server")).json()
            form = {"token": self.keeper.tokens.refresh_token, "client_id": self.keeper.client.client_id}
            assert (await http.post(metadata["revocation_endpoint"], data=form)).status_code == 200
        assert (await self.ask(self.keeper.tokens.access_token)).status_code == 401

    async def after_that_the_sdk_logs_in_again_by_itself(self):
        async with self.session() as session:
            await session.call_tool("greet", {"name": "Ada"})
        assert self.keeper.logins == 2


@asynccontextmanager
async def demo(binary):
    """A running `mcp-oauth-server demo`: its origin and its log file."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    state = tempfile.mkdtemp(prefix="mcp-oauth-server-clients-")
    log = tempfile.TemporaryFile("w+")
    child = subprocess.Popen([binary, "demo"], env={"MCP_LISTEN": address, "MCP_STATE_DIR": state}, stderr=log, stdout=subprocess.DEVNULL)
    try:
        async with httpx.AsyncClient() as http:
            for _ in range(3000):
                try:
                    await http.get(f"http://{address}/.well-known/oauth-authorization-server")
                    break
                except httpx.TransportError:
                    assert child.poll() is None, "the server ended"
                    await asyncio.sleep(0.02)
        yield f"http://{address}"
        child.terminate()
        assert child.wait(60) == 0
    except BaseException:
        log.seek(0)
        print(log.read(), file=sys.stderr)
        raise
    finally:
        child.kill()
        child.wait()
        log.close()
        shutil.rmtree(state, ignore_errors=True)


async def main(binary):
    steps = [name for name in vars(Walk) if name not in ("session", "ask") and not name.startswith("_")]
    passed = 0
    try:
        async with demo(binary) as origin:
            walk = Walk(origin)
            for step in steps:
                await getattr(walk, step)()
                passed += 1
    except Exception:
        traceback.print_exc()
        print(f"FAILED: {steps[passed] if passed < len(steps) else 'the end'}", file=sys.stderr)
    print(f"Python SDK: {passed} passed, {0 if passed == len(steps) else 1} failed")
    return passed == len(steps)


if __name__ == "__main__":
    sys.exit(0 if asyncio.run(main(os.path.abspath(sys.argv[1]))) else 1)
