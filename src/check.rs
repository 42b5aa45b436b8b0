//! What a configuration means, in words: who may log in, from where, what is stored where, what is unsafe about it, and
//! whether a server would start with it. Looks at files and reads them; changes nothing.

use std::fmt;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::Arc;

use crate::base::capacity::Capacity;
use crate::base::clock::{Clock, SystemClock};
use crate::base::log;
use crate::config::{ClientSecret, Config, Door, Listen};
use crate::edge::Tls;
use crate::github::{GitHub, GitHubSettings};
use crate::http::TrustedProxies;
use crate::mcp::Backend;
use crate::oauth::AllowRule;
use crate::oauth::provider::Group;
use crate::serve::{self, StartError};
use crate::store::{self, Grants, OpenError, RedbGrants, StateDirectory, key_file};
use crate::trust::Trust;

/// What was found.
#[derive(Debug, Default)]
pub struct Report {
    /// What holds: a topic and what there is to say of it.
    facts: Vec<(&'static str, String)>,
    /// What is unsafe, and what to do about it.
    warnings: Vec<(String, String)>,
    /// Why the server would not start.
    faults: Vec<String>,
}

/// Looks at everything that a start would look at.
#[must_use]
pub fn check<B, E>(config: &Config, backend: impl FnOnce(&Arc<GitHub>) -> Result<B, E>) -> Report
where
    B: Backend + 'static,
    E: fmt::Display,
{
    let mut report = Report::default();
    if let Some(file) = &config.file {
        report.say(
            "configuration file",
            format!("{}; SIGHUP rereads who is let in and denied", file.display()),
        );
    }
    report.doors(config);
    report.people(config);
    report.github(config, backend);
    report.state(config);
    report.capacity(&config.capacity);
    report.watching(config);
    report
}

impl Report {
    /// Whether a server would start.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.faults.is_empty()
    }

    fn say(&mut self, topic: &'static str, text: impl Into<String>) {
        self.facts.push((topic, text.into()));
    }

    fn warn(&mut self, what: impl Into<String>, fix: impl Into<String>) {
        self.warnings.push((what.into(), fix.into()));
    }

    fn doors(&mut self, config: &Config) {
        let listening = addresses(&config.door).first().copied();
        // Where nobody listens on an address the public URL is given.
        let listening = listening.unwrap_or(SocketAddr::from(([0, 0, 0, 0], 0)));
        match config.public_url(listening) {
            Ok(url) => {
                self.say("clients use", url.join("/mcp"));
                self.say("GitHub sends logins to", url.join("/auth/callback"));
            }
            Err(_) if listening.port() == 0 => {
                self.say("clients use", "a port that the system picks at the start")
            }
            Err(error) => self.faults.push(error.to_string()),
        }
        let for_a_proxy = "for a reverse proxy on this machine";
        match &config.door {
            Door::Edge(listens) => listens.iter().for_each(|listen| {
                let manner = match (listen, &config.tls) {
                    (Listen::Unix(_), _) => "for this user and its group",
                    (Listen::Tcp(_) | Listen::Systemd, Some(_)) => "TLS 1.2 and 1.3",
                    (Listen::Tcp(_) | Listen::Systemd, None) => "in the clear",
                };
                self.say("it listens on", format!("{listen}, {manner}"));
            }),
            Door::ProxyTcp(address) => self.say("it listens on", format!("{address}, {for_a_proxy}")),
            Door::ProxyUnix(path) => {
                self.say("it listens on", format!("unix:{}, {for_a_proxy}", path.display()))
            }
        }
        if let Some(files) = &config.tls {
            self.say("certificate", format!("{}, key {}", files.cert.display(), files.key.display()));
            match Tls::load(&files.cert, &files.key) {
                Err(error) => self.faults.push(error.to_string()),
                Ok(tls) if tls.key_is_exposed() => {
                    self.warn(
                        "every user of this machine can read the certificate's key",
                        format!("chmod 600 {}", files.key.display()),
                    );
                }
                Ok(_) => {}
            }
        }
        let elsewhere = |listen: &Listen| matches!(listen, Listen::Tcp(_)) && !listen.is_loopback();
        if config.tls.is_none()
            && matches!(&config.door, Door::Edge(listens) if listens.iter().any(elsewhere))
        {
            self.warn(
                "tokens travel in the clear to an address that others reach",
                "give it a certificate (MCP_TLS_CERT), or listen on loopback or a Unix socket behind a proxy",
            );
        }
    }

    fn people(&mut self, config: &Config) {
        for rule in &config.allow {
            self.say("may log in", words(rule));
        }
        if config.allow.contains(&AllowRule::Any) {
            let fix = "name people, organisations or teams in MCP_ALLOW";
            self.warn("everybody who has a GitHub account may log in", fix);
        }
        if config.allow.iter().any(|rule| matches!(rule, AllowRule::User(_))) {
            self.warn(
                "whoever renames their account to a login that was given up is let in by user:LOGIN",
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

    fn github<B, E>(&mut self, config: &Config, backend: impl FnOnce(&Arc<GitHub>) -> Result<B, E>)
    where
        B: Backend + 'static,
        E: fmt::Display,
    {
        let app = &config.github;
        self.say("GitHub", format!("{}, API {}, app {}", app.url, app.api_url, app.client_id));
        if matches!(app.client_secret, ClientSecret::Given(_)) {
            self.warn(
                "the client secret is in the environment, which child processes and crash reports see",
                "put it into a file of mode 0600 that GITHUB_CLIENT_SECRET_FILE names",
            );
        }
        if let Some(path) = app.client_secret.exposed() {
            self.warn(
                "every user of this machine can read the client secret's file",
                format!("chmod 600 {}", path.display()),
            );
        }
        let (client_secret, other_secret) = match app.client_secret.read_two() {
            Ok(secrets) => secrets,
            Err(error) => return self.faults.push(error.to_string()),
        };
        if let Some(file) = &config.ca_file {
            self.say("also trusted", format!("whoever has a certificate of {}", file.display()));
        }
        let trust = match Trust::load(config.ca_file.as_deref()) {
            Ok(trust) => trust,
            Err(error) => return self.faults.push(error.to_string()),
        };
        // Made, but nothing is asked of it.
        let github = Arc::new(GitHub::new(GitHubSettings {
            client_id: app.client_id.clone(),
            client_secret,
            other_secret,
            url: app.url.clone(),
            api_url: app.api_url.clone(),
            proxy: None,
            trust,
        }));
        if let Err(error) = backend(&github) {
            self.faults.push(format!("the tools cannot be served: {error}"));
        }
    }

    fn state(&mut self, config: &Config) {
        let directory = config.state_dir.display();
        self.say("state", format!("{directory}: the grants, the operator's socket"));
        self.say("key", config.key_file.display().to_string());
        self.say(
            "stored of a person",
            "GitHub number and login, client, times; GitHub's token, sealed so that a stolen disk does not open it",
        );
        match self.open_state(config) {
            Ok(()) => {}
            Err(OpenError::AlreadyRunning(_)) => {
                self.say("a server is running", "so the key, the grants and the ports were not looked at");
            }
            Err(error) => self.faults.push(error.to_string()),
        }
    }

    /// Opens what is there, and makes nothing that is not.
    fn open_state(&mut self, config: &Config) -> Result<(), OpenError> {
        if config.state_dir.exists() {
            let directory = StateDirectory::open(&config.state_dir)?;
            let there = |path: &Path| path.exists();
            match (there(&config.key_file), there(&directory.file(store::GRANTS_FILE))) {
                (false, false) => self.say("grants", "none yet"),
                (false, true) => return Err(OpenError::KeyMissing(config.key_file.clone())),
                (true, false) => drop(key_file::load(&config.key_file)?),
                (true, true) => {
                    let keys = key_file::load(&config.key_file)?;
                    let grants = RedbGrants::open(&directory, &keys, SystemClock::new().now())?;
                    let count = grants
                        .list()
                        .map_or_else(|error| error.to_string(), |grants| grants.len().to_string());
                    self.say("grants", count);
                }
            }
        } else {
            self.say("grants", "none yet: the state directory will be made");
            let nearest = config.state_dir.ancestors().skip(1).find(|parent| parent.exists());
            let made = nearest.map_or(Ok(()), |parent| serve::check_directory(parent, serve::STATE_DIR));
            self.faults.extend(made.err().map(|error| error.to_string()));
        }
        self.faults.extend(serve::check_place(&config.door).err().map(|error| error.to_string()));
        let doors = addresses(&config.door).into_iter().map(|address| (address, serve::option(&config.door)));
        let numbers = config.watch.metrics_listen.map(|address| (address, serve::METRICS_LISTEN));
        for (address, option) in doors.chain(numbers) {
            if let Err(error) = TcpListener::bind(address) {
                self.faults.push(StartError::Listen(address.to_string(), option, error).to_string());
            }
        }
        Ok(())
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
        if let Err(error) = serve::check_descriptors(capacity) {
            self.faults.push(error.to_string());
        }
    }

    fn watching(&mut self, config: &Config) {
        let watch = &config.watch;
        let metrics =
            watch.metrics_listen.map_or_else(String::new, |address| format!(", http://{address}/metrics"));
        self.say("numbers", format!("/metrics on the operator's socket{metrics}"));
        let format = match watch.log_format {
            log::Format::Human => "for people",
            log::Format::Json => "as JSON",
        };
        self.say("log", format!("standard error, {format}"));
        if watch.trusted_proxies.contain_everybody() {
            self.warn(
                "everybody is a trusted proxy, and can choose the address that limits and the log go by",
                "name the addresses of your proxies in MCP_TRUSTED_PROXY, and no others",
            );
        }
        let for_proxies = match &config.door {
            Door::Edge(listens) => listens.iter().any(|listen| matches!(listen, Listen::Unix(_))),
            Door::ProxyTcp(_) | Door::ProxyUnix(_) => true,
        };
        // Nobody but a proxy on this machine makes an https URL of a listener on loopback that does not encrypt.
        let behind_one = config.tls.is_none()
            && config.public_url(SocketAddr::from(([0, 0, 0, 0], 0))).is_ok_and(|url| url.is_https())
            && addresses(&config.door).iter().any(|address| address.ip().is_loopback());
        if (for_proxies || behind_one) && watch.trusted_proxies == TrustedProxies::default() {
            self.warn(
                "limits by address take everybody behind the proxy for one",
                "have the proxy set X-Forwarded-For and name it in MCP_TRUSTED_PROXY (127.0.0.1, or unix for the Unix socket)",
            );
        }
        if store::runs_as_root() {
            self.warn("it runs as root", "run it as a user of its own; docs/deploy has a systemd unit");
        }
    }
}

/// The addresses that are listened on.
fn addresses(door: &Door) -> Vec<SocketAddr> {
    let address = |listen: &Listen| match listen {
        Listen::Tcp(address) => Some(*address),
        Listen::Unix(_) | Listen::Systemd => None,
    };
    match door {
        Door::Edge(listens) => listens.iter().filter_map(address).collect(),
        Door::ProxyTcp(address) => vec![*address],
        Door::ProxyUnix(_) => Vec::new(),
    }
}

fn words(rule: &AllowRule) -> String {
    match rule {
        AllowRule::Any => "everybody with a GitHub account".to_owned(),
        AllowRule::User(login) => format!("whoever has the login {login} at that time"),
        AllowRule::Id(id) => format!("the account with the number {}", id.0),
        AllowRule::Group(Group::Org(org)) => format!("active members of the organisation {org}"),
        AllowRule::Group(Group::Team { org, slug }) => format!("active members of the team {org}/{slug}"),
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (topic, text) in &self.facts {
            writeln!(f, "{topic:<27}{text}")?;
        }
        for (what, fix) in &self.warnings {
            writeln!(f, "\nunsafe: {what}\n   fix: {fix}")?;
        }
        for fault in &self.faults {
            writeln!(f, "\nit would not start: {fault}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
