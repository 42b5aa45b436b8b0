//! A response on its way out: framing (RFC 9112 sections 6 and 7), and the draining of streams. Both doors write with
//! this.

use std::io::{self, IoSlice, Write as _};
use std::time::Duration;

use super::head::Version;
use crate::base::{Held, clock, limits};
use crate::http::{Body, Method, Next, Response, Stream};

/// The destination of an answer.
pub(crate) trait Sink {
    /// Writes and flushes all of `parts`.
    fn write(&mut self, parts: &mut [IoSlice<'_>]) -> io::Result<()>;
    /// Whether the client has disconnected, if that can be known.
    fn client_has_gone(&self) -> bool;
}

/// The parts of a request that determine response framing.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked {
    pub(crate) version: Version,
    /// HEAD: the answer has no body.
    pub(crate) head_only: bool,
}

impl Asked {
    /// For a request that could not be parsed.
    pub(crate) const UNREAD: Asked = Asked { version: Version::Http11, head_only: false };

    pub(crate) fn by(version: Version, method: &Method) -> Asked {
        Asked { version, head_only: *method == Method::Head }
    }
}

/// The state of the connection after an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum After {
    /// It waits for the next request.
    Keep,
    /// It is closed, and the answer says so.
    Close,
}

/// A framed answer.
pub(crate) struct Outgoing {
    /// Status line and fields, as bytes.
    pub(crate) head: Vec<u8>,
    pub(crate) body: Body,
    /// The state of the connection that the head announces.
    pub(crate) after: After,
    /// The memory budget of the body, until it is sent.
    _held: Option<Held>,
}

/// Frames an answer. Streams are chunked in HTTP/1.1; in HTTP/1.0 the end of the connection is their end.
pub(crate) fn frame(mut response: Response, asked: Asked, after: After) -> Outgoing {
    let mut head = Vec::with_capacity(HEAD_GUESS);
    let whole = response.write_head(&mut head);
    let bodiless = matches!(response.status(), 204 | 304) && whole;
    let after = if asked.version == Version::Http10 { After::Close } else { after };
    let held = response.take_held();
    let body = match response.into_body() {
        // A stream is dropped here, which tells the application.
        _ if !whole => sized(&mut head, Vec::new()),
        _ if bodiless => Body::Bytes(Vec::new()), // RFC 9110 section 8.6: no Content-Length either
        Body::Bytes(bytes) => sized(&mut head, bytes),
        Body::Stream(stream) => {
            if asked.version == Version::Http11 {
                head.extend_from_slice(b"Transfer-Encoding: chunked\r\n");
            }
            Body::Stream(stream)
        }
    };
    if after == After::Close {
        head.extend_from_slice(b"Connection: close\r\n");
    }
    head.extend_from_slice(b"\r\n");
    let body = if asked.head_only { Body::Bytes(Vec::new()) } else { body };
    Outgoing { head, body, after, _held: held }
}

/// The initial capacity: a typical head fits.
const HEAD_GUESS: usize = 512;

fn sized(head: &mut Vec<u8>, body: Vec<u8>) -> Body {
    let _ = write!(head, "Content-Length: {}\r\n", body.len()); // writing to a Vec cannot fail
    Body::Bytes(body)
}

/// The settings for sending a stream.
pub(crate) struct Drain<'a> {
    /// The version of the request: HTTP/1.0 has no chunks.
    pub(crate) version: Version,
    /// The interval in which client and door are checked while the stream is silent; a waker does so at once.
    pub(crate) check: Duration,
    /// How long the stream may be silent before a comment is sent.
    pub(crate) keep_alive: Duration,
    /// Whether the door is ending its streams. That is a clean end.
    pub(crate) is_ending: &'a dyn Fn() -> bool,
}

impl Drain<'_> {
    /// Sends `head` and then everything from `stream`, until its end. Chunks that are already waiting go out in one write. The
    /// stream is dropped at the end, which notifies the application.
    pub(crate) fn run(&self, stream: Stream, head: Vec<u8>, sink: &mut impl Sink) -> io::Result<()> {
        let mut buffer = head;
        let mut last_write = clock::instant();
        let mut unwritten = Vec::new(); // kept until written, for the memory budget of the stream
        let mut ended = false;
        while !ended {
            let patience = if buffer.is_empty() { self.check } else { Duration::ZERO };
            match stream.next(patience) {
                Next::Chunk(bytes) => {
                    self.push(&mut buffer, &bytes);
                    unwritten.push(bytes);
                    if buffer.len() < limits::STREAM_WRITE_BYTES {
                        continue;
                    }
                }
                Next::End => ended = true,
                Next::Silence if !buffer.is_empty() => {}
                Next::Silence => {
                    ended = (self.is_ending)();
                    if !ended && sink.client_has_gone() {
                        return Err(io::ErrorKind::ConnectionAborted.into());
                    }
                    if !ended && last_write.elapsed() < self.keep_alive {
                        continue;
                    }
                    if !ended {
                        self.push(&mut buffer, KEEP_ALIVE);
                    }
                }
            }
            if ended && self.version == Version::Http11 {
                buffer.extend_from_slice(b"0\r\n\r\n");
            }
            sink.write(&mut [IoSlice::new(&buffer)])?;
            buffer = Vec::new(); // an idle stream keeps no memory
            unwritten = Vec::new();
            last_write = clock::instant();
        }
        Ok(())
    }

    fn push(&self, buffer: &mut Vec<u8>, bytes: &[u8]) {
        match self.version {
            _ if bytes.is_empty() => {} // an empty chunk would end the body
            Version::Http10 => buffer.extend_from_slice(bytes),
            Version::Http11 => {
                let _ = write!(buffer, "{:x}\r\n", bytes.len()); // writing to a Vec cannot fail
                buffer.extend_from_slice(bytes);
                buffer.extend_from_slice(b"\r\n");
            }
        }
    }
}

/// A comment (HTML section 9.2.6): readers skip it, and proxies see activity.
const KEEP_ALIVE: &[u8] = b": keep-alive\n\n";

#[cfg(test)]
mod tests;
