//! The identity provider, as the authorization server sees it. `github` implements it; tests have a fake.

use std::fmt;
use std::time::Duration;

use crate::base::{Group, Identity, Secret};

/// The parameters of one login at the provider.
#[derive(Debug)]
pub struct LoginRequest<'a> {
    /// The sealed login, which comes back in the callback.
    pub state: &'a str,
    /// S256 challenge of the verifier that [`IdentityProvider::redeem`] will be given.
    pub code_challenge: &'a str,
    /// Our callback, absolute.
    pub redirect_uri: &'a str,
    /// The provider's own scopes, space-separated; empty asks for none.
    pub scope: &'a str,
}

/// The user's token at the provider.
#[derive(Clone, Debug)]
pub struct ProviderToken {
    /// The access token for its API.
    pub access: Secret<String>,
    /// The access token's lifetime from now; `None` if it is good until it is revoked.
    pub expires_in: Option<Duration>,
    /// The refresh token, if the access token expires. Works once.
    pub refresh: Option<Secret<String>>,
    /// The provider's own scopes that the token has, which may be others than were asked for.
    pub scopes: Vec<String>,
}

/// The parameters with which the provider's code is redeemed.
#[derive(Debug)]
pub struct Redemption<'a> {
    /// The code of the callback.
    pub code: &'a str,
    /// The PKCE verifier of this login.
    pub code_verifier: &'a Secret<String>,
    /// Our callback, absolute.
    pub redirect_uri: &'a str,
}

/// A reason why a person whom the provider has identified is not admitted, and that they or their organisation can remove.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Obstacle {
    /// The account is suspended.
    Suspended,
    /// The account's email address is not verified.
    UnverifiedEmail,
    /// The person has been invited to the group, and has not accepted.
    InvitationPending,
    /// The organisation demands its single sign-on.
    SingleSignOn,
    /// The organisation has not approved this app.
    AppNotApproved,
    /// The organisation does not allow this server's address.
    AddressNotAllowed,
    /// The app may not ask about the organisation: it lacks a scope or a permission.
    NotPermitted,
}

impl Obstacle {
    /// The word for the log.
    pub fn word(self) -> &'static str {
        match self {
            Obstacle::Suspended => "account_suspended",
            Obstacle::UnverifiedEmail => "unverified_email",
            Obstacle::InvitationPending => "invitation_pending",
            Obstacle::SingleSignOn => "single_sign_on",
            Obstacle::AppNotApproved => "app_not_approved",
            Obstacle::AddressNotAllowed => "address_not_allowed",
            Obstacle::NotPermitted => "app_not_permitted",
        }
    }

    /// For the log: what the operator can do.
    pub fn hint(self) -> &'static str {
        match self {
            Obstacle::Suspended
            | Obstacle::UnverifiedEmail
            | Obstacle::InvitationPending
            | Obstacle::SingleSignOn => "none: the page tells the person what to do at GitHub",
            Obstacle::AppNotApproved => {
                "an owner approves the app: the organisation's Settings, Third-party Access, OAuth app policy"
            }
            Obstacle::AddressNotAllowed => {
                "an owner adds this server's address: the organisation's Settings, Authentication security, IP allow list"
            }
            Obstacle::NotPermitted => {
                "an OAuth app needs the scope read:org, which is asked for at a login; a GitHub App needs the organisation \
             permission Members, read-only"
            }
        }
    }
}

/// Why a request to the identity provider, GitHub, has failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProviderError {
    /// It does not know this code or token (any more): the person should start again.
    Refused,
    /// It knows the person, but something that they or their organisation can change stands in the way.
    Blocked(Obstacle),
    /// It does not accept our client id, secret or redirect URI: the operator has to act.
    Misconfigured,
    /// It did not answer, or not in time, or asked this server to slow down.
    Unreachable,
    /// It answered something that it never should, a status from 500 included.
    Nonsense,
    /// Too many logins are waiting for it, or this server's table has failed.
    Busy,
    /// It lets this user ask nothing for a while: they have used up what it allows them. Not an outage: the user can bring
    /// it about.
    UsedUp,
}

impl ProviderError {
    /// Whether the provider has refused this code, token or person, in contrast to not having answered.
    pub(crate) fn is_refusal(self) -> bool {
        matches!(self, ProviderError::Refused | ProviderError::Blocked(_))
    }

    /// Whether the provider does not answer, or not as it should. Conditions that users can bring about must not count as that: a person
    /// who has left the organisation could stay for a day by using up their requests at GitHub, or by refreshing many grants at once.
    pub(super) fn is_outage(self) -> bool {
        match self {
            Self::Unreachable | Self::Nonsense | Self::Misconfigured => true,
            Self::Refused | Self::Blocked(_) | Self::Busy | Self::UsedUp => false,
        }
    }

    /// Whether a login that fails with this error is charged to its sender. Errors of our own or of the network are not charged;
    /// senders can cause all others on purpose, by the account or code that they use.
    pub(super) fn is_charged(self) -> bool {
        !matches!(self, ProviderError::Misconfigured | ProviderError::Unreachable | ProviderError::Busy)
    }
}

impl std::error::Error for ProviderError {}

impl fmt::Display for ProviderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ProviderError::Refused => "refused",
            ProviderError::Blocked(obstacle) => obstacle.word(),
            ProviderError::Misconfigured => "misconfigured",
            ProviderError::Unreachable => "unreachable",
            ProviderError::Nonsense => "bad_answer",
            ProviderError::Busy => "busy",
            ProviderError::UsedUp => "used_up",
        })
    }
}

/// Identifies people. Calls may take as long as [`crate::base::limits::GITHUB_CALL`] each.
pub trait IdentityProvider: Send + Sync {
    /// The page to which the browser is sent.
    fn authorize_url(&self, request: &LoginRequest<'_>) -> String;

    /// The issuer identifier that a callback may carry in `iss` (RFC 9207).
    fn issuer(&self) -> &str;

    /// Redeems the code of a callback for the user's token.
    ///
    /// # Errors
    /// [`ProviderError`].
    fn redeem(&self, redemption: &Redemption<'_>) -> Result<ProviderToken, ProviderError>;

    /// Exchanges a refresh token for the next token. Both of the old ones are dead then.
    ///
    /// # Errors
    /// [`ProviderError`].
    fn refresh(&self, refresh: &Secret<String>) -> Result<ProviderToken, ProviderError>;

    /// Tells the provider that a token is not needed any more. If that fails, the token lives on unused.
    fn discard(&self, token: &Secret<String>);

    /// Asks the provider which account owns this token.
    ///
    /// # Errors
    /// [`ProviderError`].
    fn identify(&self, token: &Secret<String>) -> Result<Identity, ProviderError>;

    /// Whether `identity`, whose token this is, is an active member of `group`. Only a clear confirmation counts.
    ///
    /// # Errors
    /// [`ProviderError::Blocked`] is a refusal with its reason; any other error means that there was no answer.
    fn is_member(
        &self,
        token: &Secret<String>,
        identity: &Identity,
        group: &Group,
    ) -> Result<bool, ProviderError>;
}
