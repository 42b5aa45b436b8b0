"""A soak: a hundred people and a thousand sessions against one server for SOAK_SECONDS, as over a bad network.

usage: python3 soak.py BINARY        (SOAK_SECONDS=600, SOAK_SEED=1, SOAK_STARTING=15: more for a busy machine)

It is GitHub, the browsers and the clients. The server runs in a state directory of its own, on loopback, and is ended by
its process id. Streams are dropped and taken up with Last-Event-ID, sessions deleted with calls in flight, grants refreshed
and revoked. What must hold: each event of a stream arrives once and in order, nothing of another session or user arrives, no
status surprises, and memory, threads and descriptors stay where they were. Figures at the end; exit status 1 if not.
"""

import asyncio
import collections
import json
import os
import random
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from urllib.parse import parse_qs, urlencode

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import login  # noqa: E402
from login import FORM, Surprise  # noqa: E402

SECONDS = int(os.environ.get("SOAK_SECONDS", "600"))
CHANCE = random.Random(int(os.environ.get("SOAK_SEED", "1")))

# Chosen below src/base/limits.rs: SESSIONS 1000, SESSIONS_PER_USER 32, STREAMS 256, STREAMS_PER_USER 24, CALLS 48,
# CALLS_PER_USER 8, OPENINGS 600 a minute, LOGINS 1500 an hour, GITHUB_CALLS 8, REPLAY_BYTES_KEPT 4 MiB of a user, 64 MiB of all.
USERS, SESSIONS_EACH = 100, 10
CALLS_AT_ONCE, CALLS_EACH, READERS_AT_ONCE, LOGINS_AT_ONCE, ENDS_AT_ONCE = 28, 6, 120, 4, 16
STARTING = int(os.environ.get("SOAK_STARTING", "15"))  # seconds over which the sessions begin
PAUSE = 40  # seconds that a session rests between two actions, on average half
REPLAY_EVENTS = 128
REPLAY_TIME = 300  # finished streams are kept that long: only then is memory expected to be flat
# A tool's answer if this process, which is GitHub as well, was too slow.
GITHUB_IS_SLOW = ["Too many calls to GitHub are running: try again in a moment", "GitHub did not answer: try again later"]
GRANT_ENDED = "The login or service token has ended"  # the answer to a call whose grant is revoked meanwhile
STALL = 5  # seconds for which this process was suspended; half of the server's deadline for a head
FLAT_KIB_PER_MINUTE = 512  # the steepest slope of RSS that still counts as flat


class Figures:
    """Counters, and the first finding of each kind as text."""

    def __init__(self):
        self.counts = collections.Counter()
        self.findings = collections.defaultdict(list)

    def count(self, what, number=1):
        self.counts[what] += number

    def finding(self, kind, words):
        self.counts[kind] += 1
        if len(self.findings[kind]) < 10:
            self.findings[kind].append(f"{time.monotonic() - STARTED:7.1f} s  {words}")


STARTED = time.monotonic()
FIGURES = Figures()
FINDINGS = ["duplicates", "losses", "crossed", "unexpected"]


# ---- HTTP, a connection for each request ----

class Answer:
    """A response whose body has not been read."""

    def __init__(self, reader, writer, status, fields):
        self.reader, self.writer, self.status, self.fields = reader, writer, status, fields

    async def pieces(self):
        """The body in chunks as they arrive. Raises IncompleteReadError if it is cut off."""
        if "chunked" not in self.fields.get("transfer-encoding", ""):
            length = int(self.fields.get("content-length", "0"))
            if length:
                yield await self.reader.readexactly(length)
            return
        while size := int((await self.reader.readuntil(b"\r\n")).split(b";")[0], 16):
            piece = await self.reader.readexactly(size + 2)
            yield piece[:-2]
        await self.reader.readuntil(b"\r\n")

    async def text(self):
        return b"".join([piece async for piece in self.pieces()]).decode()

    async def events(self):
        """Each complete event as (id, data); comments are skipped."""
        rest = b""
        async for piece in self.pieces():
            *whole, rest = (rest + piece).split(b"\n\n")
            for event in whole:
                lines = [line for line in event.decode().split("\n") if line and not line.startswith(":")]
                fields = [line.split(": ", 1) for line in lines]
                if fields:
                    event_id = next((value for name, value in fields if name == "id"), None)
                    yield event_id, "\n".join(value for name, value in fields if name == "data")
        if rest:
            FIGURES.finding("unexpected", f"a stream ended inside of an event: {rest[:80]}")

    def drop(self):
        """Disconnects: cleanly or with a reset."""
        if CHANCE.random() < 0.5:
            self.writer.transport.abort()
        else:
            self.writer.close()

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        self.writer.close()


async def send(port, method, target, fields=None, body=b"", source="127.0.0.1"):
    reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=(source, 0))
    try:
        lines = [f"{method} {target} HTTP/1.1", f"Host: 127.0.0.1:{port}", "Connection: close"]
        lines += [f"{name}: {value}" for name, value in (fields or {}).items()]
        if body or method == "POST":
            lines.append(f"Content-Length: {len(body)}")
        writer.write("\r\n".join(lines + ["", ""]).encode() + body)
        head = (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 60)).decode().split("\r\n")
    except BaseException:
        writer.close()
        raise
    fields = {}
    for line in head[1:-2]:
        name, value = line.split(":", 1)
        fields.setdefault(name.lower(), value.strip())
    FIGURES.count("requests")
    return Answer(reader, writer, int(head[0].split(" ")[1]), fields)


# ---- GitHub ----

class GitHub:
    """The part of GitHub that the server uses. Codes and tokens contain their user."""

    async def serve(self, reader, writer):
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            length = re.search(r"(?i)content-length: *(\d+)", head)
            body = await reader.readexactly(int(length[1])) if length else b""
            if not length and "chunked" in head.lower():
                while size := int(await reader.readuntil(b"\r\n"), 16):
                    body += (await reader.readexactly(size + 2))[:-2]
                await reader.readuntil(b"\r\n")
            method, target = head.split(" ", 2)[:2]
            status, answer = self.answer(method, target, head, body)
            text = json.dumps(answer).encode() if answer else b""
            writer.write(
                f"HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nX-OAuth-Scopes: \r\n"
                f"Content-Length: {len(text)}\r\nConnection: close\r\n\r\n".encode() + text
            )
            await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    def answer(self, method, target, head, body):
        if target == "/login/oauth/access_token":
            number = parse_qs(body.decode())["code"][0].split("-")[1]
            return 200, {"access_token": f"gho_{number}_{secrets.token_hex(12)}", "token_type": "bearer", "scope": ""}
        if target == "/api/v3/user":
            number = int(re.search(r"(?i)authorization: *bearer gho_(\d+)_", head)[1])
            return 200, {"id": 1000 + number, "login": f"user-{number}", "name": None, "email": None, "type": "User"}
        if method == "DELETE":
            return 204, None
        FIGURES.finding("unexpected", f"the server asked GitHub for {method} {target}")
        return 404, {"message": "Not Found"}


# ---- people ----

class User:
    """A person with one grant. `epoch` counts their logins: actions that began before the last one may fail."""

    def __init__(self, number, server):
        self.number, self.login, self.server = number, f"user-{number}", server
        self.epoch, self.access, self.refresh_token = 0, None, None
        # An address of their own: logins are limited per address.
        self.source = f"127.0.{1 + number // 250}.{1 + number % 250}"
        self.changing = asyncio.Lock()
        self.calls = asyncio.Semaphore(CALLS_EACH)
        self.ready = asyncio.Event()

    async def log_in(self):
        """Authorize, consent, GitHub, token: the requests of a browser and a client."""
        origin, client_id = self.server.origin, self.server.client_id
        location, cookie, verifier = await self.walk(login.to_github(origin, client_id))
        callback = login.at_github(location, f"code-{self.number}-{secrets.token_hex(8)}")
        code = await self.walk(login.to_client(callback, cookie))
        await self.take_tokens(200, login.code_form(origin, client_id, code, verifier))
        FIGURES.count("logins")
        self.epoch += 1
        self.ready.set()

    async def walk(self, steps):
        """Sends the requests of a part of the login; returns its result."""
        said = None
        while True:
            try:
                status, method, target, fields, form = steps.send(said)
            except StopIteration as end:
                return end.value
            answer = await self.expect(status, method, target, fields, urlencode(form).encode())
            said = answer.fields, await answer.text() if status == 200 else ""

    async def take_tokens(self, status, form):
        answer = await self.expect(status, "POST", "/token", FORM, urlencode(form).encode())
        tokens = json.loads(await answer.text())
        self.access, self.refresh_token = tokens["access_token"], tokens["refresh_token"]

    async def refresh(self):
        async with self.changing:
            await self.take_tokens(200, {
                "grant_type": "refresh_token", "refresh_token": self.refresh_token, "client_id": self.server.client_id,
            })
            FIGURES.count("refreshes")

    async def revoke_and_return(self):
        """The grant ends, and with it all sessions; then the person logs in again."""
        async with self.changing:
            self.ready.clear()
            self.epoch += 1
            old = self.access
            form = {"token": CHANCE.choice([self.access, self.refresh_token]), "client_id": self.server.client_id}
            await self.expect(200, "POST", "/revoke", FORM, urlencode(form).encode())
            FIGURES.count("revocations")
            await self.expect(401, "GET", "/mcp", {"Authorization": f"Bearer {old}", "Accept": "text/event-stream"})
            async with self.server.logins:
                await self.log_in()

    async def expect(self, status, method, target, fields=None, body=b""):
        answer = await send(self.server.port, method, target, fields, body, self.source)
        if answer.status != status:
            text = await answer.text()
            raise Surprise(f"{self.login}: {method} {target.split('?')[0]} answered {answer.status}, not {status}: {text[:200]}")
        if answer.status != 200:
            answer.writer.close()
        return answer


BROKEN = (Surprise, OSError, asyncio.IncompleteReadError, TimeoutError)


# ---- sessions ----

class Ended(Exception):
    """The session was ended on purpose, by a revocation or a DELETE: any outcome of its requests is correct."""


class Session:
    def __init__(self, user):
        self.user, self.server = user, user.server
        self.id, self.epoch, self.deleted, self.next_id = None, 0, False, 0

    def over(self):
        return self.deleted or self.epoch != self.user.epoch

    def fields(self, more=None):
        fields = {"Authorization": f"Bearer {self.user.access}", "Content-Type": "application/json"}
        fields["Accept"] = "application/json, text/event-stream"
        if self.id:
            fields |= {"Mcp-Session-Id": self.id, "MCP-Protocol-Version": "2025-11-25"}
        return fields | (more or {})

    async def ask(self, status, method, body=None, more=None):
        """Sends a request; a status other than `status` is a surprise, unless the session is over."""
        text = json.dumps(body).encode() if body else b""
        answer = await send(self.server.port, method, "/mcp", self.fields(more), text)
        if answer.status == status:
            return answer
        words = (await answer.text())[:200]
        if self.over():
            raise Ended
        name = (body or {}).get("method", "")
        raise Surprise(f"{self.user.login}: {method} {name} answered {answer.status}, not {status}: {words}")

    def request(self, method, params):
        self.next_id += 1
        return {"jsonrpc": "2.0", "id": f"{self.id or self.user.login}/{self.next_id}", "method": method, "params": params}

    async def begin(self):
        await self.user.ready.wait()
        self.epoch = self.user.epoch
        params = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "soak", "version": "1"}}
        async with await self.ask(200, "POST", self.request("initialize", params)) as answer:
            self.id = answer.fields["mcp-session-id"]
            await answer.text()
        self.server.live[self.id] = self
        FIGURES.count("sessions")
        async with await self.ask(202, "POST", {"jsonrpc": "2.0", "method": "notifications/initialized"}):
            pass

    async def delete(self):
        """Ends it; later requests are answered 404."""
        self.server.live.pop(self.id, None)
        if self.epoch != self.user.epoch:
            return
        self.deleted = True
        answer = await send(self.server.port, "DELETE", "/mcp", self.fields())
        answer.writer.close()
        if self.epoch != self.user.epoch:
            return
        if answer.status != 204:
            raise Surprise(f"{self.user.login}: DELETE answered {answer.status}")
        again = await send(self.server.port, "POST", "/mcp", self.fields(), json.dumps(self.request("ping", {})).encode())
        again.writer.close()
        if again.status != 404 and self.epoch == self.user.epoch:
            raise Surprise(f"{self.user.login}: a deleted session answered {again.status}")
        FIGURES.count("deletes")

    async def run(self):
        """The life of a session: begins, performs random actions, is deleted or continues until its grant ends."""
        await self.begin()
        doings = 3 * [self.greet] + 2 * [self.whoami, self.intrude, self.read, self.stream]
        while not self.over() and not self.server.closing():
            await self.server.rest(CHANCE.uniform(0, PAUSE))
            if self.over() or self.server.closing():
                break
            lot = CHANCE.random()
            if lot < 0.03:
                return await self.delete()
            if lot < 0.06:
                return await self.delete_while_calling()
            await CHANCE.choice(doings)()
        async with self.server.ends:
            await self.delete()

    async def delete_while_calling(self):
        call = asyncio.create_task(self.stream())
        await asyncio.sleep(CHANCE.uniform(0, 1.5))
        try:
            await self.delete()
        finally:
            results = await asyncio.gather(call, return_exceptions=True)
        if isinstance(results[0], Exception) and not isinstance(results[0], Ended):
            raise results[0]

    async def call(self, name, arguments):
        """A tool's result, as one JSON body or from a stream."""
        request = self.request("tools/call", {"name": name, "arguments": arguments})
        async with await self.ask(200, "POST", request) as answer:
            if answer.fields["content-type"].startswith("text/event-stream"):
                found = [json.loads(data) async for _, data in answer.events() if data]
            else:
                found = [json.loads(await answer.text())]
        if self.over():
            raise Ended
        if not found or found[-1].get("id") != request["id"]:
            raise Surprise(f"{self.user.login}: {name} was answered {str(found)[:200]}")
        return found[-1]["result"]

    async def greet(self):
        name = secrets.token_hex(8)
        async with self.user.calls, self.server.calls:
            said = await self.call("greet", {"name": name})
        if name not in json.dumps(said):
            FIGURES.finding("crossed", f"{self.user.login}: greeted as {said}")
        FIGURES.count("plain calls")

    async def whoami(self):
        async with self.user.calls, self.server.calls:
            said = await self.call("whoami", {})
        if said.get("isError") and said["content"][0]["text"] in GITHUB_IS_SLOW:
            return FIGURES.count("tools told that GitHub is slow")
        if said.get("structuredContent", {}).get("login") != self.user.login:
            FIGURES.finding("crossed", f"{self.user.login}: whoami says {said}")
        return FIGURES.count("plain calls")

    async def intrude(self):
        """Another user's session gets the same answer as an unknown one."""
        others = [each for each in self.server.live.values() if each.user is not self.user]
        if not others:
            return
        method = CHANCE.choice(["GET", "POST", "DELETE"])
        fields = {"Mcp-Session-Id": CHANCE.choice(others).id} | ({"Last-Event-ID": "1-1"} if method == "GET" else {})
        body = self.request("ping", {}) if method == "POST" else None
        async with await self.ask(404, method, body, fields):
            FIGURES.count("intrusions refused")

    async def read(self):
        """The session's GET stream, on which only the priming event is expected."""
        async with self.server.readers:
            if self.over():
                raise Ended
            if self.server.closing():
                return
            answer = await self.ask(200, "GET")
            FIGURES.count("GET streams")
            FIGURES.count("streams")
            try:
                async with asyncio.timeout(CHANCE.uniform(1, 30)):
                    async for _, data in answer.events():
                        FIGURES.count("events")
                        if data:
                            FIGURES.finding("crossed", f"{self.user.login}: on the session's own stream: {data[:200]}")
                if not self.over() and not self.server.closing():
                    self.server.taken_over(self)
            except TimeoutError:
                pass
            except (asyncio.IncompleteReadError, OSError) as error:
                if not self.over():
                    raise Surprise(f"{self.user.login}: a GET stream broke: {error!r}") from error
            finally:
                answer.drop()

    async def stream(self):
        """A call with many messages; its stream is dropped and resumed."""
        async with self.user.calls, self.server.calls:
            if self.over():
                raise Ended
            if not self.server.closing():
                await Reading(self).follow()


class Reading:
    """The reading of one call's stream: the received events, and whether they were correct."""

    def __init__(self, session):
        self.session, self.server = session, session.server
        # One in ten sends more than is kept, and faster than its reader returns.
        self.long = CHANCE.random() < 0.1
        self.count = 200 if self.long else CHANCE.randint(20, 120)
        self.interval = 5 if self.long else CHANCE.randint(5, 60)
        self.stream, self.last, self.done = None, 0, False
        self.request = session.request("tools/call", {
            "name": "start-notification-stream", "arguments": {"interval": self.interval, "count": self.count},
        })

    async def follow(self):
        FIGURES.count("streams")
        answer = await self.session.ask(200, "POST", self.request)
        while True:
            dropped = await self.take(answer)
            if self.done:
                FIGURES.count("streams read to the end")
                return
            if not dropped:
                if self.session.over():
                    raise Ended
                raise Surprise(f"{self.name()}: ended after {self.last} of {self.count + 1} events")
            await asyncio.sleep(CHANCE.uniform(0, 1.5))
            if self.session.over():
                raise Ended
            last_event_id = {"Last-Event-ID": f"{self.stream}-{self.last}"}
            answer = await self.session.ask(200, "GET", more=last_event_id)
            FIGURES.count("resumes")

    async def take(self, answer):
        """Reads on, to the end or for a while; returns whether it disconnected itself."""
        leave_after = CHANCE.randint(1, 60) if CHANCE.random() < 0.6 else None
        first, seen = True, 0
        try:
            async with asyncio.timeout(90):
                async for event_id, data in answer.events():
                    self.check(event_id, data, first)
                    first, seen = first and not data, seen + 1
                    if leave_after and seen >= leave_after and not self.done:
                        FIGURES.count("drops")
                        return True
        except (asyncio.IncompleteReadError, OSError) as error:
            if not self.session.over():
                raise Surprise(f"{self.name()}: broke after {self.last} events: {error!r}") from error
        except TimeoutError:
            raise Surprise(f"{self.name()}: hangs after {self.last} of {self.count + 1} events") from None
        finally:
            answer.drop()
        return False

    def check(self, event_id, data, first):
        FIGURES.count("events")
        stream, number = event_id.rsplit("-", 1)
        number = int(number)
        if self.stream is None:
            self.stream = stream
        if stream != self.stream:
            return FIGURES.finding("crossed", f"{self.name()}: event {event_id} on stream {self.stream}")
        if not data:  # the priming event: its id is where the stream resumes
            if number != self.last:
                FIGURES.finding("unexpected", f"{self.name()}: primed with {event_id} after {self.last}")
            return None
        if number <= self.last:
            return FIGURES.finding("duplicates", f"{self.name()}: event {event_id} after {self.last}")
        if number != self.last + 1:
            # The latest REPLAY_EVENTS are kept: missing events must be older, and missed while nobody read.
            if first and self.long and number <= self.count + 1 - (REPLAY_EVENTS - 1):
                FIGURES.count("aged out of the ring, as promised", number - self.last - 1)
            else:
                FIGURES.finding("losses", f"{self.name()}: event {event_id} after {self.last} of {self.count + 1}")
        self.last = number
        message = json.loads(data)
        if self.session.over() and message.get("error", {}).get("message") == GRANT_ENDED:
            raise Ended
        if number <= self.count:
            expected = f"Periodic notification #{number} of {self.count}"
            if message.get("params", {}).get("data") != expected:
                FIGURES.finding("crossed", f"{self.name()}: event {event_id} is {data[:200]}")
        else:
            self.done = True
            if message.get("id") != self.request["id"] or f"Sent {self.count} notif" not in data:
                FIGURES.finding("crossed", f"{self.name()}: its answer is {data[:200]}")
        return None

    def name(self):
        return f"{self.session.user.login}, {self.count} every {self.interval} ms"


# ---- the server ----

class Server:
    """The process, its measurements, and the state that the clients share."""

    def __init__(self, binary):
        self.binary, self.directory = binary, tempfile.mkdtemp(prefix="mcp-oauth-server-soak-")
        with socket.create_server(("127.0.0.1", 0)) as listener:
            self.port = listener.getsockname()[1]
        self.origin = f"http://127.0.0.1:{self.port}"
        self.calls, self.readers = asyncio.Semaphore(CALLS_AT_ONCE), asyncio.Semaphore(READERS_AT_ONCE)
        self.logins, self.ends = asyncio.Semaphore(LOGINS_AT_ONCE), asyncio.Semaphore(ENDS_AT_ONCE)
        self.live, self.samples, self.peak_sessions, self.stalled = {}, [], 0, -3600
        self.end = time.monotonic() + SECONDS
        self.log_path = os.path.join(self.directory, "log")

    async def start(self, github):
        env = {
            "PATH": os.environ["PATH"], "MCP_LISTEN": f"127.0.0.1:{self.port}", "MCP_STATE_DIR": f"{self.directory}/state",
            "GITHUB_URL": f"http://127.0.0.1:{github}", "GITHUB_API_URL": f"http://127.0.0.1:{github}/api/v3",
            "GITHUB_CLIENT_ID": "soak", "GITHUB_CLIENT_SECRET": secrets.token_hex(16), "MCP_ALLOW": "any",
        }
        with open(self.log_path, "wb") as log:
            self.process = subprocess.Popen([self.binary], env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        for _ in range(500):
            try:
                answer = await send(self.port, "GET", "/.well-known/oauth-authorization-server")
                await answer.text()
                answer.writer.close()
                break
            except OSError:
                if self.process.poll() is not None:
                    raise SystemExit(f"the server did not start:\n{self.log()}") from None
                await asyncio.sleep(0.02)
        answer = await send(self.port, "POST", "/register", {"Content-Type": "application/json"}, json.dumps(login.registration("Soak")).encode())
        self.client_id = json.loads(await answer.text())["client_id"]
        await asyncio.sleep(1)

    def log(self):
        with open(self.log_path, errors="replace") as log:
            return log.read()

    def closing(self):
        return time.monotonic() >= self.end

    async def rest(self, seconds):
        await asyncio.sleep(max(0, min(seconds, self.end - time.monotonic())))

    def taken_over(self, session):
        FIGURES.finding("unexpected", f"{session.user.login}: the session's own stream ended by itself")

    def sample(self):
        """(seconds, RSS in KiB, threads, descriptors, events so far)"""
        with open(f"/proc/{self.process.pid}/status") as status:
            fields = dict(line.split(":", 1) for line in status)
        descriptors = len(os.listdir(f"/proc/{self.process.pid}/fd"))
        rss, threads = int(fields["VmRSS"].split()[0]), int(fields["Threads"])
        sample = (time.monotonic() - STARTED, rss, threads, descriptors, FIGURES.counts["events"])
        self.samples.append(sample)
        return sample

    async def watch(self):
        while True:
            _, rss, threads, descriptors, _ = self.sample()
            self.peak_sessions = max(self.peak_sessions, len(self.live))
            if len(self.samples) % 30 == 0:
                counts = FIGURES.counts
                print(
                    f"{time.monotonic() - STARTED:6.0f} s  sessions {len(self.live)}  events {counts['events']}  resumes {counts['resumes']}"
                    f"  findings {sum(counts[kind] for kind in FINDINGS)}  RSS {rss} KiB  threads {threads}  fds {descriptors}",
                    flush=True,
                )
            before = time.monotonic()
            await asyncio.sleep(1)
            if time.monotonic() - before > STALL:
                self.stalled = time.monotonic()
                FIGURES.count("stalls of this process")

    def was_cut_off(self, error):
        """Whether the server gave up a request that began while this process was suspended, as it should."""
        unanswered = isinstance(error, (asyncio.IncompleteReadError, OSError))
        return unanswered and time.monotonic() - self.stalled < 30


async def be_client(user, delay):
    """One place for a session; when a session is over, the next one begins."""
    server = user.server
    await server.rest(delay)
    while not server.closing():
        session = Session(user)
        try:
            await session.run()
        except Ended:
            if session.epoch == user.epoch and not session.deleted:
                FIGURES.finding("unexpected", f"{user.login}: a session ended by itself")
        except BROKEN as error:
            if server.was_cut_off(error):
                FIGURES.count("requests given up after a stall")
                await leave(session)
            elif session.epoch == user.epoch and (isinstance(error, Surprise) or not session.deleted):
                FIGURES.finding("unexpected", f"{user.login}: {error!r}")
                await leave(session)
        server.live.pop(session.id, None)


async def leave(session):
    """After a finding: frees the session's place, so that no later finding follows from it."""
    if session.id and not session.deleted:
        try:
            await session.delete()
        except BROKEN as error:
            FIGURES.finding("unexpected", f"{session.user.login}: could not end the session: {error}")


async def change_grants(users):
    """A refresh twice a second, a revocation every five seconds."""
    server, turn = users[0].server, 0
    await server.rest(STARTING)
    while not server.closing():
        await server.rest(0.5)
        user, turn = CHANCE.choice(users), turn + 1
        try:
            await (user.revoke_and_return() if turn % 10 == 0 else user.refresh())
        except BROKEN as error:
            FIGURES.finding("unexpected", f"{user.login}: {error!r}")


async def settle(server, base):
    """Waits for extra workers and connections to end; returns the last sample."""
    for _ in range(45):
        _, _, threads, descriptors, _ = server.sample()
        if threads <= base[2] and descriptors <= base[3]:
            break
        await asyncio.sleep(1)
    return server.samples[-1]


def slope(values, by):
    """The slope of `values` over `by`, by least squares."""
    mean, middle = sum(values) / len(values), sum(by) / len(by)
    spread = sum((each - middle) ** 2 for each in by)
    return sum((at - middle) * (value - mean) for at, value in zip(by, values)) / spread if spread else 0.0


def growth_of(samples, warm):
    """KiB a minute: as measured, and without the part explained by the events of the last REPLAY_TIME, which are kept on purpose and whose
    number depends on the speed of the machine."""
    if len(warm) < 2:
        return 0.0, 0.0
    times, values = [each[0] / 60 for each in warm], [each[1] for each in warm]
    earlier = iter(samples)
    kept, then = [], next(earlier)
    for now in warm:
        while then[0] < now[0] - REPLAY_TIME:
            then = next(earlier)
        kept.append(now[4] - then[4])
    rest = [value - slope(values, kept) * each for value, each in zip(values, kept)]
    alone = [at - slope(times, kept) * each for at, each in zip(times, kept)]
    return slope(values, times), slope(rest, alone)


async def main(binary):
    github = await asyncio.start_server(GitHub().serve, "127.0.0.1", 0)
    server = Server(binary)
    try:
        await server.start(github.sockets[0].getsockname()[1])
        base = server.sample()
        watch = asyncio.create_task(server.watch())
        users = [User(number, server) for number in range(USERS)]

        async def log_in(user):
            async with server.logins:
                await user.log_in()

        await asyncio.gather(*(log_in(user) for user in users))
        loaded = time.monotonic() - STARTED + STARTING
        server.end = time.monotonic() + SECONDS
        places = [be_client(user, CHANCE.uniform(0, STARTING)) for user in users for _ in range(SESSIONS_EACH)]
        await asyncio.gather(change_grants(users), *places)
        ended = time.monotonic() - STARTED
        watch.cancel()
        last = await settle(server, base)
        server.process.send_signal(signal.SIGTERM)
        status = server.process.wait(30)
        return report(server, (base, loaded, ended, last), status)
    finally:
        if server.process.poll() is None:
            server.process.kill()
            server.process.wait()
        shutil.rmtree(server.directory)


def report(server, times, status):
    base, loaded, ended, last = times
    running = [each for each in server.samples if loaded <= each[0] <= ended - 30]
    # Flatness is judged once finished streams are forgotten as fast as they are added.
    warm_from = loaded + (REPLAY_TIME + 30 if SECONDS > REPLAY_TIME + 120 else SECONDS / 2)
    warm = [each for each in running if each[0] >= warm_from]
    measured, growth = growth_of(server.samples, warm)
    problems = [line for line in server.log().splitlines() if re.search(r"\b(WARN|ERROR)\b|panic", line, re.I)]
    counts = FIGURES.counts
    print(f"\n{SECONDS} s, {USERS} users, {server.peak_sessions} sessions at once at most")
    for what in sorted(counts):
        print(f"  {what}: {counts[what]}")
    for kind in FINDINGS:
        print(f"{kind}: {counts[kind]}")
        for words in FIGURES.findings[kind]:
            print(f"    {words}")
    at = warm[0][1] if warm else 0
    print(f"RSS (KiB): start {base[1]}, warm {at}, end of load {warm[-1][1] if warm else 0}, after {last[1]}; "
          f"slope {measured:+.0f} KiB a minute over {len(warm)} s, {growth:+.0f} beyond the events that are kept")
    peak = max(server.samples, key=lambda each: each[2])
    print(f"threads: start {base[2]}, most {peak[2]}, end {last[2]}")
    print(f"descriptors: start {base[3]}, most {max(each[3] for each in server.samples)}, end {last[3]}")
    print(f"exit status {status}; warnings and errors in the log: {len(problems)}")
    for line in problems[:10]:
        print(f"    {line[:200]}")
    failures = [kind for kind in FINDINGS if counts[kind]]
    failures += ["threads"] if last[2] > base[2] else []
    failures += ["descriptors"] if last[3] > base[3] else []
    failures += ["exit status"] if status else []
    failures += ["too little happened"] if not counts["resumes"] or server.peak_sessions < USERS * SESSIONS_EACH * 0.9 else []
    # A short run ends before memory can be flat.
    failures += ["memory"] if SECONDS > REPLAY_TIME + 120 and growth > FLAT_KIB_PER_MINUTE else []
    print(f"FAILED: {', '.join(failures)}" if failures else "passed")
    return 1 if failures else 0


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    sys.exit(asyncio.run(main(os.path.abspath(sys.argv[1]))))
