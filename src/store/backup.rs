//! A copy of the table while it is in use.

use std::fmt::Display;
use std::fs::{self, File};
use std::io;
use std::path::Path;

use ::redb::backends::FileBackend;
use ::redb::{Builder, Database, Key, ReadTransaction, ReadableDatabase, ReadableTable, TableDefinition};
use ::redb::{Value, WriteTransaction};

use super::private;
use super::redb::{BY_END, BY_USER, Failure, GRANTS, META};

/// Writes all of one moment of the table into a new file at `path`, beside which it goes on being used.
pub(super) fn copy(database: &Database, path: &Path) -> Result<(), Failure> {
    // Not the table's disk that fails, as far as is known.
    let unwritten = |error: &dyn Display| Failure::Record(format!("{}: {error}", path.display()));
    let file = private::create_private(path).map_err(|error| unwritten(&error))?;
    let copy = FileBackend::new(file).and_then(|file| Builder::new().create_with_backend(file));
    let copy = copy.map_err(|error| unwritten(&error))?;
    let (from, to) = (database.begin_read()?, copy.begin_write().map_err(|error| unwritten(&error))?);
    copy_table(GRANTS, &from, &to)
        .and_then(|()| copy_table(BY_USER, &from, &to))
        .and_then(|()| copy_table(BY_END, &from, &to))
        .and_then(|()| copy_table(META, &from, &to))
        .map_err(|error| unwritten(&error))?;
    to.commit().map_err(|error| unwritten(&error))
}

fn copy_table<K: Key + 'static, V: Value + 'static>(
    table: TableDefinition<'_, K, V>,
    from: &ReadTransaction,
    to: &WriteTransaction,
) -> Result<(), ::redb::Error> {
    let (from, mut to) = (from.open_table(table)?, to.open_table(table)?);
    for entry in from.iter()? {
        let (key, value) = entry?;
        to.insert(key.value(), value.value())?;
    }
    Ok(())
}

/// Moves a copy to where it was asked for, in a file (0600) that must not be there yet.
///
/// # Errors
/// What the operating system says.
pub fn deliver(copy: &Path, path: &Path) -> io::Result<()> {
    let mut file = private::create_new(path)?;
    io::copy(&mut File::open(copy)?, &mut file)?;
    file.sync_all()?;
    fs::remove_file(copy)
}
