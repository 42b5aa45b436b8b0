//! The authorization endpoint: from a query to a checked request and the consent page.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::AuthorizationServer;
use super::clients::{AskingClient, Origin};
use super::page;
use super::problem::Problem;
use super::redirect::{RedirectUri, Registrant, Target};
use crate::base::encoding::from_base64url;
use crate::base::identity::{ClientFingerprint, Scopes};
use crate::base::{limits, trace};
use crate::http::{self, Form, Response, append_query};

/// An authorization request whose client, redirect URI and parameters were all checked. Made by
/// [`AuthorizationServer::authorize`] alone; carried, sealed, through consent and login.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct AuthorizationRequest {
    /// Which client asks.
    #[serde(rename = "c")]
    pub client: ClientFingerprint,
    /// What the client calls itself.
    #[serde(rename = "n", default, skip_serializing_if = "Option::is_none")]
    pub client_name: Option<String>,
    /// What that name is worth.
    #[serde(rename = "f")]
    pub origin: Origin,
    /// Where the answer goes: registered, with the port that was asked for.
    #[serde(rename = "r")]
    pub redirect_uri: RedirectUri,
    /// The client's own state, returned byte for byte and never interpreted.
    #[serde(rename = "s", default, skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// The client's PKCE challenge, S256.
    #[serde(rename = "h")]
    pub code_challenge: CodeChallenge,
    /// What is granted if the person agrees.
    #[serde(rename = "o")]
    pub scopes: Scopes,
    /// What the tokens will be for.
    #[serde(rename = "u")]
    pub resource: String,
}

/// An S256 code challenge: the base64url of 32 bytes (RFC 7636 section 4.2).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct CodeChallenge(String);

impl CodeChallenge {
    /// Reads a challenge; `None` unless it is one that S256 can give.
    pub(super) fn parse(text: &str) -> Option<CodeChallenge> {
        (text.len() == 43 && from_base64url(text)?.len() == 32).then(|| CodeChallenge(text.to_owned()))
    }

    /// The challenge as text.
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

/// Why an authorization request is refused (RFC 6749 section 4.1.2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AuthorizeError {
    ResponseType,
    NoChallenge,
    BadChallenge,
    ChallengeMethod,
    StateTooLong,
    Scope,
    Resource,
    RequestObject,
    RequestUri,
    ResponseMode,
    NoInteraction,
    Denied,
    NotAllowed,
    LoginFailed,
    Unavailable,
}

impl AuthorizeError {
    fn code(self) -> &'static str {
        match self {
            AuthorizeError::ResponseType => "unsupported_response_type",
            AuthorizeError::Scope => "invalid_scope",
            AuthorizeError::Resource => "invalid_target",
            AuthorizeError::RequestObject => "request_not_supported",
            AuthorizeError::RequestUri => "request_uri_not_supported",
            AuthorizeError::NoInteraction => "interaction_required",
            AuthorizeError::Denied | AuthorizeError::NotAllowed => "access_denied",
            AuthorizeError::LoginFailed => "server_error",
            AuthorizeError::Unavailable => "temporarily_unavailable",
            AuthorizeError::NoChallenge
            | AuthorizeError::BadChallenge
            | AuthorizeError::ChallengeMethod
            | AuthorizeError::StateTooLong
            | AuthorizeError::ResponseMode => "invalid_request",
        }
    }
}

impl fmt::Display for AuthorizeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            AuthorizeError::ResponseType => "response_type must be code",
            AuthorizeError::NoChallenge => "code_challenge is required (PKCE)",
            AuthorizeError::BadChallenge => "code_challenge must be the 43 characters of an S256 challenge",
            AuthorizeError::ChallengeMethod => "code_challenge_method must be S256",
            AuthorizeError::StateTooLong => "state may have at most 4096 bytes",
            AuthorizeError::Scope => "scope must be at most 1024 bytes of scope names",
            AuthorizeError::Resource => "resource must be the URL of this MCP server",
            AuthorizeError::RequestObject => "request objects are not supported",
            AuthorizeError::RequestUri => "request_uri is not supported",
            AuthorizeError::ResponseMode => "response_mode must be query",
            AuthorizeError::NoInteraction => "prompt=none is not possible: every login asks the person",
            AuthorizeError::Denied => "the person did not allow it",
            AuthorizeError::NotAllowed => "this server does not let that GitHub account in",
            AuthorizeError::LoginFailed => "the login failed: the page in the browser says why",
            AuthorizeError::Unavailable => "no login is possible right now: try again later",
        })
    }
}

/// Where to answer, once that is known to be safe.
pub(super) struct ReturnTo<'a> {
    pub(super) origin: &'a Origin,
    pub(super) redirect_uri: &'a RedirectUri,
    pub(super) state: Option<&'a str>,
}

impl ReturnTo<'_> {
    /// O7: whether the browser may be sent there with an error: to a program on this device, or a client of the operator's.
    /// The redirect URI of an open web client was chosen freely by its maker.
    pub(super) fn is_trusted(&self) -> bool {
        match (self.redirect_uri.target(), self.origin) {
            (Target::Loopback | Target::PrivateScheme, _) | (Target::Web, Origin::Configured) => true,
            (Target::Web, Origin::Registered | Origin::Document(_)) => false,
        }
    }
}

impl<'a> From<&'a AuthorizationRequest> for ReturnTo<'a> {
    fn from(request: &'a AuthorizationRequest) -> ReturnTo<'a> {
        let state = request.state.as_deref();
        ReturnTo { origin: &request.origin, redirect_uri: &request.redirect_uri, state }
    }
}

impl AuthorizationServer {
    /// `GET /authorize`: checks the request and shows the consent page. Stores nothing; may be repeated (some clients
    /// ask once before they open the browser).
    pub fn authorize(&self, head: &http::Head) -> Response {
        if let Some(wait) = self.wait_for_clock() {
            return wait;
        }
        let Ok(query) = Form::parse(head.query.as_deref().unwrap_or_default().as_bytes()) else {
            return self.pages().problem(Problem::Unreadable);
        };
        // O8: a repeated parameter means somebody wants two readers to see two requests.
        if query.repeated(&["resource"]).is_some() {
            return self.pages().problem(Problem::Unreadable);
        }
        if let Some(id) = query.value("client_id") {
            trace::names_client(&ClientFingerprint::of(id));
        }
        // O6: as long as client and redirect URI are not both proven, nobody is sent anywhere.
        let client = match query.value("client_id").map(|id| self.asking_client(id, head.peer)) {
            Some(Ok(client)) => client,
            Some(Err(problem)) => return self.pages().problem(problem),
            None => return self.pages().problem(Problem::UnknownClient),
        };
        let registrant = self.clients.registrant(&client.origin);
        let Some(redirect_uri) = redirect_uri(&client, registrant, query.value("redirect_uri")) else {
            return self.pages().problem(Problem::UnregisteredRedirect);
        };
        let state = query.value("state");
        let return_to = ReturnTo { origin: &client.origin, redirect_uri: &redirect_uri, state };
        match self.check(&client, &query, &redirect_uri) {
            Ok(request) => self.ask_for_consent(request, head),
            Err(error) => self.refuse(&return_to, error),
        }
    }

    /// Everything but client and redirect URI.
    fn check(
        &self,
        client: &AskingClient,
        query: &Form,
        redirect_uri: &RedirectUri,
    ) -> Result<AuthorizationRequest, AuthorizeError> {
        let state = query.value("state");
        if state.is_some_and(|state| state.len() > limits::STATE_BYTES) {
            return Err(AuthorizeError::StateTooLong);
        }
        if query.contains("request") {
            return Err(AuthorizeError::RequestObject);
        }
        if query.contains("request_uri") {
            return Err(AuthorizeError::RequestUri);
        }
        if query.value("response_type") != Some("code") {
            return Err(AuthorizeError::ResponseType);
        }
        if query.value("response_mode").is_some_and(|mode| mode != "query") {
            return Err(AuthorizeError::ResponseMode);
        }
        if query.value("prompt").is_some_and(|prompt| prompt.split(' ').any(|word| word == "none")) {
            return Err(AuthorizeError::NoInteraction);
        }
        // O2: from every client, and S256 said out loud: RFC 7636 would take an absent method for `plain`.
        let challenge = query.value("code_challenge").ok_or(AuthorizeError::NoChallenge)?;
        if query.value("code_challenge_method") != Some("S256") {
            return Err(AuthorizeError::ChallengeMethod);
        }
        Ok(AuthorizationRequest {
            client: client.fingerprint.clone(),
            client_name: client.name.clone(),
            origin: client.origin.clone(),
            redirect_uri: redirect_uri.clone(),
            state: state.map(str::to_owned),
            code_challenge: CodeChallenge::parse(challenge).ok_or(AuthorizeError::BadChallenge)?,
            scopes: granted_scopes((&self.settings.required_scope, &client.scopes), query.value("scope"))?,
            resource: self.resource_of(query).ok_or(AuthorizeError::Resource)?,
        })
    }

    /// The resource that a request names, which can only be ours; ours too if it names none (RFC 8707 section 2).
    pub(super) fn resource_of(&self, form: &Form) -> Option<String> {
        let ours = form.values("resource").all(|resource| self.settings.is_our_resource(resource));
        ours.then(|| self.settings.resource.clone())
    }

    /// Tells the client that its request came to nothing, with a redirect where that is safe and else through a page that
    /// leaves the way back to the person (O7).
    pub(super) fn refuse(&self, to: &ReturnTo<'_>, error: AuthorizeError) -> Response {
        trace::refused(error.code());
        let location = self.error_location(to, error);
        if to.is_trusted() {
            return see_other(location);
        }
        self.pages().interstitial(error, &page::way_back(to, None, &location))
    }

    /// The page of a problem that ended this login, with a button that tells the client.
    pub(super) fn end_with(&self, problem: Problem, request: &AuthorizationRequest) -> Response {
        self.pages().ended_login(problem, &self.way_back(request, problem.answer()))
    }

    /// The way back to the client of this login, with an error.
    pub(super) fn way_back(&self, request: &AuthorizationRequest, error: AuthorizeError) -> String {
        let to = ReturnTo::from(request);
        page::way_back(&to, request.client_name.as_deref(), &self.error_location(&to, error))
    }

    fn error_location(&self, to: &ReturnTo<'_>, error: AuthorizeError) -> String {
        let description = error.to_string();
        let state = to.state.filter(|_| error != AuthorizeError::StateTooLong);
        let parameters =
            [("error", Some(error.code())), ("error_description", Some(&description)), ("state", state)];
        self.answer_location(to.redirect_uri, &parameters)
    }

    /// Where an answer goes: the redirect URI with these parameters and our `iss`, once (RFC 9207, O10).
    pub(super) fn answer_location(
        &self,
        redirect_uri: &RedirectUri,
        parameters: &[(&str, Option<&str>)],
    ) -> String {
        let issuer = self.settings.public_url.origin();
        let present = parameters.iter().filter_map(|&(name, value)| Some((name, value?)));
        let all: Vec<_> = present.chain(std::iter::once(("iss", issuer))).collect();
        append_query(redirect_uri.as_str(), &all)
    }
}

/// O3, O4: the registered URI that admits the requested one, with the requested port; or the only one there is, if it has
/// no port to be chosen.
fn redirect_uri(
    client: &AskingClient,
    registrant: Registrant<'_>,
    requested: Option<&str>,
) -> Option<RedirectUri> {
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

/// O12: what was asked for and exists, and what every caller needs. Unknown scopes are dropped (clients ask for `openid` and the
/// like); `offline_access` is one of them, because every grant can be refreshed.
fn granted_scopes(
    (required, allowed): (&Scopes, &Scopes),
    asked: Option<&str>,
) -> Result<Scopes, AuthorizeError> {
    let text = asked.unwrap_or_default();
    if text.len() > limits::SCOPE_BYTES {
        return Err(AuthorizeError::Scope);
    }
    let asked = Scopes::parse(text).ok_or(AuthorizeError::Scope)?;
    Ok(asked.intersection(allowed).union(required))
}

/// O11, B3: always 303, no body, never cached, never named as a referrer.
pub(super) fn see_other(location: String) -> Response {
    Response::new(303)
        .header("Location", location)
        .header("Cache-Control", "no-store")
        .header("Referrer-Policy", "no-referrer")
}

#[cfg(test)]
mod tests;
