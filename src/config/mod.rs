//! The configuration: from the command line, the environment and a file to values that are known to be good.
//!
//! The tables of [`options`] and [`commands`] are what parsing, `--help` and the README are made from. [`from_process`] is the
//! only reader of the process's arguments and environment; everything else here is pure but what reads the operator's files.

use std::ffi::OsString;
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
mod given;
pub mod options;
mod values;

pub use self::clients::{ClientSettings, Switch};
pub use self::commands::{Format, OperatorCommand, Probe, StateFiles};
pub use self::given::{Environment, Snapshot};
pub use self::values::{ClientSecret, Door, Listen, TlsFiles};
use commands::{Action, Arguments, Command};
use draft::{Draft, Host, PUBLIC_URL};
use given::Given;

/// What the program was asked to do.
#[derive(Debug)]
pub enum Invocation {
    /// Serve, with the real GitHub.
    Serve(Config),
    /// Serve on loopback, with a simulated GitHub beside it.
    Demo(Config),
    /// Look after the grants or the key.
    Operate(OperatorCommand),
    /// Ask whether a server is up.
    Health(Probe),
    /// Say what the configuration means and whether a server would start with it.
    Check(Config),
    /// Print this.
    Help(String),
    /// Print the version.
    Version,
}

/// The program that is configured: this crate's own, or that of a library user.
#[derive(Clone, Copy, Debug)]
pub struct Program {
    /// What its help and its messages call it; the default state directory is called so, too.
    pub name: &'static str,
    /// Its version.
    pub version: &'static str,
}

impl Program {
    /// # Errors
    /// The name cannot be that of a directory: it has one to 64 ASCII letters, digits, dots, hyphens and underscores, and does
    /// not begin with a dot.
    pub fn new(name: &'static str, version: &'static str) -> Result<Program, ConfigError> {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
        if name.is_empty() || name.len() > 64 || name.starts_with('.') || !name.bytes().all(allowed) {
            return Err(ConfigError::ProgramName(name));
        }
        Ok(Program { name, version })
    }
}

/// Everything the operator decides.
#[derive(Debug)]
pub struct Config {
    /// Whose it is.
    pub program: Program,
    /// The file that it was read from, if there was one.
    pub file: Option<PathBuf>,
    /// What was given for each option.
    pub given: Snapshot,
    /// What of it the operator may not have meant.
    pub warnings: Vec<ConfigWarning>,
    /// How many sockets systemd has opened for this process, from descriptor 3 on.
    pub passed_sockets: i32,
    /// Where requests come in.
    pub door: Door,
    /// What encrypts it; `None` serves in the clear.
    pub tls: Option<TlsFiles>,
    /// The URL under which clients reach this server, where the operator gave one; see [`Config::public_url`].
    given_url: Option<PublicUrl>,
    /// Where the grants table, the key and the operator's socket live.
    pub state: StateFiles,
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
    /// The program was given a name that cannot be one.
    ProgramName(&'static str),
    /// The first words are no command, and the commands that begin like them.
    UnknownCommand(String, Vec<String>),
    /// An argument that is no option, and the flag that it resembles.
    UnknownOption(String, Option<&'static str>),
    /// The flag of an option that the command does not read, and those that it does.
    ForeignOption(&'static str, Vec<&'static str>),
    /// A secret on the command line, where every user of the host can read it: its variable.
    SecretOption(&'static str),
    /// The configuration file, or a line of it, cannot be used.
    File(PathBuf, String),
    /// A flag without its value.
    MissingValue(&'static str),
    /// A flag that was given twice.
    GivenTwice(&'static str),
    /// A value that cannot be used: the option as it was given, and what is wrong with it.
    BadValue(&'static str, &'static str),
    /// An entry of a comma list that cannot be used: the option as it was given, the entry, and what is wrong with it.
    BadEntry(&'static str, String, &'static str),
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
            ConfigError::ProgramName(name) => {
                write!(f, "{name:?} is no name for a program: write letters, digits, hyphens and underscores")
            }
            ConfigError::UnknownCommand(word, like) if !like.is_empty() => {
                write!(f, "there is no command {word:?}; say {}", like.join(" or "))
            }
            ConfigError::UnknownCommand(word, _) => {
                write!(f, "there is no command {word:?}; leave it out to serve. --help lists them")
            }
            ConfigError::UnknownOption(word, Some(nearest)) => {
                write!(f, "there is no option {word:?}; the nearest is {nearest}. --help lists them")
            }
            ConfigError::UnknownOption(word, None) => {
                write!(f, "there is no option {word:?}; --help lists them")
            }
            ConfigError::ForeignOption(flag, own) => {
                write!(f, "{flag} is not for this command; these are: {}", own.join(", "))
            }
            ConfigError::SecretOption(variable) => write!(
                f,
                "a secret is not taken from the command line, which every user of this machine can read: \
                 put it into a file that {variable}_FILE names"
            ),
            ConfigError::File(path, why) => write!(f, "{}: {why}", path.display()),
            ConfigError::MissingValue(flag) => write!(f, "{flag} needs a value"),
            ConfigError::GivenTwice(flag) => write!(f, "{flag} is given twice"),
            ConfigError::BadValue(option, why) => write!(f, "{option}: {why}"),
            ConfigError::BadEntry(option, entry, why) => write!(f, "{option}: {why}; {entry:?} is wrong"),
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

/// What an operator may not have meant, and no reason not to start.
#[derive(Debug)]
pub enum ConfigWarning {
    /// A variable that looks like an option and is none, and the nearest that is.
    Unknown(String, &'static str),
    /// An option that is given twice: its variable, the place that is not used, and the one that is.
    Shadowed(&'static str, String, String),
}

impl ConfigWarning {
    /// What was found, and what to do about it.
    pub fn texts(&self) -> (String, &'static str) {
        match self {
            ConfigWarning::Unknown(name, nearest) => (
                format!("the variable {name} is no option; the nearest is {nearest}"),
                "write that, or leave it if the variable is another program's",
            ),
            ConfigWarning::Shadowed(option, unused, used) => (
                format!("{option} in {unused} is not used: {used} has it as well"),
                "take one of the two away",
            ),
        }
    }
}

/// Prints errors, one a line.
pub(crate) fn lines(errors: &[impl fmt::Display]) -> String {
    errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

/// How this process was started, for a command that starts it again.
#[allow(clippy::disallowed_methods)] // this is the environment's home
pub fn command() -> String {
    std::env::args_os().next().map(|command| command.to_string_lossy().into_owned()).unwrap_or_default()
}

/// The configuration of this process, as it stands now.
///
/// # Errors
/// [`ConfigError`].
#[allow(clippy::disallowed_methods)] // this is the environment's home
pub fn from_process(program: Program) -> Result<Invocation, Vec<ConfigError>> {
    let args = std::env::args_os().skip(1).map(|arg| arg.to_string_lossy().into_owned());
    let text = |text: OsString| text.to_string_lossy().into_owned();
    let mut env: Environment = std::env::vars_os().map(|(name, value)| (text(name), text(value))).collect();
    // sd_listen_fds(3): sockets are passed to the process of this number, not to whom it may start.
    if env.get("LISTEN_PID").is_none_or(|process| *process != std::process::id().to_string()) {
        env.remove("LISTEN_FDS");
    }
    Config::from(program, args, &env)
}

impl Config {
    /// Reads arguments (without the program's name), environment, and the file that one of them names. A flag wins over its
    /// variable, that over the file; an empty variable is an unset one.
    ///
    /// # Errors
    /// [`ConfigError`]: the first of the command line, or else all that there are.
    pub fn from(
        program: Program,
        args: impl Iterator<Item = String>,
        env: &Environment,
    ) -> Result<Invocation, Vec<ConfigError>> {
        let line: Vec<String> = args.collect();
        if let Some(help) = commands::asked_help(program.name, &line) {
            return Ok(Invocation::Help(help));
        }
        if line.iter().any(|arg| ["--version", "-V"].contains(&arg.as_str())) {
            return Ok(Invocation::Version);
        }
        let (command, arguments, flags) = command_line(line).map_err(|error| vec![error])?;
        let (given, warnings) = given::all(flags, env, command.reads())?;
        let (host, mut draft) = (Host { program, env }, Draft::default());
        let (mut errors, mut unusable) = (Vec::new(), Vec::new());
        for each in &given {
            if let Err(error) = each.apply(&mut draft) {
                errors.push(error);
                unusable.push(each.option.env);
            }
        }
        (draft.given, draft.warnings) = (Snapshot::of(&given), warnings);
        let invocation = match command.action {
            Action::Serve => draft.serve(&host).map(Invocation::Serve),
            Action::Demo => draft.demo(&host).map(Invocation::Demo),
            Action::Check => draft.serve(&host).map(Invocation::Check),
            Action::Help => Ok(Invocation::Help(options::help(program.name))),
            Action::Health => {
                let files = draft.state_files(&host).map_err(|error| vec![error]);
                files.map(|files| Invocation::Health(Probe { socket: files.socket, url: arguments.url }))
            }
            Action::Operate(operation) => operation(&arguments)
                .and_then(|operation| {
                    let (files, Arguments { format, file, .. }) = (draft.state_files(&host)?, arguments);
                    Ok(Invocation::Operate(OperatorCommand { operation, files, file, format }))
                })
                .map_err(|error| vec![error]),
        };
        // An option whose value cannot be used is not missing.
        let said = |error: &ConfigError| {
            let option = |name| unusable.contains(name);
            matches!(error, ConfigError::Missing(name, _) | ConfigError::BadValue(name, _) if option(name))
        };
        match invocation {
            Ok(invocation) if errors.is_empty() => return Ok(invocation),
            Ok(_) => {}
            Err(more) => errors.extend(more.into_iter().filter(|error| !said(error))),
        }
        Err(errors)
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

/// The command of a command line, its arguments and its options.
fn command_line(line: Vec<String>) -> Result<(&'static Command, Arguments, Vec<Given>), ConfigError> {
    let command = commands::of_line(&line)?;
    let mut args = line.into_iter().skip(command.words.len());
    let mut arguments = Arguments::default();
    let mut flags: Vec<Given> = Vec::new();
    while let Some(arg) = args.next() {
        let (flag, attached) = match arg.split_once('=') {
            Some((flag, value)) => (flag, Some(value.to_owned())),
            None => (arg.as_str(), None),
        };
        if command.take(&mut arguments, (flag, &attached), &mut args)? {
            continue;
        }
        let (option, name) = options::of_flag(flag, command.reads())?;
        let value = attached.or_else(|| args.next()).filter(|value| !value.is_empty());
        let value = value.ok_or(ConfigError::MissingValue(name))?;
        match flags.iter_mut().find(|earlier| earlier.option.env == option.env) {
            Some(earlier) if option.is_list() => earlier.value = format!("{},{value}", earlier.value),
            Some(_) => return Err(ConfigError::GivenTwice(name)),
            None => flags.push(Given::flag(option, value)),
        }
    }
    Ok((command, arguments, flags))
}

#[cfg(test)]
mod tests;
