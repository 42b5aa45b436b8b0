"""Faults of disk, clock and files under a running server, and their effects on client and operator: make faults.

usage: python3 faults.py BINARY      (a dynamically linked one: Debian's faketime moves its clock)

Runs in a user and mount namespace of its own, where a small disk can be mounted. Prints the table of docs/operations.md with
what was seen; exit status 1 if any of it is not what stands in this file.
"""

import glob
import os
import shutil
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from rig import FORM, Person, Server, Surprise  # noqa: E402
from urllib.parse import urlencode  # noqa: E402

ROWS, FAULTS = [], []


def row(fault, client, operator):
    """One line of the table: the fault, and the views of client and operator. `None` for no effect."""
    ROWS.append((fault, client, operator))
    if client is None or operator is None:
        FAULTS.append(fault)
    print(f"{'NOT ' if fault in FAULTS else 'ok  '}{fault}\n      client:   {client}\n      operator: {operator}", flush=True)


def says(site, expected, method, target, fields=None, body=None):
    """A status, and words that the answer must contain."""
    status, words = expected
    _, text = site.ask(status, method, target, fields, body)
    if words not in text:
        raise Surprise(f"{method} {target}: {text[:300]}")
    return f"{status} {words}"


def refresh(person, expected):
    form = {"grant_type": "refresh_token", "client_id": person.client_id, "refresh_token": person.refresh_token}
    return says(person.site, expected, "POST", "/token", FORM, urlencode(form))


def refused_login(person, expected):
    callback, cookie, _ = person.begin()
    return says(person.site, expected, "GET", callback, cookie)


def line(server, words):
    """The line in the operator's log, without its time and the parts that differ between runs."""
    found = server.wait_for_log(words)
    return found and " ".join(part for part in found.split()[1:] if not part.startswith(("request=", "peer=")))


def does_not_start(server, more=None):
    """The outcome of a failed start: status and last line."""
    run = subprocess.run(server.command, env={**server.env, **(more or {})}, capture_output=True, text=True, timeout=60)
    return run.returncode, run.stderr.strip().splitlines()[-1] if run.stderr.strip() else ""


def refusal(server, words, more=None):
    status, said = does_not_start(server, more)
    return f"{said}, exit status {status}" if status == 2 and words in said else None


UNAVAILABLE = (503, "temporarily_unavailable")
PAGE = (503, "This server cannot save your login")


def attempt(seen):
    """Compares two views: a surprise is a `None` and a line of output."""
    try:
        return seen()
    except Surprise as surprise:
        print(f"      {surprise}")
        return None


# ---- the disk ----

def full_disk(binary):
    with Server(binary) as server:
        os.mkdir(server.state, 0o700)
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m,mode=700", "tmpfs", server.state], check=True)
        try:
            server.start()
            person, other = Person(server.site).register().log_in(), Person(server.site).register().log_in()
            with open(f"{server.state}/filler", "wb", buffering=0) as filler:
                while fills(filler):
                    pass
            # The space that the table had reserved is used up first.
            for _ in range(2000):
                try:
                    refresh(other, UNAVAILABLE)
                    break
                except Surprise:
                    other.refresh()
            row("disk full: a refresh", attempt(lambda: refresh(person, UNAVAILABLE)), line(server, "store.failed No space"))
            row("disk full: a login", attempt(lambda: refused_login(person, PAGE)), line(server, "login.not_stored"))
            row("disk full: a call", attempt(lambda: person.call() and "200"), "nothing")
            form = urlencode({"client_id": other.client_id, "token": other.access})
            revoke = lambda: other.site.ask(503, "POST", "/revoke", FORM, form)  # noqa: E731
            seen = attempt(lambda: revoke() and other.call(401) and "503, to try again; its tokens are dead at once (401)")
            row("disk full: a revocation", seen, line(server, "store.failed"))
            os.remove(f"{server.state}/filler")
            # A longer fault is no different: waiting deletions are written before the end.
            server.stop()
            server.start()
            row("space is free again, and a restart", attempt(lambda: person.refresh() and other.call(401) and "200; what was revoked stays dead"), line(server, "serving"))
        finally:
            server.process.kill()
            server.process.wait()
            subprocess.run(["umount", server.state], check=True)


def fills(file):
    try:
        return file.write(b"x" * 4096)
    except OSError:
        return 0


def read_only_disk(binary):
    with Server(binary) as server:
        server.start()
        server.stop()
        subprocess.run(["mount", "--bind", server.state, server.state], check=True)
        subprocess.run(["mount", "-o", "remount,bind,ro", server.state], check=True)
        try:
            row("disk read-only: start", "the server does not start", refusal(server, "Read-only file system"))
        finally:
            subprocess.run(["umount", server.state], check=True)


def removed_store(binary):
    with Server(binary) as server:
        server.start()
        person, other = Person(server.site).register().log_in(), Person(server.site).register().log_in()
        table = f"{server.state}/grants.redb"
        shutil.copy(table, f"{server.state}/copy")
        os.remove(table)
        row("table removed: a refresh", attempt(lambda: refresh(person, UNAVAILABLE)), line(server, "store.failed removed"))
        row("table removed: a login", attempt(lambda: refused_login(other, PAGE)), line(server, "login.not_stored"))
        row("table removed: a call", attempt(lambda: person.call(503) and "503"), line(server, "store.failed gone"))
        form = urlencode({"client_id": other.client_id, "token": other.refresh_token})
        revoke = lambda: other.site.ask(503, "POST", "/revoke", FORM, form)  # noqa: E731
        seen = attempt(lambda: revoke() and other.call(401) and "503, to try again; its tokens are dead at once (401)")
        row("table removed: a revocation", seen, line(server, "store.failed"))
        os.rename(f"{server.state}/copy", table)
        recovered = line(server, "store.recovered")
        row("a copy put in its place", attempt(lambda: person.refresh().call() and other.call(401) and "200; what was revoked stays dead"), recovered)
        os.remove(table)
        server.stop()
        server.start()
        row("table removed: restart", attempt(lambda: person.call(401) and person.log_in().call() and "401; a new login with the same client works"), line(server, "store.created"))


def removed_key(binary):
    with Server(binary) as server:
        server.start()
        person = Person(server.site).register().log_in()
        os.rename(f"{server.state}/key", f"{server.state}/away")
        row("key file gone: while it runs", attempt(lambda: person.refresh().call() and "200"), "nothing")
        server.stop()
        row("key file gone: restart", "the server does not start", refusal(server, "is missing, but there are grants made with it"))
        os.rename(f"{server.state}/away", f"{server.state}/key")
        server.start()
        row("key file back", attempt(lambda: person.refresh().call() and "200"), line(server, "serving"))


# ---- volumes ----

def volumes(binary):
    """Faults of network volumes and Kubernetes, simulated by volume.c."""
    with Server(binary) as server:
        lacks = f"{server.directory}/volume.so"
        source = os.path.join(os.path.dirname(os.path.abspath(__file__)), "volume.c")
        subprocess.run(["cc", "-shared", "-fPIC", "-o", lacks, source, "-ldl"], check=True)
        server.env["LD_PRELOAD"] = lacks
        command = lambda *words: subprocess.run(  # noqa: E731
            [*server.command, *words], env=server.env, capture_output=True, text=True, timeout=60)

        def served(volume, words, person=None):
            """A start on such a volume: the views of client and operator."""
            server.env["VOLUME"] = volume
            checked = command("check").returncode == 0
            server.start()
            client = attempt(lambda: (person.refresh() if person else Person(server.site).register().log_in()).call() and "200")
            said = line(server, words)
            server.stop()
            return client if checked else None, said

        row("the volume makes everything another user's: first start", *served("squash", "serving"))
        row("the same: restart", *served("squash", "serving"))
        row("a directory cannot be synced", *served("nosync", "start.warning synced"))
        row("no Unix socket on the volume", *served("nosocket", "operator.no_socket"))
        server.env |= {"VOLUME": "", "MCP_OPERATOR_SOCKET": f"{server.directory}/run/operator.sock"}
        os.mkdir(f"{server.directory}/run", 0o700)
        server.start()
        done = command("status")
        row("the socket elsewhere", "200", done.stdout.splitlines()[0] if done.returncode == 0 else None)
        server.stop()
        del server.env["MCP_OPERATOR_SOCKET"]
        for volume in ("nolocks", "nolockd", "ignorant"):
            server.env["VOLUME"] = volume
            told = "cannot be locked" in command("check").stdout
            row(f"no locks ({volume}): check, start", "the server does not start" if told else None, refusal(server, "cannot be locked"))
        server.env["VOLUME"] = ""
        os.chmod(server.state, 0o2770)
        for name in os.listdir(server.state):
            os.chmod(f"{server.state}/{name}", 0o660)
        row("the modes of fsGroup", *served("", "serving"))
        os.chmod(server.state, 0o2775)
        row("a mode that lets others in", "the server does not start", refusal(server, "is open to other users"))


# ---- the clock ----

def clock(binary):
    libraries = glob.glob("/usr/lib/*/faketime/libfaketimeMT.so.1")
    if not libraries:
        sys.exit("faketime is missing: apt-get install faketime")
    with Server(binary) as server:
        rc = f"{server.directory}/faketime"

        def set_clock(offset):
            with open(f"{rc}.new", "w") as new:
                new.write(offset)
            os.rename(f"{rc}.new", rc)
            time.sleep(0.1)
        server.env |= {
            "LD_PRELOAD": libraries[0], "FAKETIME_TIMESTAMP_FILE": rc, "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }
        set_clock("+0")
        server.start()
        person = Person(server.site).register().log_in()
        first = person.refresh_token
        person.refresh().call()
        for name, offset in [("an hour", "-1h"), ("a day", "-25h")]:
            set_clock(offset)
            row(f"clock {name} back: call, refresh, login", attempt(lambda: person.call() and person.refresh().call() and person.log_in().call() and "200"), "nothing")
        # Records written a day back are valid by now; the newest record is to be of the time that is unknown to the restart.
        set_clock("+0")
        person.refresh()
        server.stop()
        set_clock("-25h")
        server.start()
        seen = attempt(lambda: refresh(person, UNAVAILABLE) and person.call() and person.site.ask(503, "GET", "/authorize") and "503 for logins and /token; calls 200")
        row("clock more than a day back: restart", seen, line(server, "start.warning clock"))
        set_clock("-1h")
        row("then set", attempt(lambda: person.refresh().call() and person.log_in().call() and "200"), "nothing")
        server.stop()
        server.start()
        row("clock an hour back: restart", attempt(lambda: person.refresh().call() and "200"), line(server, "serving"))
        # The grant of `first` has rotated since: an older token is as invalid as before.
        old = Person(server.site)
        old.client_id, old.refresh_token = person.client_id, first
        row("clock an hour back: a refresh token that was replaced", attempt(lambda: refresh(old, (400, "invalid_grant"))), line(server, "grant.ended"))
        person.log_in()
        set_clock("+120d")
        time.sleep(5)
        seen = attempt(lambda: person.call(401) and refresh(person, (400, "invalid_grant")))
        set_clock("-1h")
        row("clock 120 days ahead for 5 seconds", seen, "nothing")
        row("then back", attempt(lambda: person.refresh().call() and "200: nothing was deleted"), "nothing" if "reason=expired" not in server.log() else None)
        set_clock("+1h")
        row("clock two hours forward", attempt(lambda: person.call(401) and person.refresh().call() and "401; after a refresh 200"), "nothing")
        server.stop()


def main():
    binary = os.path.abspath(sys.argv[1])
    for fault in (full_disk, read_only_disk, removed_store, removed_key, volumes, clock):
        fault(binary)
    print(f"{len(ROWS)} rows, {len(FAULTS)} not as they should be")
    for fault in FAULTS:
        print(f"  {fault}")
    return 1 if FAULTS else 0


if __name__ == "__main__":
    INSIDE = "MCP_FAULTS_INSIDE"
    if INSIDE not in os.environ:
        sys.exit(subprocess.call(["unshare", "-rm", sys.executable, *sys.argv], env={**os.environ, INSIDE: "1"}))
    sys.exit(main())
