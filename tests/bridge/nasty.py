"""An MCP server over stdio that misbehaves, at its start according to the number in WHO, and later by its callers (tool `nasty`).

A call of `nasty` has the arguments {"how": one of DEEDS}. It runs while nobody else wants to: what is measured is what
its noise costs the server.
"""

import json
import os
import signal
import subprocess
import sys
import time

INPUT, OUTPUT = sys.stdin.buffer, sys.stdout.buffer
TOOLS = [{"name": name, "description": name, "inputSchema": {"type": "object"}} for name in ("greet", "nasty", "seen")]
CANCELLED = []
NUMBER = int(os.environ["WHO"].split("-")[1])
MIB = 1024 * 1024
FORM = {"message": "?", "requestedSchema": {"type": "object", "properties": {}}}
SLEEP = [sys.executable, "-ISE", "-c", "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"]


def raw(data):
    OUTPUT.write(data)
    OUTPUT.flush()


def say(message, end=b"\n"):
    raw(json.dumps({"jsonrpc": "2.0", **message}).encode() + end)


def answer(id, text, **more):
    say({"id": id, "result": {"content": [{"type": "text", "text": text}]}}, **more)


def tell(method, **params):
    say({"method": method, "params": params})


def daemonize():
    """A grandchild in a session of its own, whose parent has ended."""
    if os.fork() == 0:
        os.setsid()
        subprocess.Popen(SLEEP, start_new_session=True)
        os._exit(0)
    os.wait()


# ---- starts, by the number of the person ----

def banner():
    raw(b"Welcome to the nasty server\r\n\r\n   \n\x1b[31m{not json}\n[]\n{\"jsonrpc\":\"2.0\"}\n")
    tell("notifications/message", level="info", data="before initialize")


def die():
    print("cannot go on: \x1b[31mno\x00 luck", file=sys.stderr, flush=True)
    sys.exit(7)


def ignore_endings():
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)


def stay(_=None):
    while True:
        time.sleep(60)


def daemonize_and_ignore():
    daemonize()
    subprocess.Popen(SLEEP)
    ignore_endings()


MODERN = range(600, 700)  # of 2026-07-28
STARTS = {1: banner, 2: die, 3: daemonize_and_ignore, 4: stay}
CRASHERS = 1000  # from this number on: die at the start


# ---- deeds, by the argument of the call ----

def crlf(id):
    answer(id, "done", end=b"\r\n\r\n")


def in_pieces(id):
    text = json.dumps({"jsonrpc": "2.0", "id": id, "result": {"content": [{"type": "text", "text": "done"}]}}) + "\n"
    for character in text:
        raw(character.encode())


def not_utf8(id):
    raw(b'{"jsonrpc":"2.0","method":"notifications/message","params":{"data":"\xff\xfe"}}\n')


def long_line(id):
    raw(b"x" * (9 * MIB) + b"\n")


def endless_line(id):
    while True:
        raw(b"x" * MIB)


def large_answer(id):
    answer(id, "x" * (5 * MIB))


def noise(id):
    while True:
        raw(b"no JSON " * 100 + b"\n")


def stderr_flood(id):
    for _ in range(64):
        sys.stderr.write(("flood " * 40 + "\n") * (MIB // 4 // 241))
        sys.stderr.flush()
    answer(id, "done")


def stderr_line(id):
    """One line without end on standard error."""
    for _ in range(64):
        sys.stderr.write("flood " * (MIB // 6))
    answer(id, "done")


def list_changed_storm(id):
    for _ in range(20_000):
        tell("notifications/tools/list_changed")
    answer(id, "done")


def progress_storm(id, token):
    for number in range(20_000):
        tell("notifications/progress", progressToken=token, progress=number)
    answer(id, "done")


def log_storm(id):
    for number in range(20_000):
        tell("notifications/message", level="info", data=f"line {number}")
    answer(id, "done")


def ask(number):
    method = ("sampling/createMessage", "elicitation/create", "roots/list", "ping", "no/such")[number % 5]
    say({"id": f"q{number}", "method": method, "params": {}})


def request_storm(id):
    """Five thousand requests in a second: each must be answered."""
    if os.fork() == 0:
        for number in range(5_000):
            ask(number)
            if number % 100 == 0:
                time.sleep(0.02)
        os._exit(0)
    answers = 0
    while answers < 5_000:
        answers += b'"q' in INPUT.readline()
    os.wait()
    answer(id, "done")


def request_flood(id):
    """More requests than fit, while no answer is read."""
    for number in range(20_000):
        ask(number)
    answer(id, "done")


def question(number):
    say({"id": f"q{number}", "method": "elicitation/create", "params": FORM})


def question_flood(id):
    """More questions than are put to anybody, to a client that can be asked."""
    for number in range(20_000):
        question(number)
    answer(id, "done")


def question_tail(id):
    """The same while no call runs."""
    answer(id, "done")
    for number in range(20_000):
        question(number)


def many_questions(id, count=20_000):
    """A result that asks all of this at once, in each round (2026-07-28)."""
    asked = {f"q{number}": {"method": "elicitation/create", "params": FORM} for number in range(count)}
    say({"id": id, "result": {"resultType": "input_required", "inputRequests": asked, "requestState": "more"}})


def endless_rounds(id):
    many_questions(id, 1)


def silent(id):
    pass


def twice(id):
    answer(id, "done")
    answer(id, "wrong")


def forged(id):
    for other in (id + 1, id + 2, str(id), None, -1, 2**70, 1.5, {"id": id}, [id], True):
        answer(other, "wrong")
    raw(b'{"jsonrpc":"2.0","id":%d}\n{"jsonrpc":"2.0","id":%d,"result":{},"error":{}}\n' % (id + 1, id + 2))
    answer(id, "done")


def late(id):
    """Answers after the call was cancelled."""
    meanwhile = []
    while b"notifications/cancelled" not in (line := INPUT.readline()):
        meanwhile.append(line)
    CANCELLED.append(id)
    answer(id, "wrong")
    for line in meanwhile:
        serve(json.loads(line))


def dying(id):
    print("the last words", file=sys.stderr, flush=True)
    os.kill(os.getpid(), signal.SIGSEGV)


def half_dying(id):
    raw(b'{"jsonrpc":"2.0","id":%d,"resu' % id)
    os._exit(3)


def mute(id):
    """Closes its output and lives on."""
    os.close(1)
    stay()


def deafened(id):
    """Closes its input, asks, and lives on."""
    os.close(0)
    say({"id": "p", "method": "ping"})
    stay()


def deaf(id):
    """Stops reading, and answers."""
    answer(id, "done")
    stay()


def forking(id):
    for _ in range(20):
        subprocess.Popen(SLEEP)
    daemonize()
    ignore_endings()
    answer(id, "done")


DEEDS = {
    deed.__name__: deed
    for deed in (crlf, in_pieces, not_utf8, long_line, endless_line, large_answer, noise, stderr_flood, stderr_line,
                 list_changed_storm, progress_storm, log_storm, request_storm, request_flood, question_flood, question_tail,
                 many_questions, endless_rounds, silent, twice, forged, late, dying, half_dying, mute, deafened, deaf, forking)
}


def serve(message):
    id, params = message.get("id"), message.get("params", {})
    match message.get("method"):
        case "initialize" if NUMBER not in MODERN:
            say({"id": id, "result": {
                "protocolVersion": "2025-11-25", "serverInfo": {"name": "nasty", "version": "1"},
                "capabilities": {"tools": {"listChanged": True}, "logging": {}},
            }})
        case "server/discover" if NUMBER in MODERN:
            say({"id": id, "result": {"supportedVersions": ["2026-07-28"], "capabilities": {"tools": {}}}})
        case "initialize" | "server/discover":
            say({"id": id, "error": {"code": -32601, "message": "another era"}})
        case "tools/list":
            say({"id": id, "result": {"tools": TOOLS}})
        case "tools/call" if params["name"] == "greet":
            answer(id, f"Hello, {params['arguments'].get('name')}!")
        case "tools/call" if params["name"] == "seen":
            answer(id, f"{os.getpid()} {CANCELLED}")
        case "tools/call":
            os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
            how = params["arguments"]["how"]
            more = [params["_meta"]["progressToken"]] if how == "progress_storm" else []
            DEEDS[how](id, *more)
        case "notifications/cancelled":
            CANCELLED.append(params["requestId"])


def main():
    if NUMBER >= CRASHERS:
        sys.exit(7)
    STARTS.get(NUMBER, lambda: None)()
    for line in INPUT:
        message = json.loads(line)
        if "method" in message:
            serve(message)


if __name__ == "__main__":
    main()
