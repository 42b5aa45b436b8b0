//! The table in one file, by redb: every change is one transaction, on the disk before the call returns.
//!
//! Four tables: `grants` (id to JSON), `by_user` and `by_end` (indices: value and id), `meta`. Only the JSON is a
//! format of ours; docs/storage.md shows it. When the disk fails, the operation fails and nothing of it is done; the
//! database is then opened again, at once or by a later sweep. On some damaged pages redb panics: that is a failure of the disk, too.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;

use ::redb::{ReadTransaction, ReadableDatabase, ReadableTable, ReadableTableMetadata};

use super::cache::Cache;
use super::private::{self, StateDirectory};
use super::schema::{self, OpenTable};
use super::tables::{BY_END, BY_USER, GRANTS, Key, Tables, grant_id, key, load};
use super::{Error, Expiry, Grant, Grants, backup};
use crate::base::{GrantId, Mutex, StartupError, Timestamp, UserId, limits, log};
use crate::seal::Keyring;

/// Its name in the state directory.
pub const NAME: &str = "grants.redb";

type Open = Box<dyn Fn() -> Result<OpenTable, StartupError> + Send + Sync>;

/// The table in one file.
pub struct RedbGrants {
    /// Guards the open table, the cache and the unwritten deletions; held for a look-up, never during I/O.
    state: Mutex<State>,
    /// Opens the file: at the start, and again after the disk has failed.
    open: Open,
    newest: Timestamp,
}

struct State {
    /// `None` from when the disk fails until the file has been opened again.
    table: Option<Arc<OpenTable>>,
    cache: Cache,
    /// Grants whose deletion could not be written. Reads do not return them any more; every sweep tries again (S3).
    unwritten_deletions: BTreeSet<GrantId>,
    /// Whether the disk refused the last change.
    refuses_writes: bool,
}

impl RedbGrants {
    /// Opens the grants of a state directory, or makes an empty table if there is none. A file that is not a table made with one
    /// of these keys is an error and stays as it is.
    pub fn open(directory: &StateDirectory, keys: &Arc<Keyring>) -> Result<RedbGrants, StartupError> {
        let path = directory.file(NAME);
        if private::open_private(&path)?.is_none() {
            schema::create(&path, keys)?;
            log::info("store.created", &[log::Field::Path(&path.display().to_string())]);
        }
        RedbGrants::existing(directory, keys)?.ok_or_else(|| schema::damaged(&path, "it is gone"))
    }

    /// Opens the grants of a state directory if there are any.
    pub fn existing(
        directory: &StateDirectory,
        keys: &Arc<Keyring>,
    ) -> Result<Option<RedbGrants>, StartupError> {
        let (path, keys, opened_for) = (directory.file(NAME), Arc::clone(keys), directory.opened_for);
        if private::open_private(&path)?.is_none() {
            return Ok(None);
        }
        RedbGrants::new(Box::new(move || schema::open(&path, &keys, opened_for))).map(Some)
    }

    pub(super) fn new(open: Open) -> Result<RedbGrants, StartupError> {
        let table = open()?;
        let newest = table.newest;
        let state = State {
            table: Some(Arc::new(table)),
            cache: Cache::new(limits::CACHED_GRANTS),
            unwritten_deletions: BTreeSet::new(),
            refuses_writes: false,
        };
        Ok(RedbGrants { state: Mutex::new(state), open, newest })
    }

    /// Runs `work` on the database. If the disk fails, the database is closed and opened again, because redb does nothing
    /// more after a failed write; if that does not work yet, each sweep tries again.
    fn with_table<T>(&self, work: impl FnOnce(&OpenTable) -> Result<T, Error>) -> Result<T, Error> {
        let table = self.state.lock().table.clone();
        let table = table.ok_or_else(|| Error::Storage("waiting for the disk".to_owned()))?;
        let outcome = catching(|| work(&table));
        let failure = outcome.as_ref().err().filter(|error| matches!(error, Error::Storage(_)));
        let closed = failure.and_then(|_| self.state.lock().table.take_if(|it| Arc::ptr_eq(it, &table)));
        close((closed, table)); // outside the lock
        if let Some(error) = failure {
            error.log();
            let _ = self.recover();
        }
        outcome
    }

    /// One transaction that changes these grants, or nothing.
    fn write<T>(
        &self,
        ids: &[GrantId],
        change: impl FnOnce(&mut Tables<'_>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let outcome = self.with_table(|table| {
            let transaction = table.database.begin_write()?;
            let result = change(&mut Tables::open(&transaction)?)?; // dropped uncommitted, it has changed nothing
            table.check_name()?;
            transaction.commit()?; // redb's default durability: on the disk when this returns
            Ok(result)
        });
        let mut state = self.state.lock();
        ids.iter().for_each(|&id| state.cache.forget(id));
        state.refuses_writes = matches!(outcome, Err(Error::Storage(_)));
        outcome
    }

    /// The grants under these keys, apart from those whose deletion is still to be written and those that cannot be read.
    fn read_all(
        &self,
        keys: impl FnOnce(&ReadTransaction) -> Result<Vec<Key>, Error>,
    ) -> Result<Vec<Arc<Grant>>, Error> {
        let mut grants = Vec::new();
        self.with_table(|table| {
            let transaction = table.database.begin_read()?;
            let records = transaction.open_table(GRANTS)?;
            for key in keys(&transaction)? {
                match load(&records, key) {
                    Ok(grant) => grants.extend(grant.map(Arc::new)),
                    // The others can still be shown and ended.
                    Err(Error::Record(detail)) => log::error("store.failed", &[log::Field::Error(&detail)]),
                    Err(error @ (Error::Conflict | Error::Storage(_))) => return Err(error),
                }
            }
            Ok(())
        })?;
        let state = self.state.lock();
        grants.retain(|grant| !state.unwritten_deletions.contains(&grant.id));
        Ok(grants)
    }

    /// Opens the file again if the disk had failed. It may be another file now, with other grants.
    fn recover(&self) -> Result<(), Error> {
        if self.state.lock().table.is_some() {
            return Ok(());
        }
        let table = catching(|| (self.open)().map_err(|error| Error::Storage(error.to_string())))?;
        let mut state = self.state.lock();
        state.table = Some(Arc::new(table));
        state.cache.clear();
        drop(state);
        log::info("store.recovered", &[]);
        Ok(())
    }

    /// Writes the deletions that could not be written before.
    fn write_deletions(&self) -> Result<(), Error> {
        let ids: Vec<GrantId> = self.state.lock().unwritten_deletions.iter().copied().collect();
        if !ids.is_empty() {
            self.write(&ids, |tables| ids.iter().try_for_each(|&id| tables.delete(id).map(drop)))?;
            self.state.lock().unwritten_deletions.retain(|id| ids.binary_search(id).is_err()); // in order: they are a set's
        }
        Ok(())
    }
}

/// Runs operations of redb. A panic becomes [`Error::Storage`]; the panic hook logs its place in the code.
fn catching<T>(work: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| Err(Error::Storage("redb panicked".to_owned())))
}

/// Drops a table. Its last owner reads and writes the file once more and closes it, in which redb may panic.
fn close<T>(table: T) {
    let _ = catch_unwind(AssertUnwindSafe(|| drop(table)));
}

impl Drop for RedbGrants {
    fn drop(&mut self) {
        close(self.state.lock().table.take());
    }
}

impl Grants for RedbGrants {
    fn insert(&self, grant: &Grant) -> Result<(), Error> {
        self.write(&[grant.id], |tables| match load(&tables.grants, key(grant.id))? {
            Some(_) => Err(Error::Conflict),
            None => tables.put(grant),
        })
    }

    fn get(&self, id: GrantId) -> Result<Option<Arc<Grant>>, Error> {
        let start = {
            let mut state = self.state.lock();
            if state.unwritten_deletions.contains(&id) {
                return Ok(None);
            }
            if let Some(grant) = state.cache.look_up(id) {
                return Ok(Some(grant));
            }
            state.cache.start_read()
        };
        let grant = self.with_table(|table| {
            let transaction = table.database.begin_read()?;
            load(&transaction.open_table(GRANTS)?, key(id))
        })?;
        let grant = grant.map(Arc::new).inspect(|grant| self.state.lock().cache.fill(grant, start));
        Ok(grant)
    }

    fn update(&self, grant: &Grant) -> Result<(), Error> {
        if self.state.lock().unwritten_deletions.contains(&grant.id) {
            return Err(Error::Conflict);
        }
        self.write(&[grant.id], |tables| match load(&tables.grants, key(grant.id))? {
            Some(stored) if stored.revision == grant.revision => {
                tables.remove(&stored)?;
                tables.put(&grant.next_revision())
            }
            Some(_) | None => Err(Error::Conflict),
        })
    }

    fn delete_all(&self, ids: &[GrantId]) -> Result<Vec<GrantId>, Error> {
        let outcome = self.write(ids, |tables| {
            let delete = |&id| tables.delete(id).map(|found| found.then_some(id)).transpose();
            ids.iter().filter_map(delete).collect()
        });
        if let Err(Error::Storage(_)) = outcome {
            self.state.lock().unwritten_deletions.extend(ids);
        }
        outcome
    }

    fn list(&self) -> Result<Vec<Arc<Grant>>, Error> {
        self.read_all(|transaction| {
            let table = transaction.open_table(GRANTS)?;
            table.iter()?.map(|entry| Ok(entry?.0.value())).collect()
        })
    }

    /// Without reading them.
    fn count(&self) -> Result<u64, Error> {
        let stored = self.with_table(|it| Ok(it.database.begin_read()?.open_table(GRANTS)?.len()?))?;
        let unwritten = u64::try_from(self.state.lock().unwritten_deletions.len()).unwrap_or(u64::MAX);
        Ok(stored.saturating_sub(unwritten))
    }

    fn of_user(&self, user: UserId) -> Result<Vec<Arc<Grant>>, Error> {
        self.read_all(|transaction| {
            let table = transaction.open_table(BY_USER)?;
            let entries = table.range((user.0, Key::MIN)..=(user.0, Key::MAX))?;
            entries.map(|entry| Ok(entry?.0.value().1)).collect()
        })
    }

    fn sweep(&self, expiry: Expiry) -> Result<Vec<Arc<Grant>>, Error> {
        self.recover()?;
        self.write_deletions()?;
        if !self.takes_writes() {
            self.write(&[], schema::write_version)?;
        }
        let over = self.with_table(|table| {
            let transaction = table.database.begin_read()?;
            let (by_end, grants) = (transaction.open_table(BY_END)?, transaction.open_table(GRANTS)?);
            let settled = (expiry.settled.0, Key::MAX);
            let now = (expiry.now.0.max(expiry.settled.0), Key::MAX);
            // Of the entries that are not settled, the latest first: unredeemed codes ended within the last minute or so. If the
            // clock has jumped ahead, any number of entries that must be kept precede them.
            let ended = by_end.range(..=settled)?.take(limits::SWEEP_BATCH);
            let ended = ended.chain(by_end.range(settled..=now)?.rev().take(limits::SWEEP_BATCH));
            let covers =
                |key| load(&grants, key).is_ok_and(|found| found.is_some_and(|it| expiry.covers(&it)));
            let mut over = Vec::new();
            for entry in ended {
                let (end, key) = entry?.0.value();
                if end <= expiry.settled.0 || covers(key) {
                    over.push((end, key));
                }
            }
            Ok(over)
        })?;
        if over.is_empty() {
            return Ok(Vec::new());
        }
        let ids: Vec<GrantId> = over.iter().map(|(_, key)| grant_id(*key)).collect();
        self.write(&ids, |tables| tables.delete_over(&over, expiry))
    }

    fn takes_writes(&self) -> bool {
        let state = self.state.lock();
        state.table.is_some() && !state.refuses_writes && state.unwritten_deletions.is_empty()
    }

    fn newest(&self) -> Timestamp {
        self.newest
    }

    fn adopt_key(&self, keys: &Keyring) -> Result<(), Error> {
        self.with_table(|table| schema::adopt_key(&table.database, keys))
    }

    fn back_up(&self, path: &Path) -> Result<(), Error> {
        self.with_table(|table| backup::copy(&table.database, path))
    }
}
