//! Launching a program for a person: filling in its values, finding its user, creating its directories.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use super::entry::{Executable, Home, Isolation};
use super::launch::{Directories, Launch, directory_of};
use super::stdio::Stdio;
use super::template::{Template, Variables};
use super::transport::{Launcher, Receiver, Transport};
use crate::base::{Principal, sha256};

/// The name of the shared directory; [`directory_of`] names those of people and service tokens.
const EVERYBODY: &str = "shared";

/// Launches one program.
pub(super) struct ProgramLauncher {
    pub(super) server: Arc<str>,
    pub(super) program: Executable,
    pub(super) isolation: Isolation,
    /// The directory above all home directories.
    pub(super) directory: PathBuf,
    /// The environment variables of this server.
    pub(super) variables: Variables,
}

impl ProgramLauncher {
    fn needs_github_token(&self) -> bool {
        self.program.env.iter().any(|(_, value)| value.names_github_token())
    }
}

impl Launcher for ProgramLauncher {
    fn launch(&self, caller: &Principal, receiver: Arc<dyn Receiver>) -> io::Result<Arc<dyn Transport>> {
        let Executable { path, args, env, cwd, user, home } = &self.program;
        // M5: the token is checked with GitHub first, because the program keeps it for its whole life.
        let token = self.needs_github_token().then(|| caller.upstream.token()).flatten();
        let token = token.filter(|_| caller.upstream.is_good());
        let open_token = || token.clone();
        let fill = |(name, value): &(String, Template)| Ok((name.clone(), value.fill(caller, &open_token)?));
        let env = env.iter().map(fill).collect::<Result<_, &str>>().map_err(io::Error::other)?;
        let person = (self.isolation != Isolation::Shared).then_some(caller.subject);
        let user = user.as_ref().map(|user| user.of(person, &self.directory)).transpose()?;
        let owner = person.filter(|_| *home == Home::Person);
        let owner = owner.map_or(EVERYBODY.to_owned(), directory_of);
        let launch = Launch {
            program: path.clone(),
            args: args.clone(),
            env,
            directories: Directories::make(&self.directory, &[&self.server, &owner], user)?,
            cwd: cwd.clone(),
            user,
        };
        Ok(Stdio::start(&self.server, launch.start(&self.variables)?, receiver)?)
    }

    fn token_digest(&self, caller: &Principal) -> Option<[u8; 32]> {
        let token = self.needs_github_token().then(|| caller.upstream.token()).flatten()?;
        Some(sha256(token.expose().as_bytes()))
    }
}
