//! Every reason not to start with what is in the state directory, in words that say what the operator can do.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use crate::base::limits;

/// Why the server does not start with what it finds. The text says what the operator can do.
#[derive(Debug)]
pub enum OpenError {
    /// The operating system refused.
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// Other users may read or write it.
    LoosePermissions {
        /// The file or directory.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
        /// What they should be.
        wanted: u32,
    },
    /// It belongs to somebody else.
    ForeignOwner {
        /// The file or directory.
        path: PathBuf,
        /// Whose it is.
        owner: u32,
        /// Who we are.
        us: u32,
    },
    /// It is not a regular file, or not a directory.
    WrongKind(PathBuf),
    /// Another process uses the state directory.
    AlreadyRunning(PathBuf),
    /// The key file has a line that is no key.
    BadKey {
        /// The key file.
        path: PathBuf,
        /// Which line, from 1.
        line: usize,
    },
    /// The key file has no key, or more than [`limits::KEYS`].
    KeyCount(PathBuf),
    /// There are grants, but the key file is gone.
    KeyMissing(PathBuf),
    /// The grants were written under a key that is not in the key file.
    WrongKey(PathBuf),
    /// It is no grants table, or no longer one.
    Damaged {
        /// The grants file.
        path: PathBuf,
        /// What was seen.
        detail: String,
    },
    /// A later version of this program wrote it.
    NewerSchema {
        /// The grants file.
        path: PathBuf,
        /// The schema version found.
        found: u64,
    },
    /// The file system has no locks, so a second server could not be kept out.
    NoLocks {
        /// The file or directory.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            OpenError::Io { path, source } => write!(
                f,
                "{}: {source}. The server's user must be able to read and write it; MCP_STATE_DIR names another place",
                path.display()
            ),
            OpenError::LoosePermissions { path, mode, wanted } => {
                let path = path.display();
                write!(
                    f,
                    "{path} is open to other users (mode {mode:04o}). Run: chmod {wanted:o} {path} (of a Kubernetes \
                     secret, set defaultMode: 0440; of a CIFS volume, mount it with file_mode=0600,dir_mode=0700)"
                )
            }
            OpenError::ForeignOwner { path, owner, us } => {
                let path = path.display();
                write!(
                    f,
                    "{path} belongs to user {owner}, but the server runs as user {us}. \
                     Run: chown -R {us} {path}, or start the server as user {owner}"
                )
            }
            OpenError::WrongKind(path) => {
                write!(f, "{} is not what it should be: a plain file, or a directory", path.display())
            }
            OpenError::AlreadyRunning(path) => {
                write!(
                    f,
                    "another server is already running with {}. Stop it, or choose another MCP_STATE_DIR",
                    path.display()
                )
            }
            OpenError::BadKey { path, line } => {
                write!(f, "{}, line {line}: a key is 43 characters of base64url (32 bytes)", path.display())
            }
            OpenError::KeyCount(path) => {
                let path = path.display();
                write!(f, "{path} must hold from 1 to {} keys, one a line", limits::KEYS)
            }
            OpenError::KeyMissing(path) => write!(
                f,
                "{} is missing, but there are grants made with it. Restore it, or delete the grants too: \
                 everyone then has to log in again",
                path.display()
            ),
            OpenError::WrongKey(path) => write!(
                f,
                "{} was written under a key that is not in the key file. Restore the key, or move the \
                 file away: everyone then has to log in again",
                path.display()
            ),
            OpenError::Damaged { path, detail } => write!(
                f,
                "{} is damaged or not a grants table ({detail}). Restore a backup, or move the file away: \
                 everyone then has to log in again",
                path.display()
            ),
            OpenError::NewerSchema { path, found } => write!(
                f,
                "{} was written by a later version of this program (schema {found}). Use that version",
                path.display()
            ),
            OpenError::NoLocks { path, source } => write!(
                f,
                "{} cannot be locked ({source}), so a second server could write to the same table. Put the state \
                 directory on a local disk, or mount the volume with locks (NFS 4, or NFS 3 with rpc.statd; no nolock)",
                path.display()
            ),
        }
    }
}

impl std::error::Error for OpenError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            OpenError::Io { source, .. } | OpenError::NoLocks { source, .. } => Some(source),
            OpenError::LoosePermissions { .. }
            | OpenError::ForeignOwner { .. }
            | OpenError::WrongKind(_)
            | OpenError::AlreadyRunning(_)
            | OpenError::BadKey { .. }
            | OpenError::KeyCount(_)
            | OpenError::KeyMissing(_)
            | OpenError::WrongKey(_)
            | OpenError::Damaged { .. }
            | OpenError::NewerSchema { .. } => None,
        }
    }
}

/// `map_err` for file operations.
pub(super) fn io_error(path: &Path) -> impl FnOnce(io::Error) -> OpenError {
    let path = path.to_owned();
    move |source| OpenError::Io { path, source }
}
