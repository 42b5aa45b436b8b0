//! The configuration: from the command line, the environment and a file to values that are known to be good.
//!
//! Options write into a [`Config`] that holds the defaults; then `faults` finds what is missing and what does not fit together.
//! Parsing, `--help` and the README are made from the tables of `options` and `commands`. [`from_process`] is the only reader of the
//! process's arguments and environment; everything else here is pure, except for reading the operator's files.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use crate::audit::AuditOptions;
use crate::base::{AccessRules, AllowRule, Capacity, Secret, StartupError, capped, is_plain, log, sha256};
use crate::bridge::{BridgeOptions, BridgeSetup};
use crate::github::BaseUrl;
use crate::http::{PublicUrl, TrustedProxies};
use crate::oauth::Rules;
use crate::operator::{self, Operation};
use crate::router;
use crate::store::StorePlace;
use crate::store::key_file::{self, KeyFile};

mod asked_person;
mod client_secret;
mod clients;
mod commands;
mod faults;
mod help;
mod options;
mod sources;
mod values;

pub use self::asked_person::AskedPerson;
pub use self::client_secret::ClientSecret;
pub use self::clients::ClientSettings;
pub use self::commands::{OperatorCommand, StateFiles};
pub use self::sources::{Environment, Warning};
pub use self::values::Listen;
use commands::{Action, CommandLine};
use options::{OPTIONS, Reads};

const PORT: u16 = 3001;

/// The command that was given.
#[derive(Debug)]
pub enum Invocation {
    /// Serve.
    Serve(Config),
    /// Say what the configuration means and whether a server would start with it.
    Check(Config),
    /// Look after the grants or the key.
    Operate(OperatorCommand),
    /// Ask whether a server is up, at its URL if there is one, else over the operator's socket.
    Health { socket: PathBuf, url: Option<String> },
    /// Print this help or version.
    Print(String),
}

/// The program that is configured: this crate's own, or that of a library user.
#[derive(Clone, Copy, Debug, Default)]
pub struct Program {
    /// The name in help and messages, and of the default state directory.
    pub name: &'static str,
    pub version: &'static str,
}

impl Program {
    /// The name becomes that of a directory: one to 64 ASCII letters, digits, dots, hyphens and underscores, no dot first.
    pub fn new(name: &'static str, version: &'static str) -> Result<Program, StartupError> {
        if !is_plain(name, "._-", 1..=64) || name.starts_with('.') {
            return Err(StartupError::new(format!(
                "{name:?} is no name for a program: write letters, digits, hyphens and underscores"
            )));
        }
        Ok(Program { name, version })
    }
}

/// Everything the operator decides.
#[derive(Debug, Default)]
pub struct Config {
    pub program: Program,
    /// Whether a simulated GitHub is served beside it.
    pub is_demo: bool,
    /// The configuration file.
    pub file: Option<PathBuf>,
    /// A digest of each option's value, since secrets are among them: for a comparison with a later configuration.
    given: BTreeMap<&'static str, [u8; 32]>,
    pub warnings: Vec<Warning>,
    /// How many sockets systemd has opened for this process, from descriptor 3 on.
    pub passed_sockets: i32,
    /// Where clients connect. Empty where a proxy hands their requests over.
    pub listen: Vec<Listen>,
    /// Where a trusted proxy hands over its clients' requests.
    pub behind_proxy: Option<Listen>,
    tls_cert: Option<PathBuf>,
    tls_key: Option<PathBuf>,
    public_url: Option<PublicUrl>,
    state_dir: PathBuf,
    key_file: Option<PathBuf>,
    operator_socket: Option<PathBuf>,
    /// Without the certificates, which are an option of their own.
    store: StorePlace,
    /// The OAuth app at GitHub. Made up for a demo.
    pub github: GitHubApp,
    /// Certificates that are trusted besides the built-in ones, by every call to the outside.
    pub ca_file: Option<PathBuf>,
    /// The rules that may change while the server runs. Those of admission are never empty; one that matches is enough.
    pub rules: Rules,
    /// The file with the access rules of the only server.
    pub access: Option<PathBuf>,
    /// The person about whom `check` is asked.
    pub asked_person: AskedPerson,
    pub clients: ClientSettings,
    /// Origins of web pages that may call the API.
    pub allowed_origins: Vec<String>,
    /// Whether the HTTP+SSE transport of 2024-11-05 is served.
    pub legacy_sse: bool,
    pub capacity: Capacity,
    /// The program that is served in place of this one's own tools.
    pub bridge: BridgeOptions,
    /// The proxies whose forwarding fields are trusted.
    pub trusted_proxies: TrustedProxies,
    /// Where `/metrics` is besides the operator's socket.
    pub metrics_listen: Option<SocketAddr>,
    pub log_format: log::Format,
    pub audit: AuditOptions,
}

/// The operator's OAuth app at GitHub.
#[derive(Debug, Default)]
pub struct GitHubApp {
    pub client_id: String,
    pub client_secret: ClientSecret,
    /// GitHub's pages.
    pub url: BaseUrl,
    api_url: Option<BaseUrl>,
}

impl GitHubApp {
    /// GitHub's API: as configured, else the one that belongs to the pages.
    pub fn api_url(&self) -> BaseUrl {
        self.api_url.clone().unwrap_or_else(|| self.url.api())
    }
}

/// The arguments of this process.
#[allow(clippy::disallowed_methods)] // this is the environment's home
pub fn arguments() -> impl Iterator<Item = OsString> {
    std::env::args_os().skip(1)
}

/// The configuration of this process, as it stands now.
#[allow(clippy::disallowed_methods)] // this is the environment's home
pub fn from_process(program: Program) -> Result<Invocation, Vec<StartupError>> {
    let text = |text: OsString| text.to_string_lossy().into_owned();
    let mut env: Environment = std::env::vars_os().map(|(name, value)| (text(name), text(value))).collect();
    // sd_listen_fds(3): sockets are passed to the process of this number, not to those that it starts.
    if env.get("LISTEN_PID").is_none_or(|process| *process != std::process::id().to_string()) {
        env.remove("LISTEN_FDS");
    }
    Config::from(program, arguments().map(text), &env)
}

impl Config {
    /// Reads arguments (without the program's name), environment, and the file that one of them names. A flag wins over its
    /// variable, that over the file; an empty variable is an unset one. Returns the first error of the command line, or else
    /// all errors that there are.
    pub fn from(
        program: Program,
        args: impl Iterator<Item = String>,
        env: &Environment,
    ) -> Result<Invocation, Vec<StartupError>> {
        let line: Vec<String> = args.collect();
        if let Some(text) = help::asked(program, &line) {
            return Ok(Invocation::Print(text));
        }
        let mut line = commands::parse(line).map_err(|error| vec![error])?;
        let (reads, asked_person) = (line.command.reads(), AskedPerson::of(&line)?);
        let (given, warnings) = sources::read(std::mem::take(&mut line.options), env)?;
        let mut config = Config {
            program,
            warnings,
            given: given.iter().map(|each| (each.option.env, sha256(each.value.as_bytes()))).collect(),
            passed_sockets: passed_sockets(env),
            state_dir: default_state_dir(program, env).unwrap_or_default(),
            asked_person,
            ..Config::default()
        };
        if reads == Reads::Demo {
            config.take_demo_defaults();
        }
        config.bridge.command = std::mem::take(&mut line.program);
        config.bridge.env = line.texts("--env").map(str::to_owned).collect();
        config.bridge.headers = line.texts("--header").map(str::to_owned).collect();
        config.bridge.are_tried = line.has("--start");
        config.bridge.take_variables(env);
        let (mut errors, mut unusable) = (Vec::new(), Vec::new());
        for each in given.iter().filter(|each| each.option.is_read(reads)) {
            if let Err(error) = each.apply(&mut config) {
                errors.push(error);
                unusable.push(each.option.env);
            }
        }
        if config.listen.is_empty() && config.behind_proxy.is_none() {
            config.listen = vec![Listen::Tcp(SocketAddr::from((Ipv4Addr::LOCALHOST, PORT)))];
        }
        let faults = match reads {
            Reads::Everything => faults::of(&config),
            Reads::Demo => faults::of_demo(&config, &given),
            Reads::StateFiles => faults::state_dir(&config).into_iter().collect(),
        };
        // An option whose value cannot be used is not missing.
        errors.extend(faults.into_iter().filter(|fault| !unusable.contains(&fault.subject.as_str())));
        // All mistakes at once. Without others, those in the servers are found when the bridges are made.
        if !errors.is_empty() && reads != Reads::StateFiles && config.bridge.programs() > 0 {
            errors.extend(config.bridge_setup().entries().err().unwrap_or_default());
        }
        if reads == Reads::Demo {
            // Its made-up users must not become grants of the real server.
            config.state_dir.push("demo");
        }
        let invocation = config.invocation(line).map_err(|error| errors.push(error));
        invocation.ok().filter(|_| errors.is_empty()).ok_or(errors)
    }

    fn invocation(self, line: CommandLine) -> Result<Invocation, StartupError> {
        Ok(match line.command.action {
            Action::Serve | Action::Demo => Invocation::Serve(self),
            Action::Check => Invocation::Check(self),
            Action::Help => Invocation::Print(help::all(self.program.name)),
            Action::Health => {
                let url = line.values("--url", values::url)?.pop();
                Invocation::Health { socket: self.state_files().socket, url }
            }
            Action::Operate(operation) => {
                let operation = operation(&line)?;
                let file =
                    line.arguments.first().filter(|_| operation == Operation::BackUp).map(PathBuf::from);
                let files = self.state_files();
                let format = if line.has("--json") { log::Format::Json } else { log::Format::Human };
                Invocation::Operate(OperatorCommand { operation, files, file, format })
            }
        })
    }

    /// The defaults of a demo: everybody is let in, nothing is asked of the internet, the MCP Inspector's page may call.
    fn take_demo_defaults(&mut self) {
        self.is_demo = true;
        self.rules.allow = vec![AllowRule::Any];
        self.clients.documents = false;
        self.allowed_origins = ["http://localhost:6274", "http://127.0.0.1:6274"].map(str::to_owned).to_vec();
        self.github.client_id = "demo".to_owned();
        self.github.client_secret = ClientSecret::Given(Secret::new("demo".to_owned()));
    }

    /// The certificate and its private key, if the server encrypts by itself.
    pub fn tls_files(&self) -> Option<(&Path, &Path)> {
        self.tls_cert.as_deref().zip(self.tls_key.as_deref())
    }

    /// The files of the server's state.
    pub fn state_files(&self) -> StateFiles {
        let directory = self.state_dir.clone();
        let key_file = match &self.key_file {
            Some(path) => KeyFile { path: path.clone(), is_named: true },
            None => KeyFile { path: directory.join(key_file::NAME), is_named: false },
        };
        let socket = self.operator_socket.clone().unwrap_or_else(|| directory.join(operator::SOCKET));
        let store = StorePlace { ca_file: self.ca_file.clone(), ..self.store.clone() };
        StateFiles { directory, key_file, socket, audit_log: self.audit.file().map(Path::to_owned), store }
    }

    /// The rules of `MCP_ACCESS`.
    ///
    /// # Errors
    /// All mistakes in the file.
    pub fn access_rules(&self) -> Result<AccessRules, Vec<StartupError>> {
        let Some(file) = &self.access else { return Ok(AccessRules::default()) };
        let unusable = |why: &String| StartupError::in_file("MCP_ACCESS", file, why);
        let rules = capped::json("MCP_ACCESS", file)?;
        AccessRules::read(&rules).map_err(|mistakes| mistakes.iter().map(unusable).collect())
    }

    /// Everything that bridges are built from.
    pub fn bridge_setup(&self) -> BridgeSetup<'_> {
        BridgeSetup {
            options: &self.bridge,
            name: self.program.name,
            version: self.program.version,
            state_dir: &self.state_dir,
            ca_file: self.ca_file.as_deref(),
            root_is_fine: self.is_demo,
            is_reserved: router::is_reserved,
        }
    }

    /// The places where connections come in, through whichever door.
    pub fn places(&self) -> impl Iterator<Item = &Listen> {
        self.listen.iter().chain(&self.behind_proxy)
    }

    /// The URL under which clients reach this server: as given, or else `http://` and the loopback address that `bound`
    /// turned out to be.
    pub fn public_url(&self, bound: Option<SocketAddr>) -> Result<PublicUrl, StartupError> {
        let of_address = || PublicUrl::parse(&format!("http://{}", bound?)).ok();
        let url = self.public_url.clone().or_else(of_address);
        url.ok_or_else(|| StartupError::missing("MCP_PUBLIC_URL", faults::NO_PUBLIC_URL))
    }

    /// The options whose values differ from those in `other`.
    pub fn differences(&self, other: &Config) -> Vec<&'static str> {
        let names = OPTIONS.iter().map(|option| option.env);
        names.filter(|name| self.given.get(name) != other.given.get(name)).collect()
    }
}

/// The state directory of systemd, else the one of the XDG base directory specification. Relative paths in either are ignored.
fn default_state_dir(program: Program, env: &Environment) -> Option<PathBuf> {
    let path = |name: &str| env.get(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let systemd = env.get("STATE_DIRECTORY").and_then(|list| list.split(':').next()).map(PathBuf::from);
    let home = || path("HOME").map(|home| home.join(".local/state"));
    let of_user = || path("XDG_STATE_HOME").or_else(home).map(|base| base.join(program.name));
    systemd.filter(|path| path.is_absolute()).or_else(of_user)
}

/// How many sockets systemd has opened for this process (sd_listen_fds(3)).
fn passed_sockets(env: &Environment) -> i32 {
    env.get("LISTEN_FDS").and_then(|count| count.parse().ok()).filter(|count| *count > 0).unwrap_or(0)
}

#[cfg(test)]
mod tests;
