//! Starting a program: its guardian, its environment, its directories. P1: an argument vector from the operator, no shell,
//! and an environment that is built from scratch.

use std::fs;
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt, lchown};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{self, Path, PathBuf};
use std::process::{self, ChildStderr, ChildStdin, ChildStdout, Command, Stdio};

use super::guardian::{FLAG, GuardianReport, SAME_USER, TERMINATE};
use super::lines::Lines;
use super::template::Variables;
use crate::base::{Secret, Subject};
use crate::sys;

/// Variables of the server that every program gets, besides those that begin with `LC_`.
const PASSED: [&str; 5] = ["PATH", "LANG", "TZ", "SSL_CERT_FILE", "SSL_CERT_DIR"];
/// The search path for programs if there is no `PATH`.
const DEFAULT_PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// The maximum length of a guardian's report (bytes): a word and a number.
const REPORT_BYTES: usize = 256;
/// This executable, even if its file was replaced or removed meanwhile.
const EXECUTABLE: &str = "/proc/self/exe";
#[cfg(not(test))]
const ARGUMENTS: [&str; 1] = [FLAG];
/// The test harness runs one test, which serves as the guardian.
#[cfg(test)]
const ARGUMENTS: [&str; 6] =
    ["bridge::guardian::tests::serves_when_asked", "--exact", "--nocapture", "--quiet", "--", FLAG];

/// A program to be started.
pub(crate) struct Launch {
    /// An absolute path, see [`find`].
    pub(crate) program: PathBuf,
    pub(crate) args: Vec<String>,
    /// The entry's own variables.
    pub(crate) env: Vec<(String, Secret<String>)>,
    /// HOME and TMPDIR.
    pub(crate) directories: Directories,
    /// The working directory, unless it is HOME.
    pub(crate) cwd: Option<PathBuf>,
    pub(crate) user: Option<RunAs>,
}

/// The user that a program runs as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RunAs {
    pub(crate) id: u32,
    pub(crate) group: u32,
}

/// A started program. Its guardian may not have reported the start yet.
pub(crate) struct Child {
    pub(crate) stdin: ChildStdin,
    pub(crate) stdout: ChildStdout,
    pub(crate) stderr: ChildStderr,
    /// Values to be redacted in the log: those of the entry's own variables.
    pub(crate) env: Vec<(String, Secret<String>)>,
    pub(crate) guardian: Guardian,
}

/// The server's side of a guardian. When dropped, it has the guardian kill everything and waits for that.
pub(crate) struct Guardian {
    process: process::Child,
    socket: UnixStream,
    lines: Lines,
}

impl Launch {
    /// Starts the guardian, which starts the program.
    pub(crate) fn start(&self, environment: &Variables) -> io::Result<Child> {
        let (ours, theirs) = UnixStream::pair()?;
        let user = self.user.map(|RunAs { id, group }| format!("{id}:{group}"));
        let mut command = Command::new(EXECUTABLE);
        command
            .arg0("mcp-guardian")
            .args(ARGUMENTS)
            .arg(theirs.as_raw_fd().to_string())
            .arg(user.as_deref().unwrap_or(SAME_USER))
            .arg(&self.program)
            .args(&self.args)
            .env_clear()
            .envs(base_environment(environment))
            .env("HOME", &self.directories.home)
            .env("TMPDIR", &self.directories.temporary)
            .envs(self.env.iter().map(|(name, value)| (name, value.expose())))
            .current_dir(self.cwd.as_ref().unwrap_or(&self.directories.home))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        sys::inherit(&mut command, &theirs);
        let mut process = command.spawn()?;
        let streams = (process.stdin.take(), process.stdout.take(), process.stderr.take());
        let guardian = Guardian { process, socket: ours, lines: Lines::new(REPORT_BYTES) };
        let (Some(stdin), Some(stdout), Some(stderr)) = streams else {
            return Err(io::Error::other("a pipe is missing"));
        };
        Ok(Child { stdin, stdout, stderr, env: self.env.clone(), guardian })
    }
}

impl Guardian {
    /// Sends SIGTERM to the program's group.
    pub(crate) fn terminate(&mut self) {
        let _ = self.socket.write_all(&[TERMINATE]); // a guardian that is gone has killed everything
    }

    /// Kills the program and all its descendants.
    pub(crate) fn kill(&mut self) {
        let _ = self.socket.shutdown(Shutdown::Write); // a guardian that is gone has killed everything
    }

    /// Reads the guardian's reports; to be called when its socket is readable. `None` if the guardian has ended.
    pub(crate) fn read(&mut self) -> Option<Vec<GuardianReport>> {
        let mut bytes = [0; 256];
        let length = self.socket.read(&mut bytes).unwrap_or_default();
        let bytes = bytes.get(..length).filter(|bytes| !bytes.is_empty())?;
        let mut reports = Vec::new();
        let take = |line: &[u8]| reports.extend(serde_json::from_slice::<GuardianReport>(line));
        self.lines.push(bytes, take).ok()?;
        Some(reports)
    }
}

impl AsFd for Guardian {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Drop for Guardian {
    fn drop(&mut self) {
        self.kill();
        let _ = self.process.wait(); // it ends once everything is killed
    }
}

/// Makes our end of a pipe non-blocking. std offers that for sockets only; the system call takes any descriptor.
pub(super) fn never_wait(pipe: BorrowedFd<'_>) -> io::Result<()> {
    UnixStream::from(pipe.try_clone_to_owned()?).set_nonblocking(true)
}

/// The variables that every program gets.
fn base_environment(environment: &Variables) -> impl Iterator<Item = (&String, &String)> {
    environment.iter().filter(|(name, _)| PASSED.contains(&name.as_str()) || name.starts_with("LC_"))
}

/// The absolute path of a program: unchanged if it contains a slash, else its first executable match in `PATH`.
pub(crate) fn find(command: &str, environment: &Variables) -> Option<PathBuf> {
    let is_executable = |path: &PathBuf| {
        fs::metadata(path).is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
    };
    if command.contains('/') {
        return path::absolute(command).ok().filter(is_executable);
    }
    let directories = environment.get("PATH").map_or(DEFAULT_PATH, String::as_str);
    let candidate = |directory: &str| path::absolute(Path::new(directory).join(command)).ok();
    directories.split(':').filter_map(candidate).find(is_executable)
}

/// Whether this is an absolute path of a directory. One that is closed to this user may be open to the program's.
pub(super) fn may_be_directory(path: &Path) -> bool {
    let is_closed = |error: io::Error| error.kind() == io::ErrorKind::PermissionDenied;
    path.is_absolute() && fs::metadata(path).map_or_else(is_closed, |found| found.is_dir())
}

/// The directories that a program may write to. Their parent belongs to the server: changes by the program in its
/// own, links included, cannot lead the server elsewhere.
pub(crate) struct Directories {
    pub(crate) home: PathBuf,
    pub(crate) temporary: PathBuf,
}

impl Directories {
    /// Creates the directories `names` (the entry's, then the person's) below `root`, which others can traverse but not
    /// list. Names that begin with a dot are the server's own. Existing directories are kept.
    pub(crate) fn make(root: &Path, names: &[&str], user: Option<RunAs>) -> io::Result<Directories> {
        let is_name = |name: &&str| !name.is_empty() && !name.starts_with('.') && !name.contains(['/', '\0']);
        if !names.iter().all(is_name) {
            return Err(io::Error::other("its name cannot be that of a directory"));
        }
        let mut path = root.to_owned();
        make_root(&path)?;
        for name in names {
            path.push(name);
            make_directory(&path, 0o711)?;
        }
        let directories = Directories { home: path.join("home"), temporary: path.join("tmp") };
        for directory in [&directories.home, &directories.temporary] {
            make_directory(directory, 0o700)?;
            if let Some(RunAs { id, group }) = user {
                lchown(directory, Some(id), Some(group))?;
            }
        }
        Ok(directories)
    }
}

/// Creates the parent of all home directories, and its missing ancestors.
pub(super) fn make_root(root: &Path) -> io::Result<()> {
    let missing: Vec<&Path> = root.ancestors().skip(1).take_while(|directory| !directory.exists()).collect();
    missing.into_iter().rev().try_for_each(|directory| make_directory(directory, 0o711))?;
    make_directory(root, 0o711)
}

/// The name of the directory of a person or service token. Those of persons are numbers, so they never collide.
pub(super) fn directory_of(subject: Subject) -> String {
    match subject {
        Subject::User(user) => user.0.to_string(),
        Subject::Token(name) => format!("token-{}", name.as_str()),
    }
}

/// Creates a directory unless it exists, and sets its mode, regardless of the umask. An error names it.
pub(super) fn make_directory(path: &Path, mode: u32) -> io::Result<()> {
    let made = match fs::DirBuilder::new().mode(mode).create(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        Ok(()) | Err(_) => fs::set_permissions(path, fs::Permissions::from_mode(mode)),
    };
    made.map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))
}

#[cfg(test)]
mod tests;
