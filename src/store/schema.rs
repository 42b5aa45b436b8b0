//! The grants file as a whole: how it is made and opened, and what must be true of it before anything in it is trusted.

use std::fs::File;
use std::io::Read;
use std::ops::Bound;
use std::path::Path;

use ::redb::backends::{FileBackend, InMemoryBackend};
use ::redb::{
    Builder, Database, DatabaseError, ReadableDatabase, ReadableTable, StorageBackend, StorageError, Table,
};

use super::in_place::InPlace;
use super::open_error::{OpenError, io_error};
use super::private;
use super::redb::{Failure, META, Tables};
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

/// Makes an empty table. It gets its name when it is complete, so a file with that name is never half a table.
pub(super) fn create(path: &Path, keys: &Keyring) -> Result<(), OpenError> {
    let draft = path.with_extension("new");
    let file = private::create_private(&draft)?;
    let database = FileBackend::new(file)
        .and_then(|backend| builder().create_with_backend(backend))
        .map_err(|error| open_error(error, &draft))?;
    initialize(&database, keys).map_err(|failure| unreadable(failure, &draft))?;
    drop(database); // closes it
    private::publish(&draft, path)
}

/// Opens the file and checks every page of it.
pub(super) fn open(path: &Path) -> Result<Database, OpenError> {
    InPlace::new(open_file(path)?, path)
        .and_then(|backend| builder().create_with_backend(backend))
        .map_err(|error| open_error(error, path))
}

fn open_file(path: &Path) -> Result<File, OpenError> {
    let missing = || OpenError::Damaged { path: path.to_owned(), detail: "it is gone".to_owned() };
    let file = private::open_private(path)?.ok_or_else(missing)?;
    if file.metadata().map_err(io_error(path))?.len() == 0 {
        // redb would take an empty file for a new table; ours never is one.
        return Err(OpenError::Damaged { path: path.to_owned(), detail: "it is empty".to_owned() });
    }
    Ok(file)
}

/// Opens a copy of the file in memory, for a look that leaves the file as it is: redb writes to a file that it opens.
pub(super) fn open_copy(path: &Path) -> Result<Database, OpenError> {
    let (mut bytes, mut file) = (Vec::new(), open_file(path)?);
    file.read_to_end(&mut bytes).map_err(io_error(path))?;
    // A start locks the file, so whether that can be done is part of the look. The lock ends with this function.
    let original = InPlace::new(file, path).map_err(|error| open_error(error, path))?;
    match original.try_lock_range(Bound::Unbounded, Bound::Unbounded) {
        Ok(true) => {}
        Ok(false) => return Err(OpenError::AlreadyRunning(path.to_owned())),
        Err(error) => return Err(open_error(StorageError::Io(error.into()).into(), path)),
    }
    let (copy, length) = (InMemoryBackend::new(), u64::try_from(bytes.len()).unwrap_or(u64::MAX));
    copy.set_len(length).and_then(|()| copy.write(0, &bytes)).map_err(io_error(path))?;
    builder().create_with_backend(copy).map_err(|error| open_error(error, path))
}

/// Checks that the table is of this schema and made with one of these keys. Returns the newest time that was ever written.
pub(super) fn check(database: &Database, path: &Path, keys: &Keyring) -> Result<Timestamp, OpenError> {
    let meta = Meta::read(database).map_err(|failure| unreadable(failure, path))?;
    match meta.version {
        Some(VERSION) => {}
        Some(found) if found > VERSION => {
            return Err(OpenError::NewerSchema { path: path.to_owned(), found });
        }
        Some(_) | None => {
            let detail = "it has no schema version".to_owned();
            return Err(OpenError::Damaged { path: path.to_owned(), detail });
        }
    }
    let stored = meta.key_check.as_slice();
    let known = key_checks(keys).iter().any(|check| check.matches(stored));
    known.then_some(meta.newest).ok_or_else(|| OpenError::WrongKey(path.to_owned()))
}

/// Has the first key answer for the table if an older one does, so that the older one can be dropped one day.
pub(super) fn adopt_key(database: &Database, keys: &Keyring) -> Result<(), Failure> {
    let stored = Meta::read(database)?.key_check;
    let is_first = key_checks(keys).first().is_some_and(|check| check.matches(&stored));
    if is_first { Ok(()) } else { initialize(database, keys) }
}

/// Remembers the newest time that was written. A record that is more than a day ahead of a later write was made while the
/// clock was wrong: nothing is issued while the clock may still be behind.
pub(super) fn note_time(
    meta: &mut Table<'_, &'static str, &'static [u8]>,
    time: Timestamp,
) -> Result<(), Failure> {
    let newest = meta.get(NEWEST_ENTRY)?.and_then(|value| number(value.value()));
    let behind = limits::CLOCK_BEHIND.as_secs();
    if newest.is_none_or(|newest| newest < time.0 || newest > time.0.saturating_add(behind)) {
        meta.insert(NEWEST_ENTRY, time.0.to_be_bytes().as_slice())?;
    }
    Ok(())
}

/// Writes what is there once more, to find out whether the disk takes it.
pub(super) fn write_again(meta: &mut Table<'_, &'static str, &'static [u8]>) -> Result<(), Failure> {
    let newest = meta.get(NEWEST_ENTRY)?.and_then(|value| number(value.value())).unwrap_or_default();
    meta.insert(NEWEST_ENTRY, newest.to_be_bytes().as_slice())?;
    Ok(())
}

/// What the `meta` table says.
struct Meta {
    version: Option<u64>,
    key_check: Vec<u8>,
    newest: Timestamp,
}

impl Meta {
    fn read(database: &Database) -> Result<Meta, Failure> {
        let table = database.begin_read()?.open_table(META)?;
        let entry = |name| -> Result<Vec<u8>, Failure> {
            Ok(table.get(name)?.map(|value| value.value().to_vec()).unwrap_or_default())
        };
        Ok(Meta {
            version: number(&entry(VERSION_ENTRY)?),
            key_check: entry(KEY_CHECK_ENTRY)?,
            newest: Timestamp(number(&entry(NEWEST_ENTRY)?).unwrap_or(0)),
        })
    }
}

/// Makes the tables that are not there and says under which key.
pub(super) fn initialize(database: &Database, keys: &Keyring) -> Result<(), Failure> {
    let transaction = database.begin_write()?;
    {
        let mut tables = Tables::open(&transaction)?;
        tables.meta.insert(VERSION_ENTRY, VERSION.to_be_bytes().as_slice())?;
        if let Some(check) = key_checks(keys).first() {
            tables.meta.insert(KEY_CHECK_ENTRY, check.expose().as_slice())?;
        }
    }
    transaction.commit()?;
    Ok(())
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
    use std::io::ErrorKind::{InvalidData, UnexpectedEof};
    let path = path.to_owned();
    let detail = error.to_string();
    if matches!(error, DatabaseError::DatabaseAlreadyOpen) {
        return OpenError::AlreadyRunning(path);
    }
    // Those two kinds are redb's own words for a file that is not one of its files.
    if let DatabaseError::Storage(StorageError::Io(source)) = error
        && !matches!(source.kind(), InvalidData | UnexpectedEof)
    {
        if source.raw_os_error() == Some(private::NO_LOCKS) {
            return OpenError::NoLocks { path, source };
        }
        return OpenError::Io { path, source };
    }
    OpenError::Damaged { path, detail }
}

fn unreadable(failure: Failure, path: &Path) -> OpenError {
    OpenError::Damaged { path: path.to_owned(), detail: super::Error::from(failure).to_string() }
}
