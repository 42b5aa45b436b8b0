//! A response on its way out: framing (RFC 9112 sections 6 and 7), and the draining of streams. Both doors write with
//! this.

use std::io::{self, IoSlice, Write as _};
use std::time::Duration;

use super::head::Version;
use crate::base::quota::Held;
use crate::base::{clock, limits};
use crate::http::{Body, Method, Next, Response, Stream};

/// The other end, as far as an answer is concerned.
pub(crate) trait Sink {
    /// Writes and flushes all of `parts`.
    fn write(&mut self, parts: &mut [IoSlice<'_>]) -> io::Result<()>;
    /// Whether the client has gone, if that can be known.
    fn client_has_gone(&self) -> bool;
}

/// What of the request decides how its answer is framed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked {
    pub(crate) version: Version,
    /// HEAD: the answer has no body whatever it says.
    pub(crate) head_only: bool,
}

impl Asked {
    pub(crate) fn by(version: Version, method: &Method) -> Asked {
        Asked { version, head_only: *method == Method::Head }
    }
}

/// What becomes of the connection after an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum After {
    /// It waits for the next request.
    Keep,
    /// It is closed, and the answer says so.
    Close,
}

/// An answer as bytes.
pub(crate) struct Outgoing {
    /// Status line and fields.
    pub(crate) head: Vec<u8>,
    /// What follows.
    pub(crate) body: Outbody,
    /// What the head says of the connection.
    pub(crate) after: After,
    /// What the body is counted by until it is sent.
    _held: Option<Held>,
}

/// What follows a head.
pub(crate) enum Outbody {
    Bytes(Vec<u8>),
    Stream(Stream, Coding),
}

/// How a stream's chunks are marked off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Coding {
    /// By their size.
    Chunked,
    /// Not at all; the end of the connection is the end of the stream (HTTP/1.0).
    UntilClose,
}

/// Frames an answer.
pub(crate) fn frame(mut response: Response, asked: Asked, after: After) -> Outgoing {
    let mut head = Vec::with_capacity(HEAD_GUESS);
    let whole = response.write_head(&mut head);
    let bodiless = matches!(response.status(), 204 | 304) && whole;
    let mut after = if asked.version == Version::Http10 { After::Close } else { after };
    let held = response.take_held();
    let body = match response.into_body() {
        // The stream is dropped here, which tells the application.
        _ if !whole => sized(&mut head, Vec::new()),
        _ if bodiless => Outbody::Bytes(Vec::new()), // RFC 9110 section 8.6: no Content-Length either
        Body::Bytes(bytes) => sized(&mut head, bytes),
        Body::Stream(stream) if asked.version == Version::Http11 => {
            head.extend_from_slice(b"Transfer-Encoding: chunked\r\n");
            Outbody::Stream(stream, Coding::Chunked)
        }
        Body::Stream(stream) => {
            after = After::Close;
            Outbody::Stream(stream, Coding::UntilClose)
        }
    };
    if after == After::Close {
        head.extend_from_slice(b"Connection: close\r\n");
    }
    head.extend_from_slice(b"\r\n");
    let body = if asked.head_only { Outbody::Bytes(Vec::new()) } else { body };
    Outgoing { head, body, after, _held: held }
}

/// The usual head fits without growing.
const HEAD_GUESS: usize = 512;

fn sized(head: &mut Vec<u8>, body: Vec<u8>) -> Outbody {
    let _ = write!(head, "Content-Length: {}\r\n", body.len()); // writing to a Vec cannot fail
    Outbody::Bytes(body)
}

/// When a stream that has nothing to say is looked after.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    /// How often it is looked whether the client is there and the door has ended, if nobody wakes the stream for that.
    pub(crate) check: Duration,
    /// How long it may be silent before it says something.
    pub(crate) keep_alive: Duration,
}

/// Sends a head and then everything that `stream` gives, until it ends, or `is_ending` says so, which is a clean end
/// too. What already waits goes out in one write. The stream is dropped at the end: the application sees it.
pub(crate) fn drain(
    (stream, coding): (Stream, Coding),
    mut buffer: Vec<u8>,
    sink: &mut impl Sink,
    (pace, is_ending): (Pace, &dyn Fn() -> bool),
) -> io::Result<()> {
    let mut last_write = clock::instant();
    let mut unwritten = Vec::new();
    let mut ended = false;
    while !ended {
        let patience = if buffer.is_empty() { pace.check } else { Duration::ZERO };
        match stream.next(patience) {
            Next::Chunk(bytes) => {
                push_chunk(&mut buffer, &bytes, coding);
                unwritten.push(bytes);
                if buffer.len() < limits::STREAM_WRITE_BYTES {
                    continue;
                }
            }
            Next::End => ended = true,
            Next::Silence if !buffer.is_empty() => {}
            Next::Silence => {
                ended = is_ending();
                if !ended && sink.client_has_gone() {
                    return Err(io::ErrorKind::ConnectionAborted.into());
                }
                if !ended && last_write.elapsed() < pace.keep_alive {
                    continue;
                }
                if !ended {
                    push_chunk(&mut buffer, KEEP_ALIVE, coding);
                }
            }
        }
        if ended && coding == Coding::Chunked {
            buffer.extend_from_slice(b"0\r\n\r\n");
        }
        sink.write(&mut [IoSlice::new(&buffer)])?;
        buffer = Vec::new(); // an idle stream keeps no memory
        unwritten = Vec::new();
        last_write = clock::instant();
    }
    Ok(())
}

/// A comment (HTML section 9.2.6): readers skip it, proxies see life.
const KEEP_ALIVE: &[u8] = b": keep-alive\n\n";

fn push_chunk(buffer: &mut Vec<u8>, bytes: &[u8], coding: Coding) {
    match coding {
        _ if bytes.is_empty() => {} // an empty chunk would be the end
        Coding::UntilClose => buffer.extend_from_slice(bytes),
        Coding::Chunked => {
            let _ = write!(buffer, "{:x}\r\n", bytes.len()); // writing to a Vec cannot fail
            buffer.extend_from_slice(bytes);
            buffer.extend_from_slice(b"\r\n");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::cancel::CancelToken;
    use crate::base::identity::UserId;
    use crate::base::quota::Quota;

    #[derive(Default)]
    struct Page {
        writes: Vec<String>,
        gone: bool,
    }

    impl Sink for Page {
        fn write(&mut self, parts: &mut [IoSlice<'_>]) -> io::Result<()> {
            self.writes.push(parts.iter().map(|part| std::str::from_utf8(part).unwrap()).collect());
            Ok(())
        }

        fn client_has_gone(&self) -> bool {
            self.gone
        }
    }

    const ASKED: Asked = Asked { version: Version::Http11, head_only: false };

    fn check(response: Response, (asked, after): (Asked, After), expected: &str) {
        let outgoing = frame(response, asked, after);
        let body = match outgoing.body {
            Outbody::Bytes(bytes) => String::from_utf8(bytes).unwrap(),
            Outbody::Stream(_, coding) => format!("{coding:?}"),
        };
        assert_eq!(String::from_utf8(outgoing.head).unwrap() + &body, expected);
    }

    #[test]
    fn an_answer_is_framed_as_its_request_can_read_it() {
        let hello = || Response::new(200).bytes("text/plain", "hello");
        let old = Asked { version: Version::Http10, ..ASKED };
        let head_only = Asked { head_only: true, ..ASKED };
        let length = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n";
        check(hello(), (ASKED, After::Keep), &format!("{length}\r\nhello"));
        check(hello(), (ASKED, After::Close), &format!("{length}Connection: close\r\n\r\nhello"));
        check(hello(), (old, After::Keep), &format!("{length}Connection: close\r\n\r\nhello"));
        check(hello(), (head_only, After::Keep), &format!("{length}\r\n"));
        check(Response::new(204), (ASKED, After::Keep), "HTTP/1.1 204 No Content\r\n\r\n");
        check(Response::new(202), (ASKED, After::Keep), "HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n");

        let stream = || Response::new(200).stream(pair().1);
        let fields = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-store\r\n\
                      X-Accel-Buffering: no\r\n";
        let chunked = format!("{fields}Transfer-Encoding: chunked\r\n\r\n");
        check(stream(), (ASKED, After::Keep), &format!("{chunked}Chunked"));
        check(stream(), (head_only, After::Keep), &chunked);
        check(stream(), (old, After::Keep), &format!("{fields}Connection: close\r\n\r\nUntilClose"));
    }

    /// H5: an answer that would split is a 500 without a body.
    #[test]
    fn an_answer_that_would_split_has_no_body() {
        let bad = Response::new(204).header("Location", "a\r\nb").bytes("text/plain", "hello");
        check(bad, (ASKED, After::Keep), "HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n");
    }

    fn pair() -> (crate::http::StreamSender, Stream) {
        Stream::pair(Quota::bytes(limits::UNREAD_BYTES).share(UserId(1)), CancelToken::new())
    }

    const PACE: Pace = Pace { check: Duration::from_millis(1), keep_alive: Duration::from_millis(1) };

    #[test]
    fn what_waits_goes_out_in_one_write_with_the_head_and_the_end() {
        let (sender, stream) = pair();
        sender.send(*b"data: 1\n\n").unwrap();
        sender.send(*b"data: 2\n\n").unwrap();
        drop(sender);
        let mut page = Page::default();
        drain((stream, Coding::Chunked), b"head ".to_vec(), &mut page, (PACE, &|| false)).unwrap();
        assert_eq!(page.writes, ["head 9\r\ndata: 1\n\n\r\n9\r\ndata: 2\n\n\r\n0\r\n\r\n"]);
    }

    #[test]
    fn a_silent_stream_shows_life_and_ends_cleanly_when_the_server_does() {
        let (sender, stream) = pair();
        let asked = std::cell::Cell::new(0);
        let is_ending = || asked.replace(asked.get() + 1) >= 100;
        let mut page = Page::default();
        drain((stream, Coding::Chunked), b"head".to_vec(), &mut page, (PACE, &is_ending)).unwrap();
        assert_eq!(page.writes[..2], ["head", "e\r\n: keep-alive\n\n\r\n"]);
        assert_eq!(page.writes.last().unwrap(), "0\r\n\r\n");
        assert!(sender.reader_gone().is_tripped());
    }

    #[test]
    fn a_stream_without_a_reader_is_let_go() {
        let (sender, stream) = pair();
        let mut page = Page { gone: true, ..Page::default() };
        assert!(drain((stream, Coding::UntilClose), Vec::new(), &mut page, (PACE, &|| false)).is_err());
        assert!(page.writes.is_empty() && sender.reader_gone().is_tripped());
    }
}
