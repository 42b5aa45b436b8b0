"""Programs and upstreams that misbehave, behind the bridge: make bridge-faults.

usage: python3 faults.py BINARY [NAME]...      (NAMEs pick some of them; CRASHES=1000 starts that fail)

Under each fault a neighbour, who has a program of their own, goes on calling; after it the server must be where it was.
Exit status 1 if any of it does not hold.
"""

import contextlib
import http.client
import itertools
import json
import os
import re
import secrets
import shutil
import signal
import statistics
import subprocess
import sys
import threading
import time
from urllib.parse import urlencode

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from rig import FORM, Person, Server, Site  # noqa: E402

HERE = os.path.dirname(os.path.abspath(__file__))
CRASHES = int(os.environ.get("CRASHES", "1000"))
SLOWER = 1.2  # the highest ratio for a neighbour: the median time of their calls, over that without load
CALLS, ROUNDS, TRIES = 100, 5, 3
# Allowance at the end: memory kept by the allocator.
MARGIN_KIB, BACK_SECONDS = 8 * 1024, 15
DECLINED = {"action": "decline"}
WORDS = sys.argv[2:]
FAULTS = []


def seen(what, fine, said=""):
    if not fine:
        FAULTS.append(what)
    print(f"    {'ok ' if fine else 'NOT'} {what}{': ' if said != '' else ''}{said}", flush=True)


# ---- a server in front of nasty.py ----

class Bridge(Server):
    """Our server in front of nasty.py; its child processes have a marker in their environment."""

    def __init__(self, binary):
        super().__init__(binary, {"MCP_ALLOW": "any"})
        self.env["MCP_CHILDREN_DIR"] = f"{self.directory}/children"
        python = sys.executable
        if os.getuid() == 0:
            # Another user, without access to root's files.
            self.env["MCP_CHILD_USER"] = "nobody"
            python = shutil.which("python3", path="/usr/local/bin:/usr/bin:/bin")
        os.chmod(self.directory, 0o711)
        program = shutil.copy(f"{HERE}/nasty.py", self.directory)
        os.chmod(program, 0o644)
        self.mark = f"NASTY_MARK={secrets.token_hex(8)}"
        self.command += ["--env", "WHO=${user.login}", "--env", self.mark, "--", python, "-ISE", program]

    def processes(self):
        """Its living descendants, guardians included."""
        return list(filter(self.is_marked, every_process()))

    def is_marked(self, pid):
        try:
            with open(f"/proc/{pid}/environ", "rb") as environment:
                return self.mark.encode() in environment.read()
        except OSError:
            return False

    def loud(self):
        """The processes that work while somebody is loud."""
        return [self.process.pid, *self.processes()]

    def person(self, number, kind=None):
        return person_at(self.site.origin, self.port, number, kind)


class InFrontOfUpstream(Server):
    """Our server in front of two of nasty_upstream.py: one for the neighbour, and one that runs while nobody else wants to."""

    def __init__(self, binary):
        super().__init__(binary, {"MCP_ALLOW": "any"})
        self.upstreams = {name: subprocess.Popen(
            [sys.executable, f"{HERE}/nasty_upstream.py", name], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        ) for name in ("quiet", "nasty")}
        servers = {name: {
            "type": "http", "url": f"http://127.0.0.1:{upstream.stdout.readline().strip()}/mcp", "headers": {"X-User": "${user.login}"},
        } for name, upstream in self.upstreams.items()}
        with open(f"{self.directory}/servers.json", "w") as file:
            json.dump({"mcpServers": servers}, file)
        self.command += ["--servers", file.name]

    def person(self, number, kind=None):
        return person_at(f"{self.site.origin}/{'quiet' if number == 500 else 'nasty'}", self.port, number, kind)

    def processes(self):
        return []

    def loud(self):
        groups = {upstream.pid for upstream in self.upstreams.values()}
        return [self.process.pid, *(pid for pid in every_process() if group_of(pid) in groups)]

    def __exit__(self, *error):
        super().__exit__(*error)
        for upstream in self.upstreams.values():
            upstream.communicate()  # it ends with its input


def person_at(origin, port, number, kind):
    """A person with an address of their own, because the rate of logins per address is limited."""
    source = f"127.0.{1 + number // 250}.{1 + number % 250}"
    return (kind or Caller)(Site(origin, port, source=source), number).register().log_in()


class Caller(Person):
    """A person with a persistent connection."""

    connection = None

    def ask(self, name="greet", arguments=None, token=None, timeout=60):
        """The text of a call's answer, or its error message."""
        fields, body = self.request(name, {"name": "Ada"} if arguments is None else arguments)
        if token:
            body = json.loads(body)
            body["params"]["_meta"]["progressToken"] = token
            body = json.dumps(body)
        message = self.exchange(fields, body, timeout)
        if "error" in message:
            return message["error"]["message"]
        return message["result"]["content"][0]["text"]

    def exchange(self, fields, body, timeout):
        """The response to a request."""
        if not self.connection:
            self.connection = http.client.HTTPConnection("127.0.0.1", self.site.port)
            self.connection.connect()
        self.connection.sock.settimeout(timeout)
        try:
            self.connection.request("POST", f"{self.site.below}/mcp", body, {"Host": self.site.host, **fields})
            response = self.connection.getresponse()
            kind = response.headers["content-type"]
            message = {"error": {"message": f"status {response.status}"}}
            for text in response if kind == "text/event-stream" else [response.read()]:
                text = text.strip().removeprefix(b"data: ")
                if text.startswith(b"{"):
                    message = json.loads(text)
                    self.asked(message)
        except (OSError, http.client.HTTPException):
            self.close()
            raise
        return message

    def asked(self, message):
        """Answers it if it is a question."""

    def close(self):
        if self.connection:
            self.connection.close()
        self.connection = None

    def leave(self):
        """Ends the grant, and with it the program."""
        self.close()
        form = urlencode({"token": self.refresh_token, "client_id": self.client_id})
        self.site.ask(200, "POST", f"{self.site.below}/revoke", FORM, form)


class Asked(Caller):
    """A client of 2026-07-28 that can be asked, and answers."""

    answers = True

    def request(self, name, arguments):
        fields, body = super().request(name, arguments)
        return fields, body.replace('Capabilities": {}', 'Capabilities": {"elicitation": {}}')

    def exchange(self, fields, body, timeout):
        end = time.monotonic() + 8
        while True:
            message = super().exchange(fields, body, timeout)
            result = message.get("result", {})
            if result.get("resultType") != "input_required":
                return message
            if not self.answers or time.monotonic() > end:
                return {"error": {"message": "it asks again and again"}}
            body = json.loads(body)
            body["params"] |= {"inputResponses": {key: DECLINED for key in result["inputRequests"]}}
            body["params"] |= {"requestState": result["requestState"]}
            body = json.dumps(body)


class AskedOnStream(Caller):
    """A client of 2025-11-25 that can be asked, and answers."""

    answers, session_fields = True, None

    def request(self, name, arguments):
        if not self.session_fields:
            self.session_fields = self.session({"elicitation": {}})
        body = json.loads(super().request(name, arguments)[1])
        del body["params"]["_meta"]
        return self.session_fields, json.dumps(body)

    def asked(self, message):
        if "method" in message and "id" in message and self.answers:
            answer = json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": DECLINED})
            self.site.ask(202, "POST", f"{self.site.below}/mcp", self.session_fields, answer)


def wait_for(what, seconds):
    end = time.monotonic() + seconds
    while not what() and time.monotonic() < end:
        time.sleep(0.05)
    return what()


SPINNING = """
import os
os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
parent = os.getppid()
while os.getppid() == parent:
    pass
"""


@contextlib.contextmanager
def processors_awake():
    """Something for every processor to do while nobody else wants it: a call that must wake one up takes twice as long, so
    that calls would seem fast in loud times and slow in quiet ones."""
    spinning = [subprocess.Popen([sys.executable, "-c", SPINNING]) for _ in os.sched_getaffinity(0)]
    try:
        yield
    finally:
        for process in spinning:
            process.kill()
            process.wait()


def every_process():
    return map(int, filter(str.isdigit, os.listdir("/proc")))


def group_of(pid):
    try:
        return os.getpgid(pid)
    except ProcessLookupError:
        return None


def processor_time(pid):
    """In ticks; 0 for a process that is gone."""
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return sum(map(int, stat.read().rpartition(") ")[2].split()[11:13]))
    except OSError:
        return 0


def quiet_milliseconds(server, neighbour):
    """The median of a few calls once nobody is loud: a program or an upstream may go on for a while after its caller has left."""
    end, before, ticks = time.monotonic() + 10, 0, sum(map(processor_time, server.loud()))
    while ticks > before + 1:
        if time.monotonic() > end:
            seen("it becomes quiet", False, f"{ticks - before} ticks in 0.3 s")
            break
        time.sleep(0.3)
        before, ticks = ticks, sum(map(processor_time, server.loud()))
    return milliseconds(neighbour)


def milliseconds(neighbour, calls=CALLS):
    """The median of a few calls."""
    took = []
    for _ in range(calls):
        started = time.monotonic()
        if neighbour.ask() != "Hello, Ada!":
            FAULTS.append("a neighbour was answered wrongly")
        took.append((time.monotonic() - started) * 1000)
    return statistics.median(took)


def slowdown(server, neighbour, callers, how, token):
    """How much slower a neighbour's calls are while others call in another process, quiet and loud times in turn."""
    ratios = []
    for _ in range(ROUNDS):
        quiet = quiet_milliseconds(server, neighbour)
        if (attacker := os.fork()) == 0:
            os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
            call_on(callers, how, token)
        time.sleep(0.1)
        ratios.append(milliseconds(neighbour) / quiet)
        os.kill(attacker, signal.SIGKILL)
        os.waitpid(attacker, 0)
    return statistics.median(ratios)


def call_on(callers, how, token):
    """Calls one after the other, until the process is ended."""
    for caller in itertools.cycle(callers):
        caller.connection, caller.answers = None, False  # its socket is shared with the parent process
        try:
            caller.ask("nasty", {"how": how}, token, timeout=0.5)
        except OSError:
            pass
        caller.close()
        time.sleep(0.02)


def check_neighbour(server, neighbour, callers, how="greet", token=None):
    neighbour.close()  # which may have had nothing to say for a while
    for _ in range(TRIES):
        ratio = slowdown(server, neighbour, callers, how, token)
        if ratio <= SLOWER:
            break
    seen(f"a neighbour's calls take no more than {SLOWER} × as long", ratio <= SLOWER, f"{ratio:.2f} ×")


class Base:
    """The server's earlier level: memory, threads, descriptors, processes."""

    def __init__(self, server):
        self.server, self.before, self.processes = server, server.sample(), len(server.processes())

    def check(self):
        def is_back():
            now = self.server.sample()
            return now[0] <= self.before[0] + MARGIN_KIB and now[1:] <= self.before[1:] and \
                len(self.server.processes()) == self.processes
        fine = wait_for(is_back, BACK_SECONDS)
        now = self.server.sample()
        seen("memory, threads, descriptors, processes are back", fine,
             f"{self.before[0]} KiB, {self.before[1]}, {self.before[2]}, {self.processes} → "
             f"{now[0]} KiB, {now[1]}, {now[2]}, {len(self.server.processes())}")


# name: a pattern of the answer to the call (None: no answer while the client waits), whether the program goes on.
DEEDS = {
    "crlf": ("done", True),
    "in_pieces": ("done", True),
    "not_utf8": ("did not answer: it was ended: .* UTF-8", False),
    "long_line": ("did not answer: it was ended: .* 8 MiB", False),
    "endless_line": ("did not answer: it was ended: .* 8 MiB", False),
    "large_answer": ("too large|larger|too long", True),
    "noise": ("did not answer: it was ended: .* not JSON-RPC", False),
    "stderr_flood": ("done", True),
    "stderr_line": ("done", True),
    "list_changed_storm": ("done", True),
    "progress_storm": ("done", True),
    "log_storm": ("done", True),
    "request_storm": ("done", True),
    "request_flood": ("done", True),
    "question_flood": ("done", True),
    "question_tail": ("done", True),
    "many_questions": ("asks too much", True),
    "endless_rounds": ("asks", True),
    "silent": (None, True),
    "twice": ("done", True),
    "forged": ("done", True),
    "late": (None, True),
    "dying": ("did not answer: it was killed by signal 11", False),
    "half_dying": ("did not answer: it ended with exit status 3", False),
    "mute": ("did not answer: .*output", False),
    "deafened": ("did not answer: .*input", False),
    "forking": ("done", True),
}


# Deeds for clients of both eras; those that ask in rounds are of peers of 2026-07-28.
ASKING = ("question_flood", "question_tail", "many_questions", "endless_rounds")
IN_ROUNDS = ("many_questions", "endless_rounds")


def with_clients(deeds):
    """Each deed with the kind of its callers, and the number of the first of them."""
    kinds = ((how, kind) for how in wanted(deeds) for kind in ((Asked, AskedOnStream) if how in ASKING else (Caller,)))
    return [(how, kind, (610 if how in IN_ROUNDS else 10) + number) for number, (how, kind) in enumerate(kinds)]


def check_deed(server, neighbour, number, how, kind):
    pattern, goes_on = DEEDS[how]
    print(f"  {how}, {kind.__name__}", flush=True)
    base = Base(server)
    person = server.person(number, kind)
    token = "p" if how == "progress_storm" else None
    before = person.ask("seen", {}).split()[0]

    if pattern is None:
        try:
            person.ask("nasty", {"how": how}, timeout=1)
            seen("the call is not answered", False)
        except TimeoutError:
            seen("the client leaves", True)
        told = wait_for(lambda: person.ask("seen", {}).split(" ", 1)[1] != "[]", 2)
        seen("the program is told", told)
    else:
        started = time.monotonic()
        said = person.ask("nasty", {"how": how}, token)
        took = time.monotonic() - started
        seen("the call is answered", re.search(pattern, said) and took < 10, f"{said[:120]} ({took:.2f} s)")
    seen("the next call is answered rightly", person.ask() == "Hello, Ada!")
    after = person.ask("seen", {}).split()[0]
    seen("the program goes on" if goes_on else "another program serves it", (before == after) == goes_on)
    # Starts pause after two failures in a row, which programs that end cause often.
    first, count = number + (30 if how in IN_ROUNDS else 100), 1 if pattern == "done" or how in ASKING else 30
    callers = [server.person(first + more, kind) for more in range(count)]
    check_neighbour(server, neighbour, callers, how, token)
    for caller in callers:
        caller.leave()
    person.leave()
    base.check()


def check_starts(server, neighbour):
    print("  a banner, escapes and early notifications", flush=True)
    base = Base(server)
    person = server.person(1)
    seen("calls are answered", person.ask() == "Hello, Ada!")
    person.leave()
    base.check()

    print("  dying at the start", flush=True)
    person = server.person(2)
    said = person.ask()
    seen("the call is told so", "status 7" in said, said[:120])
    line = server.wait_for_log("program.died cannot")  # another has died before
    seen("the log has its last words, escaped", line and "cannot go on" in line and "\x1b" not in line, (line or "")[-120:])
    person.ask()
    seen("the third start waits", "is tried again in" in person.ask(), person.ask()[:120])
    person.leave()
    base.check()

    print("  daemons that ignore every signal", flush=True)
    person = server.person(3)
    seen("calls are answered", person.ask() == "Hello, Ada!")
    seen("there are descendants", len(server.processes()) >= base.processes + 4, len(server.processes()) - base.processes)
    person.leave()
    base.check()


def check_slow_ones(server, neighbour):
    """Half a minute for one that does not read, a minute for one that does not start: in parallel."""
    print("  one that reads nothing, one that never answers initialize", flush=True)
    base = Base(server)
    deaf, mute = server.person(90), server.person(4)
    seen("the deaf one says that it is done", deaf.ask("nasty", {"how": "deaf"}) == "done")
    found = {}

    def fill(number):
        found[number] = copy_of(deaf).ask(arguments={"name": "x" * 200_000}, timeout=90)

    def start():
        found["start"] = mute.ask(timeout=90)

    threads = [threading.Thread(target=fill, args=(number,)) for number in range(8)] + [threading.Thread(target=start)]
    for thread in threads:
        thread.start()
    time.sleep(1)
    peak = server.sample()[0]
    ratios = [milliseconds(neighbour) for _ in range(ROUNDS)]
    for thread in threads:
        thread.join()
    neighbour.close()  # which was idle meanwhile
    quiet = [milliseconds(neighbour) for _ in range(ROUNDS)]
    ratio = min(ratios) / min(quiet)  # a minute passes between them
    seen(f"a neighbour's calls take no more than {SLOWER} × as long", ratio <= SLOWER, f"{ratio:.2f} ×")
    said = set(found.values())
    told = all("it did not read its standard input" in words or "within 60 s" in words or words == "status 429" for words in said)
    seen("those who wait are told", told and len(found) == 9, said)
    seen("the log has it, as a fault", server.wait_for_log("warn program.died standard input"))
    seen("what waits is bounded", peak < base.before[0] + 64 * 1024, f"{peak} KiB")
    deaf.leave()
    mute.leave()
    base.check()


def copy_of(person):
    other = Caller(person.site, person.number)
    other.client_id, other.access = person.client_id, person.access
    return other


def check_crashes(binary):
    """Two starts in a row are not delayed, so there is one person for two."""
    print(f"  {CRASHES} starts that fail", flush=True)
    with Bridge(binary) as server:
        server.start()
        neighbour = server.person(500)
        people = [server.person(1000 + number) for number in range(CRASHES // 2)]
        neighbour.ask()
        base = Base(server)
        started = time.monotonic()
        wrong = []
        for person in people:
            wrong += [said for said in (person.ask(), person.ask()) if "status 7" not in said]
            person.close()
        took = time.monotonic() - started
        neighbour.close()  # which was idle meanwhile
        seen("each is told so", not wrong, f"{took / CRASHES * 1000:.0f} ms each {wrong[:2]}")
        seen("the neighbour is served", neighbour.ask() == "Hello, Ada!")
        base.check()


# name: a pattern of the answer to the call; None: no answer while the client waits.
UPSTREAM_DEEDS = {
    "status_401": r"it wants other credentials.* \(status 401\)",
    "status_403": r"it refused the request \(status 403\)",
    "status_429": r"it refused the request \(status 429\)",
    "status_500": r"it failed \(status 500\)",
    "html": "it answered with \"text/html\"",
    "redirect": r"it redirects, which is not followed.* \(status 307\)",
    "hang": None,
    "hang_up": "it cannot be reached",
    "half_json": "its answer broke off",
    "half_stream": "its answer broke off",
    "large_json": "its answer is larger than 8 MiB",
    "endless_event": "its answer is larger than 8 MiB",
    "data_lines": "its answer is larger than 8 MiB",
    "endless_comments": None,
    "empty_events": None,
    "endless_head": "it cannot be reached",
    "header_line": "it cannot be reached",
    "compressed": "its answer is compressed",
    "not_utf8": "its answer is not UTF-8",
    "twice": "done",
    "forged": "done",
    "progress_storm": "done",
    "log_storm": "done",
    "list_changed_storm": "done",
    "question_flood": "done",
    "many_questions": "asks too much",
    "endless_rounds": "asks",
    "forget_session": "it forgot its session, or refuses",
}
# Streams without end, by the last digit of the number of the person whose standing stream is one.
STREAMS = ("endless_event", "data_lines", "endless_comments", "empty_events", "endless_head", "header_line", "question_flood")
# The others cause no load.
LOUD = (*STREAMS, *IN_ROUNDS, "large_json", "compressed", "progress_storm", "log_storm", "list_changed_storm")


def check_upstream_deed(server, neighbour, number, how, kind):
    pattern = UPSTREAM_DEEDS[how]
    print(f"  {how}, {kind.__name__}", flush=True)
    base = Base(server)
    person = server.person(number, kind)
    token = "p" if how == "progress_storm" else None
    before = json.loads(person.ask("seen", {})).get("cancelled", 0)
    if pattern is None:
        try:
            said = person.ask("nasty", {"how": how}, timeout=1)
            seen("the call is not answered", False, said)
        except TimeoutError:
            seen("the client leaves", True)
        person.close()
        told = wait_for(lambda: json.loads(person.ask("seen", {})).get("cancelled", 0) > before, 3)
        seen("the upstream is told", told)
    else:
        started = time.monotonic()
        said = person.ask("nasty", {"how": how}, token)
        took = time.monotonic() - started
        seen("the call is answered", re.search(pattern, said) and took < 10, f"{said[:120]} ({took:.2f} s)")
    said = person.ask()
    seen("the next call is answered rightly", said == "Hello, Ada!", said[:120])
    if how in LOUD:
        check_neighbour(server, neighbour, [person], how, token)
    person.leave()
    base.check()


@contextlib.contextmanager
def started(binary):
    """A server in front of both upstreams, and the neighbour, who has called for a while."""
    with InFrontOfUpstream(binary) as server:
        server.start()
        neighbour = server.person(500)
        milliseconds(neighbour, 300)
        yield server, neighbour


def check_upstream(binary):
    with started(binary) as (server, neighbour):
        whole = Base(server)
        for how, kind, number in with_clients(UPSTREAM_DEEDS):
            check_upstream_deed(server, neighbour, number, how, kind)
        print("  after all of them", flush=True)
        whole.check()
        found = json.loads(server.person(501).ask("seen", {}))
        strange = [name for name in found if name.startswith("header:")]
        seen("no cookie and no header of a client came there", not strange, strange)


def check_standing_stream(server, neighbour, first, how):
    """Somebody whose upstream is noisy while no call runs, then nobody, in turn."""
    print(f"  {how}, {'a subscription' if first >= 700 else 'the stream of a session'}", flush=True)
    base, is_served, slowest, peak = Base(server), True, 0, 0
    for _ in range(TRIES):
        ratios = []
        for number in range(first + STREAMS.index(how), first + 10 * ROUNDS, 10):
            quiet = quiet_milliseconds(server, neighbour)
            person = server.person(number)
            is_served &= person.ask() == "Hello, Ada!"
            time.sleep(0.2)
            ratios.append(milliseconds(neighbour) / quiet)
            started = time.monotonic()
            is_served &= person.ask() == "Hello, Ada!"
            slowest = max(slowest, time.monotonic() - started)
            peak = max(peak, server.sample()[0])
            person.leave()
        ratio = statistics.median(ratios)
        if ratio <= SLOWER:
            break
    seen("calls are answered meanwhile", is_served, f"{slowest:.2f} s")
    if how in ("endless_event", "data_lines") and first < 700:
        seen("the log has it", server.wait_for_log("upstream.failed 8 MiB"))
    seen("memory is bounded", peak < base.before[0] + 64 * 1024, f"{peak} KiB")
    seen(f"a neighbour's calls take no more than {SLOWER} × as long", ratio <= SLOWER, f"{ratio:.2f} ×")
    base.check()


def check_standing_streams(binary):
    with started(binary) as (server, neighbour):
        for how in STREAMS if "standing" in WORDS else wanted(STREAMS):
            check_standing_stream(server, neighbour, 300, how)
            check_standing_stream(server, neighbour, 700, how)


def fill_up(server):
    people = [server.person(3), server.person(201), server.person(202)]
    people[1].ask("nasty", {"how": "forking"})
    for person in (people[0], people[2]):
        person.ask()
    return people


def check_ends(binary):
    for how, name in ((signal.SIGTERM, "SIGTERM"), (signal.SIGKILL, "kill -9")):
        print(f"  the end of the server: {name}", flush=True)
        with Bridge(binary) as server:
            server.start()
            fill_up(server)
            there = len(server.processes())
            started = time.monotonic()
            status = server.stop(how)
            took = time.monotonic() - started
            gone = wait_for(lambda: not server.processes(), 2)
            seen(f"of {there} processes nothing is left", there > 25 and gone, f"{len(server.processes())}, status {status}, {took:.1f} s")
            seen("in time", took < 10 and status == (0 if how == signal.SIGTERM else -9))


def wanted(names):
    return [name for name in names if not WORDS or name in WORDS]


def check_programs(binary):
    checks = {"starts": check_starts, "slow": check_slow_ones}
    with Bridge(binary) as server:
        server.start()
        neighbour = server.person(500)
        milliseconds(neighbour, 500)
        whole = Base(server)
        for how, kind, number in with_clients(DEEDS):
            check_deed(server, neighbour, number, how, kind)
        for name in wanted(checks):
            checks[name](server, neighbour)
        print("  after all of them", flush=True)
        whole.check()
        seen("the server lives", server.process.poll() is None)


def main():
    binary = os.path.abspath(sys.argv[1])
    parts = {
        "programs": (check_programs, [*DEEDS, "starts", "slow"]), "crashes": (check_crashes, ["crashes"]), "ends": (check_ends, ["ends"]),
        "upstreams": (check_upstream, UPSTREAM_DEEDS), "standing streams": (check_standing_streams, [*STREAMS, "standing"]),
    }
    with processors_awake():
        for name, (check, names) in parts.items():
            if wanted(names):
                print(name, flush=True)
                check(binary)
    if FAULTS:
        print(f"{len(FAULTS)} do not hold: {', '.join(sorted(set(FAULTS)))}", file=sys.stderr)
    return 1 if FAULTS else 0


if __name__ == "__main__":
    sys.exit(main())
