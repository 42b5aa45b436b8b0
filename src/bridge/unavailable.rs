//! The reasons why a server cannot be used at the moment.

use std::fmt;

use crate::mcp::Error;

/// The reason why there is no instance, with a text for a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Unavailable {
    /// It could not be started.
    NotStarted(String),
    /// It did not answer `initialize` within this time (seconds).
    Slow(u64),
    /// It ended before it answered `initialize`, or could not be started by its guardian: the cause.
    Died(String),
    /// Its answer to `initialize` is invalid.
    Unreadable,
    /// It supports only this version.
    Version(String),
    /// It refused both `initialize` and `server/discover`, with this message.
    Refused(String),
    /// It has failed several times; it is tried again after this time (seconds).
    Failing(u64),
    /// All places are taken, and none is idle.
    TooMany,
    /// It was ended: it was idle, its grant has ended, or another instance needed its place.
    Ended,
    /// The session that it served has ended with it.
    SessionOver,
    /// This server is stopping.
    Stopping,
}

impl fmt::Display for Unavailable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unavailable::NotStarted(why) => write!(f, "it could not be started: {why}"),
            Unavailable::Slow(seconds) => write!(
                f,
                "it did not answer initialize within {seconds} s; \"startSeconds\" in a servers file allows more"
            ),
            Unavailable::Died(how) => write!(f, "it did not answer initialize: {how}"),
            Unavailable::Unreadable => f.write_str("its answer to initialize cannot be read"),
            Unavailable::Version(version) => {
                write!(f, "it speaks version {version:?} of the protocol, which is not spoken here")
            }
            Unavailable::Refused(why) => write!(f, "initialize failed: {why}"),
            Unavailable::Failing(seconds) => {
                write!(f, "it has failed several times and is tried again in {seconds} s")
            }
            Unavailable::TooMany => f.write_str("too many servers are running: try again in a moment"),
            Unavailable::Ended => f.write_str("it was ended: call again"),
            Unavailable::SessionOver => {
                f.write_str("it was ended, and this session with it: begin a new session")
            }
            Unavailable::Stopping => f.write_str("this server is stopping: call again in a moment"),
        }
    }
}

impl Unavailable {
    /// The text for clients about a server of this name.
    pub(super) fn as_error(&self, server: &str) -> Error {
        let code = if *self == Unavailable::TooMany { Error::BUSY } else { Error::INTERNAL };
        let mut why = self.to_string();
        if matches!(self, Unavailable::NotStarted(why) if why.starts_with('/')) {
            why = "it could not be started; this server's log says why".to_owned(); // it names a file
        }
        Error::new(code, format!("The server {server:?} is not available: {why}"))
    }
}
