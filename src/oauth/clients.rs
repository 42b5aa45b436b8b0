//! Which clients there are: registered by themselves, described by a document, configured by the operator; and which
//! of them are denied.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::configured::ConfiguredClient;
use super::document::ClientDocuments;
use super::redirect::{RedirectUri, Registrant};
use super::schemes::RedirectSchemes;
use crate::base::identity::{ClientFingerprint, Scopes};

/// Who may be a client here.
#[derive(Default)]
pub struct Clients {
    /// The operator's own.
    pub configured: Vec<ConfiguredClient>,
    /// Whether strangers may register.
    pub registration: Registration,
    /// Private-use schemes of redirect URIs that they may have, beside those of known clients.
    pub redirect_schemes: RedirectSchemes,
    /// Finds the documents of clients whose id is a URL; `None` if such clients are not served.
    pub documents: Option<Arc<dyn ClientDocuments>>,
}

/// Whether clients may register by themselves (RFC 7591).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Registration {
    /// Anybody may.
    #[default]
    Open,
    /// Nobody may. Clients that registered before stay.
    Closed,
}

/// How a client came to be known, and so what its name is worth.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Origin {
    /// It registered by itself, under a name and redirect URIs of its choice.
    Registered,
    /// It is described by a document at this host.
    Document(String),
    /// The operator configured it.
    Configured,
}

/// A client whose `client_id` came with an authorization request. Nothing is proven yet but that it exists.
#[derive(Clone, Debug)]
pub(super) struct AskingClient {
    /// Names it in codes, tokens, grants and the log.
    pub(super) fingerprint: ClientFingerprint,
    /// What its name is worth.
    pub(super) origin: Origin,
    /// What it calls itself, if it does.
    pub(super) name: Option<String>,
    /// Where its codes may be sent; one at least.
    pub(super) redirect_uris: Vec<RedirectUri>,
    /// What it may ask for.
    pub(super) scopes: Scopes,
}

impl Origin {
    /// The host that vouches for the client, if one does.
    pub(super) fn host(&self) -> Option<&str> {
        match self {
            Origin::Document(host) => Some(host),
            Origin::Registered | Origin::Configured => None,
        }
    }
}

impl Clients {
    pub(super) fn configured(&self, client_id: &str) -> Option<&ConfiguredClient> {
        self.configured.iter().find(|client| client.id == client_id)
    }

    /// Whose rules the redirect URIs of a client keep.
    pub(super) fn registrant(&self, origin: &Origin) -> Registrant<'_> {
        match origin {
            Origin::Registered | Origin::Document(_) => Registrant::Anybody(&self.redirect_schemes),
            Origin::Configured => Registrant::Operator,
        }
    }
}

#[cfg(test)]
mod fixture_tests;
#[cfg(test)]
mod tests;
