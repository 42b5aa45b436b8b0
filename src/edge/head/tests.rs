use super::*;

fn parse_text(text: &str) -> Result<Option<(Checked, usize)>, Refusal> {
    parse(text.as_bytes(), None)
}

/// The status of the refusal of these bytes, 0 if they are accepted, 1 if they are incomplete.
fn check_status(text: &str, expected: u16) {
    let status = match parse_text(text) {
        Ok(Some(_)) => 0,
        Ok(None) => 1,
        Err(refusal) => refusal.status(),
    };
    assert_eq!(status, expected, "{:?}", text.get(..200).unwrap_or(text));
}

fn good(text: &str) -> Checked {
    parse_text(text).unwrap().unwrap().0
}

/// A GET of `/` with these lines after the Host.
fn with(lines: &str) -> String {
    format!("GET / HTTP/1.1\r\nHost: a\r\n{lines}\r\n")
}

#[test]
fn a_head_is_parsed_and_the_following_bytes_are_left() {
    let text =
        "POST /a%2Fb//c;d?x=1&y? HTTP/1.1\r\nHost: a:1\r\nX-A: \t b\tc \r\nContent-Length: 03\r\n\r\nabcGET";
    let (checked, length) = parse_text(text).unwrap().unwrap();
    assert_eq!(&text[length..], "abcGET");
    assert_eq!(checked.head.method, Method::Post);
    assert_eq!(&*checked.head.path, "/a%2Fb//c;d");
    assert_eq!(checked.head.query.as_deref(), Some("x=1&y?"));
    assert_eq!(checked.head.headers.one("x-a"), Ok(Some("b\tc")));
    assert_eq!(checked.framing, Framing::Length(3));
    assert!(checked.persistent && !checked.expects_continue);
}

#[test]
fn a_head_is_waited_for_byte_by_byte() {
    let text = "\r\nGET / HTTP/1.1\r\nHost: a\r\nAccept: */*\r\n\r\n";
    for end in 0..text.len() {
        check_status(&text[..end], 1);
    }
    check_status(text, 0);
}

/// H1: a body is framed in one way, or not at all.
#[test]
fn ambiguous_framing_is_refused() {
    for (lines, status) in [
        ("Transfer-Encoding: chunked\r\n", 0),
        ("Transfer-Encoding: CHUNKED\r\n", 0),
        ("Content-Length: 0\r\n", 0),
        ("Content-Length: 18446744073709551615\r\n", 0),
        ("Content-Length: 18446744073709551616\r\n", 413),
        ("Transfer-Encoding: chunked\r\nContent-Length: 3\r\n", 400),
        ("Content-Length: 3\r\nTransfer-Encoding: chunked\r\n", 400),
        ("Content-Length: 3\r\nContent-Length: 3\r\n", 400),
        ("Content-Length: 3\r\ncontent-length: 4\r\n", 400),
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", 400),
        ("Transfer-Encoding: gzip, chunked\r\n", 400),
        ("Transfer-Encoding: chunked, chunked\r\n", 400),
        ("Transfer-Encoding: chunked;q=1\r\n", 400),
        ("Transfer-Encoding: identity\r\n", 400),
        ("Transfer-Encoding: xchunked\r\n", 400),
        ("Transfer-Encoding: \u{b}chunked\r\n", 400),
        ("Transfer-Encoding:\r\n", 400),
        ("Transfer-Encoding : chunked\r\n", 400),
        ("Content-Length:\r\n", 400),
        ("Content-Length: +3\r\n", 400),
        ("Content-Length: -3\r\n", 400),
        ("Content-Length: 3,3\r\n", 400),
        ("Content-Length: 3 3\r\n", 400),
        ("Content-Length: 0x3\r\n", 400),
        ("Content-Length: ٣\r\n", 400),
        ("Content-Length : 3\r\n", 400),
        ("Content\u{0}-Length: 3\r\n", 400),
    ] {
        check_status(&with(lines), status);
    }
    check_status("GET / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", 400);
}

/// H3: each limit, at it and one past it.
#[test]
fn the_limits_of_a_head_hold_to_the_byte() {
    let target = |length| format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "a".repeat(length - 1));
    check_status(&target(limits::TARGET_BYTES), 0);
    check_status(&target(limits::TARGET_BYTES + 1), 414);
    check_status(&format!("GET /{}", "a".repeat(REQUEST_LINE_BYTES)), 414);
    check_status(&format!("{} / HTTP/1.1\r\n", "G".repeat(REQUEST_LINE_BYTES)), 414);

    let value = |length| with(&format!("X: {}\r\n", "a".repeat(length)));
    check_status(&value(limits::HEADER_VALUE_BYTES), 0);
    check_status(&value(limits::HEADER_VALUE_BYTES + 1), 431);

    let count = |count| with(&"X: a\r\n".repeat(count - 1));
    check_status(&count(limits::HEADERS), 0);
    check_status(&count(limits::HEADERS + 1), 431);

    let head = |length: usize| {
        let line = format!("X: {}\r\n", "a".repeat(8190));
        let lines = line.repeat(4);
        let rest = length - with(&lines).len() - "Y: \r\n".len();
        with(&format!("{lines}Y: {}\r\n", "b".repeat(rest)))
    };
    assert_eq!(head(limits::HEAD_BYTES).len(), limits::HEAD_BYTES);
    check_status(&head(limits::HEAD_BYTES), 0);
    check_status(&head(limits::HEAD_BYTES + 1), 431);
    check_status(&format!("GET / HTTP/1.1\r\nX: {}", "a".repeat(limits::HEAD_BYTES)), 431);
}

/// H4: input that a lenient parser would repair is refused.
#[test]
fn malformed_heads_are_refused() {
    for (text, status) in [
        ("GET / HTTP/1.1\nHost: a\n\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\nX: b\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\n\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\rX: b\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\rHost: a\r\n\r\n", 400),
        ("\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (" GET / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET  / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET / HTTP/1.1 \r\nHost: a\r\n\r\n", 400),
        ("GET\t/\tHTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET / b HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET  HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET /\r\n", 400),
        ("GET /\n", 400),
        ("GET / HTTP/2.0\r\n", 505),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
        ("GET / HTTP/1.2\r\n", 505),
        ("GET / HTTP/0.9\r\n", 505),
        ("GET / HTTP/1.01\r\n", 400),
        ("GET / http/1.1\r\n", 400),
        ("GET / HTTP/1\r\n", 400),
        ("G@T / HTTP/1.1\r\nHost: a\r\n\r\n", 501),
        ("\u{16}\u{3}\u{1}", 501),
        ("GET /\u{0} HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET /é HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET /#a HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET a HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET * HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", 0),
    ] {
        check_status(text, status);
    }
    for lines in [
        "X: a\r\n b\r\n",
        "X: a\r\n\tb\r\n",
        " X: a\r\n",
        "X : a\r\n",
        "X\t: a\r\n",
        ": a\r\n",
        "X\r\n",
        "X(: a\r\n",
        "é: a\r\n",
        "X: a\u{0}b\r\n",
        "X: a\u{1}b\r\n",
        "X: a\u{7f}b\r\n",
        "X: a\rb\r\n",
        "X: \r\r\n",
    ] {
        check_status(&with(lines), 400);
    }
}

/// H4: exactly one Host, and no contradiction of it.
#[test]
fn a_request_names_one_host() {
    for (text, status) in [
        ("GET / HTTP/1.1\r\n\r\n", 400),
        ("GET / HTTP/1.0\r\n\r\n", 0),
        ("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400),
        ("GET / HTTP/1.0\r\nHost: a\r\nhost: b\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost:\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a, b\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: u@a\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: [::1]:80\r\n\r\n", 0),
        ("GET http://A:1/x HTTP/1.1\r\nHost: a:1\r\n\r\n", 0),
        ("GET http://b/x HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET http://u@a/x HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET http://a HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET ftp://a/x HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET http://a/x HTTP/1.0\r\n\r\n", 400),
    ] {
        check_status(text, status);
    }
    let checked = good("GET http://a/x?y=http://b/ HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!((&*checked.head.path, checked.head.query.as_deref()), ("/x", Some("y=http://b/")));
}

/// H9: methods, expectations and upgrades.
#[test]
fn connect_expect_and_upgrade_are_refused_or_ignored() {
    check_status("CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n", 405);
    check_status("TRACE / HTTP/1.1\r\nHost: a\r\n\r\n", 0);
    check_status(&with("Expect: 200-maybe\r\n"), 417);
    check_status(&with("Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"), 0);
    assert!(good(&with("Expect: 100-Continue\r\n")).expects_continue);
    // RFC 9110 section 10.1.1: 1.0 clients do not wait.
    assert!(!good("GET / HTTP/1.0\r\nExpect: 100-continue\r\n\r\n").expects_continue);
}

/// H11: a field that affects decisions occurs once.
#[test]
fn repeated_security_relevant_fields_are_refused() {
    for name in ["Authorization", "Content-Type", "Origin", "Mcp-Session-Id", "Mcp-Param-x", "Last-Event-Id"]
    {
        check_status(&with(&format!("{name}: a\r\n")), 0);
        check_status(&with(&format!("{name}: a\r\n{}: a\r\n", name.to_lowercase())), 400);
    }
    check_status(&with("Accept: a\r\nAccept: b\r\nCookie: a=1\r\nCookie: b=2\r\n"), 0);
}

/// H11: other applications on the host may set cookies up to the limit of the head.
#[test]
fn cookies_have_the_limit_of_the_head() {
    let many = with(&format!("Cookie: a=1{}\r\n", "; a=1".repeat(2000)));
    assert_eq!(good(&many).head.headers.all("cookie").flat_map(|field| field.split("; ")).count(), 2001);
    let room = limits::HEAD_BYTES - with("Cookie: \r\n").len();
    for name in ["Cookie", "cookie"] {
        let one = |length| with(&format!("{name}: {}\r\n", "a".repeat(length)));
        check_status(&one(room), 0);
        check_status(&one(room + 1), 431);
    }
    check_status(&with(&format!("Cookie: {}\r\n", "a".repeat(8000)).repeat(4)), 0);
    check_status(&with(&format!("Cookie2: {}\r\n", "a".repeat(limits::HEADER_VALUE_BYTES + 1))), 431);
}

/// H4: bytes above 0x7F in a value are opaque (RFC 9110 section 5.5) in any encoding, and have no meaning:
/// the fields that frame and route are ASCII. In names and targets they are refused.
#[test]
fn bytes_above_ascii_are_opaque_in_values() {
    let head = |field: &[u8]| [b"POST /x HTTP/1.1\r\nHost: a\r\n", field, b"\r\n\r\n"].concat();
    let read = |field: &[u8]| parse(&head(field), None).map(|done| done.unwrap().0).map_err(Refusal::status);
    let value = |field: &[u8]| read(field).unwrap().head.headers.one("x-city").unwrap().unwrap().to_owned();
    assert_eq!(value(b"X-City: M\xfcnchen"), "M\u{fc}nchen");
    assert_eq!(value("X-City: München".as_bytes()), "M\u{c3}\u{bc}nchen");
    assert_eq!(value(b"X-City:\t \xa0\x85\xff\x80 "), "\u{a0}\u{85}\u{ff}\u{80}");
    for fine in [
        &b"User-Agent: \xff"[..],
        b"Cookie: a=\xfc; b=1",
        b"Accept: \xe9",
        b"X-Forwarded-For: \xe9",
        b"Mcp-Name: \xe9",
    ] {
        assert!(read(fine).is_ok(), "{}", fine.escape_ascii());
    }
    let odd =
        [&b"Transfer-Encoding: chunked\xa0"[..], b"Transfer-Encoding: \x85chunked", b"Content-Length: 3\xa0"];
    let odder =
        [&b"Content-Length: \xb3"[..], b"Expect: 100-continue\xa0", b"X\xfc: a", b"\xfc: a", b"X-\xa0: a"];
    for bad in odd.into_iter().chain(odder) {
        assert!(read(bad).is_err(), "{}", bad.escape_ascii());
    }
    for text in [&b"GET / HTTP/1.1\r\nHost: a\xfc\r\n\r\n"[..], b"GET /\xfc HTTP/1.1\r\nHost: a\r\n\r\n"] {
        assert_eq!(parse(text, None).unwrap_err().status(), 400);
    }
    assert!(read(b"Connection: close\xa0").unwrap().persistent);
}

#[test]
fn a_connection_is_persistent_unless_closed_by_a_field_or_http_1_0() {
    assert!(good(&with("Connection: keep-alive\r\n")).persistent);
    for lines in [
        "Connection: close\r\n",
        "Connection: keep-alive, Close\r\n",
        "Connection: a\r\nConnection: close\r\n",
    ] {
        assert!(!good(&with(lines)).persistent, "{lines}");
    }
    assert!(!good("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n").persistent);
}

/// No input causes a panic, and accepted input is accepted equally when more follows.
#[test]
fn any_mutated_head_is_accepted_or_refused_without_a_panic() {
    let text =
        b"POST http://a/x?y HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\nabc";
    for position in 0..text.len() {
        for byte in 0..=255 {
            let mut bytes = text.to_vec();
            bytes[position] = byte;
            if let Ok(Some((checked, length))) = parse(&bytes, None) {
                let (again, same) = parse(&bytes[..length], None).unwrap().unwrap();
                assert_eq!((checked.framing, length), (again.framing, same));
            }
        }
    }
}
