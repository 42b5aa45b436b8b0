//! The grants file as a whole: making it, opening it, and the checks before its content is trusted.

use std::fs::{File, Metadata, TryLockError};
use std::io::{ErrorKind, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use ::redb::backends::{FileBackend, InMemoryBackend};
use ::redb::{Builder, Database, DatabaseError, ReadableDatabase, StorageBackend, StorageError};

use super::Error;
use super::private::{self, OpenedFor, io_error};
use super::tables::{META, NEWEST_ENTRY, Tables, number};
use crate::base::{Secret, StartupError, Timestamp, limits};
use crate::seal::Keyring;

/// The schema that this program reads and writes. The first one: there is nothing to migrate from.
const VERSION: u64 = 1;

/// In `meta`: the schema's version.
const VERSION_ENTRY: &str = "schema";
/// In `meta`: 32 bytes that only the server's key gives, so that a wrong key is noticed at the start (S4).
const KEY_CHECK_ENTRY: &str = "key_check";

/// An open database whose contents were checked.
pub(super) struct OpenTable {
    pub(super) database: Database,
    /// Path, device and inode number of the file; `None` for a copy in memory.
    pub(super) file: Option<(PathBuf, (u64, u64))>,
    /// The newest time that had been written when it was opened.
    pub(super) newest: Timestamp,
}

impl OpenTable {
    /// Checks that the file still has its name: what is written to a file that has lost it is gone at the next start (S2, S3).
    pub(super) fn check_name(&self) -> Result<(), Error> {
        let Some((path, opened)) = &self.file else { return Ok(()) };
        let why = match std::fs::symlink_metadata(path) {
            Ok(found) if device_and_inode(&found) == *opened => return Ok(()),
            Err(error) if error.kind() != ErrorKind::NotFound => error.to_string(),
            Ok(_) | Err(_) => "it was removed or replaced while the server runs".to_owned(),
        };
        Err(Error::Storage(format!("{}: {why}", path.display())))
    }
}

fn device_and_inode(found: &Metadata) -> (u64, u64) {
    (found.dev(), found.ino())
}

/// Creates an empty table under a temporary name and renames it when it is complete, so a file at `path` is never half a table.
pub(super) fn create(path: &Path, keys: &Keyring) -> Result<(), StartupError> {
    let temporary = path.with_extension("new");
    let file = private::create_private(&temporary)?;
    private::give_to_owner(&file, path).map_err(io_error(&temporary))?;
    let database = open_database(file, &temporary)?;
    initialize(&database, keys).map_err(|error| damaged(&temporary, error))?;
    drop(database); // closes it
    private::publish(&temporary, path)
}

/// Opens the table and checks every page of it, its schema, and that it was made with one of these keys. For a check, opens a
/// copy in memory, because redb writes to a file that it opens.
pub(super) fn open(path: &Path, keys: &Keyring, opened_for: OpenedFor) -> Result<OpenTable, StartupError> {
    let mut opened = open_file(path)?;
    let found = opened.metadata().map_err(io_error(path))?;
    if found.len() == 0 {
        // redb would take an empty file for a new table; ours never is one.
        return Err(damaged(path, "it is empty"));
    }
    let (database, file) = if opened_for == OpenedFor::Check {
        let mut bytes = Vec::new();
        opened.read_to_end(&mut bytes).map_err(io_error(path))?;
        let copy = InMemoryBackend::new();
        copy.set_len(found.len()).and_then(|()| copy.write(0, &bytes)).map_err(io_error(path))?;
        (builder().create_with_backend(copy).map_err(|error| open_error(error, path))?, None)
    } else {
        (open_database(opened, path)?, Some((path.to_owned(), device_and_inode(&found))))
    };
    let newest = check(&database, path, keys)?;
    Ok(OpenTable { database, file, newest })
}

fn open_file(path: &Path) -> Result<File, StartupError> {
    let file = private::open_private(path)?.ok_or_else(|| damaged(path, "it is gone"))?;
    // redb takes a lock of its own, but works without one on a volume that has none. This tries whether files can be locked here.
    match file.try_lock().and_then(|()| file.unlock().map_err(TryLockError::Error)) {
        Ok(()) => Ok(file),
        Err(error) => Err(private::not_locked(path, &error)),
    }
}

/// Checks that the table is of this schema and made with one of these keys. Returns the newest time that was ever written.
fn check(database: &Database, path: &Path, keys: &Keyring) -> Result<Timestamp, StartupError> {
    let read = |entry| meta(database, entry).map_err(|error| damaged(path, error));
    match number(&read(VERSION_ENTRY)?) {
        Some(VERSION) => {}
        Some(found) if found > VERSION => {
            return Err(StartupError::new(format!(
                "{} was written by a later version of this program (schema {found}). Use that version",
                path.display()
            )));
        }
        Some(_) | None => return Err(damaged(path, "it has no schema version")),
    }
    let stored = read(KEY_CHECK_ENTRY)?;
    if !key_checks(keys).iter().any(|check| check.matches(&stored)) {
        let advice = "Restore the key, or move the file away: everyone then has to log in again";
        return Err(other_key(path.display(), advice));
    }
    Ok(Timestamp(number(&read(NEWEST_ENTRY)?).unwrap_or(0)))
}

/// Replaces the check of an older key by that of the sealing key, so that the older key can be removed from the key file later.
pub(super) fn adopt_key(database: &Database, keys: &Keyring) -> Result<(), Error> {
    let stored = meta(database, KEY_CHECK_ENTRY)?;
    let is_first = key_checks(keys).first().is_some_and(|check| check.matches(&stored));
    if is_first { Ok(()) } else { initialize(database, keys) }
}

/// Writes the schema's version. A table has it from its creation; writing it again tests whether the disk takes writes.
pub(super) fn write_version(tables: &mut Tables<'_>) -> Result<(), Error> {
    tables.meta.insert(VERSION_ENTRY, VERSION.to_be_bytes().as_slice())?;
    Ok(())
}

/// Creates missing tables, and writes the version and the check of the sealing key.
fn initialize(database: &Database, keys: &Keyring) -> Result<(), Error> {
    let transaction = database.begin_write()?;
    let mut tables = Tables::open(&transaction)?;
    write_version(&mut tables)?;
    if let Some(check) = key_checks(keys).first() {
        tables.meta.insert(KEY_CHECK_ENTRY, check.expose().as_slice())?;
    }
    drop(tables); // they borrow the transaction
    Ok(transaction.commit()?)
}

/// An entry of `meta`; empty if it is not there.
fn meta(database: &Database, entry: &str) -> Result<Vec<u8>, Error> {
    let table = database.begin_read()?.open_table(META)?;
    Ok(table.get(entry)?.map(|value| value.value().to_vec()).unwrap_or_default())
}

/// A proof of each key that does not reveal it, because HKDF cannot be inverted. The sealing key's comes first.
pub(super) fn key_checks(keys: &Keyring) -> Vec<Secret<[u8; 32]>> {
    keys.derive(&[b"grants file"])
}

fn builder() -> Builder {
    let mut builder = Builder::new();
    builder.set_cache_size(limits::DATABASE_CACHE_BYTES).set_check_integrity_on_open(true);
    builder
}

fn open_database(file: File, path: &Path) -> Result<Database, StartupError> {
    let database = FileBackend::new(file).and_then(|backend| builder().create_with_backend(backend));
    database.map_err(|error| open_error(error, path))
}

fn open_error(error: DatabaseError, path: &Path) -> StartupError {
    let detail = error.to_string();
    if matches!(error, DatabaseError::DatabaseAlreadyOpen) {
        return private::not_locked(path, &TryLockError::WouldBlock);
    }
    // redb reports a file that is not one of its own with these two kinds.
    if let DatabaseError::Storage(StorageError::Io(source)) = error
        && !matches!(source.kind(), ErrorKind::InvalidData | ErrorKind::UnexpectedEof)
    {
        return io_error(path)(source);
    }
    damaged(path, detail)
}

/// The table cannot be opened with the keys that there are.
pub(super) fn other_key(place: impl std::fmt::Display, advice: &'static str) -> StartupError {
    StartupError::new(format!("{place} was written under a key that is not in the key file. {advice}"))
}

/// The file is no grants table, or no longer one.
pub(super) fn damaged(path: &Path, detail: impl std::fmt::Display) -> StartupError {
    StartupError::new(format!(
        "{} is damaged or not a grants table ({detail}). Restore a backup, or move the file away: everyone then has to log \
         in again",
        path.display()
    ))
}
