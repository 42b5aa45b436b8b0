//! The log: one line an event on standard error, from a closed set of events and fields.
//!
//! There is no way to log a free text of ours, a request target, a header or a body: a field exists here or it is not
//! logged. Values that a stranger chose are escaped and cut to [`VALUE_BYTES`].

use std::fmt::Write as _;
use std::io::Write as _;
use std::sync::atomic::{AtomicBool, Ordering};

use super::clock;

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
    /// A grant's id.
    Grant(&'a str),
    /// What the operator can do about it.
    Hint(&'a str),
    /// A GitHub login.
    Login(&'a str),
    /// A request's method.
    Method(&'a str),
    /// How long it took, in milliseconds.
    Millis(u64),
    /// A file.
    Path(&'a str),
    /// Why something was refused, one of a few fixed words.
    Reason(&'a str),
    /// A request's correlation id, also shown on the error page.
    Request(&'a str),
    /// The name of a route, never a request's target.
    Route(&'a str),
    /// An HTTP status.
    Status(u16),
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
            Field::Grant(_) => "grant",
            Field::Hint(_) => "hint",
            Field::Login(_) => "login",
            Field::Method(_) => "method",
            Field::Millis(_) => "ms",
            Field::Path(_) => "path",
            Field::Reason(_) => "reason",
            Field::Request(_) => "request",
            Field::Route(_) => "route",
            Field::Status(_) => "status",
            Field::Url(_) => "url",
            Field::User(_) => "user",
            Field::Version(_) => "version",
        }
    }

    fn write_value(&self, line: &mut String) {
        match *self {
            Field::Count(number) | Field::Millis(number) => push_display(line, number),
            Field::Status(status) => push_display(line, status),
            Field::Addr(text)
            | Field::Client(text)
            | Field::Error(text)
            | Field::Grant(text)
            | Field::Hint(text)
            | Field::Login(text)
            | Field::Method(text)
            | Field::Path(text)
            | Field::Reason(text)
            | Field::Request(text)
            | Field::Route(text)
            | Field::Url(text)
            | Field::User(text)
            | Field::Version(text) => push_quoted(line, text),
        }
    }
}

static QUIET: AtomicBool = AtomicBool::new(false);

/// Silences everything below [`Level::Warn`].
pub fn set_quiet(quiet: bool) {
    QUIET.store(quiet, Ordering::Relaxed);
}

/// Writes one line. `event` is a fixed name like `token.issued`.
pub fn write(level: Level, event: &'static str, fields: &[Field<'_>]) {
    if level == Level::Info && QUIET.load(Ordering::Relaxed) {
        return;
    }
    let line = line(clock::now(), level, event, fields);
    if cfg!(test) {
        #[allow(clippy::print_stderr)] // the test harness shows it with the test that failed
        {
            eprint!("{line}");
        }
        return;
    }
    // A log that cannot be written must not stop the server.
    let _ = std::io::stderr().lock().write_all(line.as_bytes());
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

fn line(now: clock::Timestamp, level: Level, event: &str, fields: &[Field<'_>]) -> String {
    let level = match level {
        Level::Info => "info ",
        Level::Warn => "warn ",
        Level::Error => "error",
    };
    let mut line = format!("{} {level} {event}", now.rfc3339());
    for field in fields {
        line.push(' ');
        line.push_str(field.name());
        line.push('=');
        field.write_value(&mut line);
    }
    line.push('\n');
    line
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_time_level_event_and_fields() {
        let fields = [Field::User("github:1"), Field::Login("octo cat"), Field::Status(200)];
        assert_eq!(
            line(clock::Timestamp(0), Level::Info, "login.admitted", &fields),
            "1970-01-01T00:00:00Z info  login.admitted user=github:1 login=\"octo cat\" status=200\n"
        );
    }

    /// L2: whatever a stranger chose, a line is a line.
    #[test]
    fn a_strangers_value_cannot_forge_a_line() {
        let mut text = String::new();
        push_quoted(&mut text, "a\r\n2026 info \u{1b}[31m\u{202e}\"");
        assert_eq!(text, r#""a\r\n2026 info \u{1b}[31m\u{202e}\"""#);
    }

    /// L2: and it is short.
    #[test]
    fn a_strangers_value_is_cut() {
        let mut text = String::new();
        push_quoted(&mut text, &"x".repeat(10_000));
        assert!(text.len() <= VALUE_BYTES + 8, "{}", text.len());
    }
}
