//! One connection: a request at a time, read whole, handed to the workers, answered. Bytes of a further request wait
//! unread (H7).

use std::io::IoSlice;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::chunked::Decoder;
use super::connections::{Activity, Registered};
use super::head::{self, Checked, Framing};
use super::refusal::{Refusal, Stop};
use super::socket::Socket;
use super::wire::{self, After, Asked, Drain, Sink};
use super::{DoorState, Settings};
use crate::base::{Held, clock, limits};
use crate::http::{Admission, Body, Response};
use crate::workers::Full;

/// A connection, owned by the thread that serves it.
pub(crate) struct Connection {
    pub(crate) socket: Socket,
    pub(crate) peer: Option<IpAddr>,
    pub(crate) link: Registered,
    pub(crate) door: Arc<DoorState>,
}

impl Connection {
    /// Serves requests until the client or the door ends the connection.
    pub(crate) fn serve(mut self) {
        if self.handshake().is_err() {
            return;
        }
        loop {
            self.link.note(Activity::Waiting(clock::instant()));
            let served = match self.exchange() {
                Err(Stop::Refused(refusal)) => self.answer_refusal(refusal),
                served => served,
            };
            match served {
                Ok(After::Keep) => {}
                Ok(After::Close) => return self.socket.linger(self.door.settings.drain_time),
                Err(_) => return self.socket.finish(),
            }
        }
    }

    /// Performs the TLS handshake, on the connection's own thread and up to a deadline: a slow client delays nobody else.
    fn handshake(&mut self) -> Result<(), Stop> {
        if self.socket.is_handshaking() && self.door.closing.is_tripped() {
            return Err(Stop::Ended);
        }
        let deadline = clock::instant() + self.door.settings.head_deadline;
        self.socket.handshake(deadline).map_err(|_| {
            self.door.refusals.count("handshake");
            Stop::Ended
        })
    }

    /// Serves one request.
    fn exchange(&mut self) -> Result<After, Stop> {
        let checked = self.next_head()?;
        let asked = Asked::by(checked.version, &checked.head.method);
        let skippable = skippable(&checked);
        let Checked { head, framing, persistent, expects_continue, .. } = checked;
        let ticket = match Arc::clone(&self.door.handler).admit(head) {
            Admission::Welcome(ticket) => ticket,
            Admission::Answered(response) => {
                // The body is skipped before the answer: a client that finds its connection kept may send its next request at once,
                // and that must not be skipped as the rest of the body.
                let keep = skippable.is_some_and(|length| self.skip(length));
                return self.answer(response, asked, if keep { After::Keep } else { After::Close });
            }
        };
        if ticket.limit > limits::UNCHECKED_BODY_BYTES {
            self.link.note(Activity::Receiving);
        }
        let mut share = self.door.share(ticket.limit);
        let body = BodyReader::new(framing, ticket.limit)?;
        // H9: only now, after head and size were accepted.
        if expects_continue && !body.is_done() && self.socket.unread().is_empty() {
            let go_on = self.socket.write(&mut [IoSlice::new(b"HTTP/1.1 100 Continue\r\n\r\n")]);
            go_on.map_err(|_| Stop::Ended)?;
        }
        let body = self.read_body(body, &mut share)?;
        match self.link.keep() {
            Activity::Evicted => return Err(Stop::Ended),
            Activity::Shut => self.socket.note_shut(),
            Activity::Waiting(_) | Activity::Receiving | Activity::Busy | Activity::Streaming(_) => {}
        }
        let door = &self.door;
        let pool = &door.pool;
        let response = match pool.serve(pool.place_at_door(&ticket), ticket, (body, share)) {
            Ok(waiter) => {
                let has_gone = || self.socket.client_has_gone() || door.ended.is_tripped();
                door.wait(&waiter, has_gone).ok_or(Stop::Ended)?
            }
            Err(Full) => door.refusal(Refusal::Busy),
        };
        self.answer(response, asked, if persistent { After::Keep } else { After::Close })
    }

    /// Waits for the next head.
    fn next_head(&mut self) -> Result<Checked, Stop> {
        if self.socket.unread().is_empty() {
            // An idle connection is closed without an answer.
            self.fill(clock::instant() + self.door.settings.keep_alive_idle).map_err(|_| Stop::Ended)?;
        }
        // H3: from the first byte to the last, at any rate.
        let deadline = clock::instant() + self.door.settings.head_deadline;
        loop {
            if let Some((checked, length)) = head::parse(self.socket.unread(), self.peer)? {
                self.socket.consume(length);
                return Ok(checked);
            }
            self.wait_for_line(deadline)?;
        }
    }

    /// Waits until another line has arrived, or more than the maximum for a head: a head that trickles in is not parsed again for each
    /// byte.
    fn wait_for_line(&mut self, deadline: Instant) -> Result<(), Stop> {
        loop {
            let count = self.fill(deadline)?;
            let unread = self.socket.unread();
            if unread.iter().rev().take(count).any(|&b| b == b'\n') || unread.len() > limits::HEAD_BYTES {
                return Ok(());
            }
        }
    }

    /// Waits for more of a request; once the door has closed, reads only bytes that have arrived (H13).
    fn fill(&mut self, deadline: Instant) -> Result<usize, Stop> {
        // The activity was noted before the token is read here, and a closing door trips the token before it looks at the
        // links: one of the two sees the other.
        if self.door.closing.is_tripped() {
            self.link.shut();
        }
        self.socket.fill(deadline)
    }

    /// Reads past an unused body. Returns whether all of it came: many clients send it in a packet of its own.
    fn skip(&mut self, mut left: usize) -> bool {
        let deadline = clock::instant() + self.door.settings.drain_time;
        loop {
            let here = self.socket.unread().len().min(left);
            self.socket.consume(here);
            left = left.saturating_sub(here);
            if left == 0 || self.fill(deadline).is_err() {
                return left == 0;
            }
        }
    }

    /// Reads the whole body. Memory grows with the bytes that have arrived, not with the announced size (H2), and is counted in
    /// `share`.
    fn read_body(&mut self, mut reader: BodyReader, share: &mut Held<()>) -> Result<Vec<u8>, Stop> {
        let start = clock::instant();
        let mut received: usize = 0;
        loop {
            let before = reader.body.len();
            let used = reader.take(self.socket.unread())?;
            self.socket.consume(used);
            received = received.saturating_add(used);
            if !share.grow(reader.body.len().saturating_sub(before)) {
                return Err(Refusal::Busy.into());
            }
            if reader.is_done() {
                return Ok(reader.body);
            }
            self.fill(start + body_patience(received, &self.door.settings))?;
        }
    }

    fn answer_refusal(&mut self, refusal: Refusal) -> Result<After, Stop> {
        let response = self.door.refusal(refusal);
        self.answer(response, Asked::UNREAD, After::Close)
    }

    fn answer(&mut self, response: Response, asked: Asked, after: After) -> Result<After, Stop> {
        let door = Arc::clone(&self.door);
        // H12: a 500 is a panic or another fault of ours, after which the connection is not used again.
        let closing = response.status() == 500 || door.closing.is_tripped();
        let after = if closing { After::Close } else { after };
        let outgoing = wire::frame(response, asked, after);
        let written = match outgoing.body {
            Body::Bytes(body) => {
                // H6: a connection may be evicted while its answer is written. Only authenticated callers get large answers, and they
                // have some time to read them before that.
                let large = body.len() > limits::SMALL_ANSWER_BYTES;
                let grace = if large { limits::ANSWER_GRACE } else { Duration::ZERO };
                self.link.note(Activity::Waiting(clock::instant() + grace));
                self.socket.write(&mut [IoSlice::new(&outgoing.head), IoSlice::new(&body)])
            }
            Body::Stream(stream) => {
                let Some(_place) = door.stream_place() else {
                    drop(stream);
                    let response = self.door.refusal(Refusal::Busy);
                    return self.answer(response, asked, after);
                };
                self.socket.release_buffer();
                self.socket.bound_send_buffer();
                self.link.note(Activity::Streaming(stream.waker()));
                // Either this sees the end, or the last round of `watch_streams` sees the stream.
                if door.ended.is_tripped() {
                    stream.waker().wake();
                }
                let keep_alive = door.settings.stream_keep_alive;
                let is_ending = &|| door.ended.is_tripped();
                let drain = Drain { version: asked.version, check: keep_alive, keep_alive, is_ending };
                drain.run(stream, outgoing.head, &mut self.socket)
            }
        };
        written.map(|()| outgoing.after).map_err(|_| Stop::Ended)
    }
}

/// The length of a body that can be read past, so that the connection can stay open. A client that waits for `100 Continue` may
/// send its body or not (RFC 9110 section 10.1.1).
fn skippable(checked: &Checked) -> Option<usize> {
    match checked.framing {
        Framing::Length(length) if checked.persistent && (length == 0 || !checked.expects_continue) => {
            usize::try_from(length).ok().filter(|&length| length <= limits::DRAIN_BYTES)
        }
        Framing::Length(_) | Framing::Chunked => None,
    }
}

/// H3: how long a body may take in all, given the bytes received so far. It has a deadline, and must keep up a rate.
fn body_patience(received: usize, settings: &Settings) -> Duration {
    let received = u64::try_from(received).unwrap_or(u64::MAX);
    let earned = Duration::from_millis(received.saturating_mul(1000) / limits::BODY_BYTES_PER_SECOND);
    settings.body_grace.saturating_add(earned).min(settings.body_deadline)
}

/// Takes a body out of the connection's bytes.
struct BodyReader {
    body: Vec<u8>,
    end: BodyEnd,
}

/// The framing of a body.
enum BodyEnd {
    Length(usize),
    Chunked(Decoder),
}

impl BodyReader {
    /// A reader of a body of at most `limit` bytes.
    fn new(framing: Framing, limit: usize) -> Result<BodyReader, Refusal> {
        let end = match framing {
            Framing::Length(length) => {
                let length = usize::try_from(length).ok().filter(|&length| length <= limit);
                BodyEnd::Length(length.ok_or(Refusal::BodyTooLarge)?)
            }
            Framing::Chunked => BodyEnd::Chunked(Decoder::new(limit)),
        };
        Ok(BodyReader { body: Vec::new(), end })
    }

    /// Appends the bytes of the body that `input` contains. Returns how many bytes of `input` were used.
    fn take(&mut self, input: &[u8]) -> Result<usize, Refusal> {
        match &mut self.end {
            BodyEnd::Length(length) => {
                let missing = length.saturating_sub(self.body.len());
                let here = input.get(..missing).unwrap_or(input);
                self.body.extend_from_slice(here);
                Ok(here.len())
            }
            BodyEnd::Chunked(decoder) => decoder.decode(input, &mut self.body),
        }
    }

    fn is_done(&self) -> bool {
        match &self.end {
            BodyEnd::Length(length) => self.body.len() >= *length,
            BodyEnd::Chunked(decoder) => decoder.is_done(),
        }
    }
}
