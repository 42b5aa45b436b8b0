"""Shared parts of the checks from outside: a GitHub, an observed server, and a person who logs in.

As a program it serves checks that are shell scripts:
  rig.py github            a GitHub on loopback; prints its port and runs until its standard input ends
  rig.py login URL [CA]    a whole login at URL, a call, and an event off a stream; prints how long it took
  rig.py streams URL [CA]  a login at URL, and the streams of older clients: of a session, and of HTTP+SSE
"""

import http.client
import json
import os
import secrets
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlencode, urlsplit

import login
from login import CALLBACK, FORM, Surprise  # noqa: F401: reexported to the checks

JSON = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}


# ---- GitHub ----

class GitHubHandler(BaseHTTPRequestHandler):
    """The part of GitHub that the server uses. Codes and tokens contain their user."""

    def answer(self, status, body=None, more=None):
        text = json.dumps(body).encode() if body else b""
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", "Content-Length": len(text), "Connection": "close", **(more or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(text)

    def do_POST(self):
        code = parse_qs(self.rfile.read(int(self.headers.get("Content-Length", 0))).decode())["code"][0]
        token = f"gho_{code.split('-')[1]}_{secrets.token_hex(12)}"
        self.answer(200, {"access_token": token, "token_type": "bearer", "scope": ""})

    def do_GET(self):
        page = urlsplit(self.path)
        if page.path == "/login/oauth/authorize":  # a signed-in user who consents
            asked = {name: values[0] for name, values in parse_qs(page.query).items()}
            back = urlencode({"code": f"code-0-{secrets.token_hex(8)}", "state": asked["state"]})
            return self.answer(302, None, {"Location": f"{asked['redirect_uri']}?{back}"})
        number = int(self.headers["Authorization"].split("_")[1])
        login = f"octocat-{number}"
        self.answer(200, {"id": 583231 + number, "login": login, "name": None, "email": None, "type": "User"})

    def do_DELETE(self):
        self.answer(204)

    def log_message(self, *_):
        pass


def start_github():
    """A GitHub on loopback until the end of this process: returns its port."""
    class Quick(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 128
    server = Quick(("127.0.0.1", 0), GitHubHandler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server.server_address[1]


# ---- clients ----

class Site:
    """The address of a server, its URL, perhaps below a path, and the source address of requests."""

    def __init__(self, origin, port, address="127.0.0.1", source=None, tls=None):
        self.origin, self.port, self.address, self.source, self.tls = origin, port, address, source, tls
        self.host, self.below = urlsplit(origin).netloc, urlsplit(origin).path

    def connect(self, source=None, timeout=20):
        source = source or self.source
        line = socket.create_connection((self.address, self.port), timeout, (source, 0) if source else None)
        return self.tls.wrap_socket(line, server_hostname=urlsplit(self.origin).hostname) if self.tls else line

    def open(self, method, target, fields=None, body=None):
        """Sends a request and returns the response, unread."""
        client = http.client.HTTPConnection(self.address, self.port)
        client.sock = self.connect()
        client.request(method, target, body, {"Host": self.host, "Connection": "close", **(fields or {})})
        return client.getresponse()

    def ask(self, expected, method, target, fields=None, body=None):
        """Sends a request; returns the response, whose status must be `expected`, and its text."""
        response = self.open(method, target, fields, body)
        with response:
            text = response.read().decode()
        if response.status != expected:
            raise Surprise(f"{method} {target.split('?')[0]}: {response.status} instead of {expected}: {text[:200]}")
        return response, text

    def raw(self, data, source=None, timeout=20):
        """All bytes received on a connection on which `data` is sent; a reset counts as an end."""
        with self.connect(source, timeout) as line:
            said = b""
            try:
                line.sendall(data)
                while piece := line.recv(65536):
                    said += piece
            except (ConnectionError, TimeoutError) as error:
                return said + (b"(silence)" if isinstance(error, TimeoutError) else b"")
            return said


class Person:
    """A person with a browser and a client. Their number is their id at GitHub."""

    def __init__(self, site, number=0):
        self.site, self.number = site, number
        self.client_id, self.access, self.refresh_token = None, None, None

    def register(self):
        _, text = self.site.ask(201, "POST", f"{self.site.below}/register", JSON, json.dumps(login.registration("Rig")))
        self.client_id = json.loads(text)["client_id"]
        return self

    def send(self, expected, method, target, fields, form):
        response, text = self.site.ask(expected, method, target, fields, urlencode(form) if form else None)
        return response.headers, text

    def begin(self, state="s"):
        """From the link to GitHub's answer: returns the address of the callback, its cookie, and the verifier."""
        location, cookie, verifier = login.drive(login.to_github(self.site.origin, self.client_id, state), self.send)
        return login.at_github(location, f"code-{self.number}-{secrets.token_hex(8)}"), cookie, verifier

    def log_in(self, state="s"):
        return self.finish(*self.begin(state), state)

    def finish(self, callback, cookie, verifier, state="s"):
        code = login.drive(login.to_client(callback, cookie, state), self.send)
        return self.take_tokens(200, login.code_form(self.site.origin, self.client_id, code, verifier))

    def refresh(self, expected=200):
        return self.take_tokens(expected, {"grant_type": "refresh_token", "refresh_token": self.refresh_token})

    def take_tokens(self, expected, form):
        _, text = self.site.ask(expected, "POST", f"{self.site.below}/token", FORM, urlencode({"client_id": self.client_id, **form}))
        if expected == 200:
            tokens = json.loads(text)
            self.access, self.refresh_token = tokens["access_token"], tokens["refresh_token"]
        return self

    def call(self, expected=200, name="greet", arguments=None):
        """A tool's answer in the era without sessions."""
        response, text = self.site.ask(expected, "POST", f"{self.site.below}/mcp", *self.request(name, arguments or {"name": "Ada"}))
        if expected == 200 and name == "greet" and "Hello, Ada!" not in text:
            raise Surprise(f"tools/call: {text[:200]}")
        return response

    def request(self, name, arguments):
        """The fields and the body of a call."""
        meta = {
            "io.modelcontextprotocol/protocolVersion": "2026-07-28", "io.modelcontextprotocol/clientCapabilities": {},
            "io.modelcontextprotocol/clientInfo": {"name": "rig", "version": "1"},
            "io.modelcontextprotocol/logLevel": "debug",
        }
        params = {"name": name, "arguments": arguments, "_meta": meta}
        fields = {
            **JSON, "Authorization": f"Bearer {self.access}", "MCP-Protocol-Version": "2026-07-28",
            "Mcp-Method": "tools/call", "Mcp-Name": name,
        }
        return fields, json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params})

    def session(self, capabilities=None):
        """A session of the older era: the fields of its requests."""
        body = json.dumps(initialize("2025-11-25", capabilities))
        fields = {**JSON, "Authorization": f"Bearer {self.access}"}
        response, _ = self.site.ask(200, "POST", f"{self.site.below}/mcp", fields, body)
        return fields | {"Mcp-Session-Id": response.headers["mcp-session-id"], "MCP-Protocol-Version": "2025-11-25"}


def initialize(version, capabilities=None):
    """The first message of a client of up to 2025-11-25."""
    client = {"protocolVersion": version, "capabilities": capabilities or {}, "clientInfo": {"name": "rig", "version": "1"}}
    return {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": client}


def healthy(site):
    """Registers, logs in and calls: returns the time that took (seconds)."""
    started = time.monotonic()
    Person(site).register().log_in().call()
    return time.monotonic() - started


# ---- the server ----

def free_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


class Server:
    """A server process in a directory of its own. `more` is environment, `before` precedes its command line."""

    def __init__(self, binary, more=None, before=(), state=None):
        self.directory = tempfile.mkdtemp(prefix="mcp-oauth-server-rig-")
        self.state = state or f"{self.directory}/state"
        self.command = [*before, binary]
        self.port = int((more or {}).get("MCP_LISTEN", f":{free_port()}").rsplit(":", 1)[1])
        self.env = {
            "PATH": os.environ["PATH"], "MCP_LISTEN": f"127.0.0.1:{self.port}", "MCP_STATE_DIR": self.state,
            "GITHUB_CLIENT_ID": "rig", "GITHUB_CLIENT_SECRET": secrets.token_hex(16), "MCP_ALLOW": "id:583231",
        }
        github = f"http://127.0.0.1:{start_github()}"
        self.env |= {"GITHUB_URL": github, "GITHUB_API_URL": f"{github}/api/v3", **(more or {})}
        self.site = Site(self.env.get("MCP_PUBLIC_URL", f"http://127.0.0.1:{self.port}"), self.port)

    def start(self, more=None):
        """Starts it, and returns the time to the first answer (seconds)."""
        started = time.monotonic()
        with open(f"{self.directory}/log", "ab") as log:
            self.process = subprocess.Popen(
                self.command, env={**self.env, **(more or {})}, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        while time.monotonic() < started + 60 and self.process.poll() is None:
            try:
                self.site.ask(200, "GET", f"{self.site.below}/healthz")
                return time.monotonic() - started
            except OSError:
                time.sleep(0.002)
        self.process.kill()  # it must not keep the port from the next attempt
        self.process.wait()
        raise SystemExit(f"the server did not start:\n{self.log()}")

    def log(self):
        with open(f"{self.directory}/log", errors="replace") as log:
            return log.read()

    def wait_for_log(self, words, seconds=30):
        """The last line with all of `words` that arrives within that time."""
        end = time.monotonic() + seconds
        while True:
            lines = [line for line in self.log().splitlines() if all(word in line for word in words.split())]
            if lines or time.monotonic() > end:
                return lines[-1] if lines else None
            time.sleep(0.02)

    def sample(self):
        """RSS in KiB, threads, descriptors."""
        with open(f"/proc/{self.process.pid}/status") as status:
            fields = dict(line.split(":", 1) for line in status)
        return int(fields["VmRSS"].split()[0]), int(fields["Threads"]), len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def stop(self, how=signal.SIGTERM, seconds=30):
        """Its exit status, negative if a signal ended it."""
        if self.process.poll() is None:
            self.process.send_signal(how)
        return self.process.wait(seconds)

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        if kind and kind is not SystemExit:
            print(f"---- the server said:\n{self.log()[-5000:]}", file=sys.stderr)
        shutil.rmtree(self.directory, ignore_errors=True)


class Pace:
    """The pauses of the machine: how late a thread is that sleeps and writes to the disk, again and again. A server is too slow if it
    takes longer than its limit and the longest pause together; a pause counts for at most MOST seconds, because the server may cause it."""

    MOST = 10

    def __init__(self):
        self.file = tempfile.TemporaryFile(buffering=0)  # where the directories of the servers are
        self.restart()
        threading.Thread(target=self.run, daemon=True).start()

    def restart(self):
        self.began, self.longest = time.monotonic(), 0.0

    def run(self):
        while True:
            time.sleep(0.1)
            self.file.write(b".")
            os.fsync(self.file.fileno())
            self.pause()
            self.began = time.monotonic()

    def pause(self):
        """The longest pause since the (re)start (seconds), including one that still lasts."""
        self.longest = max(self.longest, time.monotonic() - self.began - 0.1)
        return min(self.longest, self.MOST)


# ---- as a program ----

def site_at(url, certificate=None):
    tls = ssl.create_default_context(cafile=certificate) if certificate else None
    return Site(url, urlsplit(url).port, tls=tls)


def log_in_at(site):
    """A login, a call and the first events of a stream of calls, through any proxy in front of the server."""
    seconds = healthy(site)
    # A state of maximum length, of characters that the redirect at the end has to escape.
    person = Person(site).register().log_in(":" * 4096)
    # A proxy that does not pass on a stream as it comes delays each one; a pause of the machine, one of them.
    for _ in range(5):
        asked = time.monotonic()
        with site.open("POST", f"{site.below}/mcp", *person.request("start-notification-stream", {"interval": 1000, "count": 3})) as stream:
            first = next(line for line in stream if line.startswith(b"data: {"))
            at = time.monotonic() - asked
            rest = stream.read()
        whole = time.monotonic() - asked
        if b"#1 of 3" not in first or b"Sent 3 notifications" not in rest:
            raise Surprise(f"the stream was not passed on whole: {first}{rest}")
        if at <= whole - 1.5:
            break
    else:
        raise Surprise(f"the stream was not passed on as it came: first after {at:.2f} s of {whole:.2f} s")
    print(f"a login and a call in {seconds * 1000:.0f} ms; the first of three events after {at * 1000:.0f} ms, the last after {whole * 1000:.0f} ms")


def read_streams_at(site):
    """The streams of clients up to 2025-11-25: a session's GET stream, and HTTP+SSE, which announces a path of its own."""
    person = Person(site).register().log_in()
    call = {"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": {"name": "greet", "arguments": {"name": "Ada"}}}
    session = person.session()
    _, text = site.ask(200, "POST", f"{site.below}/mcp", session, json.dumps(call))
    with site.open("GET", f"{site.below}/mcp", session | {"Accept": "text/event-stream"}) as stream:
        first = [next(stream) for _ in range(2)] if stream.status == 200 else []
    if "Hello, Ada!" not in text or not any(line.startswith(b"id: ") for line in first):
        raise Surprise(f"a session: {text[:200]} {stream.status} {first}")
    fields = {"Authorization": f"Bearer {person.access}"}
    with site.open("GET", f"{site.below}/sse", fields | {"Accept": "text/event-stream"}) as stream:
        data = (line[6:].decode().strip() for line in stream if line.startswith(b"data: "))
        path = next(data)
        for body in (initialize("2024-11-05"), {"jsonrpc": "2.0", "method": "notifications/initialized"}, call):
            site.ask(202, "POST", path, fields | JSON, json.dumps(body))
        greeted, answer = next(data), next(data)
    if not path.startswith(f"{site.below}/message?") or "serverInfo" not in greeted or "Hello, Ada!" not in answer:
        raise Surprise(f"HTTP+SSE: {path} {greeted[:200]} {answer[:200]}")
    print("the stream of a session, and HTTP+SSE at its own path")


if __name__ == "__main__":
    if sys.argv[1] == "github":
        print(start_github(), flush=True)
        sys.stdin.read()
    else:
        {"login": log_in_at, "streams": read_streams_at}[sys.argv[1]](site_at(*sys.argv[2:]))
