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
    let written = write(database, file, unwritten);
    if written.is_err() {
        let _ = fs::remove_file(path); // a part of a copy is of no use, and the disk may be full
    }
    written
}

fn write(
    database: &Database,
    file: File,
    unwritten: impl Fn(&dyn Display) -> Failure,
) -> Result<(), Failure> {
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

/// Moves a copy to where it was asked for, in a file (0600) that must not be there yet. Whatever happens, the copy is gone
/// afterwards, and a part of it is not left at `path`.
///
/// # Errors
/// What the operating system says; `InvalidData` if `copy` is not a plain file of ours or of its directory's owner: the
/// process that made it could otherwise have root read any file.
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
mod tests {
    use super::*;
    use crate::store::private::fake::TestDirectory;

    fn place(directory: &TestDirectory) -> (std::path::PathBuf, std::path::PathBuf) {
        fs::create_dir(directory.path()).unwrap();
        (directory.path().join("backup.new"), directory.path().join("copy.redb"))
    }

    #[test]
    fn a_copy_is_moved_and_nothing_is_overwritten() {
        let directory = TestDirectory::new();
        let (copy, target) = place(&directory);
        fs::write(&copy, "grants").unwrap();
        deliver(&copy, &target).unwrap();
        assert_eq!(fs::read_to_string(&target).unwrap(), "grants");
        assert!(!copy.exists());
        fs::write(&copy, "later").unwrap();
        assert_eq!(deliver(&copy, &target).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read_to_string(&target).unwrap(), "grants");
        assert!(!copy.exists(), "a copy of all grants is left behind");
    }

    /// The process that made the copy may be somebody else's by now, and the command root's.
    #[test]
    fn a_link_in_the_place_of_a_copy_is_not_followed() {
        let directory = TestDirectory::new();
        let (copy, target) = place(&directory);
        let secret = directory.path().join("shadow");
        fs::write(&secret, "secret").unwrap();
        std::os::unix::fs::symlink(&secret, &copy).unwrap();
        assert!(deliver(&copy, &target).is_err());
        fs::hard_link(&secret, &copy).unwrap();
        assert_eq!(deliver(&copy, &target).unwrap_err().kind(), io::ErrorKind::InvalidData);
        assert!(!target.exists());
        assert_eq!(fs::read_to_string(&secret).unwrap(), "secret");
    }
}
