//! Upstreams on loopback, well-behaved and misbehaving.

use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crossbeam_channel::{Receiver as Channel, Sender as Sending, unbounded};
use serde_json::{Value, json};

use super::*;
use crate::base::fake::principal;
use crate::bridge::fake::{outgoing, text};
use crate::bridge::template::Variables;
use crate::bridge::upstream::UpstreamUrl;
use crate::trust::Trust;
use fake_upstream::{FakeUpstream, SOON, Seen, answer, answer_events, answer_json, wait_for_end};

mod era;
mod fake_upstream;
mod interests;
mod queue;
mod standing_stream;

struct Recorder {
    told: Sending<Value>,
    failed: Sending<String>,
    ended: Sending<String>,
    /// Whether the session has been idle for too long.
    is_idle: Arc<AtomicBool>,
}

impl Receiver for Recorder {
    fn receive(&self, text: &str) -> bool {
        assert!(!text.contains("notifications/panic"), "a thread of the session panics");
        let message = serde_json::from_str(text).ok();
        message.is_some_and(|message: Value| self.told.send(message).is_ok())
    }

    fn patience(&self) -> std::time::Duration {
        if self.is_idle.load(Ordering::SeqCst) { std::time::Duration::ZERO } else { SOON }
    }

    fn ending(&self) {}

    fn failed(&self, why: &str) {
        let _ = self.failed.send(why.to_owned()); // fails after the end of a test
    }

    fn renewed(&self) {
        let _ = self.told.send(json!("renewed")); // fails after the end of a test
    }

    fn ended(&self, ending: &str) {
        let _ = self.ended.send(ending.to_owned()); // fails after the end of a test
    }
}

struct Client {
    http: Arc<dyn Transport>,
    told: Channel<Value>,
    failed: Channel<String>,
    ended: Channel<String>,
    is_idle: Arc<AtomicBool>,
}

impl Client {
    fn of(upstream: &FakeUpstream) -> Client {
        Client::with(&upstream.url, &[])
    }

    fn with(url: &str, headers: &[&str]) -> Client {
        let url = UpstreamUrl::parse(url).unwrap();
        let variables: Variables = [("KEY".to_owned(), "k1".to_owned())].into();
        let header = |text: &&str| {
            let (name, value) = text.split_once(':').unwrap();
            url.header(name, value, &variables).unwrap()
        };
        let headers = headers.iter().map(header);
        let upstream = Upstream::new(
            Arc::from(url.authority()),
            url.clone(),
            headers.collect(),
            Trust::load(None).unwrap(),
        );
        let ((told, hears), (fails, failed), (ends, ended)) = (unbounded(), unbounded(), unbounded());
        let is_idle = Arc::<AtomicBool>::default();
        let receiver = Arc::new(Recorder { told, failed: fails, ended: ends, is_idle: Arc::clone(&is_idle) });
        let http = UpstreamLauncher(Arc::new(upstream)).launch(&principal(7), receiver).unwrap();
        Client { http, told: hears, failed, ended, is_idle }
    }

    fn send(&self, message: &Value) {
        self.http.send(outgoing(message)).unwrap();
    }

    fn next(&self) -> Value {
        self.told.recv_timeout(SOON).expect("the upstream says something")
    }

    /// Sends a request and returns its answer.
    fn ask(&self, id: u64, method: &str, params: Value) -> Value {
        self.send(&json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params }));
        loop {
            let message = self.next();
            if message["id"] == id {
                return message;
            }
        }
    }

    fn initialize(&self) {
        assert!(self.ask(1, "initialize", json!({}))["result"].is_object());
        self.send(&json!({ "jsonrpc": "2.0", "method": "notifications/initialized" }));
    }

    /// The error text of a call.
    fn failure(&self, id: u64, tool: &str) -> String {
        let answer = self.ask(id, "tools/call", json!({ "name": tool }));
        answer["error"]["message"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned()
    }

    fn end(&self) {
        self.http.end();
        assert_eq!(self.ended.recv_timeout(SOON).expect("it ends"), SESSION_ENDED);
    }
}

/// Answers the requests that every upstream with sessions supports: `initialize`, notifications, DELETE; `false` for others.
fn served(seen: &Seen, session: &str, stream: &mut TcpStream) -> bool {
    let id = &seen.body["id"];
    match seen.what() {
        "initialize" => {
            let result = json!({ "jsonrpc": "2.0", "id": id, "result": { "protocolVersion": "2025-11-25", "capabilities": {} } });
            let head = format!(
                "200 OK\nContent-Type: application/json\nMcp-Session-Id: {session}\nSet-Cookie: c=canary"
            );
            answer(stream, &head, &result.to_string());
        }
        "DELETE" => answer(stream, "204 No Content", ""),
        "GET" if seen.header("last-event-id").is_empty() => answer(stream, "405 Method Not Allowed", ""),
        method if method.starts_with("notifications/") => answer(stream, "202 Accepted", ""),
        _ => return false,
    }
    true
}

fn result(seen: &Seen) -> Value {
    json!({ "jsonrpc": "2.0", "id": seen.body["id"], "result": {} })
}

fn event(message: &Value) -> String {
    format!("event: message\ndata: {message}\n\n")
}

#[test]
fn a_session_is_begun_used_and_ended() {
    let upstream = FakeUpstream::start(|seen, stream| {
        if !served(seen, "s-1", stream) {
            let progress = json!({ "jsonrpc": "2.0", "method": "notifications/progress", "params": {} });
            answer_events(stream, &format!(": hello\r\n\r\n{}{}", event(&progress), event(&result(seen))));
        }
    });
    let client = Client::of(&upstream);
    client.initialize();
    client.send(&json!({ "jsonrpc": "2.0", "id": 2, "method": "tools/list" }));
    assert_eq!(client.next()["method"], "notifications/progress");
    assert_eq!(client.next()["id"], 2);
    upstream.wait_for("GET", 1);
    client.end();
    upstream.wait_for("DELETE", 1);
    let seen = upstream.seen();
    let order: Vec<&str> = seen.iter().map(Seen::what).filter(|what| *what != "GET").collect();
    assert_eq!(order, ["initialize", "notifications/initialized", "tools/list", "DELETE"]);
    assert_eq!(seen[0].header("mcp-session-id"), "");
    assert_eq!(seen[0].header("accept"), "application/json, text/event-stream");
    for later in &seen[1..] {
        assert_eq!(
            (later.header("mcp-session-id"), later.header("mcp-protocol-version")),
            ("s-1", "2025-11-25")
        );
        assert_eq!((later.header("cookie"), later.header("authorization")), ("", ""), "{later:?}");
        assert_eq!(later.header("accept-encoding"), "identity");
    }
}

/// M5: the operator's headers, filled in for the person, and no others.
#[test]
fn only_headers_configured_by_the_operator_are_sent() {
    let upstream = FakeUpstream::start(|seen, stream| answer_json(stream, &result(seen)));
    let client = Client::with(
        &upstream.url,
        &["Authorization: Bearer ${env.KEY}", "X-User: ${user.login}/${user.id}"],
    );
    client.initialize();
    let seen = upstream.wait_for("initialize", 1);
    assert_eq!((seen.header("authorization"), seen.header("x-user")), ("Bearer k1", "user7/7"));
    // A token that is not kept makes the call fail, instead of being left out.
    let client = Client::with(&upstream.url, &["X-Token: ${github.token}"]);
    let told = client.ask(1, "initialize", json!({}));
    assert!(told["error"]["message"].as_str().unwrap().contains("no good one: log in again"), "{told}");
    assert_eq!(upstream.seen().iter().filter(|seen| seen.what() == "initialize").count(), 1);
}

/// A lost session is replaced once, and the message sent again, for status 404 and for 400, which some upstreams send.
#[test]
fn a_lost_session_is_renewed() {
    for status in ["404 Not Found", "400 Bad Request"] {
        static SESSIONS: AtomicUsize = AtomicUsize::new(0);
        SESSIONS.store(0, Ordering::SeqCst);
        let upstream = FakeUpstream::start(move |seen, stream| {
            let is_new = seen.what() == "initialize";
            let session = SESSIONS.fetch_add(usize::from(is_new), Ordering::SeqCst) + usize::from(is_new);
            if served(seen, &format!("s-{session}"), stream) {
                return;
            }
            match seen.header("mcp-session-id") {
                "s-2" if seen.body["params"]["name"] != "lose" => answer_json(stream, &result(seen)),
                _ => answer(
                    stream,
                    status,
                    r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32000,"message":"No session"}}"#,
                ),
            }
        });
        let client = Client::of(&upstream);
        client.initialize();
        client.send(&json!({ "jsonrpc": "2.0", "id": 2, "method": "tools/list" }));
        let told: Vec<Value> = (0..3).map(|_| client.next()).collect();
        assert_eq!(told[0]["result"]["protocolVersion"], "2025-11-25", "dropped by the peer: {told:?}");
        assert_eq!(told[1], "renewed");
        assert_eq!((&told[2]["id"], told[2]["result"].is_object()), (&json!(2), true));
        upstream.wait_for("notifications/initialized", 2);
        let deleted = upstream.wait_for("DELETE", 1);
        assert_eq!(deleted.header("mcp-session-id"), "s-1", "it may live on after a status 400");
        assert!(client.failure(3, "lose").contains("refuses the request in a new one as well"));
        client.end();
    }
}

#[test]
fn a_stream_that_breaks_off_is_taken_up_again() {
    let upstream = FakeUpstream::start(|seen, stream| match (seen.what(), seen.header("last-event-id")) {
        ("tools/call", _) => answer_events(stream, "id: e-1\nretry: 1\ndata:\n\n"),
        (_, "e-1") => answer_events(stream, "id: e-2\nretry: 1\n\n"),
        (_, "e-2") => answer_events(stream, &event(&json!({ "jsonrpc": "2.0", "id": 2, "result": {} }))),
        _ => assert!(served(seen, "s-1", stream)),
    });
    let client = Client::of(&upstream);
    client.initialize();
    assert!(client.ask(2, "tools/call", json!({}))["result"].is_object());
    assert_eq!(upstream.seen().iter().filter(|seen| seen.what() == "tools/call").count(), 1);
}

/// A misbehaving upstream costs the call that met it, with an error text of ours.
#[test]
fn upstream_failures_are_described_in_our_own_words() {
    let upstream = FakeUpstream::start(|seen, stream| {
        let other = json!({ "jsonrpc": "2.0", "id": 9999, "result": {} });
        match seen.body["params"]["name"].as_str().unwrap_or_default() {
            "401" => answer(stream, "401 Unauthorized\nWWW-Authenticate: Bearer realm=canary", ""),
            "403" => answer(stream, "403 Forbidden\nContent-Type: text/html", "<b>canary</b>"),
            "404" => answer(stream, "404 Not Found", ""),
            "502" => answer(stream, "502 Bad Gateway\nContent-Type: text/html", "<html>canary</html>"),
            "message" => answer(stream, "400 Bad Request", r#"{"error":{"message":"what it says"}}"#),
            "members" => {
                let members: String =
                    (0..limits::MEMBERS).map(|number| format!(r#""{number}":0,"#)).collect();
                let body = format!(r#"{{{members}"error":{{"message":"canary"}}}}"#);
                answer(stream, "400 Bad Request", &body);
            }
            "redirect" => answer(stream, "307 Temporary Redirect\nLocation: /elsewhere", ""),
            "html" => answer(stream, "200 OK\nContent-Type: text/html", "<html>canary</html>"),
            "accepted" => answer(stream, "202 Accepted", ""),
            "gzip" => {
                answer(stream, "200 OK\nContent-Type: application/json\nContent-Encoding: gzip", "canary")
            }
            "large" => answer_json(stream, &json!("x".repeat(limits::bridge::LINE_BYTES))),
            "large event" => {
                answer_events(stream, &format!("data: {}\n\n", "x".repeat(limits::bridge::LINE_BYTES)))
            }
            "long head" => answer(stream, &format!("200 OK\nX: {}", "x".repeat(64 * 1024)), ""),
            "utf-8" => {
                answer(stream, "200 OK\nContent-Type: application/json", "");
                let _ = std::io::Write::write_all(stream, b"\"\xff\""); // fails when interrupted
            }
            "other" => answer_json(stream, &other),
            "broken" => answer_events(stream, &event(&other)),
            "resumed" => answer_events(stream, "id: 1\nretry: 1\n\n"),
            _ if seen.what() == "GET" => answer(stream, "503 Service Unavailable", ""),
            "short" => answer(stream, "200 OK\nContent-Type: application/json\nContent-Length: 999", "{}"),
            "drop" => {}
            _ => answer_json(stream, &result(seen)),
        }
    });
    let client = Client::of(&upstream);
    client.initialize();
    let table = [
        ("401", "wants other credentials: the operator has to set them with --header (status 401)"),
        ("403", "refused the request (status 403)"),
        ("404", "no MCP server at its URL (status 404)"),
        ("502", "it failed (status 502)"),
        ("message", "(status 400): what it says"),
        ("members", "(status 400)"),
        ("redirect", "which is not followed: the operator has to write the final URL (status 307)"),
        ("html", "\"text/html\", which is no JSON"),
        ("accepted", "\"\", which is no JSON"),
        ("gzip", "compressed"),
        ("large", "larger than 8 MiB"),
        ("large event", "larger than 8 MiB"),
        ("long head", "cannot be reached"),
        ("utf-8", "not UTF-8"),
        ("other", "is no answer to this request"),
        ("broken", "broke off"),
        ("resumed", "it failed (status 503)"),
        ("short", "broke off"),
        ("drop", "cannot be reached"),
    ];
    for (id, (tool, expected)) in (2..).zip(table) {
        let words = client.failure(id, tool);
        assert!(words.starts_with("The server \"127.0.0.1:"), "{tool}: {words}");
        assert!(words.contains(expected) && !words.contains("canary"), "{tool}: {words}");
    }
    assert_eq!(client.ask(99, "tools/call", json!({ "name": "fine" }))["result"], json!({}));
    assert_eq!(client.failed.try_iter().count(), table.len(), "the operator is told of each");
    let redirected = upstream.seen().iter().filter(|seen| seen.body["params"]["name"] == "redirect").count();
    assert_eq!(redirected, 1, "redirects are not followed");
}

/// A JSON-RPC error is the upstream's answer, with any status.
#[test]
fn a_json_rpc_error_is_forwarded_whatever_the_http_status() {
    let upstream = FakeUpstream::start(|seen, stream| {
        let error = json!({ "jsonrpc": "2.0", "id": seen.body["id"], "error": { "code": -32601, "message": "no", "data": 1 } });
        answer(stream, "400 Bad Request\nContent-Type: application/json", &error.to_string());
    });
    let error = Client::of(&upstream).ask(1, "initialize", json!({}))["error"].clone();
    assert_eq!(error, json!({ "code": -32601, "message": "no", "data": 1 }));
}

#[test]
fn an_upstream_that_is_not_there_is_said_to_be() {
    let told = Client::with("http://127.0.0.1:1/mcp", &[]).ask(1, "initialize", json!({}));
    assert!(told["error"]["message"].as_str().unwrap().starts_with("it cannot be reached: "), "{told}");
}

/// An upstream that holds every call until its connection ends, and reports each end.
fn holding(agreed: bool) -> (FakeUpstream, Channel<()>) {
    let (ends, ended) = unbounded();
    let upstream = FakeUpstream::start(move |seen, stream| {
        if !agreed || !served(seen, "s-1", stream) {
            answer_events(stream, ": wait\n\n");
            wait_for_end(stream);
            let _ = ends.send(()); // fails after the end of a test
        }
    });
    (upstream, ended)
}

fn cancel(id: u64) -> Value {
    json!({ "jsonrpc": "2.0", "method": "notifications/cancelled", "params": { "requestId": id } })
}

#[test]
fn a_cancelled_call_is_told_and_its_stream_closed() {
    let (upstream, ended) = holding(true);
    let client = Client::of(&upstream);
    client.initialize();
    client.send(&json!({ "jsonrpc": "2.0", "id": 2, "method": "tools/call" }));
    upstream.wait_for("tools/call", 1);
    client.send(&cancel(2));
    upstream.wait_for("notifications/cancelled", 1);
    ended.recv_timeout(SOON).expect("the stream ends");
    client.end();
    assert!(client.told.try_iter().next().is_none(), "nobody waits for the answer");
}

/// In 2026-07-28 the end of the stream cancels the request, and headers mirror the body.
#[test]
fn a_modern_call_is_cancelled_by_its_stream() {
    let (upstream, ended) = holding(false);
    let client = Client::of(&upstream);
    let meta = json!({ "io.modelcontextprotocol/protocolVersion": "2026-07-28" });
    client.send(&json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": { "name": "grüße", "_meta": meta } }));
    let seen = upstream.wait_for("tools/call", 1);
    let headers =
        ["mcp-protocol-version", "mcp-method", "mcp-name", "mcp-session-id"].map(|name| seen.header(name));
    assert_eq!(headers, ["2026-07-28", "tools/call", "=?base64?Z3LDvMOfZQ==?=", ""]);
    client.send(&cancel(1));
    ended.recv_timeout(SOON).expect("the stream ends");
    client.end();
    assert_eq!(upstream.seen().len(), 1);
}

/// Ending does not wait for running requests.
#[test]
fn ending_the_session_interrupts_running_calls() {
    let (upstream, ended) = holding(true);
    let client = Client::of(&upstream);
    client.initialize();
    client.send(&json!({ "jsonrpc": "2.0", "id": 2, "method": "tools/call" }));
    upstream.wait_for("tools/call", 1);
    client.end();
    ended.recv_timeout(SOON).expect("the stream ends");
    upstream.wait_for("DELETE", 1);
    assert_eq!(client.http.send(text("{}")), Err(Undelivered::Ended));
}

/// A client of an upstream that accepts no answer.
fn stuck() -> (FakeUpstream, Client) {
    let upstream = FakeUpstream::start(|seen, stream| match seen.what() {
        "POST" => wait_for_end(stream),
        _ => assert!(served(seen, "s-1", stream)),
    });
    let client = Client::of(&upstream);
    client.initialize();
    upstream.wait_for("GET", 1);
    (upstream, client)
}

/// Answers to an upstream that asks without end leave room in the queue for calls.
#[test]
fn answers_that_wait_are_bounded() {
    let (_upstream, client) = stuck();
    let sent = (0..limits::bridge::MESSAGES).take_while(|_| client.http.send(text("{}")).is_ok()).count();
    assert!((1..=limits::bridge::PASSED.0 + 1).contains(&sent), "{sent}"); // one may be in transit
    client.send(&json!({ "jsonrpc": "2.0", "id": 2, "method": "tools/call" }));
    client.end();
}

#[test]
fn a_thread_that_panics_ends_its_session() {
    let panic = json!({ "jsonrpc": "2.0", "method": "notifications/panic" });
    let upstream = FakeUpstream::start(move |_, stream| answer_events(stream, &event(&panic)));
    let client = Client::of(&upstream);
    client.send(&json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call" }));
    assert_eq!(client.ended.recv_timeout(SOON).expect("it ends"), SESSION_ENDED);
}
