"""An MCP server over Streamable HTTP that misbehaves by its callers' order (tool `nasty`, argument `how`). Prints its port.

Each connection has a process of its own. With the argument `nasty` they all run while nobody else wants to: what is measured is what
their noise costs the server.
"""

import gzip
import itertools
import json
import os
import secrets
import signal
import socket
import sys
import tempfile
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, HTTPServer
from socketserver import ForkingMixIn

TOOLS = [{"name": name, "description": name, "inputSchema": {"type": "object"}} for name in ("greet", "nasty", "seen")]
MIB = 1024 * 1024
FORM = {"message": "?", "requestedSchema": {"type": "object", "properties": {}}}
# Numbers of persons: it is of 2026-07-28 for the first; the GET stream of the second misbehaves in the way of the last digit.
MODERN, LISTENED = range(600, 800), (*range(300, 400), *range(700, 800))
BOMB = gzip.compress(b" " * (64 * MIB))
HTML = b"<!doctype html><title>Sign in</title>"
SEEN = tempfile.TemporaryFile("a+")  # a line for each observation, by any process
# Headers that a server may receive (lower case), besides those that its operator configured.
EXPECTED = {"host", "accept", "content-type", "content-length", "user-agent", "mcp-session-id", "mcp-protocol-version", "mcp-method",
            "mcp-name", "last-event-id", "x-user", "accept-encoding", "connection", "transfer-encoding"}


def note(what):
    SEEN.write(f"{what}\n")
    SEEN.flush()


def notes():
    """The number of observations of each kind."""
    size = os.fstat(SEEN.fileno()).st_size
    return Counter(os.pread(SEEN.fileno(), size, 0).decode().split())


def result(id, text):
    return json.dumps({"jsonrpc": "2.0", "id": id, "result": {"content": [{"type": "text", "text": text}]}}).encode()


def told(method, **params):
    return json.dumps({"jsonrpc": "2.0", "method": method, "params": params}).encode()


class Upstream(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def log_message(self, *_):
        pass

    def reply(self, status, body=b"", kind="application/json", **fields):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Set-Cookie", "taste=good; Path=/")
        if self.close_connection:
            self.send_header("Connection", "close")
        for name, value in fields.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def stream(self):
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        self.close_connection = True

    def event(self, data):
        self.wfile.write(b"data: " + data + b"\n\n")

    def forever(self, data):
        while True:
            self.wfile.write(data)

    def number(self):
        return int(self.headers["x-user"].split("-")[1])

    def do_GET(self):
        """The standing stream, as the person's number wants it."""
        if self.number() not in LISTENED:
            return self.reply(405)
        self.close_connection = True
        try:
            list(ENDLESS.values())[self.number() % 10](self, None, {})
        except OSError:
            pass

    def do_DELETE(self):
        self.reply(200)

    def do_POST(self):
        message = json.loads(self.rfile.read(int(self.headers.get("content-length", 0))))
        for name in self.headers:
            if name.lower() not in EXPECTED:
                note(f"header:{name}")
        id, method, params = message.get("id"), message.get("method"), message.get("params", {})
        try:
            self.serve(id, method, params)
        except OSError:
            self.close_connection = True

    def serve(self, id, method, params):
        if self.number() in MODERN:
            if method == "server/discover":
                body = {"supportedVersions": ["2026-07-28"], "capabilities": {"tools": {"listChanged": self.number() in LISTENED}}}
                return self.reply(200, json.dumps({"jsonrpc": "2.0", "id": id, "result": body}).encode())
            if method == "subscriptions/listen":
                return self.do_GET()
        if method == ("initialize" if self.number() in MODERN else "server/discover"):
            self.reply(400)
        elif method == "initialize":
            body = {"protocolVersion": "2025-11-25", "serverInfo": {"name": "nasty", "version": "1"}, "capabilities": {"tools": {}}}
            self.reply(200, json.dumps({"jsonrpc": "2.0", "id": id, "result": body}).encode(), Mcp_Session_Id=secrets.token_hex(8))
        elif "mcp-session-id" not in self.headers and self.number() not in MODERN:
            self.reply(404)
        elif id is None or method is None:
            if method == "notifications/cancelled":
                note("cancelled")
            self.reply(202)
        elif method == "tools/list":
            self.reply(200, json.dumps({"jsonrpc": "2.0", "id": id, "result": {"tools": TOOLS}}).encode())
        elif params["name"] == "greet":
            self.reply(200, result(id, f"Hello, {params['arguments'].get('name')}!"))
        elif params["name"] == "seen":
            self.reply(200, result(id, json.dumps(notes())))
        else:
            self.close_connection = True  # this process serves no other connection
            DEEDS[params["arguments"]["how"]](self, id, params)


def status(code, **fields):
    return lambda it, id, params: it.reply(code, HTML, "text/html", **fields)


def hang(it, id, params):
    time.sleep(600)


def hang_up(it, id, params):
    it.connection.shutdown(socket.SHUT_RDWR)


def half_json(it, id, params):
    it.send_response(200)
    it.send_header("Content-Type", "application/json")
    it.send_header("Content-Length", "1000")
    it.end_headers()
    it.wfile.write(b'{"jsonrpc":"2.0","id"')
    it.wfile.flush()
    it.connection.shutdown(socket.SHUT_RDWR)


def half_stream(it, id, params):
    it.stream()
    it.event(told("notifications/message", level="info", data="soon"))


def large_json(it, id, params):
    it.reply(200, result(id, "x" * (9 * MIB)))


def endless(data):
    def deed(it, id, params):
        it.stream()
        it.forever(data)
    return deed


def endless_head(more):
    def deed(it, id, params):
        it.wfile.write(b"HTTP/1.1 200 OK\r\nX-More: ")
        it.forever(more)
    return deed


def question_flood(it, id, params):
    """More questions than are put to anybody; without end where no call waits."""
    it.stream()
    for number in range(20_000) if id else itertools.count():
        it.event(json.dumps({"jsonrpc": "2.0", "id": f"q{number}", "method": "elicitation/create", "params": FORM}).encode())
    it.event(result(id, "done"))


def many_questions(count):
    """A result that asks all of this at once, in each round (2026-07-28)."""
    def deed(it, id, params):
        asked = {f"q{number}": {"method": "elicitation/create", "params": FORM} for number in range(count)}
        body = {"resultType": "input_required", "inputRequests": asked, "requestState": "more"}
        it.reply(200, json.dumps({"jsonrpc": "2.0", "id": id, "result": body}).encode())
    return deed


def compressed(it, id, params):
    it.reply(200, BOMB, Content_Encoding="gzip")


def not_utf8(it, id, params):
    it.reply(200, b'{"jsonrpc":"2.0","id":%d,"result":{"content":"\xff"}}' % id)


def twice(it, id, params):
    it.stream()
    it.event(result(id, "done"))
    it.event(result(id, "wrong"))


def forged(it, id, params):
    it.stream()
    for other in (id + 1, str(id), None, -1, 1.5):
        it.event(result(other, "wrong"))
    it.event(result(id, "done"))


def storm(method, **more):
    def deed(it, id, params):
        it.stream()
        for number in range(20_000):
            it.event(told(method, progress=number, **more) if "progress" in method else told(method, **more))
        it.event(result(id, "done"))
    return deed


def progress_storm(it, id, params):
    storm("notifications/progress", progressToken=params["_meta"]["progressToken"])(it, id, params)


def forget_session(it, id, params):
    it.reply(404)


ENDLESS = {
    "endless_event": endless(b"data: " + b"x" * MIB), "data_lines": endless(b"data: x\n" * 1000), "endless_comments": endless(b": x\n" * 1000),
    "empty_events": endless(b"\n" * 4000), "endless_head": endless_head(b"x" * 1000 + b"\r\nX-More: "), "header_line": endless_head(b"x" * 1000),
    "question_flood": question_flood,
}
DEEDS = ENDLESS | {
    "status_401": status(401, WWW_Authenticate='Bearer realm="theirs"'), "status_403": status(403), "status_429": status(429, Retry_After="5"),
    "status_500": status(500), "html": status(200), "redirect": status(307, Location="http://127.0.0.1:1/mcp"), "hang": hang, "hang_up": hang_up,
    "half_json": half_json, "half_stream": half_stream, "large_json": large_json, "compressed": compressed, "not_utf8": not_utf8,
    "twice": twice, "forged": forged, "progress_storm": progress_storm, "log_storm": storm("notifications/message", level="info", data="noise"),
    "list_changed_storm": storm("notifications/tools/list_changed"), "forget_session": forget_session,
    "many_questions": many_questions(20_000), "endless_rounds": many_questions(1),
}


class Listener(ForkingMixIn, HTTPServer):
    request_queue_size = 128
    max_children = 1000

    def handle_error(self, *_):
        pass


if __name__ == "__main__":
    server = Listener(("127.0.0.1", 0), Upstream)
    print(server.server_address[1], flush=True)
    if "nasty" in sys.argv:
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    # Includes its forked processes.
    os.setpgid(0, 0)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    sys.stdin.read()
    os.killpg(0, signal.SIGKILL)
