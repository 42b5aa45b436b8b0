//! Why the state directory, or a file in it, is not used. The text says what the operator can do.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// Why the state directory, or a file in it, is not used.
#[derive(Debug)]
pub enum OpenError {
    /// Another process uses the state directory.
    AlreadyRunning(PathBuf),
    /// It belongs to another user than the one that we are.
    ForeignOwner { path: PathBuf, owner: u32, us: u32 },
    /// The operating system refused.
    Io { path: PathBuf, source: io::Error },
    /// It is not what it must be. Whole sentences, which begin with the path.
    Unusable(String),
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            OpenError::AlreadyRunning(path) => write!(
                f,
                "another server is already running with {}. Stop it, or choose another MCP_STATE_DIR",
                path.display()
            ),
            OpenError::ForeignOwner { path, owner, us } => {
                let path = path.display();
                write!(
                    f,
                    "{path} belongs to user {owner}, but the server runs as user {us}. \
                     Run: chown -R {us} {path}, or start the server as user {owner}"
                )
            }
            OpenError::Io { path, source } => write!(
                f,
                "{}: {source}. The server's user must be able to read and write it; MCP_STATE_DIR names another place",
                path.display()
            ),
            OpenError::Unusable(text) => f.write_str(text),
        }
    }
}

impl std::error::Error for OpenError {}

impl OpenError {
    /// The file system has no locks.
    pub(super) fn no_locks(path: &Path, error: &io::Error) -> OpenError {
        OpenError::Unusable(format!(
            "{} cannot be locked ({error}), so a second server could write to the same table. Put the state \
             directory on a local disk, or mount the volume with locks (NFS 4, or NFS 3 with rpc.statd; no nolock)",
            path.display()
        ))
    }

    /// The file is no grants table, or no longer one.
    pub(super) fn damaged(path: &Path, detail: impl fmt::Display) -> OpenError {
        OpenError::Unusable(format!(
            "{} is damaged or not a grants table ({detail}). Restore a backup, or move the file away: \
             everyone then has to log in again",
            path.display()
        ))
    }
}

/// `map_err` for file operations.
pub(super) fn io_error(path: &Path) -> impl FnOnce(io::Error) -> OpenError {
    let path = path.to_owned();
    move |source| OpenError::Io { path, source }
}
