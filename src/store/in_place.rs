//! A file that counts as written only as long as it is where it will be looked for: what is committed to a file that
//! somebody removed would be gone with the process (S2, S3).

use std::fs::{self, File, Metadata};
use std::io;
use std::ops::Bound;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::private;
use ::redb::backends::FileBackend;
use ::redb::{BackendError, DatabaseError, StorageBackend};

/// redb's own file backend, and a look at the path before each time that it calls something durable.
#[derive(Debug)]
pub(super) struct InPlace {
    path: PathBuf,
    /// The file's device and number on it.
    identity: (u64, u64),
    file: FileBackend,
}

impl InPlace {
    /// Takes over the open file that is at `path`.
    pub(super) fn new(file: File, path: &Path) -> Result<InPlace, DatabaseError> {
        let identity = identity(&file.metadata().map_err(DatabaseError::from)?);
        Ok(InPlace { path: path.to_owned(), identity, file: FileBackend::new(file)? })
    }
}

fn identity(file: &Metadata) -> (u64, u64) {
    (file.dev(), file.ino())
}

impl StorageBackend for InPlace {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.file.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        if !fs::metadata(&self.path).is_ok_and(|found| identity(&found) == self.identity) {
            let text = format!("{} was removed or replaced while the server runs", self.path.display());
            return Err(io::Error::new(io::ErrorKind::NotFound, text));
        }
        self.file.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.file.write(offset, data)
    }

    fn close(&self) -> io::Result<()> {
        self.file.close()
    }

    // The locks are the file's own: they keep a second process out (S1).

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        let is_whole = (start, end) == (Bound::Unbounded, Bound::Unbounded);
        match self.file.try_lock_range(start, end) {
            // redb goes on without a lock where even the whole file cannot be locked.
            Err(BackendError::Unsupported) if is_whole => {
                Err(BackendError::Io(io::Error::from_raw_os_error(private::NO_LOCKS)))
            }
            locked => locked,
        }
    }

    fn try_lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.file.try_lock_shared_range(start, end)
    }

    fn lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.file.lock_range(start, end)
    }

    fn lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.file.lock_shared_range(start, end)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.file.unlock_range(start, end)
    }

    fn query_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.file.query_lock_range(start, end)
    }
}
