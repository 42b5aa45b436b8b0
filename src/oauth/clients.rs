//! The sources of clients: registration, metadata documents, and the operator's file. The client of a request: looked up by `client_id`
//! at the authorization endpoint, authenticated at the token endpoint.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::client::{self, AuthMethod, Client};
use super::client_url::ClientUrl;
use super::document::ClientDocuments;
use super::live_grants::LiveGrants;
use super::problem::Problem;
use super::resource::ProtectedResource;
use super::schemes::RedirectSchemes;
use super::sealer::Sealer;
use super::token_error::TokenError;
use crate::base::{ClientFingerprint, Secret, trace};
use crate::http;

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

/// Finds the client that a request names.
pub struct ClientRegistry {
    pub(super) sources: Clients,
    pub(super) sealer: Arc<Sealer>,
    /// Knows which clients are denied.
    pub(super) grants: Arc<LiveGrants>,
}

impl ClientRegistry {
    /// The client that asks for authorization. The document of one whose id is a URL may have to be fetched first.
    pub(super) fn find(
        &self,
        client_id: &str,
        resource: &ProtectedResource,
        peer: Option<IpAddr>,
    ) -> Result<Client, Problem> {
        // No log line of its own: the request's has the reason.
        if self.grants.rules().denied.names(client_id) {
            return Err(Problem::DeniedClient);
        }
        if let Some(client) = self.sources.configured.get(client_id) {
            return Ok(client.clone());
        }
        // O16: the ids of registered clients never look like this.
        if client_id.starts_with(ClientUrl::PREFIX) {
            let documents = self.sources.documents.as_ref().ok_or(Problem::UnknownClient)?;
            // I5: one answer, whatever is wrong with the URL, what is behind it, or how often it was asked for.
            let url = ClientUrl::parse(client_id).ok_or(Problem::NoClientDocument)?;
            let client = documents.find(&url, peer).ok_or(Problem::NoClientDocument)?;
            return Ok(Arc::unwrap_or_clone(client));
        }
        self.registered(client_id, resource).ok_or(Problem::UnknownClient)
    }

    /// The client that registered with this server and got this id.
    fn registered(&self, client_id: &str, resource: &ProtectedResource) -> Option<Client> {
        let client: Client = self.sealer.open(client_id, self.sealer.clock.now()).ok()?;
        (client.server == resource.name).then_some(client)
    }

    /// The authentication method of the client with this id, if there is such a client. Fetches no document: a client that is
    /// described by one is always public, and its grants are bound to the URL.
    fn auth_method(&self, client_id: &str, resource: &ProtectedResource) -> Option<AuthMethod> {
        if let Some(client) = self.sources.configured.get(client_id) {
            return Some(client.auth);
        }
        if self.sources.documents.is_some() && ClientUrl::parse(client_id).is_some() {
            return Some(AuthMethod::None);
        }
        Some(self.registered(client_id, resource)?.auth)
    }

    /// The client that sends this form (T8).
    pub(super) fn authenticate(
        &self,
        resource: &ProtectedResource,
        head: &http::Head,
        form: &http::Form,
    ) -> Result<ClientFingerprint, TokenError> {
        let presented = Presented::read(head, form)?;
        let fingerprint = ClientFingerprint::of(&presented.id);
        trace::names_client(&fingerprint);
        let invalid = TokenError::InvalidClient { basic: presented.basic };
        // The secret is computed and compared for every id, so that an unknown client costs what a wrong secret does.
        let sent = presented.secret.as_ref().map_or("", |secret| secret.expose().as_str());
        let derived = client::secrets(&self.sealer.keys, &presented.id)
            .fold(false, |found, secret| found | secret.matches(sent.as_bytes()));
        let matches = match self.sources.configured.get(&presented.id) {
            Some(client) => client.secret.as_ref().is_some_and(|secret| secret.matches(sent.as_bytes())),
            None => derived,
        };
        let registered = self.auth_method(&presented.id, resource).ok_or(invalid)?;
        // A correct secret is accepted by either method. A public client must not send one.
        let proven = match registered {
            AuthMethod::None => presented.secret.is_none(),
            AuthMethod::ClientSecretBasic | AuthMethod::ClientSecretPost => matches,
        };
        // D6: a denied client is answered like an unknown one.
        if !proven || self.grants.rules().denied.names(&presented.id) {
            return Err(invalid);
        }
        Ok(fingerprint)
    }
}

/// The credentials in a request.
struct Presented {
    id: String,
    secret: Option<Secret<String>>,
    /// Whether they came by HTTP Basic, which the refusal then names.
    basic: bool,
}

impl Presented {
    fn read(head: &http::Head, form: &http::Form) -> Result<Presented, TokenError> {
        let header = head.headers.one("authorization").map_err(|_| TokenError::MalformedClient)?;
        let (form_id, form_secret) = (form.value("client_id"), form.value("client_secret"));
        match header {
            Some(value) => {
                // RFC 6749 section 2.3: no more than one method in one request.
                if form_secret.is_some() {
                    return Err(TokenError::MalformedClient);
                }
                let (id, secret) = basic(value).ok_or(TokenError::InvalidClient { basic: true })?;
                // Python's SDK repeats the id in the form; only a different one is a contradiction.
                if form_id.is_some_and(|other| other != id) {
                    return Err(TokenError::MalformedClient);
                }
                Ok(Presented { id, secret, basic: true })
            }
            None => Ok(Presented {
                id: form_id.ok_or(TokenError::InvalidClient { basic: false })?.to_owned(),
                secret: form_secret.map(|secret| Secret::new(secret.to_owned())),
                basic: false,
            }),
        }
    }
}

/// Reads a Basic header, whose id and secret are form-encoded (RFC 6749 section 2.3.1). An empty secret is none: some public
/// clients send their id this way.
fn basic(value: &str) -> Option<(String, Option<Secret<String>>)> {
    let (scheme, credentials) = value.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let text = String::from_utf8(STANDARD.decode(credentials.trim()).ok()?).ok()?;
    let (id, secret) = text.split_once(':')?;
    // Ids and secrets of ours are unchanged by form encoding; clients differ in whether they apply it.
    let decode = |part: &str| http::form_decode(part.as_bytes()).ok();
    let secret = Some(decode(secret)?).filter(|secret| !secret.is_empty());
    Some((decode(id)?, secret.map(Secret::new)))
}

#[cfg(test)]
mod fixture_tests;
#[cfg(test)]
mod registry_tests;
#[cfg(test)]
mod tests;
