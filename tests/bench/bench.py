"""Ours and the others side by side, in turn, on loopback: speed, memory, size. `make bench`; BENCH_ONLY=quick for a look.

usage: python3 bench.py PROGRAMS BINARY RESULTS
  PROGRAMS  the directory with loadgen, own and rmcp-peer
  BINARY    the server, as released
  RESULTS   a directory for results.json and results.md
BENCH_ONLY   what to measure, a comma list of: calls, refusals, memory, streams, cold, size, growth; or quick
BENCH_SERVERS  whom, a comma list of the names in the table; all that are there by default
BENCH_BEFORE  another binary of the server, measured beside this one as `ours before`
BENCH_CONNECTIONS=1,16,64,256  how many connections call at once
BENCH_ROUNDS=5  BENCH_SECONDS=2  how often each figure is taken, and for how long
"""

import contextlib
import json
import os
import platform
import shutil
import subprocess
import sys
import time

import growth as growing
import report
import servers
from servers import Floor, Held, InEarnest, Ours, Peer, Slow

SECTIONS = ["size", "cold", "memory", "calls", "refusals", "streams"]
QUICK = ["calls", "refusals"]
ONLY = [word for word in os.environ.get("BENCH_ONLY", "").split(",") if word]
IS_QUICK = "quick" in ONLY
WANTED = [name for name in os.environ.get("BENCH_SERVERS", "").split(",") if name]
ROUNDS = int(os.environ.get("BENCH_ROUNDS", "3" if IS_QUICK else "5"))
SECONDS = float(os.environ.get("BENCH_SECONDS", "1" if IS_QUICK else "2"))
BEFORE = os.environ.get("BENCH_BEFORE")
CONNECTIONS = [int(word) for word in os.environ.get("BENCH_CONNECTIONS", "16,64" if IS_QUICK else "1,16,64,256").split(",")]
COLD_STARTS = 11
MANY_CALLS = 100_000
STREAMS = 1000
SETTLE = 2  # seconds until a server has finished its delayed work
MANY_STREAMS = {
    "MCP_MAX_CONNECTIONS": "2048", "MCP_MAX_STREAMS": "1200", "MCP_MAX_SESSIONS": "1200",
    "MCP_MAX_STREAMS_PER_USER": "1200", "MCP_MAX_SESSIONS_PER_USER": "1200",
}
SLOW_ROUNDS = 2  # of servers far slower than a Rust program: more precise figures are not needed

PROGRAMS, BINARY, RESULTS = sys.argv[1:4]
HERE = os.path.dirname(os.path.abspath(__file__))
STATIC = os.path.join(HERE, "../../dist", os.path.basename(BINARY))
STARTED = time.monotonic()


def say(words):
    print(f"{time.monotonic() - STARTED:5.0f} s  {words}", file=sys.stderr, flush=True)


def everybody():
    """Every installed server, in the order of the tables."""
    stateless = Peer("rmcp stateless", [f"{PROGRAMS}/rmcp-peer", "{port}", "stateless", "nodelay"], ("modern", "legacy"))
    stateless.stream_eras = ("modern",)  # without sessions there is no stream to open
    found = [
        Ours(BINARY),
        *([Ours(BEFORE, name="ours before")] if BEFORE else []),
        Floor("edge alone", f"{PROGRAMS}/own", "edge"),
        Floor("tiny_http alone", f"{PROGRAMS}/own", "tiny_http"),
        stateless,
    ]
    if not IS_QUICK or WANTED:
        found.append(Peer("rmcp stateful", [f"{PROGRAMS}/rmcp-peer", "{port}", "stateful", "nodelay"], ("legacy",)))
        found += interpreted()
    return [server for server in found if not WANTED or server.name in WANTED]


def interpreted():
    """The servers that need Node or Python, if these are installed."""
    found = []
    node, python = shutil.which("node"), f"{HERE}/python/.venv/bin/python"
    if node and os.path.exists(f"{HERE}/node/node_modules"):
        found.append(Slow("TypeScript SDK 1", [node, f"{HERE}/node/sdk1.mjs", "{port}"], ("legacy",)))
        found.append(Slow("TypeScript SDK 2", [node, f"{HERE}/node/sdk2.mjs", "{port}"], ("modern",)))
    else:
        say("without the TypeScript SDK: needs Node, and npm ci in tests/bench/node")
    if os.path.exists(python):
        found.append(Slow("FastMCP", [python, f"{HERE}/python/fastmcp_peer.py", "{port}"], ("legacy",)))
    else:
        say("without FastMCP: needs Python's venv, and pip install in tests/bench/python")
    return found


class Results:
    """The measurements: one record for each figure and round."""

    def __init__(self):
        self.records = []

    def add(self, section, server, found, **more):
        self.records.append({"section": section, "server": server.name, **more, **found})

    def about(self, what):
        """The conditions of the measurement."""
        commit = subprocess.run(["git", "-C", HERE, "describe", "--always", "--dirty"], stdout=subprocess.PIPE, text=True)
        timed = [each for each in self.records if "other_cpu" in each]
        noise = sum(each["other_cpu"] for each in timed) / max(sum(each["seconds"] for each in timed), 1)
        self.records.insert(0, {
            "section": "run", "what": what, "date": time.strftime("%Y-%m-%d"), "commit": commit.stdout.strip(),
            "cores": os.cpu_count(), "kernel": platform.release(), "rounds": ROUNDS, "seconds": SECONDS, "noise": noise,
        })


def window():
    return "--seconds", SECONDS, "--warmup", min(0.5, SECONDS / 4)


def calls(results, all_of_them):
    """Every figure of every server in turn, then the next round: a disturbance of the machine affects all alike."""
    with contextlib.ExitStack() as stack:
        running = [stack.enter_context(server) for server in all_of_them]
        for round_number in range(ROUNDS):
            for era in ("modern", "legacy"):
                for connections in CONNECTIONS:
                    say(f"calls, round {round_number + 1} of {ROUNDS}: {era}, {connections} connections")
                    for server in running:
                        if era in server.eras and (server.is_fast or round_number < SLOW_ROUNDS):
                            found = server.call(era, connections, *window())
                            results.add("calls", server, found, era=era, connections=connections)


def refusals(results, all_of_them):
    """Requests without a token: a refused call, and the metadata."""
    with contextlib.ExitStack() as stack:
        running = [stack.enter_context(server) for server in all_of_them if server.kind == "call"]
        for round_number in range(ROUNDS):
            say(f"401s and metadata, round {round_number + 1} of {ROUNDS}")
            for server in running:
                if server.is_fast or round_number < SLOW_ROUNDS:
                    many = ("--connections", 16, *window())
                    results.add("401s", server, server.loadgen("stranger", "--era", server.eras[0], *many))
                    if server.has_metadata:
                        get = ("--path", servers.METADATA, "--words", "authorization_endpoint")
                        results.add("metadata", server, server.loadgen("get", *get, *many))


def in_earnest(all_of_them):
    """Requests without a token to our server, without the demo's GitHub and before anybody has logged in."""
    return [InEarnest(server) if isinstance(server, Ours) else server for server in all_of_them if server.kind == "call"]


def cold(results, all_of_them):
    """From the start to the first answer."""
    say("cold starts")
    prepared = [(server, *server.prepare()) for server in in_earnest(all_of_them)]
    for _ in range(COLD_STARTS):
        for server, command, env in prepared:
            words = [servers.LOADGEN, "cold", "--address", server.address, "--runs", "1", "--path", servers.METADATA]
            run = subprocess.run([*words, "--", *command], env=env, stdout=subprocess.PIPE, text=True)
            results.add("cold", server, json.loads(run.stdout))
    for server, _, _ in prepared:
        server.forget()


def memory(results, all_of_them):
    """Before the first request, also of the static binary, and after many calls."""
    static = [Ours(STATIC, name="ours, static")] if os.path.exists(STATIC) else []
    for server in in_earnest(all_of_them + static):
        say(f"memory of {server.name}")
        with server:
            time.sleep(SETTLE)
            results.add("idle", server, {"rss_mib": server.rss_mib()})
    for server in all_of_them:
        if server.kind == "call":
            with server:
                many = MANY_CALLS if server.is_fast else MANY_CALLS // 20
                found = server.call(server.eras[0], 64, "--warmup", 0, "--seconds", 120, "--most", many)
                time.sleep(SETTLE)
                results.add("used", server, found | {"rss_mib": server.rss_mib(), "calls": many})


def streams(results, all_of_them):
    """The cost of an open stream, and the memory that is left when it is closed."""
    for server in all_of_them:
        if server.kind == "call":
            server.capacity = MANY_STREAMS
            for era in server.stream_eras or server.eras:
                say(f"{STREAMS} streams of {server.name}, {era}")
                with server:
                    with Held(server, era, 8):
                        pass  # a single allocation is not part of a stream's cost
                    time.sleep(SETTLE)
                    before = server.rss_mib()
                    with Held(server, era, STREAMS) as held:
                        time.sleep(SETTLE)
                        during = server.rss_mib()
                        held.close()
                    time.sleep(SETTLE * 2)
                    each = (during - before) * 1024 / STREAMS
                    left = (server.rss_mib() - before) * 1024 / STREAMS
                    results.add("streams", server, {"wrong": held.wrong, "kib_each": each, "kib_left": left}, era=era)


def size(results, _):
    """The binary, and its contents."""
    crates = os.path.join(HERE, "../../deps.txt")
    with open(crates) as file:
        found = {"crates": len(file.readlines()), "dynamic_mib": os.path.getsize(BINARY) / 2**20}
    if os.path.exists(STATIC):
        found["static_mib"] = os.path.getsize(STATIC) / 2**20
    else:
        say("without the size of the static binary: make static")
    results.add("size", Ours(BINARY), found)


def growth(results, _):
    """The cost of a call under growing load."""
    growing.measure(results, say, BINARY, PROGRAMS, RESULTS, ROUNDS, window())


MEASURES = {
    "calls": calls, "refusals": refusals, "memory": memory, "streams": streams, "cold": cold, "size": size, "growth": growth,
}


def main():
    os.makedirs(RESULTS, exist_ok=True)
    servers.use(f"{PROGRAMS}/loadgen")
    sections = QUICK if IS_QUICK else ONLY or SECTIONS
    results = Results()
    for section in sections:
        MEASURES[section](results, everybody())
    name = sections[0] if len(sections) == 1 else "quick" if IS_QUICK else "results"
    results.about(f"make bench{'' if name == 'results' else ' BENCH_ONLY=' + name}")
    report.write(results.records, RESULTS, name)
    # A peer's mistakes have been printed; they are a result, not a failure.
    ours = [record for record in results.records if record.get("server") == "ours"]
    return 1 if any(record.get("wrong") or record.get("starved") for record in ours) else 0


if __name__ == "__main__":
    sys.exit(main())
