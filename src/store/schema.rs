//! The grants file as a whole: how it is made and opened, and what must be true of it before anything in it is trusted.

use std::fs::{File, TryLockError};
use std::io::{ErrorKind, Read};
use std::path::Path;

use ::redb::backends::{FileBackend, InMemoryBackend};
use ::redb::{
    Builder, Database, DatabaseError, ReadableDatabase, ReadableTable, StorageBackend, StorageError, Table,
};

use super::file_identity::FileIdentity;
use super::open_error::{OpenError, io_error};
use super::redb::{Failure, META, Medium, OpenTable, Tables};
use super::{Error, private};
use crate::base::clock::Timestamp;
use crate::base::limits;
use crate::base::secret::Secret;
use crate::seal::Keyring;

/// The schema that this program reads and writes. The first one: there is nothing to migrate from.
const VERSION: u64 = 1;

/// In `meta`: the schema's version.
const VERSION_ENTRY: &str = "schema";
/// In `meta`: 32 bytes that only the server's key gives, so that a wrong key is noticed at the start (S4).
const KEY_CHECK_ENTRY: &str = "key_check";
/// In `meta`: the newest time that was ever written (T18).
const NEWEST_ENTRY: &str = "newest";

type MetaTable<'t> = Table<'t, &'static str, &'static [u8]>;

/// Makes an empty table. It gets its name when it is complete, so a file with that name is never half a table.
pub(super) fn create(path: &Path, keys: &Keyring) -> Result<(), OpenError> {
    let draft = path.with_extension("new");
    let file = private::create_private(&draft)?;
    let database = FileBackend::new(file)
        .and_then(|backend| builder().create_with_backend(backend))
        .map_err(|error| open_error(error, &draft))?;
    initialize(&database, keys).map_err(|failure| OpenError::damaged(&draft, Error::from(failure)))?;
    drop(database); // closes it
    private::publish(&draft, path)
}

/// Opens the table and checks every page of it, its schema, and that it was made with one of these keys.
pub(super) fn open(path: &Path, keys: &Keyring, medium: Medium) -> Result<OpenTable, OpenError> {
    let opened = open_file(path)?;
    let (database, file) = match medium {
        Medium::File => {
            let file = FileIdentity::of(&opened, path).map_err(io_error(path))?;
            let database =
                FileBackend::new(opened).and_then(|backend| builder().create_with_backend(backend));
            (database.map_err(|error| open_error(error, path))?, Some(file))
        }
        Medium::Copy => (copy_in_memory(opened, path)?, None),
    };
    let newest = check(&database, path, keys)?;
    Ok(OpenTable { database, file, newest })
}

/// A copy of the file in memory, for a look that leaves the file as it is: redb writes to a file that it opens.
fn copy_in_memory(mut file: File, path: &Path) -> Result<Database, OpenError> {
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).map_err(io_error(path))?;
    let (copy, length) = (InMemoryBackend::new(), u64::try_from(bytes.len()).unwrap_or(u64::MAX));
    copy.set_len(length).and_then(|()| copy.write(0, &bytes)).map_err(io_error(path))?;
    builder().create_with_backend(copy).map_err(|error| open_error(error, path))
}

fn open_file(path: &Path) -> Result<File, OpenError> {
    let file = private::open_private(path)?.ok_or_else(|| OpenError::damaged(path, "it is gone"))?;
    if file.metadata().map_err(io_error(path))?.len() == 0 {
        // redb would take an empty file for a new table; ours never is one.
        return Err(OpenError::damaged(path, "it is empty"));
    }
    // redb goes on without a lock where a volume has none. Where only directories can be locked, nothing but this tells.
    match file.try_lock().and_then(|()| file.unlock().map_err(TryLockError::Error)) {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(OpenError::AlreadyRunning(path.to_owned())),
        Err(TryLockError::Error(error)) => Err(OpenError::no_locks(path, &error)),
    }
}

/// Checks that the table is of this schema and made with one of these keys. Returns the newest time that was ever written.
fn check(database: &Database, path: &Path, keys: &Keyring) -> Result<Timestamp, OpenError> {
    let damaged = |failure| OpenError::damaged(path, Error::from(failure));
    let read = |entry| meta(database, entry).map_err(damaged);
    match number(&read(VERSION_ENTRY)?) {
        Some(VERSION) => {}
        Some(found) if found > VERSION => {
            return Err(OpenError::Unusable(format!(
                "{} was written by a later version of this program (schema {found}). Use that version",
                path.display()
            )));
        }
        Some(_) | None => return Err(OpenError::damaged(path, "it has no schema version")),
    }
    let stored = read(KEY_CHECK_ENTRY)?;
    if !key_checks(keys).iter().any(|check| check.matches(&stored)) {
        return Err(OpenError::Unusable(format!(
            "{} was written under a key that is not in the key file. Restore the key, or move the file away: everyone \
             then has to log in again",
            path.display()
        )));
    }
    Ok(Timestamp(number(&read(NEWEST_ENTRY)?).unwrap_or(0)))
}

/// Writes the first key's check into the table if an older key's is there, so that the older key can be dropped one day.
pub(super) fn adopt_key(database: &Database, keys: &Keyring) -> Result<(), Failure> {
    let stored = meta(database, KEY_CHECK_ENTRY)?;
    let is_first = key_checks(keys).first().is_some_and(|check| check.matches(&stored));
    if is_first { Ok(()) } else { initialize(database, keys) }
}

/// Notes `time` if it is the newest that was written: at a start, a clock that is far behind the noted time is not trusted. A
/// noted time that is more than a day ahead of this write came from a wrong clock and gives way, or it would delay every start.
pub(super) fn note_time(meta: &mut MetaTable<'_>, time: Timestamp) -> Result<(), Failure> {
    let newest = meta.get(NEWEST_ENTRY)?.and_then(|value| number(value.value()));
    let behind = limits::CLOCK_BEHIND.as_secs();
    if newest.is_none_or(|newest| newest < time.0 || newest > time.0.saturating_add(behind)) {
        meta.insert(NEWEST_ENTRY, time.0.to_be_bytes().as_slice())?;
    }
    Ok(())
}

/// Writes the schema's version, in an old table once more: to find out whether the disk takes it.
pub(super) fn write_version(meta: &mut MetaTable<'_>) -> Result<(), Failure> {
    meta.insert(VERSION_ENTRY, VERSION.to_be_bytes().as_slice())?;
    Ok(())
}

/// Makes the tables that are not there and says under which key.
pub(super) fn initialize(database: &Database, keys: &Keyring) -> Result<(), Failure> {
    let transaction = database.begin_write()?;
    {
        let mut tables = Tables::open(&transaction)?;
        write_version(&mut tables.meta)?;
        if let Some(check) = key_checks(keys).first() {
            tables.meta.insert(KEY_CHECK_ENTRY, check.expose().as_slice())?;
        }
    }
    transaction.commit()?;
    Ok(())
}

/// An entry of `meta`; empty if it is not there.
fn meta(database: &Database, entry: &str) -> Result<Vec<u8>, Failure> {
    let table = database.begin_read()?.open_table(META)?;
    Ok(table.get(entry)?.map(|value| value.value().to_vec()).unwrap_or_default())
}

/// What proves a key without giving it away: HKDF does not go backwards. The sealing key's first.
fn key_checks(keys: &Keyring) -> Vec<Secret<[u8; 32]>> {
    keys.derive(&[b"grants file"])
}

fn number(bytes: &[u8]) -> Option<u64> {
    bytes.try_into().ok().map(u64::from_be_bytes)
}

fn builder() -> Builder {
    let mut builder = Builder::new();
    builder.set_cache_size(limits::DATABASE_CACHE_BYTES).set_check_integrity_on_open(true);
    builder
}

fn open_error(error: DatabaseError, path: &Path) -> OpenError {
    let detail = error.to_string();
    if matches!(error, DatabaseError::DatabaseAlreadyOpen) {
        return OpenError::AlreadyRunning(path.to_owned());
    }
    // Those two kinds are redb's own words for a file that is not one of its files.
    if let DatabaseError::Storage(StorageError::Io(source)) = error
        && !matches!(source.kind(), ErrorKind::InvalidData | ErrorKind::UnexpectedEof)
    {
        return OpenError::Io { path: path.to_owned(), source };
    }
    OpenError::damaged(path, detail)
}
