//! The operator's commands. They ask the running server through its socket; if no server holds the lock of the state
//! directory, they work on the files in it.

use std::io::{self, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use crate::audit;
use crate::base::{Cause, Quota, StartupError, SystemClock, capped, limits, log};
use crate::config::{OperatorCommand, StateFiles};
use crate::operator::{self, ErrorAnswer, GrantSummary, Operation, Operator, Outcome};
use crate::store::{self, OpenedFor, StateDirectory, StorePlace, StoreUrl, key_file};
use crate::trust;

pub mod report;

/// Executes a command, in the running server or without one.
pub fn operate(command: &OperatorCommand) -> Result<Outcome, StartupError> {
    let perform = || perform(&command.operation, &command.files);
    let Some(path) = &command.file else { return perform() };
    let failed = |error: io::Error| {
        let path = path.display();
        let why = format!("the copy cannot be written to {path}: {error}. Name a file that is not there yet");
        StartupError::new(why)
    };
    // First, so that no copy is made and recorded if the target cannot be created.
    let file = store::create_new(path).map_err(failed)?;
    // Root may run this on another user's server, whose answer is untrusted: the copy has a fixed name.
    let copy = command.files.directory.join(operator::COPY);
    // Names in the state directory may be the server's: then the file is gone.
    let deliver = || store::deliver(&copy, file).and_then(|()| path.metadata()).map_err(failed);
    perform().and_then(|outcome| deliver().map(|_| outcome)).inspect_err(|_| store::withdraw(path))
}

fn perform(operation: &Operation, files: &StateFiles) -> Result<Outcome, StartupError> {
    match StateDirectory::existing(&files.directory, OpenedFor::Command) {
        Ok(Some(directory)) => here(operation, files, &directory),
        Ok(None) => Err(nothing_there(files)),
        Err(error) if error.cause == Cause::InUse => ask(operation, &files.socket),
        Err(error) => Err(advised(error)),
    }
}

fn nothing_there(files: &StateFiles) -> StartupError {
    let directory = files.directory.display();
    let text = format!("no server has run with the state directory {directory} yet; {OTHER_DIRECTORY}");
    StartupError { cause: Cause::Missing, ..StartupError::new(text) }
}

/// Advice for the case that no server is found.
const OTHER_DIRECTORY: &str =
    "name another with --state-dir (the demo's is `demo` in the one that it is given)";

/// Adapts the advice of a start to a command. Changing the owner of the state would keep the server from it.
fn advised(error: StartupError) -> StartupError {
    if error.cause != Cause::Denied {
        return error;
    }
    StartupError { advice: "Run the command as root or as the server's user".to_owned(), ..error }
}

/// Works on the files themselves. No server runs, and none can start meanwhile: we hold the lock of the directory.
fn here(
    operation: &Operation,
    files: &StateFiles,
    directory: &StateDirectory,
) -> Result<Outcome, StartupError> {
    let keys = key_file::find(&files.key_file, &files.directory).map_err(advised)?;
    let keys = Arc::new(keys.ok_or_else(|| nothing_there(files))?);
    if let Operation::CopyStore { from, to } = operation {
        files.audit_log.as_deref().map_or(Ok(()), audit::open_existing)?;
        let place = |text: &str| {
            let url = StoreUrl::parse(text).map_err(|why| StartupError::unusable("store copy", why))?;
            Ok::<_, StartupError>(StorePlace { url, ..files.store.clone() })
        };
        let grants = place(from)?.copy_to(&place(to)?, directory, &keys).map_err(advised)?;
        let count = u64::try_from(grants).unwrap_or(u64::MAX);
        audit::info("operator.store_copied", &[log::Field::Target(to), log::Field::Count(count)]);
        return Ok(Outcome::Copied { grants });
    }
    let grants = files.store.existing(Some(directory), &keys, OpenedFor::Command).map_err(advised)?;
    let grants = grants.ok_or_else(|| nothing_there(files))?;
    files.audit_log.as_deref().map_or(Ok(()), audit::open_existing)?;
    let rotate_key = files.store.key_rotation(&files.key_file, keys, Arc::clone(&grants));
    let operator = Operator {
        grants,
        clock: Arc::new(SystemClock),
        rotate_key,
        copy: directory.file(operator::COPY),
        writing: Quota::in_total(1),
        server: None,
    };
    operator.perform(operation)
}

/// Asks the running server, without a time limit: ending many grants takes many writes, and the operator can interrupt.
fn ask(operation: &Operation, socket: &Path) -> Result<Outcome, StartupError> {
    let failed = |error: io::Error| {
        StartupError::new(format!(
            "a server is running, but does not answer at {}: {error}. If it is just starting or stopping, try again",
            socket.display()
        ))
    };
    let body = serde_json::to_vec(operation).map_err(|error| failed(error.into()))?;
    let (path, length) = (operator::PATH, body.len());
    let head =
        format!("POST {path} HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n");
    let answer = exchange(socket, &head, &body).map_err(failed)?;
    let (status, body) = parse(&answer).ok_or_else(|| failed(io::ErrorKind::InvalidData.into()))?;
    if status == 200 {
        return serde_json::from_slice(body).map_err(|error| failed(error.into()));
    }
    let text = serde_json::from_slice::<ErrorAnswer>(body).map(|answer| answer.error);
    let text = text.unwrap_or_else(|_| format!("the server answered {status}; its log says more"));
    let cause = if status == 404 { Cause::Missing } else { Cause::Other };
    Err(StartupError { cause, ..StartupError::new(text) })
}

/// One request and its answer, of [`limits::OPERATOR_ANSWER_BYTES`] at most.
fn exchange(socket: &Path, head: &str, body: &[u8]) -> io::Result<Vec<u8>> {
    let mut stream = UnixStream::connect(socket)?;
    write!(stream, "{head}Host: operator\r\nConnection: close\r\n\r\n")?;
    stream.write_all(body)?;
    capped::read_from(stream, limits::OPERATOR_ANSWER_BYTES)
}

/// Checks whether a server is up: at its URL, or else over the operator's socket.
pub fn health(socket: PathBuf, url: Option<String>) -> Result<(), StartupError> {
    let (place, status) = match &url {
        Some(url) => (url.clone(), trust::status(&format!("{}/healthz", url.trim_end_matches('/')))),
        None => (socket.display().to_string(), status_over(socket, limits::HEALTH)),
    };
    match status {
        Ok(200) => Ok(()),
        Ok(status) => Err(StartupError::new(format!("{place} answers {status}"))),
        Err(why) if url.is_none() => Err(StartupError::new(format!(
            "no server answers at {place}: {why}; if it is elsewhere, {OTHER_DIRECTORY}"
        ))),
        Err(why) => Err(StartupError::new(format!("no server answers at {place}: {why}"))),
    }
}

/// The service tokens of the running server, if it answers.
pub fn tokens(files: &StateFiles) -> Vec<GrantSummary> {
    let socket = files.socket.clone();
    match within(limits::HEALTH, move || ask(&Operation::ListTokens, &socket)) {
        Ok(Ok(Outcome::Tokens(tokens))) => tokens,
        Ok(_) | Err(_) => Vec::new(),
    }
}

/// The status of `/healthz`, within `patience`.
fn status_over(socket: PathBuf, patience: Duration) -> Result<u16, String> {
    let ask = move || {
        let answer = exchange(&socket, "GET /healthz HTTP/1.1\r\n", b"");
        answer.map(|answer| parse(&answer).map(|(status, _)| status))
    };
    let status = within(patience, ask)?;
    status.map_err(|error| error.to_string())?.ok_or_else(|| "no whole answer".to_owned())
}

/// The result of `work`, if it returns within `patience`.
fn within<T: Send + 'static>(
    patience: Duration,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, String> {
    let (sender, answer) = channel();
    // A thread, because connecting to a hung server can block for ever and std has no timeout for that. Ends with the process.
    let answering = thread::Builder::new().name("health".to_owned());
    // The receiver may have given up.
    answering.spawn(move || drop(sender.send(work()))).map_err(|error| error.to_string())?;
    answer.recv_timeout(patience).map_err(|_| "no answer in time".to_owned())
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
