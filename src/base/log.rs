//! The log: one line an event on standard error, for people or as JSON, from a closed set of events and fields. What is
//! logged while a request is worked on names that request and whom it counts for. `log_writer` does the writing.
//!
//! There is no way to log a free text of ours, a query, a header or a body: a field exists here or it is not
//! logged. Values that a stranger chose are escaped and cut to [`VALUE_BYTES`].

use std::fmt::Write as _;
use std::sync::atomic::{AtomicBool, Ordering};

use super::clock;
use super::log_writer::{self, Share};
use super::throttle::Omitted;
use super::trace::{self, Trace};

pub use super::log_writer::Writer;

/// The usual line fits without growing (bytes).
const LINE_GUESS: usize = 256;
/// The longest value of a field (bytes).
pub const VALUE_BYTES: usize = 200;

/// How much an event matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// Things are as they should be.
    Info,
    /// Someone should look at it some day; the text says at what.
    Warn,
    /// Something does not work; the text says what to do.
    Error,
}

/// How a line is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// Words and `name=value`.
    #[default]
    Human,
    /// One JSON object a line.
    Json,
}

/// What a line can say besides the name of its event.
#[derive(Clone, Copy, Debug)]
pub enum Field<'a> {
    /// A listening or peer address, a socket's path.
    Addr(&'a str),
    /// A client's fingerprint.
    Client(&'a str),
    /// The number of something.
    Count(u64),
    /// What went wrong, in words of ours or of the operating system.
    Error(&'a str),
    /// Which refresh of its grant a token belongs to.
    Generation(u32),
    /// A grant's id.
    Grant(&'a str),
    /// What the operator can do about it.
    Hint(&'a str),
    /// A GitHub login.
    Login(&'a str),
    /// How many events like this one were not logged since the last that was; zero is not written.
    Omitted(Omitted),
    /// A request's method.
    Method(&'a str),
    /// How long it took, in milliseconds.
    Millis(u64),
    /// Names of options.
    Options(&'a str),
    /// How a call ended, one of a few fixed words.
    Outcome(&'a str),
    /// A file, or the path of a request that is none of ours.
    Path(&'a str),
    /// Whom a request counts for: an address.
    Peer(&'a str),
    /// Why something was refused, one of a few fixed words.
    Reason(&'a str),
    /// A request's correlation id, also shown on the error page.
    Request(&'a str),
    /// The name of a route, never a request's target.
    Route(&'a str),
    /// The JSON-RPC method of a call, one of those that are known.
    Rpc(&'a str),
    /// An HTTP status.
    Status(u16),
    /// The tool, prompt or resource that a call is for, as the server spells it.
    Target(&'a str),
    /// Our own public URL or GitHub's.
    Url(&'a str),
    /// A user's subject, `github:ID`.
    User(&'a str),
    /// A version.
    Version(&'a str),
}

impl Field<'_> {
    fn name(&self) -> &'static str {
        match self {
            Field::Addr(_) => "addr",
            Field::Client(_) => "client",
            Field::Count(_) => "count",
            Field::Error(_) => "error",
            Field::Generation(_) => "generation",
            Field::Grant(_) => "grant",
            Field::Hint(_) => "hint",
            Field::Login(_) => "login",
            Field::Omitted(_) => "omitted",
            Field::Method(_) => "method",
            Field::Millis(_) => "ms",
            Field::Options(_) => "options",
            Field::Outcome(_) => "outcome",
            Field::Path(_) => "path",
            Field::Peer(_) => "peer",
            Field::Reason(_) => "reason",
            Field::Request(_) => "request",
            Field::Route(_) => "route",
            Field::Rpc(_) => "rpc",
            Field::Status(_) => "status",
            Field::Target(_) => "target",
            Field::Url(_) => "url",
            Field::User(_) => "user",
            Field::Version(_) => "version",
        }
    }

    fn value(&self) -> Value<'_> {
        match *self {
            Field::Count(number) | Field::Millis(number) | Field::Omitted(Omitted(number)) => {
                Value::Number(number)
            }
            Field::Status(status) => Value::Number(status.into()),
            Field::Generation(number) => Value::Number(number.into()),
            Field::Addr(text)
            | Field::Client(text)
            | Field::Error(text)
            | Field::Grant(text)
            | Field::Hint(text)
            | Field::Login(text)
            | Field::Method(text)
            | Field::Options(text)
            | Field::Outcome(text)
            | Field::Path(text)
            | Field::Peer(text)
            | Field::Reason(text)
            | Field::Request(text)
            | Field::Route(text)
            | Field::Rpc(text)
            | Field::Target(text)
            | Field::Url(text)
            | Field::User(text)
            | Field::Version(text) => Value::Text(text),
        }
    }
}

enum Value<'a> {
    Number(u64),
    Text(&'a str),
}

static QUIET: AtomicBool = AtomicBool::new(false);
static JSON: AtomicBool = AtomicBool::new(false);

/// Silences everything below [`Level::Warn`].
pub fn set_quiet(quiet: bool) {
    QUIET.store(quiet, Ordering::Relaxed);
}

/// Chooses how lines are written, from the next one on.
pub fn set_format(format: Format) {
    JSON.store(format == Format::Json, Ordering::Relaxed);
}

/// Writes one line. `event` is a fixed name like `token.issued`.
pub fn write(level: Level, event: &'static str, fields: &[Field<'_>]) {
    if level == Level::Info && QUIET.load(Ordering::Relaxed) {
        return;
    }
    let line = line((level, event), fields, trace::current());
    if cfg!(test) {
        #[allow(clippy::print_stderr)] // the test harness shows it with the test that failed
        {
            eprint!("{line}");
        }
        return;
    }
    log_writer::write(share(event), line);
}

/// Lines that anybody can cause in any number leave room in the queue for everything else, or a user could have the lines
/// dropped that say what they have done.
fn share(event: &str) -> Share {
    match event {
        "request" | "client.registered" | "consent.given" | "consent.denied" => Share::Most,
        _ => Share::Whole,
    }
}

/// The line that stands for `count` others which had no room.
pub(super) fn dropped(count: u64) -> String {
    let hint = "whatever reads the log is slower than what happens";
    line((Level::Warn, "log.dropped"), &[Field::Count(count), Field::Hint(hint)], None)
}

fn line(about: (Level, &str), fields: &[Field<'_>], trace: Option<Trace>) -> String {
    match JSON.load(Ordering::Relaxed) {
        false => human(clock::now(), about, fields, trace),
        true => json(clock::now(), about, fields, trace),
    }
}

/// Writes an event of [`Level::Info`].
pub fn info(event: &'static str, fields: &[Field<'_>]) {
    write(Level::Info, event, fields);
}

/// Writes an event of [`Level::Warn`].
pub fn warn(event: &'static str, fields: &[Field<'_>]) {
    write(Level::Warn, event, fields);
}

/// Writes an event of [`Level::Error`].
pub fn error(event: &'static str, fields: &[Field<'_>]) {
    write(Level::Error, event, fields);
}

fn human(
    now: clock::Timestamp,
    (level, event): (Level, &str),
    fields: &[Field<'_>],
    trace: Option<Trace>,
) -> String {
    let level = match level {
        Level::Info => "info ",
        Level::Warn => "warn ",
        Level::Error => "error",
    };
    let mut line = String::with_capacity(LINE_GUESS);
    let _ = write!(line, "{} {level} {event}", now.rfc3339()); // writing to a String cannot fail
    with_trace(fields, trace, |field| {
        line.push(' ');
        line.push_str(field.name());
        line.push('=');
        match field.value() {
            Value::Number(number) => push_display(&mut line, number),
            Value::Text(text) => push_quoted(&mut line, text),
        }
    });
    line.push('\n');
    line
}

fn json(
    now: clock::Timestamp,
    (level, event): (Level, &str),
    fields: &[Field<'_>],
    trace: Option<Trace>,
) -> String {
    let level = match level {
        Level::Info => "info",
        Level::Warn => "warn",
        Level::Error => "error",
    };
    let mut line = String::with_capacity(LINE_GUESS);
    let _ = write!(line, r#"{{"time":"{}","level":"{level}","event":"{event}""#, now.rfc3339());
    with_trace(fields, trace, |field| {
        line.push_str(",\"");
        line.push_str(field.name());
        line.push_str("\":");
        match field.value() {
            Value::Number(number) => push_display(&mut line, number),
            Value::Text(text) => push_json(&mut line, text),
        }
    });
    line.push_str("}\n");
    line
}

/// Gives each field to `push`, and then those of the request that is being worked on.
fn with_trace(fields: &[Field<'_>], trace: Option<Trace>, mut push: impl FnMut(&Field<'_>)) {
    fields.iter().filter(|field| !matches!(field, Field::Omitted(Omitted(0)))).for_each(&mut push);
    let Some(trace) = trace else { return };
    push(&Field::Request(&trace.request.to_string()));
    if let Some(peer) = trace.peer {
        push(&Field::Peer(&peer.to_string()));
    }
}

fn push_display(line: &mut String, value: impl std::fmt::Display) {
    let _ = write!(line, "{value}"); // writing to a String cannot fail
}

/// Plain words as they are, anything else in quotes with control and non-ASCII characters escaped.
fn push_quoted(line: &mut String, text: &str) {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~:/@[]+,%".contains(&b);
    if !text.is_empty() && text.len() <= VALUE_BYTES && text.bytes().all(plain) {
        line.push_str(text);
        return;
    }
    line.push('"');
    let end = line.len().saturating_add(VALUE_BYTES);
    for character in text.chars() {
        if line.len() >= end {
            line.push('…');
            break;
        }
        if matches!(character, ' '..='~') && character != '"' && character != '\\' {
            line.push(character);
        } else {
            line.extend(character.escape_default());
        }
    }
    line.push('"');
}

/// A JSON string of at most [`VALUE_BYTES`], with control and non-ASCII characters escaped: it is safe on a terminal, too.
fn push_json(line: &mut String, text: &str) {
    line.push('"');
    let end = line.len().saturating_add(VALUE_BYTES);
    for character in text.chars() {
        if line.len() >= end {
            line.push_str("\\u2026");
            break;
        }
        if matches!(character, ' '..='~') && character != '"' && character != '\\' {
            line.push(character);
        } else {
            for unit in character.encode_utf16(&mut [0; 2]) {
                let _ = write!(line, "\\u{unit:04x}"); // writing to a String cannot fail
            }
        }
    }
    line.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIELDS: [Field<'static>; 3] =
        [Field::User("github:1"), Field::Login("octo \"cat\" ü"), Field::Status(200)];

    #[test]
    fn a_line_has_time_level_event_and_fields() {
        assert_eq!(
            human(clock::Timestamp(0), (Level::Info, "login.admitted"), &FIELDS, None),
            "1970-01-01T00:00:00Z info  login.admitted user=github:1 login=\"octo \\\"cat\\\" \\u{fc}\" status=200\n"
        );
    }

    /// L2: whatever a stranger chose, a line is a line.
    #[test]
    fn a_line_of_json_has_the_same() {
        let line = json(clock::Timestamp(0), (Level::Info, "login.admitted"), &FIELDS, None);
        let read: serde_json::Value = serde_json::from_str(&line).unwrap();
        let expected = serde_json::json!({
            "time": "1970-01-01T00:00:00Z", "level": "info", "event": "login.admitted",
            "user": "github:1", "login": "octo \"cat\" ü", "status": 200,
        });
        assert!(read == expected && line.is_ascii() && line.ends_with("}\n"), "{line}");
    }

    /// L2: what a request does can be found by its id.
    #[test]
    fn a_line_names_the_request_it_was_written_for() {
        let trace = Trace { request: trace::RequestId([0xab; 6]), peer: Some([192, 0, 2, 1].into()) };
        let about = (Level::Warn, "login.failed");
        let line = human(clock::Timestamp(0), about, &[], Some(trace));
        assert_eq!(line, "1970-01-01T00:00:00Z warn  login.failed request=abababababab peer=192.0.2.1\n");
        let line = json(clock::Timestamp(0), about, &[], Some(Trace { peer: None, ..trace }));
        assert!(line.ends_with("\"event\":\"login.failed\",\"request\":\"abababababab\"}\n"), "{line}");
    }

    /// L2: a flood of requests does not push out what the operator has to see.
    #[test]
    fn only_lines_of_requests_leave_room_for_others() {
        for event in ["request", "client.registered", "consent.given", "consent.denied"] {
            assert_eq!(share(event), Share::Most, "{event}");
        }
        for event in ["token.issued", "grant.ended", "login.admitted", "request.refused", "store.failed"] {
            assert_eq!(share(event), Share::Whole, "{event}");
        }
    }

    #[test]
    fn a_strangers_value_cannot_forge_a_line() {
        let mut text = String::new();
        push_quoted(&mut text, "a\r\n2026 info \u{1b}[31m\u{202e}\"");
        assert_eq!(text, r#""a\r\n2026 info \u{1b}[31m\u{202e}\"""#);
        let mut text = String::new();
        push_json(&mut text, "a\r\n\u{1b}\u{202e}\"\u{1f600}");
        assert_eq!(text, r#""a\u000d\u000a\u001b\u202e\u0022\ud83d\ude00""#);
    }

    /// L2: and it is short.
    #[test]
    fn a_strangers_value_is_cut() {
        let mut text = String::new();
        push_quoted(&mut text, &"x".repeat(10_000));
        assert!(text.len() <= VALUE_BYTES + 8, "{}", text.len());
        let mut text = String::new();
        push_json(&mut text, &"\u{1f600}".repeat(10_000));
        assert!(text.len() <= VALUE_BYTES + 20, "{}", text.len());
    }
}
