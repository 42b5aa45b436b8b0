//! The errors of the token and revocation endpoints, and their answers.

use std::time::Duration;

use super::answer;
use crate::base::{limits, trace};
use crate::http::Response;
use crate::store;

/// Why no token is issued (RFC 6749 section 5.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TokenError {
    NotAForm,
    CredentialsInQuery,
    Repeated,
    /// Two methods of client authentication, two headers, or an unreadable one.
    MalformedClient,
    /// An unknown client, or a wrong, missing or superfluous secret: these are not told apart (RFC 6749 section 5.2). `basic`:
    /// it tried HTTP Basic, which the answer then names.
    InvalidClient {
        basic: bool,
    },
    Missing(&'static str),
    GrantType,
    /// Wrong, used, expired, revoked or another client's. Clients are not told which; the log is.
    InvalidGrant,
    Scope,
    Resource,
    /// The table could not be read or written, or too many wait for GitHub.
    Unavailable,
    /// GitHub lets this user ask nothing for a while.
    UsedUp,
    /// Our clock seems not to be set yet.
    Clock,
}

impl TokenError {
    /// The one place where the surface's errors meet the wire.
    pub(super) fn answer(self) -> Response {
        let (status, code, description) = match self {
            Self::NotAForm => {
                (400, "invalid_request", "send the parameters as application/x-www-form-urlencoded, in UTF-8")
            }
            Self::CredentialsInQuery => {
                (400, "invalid_request", "parameters belong in the body, not in the URL")
            }
            Self::Repeated => (400, "invalid_request", "a parameter is repeated"),
            Self::Missing(what) => (400, "invalid_request", what),
            Self::MalformedClient => (400, "invalid_request", "use one way of client authentication"),
            Self::InvalidClient { .. } => {
                (401, "invalid_client", "unknown client or wrong client authentication")
            }
            Self::GrantType => {
                (400, "unsupported_grant_type", "grant_type must be authorization_code or refresh_token")
            }
            Self::InvalidGrant => {
                let description = "the code or token is invalid, expired, used or revoked: log in again";
                (400, "invalid_grant", description)
            }
            Self::Scope => (400, "invalid_scope", "scope must be a list of scope names"),
            Self::Resource => (400, "invalid_target", "resource must be the URL of this MCP server"),
            Self::Unavailable => return unavailable("try again in a moment", limits::STORE_RETRY),
            Self::UsedUp => {
                let description =
                    "your GitHub account has used up its requests of this hour: try again later";
                return unavailable(description, limits::GITHUB_PAUSE);
            }
            Self::Clock => {
                let description = "the clock of this server is not set yet: try again";
                return unavailable(description, limits::CLOCK_RETRY);
            }
        };
        let response = answer::error(status, code, description);
        if matches!(self, Self::InvalidClient { basic: true }) {
            return response.header("WWW-Authenticate", "Basic realm=\"mcp-oauth-server\"");
        }
        response
    }
}

fn unavailable(description: &'static str, retry_after: Duration) -> Response {
    answer::error(503, "temporarily_unavailable", description)
        .header("Retry-After", retry_after.as_secs().to_string())
}

/// [`TokenError::InvalidGrant`], whose cause is for the log alone.
pub(super) fn invalid_grant(cause: &'static str) -> TokenError {
    trace::refused(cause);
    TokenError::InvalidGrant
}

impl From<store::Error> for TokenError {
    fn from(error: store::Error) -> TokenError {
        error.log();
        TokenError::Unavailable
    }
}
