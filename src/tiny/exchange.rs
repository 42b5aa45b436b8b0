//! One request of tiny_http's and its answer: its head checked as the edge checks one, its body read exactly, its answer
//! written at once or drained as a stream.

use std::io::{self, IoSlice, Read, Write};
use std::sync::Arc;

use super::Shared;
use crate::base::log::{self, Field};
use crate::base::{clock, limits};
use crate::edge::Refusal;
use crate::edge::head::{self, Checked, Framing, Origin, RequestLine, Version};
use crate::edge::wire::{self, After, Asked, Outbody, Pace, Sink};
use crate::http::{Request, Responder, Response, Scheme, Waiter};
use crate::server::Job;

impl Shared {
    /// One request and its answer.
    pub(super) fn serve(&self, mut request: tiny_http::Request) {
        let checked = match check(&request) {
            Ok(checked) => checked,
            Err(refusal) => return refuse(request, self.refusal(refusal)),
        };
        let limit = match self.handler.admit(&checked.head) {
            Ok(limit) => limit,
            Err(response) => return refuse(request, *response),
        };
        let length = match checked.framing {
            Framing::Length(length) => usize::try_from(length).ok().filter(|&length| length <= limit),
            Framing::Chunked => return refuse(request, Response::new(411)),
        };
        let Some(length) = length else { return refuse(request, self.refusal(Refusal::BodyTooLarge)) };
        let Ok(body) = body(&mut request, length) else {
            return refuse(request, self.refusal(Refusal::Malformed("body")));
        };
        let asked = Asked::by(checked.version, &checked.head.method);
        let after = if checked.persistent { After::Keep } else { After::Close };
        let (responder, waiter) = Responder::pair();
        let job = Job {
            handler: Arc::clone(&self.handler),
            request: Request { head: checked.head, body },
            responder,
        };
        let response = match self.pool.submit(job) {
            Ok(()) => wait(&waiter),
            Err(_full) => self.refusal(Refusal::Busy),
        };
        self.write(response, (asked, after), request);
    }

    fn write(&self, response: Response, (asked, after): (Asked, After), request: tiny_http::Request) {
        let outgoing = wire::frame(response, asked, after);
        let mut sink = Writer(request.into_writer());
        let written = match outgoing.body {
            Outbody::Bytes(body) => sink.write(&mut [IoSlice::new(&outgoing.head), IoSlice::new(&body)]),
            Outbody::Stream(stream, coding) => {
                let mut share = self.streams.share();
                if share.grow(1) {
                    let pace = Pace { check: limits::CLIENT_CHECK, keep_alive: limits::STREAM_KEEP_ALIVE };
                    let is_ending = || self.closing.is_tripped();
                    wire::drain((stream, coding), outgoing.head, &mut sink, (pace, &is_ending))
                } else {
                    let busy = wire::frame(self.refusal(Refusal::Busy), asked, after);
                    sink.write(&mut [IoSlice::new(&busy.head)])
                }
            }
        };
        drop(written); // a client that has gone misses its answer; tiny_http ends its connection
    }
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

/// Exactly `length` bytes. A body that was cut off is an error: tiny_http shows it as one that ended.
fn body(request: &mut tiny_http::Request, length: usize) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    if length > 0 {
        let most = u64::try_from(length).unwrap_or(u64::MAX);
        request.as_reader().take(most).read_to_end(&mut body)?;
    }
    if body.len() == length { Ok(body) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
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

/// Answers a request whose body was not read, if its body can be skipped.
pub(super) fn refuse(mut request: tiny_http::Request, response: Response) {
    if skip_body(&mut request) {
        return respond(request, response);
    }
    log::warn("tiny.request_leaked", &[Field::Reason("its body is too large to be skipped")]);
    std::mem::forget(request);
}

/// Reads past a body; `false` if that cannot be done. Never beyond a declared length: after `Connection: Upgrade`,
/// tiny_http gives the rest of the connection for a body.
fn skip_body(request: &mut tiny_http::Request) -> bool {
    let chunked = request.headers().iter().any(|field| field.field.equiv("Transfer-Encoding"));
    let most = match request.body_length().map(u64::try_from) {
        None if !chunked => return true,
        None => limits::TINY_SKIP_BYTES,
        Some(Ok(length)) if length <= limits::TINY_SKIP_BYTES => length,
        Some(_) => return false,
    };
    let skipped = io::copy(&mut request.as_reader().take(most), &mut io::sink());
    skipped.is_ok_and(|count| !chunked || count < most)
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
