//! The key file: one key a line, base64url of 32 bytes, `#` starts a comment. The first key seals, all open.

use std::fmt::Write as _;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use super::open_error::{OpenError, io_error};
use super::private;
#[cfg(any(test, feature = "internals"))]
use super::private::StateDirectory;
use super::redb::{NAME as GRANTS, RedbGrants};
use crate::base::encoding::{base64url, from_base64url};
use crate::base::random::Random;
use crate::base::secret::Secret;
use crate::base::{capped, limits};
use crate::seal::Keyring;

/// Its name in the state directory.
pub const NAME: &str = "key";

const HEADER: &str = "# The keys of this server. The first one seals, all of them open. Keep them secret.\n";

/// Where the keys are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyFile {
    /// The file.
    pub path: PathBuf,
    /// Who chose it.
    pub choice: Choice,
}

/// Who chose where the keys are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    /// This program: in the state directory. A plain file.
    Default,
    /// The operator: a mounted secret or a systemd credential, perhaps a symlink, of which the target is checked.
    Named,
}

/// The keys; `None` if there are none yet and the next start makes the first one in the state directory at `state`.
///
/// # Errors
/// [`OpenError`]. A missing key is one if it was named elsewhere, or if there is a table that was made with it.
pub fn find(file: &KeyFile, state: &Path) -> Result<Option<Keyring>, OpenError> {
    let path = &file.path;
    let opened = match file.choice {
        Choice::Default => private::open_private(path)?,
        Choice::Named => match private::open_named(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound && *path == state.join(NAME) => None,
            opened => Some(opened.map_err(io_error(path))?),
        },
    };
    match opened {
        Some(opened) => {
            private::check_given(&opened, path, state)?;
            read(opened, path).and_then(|keys| keyring(&keys, path)).map(Some)
        }
        None if state.join(GRANTS).exists() => Err(OpenError::KeyMissing(path.clone())),
        None => Ok(None),
    }
}

/// The keys in a state directory; makes the first one if there is neither a key nor anything made with one.
///
/// # Errors
/// [`OpenError`].
#[cfg(any(test, feature = "internals"))]
pub fn load_or_create(directory: &StateDirectory, random: &dyn Random) -> Result<Keyring, OpenError> {
    let file = KeyFile { path: directory.file(NAME), choice: Choice::Default };
    find(&file, directory.path())?.map_or_else(|| create(&file.path, random), Ok)
}

/// Makes the first key.
///
/// # Errors
/// [`OpenError`].
pub fn create(path: &Path, random: &dyn Random) -> Result<Keyring, OpenError> {
    let keys = [Secret::new(random.bytes())];
    private::write_private(path, print(&keys).as_bytes())?;
    keyring(&keys, path)
}

/// Puts a new key before the others: first in the file at `path`, then in `keys`, so that nothing is sealed under a key
/// that a crash would lose. Says how many keys there are now. Comments are not kept. Not to be called twice at once.
///
/// # Errors
/// [`OpenError`]; `keys` are then as they were.
pub fn rotate(
    path: &Path,
    keys: &Keyring,
    table: &RedbGrants,
    random: &dyn Random,
) -> Result<usize, OpenError> {
    let new = prepend(path, random)?;
    let count = new.len();
    keys.replace(keyring(&new, path)?);
    // Else it would be the start without the older keys that finds the table made with one of them. If the disk refuses
    // now, that is in the log, and the next start with all the keys makes up for it.
    let _ = table.adopt_key(keys);
    Ok(count)
}

/// Puts a new key before those in the file. What goes wrong leaves the file as it was.
fn prepend(path: &Path, random: &dyn Random) -> Result<Vec<Secret<[u8; 32]>>, OpenError> {
    let file = private::open_private(path)?.ok_or_else(|| OpenError::KeyMissing(path.to_owned()))?;
    let mut keys = read(file, path)?;
    keys.insert(0, Secret::new(random.bytes()));
    if keys.len() > limits::KEYS {
        return Err(OpenError::KeyCount(path.to_owned()));
    }
    private::write_private(path, print(&keys).as_bytes())?;
    Ok(keys)
}

fn read(file: File, path: &Path) -> Result<Vec<Secret<[u8; 32]>>, OpenError> {
    let text = capped::read_text_from(file, limits::KEY_FILE_BYTES).map_err(io_error(path))?;
    let keys = parse(&text).map_err(|line| OpenError::BadKey { path: path.to_owned(), line })?;
    let count_is_right = (1..=limits::KEYS).contains(&keys.len());
    count_is_right.then_some(keys).ok_or_else(|| OpenError::KeyCount(path.to_owned()))
}

fn keyring(keys: &[Secret<[u8; 32]>], path: &Path) -> Result<Keyring, OpenError> {
    Keyring::new(keys).ok_or_else(|| OpenError::KeyCount(path.to_owned()))
}

/// The keys of a key file's text, or the number of the line that is none.
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
    let mut text = String::from(HEADER);
    for key in keys {
        let _ = writeln!(text, "{}", base64url(key.expose())); // writing to a String cannot fail
    }
    text
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::super::redb;
    use super::private::fake::TestDirectory;
    use super::*;
    use crate::base::random::CountedRandom;

    fn opens(keys: &Keyring, other: &Keyring) -> bool {
        let sealed = other.encrypt(&[b"test"], b"text", &CountedRandom::default());
        keys.decrypt(&[b"test"], &sealed).is_some()
    }

    #[test]
    fn the_first_start_makes_a_key_and_the_next_reads_it() {
        let test = TestDirectory::new();
        let directory = StateDirectory::open(test.path()).unwrap();
        let random = CountedRandom::default();
        let made = load_or_create(&directory, &random).unwrap();
        let read = load_or_create(&directory, &random).unwrap();
        assert!(opens(&read, &made));
        let mode = std::fs::metadata(directory.file(NAME)).unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, 0o600);
    }

    /// S4: a lost key is not silently replaced while there is something that only it opens.
    #[test]
    fn a_missing_key_beside_grants_is_refused() {
        let test = TestDirectory::new();
        let directory = StateDirectory::open(test.path()).unwrap();
        std::fs::write(directory.file(redb::NAME), "").unwrap();
        let outcome = load_or_create(&directory, &CountedRandom::default());
        assert!(matches!(outcome, Err(OpenError::KeyMissing(_))), "{outcome:?}");
    }

    /// S4: after a rotation the new key seals and the older ones still open.
    #[test]
    fn a_prepended_key_seals_and_the_older_ones_open() {
        let test = TestDirectory::new();
        let directory = StateDirectory::open(test.path()).unwrap();
        let random = CountedRandom::default();
        let before = load_or_create(&directory, &random).unwrap();
        assert_eq!(prepend(&directory.file(NAME), &random).unwrap().len(), 2);
        let after = load_or_create(&directory, &random).unwrap();
        assert!(opens(&after, &before) && !opens(&before, &after));
    }

    #[test]
    fn a_full_key_file_is_left_as_it_is() {
        let test = TestDirectory::new();
        let directory = StateDirectory::open(test.path()).unwrap();
        let random = CountedRandom::default();
        load_or_create(&directory, &random).unwrap();
        for count in 2..=limits::KEYS {
            assert_eq!(prepend(&directory.file(NAME), &random).unwrap().len(), count);
        }
        let text = std::fs::read(directory.file(NAME)).unwrap();
        assert!(matches!(prepend(&directory.file(NAME), &random), Err(OpenError::KeyCount(_))));
        assert_eq!(std::fs::read(directory.file(NAME)).unwrap(), text);
    }

    #[test]
    fn a_line_that_is_no_key_is_named() {
        let key = base64url(&[7; 32]);
        let check = |text: String, expected: Result<usize, usize>| {
            assert_eq!(parse(&text).map(|keys| keys.len()), expected, "{text}");
        };
        check(format!("# comment\n\n  {key}  \n{key}\r\n"), Ok(2));
        check(String::new(), Ok(0));
        check(format!("{key}\n{key}="), Err(2));
        check(format!("# comment\n{}", base64url(&[7; 31])), Err(2));
        check(format!("{key} {key}"), Err(1));
    }

    /// S1: a named key file may be its group's and a symlink, as Kubernetes mounts secrets, but nothing for others.
    #[test]
    fn a_named_file_may_be_a_symlink_whose_target_others_cannot_read() {
        let test = TestDirectory::new();
        let directory = StateDirectory::open(test.path()).unwrap();
        let (target, path) = (directory.file("..data"), directory.file(NAME));
        std::fs::write(&target, base64url(&[7; 32])).unwrap();
        std::os::unix::fs::symlink(&target, &path).unwrap();
        let find = |choice| find(&KeyFile { path: path.clone(), choice }, directory.path());
        for (mode, welcome) in [(0o400, true), (0o600, true), (0o440, true), (0o644, false), (0o604, false)] {
            std::fs::set_permissions(&target, std::fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(find(Choice::Named).is_ok(), welcome, "{mode:o}");
        }
        assert!(matches!(find(Choice::Default), Err(OpenError::WrongKind(_))));
        std::fs::remove_file(&path).unwrap();
        assert!(find(Choice::Named).unwrap().is_none(), "made at the first start");
        let elsewhere = KeyFile { path: directory.file("other"), choice: Choice::Named };
        assert!(super::find(&elsewhere, directory.path()).is_err());
    }
}
