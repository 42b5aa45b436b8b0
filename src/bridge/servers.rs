//! The servers file: JSON in the form that MCP clients use (`mcpServers`), read to entries that are known to be good. All
//! mistakes are found at once; each names its server and member, and says what to write instead.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Map, Value};

use super::entry::{Executable, Home, Isolation, Location, ServerEntry};
use super::template::Variables;
use crate::base::json;

mod members;

/// What the reader knows besides the file's text.
pub(crate) struct Surroundings<'a> {
    pub(crate) environment: &'a Variables,
    /// `idleSeconds` of servers that do not say it.
    pub(crate) idle: Duration,
    /// Whether a name is the first segment of a path of our own.
    pub(crate) is_reserved: fn(&str) -> bool,
}

/// One thing in the file that cannot be used.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Mistake {
    server: Option<String>,
    member: Option<String>,
    what: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(server) = &self.server {
            write!(f, "server {server:?}: ")?;
        }
        if let Some(member) = &self.member {
            write!(f, "{member}: ")?;
        }
        f.write_str(&self.what)
    }
}

/// Members of every server, of those with a command, and of those with a URL.
const COMMON: [&str; 7] = ["type", "title", "isolation", "idleSeconds", "githubScopes", "access", "disabled"];
const OF_COMMAND: [&str; 7] = ["command", "args", "env", "cwd", "user", "home", "startSeconds"];
const OF_URL: [&str; 2] = ["url", "headers"];

/// Members that MCP clients have and we do not, with what to write instead.
const DIALECT: [(&str, &str); 16] = [
    (
        "envFile",
        "is not read: write the variables into \"env\", or set them for this server and write \"${env.NAME}\"",
    ),
    (
        "timeout",
        "is not known: write \"startSeconds\" for the time that a start may take; calls may take 15 minutes",
    ),
    ("alwaysAllow", "is for the client to decide: leave it out, or restrict tools by \"access\""),
    ("autoApprove", "is for the client to decide: leave it out, or restrict tools by \"access\""),
    ("allowedTools", "is not known: restrict tools by \"access\""),
    ("enabled", "is not known: write \"disabled\": true for a server that is left out"),
    ("serverUrl", "is not known: write \"url\""),
    ("httpUrl", "is not known: write \"type\": \"http\" and \"url\""),
    ("transport", "is not known: write \"type\": \"http\" or \"type\": \"stdio\""),
    ("requestInit", "is not known: write \"headers\""),
    ("workingDirectory", "is not known: write \"cwd\""),
    ("environment", "is not known: write \"env\""),
    ("arguments", "is not known: write \"args\""),
    ("description", "is not known: write \"title\""),
    ("oauth", "is not known: this server does not log in to others; give a token by \"headers\""),
    ("auth", "is not known: this server does not log in to others; give a token by \"headers\""),
];

/// The longest wait that can be asked for (seconds).
const SECONDS_MAX: u64 = 86_400;
const START_SECONDS: u64 = 60;
/// The longest name of a server (bytes).
const NAME_BYTES: usize = 32;

const RULES: json::Rules = json::Rules { depth: 8, values: 10_000, is_forbidden: |_| false };

/// The servers of a file, those that are disabled left out.
pub(crate) fn parse(text: &str, surroundings: &Surroundings<'_>) -> Result<Vec<ServerEntry>, Vec<Mistake>> {
    let whole = |what: String| Mistake { server: None, member: None, what };
    let document: Map<String, Value> = json::check_object(text, RULES)
        .and_then(|()| serde_json::from_str(text))
        .map_err(|error| vec![whole(format!("is not a JSON object that can be used: {error}"))])?;
    let mut mistakes: Vec<Mistake> =
        document.keys().filter(|name| *name != "mcpServers").map(|name| top_level(name)).collect();
    let servers = match document.get("mcpServers") {
        Some(Value::Object(servers)) => servers,
        Some(_) => {
            mistakes.push(whole("\"mcpServers\" must be an object with one member per server".to_owned()));
            return Err(mistakes);
        }
        None => {
            mistakes.push(whole(
                "has no \"mcpServers\": write { \"mcpServers\": { \"NAME\": { \"command\": \"…\" } } }"
                    .to_owned(),
            ));
            return Err(mistakes);
        }
    };
    let mut entries = Vec::new();
    for (name, value) in servers {
        let mut server = EntryReader { name, members: &Map::new(), surroundings, mistakes: &mut mistakes };
        server.check_name();
        match value {
            Value::Object(members) => {
                server.members = members;
                entries.extend(server.entry());
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
                server.mistake(None, "must be an object with \"command\" or \"url\"")
            }
        }
    }
    if entries.is_empty() && mistakes.is_empty() {
        mistakes.push(whole("\"mcpServers\" names no server that is not disabled".to_owned()));
    }
    if mistakes.is_empty() { Ok(entries) } else { Err(mistakes) }
}

/// A member of the outermost object that is not `mcpServers`.
fn top_level(name: &str) -> Mistake {
    let what = match name {
        "servers" => "is VS Code's form: write \"mcpServers\"",
        "inputs" => {
            "asks the user of an editor, which a server has not: set variables and write \"${env.NAME}\""
        }
        "context_servers" => "is Zed's form: write \"mcpServers\"",
        "mcp" => "is another program's form: write \"mcpServers\" as the outermost member",
        _ => "is not known; the one member of the file is \"mcpServers\"",
    };
    Mistake { server: None, member: Some(format!("{name:?}")), what: what.to_owned() }
}

/// One server while it is read.
struct EntryReader<'a> {
    name: &'a str,
    members: &'a Map<String, Value>,
    surroundings: &'a Surroundings<'a>,
    mistakes: &'a mut Vec<Mistake>,
}

impl<'a> EntryReader<'a> {
    fn mistake(&mut self, member: Option<&str>, what: impl Into<String>) {
        let (server, member) = (Some(self.name.to_owned()), member.map(|member| format!("{member:?}")));
        self.mistakes.push(Mistake { server, member, what: what.into() });
    }

    fn check_name(&mut self) {
        let starts = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
        let allowed = |b: u8| starts(b) || b == b'_' || b == b'-';
        let is_name = self.name.len() <= NAME_BYTES
            && self.name.bytes().next().is_some_and(starts)
            && self.name.bytes().all(allowed);
        if !is_name {
            self.mistake(
                None,
                "is no name for a path: write up to 32 lower-case letters, digits, - and _, beginning with a letter or digit",
            );
        } else if (self.surroundings.is_reserved)(self.name) {
            self.mistake(None, "is a path of this server's own: choose another name");
        }
    }

    /// The entry; `None` if it is disabled or has mistakes, which are noted.
    fn entry(mut self) -> Option<ServerEntry> {
        let before = self.mistakes.len();
        let has_url = self.has_url();
        self.check_members(has_url);
        let isolation = self.isolation();
        let idle = self.seconds("idleSeconds").map_or(self.surroundings.idle, Duration::from_secs);
        let github_scopes = self.texts("githubScopes");
        let access = self.access();
        let title = self.text("title").map(str::to_owned);
        let disabled = self.flag("disabled");
        let target = if has_url { self.upstream() } else { self.program() };
        self.check_sharing(isolation, &target);
        self.check_github_scopes(&github_scopes, &target);
        let entry =
            ServerEntry { name: self.name.to_owned(), title, isolation, idle, github_scopes, access, target };
        (!disabled && self.mistakes.len() == before).then_some(entry)
    }

    /// Whether it is an HTTP server: by its `type`, or else by its members.
    fn has_url(&mut self) -> bool {
        let by_members = self.members.contains_key("url") && !self.members.contains_key("command");
        match self.text("type") {
            None => {
                if by_members {
                    self.mistake(Some("type"), "write \"type\": \"http\" for a server with a \"url\"");
                }
                by_members
            }
            Some("stdio") => false,
            Some("http") => true,
            Some("sse") => {
                self.mistake(
                    Some("type"),
                    "\"sse\" is the transport of 2024-11-05, which is not spoken: write \"http\" and the URL of the server's Streamable HTTP endpoint",
                );
                true
            }
            Some("streamable-http" | "streamableHttp" | "streamable_http" | "remote") => {
                self.mistake(Some("type"), "write \"http\"");
                true
            }
            Some("local") => {
                self.mistake(Some("type"), "write \"stdio\", or leave it out");
                false
            }
            Some(_) => {
                self.mistake(Some("type"), "must be \"stdio\" or \"http\"");
                by_members
            }
        }
    }

    fn check_members(&mut self, has_url: bool) {
        let (ours, others, other_kind) = match has_url {
            true => {
                (&OF_URL[..], &OF_COMMAND[..], "is for servers with a \"command\"; this one has a \"url\"")
            }
            false => (&OF_COMMAND[..], &OF_URL[..], "is for servers with \"type\": \"http\""),
        };
        let members = self.members;
        for name in members.keys().map(String::as_str) {
            if COMMON.contains(&name) || ours.contains(&name) {
                continue;
            }
            if others.contains(&name) {
                self.mistake(Some(name), other_kind);
            } else if let Some((_, what)) = DIALECT.iter().find(|(dialect, _)| *dialect == name) {
                self.mistake(Some(name), *what);
            } else {
                let known = COMMON.iter().chain(ours).copied().collect::<Vec<_>>().join(", ");
                self.mistake(Some(name), format!("is not known; the members are {known}"));
            }
        }
    }

    fn program(&mut self) -> Location {
        let command = match self.members.get("command") {
            Some(Value::Array(_)) => {
                self.mistake(Some("command"), "must be the program alone: write its arguments into \"args\"");
                None
            }
            Some(_) => self.plain("command"),
            None => {
                self.mistake(
                    Some("command"),
                    "is missing: write the program, or \"type\": \"http\" and \"url\"",
                );
                None
            }
        };
        if command.as_deref().is_some_and(|command| command.is_empty()) {
            self.mistake(Some("command"), "is empty");
        }
        let home = match self.text("home") {
            None | Some("person") => Home::Person,
            Some("shared") => Home::Shared,
            Some(_) => {
                self.mistake(Some("home"), "must be \"person\" or \"shared\"");
                Home::Person
            }
        };
        let cwd = self.plain("cwd").map(PathBuf::from);
        if cwd.as_ref().is_some_and(|cwd| !cwd.is_absolute()) {
            self.mistake(Some("cwd"), "must be an absolute path");
        }
        let start = self.seconds("startSeconds").unwrap_or(START_SECONDS);
        Location::Command(Executable {
            command: command.unwrap_or_default(),
            args: self
                .texts("args")
                .into_iter()
                .filter_map(|each| self.without_placeholders("args", &each))
                .collect(),
            env: self.templates("env", is_variable_name),
            cwd,
            user: self.plain("user"),
            home,
            start: Duration::from_secs(start),
        })
    }

    fn upstream(&mut self) -> Location {
        let url = self.plain("url");
        let is_url = |url: &str| {
            let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
            rest.is_some_and(|rest| !rest.is_empty() && !rest.contains(['@', '#']))
        };
        if !self.members.contains_key("url") {
            self.mistake(Some("url"), "is missing: write the URL of the server's MCP endpoint");
        } else if url.as_deref().is_some_and(|url| !is_url(url)) {
            self.mistake(
                Some("url"),
                "must be http:// or https://, a host and a path, without user or fragment",
            );
        }
        let url = url.unwrap_or_default();
        Location::Url { url, headers: self.templates("headers", is_field_name) }
    }

    fn isolation(&mut self) -> Isolation {
        match self.text("isolation") {
            None | Some("grant") => Isolation::Grant,
            Some("user") => Isolation::User,
            Some("session") => Isolation::Session,
            Some("shared") => Isolation::Shared,
            Some(_) => {
                self.mistake(Some("isolation"), "must be \"grant\", \"user\", \"session\" or \"shared\"");
                Isolation::Grant
            }
        }
    }

    /// A value that names one person must not reach a process that several persons use.
    fn check_sharing(&mut self, isolation: Isolation, target: &Location) {
        let (member, values) = match target {
            Location::Command(program) => ("env", &program.env),
            Location::Url { headers, .. } => ("headers", headers),
        };
        for (name, value) in values {
            let member = format!("{member}.{name}");
            if isolation == Isolation::Shared && (value.names_person() || value.names_github_token()) {
                self.mistake(
                    Some(&member),
                    "a \"shared\" server is started for nobody in particular: take the placeholder away, or choose another \"isolation\"",
                );
            } else if isolation == Isolation::User && value.names_github_token() {
                self.mistake(
                    Some(&member),
                    "${github.token} belongs to one login: choose the \"isolation\" \"grant\" or \"session\"",
                );
            }
        }
    }

    fn check_github_scopes(&mut self, scopes: &[String], target: &Location) {
        let is_scope =
            |scope: &str| !scope.is_empty() && scope.bytes().all(|b| matches!(b, b'!'..=b'~') && b != b',');
        if !scopes.iter().all(|scope| is_scope(scope)) {
            self.mistake(
                Some("githubScopes"),
                "must be scopes of GitHub, one a text: [\"repo\", \"read:org\"]",
            );
        }
        let values = match target {
            Location::Command(program) => &program.env,
            Location::Url { headers, .. } => headers,
        };
        if !scopes.is_empty() && !values.iter().any(|(_, value)| value.names_github_token()) {
            self.mistake(
                Some("githubScopes"),
                "widens a token that this server does not get: write ${github.token} into \"env\" or \"headers\", or leave it out",
            );
        }
    }

    fn access(&mut self) -> Vec<Vec<String>> {
        const FORM: &str = "must be rules: [ { \"allow\": [\"org:my-org\"] } ]";
        let Some(value) = self.members.get("access") else { return Vec::new() };
        let Some(rules) = value.as_array().filter(|rules| !rules.is_empty()) else {
            self.mistake(Some("access"), FORM);
            return Vec::new();
        };
        let mut access = Vec::new();
        for rule in rules {
            let Some(members) = rule.as_object() else {
                self.mistake(Some("access"), FORM);
                continue;
            };
            for name in members.keys().filter(|name| *name != "allow") {
                self.mistake(
                    Some(&format!("access.{name}")),
                    "is not known; a rule has the member \"allow\"",
                );
            }
            match members.get("allow").and_then(Value::as_array).filter(|allow| !allow.is_empty()) {
                Some(allow) if allow.iter().all(Value::is_string) => {
                    access.push(allow.iter().filter_map(Value::as_str).map(str::to_owned).collect());
                }
                Some(_) | None => self.mistake(
                    Some("access.allow"),
                    "must be a list of who may use the server, as in MCP_ALLOW: [\"user:octocat\", \"org:my-org\"]",
                ),
            }
        }
        access
    }
}

/// Whether a variable may have this name.
pub(crate) fn is_variable_name(name: &str) -> bool {
    !name.is_empty() && !name.contains(['=', '\0'])
}

/// Whether a header field may have this name (RFC 9110 section 5.1), and is none that the transport writes itself.
fn is_field_name(name: &str) -> bool {
    const OURS: [&str; 9] = [
        "host",
        "connection",
        "content-length",
        "content-type",
        "transfer-encoding",
        "accept",
        "mcp-session-id",
        "mcp-protocol-version",
        "last-event-id",
    ];
    let is_token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    !name.is_empty() && name.bytes().all(is_token) && !OURS.contains(&name.to_ascii_lowercase().as_str())
}

#[cfg(test)]
mod tests;
