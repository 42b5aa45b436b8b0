//! From the operator's options to bridges: the command line and the servers file describe servers in one form, from which a bridge
//! is built. Looks up programs and users, and starts nothing.

use std::fmt;
use std::iter;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::backend::Bridge;
use super::entry::{Executable, Home, Isolation, Location, ServerEntry, Surroundings};
use super::http::UpstreamLauncher;
use super::instances::{Instance, InstanceSettings};
use super::message::ClientInfo;
use super::pool::InstancePool;
use super::program::ProgramLauncher;
use super::servers;
use super::template::{self, Variables};
use super::transport::Launcher;
use super::upstream::{Upstream, UpstreamHeader, UpstreamUrl};
use crate::base::access::AccessRules;
use crate::base::limits;
use crate::base::startup_error::StartupError;
use crate::mcp::{Consent, Scopes};
use crate::trust::Trust;

/// The operator's options for a server behind the login.
#[derive(Clone)]
pub(crate) struct BridgeOptions {
    /// The program and its arguments. Empty: nothing is bridged.
    pub(crate) command: Vec<String>,
    /// Its variables, as `NAME=VALUE`, or `NAME` to copy the server's own.
    pub(crate) env: Vec<String>,
    /// A server that is reached over HTTP, in place of a program.
    pub(crate) upstream: Option<UpstreamUrl>,
    /// Its headers, as `NAME: VALUE`.
    pub(crate) headers: Vec<String>,
    /// The file that describes several servers.
    pub(crate) file: Option<PathBuf>,
    /// The parent of the home directories; by default beside the state directory.
    pub(crate) directory: Option<PathBuf>,
    /// The user that programs run as; without one, the server's.
    pub(crate) user: Option<String>,
    /// Limits on programs per person, and in total.
    pub(crate) most: (usize, usize),
    pub(crate) idle: Duration,
    /// Whether `check` starts each server once.
    pub(crate) are_tried: bool,
    /// Environment variables of the server that `${env.NAME}` and `NAME` may refer to.
    variables: Variables,
}

impl fmt::Debug for BridgeOptions {
    /// Variables and arguments may be secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BridgeOptions").field("command", &self.command.first()).finish_non_exhaustive()
    }
}

impl Default for BridgeOptions {
    fn default() -> BridgeOptions {
        BridgeOptions {
            command: Vec::new(),
            env: Vec::new(),
            upstream: None,
            headers: Vec::new(),
            file: None,
            directory: None,
            user: None,
            most: limits::bridge::PROGRAMS,
            idle: limits::bridge::IDLE,
            are_tried: false,
            variables: Variables::new(),
        }
    }
}

/// The server that the bridge is part of.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BridgeHost<'a> {
    pub(crate) name: &'static str,
    pub(crate) version: &'static str,
    pub(crate) state_dir: &'a Path,
    /// Certificates that are trusted besides the built-in roots.
    pub(crate) ca_file: Option<&'a Path>,
    /// Whether programs may run as root: true for a trial.
    pub(crate) root_is_fine: bool,
    /// Whether a name is reserved as the first segment of one of this server's own paths.
    pub(crate) is_reserved: fn(&str) -> bool,
}

impl BridgeOptions {
    /// Copies the server's environment variables, except those that configure it.
    pub(crate) fn take_variables(&mut self, variables: &Variables) {
        let others = variables.iter().filter(|(name, _)| !template::is_ours(name));
        self.variables = others.map(|(name, value)| (name.clone(), value.clone())).collect();
    }

    /// The limit on programs or sessions.
    pub(crate) fn programs(&self) -> usize {
        let is_used = !self.sources().is_empty() || !self.headers.is_empty();
        if is_used { self.most.1 } else { 0 }
    }

    /// The parent of all home directories.
    pub(crate) fn home_directories(&self, state_dir: &Path) -> PathBuf {
        let beside = || {
            let mut name = state_dir.file_name().unwrap_or_default().to_owned();
            name.push(".children");
            state_dir.with_file_name(name)
        };
        self.directory.clone().unwrap_or_else(beside)
    }

    /// The options that describe servers.
    fn sources(&self) -> Vec<&'static str> {
        let sources = [
            ("-- COMMAND", !self.command.is_empty()),
            ("MCP_UPSTREAM", self.upstream.is_some()),
            ("MCP_SERVERS", self.file.is_some()),
        ];
        sources.into_iter().filter(|(_, is_there)| *is_there).map(|(name, _)| name).collect()
    }

    /// The described servers.
    ///
    /// # Errors
    /// All mistakes in the file, or the first invalid option.
    pub(crate) fn entries(&self, host: BridgeHost<'_>) -> Result<Vec<ServerEntry>, Vec<StartupError>> {
        let surroundings = Surroundings {
            variables: &self.variables,
            user: self.user.as_deref(),
            idle: self.idle,
            root_is_fine: host.root_is_fine,
            is_reserved: host.is_reserved,
        };
        let sources = self.sources();
        if sources.len() > 1 {
            let why = format!("{} describe what is served: take one", sources.join(" and "));
            return Err(vec![StartupError::new(why)]);
        }
        if self.upstream.is_none() && !self.headers.is_empty() {
            return Err(vec![StartupError::unusable("--header", "headers are for --upstream")]);
        }
        let Some(file) = &self.file else { return Ok(vec![self.entry(surroundings)?]) };
        servers::read(file, surroundings)
    }

    /// The single program or upstream.
    fn entry(&self, surroundings: Surroundings<'_>) -> Result<ServerEntry, StartupError> {
        let (name, title, location) = match &self.upstream {
            Some(url) => {
                let headers = self.headers.iter().map(|text| {
                    let (name, value) = text.split_once(':').ok_or("write 'NAME: VALUE'")?;
                    UpstreamHeader::new(name, value.trim(), url, surroundings.variables)
                });
                let headers = headers.collect::<Result<_, String>>();
                let headers = headers.map_err(|why| StartupError::unusable("--header", why))?;
                (
                    Arc::from(url.authority()),
                    url.authority(),
                    Location::Upstream { url: url.clone(), headers },
                )
            }
            None => {
                let program = self.program(surroundings)?;
                let name = program.path.file_name().unwrap_or(program.path.as_os_str()).to_string_lossy();
                let name = Arc::from(name.trim_start_matches('.'));
                (name, title_of(&self.command), Location::Program(program))
            }
        };
        Ok(ServerEntry {
            name,
            title: title.to_owned(),
            isolation: Isolation::default(),
            start: limits::bridge::START,
            idle: self.idle,
            github_scopes: Vec::new(),
            location,
            holds_secret: false,
            access: AccessRules::default(),
            digest: [0; 32],
        })
    }

    /// The program of the command line.
    fn program(&self, surroundings: Surroundings<'_>) -> Result<Executable, StartupError> {
        let unusable = |why| StartupError::unusable("--", why);
        let Some((command, args)) = self.command.split_first() else {
            return Err(unusable("write the program and its arguments behind it".to_owned()));
        };
        let has_placeholder =
            |argument: &String| ["${user.", "${github.", "${env."].iter().any(|each| argument.contains(each));
        if self.command.iter().any(has_placeholder) {
            let why = "placeholders are for the values of --env; a program does not get them as arguments";
            return Err(unusable(why.to_owned()));
        }
        let env = self.env.iter().map(|text| {
            let (name, value) = match text.split_once('=') {
                Some((name, value)) => (name, value.to_owned()),
                None => (text.as_str(), format!("${{env.{text}}}")),
            };
            surroundings.variable(name, &value).map_err(|why| format!("{name}: {why}"))
        });
        Ok(Executable {
            path: surroundings.find_program(command).map_err(unusable)?,
            args: args.to_vec(),
            env: env.collect::<Result<_, _>>().map_err(|why| StartupError::unusable("--env", why))?,
            cwd: None,
            user: surroundings
                .find_user(None)
                .map_err(|why| StartupError::unusable("MCP_CHILD_USER", why))?,
            home: Home::default(),
        })
    }

    /// The bridge to a server.
    ///
    /// # Errors
    /// Unusable certificates.
    pub(super) fn bridge(
        &self,
        entry: ServerEntry,
        host: BridgeHost<'_>,
        pool: &Arc<InstancePool<Instance>>,
    ) -> Result<Bridge, StartupError> {
        // To clients, the only server of a command line has this program's name; a server of a file has its own.
        let name = if self.file.is_some() { &entry.name } else { host.name };
        let consent = Consent {
            name: name.to_owned(),
            title: entry.title.clone(),
            keeps_github_tokens: entry.needs_github_token(),
            needs_user: entry.needs_user(),
            handed_github_scopes: entry
                .needs_github_token()
                .then(|| Scopes::parse(&entry.github_scopes.join(" ")).unwrap_or_default()),
            ..Consent::default()
        };
        let settings = InstanceSettings {
            server: Arc::clone(&entry.name),
            start: entry.start,
            idle: entry.idle,
            isolation: entry.isolation,
            pool: Arc::clone(pool),
            client_info: ClientInfo { name: host.name, version: host.version },
        };
        let launcher: Box<dyn Launcher> = match entry.location {
            Location::Upstream { url, headers } => {
                let trust = Trust::load(host.ca_file)?;
                Box::new(UpstreamLauncher(Arc::new(Upstream::new(entry.name, url, headers, trust))))
            }
            Location::Program(program) => Box::new(ProgramLauncher {
                server: entry.name,
                program,
                isolation: entry.isolation,
                directory: self.home_directories(host.state_dir),
                variables: self.variables.clone(),
            }),
        };
        Ok(Bridge::new(consent, settings, launcher))
    }
}

/// The title of the program of a command line, for the consent page: the package that `npx` and the like run, else the
/// program.
fn title_of(command: &[String]) -> &str {
    let (program, args) = command.split_first().map_or(("", &[][..]), |(program, args)| (program, args));
    let program = program.rsplit('/').next().unwrap_or(program);
    let before = iter::once("").chain(args.iter().map(String::as_str));
    let package = args.iter().zip(before).find(|(argument, before)| {
        !argument.starts_with('-') && !["--from", "--with", "--python", "--package", "-p"].contains(before)
    });
    package.filter(|_| ["npx", "bunx", "uvx"].contains(&program)).map_or(program, |(package, _)| package)
}

#[cfg(test)]
mod tests;
