//! The table in memory. It forgets everything when the process ends.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, MutexGuard};
use std::time::Duration;

use crate::base::{GrantId, Mutex, UserId, clock};
use crate::store::{Error, Expiry, Grant, Grants};

/// The table in memory.
#[derive(Debug, Default)]
pub struct MemoryGrants {
    /// Guards the table; held for one operation.
    table: Mutex<BTreeMap<GrantId, Arc<Grant>>>,
    /// Guards the logins that were ended.
    spent: Mutex<BTreeSet<String>>,
    /// Whether several servers share it.
    is_shared: bool,
    /// Guards how often a new token was waited for.
    waits: Mutex<usize>,
}

impl MemoryGrants {
    /// A table that several servers share.
    #[cfg(test)]
    pub(crate) fn shared() -> MemoryGrants {
        MemoryGrants { is_shared: true, ..MemoryGrants::default() }
    }

    /// How often a new token was waited for.
    #[cfg(test)]
    pub(crate) fn waits(&self) -> usize {
        *self.waits.lock()
    }

    fn table(&self) -> MutexGuard<'_, BTreeMap<GrantId, Arc<Grant>>> {
        self.table.lock()
    }
}

impl Grants for MemoryGrants {
    fn insert(&self, grant: &Grant) -> Result<(), Error> {
        match self.table().entry(grant.id) {
            Entry::Vacant(place) => {
                place.insert(Arc::new(grant.clone()));
                Ok(())
            }
            Entry::Occupied(_) => Err(Error::Conflict),
        }
    }

    fn get(&self, id: GrantId) -> Result<Option<Arc<Grant>>, Error> {
        Ok(self.table().get(&id).cloned())
    }

    fn update(&self, grant: &Grant) -> Result<(), Error> {
        match self.table().get_mut(&grant.id) {
            Some(stored) if stored.revision == grant.revision => {
                *stored = Arc::new(grant.next_revision());
                Ok(())
            }
            Some(_) | None => Err(Error::Conflict),
        }
    }

    fn delete_all(&self, ids: &[GrantId]) -> Result<Vec<GrantId>, Error> {
        let mut table = self.table();
        Ok(ids.iter().copied().filter(|id| table.remove(id).is_some()).collect())
    }

    fn spend_login(&self, login: &str) -> Result<bool, Error> {
        Ok(self.spent.lock().insert(login.to_owned()))
    }

    fn wait_for_upstream(&self, grant: &Grant) -> Result<bool, Error> {
        *self.waits.lock() += 1;
        let end = clock::instant() + Duration::from_secs(2);
        while self.is_shared && clock::instant() < end {
            match self.get(grant.id)? {
                Some(current) if current.upstream == grant.upstream => std::thread::yield_now(),
                current => return Ok(current.is_some()),
            }
        }
        Ok(false)
    }

    fn list(&self) -> Result<Vec<Arc<Grant>>, Error> {
        Ok(self.table().values().cloned().collect())
    }

    fn of_user(&self, user: UserId) -> Result<Vec<Arc<Grant>>, Error> {
        Ok(self.table().values().filter(|grant| grant.subject.user() == Some(user)).cloned().collect())
    }

    fn sweep(&self, expiry: Expiry) -> Result<Vec<Arc<Grant>>, Error> {
        let mut table = self.table();
        let over: Vec<Arc<Grant>> = table.values().filter(|grant| expiry.covers(grant)).cloned().collect();
        over.iter().for_each(|grant| drop(table.remove(&grant.id)));
        Ok(over)
    }
}
