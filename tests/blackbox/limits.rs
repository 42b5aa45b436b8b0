//! The server's capacity, as set by the operator.

use std::process::Command;

use serde_json::json;

use crate::support::github::FakeGitHub;
use crate::support::http::{PATIENCE, Request};
use crate::support::server::{Server, temporary_directory};
use crate::support::walk::{in_session, modern, reply};

/// M17: fewer than the defaults, so that these numbers apply.
#[test]
fn configured_limits_are_enforced() {
    let limits = [("MCP_MAX_STREAMS_PER_USER", "3"), ("MCP_MAX_STREAMS", "2"), ("MCP_MAX_SESSIONS", "4")];
    let server = Server::start_with(&FakeGitHub::start(), &limits);
    let (_, tokens) = server.login();
    let stream = |session: &str| {
        let request =
            Request::get("/mcp").with("Accept", "text/event-stream").with("Mcp-Session-Id", session);
        request.bearer(&tokens.access).open(server.authority()).unwrap()
    };
    let sessions: Vec<String> = (0..4).map(|_| server.session(&tokens.access)).collect();
    assert_eq!(server.initialize(&tokens.access).status, 503);
    let open: Vec<_> = sessions.iter().take(2).map(|session| stream(session)).collect();
    assert!(open.iter().all(|reading| reading.head().status == 200));
    assert_eq!(stream(&sessions[2]).head().status, 503);
    let log = server.wait_for_log("edge.streams_full");
    assert!(log.contains("hint=\"raise MCP_MAX_STREAMS\""), "{log}");

    let limits = [("MCP_MAX_STREAMS_PER_USER", "1"), ("MCP_MAX_SESSIONS_PER_USER", "2")];
    let server = Server::start_with(&FakeGitHub::start(), &limits);
    let (_, tokens) = server.login();
    let read = |session: &str| {
        let request =
            Request::get("/mcp").with("Accept", "text/event-stream").with("Mcp-Session-Id", session);
        request.bearer(&tokens.access).open(server.authority()).unwrap()
    };
    let first = read(&server.session(&tokens.access));
    assert_eq!(first.head().status, 200);
    assert_eq!(read(&server.session(&tokens.access)).head().status, 429);
    server.session(&tokens.access);
    assert_eq!(first.messages().count(), 0, "the least recently used session has made room");
}

/// M17: a client that does not read the streams of its calls gets results without one at its user's limit, until it has read them.
#[test]
fn unread_streams_of_finished_calls_are_limited_per_user() {
    const ANSWERS: usize = 8 + 16 + 8;
    let github = FakeGitHub::start();
    let server = crate::bridge::bridge(&github, &[]);
    let (_, tokens) = server.login();
    let session = server.session(&tokens.access);
    let mut ids = 1..;
    let mut call = || {
        let params = json!({ "name": "long", "arguments": {}, "_meta": { "progressToken": "p" } });
        let call = json!({ "jsonrpc": "2.0", "id": ids.next(), "method": "tools/call", "params": params });
        in_session(&call, &session).bearer(&tokens.access).open(server.authority()).unwrap()
    };
    let unread: Vec<_> = (0..ANSWERS).map(|_| call()).collect();
    let further = reply(&call().finish().unwrap());
    assert_eq!(further["result"]["content"][0]["text"], "all", "no stream");
    for answer in unread {
        assert_eq!(answer.messages().last().unwrap()["result"]["content"][0]["text"], "all");
    }
    assert!(call().messages().count() > 1, "a stream again");
}

/// M17: the memory of large messages returns to the system when they are answered, not to the heap.
#[test]
fn large_messages_leave_no_memory_behind() {
    let server = Server::start(&FakeGitHub::start());
    let (_, tokens) = server.login();
    let authority = server.authority();
    let call = || {
        let arguments = json!({ "name": "x".repeat(3 * 1024 * 1024) });
        let request = modern("tools/call", json!({ "name": "greet", "arguments": arguments }));
        let answer = request.bearer(&tokens.access).send(authority).unwrap().expect(200);
        assert!(answer.text().len() > 3 * 1024 * 1024);
    };
    let before = server.resident_kib();
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| (0..6).for_each(|_| call()));
        }
    });
    let deadline = crate::support::instant() + PATIENCE;
    while server.resident_kib() > before + 6 * 1024 {
        let left = server.resident_kib().saturating_sub(before);
        assert!(crate::support::instant() < deadline, "{left} KiB more than before");
        Request::get("/healthz").send(authority).unwrap().expect(200);
    }
}

/// H6: a server that would run out of descriptors before it is full does not start, and advises the operator.
#[test]
fn too_few_descriptors_are_refused_at_the_start() {
    let state = temporary_directory();
    let start = |command: &str, more: &[(&str, &str)]| {
        let output = Command::new("sh")
            .args([
                "-c",
                "ulimit -n 500; exec \"$0\" \"$1\"",
                env!("CARGO_BIN_EXE_mcp-oauth-server"),
                command,
            ])
            .env_clear()
            .envs([("GITHUB_CLIENT_ID", "x"), ("GITHUB_CLIENT_SECRET", "x"), ("MCP_ALLOW", "id:1")])
            .env("MCP_MAX_STREAMS", "100")
            .envs(more.iter().copied())
            .env("MCP_STATE_DIR", &state)
            .output()
            .unwrap();
        let text = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8(text).unwrap())
    };
    let listen = ("MCP_LISTEN", "127.0.0.1:0");
    for command in ["demo", "check"] {
        let (status, text) = start(command, &[listen, ("MCP_MAX_CONNECTIONS", "245")]);
        assert!(status == Some(2) && text.contains("245 connections need 501 open files"), "{text}");
        assert!(text.contains("LimitNOFILE=501") && text.contains("lower MCP_MAX_CONNECTIONS"), "{text}");
    }
    let (status, text) = start("check", &[listen, ("MCP_MAX_CONNECTIONS", "244")]);
    assert_eq!(status, Some(0), "{text}");

    // tiny_http takes two descriptors per connection.
    let proxy = [("MCP_BEHIND_PROXY", "127.0.0.1:0"), ("MCP_PUBLIC_URL", "https://a.example")];
    let (status, text) = start("check", &proxy);
    assert!(status == Some(2) && text.contains("164 connections need 584 open files"), "{text}");
    assert!(text.contains("LimitNOFILE=584") && text.contains("lower MCP_MAX_STREAMS"), "{text}");
}

/// A limit of file sizes (`LimitFSIZE`) is like a full disk: nothing is written, and the server goes on.
#[test]
fn a_limit_of_file_sizes_is_a_full_disk() {
    let server = Server::start(&FakeGitHub::start());
    let (client, tokens) = server.login();
    server.limit("--fsize=0:");
    server.refresh(&client, &tokens.refresh).expect(503);
    server.wait_for_log("store.failed");
    server.limit("--fsize=unlimited:");
    server.wait_for_log("store.recovered");
    server.refresh(&client, &tokens.refresh).expect(200);
}
