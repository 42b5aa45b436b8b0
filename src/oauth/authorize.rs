//! The authorization endpoint: from a query to a checked request and the consent page.

use std::sync::Arc;

use super::authorization::{AuthorizationRequest, AuthorizeError, CodeChallenge, ReturnTo};
use super::browser::read_query;
use super::client::{Client, ClientOrigin};
use super::clients::ClientRegistry;
use super::live_grants::LiveGrants;
use super::login::PendingAuthorization;
use super::problem::Problem;
use super::redirect::{RedirectUri, Registrant, Target};
use super::resource::ProtectedResource;
use super::sealer::Sealer;
use crate::base::{ClientFingerprint, Scopes, limits, trace};
use crate::http::{Form, Head, Response};

/// `/authorize`
pub struct AuthorizeEndpoint {
    pub(super) clients: Arc<ClientRegistry>,
    pub(super) sealer: Arc<Sealer>,
    pub(super) grants: Arc<LiveGrants>,
}

impl AuthorizeEndpoint {
    /// Checks the request and shows the consent page. Stores nothing; may be repeated (some clients ask once before they open
    /// the browser).
    pub fn get(&self, resource: &ProtectedResource, head: &Head) -> Response {
        self.try_get(resource, head).unwrap_or_else(|problem| resource.pages.problem(problem))
    }

    fn try_get(&self, resource: &ProtectedResource, head: &Head) -> Result<Response, Problem> {
        self.sealer.check_clock()?;
        let query = read_query(head, &["resource"])?;
        let client_id = query.value("client_id").ok_or(Problem::UnknownClient)?;
        let fingerprint = ClientFingerprint::of(client_id);
        trace::names_client(&fingerprint);
        // O6: until client and redirect URI have both been validated, errors are shown on a page, not redirected.
        let client = self.clients.find(client_id, resource, head.peer)?;
        let registrant = match client.origin {
            ClientOrigin::Registered | ClientOrigin::Document(_) => {
                Registrant::Anybody(&self.clients.sources.redirect_schemes)
            }
            ClientOrigin::Configured => Registrant::Operator,
        };
        let redirect_uri = redirect_uri(&client, registrant, query.value("redirect_uri"))
            .ok_or(Problem::UnregisteredRedirect)?;
        let return_to = ReturnTo {
            client_name: client.name.clone(),
            origin: client.origin.clone(),
            redirect_uri,
            state: query.value("state").map(str::to_owned),
        };
        let allowed = client.scopes(&resource.scopes);
        Ok(match check(resource, (fingerprint, &allowed), &query, &return_to) {
            Ok(request) => self.ask_for_consent(resource, request, head),
            Err(error) => resource.refuse(&return_to, error),
        })
    }

    fn ask_for_consent(
        &self,
        resource: &ProtectedResource,
        request: AuthorizationRequest,
        head: &Head,
    ) -> Response {
        let expires = self.sealer.clock.now().plus(limits::LOGIN_LIFETIME);
        let server = resource.name.as_ref().map_or(resource.url.authority(), |_| &resource.pages.title);
        let rules = self.grants.rules();
        let token = resource.token_words(&rules);
        let request = AuthorizationRequest { handed: resource.scopes_to_hand_over(&rules), ..request };
        self.sealer.begin(head, |browser| {
            let pending = PendingAuthorization { request: request.clone(), browser };
            let sealed = self.sealer.seal_here(pending, expires);
            resource.pages.consent(&request, &sealed, server, &token)
        })
    }
}

/// Checks everything but client and redirect URI; the first refusal that applies counts. The client comes with the scopes that it
/// may ask for.
fn check(
    resource: &ProtectedResource,
    (client, allowed): (ClientFingerprint, &Scopes),
    query: &Form,
    return_to: &ReturnTo,
) -> Result<AuthorizationRequest, AuthorizeError> {
    let is_long = |state: &String| state.len() > limits::STATE_BYTES;
    let asks_for_none = |prompt: &str| prompt.split(' ').any(|word| word == "none");
    let refusals = [
        (return_to.state.as_ref().is_some_and(is_long), AuthorizeError::StateTooLong),
        (query.contains("request"), AuthorizeError::RequestObject),
        (query.contains("request_uri"), AuthorizeError::RequestUri),
        (query.value("response_type") != Some("code"), AuthorizeError::ResponseType),
        (query.value("response_mode").is_some_and(|mode| mode != "query"), AuthorizeError::ResponseMode),
        (query.value("prompt").is_some_and(asks_for_none), AuthorizeError::NoInteraction),
        // O2: required of every client, with S256 stated: by RFC 7636 an absent method means `plain`.
        (query.value("code_challenge").is_none(), AuthorizeError::NoChallenge),
        (query.value("code_challenge_method") != Some("S256"), AuthorizeError::ChallengeMethod),
    ];
    if let Some((_, error)) = refusals.into_iter().find(|(applies, _)| *applies) {
        return Err(error);
    }
    let code_challenge = query.value("code_challenge").and_then(CodeChallenge::parse);
    let request = AuthorizationRequest {
        client,
        return_to: return_to.clone(),
        code_challenge: code_challenge.ok_or(AuthorizeError::BadChallenge)?,
        scopes: granted_scopes(&resource.required_scope, allowed, query.value("scope"))?,
        resource: resource.named_by(query).ok_or(AuthorizeError::Resource)?.to_owned(),
        handed: None, // the person has not been told anything yet
    };
    let json = serde_json::to_string(&request).unwrap_or_default(); // strings alone
    if json.len() > limits::AUTHORIZATION_BYTES { Err(AuthorizeError::StateTooLong) } else { Ok(request) }
}

/// O3, O4: the requested URI, if a registered one admits it. Without a request, the only registered one, unless it is a loopback
/// URI, whose port the client has to choose.
fn redirect_uri(client: &Client, registrant: Registrant<'_>, requested: Option<&str>) -> Option<RedirectUri> {
    let registered = &client.redirect_uris;
    let text = match (requested, registered.as_slice()) {
        (Some(text), _) => text,
        (None, [only]) if only.target() != Target::Loopback => only.as_str(),
        (None, _) => return None,
    };
    // The rules may have changed since the registration.
    let uri = RedirectUri::parse(text, registrant).ok()?;
    registered.iter().any(|registered| registered.admits(&uri)).then_some(uri)
}

/// O12: the requested scopes that exist, and the required one. Unknown scopes are dropped (clients ask for `openid` and the
/// like); `offline_access` is one of them, because every grant can be refreshed.
fn granted_scopes(
    required: &Scopes,
    allowed: &Scopes,
    asked: Option<&str>,
) -> Result<Scopes, AuthorizeError> {
    let text = asked.unwrap_or_default();
    if text.len() > limits::SCOPE_BYTES {
        return Err(AuthorizeError::Scope);
    }
    let asked = Scopes::parse(text).ok_or(AuthorizeError::Scope)?;
    Ok(asked.intersection(allowed).union(required))
}

#[cfg(test)]
mod tests;
