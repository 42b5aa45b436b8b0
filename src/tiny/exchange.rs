//! One request of tiny_http's and its answer: its head checked as the edge checks one, its body read exactly, its answer
//! written at once or drained as a stream.

use std::io::{self, IoSlice, Write};
use std::sync::Arc;

use crate::base::{Held, limits};
use crate::edge::head::{self, Checked, Framing, RequestLine, Version};
use crate::edge::wire::{self, After, Asked, Drain, Sink};
use crate::edge::{DoorState, Refusal};
use crate::http::{Admission, Body, Response};
use crate::workers::Full;

/// Answers a request.
pub(super) fn serve(door: &DoorState, mut request: tiny_http::Request) {
    let asked = asked(&request);
    let response = answer(door, &mut request).unwrap_or_else(|refusal| door.refusal(refusal));
    // Drains the rest of the body first: closed over unread bytes, the connection would be reset.
    let sink = Writer(request.into_writer());
    write(door, response, asked, sink);
}

/// Answers a request on the accept loop's thread, because no other could be started.
pub(super) fn refuse_busy(door: &DoorState, request: tiny_http::Request) {
    let asked = asked(&request);
    write(door, door.refusal(Refusal::Busy), asked, Writer(request.into_writer()));
}

fn answer(door: &DoorState, request: &mut tiny_http::Request) -> Result<Response, Refusal> {
    let checked = check(request)?;
    if is_kept_open(request) {
        return Err(Refusal::KeptOpen);
    }
    let ticket = match Arc::clone(&door.handler).admit(checked.head) {
        Admission::Welcome(ticket) => ticket,
        Admission::Answered(response) => return Ok(response),
    };
    let Framing::Length(length) = checked.framing else { return Err(Refusal::NoLength) };
    let length = usize::try_from(length).ok().filter(|&length| length <= ticket.limit);
    let mut share = door.share(ticket.limit);
    let body = read_body(request, length.ok_or(Refusal::BodyTooLarge)?, &mut share)?;
    let waiter = door.pool.serve(None, ticket, (body, share)).map_err(|Full| Refusal::Busy)?;
    // tiny_http cannot tell that a client has disconnected: this waits for the answer.
    door.wait(&waiter, || false).ok_or(Refusal::Busy)
}

fn write(door: &DoorState, response: Response, asked: Asked, mut sink: Writer) {
    let outgoing = wire::frame(response, asked, After::Close);
    let written = match outgoing.body {
        Body::Bytes(body) => sink.write(&mut [IoSlice::new(&outgoing.head), IoSlice::new(&body)]),
        Body::Stream(stream) => {
            let Some(_place) = door.stream_place() else {
                return write(door, door.refusal(Refusal::Busy), asked, sink);
            };
            let (check, keep_alive) = (door.settings.client_check, door.settings.stream_keep_alive);
            let is_ending = &|| door.ended.is_tripped();
            let drain = Drain { version: asked.version, check, keep_alive, is_ending };
            drain.run(stream, outgoing.head, &mut sink)
        }
    };
    drop(written); // an error means that the client has disconnected
}

fn version(request: &tiny_http::Request) -> Result<Version, Refusal> {
    match request.http_version() {
        tiny_http::HTTPVersion(1, 1) => Ok(Version::Http11),
        tiny_http::HTTPVersion(1, 0) => Ok(Version::Http10),
        _ => Err(Refusal::Version),
    }
}

fn asked(request: &tiny_http::Request) -> Asked {
    let version = version(request).unwrap_or(Version::Http11);
    Asked { version, head_only: *request.method() == tiny_http::Method::Head }
}

/// The reason why a request can be neither answered nor dropped, as a text for the operator. Leaking it keeps its connection unread, at
/// cost of a thread of tiny_http and two descriptors.
pub(super) fn reason_to_leak(request: &tiny_http::Request) -> Option<&'static str> {
    // H2: when a request is dropped, tiny_http allocates the missing rest of its body, which would abort the process.
    if request.body_length().is_some_and(|length| length > limits::TINY_DROP_BYTES) {
        return Some("the proxy must refuse such large bodies");
    }
    // H1: tiny_http would read the rest of a chunked body, or the bytes after it, as another request.
    let is_chunked = request.headers().iter().any(|field| field.field.equiv("Transfer-Encoding"));
    (is_chunked && is_kept_open(request))
        .then_some("the proxy must send Connection: close, and bodies with a length, as docs/deploy shows")
}

/// Whether tiny_http waits for another request on the connection: it reads the first `Connection` field only, and looks for
/// these words anywhere in it.
fn is_kept_open(request: &tiny_http::Request) -> bool {
    let field = request.headers().iter().find(|field| field.field.equiv("Connection"));
    let options = field.map(|field| field.value.as_str().to_ascii_lowercase()).unwrap_or_default();
    let is_http10 = *request.http_version() == tiny_http::HTTPVersion(1, 0);
    let is_persistent = !is_http10 || options.contains("keep-alive");
    is_persistent && !options.contains("close") && !options.contains("upgrade")
}

/// Checks a head as the edge does.
fn check(request: &tiny_http::Request) -> Result<Checked, Refusal> {
    let version = version(request)?;
    let line = RequestLine { method: request.method().as_str(), target: request.url(), version };
    let fields =
        request.headers().iter().map(|field| (field.field.as_str().as_str(), field.value.as_bytes()));
    let peer = request.remote_addr().map(|address| address.ip().to_canonical());
    head::check(line, fields, peer)
}

/// Reads exactly `length` bytes, counted in `share` as they come. A body that was cut off is malformed: tiny_http shows it
/// as one that ended.
fn read_body(
    request: &mut tiny_http::Request,
    length: usize,
    share: &mut Held<()>,
) -> Result<Vec<u8>, Refusal> {
    let mut body = Vec::new();
    let mut piece = [0; limits::READ_BYTES];
    while body.len() < length {
        let wanted = length.saturating_sub(body.len()).min(piece.len());
        let room = piece.get_mut(..wanted).unwrap_or_default();
        let read = request.as_reader().read(room).ok().and_then(|count| room.get(..count));
        let read = read.filter(|read| !read.is_empty()).ok_or(Refusal::Malformed("body"))?;
        if !share.grow(read.len()) {
            return Err(Refusal::Busy);
        }
        body.extend_from_slice(read);
    }
    Ok(body)
}

/// The writer of tiny_http for one answer.
struct Writer(Box<dyn Write + Send>);

impl Sink for Writer {
    /// Writes in one piece: tiny_http's buffer of 1 KiB would split it into several writes.
    fn write(&mut self, parts: &mut [IoSlice<'_>]) -> io::Result<()> {
        let parts: Vec<&[u8]> = parts.iter().map(|part| &**part).collect();
        self.0.write_all(&parts.concat())?;
        self.0.flush()
    }

    /// tiny_http cannot tell.
    fn client_has_gone(&self) -> bool {
        false
    }
}
