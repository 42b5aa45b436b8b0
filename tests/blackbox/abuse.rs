//! Attacks of strangers: they cost next to nothing, and leave nothing behind.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;

use serde_json::json;

use crate::support::browser::Browser;
use crate::support::github::FakeGitHub;
use crate::support::http::{PATIENCE, Request};
use crate::support::server::Server;
use crate::support::walk::{REDIRECT_URI, STATE, in_session};

/// D4, S5: unauthenticated requests make the server store nothing, in memory or on disk.
#[test]
fn a_flood_of_strangers_leaves_nothing_behind() {
    let server = Server::start(&FakeGitHub::start());
    let client = server.register(&[REDIRECT_URI]);
    let metadata = json!({"redirect_uris": [REDIRECT_URI], "token_endpoint_auth_method": "none", "client_name": "flood"});
    let authorize = server.authorize_url(&client);
    let round = || {
        let register = Request::post_json("/register", &metadata).send(server.authority()).unwrap();
        let page = Browser::default().visit(&authorize);
        let form = [
            ("grant_type", "authorization_code"),
            ("client_id", &client.id),
            ("code", "mcp_ac_x"),
            ("code_verifier", STATE),
        ];
        let token = Request::post_form("/token", &form).send(server.authority()).unwrap();
        let call =
            Request::post_json("/mcp", &json!({})).bearer("mcp_at_x").send(server.authority()).unwrap();
        for (answer, fine) in [(register, 201), (page, 200), (token, 400), (call, 401)] {
            assert!(answer.status == fine || answer.status == 429, "{answer:?}");
        }
    };
    (0..100).for_each(|_| round());
    let (stored, resident) = (server.stored(), server.resident_kib());
    (0..500).for_each(|_| round());
    assert_eq!(server.stored(), stored);
    let grown = server.resident_kib().saturating_sub(resident);
    assert!(grown < 1024, "2,000 requests of strangers left {grown} KiB behind");
}

/// H2, CVE-2026-66752: nothing is allocated for an announced length, and two lengths are refused.
#[test]
fn a_claimed_length_costs_nothing() {
    let server = Server::start(&FakeGitHub::start());
    let raw = |fields: &str| {
        let mut stream = TcpStream::connect(server.authority()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let head = format!("POST /token HTTP/1.1\r\nHost: {}\r\n{fields}\r\n", server.authority());
        stream.write_all(head.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.to_lowercase().contains("connection: close"), "{answer}");
        answer.split(' ').nth(1).unwrap().to_owned()
    };
    let before = server.resident_kib();
    assert_eq!(raw("Content-Length: 4611686018427387904\r\n"), "413");
    assert_eq!(raw("Content-Length: 1000000000\r\n"), "413");
    assert_eq!(raw("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"), "400");
    assert_eq!(raw("Transfer-Encoding: identity\r\n"), "400");
    assert!(server.resident_kib() < before + 2048);
    Request::get("/.well-known/oauth-authorization-server").send(server.authority()).unwrap().expect(200);
}

/// Opens a connection and sends the head of a POST, with only the part `sent` of its body.
fn unfinished(server: &Server, length: usize, sent: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(server.authority()).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let head = format!(
        "POST /mcp HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n",
        server.authority()
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(sent).unwrap();
    stream
}

/// H2: behind a proxy that forwards them, truncated bodies leave no descriptor behind.
#[test]
fn cut_off_bodies_are_not_kept_by_the_trusted_door() {
    let server = Server::behind_proxy(&FakeGitHub::start());
    let before = server.descriptors();
    for length in [5000, 9_000_000, 60_000_000] {
        (0..30).for_each(|_| drop(unfinished(&server, length, b"x")));
        let mut chunked = TcpStream::connect(server.authority()).unwrap();
        let head = format!(
            "POST /mcp HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n",
            server.authority()
        );
        chunked.write_all((head + "\r\n1\r\nx\r\n").as_bytes()).unwrap();
    }
    let deadline = crate::support::instant() + PATIENCE;
    while server.descriptors() > before + 20 {
        assert!(crate::support::instant() < deadline, "{} of {before}", server.descriptors());
        Request::get("/healthz").send(server.authority()).unwrap().expect(200);
    }
}

/// H6: tiny_http stops accepting when it has no descriptor left. The server does not stop with it, and the operator's socket
/// is opened again.
#[test]
fn the_operators_socket_survives_a_lack_of_descriptors() {
    let server = Server::start(&FakeGitHub::start());
    let limit = server.descriptors() + 3;
    server.limit_descriptors(limit);
    let connect = || UnixStream::connect(server.state_dir().join("operator.sock")).unwrap();
    let crowd: Vec<_> = (0..6).map(|_| connect()).collect();
    server.wait_for_log("tiny.accept_ended");
    server.limit_descriptors(limit + 50);
    drop(crowd);
    let answer = Request::get("/readyz").over(connect(), "operator").unwrap().finish().unwrap();
    assert_eq!(answer.status, 200);
    Request::get("/healthz").send(server.authority()).unwrap().expect(200);
}

/// H6: the door for a proxy is opened again as well.
#[test]
fn the_public_door_survives_a_moment_without_descriptors() {
    let server = Server::behind_proxy(&FakeGitHub::start());
    let limit = server.descriptors() + 3;
    server.limit_descriptors(limit);
    let crowd: Vec<_> = (0..6).map(|_| TcpStream::connect(server.authority()).unwrap()).collect();
    server.wait_for_log("tiny.accept_ended");
    server.limit_descriptors(limit + 50);
    // tiny_http may leave one of a burst waiting until others end, as `tiny` says, so the silent ones end first.
    drop(crowd);
    Request::get("/healthz").send(server.authority()).unwrap().expect(200);
}

/// H6: if no descriptors are released, the server ends with an error, and its service manager starts another.
#[test]
fn a_server_whose_public_door_has_closed_ends() {
    let mut server = Server::behind_proxy(&FakeGitHub::start());
    server.limit_descriptors(server.descriptors() + 3);
    let crowd: Vec<_> = (0..6).map(|_| TcpStream::connect(server.authority()).unwrap()).collect();
    assert_eq!(server.wait_for_end().code(), Some(2));
    assert!(server.log().contains("no connections could be accepted any more at MCP_BEHIND_PROXY"));
    drop(crowd);
}

/// H6: a third more silent connections than docs/deploy lets a proxy open fit into the descriptors that a start requires.
#[test]
fn silent_connections_of_a_proxy_leave_descriptors() {
    let server = Server::behind_proxy(&FakeGitHub::start());
    server.limit_descriptors(896);
    // Not in a burst: if connections wait for tiny_http and none brings a request, it is considered to have stopped.
    let mut crowd = Vec::new();
    while crowd.len() < 420 {
        crowd.push(TcpStream::connect(server.authority()).unwrap());
        let deadline = crate::support::instant() + PATIENCE;
        while server.descriptors() < 2 * crowd.len() {
            assert!(crate::support::instant() < deadline, "{}", server.descriptors());
            std::thread::yield_now();
        }
    }
    Request::get("/healthz").send(server.authority()).unwrap().expect(200);
    assert!(!server.log().contains("tiny.accept_ended"));
}

/// M2: another site in the person's browser, or a name that was rebound to this address, gets no access.
#[test]
fn other_hosts_and_origins_are_refused() {
    let server = Server::start(&FakeGitHub::start());
    let (_, tokens) = server.login();
    let session = server.session(&tokens.access);
    let list = in_session(&json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list"}), &session)
        .bearer(&tokens.access);
    for origin in ["https://evil.example.com", "null"] {
        list.clone().with("Origin", origin).send(server.authority()).unwrap().expect(403);
    }
    list.clone().with("Origin", &server.url("")).send(server.authority()).unwrap().expect(200);
    let rebound = TcpStream::connect(server.authority()).unwrap();
    assert_eq!(list.over(rebound, "evil.example.com").unwrap().head().status, 421);
}

/// O15: the server's URLs follow from its configuration alone.
#[test]
fn forwarded_fields_change_nothing() {
    let server = Server::start(&FakeGitHub::start());
    let request = Request::get("/.well-known/oauth-authorization-server")
        .with("X-Forwarded-Host", "evil.example.com")
        .with("X-Forwarded-Proto", "https")
        .with("Forwarded", "host=evil.example.com");
    let answer = request.send(server.authority()).unwrap().expect(200);
    assert_eq!(answer.json()["issuer"], server.url(""));
}

/// A2: health is one word, the same for every User-Agent, and no spelling of its path opens another.
#[test]
fn health_answers_are_constant_and_open_no_other_path() {
    let server = Server::start(&FakeGitHub::start());
    let ask = |path: &str, agent: &str| {
        Request::get(path).with("User-Agent", agent).send(server.authority()).unwrap()
    };
    let plain = ask("/healthz", "x").expect(200).text().to_owned();
    for agent in ["kube-probe/1.30", "GoogleHC/1.0", "curl/8"] {
        assert_eq!(ask("/healthz", agent).expect(200).text(), plain);
        ask("/mcp", agent).expect(401);
    }
    assert!(plain.len() < 8, "{plain}");
    for path in ["/healthz/", "/healthz/../mcp", "/healthz;/mcp", "//healthz"] {
        ask(path, "kube-probe/1.30").expect(404);
    }
    ask("/mcp?/healthz", "kube-probe/1.30").expect(401);
    let probe = |head: &str| {
        let mut stream = TcpStream::connect(server.authority()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(head.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer[..12].to_owned()
    };
    for head in ["HTTP/1.0\r\n", "HTTP/1.1\r\nConnection: close\r\nHost: 10.42.0.17:3001\r\n"] {
        assert_eq!(probe(&format!("GET /healthz {head}\r\n")), "HTTP/1.1 200");
        assert_eq!(probe(&format!("HEAD /readyz {head}\r\n")), "HTTP/1.1 200");
        assert_eq!(probe(&format!("GET / {head}\r\n")), "HTTP/1.1 421");
    }
}

/// H8: one spelling per path, except for a slash at the end of the endpoint.
#[test]
fn only_the_canonical_path_is_served() {
    let server = Server::start(&FakeGitHub::start());
    Request::get("/mcp/").send(server.authority()).unwrap().expect(401);
    for path in ["/mcp//", "//mcp", "/MCP", "/%6dcp", "/./mcp", "/mcp;x", "/mcp%2F"] {
        Request::get(path).send(server.authority()).unwrap().expect(404);
    }
}
