//! Codes and tokens, each a sealed value of its own type: a code is never accepted as a token, nor an access token as a refresh
//! token (T1).

use serde::{Deserialize, Serialize};

use super::authorization::CodeChallenge;
use crate::base::{ClientFingerprint, GrantId, Scopes, Secret, Timestamp, base64url, is_plain, sha256};
use crate::seal::{self, Sealed};

/// An authorization code (RFC 6749 section 4.1.2), bound to its grant, client, redirect URI and challenge.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct AuthorizationCode {
    #[serde(rename = "g")]
    pub(super) grant: GrantId,
    #[serde(rename = "c")]
    pub(super) client: ClientFingerprint,
    #[serde(rename = "r")]
    pub(super) redirect_uri: String,
    #[serde(rename = "h")]
    pub(super) code_challenge: CodeChallenge,
    #[serde(rename = "k", with = "seal::secret_bytes")]
    pub(super) secret: Secret<[u8; 32]>,
    #[serde(rename = "e")]
    pub(super) expires: Timestamp,
}

impl Sealed for AuthorizationCode {
    const PREFIX: &'static str = "mcp_ac_";
    fn expires(&self) -> Option<Timestamp> {
        Some(self.expires)
    }
}

/// An access token (RFC 6749 section 1.4): what the bearer check needs, and the grant's secret.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct AccessToken {
    #[serde(rename = "g")]
    pub(super) grant: GrantId,
    #[serde(rename = "s")]
    pub(super) scopes: Scopes,
    #[serde(rename = "u")]
    pub(super) resource: String,
    #[serde(rename = "k", with = "seal::secret_bytes")]
    pub(super) secret: Secret<[u8; 32]>,
    #[serde(rename = "e")]
    pub(super) expires: Timestamp,
}

impl Sealed for AccessToken {
    const PREFIX: &'static str = "mcp_at_";
    fn expires(&self) -> Option<Timestamp> {
        Some(self.expires)
    }
}

/// A refresh token of one generation of its grant.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct RefreshToken {
    #[serde(rename = "g")]
    pub(super) grant: GrantId,
    #[serde(rename = "c")]
    pub(super) client: ClientFingerprint,
    #[serde(rename = "n")]
    pub(super) generation: u32,
    #[serde(rename = "k", with = "seal::secret_bytes")]
    pub(super) secret: Secret<[u8; 32]>,
    #[serde(rename = "e")]
    pub(super) expires: Timestamp,
}

impl Sealed for RefreshToken {
    const PREFIX: &'static str = "mcp_rt_";
    fn expires(&self) -> Option<Timestamp> {
        Some(self.expires)
    }
}

/// A service token, which the operator has made: an access token with a long life, which nothing renews.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct ServiceToken {
    /// For the log, also when the grant is gone.
    #[serde(rename = "c")]
    pub(super) client: ClientFingerprint,
    #[serde(rename = "a")]
    pub(super) access: AccessToken,
}

impl Sealed for ServiceToken {
    const PREFIX: &'static str = "mcp_st_";

    /// The bearer check compares the end itself, to log whose token has expired.
    fn expires(&self) -> Option<Timestamp> {
        None
    }
}

impl AuthorizationCode {
    /// Whether this client may redeem it with this verifier, and the redirect URI if it repeats one; else the cause for the log.
    pub(super) fn check(
        &self,
        client: &ClientFingerprint,
        verifier: &str,
        redirect_uri: Option<&str>,
    ) -> Result<(), &'static str> {
        // RFC 7636 section 4.1: 43 to 128 unreserved characters.
        let well_formed = is_plain(verifier, "-._~", 43..=128);
        let challenge = Secret::new(base64url(&sha256(verifier.as_bytes())));
        let verified = well_formed && challenge.matches(self.code_challenge.as_str().as_bytes());
        // T6: OAuth 2.1 no longer needs the redirect URI here, but a different one is another request's.
        let same_redirect = redirect_uri.is_none_or(|uri| uri == self.redirect_uri);
        match (self.client == *client, verified, same_redirect) {
            (true, true, true) => Ok(()),
            (false, _, _) => Err("another_client"),
            (true, false, _) => Err("wrong_verifier"),
            (true, true, false) => Err("wrong_redirect_uri"),
        }
    }
}

#[cfg(test)]
mod tests;
