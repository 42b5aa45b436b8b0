"""curl and Chromium over TLS, and a certificate that is replaced while the server runs: make tls.

usage: python3 tls.py BINARY CHROMIUM
"""

import base64
import hashlib
import os
import shutil
import socket
import ssl
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from rig import Server, free_port, healthy  # noqa: E402

FAULTS = []


def seen(what, fine, words=""):
    print(f"{'ok ' if fine else 'NOT'} {what}{': ' if words else ''}{words}", flush=True)
    if not fine:
        FAULTS.append(what)


def run(*command):
    return subprocess.run(command, capture_output=True, text=True, timeout=180)


def make(folder, name):
    """A self-signed certificate for localhost, and its key."""
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    made = run("openssl", "req", "-x509", *key, "-subj", f"/CN={name}", "-addext", "subjectAltName=DNS:localhost",
               "-keyout", f"{folder}/{name}.key", "-out", f"{folder}/{name}.pem")
    if made.returncode:
        sys.exit(made.stderr)


def install(folder, name):
    """Like a renewal: each file appears complete, one after the other."""
    for end in ("key", "pem"):
        shutil.copy(f"{folder}/{name}.{end}", f"{folder}/new")
        os.rename(f"{folder}/new", f"{folder}/live.{end}")


def pin(folder, name):
    """Chromium's identifier for this certificate's key."""
    public = run("openssl", "x509", "-in", f"{folder}/{name}.pem", "-noout", "-pubkey").stdout
    return base64.b64encode(hashlib.sha256(ssl.PEM_cert_to_DER_cert(
        public.replace("PUBLIC KEY", "CERTIFICATE"))).digest()).decode()


def curl(server, folder, name, *more):
    return run("curl", "--silent", "--verbose", "--cacert", f"{folder}/{name}.pem", *more, f"{server.site.origin}/")


def chromium_opens(binary, server, folder, name):
    """Whether Chromium, which trusts only this key, shows the page."""
    said = run(binary, "--headless=new", "--no-sandbox", "--disable-gpu", f"--user-data-dir={folder}/chromium-{name}",
               f"--ignore-certificate-errors-spki-list={pin(folder, name)}", "--dump-dom", f"{server.site.origin}/")
    return "/mcp" in said.stdout


def main():
    port = free_port()
    server = Server(os.path.abspath(sys.argv[1]), {"MCP_LISTEN": f"127.0.0.1:{port}", "MCP_PUBLIC_URL": f"https://localhost:{port}"})
    folder = server.directory
    for name in ("first", "second"):
        make(folder, name)
    install(folder, "first")
    server.env |= {"MCP_TLS_CERT": f"{folder}/live.pem", "MCP_TLS_KEY": f"{folder}/live.key"}
    server.site.tls = ssl.create_default_context(cafile=f"{folder}/first.pem")
    with server:
        server.start()
        stuck = [socket.create_connection(("127.0.0.1", port)) for _ in range(20)]
        for line in stuck[10:]:
            line.sendall(b"\x16\x03\x01")
        seen("a login beside twenty handshakes that do not go on", True, f"{healthy(server.site):.2f} s")
        for version in ("1.2", "1.3"):
            answer = curl(server, folder, "first", "--tlsv" + version, "--tls-max", version)
            seen(f"curl with TLS {version}, and ALPN http/1.1", answer.returncode == 0 and "accepted http/1.1" in answer.stderr)
        for version in ("1.0", "1.1"):
            # OpenSSL would refuse this by itself, so that is disabled.
            old = ("--tlsv" + version, "--tls-max", version, "--ciphers", "DEFAULT@SECLEVEL=0")
            answer = curl(server, folder, "first", *old)
            seen(f"TLS {version} is refused by the server", answer.returncode == 35 and "(IN), TLS alert" in answer.stderr)
        seen("Chromium", chromium_opens(sys.argv[2], server, folder, "first"))
        kept = ssl.create_default_context(cafile=f"{folder}/first.pem").wrap_socket(
            socket.create_connection(("127.0.0.1", port)), server_hostname="localhost")

        began = time.monotonic()
        install(folder, "second")
        seen("the new certificate is taken", bool(server.wait_for_log("tls.reloaded")), f"{time.monotonic() - began:.1f} s")
        kept.sendall(f"GET / HTTP/1.1\r\nHost: localhost:{port}\r\n\r\n".encode())
        seen("a connection that was open goes on", kept.recv(13) == b"HTTP/1.1 200 ")
        seen("curl trusts it", curl(server, folder, "second").returncode == 0)
        seen("curl does not find the old one", curl(server, folder, "first").returncode == 60)
        seen("Chromium trusts it", chromium_opens(sys.argv[2], server, folder, "second"))
        seen("Chromium does not find the old one", not chromium_opens(sys.argv[2], server, folder, "first"))
        seen("status of the server when told to stop", server.stop() == 0)
    print(f"{len(FAULTS)} not as it should be")
    return 1 if FAULTS else 0


if __name__ == "__main__":
    sys.exit(main())
