//! The report of `check`: a description of the configuration, its risks, and whether a server would start with it. Reads
//! files and changes nothing.

use std::fmt::{self, Write as _};

use crate::base::{AllowRule, Capacity, Group, capped, clock, limits, log};
use crate::bridge::{Bridges, ChildUser, Home, Isolation, Location, ServerEntry};
use crate::config::{ClientSecret, Config, Listen, Warning};
use crate::http::{TrustedProxies, Uri, is_loopback_host};
use crate::operate::{self, report::visible};
use crate::serve::{MakeBackend, State, prepare};
use crate::store::{self, OpenedFor};
use crate::sys;

/// The findings.
#[derive(Debug, Default)]
pub struct Report {
    /// Lines of a label and a text.
    facts: String,
    /// Paragraphs that describe an unsafe or unusual setting, and its correction.
    warnings: String,
    /// The reasons why the server would not start.
    faults: Vec<String>,
    /// The servers behind this one that could not be used in their trial, each with the reason.
    failed: Vec<String>,
}

/// Runs the checks of a start and reports the configuration.
pub fn check(config: &Config, tools: MakeBackend<'_>) -> Report {
    let mut report = Report::default();
    if let Some(file) = &config.file {
        report.say(
            "configuration file",
            format!("{}; SIGHUP rereads who is let in and denied", file.display()),
        );
    }
    let prepared = prepare(config, OpenedFor::Check, tools);
    report.doors(config);
    report.people(config);
    report.github(config);
    report.state(config, &prepared.state);
    report.capacity(&config.capacity);
    report.watching(config);
    for Warning { what, fix, .. } in &prepared.warnings {
        report.note("warning", what, fix);
    }
    report.faults.extend(prepared.errors.iter().map(ToString::to_string));
    report.servers(config);
    report.access(config);
    report.exposed_files(config);
    report
}

impl Report {
    /// Whether a server would start, and no trial has failed.
    pub fn is_good(&self) -> bool {
        self.faults.is_empty() && self.failed.is_empty()
    }

    fn say(&mut self, topic: &str, text: impl fmt::Display) {
        let _ = writeln!(self.facts, "{topic:<27}{}", visible(text)); // writing to a String cannot fail
    }

    fn warn(&mut self, what: impl fmt::Display, fix: impl fmt::Display) {
        self.note("unsafe", what, fix);
    }

    fn note(&mut self, kind: &str, what: impl fmt::Display, fix: impl fmt::Display) {
        let _ = writeln!(self.warnings, "\n{kind}: {}\n   fix: {}", visible(what), visible(fix)); // as above
    }

    fn doors(&mut self, config: &Config) {
        let address = config.places().find_map(Listen::address);
        match config.public_url(address) {
            Ok(url) => {
                if config.bridge.file.is_none() {
                    self.say("clients use", url.join("/mcp"));
                }
                self.say("GitHub sends logins to", url.join("/auth/callback"));
                if url.path().ends_with("/mcp") {
                    self.note(
                        "warning",
                        "MCP_PUBLIC_URL ends with /mcp, and the path of the MCP endpoint comes after it",
                        "leave /mcp out, unless this is meant",
                    );
                }
            }
            Err(_) if address.is_some_and(|address| address.port() == 0) => {
                self.say("clients use", "a port that the system picks at the start")
            }
            Err(error) => self.faults.push(error.to_string()),
        }
        for place in &config.listen {
            let manner = match (place, config.tls_files()) {
                (Listen::Unix(_), _) => "for this user and its group",
                (Listen::Tcp(_) | Listen::Systemd, Some(_)) => "TLS 1.2 and 1.3",
                (Listen::Tcp(_) | Listen::Systemd, None) => "in the clear",
            };
            self.say("it listens on", format!("{place}, {manner}"));
        }
        if let Some(place) = &config.behind_proxy {
            self.say("it listens on", format!("{place}, for a reverse proxy on this machine"));
        }
        if let Some((cert, key)) = config.tls_files() {
            self.say("certificate", format!("{}, key {}", cert.display(), key.display()));
        }
        let elsewhere = |listen: &Listen| matches!(listen, Listen::Tcp(_)) && !listen.is_loopback();
        if config.tls_files().is_none() && config.listen.iter().any(elsewhere) {
            self.warn(
                "tokens travel in the clear to an address that others reach",
                "give it a certificate (MCP_TLS_CERT), or listen on loopback or a Unix socket behind a proxy",
            );
        }
    }

    fn people(&mut self, config: &Config) {
        for rule in &config.rules.allow {
            self.say("may log in", words(rule));
        }
        if config.rules.allow.contains(&AllowRule::Any) {
            let fix = "name people, organisations or teams in MCP_ALLOW";
            self.warn("everybody who has a GitHub account may log in", fix);
        }
        if config.rules.allow.iter().any(|rule| matches!(rule, AllowRule::User(_))) {
            self.warn(
                "user:LOGIN also lets in another account that takes the login after it was given up",
                "write id:NUMBER, which https://api.github.com/users/LOGIN shows",
            );
        }
        let origins = match config.allowed_origins.as_slice() {
            [] => "none but its own".to_owned(),
            origins => origins.join(", "),
        };
        self.say("web pages that may call it", origins);
        if config.allowed_origins.iter().any(|origin| origin == "null") {
            self.warn(
                "every local file and every sandboxed frame of any page has the origin null and may call the API",
                "allow it for an app that has no other origin only; it still needs a token",
            );
        }
    }

    fn github(&mut self, config: &Config) {
        let app = &config.github;
        self.say("GitHub", format!("{}, API {}, app {}", app.url, app.api_url(), app.client_id));
        if matches!(app.client_secret, ClientSecret::Given(_)) {
            self.warn(
                "the client secret is in the environment, which child processes and crash reports see",
                "put it into a file of mode 0600 that GITHUB_CLIENT_SECRET_FILE names",
            );
        }
        if let Some(file) = &config.ca_file {
            self.say("also trusted", format!("servers with a certificate of {}", file.display()));
        }
    }

    fn state(&mut self, config: &Config, state: &State) {
        let files = config.state_files();
        let grants = files.store.url.as_ref().map_or("the grants", |_| "the lock and the operator's socket");
        self.say("state", format!("{}: {grants}", files.directory.display()));
        if let Some(url) = &files.store.url {
            self.say("grants are kept at", url.as_str());
            let uri = Uri::split(url.as_str());
            // The authority may contain a user before the host.
            let server = Uri { authority: uri.authority.and_then(|text| text.rsplit('@').next()), ..uri };
            let is_plain = ["valkey", "redis"].iter().any(|scheme| uri.scheme.eq_ignore_ascii_case(scheme));
            if is_plain && !server.host().is_some_and(is_loopback_host) {
                self.warn(
                    "the store's password and the grants travel in the clear to another machine",
                    "write valkeys:// for TLS, unless nobody else is on that network",
                );
            }
        }
        self.say("operator's socket", files.socket.display());
        self.say("key", files.key_file.path.display());
        self.say(
            "stored per person",
            "GitHub number and login, client, times; GitHub's token only if tools or rules need it, encrypted so that the disk alone does not open it",
        );
        match (&state.directory, &state.table) {
            _ if state.is_in_use => {
                let text = "so the key, the grants, the directories and the ports were not looked at";
                self.say("a server is running", text);
                // RFC 3339 in UTC: earlier times are lesser texts.
                let soon = clock::now().plus(limits::service_token::WARNING).rfc3339();
                for token in operate::tokens(&files).iter().filter(|token| token.ends <= soon) {
                    let what = format!("the service {} ends at {}", token.login, token.ends);
                    self.note("warning", what, store::RENEWAL);
                }
            }
            (_, Some(table)) => {
                let count = table.list().map(|grants| grants.len().to_string());
                self.say("grants", count.unwrap_or_else(|error| error.to_string()));
            }
            (None, _) if !files.directory.exists() => {
                self.say("grants", "none yet: the state directory will be made");
            }
            (None, _) => {}
            (Some(_), None) => self.say("grants", "none yet"),
        }
        let table = files.directory.join(store::GRANTS_FILE);
        for path in [&files.directory, &table, &files.key_file.path] {
            if capped::is_exposed(path, 0o070) {
                self.warn(
                    format!("its group can use {}", path.display()),
                    format!("chmod g-rwx {}, unless nobody else is in that group (fsGroup)", path.display()),
                );
            }
        }
    }

    /// The servers behind this one as described, without starting them. Mistakes in their description are among the faults already.
    fn servers(&mut self, config: &Config) {
        let bridge = &config.bridge;
        if bridge.programs() == 0 {
            return;
        }
        let entries = config.bridge_setup().entries().unwrap_or_default();
        for entry in &entries {
            let place = match &bridge.file {
                Some(_) => format!("{} at /{}/mcp, ", entry.title, entry.name),
                None => String::new(),
            };
            let sharing = match entry.isolation {
                Isolation::Grant => "each person and client program",
                Isolation::User => "each person",
                Isolation::Session => "each session",
                Isolation::Shared => "everybody together",
            };
            let what = match &entry.location {
                Location::Program(program) => {
                    let user = match &program.user {
                        None => "the server's user".to_owned(),
                        Some(ChildUser::One(user)) => format!("user {}", user.id),
                        Some(ChildUser::PerPerson(_)) => "a user for each person".to_owned(),
                    };
                    format!("the program {}, run as {user}", program.path.display())
                }
                Location::Upstream { url, .. } => format!("the MCP server at {url}"),
            };
            self.say("it serves", format!("{place}{what}, one for {sharing}"));
            self.risks(entry);
        }
        if let Some(file) = bridge.file.as_ref().filter(|_| entries.iter().any(|entry| entry.holds_secret))
            && capped::is_exposed(file, 0o007)
        {
            let file = file.display();
            let what = format!("every user of this machine can read {file}, which seems to hold secrets");
            self.warn(what, format!("chmod 640 {file}, or write ${{env.NAME}} for them"));
        }
        let (of_user, in_all) = bridge.most;
        let homes = config.bridge_setup().home_directories();
        self.say("processes and sessions", format!("{in_all} at most, {of_user} of one person"));
        self.say("home directories", homes.display());
        if bridge.are_tried && self.faults.is_empty() {
            self.trials(config);
        }
    }

    fn risks(&mut self, entry: &ServerEntry) {
        let name = &entry.name;
        match &entry.location {
            Location::Upstream { url, .. } if !url.is_private() => self.warn(
                format!("requests to {url} and its answers travel in the clear"),
                "use https, unless nobody else is on that network",
            ),
            Location::Upstream { .. } => {}
            Location::Program(program) => {
                if program.user.is_none() {
                    self.warn(
                        format!("{name} runs as the server's user: it can read the grants, the key and the secret's file"),
                        "name another user in MCP_CHILD_USER or \"user\", or serve programs that you trust",
                    );
                }
                let has_user_per_person = matches!(program.user, Some(ChildUser::PerPerson(_)));
                if entry.needs_github_token() && !has_user_per_person {
                    self.warn(
                        format!("{name} gets people's tokens at GitHub, and programs of one user can read each other's"),
                        "give it a range of users, one for each person",
                    );
                }
                if program.home == Home::Shared {
                    self.warn(
                        format!(
                            "what {name} leaves in its home directory for one person is there for all others"
                        ),
                        "leave \"home\" out, unless it is caches alone",
                    );
                }
            }
        }
    }

    fn trials(&mut self, config: &Config) {
        match Bridges::try_out(config.bridge_setup()) {
            Err(errors) => self.faults.extend(errors.iter().map(ToString::to_string)),
            Ok(trials) => {
                for (name, outcome) in trials {
                    match outcome {
                        Ok(offer) => self.say(&format!("{name} offers"), offer),
                        Err(why) => self.failed.push(format!("{name} cannot be used: {why}")),
                    }
                }
            }
        }
    }

    /// Files of rules that others can change, and of secrets that others can read or change.
    fn exposed_files(&mut self, config: &Config) {
        let secret = config.github.client_secret.file().cloned();
        let password = config.state_files().store.password_file;
        let key = config.tls_files().map(|(_, key)| key.to_owned());
        let rules =
            [&config.file, &config.bridge.file, &config.access, &config.clients.file, &config.ca_file];
        let rules = rules.map(|path| (path, (0o002, "change", "o-w")));
        let secrets = [&secret, &password, &key].map(|path| (path, (0o006, "read or change", "o-rwx")));
        for (path, (bits, act, mode)) in rules.into_iter().chain(secrets) {
            if let Some(path) = path.as_ref().filter(|path| capped::is_exposed(path, bits)) {
                let (path, users) = (path.display(), "every user of this machine can");
                self.warn(format!("{users} {act} {path}"), format!("chmod {mode} {path}"));
            }
        }
    }

    fn capacity(&mut self, capacity: &Capacity) {
        let Capacity { connections, streams, sessions, streams_per_user, sessions_per_user } = capacity;
        self.say(
            "at once",
            format!(
                "{connections} connections ({} from one address), {streams} streams ({streams_per_user} of one user), \
                 {sessions} sessions ({sessions_per_user} of one user)",
                capacity.connections_per_address()
            ),
        );
    }

    fn watching(&mut self, config: &Config) {
        let metrics =
            config.metrics_listen.map_or_else(String::new, |address| format!(", http://{address}/metrics"));
        self.say("metrics", format!("/metrics on the operator's socket{metrics}"));
        let format = match config.log_format {
            log::Format::Human => "for people",
            log::Format::Json => "as JSON",
        };
        self.say("log", format!("standard error, {format}"));
        self.say("audit log", &config.audit);
        if config.trusted_proxies.contain_everybody() {
            self.warn(
                "everybody is a trusted proxy, and can choose the address that limits and the log go by",
                "name the addresses of your proxies in MCP_TRUSTED_PROXY, and no others",
            );
        }
        let for_proxies =
            config.behind_proxy.is_some() || config.listen.iter().any(|place| place.path().is_some());
        // An https URL with an unencrypted listener on loopback means a proxy on this machine.
        let behind_one = config.tls_files().is_none()
            && config.public_url(None).is_ok_and(|url| url.is_https())
            && config.places().any(Listen::is_loopback);
        if (for_proxies || behind_one) && config.trusted_proxies == TrustedProxies::default() {
            self.warn(
                "limits by address count everybody behind the proxy as one sender",
                "have the proxy set X-Forwarded-For and name it in MCP_TRUSTED_PROXY (127.0.0.1, or unix for the Unix socket)",
            );
        }
        if sys::effective_user() == 0 {
            self.warn("it runs as root", "run it as a user of its own; docs/deploy has a systemd unit");
        }
    }
}

fn words(rule: &AllowRule) -> String {
    match rule {
        AllowRule::Any => "everybody with a GitHub account".to_owned(),
        AllowRule::User(login) => format!("the account that has the login {login} at that time"),
        AllowRule::Id(id) => format!("the account with the number {}", id.0),
        AllowRule::Token(name) => format!("the service token {}", name.as_str()),
        AllowRule::Group(Group::Org(org)) => format!("active members of the organisation {org}"),
        AllowRule::Group(Group::Team { org, slug }) => format!("active members of the team {org}/{slug}"),
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.facts, self.warnings)?;
        for fault in &self.faults {
            writeln!(f, "\nit would not start: {}", visible(fault))?;
        }
        for failure in &self.failed {
            writeln!(f, "\nit would start, but {}", visible(failure))?; // faults prevent a trial
        }
        Ok(())
    }
}

mod access;
#[cfg(test)]
mod tests;
