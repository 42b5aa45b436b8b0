//! The token endpoint: redeeming a code, rotating a refresh token.
//!
//! Every transition is decided on values first; the one write is a compare-and-swap on the grant, so that of two requests
//! that race one wins and the other decides again on the updated grant.

use std::sync::Arc;

use serde::Serialize;

use super::answer;
use super::clients::ClientRegistry;
use super::issued::{AccessToken, AuthorizationCode, RefreshToken};
use super::live_grants::{LiveGrants, log_grant};
use super::policy::{Rules, memberships, names_owner};
use super::provider::{IdentityProvider, ProviderError};
use super::resource::ProtectedResource;
use super::sealer::Sealer;
use super::token_error::{TokenError, invalid_grant};
use super::upstream::{RefreshPlace, Upstreams};
use crate::base::{
    AccessRules, ClientFingerprint, GrantId, Memberships, RateLimit, Scopes, Secret, Subject, Timestamp,
    limits, log,
};
use crate::http::{Form, Request, Response};
use crate::seal::SealError;
use crate::store::{self, Grant, Stage};

/// `/token` and `/revoke`: the requests for which a client authenticates.
pub struct TokenEndpoint {
    pub(super) clients: Arc<ClientRegistry>,
    pub(super) sealer: Arc<Sealer>,
    pub(super) grants: Arc<LiveGrants>,
    pub(super) upstreams: Arc<Upstreams>,
    pub(super) provider: Arc<dyn IdentityProvider>,
    /// Failures of one sender.
    pub(super) failures: RateLimit,
}

/// RFC 6749 section 5.1. `token_type` is spelled as some clients compare it.
#[derive(Serialize)]
struct TokenAnswer {
    access_token: String,
    token_type: &'static str,
    expires_in: u64,
    refresh_token: String,
    scope: String,
}

impl TokenEndpoint {
    /// `POST /token`: a pair of tokens for a code or a refresh token.
    pub fn post(&self, resource: &ProtectedResource, request: &Request) -> Response {
        if self.sealer.is_behind() {
            return TokenError::Clock.answer();
        }
        self.answer(resource, request, |client, form| {
            resource.named_by(form).ok_or(TokenError::Resource)?;
            let tokens = match form.value("grant_type") {
                Some("authorization_code") => self.redeem(resource, client, form)?,
                Some("refresh_token") => self.refresh(resource, client, form)?,
                Some(_) => return Err(TokenError::GrantType),
                None => return Err(TokenError::Missing("grant_type is required")),
            };
            Ok(answer::json(200, &tokens))
        })
    }

    /// Answers a client's request. Only failures are limited, and only after they have failed: nobody can guess a code or a
    /// token, so a client that succeeds is never turned away for what others at the same address, or everywhere, did.
    pub(super) fn answer(
        &self,
        resource: &ProtectedResource,
        request: &Request,
        attempt: impl FnOnce(&ClientFingerprint, &Form) -> Result<Response, TokenError>,
    ) -> Response {
        let outcome = read_form(request).and_then(|form| {
            let client = self.clients.authenticate(resource, &request.head, &form)?;
            attempt(&client, &form)
        });
        outcome.unwrap_or_else(|error| {
            // The client is not charged for an outage of the table, of GitHub, or of our clock.
            if matches!(error, TokenError::Unavailable | TokenError::UsedUp | TokenError::Clock) {
                return error.answer();
            }
            match self.failures.spend(request.head.peer, self.sealer.clock.monotonic()) {
                Ok(()) => error.answer(),
                Err(too_many) => answer::too_many(too_many),
            }
        })
    }

    /// Redeems a code for the first pair of tokens (RFC 6749 section 4.1.3).
    fn redeem(
        &self,
        resource: &ProtectedResource,
        client: &ClientFingerprint,
        form: &Form,
    ) -> Result<TokenAnswer, TokenError> {
        let text = form.value("code").ok_or(TokenError::Missing("code is required"))?;
        let verifier = form.value("code_verifier").ok_or(TokenError::Missing("code_verifier is required"))?;
        let now = self.sealer.clock.now();
        let code: AuthorizationCode = self.sealer.open(text, now).map_err(|error| match error {
            SealError::Expired => invalid_grant("code_expired"),
            SealError::Malformed | SealError::Forged => invalid_grant("code_unknown"),
        })?;
        // T3: everything is checked before anything is consumed, so that a wrong guess costs the right client nothing.
        code.check(client, verifier, form.value("redirect_uri")).map_err(invalid_grant)?;
        for _ in 0..limits::STORE_ATTEMPTS {
            let grant = self.grant(code.grant, resource)?;
            // T13: the rules may have changed since GitHub said who it is.
            if !self.grants.is_good(&grant) {
                return Err(self.end(grant.id, &code.secret, "not_admitted"));
            }
            match grant.stage {
                Stage::CodeIssued => {}
                // T4: the right client with the right verifier sends a code again: either it or a thief had the code first.
                Stage::Live { .. } => return Err(self.end(grant.id, &code.secret, "code_replayed")),
                Stage::Service { .. } => return Err(invalid_grant("code_unknown")),
            }
            let redeemed = Grant {
                stage: Stage::Live { generation: 0, rotated_at: now },
                expires: grant.created.plus(limits::GRANT_LIFETIME),
                last_used: now,
                ..(*grant).clone()
            };
            match self.grants.table.update(&redeemed) {
                Ok(()) => return Ok(self.issue(&redeemed, (0, now), &redeemed.scopes, &code.secret)),
                Err(store::Error::Conflict) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(TokenError::Unavailable)
    }

    /// Redeems a refresh token for the next pair (RFC 6749 section 6, OAuth 2.1 section 4.3).
    fn refresh(
        &self,
        resource: &ProtectedResource,
        client: &ClientFingerprint,
        form: &Form,
    ) -> Result<TokenAnswer, TokenError> {
        let text = form.value("refresh_token").ok_or(TokenError::Missing("refresh_token is required"))?;
        let now = self.sealer.clock.now();
        let token: RefreshToken = self.sealer.open(text, now).map_err(|error| match error {
            SealError::Expired => invalid_grant("refresh_token_expired"),
            SealError::Malformed | SealError::Forged => invalid_grant("refresh_token_unknown"),
        })?;
        if token.client != *client {
            return Err(invalid_grant("another_client"));
        }
        // One set of rules decides whether GitHub is asked, and about its answer.
        let (rules, access) = (self.grants.rules(), resource.access.rules());
        let mut place = None;
        for _ in 0..limits::STORE_ATTEMPTS {
            let grant = self.grant(token.grant, resource)?;
            if self.grants.is_ending(&grant) {
                return Err(invalid_grant("grant_ended"));
            }
            if grant.is_over(now) {
                return Err(invalid_grant("grant_expired"));
            }
            let scopes = narrowed(&grant.scopes, form.value("scope"), &resource.required_scope)?;
            // Releases this refresh's place first: `end` takes one to revoke GitHub's token.
            let end = |place: &mut Option<_>, why| {
                drop(place.take());
                Err(self.end(grant.id, &token.secret, why))
            };
            let (next, rotated_at) = match rotation(&grant.stage, token.generation, now) {
                Rotation::Next(generation) => (generation, now),
                // T10, T11: after a lost answer, or for a parallel refresh, the current generation once more; nothing is written.
                Rotation::Retry { generation, rotated_at } => {
                    return Ok(self.issue(&grant, (generation, rotated_at), &scopes, &token.secret));
                }
                // T10: another process with the same login gets it as well, once the policy has been asked (T13).
                Rotation::WithinGrace { generation, rotated_at } => (generation, rotated_at),
                Rotation::Reuse => return end(&mut place, "refresh_reused"),
                // A write tells whether the table lacks this generation, or this replica has not heard of it yet.
                Rotation::FromTheFuture => match self.grants.table.update(&grant) {
                    Ok(()) => {
                        log::error("store.rolled_back", &[log::Field::Hint(ROLLED_BACK)]);
                        return end(&mut place, "table_rolled_back");
                    }
                    Err(store::Error::Conflict) => continue,
                    Err(error) => return Err(error.into()),
                },
            };
            // T11: one of parallel refreshes asks GitHub; the others then find the generation that it has made. A refresh that
            // finds no place has consumed nothing.
            if place.is_none() && (rules.has_groups() || names_owner(&access, &grant).is_none()) {
                place = Some(self.upstreams.refresh_place(&grant).map_err(|_| TokenError::Unavailable)?);
                continue;
            }
            // T13: as long as a grant is used, the policy is asked again about its user.
            let asked = (&*rules, &*access);
            let (login, memberships, admitted) =
                match self.still_admitted(asked, (&grant, &token.secret), place.as_ref()) {
                    Ok(Some((login, memberships))) => (login, memberships, now),
                    Ok(None) => return end(&mut place, "not_admitted"),
                    // A token that the current rules refuse would be of no use. T18: a clock that went back does not lengthen the grace.
                    Err(error)
                        if error.is_outage()
                            && now.distance(grant.admitted) <= limits::POLICY_GRACE
                            && resource.refusal(grant.who()).is_none() =>
                    {
                        (grant.login.clone(), grant.memberships.clone(), grant.admitted)
                    }
                    Err(ProviderError::UsedUp) => return Err(TokenError::UsedUp),
                    Err(_) => return Err(TokenError::Unavailable),
                };
            // Asking GitHub may have exchanged its token, which is a write of its own.
            let current = self.grant(token.grant, resource)?;
            if current.stage != grant.stage {
                continue;
            }
            let stage = Stage::Live { generation: next, rotated_at };
            let rotated = Grant { stage, login, memberships, admitted, last_used: now, ..(*current).clone() };
            match self.grants.table.update(&rotated) {
                Ok(()) => {
                    if rotated_at != now {
                        // The line has the address, which tells a second process from a thief.
                        log_grant(log::warn, "token.shared", &rotated, log::Field::Hint(SHARED));
                    }
                    return Ok(self.issue(&rotated, (next, rotated_at), &scopes, &token.secret));
                }
                Err(store::Error::Conflict) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(TokenError::Unavailable)
    }

    /// The grant of a code or token, which only the server that issued it accepts.
    fn grant(&self, id: GrantId, resource: &ProtectedResource) -> Result<Arc<Grant>, TokenError> {
        let grant = self.grants.table.get(id)?.ok_or_else(|| invalid_grant("grant_ended"))?;
        if *grant.resource == *resource.uri { Ok(grant) } else { Err(invalid_grant("another_server")) }
    }

    /// Asks the policy again, as GitHub sees the user now. The user's login and memberships; `None` if they are not admitted any more.
    fn still_admitted(
        &self,
        (rules, access): (&Rules, &AccessRules),
        (grant, secret): (&Grant, &Secret<[u8; 32]>),
        place: Option<&RefreshPlace>,
    ) -> Result<Option<(String, Memberships)>, ProviderError> {
        let Some(place) = place else {
            let is_named = rules.names(grant.who()) && names_owner(access, grant) == Some(true);
            return Ok(is_named.then(|| (grant.login.clone(), Memberships::default())));
        };
        let asked = self.upstreams.ask(&place.lock, secret, |token| {
            // The login may have changed hands since; the number says whose token this is.
            let identity = self.provider.identify(token)?;
            let same = grant.subject == Subject::User(identity.user);
            if !same || !rules.admits(&identity, token, &*self.provider)? {
                return Ok(None);
            }
            let memberships = memberships(access, &identity, token, &*self.provider)?;
            Ok(memberships.map(|memberships| (identity.login, memberships)))
        });
        // The person has withdrawn the app's authorization at GitHub, or has to log in again.
        asked.or_else(|error| if error.is_refusal() { Ok(None) } else { Err(error) })
    }

    /// Ends a grant whose code or token shows that it must not go on.
    fn end(&self, id: GrantId, secret: &Secret<[u8; 32]>, reason: &'static str) -> TokenError {
        self.upstreams.end_grant(id, secret, reason).map_or_else(TokenError::from, |()| invalid_grant(reason))
    }

    /// The pair of tokens of a generation, which was made at `rotated_at`.
    fn issue(
        &self,
        grant: &Grant,
        (generation, rotated_at): (u32, Timestamp),
        scopes: &Scopes,
        secret: &Secret<[u8; 32]>,
    ) -> TokenAnswer {
        let now = self.sealer.clock.now();
        let access_end = now.plus(limits::ACCESS_TOKEN_LIFETIME).min(grant.expires);
        let access = AccessToken {
            grant: grant.id,
            scopes: scopes.clone(),
            resource: grant.resource.clone(),
            secret: secret.clone(),
            expires: access_end,
        };
        let refresh = RefreshToken {
            grant: grant.id,
            client: grant.client.fingerprint.clone(),
            generation,
            secret: secret.clone(),
            // T12: no refresh moves the absolute end.
            expires: rotated_at.plus(limits::REFRESH_IDLE).min(grant.expires),
        };
        log_grant(log::info, "token.issued", grant, log::Field::Generation(generation));
        TokenAnswer {
            access_token: self.sealer.seal(&access),
            token_type: "Bearer",
            expires_in: access_end.since(now).as_secs(),
            refresh_token: self.sealer.seal(&refresh),
            scope: scopes.to_string(),
        }
    }
}

/// The transition that a refresh token of some generation causes.
#[derive(Debug, PartialEq, Eq)]
enum Rotation {
    /// It is the current one: make this generation.
    Next(u32),
    /// It was replaced within [`limits::REFRESH_RETRY`], and its successor was not used: the current generation once more.
    Retry { generation: u32, rotated_at: Timestamp },
    /// Likewise within [`limits::REFRESH_GRACE`]: two have the token, two processes of one client or a thief and a client.
    WithinGrace { generation: u32, rotated_at: Timestamp },
    /// Its successor was used, or it was replaced longer ago than that: somebody has a copy.
    Reuse,
    /// Of a generation that the table does not have yet: an older table was restored.
    FromTheFuture,
}

/// S5: a refresh token of ours is ahead of the table only if an older table was restored. The state of this grant is wrong then, and
/// grants that were revoked since may live again.
const ROLLED_BACK: &str = "grants.redb is older than a token issued since: it was restored from a backup, and grants that \
                           were revoked since live again. End them all with `mcp-oauth-server grants revoke --all`; \
                           everyone logs in once more";

const SHARED: &str = "two processes share this login, or somebody has a copy of its refresh token";

fn rotation(stage: &Stage, presented: u32, now: Timestamp) -> Rotation {
    let Stage::Live { generation, rotated_at } = *stage else { return Rotation::FromTheFuture };
    match generation.checked_sub(presented) {
        None => Rotation::FromTheFuture,
        Some(0) => generation.checked_add(1).map_or(Rotation::Reuse, Rotation::Next),
        // T18: a clock that went back does not lengthen the grace.
        Some(1) => match now.distance(rotated_at) {
            age if age <= limits::REFRESH_RETRY => Rotation::Retry { generation, rotated_at },
            age if age <= limits::REFRESH_GRACE => Rotation::WithinGrace { generation, rotated_at },
            _ => Rotation::Reuse,
        },
        Some(_) => Rotation::Reuse,
    }
}

/// T9: a refresh may ask for less than was granted, never for more; what was not granted is dropped (O12).
fn narrowed(granted: &Scopes, asked: Option<&str>, required: &Scopes) -> Result<Scopes, TokenError> {
    let asked = Scopes::parse(asked.unwrap_or_default()).ok_or(TokenError::Scope)?;
    if asked.iter().all(|scope| scope == "offline_access") {
        return Ok(granted.clone());
    }
    Ok(granted.intersection(&asked.union(required)))
}

/// T7: the parameters of a token or revocation request.
fn read_form(request: &Request) -> Result<Form, TokenError> {
    if request.head.is_of_type("application/x-www-form-urlencoded") != Ok(true) {
        return Err(TokenError::NotAForm);
    }
    if request.head.query.as_deref().is_some_and(|query| !query.is_empty()) {
        return Err(TokenError::CredentialsInQuery);
    }
    let form = Form::parse(&request.body).map_err(|_| TokenError::NotAForm)?;
    if form.repeated(&["resource"]).is_some() { Err(TokenError::Repeated) } else { Ok(form) }
}

#[cfg(test)]
mod cause_tests;
#[cfg(test)]
mod policy_tests;
#[cfg(test)]
mod store_tests;
#[cfg(test)]
pub(super) mod tests;
