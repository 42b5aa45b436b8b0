//! The surroundings of the model's server: a GitHub with three people, and a table at which two calls meet.

use std::collections::HashSet;
use std::sync::{Arc, Condvar, Mutex};

use crate::base::{GrantId, Group, Identity, Secret, UserId};
use crate::http::append_query;
use crate::oauth::provider::{IdentityProvider, LoginRequest, ProviderError, ProviderToken, Redemption};
use crate::store::{Error, Expiry, Grant, Grants, MemoryGrants};

/// The people who have an account.
pub(super) const PEOPLE: [u64; 3] = [1, 2, 3];

/// A GitHub whose codes are `USER.NUMBER`, each good once, and whose tokens are `gho_USER`.
#[derive(Default)]
pub(super) struct People {
    used: Mutex<HashSet<String>>,
    /// Who is a member of the one organisation.
    members: Mutex<Vec<u64>>,
    /// An answer that replaces every other.
    failure: Mutex<Option<ProviderError>>,
}

impl People {
    pub(super) fn members(&self, people: &[u64]) {
        *self.members.lock().unwrap() = people.to_vec();
    }

    pub(super) fn answer(&self, failure: Option<ProviderError>) {
        *self.failure.lock().unwrap() = failure;
    }

    fn answers(&self) -> Result<(), ProviderError> {
        self.failure.lock().unwrap().map_or(Ok(()), Err)
    }
}

impl IdentityProvider for People {
    fn authorize_url(&self, request: &LoginRequest<'_>) -> String {
        append_query("https://github.test/authorize", &[("state", request.state)])
    }

    fn issuer(&self) -> &str {
        "https://github.test/login/oauth"
    }

    fn redeem(&self, redemption: &Redemption<'_>) -> Result<ProviderToken, ProviderError> {
        self.answers()?;
        let (user, _) = redemption.code.split_once('.').ok_or(ProviderError::Refused)?;
        let is_new = self.used.lock().unwrap().insert(redemption.code.to_owned());
        let access = Secret::new(format!("gho_{user}"));
        let token = ProviderToken { access, expires_in: None, refresh: None, scopes: Vec::new() };
        if is_new { Ok(token) } else { Err(ProviderError::Refused) }
    }

    fn refresh(&self, _: &Secret<String>) -> Result<ProviderToken, ProviderError> {
        Err(ProviderError::Refused)
    }

    fn discard(&self, _: &Secret<String>) {}

    fn identify(&self, token: &Secret<String>) -> Result<Identity, ProviderError> {
        self.answers()?;
        let user = token.expose().strip_prefix("gho_").unwrap().parse().unwrap();
        Ok(Identity { user: UserId(user), login: format!("user-{user}") })
    }

    fn is_member(&self, _: &Secret<String>, identity: &Identity, _: &Group) -> Result<bool, ProviderError> {
        self.answers()?;
        Ok(self.members.lock().unwrap().contains(&identity.user.0))
    }
}

/// A table that makes two racing calls both read before either of them writes: the worst moment, every time.
#[derive(Default)]
pub(super) struct MeetingTable {
    table: MemoryGrants,
    /// For how many calls the others wait.
    missing: Mutex<usize>,
    arrived: Condvar,
}

impl MeetingTable {
    /// Runs both at once. Each waits after its first reading until the other has read too, or is done.
    pub(super) fn race<T: Send>(
        &self,
        one: impl FnOnce() -> T + Send,
        other: impl FnOnce() -> T + Send,
    ) -> (T, T) {
        *self.missing.lock().unwrap() = 2;
        std::thread::scope(|scope| {
            let other = scope.spawn(|| {
                let _leave = Leave(self);
                other()
            });
            let one = {
                let _leave = Leave(self);
                one()
            };
            (one, other.join().unwrap())
        })
    }

    fn meet(&self) {
        let mut missing = self.missing.lock().unwrap();
        *missing = missing.saturating_sub(1);
        self.arrived.notify_all();
        let _all = self.arrived.wait_while(missing, |missing| *missing > 0).unwrap();
    }
}

/// Nobody waits for a call that has ended, be it in a panic.
struct Leave<'a>(&'a MeetingTable);

impl Drop for Leave<'_> {
    fn drop(&mut self) {
        *self.0.missing.lock().unwrap() = 0;
        self.0.arrived.notify_all();
    }
}

impl Grants for MeetingTable {
    fn insert(&self, grant: &Grant) -> Result<(), Error> {
        self.table.insert(grant)
    }

    fn get(&self, id: GrantId) -> Result<Option<Arc<Grant>>, Error> {
        let grant = self.table.get(id);
        self.meet();
        grant
    }

    fn update(&self, grant: &Grant) -> Result<(), Error> {
        self.table.update(grant)
    }

    fn delete_all(&self, ids: &[GrantId]) -> Result<Vec<GrantId>, Error> {
        self.table.delete_all(ids)
    }

    fn list(&self) -> Result<Vec<Arc<Grant>>, Error> {
        self.table.list()
    }

    fn of_user(&self, user: UserId) -> Result<Vec<Arc<Grant>>, Error> {
        self.table.of_user(user)
    }

    fn sweep(&self, expiry: Expiry) -> Result<Vec<Arc<Grant>>, Error> {
        self.table.sweep(expiry)
    }
}
