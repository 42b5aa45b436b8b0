//! One server behind the login as configured, on the command line or in the servers file: a program or an upstream, and how it is
//! shared. Programs and users are looked up; nothing is started.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;

use super::child_user::ChildUser;
use super::launch::{self, RunAs};
use super::template::{Template, Variables};
use super::upstream::{UpstreamHeader, UpstreamUrl};
use crate::base::access::AccessRules;
use crate::base::startup_error::StartupError;
use crate::sys;

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
    Upstream { url: UpstreamUrl, headers: Vec<UpstreamHeader> },
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

/// The configuration that the parts of an entry depend on.
#[derive(Clone, Copy)]
pub(crate) struct Surroundings<'a> {
    /// The variables of this server's own process, for `${env.NAME}`.
    pub(crate) variables: &'a Variables,
    /// The user of programs that set none.
    pub(crate) user: Option<&'a str>,
    /// The idle time of servers that set none.
    pub(crate) idle: Duration,
    /// Whether programs may run as root: true for a trial.
    pub(crate) root_is_fine: bool,
    /// Whether a name is reserved as the first segment of one of this server's own paths.
    pub(crate) is_reserved: fn(&str) -> bool,
}

impl ServerEntry {
    /// The templates that are filled in for each person, with their names.
    pub(crate) fn templates(&self) -> impl Iterator<Item = (&str, &Template)> {
        let (env, headers): (&[_], &[_]) = match &self.location {
            Location::Program(program) => (&program.env, &[]),
            Location::Upstream { headers, .. } => (&[], headers),
        };
        let headers = headers.iter().map(|header| (header.name.as_str(), &header.value));
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

impl Location {
    /// The kind, as a word.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Location::Program(_) => "program",
            Location::Upstream { .. } => "upstream",
        }
    }
}

impl Surroundings<'_> {
    /// The absolute path of a program.
    pub(crate) fn find_program(&self, command: &str) -> Result<PathBuf, String> {
        launch::find(command, self.variables).ok_or_else(|| {
            format!("there is no program {command:?} that can be executed, in PATH or at this path")
        })
    }

    /// The user of a program with this setting, or the default.
    pub(crate) fn find_user(&self, name: Option<&str>) -> Result<Option<ChildUser>, String> {
        let user = name.or(self.user).map(ChildUser::parse).transpose()?;
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
        let template = Template::parse(value, self.variables)?;
        Ok((name.to_owned(), template))
    }
}
