"""Attacks on the release binary, and their effects: make attack.

usage: python3 attack.py BINARY [WORD]      (ATTACK_SECONDS=600 of random bytes; WORD picks attacks by their name)

Everything runs in a network namespace of its own, where the attackers have addresses that are not loopback's: those would
be exempt from the limits by address. Under each attack and after it somebody who has nothing to do with it registers, logs
in and calls a tool; afterwards the server must be where it was. Exit status 1 if any of it does not hold.
"""

import os
import random
import resource
import socket
import ssl
import statistics
import struct
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
import framing  # noqa: E402
from rig import CALLBACK, FORM, JSON, Pace, Person, Server, Site, Surprise, healthy  # noqa: E402

SECONDS = int(os.environ.get("ATTACK_SECONDS", "600"))
FIXTURES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../fixtures/tls")
ORIGIN = "https://mcp.example.com"  # the public URL's origin; the attackers bypass the proxy that would terminate TLS
LOGIN_SECONDS = 10  # on a busy machine; the figures are printed, and should be below 2
# Allowance at the end: memory kept by the allocator, and threads and descriptors that end when they have been idle.
# Free memory is returned once a minute.
MARGIN_KIB, MARGIN_THREADS, MARGIN_DESCRIPTORS, BACK_SECONDS = 24 * 1024, 2, 4, 120
ATTACKS, RESULTS, FAULTS, LOGINS = [], [], [], []
PACE = Pace()


def attack(name):
    """An attack is a generator: its steps before the `yield` are in progress while somebody logs in."""
    def keep(function):
        ATTACKS.append((name, function))
        return function
    return keep


def seen(what, expected, got):
    fine = got in expected if isinstance(expected, tuple) and not isinstance(got, tuple) else got == expected
    RESULTS.append((what, expected, got))
    if not fine:
        FAULTS.append(f"{what}: {got} instead of {expected}")
    print(f"    {'ok ' if fine else 'NOT'} {what}: {got}" + ("" if fine else f" instead of {expected}"), flush=True)


def addresses(group, count):
    return [f"10.77.{group}.{number}" for number in range(1, count + 1)]


PORTS = iter(range(3001, 3100))  # nobody else is in this network namespace
NEXT = iter(addresses(1, 250) + addresses(2, 250) + addresses(3, 250) + addresses(4, 250))


def stranger(server, **more):
    """The server, accessed from an unused address."""
    return Site(server.site.origin, server.port, "10.77.0.1", next(NEXT), **more)


def connect(server, source, small=False):
    line = socket.socket()
    if small:
        line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
    line.bind((source, 0))
    line.settimeout(10)
    line.connect(("10.77.0.1", server.port))
    return line


def many(server, group, count, start=b"", each=60):
    """`count` connections from the minimum number of addresses for that, each with `start` sent on it."""
    lines = [connect(server, f"10.77.{group}.{1 + number // each}") for number in range(count)]
    for line in lines:
        try:
            line.sendall(start)
        except OSError:
            pass  # it has made room already
    return lines


def ended(lines, seconds):
    """The number of `lines` that the server ends within that time, and what the machine pauses."""
    PACE.restart()
    began, count = time.monotonic(), 0
    for line in lines:
        is_open, left = True, seconds
        while is_open and left > 0:
            left = began + seconds + PACE.pause() - time.monotonic()
            try:
                line.settimeout(max(0.01, left))
                is_open = bool(line.recv(65536))
            except TimeoutError:
                pass
            except OSError:
                is_open = False
        count += not is_open
    return count


def in_threads(count, work):
    threads = [threading.Thread(target=work, args=(number,), daemon=True) for number in range(count)]
    for thread in threads:
        thread.start()
    return threads


def status(said):
    """The status of the only answer in `said`, or a description of what was there instead."""
    answers = said.split(b"HTTP/1.1 ")[1:]
    if not said:
        return "cut off"
    if b"(silence)" in said or len(answers) != 1:
        return f"{len(answers)} answers{', and no end' if b'(silence)' in said else ''}: {said[:60]}"
    return int(answers[0][:3])


# ---- bytes ----

def each_row(server, rows):
    site = stranger(server)
    for what, (data, expected) in rows.items():
        seen(what, expected, status(site.raw(data + framing.SMUGGLED)))
    yield


@attack("giant lengths, CL+TE and its relatives (H1, H2)")
def framings(server):
    yield from each_row(server, framing.FRAMING)


@attack("lengths past their limits (H3)")
def lengths(server):
    yield from each_row(server, framing.LENGTHS)


@attack("heads that are none (H4, H9, H11)")
def heads(server):
    yield from each_row(server, framing.HEADS)


@attack("paths and wishes (H8, H9)")
def wishes(server):
    yield from each_row(server, framing.ANSWERED)


@attack("headers by the megabyte, from 256 connections (H3)")
def header_flood(server):
    got = []
    flood = b"GET / HTTP/1.1\r\n" + b"X: " + b"a" * 1_000_000

    def send(number):
        with connect(server, f"10.77.20.{1 + number // 60}") as line:
            try:
                line.sendall(flood)
            except OSError:
                pass
            try:
                got.append(line.recv(12)[9:12])
            except OSError:
                got.append(b"")
    threads = in_threads(256, send)
    yield
    for thread in threads:
        thread.join()
    seen("answers other than 431, or none", set(), set(got) - {b"431", b""})


@attack("random bytes (H12)")
def random_bytes(server):
    chance, end, sent = random.Random(1), time.monotonic() + SECONDS, [0] * 4
    seeds = [data for data, _ in (framing.FRAMING | framing.HEADS | framing.ANSWERED).values()]

    def send(number):
        while time.monotonic() < end:
            data = bytearray(chance.choice(seeds) + framing.SMUGGLED)
            for _ in range(chance.choice([0, 1, 1, 2, 8])):
                place = chance.randrange(len(data))
                data[place:place + chance.choice([0, 1, 1, 4])] = chance.randbytes(chance.choice([0, 1, 1, 3]))
            if chance.random() < 0.3:
                data = chance.randbytes(chance.choice([1, 40, 3000]))
            try:
                with connect(server, f"10.77.{21 + number}.{chance.randint(1, 250)}") as line:
                    line.sendall(data)
                    if chance.random() < 0.7:
                        line.shutdown(socket.SHUT_WR)
                        line.settimeout(2)
                        line.recv(4096)
            except OSError:
                pass
            sent[number] += 1
    threads = in_threads(len(sent), send)
    while time.monotonic() < end - 2:
        login(server, "during it")
        time.sleep(1 + SECONDS / 60)
    yield
    for thread in threads:
        thread.join()
    print(f"    {sum(sent)} connections in {SECONDS} s")


# ---- connections ----

@attack("600 slow heads, a byte a second (H3, H6)")
def slow_heads(server):
    lines = many(server, 30, 600, b"GET / HTTP/1.1\r\n")
    stop = threading.Event()

    def trickle(_):
        while not stop.wait(1):
            for line in lines:
                try:
                    line.send(b"a")
                except OSError:
                    pass
    in_threads(1, trickle)
    yield
    seen("ended within the deadline of 10 s", 600, ended(lines, 13))
    stop.set()


@attack("600 slow bodies (H3, H6)")
def slow_bodies(server):
    lines = many(server, 31, 600, f"POST /token HTTP/1.1\r\n{framing.HOST}{framing.FORM}Content-Length: 5000\r\n\r\na".encode())
    yield
    seen("ended within the grace of 5 s", 600, ended(lines, 8))


@attack("600 connections that say nothing, and are opened again and again (H6)")
def silence(server):
    stop = threading.Event()

    def reopen(_):
        while not stop.is_set():
            lines = many(server, 32, 600)
            stop.wait(0.5)
            for line in lines:
                line.close()
    threads = in_threads(1, reopen)
    time.sleep(1)
    yield
    stop.set()
    threads[0].join()


@attack("one address opens 100 connections (H6)")
def one_address(server):
    lines = many(server, 33, 100, each=100)
    answers = [line.recv(12)[9:12] for line in lines[64:]]
    seen("the 65th and those after it", {b"429"}, set(answers))
    yield
    for line in lines:
        line.close()


@attack("10,000 resets at any moment (H12)")
def resets(server):
    request = f"POST /token HTTP/1.1\r\n{framing.HOST}Content-Length: 3\r\n\r\nabc".encode()

    def reset(number):
        for turn in range(2500):
            try:
                line = connect(server, f"10.77.{34 + number}.{1 + turn % 250}")
                line.sendall(request[:turn % (len(request) + 1)])
                line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                line.close()
            except OSError:
                pass
    threads = in_threads(4, reset)
    yield
    for thread in threads:
        thread.join()


@attack("answers that 300 clients never read (H3, H6)")
def unread_answers(server):
    get = f"GET /.well-known/oauth-authorization-server HTTP/1.1\r\n{framing.HOST}\r\n".encode() * 200
    lines = [connect(server, f"10.77.40.{1 + number // 60}", small=True) for number in range(300)]
    for line in lines:
        line.setblocking(False)
    for _ in range(40):
        for line in lines:
            try:
                line.send(get)
            except OSError:
                pass
    yield
    deadline = time.monotonic() + 40
    while server.sample()[1] > 64 and time.monotonic() < deadline:
        time.sleep(0.5)
    seen("given up after the write stall of 30 s", True, server.sample()[1] <= 64)
    for line in lines:
        line.close()


@attack("a million pipelined requests on one connection (H7)")
def pipelined(server):
    line = connect(server, "10.77.41.1")
    line.setblocking(False)
    block, sent, end = f"GET / HTTP/1.1\r\n{framing.HOST}\r\n".encode() * 1000, 0, time.monotonic() + 3
    while sent < 1000 * len(block) and time.monotonic() < end:
        try:
            sent += line.send(block)
        except OSError:
            time.sleep(0.01)
    yield
    seen("what it took of them is what the kernel holds (below 16 MiB)", True, sent < 16 << 20)
    line.close()


@attack("descriptors run out (H6)")
def descriptors(server):
    hard = resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE)[1]
    resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE, (40, hard))
    lines = many(server, 42, 120)
    said = [stranger(server).raw(framing.ANSWERED["/MCP"][0]) for _ in range(20)]
    seen("answers other than 404 and 503", set(), {part[9:12] for part in said} - {b"404", b"503"})
    seen("served although there are none left", True, any(part[9:12] == b"404" for part in said))
    seen("the operator is told", True, bool(server.wait_for_log("edge.accept_failed")))
    for line in lines:
        line.close()
    login(server, "when they have gone, with 40 descriptors")
    resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE, (hard, hard))
    yield


@attack("600 handshakes that do not go on (TLS)")
def handshakes(_):
    port = next(PORTS)
    tls = {"MCP_LISTEN": f"0.0.0.0:{port}", "MCP_PUBLIC_URL": f"https://localhost:{port}", "MCP_ALLOW": "any",
           "MCP_TLS_CERT": f"{FIXTURES}/ecdsa.pem", "MCP_TLS_KEY": f"{FIXTURES}/ecdsa.key"}
    server, trusting = Server(BINARY, tls), ssl.create_default_context(cafile=f"{FIXTURES}/ecdsa.pem")
    server.site.tls = trusting
    with server:
        server.start()
        lines = many(server, 43, 300) + many(server, 44, 300, b"\x16\x03\x01\x00")
        login(server, "through TLS beside them", tls=trusting)
        seen("ended within the deadline of 10 s", 600, ended(lines, 13))
        yield


# ---- known people, and floods that affect counters ----

def stream_request(session):
    fields = "".join(f"{name}: {value}\r\n" for name, value in session.items() if name != "Content-Type")
    return f"GET /mcp HTTP/1.1\r\n{framing.HOST}{fields}\r\n".encode()


@attack("257 streams, of eleven people (H7)")
def streams(server):
    lines, answers = [], []
    for number in range(11):
        person = Person(stranger(server), 100 + number).register().log_in()
        for session in [person.session() for _ in range(24)]:
            line = connect(server, f"10.77.50.{1 + len(lines) // 60}")
            line.sendall(stream_request(session))
            answers.append(line.recv(12)[9:12])
            lines.append(line)
    seen("opened", 256, answers.count(b"200"))
    seen("the 257th and those after it", {b"503"}, set(answers[256:]))
    yield
    for line in lines:
        line.close()


@attack("pipelining behind 20 streams, half of which nobody reads (H7)")
def behind_streams(server):
    person = Person(stranger(server), 200).register().log_in()
    lines = []
    for turn, session in enumerate([person.session() for _ in range(20)]):
        line = connect(server, "10.77.51.1", small=turn % 2 == 0)
        line.sendall(stream_request(session) + f"GET / HTTP/1.1\r\n{framing.HOST}\r\n".encode() * 50)
        lines.append(line)
    yield
    time.sleep(0.5)
    said = b"".join(line.recv(65536) for line in lines)
    seen("answers before the streams end", 20, said.count(b"HTTP/1.1 "))
    for line in lines:
        line.close()


def limited(got, senders, requests, burst, renewal):
    """`got` has of each sender: requests that were served, those that were told to wait, and the seconds that all of them took."""
    served, told = (sum(each[what] for each in got) for what in (0, 1))
    fine = [number + refused == requests and burst <= number <= burst + took / renewal for number, refused, took in got]
    seen(f"{burst} of each are served, and one more each {renewal} s: {served}; {told} are told to wait", (senders, True), (sum(fine), told > 0))


@attack("registrations, 610 each from 4 addresses (D4)")
def registrations(server):
    client = f'{{"redirect_uris":["{CALLBACK}"],"token_endpoint_auth_method":"none"}}'
    got = []

    def register(number):
        for address in addresses(60, 4)[number::4]:
            site, statuses, began = Site(ORIGIN, server.port, "10.77.0.1", address), [], time.monotonic()
            for _ in range(610):
                with site.open("POST", "/register", JSON, client) as answer:
                    statuses.append(answer.status)
            got.append((statuses.count(201), statuses.count(429), time.monotonic() - began))
    stored = os.stat(f"{server.state}/grants.redb").st_size
    threads = in_threads(4, register)
    yield
    for thread in threads:
        thread.join()
    limited(got, 4, 610, 600, 6)
    seen("grew the table by", 0, os.stat(f"{server.state}/grants.redb").st_size - stored)


@attack("guessed tokens, 100 each from 50 addresses (T8)")
def guesses(server):
    got, as_tokens = [], []

    def guess(number):
        for address in addresses(61, 50)[number::4]:
            site, statuses, began = Site(ORIGIN, server.port, "10.77.0.1", address), [], time.monotonic()
            for _ in range(100):
                with site.open("POST", "/token", FORM, "grant_type=refresh_token&client_id=x&refresh_token=mcp_rt_x") as answer:
                    statuses.append(answer.status)
                with site.open("POST", "/mcp", JSON | {"Authorization": "Bearer mcp_at_x"}, "{}") as answer:
                    as_tokens.append(answer.status)
            got.append((statuses.count(400) + statuses.count(401), statuses.count(429), time.monotonic() - began))
    threads = in_threads(4, guess)
    yield
    for thread in threads:
        thread.join()
    limited(got, 50, 100, 60, 10)
    seen("as tokens: refused", 5000, as_tokens.count(401))


# ---- the run ----

def start():
    port = next(PORTS)
    more = {"MCP_LISTEN": f"0.0.0.0:{port}", "MCP_PUBLIC_URL": ORIGIN, "MCP_ALLOW": "any"}
    server = Server(BINARY, more)
    server.start()
    return server


def back(server, base):
    """Waits until the server's resources are back at the earlier level, and returns the time that it took."""
    began = time.monotonic()
    while True:
        now = server.sample()
        fine = all(have <= had + more for have, had, more in zip(now, base, (MARGIN_KIB, MARGIN_THREADS, MARGIN_DESCRIPTORS)))
        if fine or time.monotonic() > began + BACK_SECONDS:
            break
        time.sleep(0.1)
    figures = "  ".join(f"{what} {had} -> {have}" for what, had, have in zip(("RSS KiB", "threads", "fds"), base, now))
    seen(f"back at base after {time.monotonic() - began:.1f} s: {figures}", True, fine)


def login(server, when, **more):
    PACE.restart()
    try:
        LOGINS.append(healthy(stranger(server, **more)))
        seen(f"a login {when}, in {LOGINS[-1]:.2f} s", True, LOGINS[-1] < LOGIN_SECONDS + PACE.pause())
    except (OSError, Surprise) as error:
        seen(f"a login {when}", "a login", repr(error))


def run(server, base, name, function):
    print(f"\n{name}", flush=True)
    steps = function(server)
    next(steps)
    login(server, "during it")
    peak = server.sample()
    next(steps, None)
    login(server, "after it")
    print(f"    during it: RSS KiB {peak[0]}  threads {peak[1]}  fds {peak[2]}")
    back(server, base)
    if server.process.poll() is not None:
        sys.exit(f"the server has ended:\n{server.log()[-2000:]}")


def main():
    word = sys.argv[2] if len(sys.argv) > 2 else ""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    began = time.monotonic()
    with start() as server:
        for _ in range(5):
            healthy(stranger(server))
        time.sleep(1)
        base = server.sample()
        for name, function in ATTACKS:
            if word in name:
                run(server, base, name, function)
        panics = server.log().count("request.panicked")
        print()
        seen("panics in the log", 0, panics)
        seen("status of the server when told to stop", 0, server.stop())
    print(f"\n{len(LOGINS)} logins: median {statistics.median(LOGINS):.2f} s, slowest {max(LOGINS):.2f} s")
    print(f"{len(RESULTS)} expectations, {len(FAULTS)} not met, in {time.monotonic() - began:.0f} s")
    for fault in FAULTS:
        print(f"  {fault}")
    return 1 if FAULTS else 0


if __name__ == "__main__":
    BINARY = os.path.abspath(sys.argv[1])
    INSIDE = "MCP_ATTACK_INSIDE"
    if INSIDE not in os.environ:
        network = 'ip link set lo up && ip route add local 10.77.0.0/16 dev lo && exec "$@"'
        command = ["unshare", "-rn", "sh", "-c", network, "sh", sys.executable, *sys.argv]
        sys.exit(subprocess.call(command, env={**os.environ, INSIDE: "1"}))
    sys.exit(main())
