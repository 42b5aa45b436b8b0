//! One stream of server-sent events: the numbers of its events, those that are kept for `Last-Event-ID`, and its reader.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use super::budgets::Shares;
use crate::base::{CancelToken, Held, Mutex, Subject, limits};
use crate::http::{Event, Stream, StreamSender};

/// The identity of a resumable stream: the incarnation of its session, and its number there.
#[derive(Clone, Copy, Debug)]
pub(super) struct Replay {
    pub(super) incarnation: u32,
    pub(super) stream: u64,
    /// Whether the first event of a connection is an empty one with an id and a retry time (2025-11-25, "Sending Messages to the
    /// Server"). Older clients fail on an empty event.
    pub(super) is_primed: bool,
}

/// The quota place and the deadline of a stream that belongs to no call: one opened by GET or `subscriptions/listen`.
#[derive(Debug)]
pub(super) struct OpenStream {
    /// Its place in its user's quota of streams (M17).
    pub(super) place: Held<Subject>,
    /// The expiry of the token that opened it, on the monotonic clock (T17).
    pub(super) expires: Duration,
}

/// A stream. Publishing never waits: a reader that does not keep up loses its connection.
#[derive(Debug)]
pub(super) struct EventStream {
    /// `None`: events have no ids and are not kept.
    replay: Option<Replay>,
    /// The budgets of kept and unread bytes.
    shares: Shares,
    /// Guards numbering, ring and reader, so that a new reader gets every event exactly once.
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// The number of the last event; 0 before the first.
    last: u64,
    /// The number of the last event that was sent to a reader.
    delivered: u64,
    /// The latest events, oldest first.
    ring: VecDeque<KeptEvent>,
    /// Bytes in `ring`.
    ring_bytes: usize,
    reader: Option<StreamSender>,
    /// The expiry of the reader's token, if the reader did not come with a call: see [`OpenStream`].
    reader_expires: Option<Duration>,
    /// No event will follow.
    finished: bool,
    /// The time at which [`EventStream::is_abandoned`] first saw it without a reader, or finished.
    unread_since: Option<Duration>,
}

#[derive(Debug)]
struct KeptEvent {
    number: u64,
    event: Arc<[u8]>,
    _held: Held,
}

/// The memory of an event in the ring in addition to its bytes: its entry, two reference counts and the allocator's overhead.
const ENTRY: usize = size_of::<KeptEvent>() + 4 * size_of::<usize>();

impl EventStream {
    /// A stream with one reader from the start; `gone` is tripped when the reader disconnects.
    pub(super) fn ephemeral(shares: Shares, gone: CancelToken) -> (EventStream, Stream) {
        let (sender, body) = Stream::pair(shares.unread.clone(), gone);
        let state = State { reader: Some(sender), ..State::default() };
        (EventStream { replay: None, shares, state: Mutex::new(state) }, body)
    }

    /// An [`EventStream::ephemeral`] that belongs to no call.
    pub(super) fn open(shares: Shares, OpenStream { place, expires }: OpenStream) -> (EventStream, Stream) {
        let (stream, body) = EventStream::ephemeral(shares, CancelToken::new());
        stream.state.lock().reader_expires = Some(expires);
        (stream, body.holding(place))
    }

    /// A stream that can be resumed.
    pub(super) fn resumable(shares: Shares, replay: Replay) -> EventStream {
        EventStream { replay: Some(replay), shares, state: Mutex::default() }
    }

    /// The stream's number in its session.
    pub(super) fn number(&self) -> Option<u64> {
        self.replay.map(|replay| replay.stream)
    }

    /// Sends the first event of HTTP+SSE (2024-11-05), which names the URL for messages. It has no number.
    pub(super) fn send_endpoint(&self, endpoint: &str) {
        let event = Event { name: Some("endpoint"), data: Some(endpoint), ..Event::default() };
        self.state.lock().send(0, event.encode().into());
    }

    /// Adds an event.
    pub(super) fn publish(&self, data: &str) {
        let mut state = self.state.lock();
        if state.finished {
            return;
        }
        state.last = state.last.saturating_add(1);
        let number = state.last;
        let id = self.replay.map(|replay| event_id(replay.incarnation, replay.stream, number));
        let event: Arc<[u8]> =
            Event { id: id.as_deref(), data: Some(data), ..Event::default() }.encode().into();
        if self.replay.is_some() {
            state.keep(number, Arc::clone(&event), &self.shares);
        }
        state.send(number, event);
    }

    /// Makes a new connection the stream's reader: it gets the kept events after the one with the number `after`, else those that no
    /// reader was sent, then new ones. An earlier reader's connection ends. `open` is for a reader that did not come with a call.
    pub(super) fn attach(&self, after: Option<u64>, open: Option<OpenStream>) -> Stream {
        let (sender, body) = Stream::pair(self.shares.unread.clone(), CancelToken::new());
        let (place, expires) = open.map(|OpenStream { place, expires }| (place, expires)).unzip();
        let mut state = self.state.lock();
        state.reader_expires = expires;
        let after = after.unwrap_or(state.delivered);
        if let Some(replay) = self.replay.filter(|replay| replay.is_primed) {
            let _ = sender.send(prime(&replay, after.min(state.last))); // if this does not fit, nothing else does
        }
        state.reader = Some(sender);
        let missed = state.ring.iter().filter(|kept| kept.number > after);
        let missed: Vec<_> = missed.map(|kept| (kept.number, Arc::clone(&kept.event))).collect();
        missed.into_iter().for_each(|(number, event)| state.send(number, event));
        match state.finished {
            true => state.reader = None,
            false => state.unread_since = None,
        }
        body.holding(place)
    }

    /// Ends the reader's connection, not the stream; only if the reader knows that it has to reconnect (SEP-1699).
    pub(super) fn detach(&self) {
        if self.replay.is_some_and(|replay| replay.is_primed) {
            self.state.lock().reader = None;
        }
    }

    /// Ends the stream: its reader gets the events that were sent, and then the end.
    pub(super) fn finish(&self) {
        let mut state = self.state.lock();
        state.finished = true;
        state.reader = None;
        state.unread_since = None;
    }

    /// Whether no event will follow.
    pub(super) fn is_finished(&self) -> bool {
        self.state.lock().finished
    }

    /// Whether the stream has a reader.
    pub(super) fn has_reader(&self) -> bool {
        self.state.lock().has_reader()
    }

    /// Whether its reader has many unread bytes.
    pub(super) fn is_crowded(&self) -> bool {
        let state = self.state.lock();
        state.has_reader() && state.reader.as_ref().is_some_and(StreamSender::is_crowded)
    }

    /// Whether its reader's token has expired.
    pub(super) fn has_expired(&self, now: Duration) -> bool {
        self.state.lock().reader_expires.is_some_and(|expires| expires <= now)
    }

    /// T17: ends the connection of a reader whose token has expired. The stream stays: the client reconnects with a fresh token.
    pub(super) fn expire(&self, now: Duration) {
        if self.has_expired(now) {
            self.state.lock().reader = None;
        }
    }

    /// Whether the stream is finished and can be removed.
    pub(super) fn is_over(&self, now: Duration) -> bool {
        self.is_finished() && self.is_abandoned(now)
    }

    /// Whether it has had no reader for as long as a stream can be resumed.
    pub(super) fn is_abandoned(&self, now: Duration) -> bool {
        let mut state = self.state.lock();
        if state.has_reader() {
            state.unread_since = None;
            return false;
        }
        now.saturating_sub(*state.unread_since.get_or_insert(now)) >= limits::REPLAY_TIME
    }
}

impl State {
    fn has_reader(&self) -> bool {
        self.reader.as_ref().is_some_and(|reader| !reader.reader_gone().is_tripped())
    }

    /// Puts an event into the ring, which drops the oldest ones. If the budget of its user, or in total, is used up, this stream keeps
    /// nothing: a client that asks for dropped events gets the later ones.
    fn keep(&mut self, number: u64, event: Arc<[u8]>, shares: &Shares) {
        let length = event.len();
        while self.ring.len() >= limits::REPLAY_EVENTS
            || (!self.ring.is_empty() && self.ring_bytes.saturating_add(length) > limits::REPLAY_BYTES)
        {
            let oldest = self.ring.pop_front();
            self.ring_bytes = self.ring_bytes.saturating_sub(oldest.map_or(0, |kept| kept.event.len()));
        }
        let taken = length.saturating_add(ENTRY);
        let held = (length <= limits::REPLAY_BYTES).then(|| shares.replay.hold(taken)).flatten();
        let Some(held) = held else {
            self.ring.clear();
            self.ring_bytes = 0;
            return;
        };
        self.ring_bytes = self.ring_bytes.saturating_add(length);
        self.ring.push_back(KeptEvent { number, event, _held: held });
    }

    fn send(&mut self, number: u64, event: Arc<[u8]>) {
        let Some(reader) = &self.reader else { return };
        match reader.send(event) {
            Ok(()) => self.delivered = self.delivered.max(number),
            Err(_) => self.reader = None,
        }
    }
}

fn event_id(incarnation: u32, stream: u64, number: u64) -> String {
    format!("{incarnation}-{stream}-{number}")
}

/// The incarnation, stream and event of a `Last-Event-ID`; `None` unless it has exactly the form of [`event_id`].
pub(super) fn parse_event_id(id: &str) -> Option<(u32, u64, u64)> {
    let (incarnation, rest) = id.split_once('-')?;
    let (stream, number) = rest.split_once('-')?;
    let parsed = (incarnation.parse().ok()?, stream.parse().ok()?, number.parse().ok()?);
    (event_id(parsed.0, parsed.1, parsed.2) == id).then_some(parsed)
}

fn prime(replay: &Replay, number: u64) -> Vec<u8> {
    let id = event_id(replay.incarnation, replay.stream, number);
    let retry = u64::try_from(limits::STREAM_RETRY.as_millis()).ok();
    Event { id: Some(&id), retry, data: Some(""), ..Event::default() }.encode()
}

#[cfg(test)]
mod tests;
