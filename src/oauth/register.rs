//! Dynamic client registration (RFC 7591). Stores nothing: the client id that is handed out is the registration itself,
//! sealed.

use std::sync::Arc;

use serde::Serialize;

use super::answer;
use super::client::{self, AuthMethod, Client, ClientOrigin};
use super::client_metadata::{self, ClientMetadata, MetadataError};
use super::clients::{ClientRegistry, Registration};
use super::log_stranger;
use super::redirect::{RedirectUri, Registrant};
use super::resource::ProtectedResource;
use crate::base::{ClientFingerprint, RateLimit, Throttle, Timestamp, limits};
use crate::http::{self, Response};

#[cfg(test)]
mod tests;

const NOT_JSON: MetadataError = MetadataError::InvalidClientMetadata(
    "the body must be a JSON object of client metadata, sent as application/json",
);

/// The answer (RFC 7591 section 3.2.1): only what was kept. Absent members are left out: some clients refuse nulls.
#[derive(Serialize)]
struct RegistrationAnswer<'a> {
    client_id: &'a str,
    client_id_issued_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_secret: Option<&'a str>,
    /// Zero: it never expires. There exactly when there is a secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    client_secret_expires_at: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_name: Option<&'a str>,
    redirect_uris: &'a [RedirectUri],
    grant_types: [&'static str; 2],
    response_types: [&'static str; 1],
    token_endpoint_auth_method: AuthMethod,
    scope: String,
}

/// `/register`
pub struct RegistrationEndpoint {
    pub(super) clients: Arc<ClientRegistry>,
    /// Registrations of one sender.
    pub(super) limit: RateLimit,
    pub(super) log_limit: Throttle,
}

impl RegistrationEndpoint {
    /// Registers a client.
    pub fn post(&self, resource: &ProtectedResource, request: &http::Request) -> Response {
        // D5: the metadata does not name this endpoint then, but clients guess it.
        if self.clients.sources.registration == Registration::Closed {
            return answer::error(
                403,
                "access_denied",
                "clients are registered by the person who runs this server",
            );
        }
        // D4: nothing is stored, but a registration costs a seal and a line in the log. A refusal costs neither, and
        // must not count against the limit.
        let client = match self.try_register(resource, request) {
            Ok(client) => client,
            Err(error) => return answer::error(400, error.code(), error.description()),
        };
        match self.limit.spend(request.head.peer, self.clients.sealer.clock.monotonic()) {
            Ok(()) => self.registered(&client),
            Err(too_many) => answer::too_many(too_many),
        }
    }

    fn try_register(
        &self,
        resource: &ProtectedResource,
        request: &http::Request,
    ) -> Result<Client, MetadataError> {
        if request.head.is_of_type("application/json") != Ok(true) {
            return Err(NOT_JSON);
        }
        let metadata: ClientMetadata = client_metadata::read(&request.body, |_| false).ok_or(NOT_JSON)?;
        let auth = auth_method(metadata.token_endpoint_auth_method.as_deref())?;
        let registrant = Registrant::Anybody(&self.clients.sources.redirect_schemes);
        let mut client = metadata.client(ClientOrigin::Registered, auth, registrant)?;
        keep_short(&mut client.redirect_uris);
        // RFC 7591 section 2: we may register other scopes than were asked for. A client asks for those of its first challenge
        // and learns later that a tool needs more, so it may ask for any; the person is shown which.
        client.scopes = resource.scopes.clone();
        client.server = resource.name.clone();
        client.issued = Some(self.clients.sealer.clock.now());
        Ok(client)
    }

    fn registered(&self, client: &Client) -> Response {
        let client_id = self.clients.sealer.seal(client);
        let secret = (client.auth != AuthMethod::None)
            .then(|| client::secrets(&self.clients.sealer.keys, &client_id).next())
            .flatten();
        let now = self.clients.sealer.clock.monotonic();
        log_stranger(&self.log_limit, now, "client.registered", &ClientFingerprint::of(&client_id));
        let registration = RegistrationAnswer {
            client_id: &client_id,
            client_id_issued_at: client.issued,
            client_secret: secret.as_ref().map(|secret| secret.expose().as_str()),
            client_secret_expires_at: secret.as_ref().map(|_| 0),
            client_name: client.name.as_deref(),
            redirect_uris: &client.redirect_uris,
            grant_types: ["authorization_code", "refresh_token"],
            response_types: ["code"],
            token_endpoint_auth_method: client.auth,
            scope: client.scopes.to_string(),
        };
        answer::json(201, &registration)
    }
}

/// D2: keeps each URI that still fits into a `client_id`, in their order.
fn keep_short(redirect_uris: &mut Vec<RedirectUri>) {
    let mut left = limits::REDIRECT_URIS_BYTES;
    redirect_uris.retain(|uri| {
        let rest = left.checked_sub(uri.as_str().len());
        left = rest.unwrap_or(left);
        rest.is_some()
    });
    redirect_uris.truncate(limits::REDIRECT_URIS);
}

/// The method that a registration asks for.
fn auth_method(name: Option<&str>) -> Result<AuthMethod, MetadataError> {
    match name {
        Some("none") => Ok(AuthMethod::None),
        // RFC 7591 section 2: the default if omitted.
        None | Some("" | "client_secret_basic") => Ok(AuthMethod::ClientSecretBasic),
        Some("client_secret_post") => Ok(AuthMethod::ClientSecretPost),
        Some(_) => Err(MetadataError::InvalidClientMetadata(
            "token_endpoint_auth_method must be none, client_secret_basic or client_secret_post",
        )),
    }
}
