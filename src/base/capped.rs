//! Reads of limited size: the operator's files, the answers of other servers.

use std::fmt::Display;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serde::de::DeserializeOwned;

use super::{json, limits, startup_error::StartupError};

/// The bytes of an operator's file. It is looked at before it is opened: to open a pipe would wait for a writer.
pub fn read(path: &Path) -> io::Result<Vec<u8>> {
    let file = path.metadata()?.is_file().then(|| File::open(path));
    read_from(file.ok_or_else(|| io::Error::other("it is not a regular file"))??, limits::FILE_BYTES)
}

/// Whether the mode of a file or directory has one of these bits: `0o006` lets every user of this machine read or change it, `0o002`
/// change it, `0o070` lets its group use it.
pub fn is_exposed(path: &Path, bits: u32) -> bool {
    path.metadata().is_ok_and(|file| file.permissions().mode() & bits != 0)
}

/// All bytes of a reader, or an error ([`io::ErrorKind::FileTooLarge`]) if there are more than `most`.
pub fn read_from(reader: impl Read, most: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    // One byte above the limit, to distinguish a file of exactly that size from a larger one.
    let limit = u64::try_from(most).unwrap_or(u64::MAX).saturating_add(1);
    if reader.take(limit).read_to_end(&mut bytes)? > most {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("larger than {most} bytes")));
    }
    Ok(bytes)
}

/// Reads the JSON file that `option` names as a type; structs from objects only, never from arrays.
///
/// # Errors
/// The file, and its fault.
pub fn json<T: DeserializeOwned>(option: &str, path: &Path) -> Result<T, StartupError> {
    let unusable = |why: &dyn Display| StartupError::in_file(option, path, why);
    let text = read(path).and_then(text).map_err(|error| unusable(&error))?;
    let value = json::check(&text, limits::JSON_VALUES, |_| false).and_then(|()| json::read(&text));
    value.map_err(|error| unusable(&format!("not JSON that can be used: {error}")))
}

/// The bytes as text.
pub fn text(bytes: Vec<u8>) -> io::Result<String> {
    String::from_utf8(bytes).map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "it is not UTF-8 text"))
}

#[cfg(test)]
mod tests;
