//! Splitting a stream of bytes into lines of bounded length. A pure value.

/// The capacity that a buffer keeps between two lines (bytes); more is released after a longer line.
const KEPT_BYTES: usize = 64 * 1024;

/// A buffer for an incomplete line.
#[derive(Debug)]
pub(super) struct Lines {
    buffer: Vec<u8>,
    limit: usize,
    /// Whether longer lines are truncated to the limit instead of refused.
    are_cut: bool,
}

/// A line is longer than the limit.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooLong;

impl Lines {
    pub(super) fn new(limit: usize) -> Lines {
        Lines { buffer: Vec::new(), limit, are_cut: false }
    }

    /// Lines that are truncated at the limit instead of refused.
    pub(super) fn cut(limit: usize) -> Lines {
        Lines { are_cut: true, ..Lines::new(limit) }
    }

    /// Takes bytes and calls `each` with each completed line, without its line feed.
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

    /// The bytes of the incomplete line.
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
