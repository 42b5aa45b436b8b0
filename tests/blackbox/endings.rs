//! Restarts, crashes and clean stops, and the operator's view of them.

use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;

use crate::support::instant;
use serde_json::json;

use crate::support::github::FakeGitHub;
use crate::support::http::{Answer, Request};
use crate::support::server::Server;
use crate::support::walk::{Tokens, in_session, modern};

/// The seed lost every token and client at a restart.
#[test]
fn a_restart_forgets_nobody() {
    let mut server = Server::start(&FakeGitHub::start());
    let (client, tokens) = server.login();
    assert!(server.stop().success(), "{}", server.log());
    server.start_again();
    server.initialize(&tokens.access).expect(200);
    let turned = Tokens::of(&server.refresh(&client, &tokens.refresh).expect(200).json());
    server.code(&client, &mut crate::support::browser::Browser::default());
    server.initialize(&turned.access).expect(200);
}

/// M6: a client that does not initialize again continues its session, and its stream with an old event's id.
#[test]
fn a_session_goes_on_after_a_restart() {
    let mut server = Server::start(&FakeGitHub::start());
    let (client, tokens) = server.login();
    let session = server.session(&tokens.access);
    assert!(server.stop().success(), "{}", server.log());
    server.start_again();
    let ping = in_session(&json!({"jsonrpc": "2.0", "id": 1, "method": "ping"}), &session);
    ping.clone().bearer(&tokens.access).send(server.authority()).unwrap().expect(200);
    let stream = Request::get("/mcp").with("Accept", "text/event-stream").with("Mcp-Session-Id", &session);
    let stream =
        stream.with("Last-Event-ID", "1-0-1").bearer(&tokens.access).open(server.authority()).unwrap();
    assert_eq!(stream.head().status, 200);
    // It is invalid for another grant, and after the end of its own.
    let (_, next) = server.login();
    ping.clone().bearer(&next.access).send(server.authority()).unwrap().expect(404);
    server.revoke(&client, &tokens.refresh).expect(200);
    ping.bearer(&tokens.access).send(server.authority()).unwrap().expect(401);
}

/// S2: a token is durable before the answer that carries it, and so is a revocation.
#[test]
fn a_crash_after_the_answer_loses_nothing() {
    let mut server = Server::start(&FakeGitHub::start());
    let (client, tokens) = server.login();
    server.kill();
    server.start_again();
    server.initialize(&tokens.access).expect(200);
    let turned = Tokens::of(&server.refresh(&client, &tokens.refresh).expect(200).json());
    server.kill();
    server.start_again();
    let again = Tokens::of(&server.refresh(&client, &turned.refresh).expect(200).json());
    server.revoke(&client, &again.refresh).expect(200);
    server.kill();
    server.start_again();
    server.initialize(&again.access).expect(401);
    server.refresh(&client, &again.refresh).expect(400);
}

/// H13: told to stop, the server ends open streams and itself, with status 0.
#[test]
fn an_open_stream_does_not_keep_it_from_stopping() {
    let mut server = Server::start(&FakeGitHub::start());
    let (_, tokens) = server.login();
    let session = server.session(&tokens.access);
    let stream = Request::get("/mcp").with("Accept", "text/event-stream").with("Mcp-Session-Id", &session);
    let stream = stream.bearer(&tokens.access).open(server.authority()).unwrap();
    assert_eq!(stream.head().status, 200);
    assert!(server.stop().success(), "{}", server.log());
    assert_eq!(stream.messages().count(), 0, "the stream ended with its last chunk");
}

/// H13: a tool that runs when the server is told to stop delivers its messages and its result, in both eras.
#[test]
fn a_call_that_runs_at_sigterm_is_answered() {
    let mut server = Server::start(&FakeGitHub::start());
    let (_, tokens) = server.login();
    let session = server.session(&tokens.access);
    let params = json!({"name": "start-notification-stream", "arguments": {"interval": 500, "count": 2}});
    let legacy = json!({"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": params});
    let calls = [in_session(&legacy, &session), modern("tools/call", params)];
    let calls = calls.map(|call| call.bearer(&tokens.access).open(server.authority()).unwrap());
    assert!(calls.iter().all(|call| call.head().status == 200));
    assert!(server.stop().success(), "{}", server.log());
    for call in calls {
        let last = call.messages().last().unwrap();
        let text = &last["result"]["content"][0]["text"];
        assert_eq!((&last["id"], text), (&json!(7), &json!("Sent 2 notifications, one every 500 ms")));
    }
}

/// T17: revocation ends the grant's open sessions and streams.
#[test]
fn revoking_ends_open_streams() {
    let server = Server::start(&FakeGitHub::start());
    let (client, tokens) = server.login();
    let session = server.session(&tokens.access);
    let stream = Request::get("/mcp").with("Accept", "text/event-stream").with("Mcp-Session-Id", &session);
    let stream = stream.bearer(&tokens.access).open(server.authority()).unwrap();
    assert_eq!(stream.head().status, 200);
    let started = instant();
    server.revoke(&client, &tokens.refresh).expect(200);
    assert_eq!(stream.messages().count(), 0);
    assert!(started.elapsed().as_secs() < 5);
    let list = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list"});
    in_session(&list, &session).bearer(&tokens.access).send(server.authority()).unwrap().expect(401);
}

fn operator(server: &Server, path: &str) -> Answer {
    let socket = UnixStream::connect(server.state_dir().join("operator.sock")).unwrap();
    Request::get(path).over(socket, "localhost").unwrap().finish().unwrap()
}

/// A1: the operator's socket is for the operator only; strangers have no such door.
#[test]
fn the_operator_has_a_door_of_their_own() {
    let server = Server::start(&FakeGitHub::start());
    operator(&server, "/healthz").expect(200);
    operator(&server, "/readyz").expect(200);
    let mode =
        |name: &str| std::fs::metadata(server.state_dir().join(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode("."), mode("operator.sock"), mode("key")), (0o700, 0o600, 0o600));
    for path in ["/operation", "/metrics"] {
        Request::get(path).send(server.authority()).unwrap().expect(404);
    }
    assert_eq!(Request::get("/readyz").send(server.authority()).unwrap().expect(200).text(), "ready\n");
    // The operator's door is for health and administration, not a bypass of the edge.
    for path in ["/mcp", "/authorize", "/.well-known/oauth-authorization-server"] {
        operator(&server, path).expect(404);
    }
}

/// S1: two servers on one table would not see each other's writes.
#[test]
fn a_second_server_on_the_same_state_does_not_start() {
    let server = Server::start(&FakeGitHub::start());
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_mcp-oauth-server"))
        .env_clear()
        .args(["--github-client-id", "x", "--listen", "127.0.0.1:0", "--allow", "any", "--state-dir"])
        .arg(server.state_dir())
        .env("GITHUB_CLIENT_SECRET", "x")
        .output()
        .unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && text.contains("already running"), "{text}");
    operator(&server, "/healthz").expect(200);
}

/// G5: nobody is admitted by default.
#[test]
fn without_a_rule_the_server_does_not_start() {
    let run = |args: &[&str]| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_mcp-oauth-server"));
        command.env_clear().env("HOME", "/nonexistent").args(args).output().unwrap()
    };
    let output = run(&["--github-client-id", "x", "--github-client-secret-file", "/nonexistent"]);
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && text.contains("MCP_ALLOW is not set"), "{text}");

    let help = run(&["--help"]);
    assert!(help.status.success() && String::from_utf8(help.stdout).unwrap().contains("MCP_ALLOW"));
    let version = run(&["--version"]);
    assert!(String::from_utf8(version.stdout).unwrap().contains(env!("CARGO_PKG_VERSION")));
}
