"""Two people with two client programs each, behind one login, in front of real servers: make bridge-isolation.

usage: python3 isolation.py BINARY VENV      (VENV: a virtual environment with FastMCP)

For each isolation, a servers file with server-memory, server-filesystem and a FastMCP server: whose process serves whom, what stands in
its environment, and what of one person's data another sees. Exit status 1 if any of it does not hold.
"""

import glob
import json
import os
import secrets
import shutil
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from rig import JSON, Person, Server, Site  # noqa: E402

HERE = os.path.dirname(os.path.abspath(__file__))
BIN = f"{HERE}/node/node_modules/.bin"
BINARY, VENV = map(os.path.abspath, sys.argv[1:])
[PACKAGES] = glob.glob(f"{VENV}/lib/python3.*/site-packages")
# Variables that a program's environment may contain, besides the entry's own.
COMMON = {"PATH", "LANG", "TZ", "SSL_CERT_FILE", "SSL_CERT_DIR", "HOME", "TMPDIR"}
PEOPLE, PROGRAMS, SESSIONS = (1, 2), (1, 2), (1, 2)
FAULTS = []


def seen(what, fine, said=""):
    if not fine:
        FAULTS.append(what)
    print(f"    {'ok ' if fine else 'NOT'} {what}{f': {said}' if said != '' else ''}", flush=True)


class SeveralServers(Server):
    """Our server in front of the three, with one isolation level."""

    def __init__(self, isolation):
        key = secrets.token_hex(16)
        super().__init__(BINARY, {"MCP_ALLOW": "any", "MCP_MAX_CHILDREN_PER_USER": "16", "KEY": key, "OTHER": "canary-of-the-server"})
        self.env["MCP_CHILDREN_DIR"] = f"{self.directory}/children"
        python = sys.executable
        if os.getuid() == 0:
            # Users without access to root's files, one for each person.
            self.env["MCP_CHILD_USER"] = "200000-265535" if isolation != "shared" else "nobody"
            python = shutil.which("python3", path="/usr/local/bin:/usr/bin:/bin")
        os.chmod(self.directory, 0o711)
        shutil.copy(f"{HERE}/python/remembering.py", self.directory)
        os.chmod(f"{self.directory}/remembering.py", 0o644)
        who = {} if isolation == "shared" else {"WHO": "${user.login}"}
        script = {
            "memory": f"MEMORY_FILE_PATH=$HOME/memory.jsonl exec {BIN}/mcp-server-memory",
            "files": f"exec {BIN}/mcp-server-filesystem $HOME",
            "notes": f"exec {python} {self.directory}/remembering.py",
        }
        more = {"notes": {"PYTHONPATH": PACKAGES, "KEY": "${env.KEY}"}}
        self.own = {name: {*who, *more.get(name, {})} for name in script}
        entries = {
            name: {"command": "sh", "args": ["-c", script[name]], "isolation": isolation, "env": who | more.get(name, {})}
            for name in script
        }
        with open(f"{self.directory}/servers.json", "w") as file:
            json.dump({"mcpServers": entries}, file)
        self.command += ["--servers", f"{self.directory}/servers.json"]

    def programs(self):
        """Each running program's process: by its server's name, the pid, home and environment."""
        found = {}
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open(f"/proc/{pid}/environ", "rb") as file:
                    environment = dict(pair.split("=", 1) for pair in file.read().decode().split("\0") if "=" in pair)
                with open(f"/proc/{pid}/cmdline", "rb") as file:
                    is_guardian = file.read().startswith(b"mcp-guardian")
            except OSError:
                continue
            home = environment.get("HOME", "")
            if home.startswith(f"{self.directory}/children/") and not is_guardian:
                found.setdefault(home.split("/")[-3], {})[int(pid)] = environment
        return found


class Caller(Person):
    """A person's client program at one server, in one session of the older era."""

    def begin_session(self):
        self.session_fields = self.session()
        return self

    def ask(self, tool, arguments):
        """The structured result of a call, else its text."""
        call = {"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": {"name": tool, "arguments": arguments}}
        _, text = self.site.ask(200, "POST", f"{self.site.below}/mcp", self.session_fields | JSON, json.dumps(call))
        lines = [line[6:] for line in text.splitlines() if line.startswith("data: {")] or [text]
        result = json.loads(lines[-1])["result"]
        structured = result.get("structuredContent") or {}
        return structured.get("result", structured) or result["content"][0]["text"], result.get("isError", False)


def callers(server, name):
    """By person, program and session. Each program logs in once."""
    found = {}
    for person in PEOPLE:
        for program in PROGRAMS:
            site = Site(f"{server.site.origin}/{name}", server.port, source=f"127.0.0.{10 + person}")
            login = Caller(site, person).register().log_in()
            for session in SESSIONS:
                caller = Caller(site, person)
                caller.access = login.access
                found[person, program, session] = caller.begin_session()
    return found


# Callers share a process if this part of (person, program, session) is equal.
SHARED_BY = {
    "grant": lambda caller: caller[:2],
    "user": lambda caller: caller[:1],
    "session": lambda caller: caller,
    "shared": lambda _: (),
}


def check_notes(server, shares):
    """Checks a program's memory, its environment and its place."""
    by_caller = callers(server, "notes")
    for caller, client in by_caller.items():
        client.ask("remember", {"note": str(caller)})
    about = {caller: client.ask("about", {})[0] for caller, client in by_caller.items()}
    pids = {caller: one["pid"] for caller, one in about.items()}
    expected = len({shares(caller) for caller in by_caller})
    is_right = all((pids[one] == pids[other]) == (shares(one) == shares(other)) for one in pids for other in pids)
    seen(f"notes: {expected} processes for {len(pids)} sessions", is_right, sorted(set(pids.values())))
    wrong = [one for one in about if about[one]["notes"] != [str(other) for other in about if shares(one) == shares(other)]]
    seen("notes: each remembers its own callers' notes alone", not wrong, wrong or "")
    check_environments(server, about)


def check_environments(server, about):
    is_shared = len({one["pid"] for one in about.values()}) == 1
    for caller, one in about.items():
        environment, home = one["environment"], one["environment"]["HOME"]
        more = {name for name in environment if name not in COMMON | server.own["notes"] and not name.startswith("LC_")}
        owner = "shared" if is_shared else str(583231 + caller[0])
        fine = more <= {"PWD", "OLDPWD", "SHLVL", "_"} and environment["KEY"] == server.env["KEY"]
        fine &= home == one["cwd"] == f"{server.directory}/children/notes/{owner}/home"
        fine &= environment.get("WHO") == (None if is_shared else f"octocat-{caller[0]}")
        if not fine:
            seen(f"the environment of {caller}", False, (sorted(more), home, environment.get("WHO")))
    homes, users = {one["environment"]["HOME"] for one in about.values()}, {(caller[0], one["uid"]) for caller, one in about.items()}
    seen("notes: a home for each person, nothing foreign in the environment", len(homes) == (1 if is_shared else 2), f"users {sorted(users)}")


def check_files(server, is_shared):
    """Checks the files that a program writes into its home."""
    by_caller = callers(server, "files")
    homes = {caller: client.ask("list_allowed_directories", {})[0] for caller, client in by_caller.items()}
    homes = {caller: (text if isinstance(text, str) else text["content"]).splitlines()[-1] for caller, text in homes.items()}
    for caller, client in by_caller.items():
        _, failed = client.ask("write_file", {"path": f"{homes[caller]}/{'-'.join(map(str, caller))}", "content": "x"})
        if failed:
            seen(f"files: {caller} writes", False)
    wrong = []
    for caller, client in by_caller.items():
        listed = str(client.ask("list_directory", {"path": homes[caller]})[0])
        for other in by_caller:
            if (f"{'-'.join(map(str, other))}" in listed) != (is_shared or other[0] == caller[0]):
                wrong.append((caller, other))
            _, refused = client.ask("read_text_file", {"path": f"{homes[other]}/{'-'.join(map(str, other))}"})
            if refused != (homes[other] != homes[caller]):
                wrong.append((caller, other, "read"))
    seen("files: a person reads what their programs wrote" + (", and everybody" if is_shared else ", and nobody else"), not wrong, wrong or "")


def check_memory(server, is_shared):
    """Checks the entities that a program stores in a file of its home."""
    by_caller = callers(server, "memory")
    for caller, client in by_caller.items():
        client.ask("create_entities", {"entities": [{"name": f"of-{caller}", "entityType": "note", "observations": ["x"]}]})
    wrong = []
    for caller, client in by_caller.items():
        graph = json.dumps(client.ask("read_graph", {})[0])
        wrong += [(caller, other) for other in by_caller if (f"of-{other}" in graph) != (is_shared or other[0] == caller[0])]
    seen("memory: a person's graph is theirs" + (" and everybody's" if is_shared else " alone"), not wrong, wrong or "")


def check_from_outside(server, isolation):
    """The environments according to the system, not to the programs."""
    foreign = {
        "a secret of the server": (server.env["GITHUB_CLIENT_SECRET"], "canary-of-the-server", "MCP_STATE_DIR", "MCP_ALLOW"),
        "a token": ("gho_", "mcp_at_", "mcp_rt_"),
    }
    found, counts = [], {}
    for name, processes in server.programs().items():
        counts[name] = len(processes)
        for pid, environment in processes.items():
            text = json.dumps(environment)
            found += [(name, pid, what) for what, words in foreign.items() for word in words if word in text]
            owner = environment["HOME"].split("/")[-2]
            others = [str(583231 + person) for person in PEOPLE if str(583231 + person) != owner] + (
                [f"octocat-{person}" for person in PEOPLE if str(583231 + person) != owner])
            found += [(name, pid, other) for other in others if other in text]
            if name != "notes" and server.env["KEY"] in text:
                found.append((name, pid, "another entry's key"))
    expected = {"grant": 4, "user": 2, "session": 8, "shared": 1}[isolation]
    seen("seen from outside: as many processes as said", set(counts.values()) == {expected} and len(counts) == 3, counts)
    seen("seen from outside: no environment has a value of the server's or of another person", not found, found or "")


for isolation, shares in SHARED_BY.items():
    print(isolation, flush=True)
    with SeveralServers(isolation) as server:
        server.start()
        check_notes(server, shares)
        check_files(server, isolation == "shared")
        check_memory(server, isolation == "shared")
        check_from_outside(server, isolation)
        ended = server.stop()
        seen("a stop leaves nothing", ended == 0 and not server.programs(), server.programs() or "")
sys.exit(bool(FAULTS))
