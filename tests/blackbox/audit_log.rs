//! The audit log: each required line, once, and no others.

use std::fs;
use std::process::Command;

use serde_json::{Value, json};

use crate::audit_file::{Folder, SLOW, of, slow, text};
use crate::servers::{ServersFile, operator, peer_entry};
use crate::support::browser::Browser;
use crate::support::github::FakeGitHub;
use crate::support::http::{Answer, PATIENCE, Request};
use crate::support::instant;
use crate::support::server::{Server, sample, temporary_directory};
use crate::support::walk::{REDIRECT_URI, in_session, modern};

fn operate(server: &Server, arguments: &[&str], more: &[(&str, &str)]) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mcp-oauth-server"));
    command.args(arguments).env_clear().env("MCP_STATE_DIR", server.state_dir()).envs(more.iter().copied());
    let done = command.output().unwrap();
    assert!(done.status.success(), "{done:?}");
}

/// A22: requests of strangers leave no line, so that they cannot fill the disk.
#[test]
fn strangers_leave_no_line() {
    let folder = Folder::new();
    let github = FakeGitHub::start();
    let server = folder.start(&github, &[]);
    let client = server.register(&[REDIRECT_URI]);
    for number in 0..100 {
        server.initialize(&format!("mcp_at_{number}")).expect(401);
        modern("tools/call", json!({"name": "greet"})).send(server.authority()).unwrap().expect(401);
        let limited = [
            server.refresh(&client, &format!("mcp_rt_{number}")),
            server.redeem(&client, "mcp_ac_forged"),
            Request::get("/authorize?client_id=nobody").send(server.authority()).unwrap(),
            Request::get("/auth/callback?code=x&state=y").send(server.authority()).unwrap(),
        ];
        assert!(limited.iter().all(|answer| [400, 429].contains(&answer.status)), "{limited:?}");
        Request::get("/nowhere").send(server.authority()).unwrap().expect(404);
    }
    for _ in 0..10 {
        let mut browser = Browser::default();
        let url = server.authorize_url(&client);
        let page = browser.visit(&url).expect(200);
        browser.press(&url, &page, ("decision", "deny")).expect(303);
    }
    // GitHub does not identify a person.
    github.refuse_codes();
    let mut browser = Browser::default();
    let callback = server.through_github(&client, &mut browser);
    browser.visit(&callback).expect(400);
    // A line of a known person is written at once; the others would have been before it.
    let all = folder.lines();
    assert!(all.len() == 1 && all[0]["event"] == "serving", "{all:?}");
}

/// A21: logins, refusals of known people, changes of rules, and the operator's commands, with and without a server.
#[test]
fn logins_rules_and_the_operator_are_recorded() {
    let folder = Folder::new();
    let file = folder.file("mcp.conf");
    fs::write(&file, "MCP_ALLOW=user:octocat\n").unwrap();
    let github = FakeGitHub::start();
    let more = [("MCP_ALLOW", ""), ("MCP_CONFIG", file.to_str().unwrap())];
    let mut server = folder.start(&github, &more);
    let (client, tokens) = server.login();
    github.log_in_as("stranger", 7);
    let mut browser = Browser::default();
    let callback = server.through_github(&client, &mut browser);
    browser.visit(&callback).expect(403);
    fs::write(&file, "MCP_ALLOW=user:hubot\n").unwrap();
    server.signal("-HUP");
    folder.wait_for("rules.changed", 1);
    operate(&server, &["key", "rotate"], &[]);
    operate(&server, &["grants", "revoke", "--all"], &[]);
    server.initialize(&tokens.access).expect(401);
    assert!(server.stop().success(), "{}", server.log());
    let audit = folder.file("audit");
    operate(&server, &["key", "rotate"], &[("MCP_AUDIT_LOG", audit.to_str().unwrap())]);

    let all = folder.lines();
    let said: Vec<[&str; 4]> = all
        .iter()
        .map(|line| ["event", "user", "reason", "target"].map(|member| text(line, member)))
        .collect();
    let octocat = "github:583231";
    assert_eq!(
        said,
        [
            ["serving", "-", "-", "-"],
            ["login.admitted", octocat, "-", "-"],
            ["login.not_allowed", "github:7", "no_rule", "-"],
            ["rules.changed", "-", "-", "-"],
            ["operator.key_rotated", "-", "-", "-"],
            ["grant.ended", octocat, "operator", "-"],
            ["operator.revoked", "-", "-", "all"],
            ["stopped", "-", "-", "-"],
            ["operator.key_rotated", "-", "-", "-"],
        ]
    );
    assert!(all[1]["login"] == "octocat" && all[2]["login"] == "stranger" && all[2]["peer"] == "127.0.0.1");
}

/// A21: commands that change nothing, or meet a failing table or file. A grant that ends while the table is away has a line, once; a
/// command that was not executed has none; one that was executed in part has its own.
#[test]
fn failed_commands_are_recorded_with_the_part_that_was_done() {
    let folder = Folder::new();
    let github = FakeGitHub::start();
    let file = ServersFile::new(&json!({ "one": peer_entry("1") }));
    let audit = folder.file("audit");
    let more = [("MCP_AUDIT_LOG", audit.to_str().unwrap()), ("MCP_CHILD_USER", "65534")];
    let more = if crate::bridge::is_root() { &more[..] } else { &more[..1] };
    let server = Server::start_command(&github, &["--servers", file.path()], more);
    let homes = server.state_dir().with_extension("children").join("one");
    fs::create_dir_all(&homes).unwrap();
    fs::write(homes.join("5"), "no directory").unwrap();
    server.signal("-HUP");
    server.wait_for_log("servers.reloaded");
    let taken = folder.file("taken");
    fs::write(&taken, "").unwrap();
    assert_eq!(operator(&server, &["backup", taken.to_str().unwrap()]).0, 2);
    assert_eq!(operator(&server, &["servers", "forget", "one"]).0, 2);
    let (client, tokens) = server.login_at("/one");
    server.login_at("/one");
    let (table, away) = (server.state_dir().join("grants.redb"), server.state_dir().join("away"));
    if table.exists() {
        fs::rename(&table, &away).unwrap(); // with a remote store the rest is unaffected
    }
    let form = [("token", &*tokens.refresh), ("client_id", &*client.id)];
    let revoked = Request::post_form("/one/revoke", &form).send(server.authority()).unwrap();
    let all = operator(&server, &["grants", "revoke", "--all"]).0;
    if away.exists() {
        assert_eq!((revoked.status, all), (503, 2));
        fs::rename(&away, &table).unwrap();
    }
    folder.wait_for("grant.ended", 2);
    let all = folder.lines();
    let said: Vec<[&str; 3]> =
        all.iter().map(|line| ["event", "reason", "target"].map(|member| text(line, member))).collect();
    assert_eq!(said[1], ["operator.server_forgotten", "-", "-"]);
    assert_eq!(said.len(), 7, "{said:?}");
    for line in
        [["grant.ended", "revoked", "-"], ["grant.ended", "operator", "-"], ["operator.revoked", "-", "all"]]
    {
        assert_eq!(said.iter().filter(|said| **said == line).count(), 1, "{said:?}");
    }
}

fn call(server: &Server, token: &str, arguments: &Value) -> Answer {
    let params = json!({"name": "greet", "arguments": arguments});
    modern("tools/call", params).bearer(token).send(server.authority()).unwrap()
}

/// A24: a full disk is in the log and the metrics, and stops calls only if the operator configured that: before they run.
#[test]
fn a_full_disk_stops_calls_only_where_the_log_is_required() {
    let full = ("MCP_AUDIT_LOG", "/dev/full");
    let server = Server::start_with(&FakeGitHub::start(), &[full]);
    let (_, tokens) = server.login();
    call(&server, &tokens.access, &json!({"name": "Ada"})).expect(200);
    let log = server.wait_for_log("audit.failed");
    assert!(log.contains("No space left on device") && log.contains("calls go on unrecorded"), "{log}");
    assert!(sample(&server.metrics(), "mcp_audit_lines_total{outcome=\"failed\"}") >= 3);

    let server = Server::start_with(&FakeGitHub::start(), &[full, ("MCP_AUDIT_REQUIRED", "on")]);
    let (_, tokens) = server.login();
    let session = server.session(&tokens.access); // requests that reach no tool continue
    let legacy = json!({"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": slow(1, 1)});
    let legacy = in_session(&legacy, &session).bearer(&tokens.access).send(server.authority()).unwrap();
    for answer in [legacy, call(&server, &tokens.access, &json!({"name": "Ada"}))] {
        let answer = answer.expect(503).json();
        let message = answer["error"]["message"].as_str().unwrap();
        assert!(answer["id"] == 7 && message.contains("the call was not run"), "{answer}");
    }
    let log = server.wait_for_log("reason=not_recorded");
    assert!(log.contains("calls are refused until it can be written"), "{log}");
}

/// A24: if the log is required, a running call has a line before its start and one after its end.
#[test]
fn a_required_line_is_there_before_the_call_runs() {
    let folder = Folder::new();
    let mut server = folder.start(&FakeGitHub::start(), &[("MCP_AUDIT_REQUIRED", "on")]);
    let (_, tokens) = server.login();
    let running =
        modern("tools/call", slow(1000, 60)).bearer(&tokens.access).open(server.authority()).unwrap();
    let begun = folder.wait_for("request.begun", 1);
    assert!(of(&folder.lines(), "request").is_empty());
    server.kill();
    drop(running);
    server.start_again();
    call(&server, &tokens.access, &json!({"name": "Ada"})).expect(200);
    let (all, ended) = (folder.lines(), folder.wait_for("request", 1));
    let [_, second] = &of(&all, "request.begun")[..] else { panic!("{all:?}") };
    for member in ["user", "login", "client", "grant", "rpc", "target", "request", "peer"] {
        assert!(begun[0][member].is_string() && second[member] == ended[0][member], "{member}: {all:?}");
    }
    assert_eq!((&begun[0]["target"], ended.len()), (&json!(SLOW), 1));
}

/// A25: hashes compare arguments, also after restarts, and do not reveal them; another key gives other hashes.
#[test]
fn hashes_of_arguments_can_be_compared() {
    let folder = Folder::new();
    let mut server = folder.start(&FakeGitHub::start(), &[("MCP_AUDIT_ARGUMENTS", "hash")]);
    let (_, tokens) = server.login();
    let hash = |server: &Server, arguments: &Value| {
        let seen = of(&folder.lines(), "request").len();
        call(server, &tokens.access, arguments);
        text(&folder.wait_for("request", seen + 1)[seen], "arguments").to_owned()
    };
    let ada = json!({"name": "canary Ada"});
    let first = hash(&server, &ada);
    assert_eq!(first.len(), 22);
    assert_ne!(hash(&server, &json!({"name": "canary Bob"})), first);
    assert!(server.stop().success());
    server.start_again();
    assert_eq!(hash(&server, &ada), first);
    operate(&server, &["key", "rotate"], &[]);
    assert_ne!(hash(&server, &ada), first);
    assert!(!fs::read_to_string(folder.file("audit")).unwrap().contains("canary"));
}

/// A22: a token of another server is refused with a line that names its owner.
#[test]
fn a_known_caller_who_is_refused_is_recorded() {
    let folder = Folder::new();
    let peer = json!({ "command": "/bin/cat" });
    let servers = folder.file("servers.json");
    fs::write(&servers, json!({ "mcpServers": { "one": peer, "two": peer } }).to_string()).unwrap();
    let more =
        [("PATH", "/usr/bin:/bin"), ("MCP_CHILD_USER", "65534"), ("MCP_SERVERS", servers.to_str().unwrap())];
    let server = folder.start(&FakeGitHub::start(), &more);
    let (_, tokens) = server.login_at("/one");
    let there = Request::post_json("/two/mcp", &json!({})).bearer(&tokens.access);
    there.send(server.authority()).unwrap().expect(401);
    let [line] = &folder.wait_for("request", 1)[..] else { panic!() };
    let said = ["server", "user", "reason"].map(|member| text(line, member));
    assert_eq!((said, &line["status"]), (["two", "github:583231", "another_server"], &json!(401)));
    assert_eq!(text(&folder.wait_for("login.admitted", 1)[0], "server"), "one");
}

/// A21: a client ends its grant while the table cannot be read, which does not say whose it is. One line, however often it asks.
#[test]
fn a_grant_that_ends_unread_has_a_line() {
    let folder = Folder::new();
    let mut server = folder.start(&FakeGitHub::start(), &[]);
    let (client, tokens) = server.login();
    assert!(server.stop().success());
    server.start_again(); // with no grant in its cache
    let (table, away) = (server.state_dir().join("grants.redb"), server.state_dir().join("away"));
    if table.exists() {
        fs::rename(&table, &away).unwrap(); // with a remote store the rest is unaffected
        server.refresh(&client, &tokens.refresh).expect(503);
    }
    let status = if away.exists() { 503 } else { 200 };
    server.revoke(&client, &tokens.refresh).expect(status);
    if away.exists() {
        fs::rename(&away, &table).unwrap();
        server.wait_for_log("store.recovered");
    }
    // It is written after the table is found again.
    let deadline = instant() + PATIENCE;
    let mut again = server.revoke(&client, &tokens.refresh);
    while again.status == 503 && instant() < deadline {
        again = server.revoke(&client, &tokens.refresh);
    }
    again.expect(200);
    server.refresh(&client, &tokens.refresh).expect(400);
    let grant = folder.wait_for("login.admitted", 1)[0]["grant"].clone();
    let [line] = &folder.wait_for("grant.ended", 1)[..] else { panic!("{:?}", folder.lines()) };
    assert_eq!((&line["grant"], text(line, "reason")), (&grant, "revoked"));
}

/// A22: neither a person who is no longer admitted nor a thief of a token that is bound to an address fills the disk with refusals.
#[test]
fn refusals_of_one_caller_are_recorded_at_a_limited_rate() {
    let folder = Folder::new();
    let file = folder.file("mcp.conf");
    fs::write(&file, "MCP_ALLOW=user:octocat\n").unwrap();
    let github = FakeGitHub::start();
    let server = folder.start(&github, &[("MCP_ALLOW", ""), ("MCP_CONFIG", file.to_str().unwrap())]);
    let (_, tokens) = server.login();
    let (status, added) = operator(&server, &["tokens", "add", "bound", "--address", "198.51.100.0/24"]);
    assert_eq!(status, 0, "{added}");
    call(&server, &tokens.access, &json!({"name": "Ada"})).expect(200);
    fs::write(&file, "MCP_ALLOW=user:hubot\n").unwrap();
    server.signal("-HUP");
    folder.wait_for("rules.changed", 1);
    let check = |token: &str, status: u16, reason: &str| {
        let start = instant();
        for _ in 0..150 {
            call(&server, token, &json!({"name": "Ada"})).expect(status);
        }
        let recorded = folder.lines().iter().filter(|line| text(line, "reason") == reason).count();
        let renewed = usize::try_from(start.elapsed().as_secs()).unwrap() + 1;
        assert!((60..=60 + renewed).contains(&recorded), "{reason}: {recorded} with {renewed} renewed");
    };
    check(&tokens.access, 401, "not_admitted");
    check(added.lines().next().unwrap(), 403, "address_not_allowed");
    assert!(server.log().matches("\"reason\":\"not_admitted\"").count() > 100); // the log has them all
}

/// The lines go to standard output if the operator configured that, and the log does not.
#[test]
fn the_audit_log_may_be_standard_output() {
    let state = temporary_directory();
    let command = format!(
        "{} demo --audit-log - --listen 127.0.0.1:0 --state-dir {} 2>/dev/null & \
         while ! test -S {}/demo/operator.sock; do :; done; kill $!; wait $!",
        env!("CARGO_BIN_EXE_mcp-oauth-server"),
        state.display(),
        state.display(),
    );
    let output =
        Command::new("sh").args(["-c", &command]).env_clear().env("PATH", "/usr/bin:/bin").output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    let events: Vec<Value> = said.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let events: Vec<&str> = events.iter().map(|line| text(line, "event")).collect();
    assert_eq!(events, ["serving", "stopped"], "{said}");
    fs::remove_dir_all(&state).unwrap();
}

/// A start with an unusable file reports that, and so does a check, which creates none.
#[test]
fn an_unusable_file_is_named_before_the_start() {
    let folder = Folder::new();
    let check = |more: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mcp-oauth-server"));
        command.args([
            "check",
            "--github-client-id",
            "x",
            "--allow",
            "any",
            "--listen",
            "127.0.0.1:0",
            "--state-dir",
        ]);
        command.arg(folder.file("state")).args(more).env_clear().env("GITHUB_CLIENT_SECRET", "x");
        let output = command.output().unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    };
    let file = folder.file("audit");
    let (status, said) = check(&["--audit-log", file.to_str().unwrap(), "--audit-required", "on"]);
    assert!(status == Some(0) && said.contains("; without it no call runs") && !file.exists(), "{said}");
    let (status, said) = check(&["--audit-log", folder.file("").to_str().unwrap()]);
    assert!(status == Some(2) && said.contains("--audit-log or MCP_AUDIT_LOG"), "{said}");
    let (status, said) = check(&["--audit-log", "/nowhere/audit"]);
    assert!(status == Some(2) && said.contains("--audit-log or MCP_AUDIT_LOG"), "{said}");
    let output = Command::new(env!("CARGO_BIN_EXE_mcp-oauth-server"))
        .args(["check", "--audit-required", "on"])
        .env_clear()
        .output()
        .unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("MCP_AUDIT_LOG: MCP_AUDIT_REQUIRED and"), "{said}");
}
