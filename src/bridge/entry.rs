//! One server behind the login: what is started or called for whom. Plain values; nothing here starts or reads anything.

use std::path::PathBuf;
use std::time::Duration;

use super::template::Template;

/// A server behind the login.
#[derive(Debug)]
pub(crate) struct ServerEntry {
    /// Its name in paths, log lines and messages.
    pub(crate) name: String,
    /// Its name for people.
    pub(crate) title: Option<String>,
    pub(crate) isolation: Isolation,
    /// How long it may go unused before it is ended.
    pub(crate) idle: Duration,
    /// The scopes of GitHub's token that the server needs.
    pub(crate) github_scopes: Vec<String>,
    /// Who may use it, one list of `MCP_ALLOW` rules per access rule; empty: whoever may log in.
    pub(crate) access: Vec<Vec<String>>,
    pub(crate) target: Location,
}

/// Where a server is.
#[derive(Debug)]
pub(crate) enum Location {
    /// A program that speaks MCP on its standard input and output.
    Command(Executable),
    /// A server that speaks Streamable HTTP.
    Url { url: String, headers: Vec<(String, Template)> },
}

/// A program to be started.
#[derive(Debug)]
pub(crate) struct Executable {
    pub(crate) command: String,
    pub(crate) args: Vec<String>,
    /// Variables beyond those that every program gets.
    pub(crate) env: Vec<(String, Template)>,
    /// The working directory; without one, the home directory.
    pub(crate) cwd: Option<PathBuf>,
    /// The user that it runs as; without one, the server's.
    pub(crate) user: Option<String>,
    pub(crate) home: Home,
    /// How long it may take from its start to its answer to `initialize`.
    pub(crate) start: Duration,
}

/// Who shares one process or upstream session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
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
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Home {
    /// One person.
    #[default]
    Person,
    /// All persons: package caches are filled once.
    Shared,
}
