"""Three replicas that share one Valkey or Redis server: make replicas.

usage: python3 replicas.py BINARY NGINX HAPROXY        (REPLICAS_SECONDS=30)
       python3 replicas.py demo BINARY NGINX REPORT    three replicas behind nginx without affinity, in place of `BINARY demo`:
                                                       until SIGTERM; what each was asked is appended to REPORT

What must hold: behind nginx without affinity, logins, sessions and calls go on at whichever replica they reach; a revocation at
one is in force at the others within five seconds; a call asks nothing of the store; while the store is stopped, answers come at
once and are 503, no thread is left behind, and no restart is needed; nor while the network swallows what goes to the store and
comes from it (root only: in a network namespace); a record that somebody else has changed is refused; a new key comes without a pause; a storm of refreshes over all replicas, with kill -9 of
replicas and of the store, loses no grant that was answered, makes none twice, and revives none whose revocation was answered; under
`everysec`, none but those of the last seconds before the store was killed.
"""

import base64
import collections
import hmac
import json
import os
import random
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from urllib.parse import urlencode

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from rig import FORM, JSON, Pace, Person, Server, Site, Surprise, free_port, start_github  # noqa: E402

SECONDS = int(os.environ.get("REPLICAS_SECONDS", "30"))
REPLICAS = 3
# The maximum age of a change that Redis may not have written yet under `everysec` when it is killed (seconds): it may wait for the disk.
LOST = 2.5
# The duration of a network failure (seconds).
CUT = 8
# The number of copied grants.
MANY = 800
# The words of a command that waited for the store in vain.
SILENT = "does not answer within a second"
PREFIX = "{mcp-oauth}:"
# The number of requests that had to be answered, and of those that were repeated until they were.
ASKED = collections.Counter()
PACE = Pace()


class Namespace:
    """A network of the store's own, behind a virtual cable that can be unplugged. Then packets vanish without an error."""

    def __init__(self):
        number = os.getpid()
        self.name, self.near, self.far, self.before, self.why_not = f"store{number}", f"n{number}", f"f{number}", [], None
        network = f"198.18.{number // 64 % 256}."
        self.ours, self.address = (f"{network}{number % 64 * 4 + last}" for last in (1, 2))

    def ip(self, *words):
        return subprocess.run(["ip", *words], check=True, capture_output=True, text=True).stdout

    def inside(self, *words):
        return self.ip("-n", self.name, *words)

    def __enter__(self):
        if os.geteuid() != 0:
            self.why_not = "only root may make a network namespace"
            return self
        try:
            self.ip("netns", "add", self.name)
            self.ip("link", "add", self.near, "type", "veth", "peer", "name", self.far, "netns", self.name)
        except (OSError, subprocess.CalledProcessError) as error:
            self.why_not = getattr(error, "stderr", None) or str(error)
            return self
        self.ip("address", "add", f"{self.ours}/30", "dev", self.near)
        self.ip("link", "set", self.near, "up")
        self.inside("link", "set", "lo", "up")
        self.inside("address", "add", f"{self.address}/30", "dev", self.far)
        self.mend()
        # Otherwise the kernel soon reports that no host answers there.
        hardware = json.loads(self.inside("-json", "link", "show", self.far))[0]["address"]
        self.ip("neighbour", "replace", self.address, "lladdr", hardware, "dev", self.near, "nud", "permanent")
        self.before = ["ip", "netns", "exec", self.name]
        return self

    def __exit__(self, *_):
        if shutil.which("ip"):
            subprocess.run(["ip", "netns", "delete", self.name], capture_output=True)  # and the cable, if they were created

    def cut(self):
        self.inside("link", "set", self.far, "down")

    def mend(self):
        self.inside("link", "set", self.far, "up")


class Store:
    """A persistent Valkey or Redis server, on a Unix socket and a port, in a network of its own if there is one."""

    def __init__(self, directory, fsync, network=None):
        self.socket, self.port = f"{directory}/store.sock", free_port()
        program = shutil.which("valkey-server") or shutil.which("redis-server")
        own = network and not network.why_not
        self.address = network.address if own else "127.0.0.1"
        self.command = [*(network.before if own else []), program, "--protected-mode", "no", "--bind", self.address, "--port", str(self.port), "--unixsocket", self.socket, "--dir", directory, "--save", "", "--appendonly", "yes", "--appendfsync", fsync]
        self.start()

    def start(self):
        self.process = subprocess.Popen(self.command, stdout=subprocess.DEVNULL)
        while self.ask("ping") != "PONG":
            must(self.process.poll() is None, "the store does not start")
            time.sleep(0.01)

    def kill(self):
        self.process.kill()
        self.process.wait()

    def ask(self, *words, text=None):
        command = shutil.which("valkey-cli") or "redis-cli"
        return subprocess.run([command, "-s", self.socket, *words], input=text, capture_output=True, text=True).stdout.strip()

    def commands(self):
        """The number of calls of each command since the start."""
        lines = (line.split(":", 1) for line in self.ask("info", "commandstats").splitlines() if line.startswith("cmdstat_"))
        return collections.Counter({name[8:]: int(rest.split("=")[1].split(",")[0]) for name, rest in lines})


def start(server, more=None):
    """Starts a replica. Without an answer of the store it does not start."""
    deadline = time.monotonic() + 60
    while True:
        try:
            return server.start(more)
        except SystemExit as fault:
            must(time.monotonic() < deadline, f"{fault}"[-2000:])


class Site3:
    """The replicas, and a person's connection to one of them."""

    def __init__(self, binary, directory, store, public_port, more=None):
        key = f"{directory}/key"
        with open(os.open(key, os.O_CREAT | os.O_WRONLY, 0o600), "w") as file:
            file.write(base64.urlsafe_b64encode(secrets.token_bytes(32)).decode().rstrip("=") + "\n")
        github = f"http://127.0.0.1:{start_github()}"
        self.origin = f"http://127.0.0.1:{public_port}"
        env = {
            "MCP_STORE": f"unix://{store.socket}", "MCP_OAUTH_KEY_FILE": key, "MCP_PUBLIC_URL": self.origin, "MCP_ALLOW": "any",
            "MCP_TRUSTED_PROXY": "127.0.0.1", "MCP_REGISTRATIONS_PER_HOUR": "100000", "GITHUB_URL": github, "GITHUB_API_URL": f"{github}/api/v3",
            **(more or {}),
        }
        self.servers = [self.start(binary, env) for _ in range(REPLICAS)]
        self.binary, self.env = binary, env

    def start(self, binary, env):
        server = Server(binary, env)
        server.site = Site(self.origin, server.port)
        start(server)
        return server

    def any(self):
        return random.choice(self.servers).site

    def __enter__(self):
        return self

    def __exit__(self, *reason):
        for server in self.servers:
            server.__exit__(*reason)


def own(person, site):
    """The connection of this person to a replica: from an address of their own, because the limits are per address."""
    return Site(site.origin, site.port, source=f"127.0.1.{person.number % 200 + 1}")


def status(site, method, target, fields, body):
    """The status of the answer and its time; 0 if there was none."""
    started = time.monotonic()
    try:
        response = site.open(method, target, fields, body)
        text = response.read().decode()
    except OSError:
        return 0, "", time.monotonic() - started
    except Exception as error:  # a truncated answer of a killed replica
        return 0, str(error), time.monotonic() - started
    return response.status, text, time.monotonic() - started


def settled(ask):
    """The status of the first answer whose outcome is known. A machine that pauses, or a store that waits for its disk for a second,
    costs some answers: there is none, or it is 503."""
    deadline, code = time.monotonic() + 60, ask()[0]
    ASKED["all"] += 1
    ASKED["again"] += code in (0, 503)
    while code in (0, 503) and time.monotonic() < deadline:
        time.sleep(0.05)
        code = ask()[0]
    return code


def served(work):
    """The result of requests, which are repeated while an answer is 503."""
    deadline, repeated = time.monotonic() + 60, False
    ASKED["all"] += 1
    while True:
        try:
            return work()
        except Surprise as surprise:
            must(": 503 instead" in str(surprise) and time.monotonic() < deadline, str(surprise))
            ASKED["again"] += not repeated
            repeated = True
            time.sleep(0.1)


def call_status(person, site):
    return status(own(person, site), "POST", "/mcp", *person.request("greet", {"name": "Ada"}))


def refresh_status(person, site):
    form = {"grant_type": "refresh_token", "refresh_token": person.refresh_token, "client_id": person.client_id}
    answer = status(own(person, site), "POST", "/token", FORM, urlencode(form))
    if answer[0] == 200:
        tokens = json.loads(answer[1])
        person.access, person.refresh_token = tokens["access_token"], tokens["refresh_token"]
    return answer


def revoke_status(person, site):
    return status(own(person, site), "POST", "/revoke", FORM, urlencode({"token": person.refresh_token, "client_id": person.client_id}))


def people(site, count, first=0):
    """This number of people, all logged in."""
    group = []
    for number in range(first, first + count):
        while True:
            person = Person(site, number)
            person.site = own(person, site)
            try:
                group.append(person.register().log_in())
                break
            except Surprise as surprise:
                must(": 503 instead" in str(surprise) and number < 20_000, str(surprise))
                number += 1000  # somebody else: this one may have a grant now, which nobody knows
                time.sleep(0.1)
    return group


def must(holds, what):
    if not holds:
        raise Surprise(what)


def until(seconds, what, holds):
    """Waits until a condition holds, and returns the time that took. It must hold if it is asked for after the given seconds; what was
    asked before, and answered after them, shows nothing."""
    started = asked = time.monotonic()
    while not holds():
        must(asked < started + seconds, what)
        time.sleep(0.02)
        asked = time.monotonic()
    return time.monotonic() - started


CALL = json.dumps({"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": {"name": "greet", "arguments": {"name": "Ada"}}})
NGINX = """
daemon off; pid DIR/nginx.pid; error_log DIR/nginx.log; events { }
http {
    log_format upstream "$upstream_addr"; access_log DIR/access.log upstream; client_body_temp_path DIR; proxy_temp_path DIR; fastcgi_temp_path DIR; uwsgi_temp_path DIR; scgi_temp_path DIR;
    UPSTREAM
    server {
        listen 127.0.0.1:PORT;
        proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host $http_host;
        proxy_set_header X-Forwarded-For $remote_addr; proxy_buffering off; proxy_next_upstream off;
        location / { proxy_pass http://mcp_oauth_server; }
        HTTP_SSE
    }
}"""


def example(name, replicas):
    """An example of docs/deploy, with our replicas in place of its servers."""
    with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../docs/deploy", name)) as file:
        text = file.read()
    for number, server in enumerate(replicas.servers):
        text = text.replace(f"replica{number + 1}.internal:3001", f"127.0.0.1:{server.port}")
    must(".internal" not in text, f"{name} has other replicas")
    return text


class Balancer:
    """A load balancer in front of the replicas, for the duration of the block."""

    def __init__(self, directory, replicas, port, command, config):
        path = f"{directory}/balancer.conf"
        with open(path, "w") as file:
            file.write(config.replace("DIR", directory).replace("PORT", str(port)))
        self.command, self.site = [word.replace("CONFIG", path) for word in command], Site(replicas.origin, port)

    def __enter__(self):
        self.process = subprocess.Popen(self.command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 60
        while status(self.site, "GET", "/healthz", {}, None)[0] != 200:
            must(time.monotonic() < deadline and self.process.poll() is None, f"{self.command[0]} does not start")
            time.sleep(0.02)
        return self.site

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()


def shares(replicas, calls, work):
    """The number of calls that each replica served during `work`, which makes this many."""
    is_served = lambda line: " status=200 " in line and "rpc=tools/call" in line  # noqa: E731
    count = lambda: [sum(map(is_served, server.log().splitlines())) for server in replicas.servers]  # noqa: E731
    before = count()
    work()
    deadline = time.monotonic() + 30
    while sum(count()) < sum(before) + calls and time.monotonic() < deadline:  # the log is written after the answer
        time.sleep(0.02)
    time.sleep(0.2)  # for those that nobody made
    return [now - then for now, then in zip(count(), before)]


def in_session(site, session, number):
    for _ in range(number):
        _, text = served(lambda: site.ask(200, "POST", "/mcp", session, CALL))
        must("Hello, Ada!" in text, f"a session: {text[:200]}")


def round_robin(nginx, directory, port, replicas):
    """An nginx that gives each request to the next replica; those of HTTP+SSE, whose messages are answered on a stream, by the token."""
    servers = "".join(f"server 127.0.0.1:{server.port};" for server in replicas.servers)
    upstreams = f"upstream mcp_oauth_server {{ {servers} }} upstream by_token {{ hash $http_authorization; {servers} }}"
    config = NGINX.replace("UPSTREAM", upstreams).replace("HTTP_SSE", "location ~ ^/(sse|message)$ { proxy_pass http://by_token; }")
    return Balancer(directory, replicas, port, [nginx, "-c", "CONFIG", "-p", directory], config)


def without_affinity(nginx, directory, port, replicas):
    """Logins, calls and sessions."""
    def work():
        for person in people(site, 8):
            for _ in range(6):
                served(person.call)
            served(person.refresh)
            served(person.call)
            in_session(site, served(person.session), 6)

    calls = 8 * (6 + 1 + 6)
    with round_robin(nginx, directory, port, replicas) as site:
        each = shares(replicas, calls, work)
    must(all(each) and sum(each) == calls, f"calls by replica: {each}")
    print(f"nginx without affinity: 8 logins, refreshes and sessions, {sum(each)} calls, by replica: {each}")


def with_affinity(name, directory, port, replicas, command, config):
    with Balancer(directory, replicas, port, command, config) as site:
        homes = set()
        for number, person in enumerate(people(site, 8, 20)):
            session = served(person.session)
            for work in (lambda: in_session(site, session, 6), lambda: [served(person.call) for _ in range(6)]):
                each = shares(replicas, 6, work)
                must(sorted(each) == [0, 0, 6], f"{name}: six calls of one client went to {each}")
                homes.add(each.index(6))
    must(len(homes) > 1, f"{name}: everybody is at one replica")
    print(f"{name} with affinity: each of 8 sessions and 8 tokens stays at one replica")


def revocation(replicas):
    slowest = 0
    for person in people(replicas.servers[0].site, 10, 100):
        for server in replicas.servers:
            for _ in range(3):
                must(settled(lambda: call_status(person, server.site)) == 200, "a call before the revocation")
        must(settled(lambda: revoke_status(person, replicas.servers[0].site)) == 200, "a revocation")
        dead = lambda: all(call_status(person, server.site)[0] != 200 for server in replicas.servers)  # noqa: E731
        slowest = max(slowest, until(5, "revoked, and alive at another replica after 5 s", dead))
        for server in replicas.servers:
            must(settled(lambda: call_status(person, server.site)) == 401, "revoked, and not refused")
            must(settled(lambda: refresh_status(person, server.site)) == 400, "revoked, and refreshed")
    print(f"a revocation at one replica was in force at the others after {slowest * 1000:.0f} ms at most (three calls)")


class Link:
    """A proxy to the store that can be cut: then it swallows everything without an error."""

    def __init__(self, store):
        self.target, self.whole, self.listener = (store.address, store.port), threading.Event(), socket.create_server(("127.0.0.1", 0))
        self.address, self.port = self.listener.getsockname()
        self.cut, self.mend = self.whole.clear, self.whole.set
        self.mend()
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            near, _ = self.listener.accept()
            far = socket.create_connection(self.target)
            for ends in ((near, far), (far, near)):
                threading.Thread(target=self.carry, args=ends, daemon=True).start()

    def carry(self, source, target):
        try:
            while data := source.recv(65536):
                self.whole.wait()
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)
        except OSError:
            pass


class CutOff:
    """Two replicas that reach the store through such a proxy."""

    def __init__(self, replicas, address, port):
        env = replicas.env | {"MCP_STORE": f"redis://{address}:{port}/0"}
        self.servers = [replicas.start(replicas.binary, env) for _ in range(2)]

    __enter__, __exit__, any = Site3.__enter__, Site3.__exit__, Site3.any


def partition(replicas, name, address, port, way, first):
    """Two replicas lose the store under load, and miss a revocation at another."""
    with CutOff(replicas, address, port) as cut_off:
        person, *group = people(cut_off.any(), 25, first)
        for server in cut_off.servers * 10:
            must(settled(lambda: call_status(person, server.site)) == 200, "a call before the partition")
        before = [server.sample()[1] for server in cut_off.servers]
        load = Load(cut_off, group, True)
        time.sleep(1)
        way.cut()
        started = time.monotonic()
        must(settled(lambda: revoke_status(person, replicas.servers[0].site)) == 200, "a revocation")
        for server in cut_off.servers:
            until(5, "revoked, and alive behind a partition after 5 s", lambda: call_status(person, server.site)[0] != 200)
            must((answer := call_status(person, server.site)[0]) == 503, f"an answer without the store: {answer}")
        noticed = time.monotonic()
        refused = noticed - started
        while time.monotonic() < max(started + CUT, noticed + 2) or not load.seen(noticed):
            must(call_status(person, cut_off.any())[0] == 503, "an answer without the store")
            time.sleep(0.05)
        away, during = dict(load.seen(noticed)), [server.sample()[1] for server in cut_off.servers]
        load.must_be_quick()
        way.mend()
        started = time.monotonic()
        for server in cut_off.servers:
            until(10, "the store is back, and a replica does not notice", lambda: call_status(person, server.site)[0] != 503)
            must((after := settled(lambda: call_status(person, server.site))) == 401, f"revoked, and after the partition: {after}")
        seconds = time.monotonic() - started
        load.stop()
        for each in group:
            must(settled(lambda: call_status(each, cut_off.any())) == 200, "a call after the partition")
            must(settled(lambda: refresh_status(each, cut_off.any())) == 200, "a refresh after the partition")
        threads = before, during, [server.sample()[1] for server in cut_off.servers]
        must(load.seen()[200] > 0 and set(load.seen()) <= {200, 503}, f"answers: {load.seen()}")
        must(set(away) == {503}, f"answers without the store: {away}")
        must(max(threads[2]) < max(before) + 60, f"threads before, during, after: {threads}")
        print(f"a partition of {CUT} s ({name}): a grant that was revoked elsewhere was refused after {refused:.2f} s; answers {away}, the slowest after {load.slowest:.2f} s; threads before, during, after: {threads}; back after {seconds:.2f} s")


def costs(replicas, store):
    """Commands to the store, those of scripts included; the sweep's and the listener's excluded."""
    sweeps = {"zrangebyscore", "zrevrangebyscore", "ping", "info", "subscribe", "select", "command|docs", "command"}
    site = replicas.servers[0].site

    def count(what, number, work):
        before = store.commands()
        work()
        after = store.commands()
        spent = {name: (after[name] - before[name]) / number for name in after if name not in sweeps and after[name] > before[name]}
        words = ", ".join(f"{name} {times:g}" for name, times in sorted(spent.items()))
        # Each script gives one `get` and one `set` of its own.
        trips = sum(spent.get(name, 0) for name in ("get", "set", "mget", "zrangebylex")) - spent.get("eval", 0)
        print(f"{what}: {trips:g} round trips: {words or 'nothing'}")
        return spent

    group = []
    count("a login (consent, callback, code)", 20, lambda: group.extend(people(site, 20, 200)))
    for person in group:
        call_status(person, site)
    count("a refresh", 20, lambda: [must(settled(lambda: refresh_status(person, site)) == 200, "a refresh") for person in group])

    def call(times):
        for person in group:
            for _ in range(times):
                must(settled(lambda: call_status(person, site)) == 200, "a call")

    # A replica that has not heard from the store for three seconds, because the machine paused, reads the grants once more.
    for _ in range(10):
        call(1)
        spent = count("a call", 2000, lambda: call(100))
        if not spent:
            break
    must(not spent, "a call in the steady state asks the store")


class Load:
    """People who call and refresh without a pause, each at any replica."""

    def __init__(self, replicas, group, refreshes):
        self.replicas, self.refreshes, self.stopped = replicas, refreshes, False
        self.answers, self.slowest = [], 0
        PACE.restart()
        self.threads = [threading.Thread(target=self.run, args=(person,)) for person in group]
        for thread in self.threads:
            thread.start()

    def run(self, person):
        while not self.stopped:
            ask = refresh_status if self.refreshes and random.random() < 0.1 else call_status
            asked = time.monotonic()
            code, _, seconds = ask(person, self.replicas.any())
            self.answers.append((asked, code))
            self.slowest = max(self.slowest, seconds)
            time.sleep(0.02)

    def seen(self, since=0):
        """The number of each status among the answers to what was asked since then."""
        return collections.Counter(code for asked, code in self.answers[:] if asked >= since)

    def must_be_quick(self):
        """A replica waits for the store for three seconds at most: for a connection to be free, to be made, and to answer."""
        pause = PACE.pause()
        must(self.slowest < 4 + pause, f"an answer took {self.slowest:.1f} s, and the longest pause of the machine {pause:.1f} s")

    def stop(self):
        self.stopped = True
        for thread in self.threads:
            thread.join()


def readiness(server):
    """The status of `/readyz`."""
    with socket.socket(socket.AF_UNIX) as line:
        line.settimeout(10)
        line.connect(f"{server.state}/operator.sock")
        line.sendall(b"GET /readyz HTTP/1.1\r\nHost: operator\r\nConnection: close\r\n\r\n")
        return int(line.recv(65536).split(b" ")[1])


def paused(replicas, store):
    group = people(replicas.servers[0].site, 24, 300)
    before = [server.sample() for server in replicas.servers]
    failures = lambda: [[line for line in server.log().splitlines() if "store.failed" in line] for server in replicas.servers]  # noqa: E731
    earlier, started = failures(), time.monotonic()
    store.process.send_signal(signal.SIGSTOP)
    load = Load(replicas, group, False)
    time.sleep(SECONDS)
    must([readiness(server) for server in replicas.servers] == [503] * REPLICAS, "ready without the store")
    load.stop()
    during = [server.sample() for server in replicas.servers]
    store.process.send_signal(signal.SIGCONT)
    load.must_be_quick()
    works = lambda: all(call_status(group[0], server.site)[0] == 200 for server in replicas.servers)  # noqa: E731
    seconds = until(10, "the store is back, and a replica does not notice", works)
    until(10, "the store is back, and a replica is not ready", lambda: all(readiness(server) == 200 for server in replicas.servers))
    away = time.monotonic() - started
    for person in group:
        must(settled(lambda: call_status(person, replicas.any())) == 200, "a call after the pause")
        must(settled(lambda: refresh_status(person, replicas.any())) == 200, "a refresh after the pause")
    must(set(load.seen()) <= {200, 503}, f"answers during the pause: {load.seen()}")
    threads = [[sample[1] for sample in samples] for samples in (before, during, [server.sample() for server in replicas.servers])]
    must(max(threads[2]) < max(threads[0]) + 60, f"threads before, during, after: {threads}")
    lines = [now[len(then):] for now, then in zip(failures(), earlier)]
    must(max(map(len, lines)) < 6 * away, f"lines about failures in {away:.0f} s: {[len(each) for each in lines]}")
    must(all("omitted=" in "".join(each) for each in lines), "the lines that were left out are not counted")
    print(f"the store stopped for {SECONDS} s: {[len(each) for each in lines]} lines about it; answers {dict(load.seen())}, the slowest after {load.slowest:.2f} s; threads before, during, after: {threads}; back after {seconds:.2f} s")


def storm(replicas, store, fsync):
    """Refreshes at any replica, while replicas and the store are killed. A lost refresh must have been answered within LOST seconds
    before the last answer of a store that was killed, and under `always` there must be none."""
    started = time.monotonic()
    group = people(replicas.servers[0].site, 30, 400)
    # The times at which what was answered was asked, and at which the answer was there: the writes are between them.
    revoked, answered, lost, undone = {}, dict.fromkeys(group, (started, time.monotonic())), [], []
    counts, kills, killed, stopped = collections.Counter(), collections.Counter(), [], threading.Event()

    def is_excused(times):
        return fsync != "always" and any(last - LOST <= times[1] and times[0] <= kill for last, kill in killed)

    def run(person, leaves_at):
        while not stopped.is_set():
            if leaves_at and time.monotonic() > leaves_at:
                # After the storm too: a revocation without an answer may have happened.
                code = 0
                while code != 200:
                    time.sleep(0.01)
                    asked, code = time.monotonic(), revoke_status(person, replicas.any())[0]
                revoked[person] = asked, time.monotonic()
                return
            asked = time.monotonic()
            code, text, _ = refresh_status(person, replicas.any())
            counts[code] += 1
            if code == 200:
                answered[person] = asked, time.monotonic()
            if code in (400, 401):
                lost.append((person, text))
                return
            time.sleep(0.05 if code == 200 else 0.01)

    started = time.monotonic()
    threads = [threading.Thread(target=run, args=(person, started + SECONDS * random.random() if number % 3 == 0 else None)) for number, person in enumerate(group)]
    for thread in threads:
        thread.start()
    while time.monotonic() < started + SECONDS:
        time.sleep(1)
        if kills.total() % 3 == 2:
            store.kill()
            # A store that waits for its disk answers nobody, for longer than LOST on a slow one.
            killed.append((max(asked for asked, _ in list(answered.values())), time.monotonic()))
            time.sleep(0.2)
            store.start()
            kills["store"] += 1
        else:
            server = random.choice(replicas.servers)
            server.process.kill()
            server.process.wait()
            start(server)
            kills["replica"] += 1
    stopped.set()
    for thread in threads:
        thread.join()
    for server in replicas.servers:
        while readiness(server) != 200:
            time.sleep(0.05)
    for person in set(group) - set(revoked) - {person for person, _ in lost}:
        if (code := settled(lambda: refresh_status(person, replicas.any()))) != 200:
            lost.append((person, f"{code} after the storm"))
    for person, text in lost:
        must(is_excused(answered[person]), f"a grant was lost: {text[:200]}")
    alive = set(group) - set(revoked) - {person for person, _ in lost}
    for person in revoked:
        for server in replicas.servers:
            in_force = revoked[person][1] + 5
            while settled(lambda: call_status(person, server.site)) != 401 and time.monotonic() < in_force:
                time.sleep(0.05)
            answers = settled(lambda: call_status(person, server.site)), settled(lambda: refresh_status(person, server.site))
            if answers != (401, 400):
                must(is_excused(revoked[person]), f"revoked, and alive: {answers}")
                undone.append(person)
                must(settled(lambda: revoke_status(person, server.site)) == 200, "a second revocation")
    grants = {f"{583231 + person.number}" for person in alive}
    entries = [entry.split(":")[0] for entry in store.ask("zrange", f"{PREFIX}by_end", "0", "-1").splitlines()]
    everybody = {f"{583231 + person.number}" for person in group}
    ours = [user for user in entries if user in everybody]
    must(sorted(ours) == sorted(grants), f"grants: {len(ours)} of {len(grants)}")
    print(f"a storm of {SECONDS} s, appendfsync {fsync}, {dict(kills)} killed: refreshes {dict(counts)}; {len(alive)} grants alive, {len(revoked)} revoked; {len(lost)} lost, {len(undone)} revived, none doubled")


def copy(server, source, target, until=None):
    """Status and output of `store copy`, which is killed when `until` holds."""
    command = [*server.command, "store", "copy", "--from", source, "--to", target]
    process = subprocess.Popen(command, env=server.env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    while until and not until() and process.poll() is None:
        pass
    if until:
        process.kill()
    words = process.communicate()[0].strip()
    return process.returncode, words


def cut_short(server, source, target, empty, is_half, is_whole=lambda: False):
    """Kills a copy when `is_half` holds. A copy that was quicker than this process is made again, to an empty place."""
    for _ in range(10):
        empty()
        code, said = copy(server, source, target, is_half)
        if code == -signal.SIGKILL and not is_whole():
            return
    raise Surprise(f"no copy could be killed before it was complete; the last: {code}: {said}")


def tag(key_file, grant, text):
    """The end of a record, as described in docs/replicas.md: the first key's hash of the grant's id and of everything before the tag."""
    with open(key_file) as file:
        key = base64.urlsafe_b64decode(next(line for line in file if not line.startswith("#")).strip() + "=")
    parts = (part.encode() for part in ("store record", grant, text))
    info = b"".join(len(part).to_bytes(8, "big") + part for part in parts)
    key = hmac.digest(b"mcp-oauth-server/v1", key, "sha256")
    return base64.urlsafe_b64encode(hmac.digest(key, info + b"\1", "sha256")).decode().rstrip("=")


def forged(replicas, store):
    """With access to the store alone nobody can become another person; the key makes a record valid."""
    person, victim = people(replicas.servers[0].site, 2, 650)
    user, other = (583231 + each.number for each in (person, victim))
    grant = store.ask("zrangebylex", f"{PREFIX}by_user", f"[{user}:", f"({user};").split(":")[1]
    record = store.ask("get", f"{PREFIX}grant:{grant}")
    text = record.rsplit(" ", 1)[0]
    changed = text.replace(f" {user} ", f" {other} ", 1).replace(f'"user":{user},', f'"user":{other},')
    must(changed.count(f"{other}") == 2, f"a record: {text}")

    def write(record, expected):
        store.ask("set", f"{PREFIX}grant:{grant}", record)
        store.ask("publish", f"{PREFIX}0", "all")
        for server in replicas.servers:
            until(5, f"not {expected}, with the record {record}", lambda: call_status(person, server.site)[0] == expected)

    write(record, 200)
    write(record.replace(text, changed), 401)
    must(settled(lambda: refresh_status(person, replicas.any())) == 400, "a refresh by a changed record")
    must(all(server.wait_for_log(f"store.failed {grant} docs/replicas.md") for server in replicas.servers), "no advice in the log")
    write(f"{text} {tag(replicas.env['MCP_OAUTH_KEY_FILE'], grant, text)}", 200)
    must(settled(lambda: refresh_status(person, replicas.any())) == 200, "a refresh by the record as it was")
    print("a record of which somebody else has changed the person: refused at each replica; as it was, with a tag made by the key: good")


def rotation(replicas):
    """A new key, in the order of docs/replicas.md: at each step each replica accepts the values that any of them has written."""
    group, path = people(replicas.any(), 4, 670), replicas.env["MCP_OAUTH_KEY_FILE"]
    with open(path) as file:
        old = file.read()
    new = base64.urlsafe_b64encode(secrets.token_bytes(32)).decode().rstrip("=") + "\n"
    for keys in (old + new, new + old):
        with open(path, "w") as file:
            file.write(keys)
        for restarted in replicas.servers:
            must(restarted.stop() == 0, "the end of a replica")
            start(restarted)
            for person in group:
                for server in replicas.servers:
                    must(settled(lambda: refresh_status(person, server.site)) == 200, "a refresh during a rotation")
                    must(settled(lambda: call_status(person, server.site)) == 200, "a call during a rotation")
    print(f"a new key came first at one replica after the other: {len(group)} people refreshed and called at each, at every step")


def multiply(ask, number, key_file):
    """Creates this number of further grants like the existing one."""
    entry, end = ask("zrange", f"{PREFIX}by_end", "0", "0", "withscores").splitlines()
    user, old = entry.split(":")
    record = ask("get", f"{PREFIX}grant:{old}").rsplit(" ", 1)[0]
    lines = []
    for _ in range(number):
        new = base64.urlsafe_b64encode(secrets.token_bytes(16)).decode().rstrip("=")
        text = record.replace(old, new)
        lines.append(f"set {PREFIX}grant:{new} '{text} {tag(key_file, new, text)}'")
        lines.extend(f"zadd {PREFIX}{index} {score} {user}:{new}" for index, score in (("by_user", 0), ("by_end", end)))
    ask(text="\n".join(lines))


def copies(binary, store):
    """Grants are moved from the file to the store and back; a copy is killed half-way, and repeated."""
    url, ask = f"unix://{store.socket}?db=1", lambda *words, text=None: store.ask("-n", "1", *words, text=text)
    count = lambda: int(ask("zcard", f"{PREFIX}by_end"))  # noqa: E731
    with Server(binary, {"MCP_ALLOW": "any"}) as server:
        table, seen = f"{server.state}/grants.redb", set()

        def works(more):
            start(server, more)
            for person in group:
                must(settled(lambda: refresh_status(person, server.site)) == 200, "a refresh after a copy")
                must(settled(lambda: call_status(person, server.site)) == 200, "a call after a copy")
            must(server.stop() == 0, "the end of a server")

        def empty(place):
            seen.clear()
            if place == url:
                ask("flushdb")
            elif os.path.exists(table):
                os.remove(table)

        def tried(source, target, may_empty):
            """Status and output of a copy. It gives up when the store waits for its disk, and is made again then."""
            for _ in range(5):
                code, said = copy(server, source, target)
                if code == 0 or SILENT not in said:
                    break
                if may_empty:
                    empty(target)
            return code, said

        def refused(source, target, words):
            code, said = tried(source, target, False)
            must(code != 0 and words in said, f"store copy: {code}: {said}")
            return said

        def copied(source, target, expected):
            empty(target)
            code, said = tried(source, target, True)
            must(code == 0 and f"{expected}" in said, f"store copy: {code}: {said}")

        def grew():
            seen.add(os.stat(table).st_mtime_ns if os.path.exists(table) else 0)
            return len(seen) > 50

        server.start()
        group = people(server.site, 3, 700)
        refused("redb", url, "server")
        server.stop()
        copied("redb", url, 3)
        must("empty" in refused("redb", url, "already"), "what to do")
        works({"MCP_STORE": url})
        multiply(ask, MANY, f"{server.state}/key")
        cut_short(server, url, "redb", lambda: empty("redb"), grew)
        refused(url, "redb", "already")
        must(count() == MANY + 3, "the old place is another than before")
        copied(url, "redb", MANY + 3)
        works({})
        cut_short(server, "redb", url, lambda: empty(url), lambda: count() > MANY // 4, lambda: count() == MANY + 3)
        part = count()
        must(0 < part < MANY + 3, f"a part: {part}")
        said = refused("redb", url, "already")
        copied("redb", url, MANY + 3)
        must(count() == MANY + 3, "grants at the new place")
        works({"MCP_STORE": url})
    print(f"store copy: {MANY + 3} grants to the store and back, nobody logged in again; killed after {part}, and made again: {said!r}")


def demo(binary, nginx, report):
    """The process that clients use in place of one server: it takes the same environment, and writes the same log."""
    ended = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ended.set())
    port = int(os.environ["MCP_LISTEN"].rsplit(":", 1)[1])
    more = {name: value for name, value in os.environ.items() if name.startswith("MCP_") and name not in ("MCP_LISTEN", "MCP_STATE_DIR")}
    with tempfile.TemporaryDirectory(prefix="replicas-") as directory:
        store = Store(directory, "always")
        try:
            with Site3(binary, directory, store, port, more) as replicas:
                with round_robin(nginx, directory, port, replicas):
                    ended.wait()
                must([server.stop() for server in replicas.servers] == [0] * REPLICAS, "a replica did not end as it should")
                logs = {server.port: server.log().splitlines(keepends=True) for server in replicas.servers}
                with open(f"{directory}/access.log") as file:
                    order = [int(line.rsplit(":", 1)[1]) for line in file]
        finally:
            store.kill()
    requests = [sum(" request method=" in line for line in log) for log in logs.values()]
    messages = [sum(" rpc=" in line for line in log) for log in logs.values()]
    with open(report, "a") as file:
        file.write(f"requests by replica: {requests}, of which messages with a token: {messages}\n")
    # One log, in the order of the answers at nginx.
    for port in order:
        while logs[port]:
            line = logs[port].pop(0)
            sys.stderr.write(line)
            if " request method=" in line:
                break
    sys.stderr.writelines(line for log in logs.values() for line in log)
    must(all(messages), f"a replica got no message: {messages}")


def main():
    binary, nginx, haproxy = sys.argv[1:4]
    for fsync in ("always", "everysec"):
        with tempfile.TemporaryDirectory(prefix="replicas-") as directory, Namespace() as network:
            store = Store(directory, fsync, network)
            port = free_port()
            try:
                with Site3(binary, directory, store, port) as replicas:
                    if fsync == "always":
                        without_affinity(nginx, directory, port, replicas)
                        config = NGINX.replace("UPSTREAM", example("replicas-nginx.conf", replicas)).replace("HTTP_SSE", "")
                        with_affinity("nginx", directory, port, replicas, [nginx, "-c", "CONFIG", "-p", directory], config)
                        config = example("replicas-haproxy.cfg", replicas).replace(":443 ssl crt /etc/haproxy/mcp.example.com.pem", "127.0.0.1:PORT")
                        with_affinity("HAProxy", directory, port, replicas, [haproxy, "-f", "CONFIG"], config)
                        revocation(replicas)
                        costs(replicas, store)
                        forged(replicas, store)
                        rotation(replicas)
                        link = Link(store)
                        partition(replicas, "a proxy", link.address, link.port, link, 500)
                        if network.why_not:
                            print(f"SKIPPED: a partition in a network namespace: {network.why_not.strip()}")
                        else:
                            partition(replicas, "a network namespace", store.address, store.port, network, 600)
                        paused(replicas, store)
                        copies(binary, store)
                    storm(replicas, store, fsync)
            finally:
                store.kill()
    print(f"{ASKED['again']} of {ASKED['all']} requests were repeated until they were answered")
    must(ASKED["again"] * 50 < ASKED["all"], "too many for a slow disk")


if __name__ == "__main__":
    demo(*sys.argv[2:]) if sys.argv[1] == "demo" else main()
