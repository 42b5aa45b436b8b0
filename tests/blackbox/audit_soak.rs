//! Calls of every kind and outcome, replayed from the audit log.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use serde_json::{Value, json};

use crate::audit_file::{Folder, SLOW, lines, of, slow, text};
use crate::support::github::FakeGitHub;
use crate::support::http::{PATIENCE, Request};
use crate::support::instant;
use crate::support::server::Server;
use crate::support::walk::{in_session, modern};

/// The number of these lines for each rpc, target and outcome.
fn count(lines: &[Value]) -> BTreeMap<[String; 3], usize> {
    let mut counts = BTreeMap::new();
    for line in lines {
        let call = ["rpc", "target", "outcome"].map(|member| text(line, member).to_owned());
        *counts.entry(call).or_default() += 1;
    }
    counts
}

/// One call of each kind in both eras, and their expected records.
const CALLS: [(&str, &str, &str, &str); 7] = [
    ("tools/call", r#"{"name":"greet","arguments":{"name":"Ada"}}"#, "greet", "ok"),
    ("tools/call", r#"{"name":"start-notification-stream","arguments":{"count":0}}"#, SLOW, "tool_error"),
    ("tools/call", r#"{"name":"canary","arguments":{}}"#, "-", "protocol_error"),
    ("tools/call", r#"{"name":"greet","arguments":{"name":7}}"#, "greet", "tool_error"),
    ("tools/list", "{}", "-", "ok"),
    ("prompts/get", r#"{"name":"greeting-template","arguments":{"name":"Ada"}}"#, "greeting-template", "ok"),
    (
        "resources/read",
        r#"{"uri":"https://example.com/greetings/default"}"#,
        "https://example.com/greetings/default",
        "ok",
    ),
];

/// A21, A23: threads call in both eras, cancel, disconnect and are cut off by the end of the server, while the file is rotated. Replayed,
/// it has every call once, with its outcome, and equals the log.
#[test]
fn a_soak_is_in_the_file_call_by_call() {
    const ROUNDS: usize = 12;
    const THREADS: u64 = 3;
    let folder = Folder::new();
    let github = FakeGitHub::start();
    let mut server = folder.start(&github, &[("MCP_ALLOW", "any")]);
    // One person each, because the limit of calls per person is low.
    let log_in = |id| {
        github.log_in_as(&format!("user{id}"), id);
        server.login().1.access
    };
    let tokens: Vec<String> = (1..=THREADS).map(log_in).collect();
    let sessions: Vec<String> = tokens.iter().map(|token| server.session(token)).collect();
    let authority = server.authority().to_owned();
    let mut rotated = 0;
    std::thread::scope(|scope| {
        let callers = tokens.iter().zip(&sessions);
        let callers = callers.map(|(token, session)| Caller { authority: &authority, token, session });
        let threads: Vec<_> = callers.map(|caller| scope.spawn(move || soak(&caller, ROUNDS))).collect();
        while !threads.iter().all(|thread| thread.is_finished()) {
            rotate(&server, &folder, rotated);
            rotated += 1;
        }
    });
    // Calls that run when the server is told to stop, and do not end in time.
    let token = &tokens[0];
    let legacy = json!({"jsonrpc": "2.0", "id": "cut", "method": "tools/call", "params": slow(1000, 60)});
    let session = server.session(token);
    let cut = [in_session(&legacy, &session), modern("tools/call", slow(1000, 60))];
    let cut = cut.map(|call| call.bearer(token).open(&authority).unwrap());
    assert!(server.stop().success(), "{}", server.log());
    drop(cut);

    let files = (0..rotated).map(|number| folder.file(&format!("audit.{number}")));
    let all: Vec<Value> = files.chain([folder.file("audit")]).flat_map(|file| lines(&file)).collect();
    assert!(rotated > 3, "{rotated} rotations");
    let calls = of(&all, "request");
    let mut expected: BTreeMap<[String; 3], usize> = BTreeMap::new();
    for (rpc, _, target, outcome) in CALLS {
        *expected.entry([rpc, target, outcome].map(str::to_owned)).or_default() += 2 * ROUNDS * tokens.len();
    }
    let slow_call = |outcome: &str| ["tools/call", SLOW, outcome].map(str::to_owned);
    // One that its legacy client cancels, one whose modern client disconnects; one whose legacy client disconnects is not cancelled.
    expected.insert(slow_call("cancelled"), 2 * tokens.len() + 2);
    expected.insert(slow_call("ok"), tokens.len());
    assert_eq!(count(&calls), expected);

    let ids: BTreeSet<&str> = calls.iter().map(|line| text(line, "request")).collect();
    assert_eq!(ids.len(), calls.len(), "a request has one line");
    let log = server.log();
    let logged: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for line in &calls {
        let login = text(line, "user").replace("github:", "user");
        assert!(line["login"] == login && line["peer"] == "127.0.0.1", "{line}");
        assert!(line["client"].is_string() && line["ms"].is_u64() && line["bytes"].is_u64(), "{line}");
        let same: Vec<&Value> = logged
            .iter()
            .filter(|other| other["event"] == "request" && other["request"] == line["request"])
            .collect();
        let [other] = same[..] else { panic!("{line}: {same:?}") };
        for (member, value) in line.as_object().unwrap() {
            if ["time", "asked"].contains(&member.as_str()) {
                continue;
            }
            assert_eq!(&other[member], value, "{member} of {line}");
        }
    }
    assert!(calls.iter().all(|line| text(line, "target") != "-"
        || text(line, "rpc") == "tools/list"
        || line["asked"] == "canary"));
    assert!(!all.iter().any(|line| line.to_string().contains("Ada")), "neither arguments nor results");
    assert_eq!(
        (of(&all, "serving").len(), of(&all, "stopped").len(), of(&all, "audit.lost").len()),
        (1, 1, 0)
    );
}

/// Renames the file and waits for the new one.
fn rotate(server: &Server, folder: &Folder, number: usize) {
    fs::rename(folder.file("audit"), folder.file(&format!("audit.{number}"))).unwrap();
    server.signal("-HUP");
    let deadline = instant() + PATIENCE;
    while !folder.file("audit").exists() {
        assert!(instant() < deadline, "{}", server.log());
        std::thread::yield_now();
    }
}

struct Caller<'a> {
    authority: &'a str,
    token: &'a str,
    session: &'a str,
}

impl Caller<'_> {
    fn legacy(&self, id: usize, method: &str, params: &Value) -> Request {
        let message = json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params});
        in_session(&message, self.session).bearer(self.token)
    }

    fn modern(&self, method: &str, params: &Value) -> Request {
        let request = modern(method, params.clone()).bearer(self.token);
        match params["uri"].as_str() {
            Some(uri) => request.with("Mcp-Name", uri),
            None => request,
        }
    }
}

fn soak(caller: &Caller<'_>, rounds: usize) {
    // The client disconnects and the call continues.
    let leaves = caller.legacy(1_000_000, "tools/call", &slow(600, 2)).open(caller.authority).unwrap();
    assert_eq!(leaves.head().status, 200);
    drop(leaves);
    for round in 0..rounds {
        for (index, (method, params, ..)) in CALLS.iter().enumerate() {
            let params: Value = serde_json::from_str(params).unwrap();
            caller.legacy(round * 100 + index, method, &params).send(caller.authority).unwrap().expect(200);
            caller.modern(method, &params).send(caller.authority).unwrap();
        }
    }
    let cancelled = caller.legacy(2_000_000, "tools/call", &slow(1000, 60)).open(caller.authority).unwrap();
    drop(caller.modern("tools/call", &slow(1000, 60)).open(caller.authority).unwrap());
    let cancel =
        json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 2_000_000}});
    let cancel = in_session(&cancel, caller.session).bearer(caller.token);
    cancel.send(caller.authority).unwrap().expect(202);
    assert_eq!(cancelled.messages().filter(|message| message["id"] == 2_000_000).count(), 0);
}
