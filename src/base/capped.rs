//! Reading files of the operator, none of which is taken for what it should be before it was read.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// The bytes of a file, or an error if there are more than `most`.
pub fn read(path: &Path, most: usize) -> io::Result<Vec<u8>> {
    let limit = u64::try_from(most).unwrap_or(u64::MAX).saturating_add(1);
    let mut bytes = Vec::new();
    File::open(path)?.take(limit).read_to_end(&mut bytes)?;
    if bytes.len() > most {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("larger than {most} bytes")));
    }
    Ok(bytes)
}
