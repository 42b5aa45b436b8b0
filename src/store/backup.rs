//! A copy of the table while it is in use.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use ::redb::backends::FileBackend;
use ::redb::{Builder, Database, Key, ReadTransaction, ReadableDatabase, ReadableTable, TableDefinition};
use ::redb::{Value, WriteTransaction};

use super::tables::{BY_END, BY_USER, GRANTS, META};
use super::{Error, private};

/// Writes a snapshot of the table to `path`, where it is complete when it appears: a command may be taking an earlier one from there.
/// The table stays in use meanwhile.
pub(super) fn copy(database: &Database, path: &Path) -> Result<(), Error> {
    let new = path.with_file_name("copy.new");
    let file = private::create_private(&new).map_err(|error| Error::Record(error.to_string()))?;
    let written = write(database, file).map_err(|error| format!("{}: {error}", new.display()));
    let published = written.and_then(|()| private::publish(&new, path).map_err(|error| error.to_string()));
    published.map_err(|error| {
        let _ = fs::remove_file(&new); // a part of a copy is of no use, and the disk may be full
        Error::Record(error) // not `Error::Storage`: the disk that fails need not be the table's
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

/// Moves a copy into a new file. The copy loses its name as soon as it is open, so that one that another command has made in the
/// meantime stays; and it is gone after an error, too. `InvalidData` if `copy` is not a plain file of ours or
/// of its directory's owner: the process that made it could otherwise have root read any file.
pub fn deliver(copy: &Path, mut file: File) -> io::Result<()> {
    let from = private::open_copy(copy);
    fs::remove_file(copy)?;
    io::copy(&mut from?, &mut file)?;
    file.sync_all()
}

/// Removes a file into which nothing, or a part, was delivered.
pub fn withdraw(path: &Path) {
    let _ = fs::remove_file(path); // there is another error to tell of
}

#[cfg(test)]
mod tests;
