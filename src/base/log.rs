//! The log: one line per event on standard error, for people or as JSON, from a closed set of events and fields. Lines that are
//! logged during a request have its id and client address. A thread writes them in the background: a stalled reader, a terminal or a
//! pipe, loses lines and never delays a request.
//!
//! There is no field for free text, a query or a body, and of headers only a refused Host or Origin is logged
//! (`app/browser_rules.rs`). Values are escaped and truncated, because unauthenticated clients choose some of them.

use std::fmt::{Display, Write as _};
use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded, unbounded};

use super::clock::{self, Timestamp};
use super::identity::{GrantId, Subject};
use super::lock::Mutex;
use super::trace::{self, RequestId, Trace};
use super::{encoding::is_plain, limits};

/// The initial capacity of a line (bytes): enough for most lines.
const LINE_GUESS: usize = 256;
/// The longest value of a field (bytes).
const VALUE_BYTES: usize = 200;
/// The longest advice to the operator, the longest error text of this program, which may end in advice, and the longest name of a tool
/// or URI of a resource (bytes).
const LONG_VALUE_BYTES: usize = 1000;

/// The format of a line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// Text for people: words and `name=value`.
    #[default]
    Human,
    /// One JSON object per line.
    Json,
}

/// The fields that a line can have besides the name of its event.
#[derive(Clone, Copy, Debug)]
pub enum Field<'a> {
    /// Servers that are new behind the bridge, by name.
    Added(&'a str),
    /// A listening or peer address, a socket's path.
    Addr(&'a str),
    /// The keyed hash of a call's arguments.
    Arguments(&'a str),
    /// The tool, prompt or resource that an authenticated caller requests, as its client spells it.
    Asked(&'a str),
    /// The size of a call's response.
    Bytes(u64),
    /// Servers behind the bridge whose configuration has changed, by name.
    Changed(&'a str),
    /// A client's fingerprint.
    Client(&'a str),
    /// The number of something.
    Count(u64),
    /// An error of ureq or rustls, written as `error`. A remote host chooses some of its text, such as the names in its
    /// certificate.
    Detail(&'a str),
    /// An error text of this program or of the operating system.
    Error(&'a str),
    /// The number of the refresh that made a token.
    Generation(u32),
    /// A grant's id.
    Grant(GrantId),
    /// Advice for the operator.
    Hint(&'a str),
    /// A line that a program behind the bridge wrote to its standard error.
    Line(&'a str),
    /// A GitHub login.
    Login(&'a str),
    /// The number of similar events that were omitted since the last one that was logged; zero is not written.
    Omitted(u64),
    /// A request's method.
    Method(&'a str),
    /// A duration, written in milliseconds.
    Millis(Duration),
    /// Names of options.
    Options(&'a str),
    /// The outcome of a call, one of a few fixed words.
    Outcome(&'a str),
    /// A file, or the path of a request without a route.
    Path(&'a str),
    /// The client address of a request.
    Peer(&'a str),
    /// A process id.
    Process(i32),
    /// The reason for a refusal, one of a few fixed words.
    Reason(&'a str),
    /// Servers that are no longer behind the bridge, by name.
    Removed(&'a str),
    /// A request's correlation id, also shown on the error page.
    Request(RequestId),
    /// The name of a route, never a request's target.
    Route(&'a str),
    /// The JSON-RPC method of a call, one of those that are known.
    Rpc(&'a str),
    /// A server behind the login, by the operator's name for it.
    Server(&'a str),
    /// An HTTP status.
    Status(u16),
    /// The tool, prompt or resource that a call is for, as the server spells it.
    Target(&'a str),
    /// Our own public URL or GitHub's.
    Url(&'a str),
    /// The caller: `github:ID` or `token:NAME`.
    User(Subject),
    /// A version.
    Version(&'a str),
}

enum Value<'a> {
    Number(u64),
    /// Needs no quotes for people and no escapes.
    Word(&'a dyn Display),
    Text(&'a str),
}

impl Field<'_> {
    fn name_and_value(&self) -> (&'static str, Value<'_>) {
        match *self {
            Field::Added(text) => ("added", Value::Text(text)),
            Field::Addr(text) => ("addr", Value::Text(text)),
            Field::Arguments(text) => ("arguments", Value::Text(text)),
            Field::Asked(text) => ("asked", Value::Text(text)),
            Field::Bytes(number) => ("bytes", Value::Number(number)),
            Field::Changed(text) => ("changed", Value::Text(text)),
            Field::Client(text) => ("client", Value::Text(text)),
            Field::Count(number) => ("count", Value::Number(number)),
            Field::Detail(text) | Field::Error(text) => ("error", Value::Text(text)),
            Field::Generation(number) => ("generation", Value::Number(number.into())),
            Field::Grant(ref grant) => ("grant", Value::Word(grant)),
            Field::Hint(text) => ("hint", Value::Text(text)),
            Field::Line(text) => ("line", Value::Text(text)),
            Field::Login(text) => ("login", Value::Text(text)),
            Field::Omitted(number) => ("omitted", Value::Number(number)),
            Field::Method(text) => ("method", Value::Text(text)),
            Field::Millis(time) => ("ms", Value::Number(u64::try_from(time.as_millis()).unwrap_or(u64::MAX))),
            Field::Options(text) => ("options", Value::Text(text)),
            Field::Outcome(text) => ("outcome", Value::Text(text)),
            Field::Path(text) => ("path", Value::Text(text)),
            Field::Peer(text) => ("peer", Value::Text(text)),
            Field::Process(number) => ("pid", Value::Number(number.unsigned_abs().into())),
            Field::Reason(text) => ("reason", Value::Text(text)),
            Field::Removed(text) => ("removed", Value::Text(text)),
            Field::Request(ref request) => ("request", Value::Word(request)),
            Field::Route(text) => ("route", Value::Text(text)),
            Field::Rpc(text) => ("rpc", Value::Text(text)),
            Field::Server(text) => ("server", Value::Text(text)),
            Field::Status(number) => ("status", Value::Number(number.into())),
            Field::Target(text) => ("target", Value::Text(text)),
            Field::Url(text) => ("url", Value::Text(text)),
            Field::User(ref user) => ("user", Value::Word(user)),
            Field::Version(text) => ("version", Value::Text(text)),
        }
    }

    fn most_bytes(&self) -> usize {
        let is_long = matches!(self, Field::Hint(_) | Field::Error(_) | Field::Target(_) | Field::Asked(_));
        if is_long { LONG_VALUE_BYTES } else { VALUE_BYTES }
    }
}

static QUIET: AtomicBool = AtomicBool::new(false);
static JSON: AtomicBool = AtomicBool::new(false);

/// Silences [`info`].
pub fn set_quiet(quiet: bool) {
    QUIET.store(quiet, Ordering::Relaxed);
}

/// Sets the format of lines, from the next one on.
pub fn set_format(format: Format) {
    JSON.store(format == Format::Json, Ordering::Relaxed);
}

fn format() -> Format {
    if JSON.load(Ordering::Relaxed) { Format::Json } else { Format::Human }
}

/// Writes an event of normal operation. `event` is a fixed name like `token.issued`.
pub fn info(event: &'static str, fields: &[Field<'_>]) {
    if !QUIET.load(Ordering::Relaxed) {
        write("info", event, fields);
    }
}

/// Writes an event that needs attention, but not at once; its fields name the cause.
pub fn warn(event: &'static str, fields: &[Field<'_>]) {
    write("warn", event, fields);
}

/// Writes a failure; its fields have advice.
pub fn error(event: &'static str, fields: &[Field<'_>]) {
    write("error", event, fields);
}

fn write(level: &str, event: &'static str, fields: &[Field<'_>]) {
    let line = line(format(), clock::now(), (level, event), fields, trace::current());
    if cfg!(test) {
        #[allow(clippy::print_stderr)] // the test harness shows it with the test that failed
        {
            eprint!("{line}");
        }
        return;
    }
    match &mut *QUEUE.lock() {
        Some(queue) => queue.push(line, room(event)),
        // A log that cannot be written must not stop the server.
        None => drop(io::stderr().lock().write_all(line.as_bytes())),
    }
}

/// The number of queued lines above which a line is dropped. Lines that a client, a peer or a program can cause at any rate leave
/// room for all others: otherwise a user could cause the loss of lines about their own actions.
fn room(event: &str) -> usize {
    let leaves_room = match event.split('.').next().unwrap_or_default() {
        "client" | "client_document" | "consent" | "panic" | "program" | "simulated" | "upstream" => true,
        "github" => event != "github.token_kept", // once for each grant: the token stays valid at GitHub
        _ => matches!(event, "request" | "request.panicked" | "token.issued"),
    };
    if leaves_room { limits::LOG_LINES / 4 * 3 } else { limits::LOG_LINES }
}

/// The line in place of `count` dropped lines.
fn dropped(count: u64) -> String {
    let hint = "whatever reads the log is slower than what happens";
    let fields = [Field::Count(count), Field::Hint(hint)];
    line(format(), clock::now(), ("warn", "log.dropped"), &fields, None)
}

fn line(
    format: Format,
    now: Timestamp,
    (level, event): (&str, &str),
    fields: &[Field<'_>],
    trace: Option<Trace>,
) -> String {
    let mut line = String::with_capacity(LINE_GUESS);
    let time = now.rfc3339();
    // Writing to a String cannot fail.
    let _ = match format {
        Format::Human => write!(line, "{time} {level:<5} {event}"),
        Format::Json => write!(line, r#"{{"time":"{time}","level":"{level}","event":"{event}""#),
    };
    push_fields(&mut line, format, fields, trace);
    line
}

/// The line of an event in the audit log: JSON with the time to the millisecond and no level.
pub fn record(event: &str, fields: &[Field<'_>]) -> String {
    let mut line = String::with_capacity(2 * LINE_GUESS);
    // Writing to a String cannot fail.
    let _ = write!(line, r#"{{"time":"{}","event":"{event}""#, clock::rfc3339_millis());
    push_fields(&mut line, Format::Json, fields, trace::current());
    line
}

/// Completes a line with its fields and those of its request.
fn push_fields(line: &mut String, format: Format, fields: &[Field<'_>], trace: Option<Trace>) {
    fields.iter().for_each(|field| push_field(line, format, field));
    if let Some(Trace { request, peer, server }) = trace {
        let names_server = fields.iter().any(|field| matches!(field, Field::Server(_)));
        if let Some(server) = server.filter(|_| !names_server) {
            push_field(line, format, &Field::Server(&server));
        }
        push_field(line, format, &Field::Request(request));
        if let Some(peer) = peer {
            push_field(line, format, &Field::Peer(&peer.to_string()));
        }
    }
    line.push_str(if format == Format::Json { "}\n" } else { "\n" });
}

fn push_field(line: &mut String, format: Format, field: &Field<'_>) {
    if matches!(field, Field::Omitted(0)) {
        return;
    }
    let (name, value) = field.name_and_value();
    let (before, after) = match format {
        Format::Human => (" ", "="),
        Format::Json => (",\"", "\":"),
    };
    [before, name, after].iter().for_each(|part| line.push_str(part));
    match value {
        Value::Number(number) => drop(write!(line, "{number}")), // writing to a String cannot fail
        Value::Word(word) if format == Format::Human => drop(write!(line, "{word}")),
        Value::Word(word) => drop(write!(line, "\"{word}\"")),
        Value::Text(text) => push_text(line, format, text, field.most_bytes()),
    }
}

/// Adds a text, of which at most `most` bytes are written: for people a plain word unquoted, anything else as a quoted string.
/// Control and non-ASCII characters are escaped: the line is safe on a terminal.
fn push_text(line: &mut String, format: Format, text: &str, most: usize) {
    if format == Format::Human && is_plain(text, "-._~:/@[]+,%", 1..=most) {
        line.push_str(text);
        return;
    }
    line.push('"');
    let end = line.len().saturating_add(most);
    for character in text.chars() {
        if line.len() >= end {
            line.push_str("...");
            break;
        }
        match character {
            ' '..='~' if character != '"' && character != '\\' => line.push(character),
            _ if format == Format::Human => line.extend(character.escape_default()),
            _ => character.encode_utf16(&mut [0; 2]).iter().for_each(|unit| {
                let _ = write!(line, "\\u{unit:04x}"); // writing to a String cannot fail
            }),
        }
    }
    line.push('"');
}

/// The queued lines, and the number of dropped ones.
#[derive(Debug)]
struct Queue {
    lines: Sender<String>,
    dropped: Arc<AtomicU64>,
}

/// The writing thread. Its drop waits until everything is written, [`limits::LOG_PATIENCE`] at most.
#[derive(Debug)]
#[must_use]
pub struct Writer {
    ended: Receiver<()>,
}

/// The queue of the [`Writer`], while there is one.
static QUEUE: Mutex<Option<Queue>> = Mutex::new(None);

impl Writer {
    /// Starts to write to standard error, in the background.
    ///
    /// # Errors
    /// No thread could be started.
    pub fn start() -> io::Result<Writer> {
        let (queue, ended) = Queue::start(io::stderr())?;
        *QUEUE.lock() = Some(queue);
        Ok(Writer { ended })
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        drop(QUEUE.lock().take());
        // An unread log must not prevent the end of the server.
        let _ = self.ended.recv_timeout(limits::LOG_PATIENCE);
    }
}

impl Queue {
    /// A queue and the thread that empties it. The receiver is disconnected when that thread ends.
    fn start(out: impl Write + Send + 'static) -> io::Result<(Queue, Receiver<()>)> {
        // `push` bounds it. A bounded channel would allocate all of its memory at the start.
        let (lines, waiting) = unbounded();
        let (end, ended) = bounded(0);
        let dropped = Arc::default();
        let queue = Queue { lines, dropped: Arc::clone(&dropped) };
        // Ends when the queue is dropped and its lines are written.
        thread::Builder::new().name("log".to_owned()).spawn(move || {
            empty(&waiting, &dropped, out);
            drop(end);
        })?;
        Ok((queue, ended))
    }

    /// Takes `&mut self`, so that two threads cannot take the same free place.
    fn push(&mut self, line: String, room: usize) {
        if self.lines.len() >= room || self.lines.send(line).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

fn empty(lines: &Receiver<String>, dropped_lines: &AtomicU64, mut out: impl Write) {
    while let Ok(first) = lines.recv() {
        // A thread that does not wait for a line need not be woken, which saves most requests a system call.
        thread::park_timeout(limits::LOG_GATHER);
        let mut batch = first;
        while !batch.is_empty() {
            lines.try_iter().take(limits::LOG_BATCH).for_each(|line| batch.push_str(&line));
            // A log that cannot be written must not stop the server.
            let _ = out.write_all(batch.as_bytes());
            let count = dropped_lines.swap(0, Ordering::Relaxed);
            if count > 0 {
                let _ = out.write_all(dropped(count).as_bytes());
            }
            batch = lines.try_recv().unwrap_or_default();
        }
    }
}

#[cfg(test)]
mod tests;
