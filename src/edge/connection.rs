//! One connection: a request at a time, read whole, handed to the workers, answered. Bytes of a further request wait
//! unread (H7).

use std::io::IoSlice;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::caps::Share;
use super::chunked::Decoder;
use super::head::{self, Checked, Framing};
use super::refusal::Refusal;
use super::socket::{Filled, Socket};
use super::wire::{self, After, Asked, Outbody, Pace, Sink};
use super::{Kept, Link, Phase, RECEIVING, Shared};
use crate::base::{clock, limits};
use crate::http::{Admission, Response, Waiter};
use crate::workers::Full;

/// A connection and the thread that serves it.
pub(crate) struct Connection {
    socket: Socket,
    peer: Option<IpAddr>,
    link: Arc<Link>,
    shared: Arc<Shared>,
}

/// Why a connection ends without an answer: the client has gone, or nothing can be said any more.
struct Ended;

/// Why a body was not read.
enum BodyError {
    Refused(Refusal),
    Ended,
}

impl From<Refusal> for BodyError {
    fn from(refusal: Refusal) -> BodyError {
        BodyError::Refused(refusal)
    }
}

impl Connection {
    pub(crate) fn new(
        socket: Socket,
        peer: Option<IpAddr>,
        (link, shared): (Arc<Link>, Arc<Shared>),
    ) -> Connection {
        Connection { socket, peer, link, shared }
    }

    /// Serves requests until one side has had enough.
    pub(crate) fn serve(mut self) {
        if self.handshake().is_err() {
            return;
        }
        loop {
            self.link.wait_since(self.shared.now());
            let served = match self.next_head() {
                Ok(checked) => self.exchange(checked),
                Err(BodyError::Refused(refusal)) => self.refuse(refusal),
                Err(BodyError::Ended) => Err(Ended),
            };
            match served {
                Ok(After::Keep) => {}
                Ok(After::Close) => return self.socket.linger(self.shared.settings.drain_time),
                Err(Ended) => return self.socket.finish(),
            }
        }
    }

    /// Whatever a client does here, it does to its own thread and not for long.
    fn handshake(&mut self) -> Result<(), Ended> {
        if self.socket.is_handshaking() && self.shared.phase() != Phase::Serving {
            return Err(Ended);
        }
        let deadline = clock::instant() + self.shared.settings.handshake_deadline;
        self.socket.handshake(deadline).map_err(|_| {
            self.shared.refusals.count("handshake");
            Ended
        })
    }

    /// Waits for the next head.
    fn next_head(&mut self) -> Result<Checked, BodyError> {
        if self.socket.unread().is_empty() {
            self.wait_for_first_byte()?;
        }
        // H3: from the first byte to the last, however they trickle.
        let deadline = clock::instant() + self.shared.settings.head_deadline;
        loop {
            if let Some((checked, length)) = head::parse(self.socket.unread(), self.peer)? {
                self.socket.consume(length);
                return Ok(checked);
            }
            self.wait_for_line(deadline)?;
        }
    }

    fn wait_for_first_byte(&mut self) -> Result<(), BodyError> {
        match self.fill(clock::instant() + self.shared.settings.keep_alive_idle) {
            Filled::Bytes(_) => Ok(()),
            Filled::Closed | Filled::TimedOut => Err(BodyError::Ended),
        }
    }

    /// Waits for more of a request; once the door has closed, reads only what has arrived (H13).
    fn fill(&mut self, deadline: Instant) -> Filled {
        // The state of the link was set before the phase is read here, and a closing door sets the phase before it looks at the
        // links: one of the two sees the other.
        if self.shared.phase() != Phase::Serving {
            self.link.shut();
        }
        self.socket.fill(deadline)
    }

    /// Waits until another line is there, or too much without one: a head that trickles in is not parsed again for
    /// each byte.
    fn wait_for_line(&mut self, deadline: Instant) -> Result<(), BodyError> {
        loop {
            match self.fill(deadline) {
                Filled::Bytes(count) => {
                    let new = self.socket.unread().iter().rev().take(count);
                    if new.into_iter().any(|&b| b == b'\n') || self.socket.unread().len() > limits::HEAD_BYTES
                    {
                        return Ok(());
                    }
                }
                Filled::Closed => return Err(BodyError::Ended),
                Filled::TimedOut => return Err(Refusal::TooSlow.into()),
            }
        }
    }

    /// Serves one request.
    fn exchange(&mut self, checked: Checked) -> Result<After, Ended> {
        let asked = Asked::by(checked.version, &checked.head.method);
        let skippable = skippable(&checked);
        let Checked { head, framing, persistent, expects_continue, .. } = checked;
        let ticket = match Arc::clone(&self.shared.handler).admit(head) {
            Admission::Welcome(ticket) => ticket,
            Admission::Answered(response) => {
                // The body is read first: a client that has read `Keep-Alive` may send its next request, which what is still missing
                // of the body would swallow.
                let keep = skippable.is_some_and(|length| self.skip(length));
                return self.answer(response, asked, if keep { After::Keep } else { After::Close });
            }
        };
        // Large bodies are only admitted for authenticated callers; these connections make no room for others.
        if ticket.limit() > limits::UNCHECKED_BODY_BYTES {
            self.link.wait_since(RECEIVING);
        }
        let mut share = self.shared.bodies.share(ticket.limit());
        let body = match self.body(framing, expects_continue, (ticket.limit(), &mut share)) {
            Ok(body) => body,
            Err(BodyError::Refused(refusal)) => return self.refuse(refusal),
            Err(BodyError::Ended) => return Err(Ended),
        };
        if self.link.keep().ok_or(Ended)? == Kept::Shut {
            self.socket.note_shut();
        }
        let response = match self.shared.pool.submit(ticket, body, share) {
            Ok(waiter) => self.wait(&waiter)?,
            Err(Full) => self.refusal(Refusal::Busy),
        };
        self.answer(response, asked, if persistent { After::Keep } else { After::Close })
    }

    /// Reads past a body that is not used. Returns whether all of it came: many clients send it in a packet of its own.
    fn skip(&mut self, mut left: usize) -> bool {
        let deadline = clock::instant() + self.shared.settings.drain_time;
        loop {
            let here = self.socket.unread().len().min(left);
            self.socket.consume(here);
            left = left.saturating_sub(here);
            if left == 0 {
                return true;
            }
            match self.fill(deadline) {
                Filled::Bytes(_) => {}
                Filled::Closed | Filled::TimedOut => return false,
            }
        }
    }

    /// The whole body, at most `limit` bytes. Memory grows with what has arrived, never with what was announced (H2),
    /// and is counted in `share`.
    fn body(
        &mut self,
        framing: Framing,
        expects_continue: bool,
        (limit, share): (usize, &mut Share),
    ) -> Result<Vec<u8>, BodyError> {
        let mut body = Vec::new();
        let mut reader = match framing {
            Framing::Length(0) => return Ok(body),
            Framing::Length(length) => {
                let length = usize::try_from(length).ok().filter(|&length| length <= limit);
                Reader::Length(length.ok_or(Refusal::BodyTooLarge)?)
            }
            Framing::Chunked => Reader::Chunked(Decoder::new(limit)),
        };
        // H9: only now, when head and size were found welcome.
        if expects_continue && self.socket.unread().is_empty() {
            let go_on = self.socket.write(&mut [IoSlice::new(b"HTTP/1.1 100 Continue\r\n\r\n")]);
            go_on.map_err(|_| BodyError::Ended)?;
        }
        let shared = Arc::clone(&self.shared);
        let clock = BodyClock { start: clock::instant(), settings: &shared.settings };
        let mut received: usize = 0;
        loop {
            let before = body.len();
            let used = reader.take(self.socket.unread(), &mut body)?;
            self.socket.consume(used);
            received = received.saturating_add(used);
            if !share.grow(body.len().saturating_sub(before)) {
                return Err(Refusal::Busy.into());
            }
            if reader.is_done(body.len()) {
                return Ok(body);
            }
            match self.fill(clock.deadline(received)) {
                Filled::Bytes(_) => {}
                Filled::Closed => return Err(BodyError::Ended),
                Filled::TimedOut => return Err(Refusal::TooSlow.into()),
            }
        }
    }

    /// Waits for the answer, telling the application when it takes long and when the client has gone.
    fn wait(&mut self, waiter: &Waiter) -> Result<Response, Ended> {
        let settings = &self.shared.settings;
        if let Some(response) = waiter.wait(clock::instant() + settings.slow_call) {
            return Ok(response);
        }
        loop {
            waiter.run_slow_hook(); // again, because a worker may have come to this request late
            if let Some(response) = waiter.wait(clock::instant() + settings.client_check) {
                return Ok(response);
            }
            if self.socket.client_has_gone() || self.shared.phase() == Phase::Ended {
                waiter.client_has_gone();
                return Err(Ended);
            }
        }
    }

    fn refusal(&self, refusal: Refusal) -> Response {
        self.shared.refusals.count(refusal.word());
        refusal.response()
    }

    fn refuse(&mut self, refusal: Refusal) -> Result<After, Ended> {
        let asked = Asked { version: head::Version::Http11, head_only: false };
        let response = self.refusal(refusal);
        self.answer(response, asked, After::Close)
    }

    fn answer(&mut self, response: Response, asked: Asked, after: After) -> Result<After, Ended> {
        // H12: after a panic, or anything else that should not happen, nothing is taken for granted.
        let closing = response.status() == 500 || self.shared.phase() != Phase::Serving;
        let after = if closing { After::Close } else { after };
        let outgoing = wire::frame(response, asked, after);
        let written = match outgoing.body {
            Outbody::Bytes(body) => {
                // H6: only a caller who was let in can have a large answer; whoever does not read a small one waits.
                let large = body.len() > limits::SMALL_ANSWER_BYTES;
                let grace = if large { limits::ANSWER_GRACE_MILLIS } else { 0 };
                self.link.wait_since(self.shared.now().saturating_add(grace));
                self.socket.write(&mut [IoSlice::new(&outgoing.head), IoSlice::new(&body)])
            }
            Outbody::Stream(stream, coding) => {
                let Some(_place) = self.shared.streams.take(()) else {
                    drop(stream);
                    let response = self.refusal(Refusal::Busy);
                    return self.answer(response, asked, after);
                };
                self.socket.release_buffer();
                self.socket.bound_send_buffer();
                let _watched = self.shared.watch.add(self.socket.stream(), stream.waker());
                let keep_alive = self.shared.settings.stream_keep_alive;
                let pace = Pace { check: keep_alive, keep_alive };
                let is_ending = || self.shared.phase() == Phase::Ended;
                wire::drain((stream, coding), outgoing.head, &mut self.socket, (pace, &is_ending))
            }
        };
        written.map(|()| outgoing.after).map_err(|_| Ended)
    }
}

/// The length of a body that can be read past, so that the connection can stay. A client that waits for `100 Continue` may
/// send its body or not (RFC 9110 section 10.1.1).
fn skippable(checked: &Checked) -> Option<usize> {
    match checked.framing {
        Framing::Length(length) if checked.persistent && (length == 0 || !checked.expects_continue) => {
            usize::try_from(length).ok().filter(|&length| length <= limits::DRAIN_BYTES)
        }
        Framing::Length(_) | Framing::Chunked => None,
    }
}

/// What takes a body out of the connection's bytes.
enum Reader {
    Length(usize),
    Chunked(Decoder),
}

impl Reader {
    fn take(&mut self, input: &[u8], body: &mut Vec<u8>) -> Result<usize, Refusal> {
        match self {
            Reader::Length(length) => {
                let wanted = length.saturating_sub(body.len());
                let here = input.get(..wanted).unwrap_or(input);
                body.extend_from_slice(here);
                Ok(here.len())
            }
            Reader::Chunked(decoder) => decoder.decode(input, body),
        }
    }

    fn is_done(&self, so_far: usize) -> bool {
        match self {
            Reader::Length(length) => so_far >= *length,
            Reader::Chunked(decoder) => decoder.is_done(),
        }
    }
}

/// H3: a body has a deadline, and a rate below which it is not waited for even that long.
struct BodyClock<'a> {
    start: Instant,
    settings: &'a super::Settings,
}

impl BodyClock<'_> {
    fn deadline(&self, received: usize) -> Instant {
        let received = u64::try_from(received).unwrap_or(u64::MAX);
        let earned = Duration::from_millis(received.saturating_mul(1000) / limits::BODY_BYTES_PER_SECOND);
        let patience = self.settings.body_grace.saturating_add(earned).min(self.settings.body_deadline);
        self.start + patience
    }
}
