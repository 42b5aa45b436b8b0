//! Launching a program for a person: its values filled in, its directories made.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use super::instances::Launcher;
use super::launch::{Directories, Launch, RunAs};
use super::stdio::Stdio;
use super::template::{NoGitHubToken, ServedPerson, Template, Variables};
use super::transport::{Receiver, Transport};
use crate::base::identity::Principal;

/// Launches one program.
pub(super) struct ProgramLauncher {
    pub(super) server: Arc<str>,
    /// An absolute path.
    pub(super) program: PathBuf,
    pub(super) args: Vec<String>,
    /// Variables beyond those that every program gets.
    pub(super) env: Vec<(String, Template)>,
    /// The directory above all home directories.
    pub(super) directory: PathBuf,
    pub(super) user: Option<RunAs>,
    /// The server's own variables.
    pub(super) variables: Variables,
}

impl Launcher for ProgramLauncher {
    fn launch(&self, person: &Principal, receiver: Arc<dyn Receiver>) -> io::Result<Arc<dyn Transport>> {
        let github_token = || person.upstream.token();
        let served = ServedPerson { id: person.user, login: &person.login, github_token: &github_token };
        let no_token = |NoGitHubToken| io::Error::other("no token of the person at GitHub is kept");
        let fill = |(name, value): &(String, Template)| Ok((name.clone(), value.fill(&served)?));
        let env = self.env.iter().map(fill).collect::<Result<_, _>>().map_err(no_token)?;
        let user = person.user.0.to_string();
        let launch = Launch {
            program: self.program.clone(),
            args: self.args.clone(),
            env,
            directories: Directories::make(&self.directory, &[&self.server, &user], self.user)?,
            user: self.user,
        };
        Ok(Stdio::start(&self.server, launch.start(&self.variables)?, receiver)?)
    }
}
