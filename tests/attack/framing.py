"""Ambiguous or oversized messages, which two parsers could read differently or which exhaust a parser: bytes, and the answer.

Each is followed by a request for /smuggled, which must not be answered: one answer, and the end of the connection.
"""

HOST = "Host: mcp.example.com\r\n"


def post(fields, body="abcde"):
    return f"POST /token HTTP/1.1\r\n{HOST}{fields}\r\n{body}".encode("latin-1")


def get(fields="", line="GET / HTTP/1.1", host=HOST):
    return f"{line}\r\n{host}{fields}\r\n".encode("latin-1")


FORM = "Content-Type: application/x-www-form-urlencoded\r\n"
CHUNKED = "Transfer-Encoding: chunked\r\n"
SMUGGLED = get(line="GET /smuggled HTTP/1.1")

# H1: one framing or none. After any of these the start of the next request is unknown.
FRAMING = {
    "CL 2^62": (post("Content-Length: 4611686018427387904\r\n"), 413),
    "CL 2^64-1": (post("Content-Length: 18446744073709551615\r\n"), 413),
    "CL 10^30": (post(f"Content-Length: 1{'0' * 30}\r\n"), 413),
    "CL 10^13, refused by path": (b"POST /mcp HTTP/1.1\r\n" + HOST.encode() + b"Content-Length: 10000000000000\r\n\r\n", 401),
    "CL+TE": (post(f"Content-Length: 5\r\n{CHUNKED}", "0\r\n\r\n"), 400),
    "TE+CL": (post(f"{CHUNKED}Content-Length: 5\r\n", "0\r\n\r\n"), 400),
    "CL twice, the same": (post("Content-Length: 5\r\nContent-Length: 5\r\n"), 400),
    "CL twice, different": (post("Content-Length: 5\r\nContent-Length: 0\r\n"), 400),
    "CL -1": (post("Content-Length: -1\r\n"), 400),
    "CL +5": (post("Content-Length: +5\r\n"), 400),
    "CL 5,5": (post("Content-Length: 5,5\r\n"), 400),
    "CL 5 5": (post("Content-Length: 5 5\r\n"), 400),
    "CL 0x5": (post("Content-Length: 0x5\r\n"), 400),
    "CL empty": (post("Content-Length:\r\n"), 400),
    "CL with a space before the colon": (post("Content-Length : 5\r\n"), 400),
    "CL folded": (post("Content-Length:\r\n 5\r\n"), 400),
    "TE gzip": (post("Transfer-Encoding: gzip\r\n"), 400),
    "TE identity": (post("Transfer-Encoding: identity\r\n"), 400),
    "TE empty": (post("Transfer-Encoding:\r\n"), 400),
    "TE xchunked": (post("Transfer-Encoding: xchunked\r\n"), 400),
    "TE gzip, chunked": (post("Transfer-Encoding: gzip, chunked\r\n"), 400),
    "TE chunked, chunked": (post("Transfer-Encoding: chunked, chunked\r\n"), 400),
    "TE chunked, identity": (post("Transfer-Encoding: chunked, identity\r\n"), 400),
    "TE with a vertical tab": (post("Transfer-Encoding: \x0bchunked\r\n"), 400),
    "TE twice": (post(CHUNKED * 2), 400),
    "TE folded (RUSTSEC-2020-0031)": (post("X: a\r\n Transfer-Encoding: chunked\r\n"), 400),
    "TE with a space before the colon": (post("Transfer-Encoding : chunked\r\n"), 400),
    "TE in HTTP/1.0": (post(CHUNKED, "0\r\n\r\n").replace(b"HTTP/1.1", b"HTTP/1.0"), 400),
    "chunk size not hex": (post(FORM + CHUNKED, "z\r\n"), 400),
    "chunk size signed": (post(FORM + CHUNKED, "+5\r\nabcde\r\n0\r\n\r\n"), 400),
    "chunk size 2^64": (post(FORM + CHUNKED, "10000000000000000\r\n"), 400),
    "chunk size 2^64-1": (post(FORM + CHUNKED, "ffffffffffffffff\r\n"), 413),
    "chunk longer than it says": (post(FORM + CHUNKED, "1\r\nabc\r\n0\r\n\r\n"), 400),
    "chunk ended by LF": (post(FORM + CHUNKED, "1\na\r\n0\r\n\r\n"), 400),
}

# H3: lengths, during reading. A client that sends more than 64 KiB after the answer may see a reset before it.
LENGTHS = {
    "target of 8193 bytes": (get(line=f"GET /{'a' * 8192} HTTP/1.1"), 414),
    "target without an end": (b"GET /" + b"a" * 100_000, (414, "cut off")),
    "method without an end": (b"G" * 100_000, (414, "cut off")),
    "value of 8193 bytes": (get(f"X: {'a' * 8193}\r\n"), 431),
    "101 fields": (get("X: a\r\n" * 100), 431),
    "head of 41 KiB": (get(f"X: {'a' * 8190}\r\n" * 6), 431),
    "1 MB header line": (b"GET / HTTP/1.1\r\nX: " + b"a" * 1_000_000, (431, "cut off")),
    "1 M header lines": (b"GET / HTTP/1.1\r\n" + b"X: a\r\n" * 1_000_000, (431, "cut off")),
    "form of 16385 bytes": (post(f"{FORM}Content-Length: 16385\r\n", ""), 413),
    "Expect: 100-continue, and 16385 bytes": (post(f"{FORM}Expect: 100-continue\r\nContent-Length: 16385\r\n", ""), 413),
    "chunked form that grows past 16 KiB": (post(FORM + CHUNKED, f"4000\r\n{'a' * 0x4000}\r\n1\r\n"), 413),
    "50 MB chunk-size line": (post(FORM + CHUNKED, "1;" + "x" * 50_000_000), (400, "cut off")),
    "trailers of 5 KiB": (post(FORM + CHUNKED, f"0\r\nX: {'a' * 5000}\r\n"), 400),
}

# H4, H9, H11: bytes that are no request, or two in one.
HEADS = {
    "bare LF": (b"GET / HTTP/1.1\nHost: mcp.example.com\n\n", 400),
    "one bare LF": (get("X: a\n"), 400),
    "a bare CR": (get("X: a\rY: b\r\n"), 400),
    "obs-fold": (get("X: a\r\n b\r\n"), 400),
    "space before colon": (get("X : a\r\n"), 400),
    "NUL in a value": (get("X: a\0b\r\n"), 400),
    "ESC in a value": (get("X: a\x1bb\r\n"), 400),
    "empty name": (get(": a\r\n"), 400),
    "name that is no token": (get("X(): a\r\n"), 400),
    "NUL in a name": (get("Content\0-Length: 5\r\n"), 400),
    "bytes above 127 in a name": (get("X\xff: a\r\n"), 400),
    "bytes above 127 in a length": (post(f"{FORM}Content-Length: 5\xa0\r\n"), 400),
    "two hosts": (get(HOST), 400),
    "no host": (get(host=""), 400),
    "another host in the target": (get(line="GET http://evil.example/ HTTP/1.1"), 400),
    "HTTP/0.9": (b"GET /\r\n", 400),
    "HTTP/2 preface": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
    "HTTP/3.0": (get(line="GET / HTTP/3.0"), 505),
    "TLS hello on the plain port": (b"\x16\x03\x01\x02\x00\x01\x00", 501),
    "method that is no token": (get(line="G@T / HTTP/1.1"), 501),
    "CONNECT": (get(line="CONNECT a:1 HTTP/1.1"), 405),
    "Expect: what": (get("Expect: what\r\n"), 417),
    "two Authorization": (get("Authorization: Bearer a\r\nAuthorization: Bearer b\r\n"), 400),
    "two Content-Type": (get("Content-Type: a/b\r\ncontent-type: a/b\r\n"), 400),
    "two Mcp-Session-Id": (get("Mcp-Session-Id: a\r\nMcp-Session-Id: a\r\n"), 400),
    "two Origin": (get("Origin: null\r\nOrigin: null\r\n"), 400),
    "cookies of 41 KiB": (get(f"Cookie: {'a' * 41 * 1024}\r\n"), 431),
}
CLOSE = "Connection: close\r\n"

# H8, H9: read, and answered in HTTP. These ask for the end of the connection themselves.
ANSWERED = {
    "a host of another": (get(CLOSE, host="Host: evil.example\r\n"), 421),
    "bytes above 127 in values": (get(f"{CLOSE}X: \xff\r\nUser-Agent: \xfc\r\nCookie: a=\xe9\r\n"), 200),
    "2000 cookies, 20 KiB": (get(f"{CLOSE}Cookie: a=1{'; a=12345' * 2000}\r\n"), 200),
    "TRACE": (get(CLOSE, "TRACE / HTTP/1.1"), 405),
    "unknown method": (get(CLOSE, "BREW / HTTP/1.1"), 405),
    "/mcp/": (get(CLOSE, "GET /mcp/ HTTP/1.1"), 401),
    "//mcp": (get(CLOSE, "GET //mcp HTTP/1.1"), 404),
    "/./mcp": (get(CLOSE, "GET /./mcp HTTP/1.1"), 404),
    "/%6dcp": (get(CLOSE, "GET /%6dcp HTTP/1.1"), 404),
    "/MCP": (get(CLOSE, "GET /MCP HTTP/1.1"), 404),
    "upgrade to h2c": (post(f"{FORM}Connection: Upgrade, HTTP2-Settings, close\r\nUpgrade: h2c\r\nContent-Length: 5\r\n"), 401),
}
