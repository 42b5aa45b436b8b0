//! Which clients there are: registered by themselves, described by a document, configured by the operator; and which
//! of them are denied.

use std::net::IpAddr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::client::{self, AuthMethod};
use super::client_url::ClientUrl;
use super::configured::ConfiguredClient;
use super::deny::DenyList;
use super::document::ClientDocuments;
use super::problem::Problem;
use super::redirect::{RedirectUri, Registrant};
use super::schemes::RedirectSchemes;
use super::{AuthorizationServer, log_ended};
use crate::base::identity::{ClientFingerprint, Scopes};
use crate::base::{limits, log};
use crate::store::{self, Grant};

/// Who may be a client here.
#[derive(Default)]
pub struct Clients {
    /// The operator's own.
    pub configured: Vec<ConfiguredClient>,
    /// Whoever is refused, however they come, until other [`super::Rules`] hold.
    pub denied: DenyList,
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

impl AuthorizationServer {
    /// The client that asks for authorization. The document of one whose id is a URL may have to be fetched first.
    pub(super) fn asking_client(
        &self,
        client_id: &str,
        peer: Option<IpAddr>,
    ) -> Result<AskingClient, Problem> {
        let fingerprint = ClientFingerprint::of(client_id);
        // Not a line of its own in the log: strangers choose how often they ask, and the request's line has the reason.
        if self.rules().denied.names(client_id) {
            return Err(Problem::DeniedClient);
        }
        let supported = &self.settings.scopes;
        if let Some(configured) = self.clients.configured(client_id) {
            let description = configured.description.clone();
            return Ok(AskingClient {
                fingerprint,
                origin: Origin::Configured,
                scopes: description.scopes(supported),
                name: description.name,
                redirect_uris: description.redirect_uris,
            });
        }
        // O16: the ids of registered clients never look like this.
        if client_id.starts_with(ClientUrl::PREFIX) {
            let documents = self.clients.documents.as_ref().ok_or(Problem::UnknownClient)?;
            // I5: one answer, whatever is wrong with the URL, what is behind it, or how often it was asked for.
            let url = ClientUrl::parse(client_id).ok_or(Problem::NoClientDocument)?;
            let document = documents.find(&url, peer).ok_or(Problem::NoClientDocument)?;
            return Ok(AskingClient {
                fingerprint,
                origin: Origin::Document(url.host().to_owned()),
                scopes: document.description.scopes(supported),
                name: document.description.name.clone(),
                redirect_uris: document.description.redirect_uris.clone(),
            });
        }
        let client = client::open(&self.keys, client_id, self.clock.now()).ok_or(Problem::UnknownClient)?;
        Ok(AskingClient {
            fingerprint,
            origin: Origin::Registered,
            name: client.name,
            redirect_uris: client.redirect_uris,
            scopes: client.scopes,
        })
    }

    /// How the client with this id authenticates at the token endpoint, if there is such a client. No document is needed
    /// for that: whoever is described by one is public, and what was granted under its URL is bound to the URL.
    pub(super) fn auth_method(&self, client_id: &str) -> Option<AuthMethod> {
        if let Some(configured) = self.clients.configured(client_id) {
            return Some(configured.auth);
        }
        if self.clients.documents.is_some() && ClientUrl::parse(client_id).is_some() {
            return Some(AuthMethod::None);
        }
        Some(client::open(&self.keys, client_id, self.clock.now())?.auth)
    }

    /// D6: ends the grants of clients that have come onto the deny list. Called before anything is served, and when the list
    /// has changed.
    pub fn end_denied_grants(&self) {
        let rules = self.rules();
        if rules.denied.is_empty() {
            return;
        }
        let listed = self.grants.list();
        if listed.is_err() {
            let rules = Arc::clone(&rules);
            let picks = move |grants: &[Arc<Grant>]| {
                let theirs = grants.iter().filter(|grant| rules.denied.names_client_of(&grant.client));
                theirs.map(|grant| grant.id).collect()
            };
            // Without room, they are refused as long as the list has them.
            let _ = self.end_later(None, "client_denied", Box::new(picks));
        }
        let ended = listed.and_then(|mut grants| {
            grants.retain(|grant| rules.denied.names_client_of(&grant.client));
            grants.iter().for_each(|grant| (self.grant_ended)(grant.id));
            // Signals wait for this: one write for many. And all of them, whether or not the disk takes the first.
            let mut outcome = Ok(());
            for batch in grants.chunks(limits::SWEEP_BATCH) {
                if let Err(error) = self.delete_denied(batch) {
                    outcome = Err(error);
                }
            }
            outcome
        });
        // Their tokens are refused all the same, and the sweep ends their sessions.
        if let Err(error) = ended {
            log::error("store.failed", &[log::Field::Error(&error.to_string())]);
        }
    }

    fn delete_denied(&self, batch: &[Arc<Grant>]) -> Result<(), store::Error> {
        let ids: Vec<_> = batch.iter().map(|grant| grant.id).collect();
        let deleted = self.grants.delete_all(&ids)?;
        let deleted = batch.iter().filter(|grant| deleted.contains(&grant.id));
        deleted.for_each(|grant| log_ended(grant, "client_denied"));
        Ok(())
    }
}

#[cfg(test)]
mod fixture_tests;
#[cfg(test)]
mod tests;
