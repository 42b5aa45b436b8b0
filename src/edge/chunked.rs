//! The chunked transfer coding (RFC 9112 section 7.1), read incrementally and within limits (H3). Pure.

use super::head::is_token_byte;
use super::refusal::Refusal;
use crate::base::limits;

/// Takes chunks apart as their bytes arrive. Nothing is allocated for what a chunk only says it will hold.
#[derive(Debug)]
pub struct Decoder {
    state: State,
    /// The most bytes of content that are welcome.
    limit: usize,
}

#[derive(Clone, Copy, Debug)]
enum State {
    /// In the size, so many digits of it read.
    Size { size: u64, digits: usize },
    /// In the extensions, in the so-manyeth byte of the line. They are ignored.
    Extension { size: u64, length: usize },
    /// The LF after a size.
    SizeLf { size: u64 },
    /// So many bytes of content are left in this chunk.
    Content { left: u64 },
    /// The CR after the content.
    ContentCr,
    /// The LF after the content.
    ContentLf,
    /// At the start of a line of the trailer section, so many bytes of it read. Trailers are dropped.
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
    /// A decoder for a body of at most `limit` bytes.
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
    /// [`Refusal::Malformed`], or [`Refusal::BodyTooLarge`] as soon as a chunk announces too much.
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

    /// The state after a byte that is no content.
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
            // A line that is no field could be the next request, to a reader that expects no trailers.
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

/// As many as a `u64` has: longer sizes are refused, not wrapped.
const SIZE_DIGITS: usize = 16;

fn is_text(byte: u8) -> bool {
    byte == b'\t' || (byte >= 0x20 && byte != 0x7f)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: usize = 100;

    /// Decodes `input` whole and byte by byte; both must agree. The content and what is left, or the status.
    fn decode(input: &str) -> Result<(String, &str), u16> {
        let run = |step: usize| {
            let (mut decoder, mut body, mut used) = (Decoder::new(LIMIT), Vec::new(), 0);
            for piece in input.as_bytes().chunks(step.max(1)) {
                used += decoder.decode(piece, &mut body).map_err(Refusal::status)?;
            }
            assert!(body.len() <= LIMIT);
            Ok::<_, u16>((decoder.is_done(), String::from_utf8(body).unwrap(), used))
        };
        let (whole, bytewise) = (run(input.len()), run(1));
        assert_eq!(whole, bytewise, "{input:?}");
        let (done, body, used) = whole?;
        if done { Ok((body, &input[used..])) } else { Err(0) }
    }

    fn check(input: &str, expected: Result<(&str, &str), u16>) {
        let expected = expected.map(|(body, rest)| (body.to_owned(), rest));
        assert_eq!(decode(input), expected, "{input:?}");
    }

    #[test]
    fn chunks_become_their_content() {
        check("0\r\n\r\n", Ok(("", "")));
        check("3\r\nabc\r\n0A\r\n0123456789\r\n0\r\n\r\nGET", Ok(("abc0123456789", "GET")));
        check("3;a=b;c=\"d\"\r\n\r\na\r\n000\r\nX: y\r\nZ:\r\n\r\n", Ok(("\r\na", "")));
        for end in 0.."3\r\nabc\r\n0\r\nX: y\r\n\r\n".len() {
            check(&"3\r\nabc\r\n0\r\nX: y\r\n\r\n"[..end], Err(0));
        }
    }

    /// H1, H3: what decoders disagree about is refused.
    #[test]
    fn malformed_chunks_are_refused() {
        for bad in [
            "\r\n",
            ";a\r\n",
            "g\r\n",
            "+1\r\na",
            "-1\r\n",
            " 1\r\n",
            "1 \r\na",
            "0x1\r\n",
            "1\na",
            "1\r\ra",
            "1\r\nab",
            "1\r\na\n",
            "1\r\na\r\r",
            "1;\n",
            "1;a\u{0}\r\n",
            "0\r\n\n",
            "0\r\nX: y\n",
            "0\r\nX\r\n",
            "0\r\n X: y\r\n",
            "0\r\n: y\r\n",
            "0\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n",
            "0\r\n\u{0}",
            "0\r\n\r\r",
            "00000000000000001\r\n",
            "FFFFFFFFFFFFFFFFF\r\n",
        ] {
            check(bad, Err(400));
        }
    }

    /// H3: each limit, at it and one past it.
    #[test]
    fn the_limits_of_chunks_hold_to_the_byte() {
        let content = "a".repeat(LIMIT);
        check(&format!("64\r\n{content}\r\n0\r\n\r\n"), Ok((&content, "")));
        check("65\r\n", Err(413));
        check(&format!("63\r\n{}\r\n2\r\n", &content[1..]), Err(413));
        check("FFFFFFFFFFFFFFFF\r\n", Err(413));

        let extension = |length: usize| format!("1;{}\r\na\r\n0\r\n\r\n", "x".repeat(length - 1));
        check(&extension(limits::CHUNK_LINE_BYTES), Ok(("a", "")));
        check(&extension(limits::CHUNK_LINE_BYTES + 1), Err(400));
        let trailer = |length: usize| format!("0\r\nX:{}\r\n\r\n", "x".repeat(length - 2));
        check(&trailer(limits::TRAILER_BYTES), Ok(("", "")));
        check(&trailer(limits::TRAILER_BYTES + 1), Err(400));
    }
}
