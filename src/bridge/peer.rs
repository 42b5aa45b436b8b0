//! One peer and its running requests. Ids and progress tokens are ours; everything else is passed on as text. Answers that
//! match no waiting request are dropped: late, repeated, forged ones.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock, Weak};
use std::time::Instant;

use crossbeam_channel::{Sender, bounded};
use serde::Serialize;
use serde_json::value::RawValue;

use super::message::{self, ClientInfo, OnBehalf, OutgoingMessage, PeerAnswer, PeerMessage};
use super::transport::{Receiver, Transport, Undelivered};
use crate::base::{GrantId, Held, Mutex, Quota, clock, limits};
use crate::mcp::{self, Members};

/// The sender of a request. Called on the thread that reads the peer; must not block.
pub(super) trait Requester: Send + Sync {
    /// The request has ended. Called once, with the receiver of the peer's messages.
    fn answer(self: Arc<Self>, answer: Settled<'_>, receiver: &dyn Receiver);

    /// The client on whose behalf it is made, for peers of 2026-07-28.
    fn client(&self) -> OnBehalf {
        OnBehalf::default()
    }

    /// The grant that the request belongs to; `None` for a request of the bridge itself.
    fn owner(&self) -> Option<GrantId> {
        None
    }

    /// A progress notification: the params without a token.
    fn progress(&self, _params: Members) {}

    /// A log message of the peer during this request.
    fn log(&self, _params: &RawValue) {}

    /// A question of the peer to the client. If it is dropped without an answer, it is answered with an error.
    fn ask(self: Arc<Self>, _question: PeerQuestion) {}
}

/// The outcome of a request.
#[derive(Clone, Copy, Debug)]
pub(super) enum Settled<'a> {
    Answered(PeerAnswer<'a>),
    /// The peer ended before an answer: how.
    Ended(&'a str),
}

/// A server that we are a client of.
pub(super) struct Peer {
    transport: OnceLock<Arc<dyn Transport>>,
    /// Unanswered questions.
    questions: Arc<Quota<()>>,
    /// Guards the running requests.
    state: Mutex<PeerState>,
}

#[derive(Default)]
struct PeerState {
    /// The metadata that 2026-07-28 requires in each request, for a peer of that version.
    introduction: Option<ClientInfo>,
    last_id: u64,
    running: BTreeMap<u64, Running>,
    /// Grants with cancelled requests, and the time of the latest: the peer may still work on these, and ask questions.
    cancelled: BTreeMap<GrantId, Instant>,
    /// When the latest request of a client ended.
    used: Option<Instant>,
    /// How the peer has ended.
    ended: Option<String>,
}

struct Running {
    waiter: Arc<dyn Requester>,
    wants_progress: bool,
}

/// A request of the peer that waits for our answer.
pub(super) struct PeerQuestion {
    peer: Weak<Peer>,
    /// The id in the peer's own spelling, and the place among the open questions; taken by the answer.
    open: Option<(Box<RawValue>, Held<()>)>,
    pub(super) method: String,
    pub(super) params: Box<RawValue>,
}

impl Peer {
    /// A peer without a transport; see [`Peer::connect`].
    pub(super) fn new() -> Arc<Peer> {
        Arc::new(Peer {
            transport: OnceLock::new(),
            questions: Quota::in_total(limits::bridge::QUESTIONS),
            state: Mutex::default(),
        })
    }

    /// Sets the transport of the peer, once.
    pub(super) fn connect(&self, transport: Arc<dyn Transport>) {
        let _ = self.transport.set(transport); // called once
    }

    /// From now on each request carries this `clientInfo`, as 2026-07-28 requires, or none.
    pub(super) fn introduce(&self, introduction: Option<ClientInfo>) {
        self.state.lock().introduction = introduction;
    }

    /// Sends a request; its id is for [`Peer::cancel`].
    pub(super) fn request(
        &self,
        method: &str,
        params: &Members,
        waiter: Arc<dyn Requester>,
    ) -> Result<u64, Undelivered> {
        let introduction = self.state.lock().introduction;
        let mut introduction = introduction.map(|introduction| (introduction, waiter.client()));
        let mirrored = introduction.as_mut().map(|(_, client)| std::mem::take(&mut client.mirrored));
        let wants_progress = message::progress_token(params).is_some();
        let id = {
            let mut state = self.state.lock();
            if state.ended.is_some() {
                return Err(Undelivered::Ended);
            }
            if state.running.len() >= limits::bridge::REQUESTS {
                return Err(Undelivered::Full);
            }
            let id = state.next_id();
            // Before it is sent, so that its answer finds it.
            state.running.insert(id, Running { waiter, wants_progress });
            id
        };
        let params = message::for_peer(params, wants_progress.then_some(id), introduction);
        let params = params.unwrap_or_default(); // parsed from JSON
        let message = message::request(id, method, params);
        let sent = self.send(OutgoingMessage { mirrored: mirrored.unwrap_or_default(), ..message });
        if let Err(error) = sent {
            // If the peer has ended meanwhile, the requester has been answered and its call is over.
            let removed = self.remove(id);
            return Err(if removed.is_some() { error } else { Undelivered::Ended });
        }
        Ok(id)
    }

    /// Sends a request of the bridge itself and waits for its result.
    ///
    /// # Errors
    /// An error text, if no result comes.
    pub(super) fn ask(&self, method: &str, params: &Members) -> Result<Members, String> {
        let (sender, receiver) = bounded(1);
        let sent = self.request(method, params, Arc::new(OwnRequest(sender)));
        let id = sent.map_err(|_| "it cannot be asked".to_owned())?;
        receiver.recv_timeout(limits::bridge::NOTIFY).unwrap_or_else(|_| {
            self.cancel(id, "No answer in time");
            Err("no answer in time".to_owned())
        })
    }

    /// Sends a request whose answer has no content and is dropped.
    pub(super) fn tell(&self, method: &str, params: Members) -> Result<(), Undelivered> {
        let id = self.state.lock().next_id();
        self.send(OutgoingMessage { request: None, ..message::request(id, method, params) })
    }

    pub(super) fn notify(&self, method: &str, params: Members) {
        // A peer that does not read its input gets no notification.
        let _ = self.send(message::notification(method, params));
    }

    /// Cancels a request: its requester gets no answer, and the peer is notified.
    pub(super) fn cancel(&self, id: u64, reason: &'static str) {
        let removed = {
            let mut state = self.state.lock();
            let removed = state.remove(id);
            // Under the same lock: a question in between would be attributed to another client.
            if let Some(owner) = removed.as_ref().and_then(|removed| removed.waiter.owner()) {
                state.note_cancelled(owner);
            }
            removed
        };
        if removed.is_some() {
            let params = Members::default().with("requestId", &id);
            let params = params.and_then(|params| params.with("reason", &reason));
            self.notify("notifications/cancelled", params.unwrap_or_default()); // both are valid JSON
        }
    }

    /// Ends the peer.
    pub(super) fn end(&self) {
        if let Some(transport) = self.transport.get() {
            transport.end();
        }
    }

    /// The cause of the peer's end, for display.
    pub(super) fn how_it_ended(&self) -> Option<String> {
        self.state.lock().ended.clone()
    }

    /// The number of running requests of clients.
    pub(super) fn running(&self) -> usize {
        self.state.lock().running.values().filter(|running| running.waiter.owner().is_some()).count()
    }

    /// When the latest request of a client ended, or `start` before the first; `None` while one runs.
    pub(super) fn unused_since(&self, start: Instant) -> Option<Instant> {
        let state = self.state.lock();
        let is_used = state.running.values().any(|running| running.waiter.owner().is_some());
        (!is_used).then(|| state.used.unwrap_or(start))
    }

    /// Handles one text of the peer; returns whether it is JSON-RPC. Notifications that belong to no request go to `receiver`.
    pub(super) fn receive(self: &Arc<Peer>, text: &str, receiver: &dyn Receiver) -> bool {
        let messages = message::parse(text);
        let is_message = !messages.is_empty();
        for message in messages {
            match message {
                PeerMessage::Answer { id, answer } => {
                    if let Some(running) = self.remove(id) {
                        running.waiter.answer(Settled::Answered(answer), receiver);
                    }
                }
                PeerMessage::Notification { method, params } => self.notified(&method, params, receiver),
                PeerMessage::Request { id, method, params } => self.asked(id, &method, params),
                PeerMessage::Stray => {}
            }
        }
        is_message
    }

    /// The peer has ended: all running requests fail.
    pub(super) fn ended(&self, how: &str, receiver: &dyn Receiver) {
        let running = {
            let mut state = self.state.lock();
            state.ended.get_or_insert_with(|| how.to_owned());
            std::mem::take(&mut state.running)
        };
        running.into_values().for_each(|running| running.waiter.answer(Settled::Ended(how), receiver));
    }

    /// Removes a request. It is dropped outside of the lock: its requester may answer a client then.
    fn remove(&self, id: u64) -> Option<Running> {
        self.state.lock().remove(id)
    }

    fn send(&self, message: OutgoingMessage) -> Result<(), Undelivered> {
        self.transport.get().ok_or(Undelivered::Ended)?.send(message)
    }

    fn notified(&self, method: &str, params: Option<&RawValue>, receiver: &dyn Receiver) {
        match (method, params) {
            ("notifications/progress", Some(params)) => self.progressed(params),
            ("notifications/message", Some(params)) if self.running() > 0 => {
                if let Some(waiter) = self.spokesman() {
                    waiter.log(params);
                }
            }
            _ => receiver.notified(method, params),
        }
    }

    /// Passes a progress notification to its request.
    fn progressed(&self, params: &RawValue) {
        let Ok(params) = serde_json::from_str::<Members>(params.get()) else { return };
        let Ok(Some(token)) = params.read::<u64>("progressToken") else { return };
        let found = {
            let state = self.state.lock();
            let running = state.running.get(&token).filter(|running| running.wants_progress);
            running.map(|running| Arc::clone(&running.waiter))
        };
        if let Some(waiter) = found {
            waiter.progress(params.without("progressToken"));
        }
    }

    /// A request of the peer. Each is answered.
    fn asked(self: &Arc<Peer>, id: &RawValue, method: &str, params: Option<&RawValue>) {
        if method == "ping" {
            return self.answer(id, Ok(&Members::default()));
        }
        let params = params.map_or("{}", RawValue::get);
        let Some(place) = self.questions.take(()).filter(|_| params.len() <= limits::STREAM_BYTES) else {
            let busy = mcp::Error::new(mcp::Error::BUSY, "Too many requests at once, or one above 1 MiB");
            return self.answer(id, Err::<(), _>(&busy));
        };
        let Ok(params) = RawValue::from_string(params.to_owned()) else { return };
        let question = PeerQuestion {
            peer: Arc::downgrade(self),
            open: Some((id.to_owned(), place)),
            method: method.to_owned(),
            params,
        };
        match method {
            "sampling/createMessage" | "elicitation/create" | "roots/list" => match self.spokesman() {
                Some(waiter) => waiter.ask(question),
                None => question.refuse(&nobody()),
            },
            _ => question.refuse(&mcp::Error::method_not_found()),
        }
    }

    fn answer(&self, id: &RawValue, answer: Result<impl Serialize, &mcp::Error>) {
        let _ = self.send(message::answer(id, answer)); // a peer that has ended needs no answer
    }

    /// The running request whose client gets the peer's messages that name no request: the latest, if all requests that run, or were
    /// cancelled within [`limits::bridge::LATE_QUESTIONS`], are of one client. With several clients, the addressee is unknown.
    fn spokesman(&self) -> Option<Arc<dyn Requester>> {
        let state = self.state.lock();
        let mut of_clients = state
            .running
            .values()
            .rev()
            .filter_map(|running| Some((running.waiter.owner()?, &running.waiter)));
        let (owner, latest) = of_clients.next()?;
        let now = clock::instant();
        let is_theirs = of_clients.all(|(other, _)| other == owner)
            && state.cancelled.iter().all(|(other, at)| *other == owner || !may_ask_late(*at, now));
        is_theirs.then(|| Arc::clone(latest))
    }
}

impl PeerState {
    fn next_id(&mut self) -> u64 {
        self.last_id = self.last_id.saturating_add(1);
        self.last_id
    }

    fn remove(&mut self, id: u64) -> Option<Running> {
        let removed = self.running.remove(&id)?;
        if removed.waiter.owner().is_some() {
            self.used = Some(clock::instant());
        }
        Some(removed)
    }

    fn note_cancelled(&mut self, owner: GrantId) {
        let now = clock::instant();
        self.cancelled.retain(|_, at| may_ask_late(*at, now));
        self.cancelled.insert(owner, now);
    }
}

/// Whether a question may still belong to a request that was cancelled at that time.
fn may_ask_late(cancelled: Instant, now: Instant) -> bool {
    now.saturating_duration_since(cancelled) < limits::bridge::LATE_QUESTIONS
}

fn nobody() -> mcp::Error {
    let why = "There is no client that can be asked: no call runs, or calls of several clients";
    mcp::Error::new(mcp::Error::INTERNAL, why)
}

/// The sending side of [`Peer::ask`].
struct OwnRequest(Sender<Result<Members, String>>);

impl Requester for OwnRequest {
    fn answer(self: Arc<Self>, answer: Settled<'_>, _: &dyn Receiver) {
        let read = match answer {
            Settled::Answered(Ok(result)) => {
                serde_json::from_str(result.get()).map_err(|_| "its answer is no object".to_owned())
            }
            Settled::Answered(Err(_)) => Err("it answers with an error".to_owned()),
            Settled::Ended(how) => Err(how.to_owned()),
        };
        let _ = self.0.send(read); // the caller has given up
    }
}

impl PeerQuestion {
    /// Answers with a client's result.
    pub(super) fn answer(mut self, result: &RawValue) {
        self.settle(Ok(result));
    }

    /// Answers with an error.
    pub(super) fn refuse(mut self, error: &mcp::Error) {
        self.settle(Err::<(), _>(error));
    }

    fn settle(&mut self, answer: Result<impl Serialize, &mcp::Error>) {
        let Some((id, place)) = self.open.take() else { return };
        drop(place); // before the answer, after which the peer may send the next
        if let Some(peer) = self.peer.upgrade() {
            peer.answer(&id, answer);
        }
    }
}

impl Drop for PeerQuestion {
    /// Every question gets an answer.
    fn drop(&mut self) {
        self.settle(Err::<(), _>(&mcp::Error::internal()));
    }
}

#[cfg(test)]
mod tests;
