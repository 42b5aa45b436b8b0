//! The servers file: JSON in the form that MCP clients use (`mcpServers`), parsed to validated entries. All mistakes are
//! reported at once; each names the file, its server and member, and the correction.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::child_user::ChildUser;
use super::entry::{BridgeSetup, Executable, Home, Isolation, Location, ServerEntry};
use super::launch;
use super::upstream::UpstreamUrl;
use crate::base::{AccessRules, StartupError, capped, limits, sha256};

/// Members of MCP clients' files that this server does not support, each with the alternative.
const OF_CLIENTS: [(&str, &str); 3] = [
    ("envFile", "write the variables into \"env\", or set them for this server and write \"${env.NAME}\""),
    ("timeout", "write \"startSeconds\" for the time that a start may take; calls may take 15 minutes"),
    ("alwaysAllow", "leave it out: what a client may do without asking is for the client to decide"),
];

/// The maximum for durations (seconds).
const SECONDS_MAX: u64 = 86_400;
/// The maximum length of a server's name (bytes).
const NAME_BYTES: usize = 32;

/// The kinds of servers, in the words of MCP clients.
#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum ServerKind {
    Stdio,
    Http,
}

/// The servers of a file, without disabled ones.
///
/// # Errors
/// All mistakes.
pub(super) fn read(file: &Path, setup: BridgeSetup<'_>) -> Result<Vec<ServerEntry>, Vec<StartupError>> {
    let document: Map<String, Value> = capped::json("MCP_SERVERS", file)?;
    let file = format!("MCP_SERVERS ({})", file.display());
    let whole = |why: &dyn Display| StartupError::unusable(&file, why);
    let mut mistakes = Vec::new();
    for name in document.keys().filter(|name| *name != "mcpServers") {
        mistakes.push(whole(&format!(
            "{name}: write the servers into \"mcpServers\", the only member of the file"
        )));
    }
    let Some(Value::Object(servers)) = document.get("mcpServers") else {
        mistakes.push(whole(&"write { \"mcpServers\": { \"NAME\": { \"command\": \"...\" } } }"));
        return Err(mistakes);
    };
    let mut entries = Vec::new();
    for (name, value) in servers {
        let subject = format!("{file}: server {name:?}");
        mistakes.extend(mistake_in_name(name, setup).map(|why| StartupError::unusable(&subject, why)));
        let Some(members) = value.as_object() else {
            mistakes.push(StartupError::unusable(subject, "write { \"command\": \"...\" }"));
            continue;
        };
        let reader = EntryReader { subject, members, known: Vec::new(), setup, mistakes: &mut mistakes };
        entries.extend(reader.entry(name));
    }
    if entries.is_empty() && mistakes.is_empty() {
        mistakes.push(whole(&"\"mcpServers\" names no server that is not disabled"));
    }
    if mistakes.is_empty() { Ok(entries) } else { Err(mistakes) }
}

/// Reads one server.
struct EntryReader<'a> {
    /// The name of the server, for messages.
    subject: String,
    members: &'a Map<String, Value>,
    /// The members that were read; any other is unknown.
    known: Vec<&'static str>,
    setup: BridgeSetup<'a>,
    mistakes: &'a mut Vec<StartupError>,
}

impl EntryReader<'_> {
    /// The entry; `None` if it is disabled or its mistakes, which are recorded, leave nothing to check.
    fn entry(mut self, name: &str) -> Option<ServerEntry> {
        let kind = self.read("type", "\"stdio\", or \"http\" for Streamable HTTP; \"sse\" is not spoken");
        let by_members = if self.members.contains_key("url") { ServerKind::Http } else { ServerKind::Stdio };
        if self.members.contains_key("command") && self.members.contains_key("url") {
            self.mistake(
                "command",
                "take \"command\" or \"url\": a server is a program or is reached over HTTP",
            );
            return None;
        }
        let location = match kind.unwrap_or(by_members) {
            ServerKind::Stdio => self.program(),
            ServerKind::Http => self.upstream(),
        };
        let isolation = self.read("isolation", "\"grant\", \"user\", \"session\" or \"shared\"");
        let title = self.read("title", "a text");
        let disabled = self.read("disabled", "true or false");
        let scopes = self.read("githubScopes", "scopes of GitHub: [\"repo\", \"read:org\"]");
        let start = self.seconds("startSeconds").unwrap_or(limits::bridge::START);
        let idle = self.seconds("idleSeconds").unwrap_or(self.setup.options.idle);
        let access = self.access();
        self.check_unknown();
        let rest: Map<String, Value> =
            self.members.clone().into_iter().filter(|(name, _)| name != "access").collect();
        let entry = ServerEntry {
            name: Arc::from(name),
            title: title.unwrap_or_else(|| name.to_owned()),
            isolation: isolation.unwrap_or_default(),
            start,
            idle,
            github_scopes: scopes.unwrap_or_default(),
            location: location?,
            holds_secret: ["env", "headers"].iter().any(|values| seems_secret(self.members.get(*values))),
            access,
            digest: sha256(format!("{name} {}", Value::Object(rest)).as_bytes()),
        };
        self.check_persons(&entry);
        self.check_home(&entry);
        self.check_scopes(&entry);
        (disabled != Some(true)).then_some(entry)
    }

    fn mistake(&mut self, member: &str, why: impl Display) {
        self.mistakes.push(StartupError::unusable(format!("{}: {member}", self.subject), why));
    }

    /// Records a mistake in a member, if there is one.
    fn keep<T>(&mut self, member: &str, found: Result<T, impl Display>) -> Option<T> {
        found.map_err(|why| self.mistake(member, why)).ok()
    }

    /// Reads a member of this type.
    fn read<T: DeserializeOwned>(&mut self, member: &'static str, form: &str) -> Option<T> {
        self.known.push(member);
        let value = T::deserialize(self.members.get(member)?);
        self.keep(member, value.map_err(|_| format!("write {form}")))
    }

    /// A text without placeholders: those are only for values that no one but the bridged server sees (P1).
    fn plain(&mut self, member: &str, text: &str) -> Option<String> {
        const PLACEHOLDER: &str =
            "placeholders are for the values of \"env\" and \"headers\"; write $${ for a literal ${";
        let is_plain = !text.replace("$${", "").contains("${");
        self.keep(member, if is_plain { Ok(text.replace("$${", "${")) } else { Err(PLACEHOLDER) })
    }

    fn text(&mut self, member: &'static str, form: &str) -> Option<String> {
        let text: String = self.read(member, form)?;
        self.plain(member, &text)
    }

    fn access(&mut self) -> AccessRules {
        self.known.push("access");
        let read = self.members.get("access").map_or_else(|| Ok(AccessRules::default()), AccessRules::read);
        read.unwrap_or_else(|mistakes| {
            mistakes.iter().for_each(|why| self.mistake("access", why));
            AccessRules::default()
        })
    }

    fn seconds(&mut self, member: &'static str) -> Option<Duration> {
        let form = format!("a number of seconds from 1 to {SECONDS_MAX}");
        let seconds = self.read(member, &form)?;
        let is_in_range = (1..=SECONDS_MAX).contains(&seconds);
        self.keep(member, is_in_range.then(|| Duration::from_secs(seconds)).ok_or(format!("write {form}")))
    }

    fn program(&mut self) -> Option<Location> {
        const COMMAND: &str =
            "the program alone, its arguments into \"args\"; or \"type\": \"http\" and \"url\"";
        if !self.members.contains_key("command") {
            self.mistake("command", format!("write {COMMAND}"));
        }
        let command = self.text("command", COMMAND);
        let path = command.and_then(|command| self.keep("command", self.setup.find_program(&command)));
        let args: Option<Vec<String>> = self.read("args", "a list of texts: [\"...\", \"...\"]");
        let args = args.unwrap_or_default();
        let cwd = self.text("cwd", "an absolute path").map(PathBuf::from);
        if cwd.as_ref().is_some_and(|cwd| !launch::may_be_directory(cwd)) {
            self.mistake("cwd", "write the absolute path of a directory that exists");
        }
        let user: Option<String> =
            self.read("user", "the name or the number of a user, or a range of numbers, as a text");
        let user = self.keep("user", self.setup.find_user(user.as_deref()));
        let home = self.read("home", "\"person\" or \"shared\"").unwrap_or_default();
        let env = self.values("env", |reader, name, value| reader.setup.variable(name, value));
        let args = args.iter().filter_map(|argument| self.plain("args", argument)).collect();
        Some(Location::Program(Executable { path: path?, args, env, cwd, user: user?, home }))
    }

    fn upstream(&mut self) -> Option<Location> {
        const URL: &str = "the URL of an MCP server over Streamable HTTP";
        if !self.members.contains_key("url") {
            self.mistake("url", format!("write {URL}"));
        }
        let url = self.text("url", URL);
        let url = url.and_then(|url| self.keep("url", UpstreamUrl::parse(&url)));
        let headers = self.values("headers", |reader, name, value| {
            url.as_ref().map(|url| url.header(name, value, &reader.setup.options.variables)).transpose()
        });
        Some(Location::Upstream { url: url?, headers: headers.into_iter().flatten().collect() })
    }

    /// A member that maps names to values with placeholders.
    fn values<T>(
        &mut self,
        member: &'static str,
        read: impl Fn(&Self, &str, &str) -> Result<T, String>,
    ) -> Vec<T> {
        let form = "names and texts: { \"NAME\": \"value\" }, numbers and true in quotes";
        let values: Option<BTreeMap<String, String>> = self.read(member, form);
        let values = values.unwrap_or_default().into_iter();
        values
            .filter_map(|(name, value)| self.keep(&format!("{member}.{name}"), read(self, &name, &value)))
            .collect()
    }

    fn check_unknown(&mut self) {
        let known = self.known.join(", ");
        for name in self.members.keys().filter(|name| !self.known.contains(&name.as_str())) {
            let form = OF_CLIENTS.iter().find(|(member, _)| member == name).map(|(_, form)| *form);
            let form =
                form.map_or_else(|| format!("the members of such a server are {known}"), str::to_owned);
            self.mistakes.push(StartupError::unusable(format!("{}: {name}", self.subject), form));
        }
    }

    /// M5: a value that belongs to one person must not reach a server that several persons share.
    fn check_persons(&mut self, entry: &ServerEntry) {
        let member = if matches!(entry.location, Location::Program(_)) { "env" } else { "headers" };
        for (name, value) in entry.templates() {
            let why = match entry.isolation {
                Isolation::Shared if value.names_github_token() || value.names_person() => {
                    "\"shared\" is started for nobody in particular: take the placeholder away, or choose another \"isolation\""
                }
                Isolation::User if value.names_github_token() => {
                    "${github.token} belongs to one login: choose the \"isolation\" \"grant\" or \"session\""
                }
                Isolation::Grant | Isolation::Session | Isolation::User | Isolation::Shared => continue,
            };
            self.mistake(&format!("{member}.{name}"), why);
        }
    }

    /// A directory written by one user cannot be used by another.
    fn check_home(&mut self, entry: &ServerEntry) {
        if let Location::Program(program) = &entry.location
            && let (Home::Shared, Some(ChildUser::PerPerson(_))) = (program.home, &program.user)
            && entry.isolation != Isolation::Shared
        {
            self.mistake(
                "home",
                "\"shared\" needs one user for all: name one in \"user\", in place of a range",
            );
        }
    }

    fn check_scopes(&mut self, entry: &ServerEntry) {
        let is_scope =
            |scope: &String| !scope.is_empty() && scope.bytes().all(|b| b.is_ascii_graphic() && b != b',');
        if !entry.github_scopes.iter().all(is_scope) {
            self.mistake("githubScopes", "write scopes of GitHub, one a text: [\"repo\", \"read:org\"]");
        }
        if !entry.github_scopes.is_empty() && !entry.needs_github_token() {
            self.mistake("githubScopes", "write ${github.token} into \"env\" or \"headers\", or leave it out: this server gets no token");
        }
    }
}

/// Why this cannot be the name of a server.
fn mistake_in_name(name: &str, setup: BridgeSetup<'_>) -> Option<&'static str> {
    let starts = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let has_form = name.len() <= NAME_BYTES
        && name.bytes().next().is_some_and(starts)
        && name.bytes().all(|b| starts(b) || b == b'_' || b == b'-');
    match has_form {
        true if !(setup.is_reserved)(name) => None,
        true => Some("its name is a path of this server's own: choose another"),
        false => Some(
            "its name becomes a path: up to 32 lower-case letters, digits, - and _, a letter or digit first",
        ),
    }
}

/// Whether one of these values seems to be a literal secret, judging by the names.
fn seems_secret(values: Option<&Value>) -> bool {
    const WORDS: [&str; 6] = ["key", "token", "secret", "password", "authorization", "credential"];
    values.and_then(Value::as_object).into_iter().flatten().any(|(name, value)| {
        let name = name.to_ascii_lowercase();
        WORDS.iter().any(|word| name.contains(word)) && !value.to_string().contains("${")
    })
}

#[cfg(test)]
mod tests;
