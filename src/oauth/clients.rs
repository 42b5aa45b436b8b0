//! The sources of clients: registration, metadata documents, and the operator's file.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::client::{Client, ClientOrigin};
use super::document::ClientDocuments;
use super::redirect::Registrant;
use super::schemes::RedirectSchemes;

/// The sources of clients.
#[derive(Default)]
pub struct Clients {
    /// The operator's, by `client_id`.
    pub configured: BTreeMap<String, Client>,
    /// Whether clients may register by themselves.
    pub registration: Registration,
    /// Private-use schemes that redirect URIs may have besides those of known clients.
    pub redirect_schemes: RedirectSchemes,
    /// Finds the documents of clients whose id is a URL; `None` if such clients are not served.
    pub documents: Option<Arc<dyn ClientDocuments>>,
}

/// Whether clients may register by themselves (RFC 7591).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Registration {
    /// They may.
    #[default]
    Open,
    /// They may not. Clients that registered before stay.
    Closed,
}

impl Clients {
    /// The rules for the redirect URIs of a client.
    pub(super) fn registrant(&self, origin: &ClientOrigin) -> Registrant<'_> {
        match origin {
            ClientOrigin::Registered | ClientOrigin::Document(_) => {
                Registrant::Anybody(&self.redirect_schemes)
            }
            ClientOrigin::Configured => Registrant::Operator,
        }
    }
}

#[cfg(test)]
mod fixture_tests;
#[cfg(test)]
mod tests;
