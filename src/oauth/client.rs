//! Registered clients: each is sealed into its own `client_id`, so nothing is stored.

use serde::{Deserialize, Serialize};

use super::redirect::RedirectUri;
use crate::base::clock::Timestamp;
use crate::base::encoding::base64url;
use crate::base::identity::{ClientFingerprint, Scopes};
use crate::base::secret::Secret;
use crate::seal::{self, Keyring, Sealed};

const SECRET_PREFIX: &str = "mcp_cs_";

/// How a client proves who it is at the token and revocation endpoints (RFC 7591 section 2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum AuthMethod {
    /// Not at all: a public client, which PKCE protects.
    None,
    /// HTTP Basic.
    ClientSecretBasic,
    /// `client_secret` in the form.
    ClientSecretPost,
}

/// A registered client, as it travels in its `client_id`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Client {
    /// Where its codes may be sent; one at least.
    #[serde(rename = "r")]
    pub redirect_uris: Vec<RedirectUri>,
    /// What it calls itself, if it does.
    #[serde(rename = "n", default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// How it authenticates.
    #[serde(rename = "a")]
    pub auth: AuthMethod,
    /// What it may ask for.
    #[serde(rename = "s")]
    pub scopes: Scopes,
    /// When it registered.
    #[serde(rename = "t")]
    pub issued: Timestamp,
}

impl Sealed for Client {
    // O16: never looks like the URL of a client metadata document, nor like a user's subject.
    const PREFIX: &'static str = "mcp_ci_";

    /// D4: clients only register again when told `invalid_client`, so a registration lives as long as the key.
    fn expires(&self) -> Option<Timestamp> {
        None
    }
}

/// A client that has proven who it is, as far as its kind can.
#[derive(Clone, Debug)]
pub(super) struct KnownClient {
    /// Names it in codes, tokens, grants and the log.
    pub fingerprint: ClientFingerprint,
}

/// Opens the `client_id` of a registered client.
pub(super) fn open(keys: &Keyring, client_id: &str, now: Timestamp) -> Option<Client> {
    seal::open(keys, client_id, now).ok()
}

/// The secret of a registered client, under each of our keys, the newest first: computed from the `client_id`, never stored.
pub(super) fn secrets(keys: &Keyring, client_id: &str) -> impl Iterator<Item = Secret<String>> {
    let derived = keys.derive(&[b"client_secret", client_id.as_bytes()]);
    derived.into_iter().map(|bytes| Secret::new(format!("{SECRET_PREFIX}{}", base64url(bytes.expose()))))
}
