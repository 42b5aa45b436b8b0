"""The cost of a bridge: server-everything over stdio, behind ours and behind others, with one load generator: make bridge-cost.

usage: python3 cost.py LOADGEN BINARY OUTPUT.md      (COST_ROUNDS=5, COST_SECONDS=2)

All run; each figure is taken of one after the other, then the next round begins. The tables show medians; `added` is the time of a
call less that of a call over the child's own pipes in the same round.
"""

import contextlib
import json
import os
import secrets
import shutil
import signal
import statistics
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, "../bench"), os.path.join(HERE, "..")]
import people  # noqa: E402
import servers  # noqa: E402

ROUNDS, SECONDS = int(os.environ.get("COST_ROUNDS", "5")), os.environ.get("COST_SECONDS", "2")
SESSIONS, ALONE = 20, "the child alone, by pipe"
MODULES = os.path.join(HERE, "node/node_modules")
NODE = subprocess.run(["node", "-p", "process.execPath"], stdout=subprocess.PIPE, text=True, check=True).stdout.strip()
CHILD = [NODE, f"{MODULES}/@modelcontextprotocol/server-everything/dist/index.js", "stdio"]


class Bridge(servers.Server):
    """A bridge in front of the child. Processes that it leaves behind when it ends are killed: some leave their children."""

    eras = ("legacy",)

    def more_env(self):
        self.mark = f"COST_MARK={secrets.token_hex(8)}"
        return dict([self.mark.split("=")])

    def __exit__(self, *_):
        super().__exit__()
        for pid in map(int, filter(str.isdigit, os.listdir("/proc"))):
            if self.mark.encode() in read(f"/proc/{pid}/environ"):
                os.kill(pid, signal.SIGKILL)

    def forget(self):
        """Its directory is kept for the next start."""

    def ask(self, connections, era="legacy", *more):
        words = ["--tool", "echo", "--era", era, "--tokens", self.tokens_file, "--connections", connections, "--sessions", connections]
        return self.loadgen("call", *words, *more)

    def first_answer(self):
        """From its start to the answer of the first call (ms)."""
        begun = time.monotonic()
        with self:
            while self.ask(1, "legacy", "--warmup", "0", "--most", "1").get("answers", 0) == 0:
                pass
            return (time.monotonic() - begun) * 1000

    def idle(self):
        """The server whose memory is measured while nobody calls."""
        return self

    def at_sessions(self):
        """RSS with that many sessions (MiB), and of its processes other than the children."""
        with servers.Held(self, "legacy", SESSIONS, "sessions"):
            time.sleep(2)
            return self.rss_mib(), self.beside()

    def beside(self):
        return 0


class Ours(Bridge):
    eras = ("legacy", "modern")
    logins = None

    def __init__(self, binary):
        super().__init__("ours", [binary, "demo", "--", *CHILD])
        self.binary = binary

    def more_env(self):
        return super().more_env() | {"MCP_LISTEN": self.address, "MCP_STATE_DIR": f"{self.directory}/state"}

    def log_in(self):
        """Clients of three people; each has a child of its own."""
        if not self.logins:
            self.logins = [token for _ in range(0, SESSIONS, len(people.PEOPLE)) for token in people.tokens(self.origin)][:SESSIONS]
        return self.logins[:len(people.PEOPLE)]  # one person may run fewer calls at once

    def idle(self):
        return Idle(self)

    def at_sessions(self):
        self.write_tokens(self.logins)
        return super().at_sessions()

    def beside(self):
        """The guardians: each is the same binary again, so that they share most of it (PSS, MiB)."""
        tasks = f"/proc/{self.process.pid}/task"
        guardians = [pid for task in os.listdir(tasks) for pid in read(f"{tasks}/{task}/children").decode().split()]
        kib = [int(line.split()[1]) for pid in guardians for line in read(f"/proc/{pid}/smaps_rollup").decode().splitlines()
               if line.startswith("Pss:")]
        return sum(kib) / 1024


class Idle(servers.InEarnest):
    """Ours in production use: `demo` runs a second server, which simulates GitHub."""

    def prepare(self):
        command, env = super().prepare()
        os.chmod(self.directory, 0o711)  # contains the home directories of programs
        user = {"MCP_CHILD_USER": "nobody"} if os.getuid() == 0 else {}
        places = {"MCP_STATE_DIR": f"{self.directory}/state", "MCP_CHILDREN_DIR": f"{self.directory}/children"}
        return [*command, "--", *CHILD], env | user | places


def read(path):
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError:
        return b""


def peers():
    yield Bridge("supergateway 4.0.0, stateful", [
        NODE, f"{MODULES}/supergateway/dist/index.js", "--stdio", " ".join(CHILD), "--outputTransport", "streamableHttp", "--stateful",
        "--port", "{port}", "--logLevel", "none",
    ])
    npm = Bridge("mcp-proxy 6.7.19, npm", [
        NODE, f"{MODULES}/mcp-proxy/dist/bin/mcp-proxy.mjs", "--port", "{port}", "--host", "127.0.0.1", "--server", "stream", "--", *CHILD,
    ])
    npm.eras = ("legacy", "modern")
    yield npm
    python = os.path.join(HERE, "python/.venv/bin")
    if os.path.exists(python):
        command = [f"{python}/python", f"{python}/mcp-proxy", "--port", "{port}", "--host", "127.0.0.1", "--", *CHILD]
        yield Bridge("mcp-proxy 0.13.0, PyPI", command)


def pipe(connections, *more):
    words = [servers.LOADGEN, "pipe", "--tool", "echo", "--connections", str(connections), *more, "--", *CHILD]
    found = json.loads(subprocess.run(words, stdout=subprocess.PIPE, text=True).stdout)
    if found["wrong"]:
        raise SystemExit(f"the child alone: {found}")
    return found


class Figures:
    """The results for each server, by kind."""

    def __init__(self):
        self.of = {}

    def note(self, server, what, value):
        self.of.setdefault((server, what), []).append(value)

    def median(self, server, *what):
        found = self.of.get((server, what))
        return statistics.median(found) if found else None

    def ratio(self, server, other, *what):
        """The median of the ratios in each round."""
        pairs = zip(self.of.get((server, what), []), self.of.get((other, what), []))
        found = [one / another for one, another in pairs]
        return f"{statistics.median(found):.1f}" if found else "–"


def measure(everybody, figures):
    for server in everybody:
        with server.idle() as idle:
            time.sleep(1)
            figures.note(server.name, ("idle",), idle.rss_mib())
    for _ in range(ROUNDS):
        time.sleep(1)  # until the stopped processes are gone
        begun = time.monotonic()
        pipe(1, "--warmup", "0", "--seconds", "0")
        alone = (time.monotonic() - begun) * 1000
        figures.note(ALONE, ("first",), alone)
        for server in everybody:
            figures.note(server.name, ("first",), server.first_answer() - alone)
    with contextlib.ExitStack() as running:
        for server in everybody:
            running.enter_context(server)
        for number in range(ROUNDS):
            print(f"round {number + 1} of {ROUNDS}", flush=True)
            for connections in (1, 16):
                measure_calls(everybody, figures, connections)
        for server in everybody:
            with contextlib.suppress(SystemExit):  # as for calls
                rss, beside = server.at_sessions()
                figures.note(server.name, ("sessions",), rss)
                figures.note(server.name, ("beside",), beside)


def measure_calls(everybody, figures, connections):
    alone = pipe(connections, "--seconds", SECONDS)
    figures.note(ALONE, ("legacy", "speed", connections), alone["per_second"])
    for server in everybody:
        for era in server.eras:
            found = server.ask(connections, era, "--seconds", SECONDS)
            if found.get("wrong") or "per_second" not in found:
                continue  # reported on standard error, and omitted from the table
            figures.note(server.name, (era, "speed", connections), found["per_second"])
            figures.note(server.name, (era, "cpu", connections), found["cpu_per_10k"])
            for part in ("p50_ms", "p99_ms"):
                figures.note(server.name, (era, part, connections), found[part] - alone[part])


def table(everybody, figures):
    yield ("| server-everything behind | calls/s at 1 / 16 | ours : it, 1 / 16 | modern, 1 / 16 | added p50 / p99 at 1, ms | at 16 | "
           "CPU s per 10,000, bridge alone, 1 / 16 | RSS idle / 20 sessions, MiB | first answer, ms |")
    yield "| --- | --- | --- | --- | --- | --- | --- | --- | --- |"
    def cell(form, name, *ways):
        found = [figures.median(name, *way) for way in ways]
        return " / ".join("–" if value is None else format(value, form) for value in found)
    first = f"{figures.median(ALONE, 'first'):,.0f}"
    yield f"| {ALONE} | {cell(',.0f', ALONE, *[('legacy', 'speed', n) for n in (1, 16)])} | – | – | – | – | – | – | {first} |"
    for server in everybody:
        name = server.name
        speed = [cell(",.0f", name, *[(era, "speed", n) for n in (1, 16)]) for era in ("legacy", "modern")]
        speed.insert(1, " / ".join(figures.ratio(everybody[0].name, name, "legacy", "speed", n) for n in (1, 16)))
        added = [cell("+.2f", name, *[("legacy", part, n) for part in ("p50_ms", "p99_ms")]) for n in (1, 16)]
        cpu = cell(".2f", name, *[("legacy", "cpu", n) for n in (1, 16)])
        beside = figures.median(name, "beside")
        rss = cell(".1f", name, ("idle",), ("sessions",)) + (f" + {beside:.1f} for the guardians" if beside else "")
        yield f"| {name} | {' | '.join(speed)} | {' | '.join(added)} | {cpu} | {rss} | {cell('+,.0f', name, ('first',))} |"


def targets(figures):
    """Ours: the targets and the results."""
    cpu = figures.median("ours", "legacy", "cpu", 16)
    yield "CPU s per 10,000 calls at 16", 0.5, cpu
    yield "RSS idle, MiB", 8, figures.median("ours", "idle")
    yield "RSS at 20 sessions, MiB", 12, figures.median("ours", "sessions")
    yield "first answer, ms above the child's", 20, figures.median("ours", "first")


def main():
    servers.use(sys.argv[1])
    everybody = [Ours(os.path.abspath(sys.argv[2])), *peers()]
    figures = Figures()
    try:
        measure(everybody, figures)
    finally:
        for server in everybody:
            shutil.rmtree(server.directory or "/nonexistent", ignore_errors=True)
    lines = list(table(everybody, figures))
    lines[:0] = [f"make bridge-cost: {len(os.sched_getaffinity(0))} cores, load {os.getloadavg()[1]:.1f}, {ROUNDS} rounds of {SECONDS} s.", ""]
    lines += ["", "| ours | target | measured | |", "| --- | --- | --- | --- |"]
    lines += [f"| {what} | ≤ {most} | {found:.2f} | {'reached' if found <= most else '**not reached**'} |" for what, most, found in targets(figures)]
    print("\n".join(lines))
    with open(sys.argv[3], "w") as file:
        file.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
