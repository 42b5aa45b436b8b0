//! The reasons why an upstream did not answer, as texts for a person. An upstream's status is never used as ours.

use std::borrow::Cow;
use std::fmt;

use ureq::http::StatusCode;

use crate::base::limits;
use crate::mcp::Members;
use crate::trust::describe;

#[derive(Debug)]
pub(super) enum UpstreamError {
    /// There was no connection, or it ended before an answer began.
    Unreachable(ureq::Error),
    /// It does not know the session any more.
    SessionLost,
    /// It refuses the request with a status that does not change by itself.
    Refused(Cow<'static, str>),
    /// Another reason, as text.
    Unusable(Cow<'static, str>),
}

impl UpstreamError {
    pub(super) const COMPRESSED: UpstreamError =
        UpstreamError::Unusable(Cow::Borrowed("its answer is compressed, which it was not asked for"));
    pub(super) const TOO_LARGE: UpstreamError =
        UpstreamError::Unusable(Cow::Borrowed("its answer is larger than 8 MiB"));
    pub(super) const NOT_UTF8: UpstreamError =
        UpstreamError::Unusable(Cow::Borrowed("its answer is not UTF-8"));
    pub(super) const NO_ANSWER: UpstreamError =
        UpstreamError::Unusable(Cow::Borrowed("its answer broke off, or is no answer to this request"));

    /// An error status, with the message of the JSON-RPC error in the body if there is one.
    pub(super) fn of_status(status: StatusCode, body: &str) -> UpstreamError {
        let words = match status.as_u16() {
            300..=399 => "it redirects, which is not followed: the operator has to write the final URL",
            401 => "it wants other credentials: the operator has to set them with --header",
            404 | 405 => "it has no MCP server at its URL",
            500..=599 => "it failed",
            _ => "it refused the request",
        };
        let body: Members = serde_json::from_str(body).unwrap_or_default();
        let message = body.object("error").and_then(|error| error.require::<String>("message"));
        let message: String = message.unwrap_or_default().chars().take(limits::ECHOED_CHARS).collect();
        let colon = if message.is_empty() { "" } else { ": " };
        // Of an overload or a failure, perhaps of a proxy while its upstream restarts.
        let is_passing = status.is_server_error() || matches!(status.as_u16(), 408 | 425 | 429);
        let kind = if is_passing { UpstreamError::Unusable } else { UpstreamError::Refused };
        kind(format!("{words} (status {}){colon}{message}", status.as_u16()).into())
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
            Self::Unreachable(ureq::Error::Timeout(_)) => f.write_str("it did not answer in time"),
            Self::Unreachable(ureq::Error::StatusCode(code)) => write!(f, "it failed (status {code})"),
            Self::Unreachable(error) => write!(f, "it cannot be reached: {}", describe(error)),
            Self::SessionLost => {
                f.write_str("it forgot its session, or refuses the request in a new one as well")
            }
            Self::Refused(words) | Self::Unusable(words) => f.write_str(words),
        }
    }
}
