//! From the operator's options to a bridge. Looks for programs and users, and starts nothing.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::backend::Bridge;
use super::http::UpstreamLauncher;
use super::instances::{InstanceSettings, Launcher};
use super::launch::{self, RunAs};
use super::message::ClientInfo;
use super::program::ProgramLauncher;
use super::template::{self, Template, Variables};
use super::upstream::{Upstream, UpstreamHeader, UpstreamUrl};
use crate::base::limits;
use crate::base::startup_error::StartupError;
use crate::mcp::Consent;
use crate::sys;
use crate::trust::Trust;

/// What the operator says of a server behind the login.
pub(crate) struct BridgeOptions {
    /// The program and its arguments. Empty: nothing is bridged.
    pub(crate) command: Vec<String>,
    /// Its variables, as `NAME=VALUE`, or `NAME` for the server's own.
    pub(crate) env: Vec<String>,
    /// A server that is reached over HTTP, in place of a program.
    pub(crate) upstream: Option<UpstreamUrl>,
    /// Its headers, as `NAME: VALUE`.
    pub(crate) headers: Vec<String>,
    /// Where home directories are; without it, beside the state directory.
    pub(crate) directory: Option<PathBuf>,
    /// The user that programs run as; without one, the server's.
    pub(crate) user: Option<String>,
    /// Programs of one person, and in all.
    pub(crate) most: (usize, usize),
    pub(crate) idle: Duration,
    /// Variables of the server that the program's may name.
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
            directory: None,
            user: None,
            most: limits::bridge::PROGRAMS,
            idle: limits::bridge::IDLE,
            variables: Variables::new(),
        }
    }
}

/// What the bridge is part of.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BridgeHost<'a> {
    pub(crate) name: &'static str,
    pub(crate) version: &'static str,
    pub(crate) state_dir: &'a Path,
    /// Certificates that are trusted besides the built-in roots.
    pub(crate) ca_file: Option<&'a Path>,
    /// Whether programs may run as root: for a trial.
    pub(crate) root_is_fine: bool,
}

impl BridgeOptions {
    /// Takes the server's variables over, apart from those that configure it.
    pub(crate) fn take_variables(&mut self, variables: &Variables) {
        let others = variables.iter().filter(|(name, _)| !template::is_ours(name));
        self.variables = others.map(|(name, value)| (name.clone(), value.clone())).collect();
    }

    /// How many programs or sessions there may be.
    pub(crate) fn programs(&self) -> usize {
        let is_used = !self.command.is_empty() || self.upstream.is_some() || !self.headers.is_empty();
        if is_used { self.most.1 } else { 0 }
    }

    /// The directory above all home directories.
    pub(crate) fn home_directories(&self, state_dir: &Path) -> PathBuf {
        let beside = || {
            let mut name = state_dir.file_name().unwrap_or_default().to_owned();
            name.push(".children");
            state_dir.with_file_name(name)
        };
        self.directory.clone().unwrap_or_else(beside)
    }

    /// The bridge to the one program or upstream.
    ///
    /// # Errors
    /// The first option that cannot be used.
    pub(crate) fn bridge(&self, host: BridgeHost<'_>) -> Result<Bridge, StartupError> {
        let mut consent =
            Consent { name: host.name.to_owned(), title: host.name.to_owned(), ..Consent::default() };
        let (server, launcher): (_, Box<dyn Launcher>) = match &self.upstream {
            Some(url) => {
                let headers = self.upstream_headers(url)?;
                consent.keeps_github_tokens = headers.iter().any(|header| header.value.names_github_token());
                let upstream = Upstream::new(url.clone(), headers, Trust::load(host.ca_file)?);
                (Arc::clone(&upstream.server), Box::new(UpstreamLauncher(Arc::new(upstream))))
            }
            None => {
                let program = self.program(host)?;
                (Arc::clone(&program.server), Box::new(program))
            }
        };
        let settings = InstanceSettings {
            server,
            start: limits::bridge::START,
            idle: self.idle,
            most: self.most,
            client_info: ClientInfo { name: host.name, version: host.version },
        };
        Ok(Bridge::new(consent, settings, launcher))
    }

    /// The headers of the upstream.
    fn upstream_headers(&self, url: &UpstreamUrl) -> Result<Vec<UpstreamHeader>, StartupError> {
        if !self.command.is_empty() {
            return Err(StartupError::unusable(
                "MCP_UPSTREAM",
                "there is a program as well, behind --: take one",
            ));
        }
        if !self.env.is_empty() {
            return Err(StartupError::unusable("--env", "an upstream has no variables: write --header"));
        }
        let unusable = |why| StartupError::unusable("--header", why);
        let parse = |text: &String| UpstreamHeader::parse(text, url, &self.variables).map_err(unusable);
        self.headers.iter().map(parse).collect()
    }

    /// The program of the command line.
    fn program(&self, host: BridgeHost<'_>) -> Result<ProgramLauncher, StartupError> {
        if !self.headers.is_empty() {
            return Err(StartupError::unusable(
                "--header",
                "headers are for --upstream; a program gets --env",
            ));
        }
        let Some((command, args)) = self.command.split_first() else {
            return Err(StartupError::unusable("--", "write the program and its arguments behind it"));
        };
        for argument in &self.command {
            if ["${user.", "${github.", "${env."].iter().any(|placeholder| argument.contains(placeholder)) {
                let why =
                    "placeholders are for the values of --env; a program does not get them as arguments";
                return Err(StartupError::unusable("--", why));
            }
        }
        let not_found =
            || format!("there is no program {command:?} that can be executed, in PATH or at this path");
        let program = launch::find(command, &self.variables)
            .ok_or_else(|| StartupError::unusable("--", not_found()))?;
        let user = self.user.as_deref().map(find_user).transpose()?;
        if user.is_none_or(|user| user.id == 0) && sys::is_root() && !host.root_is_fine {
            let why = "this server runs as root, and so would the program: name another user";
            return Err(StartupError::unusable("MCP_CHILD_USER", why));
        }
        let env = self.env.iter().map(|each| self.variable(each)).collect::<Result<_, _>>()?;
        let name = program.file_name().unwrap_or(program.as_os_str());
        Ok(ProgramLauncher {
            server: Arc::from(name.to_string_lossy()),
            program,
            args: args.to_vec(),
            env,
            directory: self.home_directories(host.state_dir),
            user,
            variables: self.variables.clone(),
        })
    }

    /// A variable of the program.
    fn variable(&self, text: &str) -> Result<(String, Template), StartupError> {
        let (name, value) = match text.split_once('=') {
            Some((name, value)) => (name, value.to_owned()),
            None => (text, format!("${{env.{text}}}")),
        };
        let unusable = |why: String| StartupError::unusable("--env", format!("{name}: {why}"));
        if name.is_empty() {
            return Err(unusable("write NAME=VALUE, or NAME for a variable of this server".to_owned()));
        }
        let template =
            Template::parse(&value, &self.variables).map_err(|error| unusable(error.to_string()))?;
        if template.names_github_token() {
            return Err(unusable("${github.token} needs a file of servers (githubScopes)".to_owned()));
        }
        Ok((name.to_owned(), template))
    }
}

/// A user by name or number.
fn find_user(name: &str) -> Result<RunAs, StartupError> {
    let number: Option<u32> = name.parse().ok();
    let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let found = users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let (login, _, id, group) =
            (fields.next()?, fields.next()?, fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
        (login == name || number == Some(id)).then_some(RunAs { id, group })
    });
    let by_number = || number.map(|id| RunAs { id, group: id });
    let unknown =
        || StartupError::unusable("MCP_CHILD_USER", format!("there is no user {name:?} in /etc/passwd"));
    found.or_else(by_number).ok_or_else(unknown)
}

#[cfg(test)]
mod tests;
