//! Why an upstream did not answer, in words for a person. An upstream's status is never one of ours.

use std::fmt;

use serde_json::Value;
use ureq::http::StatusCode;

use crate::base::limits;

#[derive(Debug)]
pub(super) enum UpstreamError {
    /// There was no connection, or it ended before an answer began.
    Unreachable(ureq::Error),
    /// A status that is no success, and what the body says of it.
    Status(StatusCode, Option<String>),
    /// It does not know the session any more.
    SessionLost,
    /// Not JSON and not an event stream.
    MediaType(String),
    /// Something else, in words.
    Unusable(&'static str),
}

impl UpstreamError {
    pub(super) const COMPRESSED: UpstreamError =
        UpstreamError::Unusable("its answer is compressed, which it was not asked for");
    pub(super) const TOO_LARGE: UpstreamError = UpstreamError::Unusable("its answer is larger than 8 MiB");
    pub(super) const NOT_UTF8: UpstreamError = UpstreamError::Unusable("its answer is not UTF-8");
    pub(super) const NO_ANSWER: UpstreamError =
        UpstreamError::Unusable("its answer broke off or belongs to another request");

    /// A status, with the message of the JSON-RPC error in the body if there is one.
    pub(super) fn of_status(status: StatusCode, body: &str) -> UpstreamError {
        let body: Value = serde_json::from_str(body).unwrap_or_default();
        let message = body.pointer("/error/message").and_then(Value::as_str);
        let shorten = |text: &str| text.chars().take(limits::ECHOED_CHARS).collect();
        UpstreamError::Status(status, message.map(shorten))
    }
}

impl From<ureq::Error> for UpstreamError {
    fn from(error: ureq::Error) -> UpstreamError {
        UpstreamError::Unreachable(error)
    }
}

impl fmt::Display for UpstreamError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            UpstreamError::Unreachable(ureq::Error::Timeout(_)) => f.write_str("it did not answer in time"),
            UpstreamError::Unreachable(ureq::Error::Io(error)) => write!(f, "it cannot be reached: {error}"),
            UpstreamError::Unreachable(error) => write!(f, "it cannot be reached: {error}"),
            UpstreamError::Status(status, message) => {
                let words = match status.as_u16() {
                    300..=399 => {
                        "it redirects, which is not followed: the operator has to write the final URL"
                    }
                    401 => "it wants other credentials: the operator has to set them with --header",
                    404 | 405 => "it has no MCP server at its URL",
                    500..=599 => "it failed",
                    _ => "it refused the request",
                };
                write!(f, "{words} (status {})", status.as_u16())?;
                message.as_ref().map_or(Ok(()), |message| write!(f, ": {message}"))
            }
            UpstreamError::SessionLost => {
                f.write_str("it forgot its session, or refuses the request in a new one as well")
            }
            UpstreamError::MediaType(kind) => {
                write!(f, "it answered with {kind:?}, which is no JSON: its URL may be wrong")
            }
            UpstreamError::Unusable(words) => f.write_str(words),
        }
    }
}
