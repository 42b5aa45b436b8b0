//! What GitHub says, understood. Pure functions from bytes to values; nothing of an answer is believed before it is
//! checked here (G3, G4, G5).

use std::time::Duration;

use serde::Deserialize;

use crate::base::identity::UserId;
use crate::base::limits;
use crate::base::secret::Secret;
use crate::oauth::provider::{Identity, Obstacle, ProviderError, ProviderToken};

/// Why the token endpoint gave no token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// The code is unknown, expired, used, or not for this verifier.
    BadVerificationCode,
    /// The refresh token is unknown, expired or used.
    BadRefreshToken,
    /// The person has to verify an email address at GitHub first.
    UnverifiedUserEmail,
    /// GitHub does not know this client id and secret.
    IncorrectClientCredentials,
    /// Our callback is not the app's.
    RedirectUriMismatch,
    /// GitHub has suspended the app.
    ApplicationSuspended,
    /// An error that GitHub does not document.
    Unknown,
    /// It is not an answer of a token endpoint.
    Malformed,
}

impl Refusal {
    pub(super) fn error(self) -> ProviderError {
        match self {
            Refusal::BadVerificationCode | Refusal::BadRefreshToken => ProviderError::Refused,
            Refusal::UnverifiedUserEmail => ProviderError::Blocked(Obstacle::UnverifiedEmail),
            Refusal::IncorrectClientCredentials
            | Refusal::RedirectUriMismatch
            | Refusal::ApplicationSuspended => ProviderError::Misconfigured,
            Refusal::Unknown | Refusal::Malformed => ProviderError::Nonsense,
        }
    }

    /// The word for the log.
    pub(super) fn reason(self) -> &'static str {
        match self {
            Refusal::BadVerificationCode => "bad_verification_code",
            Refusal::BadRefreshToken => "bad_refresh_token",
            Refusal::UnverifiedUserEmail => "unverified_user_email",
            Refusal::IncorrectClientCredentials => "incorrect_client_credentials",
            Refusal::RedirectUriMismatch => "redirect_uri_mismatch",
            Refusal::ApplicationSuspended => "application_suspended",
            Refusal::Unknown => "unknown_error",
            Refusal::Malformed => "malformed",
        }
    }

    /// What the operator can do.
    pub(super) fn hint(self) -> &'static str {
        match self {
            Refusal::BadVerificationCode => "none if it is rare: the person took too long or went back",
            Refusal::BadRefreshToken => "none: the person has to log in again",
            Refusal::UnverifiedUserEmail => "the person has to verify an email address at GitHub",
            Refusal::IncorrectClientCredentials => {
                "compare GITHUB_CLIENT_ID and GITHUB_CLIENT_SECRET with the app's page at GitHub"
            }
            Refusal::RedirectUriMismatch => {
                "set the callback URL on the app's page at GitHub to the url here"
            }
            Refusal::ApplicationSuspended => "GitHub has suspended the app: see its page at GitHub",
            Refusal::Unknown | Refusal::Malformed => {
                "check that GITHUB_URL is a GitHub; see githubstatus.com"
            }
        }
    }
}

/// One JSON object in UTF-8. Serde alone would take the members from an array too, and not look at what it skips.
fn object<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Option<T> {
    let text = std::str::from_utf8(body).ok()?;
    let is_object = text.trim_start().starts_with('{');
    is_object.then(|| serde_json::from_str(text).ok()).flatten()
}

#[derive(Deserialize)]
struct TokenAnswer {
    access_token: Option<String>,
    token_type: Option<String>,
    /// Seconds; of GitHub Apps, and of OAuth Apps that chose it.
    expires_in: Option<u64>,
    refresh_token: Option<String>,
    error: Option<String>,
}

/// The token in an answer of the token endpoint, whose errors come with status 200.
pub(super) fn token(body: &[u8]) -> Result<ProviderToken, Refusal> {
    let answer: TokenAnswer = object(body).ok_or(Refusal::Malformed)?;
    if let Some(error) = answer.error {
        return Err(match error.as_str() {
            "bad_verification_code" => Refusal::BadVerificationCode,
            "bad_refresh_token" => Refusal::BadRefreshToken,
            "unverified_user_email" => Refusal::UnverifiedUserEmail,
            // An unknown client id is answered 404 with this text.
            "incorrect_client_credentials" | "Not Found" => Refusal::IncorrectClientCredentials,
            "redirect_uri_mismatch" => Refusal::RedirectUriMismatch,
            "application_suspended" => Refusal::ApplicationSuspended,
            _ => Refusal::Unknown,
        });
    }
    let is_bearer = answer.token_type.is_some_and(|kind| kind.eq_ignore_ascii_case("bearer"));
    let secret = |text: Option<String>| text.filter(|text| is_bearer && is_token(text)).map(Secret::new);
    let access = secret(answer.access_token).ok_or(Refusal::Malformed)?;
    let expires_in = answer.expires_in.map(Duration::from_secs);
    Ok(ProviderToken { access, expires_in, refresh: secret(answer.refresh_token) })
}

/// Safe to put into a header field, whatever GitHub makes its tokens of.
fn is_token(text: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"_.-".contains(&b);
    (1..=limits::GITHUB_TOKEN_BYTES).contains(&text.len()) && text.bytes().all(allowed)
}

/// Who a token belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Profile {
    /// The number that never changes hands.
    pub id: UserId,
    /// The name that may.
    pub login: String,
    /// What the person calls themselves, if anything.
    pub name: Option<String>,
    /// What the token may do at GitHub.
    pub scopes: Vec<String>,
}

impl From<Profile> for Identity {
    fn from(profile: Profile) -> Identity {
        Identity { user: profile.id, login: profile.login }
    }
}

#[derive(Deserialize)]
struct UserAnswer {
    id: u64,
    login: String,
    name: Option<String>,
}

/// The answer of `GET /user` with its `X-OAuth-Scopes` field; `None` if it is not one.
pub(super) fn profile(body: &[u8], scopes: &str) -> Option<Profile> {
    let answer: UserAnswer = object(body)?;
    let scopes = scopes.split(',').map(str::trim).filter(|scope| !scope.is_empty());
    (answer.id > 0 && is_name(&answer.login)).then(|| Profile {
        id: UserId(answer.id),
        login: answer.login,
        name: answer.name.filter(|name| !name.is_empty()),
        scopes: scopes.map(str::to_owned).collect(),
    })
}

/// Whether `text` can be a login, an organisation or a team's slug, and so stand in a URL as it is.
pub(super) fn is_name(text: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
    (1..=100).contains(&text.len()) && text.bytes().all(allowed) && !text.bytes().all(|b| b == b'.')
}

#[derive(Deserialize)]
struct MembershipAnswer {
    state: String,
}

/// Whether a membership is an active one.
///
/// # Errors
/// It is not an answer about a membership, or an invitation that the person has not accepted.
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

/// Whether a 403 means that GitHub wants to be asked less: it says so in words alone when a secondary limit is reached.
pub(super) fn is_rate_limit(body: &[u8]) -> bool {
    message(body).contains("rate limit")
}

/// What a 403 says of the reason: GitHub has no codes for it, only words.
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
