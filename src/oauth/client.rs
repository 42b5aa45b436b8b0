//! A client. One that registers is sealed into its own `client_id`, so nothing is stored.

use serde::{Deserialize, Serialize};

use super::redirect::RedirectUri;
use crate::base::{Scopes, Secret, Timestamp, base64url};
use crate::seal::{Keyring, Sealed};

#[cfg(test)]
mod tests;

const SECRET_PREFIX: &str = "mcp_cs_";

/// The authentication of a client at the token and revocation endpoints (RFC 7591 section 2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum AuthMethod {
    /// A public client, which PKCE protects.
    None,
    /// HTTP Basic.
    ClientSecretBasic,
    /// `client_secret` in the form.
    ClientSecretPost,
}

/// A client: registered, described by a document, or configured. The serialised form is that of a registered one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Client {
    /// The redirect URIs, at least one.
    #[serde(rename = "r")]
    pub(super) redirect_uris: Vec<RedirectUri>,
    /// Its own name, without invisible and misleading characters.
    #[serde(rename = "n", default, skip_serializing_if = "Option::is_none")]
    pub(super) name: Option<String>,
    #[serde(rename = "a")]
    pub(super) auth: AuthMethod,
    /// The scopes in its metadata; of a registered client, those that it was registered for.
    #[serde(rename = "s")]
    pub(super) scopes: Scopes,
    /// The server that it registered with, by its name among several.
    #[serde(rename = "i", default, skip_serializing_if = "Option::is_none")]
    pub(super) server: Option<String>,
    /// When it registered.
    #[serde(rename = "t")]
    pub(super) issued: Option<Timestamp>,
    /// Skipped, because only registered clients are sealed.
    #[serde(skip)]
    pub(super) origin: ClientOrigin,
    /// The secret of a configured client; see [`secrets`] for a registered one's.
    #[serde(skip)]
    pub(super) secret: Option<Secret<String>>,
}

/// How a client became known. Determines how far its name is verified, and which redirect URIs it may have.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum ClientOrigin {
    /// It registered by itself, under a name and redirect URIs of its choice.
    #[default]
    Registered,
    /// It is described by a document at this host.
    Document(String),
    /// The operator configured it.
    Configured,
}

impl ClientOrigin {
    /// The host that vouches for the client, if one does.
    pub(super) fn host(&self) -> Option<&str> {
        match self {
            ClientOrigin::Document(host) => Some(host),
            ClientOrigin::Registered | ClientOrigin::Configured => None,
        }
    }
}

impl Client {
    /// The scopes that it may ask for: those of its own that are `supported`, or all of `supported` if none is.
    pub(super) fn scopes(&self, supported: &Scopes) -> Scopes {
        let known = self.scopes.intersection(supported);
        if known.is_empty() { supported.clone() } else { known }
    }
}

impl Sealed for Client {
    // O16: never looks like the URL of a client metadata document, nor like a user's subject.
    const PREFIX: &'static str = "mcp_ci_";

    /// D4: clients only register again when told `invalid_client`, so a registration lives as long as the key.
    fn expires(&self) -> Option<Timestamp> {
        None
    }
}

/// The secret of a registered client, under each of our keys, the newest first: computed from the `client_id`, never stored.
pub(super) fn secrets(keys: &Keyring, client_id: &str) -> impl Iterator<Item = Secret<String>> {
    let derived = keys.derive(&[b"client_secret", client_id.as_bytes()]);
    derived.into_iter().map(|bytes| Secret::new(format!("{SECRET_PREFIX}{}", base64url(bytes.expose()))))
}
