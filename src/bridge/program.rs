//! Launching a program for a person: its values filled in, its directories made.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use super::entry::Executable;
use super::instances::Launcher;
use super::launch::{Directories, Launch};
use super::stdio::Stdio;
use super::template::{NoGitHubToken, ServedPerson, Template, Variables};
use super::transport::{Receiver, Transport};
use crate::base::identity::Principal;

/// Launches one program.
pub(super) struct ProgramLauncher {
    pub(super) server: Arc<str>,
    pub(super) program: Executable,
    /// The directory above all home directories.
    pub(super) directory: PathBuf,
    /// The server's own variables.
    pub(super) variables: Variables,
}

impl Launcher for ProgramLauncher {
    fn launch(&self, person: &Principal, receiver: Arc<dyn Receiver>) -> io::Result<Arc<dyn Transport>> {
        let github_token = || person.upstream.token();
        let served = ServedPerson { id: person.user, login: &person.login, github_token: &github_token };
        let no_token = |NoGitHubToken| io::Error::other("no token of the person at GitHub is kept");
        let fill = |(name, value): &(String, Template)| Ok((name.clone(), value.fill(&served)?));
        let Executable { path, args, env, cwd, user, .. } = &self.program;
        let env = env.iter().map(fill).collect::<Result<_, _>>().map_err(no_token)?;
        let person = person.user.0.to_string();
        let launch = Launch {
            program: path.clone(),
            args: args.clone(),
            env,
            directories: Directories::make(&self.directory, &[&self.server, &person], *user)?,
            cwd: cwd.clone(),
            user: *user,
        };
        Ok(Stdio::start(&self.server, launch.start(&self.variables)?, receiver)?)
    }
}
