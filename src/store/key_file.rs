//! The key file: one key a line, base64url of 32 bytes, `#` starts a comment. The first key seals, all open.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use super::Grants;
#[cfg(test)]
use super::private::StateDirectory;
use super::private::{self, io_error};
use super::redb::NAME as GRANTS;
use crate::base::{Random, Secret, StartupError, base64url, capped, from_base64url, limits};
use crate::seal::Keyring;

/// Its name in the state directory.
pub const NAME: &str = "key";

const HEADER: &str = "# The keys of this server. The first one seals, all of them open. Keep them secret.\n";

/// The location of the keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyFile {
    /// The file.
    pub path: PathBuf,
    /// Whether the operator has named it: a mounted secret or a systemd credential, perhaps a symlink, of which the target is
    /// checked. Otherwise it is a plain file in the state directory.
    pub is_named: bool,
}

/// The keys; `None` if there are none yet and the next start makes the first one in the state directory at `state`. A missing
/// key is an error if it was named elsewhere, or if there is a table that was made with it.
pub fn find(file: &KeyFile, state: &Path) -> Result<Option<Keyring>, StartupError> {
    let path = &file.path;
    let opened = if file.is_named {
        match private::open_named(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound && *path == state.join(NAME) => None,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(no_file(path)),
            opened => Some(opened.map_err(io_error(path))?),
        }
    } else {
        private::open_private(path)?
    };
    match opened {
        Some(opened) => {
            private::check_given(&opened, path, state)?;
            read(opened, path).and_then(|keys| keyring(&keys, path)).map(Some)
        }
        None if state.join(GRANTS).exists() => Err(missing(path)),
        None => Ok(None),
    }
}

/// The keys in a state directory; makes the first one if there is neither a key nor anything made with one.
#[cfg(test)]
pub fn load_or_create(directory: &StateDirectory, random: &dyn Random) -> Result<Keyring, StartupError> {
    let file = KeyFile { path: directory.file(NAME), is_named: false };
    find(&file, directory.path())?.map_or_else(|| create(&file.path, random), Ok)
}

/// Makes the first key.
pub fn create(path: &Path, random: &dyn Random) -> Result<Keyring, StartupError> {
    let keys = [Secret::new(random.bytes())];
    private::write_private(path, print(&keys).as_bytes())?;
    keyring(&keys, path)
}

/// Puts a new key before the others: first in the file at `path`, then in `keys`, so that nothing is sealed under a key
/// that a crash would lose. Returns how many keys there are now. Comments are not kept. After an error `keys` are as they
/// were, and so is the file, unless the error says that it was replaced. Must not run twice at the same time.
pub fn rotate(
    path: &Path,
    keys: &Keyring,
    table: &dyn Grants,
    random: &dyn Random,
) -> Result<usize, StartupError> {
    let file = private::open_private(path)?.ok_or_else(|| missing(path))?;
    let mut all = read(file, path)?;
    keyring(&all, path)?;
    all.insert(0, Secret::new(random.bytes()));
    let new = keyring(&all, path)?;
    private::write_private(path, print(&all).as_bytes())?;
    keys.replace(new);
    // Without this, a start from whose key file the older keys were removed would refuse the table. If the disk refuses now, that
    // is in the log, and the next start, with all keys, does it.
    let _ = table.adopt_key(keys);
    Ok(all.len())
}

fn read(file: File, path: &Path) -> Result<Vec<Secret<[u8; 32]>>, StartupError> {
    let text = capped::read_from(file, limits::FILE_BYTES).and_then(capped::text).map_err(io_error(path))?;
    parse(&text).map_err(|line| {
        let path = path.display();
        StartupError::new(format!("{path}, line {line}: a key is 43 characters of base64url (32 bytes)"))
    })
}

fn keyring(keys: &[Secret<[u8; 32]>], path: &Path) -> Result<Keyring, StartupError> {
    let keys = Some(keys).filter(|keys| keys.len() <= limits::KEYS).and_then(Keyring::new);
    keys.ok_or_else(|| {
        let path = path.display();
        StartupError::new(format!("{path} must hold from 1 to {} keys, the newest first", limits::KEYS))
    })
}

/// A named file is the operator's: if each of several servers made one, they would have different keys.
fn no_file(path: &Path) -> StartupError {
    let path = path.display();
    StartupError::new(format!(
        "{path}, which MCP_OAUTH_KEY_FILE names, does not exist, and a start makes none there. Copy the file that the \
         grants were made with, or, if there are none yet: (umask 077; openssl rand 32 | basenc --base64url | tr -d = > {path})"
    ))
}

fn missing(path: &Path) -> StartupError {
    StartupError::new(format!(
        "{} is missing, but there are grants made with it. Restore it, or delete the grants too: everyone then has to \
         log in again",
        path.display()
    ))
}

/// The keys in the text of a key file, or the number of the first line that is not a key.
fn parse(text: &str) -> Result<Vec<Secret<[u8; 32]>>, usize> {
    let lines = text.lines().enumerate().map(|(index, line)| (index.saturating_add(1), line.trim()));
    lines
        .filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
        .map(|(number, line)| {
            let bytes = from_base64url(line).and_then(|bytes| bytes.try_into().ok());
            bytes.map(Secret::new).ok_or(number)
        })
        .collect()
}

fn print(keys: &[Secret<[u8; 32]>]) -> String {
    let lines = keys.iter().map(|key| base64url(key.expose()) + "\n");
    HEADER.to_owned() + &lines.collect::<String>()
}

#[cfg(test)]
mod tests;
