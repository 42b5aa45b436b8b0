//! The configuration: from the command line and the environment to values that are known to be good.
//!
//! The tables of [`options`] and [`commands`] are what parsing, `--help` and the README are made from. [`from_process`] is the
//! only reader of the process's arguments and environment; everything else here is pure but [`ClientSecret::read`].

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

use crate::base::capacity::Capacity;
use crate::base::log;
use crate::github::BaseUrl;
use crate::http::{PublicUrl, TrustedProxies};
use crate::oauth::AllowRule;

mod clients;
pub mod commands;
mod draft;
pub mod options;
mod values;

pub use self::clients::{ClientSettings, Switch};
pub use self::commands::{Format, OperatorCommand, StateFiles};
pub use self::values::{ClientSecret, Door, TlsFiles};
use commands::{Action, Arguments};
use draft::{Draft, PUBLIC_URL, state_files};
use options::OPTIONS;

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
    /// Certificates that are trusted besides the built-in ones, by every call to the outside.
    pub ca_file: Option<PathBuf>,
    /// Who is let in: whoever matches one of these. Never empty.
    pub allow: Vec<AllowRule>,
    /// Through which clients they come.
    pub clients: ClientSettings,
    /// Origins of web pages that may call the API.
    pub allowed_origins: Vec<String>,
    /// Whether the HTTP+SSE pair of 2024-11-05 is served.
    pub legacy_sse: bool,
    /// How much at once.
    pub capacity: Capacity,
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

#[cfg(test)]
mod tests;
