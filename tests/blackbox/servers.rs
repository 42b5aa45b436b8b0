//! Several servers behind one login: the real binary, a servers file, small programs.

use std::fs;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;

use serde_json::{Value, json};

use crate::bridge::is_root;
use crate::peer;
use crate::support::github::FakeGitHub;
use crate::support::http::Request;
use crate::support::server::{Server, temporary_directory};
use crate::support::walk::{modern, reply};

/// A servers file that is removed with its test.
pub(crate) struct ServersFile(PathBuf);

impl ServersFile {
    pub(crate) fn new(servers: &Value) -> ServersFile {
        let folder = temporary_directory();
        fs::create_dir_all(&folder).unwrap();
        let file = ServersFile(folder.join("servers.json"));
        file.write(servers);
        file
    }

    pub(crate) fn write(&self, servers: &Value) {
        fs::write(&self.0, json!({ "mcpServers": servers }).to_string()).unwrap();
    }

    pub(crate) fn path(&self) -> &str {
        self.0.to_str().unwrap()
    }
}

impl Drop for ServersFile {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(self.0.parent().unwrap()); // left by a test that has failed already
    }
}

/// An entry for the test's own peer, with this marker in its environment.
pub(crate) fn peer_entry(mark: &str) -> Value {
    let executable = std::env::current_exe().unwrap();
    json!({ "command": executable, "args": peer::arguments(), "env": { "MARK": mark, "WHO": "${user.login}" } })
}

/// An entry of a peer without any value that depends on the person.
pub(crate) fn peer_entry_for_all(mark: &str) -> Value {
    let mut entry = peer_entry(mark);
    entry["env"] = json!({ "MARK": mark });
    entry
}

pub(crate) fn start(github: &FakeGitHub, file: &ServersFile) -> Server {
    let more = [("PATH", "/usr/bin:/bin"), ("MCP_CHILD_USER", "65534")];
    let more = if crate::bridge::is_root() { &more[..] } else { &more[..1] };
    Server::start_command(github, &["--servers", file.path()], more)
}

/// A client's access token for the server of this name.
pub(crate) fn login(server: &Server, name: &str) -> String {
    server.login_at(&format!("/{name}")).1.access
}

/// Sends a request to the server of this name.
pub(crate) fn status(server: &Server, name: &str, token: &str) -> u16 {
    let request = modern("tools/list", json!({})).at(&format!("/{name}/mcp")).bearer(token);
    request.send(server.authority()).unwrap().status
}

/// The answer of a tool at the server of this name.
fn call(server: &Server, name: &str, token: &str, tool: &str) -> Value {
    let request = modern("tools/call", json!({ "name": tool, "arguments": {} })).at(&format!("/{name}/mcp"));
    let answer = reply(&request.bearer(token).send(server.authority()).unwrap());
    answer.get("result").unwrap_or_else(|| panic!("{answer}")).clone()
}

pub(crate) fn pid(server: &Server, name: &str, token: &str) -> String {
    call(server, name, token, "pid")["content"][0]["text"].as_str().unwrap().to_owned()
}

fn mark(server: &Server, name: &str, token: &str) -> Value {
    call(server, name, token, "environment")["structuredContent"]["MARK"].clone()
}

/// The output of the operator's command, and its exit status.
pub(crate) fn operator(server: &Server, arguments: &[&str]) -> (i32, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mcp-oauth-server"));
    let command = command.args(arguments).env_clear().env("MCP_STATE_DIR", server.state_dir());
    let output = command.output().unwrap();
    let text = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    (output.status.code().unwrap(), text)
}

/// Each is a resource and an issuer of its own, in front of a program of its own.
#[test]
fn a_token_of_one_server_is_worth_nothing_at_another() {
    let github = FakeGitHub::start();
    let file = ServersFile::new(&json!({ "one": peer_entry("1"), "two": peer_entry("2") }));
    let server = start(&github, &file);
    let (one, two) = (login(&server, "one"), login(&server, "two"));
    assert_eq!((mark(&server, "one", &one), mark(&server, "two", &two)), (json!("1"), json!("2")));
    assert_eq!((status(&server, "two", &one), status(&server, "one", &two)), (401, 401));
    let root = modern("tools/list", json!({})).bearer(&one).send(server.authority()).unwrap();
    assert_eq!((root.status, status(&server, "three", &one)), (404, 404));
    for event in
        ["serving", "request method=POST route=token", "consent.given", "login.admitted", "token.issued"]
    {
        let is_meant = |line: &str| line.contains(event) && line.contains(" server=two ");
        assert!(server.log().lines().any(is_meant), "{event}: {}", server.log());
    }
    let (done, listed) = operator(&server, &["servers", "list"]);
    assert_eq!(done, 0, "{listed}");
    let rows: Vec<Vec<&str>> = listed.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rows[1], ["one", "/one/mcp", "program", "1", "0", "0", "-"]);
    assert_eq!(rows[2][0], "two");
    let (failed, error) = operator(&server, &["servers", "restart", "nope"]);
    assert!(failed == 1 && error.contains("there is no server \"nope\" behind the running one"), "{error}");
    assert_eq!(operator(&server, &["servers", "restart", "one"]).0, 0);
    let (_, listed) = operator(&server, &["servers", "list"]);
    let row: Vec<&str> = listed.lines().nth(1).unwrap().split_whitespace().collect();
    assert_eq!(row, ["one", "/one/mcp", "program", "0", "1", "0", "-"]);
}

/// A program that hangs at its start, and one that refuses `initialize`, leave a line in the log.
#[test]
fn a_failed_start_is_logged_with_its_cause() {
    let github = FakeGitHub::start();
    let refuse = "for id in 1 2; do read -r _; echo '{\"jsonrpc\":\"2.0\",\"id\":'$id',\"error\":{\"code\":1,\"message\":\"no key\"}}'; done; sleep 1000";
    let file = ServersFile::new(&json!({
        "hangs": { "command": "sleep", "args": ["1000"], "startSeconds": 1 },
        "refuses": { "command": "sh", "args": ["-c", refuse] },
    }));
    let server = start(&github, &file);
    for (name, why) in
        [("hangs", "within 1 s; \\\"startSeconds\\\" in"), ("refuses", "initialize failed: no key")]
    {
        status(&server, name, &login(&server, name));
        let log = server.wait_for_log(&format!("program.not_started server={name}"));
        let lines: Vec<&str> =
            log.lines().filter(|line| line.contains("not_started") && line.contains(name)).collect();
        assert!(lines.len() == 1 && lines[0].contains(why), "{lines:?}");
    }
}

/// SIGHUP applies the current file; a file with mistakes changes nothing.
#[test]
fn sighup_adds_removes_and_changes_servers() {
    let github = FakeGitHub::start();
    let file = ServersFile::new(
        &json!({ "kept": peer_entry("k"), "changed": peer_entry("old"), "removed": peer_entry("r") }),
    );
    let server = start(&github, &file);
    let [kept, changed, removed] = ["kept", "changed", "removed"].map(|name| login(&server, name));
    let before = pid(&server, "kept", &kept);
    let leaving = pid(&server, "removed", &removed);
    let filter = json!({ "notifications": { "toolsListChanged": true } });
    let streams = [("kept", &kept), ("removed", &removed)].map(|(name, token)| {
        let listen = modern("subscriptions/listen", filter.clone()).at(&format!("/{name}/mcp"));
        listen.bearer(token).open(server.authority()).unwrap()
    });
    assert_eq!(mark(&server, "changed", &changed), "old");
    let reload = |servers: &Value, expected: &str| {
        file.write(servers);
        let seen = server.log().matches(expected).count();
        server.signal("-HUP");
        server.wait_for_more(expected, seen)
    };
    let now = json!({ "kept": peer_entry("k"), "changed": peer_entry("new"), "added": peer_entry("a") });
    let log = reload(&now, "servers.reloaded");
    assert!(log.contains("added=added changed=changed removed=removed"), "{log}");
    assert_eq!((pid(&server, "kept", &kept), mark(&server, "changed", &changed)), (before, json!("new")));
    assert_eq!(status(&server, "removed", &removed), 404);
    let [stays, over] = streams;
    assert_eq!(over.messages().count(), 2, "its beginning, and an orderly end");
    drop(stays);
    crate::bridge::wait_until_gone(&leaving);
    let added = login(&server, "added");
    assert_eq!(mark(&server, "added", &added), "a");
    let log = reload(&json!({ "kept": { "command": "no-such-program" } }), "servers.not_reloaded");
    assert!(log.contains("no-such-program"), "{log}");
    assert_eq!(status(&server, "added", &added), 200);
}

/// All mistakes at once, each with the file, the server and the member; exit status 2.
#[test]
fn a_file_with_mistakes_is_refused() {
    let file = ServersFile::new(
        &json!({ "A": { "command": "sh" }, "token": { "command": "sh" }, "b": { "command": "sh", "cwd": "x", "envFile": "y" } }),
    );
    for command in [&["check"][..], &[]] {
        let output = Command::new(env!("CARGO_BIN_EXE_mcp-oauth-server"))
            .args(command)
            .args([
                "--servers",
                file.path(),
                "--child-user",
                "65534",
                "--state-dir",
                "/nonexistent/state",
                "--allow",
                "any",
            ])
            .args(["--github-client-id", "x"])
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("GITHUB_CLIENT_SECRET", "y")
            .output()
            .unwrap();
        let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        assert_eq!(output.status.code(), Some(2), "{said}");
        for mistake in
            ["\"A\": its name", "\"token\": its name", "\"b\": cwd: write", "\"b\": envFile: write"]
        {
            assert!(
                said.contains(&format!("MCP_SERVERS ({}): server {mistake}", file.path())),
                "{mistake}: {said}"
            );
        }
    }
}

/// P1: a program of another user would outlive a server that may not signal it. Exit status 2, for a check and for a start.
#[test]
fn programs_that_could_not_be_ended_are_refused() {
    for command in [&["check"][..], &[]] {
        let mut server = Command::new(env!("CARGO_BIN_EXE_mcp-oauth-server"));
        if is_root() {
            server.uid(65534).gid(65534);
        }
        server.args(command).args([
            "--child-user",
            "1",
            "--state-dir",
            "/nonexistent/state",
            "--allow",
            "any",
        ]);
        server.args(["--github-client-id", "x", "--", "sh"]).env_clear().env("PATH", "/usr/bin:/bin");
        let output = server.env("GITHUB_CLIENT_SECRET", "y").output().unwrap();
        let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains("could not end it") && said.contains("CAP_KILL"), "{said}");
    }
}

/// The operator learns which servers fail, strangers do not; the server is ready nevertheless.
#[test]
fn readiness_names_failing_servers_to_the_operator_alone() {
    let github = FakeGitHub::start();
    let file = ServersFile::new(&json!({
        "fine": peer_entry("1"), "broken": { "command": "false" }, "away": { "url": "http://127.0.0.1:1/mcp" },
    }));
    let server = start(&github, &file);
    let readiness = || {
        let socket = UnixStream::connect(server.state_dir().join("operator.sock")).unwrap();
        Request::get("/readyz")
            .over(socket, "operator")
            .unwrap()
            .finish()
            .unwrap()
            .expect(200)
            .text()
            .to_owned()
    };
    for name in ["fine", "broken", "away"] {
        assert_eq!(readiness(), "ready\n", "nothing was started");
        status(&server, name, &login(&server, name));
        if name == "fine" {
            continue;
        }
        let said = readiness();
        assert!(said.starts_with(&format!("ready\nfailing: {name}: ")), "{said}");
        assert_eq!(operator(&server, &["servers", "restart", name]).0, 0);
    }
    assert_eq!(Request::get("/readyz").send(server.authority()).unwrap().expect(200).text(), "ready\n");
}

/// `servers restart` ends programs, and the next call starts them; `servers forget` removes unused home directories.
#[test]
fn the_operator_restarts_and_forgets_servers() {
    let github = FakeGitHub::start();
    let file = ServersFile::new(&json!({ "one": peer_entry("1"), "two": peer_entry("2") }));
    let server = start(&github, &file);
    let one = login(&server, "one");
    let first = pid(&server, "one", &one);
    let homes = server.state_dir().with_extension("children").join("one");
    assert_eq!(fs::read_dir(&homes).unwrap().count(), 1);
    let (refused, why) = operator(&server, &["servers", "forget", "one"]);
    assert!(refused == 2 && why.contains("programs are running there"), "{why}");
    assert_eq!(
        operator(&server, &["servers", "restart", "one"]),
        (0, "1 ended. The next call starts it again.\n".to_owned())
    );
    crate::bridge::wait_until_gone(&first);
    assert_eq!(operator(&server, &["servers", "forget", "one", "583231"]).0, 0);
    assert_eq!(fs::read_dir(&homes).unwrap().count(), 0);
    assert_eq!(operator(&server, &["servers", "forget", "one"]).0, 1, "there is nothing left");
    assert_ne!(pid(&server, "one", &one), first);
    let (refused, why) = operator(&server, &["servers", "restart", "three"]);
    assert!(refused == 1 && why.contains("`servers list`"), "{why}");
}

/// `check --start` starts each server once, reports its offers, and leaves nothing behind.
#[test]
fn check_start_tries_each_server_once() {
    let refusals: String = (1..=2)
        .map(|id| {
            let error = json!({ "code": 1, "message": "\u{1b}[2J" });
            format!("read line; echo '{}'; ", json!({ "jsonrpc": "2.0", "id": id, "error": error }))
        })
        .collect();
    let loud = json!({ "command": "bash", "args": ["-c", refusals + "cat"] });
    let none = json!({ "command": "false" });
    let file = ServersFile::new(&json!({ "one": peer_entry("1"), "none": none, "loud": loud }));
    let state = temporary_directory();
    let check = |file: &ServersFile| {
        let output = Command::new(env!("CARGO_BIN_EXE_mcp-oauth-server"))
            .args(["check", "--start", "--servers", file.path(), "--child-user", "65534", "--allow", "any"])
            .args([
                "--github-client-id",
                "x",
                "--listen",
                "127.0.0.1:0",
                "--state-dir",
                state.to_str().unwrap(),
            ])
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("GITHUB_CLIENT_SECRET", "y")
            .output()
            .unwrap();
        (output.status.code(), String::from_utf8([output.stdout, output.stderr].concat()).unwrap())
    };
    let (status, said) = check(&file);
    assert_eq!(status, Some(2), "{said}");
    for words in [
        "it would start, but none cannot be used: it did not answer initialize: it ended with exit status 1",
        "it would start, but loud cannot be used: initialize failed: \\u{1b}[2J",
        "protocol 2025-11-25",
        "tools: echo (readOnlyHint), environment",
        "1 prompt: hello",
    ] {
        assert!(said.contains(words), "{words}: {said}");
    }
    file.write(&json!({ "one": peer_entry("1") }));
    assert_eq!(check(&file).0, Some(0));
    assert!(!state.exists());
    assert!(!state.with_extension("children").exists());
}
