//! The four tables of the grants file, and the writing of a grant to all of them.

use std::sync::Arc;

use ::redb::{ReadableTable, Table, TableDefinition, WriteTransaction};

use super::{Error, Expiry, Grant};
use crate::base::{GrantId, limits};

/// A grant's id as a number; in the order of its bytes.
pub(super) type Key = u128;

/// The JSON of every grant.
pub(super) const GRANTS: TableDefinition<'_, Key, &[u8]> = TableDefinition::new("grants");
/// The user and the id of every grant; service tokens count as user 0, whom GitHub does not have.
pub(super) const BY_USER: TableDefinition<'_, (u64, Key), ()> = TableDefinition::new("by_user");
/// The end and the id of every grant.
pub(super) const BY_END: TableDefinition<'_, (u64, Key), ()> = TableDefinition::new("by_end");
/// The entries that the next start checks, by name.
pub(super) const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta");

/// In `meta`: the newest time that was ever written (T18).
pub(super) const NEWEST_ENTRY: &str = "newest";

/// The tables of one write transaction.
pub(super) struct Tables<'t> {
    pub(super) grants: Table<'t, Key, &'static [u8]>,
    by_user: Table<'t, (u64, Key), ()>,
    by_end: Table<'t, (u64, Key), ()>,
    pub(super) meta: Table<'t, &'static str, &'static [u8]>,
}

impl<'t> Tables<'t> {
    /// Opens the tables, and creates those that are missing.
    pub(super) fn open(transaction: &'t WriteTransaction) -> Result<Tables<'t>, Error> {
        Ok(Tables {
            grants: transaction.open_table(GRANTS)?,
            by_user: transaction.open_table(BY_USER)?,
            by_end: transaction.open_table(BY_END)?,
            meta: transaction.open_table(META)?,
        })
    }

    /// Adds a grant, in all tables.
    pub(super) fn put(&mut self, grant: &Grant) -> Result<(), Error> {
        let key = key(grant.id);
        let json = serde_json::to_vec(grant).map_err(|error| Error::Record(error.to_string()))?;
        self.grants.insert(key, json.as_slice())?;
        self.by_user.insert((grant.user_number(), key), ())?;
        self.by_end.insert((grant.end().0, key), ())?;
        self.note_time(grant.last_used.0)
    }

    /// Notes `time` if it is the newest that was written: at a start, a clock that is far behind the noted time is not
    /// trusted. A noted time that is more than a day ahead of this write came from a wrong clock and gives way, or it would
    /// delay every start.
    fn note_time(&mut self, time: u64) -> Result<(), Error> {
        let newest = self.meta.get(NEWEST_ENTRY)?.and_then(|value| number(value.value()));
        let too_new = time.saturating_add(limits::CLOCK_BEHIND.as_secs());
        if newest.is_none_or(|newest| newest < time || newest > too_new) {
            self.meta.insert(NEWEST_ENTRY, time.to_be_bytes().as_slice())?;
        }
        Ok(())
    }

    /// Removes a grant that was read in this transaction, from all tables.
    pub(super) fn remove(&mut self, grant: &Grant) -> Result<(), Error> {
        let key = key(grant.id);
        self.grants.remove(key)?;
        self.by_user.remove((grant.user_number(), key))?;
        self.by_end.remove((grant.end().0, key))?;
        Ok(())
    }

    /// Deletes a grant. Returns whether there was one. A record that cannot be read is deleted as well; its index entries cannot be
    /// found, and readers skip them.
    pub(super) fn delete(&mut self, id: GrantId) -> Result<bool, Error> {
        match load(&self.grants, key(id)) {
            Ok(Some(grant)) => self.remove(&grant).map(|()| true),
            Ok(None) => Ok(false),
            Err(Error::Record(_)) => Ok(self.grants.remove(key(id))?.is_some()),
            Err(error @ (Error::Conflict | Error::Storage(_))) => Err(error),
        }
    }

    /// Deletes the grants that `expiry` covers among these entries of `by_end`, and entries without a readable record.
    pub(super) fn delete_over(
        &mut self,
        over: &[(u64, Key)],
        expiry: Expiry,
    ) -> Result<Vec<Arc<Grant>>, Error> {
        let mut deleted = Vec::new();
        for &(end, key) in over {
            match load(&self.grants, key) {
                Ok(Some(grant)) if expiry.covers(&grant) => {
                    self.remove(&grant)?;
                    deleted.push(Arc::new(grant));
                }
                Ok(Some(_)) => {} // refreshed or redeemed meanwhile
                Ok(None) | Err(Error::Record(_)) => {
                    self.grants.remove(key)?;
                    self.by_end.remove((end, key))?;
                }
                Err(error @ (Error::Conflict | Error::Storage(_))) => return Err(error),
            }
        }
        Ok(deleted)
    }
}

/// The grant under this key.
pub(super) fn load(table: &impl ReadableTable<Key, &'static [u8]>, key: Key) -> Result<Option<Grant>, Error> {
    let Some(json) = table.get(key)? else { return Ok(None) };
    let damaged = |error| Error::Record(format!("the record of grant {}: {error}", grant_id(key)));
    serde_json::from_slice(json.value()).map(Some).map_err(damaged)
}

pub(super) fn key(id: GrantId) -> Key {
    Key::from_be_bytes(id.0)
}

pub(super) fn grant_id(key: Key) -> GrantId {
    GrantId(key.to_be_bytes())
}

pub(super) fn number(bytes: &[u8]) -> Option<u64> {
    bytes.try_into().ok().map(u64::from_be_bytes)
}

/// Every error of redb's means that the disk or the file has failed.
impl<E: Into<::redb::Error>> From<E> for Error {
    fn from(error: E) -> Error {
        Error::Storage(error.into().to_string())
    }
}
