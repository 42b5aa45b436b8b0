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

/// Moves a copy to `path`, a file (0600) that must not exist yet. Afterwards the copy is gone, also after an error,
/// and no part of it is left at `path`. `InvalidData` if `copy` is not a plain file of ours or of its
/// directory's owner: the process that made it could otherwise have root read any file.
pub fn deliver(copy: &Path, path: &Path) -> io::Result<()> {
    let delivered = private::open_copy(copy).and_then(|mut from| {
        let mut file = private::create_new(path)?;
        let written = io::copy(&mut from, &mut file).and_then(|_| file.sync_all());
        if written.is_err() {
            let _ = fs::remove_file(path);
        }
        written
    });
    let removed = fs::remove_file(copy);
    delivered.and(removed)
}

#[cfg(test)]
mod tests;
