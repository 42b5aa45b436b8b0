//! A table that other servers change as well.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::base::{GrantId, Mutex, UserId};
use crate::store::{Error, Expiry, Grant, Grants};

/// A table in which the next updates lose the race against another server.
pub(crate) struct Contended {
    table: Arc<dyn Grants>,
    /// How many updates are still to be lost.
    losses: AtomicUsize,
    /// Whether the answer to the next update is lost.
    is_silent: AtomicBool,
    /// An earlier state of a grant, which is read until the next update.
    cached: Mutex<Option<Arc<Grant>>>,
}

impl Contended {
    pub(crate) fn new(table: &Arc<dyn Grants>) -> Contended {
        let (losses, is_silent) = (AtomicUsize::new(0), AtomicBool::new(false));
        Contended { table: Arc::clone(table), losses, is_silent, cached: Mutex::new(None) }
    }

    /// Makes this many updates fail with a conflict.
    pub(crate) fn lose(&self, losses: usize) {
        self.losses.store(losses, Ordering::SeqCst);
    }

    /// Makes the next update happen without an answer.
    pub(crate) fn lose_answer(&self) {
        self.is_silent.store(true, Ordering::SeqCst);
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
        if lost.is_ok() {
            return Err(Error::Conflict);
        }
        let outcome = self.table.update(grant);
        let is_silent = self.is_silent.swap(false, Ordering::SeqCst);
        if is_silent { Err(Error::Storage("no answer".to_owned())) } else { outcome }
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
