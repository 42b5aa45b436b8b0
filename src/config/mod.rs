//! The configuration: from the command line and the environment to values that are known to be good.
//!
//! The tables of [`options`] and [`commands`] are what parsing, `--help` and the README are made from. [`from_process`] is the
//! only reader of the process's arguments and environment; everything else here is pure but [`ClientSecret::read`].

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use crate::base::log;
use crate::base::secret::Secret;
use crate::github::{self, BaseUrl};
use crate::http::{PublicUrl, TrustedProxies};
use crate::oauth::{AllowRule, Registration};

mod clients;
pub mod commands;
pub mod options;
mod values;

pub use self::clients::{ClientSettings, Switch};
pub use self::commands::{Format, OperatorCommand, StateFiles};
pub use self::values::{ClientSecret, Door, TlsFiles};
use commands::{Action, Arguments};
use options::{Draft, OPTIONS};

/// What the program was asked to do.
#[derive(Debug)]
pub enum Invocation {
    /// Serve, with the real GitHub.
    Serve(Config),
    /// Serve on loopback, with a simulated GitHub beside it.
    Demo(Config),
    /// Look after the grants or the key.
    Operate(OperatorCommand),
    /// Say what the configuration means and whether a server would start with it.
    Check(Config),
    /// Print [`options::help`].
    Help,
    /// Print the version.
    Version,
}

/// Everything the operator decides.
#[derive(Debug)]
pub struct Config {
    /// Where requests come in.
    pub door: Door,
    /// What encrypts it; `None` serves in the clear.
    pub tls: Option<TlsFiles>,
    /// The URL under which clients reach this server, where the operator gave one; see [`Config::public_url`].
    given_url: Option<PublicUrl>,
    /// Where the grants table, the key and the operator's socket live.
    pub state_dir: PathBuf,
    /// The key file.
    pub key_file: PathBuf,
    /// The OAuth app at GitHub. For [`Invocation::Demo`] made up, its URLs without meaning.
    pub github: GitHubApp,
    /// Who is let in: whoever matches one of these. Never empty.
    pub allow: Vec<AllowRule>,
    /// Through which clients they come.
    pub clients: ClientSettings,
    /// Origins of web pages that may call the API.
    pub allowed_origins: Vec<String>,
    /// Whether the HTTP+SSE pair of 2024-11-05 is served.
    pub legacy_sse: bool,
    /// What the operator wants to see, and whom to believe about it.
    pub watch: Watch,
}

/// What has to do with watching the server, not with whom it serves.
#[derive(Debug, Default)]
pub struct Watch {
    /// The proxies whose word on their clients' addresses is taken.
    pub trusted_proxies: TrustedProxies,
    /// Where `/metrics` is besides the operator's socket.
    pub metrics_listen: Option<SocketAddr>,
    /// How the log is written.
    pub log_format: log::Format,
}

/// The operator's OAuth app at GitHub.
#[derive(Debug)]
pub struct GitHubApp {
    /// The app's client id.
    pub client_id: String,
    /// The app's client secret.
    pub client_secret: ClientSecret,
    /// GitHub's pages.
    pub url: BaseUrl,
    /// GitHub's API.
    pub api_url: BaseUrl,
}

/// Why the program does not start. The text says what to write instead.
#[derive(Debug)]
pub enum ConfigError {
    /// The first words are no command.
    UnknownCommand(String),
    /// An argument that is no option.
    UnknownOption(String),
    /// A flag without its value.
    MissingValue(&'static str),
    /// A flag that was given twice.
    GivenTwice(&'static str),
    /// A value that cannot be used: the option as it was given, and what is wrong with it.
    BadValue(&'static str, &'static str),
    /// Something that must be chosen was not: the option's variable, and what to write.
    Missing(&'static str, &'static str),
    /// The file with the client secret cannot be used.
    SecretFile(PathBuf, String),
    /// The file with the operator's clients cannot be used.
    ClientsFile(PathBuf, String),
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ConfigError::UnknownCommand(word) => {
                write!(f, "there is no command {word:?}; leave it out to serve. --help lists them")
            }
            ConfigError::UnknownOption(word) => write!(f, "there is no option {word:?}; --help lists them"),
            ConfigError::MissingValue(flag) => write!(f, "{flag} needs a value"),
            ConfigError::GivenTwice(flag) => write!(f, "{flag} is given twice"),
            ConfigError::BadValue(option, why) => write!(f, "{option}: {why}"),
            ConfigError::Missing(option, what) => write!(f, "{option} is not set: {what}"),
            ConfigError::SecretFile(path, why) => {
                write!(f, "the client secret cannot be read from {}: {why}", path.display())
            }
            ConfigError::ClientsFile(path, why) => {
                write!(f, "the clients in {} cannot be used: {why}", path.display())
            }
        }
    }
}

impl std::error::Error for ConfigError {}

/// The configuration of this process.
///
/// # Errors
/// [`ConfigError`].
#[allow(clippy::disallowed_methods)] // this is the environment's home
pub fn from_process() -> Result<Invocation, ConfigError> {
    let args = std::env::args_os().skip(1).map(|arg| arg.to_string_lossy().into_owned());
    Config::from(args, &|name| std::env::var_os(name).map(|value| value.to_string_lossy().into_owned()))
}

impl Config {
    /// Reads arguments (without the program's name) and environment. A flag wins over its variable; an empty variable is
    /// an unset one.
    ///
    /// # Errors
    /// [`ConfigError`].
    pub fn from(
        args: impl Iterator<Item = String>,
        env: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Invocation, ConfigError> {
        let line: Vec<String> = args.collect();
        let command = commands::of_line(&line)?;
        if matches!(command.action, Action::Help) {
            return Ok(Invocation::Help);
        }
        let mut args = line.into_iter().skip(command.words.len());
        let set = |name: &str| env(name).filter(|value| !value.is_empty());
        let mut draft = Draft::default();
        let mut arguments = Arguments::default();
        let mut flags = Vec::new();
        while let Some(arg) = args.next() {
            let (flag, attached) = match arg.split_once('=') {
                Some((flag, value)) => (flag, Some(value.to_owned())),
                None => (arg.as_str(), None),
            };
            match flag {
                "--help" | "-h" => return Ok(Invocation::Help),
                "--version" | "-V" => return Ok(Invocation::Version),
                _ => {}
            }
            if command.take(&mut arguments, (flag, &attached), &mut args)? {
                continue;
            }
            let Some((index, name)) = options::of_flag(flag, command.reads()) else {
                return Err(ConfigError::UnknownOption(flag.to_owned()));
            };
            if flags.iter().any(|(other, _)| *other == index) {
                return Err(ConfigError::GivenTwice(name));
            }
            let value = attached.or_else(|| args.next()).filter(|value| !value.is_empty());
            flags.push((index, value.ok_or(ConfigError::MissingValue(name))?));
        }
        for (index, option) in OPTIONS.iter().enumerate() {
            if !option.is_of(command.reads()) {
                continue;
            }
            let flag = flags.iter().find(|(other, _)| *other == index);
            let (name, value) = match flag {
                Some((_, value)) => (option.flag.unwrap_or(option.env), value.clone()),
                None => match set(option.env) {
                    Some(value) => (option.env, value),
                    None => continue,
                },
            };
            (option.apply)(&mut draft, value).map_err(|why| ConfigError::BadValue(name, why))?;
        }
        match command.action {
            Action::Serve => draft.serve(&set).map(Invocation::Serve),
            Action::Demo => draft.demo(&set).map(Invocation::Demo),
            Action::Check => draft.serve(&set).map(Invocation::Check),
            Action::Help => Ok(Invocation::Help),
            Action::Operate(operation) => {
                let format = arguments.format;
                let operation =
                    operation(arguments).map_err(|why| ConfigError::BadValue("grants revoke", why))?;
                let files = state_files(draft.state_dir, draft.key_file, &set)?;
                Ok(Invocation::Operate(OperatorCommand { operation, files, format }))
            }
        }
    }

    /// The URL under which clients reach this server: as given, or else `http://` and the loopback address that `bound`
    /// turned out to be.
    ///
    /// # Errors
    /// [`ConfigError::Missing`] if none was given and `bound` is no loopback address. [`Config::from`] has ruled that out.
    pub fn public_url(&self, bound: SocketAddr) -> Result<PublicUrl, ConfigError> {
        match &self.given_url {
            Some(url) => Ok(url.clone()),
            None => PublicUrl::parse(&format!("http://{bound}")).map_err(|_| PUBLIC_URL),
        }
    }
}

const PUBLIC_URL: ConfigError = ConfigError::Missing(
    "MCP_PUBLIC_URL",
    "clients reach this server from elsewhere: write the URL that they use, like https://mcp.example.com",
);
const CLIENT_ID: ConfigError = ConfigError::Missing(
    "GITHUB_CLIENT_ID",
    "register an OAuth app at https://github.com/settings/developers and copy its client id \
     (to look around without one, run `mcp-oauth-server demo`)",
);
const CLIENT_SECRET: ConfigError = ConfigError::Missing(
    "GITHUB_CLIENT_SECRET",
    "copy the OAuth app's client secret there, or into a file that GITHUB_CLIENT_SECRET_FILE names",
);
const ALLOW: ConfigError = ConfigError::Missing(
    "MCP_ALLOW",
    "nobody would be let in. Write who may use this server, like user:octocat,org:github,team:github/docs, \
     or any for every GitHub account",
);
const STATE_DIR: ConfigError =
    ConfigError::Missing("MCP_STATE_DIR", "write a directory that survives restarts; HOME is not set either");
const DEMO_LOOPBACK: ConfigError = ConfigError::BadValue(
    "demo",
    "anyone can log in as anyone there, so it listens on a loopback address like 127.0.0.1:3001, has no public URL \
     and no certificate",
);
const TLS_KEY: ConfigError =
    ConfigError::Missing("MCP_TLS_KEY", "write the file with the certificate's private key");
const TLS_CERT: ConfigError =
    ConfigError::Missing("MCP_TLS_CERT", "write the file with the certificate of the key");
const TLS_DOOR: ConfigError =
    ConfigError::BadValue("MCP_TLS_CERT", "leave it out together with --behind-proxy: the proxy encrypts");
const TLS_URL: ConfigError = ConfigError::BadValue(
    "MCP_PUBLIC_URL",
    "with a certificate it begins with https://, like https://mcp.example.com",
);

const NO_CLIENTS: ConfigError = ConfigError::BadValue(
    "MCP_REGISTRATION",
    "no client could come: leave registration open or MCP_CLIENT_DOCUMENTS on, or name your clients in MCP_CLIENTS",
);

impl Draft {
    /// What was said about clients; `documents` unless that was said.
    fn clients(&mut self, documents: Switch) -> Result<ClientSettings, ConfigError> {
        let settings = ClientSettings {
            file: self.clients_file.take(),
            denied: self.denied.take().unwrap_or_default(),
            registration: self.registration.unwrap_or(Registration::Open),
            documents: self.documents.unwrap_or(documents),
        };
        if settings.admit_anybody() { Ok(settings) } else { Err(NO_CLIENTS) }
    }

    fn serve(mut self, set: &dyn Fn(&str) -> Option<String>) -> Result<Config, ConfigError> {
        let clients = self.clients(Switch::On)?;
        let url = self.github_url.map_or_else(|| base_url(github::URL), Ok)?;
        let github = GitHubApp {
            client_id: self.client_id.ok_or(CLIENT_ID)?,
            client_secret: self.client_secret.ok_or(CLIENT_SECRET)?,
            api_url: self.github_api_url.map_or_else(|| default_api_url(&url), Ok)?,
            url,
        };
        let allow = self.allow.ok_or(ALLOW)?;
        let door = door(self.listen, self.behind_proxy)?;
        if self.public_url.is_none() && !matches!(door, Door::Edge(address) if address.ip().is_loopback()) {
            return Err(PUBLIC_URL);
        }
        let tls = tls(self.tls_cert, self.tls_key)?;
        if tls.is_some() && !matches!(door, Door::Edge(_)) {
            return Err(TLS_DOOR);
        }
        if tls.is_some() && !self.public_url.as_ref().is_some_and(PublicUrl::is_https) {
            return Err(TLS_URL);
        }
        let StateFiles { directory: state_dir, key_file } = state_files(self.state_dir, self.key_file, set)?;
        let allowed_origins = self.allowed_origins.unwrap_or_default();
        let watch = watch(self.trusted_proxies, self.metrics_listen, self.log_format);
        let given_url = self.public_url;
        Ok(Config {
            door,
            tls,
            given_url,
            state_dir,
            key_file,
            github,
            allow,
            clients,
            allowed_origins,
            watch,
            legacy_sse: self.legacy_sse.unwrap_or(false),
        })
    }

    /// A demo shares neither GitHub app nor state with the real thing: its made-up users must not become grants there.
    fn demo(mut self, set: &dyn Fn(&str) -> Option<String>) -> Result<Config, ConfigError> {
        // A demo asks nothing of the internet unless it is told to.
        let clients = self.clients(Switch::Off)?;
        let door = door(self.listen, self.behind_proxy)?;
        let on_loopback = matches!(door, Door::Edge(address) if address.ip().is_loopback());
        let encrypted = self.tls_cert.is_some() || self.tls_key.is_some();
        if !on_loopback || encrypted || self.public_url.as_ref().is_some_and(PublicUrl::is_https) {
            return Err(DEMO_LOOPBACK);
        }
        let state_dir = self.state_dir.or_else(|| default_state_dir(set)).ok_or(STATE_DIR)?.join("demo");
        let github = GitHubApp {
            client_id: "demo".to_owned(),
            client_secret: ClientSecret::Given(Secret::new("demo".to_owned())),
            url: base_url(github::URL)?,
            api_url: base_url(github::API_URL)?,
        };
        let key_file = state_dir.join("key");
        let allow = self.allow.unwrap_or_else(|| vec![AllowRule::Any]);
        // Where the MCP Inspector's page is.
        let inspector = || ["http://localhost:6274", "http://127.0.0.1:6274"].map(str::to_owned).to_vec();
        let allowed_origins = self.allowed_origins.unwrap_or_else(inspector);
        let watch = watch(self.trusted_proxies, self.metrics_listen, self.log_format);
        let given_url = self.public_url;
        Ok(Config {
            door,
            tls: None,
            given_url,
            state_dir,
            key_file,
            github,
            allow,
            clients,
            allowed_origins,
            watch,
            legacy_sse: self.legacy_sse.unwrap_or(false),
        })
    }
}

fn base_url(text: &str) -> Result<BaseUrl, ConfigError> {
    BaseUrl::parse(text).map_err(|why| ConfigError::BadValue("GITHUB_URL", why))
}

/// GitHub Enterprise Server has its API beside its pages; a token of one GitHub must never go to another.
fn default_api_url(url: &BaseUrl) -> Result<BaseUrl, ConfigError> {
    if *url == base_url(github::URL)? { base_url(github::API_URL) } else { base_url(&url.join("/api/v3")) }
}

fn door(listen: Option<SocketAddr>, behind_proxy: Option<Door>) -> Result<Door, ConfigError> {
    match (listen, behind_proxy) {
        (Some(_), Some(_)) => Err(ConfigError::BadValue(
            "MCP_LISTEN",
            "leave it out together with --behind-proxy: one door serves",
        )),
        (None, Some(door)) => Ok(door),
        (Some(address), None) => Ok(Door::Edge(address)),
        (None, None) => Ok(Door::Edge(SocketAddr::from((Ipv4Addr::LOCALHOST, options::PORT)))),
    }
}

fn tls(cert: Option<PathBuf>, key: Option<PathBuf>) -> Result<Option<TlsFiles>, ConfigError> {
    match (cert, key) {
        (None, None) => Ok(None),
        (Some(cert), Some(key)) => Ok(Some(TlsFiles { cert, key })),
        (Some(_), None) => Err(TLS_KEY),
        (None, Some(_)) => Err(TLS_CERT),
    }
}

fn state_files(
    directory: Option<PathBuf>,
    key_file: Option<PathBuf>,
    set: &dyn Fn(&str) -> Option<String>,
) -> Result<StateFiles, ConfigError> {
    let directory = directory.or_else(|| default_state_dir(set)).ok_or(STATE_DIR)?;
    let key_file = key_file.unwrap_or_else(|| directory.join("key"));
    Ok(StateFiles { directory, key_file })
}

fn watch(
    trusted_proxies: Option<TrustedProxies>,
    metrics_listen: Option<SocketAddr>,
    log_format: Option<log::Format>,
) -> Watch {
    Watch {
        trusted_proxies: trusted_proxies.unwrap_or_default(),
        metrics_listen,
        log_format: log_format.unwrap_or_default(),
    }
}

/// systemd's directory, else the XDG base directory specification's. A relative path in either is ignored.
fn default_state_dir(set: &dyn Fn(&str) -> Option<String>) -> Option<PathBuf> {
    let absolute = |path: PathBuf| path.is_absolute().then_some(path);
    let systemd = || set("STATE_DIRECTORY").and_then(|list| list.split(':').next().map(PathBuf::from));
    let xdg = || set("XDG_STATE_HOME").map(PathBuf::from).and_then(absolute);
    let home = || set("HOME").map(|home| PathBuf::from(home).join(".local/state")).and_then(absolute);
    let ours = |base: PathBuf| base.join("mcp-oauth-server");
    systemd().and_then(absolute).or_else(|| xdg().or_else(home).map(ours))
}

#[cfg(test)]
mod tests;
