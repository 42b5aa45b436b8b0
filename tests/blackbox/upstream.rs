//! The bridge to a server over HTTP from its users' view: the real binary in front of a small upstream, a login, both eras.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use crate::support::github::FakeGitHub;
use crate::support::http::PATIENCE;
use crate::support::instant;
use crate::support::server::Server;
use crate::support::walk::{in_session, modern, reply};

/// An MCP server of 2025-11-25 with one tool, which answers 401 if called `guarded`. Records the heads of all requests.
struct Upstream {
    url: String,
    heads: Arc<Mutex<Vec<String>>>,
}

impl Upstream {
    fn start() -> Upstream {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/mcp", listener.local_addr().unwrap());
        let heads: Arc<Mutex<Vec<String>>> = Arc::default();
        let all = Arc::clone(&heads);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (stream, all) = (stream.unwrap(), Arc::clone(&all));
                std::thread::spawn(move || serve(stream, &all));
            }
        });
        Upstream { url, heads }
    }

    /// The heads of requests with this method.
    fn heads(&self, method: &str) -> Vec<String> {
        self.heads.lock().unwrap().iter().filter(|head| head.starts_with(method)).cloned().collect()
    }
}

fn serve(mut stream: TcpStream, all: &Mutex<Vec<String>>) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") && reader.read_line(&mut head).unwrap_or_default() > 0 {}
    if head.is_empty() {
        return; // the connection ended with the server
    }
    let head = head.to_ascii_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    let mut body = vec![0; length.map_or(0, |length| length.parse().unwrap())];
    reader.read_exact(&mut body).unwrap();
    all.lock().unwrap().push(head);
    let message: Value = serde_json::from_slice(&body).unwrap_or_default();
    let result = match message["method"].as_str() {
        Some("initialize") => {
            json!({ "protocolVersion": "2025-11-25", "capabilities": { "tools": {} }, "serverInfo": { "name": "up", "version": "1" } })
        }
        Some("tools/call") if message["params"]["name"] == "guarded" => {
            return write(&mut stream, "401 Unauthorized\r\nWWW-Authenticate: Bearer realm=\"canary\"", "");
        }
        Some("tools/call") => json!({ "content": [], "structuredContent": message["params"]["arguments"] }),
        Some(_) => return write(&mut stream, "202 Accepted", ""),
        None => return write(&mut stream, "405 Method Not Allowed", ""),
    };
    let answer = json!({ "jsonrpc": "2.0", "id": message["id"], "result": result }).to_string();
    let head = "200 OK\r\nContent-Type: application/json\r\nMcp-Session-Id: s-1\r\nSet-Cookie: canary=1";
    write(&mut stream, head, &answer);
}

fn write(stream: &mut TcpStream, head: &str, body: &str) {
    let length = body.len();
    // A stopping server does not wait for it.
    let _ = write!(stream, "HTTP/1.1 {head}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}");
}

/// M5: an upstream gets the operator's headers, and nothing of the client's or ours.
#[test]
fn an_upstream_is_served_to_both_eras() {
    let (github, upstream) = (FakeGitHub::start(), Upstream::start());
    let arguments =
        ["--upstream", &upstream.url, "--header", "X-User: ${user.login}", "--header=X-Key: ${env.KEY}"];
    let mut server =
        Server::start_command(&github, &arguments, &[("KEY", "k1"), ("HTTP_PROXY", "http://127.0.0.1:1")]);
    let (_, tokens) = server.login();
    let session = server.session(&tokens.access);
    let params = json!({ "name": "echo", "arguments": { "n": 18_446_744_073_709_551_615_u64 } });
    let legacy = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params });
    for request in [in_session(&legacy, &session), modern("tools/call", params.clone())] {
        let request = request.with("Cookie", "canary=2").with("X-Client", "canary").bearer(&tokens.access);
        let answer = reply(&request.send(server.authority()).unwrap());
        assert_eq!(answer["result"]["structuredContent"], params["arguments"], "{answer}");
    }
    assert!(server.stop().success());
    let all = upstream.heads("");
    assert!(all.iter().all(|head| head.contains("x-user: octocat\r\nx-key: k1\r\n")), "{all:?}");
    for unwanted in ["canary", "cookie", "authorization", "x-client", &tokens.access.to_ascii_lowercase()] {
        assert!(all.iter().all(|head| !head.contains(unwanted)), "{unwanted}: {all:?}");
    }
    let deadline = instant() + PATIENCE;
    // One was started for each era of the client; the upstream supports one.
    while upstream.heads("delete").len() != 2 {
        assert!(instant() < deadline, "the sessions are ended");
    }
}

/// An upstream's 401 is about the operator's credentials, not about the client's token.
#[test]
fn an_upstreams_401_is_not_passed_to_the_client_as_a_challenge() {
    let (github, upstream) = (FakeGitHub::start(), Upstream::start());
    let server = Server::start_command(&github, &[], &[("MCP_UPSTREAM", &upstream.url)]);
    let (_, tokens) = server.login();
    let request = modern("tools/call", json!({ "name": "guarded", "arguments": {} })).bearer(&tokens.access);
    let answer = request.send(server.authority()).unwrap().expect(200);
    assert_eq!(answer.field("www-authenticate"), None);
    let message = reply(&answer)["error"]["message"].clone();
    assert!(message.as_str().unwrap().contains("wants other credentials"), "{message}");
    assert!(!answer.text().contains("canary"));
    server.wait_for_log("upstream.failed");
}

/// The quickstart: no account, no configuration.
#[test]
fn the_demo_serves_an_upstream() {
    let upstream = Upstream::start();
    let server = Server::demo_with(&["--upstream", &upstream.url]);
    let tokens = server.login_at_demo();
    let request = modern("tools/call", json!({ "name": "echo", "arguments": { "a": 1.10 } }));
    let answer = reply(&request.bearer(&tokens.access).send(server.authority()).unwrap());
    assert_eq!(answer["result"]["structuredContent"]["a"], 1.10, "{answer}");
}

/// P3: an upstream that refuses everything does not fill the log. The lines that are left out are counted.
#[test]
fn failures_of_an_upstream_are_logged_at_a_limited_rate() {
    let (github, upstream) = (FakeGitHub::start(), Upstream::start());
    let server = Server::start_command(&github, &[], &[("MCP_UPSTREAM", &upstream.url)]);
    let (_, tokens) = server.login();
    let fail = || {
        let call = modern("tools/call", json!({ "name": "guarded", "arguments": {} })).bearer(&tokens.access);
        call.send(server.authority()).unwrap().expect(200);
    };
    let begun = instant();
    let mut calls = 0;
    while !server.log().contains("omitted=") {
        assert!(instant() < begun + PATIENCE, "a later line has the number of those before it");
        fail();
        calls += 1;
    }
    let lines = server.log().lines().filter(|line| line.contains("upstream.failed")).count();
    let seconds = begun.elapsed().as_secs() + 1;
    assert!(lines as u64 <= seconds + 1 && lines < calls, "{lines} lines about {calls} calls in {seconds} s");
}
