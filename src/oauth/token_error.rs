//! Why the token and revocation endpoints refuse, and what they say then.

use super::answer;
use super::client_registry::ClientError;
use super::live_grants::log_failed;
use crate::base::{limits, trace};
use crate::http::Response;
use crate::store;

/// Why no token is issued (RFC 6749 section 5.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TokenError {
    NotAForm,
    CredentialsInQuery,
    Repeated,
    Client(ClientError),
    Missing(&'static str),
    GrantType,
    /// Wrong, used, expired, revoked or another client's: the difference is nobody's business.
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
        let invalid_request = |description| answer::error(400, "invalid_request", description);
        match self {
            TokenError::NotAForm => {
                invalid_request("send the parameters as application/x-www-form-urlencoded, in UTF-8")
            }
            TokenError::CredentialsInQuery => {
                invalid_request("parameters belong in the body, not in the URL")
            }
            TokenError::Repeated => invalid_request("a parameter is repeated"),
            TokenError::Missing(what) => invalid_request(what),
            TokenError::Client(ClientError::Malformed) => {
                invalid_request("use one way of client authentication")
            }
            TokenError::Client(ClientError::Invalid { basic }) => {
                let response =
                    answer::error(401, "invalid_client", "unknown client or wrong client authentication");
                if basic {
                    response.header("WWW-Authenticate", "Basic realm=\"mcp-oauth-server\"")
                } else {
                    response
                }
            }
            TokenError::GrantType => answer::error(
                400,
                "unsupported_grant_type",
                "grant_type must be authorization_code or refresh_token",
            ),
            TokenError::InvalidGrant => answer::error(
                400,
                "invalid_grant",
                "the code or token is invalid, expired, used or revoked: log in again",
            ),
            TokenError::Scope => answer::error(400, "invalid_scope", "scope must be a list of scope names"),
            TokenError::Resource => {
                answer::error(400, "invalid_target", "resource must be the URL of this MCP server")
            }
            TokenError::Unavailable => answer::error(503, "temporarily_unavailable", "try again in a moment")
                .header("Retry-After", "5"),
            TokenError::UsedUp => answer::error(
                503,
                "temporarily_unavailable",
                "your GitHub account has used up its requests of this hour: try again later",
            )
            .header("Retry-After", limits::GITHUB_PAUSE.as_secs().to_string()),
            TokenError::Clock => answer::error(
                503,
                "temporarily_unavailable",
                "the clock of this server is not set yet: try again",
            )
            .header("Retry-After", limits::CLOCK_RETRY.as_secs().to_string()),
        }
    }
}

/// [`TokenError::InvalidGrant`], whose cause is for the log alone.
pub(super) fn invalid_grant(cause: &'static str) -> TokenError {
    trace::refused(cause);
    TokenError::InvalidGrant
}

impl From<store::Error> for TokenError {
    fn from(error: store::Error) -> TokenError {
        log_failed(&error);
        TokenError::Unavailable
    }
}
