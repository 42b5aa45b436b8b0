"""The cost of a call as connections, sessions, grants, tools and open streams grow.

Each point of a series is a server of its own; all of them run, and are asked in turn, several rounds.
"""

import contextlib
import os
import subprocess
import time

from servers import Held, Ours

CONNECTIONS = [1, 16, 64, 128, 256, 400]
SESSIONS = [1, 10, 100, 1000]
GRANTS = [10, 1000, 10_000, 100_000]
TOOLS = [1, 10, 100, 1000]
STREAMS = [1, 100, 1000, 5000]
IDLE = 5  # seconds in which the CPU use of an idle server is measured
SETTLE = 2
ROOM = {
    "MCP_MAX_CONNECTIONS": "8192", "MCP_MAX_STREAMS": "6000", "MCP_MAX_SESSIONS": "6000",
    "MCP_MAX_STREAMS_PER_USER": "6000", "MCP_MAX_SESSIONS_PER_USER": "6000",
}


class Point:
    """A server with a given number of connections, sessions, grants, tools or streams."""

    def __init__(self, server, size, connections=16, era="modern", opened=None):
        self.server, self.size, self.connections, self.era = server, size, connections, era
        self.cost = {"open_cpu_us": opened.cpu_us_each} if opened else {}


def grow(results, say, what, points, rounds, window):
    """Measures each in turn. Its use at rest is measured before."""
    for point in points:
        before = point.server.cpu_seconds()
        time.sleep(IDLE)
        idle = (point.server.cpu_seconds() - before) / IDLE * 1000
        results.add("rest", point.server, {"rss_mib": point.server.rss_mib(), "idle_cpu_ms": idle} | point.cost, what=what, size=point.size)
    figures = {point.size: [] for point in points}
    for round_number in range(rounds):
        say(f"growth of {what}, round {round_number + 1} of {rounds}")
        for point in points:
            found = point.server.call(point.era, point.connections, *window)
            figures[point.size].append(found["cpu_per_10k"])
            results.add("grown", point.server, found, what=what, size=point.size)
    first, *_, last = figures.values()
    for one, other in zip(first, last):
        results.add("growth", points[0].server, {"growth": other / one}, what=what)


def connections(binary, stack):
    server = stack.enter_context(Ours(binary))
    return [Point(server, count, connections=count) for count in CONNECTIONS]


def sessions(binary, stack):
    for count in SESSIONS:
        server = stack.enter_context(Ours(binary, ROOM))
        held = stack.enter_context(Held(server, "legacy", count, "sessions"))
        yield Point(server, count, era="legacy", opened=held)


def streams(binary, stack):
    for count in STREAMS:
        server = stack.enter_context(Ours(binary, ROOM))
        held = stack.enter_context(Held(server, "modern", count))
        yield Point(server, count, opened=held)


def grants(binary, stack, own):
    for count in GRANTS:
        server = Ours(binary)
        if os.path.isdir("/dev/shm"):
            server.directories = "/dev/shm"  # the size of the table matters, not the time to fill it
        server.prepare()
        subprocess.run([own, "fill", os.path.join(server.directory, "demo"), str(count)], check=True, stdout=subprocess.DEVNULL)
        yield Point(stack.enter_context(server), count)


def tools(own, stack, directory):
    for count in TOOLS:
        program = os.path.join(directory, f"many_tools-{count}")
        with contextlib.suppress(FileExistsError):
            os.symlink(os.path.abspath(own), program)
        yield Point(stack.enter_context(Ours(program)), count)


def measure(results, say, binary, programs, directory, rounds, window):
    series = {
        "connections": lambda stack: connections(binary, stack),
        "sessions": lambda stack: sessions(binary, stack),
        "grants": lambda stack: grants(binary, stack, f"{programs}/own"),
        "tools": lambda stack: tools(f"{programs}/own", stack, directory),
        "streams": lambda stack: streams(binary, stack),
    }
    for what, points in series.items():
        say(f"growth of {what}: getting ready")
        with contextlib.ExitStack() as stack:
            grow(results, say, what, list(points(stack)), rounds, window)
