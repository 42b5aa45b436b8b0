//! The documents by which a client finds everything else (RFC 8414, RFC 9728). They list what works and nothing else.

use std::sync::Arc;

use serde::Serialize;

use super::clients::{ClientRegistry, Registration};
use super::resource::{Endpoint, ProtectedResource};
use crate::http::{Head, Response};

#[cfg(test)]
mod tests;

/// RFC 8414 section 2.
#[derive(Serialize)]
struct ServerMetadata<'a> {
    issuer: String,
    authorization_endpoint: String,
    token_endpoint: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    registration_endpoint: Option<String>,
    revocation_endpoint: String,
    scopes_supported: Vec<&'a str>,
    response_types_supported: [&'static str; 1],
    response_modes_supported: [&'static str; 1],
    grant_types_supported: [&'static str; 2],
    token_endpoint_auth_methods_supported: [&'static str; 3],
    revocation_endpoint_auth_methods_supported: [&'static str; 3],
    code_challenge_methods_supported: [&'static str; 1],
    authorization_response_iss_parameter_supported: bool,
    /// draft-ietf-oauth-client-id-metadata-document, section 5; there only if it is true.
    #[serde(skip_serializing_if = "Option::is_none")]
    client_id_metadata_document_supported: Option<bool>,
}

/// RFC 9728 section 2.
#[derive(Serialize)]
struct ResourceMetadata<'a> {
    resource: String,
    authorization_servers: [String; 1],
    scopes_supported: Vec<&'a str>,
    bearer_methods_supported: [&'static str; 1],
}

// In this order, because the C# SDK takes the first.
const AUTH_METHODS: [&str; 3] = ["client_secret_basic", "client_secret_post", "none"];

/// The documents of each server.
pub struct MetadataEndpoint {
    pub(super) clients: Arc<ClientRegistry>,
}

impl MetadataEndpoint {
    /// `GET /.well-known/oauth-authorization-server`, and its OpenID Connect alias, which some clients try first.
    pub fn server(&self, resource: &ProtectedResource) -> Response {
        answer(resource.issuer_metadata.get_or_init(|| self.server_document(resource)).clone())
    }

    fn server_document(&self, resource: &ProtectedResource) -> Vec<u8> {
        let url = &resource.url;
        let registration = self.clients.sources.registration == Registration::Open;
        document(&ServerMetadata {
            issuer: url.to_string(),
            authorization_endpoint: url.join("/authorize"),
            token_endpoint: url.join("/token"),
            registration_endpoint: registration.then(|| url.join("/register")),
            revocation_endpoint: url.join("/revoke"),
            scopes_supported: resource.scopes.iter().collect(),
            response_types_supported: ["code"],
            response_modes_supported: ["query"],
            grant_types_supported: ["authorization_code", "refresh_token"],
            token_endpoint_auth_methods_supported: AUTH_METHODS,
            revocation_endpoint_auth_methods_supported: AUTH_METHODS,
            code_challenge_methods_supported: ["S256"],
            authorization_response_iss_parameter_supported: true,
            client_id_metadata_document_supported: self.clients.sources.documents.is_some().then_some(true),
        })
    }

    /// `GET /.well-known/oauth-protected-resource`, with and without the resource's path.
    pub fn resource(&self, resource: &ProtectedResource, head: &Head, endpoint: Endpoint) -> Response {
        answer(document(&ResourceMetadata {
            // RFC 9728 section 3.3: clients compare it with the URL that they were given.
            resource: resource.url.as_named_by(head).join(endpoint.path()),
            authorization_servers: [resource.url.to_string()],
            scopes_supported: resource.scopes.iter().collect(),
            bearer_methods_supported: ["header"],
        }))
    }
}

/// Structs of texts and lists cannot fail to be JSON.
fn document(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).unwrap_or_default()
}

fn answer(document: Vec<u8>) -> Response {
    Response::new(200).bytes("application/json", document).header("Cache-Control", "max-age=300")
}
