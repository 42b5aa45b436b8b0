//! The configuration of the bridge: the operator's options, and one server behind the login as they or the servers file describe it: a
//! program or an upstream, and how it is shared. Programs and users are looked up; nothing is started.

use std::fmt;
use std::path::{self, Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;

use super::child_user::ChildUser;
use super::launch::{self, RunAs};
use super::template::{self, Template, Variables};
use super::upstream::{Header, UpstreamUrl};
use crate::base::{AccessRules, StartupError, limits};
use crate::sys;

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
    pub(super) variables: Variables,
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

/// Everything that bridges are built from: the operator's options, and the server that the bridges are part of.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BridgeSetup<'a> {
    pub(crate) options: &'a BridgeOptions,
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

/// A server behind the login.
pub(crate) struct ServerEntry {
    /// Its name in paths, directories, log lines and messages.
    pub(crate) name: Arc<str>,
    /// The display name.
    pub(crate) title: String,
    pub(crate) isolation: Isolation,
    /// The time limit from its start to its answer to `initialize`.
    pub(crate) start: Duration,
    /// The idle time after which it is ended.
    pub(crate) idle: Duration,
    /// The scopes of GitHub's token that the server needs.
    pub(crate) github_scopes: Vec<String>,
    pub(crate) location: Location,
    /// Whether its description seems to contain a secret.
    pub(crate) holds_secret: bool,
    /// The access rules: the users, and the tools, prompts and resources that are open to them.
    pub(crate) access: AccessRules,
    /// A digest of the rest of its description in the servers file. When it changes, running instances are ended.
    pub(crate) digest: [u8; 32],
}

/// The location of a server.
pub(crate) enum Location {
    /// A program that speaks MCP on its standard input and output.
    Program(Executable),
    /// A server that speaks Streamable HTTP.
    Upstream { url: UpstreamUrl, headers: Vec<Header> },
}

/// A program to be started.
pub(crate) struct Executable {
    /// An absolute path.
    pub(crate) path: PathBuf,
    pub(crate) args: Vec<String>,
    /// Variables besides those that every program gets.
    pub(crate) env: Vec<(String, Template)>,
    /// The working directory; without one, the home directory.
    pub(crate) cwd: Option<PathBuf>,
    /// The user that it runs as; without one, the server's.
    pub(crate) user: Option<ChildUser>,
    pub(crate) home: Home,
}

/// The scope of one process or upstream session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Isolation {
    /// One person with one client program.
    #[default]
    Grant,
    /// One person.
    User,
    /// One MCP session.
    Session,
    /// All callers.
    Shared,
}

/// The scope of one home directory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Home {
    /// One person.
    #[default]
    Person,
    /// All persons: package caches are filled once.
    Shared,
}

impl ServerEntry {
    /// The templates that are filled in for each person, with their names.
    pub(crate) fn templates(&self) -> impl Iterator<Item = (&str, &Template)> {
        let (env, headers): (&[_], &[_]) = match &self.location {
            Location::Program(program) => (&program.env, &[]),
            Location::Upstream { headers, .. } => (&[], headers),
        };
        let headers = headers.iter().map(|(name, value)| (name.as_str(), value));
        env.iter().map(|(name, value)| (name.as_str(), value)).chain(headers)
    }

    /// Checks that this server can kill a program of another user, and that this user can traverse the path to the program's home
    /// directory, which is below `root`.
    pub(super) fn check_user(&self, root: &Path) -> Result<(), StartupError> {
        let Location::Program(Executable { user: Some(user), .. }) = &self.location else { return Ok(()) };
        if !user.can_be_ended() {
            let why = format!(
                "{} is to run as another user, and this server could not end it: run the server as root, or with the capability CAP_KILL",
                self.name
            );
            return Err(StartupError::unusable("MCP_CHILD_USER", why));
        }
        let Some(closed) = user.obstacle(root) else { return Ok(()) };
        let (name, root, closed) = (&self.name, root.display(), closed.display());
        let why = format!(
            "the user that {name} runs as cannot reach its home directory below {root}, because {closed} is closed to it: \
             name a directory that others can pass through, like /var/lib/mcp-children"
        );
        Err(StartupError::unusable("MCP_CHILDREN_DIR", why))
    }

    /// Whether a value refers to a property of a person that a service token lacks.
    pub(crate) fn needs_user(&self) -> bool {
        self.needs_github_token() || self.templates().any(|(_, value)| value.names_person())
    }

    /// M5: whether a person's GitHub token is passed on.
    pub(crate) fn needs_github_token(&self) -> bool {
        self.templates().any(|(_, value)| value.names_github_token())
    }
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

    /// The options that describe servers.
    pub(super) fn sources(&self) -> Vec<&'static str> {
        let sources = [
            ("-- COMMAND", !self.command.is_empty()),
            ("MCP_UPSTREAM", self.upstream.is_some()),
            ("MCP_SERVERS", self.file.is_some()),
        ];
        sources.into_iter().filter(|(_, is_there)| *is_there).map(|(name, _)| name).collect()
    }
}

impl BridgeSetup<'_> {
    /// The absolute path of the parent of all home directories.
    pub(crate) fn home_directories(&self) -> PathBuf {
        let beside = || {
            let mut name = self.state_dir.file_name().unwrap_or_default().to_owned();
            name.push(".children");
            let beside = self.state_dir.with_file_name(name);
            path::absolute(&beside).unwrap_or(beside) // programs have another working directory
        };
        self.options.directory.clone().unwrap_or_else(beside)
    }

    /// The absolute path of a program.
    pub(crate) fn find_program(&self, command: &str) -> Result<PathBuf, String> {
        launch::find(command, &self.options.variables).ok_or_else(|| {
            format!("there is no program {command:?} that can be executed, in PATH or at this path")
        })
    }

    /// The user of a program with this setting, or the default.
    pub(crate) fn find_user(&self, name: Option<&str>) -> Result<Option<ChildUser>, String> {
        let user = name.or(self.options.user.as_deref()).map(ChildUser::parse).transpose()?;
        let is_root = match &user {
            None | Some(ChildUser::One(RunAs { id: 0, .. })) => sys::effective_user() == 0,
            Some(ChildUser::One(_)) => false,
            Some(ChildUser::PerPerson(_)) if sys::effective_user() != 0 => {
                return Err("a user for each person needs a server that runs as root".to_owned());
            }
            Some(ChildUser::PerPerson(_)) => false,
        };
        if is_root && !self.root_is_fine {
            return Err("this server runs as root, and so would the program: name another user in MCP_CHILD_USER, or in \"user\" \
                        in a servers file"
                .to_owned());
        }
        Ok(user)
    }

    /// A variable of a program.
    pub(crate) fn variable(&self, name: &str, value: &str) -> Result<(String, Template), String> {
        if name.is_empty() || name.contains(['=', '\0']) {
            return Err("it is no name for a variable".to_owned());
        }
        let template = Template::parse(value, &self.options.variables)?;
        Ok((name.to_owned(), template))
    }
}
