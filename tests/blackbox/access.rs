//! Access rules of the real binary: for its own tools, for servers behind it, and their change by SIGHUP.

use std::fs;

use serde_json::{Value, json};

use crate::audit_file::{Folder, text};
use crate::servers::{ServersFile, login, peer_entry, pid, start, status};
use crate::support::github::FakeGitHub;
use crate::support::http::{Answer, Request};
use crate::support::server::{Server, temporary_directory};
use crate::support::walk::{in_session, modern, reply};

/// The names in a list.
pub(crate) fn listed(answer: &Answer) -> Vec<String> {
    let tools = reply(answer)["result"]["tools"].as_array().unwrap().clone();
    tools.iter().map(|tool| tool["name"].as_str().unwrap().to_owned()).collect()
}

pub(crate) fn reload(server: &Server, expected: &str) -> String {
    let seen = server.log().matches(expected).count();
    server.signal("-HUP");
    server.wait_for_more(expected, seen)
}

/// A8, A7: the file of `MCP_ACCESS` applies to the tools of this program, in both eras, and is reread by SIGHUP.
#[test]
fn sighup_changes_the_rules_of_own_tools() {
    let folder = temporary_directory();
    fs::create_dir_all(&folder).unwrap();
    let file = folder.join("access.json");
    let write = |rules: &Value| fs::write(&file, rules.to_string()).unwrap();
    write(&json!([{ "allow": ["user:octocat"], "tools": ["*greet"], "exclude": ["multi-*"] }]));
    let audit = Folder::new();
    let audit_file = audit.file("audit");
    let more = [("MCP_ACCESS", &file), ("MCP_AUDIT_LOG", &audit_file)];
    let more = more.map(|(name, path)| (name, path.to_str().unwrap()));
    let server = Server::start_with(&FakeGitHub::start(), &more);
    let (_, tokens) = server.login();
    let session = server.session(&tokens.access);
    let list = json!({ "jsonrpc": "2.0", "id": 7, "method": "tools/list", "params": {} });
    let both = || {
        [in_session(&list, &session), modern("tools/list", json!({}))]
            .map(|request| request.bearer(&tokens.access).send(server.authority()).unwrap())
    };
    let call = |tool: &str| {
        let call = modern("tools/call", json!({ "name": tool, "arguments": { "name": "x" } }));
        let answer = call.bearer(&tokens.access).send(server.authority()).unwrap();
        (answer.status, reply(&answer).to_string().replace(tool, "NAME"))
    };
    assert_eq!(both().map(|answer| listed(&answer)), [["greet"], ["greet"]]);
    assert_eq!((call("greet").0, call("multi-greet")), (200, call("no-such-tool")));
    // A21: the client cannot tell it from a missing tool, the operator can.
    let recorded = audit.wait_for("request", 5);
    let said = |line: &Value| ["target", "asked", "reason"].map(|member| text(line, member).to_owned());
    assert_eq!(said(&recorded[3]), ["multi-greet", "-", "closed_by_rule"]);
    assert_eq!(said(&recorded[4]), ["-", "no-such-tool", "closed_by_rule"]);
    server.wait_for_log("target=multi-greet outcome=protocol_error bytes=86 reason=closed_by_rule");

    write(&json!([{ "allow": ["user:octocat"], "readOnly": true, "exclude": ["greet"] }]));
    reload(&server, "access.changed");
    assert!(both().iter().all(|answer| listed(answer).contains(&"multi-greet".to_owned())));
    assert_eq!((call("greet"), call("multi-greet").0), (call("no-such-tool"), 200));

    write(&json!([{ "allow": ["octocat"] }]));
    let log = reload(&server, "access.not_reloaded");
    assert!(log.contains("rule 1: ") && log.contains("write user:octocat"), "{log}");
    assert_eq!(call("multi-greet").0, 200, "nothing has changed");

    write(&json!([{ "allow": ["user:hubot"] }]));
    reload(&server, "access.changed");
    for answer in both() {
        assert_eq!((answer.status, answer.field("www-authenticate")), (403, None), "{}", answer.text());
    }
    server.wait_for_log("reason=no_access_rule");
    write(&json!([{ "allow": ["any"] }]));
    reload(&server, "access.changed");
    assert_eq!(call("greet").0, 200, "the grant was kept");
    fs::remove_dir_all(&folder).unwrap();
}

/// A8: updates of a resource that new rules close reach no earlier subscription, in both eras.
#[test]
fn sighup_stops_the_updates_of_resources_that_are_no_longer_allowed() {
    let folder = temporary_directory();
    fs::create_dir_all(&folder).unwrap();
    let file = folder.join("access.json");
    fs::write(&file, r#"[{ "allow": ["any"] }]"#).unwrap();
    let github = FakeGitHub::start();
    let server = crate::bridge::bridge(&github, &["--access", file.to_str().unwrap()]);
    let (_, tokens) = server.login();
    let session = server.session(&tokens.access);
    let both = json!(["x:closed", "x:open"]);
    for uri in both.as_array().unwrap() {
        let params = json!({ "uri": uri });
        let subscribe =
            json!({ "jsonrpc": "2.0", "id": 1, "method": "resources/subscribe", "params": params });
        let answer = in_session(&subscribe, &session).bearer(&tokens.access).send(server.authority());
        assert_eq!(reply(&answer.unwrap())["result"], json!({}));
    }
    let listen =
        modern("subscriptions/listen", json!({ "notifications": { "resourceSubscriptions": both } }));
    let read = Request::get("/mcp").with("Accept", "text/event-stream").with("Mcp-Session-Id", &session);
    let mut streams = [listen, read]
        .map(|request| request.bearer(&tokens.access).open(server.authority()).unwrap().messages());
    assert!(streams[0].next().unwrap()["params"]["notifications"].is_object());
    let change = || {
        let call = modern("tools/call", json!({ "name": "resources_change", "arguments": { "uris": both } }));
        call.bearer(&tokens.access).send(server.authority()).unwrap().expect(200);
    };
    change();
    for uri in both.as_array().unwrap() {
        streams.iter_mut().for_each(|events| assert_eq!(events.next().unwrap()["params"]["uri"], *uri));
    }
    fs::write(&file, r#"[{ "allow": ["any"], "resources": ["x:open"] }]"#).unwrap();
    reload(&server, "access.changed");
    change();
    streams.iter_mut().for_each(|events| assert_eq!(events.next().unwrap()["params"]["uri"], "x:open"));
    fs::remove_dir_all(&folder).unwrap();
}

/// A8: each server of a file has its own rules; they change without a restart of the programs.
#[test]
fn sighup_changes_the_rules_of_a_server_and_ends_no_program() {
    let entry = |access: Value| {
        let mut entry = peer_entry("m");
        entry["access"] = access;
        entry
    };
    let github = FakeGitHub::start();
    let file =
        ServersFile::new(&json!({ "one": entry(json!([{ "allow": ["any"] }])), "two": peer_entry("m") }));
    let server = start(&github, &file);
    let [one, two] = ["one", "two"].map(|name| login(&server, name));
    let before = [pid(&server, "one", &one), pid(&server, "two", &two)];
    file.write(&json!({ "one": entry(json!([{ "allow": ["any"], "tools": [] }])), "two": peer_entry("m") }));
    assert!(reload(&server, "servers.reloaded").contains("changed=one"));
    let request = modern("tools/list", json!({})).at("/one/mcp").bearer(&one);
    assert_eq!(listed(&request.send(server.authority()).unwrap()), [""; 0]);
    assert_eq!(pid(&server, "two", &two), before[1]);
    let open = json!({ "one": peer_entry("m"), "two": peer_entry("m") });
    file.write(&open);
    reload(&server, "servers.reloaded");
    assert_eq!(pid(&server, "one", &one), before[0], "it has run all the time");
    // The program of a person whom the rules do not name any more ends with the next sweep.
    file.write(&json!({ "one": entry(json!([{ "allow": ["user:hubot"] }])), "two": peer_entry("m") }));
    reload(&server, "servers.reloaded");
    assert_eq!((status(&server, "one", &one), status(&server, "two", &two)), (403, 200));
    file.write(&open);
    reload(&server, "servers.reloaded");
    assert_eq!(status(&server, "one", &one), 200);
}
