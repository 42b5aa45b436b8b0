//! One request of tiny_http's and its answer: its head checked as the edge checks one, its body read exactly, its answer
//! written at once or drained as a stream.

use std::io::{self, IoSlice, Read, Write};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::Shared;
use super::lane::Turn;
use crate::base::log::{self, Field};
use crate::base::{clock, limits};
use crate::edge::Refusal;
use crate::edge::head::{self, Checked, Framing, Origin, RequestLine, Version};
use crate::edge::wire::{self, After, Asked, Outbody, Pace, Sink};
use crate::http::{Request, Responder, Response, Scheme, Waiter};
use crate::server::Job;

impl Shared {
    /// One request and its answer; `turn` if its body is to be read by us.
    pub(super) fn serve(&self, mut request: tiny_http::Request, turn: Option<Turn<'_>>) {
        let checked = match check(&request) {
            Ok(checked) => checked,
            Err(refusal) => return self.refuse(request, self.refusal(refusal)),
        };
        let admission = match self.handler.admit(&checked.head) {
            Ok(admission) => admission,
            Err(response) => return self.refuse(request, *response),
        };
        let limit = admission.limit();
        let length = match checked.framing {
            Framing::Length(length) => usize::try_from(length).ok().filter(|&length| length <= limit),
            Framing::Chunked => return self.refuse(request, length_required()),
        };
        let Some(length) = length else { return self.refuse(request, self.refusal(Refusal::BodyTooLarge)) };
        let mut share = self.bodies.share(limit);
        let body = match body(&mut request, length, |more| share.grow(more)) {
            Ok(body) => body,
            Err(refusal) => return self.refuse(request, self.refusal(refusal)),
        };
        drop(turn);
        let asked = Asked::by(checked.version, &checked.head.method);
        let after = if checked.persistent { After::Keep } else { After::Close };
        let (responder, waiter) = Responder::pair();
        let held = Arc::new((share, admission));
        let job = Job {
            handler: Arc::clone(&self.handler),
            request: Request { head: checked.head, body },
            responder,
            held: Arc::clone(&held) as _,
        };
        let response = match self.pool.submit(job) {
            Ok(()) => wait(&waiter),
            Err(_full) => self.refusal(Refusal::Busy),
        };
        drop(held);
        self.write(response, (asked, after), Writer(request.into_writer()));
    }

    /// Answers a request whose body was not read.
    pub(super) fn refuse(&self, mut request: tiny_http::Request, response: Response) {
        match skip_body(&mut request) {
            Ok(()) => respond(request, response),
            Err(Unskippable) => {
                std::mem::forget(request);
                self.refusals.count("leaked");
                let leaked = self.leaked.fetch_add(1, Ordering::Relaxed).saturating_add(1);
                let hint = "the proxy must not let through such bodies; restart the server before it runs out of descriptors";
                log::error("tiny.request_leaked", &[Field::Count(leaked), Field::Hint(hint)]);
            }
        }
    }

    fn write(&self, response: Response, (asked, after): (Asked, After), mut sink: Writer) {
        let outgoing = wire::frame(response, asked, after);
        let written = match outgoing.body {
            Outbody::Bytes(body) => sink.write(&mut [IoSlice::new(&outgoing.head), IoSlice::new(&body)]),
            Outbody::Stream(stream, coding) => {
                let mut share = self.streams.share();
                if share.grow(1) {
                    let pace = Pace { check: limits::CLIENT_CHECK, keep_alive: limits::STREAM_KEEP_ALIVE };
                    let is_ending = || self.ended.is_tripped();
                    wire::drain((stream, coding), outgoing.head, &mut sink, (pace, &is_ending))
                } else {
                    return self.write(self.refusal(Refusal::Busy), (asked, after), sink);
                }
            }
        };
        drop(written); // a client that has gone misses its answer; tiny_http ends its connection
    }
}

fn length_required() -> Response {
    let words = "Content-Length must say how long the body is: have the proxy read requests whole.\n";
    Response::new(411).bytes("text/plain; charset=utf-8", words)
}

/// What tiny_http says of a request, checked as the edge checks it.
fn check(request: &tiny_http::Request) -> Result<Checked, Refusal> {
    let version = match request.http_version() {
        tiny_http::HTTPVersion(1, 1) => Version::Http11,
        tiny_http::HTTPVersion(1, 0) => Version::Http10,
        _ => return Err(Refusal::Version),
    };
    let line = RequestLine { method: request.method().as_str(), target: request.url(), version };
    let fields =
        request.headers().iter().map(|field| (field.field.as_str().as_str(), field.value.as_bytes()));
    let peer = request.remote_addr().map(|address| address.ip().to_canonical());
    head::check(line, fields, Origin { peer, scheme: Scheme::Http })
}

/// Exactly `length` bytes; `grow` is asked for all of them as they come. A body that was cut off is malformed: tiny_http
/// shows it as one that ended.
fn body(
    request: &mut tiny_http::Request,
    length: usize,
    mut grow: impl FnMut(usize) -> bool,
) -> Result<Vec<u8>, Refusal> {
    let mut body = Vec::new();
    let mut piece = [0; limits::READ_BYTES];
    while body.len() < length {
        let wanted = length.saturating_sub(body.len()).min(piece.len());
        let room = piece.get_mut(..wanted).unwrap_or_default();
        let read = request.as_reader().read(room).ok().and_then(|count| room.get(..count));
        let read = read.filter(|read| !read.is_empty()).ok_or(Refusal::Malformed("body"))?;
        if !grow(read.len()) {
            return Err(Refusal::Busy);
        }
        body.extend_from_slice(read);
    }
    Ok(body)
}

fn wait(waiter: &Waiter) -> Response {
    let mut patience = limits::SLOW_CALL;
    loop {
        if let Some(response) = waiter.wait(clock::instant() + patience) {
            return response;
        }
        waiter.run_slow_hook(); // again, because a worker may have come to this request late
        patience = limits::CLIENT_CHECK;
    }
}

/// A body that cannot be skipped, so its request can be neither answered nor dropped.
struct Unskippable;

/// Reads past a body, to its end or that of the connection. Never beyond a declared length: after `Connection: Upgrade`,
/// tiny_http gives the rest of the connection for a body.
fn skip_body(request: &mut tiny_http::Request) -> Result<(), Unskippable> {
    if request.headers().iter().any(|field| field.field.equiv("Transfer-Encoding")) {
        return skip_chunks(request.as_reader());
    }
    let length = request.body_length().map_or(0, |length| u64::try_from(length).unwrap_or(u64::MAX));
    if length > limits::TINY_SKIP_BYTES {
        return Err(Unskippable); // at the end of the connection it would allocate what is missing
    }
    if length > 0 {
        // Cut off or not, nothing of it is left.
        let _ = io::copy(&mut request.as_reader().take(length), &mut io::sink());
    }
    Ok(())
}

/// Reads past a chunked body, to its end or that of the connection.
fn skip_chunks(body: &mut dyn Read) -> Result<(), Unskippable> {
    let mut piece = [0; limits::READ_BYTES];
    let mut failures: usize = 0;
    while failures < limits::TINY_SKIP_FAILURES {
        match body.read(&mut piece) {
            Ok(0) if failures == 0 => return Ok(()),
            Ok(0) => return Err(Unskippable), // malformed before: this may be the end of another message
            Ok(_) => failures = failures.min(1),
            Err(_) => failures = failures.saturating_add(1),
        }
    }
    Ok(())
}

/// Writes an answer of bytes.
fn respond(request: tiny_http::Request, response: Response) {
    let asked = Asked { version: Version::Http11, head_only: *request.method() == tiny_http::Method::Head };
    let outgoing = wire::frame(response, asked, After::Keep);
    if let Outbody::Bytes(body) = outgoing.body {
        let written =
            Writer(request.into_writer()).write(&mut [IoSlice::new(&outgoing.head), IoSlice::new(&body)]);
        drop(written); // a client that has gone misses its answer
    }
}

/// tiny_http's way out of one request.
struct Writer(Box<dyn Write + Send>);

impl Sink for Writer {
    /// In one piece: tiny_http's buffer of 1 KiB would make several writes of it.
    fn write(&mut self, parts: &mut [IoSlice<'_>]) -> io::Result<()> {
        let parts: Vec<&[u8]> = parts.iter().map(|part| &**part).collect();
        self.0.write_all(&parts.concat())?;
        self.0.flush()
    }

    /// tiny_http does not say.
    fn client_has_gone(&self) -> bool {
        false
    }
}
