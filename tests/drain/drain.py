"""SIGTERM during all kinds of activity: make drain.

usage: python3 drain.py BINARY       (DRAIN_ROUNDS=20)

Each round: clients that call on connections of their own and on kept ones, tools that run for a second or more in both eras,
clients that read streams, people in the middle of a login, strangers with half a request; then SIGTERM. What must hold: a
call that was sent whole before the signal gets its JSON-RPC result; one that was sent later gets it or nothing at all; a
tool that runs at the signal delivers everything that it says; a stream ends with its last chunk; a login begun before a
restart is finished after it; half a request delays nothing; the server ends with status 0 and within ten seconds. The last
round has a tool that runs for longer than that: its caller is told so in a JSON-RPC error.
"""

import collections
import json
import os
import random
import re
import socket
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from rig import Pace, Person, Server  # noqa: E402

ROUNDS = int(os.environ.get("DRAIN_ROUNDS", "20"))
CALLERS, READERS, LOGINS = 12, 8, 3
# Tools that run at the signal, in each era: the time of the call before it (seconds), and their arguments: one second,
# and a stream of twenty notifications in two seconds. Together they reach the limit of one person.
RUNNING = [(before, arguments) for before in (0.1, 0.6) for arguments in ({"interval": 1000, "count": 1}, {"interval": 100, "count": 20})]
COUNTS, FAULTS = collections.Counter(), []
PACE = Pace()


def request(site, method, fields, body=""):
    lines = [f"{method} /mcp HTTP/1.1", f"Host: {site.host}", *(f"{name}: {value}" for name, value in fields.items())]
    return ("\r\n".join(lines) + f"\r\nContent-Length: {len(body)}\r\n\r\n{body}").encode()


def body_of(said):
    """The whole body of an answer, without its framing; `None` if it is incomplete."""
    head, end, rest = said.partition(b"\r\n\r\n")
    length = re.search(rb"(?i)\r\ncontent-length: (\d+)", head)
    if not end or length:
        return rest if end and len(rest) == int(length[1]) else None
    body = b""
    while True:
        size, end, rest = rest.partition(b"\r\n")
        if not end or not re.fullmatch(rb"[0-9a-f]+", size):
            return None
        length = int(size, 16)
        if rest[length : length + 2] != b"\r\n":
            return None
        if length == 0:
            return body if rest == b"\r\n" else None
        body, rest = body + rest[:length], rest[length + 2 :]


def messages_of(said):
    """The JSON-RPC messages of a complete answer, either one or a stream of events; `None` if it is incomplete."""
    body = body_of(said)
    if body is None:
        return None
    if b"text/event-stream" not in said.partition(b"\r\n\r\n")[0]:
        return [json.loads(body)]
    data = [line[6:] for line in body.splitlines() if line.startswith(b"data: ")]
    return [json.loads(line) for line in data if line.strip()]


def read_answer(line):
    said = b""
    try:
        while body_of(said) is None and (piece := line.recv(65536)):
            said += piece
    except OSError:
        pass
    return said


class Round:
    def __init__(self, server, people):
        self.server, self.site = server, server.site
        self.caller, self.other, self.runner = people
        self.signalled = None
        self.lock = threading.Lock()

    def fault(self, words):
        with self.lock:
            FAULTS.append(words)

    def count(self, what):
        with self.lock:
            COUNTS[what] += 1

    def call(self, person, keep):
        """Calls repeatedly until the server accepts no more connections."""
        data, line = request(self.site, "POST", *person.request("greet", {"name": "Ada"})), None
        while True:
            try:
                line = line or self.site.connect(timeout=15)
                line.sendall(data)
            except OSError:
                if self.signalled:
                    return
                line = None
                continue
            sent = time.monotonic()
            said = read_answer(line)
            # The signal is sent after this is set, so requests sent before it precede the signal.
            before = self.signalled is None or sent < self.signalled
            messages = messages_of(said)
            right = messages and messages[-1].get("result", {}).get("content", [{}])[0].get("text") == "Hello, Ada!"
            kind = "result" if right else "something else" if said else "nothing"
            self.count(f"sent {'before' if before else 'after'} the signal: {kind}")
            if kind == "something else" or (before and kind == "nothing"):
                self.fault(f"a call sent {(self.signalled or sent) - sent:.4f} s before the signal: {kind}: {said[:300]}")
            if not keep or kind != "result" or b"Connection: close" in said:
                line.close()
                line = None

    def prepare(self, modern, arguments):
        """The bytes of a call of the slow tool."""
        fields, body = self.runner.request("start-notification-stream", arguments)
        if not modern:
            fields, message = self.runner.session(), json.loads(body)
            del message["params"]["_meta"]
            body = json.dumps(message)
        return request(self.site, "POST", fields, body)

    def run_tool(self, data, arguments, what, sent):
        """The caller gets every notification and the result."""
        try:
            line = self.site.connect(timeout=15)
            line.sendall(data)
        except OSError as error:
            return self.fault(f"{what}: {error!r}")
        finally:
            sent.set()
        said = read_answer(line)
        line.close()
        messages = messages_of(said) or [{}]
        told = sum(message.get("method") == "notifications/message" for message in messages)
        text = messages[-1].get("result", {}).get("content", [{}])[0].get("text", "")
        if told == arguments["count"] and text.startswith(f"Sent {told} notifications"):
            return self.count(f"{what}: delivered whole")
        self.fault(f"{what}: {told} of {arguments['count']} notifications, then {messages[-1]}: {said[-200:]}")

    def read(self, line):
        """A stream outside of calls, which must end with a complete chunk."""
        said = b""
        try:
            while piece := line.recv(65536):
                said += piece
        except OSError as error:
            self.fault(f"a stream ended with {error!r}")
        self.count("streams ended")
        if not said.endswith(b"0\r\n\r\n"):
            self.fault(f"a stream was cut: {said[-100:]}")

    def run(self):
        # People of their own: each person has ten tokens at GitHub at once.
        logins = [Person(self.site, 100 + number).register() for number in range(LOGINS)]
        begun = [person.begin() for person in logins]
        streams = []
        for _ in range(READERS):
            line = self.site.connect(timeout=15)
            line.sendall(request(self.site, "GET", self.caller.session()))
            if line.recv(12) != b"HTTP/1.1 200":
                self.fault("a stream was not opened")
            streams.append(line)
        halves = [self.site.connect() for _ in range(3)]
        for half, data in zip(halves, (b"", b"GET / HTTP/1.1\r\nHost: ", b"POST /token HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\na")):
            half.sendall(data)
        running = []
        for before, arguments in RUNNING:
            for modern in (True, False):
                what = f"{'2026-07-28' if modern else '2025-11-25'}, {arguments['count']} notifications, called {before} s before"
                running.append((before, self.prepare(modern, arguments), arguments, what))
        threads = [
            threading.Thread(target=self.call, args=((self.caller, self.other)[number // 2 % 2], number % 2 == 0))
            for number in range(CALLERS)
        ]
        threads += [threading.Thread(target=self.read, args=(line,)) for line in streams]
        for thread in threads:
            thread.start()
        time.sleep(random.uniform(0.1, 0.4))
        term = time.monotonic() + max(before for before, _ in RUNNING)
        sent = []
        for before, data, arguments, what in sorted(running, key=lambda each: -each[0]):
            time.sleep(max(0, term - before - time.monotonic()))
            sent.append(threading.Event())
            threads.append(threading.Thread(target=self.run_tool, args=(data, arguments, what, sent[-1])))
            threads[-1].start()
        time.sleep(max(0, term - time.monotonic()))
        for each in sent:
            each.wait()
        PACE.restart()
        self.signalled = time.monotonic()
        status = self.server.stop()
        took = time.monotonic() - self.signalled
        for thread in threads:
            thread.join()
        for half in halves:
            half.close()
        # The last of the tools ends two seconds after the signal at most; the rest is due to the machine.
        if status != 0 or took > 4 + PACE.pause():
            self.fault(f"it ended with status {status} after {took:.1f} s, of which the machine paused for {PACE.pause():.1f} s")
        self.server.start()
        for person, (callback, cookie, verifier) in zip(logins, begun):
            person.finish(callback, cookie, verifier).call()
            COUNTS["logins finished after the restart"] += 1
        return took

    def outlast(self):
        """Tools that run for longer than a stopping server waits: their callers get an error with the reason."""
        lines = []
        for modern in (True, False):
            line = self.site.connect(timeout=15)
            line.sendall(self.prepare(modern, {"interval": 1000, "count": 60}))
            lines.append(line)
        time.sleep(0.5)
        PACE.restart()
        started = time.monotonic()
        self.server.process.terminate()
        for line in lines:
            messages = messages_of(read_answer(line)) or [{}]
            words = messages[-1].get("error", {}).get("message", "")
            if "stopping" in words:
                self.count("calls that ran too long: told so")
            else:
                self.fault(f"a call that ran too long: {messages[-1]}")
        took = time.monotonic() - started
        status = self.server.stop()
        if status != 0 or not 4 < took < 7 + PACE.pause():
            self.fault(f"calls that ran too long were ended after {took:.1f} s, status {status}")


def main():
    slowest = 0.0
    with Server(os.path.abspath(sys.argv[1]), {"MCP_ALLOW": "any"}) as server:
        server.start()
        people = [Person(server.site, number).register().log_in() for number in range(3)]
        for _ in range(ROUNDS):
            slowest = max(slowest, Round(server, people).run())
            if server.process.poll() is not None:
                break
        Round(server, people).outlast()
        panics = server.log().count("panicked")
    for what, count in sorted(COUNTS.items()):
        print(f"{count:8}  {what}")
    print(f"{ROUNDS} rounds; the slowest end took {slowest:.2f} s; panics {panics}; faults {len(FAULTS)}")
    for fault in FAULTS[:20]:
        print(f"  {fault}")
    return 1 if FAULTS or panics or not COUNTS["sent before the signal: result"] else 0


if __name__ == "__main__":
    sys.exit(main())
