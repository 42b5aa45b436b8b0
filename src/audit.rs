//! The audit log: one JSON line per call, login, change of rules and operator's command, and per refusal of a known
//! person. Events and fields are those of `base::log`, which has the same lines and more.
//!
//! Requests of strangers are never recorded here: they must not fill a disk. A line is one write(2) at the end of the file, made before
//! the answer leaves. From then on the operating system holds it, and it survives the end of this process; only [`reopen`] and
//! [`sync`] wait for the disk. Standard output may be a pipe: a stalled reader loses lines, like a full disk.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{FileExt, FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::Value;

use crate::base::log::{self, Field};
use crate::base::{Mutex, StartupError, Throttle, base64url, clock, limits};
use crate::seal::Keyring;
use crate::sys;

/// The operator's options.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditOptions {
    /// The file, or [`STANDARD_OUTPUT`]. Without it nothing is recorded.
    pub path: Option<PathBuf>,
    /// Whether a call that cannot be recorded is refused.
    pub is_required: bool,
    /// Whether lines have a keyed hash of the arguments.
    pub hashes_arguments: bool,
}

/// The path that means standard output. The log is on standard error, so the two are separate streams.
const STANDARD_OUTPUT: &str = "-";

/// The option and its variable, for messages.
pub const SETTING: &str = "--audit-log or MCP_AUDIT_LOG";

impl AuditOptions {
    /// The file, unless lines go to standard output.
    pub fn file(&self) -> Option<&Path> {
        self.path.as_deref().filter(|path| *path != Path::new(STANDARD_OUTPUT))
    }
}

impl fmt::Display for AuditOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.path, self.file()) {
            (_, Some(file)) => file.display().fmt(f)?,
            (Some(_), None) => f.write_str("standard output")?,
            (None, None) => return f.write_str("none"),
        }
        f.write_str(if self.is_required { "; without it no call runs" } else { "" })?;
        f.write_str(if self.hashes_arguments { "; with hashes of arguments" } else { "" })
    }
}

/// The open audit log.
struct AuditLog {
    path: PathBuf,
    is_required: bool,
    /// The keys of the hash of arguments, if lines have one.
    keys: Option<Arc<Keyring>>,
    /// Guards the end of the file. Held for the write of one line, although that is I/O: two threads must not both complete a line
    /// that a full disk has cut.
    out: Mutex<Appender<File>>,
    written: AtomicU64,
    failed: AtomicU64,
    /// Bounds the lines in the log about lines that could not be written.
    failures: Throttle,
}

/// Appends whole lines.
#[derive(Debug)]
pub struct Appender<W> {
    to: W,
    /// The rest of a line that was written in part, because the disk was full. Written before anything else.
    rest: Vec<u8>,
    /// The number of lines lost since the last successful write.
    lost: u64,
}

/// The audit log of this process, if it keeps one.
static CURRENT: Mutex<Option<Arc<AuditLog>>> = Mutex::new(None);

fn current() -> Option<Arc<AuditLog>> {
    CURRENT.lock().clone()
}

/// Opens the audit log that `options` name, if any, for the rest of the process. `keys` are for the hash of arguments.
pub fn open(options: &AuditOptions, keys: &Arc<Keyring>) -> Result<(), StartupError> {
    let Some(path) = &options.path else { return Ok(()) };
    let out = open_file(path, OpenOptions::new().create(true)).map_err(|error| unusable(path, &error))?;
    let keys = options.hashes_arguments.then(|| Arc::clone(keys));
    let log = AuditLog { is_required: options.is_required, keys, ..AuditLog::new(path, out) };
    *CURRENT.lock() = Some(Arc::new(log));
    Ok(())
}

/// Opens the file that a server has created, for an operator's command without a server. A new file would have the wrong owner.
/// The command may be root's: unless only root can write to the directory, a link there may be the server's, to any file.
pub fn open_existing(path: &Path) -> Result<(), StartupError> {
    let directory = path.parent().and_then(|parent| parent.metadata().ok());
    let is_roots = directory.is_some_and(|found| found.uid() == 0 && found.mode() & 0o022 == 0);
    let flags = if is_roots { 0 } else { libc::O_NOFOLLOW };
    let Some(out) = existing_with(path, OpenOptions::new().custom_flags(flags))? else { return Ok(()) };
    if !is_roots && out.to.metadata().is_ok_and(|found| found.nlink() > 1) {
        return Err(unusable(path, &io::Error::other("it is a link")));
    }
    *CURRENT.lock() = Some(Arc::new(AuditLog::new(path, out)));
    Ok(())
}

/// The existing file, opened for appending, if there is one. Changes nothing.
pub fn existing(path: &Path) -> Result<Option<Appender<File>>, StartupError> {
    existing_with(path, &mut OpenOptions::new())
}

fn existing_with(path: &Path, options: &mut OpenOptions) -> Result<Option<Appender<File>>, StartupError> {
    match open_file(path, options) {
        Ok(out) => Ok(Some(out)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(unusable(path, &error)),
    }
}

fn unusable(path: &Path, error: &io::Error) -> StartupError {
    StartupError::unusable(SETTING, format!("{}: {error}", path.display()))
}

/// A new file can be read by its owner only. The mode of an existing one is the operator's choice.
fn open_file(path: &Path, options: &mut OpenOptions) -> io::Result<Appender<File>> {
    let mut rest = Vec::new();
    let to = if path == Path::new(STANDARD_OUTPUT) {
        File::from(io::stdout().as_fd().try_clone_to_owned()?)
    } else {
        let file = options.read(true).append(true).mode(0o600).open(path)?;
        let found = file.metadata()?;
        // Non-blocking: calls must not wait for the reader of a pipe.
        if !found.is_file() && !found.file_type().is_char_device() {
            return Err(io::Error::other("it is not a regular file"));
        }
        let mut last = [b'\n'];
        if let Some(end) = found.len().checked_sub(1) {
            file.read_exact_at(&mut last, end)?;
        }
        // Terminates a line that a crash of the machine has cut.
        rest.extend((last != [b'\n']).then_some(b'\n'));
        file
    };
    Ok(Appender { to, rest, lost: 0 })
}

/// Opens the file anew, for SIGHUP: log rotation has renamed it. If that fails, the open one stays in use.
pub fn reopen() {
    if let Some(audit) = current() {
        audit.reopen();
    }
}

/// Waits until all lines are on the disk, at the end of the server.
pub fn sync() {
    if let Some(audit) = current() {
        let mut out = audit.out.lock();
        let _ = out.finish().and_then(|()| out.to.sync_data()); // errors cannot be handled any more
    }
}

/// Logs and records an event of normal operation.
pub fn info(event: &'static str, fields: &[Field<'_>]) {
    log::info(event, fields);
    record(event, fields);
}

/// Logs and records an event that needs attention.
pub fn warn(event: &'static str, fields: &[Field<'_>]) {
    log::warn(event, fields);
    record(event, fields);
}

/// Records an event that is logged elsewhere.
pub fn record(event: &'static str, fields: &[Field<'_>]) {
    if let Some(audit) = current() {
        audit.append(event, fields);
    }
}

/// Records that a call begins, if calls must be recorded. Returns whether it may run.
#[must_use]
pub fn begin<'a>(fields: impl Iterator<Item = Field<'a>>) -> bool {
    let required = current().filter(|audit| audit.is_required);
    required.is_none_or(|audit| audit.append("request.begun", &fields.collect::<Vec<_>>()))
}

/// The number of lines by outcome; none without an audit log.
pub fn counts() -> Vec<(&'static str, u64)> {
    let Some(audit) = current() else { return Vec::new() };
    let counts = [("written", &audit.written), ("failed", &audit.failed)];
    counts.map(|(word, count)| (word, count.load(Ordering::Relaxed))).to_vec()
}

/// The keyed hash of a JSON value, if hashes are enabled.
pub fn hash(json: &str) -> Option<String> {
    current()?.hash(json)
}

/// The bytes that are hashed: members sorted by name, no space between tokens, the shortest escapes. Integers of 64 bits are exact,
/// other numbers are doubles.
fn canonical(json: &str) -> String {
    serde_json::from_str::<Value>(json).map_or_else(|_| json.to_owned(), |value| value.to_string())
}

impl AuditLog {
    fn new(path: &Path, out: Appender<File>) -> AuditLog {
        AuditLog {
            path: path.to_owned(),
            is_required: false,
            keys: None,
            out: Mutex::new(out),
            written: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            failures: Throttle::new(limits::FAILURES_PER_SECOND),
        }
    }

    fn reopen(&self) {
        match open_file(&self.path, OpenOptions::new().create(true)) {
            Ok(mut new) => {
                let mut out = self.out.lock();
                new.lost = out.lost.saturating_add(u64::from(out.finish().is_err()));
                let old = std::mem::replace(&mut *out, new);
                drop(out);
                let _ = old.to.sync_data(); // standard output may be a pipe
            }
            Err(error) => {
                let (path, error) = (self.path.display().to_string(), error.to_string());
                let hint = "lines go on to the file that is open; correct that and send SIGHUP again";
                let fields = [Field::Path(&path), Field::Error(&error), Field::Hint(hint)];
                log::error("audit.not_reopened", &fields);
            }
        }
    }

    /// Equal values have equal hashes until the key is rotated. Without the key, a guess at the value cannot be
    /// verified.
    fn hash(&self, json: &str) -> Option<String> {
        let hash = self.keys.as_ref()?.hash(&[b"audit.arguments", canonical(json).as_bytes()])?;
        let (half, _) = hash.split_at(16);
        Some(base64url(half))
    }

    /// Appends a line, unless nobody could read it there. Standard output may well be a file without a name.
    fn write(&self, line: &str) -> io::Result<()> {
        let (mut out, is_file) = (self.out.lock(), self.path != Path::new(STANDARD_OUTPUT));
        if is_file && out.to.metadata()?.nlink() == 0 {
            out.lost = out.lost.saturating_add(1);
            return Err(io::Error::other("the open file was removed: send SIGHUP"));
        }
        out.append(line)
    }

    /// Records a line. Returns whether it is in the file.
    fn append(&self, event: &'static str, fields: &[Field<'_>]) -> bool {
        let line = log::record(event, fields);
        let outcome = self.write(&line);
        let counter = if outcome.is_ok() { &self.written } else { &self.failed };
        counter.fetch_add(1, Ordering::Relaxed);
        let Err(error) = outcome else { return true };
        if let Some(omitted) = self.failures.pass("audit.failed", clock::monotonic()) {
            let (path, error) = (self.path.display().to_string(), error.to_string());
            let hint = if self.is_required {
                "calls are refused until it can be written"
            } else {
                "calls go on unrecorded"
            };
            let fields =
                [Field::Path(&path), Field::Error(&error), Field::Hint(hint), Field::Omitted(omitted)];
            log::error("audit.failed", &fields);
        }
        false
    }
}

impl<W: Write + AsFd> Appender<W> {
    /// Appends a line. If a full disk takes only a part of it, the rest is written later, before any other line.
    fn append(&mut self, line: &str) -> io::Result<()> {
        self.begin(line).inspect_err(|_| self.lost = self.lost.saturating_add(1))?;
        self.finish()
    }

    /// Writes a line, or its first part, preceded by a line with the number of lost lines, if any.
    fn begin(&mut self, line: &str) -> io::Result<()> {
        self.finish()?;
        let lost = (self.lost > 0).then(|| log::record("audit.lost", &[Field::Count(self.lost)]));
        self.rest = (lost.unwrap_or_default() + line).into_bytes();
        self.write_some().inspect_err(|_| self.rest.clear())?;
        self.lost = 0;
        Ok(())
    }

    /// Completes the last line.
    fn finish(&mut self) -> io::Result<()> {
        while !self.rest.is_empty() {
            self.write_some()?;
        }
        Ok(())
    }

    /// One write(2) of the rest, repeated only if a signal has interrupted it. A pipe that is ready takes PIPE_BUF bytes at once; a
    /// stalled reader is waited for until the first line is lost, and no longer.
    fn write_some(&mut self) -> io::Result<()> {
        let patience = if self.lost == 0 { limits::AUDIT_PATIENCE_MILLIS } else { 0 };
        loop {
            if !sys::are_ready(&[(&self.to, libc::POLLOUT)], patience).contains(&true) {
                return Err(io::Error::new(io::ErrorKind::TimedOut, "its reader does not read"));
            }
            match self.to.write(self.rest.get(..libc::PIPE_BUF).unwrap_or(&self.rest)) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                written => return written.map(|written| drop(self.rest.drain(..written))),
            }
        }
    }
}

#[cfg(test)]
mod tests;
