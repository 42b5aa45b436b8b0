//! One server behind the login, as the operator describes it, on the command line or in the servers file: what is started or called for
//! whom. Programs and users are looked for; nothing is started.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;

use super::launch::{self, RunAs};
use super::template::{Template, Variables};
use super::upstream::{UpstreamHeader, UpstreamUrl};
use crate::sys;

/// A server behind the login.
pub(crate) struct ServerEntry {
    /// Its name in paths, directories, log lines and messages.
    pub(crate) name: Arc<str>,
    /// Its name for people.
    pub(crate) title: String,
    pub(crate) isolation: Isolation,
    /// How long it may take from its start to its answer to `initialize`.
    pub(crate) start: Duration,
    /// How long it may go unused before it is ended.
    pub(crate) idle: Duration,
    /// The scopes of GitHub's token that the server needs.
    #[allow(dead_code)] // until the login asks for them
    pub(crate) github_scopes: Vec<String>,
    pub(crate) location: Location,
}

/// Where a server is.
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
    /// Variables beyond those that every program gets.
    pub(crate) env: Vec<(String, Template)>,
    /// The working directory; without one, the home directory.
    pub(crate) cwd: Option<PathBuf>,
    /// The user that it runs as; without one, the server's.
    pub(crate) user: Option<RunAs>,
    #[allow(dead_code)] // until directories are made by it
    pub(crate) home: Home,
}

/// Who shares one process or upstream session.
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

/// Who shares one home directory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Home {
    /// One person.
    #[default]
    Person,
    /// All persons: package caches are filled once.
    Shared,
}

/// What the parts of an entry refer to.
#[derive(Clone, Copy)]
pub(crate) struct Surroundings<'a> {
    /// This server's own, from which `${env.NAME}` is filled.
    pub(crate) variables: &'a Variables,
    /// The user of programs that name none.
    pub(crate) user: Option<&'a str>,
    /// How long servers that do not say it go unused.
    pub(crate) idle: Duration,
    /// Whether programs may run as root: for a trial.
    pub(crate) root_is_fine: bool,
}

impl ServerEntry {
    /// The values that are filled in for a person, with their names.
    pub(crate) fn templates(&self) -> impl Iterator<Item = (&str, &Template)> {
        let (env, headers): (&[_], &[_]) = match &self.location {
            Location::Program(program) => (&program.env, &[]),
            Location::Upstream { headers, .. } => (&[], headers),
        };
        let headers = headers.iter().map(|header| (header.name.as_str(), &header.value));
        env.iter().map(|(name, value)| (name.as_str(), value)).chain(headers)
    }

    /// M5: whether a person's token at GitHub is passed on.
    pub(crate) fn needs_github_token(&self) -> bool {
        self.templates().any(|(_, value)| value.names_github_token())
    }
}

impl Surroundings<'_> {
    /// The absolute path of a program.
    pub(crate) fn find_program(&self, command: &str) -> Result<PathBuf, String> {
        launch::find(command, self.variables).ok_or_else(|| {
            format!("there is no program {command:?} that can be executed, in PATH or at this path")
        })
    }

    /// The user of a program that names this one, or none.
    pub(crate) fn find_user(&self, name: Option<&str>) -> Result<Option<RunAs>, String> {
        let user = name.or(self.user).map(find_user).transpose()?;
        if user.is_none_or(|user| user.id == 0) && sys::is_root() && !self.root_is_fine {
            return Err("this server runs as root, and so would the program: name another user".to_owned());
        }
        Ok(user)
    }

    /// A variable of a program.
    pub(crate) fn variable(&self, name: &str, value: &str) -> Result<(String, Template), String> {
        if name.is_empty() || name.contains(['=', '\0']) {
            return Err("it is no name for a variable".to_owned());
        }
        let template = Template::parse(value, self.variables).map_err(|error| error.to_string())?;
        Ok((name.to_owned(), template))
    }
}

/// A user by name or number.
fn find_user(name: &str) -> Result<RunAs, String> {
    let number: Option<u32> = name.parse().ok();
    let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let found = users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let (login, _, id, group) =
            (fields.next()?, fields.next()?, fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
        (login == name || number == Some(id)).then_some(RunAs { id, group })
    });
    let by_number = || number.map(|id| RunAs { id, group: id });
    found.or_else(by_number).ok_or_else(|| format!("there is no user {name:?} in /etc/passwd"))
}

#[cfg(test)]
mod tests;
