//! The parsing and checking of GitHub's answers: pure functions from bytes to values (G3, G4, G5).

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::base::{Identity, Secret, UserId, is_plain, json, limits};
use crate::oauth::provider::{Obstacle, ProviderError, ProviderToken};

/// The reason for which the token endpoint issued no token.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    /// GitHub's error code, or a word of this program; for the log.
    pub(super) reason: &'static str,
    pub(super) error: ProviderError,
    /// Advice for the operator.
    pub(super) hint: &'static str,
}

/// GitHub does not know this client id and secret.
pub(super) const WRONG_CREDENTIALS: &Refusal = &Refusal {
    reason: "incorrect_client_credentials",
    error: ProviderError::Misconfigured,
    hint: "compare GITHUB_CLIENT_ID and GITHUB_CLIENT_SECRET with the app's page at GitHub",
};

/// The answer does not have the form of a token response or error.
pub(super) const MALFORMED: &Refusal =
    &Refusal { reason: "malformed", error: ProviderError::Nonsense, hint: NOT_GITHUB };

/// An error that GitHub does not document.
const UNKNOWN: &Refusal =
    &Refusal { reason: "unknown_error", error: ProviderError::Nonsense, hint: NOT_GITHUB };

pub(super) const NOT_GITHUB: &str = "check GITHUB_URL and GITHUB_API_URL; see githubstatus.com";

/// The errors that GitHub documents, apart from [`WRONG_CREDENTIALS`].
const REFUSALS: &[Refusal] = &[
    Refusal {
        reason: "bad_verification_code",
        error: ProviderError::Refused,
        hint: "none if it is rare: the person took too long or went back",
    },
    Refusal {
        reason: "bad_refresh_token",
        error: ProviderError::Refused,
        hint: "none: the person has to log in again",
    },
    Refusal {
        reason: "unverified_user_email",
        error: ProviderError::Blocked(Obstacle::UnverifiedEmail),
        hint: "the person has to verify an email address at GitHub",
    },
    Refusal {
        reason: "redirect_uri_mismatch",
        error: ProviderError::Misconfigured,
        hint: "set the callback URL on the app's page at GitHub to the url here",
    },
    Refusal {
        reason: "application_suspended",
        error: ProviderError::Misconfigured,
        hint: "GitHub has suspended the app: see its page at GitHub",
    },
];

/// One JSON object in UTF-8.
fn object<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Option<T> {
    json::read(std::str::from_utf8(body).ok()?).ok()
}

#[derive(Deserialize)]
struct TokenAnswer {
    access_token: Option<String>,
    token_type: Option<String>,
    /// Seconds; for tokens of GitHub Apps, and of OAuth Apps that have opted in.
    expires_in: Option<u64>,
    refresh_token: Option<String>,
    scope: Option<String>,
    error: Option<String>,
}

/// The token in an answer of the token endpoint, which reports errors with status 200.
pub(super) fn token(body: &[u8]) -> Result<ProviderToken, &'static Refusal> {
    let answer: TokenAnswer = object(body).ok_or(MALFORMED)?;
    if let Some(error) = answer.error {
        return Err(match error.as_str() {
            // An unknown client id is answered 404 with this text.
            "incorrect_client_credentials" | "Not Found" => WRONG_CREDENTIALS,
            error => REFUSALS.iter().find(|refusal| refusal.reason == error).unwrap_or(UNKNOWN),
        });
    }
    let is_bearer = answer.token_type.is_some_and(|kind| kind.eq_ignore_ascii_case("bearer"));
    // Safe in a header field. No particular format of GitHub's tokens is assumed.
    let is_token = |text: &String| is_bearer && is_plain(text, "_.-", 1..=limits::GITHUB_TOKEN_BYTES);
    let secret = |text: Option<String>| text.filter(is_token).map(Secret::new);
    let access = secret(answer.access_token).ok_or(MALFORMED)?;
    let expires_in = answer.expires_in.map(Duration::from_secs);
    let scopes = scopes(answer.scope.as_deref().unwrap_or_default());
    Ok(ProviderToken { access, expires_in, refresh: secret(answer.refresh_token), scopes })
}

/// The scopes in a list of GitHub's.
fn scopes(list: &str) -> Vec<String> {
    let scopes = list.split(',').map(str::trim).filter(|scope| !scope.is_empty());
    scopes.map(str::to_owned).collect()
}

/// The owner of a token, as `GET /user` answers.
// Deserialized by `profile` only, which checks number and login.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Profile {
    /// The account's number, which never passes to another account.
    pub id: UserId,
    /// The account's login, which can.
    pub login: String,
    /// The person's display name, if they have one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The token's scopes at GitHub.
    #[serde(skip_deserializing)]
    pub scopes: Vec<String>,
}

impl From<Profile> for Identity {
    fn from(profile: Profile) -> Identity {
        Identity { user: profile.id, login: profile.login }
    }
}

/// The answer of `GET /user` with its `X-OAuth-Scopes` field; `None` if it is not one.
pub(super) fn profile(body: &[u8], scopes: &str) -> Option<Profile> {
    let Profile { id, login, name, .. } = object(body)?;
    let name = name.filter(|name| !name.is_empty());
    (id.0 > 0 && is_name(&login)).then(|| Profile { id, login, name, scopes: self::scopes(scopes) })
}

/// Whether `text` can be a login, an organisation or a team's slug, so that it is safe in a URL without encoding.
pub(super) fn is_name(text: &str) -> bool {
    is_plain(text, "-_.", 1..=100) && !text.bytes().all(|b| b == b'.')
}

#[derive(Deserialize)]
struct MembershipAnswer {
    state: String,
}

/// Whether the answer is an active membership.
///
/// # Errors
/// The answer is not a membership, or it is an invitation that the person has not accepted.
pub(super) fn is_active(body: &[u8]) -> Result<bool, ProviderError> {
    let answer: MembershipAnswer = object(body).ok_or(ProviderError::Nonsense)?;
    match answer.state.as_str() {
        "pending" => Err(ProviderError::Blocked(Obstacle::InvitationPending)),
        state => Ok(state == "active"),
    }
}

#[derive(Deserialize)]
struct ErrorAnswer {
    message: String,
}

fn message(body: &[u8]) -> String {
    object(body).map_or_else(String::new, |answer: ErrorAnswer| answer.message.to_ascii_lowercase())
}

/// Whether a 403 is a secondary rate limit. GitHub has no status, field or code for it, so this matches the text.
pub(super) fn is_rate_limit(body: &[u8]) -> bool {
    message(body).contains("rate limit")
}

/// The reason for a 403, recognised by its text: GitHub has no codes for it.
pub(super) fn obstacle(body: &[u8]) -> Option<Obstacle> {
    const WORDS: [(&str, Obstacle); 7] = [
        ("suspended", Obstacle::Suspended),
        ("saml", Obstacle::SingleSignOn),
        ("oauth app access restrictions", Obstacle::AppNotApproved),
        ("third-party application restrictions", Obstacle::AppNotApproved), // older GitHub Enterprise Servers
        ("ip allow list", Obstacle::AddressNotAllowed),
        ("not accessible by integration", Obstacle::NotPermitted),
        ("scope", Obstacle::NotPermitted),
    ];
    let message = message(body);
    WORDS.iter().find(|(words, _)| message.contains(words)).map(|(_, obstacle)| *obstacle)
}

#[cfg(test)]
mod tests;
