//! One stream of server-sent events: its numbering, what is kept of it for `Last-Event-ID`, and its reader.

use std::collections::VecDeque;
use std::sync::{Arc, MutexGuard};
use std::time::Duration;

use super::quota::{Shares, Standing};
use crate::base::budget::Held;
use crate::base::cancel::CancelToken;
use crate::base::limits;
use crate::base::lock::Mutex;
use crate::http::{Event, Stream, StreamSender};

/// Whether the first event of a connection is an empty one that carries an id and a retry time (2025-11-25, "Sending
/// Messages to the Server"). Older clients take an empty event for a broken message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Priming {
    Sent,
    Left,
}

/// What makes a stream resumable: the incarnation of its session, and its number there.
#[derive(Clone, Copy, Debug)]
pub(super) struct Replay {
    pub(super) incarnation: u32,
    pub(super) stream: u64,
    pub(super) priming: Priming,
}

/// Where a new reader starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// At the beginning, as the first reader of an answer.
    Start,
    /// At the first event that no reader was sent.
    Undelivered,
    /// After the event with this number.
    After(u64),
}

/// A stream. Publishing never waits: a reader that does not keep up loses its connection.
#[derive(Debug)]
pub(super) struct EventStream {
    /// `None`: events have no ids and are gone once sent.
    replay: Option<Replay>,
    /// Where what it keeps, and what its reader has not read, is counted.
    shares: Shares,
    /// Guards the numbering, the ring and who reads, so that a new reader misses nothing and sees nothing twice.
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// The number of the last event; 0 before the first.
    last: u64,
    /// The number of the last event that some reader was sent.
    delivered: u64,
    /// The latest events, oldest first.
    ring: VecDeque<Kept>,
    /// Bytes in `ring`.
    kept: usize,
    reader: Option<StreamSender>,
    /// When the token of a reader expires who did not come with a call: they came with a GET, or to listen.
    until: Option<Duration>,
    /// No event will follow.
    finished: bool,
    /// When [`EventStream::is_abandoned`] first saw it without a reader.
    unread_since: Option<Duration>,
    /// When [`EventStream::is_over`] first saw it finished.
    finished_at: Option<Duration>,
}

#[derive(Debug)]
struct Kept {
    number: u64,
    event: Arc<[u8]>,
    _held: Held,
}

/// What an event in the ring takes beside its bytes: its entry, two counts and the allocator's own.
const ENTRY: usize = size_of::<Kept>() + 4 * size_of::<usize>();

impl EventStream {
    /// A stream whose one reader is there from the start; `gone` is tripped when the reader goes.
    pub(super) fn ephemeral(shares: Shares, gone: CancelToken) -> (EventStream, Stream) {
        let (sender, body) = Stream::pair(shares.unread.clone(), gone);
        let state = State { reader: Some(sender), ..State::default() };
        (EventStream { replay: None, shares, state: Mutex::new(state) }, body)
    }

    /// A stream as [`EventStream::ephemeral`] that belongs to no call.
    pub(super) fn standing(shares: Shares, Standing { place, until }: Standing) -> (EventStream, Stream) {
        let (stream, body) = EventStream::ephemeral(shares, CancelToken::new());
        stream.lock().until = Some(until);
        (stream, body.holding(place))
    }

    /// A stream as [`EventStream::standing`], whose first event tells its reader where to post (2024-11-05).
    pub(super) fn with_endpoint(shares: Shares, standing: Standing, endpoint: &str) -> (EventStream, Stream) {
        let (stream, body) = EventStream::standing(shares, standing);
        let event = Event { name: Some("endpoint"), data: Some(endpoint), ..Event::default() };
        stream.lock().send(0, event.encode().into());
        (stream, body)
    }

    /// A stream whose readers may come and go.
    pub(super) fn resumable(shares: Shares, replay: Replay) -> EventStream {
        EventStream { replay: Some(replay), shares, state: Mutex::default() }
    }

    /// The stream's number in its session.
    pub(super) fn number(&self) -> Option<u64> {
        self.replay.as_ref().map(|replay| replay.stream)
    }

    /// Adds an event.
    pub(super) fn publish(&self, data: &str) {
        let mut state = self.lock();
        if state.finished {
            return;
        }
        state.last = state.last.saturating_add(1);
        let number = state.last;
        let id = self.replay.as_ref().map(|replay| event_id(replay.incarnation, replay.stream, number));
        let event: Arc<[u8]> =
            Event { id: id.as_deref(), data: Some(data), ..Event::default() }.encode().into();
        if self.replay.is_some() {
            state.keep(number, Arc::clone(&event), &self.shares);
        }
        state.send(number, event);
    }

    /// Makes a new connection the stream's reader: it gets what is kept from `place` on and then what comes. An earlier
    /// reader's connection ends. Whose reader did not come with a call has its own `standing`.
    pub(super) fn attach(&self, place: Place, standing: Option<Standing>) -> Stream {
        let (sender, mut body) = Stream::pair(self.shares.unread.clone(), CancelToken::new());
        let until = standing.as_ref().map(|standing| standing.until);
        if let Some(Standing { place, .. }) = standing {
            body = body.holding(place);
        }
        let mut state = self.lock();
        state.until = until;
        state.unread_since = None;
        let after = match place {
            Place::Start => 0,
            Place::Undelivered => state.delivered,
            Place::After(number) => number,
        };
        if let Some(replay) = self.replay.as_ref().filter(|replay| replay.priming == Priming::Sent) {
            let _ = sender.send(prime(replay, after.min(state.last))); // if not even that fits, nothing will
        }
        state.reader = Some(sender);
        let missed = state.ring.iter().filter(|kept| kept.number > after);
        let missed: Vec<_> = missed.map(|kept| (kept.number, Arc::clone(&kept.event))).collect();
        for (number, event) in missed {
            state.send(number, event);
        }
        if state.finished {
            state.reader = None;
        }
        body
    }

    /// Ends the reader's connection, not the stream; only where the reader knows to come back (SEP-1699).
    pub(super) fn detach(&self) {
        if self.replay.as_ref().is_some_and(|replay| replay.priming == Priming::Sent) {
            self.lock().reader = None;
        }
    }

    /// Ends the stream: its reader gets what was sent and then the end.
    pub(super) fn finish(&self) {
        let mut state = self.lock();
        state.finished = true;
        state.reader = None;
    }

    /// Whether somebody is reading.
    pub(super) fn has_reader(&self) -> bool {
        self.lock().reader.as_ref().is_some_and(|reader| !reader.reader_gone().is_tripped())
    }

    /// Whether somebody is reading who is far behind.
    pub(super) fn is_crowded(&self) -> bool {
        let reader = self.lock().reader.clone();
        reader.is_some_and(|reader| reader.is_crowded() && !reader.reader_gone().is_tripped())
    }

    /// Whether somebody is reading who did not come with a call.
    pub(super) fn is_taken_up(&self) -> bool {
        self.has_reader() && self.lock().until.is_some()
    }

    /// T17: ends the connection of a reader whose token has expired. The stream goes on: with a fresh token they come back.
    pub(super) fn expire(&self, now: Duration) {
        if self.has_expired(now) {
            self.lock().reader = None;
        }
    }

    /// Whether the token of its reader has expired.
    pub(super) fn has_expired(&self, now: Duration) -> bool {
        self.lock().until.is_some_and(|until| until <= now)
    }

    /// Whether the stream has ended and can be forgotten.
    pub(super) fn is_over(&self, now: Duration) -> bool {
        let mut state = self.lock();
        if !state.finished {
            return false;
        }
        let since = *state.finished_at.get_or_insert(now);
        now.saturating_sub(since) >= limits::REPLAY_TIME
    }

    /// Whether it has had no reader for as long as it would be kept for one.
    pub(super) fn is_abandoned(&self, now: Duration) -> bool {
        if self.has_reader() {
            self.lock().unread_since = None;
            return false;
        }
        let since = *self.lock().unread_since.get_or_insert(now);
        now.saturating_sub(since) >= limits::REPLAY_TIME
    }

    /// Whether no event will follow.
    pub(super) fn is_finished(&self) -> bool {
        self.lock().finished
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }
}

impl State {
    /// Puts an event into the ring; the oldest make room. If its user, or the server as a whole, keeps too much, this stream
    /// keeps nothing: a client that asks for what is gone gets what follows.
    fn keep(&mut self, number: u64, event: Arc<[u8]>, shares: &Shares) {
        let length = event.len();
        while self.ring.len() >= limits::REPLAY_EVENTS
            || (!self.ring.is_empty() && self.kept.saturating_add(length) > limits::REPLAY_BYTES)
        {
            let oldest = self.ring.pop_front();
            self.kept = self.kept.saturating_sub(oldest.map_or(0, |kept| kept.event.len()));
        }
        let taken = length.saturating_add(ENTRY);
        let held = (length <= limits::REPLAY_BYTES).then(|| shares.replay.hold(taken)).flatten();
        let Some(held) = held else {
            self.ring.clear();
            self.kept = 0;
            return;
        };
        self.kept = self.kept.saturating_add(length);
        self.ring.push_back(Kept { number, event, _held: held });
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

/// The incarnation, stream and event of a `Last-Event-ID`; `None` unless it is exactly what we write.
pub(super) fn parse_event_id(id: &str) -> Option<(u32, u64, u64)> {
    let (incarnation, rest) = id.split_once('-')?;
    let (stream, number) = rest.split_once('-')?;
    let place = (incarnation.parse().ok()?, stream.parse().ok()?, number.parse().ok()?);
    (event_id(place.0, place.1, place.2) == id).then_some(place)
}

fn prime(replay: &Replay, number: u64) -> Vec<u8> {
    let id = event_id(replay.incarnation, replay.stream, number);
    let retry = u64::try_from(limits::STREAM_RETRY.as_millis()).ok();
    Event { id: Some(&id), retry, data: Some(""), ..Event::default() }.encode()
}

#[cfg(test)]
mod tests {
    use super::super::quota::Budgets;
    use super::*;
    use crate::base::identity::UserId;
    use crate::http::Next;

    fn resumable(priming: Priming) -> EventStream {
        EventStream::resumable(Budgets::new().of(UserId(1)), Replay { incarnation: 7, stream: 3, priming })
    }

    fn read(body: &Stream) -> String {
        let mut text = String::new();
        while let Next::Chunk(chunk) = body.next(Duration::ZERO) {
            text.push_str(std::str::from_utf8(&chunk).unwrap());
        }
        text
    }

    fn check(place: Place, expected: &str) {
        let events = resumable(Priming::Left);
        for data in ["a", "b", "c"] {
            events.publish(data);
        }
        assert_eq!(read(&events.attach(place, None)), expected);
    }

    #[test]
    fn a_reader_gets_what_it_missed() {
        check(Place::After(1), "id: 7-3-2\ndata: b\n\nid: 7-3-3\ndata: c\n\n");
        check(Place::After(3), "");
        check(Place::After(9), "");
        check(Place::Undelivered, "id: 7-3-1\ndata: a\n\nid: 7-3-2\ndata: b\n\nid: 7-3-3\ndata: c\n\n");
    }

    #[test]
    fn a_new_reader_takes_over_and_sees_nothing_twice() {
        let events = resumable(Priming::Left);
        let first = events.attach(Place::Undelivered, None);
        events.publish("a");
        let second = events.attach(Place::Undelivered, None);
        events.publish("b");
        assert_eq!(read(&first), "id: 7-3-1\ndata: a\n\n");
        assert!(matches!(first.next(Duration::ZERO), Next::End));
        assert_eq!(read(&second), "id: 7-3-2\ndata: b\n\n");
    }

    #[test]
    fn a_priming_event_names_the_place_to_resume_from() {
        let events = resumable(Priming::Sent);
        events.publish("a");
        assert_eq!(read(&events.attach(Place::After(1), None)), "id: 7-3-1\nretry: 1000\ndata: \n\n");
    }

    /// M8: the replay ring is bounded by events and bytes.
    #[test]
    fn the_ring_is_bounded() {
        let events = resumable(Priming::Sent);
        for _ in 0..limits::REPLAY_EVENTS * 2 {
            events.publish("x");
        }
        assert_eq!(events.lock().ring.len(), limits::REPLAY_EVENTS);
        let whole = events.attach(Place::After(0), None);
        assert!(events.has_reader(), "a new reader has room for all that is kept");
        assert_eq!(read(&whole).matches("data: x").count(), limits::REPLAY_EVENTS);
        let large = "x".repeat(limits::REPLAY_BYTES / 2);
        for _ in 0..5 {
            events.publish(&large);
        }
        assert!(events.lock().kept <= limits::REPLAY_BYTES);
        events.publish(&"x".repeat(limits::REPLAY_BYTES + 1));
        assert_eq!(events.lock().kept, 0);
    }

    /// M17: at the limit and one event above; what one user keeps takes nothing from another.
    #[test]
    fn the_streams_of_a_user_keep_no_more_than_their_share() {
        let budgets = Budgets::new();
        let stream = |user| {
            EventStream::resumable(
                budgets.of(UserId(user)),
                Replay { incarnation: 7, stream: 1, priming: Priming::Left },
            )
        };
        let _all_but_one_event =
            budgets.of(UserId(1)).replay.hold(limits::REPLAY_BYTES_KEPT.0 - 20 - ENTRY).unwrap();
        let (first, second, other) = (stream(1), stream(1), stream(2));
        for stream in [&first, &second, &other] {
            stream.publish("a");
        }
        assert_eq!([&first, &second, &other].map(|stream| stream.lock().ring.len()), [1, 0, 1]);
        drop(first);
        second.publish("c");
        assert_eq!(second.lock().ring.len(), 1);
    }

    /// M17: a reader whose user leaves too much unread loses its connection; what is kept is not lost.
    #[test]
    fn a_user_who_reads_nothing_loses_the_connection() {
        let budgets = Budgets::new();
        let events = EventStream::resumable(
            budgets.of(UserId(1)),
            Replay { incarnation: 7, stream: 3, priming: Priming::Left },
        );
        let unread = budgets.of(UserId(1)).unread;
        let body = events.attach(Place::Undelivered, None);
        let elsewhere = unread.hold(limits::UNREAD_BYTES.0).unwrap();
        events.publish("a");
        assert!(!events.has_reader());
        drop((elsewhere, body));
        assert_eq!(read(&events.attach(Place::Undelivered, None)), "id: 7-3-1\ndata: a\n\n");
    }

    /// M17: a slow reader loses its stream and never blocks a publisher.
    #[test]
    fn a_slow_reader_loses_its_connection() {
        let events = resumable(Priming::Left);
        let body = events.attach(Place::Undelivered, None);
        for _ in 0..=limits::STREAM_EVENTS {
            events.publish("x");
        }
        assert!(!events.has_reader());
        assert_eq!(read(&body).matches("data").count(), limits::STREAM_EVENTS);
    }

    #[test]
    fn a_finished_stream_is_forgotten_after_a_while() {
        let events = resumable(Priming::Left);
        events.publish("a");
        assert!(!events.is_over(Duration::ZERO));
        events.finish();
        events.publish("b");
        assert!(!events.is_over(Duration::from_secs(1)));
        let body = events.attach(Place::After(0), None);
        assert_eq!(read(&body), "id: 7-3-1\ndata: a\n\n");
        assert!(events.is_over(Duration::from_secs(1) + limits::REPLAY_TIME));
    }

    #[test]
    fn an_event_id_has_one_spelling() {
        assert_eq!(parse_event_id("7-3-17"), Some((7, 3, 17)));
        for bad in [
            "",
            "7",
            "7-3",
            "7-3-",
            "-3-1",
            "7--1",
            "07-3-1",
            "7-+3-1",
            "7-3-1 ",
            "7-3-1-1",
            "4294967296-3-1",
        ] {
            assert_eq!(parse_event_id(bad), None, "{bad:?}");
        }
    }
}
