//! The bridge from its users' view: the real binary in front of a real program, a login, both eras.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};

use crate::peer;
use crate::support::github::FakeGitHub;
use crate::support::http::PATIENCE;
use crate::support::instant;
use crate::support::server::{Server, sample};
use crate::support::walk::{in_session, modern, modern_with, reply};

/// A command line for a server in front of the test's own peer.
pub(crate) fn in_front_of_peer<'a>(options: &[&'a str], executable: &'a Path) -> Vec<&'a str> {
    [options, &["--", executable.to_str().unwrap()], &peer::arguments()].concat()
}

/// The user of programs if the tests run as root.
pub(crate) const NOBODY: &str = "65534";

pub(crate) fn is_root() -> bool {
    std::fs::metadata("/proc/self").unwrap().uid() == 0
}

pub(crate) fn executable() -> PathBuf {
    std::env::current_exe().unwrap()
}

/// A server in front of the peer, with these options.
pub(crate) fn bridge(github: &FakeGitHub, options: &[&str]) -> Server {
    let executable = executable();
    let mut more = vec![("PATH", "/usr/bin:/bin"), ("SECRET_OF_THE_SERVER", "canary"), ("WANTED", "w")];
    if is_root() {
        more.push(("MCP_CHILD_USER", NOBODY));
    }
    Server::start_command(github, &in_front_of_peer(options, &executable), &more)
}

/// Calls a tool and returns the text of its result.
pub(crate) fn text(server: &Server, token: &str, tool: &str) -> String {
    let request = modern("tools/call", json!({ "name": tool, "arguments": {} }));
    let answer = reply(&request.bearer(token).send(server.authority()).unwrap());
    answer["result"]["content"][0]["text"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned()
}

/// A metric of the program, whose name is that of this executable.
fn metric(server: &Server, family: &str) -> u64 {
    let program = std::env::current_exe().unwrap();
    let name = program.file_name().unwrap().to_str().unwrap();
    sample(&server.metrics(), &format!("{family}{{server=\"{name}\"}}"))
}

fn is_alive(pid: &str) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    status.rsplit_once(')').is_some_and(|(_, rest)| !rest.trim_start().starts_with('Z'))
}

pub(crate) fn wait_until_gone(pid: &str) {
    let deadline = instant() + PATIENCE;
    while is_alive(pid) {
        assert!(instant() < deadline, "{pid} lives");
        std::thread::yield_now();
    }
}

/// Nothing is started for strangers; for one person with one client, one program.
#[test]
fn a_program_is_started_only_after_a_login() {
    let github = FakeGitHub::start();
    let server = bridge(&github, &[]);
    modern("tools/list", json!({})).send(server.authority()).unwrap().expect(401);
    assert!(!server.log().contains("program.started"));
    let (_, tokens) = server.login();
    let discovered =
        modern("server/discover", json!({})).bearer(&tokens.access).send(server.authority()).unwrap();
    let result = &reply(&discovered.expect(200))["result"];
    assert_eq!(result["_meta"]["io.modelcontextprotocol/serverInfo"]["title"], "Test Peer");
    assert_eq!((&result["instructions"], &result["resultType"]), (&json!("Be gentle."), &json!("complete")));
    let pids = [(); 2].map(|()| text(&server, &tokens.access, "pid"));
    assert_eq!(pids[0], pids[1]);
    let (_, other_client) = server.login();
    assert_ne!(
        text(&server, &other_client.access, "pid"),
        pids[0],
        "another client program of the same person"
    );
    let families = ["mcp_programs", "mcp_program_restarts_total", "mcp_program_failures_total"];
    assert_eq!(families.map(|family| metric(&server, family)), [2, 0, 0]);
    let log = server.wait_for_log("as-peer");
    assert!(
        log.contains("program.started") && log.contains("program.stderr") && log.contains("program.noise"),
        "{log}"
    );
}

#[test]
fn both_eras_are_served_and_nothing_is_rewritten() {
    let github = FakeGitHub::start();
    let server = bridge(&github, &[]);
    let (_, tokens) = server.login();
    let session = server.session(&tokens.access);
    let params = json!({ "name": "report", "arguments": {}, "_meta": { "progressToken": "mine" } });
    let request =
        in_session(&json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params }), &session);
    let answer = request.bearer(&tokens.access).send(server.authority()).unwrap().expect(200);
    for part in [
        r#""params":{"progress":9007199254740993,"total":1.10,"progressToken":"mine"}"#,
        r#""z":18446744073709551615,"content":[{"type":"text","text":"\u00e4\/"}],"a":1.10e+2"#,
    ] {
        assert!(answer.text().contains(part), "{}", answer.text());
    }
    let echo = modern("tools/call", json!({ "name": "echo", "arguments": { "n": 1 } }));
    let echoed =
        &reply(&echo.bearer(&tokens.access).send(server.authority()).unwrap())["result"]["structuredContent"];
    assert_eq!(
        echoed,
        &json!({ "name": "echo", "arguments": { "n": 1 } }),
        "nothing of our hop reaches the program"
    );
}

/// P2: line breaks between the tokens of a request do not turn the text between them into a message.
#[test]
fn a_caller_cannot_put_a_message_of_their_own_into_a_call() {
    let github = FakeGitHub::start();
    let server = bridge(&github, &[]);
    let (_, tokens) = server.login();
    let own = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": { "name": "die", "arguments": {} } });
    let params = json!({ "name": "echo", "arguments": { "a": ["HERE"] } });
    let call = modern("tools/call", params).bearer(&tokens.access);
    for line_break in ["\n", "\r", "\r\n"] {
        let here = format!("{line_break}{own}{line_break}");
        let answer = call.clone().replacing("\"HERE\"", &here).send(server.authority()).unwrap();
        assert_eq!(reply(&answer)["result"]["structuredContent"]["arguments"]["a"], json!([own]));
    }
}

/// P1: the program's environment is built from scratch.
#[test]
fn a_program_sees_nothing_of_the_server() {
    let github = FakeGitHub::start();
    let server = bridge(&github, &["--env", "WHO=${user.login}:${user.id}", "--env", "WANTED"]);
    let (_, tokens) = server.login();
    let request = modern("tools/call", json!({ "name": "environment", "arguments": {} }));
    let answer = reply(&request.bearer(&tokens.access).send(server.authority()).unwrap());
    let environment = answer["result"]["structuredContent"].as_object().unwrap();
    assert_eq!(environment.keys().collect::<Vec<_>>(), ["HOME", "PATH", "TMPDIR", "WANTED", "WHO"]);
    assert_eq!((&environment["WHO"], &environment["WANTED"]), (&json!("octocat:583231"), &json!("w")));
    let home = std::fs::metadata(environment["HOME"].as_str().unwrap()).unwrap();
    let process = std::fs::metadata(format!("/proc/{}", text(&server, &tokens.access, "pid"))).unwrap();
    assert!(home.is_dir() && home.uid() == process.uid());
    if is_root() {
        assert_eq!(process.uid().to_string(), NOBODY, "the user that the operator named");
    } else {
        // The /proc files of a non-dumpable server belong to root.
        assert_eq!(std::fs::metadata(format!("/proc/{}/environ", server.id())).unwrap().uid(), 0);
    }
}

/// P4: daemons that left their session, group and parent end with the server, even if it is killed.
#[test]
fn nothing_is_left_after_the_server() {
    let github = FakeGitHub::start();
    let mut server = bridge(&github, &[]);
    let (_, tokens) = server.login();
    let pids = ["pid", "daemon"].map(|tool| text(&server, &tokens.access, tool));
    server.kill();
    pids.iter().for_each(|pid| wait_until_gone(pid));
    server.start_again();
    let pids = ["pid", "daemon"].map(|tool| text(&server, &tokens.access, tool));
    assert!(pids.iter().all(|pid| is_alive(pid)));
    let started = instant();
    assert!(server.stop().success());
    assert!(started.elapsed() < Duration::from_secs(10));
    assert!(!pids.iter().any(|pid| is_alive(pid)), "after a stop nothing is left to wait for");
}

#[test]
fn a_program_that_dies_fails_its_call_and_is_started_again() {
    let github = FakeGitHub::start();
    let server = bridge(&github, &[]);
    let (_, tokens) = server.login();
    let first = text(&server, &tokens.access, "pid");
    let request = modern("tools/call", json!({ "name": "die", "arguments": {} }));
    let answer = reply(&request.bearer(&tokens.access).send(server.authority()).unwrap());
    let message = answer["error"]["message"].as_str().unwrap();
    assert!(message.contains("it ended with exit status 3. The next call starts it again"), "{message}");
    let families = ["mcp_program_restarts_total", "mcp_program_failures_total"];
    assert_eq!(families.map(|family| metric(&server, family)), [0, 1]);
    assert_ne!(text(&server, &tokens.access, "pid"), first);
    let log = server.wait_for_log("program.died");
    let died = log.lines().find(|line| line.contains("program.died")).unwrap();
    assert!(died.contains("exit status 3") && died.contains("last words"), "{died}");
}

/// A modern client that closes its stream cancels the call within a second.
#[test]
fn a_client_that_leaves_cancels_its_call() {
    let github = FakeGitHub::start();
    let server = bridge(&github, &[]);
    let (_, tokens) = server.login();
    let request = modern("tools/call", json!({ "name": "wait", "arguments": {} }));
    let waiting = request.bearer(&tokens.access).open(server.authority()).unwrap();
    drop(waiting);
    let started = instant();
    let request = modern("tools/call", json!({ "name": "report", "arguments": {} }));
    let answer = reply(&request.bearer(&tokens.access).send(server.authority()).unwrap());
    assert_eq!(answer["result"]["cancelled"], 1, "{answer}");
    assert!(started.elapsed() < Duration::from_secs(5));
}

#[test]
fn a_program_asks_a_legacy_client() {
    let github = FakeGitHub::start();
    let server = bridge(&github, &[]);
    let (_, tokens) = server.login();
    let client = json!({ "name": "c", "version": "1" });
    let params = json!({ "protocolVersion": "2025-11-25", "capabilities": { "elicitation": {} }, "clientInfo": client });
    let body = json!({ "jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params });
    let request = crate::support::walk::mcp(&body).bearer(&tokens.access);
    let session = request.send(server.authority()).unwrap().field("mcp-session-id").unwrap().to_owned();
    let send = |message: Value| {
        in_session(&message, &session).bearer(&tokens.access).open(server.authority()).unwrap()
    };
    let call = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": { "name": "question", "arguments": {} } });
    let mut stream = send(call).messages();
    let question = stream.next().unwrap();
    assert_eq!(question["params"]["message"], "Who?");
    let result = json!({ "action": "accept", "content": { "name": "me" } });
    send(json!({ "jsonrpc": "2.0", "id": question["id"], "result": result })).finish().unwrap().expect(202);
    let answer = stream.last().unwrap();
    let told = answer["result"]["content"][0]["text"].as_str().unwrap();
    assert_eq!(serde_json::from_str::<Value>(told).unwrap()[0], result);
}

/// The program of 2025-11-25 asks and waits; the client of 2026-07-28 gets `input_required` and returns.
#[test]
fn a_program_asks_a_modern_client() {
    let github = FakeGitHub::start();
    let server = bridge(&github, &[]);
    let (_, tokens) = server.login();
    let call = |more: Value| {
        let mut params = json!({ "name": "question", "arguments": {} });
        params.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let request = modern_with("tools/call", params, &json!({ "elicitation": {} }));
        reply(&request.bearer(&tokens.access).send(server.authority()).unwrap())["result"].clone()
    };
    let asked = call(json!({}));
    assert_eq!(asked["resultType"], "input_required", "{asked}");
    let (key, question) = asked["inputRequests"].as_object().unwrap().iter().next().unwrap();
    assert_eq!(question["params"]["message"], "Who?");
    let answer = json!({ "action": "accept", "content": { "name": "me" } });
    let result =
        call(json!({ "inputResponses": { key.as_str(): answer }, "requestState": asked["requestState"] }));
    let told = result["content"][0]["text"].as_str().unwrap();
    assert_eq!(serde_json::from_str::<Value>(told).unwrap()[0], answer);
}

/// The quickstart of the README: no account, no configuration.
#[test]
fn the_demo_serves_a_command() {
    let executable = executable();
    let server = Server::demo_with(&in_front_of_peer(&[], &executable));
    let tokens = server.login_at_demo();
    assert_eq!(text(&server, &tokens.access, "tools_change"), "changed");
}
