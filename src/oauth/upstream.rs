//! GitHub's own token of a grant: encrypted under the server's key and the grant's secret, which only the client's tokens
//! carry. A stolen disk, key included, opens none of them.
//!
//! A token that expires is exchanged when somebody asks for it: by one request at a time, and what comes back is on the
//! disk before it is used, because GitHub has forgotten the old one by then.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::provider::{IdentityProvider, ProviderError, ProviderToken};
use super::turns::{Turn, Turns};
use crate::base::clock::{Clock, Timestamp};
use crate::base::encoding::{base64url, from_base64url};
use crate::base::identity::{GrantId, UpstreamToken};
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
    pub(super) turns: Turns,
}

impl Upstreams {
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
                let turn = self.turns.take(grant.id).ok_or(ProviderError::Busy)?;
                self.token_in_turn(&turn, secret)
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

    /// The same for whoever has the turn of the grant.
    ///
    /// # Errors
    /// As above.
    pub(super) fn token_in_turn(
        &self,
        turn: &Turn<'_>,
        secret: &Secret<[u8; 32]>,
    ) -> Result<Option<Secret<String>>, ProviderError> {
        let id = turn.grant();
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
            None
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

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

    /// A refusal is not retried with the same token, and says nothing to the tool but that there is none.
    #[test]
    fn a_token_that_cannot_be_exchanged_is_none() {
        let fixture = fake::fixture();
        fixture.provider.expiring(Duration::from_secs(30));
        let tokens = Browser::new(&fixture).tokens();
        fixture.provider.fail_with(ProviderError::Refused);
        assert!(fixture.bearer(&tokens.access).unwrap().upstream.token().is_none());
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
