//! Formatting of an outcome as text or JSON.

use serde_json::{Value, json};

use crate::base::Subject;
use crate::base::log::Format;
use crate::bridge::ServerSummary;
use crate::oauth::{AddedToken, client_metadata::is_visible};
use crate::operator::{GrantSummary, Operation, Outcome, Running, Selection};

const GRANTS: [&str; 8] =
    ["ID", "USER", "CLIENT", "LOGIN SENT TO", "CREATED", "LAST USED", "PROGRAM", "SERVER"];

const SERVERS: [&str; 7] = ["NAME", "PATH", "KIND", "RUNNING", "RESTARTS", "FAILURES", "LAST FAILURE"];

const TOKENS: [&str; 6] = ["NAME", "MADE", "ENDS", "LAST USED", "ADDRESSES", "SERVERS"];

const NUMBER: &str = "A number that is also the login of another person is written as github:NUMBER.\n";

const OLD_PLACE: &str = "Those at the old place are still there, and commands with the old MCP_STORE, or still without it, work on them.\n";

const NONE: &str = "There are no grants.\n";

/// The output of a command.
pub fn print(operation: &Operation, outcome: &Outcome, format: Format) -> String {
    match format {
        Format::Human => text(operation, outcome),
        Format::Json => {
            let json = serde_json::to_string(outcome).expect("an outcome is structs with string keys");
            // JSON escapes only some of what a terminal interprets.
            json.replace(|c| !is_visible(c), "?") + "\n"
        }
    }
}

/// Whether the command names or asks about something that does not exist. `--all` always matches.
pub fn missed(operation: &Operation, outcome: &Outcome) -> bool {
    let nothing_ended = matches!(outcome, Outcome::Revoked(ids) if ids.is_empty());
    (nothing_ended && *operation != Operation::Revoke(Selection::All))
        || matches!(outcome, Outcome::Status { server: None, .. } | Outcome::Forgotten { removed: 0 })
}

fn text(operation: &Operation, outcome: &Outcome) -> String {
    match outcome {
        Outcome::Grants(grants) if grants.is_empty() => NONE.to_owned(),
        Outcome::Grants(grants) => grants_table(grants),
        Outcome::Tokens(tokens) if tokens.is_empty() => "There are no service tokens.\n".to_owned(),
        Outcome::Tokens(tokens) => table(TOKENS, tokens.iter().map(token_row)),
        Outcome::TokenAdded(added) => added_token(added),
        Outcome::Revoked(_) if missed(operation, outcome) => {
            let is_token = matches!(operation, Operation::Revoke(Selection::Token(_)));
            let list = if is_token { "tokens list" } else { "grants list" };
            let more = if matches!(operation, Operation::Revoke(Selection::Number(_))) { NUMBER } else { "" };
            format!("Nothing matches, and nothing was revoked: see `{list}`.\n{more}")
        }
        Outcome::Revoked(ids) if ids.is_empty() => NONE.to_owned(),
        Outcome::Revoked(ids) => {
            let lines: String = ids.iter().map(|id| format!("revoked {id}\n")).collect();
            lines + "Their tokens, sessions and streams have ended.\n"
        }
        Outcome::Status { grants, server: None } => format!("No server runs.\nGrants         {grants}\n"),
        Outcome::Status { grants, server: Some(server) } => {
            let Running { version, since, sessions, streams, calls, programs } = server;
            let (since, version) = (visible(since), visible(version));
            format!(
                "Up since       {since}\nVersion        {version}\nGrants         {grants}\nSessions       {sessions}\n\
                 Streams        {streams}\nRunning calls  {calls}\nPrograms       {programs}\n"
            )
        }
        Outcome::Servers(servers) => table(SERVERS, servers.iter().map(server_row)),
        Outcome::Restarted { ended } => format!("{ended} ended. The next call starts it again.\n"),
        Outcome::Forgotten { removed: 0 } => {
            "There are no such home directories, and nothing was removed. `servers list` has the servers' names, `grants list` the people's numbers.\n".to_owned()
        }
        Outcome::Forgotten { removed: 1 } => "1 home directory is removed.\n".to_owned(),
        Outcome::Forgotten { removed } => format!("{removed} home directories are removed.\n"),
        Outcome::Copied { grants } => format!("{grants} grants are copied. {OLD_PLACE}"),
        Outcome::BackedUp => "The grants are copied. The key is not in the copy.\n".to_owned(),
        Outcome::Rotated { keys } => format!(
            "A new key seals from now on. The key file holds {keys} keys; values sealed under the older ones still open.\n"
        ),
    }
}

/// The server is shown if there are grants for several. An empty last column is trimmed.
fn grants_table(grants: &[GrantSummary]) -> String {
    let first = grants.first().map(|grant| &grant.resource);
    let names_servers = grants.iter().any(|grant| Some(&grant.resource) != first);
    let mut headings = GRANTS;
    if !names_servers {
        headings[7] = "";
    }
    let server = |grant: &GrantSummary| if names_servers { grant.resource.clone() } else { String::new() };
    table(headings, grants.iter().map(|grant| grant_row(grant, server(grant))))
}

/// The cells may be from a compromised server.
fn table<const N: usize>(headings: [&str; N], rows: impl Iterator<Item = [String; N]>) -> String {
    let rows = std::iter::once(headings.map(str::to_owned)).chain(rows);
    let rows: Vec<[String; N]> = rows.map(|row| row.map(|cell| visible(&cell))).collect();
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or_default()
    };
    let widths: Vec<usize> = (0..N).map(width).collect();
    let line = |row: &[String; N]| {
        let cells = row.iter().zip(&widths).map(|(cell, &width)| format!("{cell:width$}"));
        format!("{}\n", cells.collect::<Vec<_>>().join("  ").trim_end())
    };
    rows.iter().map(line).collect()
}

fn server_row(server: &ServerSummary) -> [String; 7] {
    let failure = server.last_failure.as_ref().map(|(when, why)| format!("{when} {why}"));
    [
        server.name.clone(),
        server.path.clone(),
        server.kind.clone(),
        server.running.to_string(),
        server.restarts.to_string(),
        server.failures.to_string(),
        failure.unwrap_or_else(|| "-".to_owned()),
    ]
}

fn token_row(token: &GrantSummary) -> [String; 6] {
    let addresses: Vec<String> = token.addresses.iter().map(ToString::to_string).collect();
    [
        token.login.trim_start_matches("token:").to_owned(),
        token.created.clone(),
        token.ends.clone(),
        last_use(token),
        if addresses.is_empty() { "any".to_owned() } else { addresses.join(",") },
        token.resource.clone(),
    ]
}

/// A service token that was never used has the time when it was made there.
fn last_use(grant: &GrantSummary) -> String {
    let is_unused = matches!(grant.subject, Subject::Token(_)) && grant.last_used == grant.created;
    if is_unused { "-".to_owned() } else { grant.last_used.clone() }
}

/// The token on a line of its own, for scripts; then a configuration with it.
fn added_token(added: &AddedToken) -> String {
    let token = visible(added.token.expose());
    let entry = |url: &str| json!({ "type": "http", "url": url, "headers": { "Authorization": format!("Bearer {token}") } });
    let servers: Value = added.servers.iter().map(|(name, url)| (name.clone(), entry(url))).collect();
    let (ends, client) = (visible(&added.ends), visible(json!({ "mcpServers": servers })));
    format!(
        "{token}\n\nThis is the token. It is shown now and never again; it ends at {ends}. For a client:\n\n{client}\n"
    )
}

fn grant_row(grant: &GrantSummary, server: String) -> [String; 8] {
    let name = if grant.client.name.is_empty() { "-" } else { &grant.client.name };
    let host = grant.client.host.as_ref().map(|host| format!(" ({host})")).unwrap_or_default();
    [
        grant.id.to_string(),
        match grant.subject {
            Subject::User(user) => format!("{} ({})", grant.login, user.0),
            Subject::Token(name) => name.to_string(),
        },
        grant.client.fingerprint.as_str().to_owned(),
        grant.client.redirect.clone(),
        grant.created.clone(),
        last_use(grant),
        name.to_owned() + &host,
        server,
    ]
}

/// The text with the characters escaped that a terminal interprets or hides. Peers and files have chosen some of it.
pub fn visible(text: impl ToString) -> String {
    let escaped = |c: char| if is_visible(c) { c.into() } else { c.escape_default().to_string() };
    text.to_string().chars().map(escaped).collect()
}

#[cfg(test)]
mod tests;
