//! A file on a disk that fails when a test wants it to.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use ::redb::backends::FileBackend;
use ::redb::{Builder, StorageBackend};

use crate::base::{StartupError, Timestamp};
use crate::store::schema::{self, OpenTable};
use crate::store::{RedbGrants, private};

/// The switches of a disk.
#[derive(Clone, Debug, Default)]
pub(crate) struct Disk {
    /// Nothing can be written.
    is_full: Arc<AtomicBool>,
    /// The next write fails.
    fails_once: Arc<AtomicBool>,
    /// Nothing can be read either.
    is_gone: Arc<AtomicBool>,
    /// Zeros are read.
    is_damaged: Arc<AtomicBool>,
    /// Each page is read again.
    is_uncached: bool,
}

impl Disk {
    pub(crate) fn uncached() -> Disk {
        Disk { is_uncached: true, ..Disk::default() }
    }

    pub(crate) fn fill(&self, is_full: bool) {
        self.is_full.store(is_full, Ordering::SeqCst);
    }

    pub(crate) fn fail_once(&self) {
        self.fails_once.store(true, Ordering::SeqCst);
    }

    pub(crate) fn take_away(&self, is_gone: bool) {
        self.is_gone.store(is_gone, Ordering::SeqCst);
    }

    pub(crate) fn damage(&self, is_damaged: bool) {
        self.is_damaged.store(is_damaged, Ordering::SeqCst);
    }

    /// The table in an existing file on this disk.
    pub(crate) fn table(&self, path: PathBuf) -> RedbGrants {
        let disk = self.clone();
        RedbGrants::new(Box::new(move || disk.open(&path))).unwrap()
    }

    fn open(&self, path: &std::path::Path) -> Result<OpenTable, StartupError> {
        let file = FileBackend::new(private::open_private(path)?.unwrap()).unwrap();
        let file = FileOnDisk { file, disk: self.clone() };
        let mut builder = Builder::new();
        if self.is_uncached {
            builder.set_cache_size(0);
        }
        let database = builder.create_with_backend(file);
        let database = database.map_err(|error| schema::damaged(path, error))?;
        Ok(OpenTable { database, file: None, newest: Timestamp(0) })
    }

    fn check_read(&self) -> io::Result<()> {
        if self.is_gone.load(Ordering::SeqCst) { Err(io::ErrorKind::NotFound.into()) } else { Ok(()) }
    }

    fn check_write(&self) -> io::Result<()> {
        self.check_read()?;
        let fails = self.fails_once.swap(false, Ordering::SeqCst) || self.is_full.load(Ordering::SeqCst);
        if fails { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }
}

#[derive(Debug)]
struct FileOnDisk {
    file: FileBackend,
    disk: Disk,
}

impl StorageBackend for FileOnDisk {
    fn len(&self) -> io::Result<u64> {
        self.disk.check_read()?;
        self.file.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.disk.check_read()?;
        self.file.read(offset, out)?;
        if self.disk.is_damaged.load(Ordering::SeqCst) {
            out.fill(0);
        }
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.disk.check_write()?;
        self.file.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.disk.check_write()?;
        self.file.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.disk.check_write()?;
        self.file.write(offset, data)
    }

    fn close(&self) -> io::Result<()> {
        self.file.close()
    }
}
