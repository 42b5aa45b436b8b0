//! An outcome in words, or as JSON.

use crate::config::OutcomeFormat;
use crate::operator::{GrantSummary, Operation, Outcome, Running, Selection};

const HEADINGS: [&str; 7] = ["ID", "USER", "CLIENT", "LOGIN SENT TO", "CREATED", "LAST USED", "PROGRAM"];

const NONE: &str = "There are no grants.\n";

/// What is printed.
pub fn print(operation: &Operation, outcome: &Outcome, format: OutcomeFormat) -> String {
    match format {
        OutcomeFormat::Text if missed(operation, outcome) && matches!(operation, Operation::Revoke(_)) => {
            "No grant matches: nothing was revoked.\n".to_owned()
        }
        OutcomeFormat::Text => text(outcome),
        OutcomeFormat::Json => {
            let json = serde_json::to_string(outcome).expect("an outcome is structs with string keys");
            json + "\n"
        }
    }
}

/// Whether something was named or asked about that is not there. `--all` of nothing is all.
pub fn missed(operation: &Operation, outcome: &Outcome) -> bool {
    if matches!(outcome, Outcome::Status { server: None, .. }) {
        return true;
    }
    let named = match operation {
        Operation::Revoke(Selection::All)
        | Operation::ListGrants
        | Operation::RotateKey
        | Operation::Status
        | Operation::BackUp => false,
        Operation::Revoke(
            Selection::Grant(_) | Selection::User(_) | Selection::Login(_) | Selection::Client(_),
        ) => true,
    };
    named && *outcome == Outcome::Revoked(Vec::new())
}

fn text(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Grants(grants) if grants.is_empty() => NONE.to_owned(),
        Outcome::Grants(grants) => table(grants),
        Outcome::Revoked(ids) if ids.is_empty() => NONE.to_owned(),
        Outcome::Revoked(ids) => {
            let lines: String = ids.iter().map(|id| format!("revoked {id}\n")).collect();
            lines + "Their tokens, sessions and streams have ended.\n"
        }
        Outcome::Status { grants, server: None } => format!("No server runs.\nGrants         {grants}\n"),
        Outcome::Status { grants, server: Some(server) } => {
            let Running { version, since, sessions, streams, calls } = server;
            let (since, version) = (visible(since), visible(version));
            format!(
                "Up since       {since}\nVersion        {version}\nGrants         {grants}\nSessions       {sessions}\n\
                 Streams        {streams}\nRunning calls  {calls}\n"
            )
        }
        Outcome::BackedUp => "The grants are copied. The key is not in the copy.\n".to_owned(),
        Outcome::Rotated { keys } => format!(
            "A new key seals from now on. The key file holds {keys} keys; values sealed under the older ones still open.\n"
        ),
    }
}

fn table(grants: &[GrantSummary]) -> String {
    let rows: Vec<[String; 7]> =
        std::iter::once(HEADINGS.map(str::to_owned)).chain(grants.iter().map(row)).collect();
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or_default()
    };
    let widths: Vec<usize> = (0..HEADINGS.len()).map(width).collect();
    let line = |row: &[String; 7]| {
        let cells = row.iter().zip(&widths).map(|(cell, &width)| format!("{cell:width$}"));
        format!("{}\n", cells.collect::<Vec<_>>().join("  ").trim_end())
    };
    rows.iter().map(line).collect()
}

fn row(grant: &GrantSummary) -> [String; 7] {
    let name = if grant.client.name.is_empty() { "-" } else { &grant.client.name };
    let host = grant.client.host.as_ref().map(|host| format!(" ({host})")).unwrap_or_default();
    let name = name.to_owned() + &host;
    [
        grant.id.to_string(),
        visible(&format!("{} ({})", grant.login, grant.user.0)),
        grant.client.fingerprint.as_str().to_owned(),
        visible(&grant.client.redirect),
        grant.created.clone(),
        grant.last_used.clone(),
        visible(&name),
    ]
}

/// A terminal obeys control characters; registration lets none in, and this does not rely on it.
pub(super) fn visible(text: &str) -> String {
    let escape =
        |c: char| if c.is_control() { c.escape_default().collect::<String>() } else { c.to_string() };
    text.chars().map(escape).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::identity::{GrantId, Scopes, UserId};
    use crate::store::GrantClient;
    use crate::store::conformance::grant;

    fn summary(login: &str, name: &str) -> GrantSummary {
        GrantSummary {
            id: GrantId([7; 16]),
            user: UserId(583_231),
            login: login.to_owned(),
            client: GrantClient { name: name.to_owned(), ..grant(1).client },
            scopes: Scopes::parse("mcp").unwrap(),
            created: "2026-01-01T00:00:00Z".to_owned(),
            last_used: "2026-01-02T00:00:00Z".to_owned(),
            ends: "2026-04-01T00:00:00Z".to_owned(),
        }
    }

    #[test]
    fn grants_are_a_table_in_columns() {
        let grants = vec![summary("octocat", "Example Editor"), summary("mona", "")];
        let text = print(&Operation::ListGrants, &Outcome::Grants(grants), OutcomeFormat::Text);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 3);
        let column = lines[0].find("LOGIN SENT TO").unwrap();
        assert!(lines[1..].iter().all(|line| line[column..].starts_with("http://127.0.0.1  2026-01-01T")));
        assert!(
            lines[1].contains("octocat (583231)")
                && lines[1].ends_with("2026-01-02T00:00:00Z  Example Editor")
        );
        assert!(lines[2].ends_with("  -"));
    }

    /// C1: a host stands behind the name, if one does.
    #[test]
    fn the_host_that_describes_a_program_is_named() {
        let mut grant = summary("octocat", "Editor");
        grant.client.host = Some("editor.example".to_owned());
        let text = print(&Operation::ListGrants, &Outcome::Grants(vec![grant]), OutcomeFormat::Text);
        assert!(text.ends_with("  Editor (editor.example)\n"), "{text}");
    }

    #[test]
    fn a_name_does_not_command_the_terminal() {
        let text = print(
            &Operation::ListGrants,
            &Outcome::Grants(vec![summary("o", "a\u{1b}[2J\nb")]),
            OutcomeFormat::Text,
        );
        assert!(text.ends_with("  a\\u{1b}[2J\\nb\n"), "{text}");
    }

    #[test]
    fn programs_get_one_line_of_json() {
        let json = print(
            &Operation::ListGrants,
            &Outcome::Grants(vec![summary("octocat", "x")]),
            OutcomeFormat::Json,
        );
        let value: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(value["grants"][0]["login"], "octocat");
        assert_eq!(value["grants"][0]["client"]["redirect"], "http://127.0.0.1");
        assert_eq!(json.lines().count(), 1);
        assert_eq!(
            print(&Operation::RotateKey, &Outcome::Rotated { keys: 2 }, OutcomeFormat::Json),
            "{\"rotated\":{\"keys\":2}}\n"
        );
    }

    #[test]
    fn a_name_that_nobody_has_is_noticed() {
        let check = |selection, ids: &[GrantId], expected| {
            let (operation, outcome) = (Operation::Revoke(selection), Outcome::Revoked(ids.to_vec()));
            let text = print(&operation, &outcome, OutcomeFormat::Text);
            assert_eq!((missed(&operation, &outcome), text.lines().next()), expected);
        };
        check(
            Selection::Login("nobody".to_owned()),
            &[],
            (true, Some("No grant matches: nothing was revoked.")),
        );
        let revoked = (false, Some("revoked BwcHBwcHBwcHBwcHBwcHBw"));
        check(Selection::Login("octocat".to_owned()), &[GrantId([7; 16])], revoked);
        check(Selection::All, &[], (false, Some("There are no grants.")));
    }
}
