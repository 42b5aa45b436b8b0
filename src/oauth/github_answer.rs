//! What GitHub says in the query of a callback.

use super::provider::ProviderError;
use crate::base::limits;
use crate::http::Form;

/// What GitHub says in the callback's query (RFC 6749 sections 4.1.2 and 4.1.2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum GitHubAnswer<'a> {
    /// The person logged in; this code says who it was.
    Code(&'a str),
    /// The person does not want to.
    Cancelled,
    /// There is no login.
    Failed(ProviderError),
}

impl GitHubAnswer<'_> {
    pub(super) fn read(query: &Form) -> GitHubAnswer<'_> {
        match (query.value("error"), query.value("code")) {
            (None, Some(code)) if is_code(code) => GitHubAnswer::Code(code),
            (Some("access_denied"), _) => GitHubAnswer::Cancelled,
            (Some("application_suspended" | "redirect_uri_mismatch"), _) => {
                GitHubAnswer::Failed(ProviderError::Misconfigured)
            }
            (Some(_), _) | (None, _) => GitHubAnswer::Failed(ProviderError::Refused),
        }
    }
}

/// Whether GitHub can have given this code; it is not asked about any other.
fn is_code(text: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    (1..=limits::GITHUB_CODE_BYTES).contains(&text.len()) && text.bytes().all(is_allowed)
}
