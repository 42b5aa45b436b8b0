//! GitHub's own token of a grant: encrypted under the server's key and the grant's secret, which only the client's tokens
//! carry. A stolen disk, key included, opens none of them.
//!
//! A token that expires is exchanged when it is needed: by one request at a time, and the new one is on the disk before it is used,
//! because GitHub has invalidated the old one by then.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::live_grants::{LiveGrants, log_ended};
use super::provider::{IdentityProvider, ProviderError, ProviderToken};
use super::sealer::Sealer;
use crate::base::{
    GrantId, Held, Quota, Secret, Subject, Timestamp, UpstreamToken, base64url, from_base64url, limits, log,
};
use crate::seal::secret_text;
use crate::store::{self, Grant};

const CONTEXT: &[u8] = b"upstream";

/// The encrypted record.
#[derive(Serialize, Deserialize)]
struct Record {
    #[serde(rename = "a", with = "secret_text")]
    access: Secret<String>,
    #[serde(rename = "e", default, skip_serializing_if = "Option::is_none")]
    expires: Option<Timestamp>,
    #[serde(rename = "r", with = "secret_text::option", default, skip_serializing_if = "Option::is_none")]
    refresh: Option<Secret<String>>,
    /// Whether the person was told that tools, or the server behind the bridge, get it.
    #[serde(rename = "t", default, skip_serializing_if = "std::ops::Not::not")]
    is_for_tools: bool,
}

impl Record {
    fn is_stale(&self, now: Timestamp) -> bool {
        self.expires.is_some_and(|end| now.plus(limits::UPSTREAM_MARGIN) >= end)
    }
}

/// GitHub's token of a login that is kept (G6).
pub(super) struct KeptToken {
    pub(super) token: ProviderToken,
    /// As in [`Record`]. Otherwise the policy alone asks GitHub again with it.
    pub(super) is_for_tools: bool,
}

/// Opens, seals and exchanges the tokens of all grants.
pub(super) struct Upstreams {
    pub(super) sealer: Arc<Sealer>,
    pub(super) grants: Arc<LiveGrants>,
    pub(super) provider: Arc<dyn IdentityProvider>,
    /// One request at a time exchanges the token of a grant; the others wait for the result. They are few: each is one of the
    /// calls or refreshes of its user.
    pub(super) refresh_locks: Arc<Quota<GrantId>>,
    /// Refreshes for which GitHub is asked, so that no user holds all workers.
    pub(super) places: Arc<Quota<Subject>>,
}

/// Permission for a refresh to ask GitHub about its grant: the grant's lock and a place, held until dropped.
pub(super) struct RefreshPlace {
    pub(super) lock: Held<GrantId>,
    _place: Held<Subject>,
}

impl Upstreams {
    /// Ends a grant whose secret is at hand. G6: its GitHub token is revoked at GitHub, which nobody could do later. GitHub is called
    /// after the grant is gone, for [`limits::GITHUB_CALL`] at most, and its answer changes nothing.
    pub(super) fn end_grant(
        &self,
        id: GrantId,
        secret: &Secret<[u8; 32]>,
        reason: &'static str,
    ) -> Result<(), store::Error> {
        let grant = self.grants.table.get(id).ok().flatten();
        let kept = grant.and_then(|grant| Some((grant.subject, self.access(&grant, secret)?)));
        if self.grants.end(id, reason)?
            && let Some((user, access)) = kept
        {
            match self.places.take(user) {
                Some(_place) => self.provider.discard(&access),
                None => log::warn("github.token_kept", &[log::Field::Reason("busy")]),
            }
        }
        Ok(())
    }

    /// Waits for a place for the refresh of a grant, and then for the grant's lock. In this order, because a request that holds the
    /// lock must not wait for a place.
    pub(super) fn refresh_place(&self, grant: &Grant) -> Result<RefreshPlace, ProviderError> {
        let place = self.places.wait(grant.subject, limits::PLACE_PATIENCE).ok_or(ProviderError::Busy)?;
        Ok(RefreshPlace { lock: self.lock(grant.id)?, _place: place })
    }

    /// Waits as long as one call to GitHub may take, and a little. A holder may take longer: then it is busy.
    fn lock(&self, grant: GrantId) -> Result<Held<GrantId>, ProviderError> {
        let patience = limits::GITHUB_CALL.saturating_add(Duration::from_secs(1));
        self.refresh_locks.wait(grant, patience).ok_or(ProviderError::Busy)
    }

    /// GitHub's token as a grant stores it.
    pub(super) fn seal(
        &self,
        id: GrantId,
        secret: &Secret<[u8; 32]>,
        KeptToken { token, is_for_tools }: KeptToken,
    ) -> String {
        let expires = token.expires_in.map(|lifetime| self.sealer.clock.now().plus(lifetime));
        let record = Record { access: token.access, expires, refresh: token.refresh, is_for_tools };
        let json = serde_json::to_vec(&record).expect("a record is strings and a number");
        // The context names the one grant in which the ciphertext is valid: it cannot be moved to another.
        let context: [&[u8]; 3] = [CONTEXT, &id.0, secret.expose()];
        base64url(&self.sealer.keys.encrypt(&context, &json, &*self.sealer.random))
    }

    /// GitHub's token of a grant for tools, exchanged first if it is about to expire; `None` if none was kept for them, or it cannot be
    /// opened. One that was kept to ask about groups stays with this server, whatever the operator has changed since: the person
    /// was told so.
    ///
    /// # Errors
    /// [`ProviderError`] of the exchange; `Refused` means that the person has to log in again.
    pub(super) fn token(
        &self,
        grant: &Grant,
        secret: &Secret<[u8; 32]>,
    ) -> Result<Option<Secret<String>>, ProviderError> {
        match self.open(grant, secret).filter(|record| record.is_for_tools) {
            Some(record) if record.is_stale(self.sealer.clock.now()) => {
                self.ask(&self.lock(grant.id)?, secret, |token| Ok(token.clone())).map(Some)
            }
            record => Ok(record.map(|record| record.access)),
        }
    }

    /// GitHub's token of a grant as it was kept, perhaps no longer good.
    pub(super) fn access(&self, grant: &Grant, secret: &Secret<[u8; 32]>) -> Option<Secret<String>> {
        self.open(grant, secret).map(|record| record.access)
    }

    fn open(&self, grant: &Grant, secret: &Secret<[u8; 32]>) -> Option<Record> {
        let sealed = from_base64url(grant.upstream.as_deref()?)?;
        let json = self.sealer.keys.decrypt(&[CONTEXT, &grant.id.0, secret.expose()], &sealed)?;
        serde_json::from_slice(&json).ok()
    }

    /// Asks GitHub with the token of the grant whose lock is held. A refusal of a token that expires counts if the token is still the
    /// stored one: a server that shares the table may have exchanged it meanwhile.
    pub(super) fn ask<T>(
        &self,
        lock: &Held<GrantId>,
        secret: &Secret<[u8; 32]>,
        question: impl Fn(&Secret<String>) -> Result<T, ProviderError>,
    ) -> Result<T, ProviderError> {
        for _ in 0..limits::STORE_ATTEMPTS {
            // The request that held the lock before may have exchanged the token.
            let grant = self.grants.table.get(lock.key())?.ok_or(ProviderError::Refused)?;
            let record = self.open(&grant, secret).ok_or(ProviderError::Refused)?;
            let expires = record.refresh.is_some();
            let answer = self.current(grant.id, secret, record).and_then(|token| question(&token));
            if !expires || !matches!(answer, Err(ProviderError::Refused)) {
                return answer;
            }
            if !self.grants.table.wait_for_upstream(&grant)? {
                return answer;
            }
        }
        Err(ProviderError::Busy)
    }

    /// The token of a record, of a grant whose lock is held, exchanged first if it is about to expire.
    fn current(
        &self,
        id: GrantId,
        secret: &Secret<[u8; 32]>,
        record: Record,
    ) -> Result<Secret<String>, ProviderError> {
        if !record.is_stale(self.sealer.clock.now()) {
            return Ok(record.access);
        }
        // The exchange ends the old token: not while the table takes no writes.
        self.keep(id, None)?.then_some(()).ok_or(ProviderError::Refused)?;
        let next = self.provider.refresh(&record.refresh.ok_or(ProviderError::Refused)?)?;
        let access = next.access.clone();
        let sealed = self.seal(id, secret, KeptToken { token: next, is_for_tools: record.is_for_tools });
        let kept = self.keep(id, Some(sealed));
        // G6: a token that cannot be kept, because its grant has ended meanwhile, is revoked; not if the table fails, which may have it.
        if matches!(kept, Ok(false) | Err(store::Error::Conflict)) {
            self.provider.discard(&access);
        }
        kept?.then_some(access).ok_or(ProviderError::Refused)
    }

    /// Writes the new token, if there is one, into the current state of the grant. Returns whether there is a grant.
    fn keep(&self, id: GrantId, new: Option<String>) -> Result<bool, store::Error> {
        for _ in 0..limits::STORE_ATTEMPTS {
            let Some(grant) = self.grants.table.get(id)? else { return Ok(false) };
            let upstream = new.clone().or_else(|| grant.upstream.clone());
            match self.grants.table.update(&Grant { upstream, ..(*grant).clone() }) {
                Err(store::Error::Conflict) => {}
                written => return written.map(|()| true),
            }
        }
        Err(store::Error::Conflict)
    }
}

impl From<store::Error> for ProviderError {
    /// A failure of the table is no outage of GitHub: the policy's last answer does not count for longer because of it. If a new token
    /// could not be kept, the person has to log in again.
    fn from(error: store::Error) -> ProviderError {
        error.log();
        ProviderError::Busy
    }
}

/// The token of one caller's grant, opened when a tool asks for it, not at each request.
pub(super) struct CallersUpstream {
    pub(super) upstreams: Arc<Upstreams>,
    pub(super) grant: Arc<Grant>,
    pub(super) secret: Secret<[u8; 32]>,
    /// Whether a login of this caller keeps GitHub's token for tools. The grant may be from a time when none did.
    pub(super) is_kept: bool,
}

impl CallersUpstream {
    /// Ends a grant that a new login has to replace. Only deletes it: the call that found out can still be answered, and the next sweep
    /// ends the grant's sessions and streams.
    fn end(&self, reason: &'static str) {
        let deleted = self.upstreams.grants.table.delete(self.grant.id).inspect_err(store::Error::log);
        if !matches!(deleted, Ok(false)) {
            log_ended(&self.grant, reason); // also if the deletion is written later: the grant has ended
        }
    }
}

impl UpstreamToken for CallersUpstream {
    fn token(&self) -> Option<Secret<String>> {
        let token = self.upstreams.token(&self.grant, &self.secret);
        if self.is_kept && matches!(token, Ok(None)) {
            self.end("github_token_missing");
        }
        token.unwrap_or_else(|error| {
            log::warn("github.token_lost", &[log::Field::Reason(&error.to_string())]);
            if error == ProviderError::Refused {
                self.end("github_token_refused");
            }
            None
        })
    }

    /// Asks about the stored token, because the one that a tool was refused with may have been exchanged since; under the grant's lock,
    /// because during an exchange the stored token is dead.
    fn is_good(&self) -> bool {
        let Upstreams { grants, provider, .. } = &*self.upstreams;
        let Ok(Some(grant)) = grants.table.get(self.grant.id) else { return false };
        if self.upstreams.access(&grant, &self.secret).is_none() {
            return false;
        }
        let asked = self
            .upstreams
            .lock(self.grant.id)
            .and_then(|lock| self.upstreams.ask(&lock, &self.secret, |token| provider.identify(token)));
        let is_refused = asked.is_err_and(ProviderError::is_refusal);
        if is_refused {
            self.end("github_token_refused");
        }
        !is_refused
    }
}

#[cfg(test)]
mod tests;
