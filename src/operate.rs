//! The operator's commands. A running server is asked through its socket; when none runs, which the state directory's lock
//! tells, the command does it there itself.

use std::fmt;
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use crate::base::clock::{self, Clock, SystemClock};
use crate::base::limits;
use crate::base::random::OsRandom;
use crate::config::{OperatorCommand, Probe, StateFiles};
use crate::operator::{self, ErrorAnswer, Operation, Operator, OperatorError, Outcome};
use crate::store::{self, Grants, Medium, OpenError, Opener, RedbGrants, StateDirectory, key_file};

use crate::trust;

pub mod report;

/// Why it was not done. The text says what to do.
#[derive(Debug)]
pub enum OperateError {
    /// No server has ever run with this state directory.
    NothingThere(PathBuf),
    /// The state directory, the key or the grants table.
    State(OpenError),
    /// A server runs, but its socket does not answer.
    Socket(PathBuf, io::Error),
    /// The running server says why not.
    Refused(String),
    /// It was tried here.
    Failed(OperatorError),
    /// The copy cannot be put where it was asked for.
    Copy(PathBuf, io::Error),
}

impl fmt::Display for OperateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            OperateError::NothingThere(directory) => write!(
                f,
                "no server has run with the state directory {0} yet; name another with --state-dir \
                 (the demo's is `demo` in the one that it is given)",
                directory.display()
            ),
            OperateError::State(OpenError::ForeignOwner { path, owner, us }) => write!(
                f,
                "{} belongs to user {owner}, but this command runs as user {us}. Run it as root or as the server's user",
                path.display()
            ),
            OperateError::State(OpenError::Io { path, source })
                if source.kind() == io::ErrorKind::PermissionDenied =>
            {
                let path = path.display();
                write!(f, "{path}: {source}. Run the command as the user that the server runs as, or as root")
            }
            OperateError::State(error) => error.fmt(f),
            OperateError::Socket(path, error) => write!(
                f,
                "a server is running, but does not answer at {}: {error}. If it is just starting or stopping, try again",
                path.display()
            ),
            OperateError::Refused(text) => f.write_str(&report::visible(text)),
            OperateError::Failed(error) => error.fmt(f),
            OperateError::Copy(path, error) => {
                write!(
                    f,
                    "the copy cannot be written to {}: {error}. Name a file that is not there yet",
                    path.display()
                )
            }
        }
    }
}

impl std::error::Error for OperateError {}

impl From<OpenError> for OperateError {
    fn from(error: OpenError) -> OperateError {
        OperateError::State(error)
    }
}

/// Does it, wherever it can be done.
///
/// # Errors
/// [`OperateError`].
pub fn operate(command: &OperatorCommand) -> Result<Outcome, OperateError> {
    let outcome = perform(&command.operation, &command.files)?;
    if let (Outcome::BackedUp, Some(file)) = (&outcome, &command.file) {
        // Root may run this on another user's server, whose answer is not believed: the copy has a fixed name.
        let copy = command.files.directory.join(operator::COPY);
        store::deliver(&copy, file).map_err(|error| OperateError::Copy(file.clone(), error))?;
    }
    Ok(outcome)
}

fn perform(operation: &Operation, files: &StateFiles) -> Result<Outcome, OperateError> {
    let nothing_there = || OperateError::NothingThere(files.directory.clone());
    match StateDirectory::existing(&files.directory, Opener::Command) {
        Ok(directory) => here(operation, files, &directory.ok_or_else(nothing_there)?),
        Err(OpenError::AlreadyRunning(_)) => ask(operation, &files.socket),
        Err(error) => Err(error.into()),
    }
}

/// No server runs, and none can start meanwhile: the directory is locked by us.
fn here(
    operation: &Operation,
    files: &StateFiles,
    directory: &StateDirectory,
) -> Result<Outcome, OperateError> {
    let nothing_there = || OperateError::NothingThere(files.directory.clone());
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let keys = key_file::find(&files.key_file, &files.directory)?.ok_or_else(nothing_there)?;
    let grants = RedbGrants::existing(directory, &keys, Medium::File)?.ok_or_else(nothing_there)?;
    let grants = Arc::new(grants);
    let (ending, rotating, key_file) =
        (Arc::clone(&grants), Arc::clone(&grants), files.key_file.path.clone());
    let (copied, copy) = (Arc::clone(&grants), directory.file(operator::COPY));
    let operator = Operator::new(operator::Parts {
        grants,
        clock,
        end_grant: Box::new(move |grant| ending.delete(grant)),
        end_later: Box::new(|_| false),
        rotate_key: Box::new(move || key_file::rotate(&key_file, &keys, &rotating, &OsRandom)),
        look: Box::new(|| None),
        back_up: Box::new(move || copied.back_up(&copy)),
    });
    operator.perform(operation).map_err(OperateError::Failed)
}

/// Asks the running server. As long as it takes: ending many grants is many writes, and the operator can interrupt.
fn ask(operation: &Operation, socket: &Path) -> Result<Outcome, OperateError> {
    let failed = |error| OperateError::Socket(socket.to_owned(), error);
    let answer = exchange(operation, socket).map_err(failed)?;
    let (status, body) = parse(&answer).ok_or_else(|| failed(io::ErrorKind::InvalidData.into()))?;
    if status == 200 {
        return serde_json::from_slice(body).map_err(|error| failed(error.into()));
    }
    let text = serde_json::from_slice::<ErrorAnswer>(body).map(|answer| answer.error);
    Err(OperateError::Refused(
        text.unwrap_or_else(|_| format!("the server answered {status}; its log says more")),
    ))
}

fn exchange(operation: &Operation, socket: &Path) -> io::Result<Vec<u8>> {
    let body = serde_json::to_vec(operation)?;
    let (path, length) = (operator::PATH, body.len());
    let head =
        format!("POST {path} HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n");
    talk(UnixStream::connect(socket)?, &head, &body, None)
}

/// One request and its answer, of [`limits::OPERATOR_ANSWER_BYTES`] at most, until `deadline` if there is one.
fn talk(mut line: UnixStream, head: &str, body: &[u8], deadline: Option<Instant>) -> io::Result<Vec<u8>> {
    let left = |line: &UnixStream| {
        let left = deadline.map(|deadline| deadline.saturating_duration_since(clock::instant()));
        if left.is_some_and(|left| left.is_zero()) {
            return Err(io::ErrorKind::TimedOut.into());
        }
        line.set_write_timeout(left).and_then(|()| line.set_read_timeout(left))
    };
    left(&line)?;
    write!(line, "{head}Host: operator\r\nConnection: close\r\n\r\n")?;
    line.write_all(body)?;
    let (mut answer, mut piece) = (Vec::new(), vec![0; 16 * 1024]);
    loop {
        left(&line)?;
        let length = line.read(&mut piece)?;
        let Some(read) = piece.get(..length).filter(|read| !read.is_empty()) else { return Ok(answer) };
        answer.extend_from_slice(read);
        if answer.len() > limits::OPERATOR_ANSWER_BYTES {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
    }
}

/// Asks a server whether it is up: at its URL, or else over the operator's socket.
///
/// # Errors
/// It is not, and why.
pub fn health(probe: &Probe) -> Result<(), String> {
    let (place, status) = match &probe.url {
        Some(url) => (url.clone(), trust::status(&format!("{}/healthz", url.trim_end_matches('/')))),
        None => (probe.socket.display().to_string(), status_over(&probe.socket)),
    };
    match status {
        Ok(200) => Ok(()),
        Ok(status) => Err(format!("{place} answers {status}")),
        Err(error) => Err(format!("{place}: {error}")),
    }
}

fn status_over(socket: &Path) -> Result<u16, String> {
    let deadline = clock::instant() + limits::HEALTH;
    let asked = UnixStream::connect(socket)
        .and_then(|line| talk(line, "GET /healthz HTTP/1.1\r\n", b"", Some(deadline)));
    let answer = asked.map_err(|error| error.to_string())?;
    parse(&answer).map(|(status, _)| status).ok_or_else(|| "no whole answer".to_owned())
}

/// Status and body of a whole answer of our own server; `None` if it was cut off.
fn parse(answer: &[u8]) -> Option<(u16, &[u8])> {
    let end = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n")?;
    let (head, body) = answer.split_at_checked(end.saturating_add(4))?;
    let head = std::str::from_utf8(head).ok()?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: "))?;
    (length.parse() == Ok(body.len())).then_some((status, body))
}

#[cfg(test)]
mod tests;
