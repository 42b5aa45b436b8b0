//! The operator's tools: the log, the metrics, certificates.

use std::fs;
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use serde_json::{Value, json};

use crate::support::browser::Browser;
use crate::support::github::FakeGitHub;
use crate::support::http::{Answer, PATIENCE, Request};
use crate::support::server::{Server, free_address, sample, temporary_directory};
use crate::support::walk::mcp;

/// L1, L2: person, event, time and address, for each request; and nothing of its content.
#[test]
fn each_request_is_one_line_of_the_log() {
    let server = Server::start_with(&FakeGitHub::start(), &[("MCP_LOG_FORMAT", "json")]);
    let (client, tokens) = server.login();
    server.session(&tokens.access);
    let stray = format!("/no/such/\u{1b}[31m{}?canary=query", "x".repeat(1000));
    Request::get(&stray).send(server.authority()).unwrap().expect(400); // control characters are not even parsed
    let stray = format!("/no/such/%1B\"{}?canary=query", "x".repeat(1000));
    Request::get(&stray).send(server.authority()).unwrap().expect(404);

    let log = server.wait_for_log("\"status\":404");
    let lines: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of = |event: &str| lines.iter().filter(|line| line["event"] == event).collect::<Vec<_>>();
    let requests = of("request");
    let by_route = |route: &str| requests.iter().filter(|line| line["route"] == route).count();
    assert_eq!(
        (by_route("authorize"), by_route("consent"), by_route("callback"), by_route("none")),
        (1, 1, 1, 1)
    );
    for line in &requests {
        assert!(line["peer"] == "127.0.0.1" && line["ms"].is_u64() && line["method"].is_string(), "{line}");
    }
    let call = requests.iter().find(|line| line["route"] == "mcp" && line["status"] == 200).unwrap();
    let login = of("login.admitted")[0];
    for field in ["user", "client", "grant"] {
        assert_eq!((&call[field], call[field].is_string()), (&login[field], true), "{field}");
    }
    // The audit events of a login have the ids of its requests.
    for (event, route) in
        [("consent.given", "consent"), ("login.admitted", "callback"), ("token.issued", "token")]
    {
        let event = of(event)[0];
        let request = requests.iter().find(|line| line["request"] == event["request"]).unwrap();
        assert!(request["route"] == route && event["peer"] == "127.0.0.1", "{event} {request}");
    }
    let stray = requests.iter().find(|line| line["status"] == 404).unwrap();
    let path = stray["path"].as_str().unwrap();
    assert!(path.starts_with("/no/such/%1B\"xxx") && path.len() < 220, "{path}");
    assert_eq!(stray["reason"], "not_found");
    for canary in ["canary", &tokens.access, &tokens.refresh, &client.id] {
        assert!(!log.contains(canary), "{canary} is in the log:\n{log}");
    }
}

/// G3: the reference that a person can quote is in the operator's log.
#[test]
fn an_error_page_names_its_line_of_the_log() {
    let server = Server::start(&FakeGitHub::start());
    let page = Browser::default().visit(&server.url("/authorize?client_id=forged")).expect(400);
    let (_, rest) = page.text().split_once("Reference: ").unwrap();
    let reference = &rest[..12];
    let log = server.wait_for_log(reference);
    let line = log.lines().find(|line| line.contains(&format!("request={reference}"))).unwrap();
    assert!(line.contains("route=authorize status=400") && line.contains("reason=unknown_client"), "{line}");
}

/// H10: the proxy's forwarding field is trusted, that of the proxy's client is not.
#[test]
fn behind_a_trusted_proxy_the_log_has_the_clients_address() {
    for (trusted, peer) in [("127.0.0.1", "198.51.100.7"), ("10.0.0.0/8", "127.0.0.1")] {
        let server = Server::start_with(&FakeGitHub::start(), &[("MCP_TRUSTED_PROXY", trusted)]);
        let request = Request::get("/").with("X-Forwarded-For", "203.0.113.9, 198.51.100.7");
        request.send(server.authority()).unwrap().expect(200);
        let log = server.wait_for_log("route=home");
        assert!(
            log.lines().any(|line| line.contains("route=home") && line.ends_with(&format!("peer={peer}"))),
            "{log}"
        );
    }
}

/// H10: everybody behind an unconfigured proxy is one sender, and the log says so once, with the option; behind a configured
/// one each client is.
#[test]
fn clients_of_an_unnamed_proxy_are_one_sender_and_this_is_logged() {
    let fail = |server: &Server, client: usize| {
        let request = Request::post_form("/token", &[("grant_type", "x")]);
        let request = request.with("X-Forwarded-For", &format!("198.51.100.{client}"));
        request.send(server.authority()).unwrap().status
    };
    let most = 60; // `limits::TOKEN_FAILURES`
    let server = Server::start(&FakeGitHub::start());
    let start = crate::support::instant();
    let answers: Vec<u16> = (0..most + 5).map(|client| fail(&server, client)).collect();
    let renewed = usize::try_from(start.elapsed().as_secs() / 10).unwrap(); // the limit is for ten minutes
    assert!(answers[..most].iter().all(|&status| status == 401), "{answers:?}");
    let refused = answers[most..].iter().filter(|&&status| status == 429).count();
    assert!(refused > 0 && refused + renewed >= 5, "{answers:?}, {renewed} renewed");
    let log = server.wait_for_log("proxy.not_trusted addr=127.0.0.1");
    assert!(log.contains("MCP_TRUSTED_PROXY") && log.matches("proxy.not_trusted").count() == 1, "{log}");

    let server = Server::start_with(&FakeGitHub::start(), &[("MCP_TRUSTED_PROXY", "127.0.0.1")]);
    assert!((0..most + 5).all(|client| fail(&server, client) == 401));
    assert!(!server.log().contains("proxy.not_trusted"), "{}", server.log());
}

/// H6: a connection beyond a limit leaves a line that names the limit, and not one line each.
#[test]
fn a_full_door_says_so_in_the_log_once() {
    let server = Server::start(&FakeGitHub::start());
    let most = 512; // `limits::CONNECTIONS`
    let open: Vec<_> = (0..most + 100).map(|_| TcpStream::connect(server.authority()).unwrap()).collect();
    let log = server.wait_for_log(&format!("edge.connections_full reason=made_room count={most}"));
    drop(open);
    Request::get("/healthz").send(server.authority()).unwrap();
    assert!(log.matches("edge.connections_full").count() < 10, "{log}");
}

/// L2: strangers do not control the length of the log; the metrics count the omitted lines.
#[test]
fn a_flood_of_refusals_is_logged_in_few_lines() {
    let server = Server::start(&FakeGitHub::start());
    let rebound = || {
        let stream = TcpStream::connect(server.authority()).unwrap();
        Request::get("/mcp").over(stream, "evil.example").unwrap().finish().unwrap().expect(421);
    };
    let start = crate::support::instant();
    (0..400).for_each(|_| rebound());
    let seconds = usize::try_from(start.elapsed().as_secs()).unwrap() + 1;
    let hint = "set MCP_PUBLIC_URL if it is yours; proxies must pass on Host";
    server.wait_for_log(&format!("request.refused reason=host addr=evil.example hint=\"{hint}\""));
    let page = server.metrics();
    assert_eq!(sample(&page, "mcp_refusals_total{reason=\"host\"}"), 400);
    let log = server.log();
    assert!(log.matches("request.refused").count() <= seconds, "{log}");
    // A hundred at once, and a hundred in each second.
    assert!(log.matches(" request ").count() <= (seconds + 1) * 100 + seconds, "{log}");
}

/// A log without a reader stops nobody, and later reports the number of lost lines.
#[test]
fn a_stalled_log_stops_no_request() {
    let server = Server::start(&FakeGitHub::start());
    let tokens = server.login().1;
    let stalled = server.stall_log();
    for _ in 0..6000 {
        Request::get("/mcp").bearer(&tokens.access).send(server.authority()).unwrap().expect(400);
    }
    drop(stalled);
    server.wait_for_log("log.dropped count=");
}

#[test]
fn metrics_follow_logins_sessions_and_refusals() {
    let github = FakeGitHub::start();
    let address = free_address();
    let server = Server::start_with(&github, &[("MCP_METRICS_LISTEN", address.as_str())]);
    let before = server.metrics();
    assert_eq!((sample(&before, "mcp_grants"), sample(&before, "mcp_sessions")), (0, 0));
    let token = server.login().1.access;
    let ping = mcp(&json!({"jsonrpc": "2.0", "id": 1, "method": "ping"}));
    let ping = ping.with("Mcp-Session-Id", &server.session(&token));
    let ping = ping.with("MCP-Protocol-Version", "2025-11-25, 2025-11-25");
    ping.bearer(&token).send(server.authority()).unwrap().expect(200);
    Request::get("/mcp").send(server.authority()).unwrap().expect(401);
    let mut garbage = TcpStream::connect(server.authority()).unwrap();
    garbage.set_read_timeout(Some(PATIENCE)).unwrap();
    std::io::Write::write_all(&mut garbage, b"GET / HTTP/1.1\r\n\r\n").unwrap();
    std::io::Read::read_to_end(&mut garbage, &mut Vec::new()).unwrap();

    let page = server.metrics();
    assert_eq!(sample(&page, "mcp_grants"), 1);
    assert_eq!(sample(&page, "mcp_refusals_total{reason=\"no_token\"}"), 1);
    assert_eq!(sample(&page, "mcp_door_refusals_total{reason=\"malformed\"}"), 1);
    assert_eq!(sample(&page, "mcp_tolerated_total{kind=\"repeated_version\"}"), 1);
    assert_eq!(sample(&page, "mcp_requests_total{route=\"callback\",class=\"3xx\"}"), 1);
    assert!(sample(&page, "mcp_github_calls_total{outcome=\"ok\"}") >= 2);
    assert!(sample(&page, "mcp_workers") >= 4 && sample(&page, "process_resident_memory_bytes") > 1_000_000);

    let on_loopback = Request::get("/metrics").send(&address).unwrap().expect(200);
    assert_eq!(sample(on_loopback.text(), "mcp_grants"), 1);
    Request::get("/healthz").send(&address).unwrap().expect(404);
    // M2: not for pages whose host name was rebound to this address. A1: not for strangers at all.
    let rebound = TcpStream::connect(&address).unwrap();
    Request::get("/metrics").over(rebound, "rebound.example").unwrap().finish().unwrap().expect(421);
    Request::get("/metrics").send(server.authority()).unwrap().expect(404);
}

/// H1: any user of this machine reaches the port for metrics, so the strict parser is behind it: a request that announces a huge body is
/// refused and closed, and so is a head that is too long.
#[test]
fn the_port_for_metrics_has_the_limits_of_a_public_one() {
    let address = free_address();
    let server = Server::start_with(&FakeGitHub::start(), &[("MCP_METRICS_LISTEN", address.as_str())]);
    server.wait_for_log("info  serving");
    let giant = "GET /metrics HTTP/1.1\r\nHost: localhost\r\nContent-Length: 67108865\r\n\r\n".to_owned();
    let endless = format!("GET /metrics HTTP/1.1\r\nX: {}", "a".repeat(64 * 1024));
    for (bytes, status) in [(giant, "413"), (endless, "431")] {
        let mut line = TcpStream::connect(&address).unwrap();
        line.set_read_timeout(Some(PATIENCE)).unwrap();
        std::io::Write::write_all(&mut line, bytes.as_bytes()).unwrap();
        let mut answer = String::new();
        std::io::Read::read_to_string(&mut line, &mut answer).unwrap();
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
    }
    let _silent: Vec<_> = (0..40).map(|_| TcpStream::connect(&address).unwrap()).collect();
    Request::get("/metrics").send(&address).unwrap().expect(200);
}

/// `GET /` through TLS, by a client that trusts only this certificate.
fn home(server: &Server, certificate: &Path) -> std::io::Result<Answer> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(certificate).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = config.with_root_certificates(roots).with_no_client_auth();
    let name = ServerName::try_from("localhost").unwrap();
    let connection = ClientConnection::new(Arc::new(config), name).unwrap();
    let stream = TcpStream::connect(server.authority())?;
    stream.set_read_timeout(Some(PATIENCE))?;
    Request::get("/").over(StreamOwned::new(connection, stream), "mcp.example.com")?.finish()
}

/// A renewed certificate needs no restart: SIGHUP, or the periodic check.
#[test]
fn the_server_speaks_tls_and_takes_a_new_certificate() {
    let fixtures = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/tls"));
    let (first, second) = (fixtures.join("ecdsa.pem"), fixtures.join("rsa.pem"));
    let folder = temporary_directory();
    fs::create_dir_all(&folder).unwrap();
    let (cert, key) = (folder.join("cert.pem"), folder.join("key.pem"));
    let install = |name: &str| {
        fs::copy(fixtures.join(format!("{name}.pem")), &cert).unwrap();
        fs::copy(fixtures.join(format!("{name}.key")), &key).unwrap();
    };
    install("ecdsa");
    let server = Server::start_with(
        &FakeGitHub::start(),
        &[
            ("MCP_TLS_CERT", cert.to_str().unwrap()),
            ("MCP_TLS_KEY", key.to_str().unwrap()),
            ("MCP_PUBLIC_URL", "https://mcp.example.com"),
        ],
    );
    let answer = home(&server, &first).unwrap().expect(200);
    assert_eq!(answer.field("strict-transport-security"), Some("max-age=31536000"));
    home(&server, &second).unwrap_err();

    fs::write(&cert, "half a file").unwrap();
    server.signal("-HUP");
    server.wait_for_log("tls.not_reloaded");
    home(&server, &first).unwrap().expect(200);

    install("rsa");
    server.wait_for_log("tls.reloaded"); // by the periodic check
    home(&server, &second).unwrap().expect(200);
    home(&server, &first).unwrap_err();
    fs::remove_dir_all(&folder).unwrap();
}
