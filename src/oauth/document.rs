//! Client ID Metadata Documents: clients whose id is the URL of a document that describes them
//! (draft-ietf-oauth-client-id-metadata-document; sections here and in `documents` are those of revision 01). This file checks a
//! document; `documents` fetches it.

use std::net::IpAddr;
use std::sync::Arc;

use serde::Deserialize;

use super::client::{AuthMethod, Client, ClientOrigin};
use super::client_metadata::{self, ClientMetadata, MetadataError};
use super::client_url::ClientUrl;
use super::redirect::Registrant;
use super::schemes::RedirectSchemes;

#[cfg(test)]
mod tests;

/// Finds the document of a client: `documents`, or a test.
pub trait ClientDocuments: Send + Sync {
    /// The client that the document at `url` describes, fetched or remembered. May take as long as
    /// [`crate::base::limits::DOCUMENT_FETCH`]; `peer` is the sender of the request.
    ///
    /// `None` comes without a reason: a stranger who names a URL must not learn what is behind it (I5).
    fn find(&self, url: &ClientUrl, peer: Option<IpAddr>) -> Option<Arc<Client>>;
}

#[derive(Deserialize)]
struct Document {
    client_id: String,
    token_endpoint_auth_methods_supported: Option<Vec<String>>,
    #[serde(flatten)]
    metadata: ClientMetadata,
}

impl Client {
    /// The client that the document found at `url` describes (I4). `schemes` are those that the operator admits.
    ///
    /// # Errors
    /// The rule that the document breaks, for the log.
    pub fn described(
        url: &ClientUrl,
        body: &[u8],
        schemes: &RedirectSchemes,
    ) -> Result<Client, &'static str> {
        // Section 4.1 of the draft: nobody shares a secret with a document that everybody can read.
        let document: Document = client_metadata::read(body, |name| name.starts_with("client_secret"))
            .ok_or("it must be a JSON object of client metadata without a secret")?;
        // Compared as strings: no slash, port or case is forgiven.
        if document.client_id != url.as_str() {
            return Err("client_id must be the document's own URL");
        }
        if !document.admits_none() {
            return Err("token_endpoint_auth_method must be none");
        }
        let origin = ClientOrigin::Document(url.host().to_owned());
        let client = document
            .metadata
            .client(origin, AuthMethod::None, Registrant::Anybody(schemes))
            .map_err(MetadataError::description)?;
        // MCP authorization, Client ID Metadata Documents: client_id, client_name and redirect_uris are required.
        if client.name.is_none() {
            return Err("client_name must have a visible character");
        }
        Ok(client)
    }
}

impl Document {
    /// Whether the client can be public, the only kind that a document can describe here. ChatGPT prefers `private_key_jwt` and
    /// lists `none` as well.
    fn admits_none(&self) -> bool {
        let listed = self.token_endpoint_auth_methods_supported.as_ref();
        let lists_none = listed.is_some_and(|methods| methods.iter().any(|method| method == "none"));
        match self.metadata.token_endpoint_auth_method.as_deref() {
            Some("none") => true,
            Some(_) => lists_none,
            None => lists_none || listed.is_none(),
        }
    }
}
