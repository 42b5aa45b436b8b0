//! From the operator's options to bridges: the command line and the servers file describe servers in one form, from which a bridge
//! is built. Looks up programs and users, and starts nothing.

use std::iter;
use std::sync::Arc;

use super::backend::Bridge;
use super::entry::{BridgeSetup, Executable, Home, Isolation, Location, ServerEntry};
use super::http::UpstreamLauncher;
use super::instances::{Instance, InstanceSettings, Instances};
use super::message::ClientInfo;
use super::pool::InstancePool;
use super::program::ProgramLauncher;
use super::servers;
use super::transport::Launcher;
use super::upstream::Upstream;
use crate::base::{AccessRules, StartupError, limits};
use crate::mcp::{Consent, Scopes};
use crate::trust::Trust;

impl BridgeSetup<'_> {
    /// The described servers.
    ///
    /// # Errors
    /// All mistakes in the file, or the first invalid option.
    pub(crate) fn entries(self) -> Result<Vec<ServerEntry>, Vec<StartupError>> {
        let sources = self.options.sources();
        if sources.len() > 1 {
            let why = format!("{} describe what is served: leave one out", sources.join(" and "));
            return Err(vec![StartupError::new(why)]);
        }
        if self.options.upstream.is_none() && !self.options.headers.is_empty() {
            return Err(vec![StartupError::unusable("--header", "headers are for --upstream")]);
        }
        let Some(file) = &self.options.file else { return Ok(vec![self.entry()?]) };
        servers::read(file, self)
    }

    /// The single program or upstream.
    fn entry(self) -> Result<ServerEntry, StartupError> {
        let options = self.options;
        let (name, title, location) = match &options.upstream {
            Some(url) => {
                let headers = options.headers.iter().map(|text| {
                    let (name, value) = text.split_once(':').ok_or("write 'NAME: VALUE'")?;
                    url.header(name, value, &options.variables)
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
                let program = self.program()?;
                let name = program.path.file_name().unwrap_or(program.path.as_os_str()).to_string_lossy();
                let name = Arc::from(name.trim_start_matches('.'));
                (name, title_of(&options.command), Location::Program(program))
            }
        };
        Ok(ServerEntry {
            name,
            title: title.to_owned(),
            isolation: Isolation::default(),
            start: limits::bridge::START,
            idle: options.idle,
            github_scopes: Vec::new(),
            location,
            holds_secret: false,
            access: AccessRules::default(),
            digest: [0; 32],
        })
    }

    /// The program of the command line.
    fn program(self) -> Result<Executable, StartupError> {
        let unusable = |why| StartupError::unusable("--", why);
        let Some((command, args)) = self.options.command.split_first() else {
            return Err(unusable("write the program and its arguments behind it".to_owned()));
        };
        let has_placeholder =
            |argument: &String| ["${user.", "${github.", "${env."].iter().any(|each| argument.contains(each));
        if self.options.command.iter().any(has_placeholder) {
            let why = "placeholders are for the values of --env; a program does not get them as arguments";
            return Err(unusable(why.to_owned()));
        }
        let env = self.options.env.iter().map(|text| {
            let (name, value) = match text.split_once('=') {
                Some((name, value)) => (name, value.to_owned()),
                None => (text.as_str(), format!("${{env.{text}}}")),
            };
            self.variable(name, &value).map_err(|why| format!("{name}: {why}"))
        });
        Ok(Executable {
            path: self.find_program(command).map_err(unusable)?,
            args: args.to_vec(),
            env: env.collect::<Result<_, _>>().map_err(|why| StartupError::unusable("--env", why))?,
            cwd: None,
            user: self.find_user(None).map_err(|why| StartupError::unusable("MCP_CHILD_USER", why))?,
            home: Home::default(),
        })
    }

    /// The bridge to a server.
    ///
    /// # Errors
    /// Unusable certificates.
    pub(super) fn bridge(
        self,
        entry: ServerEntry,
        pool: &Arc<InstancePool<Instance>>,
    ) -> Result<Bridge, StartupError> {
        // To clients, the only server of a command line has this program's name; a server of a file has its own.
        let name = if self.options.file.is_some() { &entry.name } else { self.name };
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
            client_info: ClientInfo { name: self.name, version: self.version },
        };
        let (kind, launcher): (_, Box<dyn Launcher>) = match entry.location {
            Location::Upstream { url, headers } => {
                let trust = Trust::load(self.ca_file)?;
                let upstream = Upstream::new(entry.name, url, headers, trust);
                ("upstream", Box::new(UpstreamLauncher(Arc::new(upstream))))
            }
            Location::Program(program) => {
                let launcher = ProgramLauncher {
                    server: entry.name,
                    program,
                    isolation: entry.isolation,
                    directory: self.home_directories(),
                    variables: self.options.variables.clone(),
                };
                ("program", Box::new(launcher))
            }
        };
        let instances = Instances::new(settings, launcher);
        Ok(Bridge { kind, digest: entry.digest, access: Arc::default(), consent, instances })
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
