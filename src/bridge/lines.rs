//! Splitting a stream of bytes into lines of bounded length. A pure value.

/// The capacity that a buffer keeps between two lines (bytes); a longer line's memory is given back.
const KEPT_BYTES: usize = 64 * 1024;

/// Bytes that have arrived and are no whole line yet.
#[derive(Debug)]
pub(super) struct Lines {
    buffer: Vec<u8>,
    limit: usize,
    /// Whether the start of a longer line is enough: what is beyond the limit is dropped then.
    are_cut: bool,
}

/// A line is longer than the limit.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooLong;

impl Lines {
    pub(super) fn new(limit: usize) -> Lines {
        Lines { buffer: Vec::new(), limit, are_cut: false }
    }

    /// Lines that are cut off at the limit; none is too long.
    pub(super) fn cut(limit: usize) -> Lines {
        Lines { are_cut: true, ..Lines::new(limit) }
    }

    /// Takes bytes and gives each line that they complete, without its line feed, to `each`.
    pub(super) fn push(&mut self, bytes: &[u8], mut each: impl FnMut(&[u8])) -> Result<(), TooLong> {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let end = piece.strip_suffix(b"\n");
            let (line, room) = (end.unwrap_or(piece), self.limit.saturating_sub(self.buffer.len()));
            if line.len() > room && !self.are_cut {
                return Err(TooLong);
            }
            let line = line.get(..room).unwrap_or(line);
            match end {
                Some(_) if self.buffer.is_empty() => each(line),
                Some(_) => {
                    self.buffer.extend_from_slice(line);
                    each(&self.take());
                }
                None => self.buffer.extend_from_slice(line),
            }
        }
        Ok(())
    }

    /// The bytes of a line that has no end yet.
    pub(super) fn take(&mut self) -> Vec<u8> {
        let next = if self.buffer.capacity() > KEPT_BYTES {
            Vec::new()
        } else {
            Vec::with_capacity(self.buffer.capacity())
        };
        std::mem::replace(&mut self.buffer, next)
    }
}

#[cfg(test)]
mod tests;
