//! Clients that the operator configures. Errors are redirected to them (O7).

use std::path::PathBuf;

use serde::Deserialize;

use super::client::{AuthMethod, Client, ClientOrigin};
use super::client_metadata::{ClientMetadata, MetadataError};
use super::redirect::{RedirectUri, Registrant};
use crate::base::{Secret, is_plain, limits};

#[cfg(test)]
mod tests;

/// The prefix of sealed values: a configured client is never taken for one (O16). Nor for a user's subject or a document's URL, which
/// have a colon.
const SEALED_PREFIX: &str = "mcp_";

const BAD_ID: &str = "a client_id has 1 to 100 letters, digits, hyphens, dots, underscores and tildes, \
                      and does not start with mcp_";
const BAD_METHOD: &str = "token_endpoint_auth_method is none without a secret, \
                          client_secret_basic or client_secret_post with one";
const SHORT_SECRET: &str =
    "its secret is shorter than 32 characters; `openssl rand -hex 32` makes a good one";
const AMBIGUOUS_SECRET: &str = "its secret has a + or a %, which many clients send wrongly by HTTP Basic; \
                                `openssl rand -hex 32` makes a good one";

/// One client of the operator's file. The members are those of RFC 7591 section 2, and one that names the file with the secret.
/// An unknown member could be a misspelt one, so it is refused.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConfiguredMembers {
    pub(crate) client_id: String,
    pub(super) client_name: Option<String>,
    pub(super) redirect_uris: Vec<String>,
    /// If it is left out: HTTP Basic with a secret, `none` without.
    pub(super) token_endpoint_auth_method: Option<String>,
    pub(crate) client_secret_file: Option<PathBuf>,
}

impl Client {
    /// The client that the operator wrote down, with its secret.
    ///
    /// # Errors
    /// A sentence that says what is wrong.
    pub fn configured(
        members: ConfiguredMembers,
        secret: Option<Secret<String>>,
    ) -> Result<Client, &'static str> {
        let id = &members.client_id;
        if !is_plain(id, "-._~", 1..=limits::CONFIGURED_ID_BYTES) || id.starts_with(SEALED_PREFIX) {
            return Err(BAD_ID);
        }
        let auth = match (members.token_endpoint_auth_method.as_deref(), &secret) {
            (None | Some("none"), None) => AuthMethod::None,
            (None | Some("client_secret_basic"), Some(_)) => AuthMethod::ClientSecretBasic,
            (Some("client_secret_post"), Some(_)) => AuthMethod::ClientSecretPost,
            (Some(_), _) => return Err(BAD_METHOD),
        };
        // T1: it must be too long to be guessed.
        if secret.as_ref().is_some_and(|secret| secret.expose().len() < limits::CONFIGURED_SECRET_BYTES) {
            return Err(SHORT_SECRET);
        }
        // RFC 6749 section 2.3.1 has clients form-encode the secret, which many do not. Only these two characters are ambiguous then.
        let is_ambiguous = |secret: &Secret<String>| secret.expose().contains(['+', '%']);
        if auth == AuthMethod::ClientSecretBasic && secret.as_ref().is_some_and(is_ambiguous) {
            return Err(AMBIGUOUS_SECRET);
        }
        // An unusable URI is an error here; in a registration it would be dropped.
        for uri in &members.redirect_uris {
            RedirectUri::parse(uri, Registrant::Operator)?;
        }
        let metadata = ClientMetadata {
            client_name: members.client_name,
            redirect_uris: Some(members.redirect_uris.into_iter().map(Some).collect()),
            ..ClientMetadata::default()
        };
        let client = metadata.client(ClientOrigin::Configured, auth, Registrant::Operator);
        client.map(|client| Client { secret, ..client }).map_err(MetadataError::description)
    }
}
