//! One peer and the requests that run there. Ids and progress tokens are ours; everything else is passed on as text. Answers that
//! nobody waits for are dropped: late, repeated, forged ones.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock, Weak};
use std::time::Instant;

use serde::Serialize;
use serde_json::value::RawValue;

use super::message::{self, ClientInfo, OnBehalf, OutgoingMessage, PeerAnswer, PeerMessage};
use super::transport::{ProgramEnd, Receiver, Transport, Undelivered};
use crate::base::identity::GrantId;
use crate::base::lock::Mutex;
use crate::base::quota::{Held, Quota};
use crate::base::{clock, limits};
use crate::mcp::{self, Members};

/// Who waits for the answer to a request. Called from the thread that reads the peer; must not wait.
pub(super) trait Requester: Send + Sync {
    /// The request is over. Called once.
    fn answer(self: Arc<Self>, answer: Settled<'_>);

    /// For whom it is made, for peers of 2026-07-28.
    fn client(&self) -> OnBehalf {
        OnBehalf::default()
    }

    /// The grant that the request belongs to; `None` for a request of the bridge itself.
    fn owner(&self) -> Option<GrantId> {
        None
    }

    /// A report of progress: the params without a token.
    fn progress(&self, _params: Members) {}

    /// A log message that the peer wrote while this request ran.
    fn log(&self, _params: &RawValue) {}

    /// A question of the peer to the client. Dropped without an answer, it is answered with an error.
    fn ask(self: Arc<Self>, _question: PeerQuestion) {}
}

/// How a request is over.
#[derive(Clone, Copy, Debug)]
pub(super) enum Settled<'a> {
    Answered(PeerAnswer<'a>),
    /// The peer ended before it answered.
    Ended(&'a ProgramEnd),
}

/// A server that is a client's of ours.
pub(super) struct Peer {
    observer: Weak<dyn Receiver>,
    transport: OnceLock<Arc<dyn Transport>>,
    /// Questions without an answer.
    questions: Arc<Quota<()>>,
    /// Guards the requests that run.
    state: Mutex<PeerState>,
}

#[derive(Default)]
struct PeerState {
    /// The metadata that 2026-07-28 has in each request, for a peer that speaks it.
    introduction: Option<ClientInfo>,
    last_id: u64,
    running: BTreeMap<u64, Running>,
    /// Grants with cancelled requests, and the time of the latest: the peer may still work on these, and ask.
    cancelled: BTreeMap<GrantId, Instant>,
    /// When the latest request of a client was over.
    used: Option<Instant>,
    ended: Option<ProgramEnd>,
}

struct Running {
    waiter: Arc<dyn Requester>,
    wants_progress: bool,
}

/// A request of the peer that waits for its answer.
pub(super) struct PeerQuestion {
    peer: Weak<Peer>,
    /// The id as the peer wrote it, and the place among the open questions; taken by the answer.
    open: Option<(Box<RawValue>, Held<()>)>,
    pub(super) method: String,
    pub(super) params: Box<RawValue>,
}

impl Peer {
    /// A peer without a way to it; see [`Peer::connect`].
    pub(super) fn new(observer: Weak<dyn Receiver>) -> Arc<Peer> {
        Arc::new(Peer {
            observer,
            transport: OnceLock::new(),
            questions: Quota::in_total(limits::bridge::QUESTIONS),
            state: Mutex::default(),
        })
    }

    /// Gives the peer its transport, once.
    pub(super) fn connect(&self, transport: Arc<dyn Transport>) {
        let _ = self.transport.set(transport); // a second one is never made
    }

    /// From now on each request says who asks, as 2026-07-28 wants it, or does not.
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
            state.last_id = state.last_id.saturating_add(1);
            let id = state.last_id;
            // Before it is sent, so that no answer is too early.
            state.running.insert(id, Running { waiter, wants_progress });
            id
        };
        let params = message::for_peer(params, wants_progress.then_some(id), introduction);
        let params = params.unwrap_or_default(); // it was JSON before
        let message = message::request(id, method, params);
        let sent = self.send(OutgoingMessage { mirrored: mirrored.unwrap_or_default(), ..message });
        if let Err(error) = sent {
            // If the peer has ended meanwhile, the waiter has been told so and its call is over.
            let removed = self.remove(id);
            return Err(if removed.is_some() { error } else { Undelivered::Ended });
        }
        Ok(id)
    }

    /// Sends a request whose answer says nothing: it is dropped.
    pub(super) fn tell(&self, method: &str, params: Members) -> Result<(), Undelivered> {
        let id = {
            let mut state = self.state.lock();
            state.last_id = state.last_id.saturating_add(1);
            state.last_id
        };
        self.send(OutgoingMessage { request: None, ..message::request(id, method, params) })
    }

    pub(super) fn notify(&self, method: &str, params: Members) {
        // To one that reads nothing there is nothing to say.
        let _ = self.send(message::notification(method, params));
    }

    /// The stream of changes, which was one of the requests, has ended.
    pub(super) fn stopped_listening(&self) {
        if let Some(observer) = self.observer.upgrade() {
            observer.renewed(); // what happened meanwhile is not known
        }
    }

    /// Gives up a request: its waiter hears no more, and the peer is told.
    pub(super) fn cancel(&self, id: u64, reason: &'static str) {
        let removed = {
            let mut state = self.state.lock();
            let removed = state.remove(id);
            // Under the same lock: a question that comes in between would be taken for another client's.
            if let Some(owner) = removed.as_ref().and_then(|removed| removed.waiter.owner()) {
                state.note_cancelled(owner);
            }
            removed
        };
        if removed.is_some() {
            let params = Members::default().with("requestId", &id);
            let params = params.and_then(|params| params.with("reason", &reason));
            self.notify("notifications/cancelled", params.unwrap_or_default()); // both are JSON
        }
    }

    /// Has the peer end.
    pub(super) fn end(&self) {
        if let Some(transport) = self.transport.get() {
            transport.end();
        }
    }

    /// How the peer has ended, in words.
    pub(super) fn how_it_ended(&self) -> Option<String> {
        self.state.lock().ended.as_ref().map(ToString::to_string)
    }

    /// How many requests of clients run.
    pub(super) fn running(&self) -> usize {
        self.state.lock().running.values().filter(|running| running.waiter.owner().is_some()).count()
    }

    /// When the latest request of a client was over; `None` before the first.
    pub(super) fn last_used(&self) -> Option<Instant> {
        self.state.lock().used
    }

    /// Takes one text of the peer; returns whether it is JSON-RPC.
    pub(super) fn receive(self: &Arc<Peer>, text: &str) -> bool {
        let messages = message::parse(text);
        let is_message = !messages.is_empty();
        for message in messages {
            match message {
                PeerMessage::Answer { id, answer } => {
                    if let Some(running) = self.remove(id) {
                        running.waiter.answer(Settled::Answered(answer));
                    }
                }
                PeerMessage::Notification { method, params } => self.notified(&method, params),
                PeerMessage::Request { id, method, params } => self.asked(id, &method, params),
                PeerMessage::Stray => {}
            }
        }
        is_message
    }

    /// The peer is gone: nothing that runs there is answered any more.
    pub(super) fn ended(&self, end: &ProgramEnd) {
        let running = {
            let mut state = self.state.lock();
            state.ended.get_or_insert_with(|| end.clone());
            std::mem::take(&mut state.running)
        };
        running.into_values().for_each(|running| running.waiter.answer(Settled::Ended(end)));
    }

    /// Takes a request out. It is dropped outside of the lock: its requester may answer a client then.
    fn remove(&self, id: u64) -> Option<Running> {
        self.state.lock().remove(id)
    }

    fn send(&self, message: OutgoingMessage) -> Result<(), Undelivered> {
        self.transport.get().ok_or(Undelivered::Ended)?.send(message)
    }

    fn notified(&self, method: &str, params: Option<&RawValue>) {
        match (method, params) {
            ("notifications/progress", Some(params)) => self.progressed(params),
            ("notifications/message", Some(params)) if self.running() > 0 => {
                if let Some(waiter) = self.spokesman() {
                    waiter.log(params);
                }
            }
            _ => {
                if let Some(observer) = self.observer.upgrade() {
                    observer.notified(method, params);
                }
            }
        }
    }

    /// Hands a report of progress to the request that it is about.
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

    /// A request of the peer. Each gets an answer.
    fn asked(self: &Arc<Peer>, id: &RawValue, method: &str, params: Option<&RawValue>) {
        if method == "ping" {
            return self.answer(id, Ok(&Members::default()));
        }
        let Some(place) = self.questions.take(()) else {
            let busy = mcp::Error::new(mcp::Error::BUSY, "Too many requests at once");
            return self.answer(id, Err::<(), _>(&busy));
        };
        let params = params
            .map_or_else(|| RawValue::from_string("{}".to_owned()).ok(), |params| Some(params.to_owned()));
        let Some(params) = params else { return };
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
        let _ = self.send(message::answer(id, answer)); // a peer that has ended needs none
    }

    /// The running request whose client hears what the peer says without naming a request: the latest, if all that run, or were
    /// cancelled within [`limits::bridge::LATE_QUESTIONS`], are one client's. Whose it is among several cannot be known.
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
        drop(place); // before the answer, after which the peer may ask the next
        if let Some(peer) = self.peer.upgrade() {
            peer.answer(&id, answer);
        }
    }
}

impl Drop for PeerQuestion {
    /// No question is left without an answer.
    fn drop(&mut self) {
        self.settle(Err::<(), _>(&mcp::Error::internal()));
    }
}

#[cfg(test)]
mod tests;
