//! The table in one file, by redb: every change is one transaction, on the disk before the call returns.
//!
//! Four tables: `grants` (id to JSON), `by_user` and `by_end` (what is looked for, id), `meta`. Only the JSON is a
//! format of ours; docs/storage.md shows it. When the disk fails, the operation fails and nothing of it is done; the
//! database is then opened again, at once or by a later sweep.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ::redb::{
    Database, ReadTransaction, ReadableDatabase, ReadableTable, ReadableTableMetadata, Table,
    TableDefinition, WriteTransaction,
};

use super::backup;
use super::cache::Cache;
use super::file_identity::FileIdentity;
use super::open_error::OpenError;
use super::private::{self, StateDirectory};
use super::{Error, Expiry, Grant, Grants, schema};
use crate::base::clock::Timestamp;
use crate::base::identity::{GrantId, UserId};
use crate::base::lock::Mutex;
use crate::base::{limits, log};
use crate::seal::Keyring;

/// Its name in the state directory.
pub const NAME: &str = "grants.redb";

/// A grant's id as a number; in the order of its bytes.
pub(super) type Key = u128;

pub(super) const GRANTS: TableDefinition<'_, Key, &[u8]> = TableDefinition::new("grants");
/// The user and the id of every grant.
pub(super) const BY_USER: TableDefinition<'_, (u64, Key), ()> = TableDefinition::new("by_user");
/// The end and the id of every grant.
pub(super) const BY_END: TableDefinition<'_, (u64, Key), ()> = TableDefinition::new("by_end");
/// What `schema` knows about the file.
pub(super) const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta");

/// A database that is open, after every check of what is in it.
pub(super) struct OpenTable {
    pub(super) database: Database,
    /// The file that the next start should find; `None` for a copy in memory.
    pub(super) file: Option<FileIdentity>,
    /// The newest time that had been written when it was opened.
    pub(super) newest: Timestamp,
}

type Open = Box<dyn Fn() -> Result<OpenTable, OpenError> + Send + Sync>;

/// The table in one file.
pub struct RedbGrants {
    /// Guards the open table, the cache and what is still to be written; held for a look-up, never during I/O.
    state: Mutex<State>,
    /// Opens the file, once more after the disk has failed.
    open: Open,
    newest: Timestamp,
}

/// What a table is opened on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Medium {
    /// The file.
    File,
    /// A copy of it in memory: the file stays as it is.
    Copy,
}

struct State {
    /// `None` from when the disk fails until the file has been opened again.
    table: Option<Arc<OpenTable>>,
    cache: Cache,
    /// Grants whose deletion could not be written. They are dead all the same; every sweep tries again (S3).
    unwritten_deletions: BTreeSet<GrantId>,
    /// Whether the disk refused the last change.
    refuses_writes: bool,
}

impl RedbGrants {
    /// Opens the grants of a state directory, or makes an empty table if there is none. Whatever is not a table made with one of
    /// these keys is an error; nothing was changed then.
    pub fn open(directory: &StateDirectory, keys: &Arc<Keyring>) -> Result<RedbGrants, OpenError> {
        let path = directory.file(NAME);
        if private::open_private(&path)?.is_none() {
            schema::create(&path, keys)?;
            log::info("store.created", &[log::Field::Path(&path.display().to_string())]);
        }
        RedbGrants::opened(path, keys, Medium::File)
    }

    /// Opens the grants of a state directory if there are any.
    pub fn existing(
        directory: &StateDirectory,
        keys: &Arc<Keyring>,
        medium: Medium,
    ) -> Result<Option<RedbGrants>, OpenError> {
        let path = directory.file(NAME);
        private::open_private(&path)?.map(|_| RedbGrants::opened(path, keys, medium)).transpose()
    }

    fn opened(path: PathBuf, keys: &Arc<Keyring>, medium: Medium) -> Result<RedbGrants, OpenError> {
        let keys = Arc::clone(keys);
        RedbGrants::new(Box::new(move || schema::open(&path, &keys, medium)))
    }

    pub(super) fn new(open: Open) -> Result<RedbGrants, OpenError> {
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

    /// The newest time that had been written when the table was opened. 1970 for a new table.
    pub fn newest(&self) -> Timestamp {
        self.newest
    }

    /// Notes which key seals from now on, if that is another one, so that a later start does not look for the one before. If
    /// that fails, the next start, with both keys, makes up for it.
    pub fn adopt_key(&self, keys: &Keyring) -> Result<(), Error> {
        self.with_table(|table| schema::adopt_key(&table.database, keys))
    }

    /// Writes a consistent copy into a new file at `path`.
    pub fn back_up(&self, path: &Path) -> Result<(), Error> {
        self.with_table(|table| backup::copy(&table.database, path))
    }

    /// Runs `work` on the database. If the disk fails, the database is closed and opened again, because redb does nothing
    /// more after a failed write; if that does not work yet, each sweep tries again.
    fn with_table<T>(&self, work: impl FnOnce(&OpenTable) -> Result<T, Failure>) -> Result<T, Error> {
        let table = self.state.lock().table.clone();
        let table = table.ok_or_else(|| Error::Storage("waiting for the disk".to_owned()))?;
        work(&table).map_err(|failure| {
            if let Failure::Disk(error) = &failure {
                log::error("store.failed", &[log::Field::Error(&error.to_string())]);
                let closed = self.state.lock().table.take_if(|current| Arc::ptr_eq(current, &table));
                drop((closed, table)); // outside the lock: the last owner closes the file
                let _ = self.recover();
            }
            Error::from(failure)
        })
    }

    /// One transaction that changes these grants, or nothing.
    fn write<T>(
        &self,
        ids: &[GrantId],
        change: impl FnOnce(&mut Tables<'_>) -> Result<T, Failure>,
    ) -> Result<T, Error> {
        let outcome = self.with_table(|table| {
            let transaction = table.database.begin_write()?;
            let result = change(&mut Tables::open(&transaction)?)?; // dropped uncommitted, it has changed nothing
            table.file.as_ref().map_or(Ok(()), FileIdentity::check)?;
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
        keys: impl FnOnce(&ReadTransaction) -> Result<Vec<Key>, Failure>,
    ) -> Result<Vec<Arc<Grant>>, Error> {
        let mut grants = Vec::new();
        self.with_table(|table| {
            let transaction = table.database.begin_read()?;
            let records = transaction.open_table(GRANTS)?;
            for key in keys(&transaction)? {
                match load(&records, key) {
                    Ok(grant) => grants.extend(grant.map(Arc::new)),
                    // The others can still be shown and ended.
                    Err(Failure::Record(detail)) => log::error("store.failed", &[log::Field::Error(&detail)]),
                    Err(failure @ (Failure::Conflict | Failure::Disk(_))) => return Err(failure),
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
        let table = (self.open)().map_err(|error| Error::Storage(error.to_string()))?;
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

impl Grants for RedbGrants {
    fn insert(&self, grant: &Grant) -> Result<(), Error> {
        self.write(&[grant.id], |tables| match load(&tables.grants, key(grant.id))? {
            Some(_) => Err(Failure::Conflict),
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
        let Some(grant) = grant.map(Arc::new) else { return Ok(None) };
        self.state.lock().cache.fill(&grant, start);
        Ok(Some(grant))
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
            Some(_) | None => Err(Failure::Conflict),
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
        let stored =
            self.with_table(|table| Ok(table.database.begin_read()?.open_table(GRANTS)?.len()?))?;
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
            self.write(&[], |tables| schema::write_version(&mut tables.meta))?;
        }
        let over = self.with_table(|table| {
            let transaction = table.database.begin_read()?;
            let (by_end, grants) = (transaction.open_table(BY_END)?, transaction.open_table(GRANTS)?);
            let settled = (expiry.settled.0, Key::MAX);
            let now = (expiry.now.0.max(expiry.settled.0), Key::MAX);
            // Of those whose end is not settled the latest first: a code ends a minute after its login, and years may lie
            // behind the others.
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
        state.table.is_some() && !state.refuses_writes
    }
}

/// Why a transaction did nothing.
#[derive(Debug)]
pub(super) enum Failure {
    Conflict,
    /// A record that this program never wrote. The others can still be used.
    Record(String),
    Disk(::redb::Error),
}

impl<E: Into<::redb::Error>> From<E> for Failure {
    fn from(error: E) -> Failure {
        Failure::Disk(error.into())
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Error {
        match failure {
            Failure::Conflict => Error::Conflict,
            Failure::Record(detail) => Error::Storage(detail),
            Failure::Disk(error) => Error::Storage(error.to_string()),
        }
    }
}

/// The tables of one write transaction.
pub(super) struct Tables<'t> {
    grants: Table<'t, Key, &'static [u8]>,
    by_user: Table<'t, (u64, Key), ()>,
    by_end: Table<'t, (u64, Key), ()>,
    pub(super) meta: Table<'t, &'static str, &'static [u8]>,
}

impl<'t> Tables<'t> {
    pub(super) fn open(transaction: &'t WriteTransaction) -> Result<Tables<'t>, Failure> {
        Ok(Tables {
            grants: transaction.open_table(GRANTS)?,
            by_user: transaction.open_table(BY_USER)?,
            by_end: transaction.open_table(BY_END)?,
            meta: transaction.open_table(META)?,
        })
    }

    /// Adds a grant, in all tables.
    fn put(&mut self, grant: &Grant) -> Result<(), Failure> {
        let key = key(grant.id);
        let json = serde_json::to_vec(grant).map_err(|error| Failure::Record(error.to_string()))?;
        self.grants.insert(key, json.as_slice())?;
        self.by_user.insert((grant.user.0, key), ())?;
        self.by_end.insert((grant.end().0, key), ())?;
        schema::note_time(&mut self.meta, grant.last_used)
    }

    /// Removes a grant that was read in this transaction, from all tables.
    fn remove(&mut self, grant: &Grant) -> Result<(), Failure> {
        let key = key(grant.id);
        self.grants.remove(key)?;
        self.by_user.remove((grant.user.0, key))?;
        self.by_end.remove((grant.end().0, key))?;
        Ok(())
    }

    /// Deletes a grant, if there is one. A record that cannot be read goes too: what an index says of it leads nowhere.
    fn delete(&mut self, id: GrantId) -> Result<bool, Failure> {
        match load(&self.grants, key(id)) {
            Ok(Some(grant)) => self.remove(&grant).map(|()| true),
            Ok(None) => Ok(false),
            Err(Failure::Record(_)) => Ok(self.grants.remove(key(id))?.is_some()),
            Err(failure @ (Failure::Conflict | Failure::Disk(_))) => Err(failure),
        }
    }

    /// Deletes what `expiry` covers of these entries of `by_end`, and the entries that lead to no readable record.
    fn delete_over(&mut self, over: &[(u64, Key)], expiry: Expiry) -> Result<Vec<Arc<Grant>>, Failure> {
        let mut deleted = Vec::new();
        for &(end, key) in over {
            match load(&self.grants, key) {
                Ok(Some(grant)) if expiry.covers(&grant) => {
                    self.remove(&grant)?;
                    deleted.push(Arc::new(grant));
                }
                Ok(Some(_)) => {} // refreshed or redeemed meanwhile
                Ok(None) | Err(Failure::Record(_)) => {
                    self.grants.remove(key)?;
                    self.by_end.remove((end, key))?;
                }
                Err(failure @ (Failure::Conflict | Failure::Disk(_))) => return Err(failure),
            }
        }
        Ok(deleted)
    }
}

fn key(id: GrantId) -> Key {
    Key::from_be_bytes(id.0)
}

fn grant_id(key: Key) -> GrantId {
    GrantId(key.to_be_bytes())
}

fn load(table: &impl ReadableTable<Key, &'static [u8]>, key: Key) -> Result<Option<Grant>, Failure> {
    let Some(json) = table.get(key)? else { return Ok(None) };
    let damaged = |error| Failure::Record(format!("the record of grant {}: {error}", grant_id(key)));
    serde_json::from_slice(json.value()).map(Some).map_err(damaged)
}
