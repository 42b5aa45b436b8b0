//! The bearer check: from the Authorization header of a request to the [`Principal`] who calls (RFC 6750).

use std::sync::Arc;

use super::issued::{AccessToken, ServiceToken};
use super::live_grants::LiveGrants;
use super::resource::{Endpoint, ProtectedResource};
use super::sealer::Sealer;
use super::upstream::{CallersUpstream, Upstreams};
use crate::base::{Principal, Scopes, Timestamp, Who, limits, trace};
use crate::http::{Head, Method, PublicUrl, Response};
use crate::seal::Sealed;
use crate::store::{self, Grant, Stage};

/// Why a request is not authenticated or not authorized.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BearerError {
    /// There is no token.
    Missing,
    /// Two Authorization headers (RFC 6750 section 3.1, `invalid_request`).
    Malformed,
    /// The token is forged, of another type, expired, revoked or for another resource.
    Invalid,
    /// The token lacks this server's scope.
    InsufficientScope,
    /// The service token may not be used from this address.
    WrongAddress,
    /// A service token, at a server that needs a user at GitHub.
    NeedsUser,
    /// No rule of this server names the caller.
    NotAllowed,
    /// The rules name a group about which GitHub has not been asked. The client's next refresh or login asks.
    UnknownMembership,
    /// The table cannot be read.
    Unavailable,
}

/// The bearer check.
pub struct BearerCheck {
    pub(super) sealer: Arc<Sealer>,
    pub(super) grants: Arc<LiveGrants>,
    pub(super) upstreams: Arc<Upstreams>,
}

impl BearerCheck {
    /// The caller of a request. Only the Authorization header counts, never a query, body or cookie (T19). Looks up one
    /// grant and changes none: it also runs on the threads of connections, before a large body is read.
    ///
    /// # Errors
    /// [`BearerError`]; [`ProtectedResource::challenge`] is the answer to it.
    pub fn principal(&self, resource: &ProtectedResource, head: &Head) -> Result<Principal, BearerError> {
        let now = self.sealer.clock.now();
        let token = self.open(token_of(head)?, now)?;
        // M4: its grant must still be live. The resource is checked below, so that the log can name the caller.
        let is_valid = |grant: &Arc<Grant>| {
            !grant.is_over(now) && grant.stage != Stage::CodeIssued && !self.grants.is_ending(grant)
        };
        let Some(grant) = self.grants.table.get(token.grant)?.filter(is_valid) else {
            return Err(invalid("token_revoked"));
        };
        // T13: the part of the policy that needs no call to GitHub applies at each request. D6: grants of denied clients end when the
        // list changes; this check holds even if the table could not be written then.
        let is_admitted = self.grants.rules().still_admit(&grant);
        let admits_address = grant.stage.admits_from(head.peer);
        let scopes = token.scopes.intersection(&grant.scopes);
        let principal = Principal {
            subject: grant.subject,
            login: grant.login.as_str().into(),
            memberships: Arc::new(grant.memberships.clone()),
            client: grant.client.fingerprint.clone(),
            scopes: Arc::new(scopes),
            grant: grant.id,
            resource: Arc::clone(&resource.uri),
            expires: token.expires,
            upstream: Arc::new(CallersUpstream {
                upstreams: Arc::clone(&self.upstreams),
                is_kept: resource.tools_call_github && grant.subject.user().is_some(),
                grant,
                secret: token.secret,
            }),
            session: None,
        };
        let fault = if !is_admitted {
            invalid("not_admitted")
        } else if !token.resource.split(' ').any(|uri| *uri == *resource.uri) {
            invalid("another_server")
        } else if !resource.required_scope.is_subset(&principal.scopes) {
            BearerError::InsufficientScope
        } else if !admits_address {
            BearerError::WrongAddress
        } else if let Some(error) = resource.refusal(Who::from(&principal)) {
            error
        } else {
            self.grants.note_use(&principal, now);
            return Ok(principal);
        };
        trace::names_caller(&principal);
        Err(fault)
    }

    fn open(&self, text: &str, now: Timestamp) -> Result<AccessToken, BearerError> {
        if !text.starts_with(ServiceToken::PREFIX) {
            return self.sealer.open(text, now).map_err(|_| BearerError::Invalid);
        }
        let token: ServiceToken = self.sealer.open(text, now).map_err(|_| BearerError::Invalid)?;
        trace::names_client(&token.client);
        if now >= token.access.expires { Err(invalid("token_expired")) } else { Ok(token.access) }
    }
}

/// An invalid token, with a reason for the log.
fn invalid(reason: &'static str) -> BearerError {
    trace::refused(reason);
    BearerError::Invalid
}

/// Whether the request is a browser's, which lists HTML first in Accept. Clients list an event stream or JSON.
fn wants_page(head: &Head) -> bool {
    let accept = head.headers.all("accept").next().and_then(|accept| accept.split([',', ';']).next());
    head.method == Method::Get && accept.is_some_and(|first| first.trim().eq_ignore_ascii_case("text/html"))
}

/// The token of a request, unverified. Another scheme counts as no token: SDKs start a login at a 401, and give up at a 400
/// (RFC 6750 section 3.1 has no error for a request without a token).
///
/// # Errors
/// [`BearerError::Missing`], or [`BearerError::Malformed`] for two fields.
pub fn token_of(head: &Head) -> Result<&str, BearerError> {
    let header = head.headers.one("authorization").map_err(|_| BearerError::Malformed)?;
    let (scheme, token) = header.and_then(|value| value.split_once(' ')).ok_or(BearerError::Missing)?;
    let token = token.trim_ascii();
    if scheme.eq_ignore_ascii_case("bearer") && !token.is_empty() {
        Ok(token)
    } else {
        Err(BearerError::Missing)
    }
}

impl ProtectedResource {
    /// Why this caller is not let in, however good the token is.
    pub(super) fn refusal(&self, who: Who<'_>) -> Option<BearerError> {
        if self.needs_user && who.subject.user().is_none() {
            return Some(BearerError::NeedsUser);
        }
        match self.access.rules().rule_for(who) {
            Ok(Some(_)) => None,
            Ok(None) => Some(BearerError::NotAllowed),
            Err(_) => Some(BearerError::UnknownMembership),
        }
    }

    /// The answer to a request that is not let through (RFC 6750 section 3, RFC 9728 section 5.1). A person who has opened the
    /// endpoint in a browser finds the home page in it.
    pub fn challenge(&self, head: &Head, endpoint: Endpoint, error: BearerError) -> Response {
        let challenge = challenge(&self.url.as_named_by(head), endpoint, error, &self.required_scope);
        if error != BearerError::Missing || !wants_page(head) {
            return challenge;
        }
        let fields = challenge.headers().map(|(name, value)| (name, value.to_owned().into())).collect();
        self.pages.home(challenge.status(), &self.uri).with_fields(fields)
    }

    /// The answer to a caller whose token is good, but lacks scopes that a tool needs: all `needed` scopes, so that the
    /// client asks for them together (MCP, authorization, "Scope Challenge Handling").
    pub fn insufficient_scope(&self, needed: &Scopes) -> Response {
        let scope = self.required_scope.union(needed);
        challenge(&self.url, Endpoint::Mcp, BearerError::InsufficientScope, &scope)
    }
}

fn challenge(url: &PublicUrl, endpoint: Endpoint, error: BearerError, scope: &Scopes) -> Response {
    // Another login would change nothing: a challenge would have the client try.
    let forbidden = |reason, text| {
        trace::refused(reason);
        Response::text(403, text)
    };
    let (status, reason, code) = match error {
        BearerError::Missing => (401, "no_token", None),
        BearerError::Malformed => (400, "malformed_token", Some("invalid_request")),
        BearerError::Invalid => (401, "invalid_token", Some("invalid_token")),
        BearerError::UnknownMembership => (401, "unknown_membership", Some("invalid_token")),
        BearerError::InsufficientScope => (403, "insufficient_scope", Some("insufficient_scope")),
        BearerError::WrongAddress => {
            return forbidden("address_not_allowed", "This token may not be used from this address.\n");
        }
        BearerError::NeedsUser => {
            return forbidden("needs_user", "This server is for people: it takes no service tokens.\n");
        }
        BearerError::NotAllowed => {
            return forbidden(
                "no_access_rule",
                "The rules of this server let this account use nothing here. Ask the person who runs it.\n",
            );
        }
        BearerError::Unavailable => (503, "storage", None),
    };
    trace::refused(reason);
    if error == BearerError::Unavailable {
        return Response::new(status).header("Retry-After", limits::STORE_RETRY.as_secs().to_string());
    }
    // Clients search for `name=` in the whole header: no value repeats a parameter's name or has quotes of its own.
    let metadata = url.well_known("oauth-protected-resource", endpoint.path());
    let error = code.map(|code| format!(", error=\"{code}\"")).unwrap_or_default();
    Response::new(status)
        .header(
            "WWW-Authenticate",
            format!("Bearer resource_metadata=\"{metadata}\", scope=\"{scope}\"{error}"),
        )
        .header("Cache-Control", "no-store")
}

impl From<store::Error> for BearerError {
    fn from(error: store::Error) -> BearerError {
        error.log();
        BearerError::Unavailable
    }
}

#[cfg(test)]
mod tests;
