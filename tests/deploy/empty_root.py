"""The static binary in an empty root directory, as in an image built from scratch, through a whole login.

usage: python3 empty_root.py BINARY     Prints the size of all that is in that directory, and how long a start takes.
"""

import os
import shutil
import statistics
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from rig import Person, Server, healthy  # noqa: E402


def main():
    # A user namespace of its own; the network is the host's, where the GitHub of this check is.
    server = Server("/mcp-oauth-server", state="/state")
    root = f"{server.directory}/root"
    server.command = ["unshare", "-r", "chroot", root, *server.command]
    os.mkdir(root)
    shutil.copy(sys.argv[1], f"{root}/mcp-oauth-server")
    with server:
        starts = []
        for _ in range(5):
            starts.append(server.start())
            last = healthy(server.site)
            if server.stop() != 0:
                raise SystemExit(f"it ended with status {server.process.returncode}:\n{server.log()}")
        server.start()
        person = Person(server.site).register().log_in()
        server.stop()
        server.start()
        person.refresh().call()
        found = sorted(os.listdir(root)), sorted(os.listdir(f"{root}/state"))
        if found[0] != ["mcp-oauth-server", "state"]:
            raise SystemExit(f"there is more than the binary and its state: {found}")
        print(f"ok: a login in an empty root, {last * 1000:.0f} ms; it holds {found[0]}, and in state {found[1]}")
        print(f"ok: from exec to the first answer {statistics.median(starts) * 1000:.0f} ms; "
              f"the image is the binary: {os.path.getsize(f'{root}/mcp-oauth-server')} bytes")


if __name__ == "__main__":
    main()
