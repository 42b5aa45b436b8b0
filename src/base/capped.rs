//! Reading what may be too large: the operator's files, the answers of other servers.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// The bytes of a file, or an error if there are more than `most`.
pub fn read(path: &Path, most: usize) -> io::Result<Vec<u8>> {
    read_from(File::open(path)?, most)
}

/// Everything that a reader brings, or an error ([`io::ErrorKind::FileTooLarge`]) if that is more than `most` bytes.
pub fn read_from(reader: impl Read, most: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    // One byte more than is welcome, to tell a full file from one that goes on.
    let limit = u64::try_from(most).unwrap_or(u64::MAX).saturating_add(1);
    if reader.take(limit).read_to_end(&mut bytes)? > most {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("larger than {most} bytes")));
    }
    Ok(bytes)
}

/// The same as text, which is UTF-8.
pub fn read_text_from(reader: impl Read, most: usize) -> io::Result<String> {
    let not_text = |_| io::Error::new(io::ErrorKind::InvalidData, "it is not UTF-8 text");
    String::from_utf8(read_from(reader, most)?).map_err(not_text)
}

#[cfg(test)]
mod tests;
