//! A disk that takes no writes.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::base::{GrantId, UserId};
use crate::store::{Error, Expiry, Grant, Grants};

/// A table on a disk that takes no writes.
pub(crate) struct ReadOnly {
    table: Arc<dyn Grants>,
    /// The one grant that it does not delete; `None` for all.
    kept: Option<GrantId>,
    /// How often it was asked to delete.
    pub(crate) deletions: AtomicUsize,
}

impl ReadOnly {
    pub(crate) fn new(table: &Arc<dyn Grants>) -> ReadOnly {
        ReadOnly { table: Arc::clone(table), kept: None, deletions: AtomicUsize::new(0) }
    }

    /// A table that deletes every grant but this.
    pub(crate) fn keeping(table: &Arc<dyn Grants>, kept: GrantId) -> ReadOnly {
        ReadOnly { kept: Some(kept), ..ReadOnly::new(table) }
    }
}

impl Grants for ReadOnly {
    fn insert(&self, _: &Grant) -> Result<(), Error> {
        Err(Error::Storage("read-only".to_owned()))
    }

    fn get(&self, id: GrantId) -> Result<Option<Arc<Grant>>, Error> {
        self.table.get(id)
    }

    fn update(&self, grant: &Grant) -> Result<(), Error> {
        self.insert(grant)
    }

    fn delete_all(&self, ids: &[GrantId]) -> Result<Vec<GrantId>, Error> {
        self.deletions.fetch_add(1, Ordering::Relaxed);
        if self.kept.is_some_and(|kept| !ids.contains(&kept)) {
            return self.table.delete_all(ids);
        }
        Err(Error::Storage("read-only".to_owned()))
    }

    fn list(&self) -> Result<Vec<Arc<Grant>>, Error> {
        self.table.list()
    }

    fn of_user(&self, user: UserId) -> Result<Vec<Arc<Grant>>, Error> {
        self.table.of_user(user)
    }

    fn takes_writes(&self) -> bool {
        false
    }

    fn sweep(&self, _: Expiry) -> Result<Vec<Arc<Grant>>, Error> {
        Err(Error::Storage("read-only".to_owned()))
    }
}
