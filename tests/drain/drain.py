"""SIGTERM in the middle of everything: make drain.

usage: python3 drain.py BINARY       (DRAIN_ROUNDS=20)

Each round: clients that call on connections of their own and on kept ones, clients that read streams, people in the middle of a
login; then SIGTERM. What must hold: a request that was sent whole before the signal is answered whole; one that was sent
later is answered whole or not at all; a stream ends with its last chunk; a login begun before a restart is finished after
it; the server ends with status 0 within ten seconds.
"""

import collections
import os
import random
import re
import socket
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from rig import Person, Server  # noqa: E402

ROUNDS = int(os.environ.get("DRAIN_ROUNDS", "20"))
CALLERS, READERS, LOGINS = 12, 8, 3
COUNTS, FAULTS = collections.Counter(), []


def request(site, method, fields, body=""):
    lines = [f"{method} /mcp HTTP/1.1", f"Host: {site.host}", *(f"{name}: {value}" for name, value in fields.items())]
    return ("\r\n".join(lines) + f"\r\nContent-Length: {len(body)}\r\n\r\n{body}").encode()


def whole(said):
    """Whether these bytes are one whole answer; `None` if there are none."""
    head, end, body = said.partition(b"\r\n\r\n")
    if not said:
        return None
    length = re.search(rb"(?i)\r\ncontent-length: (\d+)", head)
    if length:
        return bool(end) and len(body) == int(length[1])
    return bool(end) and body.endswith(b"0\r\n\r\n")


def read_answer(line):
    said = b""
    try:
        while not whole(said) and (piece := line.recv(65536)):
            said += piece
    except ConnectionError:
        pass
    return said


class Round:
    def __init__(self, server, person):
        self.server, self.site, self.person = server, server.site, person
        self.signalled = None
        self.lock = threading.Lock()

    def fault(self, words):
        with self.lock:
            FAULTS.append(words)

    def call(self, keep):
        """Calls again and again until the server takes no more connections."""
        data, line = request(self.site, "POST", *self.person.request("greet", {"name": "Ada"})), None
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
            # The signal is sent after this is set, so whoever was earlier was earlier.
            before = self.signalled is None or sent < self.signalled
            kind = {True: "whole", None: "none", False: "cut"}[whole(said)]
            with self.lock:
                COUNTS[f"sent {'before' if before else 'after'} the signal: {kind}"] += 1
            if kind == "cut" or (before and kind == "none"):
                self.fault(f"a request sent {(self.signalled or sent) - sent:.4f} s before the signal: {kind}: {said[:200]}")
            if not keep or kind != "whole" or b"Connection: close" in said:
                line.close()
                line = None

    def read(self, line):
        """A stream of calls, which must end with a whole chunk."""
        said = b""
        try:
            while piece := line.recv(65536):
                said += piece
        except OSError as error:
            self.fault(f"a stream ended with {error!r}")
        with self.lock:
            COUNTS["streams ended"] += 1
        if not said.endswith(b"0\r\n\r\n"):
            self.fault(f"a stream was cut: {said[-100:]}")

    def run(self):
        logins = [Person(self.site).register() for _ in range(LOGINS)]
        begun = [person.begin() for person in logins]
        streams = []
        for _ in range(READERS):
            line = self.site.connect(timeout=15)
            fields = self.person.session()
            line.sendall(request(self.site, "GET", fields))
            streams.append(line)
        threads = [threading.Thread(target=self.call, args=(number % 2 == 0,)) for number in range(CALLERS)]
        threads += [threading.Thread(target=self.read, args=(line,)) for line in streams]
        for thread in threads:
            thread.start()
        time.sleep(random.uniform(0.2, 0.5))
        self.signalled = time.monotonic()
        status = self.server.stop()
        took = time.monotonic() - self.signalled
        for thread in threads:
            thread.join()
        if status != 0 or took > 10:
            self.fault(f"it ended with status {status} after {took:.1f} s")
        self.server.start()
        for person, (callback, cookie, verifier) in zip(logins, begun):
            person.finish(callback, cookie, verifier).call()
            COUNTS["logins finished after the restart"] += 1
        return took


def main():
    slowest = 0.0
    with Server(os.path.abspath(sys.argv[1]), {"MCP_ALLOW": "any"}) as server:
        server.start()
        person = Person(server.site).register().log_in()
        for _ in range(ROUNDS):
            slowest = max(slowest, Round(server, person).run())
            if server.process.poll() is not None:
                break
        panics = server.log().count("panicked")
    for what, count in sorted(COUNTS.items()):
        print(f"{count:8}  {what}")
    print(f"{ROUNDS} rounds; the slowest end took {slowest:.2f} s; panics {panics}; faults {len(FAULTS)}")
    for fault in FAULTS[:20]:
        print(f"  {fault}")
    return 1 if FAULTS or panics or not COUNTS["sent before the signal: whole"] else 0


if __name__ == "__main__":
    sys.exit(main())
