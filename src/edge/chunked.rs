//! The chunked transfer coding (RFC 9112 section 7.1), read incrementally and within limits (H3). Pure.

use super::head::is_token_byte;
use super::refusal::Refusal;
use crate::base::limits;

/// Decodes chunks as their bytes arrive. Nothing is allocated for an announced size alone.
#[derive(Debug)]
pub struct Decoder {
    state: State,
    /// The maximum number of content bytes.
    limit: usize,
}

#[derive(Clone, Copy, Debug)]
enum State {
    /// In the size, after this number of digits.
    Size { size: u64, digits: usize },
    /// In the extensions, which are ignored, after this number of bytes of the line.
    Extension { size: u64, length: usize },
    /// The LF after a size.
    SizeLf { size: u64 },
    /// In the content, of which this number of bytes is left.
    Content { left: u64 },
    /// The CR after the content.
    ContentCr,
    /// The LF after the content.
    ContentLf,
    /// At the start of a line of the trailer section, after this number of its bytes. Trailers are dropped.
    TrailerStart { length: usize },
    /// In the name of a trailer field.
    TrailerName { length: usize },
    /// In its value.
    Trailer { length: usize },
    /// The LF after such a line.
    TrailerLf { length: usize },
    /// The LF after the last, empty line.
    LastLf,
    /// The body is complete.
    Done,
}

impl Decoder {
    /// A decoder of a body of at most `limit` bytes.
    pub fn new(limit: usize) -> Decoder {
        Decoder { state: State::Size { size: 0, digits: 0 }, limit }
    }

    /// Whether the whole body has been read.
    pub fn is_done(&self) -> bool {
        matches!(self.state, State::Done)
    }

    /// Appends the content in `input` to `body` and returns how many bytes of `input` belong to this body: all of
    /// them, unless the body is done.
    ///
    /// # Errors
    /// [`Refusal::Malformed`], or [`Refusal::BodyTooLarge`] as soon as the size of a chunk exceeds the limit.
    pub fn decode(&mut self, input: &[u8], body: &mut Vec<u8>) -> Result<usize, Refusal> {
        let mut rest = input;
        while let Some((&byte, after)) = rest.split_first() {
            if self.is_done() {
                break;
            }
            if let State::Content { left } = self.state {
                let here = usize::try_from(left).unwrap_or(usize::MAX).min(rest.len());
                let (content, after) = rest.split_at(here);
                body.extend_from_slice(content);
                rest = after;
                let left = left.saturating_sub(u64::try_from(here).unwrap_or(u64::MAX));
                self.state = if left == 0 { State::ContentCr } else { State::Content { left } };
                continue;
            }
            self.state = self.after(byte, body.len())?;
            rest = after;
        }
        Ok(input.len().saturating_sub(rest.len()))
    }

    /// The state after a byte that is not content.
    fn after(&self, byte: u8, so_far: usize) -> Result<State, Refusal> {
        let within = |length: usize, limit: usize| {
            if length < limit { Ok(length.saturating_add(1)) } else { Err(Refusal::Malformed("chunk line")) }
        };
        match (self.state, byte) {
            (State::Size { size, digits }, _) if byte.is_ascii_hexdigit() => {
                let digits = within(digits, SIZE_DIGITS)?;
                let digit = char::from(byte).to_digit(16).unwrap_or_default();
                Ok(State::Size { size: size << 4 | u64::from(digit), digits })
            }
            (State::Size { size, digits: 1.. }, b'\r') => Ok(State::SizeLf { size }),
            (State::Size { size, digits: digits @ 1.. }, b';') => {
                Ok(State::Extension { size, length: digits })
            }
            (State::Extension { size, .. }, b'\r') => Ok(State::SizeLf { size }),
            (State::Extension { size, length }, _) if is_text(byte) => {
                Ok(State::Extension { size, length: within(length, limits::CHUNK_LINE_BYTES)? })
            }
            (State::SizeLf { size: 0 }, b'\n') => Ok(State::TrailerStart { length: 0 }),
            (State::SizeLf { size }, b'\n') => {
                let room = u64::try_from(self.limit.saturating_sub(so_far)).unwrap_or(u64::MAX);
                if size > room { Err(Refusal::BodyTooLarge) } else { Ok(State::Content { left: size }) }
            }
            (State::ContentCr, b'\r') => Ok(State::ContentLf),
            (State::ContentLf, b'\n') => Ok(State::Size { size: 0, digits: 0 }),
            (State::TrailerStart { .. }, b'\r') => Ok(State::LastLf),
            (State::Trailer { length }, b'\r') => Ok(State::TrailerLf { length }),
            // A line that is not a field could be the next request, to a reader that expects no trailers.
            (State::TrailerStart { length } | State::TrailerName { length }, _) if is_token_byte(byte) => {
                Ok(State::TrailerName { length: within(length, limits::TRAILER_BYTES)? })
            }
            (State::TrailerName { length }, b':') => {
                Ok(State::Trailer { length: within(length, limits::TRAILER_BYTES)? })
            }
            (State::Trailer { length }, _) if is_text(byte) => {
                Ok(State::Trailer { length: within(length, limits::TRAILER_BYTES)? })
            }
            (State::TrailerLf { length }, b'\n') => Ok(State::TrailerStart { length }),
            (State::LastLf, b'\n') => Ok(State::Done),
            (
                State::Size { .. }
                | State::Extension { .. }
                | State::SizeLf { .. }
                | State::Content { .. }
                | State::ContentCr
                | State::ContentLf
                | State::TrailerStart { .. }
                | State::TrailerName { .. }
                | State::Trailer { .. }
                | State::TrailerLf { .. }
                | State::LastLf
                | State::Done,
                _,
            ) => Err(Refusal::Malformed("chunk")),
        }
    }
}

/// The digits of a `u64`: longer sizes are refused, not wrapped.
const SIZE_DIGITS: usize = 16;

fn is_text(byte: u8) -> bool {
    byte == b'\t' || (byte >= 0x20 && byte != 0x7f)
}

#[cfg(test)]
mod tests;
