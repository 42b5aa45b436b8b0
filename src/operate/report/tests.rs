//! How outcomes are printed.

use super::*;
use crate::base::{ClientFingerprint, GrantId, Network, Scopes, Secret, TokenName, UserId};
use crate::store::GrantClient;
use crate::store::conformance::grant;

fn summary(login: &str, name: &str) -> GrantSummary {
    GrantSummary {
        id: GrantId([7; 16]),
        subject: Subject::User(UserId(583_231)),
        login: login.to_owned(),
        client: GrantClient { name: name.to_owned(), ..grant(1).client },
        resource: "https://mcp.example.com/files/mcp".to_owned(),
        scopes: Scopes::parse("mcp").unwrap(),
        created: "2026-01-01T00:00:00Z".to_owned(),
        last_used: "2026-01-02T00:00:00Z".to_owned(),
        ends: "2026-04-01T00:00:00Z".to_owned(),
        addresses: Vec::new(),
    }
}

#[test]
fn grants_are_a_table_in_columns() {
    let grants = vec![summary("octocat", "Example Editor"), summary("mona", "")];
    let text = print(&Operation::ListGrants, &Outcome::Grants(grants), Format::Human);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 3);
    let column = lines[0].find("LOGIN SENT TO").unwrap();
    assert!(lines[1..].iter().all(|line| line[column..].starts_with("http://127.0.0.1  2026-01-01T")));
    assert!(
        lines[1].contains("octocat (583231)") && lines[1].ends_with("2026-01-02T00:00:00Z  Example Editor")
    );
    assert!(lines[2].ends_with("  -"));
}

/// With grants for one server, its URI would be the same in every line.
#[test]
fn the_server_of_a_grant_is_named_if_there_are_several() {
    let notes = "https://mcp.example.com/notes/mcp".to_owned();
    let grants = vec![summary("octocat", "Editor"), GrantSummary { resource: notes, ..summary("mona", "") }];
    let check = |grants: &[GrantSummary], ends: &[&str]| {
        let outcome = Outcome::Grants(grants.to_vec());
        let text = print(&Operation::ListGrants, &outcome, Format::Human);
        let lines: Vec<&str> = text.lines().collect();
        assert!(
            lines.len() == ends.len() && lines.iter().zip(ends).all(|(line, end)| line.ends_with(end)),
            "{text}"
        );
        let json = print(&Operation::ListGrants, &outcome, Format::Json);
        assert!(json.contains("\"resource\":\"https://mcp.example.com/files/mcp\""), "{json}");
    };
    check(
        &grants,
        &[
            "PROGRAM  SERVER",
            "Editor   https://mcp.example.com/files/mcp",
            "-        https://mcp.example.com/notes/mcp",
        ],
    );
    check(&grants[..1], &["PROGRAM", "Editor"]);
}

/// C1: the host that the name is verified for, if there is one.
#[test]
fn the_host_that_describes_a_program_is_named() {
    let mut grant = summary("octocat", "Editor");
    grant.client.host = Some("editor.example".to_owned());
    let text = print(&Operation::ListGrants, &Outcome::Grants(vec![grant]), Format::Human);
    assert!(text.ends_with("  Editor (editor.example)\n"), "{text}");
}

#[test]
fn a_name_does_not_command_the_terminal() {
    let text =
        print(&Operation::ListGrants, &Outcome::Grants(vec![summary("o", "a\u{1b}[2J\nb")]), Format::Human);
    assert!(text.ends_with("  a\\u{1b}[2J\\nb\n"), "{text}");
}

/// Every text may be from a compromised server, with control characters of both sets and those that reorder text.
#[test]
fn no_cell_commands_the_terminal() {
    let evil = |text: &str| format!("{text}\u{1b}[31m\u{9b}31m\u{7}\u{202e}\u{200b}");
    let fingerprint: ClientFingerprint = serde_json::from_value(json!(evil("F"))).unwrap();
    let mut grant = summary(&evil("login"), &evil("name"));
    grant.client = GrantClient { fingerprint, host: Some(evil("host")), ..grant.client };
    (grant.created, grant.last_used, grant.ends) = (evil("C"), evil("L"), evil("E"));
    let token = GrantSummary { login: evil("token:ci"), resource: evil("u"), ..grant.clone() };
    let servers = vec![(evil("s"), evil("https://x"))];
    let added = AddedToken { token: Secret::new(evil("mcp_st_x")), servers, ends: evil("E") };
    for format in [Format::Human, Format::Json] {
        for (operation, outcome) in [
            (Operation::ListGrants, Outcome::Grants(vec![grant.clone(), summary("mona", "")])),
            (Operation::ListTokens, Outcome::Tokens(vec![token.clone()])),
            (Operation::ListTokens, Outcome::TokenAdded(added.clone())),
        ] {
            let text = print(&operation, &outcome, format);
            assert!(!text.contains(|c: char| !is_visible(c) && c != '\n'), "{text:?}");
            assert!(format == Format::Human || serde_json::from_str::<Value>(&text).is_ok(), "{text}");
        }
    }
}

#[test]
fn programs_get_one_line_of_json() {
    let json = print(&Operation::ListGrants, &Outcome::Grants(vec![summary("octocat", "x")]), Format::Json);
    let value: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(value["grants"][0]["login"], "octocat");
    assert_eq!(value["grants"][0]["client"]["redirect"], "http://127.0.0.1");
    assert_eq!(json.lines().count(), 1);
    assert_eq!(
        print(&Operation::RotateKey, &Outcome::Rotated { keys: 2 }, Format::Json),
        "{\"rotated\":{\"keys\":2}}\n"
    );
}

#[test]
fn a_revocation_that_matches_nothing_is_reported() {
    let check = |selection, ids: &[GrantId], expected| {
        let (operation, outcome) = (Operation::Revoke(selection), Outcome::Revoked(ids.to_vec()));
        let text = print(&operation, &outcome, Format::Human);
        assert_eq!((missed(&operation, &outcome), text.lines().next()), expected);
    };
    let nobody = Selection::Login("nobody".to_owned());
    let number = Operation::Revoke(Selection::Number(UserId(7)));
    assert!(print(&number, &Outcome::Revoked(Vec::new()), Format::Human).contains("github:NUMBER"));
    check(nobody, &[], (true, Some("Nothing matches, and nothing was revoked: see `grants list`.")));
    let token = Selection::Token(TokenName::parse("nobody").unwrap());
    check(token, &[], (true, Some("Nothing matches, and nothing was revoked: see `tokens list`.")));
    let revoked = (false, Some("revoked BwcHBwcHBwcHBwcHBwcHBw"));
    check(Selection::Login("octocat".to_owned()), &[GrantId([7; 16])], revoked);
    check(Selection::All, &[], (false, Some("There are no grants.")));
}

/// The token is the first line; the configuration has it once for each server.
#[test]
fn a_new_token_is_printed_with_a_clients_configuration() {
    let servers =
        ["files", "notes"].map(|name| (name.to_owned(), format!("https://mcp.example.com/{name}/mcp")));
    let token = Secret::new("mcp_st_x".to_owned());
    let added = AddedToken { token, servers: servers.to_vec(), ends: "2026-04-01T00:00:00Z".to_owned() };
    let outcome = Outcome::TokenAdded(added);
    assert!(!format!("{outcome:?}").contains("mcp_st_x"));
    let text = print(&Operation::ListTokens, &outcome, Format::Human);
    assert_eq!(text.lines().next(), Some("mcp_st_x"));
    let configuration: Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    let files = &configuration["mcpServers"]["files"];
    assert_eq!(
        (&files["type"], &files["url"]),
        (&json!("http"), &json!("https://mcp.example.com/files/mcp"))
    );
    assert_eq!(configuration["mcpServers"]["notes"]["headers"]["Authorization"], "Bearer mcp_st_x");
}

#[test]
fn service_tokens_are_a_table_of_their_own() {
    let addresses = ["10.0.0.0/8", "::1"].map(|text| Network::parse(text).unwrap()).to_vec();
    let subject = Subject::Token(TokenName::parse("ci").unwrap());
    let used = GrantSummary { addresses, subject, ..summary("token:ci", "service token") };
    let unused = GrantSummary { last_used: used.created.clone(), addresses: Vec::new(), ..used.clone() };
    let grants = Outcome::Grants(vec![unused.clone()]);
    let text = print(&Operation::ListGrants, &grants, Format::Human);
    assert!(text.contains("2026-01-01T00:00:00Z  -          service token"), "as tokens list has it: {text}");
    let text = print(&Operation::ListTokens, &Outcome::Tokens(vec![used, unused]), Format::Human);
    let rows: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rows[0], ["NAME", "MADE", "ENDS", "LAST", "USED", "ADDRESSES", "SERVERS"]);
    let ends = "2026-04-01T00:00:00Z";
    let (made, uri) = ("2026-01-01T00:00:00Z", "https://mcp.example.com/files/mcp");
    assert_eq!(rows[1], ["ci", made, ends, "2026-01-02T00:00:00Z", "10.0.0.0/8,::1", uri]);
    assert_eq!(rows[2], ["ci", made, ends, "-", "any", uri]);
    let none = print(&Operation::ListTokens, &Outcome::Tokens(Vec::new()), Format::Human);
    assert_eq!(none, "There are no service tokens.\n");
}
