//! The security events of docs/operations.md: each is caused here, and its line checked.

use std::collections::BTreeMap;
use std::process::Command;

use serde_json::Value;

use crate::support::browser::Browser;
use crate::support::github::FakeGitHub;
use crate::support::http::Request;
use crate::support::server::Server;
use crate::support::walk::{Client, REDIRECT_URI, Tokens};

/// The table: each event with the fields that its line has.
fn documented() -> BTreeMap<String, Vec<String>> {
    let text = include_str!("../../docs/operations.md");
    let (_, section) = text.split_once("## Security events").unwrap();
    let section = section.split("\n## ").next().unwrap();
    let words =
        |cell: &str| -> Vec<String> { cell.split('`').skip(1).step_by(2).map(str::to_owned).collect() };
    let rows = section.lines().filter(|line| line.starts_with("| `"));
    let rows = rows.map(|line| line.split('|').collect::<Vec<_>>());
    rows.map(|cells| (words(cells[1]).remove(0), words(cells[3]))).collect()
}

fn operate(server: &Server, arguments: &[&str]) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mcp-oauth-server"));
    let done = command.args(arguments).env_clear().env("MCP_STATE_DIR", server.state_dir()).output().unwrap();
    assert!(done.status.success(), "{done:?}");
}

/// A login that ends with a page instead of a code.
fn failed_login(server: &Server, client: &Client, status: u16) {
    let mut browser = Browser::default();
    let callback = server.through_github(client, &mut browser);
    browser.visit(&callback).expect(status);
}

/// L2: person, event, client, address and request.
#[test]
fn every_security_event_has_its_line() {
    let github = FakeGitHub::start();
    let denied = "https://denied.example/client";
    let more = [("MCP_LOG_FORMAT", "json"), ("MCP_DENY_CLIENTS", denied)];
    let server = Server::start_with(&github, &more);

    let (client, tokens) = server.login();
    let refreshed = Tokens::of(&server.refresh(&client, &tokens.refresh).expect(200).json());
    Tokens::of(&server.refresh(&client, &refreshed.refresh).expect(200).json());
    server.refresh(&client, &tokens.refresh).expect(400); // ends the grant: refresh_reused
    let code = server.code(&client, &mut Browser::default());
    server.redeem(&client, &code).expect(200);
    server.redeem(&client, &code).expect(400); // code_replayed
    let (leaving, left) = server.login();
    server.revoke(&leaving, &left.refresh).expect(200); // revoked
    server.login();
    operate(&server, &["grants", "revoke", "--all"]); // operator
    operate(&server, &["key", "rotate"]);
    let copy = server.state_dir().join("copy");
    operate(&server, &["backup", copy.to_str().unwrap()]);
    operate(&server, &["tokens", "add", "ci"]);

    let mut browser = Browser::default();
    let url = server.authorize_url(&client);
    let page = browser.visit(&url).expect(200);
    browser.press(&url, &page, ("decision", "deny")).expect(303);
    let unwelcome =
        Client { id: denied.to_owned(), redirect_uri: REDIRECT_URI.to_owned(), server: String::new() };
    Browser::default().visit(&server.authorize_url(&unwelcome)).expect(403);
    let mut owner = Browser::default();
    let account = server.url("/account");
    let page = owner.visit(&account).expect(200);
    let at_github = owner.press(&account, &page, ("sign_in", "github")).expect(303);
    let callback = Browser::default().visit(at_github.field("location").unwrap()).expect(302);
    owner.visit(callback.field("location").unwrap()).expect(303);
    github.log_in_as("stranger", 7);
    failed_login(&server, &client, 403);
    github.refuse_codes();
    failed_login(&server, &client, 400);
    Request::get("/healthz").send(server.authority()).unwrap().expect(200);

    server.wait_for_log("\"route\":\"health\"");
    let log = server.log();
    let lines: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let documented = documented();
    assert!(documented.len() >= 11, "{documented:?}");
    for (event, fields) in &documented {
        let of_event: Vec<&Value> = lines.iter().filter(|line| line["event"] == event.as_str()).collect();
        assert!(!of_event.is_empty(), "no {event} in\n{log}");
        for line in of_event {
            for field in fields {
                assert!(!line[field.as_str()].is_null(), "{line} has no {field}");
            }
            // A command of the operator has no address, and no request of the public door.
            let by_operator = event.starts_with("operator.") || line["reason"] == "operator";
            assert!(by_operator || line["request"].is_string() && line["peer"] == "127.0.0.1", "{line}");
        }
    }
    let fingerprint = crate::support::fingerprint(&client.id);
    let ended: Vec<&str> = lines
        .iter()
        .filter(|line| line["event"] == "grant.ended")
        .filter_map(|line| line["reason"].as_str())
        .collect();
    assert_eq!(ended, ["refresh_reused", "code_replayed", "revoked", "operator"]);
    let first = lines.iter().find(|line| line["event"] == "grant.ended").unwrap();
    assert_eq!(
        (&first["user"], &first["client"]),
        (&Value::from("github:583231"), &Value::from(fingerprint.as_str()))
    );
    let generations: Vec<u64> = lines
        .iter()
        .filter(|line| line["event"] == "token.issued")
        .filter_map(|line| line["generation"].as_u64())
        .collect();
    assert_eq!(generations.get(..3), Some(&[0, 1, 2][..]));
}
