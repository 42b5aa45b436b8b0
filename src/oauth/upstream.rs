//! GitHub's own token of a grant: encrypted under the server's key and the grant's secret, which only the client's tokens
//! carry. A stolen disk, key included, opens none of them.
//!
//! A token that expires is exchanged when somebody asks for it: by one request at a time, and what comes back is on the
//! disk before it is used, because GitHub has forgotten the old one by then.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::log_ended;
use super::provider::{IdentityProvider, ProviderError, ProviderToken};
use crate::base::clock::{Clock, Timestamp};
use crate::base::encoding::{base64url, from_base64url};
use crate::base::identity::{GrantId, UpstreamToken, UserId};
use crate::base::quota::{Held, Quota};
use crate::base::random::Random;
use crate::base::secret::Secret;
use crate::base::{limits, log};
use crate::seal::{Keyring, secret_text};
use crate::store::{self, Grant, Grants};

const CONTEXT: &[u8] = b"upstream";

/// What is encrypted.
#[derive(Serialize, Deserialize)]
struct Record {
    #[serde(rename = "a", with = "secret_text")]
    access: Secret<String>,
    #[serde(rename = "e", default, skip_serializing_if = "Option::is_none")]
    expires: Option<Timestamp>,
    #[serde(rename = "r", with = "secret_text::option", default, skip_serializing_if = "Option::is_none")]
    refresh: Option<Secret<String>>,
}

impl Record {
    fn is_stale(&self, now: Timestamp) -> bool {
        self.expires.is_some_and(|end| now.plus(limits::UPSTREAM_MARGIN) >= end)
    }
}

/// Opens, seals and exchanges the tokens of all grants.
pub(super) struct Upstreams {
    pub(super) keys: Arc<Keyring>,
    pub(super) grants: Arc<dyn Grants>,
    pub(super) provider: Arc<dyn IdentityProvider>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) random: Arc<dyn Random>,
    /// One request at a time asks GitHub on behalf of a grant; the others wait for what it finds. They are few: each is one of
    /// the calls or refreshes of its user.
    pub(super) turns: Arc<Quota<GrantId>>,
    /// Refreshes for which GitHub is asked, so that no user holds all workers.
    pub(super) places: Arc<Quota<UserId>>,
}

/// The right of a refresh to ask GitHub about its grant, until dropped.
pub(super) struct Asking {
    turn: Held<GrantId>,
    _place: Held<UserId>,
}

/// One turn per grant.
pub(super) fn turns() -> Arc<Quota<GrantId>> {
    Arc::new(Quota::new((1, usize::MAX)).waiting((usize::MAX, usize::MAX)))
}

/// The places of refreshes.
pub(super) fn places() -> Arc<Quota<UserId>> {
    Arc::new(Quota::new(limits::REFRESH_PLACES).waiting(limits::REFRESH_WAITERS))
}

impl Upstreams {
    /// A place for the refresh of a grant, and then the turn of the grant, in this order: who has a turn waits for no place.
    pub(super) fn ask(&self, grant: &Grant) -> Result<Asking, ProviderError> {
        let place = self.places.wait(grant.user, limits::PLACE_PATIENCE).ok_or(ProviderError::Busy)?;
        Ok(Asking { turn: self.turn(grant.id)?, _place: place })
    }

    /// As long as one call to GitHub may take, and a little.
    fn turn(&self, grant: GrantId) -> Result<Held<GrantId>, ProviderError> {
        let patience = limits::GITHUB_CALL.saturating_add(Duration::from_secs(1));
        self.turns.wait(grant, patience).ok_or(ProviderError::Busy)
    }

    /// GitHub's token as a grant stores it.
    pub(super) fn seal(&self, id: GrantId, secret: &Secret<[u8; 32]>, token: ProviderToken) -> String {
        let expires = token.expires_in.map(|lifetime| self.clock.now().plus(lifetime));
        let record = Record { access: token.access, expires, refresh: token.refresh };
        let json = serde_json::to_vec(&record).expect("a record is strings and a number");
        // The context names the one grant in which the ciphertext is valid: it cannot be moved to another.
        let context: [&[u8]; 3] = [CONTEXT, &id.0, secret.expose()];
        base64url(&self.keys.encrypt(&context, &json, &*self.random))
    }

    /// GitHub's token of a grant, exchanged first if it is about to expire; `None` if none was kept or it cannot be opened.
    ///
    /// # Errors
    /// [`ProviderError`] of the exchange; `Refused` means that the person has to log in again.
    pub(super) fn token(
        &self,
        grant: &Grant,
        secret: &Secret<[u8; 32]>,
    ) -> Result<Option<Secret<String>>, ProviderError> {
        match self.open(grant, secret) {
            Some(record) if record.is_stale(self.clock.now()) => {
                let turn = self.turn(grant.id)?;
                self.exchanged(&turn, secret)
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
        let json = self.keys.decrypt(&[CONTEXT, &grant.id.0, secret.expose()], &sealed)?;
        serde_json::from_slice(&json).ok()
    }

    /// The same for a refresh.
    ///
    /// # Errors
    /// As above.
    pub(super) fn token_for(
        &self,
        asking: &Asking,
        secret: &Secret<[u8; 32]>,
    ) -> Result<Option<Secret<String>>, ProviderError> {
        self.exchanged(&asking.turn, secret)
    }

    fn exchanged(
        &self,
        turn: &Held<GrantId>,
        secret: &Secret<[u8; 32]>,
    ) -> Result<Option<Secret<String>>, ProviderError> {
        let id = turn.key();
        // Whoever had the turn before has perhaps done it.
        let grant = self.grants.get(id).map_err(|error| not_stored(&error))?;
        let Some(record) = grant.and_then(|grant| self.open(&grant, secret)) else { return Ok(None) };
        if !record.is_stale(self.clock.now()) {
            return Ok(Some(record.access));
        }
        let next = self.provider.refresh(&record.refresh.ok_or(ProviderError::Refused)?)?;
        let access = next.access.clone();
        let sealed = self.seal(id, secret, next);
        // G6: a token that has no place any more, because its grant has ended meanwhile, is given back.
        self.keep(id, &sealed).inspect_err(|_| self.provider.discard(&access))?;
        Ok(Some(access))
    }

    /// Writes the new token into whatever the grant has become meanwhile.
    fn keep(&self, id: GrantId, sealed: &str) -> Result<(), ProviderError> {
        for _ in 0..limits::STORE_ATTEMPTS {
            let grant =
                self.grants.get(id).map_err(|error| not_stored(&error))?.ok_or(ProviderError::Refused)?;
            match self.grants.update(&Grant { upstream: Some(sealed.to_owned()), ..(*grant).clone() }) {
                Ok(()) => return Ok(()),
                Err(store::Error::Conflict) => {}
                Err(error) => return Err(not_stored(&error)),
            }
        }
        Err(ProviderError::Busy)
    }
}

/// GitHub's old token is dead and the new one could not be kept: the person will have to log in again.
fn not_stored(error: &store::Error) -> ProviderError {
    log::error("store.failed", &[log::Field::Error(&error.to_string())]);
    ProviderError::Unreachable
}

/// The token of one caller's grant, opened when a tool asks for it, not at each request.
pub(super) struct CallersUpstream {
    pub(super) upstreams: Arc<Upstreams>,
    pub(super) grant: Arc<Grant>,
    pub(super) secret: Secret<[u8; 32]>,
}

impl UpstreamToken for CallersUpstream {
    fn token(&self) -> Option<Secret<String>> {
        self.upstreams.token(&self.grant, &self.secret).unwrap_or_else(|error| {
            log::warn("github.token_lost", &[log::Field::Reason(&error.to_string())]);
            if error == ProviderError::Refused {
                self.refused();
            }
            None
        })
    }

    /// GitHub's word about the token as it is kept now: what a tool was refused with may have been exchanged since. Deletes the
    /// grant and no more: the call that found out can still be answered, and the next sweep ends what else belongs to it.
    fn refused(&self) {
        let Upstreams { grants, provider, .. } = &*self.upstreams;
        let Ok(Some(grant)) = grants.get(self.grant.id) else { return };
        let Some(access) = self.upstreams.access(&grant, &self.secret) else { return };
        if !provider.identify(&access).is_err_and(ProviderError::is_refusal) {
            return;
        }
        match grants.delete(grant.id) {
            Ok(true) => log_ended(&grant, "github_token_refused"),
            Ok(false) => {}
            Err(error) => drop(not_stored(&error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oauth::fake::{self, Browser};

    /// S4: the stored token opens with the grant's secret only, and in its own record only.
    #[test]
    fn the_stored_token_opens_with_the_grants_secret_only() {
        let fixture = fake::fixture();
        let tokens = Browser::new(&fixture).tokens();
        let grant = fixture.grants.list().unwrap()[0].clone();
        let record = serde_json::to_string(&*grant).unwrap();
        assert!(!record.contains("gho_"), "{record}");
        let upstreams = &fixture.server.upstreams;
        assert!(upstreams.open(&grant, &Secret::new([0; 32])).is_none());
        let caller = fixture.bearer(&tokens.access).unwrap();
        assert_eq!(caller.upstream.token().unwrap().expose(), "gho_fake");
    }

    /// A token that expires is exchanged once, however many ask, and the new one is on the disk.
    #[test]
    fn an_expiring_token_is_exchanged_once() {
        let fixture = fake::fixture();
        fixture.provider.expiring(Duration::from_secs(8 * 3600));
        let mut browser = Browser::new(&fixture);
        let mut tokens = browser.tokens();
        assert_eq!(fixture.bearer(&tokens.access).unwrap().upstream.token().unwrap().expose(), "gho_fake");
        for _ in 0..8 {
            fixture.clock.advance(Duration::from_secs(3600));
            tokens = fake::tokens(&browser.refresh(&tokens.refresh));
        }
        assert_eq!(fixture.provider.exchanges(), 0);
        let caller = fixture.bearer(&tokens.access).unwrap();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| assert_eq!(caller.upstream.token().unwrap().expose(), "ghu_1"));
            }
        });
        assert_eq!(fixture.provider.exchanges(), 1);
        let again = fixture.bearer(&tokens.access).unwrap();
        assert_eq!(again.upstream.token().unwrap().expose(), "ghu_1");
        assert_eq!(fixture.provider.exchanges(), 1);
    }

    /// A refusal is not retried with the same token. If the old one is not good either, the grant ends, so that the client logs
    /// in again by itself: 401 for its requests, `invalid_grant` for its refresh token.
    #[test]
    fn a_token_that_cannot_be_exchanged_ends_the_grant() {
        let fixture = fake::fixture();
        fixture.provider.expiring(Duration::from_secs(30));
        let mut browser = Browser::new(&fixture);
        let tokens = browser.tokens();
        fixture.provider.fail_with(ProviderError::Refused);
        assert!(fixture.bearer(&tokens.access).unwrap().upstream.token().is_none());
        assert!(fixture.bearer(&tokens.access).is_err());
        assert_eq!(fake::body(&browser.refresh(&tokens.refresh))["error"], "invalid_grant");
        fixture.provider.recover();
        assert_eq!(browser.log_in().status(), 303);
    }

    /// A tool says that GitHub does not take its token; what counts is what GitHub says when asked whose it is. An outage ends
    /// nothing, nor does a tool that is wrong.
    #[test]
    fn a_kept_token_that_github_refuses_ends_the_grant() {
        let fixture = fake::fixture();
        let mut browser = Browser::new(&fixture);
        let tokens = browser.tokens();
        let refused = || fixture.bearer(&tokens.access).unwrap().upstream.refused();
        refused();
        for error in [ProviderError::Unreachable, ProviderError::UsedUp, ProviderError::Nonsense] {
            fixture.provider.fail_with(error);
            refused();
        }
        fixture.provider.recover();
        assert_eq!(fixture.bearer(&tokens.access).unwrap().upstream.token().unwrap().expose(), "gho_fake");
        fixture.provider.fail_with(ProviderError::Refused);
        refused();
        assert_eq!(fixture.bearer(&tokens.access).unwrap_err(), crate::oauth::bearer::BearerError::Invalid);
        assert_eq!(fake::body(&browser.refresh(&tokens.refresh))["error"], "invalid_grant");
    }

    /// G6: GitHub's answer finds the grant gone; what it brought is given back, and handed to nobody.
    #[test]
    fn a_token_that_comes_after_the_end_of_its_grant_is_given_back() {
        let fixture = fake::fixture();
        fixture.provider.expiring(Duration::from_secs(30));
        let tokens = Browser::new(&fixture).tokens();
        let caller = fixture.bearer(&tokens.access).unwrap();
        let grants = Arc::clone(&fixture.grants);
        fixture.provider.while_asked(move || assert!(grants.delete(caller.grant).unwrap()));
        assert!(caller.upstream.token().is_none());
        assert_eq!((fixture.provider.exchanges(), fixture.provider.discarded()), (1, 1));
    }
}
