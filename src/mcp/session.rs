//! One legacy session: its owner, its requests in flight with our questions to the client, its streams and subscriptions.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded};

use super::Core;
use super::budgets::Shares;
use super::call::{ClientCapabilities, Level};
use super::jsonrpc::{Error, RequestId};
use super::mrtr::ClientAnswer;
use super::session_id::SessionId;
use super::stream::{EventStream, OpenStream, Replay, parse_event_id};
use super::table::{Full, Owner, Row, Table, count};
use crate::base::{CallerSession, CancelToken, Capacity, Held, Mutex, Principal, limits};
use crate::http::Stream;

/// The stream that belongs to no request; the client reads it with GET.
const STANDALONE: u64 = 0;

/// A session.
#[derive(Debug)]
pub(super) struct Session {
    /// The session, for the backend. Ends with the session, and when the backend has lost its state for the session.
    caller: Arc<CallerSession>,
    pub(super) kind: Kind,
    owner: Owner,
    /// Empty: the client has not declared them yet.
    client: OnceLock<ClientCapabilities>,
    is_primed: bool,
    shares: Shares,
    /// Random. A session that is restarted under its id has another incarnation, so ids of earlier events and questions match nothing.
    incarnation: u32,
    /// Whether a request has named the session.
    named: AtomicBool,
    /// The stream that belongs to no request.
    pub(super) standalone: Arc<EventStream>,
    next_stream: AtomicU64,
    next_question: AtomicI64,
    /// Milliseconds of the monotonic clock at the last request.
    used: AtomicU64,
    /// Set by the first subscription: the owner as of the last request, with the memberships that access rules depend on.
    subscriber: OnceLock<Mutex<Owner>>,
    /// Guards requests, streams and settings.
    state: Mutex<State>,
}

/// The lifetime of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// In the table, until it has been unused for a while.
    Streamable,
    /// HTTP+SSE (2024-11-05): in the table, as long as its one stream is read.
    HttpSse,
    /// For one request of a client that never names its session. Questions to the client are not possible.
    SingleRequest,
}

#[derive(Debug, Default)]
struct State {
    ended: bool,
    /// The lowest level of log messages that the client wants; `None`: it gets all.
    log_level: Option<Level>,
    in_flight: HashMap<RequestId, InFlight>,
    /// Streams of requests, running and finished, by number.
    streams: BTreeMap<u64, Arc<EventStream>>,
    /// The resources that the client has subscribed to, each with its part of the user's budget.
    subscriptions: BTreeMap<Box<str>, Held>,
}

/// A request in flight.
#[derive(Debug)]
struct InFlight {
    cancel: CancelToken,
    /// Our questions while it runs, each with the channel to the waiting handler. Dropping a sender ends the wait. `None` once the
    /// request is cancelled: no further question is sent.
    questions: Option<HashMap<RequestId, Sender<ClientAnswer>>>,
}

impl Session {
    /// A session in the table, whose own stream can be resumed. Without the contents of its id, its client has no capabilities.
    pub(super) fn new(core: &Core, principal: &Principal, id: &str, contents: Option<&SessionId>) -> Session {
        let incarnation = u32::from_be_bytes(core.settings.random.bytes());
        let is_primed = contents.is_some_and(|contents| &*contents.version >= "2025-11-25");
        let shares = core.budgets.of(principal.subject);
        let replay = Replay { incarnation, stream: STANDALONE, is_primed };
        Session {
            caller: Arc::new(CallerSession { id: id.into(), ended: CancelToken::new() }),
            kind: Kind::Streamable,
            owner: principal.into(),
            client: contents.map(SessionId::client).unwrap_or_default().into(),
            is_primed,
            incarnation,
            named: AtomicBool::new(false),
            standalone: Arc::new(EventStream::resumable(shares.clone(), replay)),
            shares,
            next_stream: AtomicU64::new(STANDALONE.saturating_add(1)),
            next_question: AtomicI64::new(incarnation.into()),
            used: AtomicU64::new(millis(core.settings.clock.monotonic())),
            subscriber: OnceLock::new(),
            state: Mutex::default(),
        }
    }

    /// A session of HTTP+SSE, with this stream for everything. Its client has yet to declare its capabilities.
    pub(super) fn on_stream(core: &Core, principal: &Principal, id: &str, stream: EventStream) -> Session {
        let (client, standalone) = (OnceLock::new(), Arc::new(stream)); // in place of a resumable one
        Session { kind: Kind::HttpSse, client, standalone, ..Session::new(core, principal, id, None) }
    }

    /// A session for one request.
    pub(super) fn for_request(core: &Core, principal: &Principal) -> Session {
        Session { kind: Kind::SingleRequest, ..Session::new(core, principal, "", None) }
    }

    /// The session, for the backend. The backend keeps no state for a single request.
    pub(super) fn caller(&self) -> Option<Arc<CallerSession>> {
        (self.kind != Kind::SingleRequest).then(|| Arc::clone(&self.caller))
    }

    /// Whether the session has ended, or a backend has lost its state for it.
    pub(super) fn has_ended(&self) -> bool {
        self.caller.ended.is_tripped()
    }

    /// The client's capabilities; none before it has declared them.
    pub(super) fn client(&self) -> ClientCapabilities {
        *self.client.get_or_init(ClientCapabilities::default)
    }

    /// Sets the client's capabilities, once.
    pub(super) fn declare(&self, client: ClientCapabilities) {
        let _ = self.client.set(client);
    }

    /// Records that a request has named the session: its client is expected to do so always.
    pub(super) fn name(&self) {
        self.named.store(true, Ordering::Relaxed);
    }

    /// Whether no request has named the session, so that its client may be one that never does.
    pub(super) fn is_unnamed(&self) -> bool {
        self.kind == Kind::Streamable && !self.named.load(Ordering::Relaxed)
    }

    /// Records a request of the owner's.
    pub(super) fn touch(&self, owner: &Principal, now: Duration) {
        self.used.store(millis(now), Ordering::Relaxed);
        if let Some(subscriber) = self.subscriber.get() {
            *subscriber.lock() = owner.into();
        }
    }

    /// The time of its last request, in milliseconds of the monotonic clock.
    pub(super) fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    // ---- requests in flight ----

    /// Adds a request in flight. Fails if the session has ended meanwhile.
    pub(super) fn begin(&self, id: &RequestId, cancel: &CancelToken) -> Result<(), Error> {
        let mut state = self.state.lock();
        if state.ended {
            return Err(Error::new(Error::SESSION_NOT_FOUND, "Session not found"));
        }
        // M7: the responses to two requests with one id could not be distinguished.
        if state.in_flight.contains_key(id) {
            return Err(Error::new(Error::INVALID_REQUEST, "A request with this id is in flight"));
        }
        let request = InFlight { cancel: cancel.clone(), questions: Some(HashMap::new()) };
        state.in_flight.insert(id.clone(), request);
        Ok(())
    }

    /// Removes a request that is over, with its open questions.
    pub(super) fn finish(&self, id: &RequestId) {
        let finished = self.state.lock().in_flight.remove(id);
        drop(finished); // outside of the lock: it wakes waiting handlers
    }

    /// Cancels a request of this session; unknown ids are ignored (M14).
    pub(super) fn cancel(&self, id: &RequestId) {
        let take = |request: &mut InFlight| (request.cancel.clone(), request.questions.take());
        let cancelled = self.state.lock().in_flight.get_mut(id).map(take);
        if let Some((token, questions)) = cancelled {
            token.trip(); // first, so that handlers that wait for an answer see the reason when they wake
            drop(questions);
        }
    }

    // ---- questions to the client ----

    /// The id of a new question of the handler that serves `during`, and the place of its answer.
    pub(super) fn expect_answer(&self, during: &RequestId) -> (RequestId, Receiver<ClientAnswer>) {
        let id = RequestId::Integer(self.next_question.fetch_add(1, Ordering::Relaxed));
        let (sender, receiver) = bounded(1);
        let mut state = self.state.lock();
        if let Some(request) = state.in_flight.get_mut(during)
            && !request.cancel.is_tripped()
            && let Some(questions) = &mut request.questions
        {
            questions.insert(id.clone(), sender);
        }
        (id, receiver)
    }

    /// Delivers the client's answer to the waiting handler; answers to unknown questions are ignored.
    pub(super) fn answer(&self, id: &RequestId, answer: ClientAnswer) {
        if let Some(question) = self.take_question(id) {
            let _ = question.try_send(answer); // the handler may have given up
        }
    }

    /// Removes a question that is open.
    pub(super) fn take_question(&self, id: &RequestId) -> Option<Sender<ClientAnswer>> {
        let take = |request: &mut InFlight| request.questions.as_mut()?.remove(id);
        self.state.lock().in_flight.values_mut().find_map(take)
    }

    // ---- streams ----

    /// A fresh stream of a request, with its first reader. Not kept before [`Session::keep`].
    pub(super) fn new_stream(&self) -> (EventStream, Stream) {
        let stream = self.next_stream.fetch_add(1, Ordering::Relaxed);
        let replay = Replay { incarnation: self.incarnation, stream, is_primed: self.is_primed };
        let events = EventStream::resumable(self.shares.clone(), replay);
        let body = events.attach(Some(0), None);
        (events, body)
    }

    /// Keeps a stream for `Last-Event-ID`; removes the oldest beyond the limit, finished ones first.
    pub(super) fn keep(&self, events: &Arc<EventStream>) {
        let Some(number) = events.number() else { return };
        let kept: Vec<_> = self.state.lock().streams.values().cloned().collect();
        let last = kept.iter().find(|each| each.is_finished()).or_else(|| kept.first());
        let displaced = last.filter(|_| kept.len() >= limits::REPLAY_STREAMS).and_then(|each| each.number());
        let mut state = self.state.lock();
        if let Some(displaced) = displaced {
            state.streams.remove(&displaced);
        }
        if !state.ended {
            state.streams.insert(number, Arc::clone(events));
        }
    }

    /// The body of a GET: the stream of `Last-Event-ID` after that event, or the standalone one. An id of the standalone stream of
    /// another session or incarnation replays nothing (M8). `None`: the stream of a call, which is not kept. Its client may be
    /// reading the standalone stream, too: given that instead, it would open the two again by turns, for ever.
    pub(super) fn read(&self, last_event_id: Option<&str>, open: OpenStream) -> Option<Stream> {
        let event = last_event_id.and_then(parse_event_id);
        let ours = event.filter(|(incarnation, ..)| *incarnation == self.incarnation);
        let events = match event {
            Some((_, STANDALONE, _)) | None => Arc::clone(&self.standalone),
            Some(_) => self.state.lock().streams.get(&ours?.1).cloned()?,
        };
        Some(events.attach(ours.map(|(.., after)| after), Some(open)))
    }

    fn streams(&self) -> Vec<Arc<EventStream>> {
        let kept: Vec<_> = self.state.lock().streams.values().cloned().collect();
        kept.into_iter().chain([Arc::clone(&self.standalone)]).collect()
    }

    // ---- settings ----

    pub(super) fn set_log_level(&self, level: Level) {
        self.state.lock().log_level = Some(level);
    }

    pub(super) fn log_level(&self) -> Option<Level> {
        self.state.lock().log_level
    }

    /// The resources that the client has subscribed to.
    pub(super) fn subscribed(&self) -> Vec<String> {
        self.state.lock().subscriptions.keys().map(|uri| uri.to_string()).collect()
    }

    pub(super) fn wants_log(&self, level: Level) -> bool {
        self.log_level().is_none_or(|wanted| level >= wanted)
    }

    /// Subscribes to a resource, if there is room.
    pub(super) fn subscribe(&self, owner: &Principal, uri: &str) -> Result<(), Error> {
        self.subscriber.get_or_init(|| Mutex::new(owner.into()));
        let mut state = self.state.lock();
        if state.subscriptions.contains_key(uri) {
            return Ok(());
        }
        let has_room = state.subscriptions.len() < limits::SUBSCRIPTIONS;
        let held = if has_room { self.shares.kept.hold(uri.len()) } else { None };
        let held = held.ok_or_else(|| Error::invalid_params("Too many subscriptions"))?;
        state.subscriptions.insert(uri.into(), held);
        Ok(())
    }

    pub(super) fn unsubscribe(&self, uri: &str) {
        self.state.lock().subscriptions.remove(uri);
    }

    /// The owner as of the last request, if the client has subscribed to a resource or to one that it is a part of.
    pub(super) fn subscriber(&self, uri: &str) -> Option<Owner> {
        let is_subscribed = self.state.lock().subscriptions.keys().any(|each| covers(each, uri));
        self.subscriber.get().filter(|_| is_subscribed).map(|owner| owner.lock().clone())
    }

    // ---- the end ----

    /// Whether a request is in flight.
    pub(super) fn is_busy(&self) -> bool {
        !self.state.lock().in_flight.is_empty()
    }

    /// Removes streams that can no longer be resumed, and ends the connections of readers whose token has expired. Returns
    /// whether the session itself is idle.
    pub(super) fn sweep(&self, now: Duration) -> bool {
        let streams = self.streams();
        let over = streams.iter().filter(|events| events.is_over(now));
        let over: BTreeSet<u64> = over.filter_map(|events| events.number()).collect();
        self.state.lock().streams.retain(|number, _| !over.contains(number));
        let (is_busy, is_http_sse) = (self.is_busy(), self.kind == Kind::HttpSse);
        // The stream of HTTP+SSE carries all answers: it stays open for a running call.
        if !(is_busy && is_http_sse) {
            streams.iter().for_each(|events| events.expire(now));
        }
        let unused = Duration::from_millis(millis(now).saturating_sub(self.used()));
        let has_readers = streams.iter().any(|events| events.has_reader());
        !has_readers && (is_http_sse || !is_busy && unused >= limits::SESSION_IDLE)
    }
}

/// Whether a subscription to a resource is one to another: the same, or a part of it (schema, `ResourceUpdatedNotification`).
pub(super) fn covers(subscribed: &str, uri: &str) -> bool {
    let is_part = |rest: &str| subscribed.ends_with('/') || rest.starts_with(['/', '?', '#']);
    uri.strip_prefix(subscribed).is_some_and(|rest| rest.is_empty() || is_part(rest))
}

impl Row for Session {
    fn id(&self) -> &str {
        &self.caller.id
    }

    fn owner(&self) -> &Owner {
        &self.owner
    }

    /// Ends the session: cancels its requests, ends its streams, drops its state.
    fn end(&self) {
        let (requests, streams) = {
            let mut state = self.state.lock();
            state.ended = true;
            (std::mem::take(&mut state.in_flight), std::mem::take(&mut state.streams))
        };
        requests.values().for_each(|request| request.cancel.trip());
        drop(requests);
        streams.values().chain([&self.standalone]).for_each(|events| events.finish());
        self.caller.ended.trip();
    }
}

impl Table<Session> {
    /// Adds a session. If one has to be removed, it is the least recently used one of the client with most of its user's sessions.
    pub(super) fn insert(&self, session: &Arc<Session>, capacity: &Capacity) -> Result<Arc<Session>, Full> {
        let newcomer = session.owner().grant;
        let least_used = |sessions: &[&Arc<Session>]| {
            let of_grant = count(sessions.iter().map(|each| each.owner().grant));
            let last = sessions.iter().min_by_key(|each| {
                let grant = each.owner().grant;
                (Reverse(of_grant.get(&grant)), grant != newcomer, each.used())
            });
            last.map(|session| Arc::clone(session))
        };
        self.insert_within((capacity.sessions_per_user, capacity.sessions), session, least_used)
    }

    /// The caller's latest session that no request has named yet.
    pub(super) fn unnamed(&self, principal: &Principal) -> Option<Arc<Session>> {
        let unnamed = self.all().into_iter().filter(|each| each.is_unnamed() && each.owner().is(principal));
        unnamed.max_by_key(|each| each.used())
    }

    /// Ends unused sessions.
    pub(super) fn sweep(&self, now: Duration) {
        let idle = self.all().into_iter().filter(|session| session.sweep(now));
        idle.for_each(|session| self.end(&session));
    }
}

pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
