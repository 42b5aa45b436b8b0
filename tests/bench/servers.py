"""The measured servers: how each is started, called and stopped, and its resource use."""

import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time

import people

METADATA = "/.well-known/oauth-authorization-server"
CONSTANT = '{"jsonrpc":"2.0","id":1,"result":{"content":[{"type":"text","text":"Hello, constant!"}],"isError":false}}'
# Below src/base/limits.rs, SESSIONS_PER_USER: beyond it connections share sessions.
SESSIONS_EACH = 30


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


class Server:
    """A process on a loopback port of its own, with a directory of its own. Stopped by its process id."""

    sessions_each = None
    eras = ("modern", "legacy")
    stream_eras = None  # eras in which streams can be opened, if not all
    kind = "call"
    directories = None  # parent of its directory; the system's directory for temporary files by default
    is_fast = True
    has_metadata = True

    def __init__(self, name, command):
        self.name, self.command, self.port = name, command, free_port()
        self.address = f"127.0.0.1:{self.port}"
        self.origin = f"http://{self.address}"
        self.token = secrets.token_urlsafe(32)
        self.directory, self.process = None, None

    def more_env(self):
        return {}

    def prepare(self):
        """The command line and the environment of its process; creates its directory."""
        self.directory = self.directory or tempfile.mkdtemp(prefix="mcp-oauth-server-bench-", dir=self.directories)
        env = {"PATH": os.environ["PATH"], "HOME": self.directory, "NODE_ENV": "production", "PEER_TOKEN": self.token} | self.more_env()
        return [part.replace("{port}", str(self.port)) for part in self.command], env

    def __enter__(self):
        command, env = self.prepare()
        # Its log is formatted and written, but discarded.
        self.process = subprocess.Popen(command, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                        stderr=subprocess.DEVNULL)
        end = time.monotonic() + 60
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                break
            except OSError:
                if self.process.poll() is not None or time.monotonic() > end:
                    self.__exit__()
                    raise SystemExit(f"{self.name} does not start: {' '.join(command)}") from None
                time.sleep(0.005)
        self.write_tokens(self.log_in())
        return self

    def __exit__(self, *_):
        self.process.terminate()
        try:
            self.process.wait(15)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.forget()

    def forget(self):
        shutil.rmtree(self.directory, ignore_errors=True)
        self.directory = None

    def log_in(self):
        return [self.token]

    def write_tokens(self, tokens):
        self.tokens, self.tokens_file = tokens, os.path.join(self.directory, "tokens")
        with open(self.tokens_file, "w") as file:
            file.write("".join(f"{token}\n" for token in tokens))

    def status_kib(self, field):
        with open(f"/proc/{self.process.pid}/status") as status:
            line = next(line for line in status if line.startswith(field + ":"))
        return int(line.split()[1])

    def cpu_seconds(self):
        with open(f"/proc/{self.process.pid}/stat") as stat:
            fields = stat.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def rss_mib(self):
        return self.status_kib("VmRSS") / 1024

    def loadgen(self, what, *arguments):
        """The results of one run of the load generator."""
        words = [LOADGEN, what, "--address", self.address, "--process", str(self.process.pid), *map(str, arguments)]
        run = subprocess.run(words, stdout=subprocess.PIPE, text=True)
        found = json.loads(run.stdout)
        if run.returncode:
            print(f"\n{self.name}, {' '.join(words[1:])}: {found['wrong']} wrong, {found.get('starved', 0)} starved: "
                  f"{found.get('first_wrong')}", file=sys.stderr, flush=True)
        return found

    def call(self, era, connections, *arguments):
        if self.kind == "constant":
            return self.loadgen("constant", "--words", CONSTANT, "--era", era, "--connections", connections, *arguments)
        sessions = min(connections, (self.sessions_each or connections) * len(self.tokens))
        return self.loadgen("call", "--era", era, "--tokens", self.tokens_file, "--connections", connections,
                            "--sessions", sessions, *arguments)


class Held:
    """Streams, or sessions without one, that the load generator keeps open on a server."""

    def __init__(self, server, era, count, what="streams"):
        words = [LOADGEN, "hold", "--address", server.address, "--era", era, "--tokens", server.tokens_file]
        self.server, self.count, self.before = server, count, server.cpu_seconds()
        self.process = subprocess.Popen([*words, f"--{what}", str(count)], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True)

    def __enter__(self):
        self.wrong, self.opened = 0, json.loads(self.process.stdout.readline())
        if "held" not in self.opened:
            raise SystemExit(f"no {self.count} streams of {self.server.name}: {self.opened}")
        self.cpu_us_each = (self.server.cpu_seconds() - self.before) * 1e6 / self.count
        return self

    def close(self):
        """Checks each, and closes all."""
        if self.process.stdin.closed:
            return
        self.process.stdin.write("\n")
        self.process.stdin.close()
        self.wrong = json.loads(self.process.stdout.readline())["wrong"]
        self.process.wait()

    def __exit__(self, *_):
        self.close()


class Ours(Server):
    """The release binary as `demo`: only GitHub differs from production use."""

    sessions_each = SESSIONS_EACH

    def __init__(self, binary, capacity=None, name="ours"):
        super().__init__(name, [binary, "demo"])
        self.binary, self.capacity = binary, capacity or {}

    def more_env(self):
        return {"MCP_LISTEN": self.address, "MCP_STATE_DIR": self.directory} | self.capacity

    def log_in(self):
        return people.tokens(self.origin)


class InEarnest(Server):
    """The release binary in production use; nobody has logged in."""

    def __init__(self, server):
        super().__init__(server.name, [server.binary])

    def more_env(self):
        return {
            "MCP_LISTEN": self.address, "MCP_STATE_DIR": self.directory, "MCP_ALLOW": "any",
            "GITHUB_CLIENT_ID": "bench", "GITHUB_CLIENT_SECRET": secrets.token_hex(16),
        }


class Floor(Server):
    """A program that gives every request the answer CONSTANT."""

    kind = "constant"
    eras = ("modern",)

    def __init__(self, name, program, door):
        super().__init__(name, [program, door, "{port}", CONSTANT])


class Peer(Server):
    def __init__(self, name, command, eras):
        super().__init__(name, command)
        self.eras = eras


class Slow(Peer):
    """A peer far slower than a Rust program: fewer rounds are enough."""

    is_fast, has_metadata = False, False


LOADGEN = None


def use(loadgen):
    """The path of the load generator."""
    global LOADGEN
    LOADGEN = loadgen
