//! Which file was opened: what is written to a file that has lost its name is gone at the next start (S2, S3).

use std::fs::{self, File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// An open file's device and inode number, and the path that it was opened at.
pub(super) struct FileIdentity {
    path: PathBuf,
    device_and_inode: (u64, u64),
}

impl FileIdentity {
    pub(super) fn of(file: &File, path: &Path) -> io::Result<FileIdentity> {
        Ok(FileIdentity { path: path.to_owned(), device_and_inode: device_and_inode(&file.metadata()?) })
    }

    /// Checks that the file is still the one at its path.
    pub(super) fn check(&self) -> io::Result<()> {
        match fs::symlink_metadata(&self.path) {
            Ok(found) if device_and_inode(&found) == self.device_and_inode => Ok(()),
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            Ok(_) | Err(_) => {
                let text = format!("{} was removed or replaced while the server runs", self.path.display());
                Err(io::Error::new(io::ErrorKind::NotFound, text))
            }
        }
    }
}

fn device_and_inode(found: &Metadata) -> (u64, u64) {
    (found.dev(), found.ino())
}
