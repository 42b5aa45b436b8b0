//! A copy of the table while it is in use.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use ::redb::backends::FileBackend;
use ::redb::{Builder, Database, Key, ReadTransaction, ReadableDatabase, ReadableTable, TableDefinition};
use ::redb::{Value, WriteTransaction};

use super::tables::{BY_END, BY_USER, GRANTS, META};
use super::{Error, private};

/// Writes a snapshot of the table into a new file at `path`. The table stays in use meanwhile.
pub(super) fn copy(database: &Database, path: &Path) -> Result<(), Error> {
    let file = private::create_private(path).map_err(|error| Error::Record(error.to_string()))?;
    write(database, file).map_err(|error| {
        let _ = fs::remove_file(path); // a part of a copy is of no use, and the disk may be full
        // Not `Error::Storage`: the disk that fails need not be the table's.
        Error::Record(format!("{}: {error}", path.display()))
    })
}

fn write(database: &Database, file: File) -> Result<(), ::redb::Error> {
    let copy = Builder::new().create_with_backend(FileBackend::new(file)?)?;
    let (from, to) = (database.begin_read()?, copy.begin_write()?);
    copy_table(GRANTS, &from, &to)?;
    copy_table(BY_USER, &from, &to)?;
    copy_table(BY_END, &from, &to)?;
    copy_table(META, &from, &to)?;
    Ok(to.commit()?)
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

/// Moves a copy into a new file. Afterwards the copy is gone, also after an error. `InvalidData` if `copy` is not a plain file of ours or
/// of its directory's owner: the process that made it could otherwise have root read any file.
pub fn deliver(copy: &Path, mut file: File) -> io::Result<()> {
    let written = private::open_copy(copy).and_then(|mut from| io::copy(&mut from, &mut file));
    let removed = fs::remove_file(copy);
    written.and_then(|_| file.sync_all()).and(removed)
}

/// Removes a file into which nothing, or a part, was delivered.
pub fn withdraw(path: &Path) {
    let _ = fs::remove_file(path); // there is another error to tell of
}

#[cfg(test)]
mod tests;
