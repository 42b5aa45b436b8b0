//! One legacy session: who owns it, what is in flight in it, its streams, and what we have asked of its client.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, MutexGuard, OnceLock};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded};
use serde_json::value::RawValue;

use super::call::{ClientCapabilities, Level};
use super::events::{EventStream, Place, Priming, Replay, parse_event_id};
use super::jsonrpc::{Error, RequestId};
use super::publisher::Change;
use super::quota::{Shares, Standing};
use super::table::{Owner, Row};
use crate::base::budget::Held;
use crate::base::cancel::CancelToken;
use crate::base::identity::Principal;
use crate::base::limits;
use crate::base::lock::Mutex;
use crate::http::Stream;

pub(super) use super::session_table::SessionTable;

/// The stream that belongs to no request; the client reads it with GET.
const STANDALONE: u64 = 0;

/// What the client answered to a request of ours.
pub(super) type ClientAnswer = Result<Box<RawValue>, Error>;

/// What a session starts with.
#[derive(Debug)]
pub(super) struct NewSession {
    pub(super) id: Box<str>,
    pub(super) client: ClientCapabilities,
    pub(super) priming: Priming,
    pub(super) shares: Shares,
    pub(super) incarnation: u32,
    pub(super) now: Duration,
}

/// A session. Ends once, for good.
#[derive(Debug)]
pub(super) struct Session {
    id: Box<str>,
    owner: Owner,
    /// Set once, by `initialize`.
    client: OnceLock<ClientCapabilities>,
    kind: Kind,
    /// Whether a request has named the session.
    named: AtomicBool,
    priming: Priming,
    shares: Shares,
    /// Random. A session that comes back under its id has another one, so ids of its earlier events and questions match nothing.
    incarnation: u32,
    standalone: Arc<EventStream>,
    next_stream: AtomicU64,
    next_ask: AtomicI64,
    /// Milliseconds of the monotonic clock at the last request.
    used: AtomicU64,
    /// Guards what is under way.
    state: Mutex<State>,
}

/// How a session is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// In the table, until nobody has used it for a while.
    Streamable,
    /// In the table, as long as its one stream is read (2024-11-05).
    Paired,
    /// For one request of a client that never names its session.
    Nameless,
}

#[derive(Debug)]
struct State {
    ended: bool,
    log_level: Level,
    in_flight: HashMap<RequestId, CancelToken>,
    asked: HashMap<RequestId, Asked>,
    /// Streams of requests, running and finished, by number.
    streams: BTreeMap<u64, Arc<EventStream>>,
    /// The resources whose changes the client is told of, each counted among what is kept for its user.
    subscriptions: BTreeMap<Box<str>, Held>,
}

#[derive(Debug)]
struct Asked {
    /// The request whose handler waits.
    during: RequestId,
    /// Dropped when nobody is to wait any more.
    answer: Sender<ClientAnswer>,
}

/// Why a request cannot run in its session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// Its id is that of a request that still runs.
    DuplicateId,
    /// The session has ended meanwhile.
    Ended,
}

impl Session {
    pub(super) fn new(principal: &Principal, new: NewSession) -> Session {
        let client = OnceLock::from(new.client);
        let replay = Replay { incarnation: new.incarnation, stream: STANDALONE, priming: new.priming };
        let stream = EventStream::resumable(new.shares.clone(), replay);
        Session::with(principal, new, (Kind::Streamable, client, stream))
    }

    /// A session of the pair of 2024-11-05 on this stream, whose client has not said yet what it can do.
    pub(super) fn paired(principal: &Principal, new: NewSession, stream: EventStream) -> Session {
        Session::with(principal, new, (Kind::Paired, OnceLock::new(), stream))
    }

    /// A session for one request. It cannot be named, so nobody can be asked anything in it.
    pub(super) fn nameless(principal: &Principal, new: NewSession) -> Session {
        let (stream, _) = EventStream::ephemeral(new.shares.clone(), CancelToken::new());
        Session::with(principal, new, (Kind::Nameless, OnceLock::new(), stream))
    }

    fn with(
        principal: &Principal,
        new: NewSession,
        (kind, client, standalone): (Kind, OnceLock<ClientCapabilities>, EventStream),
    ) -> Session {
        let state = State {
            ended: false,
            log_level: Level::Debug, // the specification lets us choose until logging/setLevel
            in_flight: HashMap::new(),
            asked: HashMap::new(),
            streams: BTreeMap::new(),
            subscriptions: BTreeMap::new(),
        };
        Session {
            standalone: Arc::new(standalone),
            id: new.id,
            owner: principal.into(),
            client,
            kind,
            named: AtomicBool::new(false),
            priming: new.priming,
            shares: new.shares,
            incarnation: new.incarnation,
            next_stream: AtomicU64::new(STANDALONE.saturating_add(1)),
            next_ask: AtomicI64::new(new.incarnation.into()),
            used: AtomicU64::new(millis(new.now)),
            state: Mutex::new(state),
        }
    }

    pub(super) fn kind(&self) -> Kind {
        self.kind
    }

    /// What the client can do: nothing, before it has said.
    pub(super) fn client(&self) -> ClientCapabilities {
        *self.client.get_or_init(ClientCapabilities::default)
    }

    /// Takes what the client says that it can do; the first time counts.
    pub(super) fn declare(&self, client: ClientCapabilities) {
        let _ = self.client.set(client);
    }

    /// Notes that a request has named the session: its client will always do so.
    pub(super) fn name(&self) {
        self.named.store(true, Ordering::Relaxed);
    }

    /// Whether the session may be of a client that never names it.
    pub(super) fn is_unnamed(&self) -> bool {
        self.kind == Kind::Streamable && !self.named.load(Ordering::Relaxed)
    }

    /// Notes that the session is in use.
    pub(super) fn touch(&self, now: Duration) {
        self.used.store(millis(now), Ordering::Relaxed);
    }

    /// When it was last used, in milliseconds of the monotonic clock.
    pub(super) fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    // ---- requests in flight ----

    /// Takes a request in.
    pub(super) fn begin(&self, id: &RequestId, cancel: &CancelToken) -> Result<(), Refused> {
        let mut state = self.lock();
        if state.ended {
            return Err(Refused::Ended);
        }
        // M7: two requests with one id could not be told apart by their responses.
        if state.in_flight.contains_key(id) {
            return Err(Refused::DuplicateId);
        }
        state.in_flight.insert(id.clone(), cancel.clone());
        Ok(())
    }

    /// Lets a request go, and with it what was asked during it.
    pub(super) fn finish(&self, id: &RequestId) {
        let asked: Vec<_> = {
            let mut state = self.lock();
            state.in_flight.remove(id);
            state.asked.extract_if(|_, asked| asked.during == *id).collect()
        };
        drop(asked); // outside of the lock: it wakes who waits
    }

    /// Cancels a request of this session; unknown ids are ignored (M14).
    pub(super) fn cancel(&self, id: &RequestId) {
        let (token, asked) = {
            let mut state = self.lock();
            let of_request = |_: &RequestId, asked: &mut Asked| asked.during == *id;
            let asked: Vec<_> = state.asked.extract_if(of_request).collect();
            (state.in_flight.get(id).cloned(), asked)
        };
        // Tripped before those who wait for an answer are woken, so that they see why.
        if let Some(token) = token {
            token.trip();
        }
        drop(asked);
    }

    // ---- requests of ours ----

    /// A place for the client's answer to a question that a handler asks while it serves `during`.
    pub(super) fn expect_answer(&self, during: &RequestId) -> (RequestId, Receiver<ClientAnswer>) {
        let id = RequestId::Integer(self.next_ask.fetch_add(1, Ordering::Relaxed));
        let (sender, receiver) = bounded(1);
        let mut state = self.lock();
        let waits = !state.ended && state.in_flight.get(during).is_some_and(|token| !token.is_tripped());
        if waits {
            state.asked.insert(id.clone(), Asked { during: during.clone(), answer: sender });
        }
        (id, receiver)
    }

    /// Takes the client's answer; answers to nothing are ignored.
    pub(super) fn answer(&self, id: &RequestId, answer: ClientAnswer) {
        let asked = self.lock().asked.remove(id);
        if let Some(asked) = asked {
            let _ = asked.answer.try_send(answer); // whoever waited may have given up
        }
    }

    /// Gives up on an answer.
    pub(super) fn forget_question(&self, id: &RequestId) {
        self.lock().asked.remove(id);
    }

    // ---- streams ----

    /// The stream that belongs to no request.
    pub(super) fn standalone(&self) -> &Arc<EventStream> {
        &self.standalone
    }

    /// A fresh stream of a request, with its first reader. Not kept before [`Session::keep`].
    pub(super) fn new_stream(&self) -> (EventStream, Stream) {
        let stream = self.next_stream.fetch_add(1, Ordering::Relaxed);
        let replay = Replay { incarnation: self.incarnation, stream, priming: self.priming };
        let events = EventStream::resumable(self.shares.clone(), replay);
        let body = events.attach(Place::Start, None);
        (events, body)
    }

    /// Keeps a stream for `Last-Event-ID`; the oldest makes room, finished ones first.
    pub(super) fn keep(&self, events: &Arc<EventStream>) {
        let Some(number) = events.number() else { return };
        let kept: Vec<_> = self.lock().streams.values().cloned().collect();
        let displaced = (kept.len() >= limits::REPLAY_STREAMS)
            .then(|| kept.iter().find(|each| each.is_finished()).or_else(|| kept.first()))
            .flatten()
            .and_then(|displaced| displaced.number());
        let mut state = self.lock();
        if let Some(displaced) = displaced {
            state.streams.remove(&displaced);
        }
        if !state.ended {
            state.streams.insert(number, Arc::clone(events));
        }
    }

    /// The body of a GET: the stream of `Last-Event-ID` after that event, or the standalone one. An id that is not of
    /// this session's and incarnation's gets the standalone stream and nothing that was meant for somebody else (M8).
    pub(super) fn read(&self, last_event_id: Option<&str>, standing: Standing) -> Stream {
        let place = last_event_id.and_then(parse_event_id);
        let (stream, place) = match place.filter(|(incarnation, ..)| *incarnation == self.incarnation) {
            Some((_, STANDALONE, after)) => (None, Place::After(after)),
            Some((_, stream, after)) => match self.lock().streams.get(&stream) {
                Some(events) => (Some(Arc::clone(events)), Place::After(after)),
                None => (None, Place::Undelivered),
            },
            None => (None, Place::Undelivered),
        };
        stream.as_ref().unwrap_or(&self.standalone).attach(place, Some(standing))
    }

    /// How many readers the session has.
    pub(super) fn readers(&self) -> usize {
        self.streams().iter().filter(|events| events.has_reader()).count()
    }

    /// How many of them did not come with a call.
    pub(super) fn get_readers(&self) -> usize {
        self.streams().iter().filter(|events| events.is_taken_up()).count()
    }

    fn streams(&self) -> Vec<Arc<EventStream>> {
        let kept: Vec<_> = self.lock().streams.values().cloned().collect();
        kept.into_iter().chain([Arc::clone(&self.standalone)]).collect()
    }

    // ---- settings ----

    pub(super) fn set_log_level(&self, level: Level) {
        self.lock().log_level = level;
    }

    pub(super) fn wants_log(&self, level: Level) -> bool {
        level >= self.lock().log_level
    }

    /// Subscribes to a resource; says whether there was room.
    pub(super) fn subscribe(&self, uri: &str) -> bool {
        let mut state = self.lock();
        if state.subscriptions.contains_key(uri) {
            return true;
        }
        let room = state.subscriptions.len() < limits::SUBSCRIPTIONS;
        let held = room.then(|| self.shares.kept.hold(uri.len())).flatten();
        held.is_some_and(|held| state.subscriptions.insert(uri.into(), held).is_none())
    }

    pub(super) fn unsubscribe(&self, uri: &str) {
        self.lock().subscriptions.remove(uri);
    }

    /// Whether the client is to be told of a change.
    pub(super) fn wants(&self, change: Change<'_>) -> bool {
        change.uri().is_none_or(|uri| self.lock().subscriptions.contains_key(uri))
    }

    // ---- the end ----

    /// Ends the stream that belongs to no request.
    pub(super) fn end_standalone(&self) {
        self.standalone.finish();
    }

    /// Whether a request is in flight.
    pub(super) fn is_busy(&self) -> bool {
        !self.lock().in_flight.is_empty()
    }

    /// Forgets streams that nobody can want any more, and ends the connections of readers whose token has expired; says
    /// whether the session itself is idle.
    pub(super) fn sweep(&self, now: Duration) -> bool {
        let over = self.streams().into_iter().filter(|events| events.is_over(now));
        let over: BTreeSet<u64> = over.filter_map(|events| events.number()).collect();
        self.lock().streams.retain(|number, _| !over.contains(number));
        let busy = self.is_busy();
        // The stream of a pair is the way of every answer: it stays for a call that runs.
        let expiring = if busy && self.kind == Kind::Paired { Vec::new() } else { self.streams() };
        expiring.iter().for_each(|events| events.expire(now));
        if self.kind == Kind::Paired {
            return self.readers() == 0;
        }
        let idle_millis = millis(now).saturating_sub(self.used());
        !busy && idle_millis >= millis(limits::SESSION_IDLE) && self.readers() == 0
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }
}

impl Row for Session {
    fn id(&self) -> &str {
        &self.id
    }

    fn owner(&self) -> &Owner {
        &self.owner
    }

    /// Ends the session: its requests are cancelled, its streams end, nothing of it is kept.
    fn end(&self) {
        let (tokens, streams, asked) = {
            let mut state = self.lock();
            state.ended = true;
            let tokens: Vec<_> = state.in_flight.values().cloned().collect();
            (tokens, std::mem::take(&mut state.streams), std::mem::take(&mut state.asked))
        };
        for token in tokens {
            token.trip();
        }
        drop(asked);
        for events in streams.values().chain([&self.standalone]) {
            events.finish();
        }
    }
}

pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
