//! The state directory and its files, which only this user may touch (S1): how they are made, opened and
//! locked.

use std::fs::{DirBuilder, File, Metadata, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, fchown};
use std::path::{Path, PathBuf};

use crate::base::{Cause, StartupError};
use crate::sys;

/// The directory that holds the key file and the grants. Ours alone as long as this value lives.
#[derive(Debug)]
pub struct StateDirectory {
    path: PathBuf,
    /// The purpose that it was opened for.
    pub(super) opened_for: OpenedFor,
    /// Whether its owner could not be verified: the volume may map users, and a check must not create a file to see how.
    is_unproven: bool,
    /// The directory itself, locked until this is dropped or the process ends, however it ends.
    lock: File,
}

impl Drop for StateDirectory {
    fn drop(&mut self) {
        // Closing is not enough: a child process that is just being started holds a copy of the file until it runs.
        let _ = self.lock.unlock();
    }
}

/// The purpose of opening a state directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenedFor {
    Server,
    /// A command of the operator, which root may run on any user's directory.
    Command,
    /// A check, which changes nothing: the table is a copy in memory.
    Check,
}

impl StateDirectory {
    /// Opens the state directory for a server, after making it (0700) if there is none, and keeps other processes out.
    pub fn open(path: &Path) -> Result<StateDirectory, StartupError> {
        DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(io_error(path))?;
        let missing = || io_error(path)(io::ErrorKind::NotFound.into());
        StateDirectory::existing(path, OpenedFor::Server)?.ok_or_else(missing)
    }

    /// Opens the state directory if there is one, and keeps other processes out. It is an error that others may look into
    /// it, that it is not ours, or that another process has it.
    pub fn existing(path: &Path, opened_for: OpenedFor) -> Result<Option<StateDirectory>, StartupError> {
        // A symlink is followed here, because systemd's StateDirectory= is one. The checks are of its target.
        let lock = match OpenOptions::new().read(true).custom_flags(libc::O_DIRECTORY).open(path) {
            Ok(lock) => lock,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(io_error(path)(error)),
        };
        let (found, us) = check_mode(&lock, path, 0o700)?;
        // Root can open root's directories in any case, and a Kubernetes volume belongs to root and is ours by its group.
        let is_ours = found.uid() == us || found.uid() == 0 || (us == 0 && opened_for == OpenedFor::Command);
        let owner = if is_ours {
            Some(found.uid())
        } else {
            owner_of_new_files(path, opened_for).unwrap_or(Some(us))
        };
        if owner.is_some_and(|owner| owner != found.uid()) {
            return Err(foreign_owner(path, found.uid(), us));
        }
        match lock.try_lock() {
            Ok(()) => {
                let (path, is_unproven) = (path.to_owned(), owner.is_none());
                Ok(Some(StateDirectory { path, opened_for, is_unproven, lock }))
            }
            Err(error) => Err(not_locked(path, &error)),
        }
    }

    /// Writes the directory's entries to the disk. Some network volumes cannot; a power failure may then lose the name of a new file.
    pub fn sync(&self) -> io::Result<()> {
        self.lock.sync_all()
    }

    /// Whether it belongs to another user, who may be us if the volume maps users; a start finds out.
    pub fn is_unproven(&self) -> bool {
        self.is_unproven
    }

    /// Its path.
    #[cfg(test)]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The path of a file in it.
    pub fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }
}

/// Opens a file of ours for reading and writing; `None` if there is none. Never follows a symlink.
pub(super) fn open_private(path: &Path) -> Result<Option<File>, StartupError> {
    let flags = libc::O_NOFOLLOW;
    match OpenOptions::new().read(true).write(true).custom_flags(flags).open(path) {
        Ok(file) => {
            let (found, us) = check_mode(&file, path, 0o600)?;
            check_owner(&found, us, path, metadata_of_parent(path))?;
            Ok(Some(file))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) if error.raw_os_error() == Some(libc::ELOOP) => Err(wrong_kind(path)),
        Err(error) => Err(io_error(path)(error)),
    }
}

/// Creates a file of ours (0600) and never follows a symlink. Removes what an interrupted start left at `path`.
pub(super) fn create_private(path: &Path) -> Result<File, StartupError> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(io_error(path)(error)),
        Ok(()) | Err(_) => {}
    }
    create_new(path).map_err(io_error(path))
}

/// Creates a file of ours (0600) where none may be. O_CREAT with O_EXCL follows no symlink.
pub fn create_new(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(path)
}

/// Opens a file that the operator named for reading. A pipe is opened, too, and not waited for.
pub(super) fn open_named(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path)
}

/// Opens a copy of the table for reading, which perhaps another user's process has made: never through a link of any kind.
pub(super) fn open_copy(path: &Path) -> io::Result<File> {
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK;
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    let found = file.metadata()?;
    let owners = [Some(sys::effective_user()), metadata_of_parent(path).map(|directory| directory.uid())];
    if found.is_file() && found.nlink() == 1 && owners.contains(&Some(found.uid())) {
        return Ok(file);
    }
    Err(io::Error::new(io::ErrorKind::InvalidData, "the server's copy is not a file of its own"))
}

/// The owner that new files in this directory get, which on a network volume need not be the user that this process runs as. Found
/// by creating a file: an unnamed one where the volume supports that, else a named one, which a check must not create: `None`.
fn owner_of_new_files(directory: &Path, opened_for: OpenedFor) -> Result<Option<u32>, StartupError> {
    let unnamed = OpenOptions::new().write(true).mode(0o600).custom_flags(libc::O_TMPFILE).open(directory);
    let file = match unnamed {
        Ok(file) => file,
        Err(error) if !matches!(error.raw_os_error(), Some(libc::EOPNOTSUPP | libc::EISDIR)) => {
            return Err(io_error(directory)(error));
        }
        Err(_) if opened_for == OpenedFor::Check => return Ok(None),
        Err(_) => {
            let path = directory.join("owner.new");
            let file = create_private(&path)?;
            std::fs::remove_file(&path).map_err(io_error(&path))?;
            file
        }
    };
    file.metadata().map(|found| Some(found.uid())).map_err(io_error(directory))
}

/// Gives a file that root has made to the owner of the file that it replaces, or of its directory.
pub(super) fn give_to_owner(file: &File, path: &Path) -> io::Result<()> {
    let found = std::fs::metadata(path).ok().or_else(|| metadata_of_parent(path));
    match found {
        Some(found) if sys::effective_user() == 0 && file.metadata()?.uid() != found.uid() => {
            fchown(file, Some(found.uid()), Some(found.gid()))
        }
        Some(_) | None => Ok(()),
    }
}

fn metadata_of_parent(path: &Path) -> Option<Metadata> {
    std::fs::metadata(parent(path)).ok()
}

fn parent(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Writes a whole file: all of it or nothing, however the process ends.
pub(super) fn write_private(path: &Path, contents: &[u8]) -> Result<(), StartupError> {
    let temporary = path.with_extension("new");
    let mut file = create_private(&temporary)?;
    let written = give_to_owner(&file, path).and_then(|()| file.write_all(contents));
    written.and_then(|()| file.sync_all()).map_err(io_error(&temporary))?;
    publish(&temporary, path)
}

/// Renames a complete file, durably where directories can be synced: [`StateDirectory::sync`].
pub(super) fn publish(temporary: &Path, path: &Path) -> Result<(), StartupError> {
    // First: if it cannot be opened, nothing has changed.
    let directory = File::open(parent(path)).map_err(io_error(parent(path)))?;
    std::fs::rename(temporary, path).map_err(io_error(path))?;
    match directory.sync_all() {
        Err(error) if matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported) => {
            Ok(())
        }
        synced => synced.map_err(|error| {
            let path = path.display();
            StartupError::new(format!("{path} was replaced, but a power failure may undo that: {error}"))
        }),
    }
}

/// Checks that `file` is of the right kind and closed to others than its owner and its group. `wanted` is 0o700 for a
/// directory, 0o600 for a file. Returns what was found, and the user that we are.
fn check_mode(file: &File, path: &Path, wanted: u32) -> Result<(Metadata, u32), StartupError> {
    let found = file.metadata().map_err(io_error(path))?;
    let right_kind = if wanted == 0o700 { found.is_dir() } else { found.is_file() };
    if !right_kind {
        return Err(wrong_kind(path));
    }
    let mode = found.mode() & 0o7777;
    if mode & 0o007 != 0 {
        let path = path.display();
        return Err(StartupError::new(format!(
            "{path} is open to other users (mode {mode:04o}). Run: chmod {wanted:o} {path} (of a Kubernetes secret, set \
             defaultMode: 0440; of a CIFS volume, mount it with file_mode=0600,dir_mode=0700)"
        )));
    }
    Ok((found, sys::effective_user()))
}

/// `map_err` for file operations.
pub(super) fn io_error(path: &Path) -> impl FnOnce(io::Error) -> StartupError {
    move |error| StartupError {
        advice: "The server's user must be able to read and write it; MCP_STATE_DIR names another place"
            .to_owned(),
        cause: if error.kind() == io::ErrorKind::PermissionDenied { Cause::Denied } else { Cause::Other },
        ..StartupError::unusable(path.display(), error)
    }
}

fn foreign_owner(path: &Path, owner: u32, us: u32) -> StartupError {
    let path = path.display();
    StartupError {
        advice: format!("Run: chown -R {us} {path}, or start the server as user {owner}"),
        cause: Cause::Denied,
        ..StartupError::new(format!("{path} belongs to user {owner}, but the server runs as user {us}"))
    }
}

/// The directory or the table in it is locked by another process, or cannot be locked.
pub(super) fn not_locked(path: &Path, error: &TryLockError) -> StartupError {
    let path = path.display();
    match error {
        TryLockError::WouldBlock => StartupError {
            advice: "Stop it, or choose another MCP_STATE_DIR".to_owned(),
            cause: Cause::InUse,
            ..StartupError::new(format!("another server is already running with {path}"))
        },
        TryLockError::Error(error) => StartupError::new(format!(
            "{path} cannot be locked ({error}), so a second server could write to the same table. Put the state \
             directory on a local disk, or mount the volume with locks (NFS 4, or NFS 3 with rpc.statd; no nolock)"
        )),
    }
}

fn wrong_kind(path: &Path) -> StartupError {
    let path = path.display();
    StartupError::new(format!("{path} is not what it should be: a plain file, or a directory"))
}

/// Checks that a file belongs to us, to root, or to the owner of the directory that it is trusted with.
fn check_owner(found: &Metadata, us: u32, path: &Path, holder: Option<Metadata>) -> Result<(), StartupError> {
    let owner = found.uid();
    if owner == us || owner == 0 || holder.is_some_and(|holder| holder.uid() == owner) {
        return Ok(());
    }
    Err(foreign_owner(path, owner, us))
}

/// Checks a file that the operator gave, perhaps through systemd or Kubernetes: ours, root's, or the state directory's
/// owner's, and nothing for others.
pub(super) fn check_given(file: &File, path: &Path, state: &Path) -> Result<(), StartupError> {
    let (found, us) = check_mode(file, path, 0o600)?;
    check_owner(&found, us, path, std::fs::metadata(state).ok())
}

/// Fails unless the mode of this directory lets us create files in it.
pub fn check_directory(path: &Path) -> io::Result<()> {
    let (found, user) = (std::fs::metadata(path)?, sys::effective_user());
    // The group's bits apply to its members and to users named in an access list.
    let writers = if found.uid() == user { 0o200 } else { 0o022 };
    if !found.is_dir() {
        return Err(io::ErrorKind::NotADirectory.into());
    }
    let may = user == 0 || found.mode() & writers != 0;
    if may { Ok(()) } else { Err(io::ErrorKind::PermissionDenied.into()) }
}

#[cfg(test)]
mod tests;
