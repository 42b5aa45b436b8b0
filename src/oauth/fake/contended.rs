//! A table that other servers change as well.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::base::{GrantId, Mutex, UserId};
use crate::store::{Error, Expiry, Grant, Grants};

/// A table in which the next updates lose the race against another server.
pub(crate) struct Contended {
    table: Arc<dyn Grants>,
    /// How many updates are still to be lost.
    losses: AtomicUsize,
    /// An earlier state of a grant, which is read until the next update.
    cached: Mutex<Option<Arc<Grant>>>,
}

impl Contended {
    pub(crate) fn new(table: &Arc<dyn Grants>) -> Contended {
        Contended { table: Arc::clone(table), losses: AtomicUsize::new(0), cached: Mutex::new(None) }
    }

    /// Makes this many updates fail with a conflict.
    pub(crate) fn lose(&self, losses: usize) {
        self.losses.store(losses, Ordering::SeqCst);
    }

    /// Returns this state of a grant from `get` until the next update.
    pub(crate) fn cache(&self, grant: Arc<Grant>) {
        *self.cached.lock() = Some(grant);
    }
}

impl Grants for Contended {
    fn insert(&self, grant: &Grant) -> Result<(), Error> {
        self.table.insert(grant)
    }

    fn get(&self, id: GrantId) -> Result<Option<Arc<Grant>>, Error> {
        let cached = self.cached.lock().clone().filter(|grant| grant.id == id);
        cached.map_or_else(|| self.table.get(id), |grant| Ok(Some(grant)))
    }

    fn update(&self, grant: &Grant) -> Result<(), Error> {
        self.cached.lock().take();
        let lost = self.losses.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        if lost.is_ok() { Err(Error::Conflict) } else { self.table.update(grant) }
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
